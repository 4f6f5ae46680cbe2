/* SPDX-License-Identifier: MIT */
/* The socket of a host of ours: the module control, which comes with Berth. */
#ifndef RUNTIME_SHELL_CONTROL_H
#define RUNTIME_SHELL_CONTROL_H

#include <berth/host.h>

/* Has the host listen at this path, and logs it. The path's directory is made. */
int berth_control_load(berth_host *host, const char *path, struct berth_error *error);

#endif
