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
 * After one of these signals, and when all is said: ends the program by it, so that who has started
 * it knows, as a shell, which ends its loop, too. Else returns the status.
 */
int berth_watch_die(int status);
/*
 * Gives each message to print, for as long as that returns true. A code that is not BERTH_OK is a
 * failure of the client's.
 */
int berth_watch_follow(struct berth_remote *remote,
                       bool (*print)(void *user, struct berth_piece message), void *user,
                       struct berth_error *error);
/*
 * What the command ends with: status, that of printing, if code is BERTH_OK. After a failure of the
 * client's 0, silently, if it was a signal; killed by SIGPIPE, as any program, when there is no
 * reader; else the failure is told.
 */
int berth_watch_end(struct berth_remote *remote, int status, int code,
                    const struct berth_error *error);

/*
 * Subscribes to count topics, or to one in a queue group (else NULL). Messages go to
 * remote->client.message as soon as they come.
 */
int berth_watch_subscribe(struct berth_remote *remote, const char *const *topics, size_t count,
                          const char *group, struct berth_error *error);

#endif
