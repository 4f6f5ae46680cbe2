/* SPDX-License-Identifier: MIT */
/* Search paths of ELF files, as the loader reads them: with $ORIGIN, $LIB and $PLATFORM. */
#ifndef RUNTIME_IMAGE_ORIGIN_H
#define RUNTIME_IMAGE_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether a library lies in one of paths ("a:b"), $ORIGIN being where file lies; then path, of size
 * bytes, names it.
 */
bool berth_origin_search(const char *paths, const char *file, const char *library, char *path,
                         size_t size);

#endif
