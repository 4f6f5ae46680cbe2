/* SPDX-License-Identifier: MIT */
/* Reading whole files, and where they are. */
#ifndef RUNTIME_SHELL_FILE_H
#define RUNTIME_SHELL_FILE_H

#include <stddef.h>

#include "runtime/base/arena.h"

/*
 * All that fd gives, at most limit bytes, in memory of malloc; NULL with errno set, EFBIG when
 * there is more.
 */
char *berth_file_read_all(int fd, size_t limit, size_t *ret_size);
/* The same of a file. */
char *berth_file_read(const char *file, size_t limit, size_t *ret_size);

/*
 * path as it is meant by who wrote it into a file of this name: relative to that file's directory.
 * In the arena; NULL without memory.
 */
char *berth_file_beside(const char *file, const char *path, struct berth_arena *arena);

#endif
