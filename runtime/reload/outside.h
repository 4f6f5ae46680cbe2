/* SPDX-License-Identifier: MIT */
/*
 * At the host's end: what has come from outside, through a function of the built-in module, as by
 * the module control's socket. It is waited for while all modules are still there.
 */
#ifndef RUNTIME_RELOAD_OUTSIDE_H
#define RUNTIME_RELOAD_OUTSIDE_H

#include "runtime/core/core.h"

/*
 * Nothing new is let in from here on. Waits until nothing is inside, or `last`; what is after
 * `grace` is told to stop. No lock is held.
 */
void berth_outside_finish(struct berth_host *host, int64_t grace, int64_t last);
/* Whether ctx, of a function of the built-in module, is called from outside, and too late. */
bool berth_outside_refused(const berth_ctx *ctx);

#endif
