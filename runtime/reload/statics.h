/* SPDX-License-Identifier: MIT */
/* The static data of all that is mapped, looked through for addresses of one image. */
#ifndef RUNTIME_RELOAD_STATICS_H
#define RUNTIME_RELOAD_STATICS_H

#include "runtime/image/image.h"

/* Of one object so much at most, not counting what it has never touched. */
#define BERTH_STATICS_MAX ((size_t)16 << 20)

struct berth_statics_find {
    int blind; /* an errno value: they cannot be read, so nobody knows; the rest is not set */
    uintptr_t address; /* in the image */
    char owner[64];    /* whose data have it, in words */
};

/*
 * Whether something has one, or may have, but for the image itself, the loader and the C library.
 * Any thread.
 */
bool berth_statics_find(const struct berth_image *image, struct berth_statics_find *ret_find);

#endif
