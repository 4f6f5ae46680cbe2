/* SPDX-License-Identifier: MIT */
#include "runtime/loop/restart.h"

void berth_restart_init(struct berth_restart *restart)
{
    *restart = (struct berth_restart){ 0 };
}

static int64_t *nth_last(struct berth_restart *restart, uint64_t n)
{
    return &restart->times[(restart->count - n) % BERTH_RESTART_LIMIT];
}

bool berth_restart_next(struct berth_restart *restart, int64_t now, int64_t *ret_delay)
{
    if (restart->count >= BERTH_RESTART_LIMIT &&
        now - *nth_last(restart, BERTH_RESTART_LIMIT) < BERTH_RESTART_WINDOW_NS)
        return false;
    if (restart->count && now - *nth_last(restart, 1) >= BERTH_RESTART_WINDOW_NS)
        restart->delay = 0;

    int64_t delay = restart->delay;
    if (delay == 0)
        restart->delay = BERTH_RESTART_FIRST_NS;
    else if (delay <= BERTH_RESTART_LAST_NS / 2)
        restart->delay = 2 * delay;
    else
        restart->delay = BERTH_RESTART_LAST_NS;

    *nth_last(restart, 0) = now + delay;
    restart->count++;
    *ret_delay = delay;
    return true;
}
