/* SPDX-License-Identifier: MIT */
#include "runtime/base/text.h"

#include <stdint.h>
#include <string.h>

/* Longest name that is compared: module.function. */
#define NEAREST_MAX 129

/* Length of the well-formed character at the start of size (> 0) bytes, or 0 (RFC 3629). */
static size_t character_length(const unsigned char *c, size_t size)
{
    if (c[0] < 0x80)
        return 1;
    if (c[0] < 0xc2 || size < 2)
        return 0;
    if (c[0] < 0xe0)
        return (c[1] & 0xc0) == 0x80 ? 2 : 0;
    if (c[0] < 0xf0) {
        unsigned char low = c[0] == 0xe0 ? 0xa0 : 0x80;  /* no overlong forms */
        unsigned char high = c[0] == 0xed ? 0x9f : 0xbf; /* no surrogates */
        return size >= 3 && c[1] >= low && c[1] <= high && (c[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (c[0] < 0xf5) {
        unsigned char low = c[0] == 0xf0 ? 0x90 : 0x80;
        unsigned char high = c[0] == 0xf4 ? 0x8f : 0xbf; /* at most U+10FFFF */
        return size >= 4 && c[1] >= low && c[1] <= high && (c[2] & 0xc0) == 0x80 &&
                       (c[3] & 0xc0) == 0x80
                   ? 4
                   : 0;
    }
    return 0;
}

bool berth_utf8_valid(const void *data, size_t size, size_t *ret_bad)
{
    const unsigned char *text = data;
    size_t at = 0;

    while (at < size) {
        uint64_t word;
        if (size - at >= sizeof(word)) { /* mostly ASCII */
            memcpy(&word, text + at, sizeof(word));
            if (!(word & UINT64_C(0x8080808080808080))) {
                at += sizeof(word);
                continue;
            }
        }
        size_t length = character_length(text + at, size - at);
        if (length == 0) {
            if (ret_bad)
                *ret_bad = at;
            return false;
        }
        at += length;
    }
    return true;
}

void berth_utf8_repair(char *text, size_t size)
{
    for (size_t from = 0, bad; !berth_utf8_valid(text + from, size - from, &bad); from++) {
        from += bad;
        text[from] = '?';
    }
}

size_t berth_utf8_cut(const char *text, size_t size)
{
    /* The last character begins at most four bytes before the end; its head tells its length. */
    for (size_t back = 1; back <= 4 && back <= size; back++) {
        unsigned char c = (unsigned char)text[size - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t length = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        return length > back ? size - back : size;
    }
    return size;
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, changes and swaps of neighbours between a and b; limit + 1 when more. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length,
                            size_t limit)
{
    size_t rows[3][NEAREST_MAX + 1];

    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *twice = rows[(i + 1) % 3];
        size_t best = row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = min(above[j - 1] + (a[i - 1] != b[j - 1]), min(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min(row[j], twice[j - 2] + 1);
            best = min(best, row[j]);
        }
        if (best > limit)
            return limit + 1;
    }
    return rows[a_length % 3][b_length];
}

const char *berth_text_nearest(const char *text, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t nearest_distance = SIZE_MAX;
    size_t length = strnlen(text, NEAREST_MAX + 1);

    if (length > NEAREST_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strnlen(names[i], NEAREST_MAX + 1);
        size_t longer = other > length ? other : length;
        size_t limit = longer / 3;
        if (longer > NEAREST_MAX || longer - min(other, length) > limit)
            continue;
        size_t distance = edit_distance(text, length, names[i], other, limit);
        if (distance <= limit && distance < nearest_distance) {
            nearest = names[i];
            nearest_distance = distance;
        }
    }
    return nearest;
}
