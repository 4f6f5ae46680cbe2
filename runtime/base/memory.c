/* SPDX-License-Identifier: MIT */
#include "runtime/base/memory.h"

#include "runtime/base/error.h"

#include <berth/host.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is chosen stays: a block must go back to where it has come from. */
static const struct berth_allocator c_library;
static struct berth_allocator given;
static const struct berth_allocator *chosen; /* atomic; NULL: nobody has asked for memory yet */

static bool choose(const struct berth_allocator *allocator)
{
    const struct berth_allocator *nothing = NULL;
    return __atomic_compare_exchange_n(&chosen, &nothing, allocator, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* The application's allocator, or NULL. */
static inline const struct berth_allocator *application(void)
{
    const struct berth_allocator *allocator = __atomic_load_n(&chosen, __ATOMIC_ACQUIRE);
    if (BERTH_I_UNLIKELY(!allocator)) {
        choose(&c_library);
        allocator = __atomic_load_n(&chosen, __ATOMIC_ACQUIRE);
    }
    return allocator == &c_library ? NULL : allocator;
}

int berth_set_allocator(const struct berth_allocator *allocator, struct berth_error *error)
{
    static bool begun;

    if (allocator->size != sizeof(*allocator))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "berth_allocator.size is %zu: set it to sizeof(struct "
                               "berth_allocator)",
                               allocator->size);
    if (!allocator->allocate || !allocator->reallocate || !allocator->release)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "an allocator needs allocate, reallocate and release");
    if (__atomic_load_n(&chosen, __ATOMIC_ACQUIRE) == &c_library)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "libberth has memory of the C library already: set the allocator "
                               "before the first host is made, and before any manifest is read");
    if (__atomic_exchange_n(&begun, true, __ATOMIC_ACQ_REL))
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "the allocator is set already, and stays for the whole process");
    given = *allocator;
    if (!choose(&given))
        return berth_error_set(
            error, BERTH_FAILED_PRECONDITION,
            "another thread has begun to use libberth: set the allocator before");
    return BERTH_OK;
}

void *berth_malloc(size_t size)
{
    const struct berth_allocator *own = application();
    return own ? own->allocate(own->user, size ? size : 1) : malloc(size);
}

void *berth_calloc(size_t count, size_t size)
{
    size_t bytes;

    if (!application())
        return calloc(count, size);
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = berth_malloc(bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *berth_realloc(void *memory, size_t size)
{
    const struct berth_allocator *own = application();
    if (!own)
        return realloc(memory, size);
    return memory ? own->reallocate(own->user, memory, size ? size : 1) : berth_malloc(size);
}

void *berth_reallocarray(void *memory, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return berth_realloc(memory, bytes);
}

void berth_free(void *memory)
{
    if (!memory)
        return;
    const struct berth_allocator *own = application();
    if (own)
        own->release(own->user, memory);
    else
        free(memory);
}

char *berth_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = berth_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

char *berth_text_format(const char *format, ...)
{
    va_list arguments, again;

    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = length < 0 ? NULL : berth_malloc((size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text;
}

/* An application's block is larger than asked for: its address stands in front of what is used. */
void *berth_aligned_alloc(size_t alignment, size_t size)
{
    size_t more = sizeof(void *) + alignment - 1, room;

    if (!application())
        return aligned_alloc(alignment, size);
    if (__builtin_add_overflow(size, more, &room)) {
        errno = ENOMEM;
        return NULL;
    }
    char *block = berth_malloc(room);
    if (!block)
        return NULL;
    char *memory = block + sizeof(void *);
    memory += -(uintptr_t)memory & (alignment - 1);
    ((void **)(void *)memory)[-1] = block;
    return memory;
}

void berth_aligned_free(void *memory)
{
    if (memory)
        berth_free(application() ? ((void **)memory)[-1] : memory);
}
