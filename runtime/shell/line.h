/* SPDX-License-Identifier: MIT */
/* One line of a log in its forms, without control characters that a terminal would obey. */
#ifndef RUNTIME_SHELL_LINE_H
#define RUNTIME_SHELL_LINE_H

#include <berth/host.h>

#include "runtime/base/buffer.h"

/* module@version#generation, taken apart; "host" for the host itself, without the others. */
struct berth_line_origin {
    char module[128];
    const char *version, *generation; /* in module; "" */
};
void berth_line_origin_init(struct berth_line_origin *origin, const struct berth_log_line *line);

/* "2026-01-31T12:00:00.123Z LEVEL MODULE TEXT" and a newline. */
void berth_line_text(const struct berth_log_line *line, struct berth_buffer *buffer);
/*
 * {"time":"2026-01-31T12:00:00.123Z","level":"info","module":"greet","version":"1.0.0",
 * "generation":1,"chain":["greet.hello"],"text":"…"} and a newline; version and generation are
 * those of a module, chain is there if there is one.
 */
void berth_line_json(const struct berth_log_line *line, struct berth_buffer *buffer);

#endif
