/* SPDX-License-Identifier: MIT */
/* /etc/ld.so.cache: where the loader finds libraries by their names. */
#ifndef RUNTIME_IMAGE_LOADER_CACHE_H
#define RUNTIME_IMAGE_LOADER_CACHE_H

#include <stddef.h>

/*
 * The file of a library for this machine, in size bytes of a cache, which may be anything; NULL:
 * none. It points into bytes.
 */
const char *berth_loader_cache_find(const void *bytes, size_t size, const char *library);

#endif
