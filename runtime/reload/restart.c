/* SPDX-License-Identifier: MIT */
/*
 * A worker died: its module comes back by the restart policy, with an empty state and a mailbox
 * that was kept.
 */
#include "runtime/core/call.h"
#include "runtime/core/event.h"
#include "runtime/core/generation.h"
#include "runtime/core/handle.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"
#include "runtime/reload/lifecycle.h"

#include <stdio.h>
#include <string.h>

static void restart_job(void *argument);

/* Takes no memory: it may be for want of that that the worker has ended. host->lock held. */
static void queue_job(struct berth_module *module)
{
    if (module->restart_queued)
        return;
    module->restart_queued = true;
    module->restart_job = (struct berth_job){ .run = restart_job, .argument = module };
    berth_schedule_own_lent(module->host, &module->restart_job);
}

static void timer_due(struct berth_timer *timer)
{
    struct berth_module *module = timer->owner;
    pthread_mutex_lock(&module->host->lock);
    queue_job(module);
    pthread_mutex_unlock(&module->host->lock);
}

/*
 * Only a reload brings it back. Messages wait for that; who waits for an answer is told instead,
 * without the lock, by berth_mailbox_end_calls. host->lock held.
 */
static void give_up(struct berth_module *module)
{
    module->state = BERTH_MODULE_FAILED;
    module->swapping = false;
    berth_mailbox_fail_calls(module);
}

/* host->lock held. What becomes of a module whose worker is not there. */
static void plan(struct berth_module *module, const char *how)
{
    struct berth_host *host = module->host;
    int64_t delay;
    if (!berth_restart_next(&module->restart, berth_now(), &delay)) {
        give_up(module);
        snprintf(module->why, sizeof module->why,
                 "its worker %s%s: reload it, or unload and load it", how,
                 module->restart.policy.limit == BERTH_RESTART_NEVER
                     ? ", and is never to be restarted"
                     : ", too often");
    } else {
        module->state = BERTH_MODULE_WAITING;
        snprintf(module->why, sizeof module->why, "its worker %s; it is being restarted", how);
        /* callers may wait for a restart that is at once, if there is a thread to do it */
        module->swapping = delay == 0 && host->pool_size > 0;
        module->swap_chain = 0;
        if (!module->restart_timer.fire) /* else it may be running, from before a reload */
            module->restart_timer = (struct berth_timer){ .fire = timer_due, .owner = module };
        module->restart_pending = true;
        if (delay == 0 || berth_timer_add(host->loop, &module->restart_timer, berth_now() + delay,
                                          NULL) != BERTH_OK) /* no memory: sooner, then */
            queue_job(module);
    }
    pthread_cond_broadcast(&host->changed);
}

/* It has served, or was to. host->lock held. */
static void note_death(struct berth_module *module, const char *how, struct berth_death *death)
{
    berth_module_shut(module);
    plan(module, how);
    death->seen = true;
    death->failed = module->state == BERTH_MODULE_FAILED;
    snprintf(death->how, sizeof death->how, "%s", how);
    snprintf(death->why, sizeof death->why, "%s", module->why);
}

void berth_module_see_death(struct berth_module *module, struct berth_death *ret_death)
{
    *ret_death = (struct berth_death){ 0 };
    if (module->current->dead)
        note_death(module, module->current->why, ret_death);
}

void berth_module_tell_death(const struct berth_generation *generation,
                             const struct berth_death *death)
{
    if (!death->seen)
        return;
    berth_host_log(generation->host, generation, BERTH_LOG_ERROR, "its worker %s", death->how);
    berth_event_of(generation, BERTH_EVENT_DIED, death->how);
    if (!death->failed)
        return;
    berth_event_of(generation, BERTH_EVENT_FAILED, death->why);
    berth_mailbox_end_calls(generation->module);
}

