/* SPDX-License-Identifier: MIT */
#include "runtime/call/interrupt.h"

void berth_interrupt_begin(struct berth_interrupt *interrupt, const berth_ctx *ctx,
                           struct berth_park *park, void (*wake)(struct berth_interrupt *interrupt))
{
    const struct berth_thread *thread = ctx ? berth_thread_of(ctx) : NULL;
    bool can = thread && (thread->cancelled || thread->stopping);
    interrupt->set = can ? thread->set : NULL;
    if (!can)
        return;
    interrupt->park = park;
    interrupt->wake = wake;
    pthread_mutex_lock(&interrupt->set->waits_lock);
    berth_list_append(&interrupt->set->waits, &interrupt->link);
    pthread_mutex_unlock(&interrupt->set->waits_lock);
}

void berth_interrupt_end(struct berth_interrupt *interrupt)
{
    if (!interrupt->set)
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

const char *berth_interrupted(const struct berth_thread *thread)
{
    if (berth_thread_cancelled(thread))
        return "the call that waits for it was cancelled";
    if (thread->stopping && __atomic_load_n(thread->stopping, __ATOMIC_RELAXED))
        return "the module that waits for it stops";
    return NULL;
}
