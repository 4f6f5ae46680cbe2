/* SPDX-License-Identifier: MIT */
/*
 * What a mapped image leaves behind by calls that can be seen only when they are made: threads,
 * destructors of thread-local data, and POSIX timers. The image's own slots for these functions of
 * the C library are redirected here: no other caller of them notices.
 *
 * What constructors have called before is not seen: a thread shows on its stack, a destructor in
 * the loader's own count, a timer nowhere.
 */
#ifndef RUNTIME_IMAGE_TRACES_H
#define RUNTIME_IMAGE_TRACES_H

#include "runtime/image/image.h"

struct berth_traces_left {
    size_t threads, destructors; /* that have not ended, or run, yet */
    size_t timers;               /* that have not been deleted */
};

/* Of an image that has just been mapped. */
int berth_traces_begin(struct berth_image *image, struct berth_error *error);
/* Of one that is unmapped. */
void berth_traces_end(struct berth_image *image);
/* Any thread. */
struct berth_traces_left berth_traces_get(const struct berth_image *image);

#endif
