/* SPDX-License-Identifier: MIT */
/*
 * Paths that are watched: every directory and link on the way to a file, so that it is noticed
 * however the file comes, goes, or becomes another one. A build renames, or writes in place; links
 * are set anew; directories are removed and made again.
 */
#ifndef RUNTIME_SHELL_WATCHED_H
#define RUNTIME_SHELL_WATCHED_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

struct berth_watched_name { /* a name in a directory that leads to a file */
    int directory;          /* its watch */
    char *name;
};

struct berth_watched {
    int fd; /* inotify's; -1: there is none */
    struct berth_watched_name *names;
    size_t count, room;
};

void berth_watched_init(struct berth_watched *watched);
void berth_watched_deinit(struct berth_watched *watched);
/* An empty one, from now on. */
int berth_watched_reset(struct berth_watched *watched, struct berth_error *error);
/* All that leads to an absolute path, as far as it is there. */
int berth_watched_add(struct berth_watched *watched, const char *path, struct berth_error *error);
/* Takes what has happened, without waiting: whether any of it was on the way to a file. */
bool berth_watched_read(struct berth_watched *watched);

/* Whether somebody still writes to a file; false, too, when that cannot be known. */
bool berth_watched_is_written(const char *path);

#endif
