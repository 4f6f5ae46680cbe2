/* SPDX-License-Identifier: MIT */
/*
 * The files of a host's modules, watched: when a build of one is finished, the module is reloaded.
 * A build that is no module is told once, and the code before goes on.
 */
#ifndef RUNTIME_SHELL_WATCH_FILES_H
#define RUNTIME_SHELL_WATCH_FILES_H

#include <berth/host.h>

struct berth_watch_files;

/* Begins, on a thread of its own, with what is loaded now; what is loaded later is watched, too. */
int berth_watch_files_begin(berth_host *host, struct berth_watch_files **ret_watch,
                            struct berth_error *error);
/* Waits for a reload that is going on. NULL does nothing. */
void berth_watch_files_end(struct berth_watch_files *watch);

#endif
