/* SPDX-License-Identifier: MIT */
#include "runtime/base/buffer.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CAPACITY_MIN ((size_t)64)

void berth_buffer_init(struct berth_buffer *buffer, size_t limit)
{
    *buffer = (struct berth_buffer){ .limit = limit };
}

void berth_buffer_deinit(struct berth_buffer *buffer)
{
    berth_free(buffer->data);
    berth_buffer_init(buffer, buffer->limit);
}

void berth_buffer_reset(struct berth_buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = buffer->full = false;
    if (buffer->data)
        buffer->data[0] = '\0';
}

bool berth_buffer_reserve(struct berth_buffer *buffer, size_t more)
{
    size_t limit = buffer->limit ? buffer->limit : SIZE_MAX / 2;

    if (buffer->failed)
        return false;
    if (more > limit - buffer->size) {
        buffer->failed = buffer->full = true;
        return false;
    }
    size_t needed = buffer->size + more + 1;
    if (needed <= buffer->capacity)
        return true;

    size_t capacity = buffer->capacity + buffer->capacity / 2;
    if (capacity > limit)
        capacity = limit + 1;
    if (capacity < needed)
        capacity = needed;
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    char *data = berth_realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    data[buffer->size] = '\0';
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void berth_buffer_append(struct berth_buffer *buffer, const void *data, size_t size)
{
    if (size == 0 || !berth_buffer_reserve(buffer, size))
        return;
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void berth_buffer_text(struct berth_buffer *buffer, const char *text)
{
    berth_buffer_append(buffer, text, strlen(text));
}

void berth_buffer_format(struct berth_buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    if (!berth_buffer_reserve(buffer, 0))
        return;
    size_t room = buffer->capacity - buffer->size; /* mostly enough */
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(buffer->data + buffer->size, room, format, arguments);
    va_end(arguments);
    if (length < 0)
        buffer->failed = true;
    if (length >= 0 && (size_t)length >= room && berth_buffer_reserve(buffer, (size_t)length))
        vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, again);
    va_end(again);
    if (buffer->failed)
        buffer->data[buffer->size] = '\0';
    else
        buffer->size += (size_t)length;
}

int berth_buffer_check(const struct berth_buffer *buffer, struct berth_error *error)
{
    if (buffer->full)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "larger than the limit of %zu bytes", buffer->limit);
    return buffer->failed ? berth_error_nomem(error) : BERTH_OK;
}

char *berth_buffer_take(struct berth_buffer *buffer, size_t *ret_size)
{
    char *data = NULL;

    if (berth_buffer_reserve(buffer, 0)) {
        data = buffer->data;
        if (ret_size)
            *ret_size = buffer->size;
        buffer->data = NULL;
    }
    berth_buffer_deinit(buffer);
    return data;
}
