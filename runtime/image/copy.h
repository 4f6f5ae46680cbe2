/* SPDX-License-Identifier: MIT */
/*
 * A copy of a file's bytes in a sealed memory file, which nobody can change: what was read of it is
 * what is mapped from it. It is counted. Different copies are independent.
 */
#ifndef RUNTIME_IMAGE_COPY_H
#define RUNTIME_IMAGE_COPY_H

#include <berth/call.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct berth_copy {
    unsigned refs; /* atomic */
    int fd;
    size_t size;
    uint64_t content; /* the same: these bytes have been compared */
    bool mapped; /* in this process: the loader takes a second image of one file for the first */
};

/*
 * Makes, seals and compares one. label: its name, for those who look at the process. like: one
 * whose bytes these are; or NULL.
 */
int berth_copy_new(const char *label, const void *bytes, size_t size, const struct berth_copy *like,
                   struct berth_copy **ret_copy, struct berth_error *error);
/* Of a memory file that must be sealed. The descriptor is taken, also on failure. */
int berth_copy_adopt(int fd, struct berth_copy **ret_copy, struct berth_error *error);
struct berth_copy *berth_copy_ref(struct berth_copy *copy);
void berth_copy_unref(struct berth_copy *copy); /* NULL: nothing */

/* Looks whether these are its bytes. */
bool berth_copy_holds(const struct berth_copy *copy, const void *bytes, size_t size);

#endif