void berth_module_resume(struct berth_module *module)
{
    pthread_mutex_lock(&module->host->lock);
    if (module->state == BERTH_MODULE_RUNNING)
        berth_mailbox_resume(module);
    pthread_mutex_unlock(&module->host->lock);
}

void berth_module_died(struct berth_generation *generation, const char *how)
{
    struct berth_module *module = generation->module;
    struct berth_host *host = generation->host;
    struct berth_death death = { 0 };
    pthread_mutex_lock(&host->lock);
    generation->dead = true;
    if (!generation->quarantined)
        snprintf(generation->why, sizeof generation->why, "%s", how);
    if (module->current == generation) /* else it says nothing about the module */
        snprintf(module->why, sizeof module->why, "its worker %s", how);
    if (module->current == generation && !generation->stopping &&
        module->state == BERTH_MODULE_RUNNING) {
        berth_mailbox_pause(module);
        note_death(module, how, &death);
    }
    /* its restart has failed because of that, a moment ago */
    bool late = !death.seen && module->current == generation && !generation->stopping &&
                !generation->restarts;
    pthread_mutex_unlock(&host->lock);
    if (late)
        berth_event_of(generation, BERTH_EVENT_DIED, how);
    if (!death.seen)
        return;
    berth_handles_end(generation);
    berth_module_tell_death(generation, &death);
}

/* A new worker in the place of the dead one. */
static int replace_worker(struct berth_generation *generation, struct berth_error *error)
{
    struct berth_host *host = generation->host;
    struct berth_carrier *dead = generation->carrier;
    /* its callers have been answered, and leave; who comes now sees that it is shut */
    berth_frames_barrier();
    if (!berth_generation_quiet(generation, berth_now() + host->options.stop_timeout_ns))
        return berth_error_set(error, BERTH_DEADLINE_EXCEEDED, "was not left by its callers");
    if (dead && !dead->ops->stop(dead))
        return berth_error_set(error, BERTH_DEADLINE_EXCEEDED, "made a call that is still running");
    pthread_mutex_lock(&host->lock); /* nobody looks at it, as berth_host_list does */
    __atomic_store_n(&generation->carrier, NULL, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&host->lock);
    if (dead)
        dead->ops->fini(dead);
    pthread_mutex_lock(&host->lock);
    generation->dead = false;
    generation->restarts = true;
    pthread_mutex_unlock(&host->lock);
    return berth_generation_carry(generation, error);
}

static void succeed(struct berth_generation *generation)
{
    struct berth_module *module = generation->module;
    struct berth_host *host = module->host;
    struct berth_death death;
    pthread_mutex_lock(&host->lock);
    module->state = BERTH_MODULE_RUNNING;
    module->why[0] = '\0';
    berth_module_open(module, generation);
    module->swapping = false;
    pthread_cond_broadcast(&host->changed);
    berth_module_see_death(module, &death);
    generation->restarts = false;
    pthread_mutex_unlock(&host->lock);
    berth_host_log(host, generation, BERTH_LOG_INFO, "its worker has been restarted");
    berth_event_of(generation, BERTH_EVENT_RESTARTED, "");
    berth_module_tell_death(generation, &death);
    berth_generation_serve(generation);
    berth_module_resume(module);
}

static void fail(struct berth_generation *generation, const struct berth_error *error)
{
    struct berth_module *module = generation->module;
    struct berth_host *host = module->host;
    char how[200];
    snprintf(how, sizeof how, "could not be restarted (%.160s)", error->text);
    char died[sizeof generation->why] = "";
    pthread_mutex_lock(&host->lock);
    plan(module, how);
    bool failed = module->state == BERTH_MODULE_FAILED;
    if (generation->dead && generation->restarts)
        snprintf(died, sizeof died, "%s", generation->why);
    generation->restarts = false;
    pthread_mutex_unlock(&host->lock);
    berth_host_log(host, generation, BERTH_LOG_ERROR, "its worker %s", error->text);
    if (*died)
        berth_event_of(generation, BERTH_EVENT_DIED, died);
    if (!failed)
        return;
    berth_event_of(generation, BERTH_EVENT_FAILED, error->text);
    berth_mailbox_end_calls(module);
}

