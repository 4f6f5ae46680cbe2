/* SPDX-License-Identifier: MIT */
#include "runtime/value/scan.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

int berth_scan_error(const struct berth_scan *scan, const char *at, const char *format, ...)
{
    char message[256];
    size_t line = 1, column = 1;
    va_list arguments;

    if (scan->ret_at) {
        *scan->ret_at = at;
        va_start(arguments, format);
        berth_error_set_va(scan->error, BERTH_INVALID_ARGUMENT, format, arguments);
        va_end(arguments);
        return BERTH_INVALID_ARGUMENT;
    }
    for (const char *c = scan->text; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xc0) != 0x80) { /* columns are characters */
            column++;
        }
    }
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return berth_error_set(scan->error, BERTH_INVALID_ARGUMENT, "%s%sline %zu, column %zu: %s",
                           scan->what ? scan->what : "", scan->what ? ": " : "", line, column,
                           message);
}

/* At a slash where comments may stand. */
static int bad_comment(const struct berth_scan *scan)
{
    if (scan->end - scan->next > 1 && scan->next[1] == '*')
        return berth_scan_error(scan, scan->next, "the comment does not end: close it with */");
    return berth_scan_error(scan, scan->next, "a comment begins with // or /*");
}

/* "expected WHAT, not x" */
static int unexpected(const struct berth_scan *scan, const char *what)
{
    if (scan->next == scan->end)
        return berth_scan_error(scan, scan->next, "expected %s, not the end of the text", what);
    if ((unsigned char)*scan->next < 0x20)
        return berth_scan_error(scan, scan->next, "expected %s, not the byte 0x%02x", what,
                                (unsigned char)*scan->next);
    if (scan->comments && *scan->next == '/')
        return bad_comment(scan);
    size_t left = (size_t)(scan->end - scan->next), length = 1;
    while (length < left && length < 4 && ((unsigned char)scan->next[length] & 0xc0) == 0x80)
        length++;
    if (!berth_utf8_valid(scan->next, length, NULL))
        return berth_scan_error(scan, scan->next, "not UTF-8");
    return berth_scan_error(scan, scan->next, "expected %s, not %.*s", what, (int)length,
                            scan->next);
}

/* ---- tokens ---- */

/*
 * At a slash: goes behind the comment that begins there. False: there is none, it does not end, or
 * it is not UTF-8; then next is where the error will be told.
 */
static bool skip_comment(struct berth_scan *scan)
{
    const char *start = scan->next, *end;
    size_t left = (size_t)(scan->end - start), bad;

#ifndef BERTH_FUZZ_PLANT /* tests/fuzz/plant.sh leaves it out */
    if (left < 2)
        return false;
#endif
    if (start[1] == '/') {
        end = memchr(start, '\n', left);
        end = end ? end : scan->end;
    } else {
        end = start[1] == '*' ? memmem(start + 2, left - 2, "*/", 2) : NULL;
        if (!end)
            return false;
        end += 2;
    }
    if (!berth_utf8_valid(start, (size_t)(end - start), &bad)) {
        scan->next = start + bad;
        return false;
    }
    scan->next = end;
    return true;
}

char berth_scan_peek(struct berth_scan *scan)
{
    do {
        while (scan->next < scan->end && (*scan->next == ' ' || *scan->next == '\n' ||
                                          *scan->next == '\t' || *scan->next == '\r'))
            scan->next++;
    } while (scan->comments && scan->next < scan->end && *scan->next == '/' && skip_comment(scan));
    return scan->next < scan->end ? *scan->next : '\0';
}

int berth_scan_end(struct berth_scan *scan)
{
    berth_scan_peek(scan);
    return scan->next == scan->end ? BERTH_OK : unexpected(scan, "the end of the text");
}

