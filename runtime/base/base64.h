/* SPDX-License-Identifier: MIT */
/* Base64 as in RFC 4648, section 4, padded. */
#ifndef RUNTIME_BASE_BASE64_H
#define RUNTIME_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Characters for size bytes, without a NUL. */
size_t berth_base64_length(size_t size);
/* Writes that many, and no NUL. */
void berth_base64_encode(const void *data, size_t size, char *ret_text);
/*
 * Strict: no blanks, no missing padding, no bits set that mean nothing, so that equal bytes have
 * one text only. ret_data has room for length / 4 * 3 bytes. ret_bad: where the text is wrong.
 */
bool berth_base64_decode(const char *text, size_t length, void *ret_data, size_t *ret_size,
                         size_t *ret_bad);

#endif
