/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP 65536 /* a buffer that has grown beyond is not kept when it is empty */

bool text_reserve(struct text *text, size_t more)
{
    size_t capacity = text->capacity ? text->capacity : 256;
    if (more <= text->capacity - text->size)
        return true;
    while (capacity - text->size < more && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    char *data = capacity - text->size >= more ? (char *)realloc(text->data, capacity) : NULL;
    if (!data)
        return false;
    text->data = data;
    text->capacity = capacity;
    return true;
}

void text_put(struct text *text, const char *data, size_t size)
{
    if (!text_reserve(text, size)) {
        text->failed = true;
        return;
    }
    if (size) /* data may be NULL then */
        memcpy(text->data + text->size, data, size);
    text->size += size;
}

void text_puts(struct text *text, const char *string)
{
    text_put(text, string, strlen(string));
}

void text_put_number(struct text *text, uint64_t number)
{
    char digits[24];
    text_put(text, digits,
             (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number));
}

void text_put_string(struct text *text, const char *string)
{
    text_put(text, "\"", 1);
    for (const char *at = string; *at;) {
        const char *from = at;
        while ((unsigned char)*at >= 0x20 && *at != '"' && *at != '\\')
            at++;
        text_put(text, from, (size_t)(at - from));
        if (*at) {
            char escape[8];
            int size = *at == '"' || *at == '\\'
                           ? snprintf(escape, sizeof(escape), "\\%c", *at)
                           : snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*at);
            text_put(text, escape, (size_t)size);
            at++;
        }
    }
    text_put(text, "\"", 1);
}

void text_put_json(struct text *text, const char *json)
{
    size_t size = strlen(json), from = text->size;
    text_put(text, json, size);
    if (text->failed || !memchr(json, '\n', size))
        return;
    for (size_t i = from; i < text->size; i++) /* in JSON they stand between tokens only */
        if (text->data[i] == '\n')
            text->data[i] = ' ';
}

void text_clear(struct text *text)
{
    if (text->capacity > KEEP)
        text_free(text);
    text->size = 0;
    text->failed = false;
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){ 0 };
}
