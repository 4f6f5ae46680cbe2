/* SPDX-License-Identifier: MIT */
#include "runtime/call/gate.h"

#include <errno.h>
#include <linux/futex.h>
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

int berth_gate_lock(struct berth_gate *gate, uint32_t chain, int64_t deadline)
{
    uint32_t seen = 0;
    if (__atomic_compare_exchange_n(&gate->owner, &seen, chain, 0, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED))
        return BERTH_OK;
    for (;;) {
        if ((seen & ~1u) == chain)
            return BERTH_ABORTED;
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

void berth_gate_unlock(struct berth_gate *gate)
{
    if (__atomic_exchange_n(&gate->owner, 0, __ATOMIC_RELEASE) & 1)
        berth_gate_wake(gate);
}
