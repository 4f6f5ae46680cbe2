/* SPDX-License-Identifier: MIT */
/*
 * Values as people type them and want to see them: one word for each argument. A word is itself for
 * a string or bytes (optional or not), and JSON for any other type. NAME=VALUE is the argument of
 * that name, if the signature has one; other words go to the parameters that are left, in order.
 */
#ifndef RUNTIME_VALUE_WORDS_H
#define RUNTIME_VALUE_WORDS_H

#include <berth/host.h>

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"
#include "runtime/value/type.h"

/*
 * The arguments of a call, made in the arena; bytes point at their word, which must outlive them.
 * expand (may be NULL) is called for each string or bytes: struct berth_words_call tells.
 */
int berth_words_read(const struct berth_signature *signature, const struct berth_word *words,
                     size_t count,
                     int (*expand)(void *user, const char *parameter, struct berth_word *word,
                                   struct berth_error *error),
                     void *user, struct berth_arena *arena, const void ***ret_arguments,
                     struct berth_error *error);

/*
 * Appends a result: a string or bytes as it is, nothing for void, else JSON. *ret_kind tells which:
 * BERTH_VALUE_STRING, _BYTES, _VOID or _JSON.
 */
int berth_words_write(const struct berth_type *type, const void *value, struct berth_buffer *buffer,
                      enum berth_value_kind *ret_kind, struct berth_error *error);
/* The same, by the kind of its type. */
enum berth_value_kind berth_words_kind(enum berth_kind kind);

#endif
