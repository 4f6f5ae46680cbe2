/* SPDX-License-Identifier: MIT */
/* Many different small modules, and what it costs without Berth to have them loaded. */
#ifndef BERTH_TESTS_BENCH_MANY_H
#define BERTH_TESTS_BENCH_MANY_H

#include <stddef.h>

#define MANY_NAME_SIZE 256

/* Texts of the same length. */
struct many_change {
    const char *from, *to;
};
/* Writes a module of this directory to path, changed. */
void many_write(const char *path, const char *module, const struct many_change *changes,
                size_t count);

/* Makes count (at most 10,000) of them, bench_0000 and so on; they go when the program exits. */
void many_make(unsigned count);
/* Where they lie. */
const char *many_directory(void);
void many_path(char path[MANY_NAME_SIZE], unsigned index);

/* The limit: copies the file to a memory file, and opens that. Exits when it cannot. */
void many_load_plain(const char *file);

#endif
