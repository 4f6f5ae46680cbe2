/* SPDX-License-Identifier: MIT */
/*
 * What can be done with any value, by its type: check, copy, free, weigh, pack and unpack. One walk
 * over a type serves all that happens in place (value.c); packing and unpacking are one each
 * (pack.c).
 */
#ifndef RUNTIME_VALUE_VALUE_H
#define RUNTIME_VALUE_VALUE_H

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"
#include "runtime/value/type.h"

/*
 * Whether a value from an in-process caller may be passed on: strings not NULL and UTF-8, json one
 * JSON text, data not NULL when there is some. Fails with invalid_argument. Never writes.
 */
int berth_value_check(const struct berth_type *type, const void *value, struct berth_error *error);
/*
 * The same for what a function has returned: a NULL string or json is good, for "" or null. Fails
 * with internal, and says that it is the result.
 */
int berth_result_check(const struct berth_type *type, const void *value, struct berth_error *error);

/*
 * Called for every handle in a value, 0 included, to register, translate or refuse it: may change
 * *id.
 */
struct berth_handle_walk {
    int (*handle)(void *user, const struct berth_type *type, uint64_t *id,
                  struct berth_error *error);
    void *user;
};

/*
 * Calls walk for every handle inside *value, in place; ends at the first one refused. What the
 * value points at must be writable if walk changes ids.
 */
int berth_value_walk(const struct berth_type *type, void *value,
                     const struct berth_handle_walk *walk, struct berth_error *error);

/*
 * A whole copy of *from at *to: everything that it points at is copied into the arena, unless it
 * lies there already and keep is true. *to and *from may be the same. A NULL string or json becomes
 * "" or "null". After a failure (no memory) *to is not to be used.
 */
int berth_value_copy(const struct berth_type *type, void *to, const void *from,
                     struct berth_arena *arena, bool keep, struct berth_error *error);
/*
 * The same on the heap, one block of exact size per piece, for the mode that finds
 * keepers; freed by berth_value_free. After a failure there is nothing to free.
 */
int berth_value_copy_malloc(const struct berth_type *type, void *to, const void *from,
                            struct berth_error *error);
void berth_value_free(const struct berth_type *type, void *value);

/* Zero, "" for string, "null" for json: what a failed call gives. */
void berth_value_zero(const struct berth_type *type, void *value);
/* Bytes that the value occupies in all, what it points at included: what mailboxes count. */
size_t berth_value_weight(const struct berth_type *type, const void *value);

/*
 * The packed form: what messages hold and what goes to a worker. Little-endian and unaligned, in
 * the order of the type:
 *
 *     bool               one byte, 0 or 1
 *     numbers, handle    their bytes
 *     string json bytes  u32 length, then the bytes, without a NUL
 *     array              u32 count, then the elements
 *     optional           one byte, 0 or 1, then the value if it is 1
 *     struct             its fields; arguments likewise
 *
 * walk may be NULL; in packing it changes what is packed, not the value.
 *
 * Packing trusts the value (berth_value_check), and fails on 4 GiB or more in one piece or when the
 * buffer's limit is reached (resource_exhausted); the buffer then holds what it held before.
 * Unpacking trusts nothing: bounds, counts, UTF-8, booleans, JSON. Fails with data_loss; and with
 * resource_exhausted when so few bytes would become very many (64 MiB and 16 times their number).
 */
int berth_value_pack(const struct berth_type *type, const void *value, struct berth_buffer *buffer,
                     const struct berth_handle_walk *walk, struct berth_error *error);

struct berth_reader {
    const unsigned char *next, *end;
};
/* Everything that *ret_value points at is in the arena, nothing points into the packed bytes. */
int berth_value_unpack(const struct berth_type *type, struct berth_reader *reader,
                       struct berth_arena *arena, void *ret_value,
                       const struct berth_handle_walk *walk, struct berth_error *error);

/* Puts "argument NAME: " in front of an error, if code is one. Returns code. */
int berth_argument_error(const struct berth_signature *signature, size_t i, int code,
                         struct berth_error *error);
/* A signature's arguments as one piece. Errors name the argument. */
int berth_arguments_pack(const struct berth_signature *signature, const void *const *arguments,
                         struct berth_buffer *buffer, const struct berth_handle_walk *walk,
                         struct berth_error *error);
/* Makes the array and the values in the arena. Bytes left over are an error. */
int berth_arguments_unpack(const struct berth_signature *signature, struct berth_reader *reader,
                           struct berth_arena *arena, const void ***ret_arguments,
                           const struct berth_handle_walk *walk, struct berth_error *error);
/* berth_value_check for each; the error names the argument. */
int berth_arguments_check(const struct berth_signature *signature, const void *const *arguments,
                          struct berth_error *error);
/* Copies values and what they point at into the arena; fails like berth_value_check. */
int berth_arguments_copy(const struct berth_signature *signature, const void *const *arguments,
                         struct berth_arena *arena, const void ***ret_arguments,
                         struct berth_error *error);

#endif
