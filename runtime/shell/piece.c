/* SPDX-License-Identifier: MIT */
#include "runtime/shell/piece.h"

#include <berth/error.h>
#include <string.h>

/* ---- reading ---- */

static int pass_value(struct berth_scan *scan, int depth);

static int pass_list(struct berth_scan *scan, bool object, int depth)
{
    struct berth_token key;
    bool first = true, more;

    if (depth == BERTH_PIECE_DEPTH_MAX)
        return berth_scan_error(scan, scan->next, "nested more than %d levels deep",
                                BERTH_PIECE_DEPTH_MAX);
    scan->next++;
    for (;;) {
        int code = object ? berth_scan_member(scan, &first, &more, &key)
                          : berth_scan_element(scan, &first, &more);
        if (code != BERTH_OK || !more)
            return code;
        code = pass_value(scan, depth + 1);
        if (code != BERTH_OK)
            return code;
    }
}

static int pass_value(struct berth_scan *scan, int depth)
{
    struct berth_token token;
    char c = berth_scan_peek(scan);

    if (c == '{' || c == '[')
        return pass_list(scan, c == '{', depth);
    if (c == '"')
        return berth_scan_string(scan, &token);
    if (c == '-' || (c >= '0' && c <= '9'))
        return berth_scan_number(scan, &token);
    return berth_scan_word(scan, &token);
}

int berth_piece_read(const char *text, size_t size, const char *what, struct berth_piece *ret_piece,
                     struct berth_error *error)
{
    struct berth_scan scan = {
        .text = text, .end = text + size, .next = text, .what = what, .error = error
    };

    berth_scan_peek(&scan);
    const char *begin = scan.next;
    int code = pass_value(&scan, 0);
    const char *end = scan.next;
    if (code == BERTH_OK)
        code = berth_scan_end(&scan);
    if (code == BERTH_OK)
        *ret_piece = (struct berth_piece){ begin, (size_t)(end - begin) };
    return code;
}

/* ---- taking apart ---- */

char berth_piece_kind(struct berth_piece piece)
{
    char c = piece.size ? *piece.text : '\0';
    return c == '-' || (c >= '0' && c <= '9') ? '0' : c;
}

struct berth_piece_walk berth_piece_begin(struct berth_piece list)
{
    char kind = berth_piece_kind(list);
    bool any = kind == '{' || kind == '[';

    return (struct berth_piece_walk){
        .scan = { .text = list.text,
                  .next = any ? list.text + 1 : NULL,
                  .end = any ? list.text + list.size : NULL },
        .object = kind == '{',
        .first = true,
    };
}

bool berth_piece_next(struct berth_piece_walk *walk, struct berth_piece *ret_key,
                      struct berth_piece *ret_value)
{
    struct berth_scan *scan = &walk->scan;
    struct berth_token key = { 0 };
    bool more = false;

    if (scan->next == scan->end)
        return false;
    int code = walk->object ? berth_scan_member(scan, &walk->first, &more, &key)
                            : berth_scan_element(scan, &walk->first, &more);
    const char *begin = scan->next;
    if (code != BERTH_OK || !more || pass_value(scan, 0) != BERTH_OK) {
        scan->next = scan->end;
        return false;
    }
    if (ret_key)
        *ret_key = key.text ? (struct berth_piece){ key.text - 1, key.length + 2 }
                            : (struct berth_piece){ 0 };
    *ret_value = (struct berth_piece){ begin, (size_t)(scan->next - begin) };
    return true;
}

struct berth_piece berth_piece_get(struct berth_piece object, const char *name)
{
    struct berth_piece_walk walk = berth_piece_begin(object);
    struct berth_piece key, value;
    size_t length = strlen(name);

    while (walk.object && berth_piece_next(&walk, &key, &value))
        if (key.size == length + 2 && !memcmp(key.text + 1, name, length))
            return value;
    return (struct berth_piece){ 0 };
}

size_t berth_piece_count(struct berth_piece list)
{
    struct berth_piece_walk walk = berth_piece_begin(list);
    struct berth_piece value;
    size_t count = 0;

    while (berth_piece_next(&walk, NULL, &value))
        count++;
    return count;
}

/* ---- values ---- */

