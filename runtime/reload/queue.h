/* SPDX-License-Identifier: MIT */
/*
 * What a module asks for from inside of itself, and cannot have there: it waits until the chain of
 * calls has left.
 */
#ifndef RUNTIME_RELOAD_QUEUE_H
#define RUNTIME_RELOAD_QUEUE_H

#include "runtime/core/core.h"

/*
 * Has run(argument) run on a thread of the host, once the chain of ctx has left all generations of
 * the module that are there now; the module's own threads count as having left, as they end with
 * it. drop(argument): instead of it, at the host's end. An error code: neither.
 */
int berth_queue_add(const berth_ctx *ctx, struct berth_module *module, void (*run)(void *argument),
                    void (*drop)(void *argument), void *argument, struct berth_error *error);
/* At the host's end, when no job runs any more. */
void berth_queue_drop(struct berth_host *host);

#endif
