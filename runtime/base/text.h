/* SPDX-License-Identifier: MIT */
/* Small questions about text from outside. */
#ifndef RUNTIME_BASE_TEXT_H
#define RUNTIME_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* strcmp == 0, for looking through tables of names: most differ in the first character. */
static inline bool berth_text_equal(const char *a, const char *b)
{
    return *a == *b && strcmp(a, b) == 0;
}

/* For a sentence that begins with a count: "1 call is", "2 calls are". */
static inline const char *berth_plural(size_t count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

/*
 * Whether size bytes are well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
 * NUL is allowed. ret_bad may be NULL: the offset of the first character that is not.
 */
bool berth_utf8_valid(const void *data, size_t size, size_t *ret_bad);
/* Has every byte that is none be a '?'. */
void berth_utf8_repair(char *text, size_t size);
/* The longest length <= size that does not cut a character. Reads no more than size bytes. */
size_t berth_utf8_cut(const char *text, size_t size);
/*
 * Which of count names is most like a mistyped one (not NULL), or NULL when none is near: an edit
 * distance of at most a third of the longer one. The first wins among equals.
 */
const char *berth_text_nearest(const char *text, const char *const *names, size_t count);

#endif
