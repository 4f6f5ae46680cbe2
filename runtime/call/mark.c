/* SPDX-License-Identifier: MIT */
#include "runtime/call/mark.h"

#include "runtime/base/memory.h"
#include "runtime/call/thread.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

struct berth_mark *berth_mark_take(struct berth_threads *set)
{
    struct berth_mark *mark = set->marks;
    while (mark && mark->taken)
        mark = mark->next;
    if (!mark) {
        mark = berth_aligned_alloc(_Alignof(struct berth_mark), sizeof *mark);
        if (!mark)
            return NULL;
        *mark = (struct berth_mark){ .next = set->marks };
        __atomic_store_n(&set->marks, mark, __ATOMIC_RELEASE); /* who waits takes no lock */
    }
    mark->taken = true;
    return mark;
}

void berth_marks_free(struct berth_threads *set)
{
    while (set->marks) {
        struct berth_mark *next = set->marks->next;
        berth_aligned_free(set->marks);
        set->marks = next;
    }
}

void berth_mark_wake(struct berth_mark *mark)
{
    syscall(SYS_futex, &mark->word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static bool is_set(const struct berth_mark *mark)
{
    return __atomic_load_n(&mark->word, __ATOMIC_ACQUIRE) != 0;
}

/* Another barrier, so that who ends its mark sees that it is waited for. */
static void wait_for(struct berth_mark *mark)
{
    __atomic_add_fetch(&mark->waited, 1, __ATOMIC_SEQ_CST);
    berth_frames_barrier();
    while (is_set(mark))
        syscall(SYS_futex, &mark->word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    __atomic_sub_fetch(&mark->waited, 1, __ATOMIC_RELAXED);
}

/* Whoever waits would wait for himself. */
__attribute__((unused)) static bool is_under_one(const struct berth_threads *set)
{
    const struct berth_thread *thread = berth_thread_mine(set);
    return thread && thread->mark->word;
}

void berth_marks_wait(struct berth_threads *set)
{
    assert(!is_under_one(set));
    berth_frames_barrier();
    for (struct berth_mark *mark = __atomic_load_n(&set->marks, __ATOMIC_ACQUIRE); mark;
         mark = mark->next)
        if (is_set(mark))
            wait_for(mark);
}
