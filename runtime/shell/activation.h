/* SPDX-License-Identifier: MIT */
/* A socket that a service manager has opened for this program: sd_listen_fds(3), one of them. */
#ifndef RUNTIME_SHELL_ACTIVATION_H
#define RUNTIME_SHELL_ACTIVATION_H

/*
 * The first listening stream socket of AF_UNIX that was passed to this process, now the caller's,
 * close-on-exec; -1: there is none. The others are closed, and the environment says nothing of them
 * any more: workers, and programs that modules start, do not get them. So only the first call finds
 * anything; it comes before any thread and before the host, which opens descriptors of its own.
 */
int berth_activation_fd(void);

#endif
