/* SPDX-License-Identifier: MIT */
/* The part of a crash's record that runs in the handler: no locks, no memory, no stdio. */
#ifndef RUNTIME_SHELL_CRASH_HANDLER_H
#define RUNTIME_SHELL_CRASH_HANDLER_H

#include <signal.h>

/* Before the first one: so that unwinding has loaded what it needs. */
void berth_crash_prepare(void);
/* Replaces what is in fd by the record of a crash with this signal, on this thread. */
void berth_crash_write(int fd, const siginfo_t *info, const void *context);

#endif