/* Four digits, which have been checked. */
static unsigned hexadecimal(const char *c)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = (unsigned char)c[i];
        value = value * 16 + (digit <= '9' ? digit - 0x30 : (digit | 0x20) - 0x61 + 10);
    }
    return value;
}

static void append_utf8(struct berth_buffer *buffer, unsigned c)
{
    char bytes[4];
    size_t count = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned heads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

    for (size_t i = count - 1; i > 0; i--, c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(heads[count] | c);
    berth_buffer_append(buffer, bytes, count);
}

/* After the backslash. Returns how many characters the escape has. */
static size_t append_escape(struct berth_buffer *buffer, const char *at)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *found = strchr(from, *at);

    if (*at != 'u') {
        berth_buffer_append(buffer, found ? &to[found - from] : at, 1);
        return 1;
    }
    unsigned unit = hexadecimal(at + 1);
    if (unit < 0xd800 || unit > 0xdfff) {
        append_utf8(buffer, unit);
        return 5;
    }
    append_utf8(buffer, 0x10000 + ((unit - 0xd800) << 10) + (hexadecimal(at + 7) - 0xdc00));
    return 11;
}

bool berth_piece_characters(struct berth_piece string, struct berth_buffer *buffer)
{
    if (berth_piece_kind(string) != '"')
        return false;

    const char *at = string.text + 1, *end = string.text + string.size - 1;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        const char *stop = escape ? escape : end;
        berth_buffer_append(buffer, at, (size_t)(stop - at));
        at = stop;
        if (escape)
            at += 1 + append_escape(buffer, escape + 1);
    }
    return true;
}

const char *berth_piece_text(struct berth_piece piece, struct berth_arena *arena)
{
    struct berth_buffer buffer;
    char *text = NULL;

    berth_buffer_init(&buffer, 0);
    if (!berth_piece_characters(piece, &buffer))
        berth_buffer_append(&buffer, piece.text, piece.size);
    if (!buffer.failed && buffer.size)
        text = berth_arena_copy(arena, buffer.data, buffer.size + 1);
    for (char *c = text; c && c < text + buffer.size; c++)
        if (!*c)
            *c = '?';
    berth_buffer_deinit(&buffer);
    return text ? text : "";
}

const char *berth_piece_text_of(struct berth_piece object, const char *name,
                                struct berth_arena *arena)
{
    return berth_piece_text(berth_piece_get(object, name), arena);
}

bool berth_piece_integer(struct berth_piece piece, uint64_t *ret_number)
{
    uint64_t number = 0;

    for (size_t i = 0; i < piece.size; i++) {
        unsigned digit = (unsigned char)piece.text[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return false;
    }
    if (piece.size)
        *ret_number = number;
    return piece.size > 0;
}

uint64_t berth_piece_integer_of(struct berth_piece object, const char *name)
{
    uint64_t number = 0;

    berth_piece_integer(berth_piece_get(object, name), &number);
    return number;
}

/* ---- writing ---- */

void berth_piece_line(struct berth_piece piece, struct berth_buffer *buffer)
{
    const char *at = piece.text, *end = piece.size ? at + piece.size : at;

    for (const char *from = at; at < end; from = at) {
        unsigned char c = 0, next = 0;
        for (; at < end; at++) {
            c = (unsigned char)*at;
            next = at + 1 < end ? (unsigned char)at[1] : 0;
            if (c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0))
                break;
        }
        berth_buffer_append(buffer, from, (size_t)(at - from));
        if (at == end)
            return;
        if (c < 0x20) /* between tokens, where any blank will do */
            berth_buffer_text(buffer, " ");
        else
            berth_buffer_format(buffer, "\\u%04x", c == 0x7f ? c : next);
        at += c == 0xc2 ? 2 : 1;
    }
}

void berth_piece_quote(const char *text, size_t size, struct berth_buffer *buffer)
{
    const char *from = text, *end = size ? text + size : text;

    berth_buffer_text(buffer, "\"");
    for (const char *at = text; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        berth_buffer_append(buffer, from, (size_t)(at - from));
        from = at + 1;
        if (c < 0x20)
            berth_buffer_format(buffer, "\\u%04x", c);
        else
            berth_buffer_format(buffer, "\\%c", c);
    }
    berth_buffer_append(buffer, from, (size_t)(end - from));
    berth_buffer_text(buffer, "\"");
}
