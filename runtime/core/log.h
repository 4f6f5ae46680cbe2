/* SPDX-License-Identifier: MIT */
/*
 * Lines for the application's log callback and for those who subscribe to host.log, and how
 * detailed they may be. A line that is too detailed costs two loads: nothing of it is formatted.
 * generation: whose line it is; NULL: the host's.
 *
 * What is done by whom a line is being delivered to is an echo: its calls, its messages, and what
 * handlers of those do, in whichever process. Of lines that are echoes only the callback hears, or
 * each would make the next one.
 */
#ifndef RUNTIME_CORE_LOG_H
#define RUNTIME_CORE_LOG_H

#include "runtime/core/core.h"

#define BERTH_LOG_TOPIC "host.log" /* of the built-in module */

/* topic_lock and the locks after it are not held. */
void berth_host_log(struct berth_host *host, const struct berth_generation *generation, int level,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* One that the module itself has logged, with ctx. No lock but admin is held. */
void berth_module_log_va(berth_ctx *ctx, const struct berth_generation *generation, int level,
                         const char *format, va_list arguments)
    __attribute__((format(printf, 4, 0)));
/* One that its worker has sent. */
void berth_worker_log(const struct berth_generation *generation, int level, const char *chain,
                      const char *text, bool echo);

/* Takes the failure of ctx, which is clear then, and logs it: "WHAT failed: internal: …". */
void berth_log_fault(berth_ctx *ctx, const struct berth_generation *generation, const char *what);

/* Whether what the calling thread does is an echo. */
bool berth_log_is_echo(struct berth_host *host);

/* The most detailed level that is passed on. module NULL: of the host's own lines. No lock. */
int berth_log_level_of(const struct berth_host *host, const struct berth_module *module);
/* The same, as a worker is told: one that exists, although the host may want nothing at all. */
int berth_log_level_of_worker(const struct berth_generation *generation);
/*
 * level as berth_host_set_log_level; module NULL: of all that have none. Workers are not told yet.
 */
void berth_log_set_level(struct berth_host *host, struct berth_module *module, int level);
/*
 * Tells the generation's worker, if there is one, which level is in force. False: it cannot be told
 * now. host->lock held, which orders what workers are told.
 */
bool berth_log_tell(struct berth_generation *generation);

/* "error" to "debug"; "?" for what is none. Static. */
const char *berth_log_level_name(int level);
/* -1: no level has this name. */
int berth_log_level_find(const char *name);

#endif
