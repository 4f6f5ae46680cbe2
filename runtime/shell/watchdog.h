/* SPDX-License-Identifier: MIT */
/*
 * Signs of life for a service manager that has asked for them: at half of its time, and only while
 * the host's own threads answer. A host that hangs is then started anew.
 */
#ifndef RUNTIME_SHELL_WATCHDOG_H
#define RUNTIME_SHELL_WATCHDOG_H

#include <berth/host.h>
#include <stdbool.h>

#include "runtime/shell/notify.h"

struct berth_watchdog {
    const struct berth_notify *notify;
    berth_host *host;
    int64_t due; /* of CLOCK_MONOTONIC, in ns */
    bool told;   /* that the host does not answer */
};

/* Both are borrowed. The first sign is due at once. */
void berth_watchdog_init(struct berth_watchdog *watchdog, const struct berth_notify *notify,
                         berth_host *host);
/* Nanoseconds until the next sign is due; -1: none ever is. */
int64_t berth_watchdog_left(const struct berth_watchdog *watchdog);
/* Gives one if it is due; waits for the host for at most a quarter of the manager's time. */
void berth_watchdog_turn(struct berth_watchdog *watchdog);

#endif
