/* SPDX-License-Identifier: MIT */
#include "runtime/shell/watchdog.h"

#include <limits.h>
#include <time.h>

#include "runtime/shell/log.h"

enum { SECOND = 1000000000, MILLISECOND = 1000000 };

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

void berth_watchdog_init(struct berth_watchdog *watchdog, const struct berth_notify *notify,
                         berth_host *host)
{
    *watchdog = (struct berth_watchdog){ notify, host, now_ns(), false };
}

int64_t berth_watchdog_left(const struct berth_watchdog *watchdog)
{
    int64_t left = watchdog->due - now_ns();

    if (watchdog->notify->watchdog < 0)
        return -1;
    return left > 0 ? left : 0;
}

void berth_watchdog_turn(struct berth_watchdog *watchdog)
{
    int64_t patience = watchdog->notify->watchdog / 2 / MILLISECOND;
    struct berth_error error;

    if (berth_watchdog_left(watchdog) != 0)
        return;
    watchdog->due = now_ns() + watchdog->notify->watchdog;
    if (berth_host_check(watchdog->host, patience < INT_MAX ? (int)patience : INT_MAX, &error) ==
        BERTH_OK) {
        berth_notify_alive(watchdog->notify);
        watchdog->told = false;
    } else if (!watchdog->told) {
        berth_log_warning("%s; the service manager gets no sign of life", error.text);
        watchdog->told = true;
    }
}
