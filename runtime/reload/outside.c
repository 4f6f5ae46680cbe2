/* SPDX-License-Identifier: MIT */
#include "runtime/reload/outside.h"

#include "runtime/core/call.h"
#include "runtime/core/generation.h"
#include "runtime/core/kept.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"

#include <time.h>

/* Of the built-in module; NULL: there is none, in a worker. */
static struct berth_generation *door_of(struct berth_host *host)
{
    pthread_mutex_lock(&host->lock);
    const struct berth_module *module = berth_module_find(host, "host");
    struct berth_generation *door = module ? module->current : NULL;
    pthread_mutex_unlock(&host->lock);
    return door;
}

static bool is_inside(struct berth_generation *door)
{
    return __atomic_load_n(&door->inside, __ATOMIC_ACQUIRE) > 0 ||
           berth_frames_count(&door->host->threads, berth_generation_holds, door, NULL) > 0;
}

static bool wait_until(struct berth_generation *door, int64_t deadline)
{
    struct berth_host *host = door->host;
    long pause = 20000;
    while (is_inside(door)) {
        if (berth_now() >= deadline)
            return false;
        if (!berth_schedule_help(host)) /* without threads nobody else may do it */
            nanosleep(&(struct timespec){ 0, pause }, NULL);
        pause = pause < 1000000 ? pause * 2 : pause;
    }
    return true;
}

void berth_outside_finish(struct berth_host *host, int64_t grace, int64_t last)
{
    struct berth_generation *door = door_of(host);
    __atomic_store_n(&host->ends, true, __ATOMIC_RELEASE);
    if (!door || wait_until(door, grace))
        return;
    berth_generation_tell(door, BERTH_ENDING_HOST);
    berth_kept_cancel(door, "the host ends");
    wait_until(door, last);
    berth_generation_tell(door, BERTH_ENDING_NOT);
}

/*
 * Below its frame are only that of who has entered, and, on a module's own thread, what runs there:
 * no function of a module, nor a turn.
 */
bool berth_outside_refused(const berth_ctx *ctx)
{
    const struct berth_thread *thread = berth_thread_of(ctx);
    ptrdiff_t below = ctx - berth_frames_base(ctx);
    return __atomic_load_n(&berth_host_of(ctx)->ends, __ATOMIC_ACQUIRE) &&
           below <= (thread->stopping ? 2 : 1);
}
