/* SPDX-License-Identifier: MIT */
/* Times and sizes as people write them, on a command line and in a configuration. */
#ifndef RUNTIME_SHELL_QUANTITY_H
#define RUNTIME_SHELL_QUANTITY_H

#include <stddef.h>
#include <stdint.h>

#define BERTH_QUANTITY_MAX 32 /* longest text that is printed, with its NUL */

/* "200ms", "5s", "1m", "2h": nanoseconds. "4096", "16KiB", "16MiB", "1GiB": bytes. Else -1. */
int64_t berth_duration_parse(const char *text);
int64_t berth_size_parse(const char *text);

/* The same in its largest unit that leaves a whole number. Return text. */
const char *berth_duration_print(int64_t ns, char text[BERTH_QUANTITY_MAX]);
const char *berth_size_print(int64_t bytes, char text[BERTH_QUANTITY_MAX]);

#endif
