/* SPDX-License-Identifier: MIT */
/*
 * A copy of arguments in one piece of memory, aligned to 16: the array, the values, and what they
 * point at. plan says how much it takes, and fails like berth_arguments_check; place cannot fail,
 * and must follow.
 *
 * Whoever plans may take over what a value points at, if that is of some size and points nowhere
 * itself: the copy then points where it lies from now on. The first so many are offered.
 *
 * What most messages have, small values and what points nowhere itself, is inlined into who
 * publishes it; the rest is in value.c.
 */
#ifndef RUNTIME_VALUE_PLAN_H
#define RUNTIME_VALUE_PLAN_H

#include "runtime/value/value.h"

#define BERTH_PLAN_TAKEN 16
struct berth_plan {
    size_t least; /* bytes that are worth it, not 0 */
    /* Sets *ret_data, or leaves it, and it is copied. */
    int (*take)(void *user, const void *data, size_t size, const void **ret_data,
                struct berth_error *error);
    void *user;
    /* the rest is set by plan */
    size_t room;
    size_t sizes[BERTH_PARAMETERS_MAX];  /* of what arguments point at */
    const void *taken[BERTH_PLAN_TAKEN]; /* of those that are large enough, NULL: copied */
    size_t offered, placed;
};

/* ---- the parts of what follows that are seldom done ---- */

/* What points elsewhere in turn. Placed: in the value; what is behind it begins at next. */
int berth_plan_nested(struct berth_plan *plan, const struct berth_type *type, const void *value,
                      struct berth_error *error);
char *berth_place_nested(struct berth_plan *plan, const struct berth_type *type, void *value,
                         char *next);
/* What is not smaller than `least`; a text; what is not there. */
int berth_plan_checked(struct berth_plan *plan, const struct berth_type *type, const void *data,
                       size_t size, struct berth_error *error);
/* Where data of that size lies from now on: taken over, or at *next, which goes on behind it. */
const void *berth_place_large(struct berth_plan *plan, const void *data, size_t size, char **next);

/* ---- simple types: what points nowhere itself, and has its size from the value alone ---- */

static inline bool berth_type_is_simple(const struct berth_type *type)
{
    return (type->kind >= BERTH_KIND_STRING && type->kind <= BERTH_KIND_BYTES) ||
           (type->kind == BERTH_KIND_ARRAY && type->element->plain);
}

static inline bool berth_type_is_text(const struct berth_type *type)
{
    return type->kind == BERTH_KIND_STRING || type->kind == BERTH_KIND_JSON;
}

/* A size that overflows is no real one: the largest, which no memory has. */
static inline size_t berth_simple_size(const struct berth_type *type, const void *value)
{
    size_t size = type->kind == BERTH_KIND_BYTES ? 1 : 0;
    if (berth_type_is_text(type)) {
        const char *text = berth_load_pointer(value);
        return text ? strlen(text) + 1 : 0;
    }
    if (size)
        return berth_load_span(value).count;
    return __builtin_mul_overflow(berth_load_span(value).count, type->element->size, &size)
               ? SIZE_MAX
               : size;
}

/* Where each piece begins. */
static inline size_t berth_plan_round(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

static inline int berth_plan_simple(struct berth_plan *plan, const struct berth_type *type,
                                    const void *value, size_t *ret_size, struct berth_error *error)
{
    const void *data = berth_load_pointer(value);
    size_t size = *ret_size = berth_simple_size(type, value);
    if (size >= plan->least || !data || berth_type_is_text(type))
        return berth_plan_checked(plan, type, data, size, error);
    plan->room += berth_plan_round(size);
    return BERTH_OK;
}

static inline const void *berth_place_simple(struct berth_plan *plan, const void *data, size_t size,
                                             char **next)
{
    char *memory = *next;
    if (size >= plan->least)
        return berth_place_large(plan, data, size, next);
    if (!data)
        return NULL;
    *next += berth_plan_round(size);
    return memcpy(memory, data, size);
}

/* Most values have one of these sizes, and are copied without a call then. */
static inline void berth_place_value(void *to, const void *from, size_t size)
{
    if (size == sizeof(struct berth_span))
        memcpy(to, from, sizeof(struct berth_span));
    else if (size == sizeof(uint64_t))
        memcpy(to, from, sizeof(uint64_t));
    else
        memcpy(to, from, size);
}

/* ---- arguments ---- */

static inline int berth_arguments_plan(const struct berth_signature *signature,
                                       const void *const *arguments, struct berth_plan *plan,
                                       struct berth_error *error)
{
    plan->offered = plan->placed = 0;
    plan->room = berth_plan_round(signature->count * sizeof(void *));
    for (size_t i = 0; i < signature->count; i++) {
        const struct berth_type *type = signature->parameters[i].type;
        plan->room += berth_plan_round(type->size);
        if (type->plain)
            continue;
        int code = berth_type_is_simple(type)
                       ? berth_plan_simple(plan, type, arguments[i], &plan->sizes[i], error)
                       : berth_plan_nested(plan, type, arguments[i], error);
        if (code != BERTH_OK)
            return berth_argument_error(signature, i, code, error);
    }
    return BERTH_OK;
}

static inline const void *const *berth_arguments_place(const struct berth_signature *signature,
                                                       const void *const *arguments,
                                                       struct berth_plan *plan, void *memory)
{
    const void **placed = memory;
    char *next = (char *)memory + berth_plan_round(signature->count * sizeof(void *));
    for (size_t i = 0; i < signature->count; i++) {
        const struct berth_type *type = signature->parameters[i].type;
        void *value = next;
        placed[i] = value;
        next += berth_plan_round(type->size);
        berth_place_value(value, arguments[i], type->size);
        if (type->plain)
            continue;
        if (berth_type_is_simple(type)) {
            const void *data = berth_load_pointer(arguments[i]);
            data = berth_place_simple(plan, data, plan->sizes[i], &next);
            memcpy(value, &data, sizeof data); /* its first member */
        } else {
            next = berth_place_nested(plan, type, value, next);
        }
    }
    return placed;
}

#endif
