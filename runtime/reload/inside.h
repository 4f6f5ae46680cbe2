/* SPDX-License-Identifier: MIT */
/* What is still inside of a generation that is to go. Under admin. */
#ifndef RUNTIME_RELOAD_INSIDE_H
#define RUNTIME_RELOAD_INSIDE_H

#include "runtime/core/core.h"

/* Calls, but those on threads of its own. */
size_t berth_inside_count(const struct berth_generation *generation);
/* " (process 7: count.on_jobs has had a message for 6.1 s)", as far as it is in one; or "". */
#define BERTH_INSIDE_MAX 192
const char *berth_inside_where(const struct berth_generation *generation,
                               char buffer[BERTH_INSIDE_MAX]);
/* Whether it is in a worker, that ends all of it with itself. */
bool berth_inside_can_be_killed(const struct berth_generation *generation);
/*
 * It has had its time: its worker, if it has one, is killed, and a warning says so. false:
 * something is inside nevertheless.
 */
bool berth_inside_kill(struct berth_generation *generation);

#endif
