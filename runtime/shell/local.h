/* SPDX-License-Identifier: MIT */
/* A host of the shell's own, with the modules that its command line names. */
#ifndef RUNTIME_SHELL_LOCAL_H
#define RUNTIME_SHELL_LOCAL_H

#include <berth/host.h>
#include <limits.h>

struct berth_local {
    berth_host *host;
    size_t count;
    const char **files;
    struct berth_load_options *options;
    char worker[PATH_MAX];
};

/* Room for as many modules as a command line of argc words can name. */
int berth_local_init(struct berth_local *local, int argc, struct berth_error *error);
/* Ends the host, which stops its modules in order. */
void berth_local_deinit(struct berth_local *local);

/*
 * One FILE[=inline|process], which is cut in place and kept. Only a placement may stand after the
 * last `=`, unless there is a `/` or a `.` in it.
 */
int berth_local_add(struct berth_local *local, char *word, struct berth_error *error);

/* Makes the host and loads all modules. Returns an exit status. The worker's path is set here. */
int berth_local_open(struct berth_local *local, struct berth_host_options options,
                     struct berth_error *error);

#endif
