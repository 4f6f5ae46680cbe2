/* SPDX-License-Identifier: MIT */
/*
 * JSON in and out of typed values; the only user of cJSON. RFC 8259, and stricter: duplicate keys, invalid UTF-8, a lone surrogate,
 * nesting over BERTH_JSON_DEPTH_MAX and bytes after the text are errors that name the place (line and column, or a path like a[2].b).
 *
 * Integers are exact at any size in both directions: 1e3 and 1.0 are fine integers, 1.5 is not, and what does not fit its type is
 * out_of_range. Decimals round to nearest, print shortest, and never overflow to infinity silently (1e400 is an error). NaN and infinities are
 * the strings "NaN", "Infinity" and "-Infinity". bytes are base64 (RFC 4648, padded). optional: null or absent. struct: an object,
 * unknown keys refused with the nearest name. handle: its id as an integer. json: any value, kept as its text.
 * Independent of the locale.
 */
#ifndef RUNTIME_VALUE_JSON_H
#define RUNTIME_VALUE_JSON_H

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"
#include "runtime/value/type.h"

#define BERTH_JSON_DEPTH_MAX 128
#define BERTH_JSON_SIZE_MAX ((size_t)16 << 20) /* the default limit of a text */

/* Whether it is one JSON text as above. */
int berth_json_check(const char *text, size_t size, struct berth_error *error);

/* One value. what names it in errors ("argument a"). *ret_value and all that it points at: in the arena. */
int berth_json_read(const struct berth_type *type, const char *text, size_t size, const char *what, struct berth_arena *arena,
                    void *ret_value, struct berth_error *error);
/*
 * The arguments of a call: an array (by position; trailing optionals may be missing), an object (by name), or empty/NULL text for none.
 */
int berth_json_read_arguments(const struct berth_signature *signature, const char *text, size_t size,
                              struct berth_arena *arena, const void ***ret_arguments, struct berth_error *error);
/*
 * Only an object (by name), of which anything may be missing: those arguments are NULL. what names the parameters in errors ("option").
 */
int berth_json_read_named(const struct berth_signature *signature, const char *text, size_t size, const char *what,
                          struct berth_arena *arena, const void ***ret_arguments, struct berth_error *error);
/* One parameter each; NULL for one that is not given. Missing ones that are not optional: invalid_argument, naming them. */
int berth_arguments_complete(const struct berth_signature *signature, const void **arguments, struct berth_arena *arena,
                             struct berth_error *error);

/* Appends. Fails only for memory or the buffer's limit. */
int berth_json_write(const struct berth_type *type, const void *value, struct berth_buffer *buffer, struct berth_error *error);
/* {"a":1,"b":2}: what a handler of any topic gets. */
int berth_json_write_arguments(const struct berth_signature *signature, const void *const *arguments,
                               struct berth_buffer *buffer, struct berth_error *error);
/* "text" with its escapes and quotes. */
void berth_json_write_string(const char *text, size_t size, struct berth_buffer *buffer);

#endif
