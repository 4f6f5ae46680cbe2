/* SPDX-License-Identifier: MIT */
/*
 * Memory for what lasts as long as a module, apart from the C library's heap. There the dynamic
 * loader has its list of objects, one block for each, and walks all of it several times whenever it
 * opens one. With what modules hold between those blocks the walks miss the caches, and of a
 * thousand modules each took a third longer to load.
 *
 * A chunk goes with the last block in it, but for one, which stays: reading one manifest after the
 * other should not map and unmap it each time.
 *
 * Any thread. Under AddressSanitizer it is the heap, which knows the bounds of each block.
 */
#ifndef RUNTIME_BASE_POOL_H
#define RUNTIME_BASE_POOL_H

#include <stddef.h>

void *berth_pool_alloc(size_t size); /* zeroed; NULL without memory */
void berth_pool_free(void *memory);  /* NULL: nothing */

#endif
