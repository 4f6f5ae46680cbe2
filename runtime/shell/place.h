/* SPDX-License-Identifier: MIT */
/* Where things are: the socket of a host, and what is built or installed with this program. */
#ifndef RUNTIME_SHELL_PLACE_H
#define RUNTIME_SHELL_PLACE_H

#include <berth/error.h>
#include <limits.h>
#include <stdbool.h>

#define BERTH_PLACE_NAME "berth" /* a host that has no name of its own */

/* How a command line, and the environment, say which host it is. NULL: not said. */
struct berth_place {
    const char *socket; /* --socket */
    const char *name;   /* --name, --host */
    bool name_first;    /* it was given on the command line: it is stronger than $BERTH_SOCKET */
};

/*
 * The path of its socket: --socket, $BERTH_SOCKET, or NAME.sock in $XDG_RUNTIME_DIR/berth or, for
 * root, /run/berth. Fails when none of them is there, saying what to set; and for a bad name.
 */
int berth_place_socket(const struct berth_place *place, char path[PATH_MAX],
                       struct berth_error *error);
/* Makes the directory that the socket is to be in, for this user only, unless it is there. */
int berth_place_prepare(const char *path, struct berth_error *error);

/* What was built with this program, when it runs in its build tree: beside = "/berth-worker". */
bool berth_place_built(const char *beside, char path[PATH_MAX]);
/* The file of a module that comes with Berth: the built one, else the installed one. */
void berth_place_module(const char *name, char path[PATH_MAX]);

/* The file's path for a host, which has a directory of its own: absolute. */
int berth_place_absolute(const char *file, char path[PATH_MAX], struct berth_error *error);

#endif
