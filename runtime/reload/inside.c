/* SPDX-License-Identifier: MIT */
#include "runtime/reload/inside.h"

#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/registry.h"
#include "runtime/core/started.h"
#include "runtime/reload/lifecycle.h"

#include <stdio.h>

/* From then on until its callers have been answered: it may have much memory to give back. */
#define KILL_NS INT64_C(5000000000)

size_t berth_inside_count(const struct berth_generation *generation)
{
    size_t frames = berth_frames_count(&generation->host->threads, berth_generation_holds,
                                       (void *)(uintptr_t)generation, &generation->stopping);
    size_t framed = __atomic_load_n(&generation->framed, __ATOMIC_ACQUIRE);
    size_t inside = __atomic_load_n(&generation->inside, __ATOMIC_RELAXED);
    return frames + (inside > framed ? inside - framed : 0); /* they change meanwhile */
}

const char *berth_inside_where(const struct berth_generation *generation,
                               char buffer[BERTH_INSIDE_MAX])
{
    struct berth_carrier *carrier = generation->carrier;
    int pid = carrier ? carrier->ops->pid(carrier) : 0;
    int64_t since = 0;
    char lasts[BERTH_TIME_MAX];
    struct berth_started *turn = berth_mailbox_turn_of(generation, &since);
    buffer[0] = '\0';
    if (pid && turn)
        snprintf(buffer, BERTH_INSIDE_MAX, " (process %d: %s has had a message for %s s)", pid,
                 turn->name, berth_time_print(berth_now() - since, BERTH_SECOND, lasts));
    else if (pid)
        snprintf(buffer, BERTH_INSIDE_MAX, " (process %d)", pid);
    berth_started_unref(turn);
    return buffer;
}

bool berth_inside_can_be_killed(const struct berth_generation *generation)
{
    const struct berth_carrier *carrier = generation->carrier;
    return carrier && carrier->ops->kill;
}

bool berth_inside_kill(struct berth_generation *generation)
{
    struct berth_host *host = generation->host;
    char where[BERTH_INSIDE_MAX], timeout[BERTH_TIME_MAX];
    if (!berth_inside_can_be_killed(generation))
        return false;
    size_t inside = berth_inside_count(generation);
    berth_host_log(host, generation, BERTH_LOG_WARNING,
                   "its worker is killed: %zu %s still inside after the stop_timeout of %s s%s",
                   inside, berth_plural(inside, "call was", "calls were"),
                   berth_time_print_exact(host->options.stop_timeout_ns, timeout),
                   berth_inside_where(generation, where));
    generation->owed_stop = false;
    generation->carrier->ops->kill(generation->carrier);
    return berth_generation_quiet(generation, berth_now() + KILL_NS);
}
