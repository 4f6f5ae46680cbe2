/* SPDX-License-Identifier: MIT */
/* The log of a host, for people and for programs that read lines. */
#ifndef RUNTIME_SHELL_LOG_H
#define RUNTIME_SHELL_LOG_H

#include <berth/host.h>

/*
 * Prints "2026-01-31T12:00:00.123Z LEVEL MODULE TEXT" on standard error; lines of several threads
 * do not mix. The module of the host's own lines is "host". user is not looked at.
 */
void berth_log_print(void *user, const struct berth_log_line *line);

/* Lines of the shell's own among them. */
void berth_log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void berth_log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void berth_log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The name of each enum berth_log_level; ends with NULL. */
extern const char *const berth_log_levels[];

#endif
