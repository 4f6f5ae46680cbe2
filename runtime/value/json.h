/* SPDX-License-Identifier: MIT */
/*
 * JSON in and out of typed values; the only user of cJSON. RFC 8259, and stricter: duplicate keys,
 * \u0000 in a key, invalid UTF-8, a lone surrogate, nesting over BERTH_JSON_DEPTH_MAX and bytes
 * after the text are errors that name the place (line and column, or a path like a[2].b).
 *
 *     integers   exact at any size in both directions: 1e3 and 1.0 are fine, 1.5 is not, and what
 *                does not fit the type is out_of_range
 *     f32, f64   round to nearest and print shortest; what would become infinite (1e400) is
 *                out_of_range. NaN and infinities are the strings "NaN", "Infinity", "-Infinity"
 *     string     \u0000 is refused: a string ends with its first NUL
 *     bytes      base64 (RFC 4648, padded)
 *     optional   null, or its struct's member or the argument left out
 *     struct     an object; unknown keys are refused with the nearest name
 *     handle     its id as an integer
 *     json       any value, kept as its text, without blanks around it
 *
 * Independent of the locale. Memory stays within a small multiple of the text. No function limits
 * the size of a text: its caller does, with BERTH_JSON_SIZE_MAX or what the operator chose.
 */
#ifndef RUNTIME_VALUE_JSON_H
#define RUNTIME_VALUE_JSON_H

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"
#include "runtime/value/scan.h"
#include "runtime/value/type.h"

#define BERTH_JSON_DEPTH_MAX 128
#define BERTH_JSON_SIZE_MAX  ((size_t)16 << 20) /* the default limit of a text */

/* Whether it is one JSON text as above; else invalid_argument. */
int berth_json_check(const char *text, size_t size, struct berth_error *error);

/* What a string without \u0000 says, its escapes decoded; in the arena. NULL without memory. */
char *berth_json_decode(const struct berth_token *token, struct berth_arena *arena);

/*
 * One value. what names it in errors ("argument a"). What *ret_value points at is in the arena.
 * Fails with invalid_argument, out_of_range, and resource_exhausted when so short a text would
 * become a very large value (over 64 MiB and 16 times its size).
 */
int berth_json_read(const struct berth_type *type, const char *text, size_t size, const char *what,
                    struct berth_arena *arena, void *ret_value, struct berth_error *error);
/*
 * The arguments of a call: an array (by position), an object (by name), or nothing (NULL or blanks)
 * for none. Optional ones may be missing.
 */
int berth_json_read_arguments(const struct berth_signature *signature, const char *text,
                              size_t size, struct berth_arena *arena, const void ***ret_arguments,
                              struct berth_error *error);
/*
 * Only an object (by name), of which anything may be missing: those arguments are NULL. what names
 * the parameters in errors ("option").
 */
int berth_json_read_named(const struct berth_signature *signature, const char *text, size_t size,
                          const char *what, struct berth_arena *arena, const void ***ret_arguments,
                          struct berth_error *error);
/*
 * One parameter each; NULL for one that is not given: optional ones become absent, and others that
 * are missing are invalid_argument, naming them all.
 */
int berth_arguments_complete(const struct berth_signature *signature, const void **arguments,
                             struct berth_arena *arena, struct berth_error *error);

/*
 * Appends. An absent optional is null. The value has been checked (berth_value_check). Fails only
 * for memory or the buffer's limit.
 */
int berth_json_write(const struct berth_type *type, const void *value, struct berth_buffer *buffer,
                     struct berth_error *error);
/* {"a":1,"b":2}: what a handler of any topic gets. */
int berth_json_write_arguments(const struct berth_signature *signature,
                               const void *const *arguments, struct berth_buffer *buffer,
                               struct berth_error *error);
/* "text" with its escapes and quotes. What is not UTF-8 becomes U+FFFD. */
void berth_json_write_string(const char *text, size_t size, struct berth_buffer *buffer);

#endif
