/* SPDX-License-Identifier: MIT */
/* Commands that print what comes, until Ctrl-C. */
#ifndef RUNTIME_SHELL_WATCH_H
#define RUNTIME_SHELL_WATCH_H

#include "runtime/shell/remote.h"

/*
 * From now on the first SIGINT or SIGTERM ends a wait for the host and nothing else, so that what
 * is printed is whole; and so does a reader of standard output that goes away. Once in a program.
 */
void berth_watch_begin(struct berth_remote *remote);
/*
 * What the command ends with after a failure of the client's: 0, silently, after a signal; killed
 * by SIGPIPE, as any program, when there is no reader; else the failure is told.
 */
int berth_watch_end(struct berth_remote *remote, const struct berth_error *error);

/* Subscribes to count topics. Messages go to remote->client.message as soon as they come. */
int berth_watch_subscribe(struct berth_remote *remote, const char *const *topics, size_t count,
                          struct berth_error *error);

#endif
