/* SPDX-License-Identifier: MIT */
#include "runtime/call/gate.h"

#include "runtime/base/list.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int futex_wait(uint32_t *word, uint32_t value, int64_t deadline)
{
    struct timespec at = { deadline / 1000000000, deadline % 1000000000 };
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
                     deadline == INT64_MAX ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
    return r == 0 ? 0 : errno;
}

void berth_gate_wake(struct berth_gate *gate)
{
    syscall(SYS_futex, &gate->owner, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

/*
 * Who waits for what, in all hosts. A chain that is in here gives up none of its gates until it is
 * out again, so that what is found under the lock stays true; and a ring can only be closed by
 * coming in.
 */
struct waiter {
    struct berth_list link;
    const struct berth_gate *gate;
    uint32_t chain;
};
static pthread_mutex_t waiting_lock = PTHREAD_MUTEX_INITIALIZER;
static struct berth_list waiting = { &waiting, &waiting };

static const struct berth_gate *waits_for(uint32_t chain)
{
    berth_list_each(&waiting, link) {
        const struct waiter *waiter = berth_container(link, struct waiter, link);
        if (waiter->chain == chain)
            return waiter->gate;
    }
    return NULL;
}

/* Whether the gate's owner waits, perhaps over others, for the chain. waiting_lock held. */
static bool closes_ring(const struct berth_gate *gate, uint32_t chain)
{
    while (gate) {
        uint32_t owner = __atomic_load_n(&gate->owner, __ATOMIC_RELAXED) & ~1u;
        const struct berth_gate *next = owner ? waits_for(owner) : NULL;
        if (owner == chain)
            return true;
        if (next == gate) /* it has just got it */
            return false;
        gate = next;
    }
    return false;
}

static bool waiter_enter(struct waiter *waiter)
{
    pthread_mutex_lock(&waiting_lock);
    bool ring = closes_ring(waiter->gate, waiter->chain);
    if (!ring)
        berth_list_append(&waiting, &waiter->link);
    pthread_mutex_unlock(&waiting_lock);
    return !ring;
}

static void waiter_leave(struct waiter *waiter)
{
    pthread_mutex_lock(&waiting_lock);
    berth_list_remove(&waiter->link);
    pthread_mutex_unlock(&waiting_lock);
}

/* seen: what the owner was. */
static int gate_wait(struct berth_gate *gate, uint32_t chain, uint32_t seen, int64_t deadline)
{
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
        if (futex_wait(&gate->owner, seen | 1, deadline) == ETIMEDOUT)
            return BERTH_DEADLINE_EXCEEDED;
        seen = __atomic_load_n(&gate->owner, __ATOMIC_RELAXED);
    }
}

int berth_gate_lock(struct berth_gate *gate, uint32_t chain, int64_t deadline)
{
    uint32_t seen = 0;
    if (__atomic_compare_exchange_n(&gate->owner, &seen, chain, 0, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED))
        return BERTH_OK;
    struct waiter waiter = { .gate = gate, .chain = chain };
    if ((seen & ~1u) == chain || !waiter_enter(&waiter))
        return BERTH_ABORTED;
    int code = gate_wait(gate, chain, seen, deadline);
    waiter_leave(&waiter);
    return code;
}

const char *berth_gate_refusal(const struct berth_gate *gate, uint32_t chain, int code)
{
    if (code != BERTH_ABORTED)
        return "the serial module was busy until the deadline";
    return berth_gate_owned(gate, chain)
               ? "this call chain is inside the serial module already; it would wait for itself"
               : "the call that is inside the serial module waits for this call chain";
}

void berth_gate_unlock(struct berth_gate *gate)
{
    if (__atomic_exchange_n(&gate->owner, 0, __ATOMIC_RELEASE) & 1)
        berth_gate_wake(gate);
}
