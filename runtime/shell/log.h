/* SPDX-License-Identifier: MIT */
/*
 * The log of this program's host, for people and for programs that read lines: to standard error,
 * until berth_log_open has named another target. There is one, as there is one standard error.
 */
#ifndef RUNTIME_SHELL_LOG_H
#define RUNTIME_SHELL_LOG_H

#include <berth/host.h>

enum berth_log_format { BERTH_LOG_FORMAT_TEXT, BERTH_LOG_FORMAT_JSON };

struct berth_log_setup {
    const char *target;     /* "stderr", "journal", or a file; NULL: stderr. Borrowed until close */
    int format;             /* enum berth_log_format; the journal has its own */
    const char *identifier; /* in the journal. Borrowed until close */
};
/*
 * From now on lines go there. Fails when the file cannot be opened; without a journal they go to
 * standard error, with a warning.
 */
int berth_log_open(const struct berth_log_setup *setup, struct berth_error *error);
/* The file of that name may be another one now. */
void berth_log_reopen(void);
/* Back to standard error. */
void berth_log_close(void);

/*
 * For berth_host_options: writes a line, with one write if it can be; lines of several threads do
 * not mix. The module of the host's own lines is "host". user is not looked at.
 */
void berth_log_print(void *user, const struct berth_log_line *line);

/* Lines of the shell's own among them. */
void berth_log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void berth_log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void berth_log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The names of each enum berth_log_level and berth_log_format; each ends with NULL. */
extern const char *const berth_log_levels[], *const berth_log_formats[];

#endif
