/* SPDX-License-Identifier: MIT */
#include "runtime/call/gate.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/call/interrupt.h"
#include "runtime/call/ring.h"
#include "runtime/call/thread.h"
#include "runtime/loop/loop.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static void futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

/* ---- passes ---- */

void berth_gate_init(struct berth_gate *gate)
{
    *gate = (struct berth_gate){ .pass = &gate->nobodys };
}

void berth_gate_deinit(struct berth_gate *gate)
{
    while (gate->passes) {
        struct berth_gate_pass *next = gate->passes->next;
        berth_aligned_free(gate->passes);
        gate->passes = next;
    }
    gate->pass = &gate->nobodys;
}

static struct berth_pass *pass_given(const struct berth_gate *gate)
{
    struct berth_pass *pass = __atomic_load_n(&gate->pass, __ATOMIC_ACQUIRE);
    return pass == &gate->nobodys ? NULL : pass;
}

static uint32_t pass_chain(const struct berth_pass *pass)
{
    return __atomic_load_n(&pass->chain, __ATOMIC_RELAXED) & ~1u;
}

static bool pass_enter(struct berth_gate *gate, uint32_t chain)
{
    struct berth_pass *pass = __atomic_load_n(&gate->pass, __ATOMIC_ACQUIRE);
    if (!berth_pass_claim(pass, chain))
        return false;
    if (berth_pass_holds(pass, chain))
        return true;
    berth_pass_leave(pass, chain);
    futex_wake(&pass->inside);
    return false;
}

/* The chain's own, one whose thread has ended, or a new one; NULL without memory. For the owner. */
static struct berth_pass *pass_obtain(struct berth_gate *gate, const berth_ctx *ctx)
{
    uint32_t chain = berth_block(ctx)->chain;
    struct berth_gate_pass *pass = gate->passes;
    while (pass && pass_chain(&pass->pass) != chain)
        pass = pass->next;
    if (pass)
        return &pass->pass;
    pass = gate->passes;
    while (pass && berth_threads_have(berth_thread_of(ctx)->set, pass_chain(&pass->pass)))
        pass = pass->next;
    if (!pass) {
        pass = berth_aligned_alloc(_Alignof(struct berth_gate_pass), sizeof *pass);
        if (!pass)
            return NULL;
        pass->next = gate->passes;
        gate->passes = pass;
    }
    __atomic_store_n(&pass->pass.inside, 0, __ATOMIC_RELAXED); /* it may have ended amid a claim */
    return &pass->pass;
}

/* The owner is about to leave: it may go in by a pass from now on, if it has been here often. */
static void pass_give(struct berth_gate *gate, const berth_ctx *ctx)
{
    uint32_t chain = berth_block(ctx)->chain;
    bool waited_for = __atomic_load_n(&gate->owner, __ATOMIC_RELAXED) & 1;
    if (gate->last != chain || waited_for)
        gate->streak = 0;
    gate->last = chain;
    if (++gate->streak < BERTH_GATE_STREAK || pass_given(gate)) /* given: it has not got inside */
        return;
    gate->streak = 0;
    struct berth_pass *pass = pass_obtain(gate, ctx);
    if (!pass)
        return;
    __atomic_store_n(&pass->chain, chain, __ATOMIC_RELAXED);
    __atomic_store_n(&gate->pass, pass, __ATOMIC_RELEASE);
}

/* The wait of a chain that may be cancelled meanwhile. */
struct patience {
    const struct berth_gate_entry *entry;
    struct berth_wait *wait;
    struct berth_interrupt interrupt;
    int64_t quiet;    /* until then nobody is told */
    const char *over; /* why it has ended; NULL: otherwise */
    bool told;
};

static void tell(struct patience *patience)
{
    patience->quiet = INT64_MAX;
    patience->told = true;
    patience->wait->park = berth_park_own();
    patience->entry->waits(patience->wait, true);
}

/* While the word has the value, perhaps; a code: not any more. */
static int wait_for_change(struct patience *patience, uint32_t *word, uint32_t value)
{
    const struct berth_gate_entry *entry = patience->entry;
    bool quiet = patience->quiet < entry->deadline;
    if ((patience->over = berth_call_over(entry->ctx)))
        return BERTH_CANCELLED;
    if (patience->told && berth_wait_refused(patience->wait))
        return BERTH_ABORTED;
    struct berth_park *park =
        patience->told || patience->interrupt.listed ? berth_park_own() : NULL;
    if (berth_park_sleep_at(park, word, value, quiet ? patience->quiet : entry->deadline))
        return BERTH_OK;
    if (!quiet)
        return BERTH_DEADLINE_EXCEEDED;
    tell(patience);
    return BERTH_OK;
}

/* For the owner, which is among the waiting. */
static int pass_take_back(struct berth_gate *gate, struct patience *patience)
{
    struct berth_pass *pass = pass_given(gate);
    int code = BERTH_OK;
    if (!pass)
        return BERTH_OK;
    __atomic_store_n(&pass->chain, pass_chain(pass) | 1, __ATOMIC_RELEASE);
    berth_frames_barrier();
    while (__atomic_load_n(&pass->inside, __ATOMIC_ACQUIRE))
        if ((code = wait_for_change(patience, &pass->inside, 1)) != BERTH_OK)
            return code; /* the next owner goes on with it */
    __atomic_store_n(&gate->pass, &gate->nobodys, __ATOMIC_RELEASE);
    return BERTH_OK;
}

/* ---- waiting ---- */

/*
 * While a pass is given the owner is not inside, but has yet to take it back, and whoever waits for
 * the gate waits for the pass.
 */
