/* SPDX-License-Identifier: MIT */
/*
 * How long a call may take. A function has a timeout of its own, or that of its module: no call
 * that passes through the host takes longer, whatever deadline its caller has. The host's own is
 * for calls of chains that have no deadline at all, and of functions without a timeout.
 *
 * A bound call does not pass through the host, so the call sites of a function with a timeout ask
 * (berth_edge_set); all others pay nothing.
 */
#ifndef RUNTIME_CORE_TIMEOUT_H
#define RUNTIME_CORE_TIMEOUT_H

#include "runtime/core/core.h"

#define BERTH_TIMEOUT_MAX (INT64_MAX / 4) /* added to now it stays a time */

/* The cell's; 0: none. */
static inline int64_t berth_cell_timeout(const struct berth_cell *cell)
{
    int64_t own = __atomic_load_n(&cell->timeout, __ATOMIC_RELAXED);
    return own ? own : __atomic_load_n(&cell->module->call_timeout, __ATOMIC_RELAXED);
}
static inline int64_t berth_host_timeout(const struct berth_host *host)
{
    return __atomic_load_n(&host->options.call_timeout_ns, __ATOMIC_RELAXED);
}

/* Of a call that begins now, by who has this deadline. cell: NULL, of no function. */
int64_t berth_call_deadline(int64_t deadline, const struct berth_host *host,
                            const struct berth_cell *cell);
/* The thread's, or else what the host's timeout makes of now. */
static inline int64_t berth_deadline(const berth_ctx *ctx, const struct berth_host *host)
{
    return berth_call_deadline(berth_thread_of(ctx)->deadline, host, NULL);
}

/* As berth_host_set_call_timeout. Takes the lock. */
int berth_timeout_set(struct berth_host *host, const char *of, int64_t ns,
                      struct berth_error *error);
/* Whether a timeout may be set of it. */
int berth_timeout_name_check(const char *of, struct berth_error *error);
/* What holds of it now, be it its module's or the host's. Takes the lock. */
int64_t berth_timeout_get(struct berth_host *host, const char *of);
/* The members of a module's that tell its timeouts, each after a comma; host->lock held. */
void berth_timeouts_print(const struct berth_module *module, struct berth_buffer *buffer);

#endif
