/* SPDX-License-Identifier: MIT */
/*
 * The library's one door to memory: the application's allocator (berth_set_allocator of
 * <berth/host.h>), else the C library's. Each does what the C library's function of that name does,
 * but size 0 may be a block, and what one of them gives is for berth_free only.
 *
 * The shell, which has this file too, sets no allocator: to it all of that is one heap.
 */
#ifndef RUNTIME_BASE_MEMORY_H
#define RUNTIME_BASE_MEMORY_H

#include <stddef.h>

void *berth_malloc(size_t size) __attribute__((malloc, alloc_size(1)));
void *berth_calloc(size_t count, size_t size) __attribute__((malloc, alloc_size(1, 2)));
void *berth_realloc(void *memory, size_t size) __attribute__((alloc_size(2)));
void *berth_reallocarray(void *memory, size_t count, size_t size) __attribute__((alloc_size(2, 3)));
void berth_free(void *memory);

char *berth_strdup(const char *text) __attribute__((malloc));
/* NULL without memory. */
char *berth_text_format(const char *format, ...) __attribute__((format(printf, 1, 2), malloc));

/*
 * For what the compiler aligns more strictly than malloc does; alignment: a power of two, not less
 * than a pointer's. For berth_aligned_free only.
 */
void *berth_aligned_alloc(size_t alignment, size_t size) __attribute__((malloc, alloc_size(2)));
void berth_aligned_free(void *memory);

#endif
