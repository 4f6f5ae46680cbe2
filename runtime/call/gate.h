/* SPDX-License-Identifier: MIT */
/*
 * The gate of a serial module lets one chain of calls in at a time. An owner is a chain, not a
 * thread: what a worker asks for while it is called belongs to the call that waits for it. In one
 * process a chain runs on one thread, whose block has its number.
 *
 * Two ways lead in.
 *
 *   The long way. A chain makes itself the owner, which costs an atomic exchange in and one out. If
 *   a pass is given, it takes that back first. It is inside once it is the owner and no pass is
 *   given, until it gives up being the owner.
 *
 *   By the pass, plain stores in and out, inlined into the callers (<berth/call.h>). An owner that
 *   has come BERTH_GATE_STREAK times in a row, while nobody else did, leaves with a pass. The chain
 *   of that pass is inside while pass->inside is 1 and it has then found pass->chain unmarked.
 *
 * Why not two at once:
 *   - Only the owner changes which pass is given, and marks pass->chain. So while a chain is inside
 *     the long way no pass is given, and a pass that is not given is marked: nobody goes in by it.
 *   - Taking back marks pass->chain, issues membarrier, and waits until pass->inside is 0. A claim
 *     writes `inside` and then reads `chain`: if the barrier comes upon it before the read, it sees
 *     the mark and does not go in; if after, its `inside` is seen, and waited for.
 *   - pass->inside has one writer for ever. A thread may stop between reading `chain` and writing
 *     `inside`, and write it when the pass has long been taken back; with a word that the next
 *     chain writes as well it would then say that nobody is inside. So each chain has a pass of its
 *     own, which goes to another chain only when its thread has ended.
 *
 * Nobody sleeps for ever: who leaves, or withdraws a claim, reads `chain` after it has written
 * `inside`, and wakes when it is marked. Only the owner sleeps on `inside`.
 */
#ifndef RUNTIME_CALL_GATE_H
#define RUNTIME_CALL_GATE_H

#include <berth/call.h>
#include <stdint.h>

/*
 * Taking a pass back costs some 10 us (a barrier in all threads), going in the long way some 20 ns
 * more than by a pass. Before it gets one a chain has paid several times what taking back costs, so
 * that chains that take turns lose little, however they do it.
 */
#define BERTH_GATE_STREAK 2048

/*
 * What a gate's passes are: made when one is first given, and kept until the gate's end. Each has a
 * line of the cache of its own, as its chain writes to it all the time.
 */
struct berth_gate_pass {
    struct berth_pass pass; /* must be first */
    struct berth_gate_pass *next;
} __attribute__((aligned(64)));

void berth_gate_init(struct berth_gate *gate);
/* Nobody may use it any more, by no pass either. */
void berth_gate_deinit(struct berth_gate *gate);
/* Who wants in. */
struct berth_wait;
struct berth_gate_entry {
    const berth_ctx *ctx;
    int64_t deadline;   /* as berth_now, INT64_MAX: none */
    const char *target; /* what for, if ctx[1] is not the frame of it, or NULL (call/ring.h) */
    bool patient;       /* others fail rather than it (call/ring.h) */
    /*
     * Told when the wait gets long, and then when it is over; or NULL. In between the wait may be
     * refused by whoever is told, and woken at wait->park.
     */
    void (*waits)(struct berth_wait *wait, bool waits);
};
/*
 * For the chain of ctx. BERTH_OK; BERTH_ABORTED when it is inside already, or who is inside waits
 * for something of the chain's, perhaps over others; BERTH_DEADLINE_EXCEEDED; BERTH_CANCELLED, when
 * the call that ctx runs is.
 */
int berth_gate_lock(struct berth_gate *gate, const struct berth_gate_entry *entry,
                    struct berth_error *error);
/* The same without waiting for anything; false: there was something to wait for. */
bool berth_gate_try(struct berth_gate *gate, const berth_ctx *ctx);
void berth_gate_unlock(struct berth_gate *gate, const berth_ctx *ctx);
/* Whether somebody waits until the calling thread, which is inside, is not any more. */
static inline bool berth_gate_is_wanted(const struct berth_gate *gate)
{
    const struct berth_pass *pass = __atomic_load_n(&gate->pass, __ATOMIC_RELAXED);
    uint32_t owner = __atomic_load_n(&gate->owner, __ATOMIC_RELAXED);
    return (owner | __atomic_load_n(&pass->chain, __ATOMIC_RELAXED)) & 1;
}
/* The chain that is inside, or 0; what is sure is only that one who waits is (call/ring.h). */
uint32_t berth_gate_inside(const struct berth_gate *gate);
/* Whether the chain of ctx is inside. */
bool berth_gate_owned(const struct berth_gate *gate, const berth_ctx *ctx);
/*
 * What is left of going out when it was not by an unmarked pass: the owner ends being that, or
 * somebody is woken.
 */
void berth_gate_left(struct berth_gate *gate, const berth_ctx *ctx);
/* After berth_gate_enter said NULL: it may have gone through the gate in vain. Clears the frame. */
void berth_gate_withdraw(berth_ctx *ctx);
/* Between two looks at something that another thread is about to change. */
static inline void berth_gate_relax(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

#endif
