/* SPDX-License-Identifier: MIT */
/*
 * Arguments and results as the application gives them: by kind (struct berth_value of
 * <berth/host.h>), in words, or as JSON.
 */
#ifndef RUNTIME_HOST_VALUE_H
#define RUNTIME_HOST_VALUE_H

#include <berth/host.h>

#include "runtime/base/arena.h"
#include "runtime/value/type.h"

#define BERTH_VALUE_ROOM 32 /* bytes, aligned for any type */

/*
 * Checks one argument. *ret_place points at room, where it was made, or at the caller's own memory.
 * name is for errors.
 */
int berth_value_from(const struct berth_type *type, const char *name,
                     const struct berth_value *value, void *room, const void **ret_place,
                     struct berth_error *error);
/* What the result is; it goes on pointing into memory. */
void berth_value_to(enum berth_kind kind, const void *memory, struct berth_value *ret_value);

/* All arguments of a call: where each of them is, and room for those that have to be made. */
struct berth_value_list {
    const void *places[BERTH_PARAMETERS_MAX];
    union {
        unsigned char bytes[BERTH_VALUE_ROOM];
        long double aligned;
    } rooms[BERTH_PARAMETERS_MAX];
};
/* Checks count values for a signature; what is left out must be optional. */
int berth_value_list_from(const struct berth_signature *signature, const struct berth_value *values,
                          size_t count, struct berth_value_list *list, struct berth_error *error);

/* As JSON, made in the arena; limit: of its bytes. NULL: no arguments. */
int berth_value_read_json(const struct berth_signature *signature, const char *json, size_t limit,
                          struct berth_arena *arena, const void ***ret_arguments,
                          struct berth_error *error);
/* In words, or as their JSON; limit: of the arguments' bytes. */
int berth_value_read_words(const struct berth_signature *signature,
                           const struct berth_words_call *words, size_t limit,
                           struct berth_arena *arena, const void ***ret_arguments,
                           struct berth_error *error);

#endif