/* Four hexadecimal digits, or -1. */
static int hexadecimal(const char *c, const char *end)
{
    int value = 0;

    if (end - c < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = c[i] >= '0' && c[i] <= '9'   ? c[i] - '0'
                    : c[i] >= 'a' && c[i] <= 'f' ? c[i] - 'a' + 10
                    : c[i] >= 'A' && c[i] <= 'F' ? c[i] - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* At \uXXXX: passes it, with the second one of a pair. */
static int scan_unicode(struct berth_scan *scan, struct berth_token *token)
{
    const char *escape = scan->next;
    int unit = hexadecimal(escape + 2, scan->end);

    if (unit < 0)
        return berth_scan_error(scan, escape, "\\u takes four hexadecimal digits");
    scan->next += 6;
    token->nul |= unit == 0;
    if (unit < 0xd800 || unit > 0xdfff)
        return BERTH_OK;
    int low = unit <= 0xdbff && scan->end - scan->next >= 6 && memcmp(scan->next, "\\u", 2) == 0
                  ? hexadecimal(scan->next + 2, scan->end)
                  : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return berth_scan_error(scan, escape, "half of a surrogate pair");
    scan->next += 6;
    return BERTH_OK;
}

static int scan_escape(struct berth_scan *scan, struct berth_token *token)
{
    token->escaped = true;
    if (scan->end - scan->next < 2)
        return berth_scan_error(scan, scan->next, "the string does not end");
    if (scan->next[1] == 'u')
        return scan_unicode(scan, token);
    if (!scan->next[1] || !strchr("\"\\/bfnrt", scan->next[1]))
        return berth_scan_error(scan, scan->next, "unknown escape \\%c", scan->next[1]);
    scan->next += 2;
    return BERTH_OK;
}

int berth_scan_string(struct berth_scan *scan, struct berth_token *ret_token)
{
    const char *open = scan->next++;
    struct berth_token token = { .text = scan->next };
    size_t bad;

    for (;;) {
        while (scan->next < scan->end && *scan->next != '"' && *scan->next != '\\' &&
               (unsigned char)*scan->next >= 0x20)
            scan->next++;
        if (scan->next == scan->end)
            return berth_scan_error(scan, open, "the string does not end");
        if (*scan->next == '"')
            break;
        if (*scan->next != '\\')
            return berth_scan_error(scan, scan->next,
                                    "a control character in a string; write it as \\u%04x",
                                    (unsigned char)*scan->next);
        int code = scan_escape(scan, &token);
        if (code != BERTH_OK)
            return code;
    }
    token.length = (size_t)(scan->next - token.text);
    if (!berth_utf8_valid(token.text, token.length, &bad))
        return berth_scan_error(scan, token.text + bad, "not UTF-8");
    scan->next++;
    *ret_token = token;
    return BERTH_OK;
}

static bool skip_digits(struct berth_scan *scan)
{
    const char *start = scan->next;
    while (scan->next < scan->end && *scan->next >= '0' && *scan->next <= '9')
        scan->next++;
    return scan->next > start;
}

static bool skip_one(struct berth_scan *scan, char a, char b)
{
    if (scan->next == scan->end || (*scan->next != a && *scan->next != b))
        return false;
    scan->next++;
    return true;
}

int berth_scan_number(struct berth_scan *scan, struct berth_token *ret_token)
{
    const char *start = scan->next;

    skip_one(scan, '-', '-');
    const char *digits = scan->next;
    if (!skip_digits(scan))
        return unexpected(scan, "a digit");
    if (*digits == '0' && scan->next - digits > 1)
        return berth_scan_error(scan, start, "a number does not begin with 0");
    if (skip_one(scan, '.', '.') && !skip_digits(scan))
        return unexpected(scan, "a digit");
    if (skip_one(scan, 'e', 'E')) {
        skip_one(scan, '+', '-');
        if (!skip_digits(scan))
            return unexpected(scan, "a digit");
    }
    *ret_token = (struct berth_token){ .text = start, .length = (size_t)(scan->next - start) };
    return BERTH_OK;
}

int berth_scan_word(struct berth_scan *scan, struct berth_token *ret_token)
{
    static const char *const words[] = { "true", "false", "null" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(scan->end - scan->next) < length || memcmp(scan->next, words[i], length) != 0)
            continue;
        *ret_token = (struct berth_token){ .text = scan->next, .length = length };
        scan->next += length;
        return BERTH_OK;
    }
    return unexpected(scan, "a value");
}

/* ---- lists ---- */

/* Between the elements: the comma, or the bracket that ends the list. */
static int separator(struct berth_scan *scan, char close, bool *first, bool *ret_more)
{
    char c = berth_scan_peek(scan);

    if (c == close) {
        scan->next++;
        *ret_more = false;
        return BERTH_OK;
    }
    if (!*first) {
        if (c != ',')
            return unexpected(scan, close == ']' ? ", or ]" : ", or }");
        const char *comma = scan->next++;
        if (berth_scan_peek(scan) == close && scan->comments)
            return berth_scan_error(scan, comma, "nothing follows this comma: take it away");
    }
    *first = false;
    *ret_more = true;
    return BERTH_OK;
}

int berth_scan_element(struct berth_scan *scan, bool *first, bool *ret_more)
{
    return separator(scan, ']', first, ret_more);
}

int berth_scan_member(struct berth_scan *scan, bool *first, bool *ret_more,
                      struct berth_token *ret_key)
{
    int code = separator(scan, '}', first, ret_more);

    if (code != BERTH_OK || !*ret_more)
        return code;
    if (berth_scan_peek(scan) != '"')
        return unexpected(scan, "a key in quotes");
    code = berth_scan_string(scan, ret_key);
    if (code != BERTH_OK)
        return code;
    if (berth_scan_peek(scan) != ':')
        return unexpected(scan, ":");
    scan->next++;
    berth_scan_peek(scan);
    return BERTH_OK;
}
