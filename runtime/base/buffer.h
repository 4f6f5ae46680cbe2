/* SPDX-License-Identifier: MIT */
/*
 * Bytes that grow. A failure (no memory, or the limit) is remembered, and what comes after it is
 * ignored, so that a writer checks once, at its end.
 */
#ifndef RUNTIME_BASE_BUFFER_H
#define RUNTIME_BASE_BUFFER_H

#include <berth/error.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct berth_buffer {
    char *data; /* NUL-ended after every call when not NULL; the NUL is not counted */
    size_t size, capacity;
    size_t limit; /* 0: none; growing beyond it fails */
    bool failed;
    bool full; /* it failed because of the limit */
};

void berth_buffer_init(struct berth_buffer *buffer, size_t limit);
void berth_buffer_deinit(struct berth_buffer *buffer);
void berth_buffer_reset(struct berth_buffer *buffer); /* empty again, memory kept, failed cleared */
/* Room for more bytes after data[size], and a NUL. Who writes there adds to size himself. */
bool berth_buffer_reserve(struct berth_buffer *buffer, size_t more);
void berth_buffer_append(struct berth_buffer *buffer, const void *data, size_t size);
void berth_buffer_text(struct berth_buffer *buffer, const char *text);
/* Numbers with a fraction would follow the locale: none of them here. */
void berth_buffer_format(struct berth_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* BERTH_OK, or resource_exhausted with the reason when something failed. */
int berth_buffer_check(const struct berth_buffer *buffer, struct berth_error *error);
/*
 * The data, NUL-ended, now the caller's to berth_free(); NULL when failed. The buffer is empty
 * then. ret_size may be NULL.
 */
char *berth_buffer_take(struct berth_buffer *buffer, size_t *ret_size);

#endif
