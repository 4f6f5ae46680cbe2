/* SPDX-License-Identifier: MIT */
#include "runtime/call/park.h"

#include "runtime/call/gate.h"
#include "runtime/loop/loop.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS  50000 /* what it takes to be woken */
#define YIELD_NS 30000 /* one that takes longer has let somebody else run */
#define YIELDS   2
#define SKIP_MAX 256

enum { NOTHING, WOKEN, ASLEEP };

void berth_park_init(struct berth_park *park)
{
    *park = (struct berth_park){ .state = NOTHING, .waker = -1 };
}

void berth_park_wake(struct berth_park *park)
{
    if (__atomic_load_n(&park->state, __ATOMIC_RELAXED) != ASLEEP)
        __atomic_store_n(&park->waker, sched_getcpu(), __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&park->state, WOKEN, __ATOMIC_SEQ_CST) == ASLEEP) {
        __atomic_store_n(&park->waker, sched_getcpu(), __ATOMIC_RELAXED);
        syscall(SYS_futex, &park->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static bool take(struct berth_park *park)
{
    if (__atomic_load_n(&park->state, __ATOMIC_RELAXED) != WOKEN)
        return false;
    __atomic_exchange_n(&park->state, NOTHING, __ATOMIC_ACQ_REL);
    return true;
}

static bool spin(struct berth_park *park, int waker, int64_t until)
{
    do {
        for (int i = 0; i < 32; i++) {
            if (take(park))
                return true;
            berth_gate_relax();
        }
    } while (sched_getcpu() != waker && berth_now() < until);
    return false;
}

static bool yield(struct berth_park *park, int64_t now)
{
    for (int i = 0; i < YIELDS; i++) {
        sched_yield();
        if (take(park))
            return true;
        int64_t then = now;
        now = berth_now();
        if (now - then > YIELD_NS)
            return false;
    }
    return false;
}

/* Without sleeping. */
static bool look(struct berth_park *park, int64_t deadline)
{
    int waker = __atomic_load_n(&park->waker, __ATOMIC_RELAXED);
    if (waker < 0)
        return false;
    if (park->skip > 0) {
        park->skip--;
        return false;
    }
    int64_t now = berth_now(), until = now + LOOK_NS < deadline ? now + LOOK_NS : deadline;
    bool woken = waker == sched_getcpu() ? yield(park, now) : spin(park, waker, until);
    park->in_vain = woken ? 0 : park->in_vain + 1;
    if (!woken)
        park->skip = park->in_vain < 8 ? 1U << park->in_vain : SKIP_MAX;
    return woken;
}

bool berth_park_sleep(struct berth_park *park, int64_t deadline)
{
    const struct timespec until = { deadline / 1000000000, deadline % 1000000000 };
    uint32_t expected = NOTHING;
    if (!__atomic_compare_exchange_n(&park->state, &expected, ASLEEP, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return take(park);
    for (;;) {
        long result =
            syscall(SYS_futex, &park->state, FUTEX_WAIT_BITSET_PRIVATE, ASLEEP,
                    deadline == BERTH_FOREVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
        if (take(park))
            return true;
        expected = ASLEEP;
        if (result < 0 && errno == ETIMEDOUT)
            return !__atomic_compare_exchange_n(&park->state, &expected, NOTHING, false,
                                                __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) &&
                   take(park);
    }
}

/* Where the kernel cannot wait for two words the park is looked at now and then. */
#define PEEK_NS INT64_C(5000000)

static int futex_wait(uint32_t *word, uint32_t value, int64_t deadline)
{
    const struct timespec until = { deadline / 1000000000, deadline % 1000000000 };
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                          deadline == BERTH_FOREVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    return result < 0 ? errno : 0;
}

static int futex_wait_two(struct berth_park *park, uint32_t *word, uint32_t value, int64_t deadline)
{
    const struct timespec until = { deadline / 1000000000, deadline % 1000000000 };
    struct futex_waitv words[] = {
        { .val = value, .uaddr = (uintptr_t)word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
        { .val = ASLEEP, .uaddr = (uintptr_t)&park->state, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
    };
    long result = syscall(SYS_futex_waitv, words, 2, 0, deadline == BERTH_FOREVER ? NULL : &until,
                          CLOCK_MONOTONIC);
    if (result >= 0 || (errno != ENOSYS && errno != EPERM))
        return result < 0 ? errno : 0;
    int64_t peek = berth_now() + PEEK_NS;
    int number = futex_wait(word, value, peek < deadline ? peek : deadline);
    return number == ETIMEDOUT && peek < deadline ? 0 : number;
}

bool berth_park_sleep_at(struct berth_park *park, uint32_t *word, uint32_t value, int64_t deadline)
{
    uint32_t expected = NOTHING;
    if (!park)
        return futex_wait(word, value, deadline) != ETIMEDOUT;
    if (!__atomic_compare_exchange_n(&park->state, &expected, ASLEEP, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return take(park);
    int number = futex_wait_two(park, word, value, deadline);
    return __atomic_exchange_n(&park->state, NOTHING, __ATOMIC_ACQ_REL) == WOKEN ||
           number != ETIMEDOUT;
}

struct berth_park *berth_park_own(void)
{
    static _Thread_local struct berth_park own __attribute__((tls_model("initial-exec")));
    return &own;
}

bool berth_park_wait(struct berth_park *park, int64_t deadline)
{
    return take(park) || look(park, deadline) || berth_park_sleep(park, deadline);
}
