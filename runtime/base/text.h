/* SPDX-License-Identifier: MIT */
/* Small questions about text from outside. */
#ifndef RUNTIME_BASE_TEXT_H
#define RUNTIME_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether size bytes are well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). NUL is allowed. */
bool berth_utf8_valid(const void *data, size_t size, size_t *ret_bad); /* ret_bad may be NULL: where it breaks */
/* The longest length <= size that does not cut a character. */
size_t berth_utf8_cut(const char *text, size_t size);
/* Which of count names is most like a mistyped one, or NULL when none is near (edit distance at most a third). */
const char *berth_text_nearest(const char *text, const char *const *names, size_t count);

#endif
