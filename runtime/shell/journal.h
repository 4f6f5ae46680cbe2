/* SPDX-License-Identifier: MIT */
/*
 * The systemd journal, by the protocol of its socket: a datagram for each line. No line waits for
 * the journal.
 */
#ifndef RUNTIME_SHELL_JOURNAL_H
#define RUNTIME_SHELL_JOURNAL_H

#include <berth/host.h>
#include <stdbool.h>

#include "runtime/base/buffer.h"

/* The journal's socket: $BERTH_JOURNAL, or journald's own. Static, or of the environment. */
const char *berth_journal_path(void);
/* A socket for lines; -1 with errno set: the journal is not there. */
int berth_journal_open(const char *path);

/* One field. What is in value does not matter: newlines, and NUL, too. */
void berth_journal_field(struct berth_buffer *buffer, const char *name, const void *value,
                         size_t size);
/* The fields of a line; identifier: who logs, SYSLOG_IDENTIFIER. */
void berth_journal_encode(const struct berth_log_line *line, const char *identifier,
                          struct berth_buffer *buffer);
/* False with errno set: the journal has not got it. Every time it is looked for anew. */
bool berth_journal_send(int fd, const char *path, const void *data, size_t size);

#endif
