/* SPDX-License-Identifier: MIT */
/*
 * Copies of images with names, for tools that look at files: perf, and whoever reads
 * /proc/PID/maps. The sealed copy is what was checked, and what these are made of; the directory
 * is for this user alone. They stay until the end, so that old generations have their names, too.
 */
#ifndef RUNTIME_IMAGE_STAGING_H
#define RUNTIME_IMAGE_STAGING_H

#include "runtime/base/buffer.h"

struct berth_staging {
    char *directory;           /* NULL: there is none */
    struct berth_buffer names; /* of the copies in it, each with its NUL */
};

/* Makes a directory of its own in another one (NULL: none is made), mode 0700. */
int berth_staging_init(struct berth_staging *staging, const char *parent,
                       struct berth_error *error);
/* Removes all of it: what is mapped stays so. */
void berth_staging_deinit(struct berth_staging *staging);

/*
 * Copies size bytes of fd to DIRECTORY/LABEL.so, or a name like it that was never used: ret_path.
 */
int berth_staging_copy(struct berth_staging *staging, const char *label, int fd, size_t size,
                       char *ret_path, size_t room, struct berth_error *error);

#endif
