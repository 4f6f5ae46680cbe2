/* SPDX-License-Identifier: MIT */
/* The socket of a host of ours: the module control, which comes with Berth. */
#ifndef RUNTIME_SHELL_CONTROL_H
#define RUNTIME_SHELL_CONTROL_H

#include <berth/host.h>

/*
 * Has the host listen at this path, whose directory is made, or, handed, at the socket that the
 * service manager has given; and logs where.
 */
int berth_control_load(berth_host *host, const char *path, bool handed, struct berth_error *error);

#endif
