/* SPDX-License-Identifier: MIT */
#include "runtime/loop/restart.h"

#include "runtime/base/error.h"

static int refuse(const char *what, const char *takes, struct berth_error *error)
{
    return berth_error_set(error, BERTH_INVALID_ARGUMENT, "the restart policy's %s must be %s",
                           what, takes);
}

int berth_restart_policy_read(const struct berth_restart_policy *given,
                              struct berth_restart_policy *ret_policy, struct berth_error *error)
{
    struct berth_restart_policy policy = { .size = sizeof policy };
    if (given && given->size != sizeof policy)
        return refuse("size", "sizeof(struct berth_restart_policy)", error);
    if (given)
        policy = *given;
    if (policy.limit < BERTH_RESTART_NEVER || policy.limit > BERTH_RESTART_LIMIT_MAX)
        return refuse("limit", "1 to 32, or BERTH_RESTART_NEVER", error);
    if (policy.window_ns < 0 || policy.first_ns < 0 || policy.last_ns < 0)
        return refuse("times", "positive", error);
    policy.limit = policy.limit ? policy.limit : BERTH_RESTART_LIMIT;
    policy.window_ns = policy.window_ns ? policy.window_ns : BERTH_RESTART_WINDOW_NS;
    policy.first_ns = policy.first_ns ? policy.first_ns : BERTH_RESTART_FIRST_NS;
    policy.last_ns = policy.last_ns ? policy.last_ns : BERTH_RESTART_LAST_NS;
    if (policy.first_ns > policy.last_ns)
        return refuse("last delay", "no shorter than the first one", error);
    *ret_policy = policy;
    return BERTH_OK;
}

void berth_restart_init(struct berth_restart *restart, const struct berth_restart_policy *policy)
{
    *restart = (struct berth_restart){ .policy = *policy };
}

static int64_t *nth_last(struct berth_restart *restart, uint64_t n)
{
    return &restart->times[(restart->count - n) % (uint64_t)restart->policy.limit];
}

bool berth_restart_next(struct berth_restart *restart, int64_t now, int64_t *ret_delay)
{
    const struct berth_restart_policy *policy = &restart->policy;
    if (policy->limit == BERTH_RESTART_NEVER)
        return false;
    uint64_t limit = (uint64_t)policy->limit;
    if (restart->count >= limit && now - *nth_last(restart, limit) < policy->window_ns)
        return false;
    if (restart->count && now - *nth_last(restart, 1) >= policy->window_ns)
        restart->delay = 0;

    int64_t delay = restart->delay;
    if (delay == 0)
        restart->delay = policy->first_ns;
    else if (delay <= policy->last_ns / 2)
        restart->delay = 2 * delay;
    else
        restart->delay = policy->last_ns;

    *nth_last(restart, 0) = now + delay;
    restart->count++;
    *ret_delay = delay;
    return true;
}
