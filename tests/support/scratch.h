/* SPDX-License-Identifier: MIT */
/*
 * Strings, files and paths that last as long as one test: everything here is freed and removed when
 * the test that asked for it ends. Any thread. What cannot be done aborts the program: a test has
 * no better answer to a full disk.
 */
#ifndef BERTH_TESTS_SUPPORT_SCRATCH_H
#define BERTH_TESTS_SUPPORT_SCRATCH_H

#include <stddef.h>

/* SIZE zeroed bytes. */
void *berth_test_alloc(size_t size);
__attribute__((format(printf, 1, 2))) char *berth_test_format(const char *format, ...);

/* This test's own empty directory, made when first asked for. Short enough for sockets inside. */
const char *berth_test_dir(void);

/* Absolute paths: of a file in the source tree, in the build tree, and of a fixture module. */
const char *berth_test_source(const char *path);
const char *berth_test_built(const char *path);
const char *berth_test_fixture(const char *name);

void berth_test_write(const char *path, const void *data, size_t size);
/* The file's content, with a NUL after it; RET_SIZE may be NULL. */
char *berth_test_read(const char *path, size_t *ret_size);
/* A copy of a file in this test's directory, for a test that changes it. Returns its path. */
const char *berth_test_copy(const char *path, const char *name);

/* How many descriptors this process has open. */
size_t berth_test_descriptors(void);

/* For the suite: ends the life of all of it. */
void berth_scratch_clear(void);

#endif
