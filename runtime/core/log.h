/* SPDX-License-Identifier: MIT */
/* Lines for the application's log callback. generation: whose line it is; NULL: the host's. */
#ifndef RUNTIME_CORE_LOG_H
#define RUNTIME_CORE_LOG_H

#include "runtime/core/core.h"

void berth_host_log(struct berth_host *host, const struct berth_generation *generation, int level,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
void berth_host_log_va(struct berth_host *host, const struct berth_generation *generation,
                       int level, const char *format, va_list arguments)
    __attribute__((format(printf, 4, 0)));

#endif
