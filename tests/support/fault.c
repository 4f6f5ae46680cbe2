/* SPDX-License-Identifier: MIT */
#include "tests/support/fault.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static __thread struct {
    unsigned long seen, nth; /* nth: 0, nothing is armed */
    bool all, hit;
} fault;
static long live; /* atomic */

void berth_fault_arm(unsigned long nth, bool all)
{
    fault.seen = 0;
    fault.hit = false;
    fault.all = all;
    fault.nth = nth;
}

bool berth_fault_disarm(void)
{
    fault.nth = 0;
    return fault.hit;
}

unsigned long berth_fault_seen(void)
{
    return fault.seen;
}

long berth_fault_live(void)
{
    return __atomic_load_n(&live, __ATOMIC_RELAXED);
}

__attribute__((unused)) static bool fails(void)
{
    if (!fault.nth)
        return false;
    fault.seen++;
    if (fault.seen != fault.nth && !(fault.all && fault.seen > fault.nth))
        return false;
    fault.hit = true;
    errno = ENOMEM;
    return true;
}

bool berth_fault_works(void)
{
    void *(*volatile allocate)(size_t) = malloc; /* else the compiler knows that nothing changes */
    berth_fault_arm(1, false);
    void *block = allocate(1);
    bool works = berth_fault_disarm() && !block;
    free(block);
    return works;
}

/*
 * Clang links its sanitizers into the program, where two mallocs do not fit. GCC's are libraries,
 * which export theirs under a second name; but ThreadSanitizer's cannot be called as early as the
 * program's are. Without a sanitizer, the C library's have a second name, too.
 */
#ifdef __clang__
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NO_MALLOC_OF_ITS_OWN
#endif
#elif defined __SANITIZE_THREAD__
#define NO_MALLOC_OF_ITS_OWN
#elif defined __SANITIZE_ADDRESS__
#define NEXT(name) __interceptor_##name
#endif
#ifndef NEXT
#define NEXT(name) __libc_##name
#endif

#ifndef NO_MALLOC_OF_ITS_OWN
#pragma GCC visibility push(default) /* libraries must find them */

void *NEXT(malloc)(size_t size);
void *NEXT(calloc)(size_t count, size_t size);
void *NEXT(realloc)(void *block, size_t size);
void *NEXT(memalign)(size_t alignment, size_t size);
void NEXT(free)(void *block);

static void *counted(void *block)
{
    if (block)
        __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
    return block;
}

void *malloc(size_t size)
{
    return fails() ? NULL : counted(NEXT(malloc)(size));
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(NEXT(calloc)(count, size));
}

void *realloc(void *block, size_t size)
{
    if (!block)
        return malloc(size);
    if (size && fails())
        return NULL;
    void *moved = NEXT(realloc)(block, size);
    if (!moved && !size)
        __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
    return moved;
}

void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(NEXT(memalign)(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
    int saved = errno;
    void *block = memalign(alignment, size);
    errno = saved;
    if (!block)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

void free(void *block)
{
    if (block)
        __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
    NEXT(free)(block);
}

#pragma GCC visibility pop
#endif