uint32_t berth_gate_inside(const struct berth_gate *gate)
{
    const struct berth_pass *pass = pass_given(gate);
    if (!pass)
        return __atomic_load_n(&gate->owner, __ATOMIC_RELAXED) & ~1u;
    return __atomic_load_n(&pass->inside, __ATOMIC_RELAXED) ? pass_chain(pass) : 0;
}

static uint32_t holder(const struct berth_wait *wait, size_t i)
{
    return i == 0 ? berth_gate_inside(wait->of) : 0;
}

static int owner_wait(struct berth_gate *gate, uint32_t chain, struct patience *patience)
{
    int code;
    uint32_t seen = __atomic_load_n(&gate->owner, __ATOMIC_RELAXED);
    for (;;) {
        if (seen == 0) {
            /* others may be waiting behind us: take it as one that is waited for */
            if (__atomic_compare_exchange_n(&gate->owner, &seen, chain | 1, 0, __ATOMIC_ACQUIRE,
                                            __ATOMIC_RELAXED))
                return BERTH_OK;
            continue;
        }
        if (!(seen & 1) && !__atomic_compare_exchange_n(&gate->owner, &seen, seen | 1, 0,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        if ((code = wait_for_change(patience, &gate->owner, seen | 1)) != BERTH_OK)
            return code;
        seen = __atomic_load_n(&gate->owner, __ATOMIC_RELAXED);
    }
}

static void owner_leave(struct berth_gate *gate)
{
    if (__atomic_exchange_n(&gate->owner, 0, __ATOMIC_RELEASE) & 1)
        futex_wake(&gate->owner);
}

/* owner: the chain is that already. */
static int wait_inside(struct berth_gate *gate, struct berth_wait *wait, bool owner,
                       const struct berth_gate_entry *entry, struct berth_error *error)
{
    struct patience patience = { .entry = entry,
                                 .wait = wait,
                                 .quiet =
                                     entry->waits ? berth_now() + BERTH_WAIT_TOLD : INT64_MAX };
    int code = BERTH_OK;
    if (!berth_wait_begin(wait)) {
        if (owner)
            owner_leave(gate);
        return berth_error_set(error, BERTH_ABORTED, "%s", wait->ring);
    }
    berth_interrupt_begin(&patience.interrupt, wait->ctx, berth_park_own(), NULL);
    berth_interrupt_lasts(&patience.interrupt);
    if (!owner)
        code = owner_wait(gate, wait->chain, &patience);
    owner = code == BERTH_OK;
    if (owner)
        code = pass_take_back(gate, &patience);
    berth_interrupt_end(&patience.interrupt);
    berth_wait_end(wait);
    if (patience.told)
        entry->waits(wait, false);
    if (code == BERTH_OK)
        return BERTH_OK;
    if (owner)
        owner_leave(gate);
    if (code == BERTH_ABORTED)
        return berth_error_set(error, code, "%s", wait->ring);
    return berth_error_set(error, code, "the serial module was busy%s%s",
                           patience.over ? ", and " : " until the deadline",
                           patience.over ? patience.over : "");
}

/* ---- the gate ---- */

/* *ret_owner: it is the owner now, but has yet to take back a pass. */
static bool enter(struct berth_gate *gate, const berth_ctx *ctx, bool *ret_owner)
{
    uint32_t chain = berth_block(ctx)->chain, nobody = 0;
    if (pass_enter(gate, chain))
        return true;
    *ret_owner = !berth_gate_owned(gate, ctx) &&
                 __atomic_compare_exchange_n(&gate->owner, &nobody, chain, 0, __ATOMIC_ACQUIRE,
                                             __ATOMIC_RELAXED);
    return *ret_owner && !pass_given(gate);
}

bool berth_gate_try(struct berth_gate *gate, const berth_ctx *ctx)
{
    bool owner = false;
    if (enter(gate, ctx, &owner))
        return true;
    if (owner)
        owner_leave(gate);
    return false;
}

int berth_gate_lock(struct berth_gate *gate, const struct berth_gate_entry *entry,
                    struct berth_error *error)
{
    const berth_ctx *ctx = entry->ctx;
    bool owner = false;
    if (enter(gate, ctx, &owner))
        return BERTH_OK;
    struct berth_wait wait = {
        .ctx = ctx, .of = gate, .holder = holder, .target = entry->target, .patient = entry->patient
    };
    return wait_inside(gate, &wait, owner, entry, error);
}

bool berth_gate_owned(const struct berth_gate *gate, const berth_ctx *ctx)
{
    uint32_t chain = berth_block(ctx)->chain;
    const struct berth_pass *pass = pass_given(gate);
    return (__atomic_load_n(&gate->owner, __ATOMIC_RELAXED) & ~1u) == chain ||
           (pass && pass_chain(pass) == chain && __atomic_load_n(&pass->inside, __ATOMIC_RELAXED));
}

void berth_gate_left(struct berth_gate *gate, const berth_ctx *ctx)
{
    if ((__atomic_load_n(&gate->owner, __ATOMIC_RELAXED) & ~1u) == berth_block(ctx)->chain) {
        pass_give(gate, ctx);
        owner_leave(gate);
    } else { /* whose pass it was has that still, if somebody sleeps */
        futex_wake(&__atomic_load_n(&gate->pass, __ATOMIC_ACQUIRE)->inside);
    }
}

void berth_gate_withdraw(berth_ctx *ctx)
{
    uintptr_t word = ctx[1].frame;
    if (word)
        berth_gate_left((struct berth_gate *)(word & ~BERTH_FRAME_OBJECT), ctx);
    berth_frame_pop(ctx);
}

void berth_gate_unlock(struct berth_gate *gate, const berth_ctx *ctx)
{
    if (!berth_pass_leave(__atomic_load_n(&gate->pass, __ATOMIC_RELAXED), berth_block(ctx)->chain))
        berth_gate_left(gate, ctx);
}
