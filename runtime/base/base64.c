/* SPDX-License-Identifier: MIT */
#include "runtime/base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t berth_base64_length(size_t size)
{
    return size / 3 * 4 + (size % 3 ? 4 : 0);
}

void berth_base64_encode(const void *data, size_t size, char *ret_text)
{
    const unsigned char *bytes = data;

    for (; size >= 3; size -= 3, bytes += 3, ret_text += 4) {
        ret_text[0] = alphabet[bytes[0] >> 2];
        ret_text[1] = alphabet[(bytes[0] & 0x03) << 4 | bytes[1] >> 4];
        ret_text[2] = alphabet[(bytes[1] & 0x0f) << 2 | bytes[2] >> 6];
        ret_text[3] = alphabet[bytes[2] & 0x3f];
    }
    if (size == 0)
        return;
    unsigned second = size > 1 ? bytes[1] : 0;
    ret_text[0] = alphabet[bytes[0] >> 2];
    ret_text[1] = alphabet[(bytes[0] & 0x03U) << 4 | second >> 4];
    ret_text[2] = size > 1 ? alphabet[(second & 0x0f) << 2] : '=';
    ret_text[3] = '=';
}

/* The value of a character, or 64. */
static unsigned value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool berth_base64_decode(const char *text, size_t length, void *ret_data, size_t *ret_size,
                         size_t *ret_bad)
{
    unsigned char *bytes = ret_data;
    size_t padding = 0, count;

    if (length % 4 != 0) {
        *ret_bad = length;
        return false;
    }
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    count = length - padding;
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned value = value_of(text[i]);
        if (value == 64) {
            *ret_bad = i;
            return false;
        }
        bits = bits << 6 | value;
        if (i % 4 > 0)
            *bytes++ = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    /* What is left over of the last character belongs to no byte. */
    uint32_t unused = count % 4 == 2 ? 0x0f : count % 4 == 3 ? 0x03 : 0;
    if (bits & unused) {
        *ret_bad = count - 1;
        return false;
    }
    *ret_size = (size_t)(bytes - (unsigned char *)ret_data);
    return true;
}
