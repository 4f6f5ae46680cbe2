/* SPDX-License-Identifier: MIT */
/* Random types and values of them, by berth_test_random(). */
#ifndef BERTH_TESTS_SUPPORT_VALUES_H
#define BERTH_TESTS_SUPPORT_VALUES_H

#include "runtime/base/arena.h"
#include "runtime/value/type.h"

/* A set with some structs and handles in it, nested; freed by the caller. */
struct berth_types *berth_test_types(void);
/* Any type of a set but void. */
const struct berth_type *berth_test_random_type(struct berth_types *types);
/* With up to BERTH_PARAMETERS_MAX parameters p0, p1, …; the result may be void. */
const struct berth_signature *berth_test_random_signature(struct berth_types *types);

/* A value that may be passed on; with edge cases: extremes, NaN, empty and long ones. */
void *berth_test_random_value(const struct berth_type *type, struct berth_arena *arena);
const void **berth_test_random_arguments(const struct berth_signature *signature,
                                         struct berth_arena *arena);
/* Everything the same, what they point at too; NaN is the same as NaN. */
bool berth_test_same(const struct berth_type *type, const void *a, const void *b);

#endif
