/* SPDX-License-Identifier: MIT */
/* Takes the steps of a difference, all of them or none, and tells the log about each. */
#ifndef RUNTIME_SHELL_APPLY_H
#define RUNTIME_SHELL_APPLY_H

#include <berth/host.h>

#include "runtime/base/buffer.h"
#include "runtime/shell/difference.h"

struct berth_applied {
    size_t started, reloaded, stopped;
    size_t stuck;             /* after a failure: steps that could not be undone */
    struct berth_buffer told; /* what the log was told of steps: JSON strings, joined by commas */
};
void berth_applied_init(struct berth_applied *applied);
void berth_applied_deinit(struct berth_applied *applied);

/*
 * The roster says what runs, before and afterwards. When a step fails those before it are undone,
 * the last one first, and its error is returned; an optional module's load or reload that fails is
 * a warning. The order of the unloads may change: what another one of them requires goes later.
 * Blocks for as long as the modules do.
 */
int berth_apply(berth_host *host, struct berth_roster *roster, struct berth_difference *difference,
                struct berth_applied *applied, struct berth_error *error);

#endif