/* NULL: there is nothing to be restarted any more. */
static struct berth_generation *restart_begin(const berth_ctx *admin, struct berth_module *module)
{
    pthread_mutex_lock(&module->host->lock);
    struct berth_generation *generation = module->current;
    bool wanted = generation && module->restart_pending && module->state == BERTH_MODULE_WAITING;
    module->restart_pending = module->restart_due = false;
    if (wanted)
        module->swap_chain = berth_block(admin)->chain;
    pthread_mutex_unlock(&module->host->lock);
    return wanted ? generation : NULL;
}

static void restart(berth_ctx *admin, struct berth_module *module)
{
    struct berth_error error;
    struct berth_generation *generation = restart_begin(admin, module);
    if (!generation)
        return;
    int code = replace_worker(generation, &error);
    if (code == BERTH_OK)
        code = berth_hook_invoke(admin, generation, BERTH_HOOK_START, NULL, NULL, &error);
    if (code == BERTH_OK)
        succeed(generation);
    else
        fail(generation, &error);
}

#define LATER_NS INT64_C(1000000000)
#define SOON_NS  INT64_C(10000000)

/*
 * There was no memory to begin, or this thread is in the middle of a load: callers do not wait.
 * That load may be of this module, and keep them waiting itself, until it replaces it or gives up.
 */
static void try_later(struct berth_module *module, int64_t delay, const struct berth_error *error)
{
    struct berth_host *host = module->host;
    pthread_mutex_lock(&host->lock);
    if (module->state == BERTH_MODULE_WAITING && module->restart_pending) {
        module->swapping = module->swapping && module->swap_chain;
        pthread_cond_broadcast(&host->changed);
        if (berth_timer_add(host->loop, &module->restart_timer, berth_now() + delay, NULL) !=
            BERTH_OK) {
            give_up(module);
            snprintf(module->why, sizeof module->why,
                     "its worker could not be restarted (%.160s): reload it, or unload and load it",
                     error->text);
        }
    }
    bool failed = module->state == BERTH_MODULE_FAILED;
    pthread_mutex_unlock(&host->lock);
    if (failed)
        berth_mailbox_end_calls(module);
}

static void restart_job(void *argument)
{
    struct berth_module *module = argument;
    struct berth_host *host = module->host;
    struct berth_error error;
    pthread_mutex_lock(&host->lock);
    module->restart_queued = false;
    module->restart_due = module->restart_pending;
    pthread_mutex_unlock(&host->lock);
    berth_ctx *admin = berth_admin_enter_until(host, "a restart", BERTH_FOREVER, &error);
    if (!admin && !__atomic_load_n(&host->ending, __ATOMIC_ACQUIRE))
        try_later(module, LATER_NS, &error);
    if (!admin)
        return;
    /* without threads a call that hears of the death does this while it is inside itself */
    if (module->current && berth_generation_inside(admin, module->current))
        try_later(module, SOON_NS,
                  &(struct berth_error){ .text = "no memory to do it when its caller has left" });
    else
        restart(admin, module);
    berth_admin_leave(host, admin);
}

/* One whose job waits for admin, and which no reload under way is to replace, or unload to end. */
static struct berth_module *find_due(struct berth_host *host)
{
    struct berth_module *found = NULL;
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->order, link) {
        struct berth_module *module = berth_container(link, struct berth_module, link);
        if (module->restart_due && module->current && !module->next && !module->current->ending)
            found = module;
    }
    pthread_mutex_unlock(&host->lock);
    return found;
}

void berth_restarts_run(berth_ctx *admin, struct berth_host *host)
{
    struct berth_module *module;
    while ((module = find_due(host)))
        restart(admin, module);
}
