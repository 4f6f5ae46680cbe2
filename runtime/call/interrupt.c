/* SPDX-License-Identifier: MIT */
#include "runtime/call/interrupt.h"

void berth_interrupt_begin(struct berth_interrupt *interrupt, const berth_ctx *ctx,
                           struct berth_park *park, void (*wake)(struct berth_interrupt *interrupt))
{
    const struct berth_thread *thread = ctx ? berth_thread_of(ctx) : NULL;
    interrupt->set = thread ? thread->set : NULL;
    interrupt->listed = false;
    interrupt->park = park;
    interrupt->wake = wake;
    if (thread && (thread->cancelled || thread->stopping))
        berth_interrupt_lasts(interrupt);
}

void berth_interrupt_lasts(struct berth_interrupt *interrupt)
{
    if (!interrupt->set || interrupt->listed)
        return;
    interrupt->listed = true;
    pthread_mutex_lock(&interrupt->set->waits_lock);
    berth_list_append(&interrupt->set->waits, &interrupt->link);
    pthread_mutex_unlock(&interrupt->set->waits_lock);
}

void berth_interrupt_end(struct berth_interrupt *interrupt)
{
    if (!interrupt->listed)
        return;
    pthread_mutex_lock(&interrupt->set->waits_lock);
    berth_list_remove(&interrupt->link);
    pthread_mutex_unlock(&interrupt->set->waits_lock);
}

bool berth_interrupt_all(struct berth_threads *set)
{
    pthread_mutex_lock(&set->waits_lock);
    berth_list_each(&set->waits, link) {
        struct berth_interrupt *interrupt = berth_container(link, struct berth_interrupt, link);
        if (interrupt->park)
            berth_park_wake(interrupt->park);
        else
            interrupt->wake(interrupt);
    }
    bool any = !berth_list_empty(&set->waits);
    pthread_mutex_unlock(&set->waits_lock);
    return any;
}

void berth_threads_tell(struct berth_threads *set, struct berth_telling *telling, bool tells)
{
    pthread_mutex_lock(&set->lock);
    struct berth_telling **place = &set->telling;
    while (*place && *place != telling)
        place = &(*place)->next;
    if (*place) /* who looks at whether there are any does so without the lock */
        __atomic_store_n(place, telling->next, __ATOMIC_RELEASE);
    if (tells) {
        telling->next = set->telling;
        __atomic_store_n(&set->telling, telling, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&set->lock);
}

const char *berth_call_over(const berth_ctx *ctx)
{
    if (berth_thread_cancelled(berth_thread_of(ctx)))
        return "the call that waits for it was cancelled";
    return berth_frames_told(ctx);
}

const char *berth_interrupted(const berth_ctx *ctx)
{
    const bool *stopping = berth_thread_of(ctx)->stopping;
    const char *over = berth_call_over(ctx);
    if (!over && stopping && __atomic_load_n(stopping, __ATOMIC_RELAXED))
        over = "the module that waits for it stops";
    return over;
}
