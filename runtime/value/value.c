/* SPDX-License-Identifier: MIT */
#include "runtime/value/value.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/base/text.h"
#include "runtime/value/json.h"
#include "runtime/value/plan.h"

#include <string.h>

/* ---- the walk ---- */

/*
 * What is done at the places where a value is more than its own bytes. A piece is a block of memory
 * that a string, json, bytes or array points at; `piece` may give another address for it (NULL with
 * a size makes the array empty). An array's elements come after the array's own piece, unless
 * elements_first, and are those of the new address.
 */
struct visitor {
    int (*piece)(struct visitor *visitor, const struct berth_type *type, const void **data,
                 size_t size);
    bool elements_first;
    const struct berth_handle_walk *walk;
    struct berth_arena *arena;
    bool keep, failed;
    size_t weight;
    struct berth_plan *plan;
    char *next; /* of the memory that pieces are placed in */
    struct berth_error *error;
};

static int visit(struct visitor *visitor, const struct berth_type *type, void *value);

/* A size that overflows is no real one: the largest, which no memory has. */
static size_t multiply(size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes;
}

static int visit_text(struct visitor *visitor, const struct berth_type *type, void *value)
{
    if (!visitor->piece)
        return BERTH_OK;
    const char *text = berth_load_pointer(value);
    const void *data = text;
    int code = visitor->piece(visitor, type, &data, text ? strlen(text) + 1 : 0);
    if (data != text) /* else it may be read-only */
        memcpy(value, &data, sizeof(data));
    return code;
}

static int visit_span(struct visitor *visitor, const struct berth_type *type, size_t size,
                      void *value)
{
    if (!visitor->piece)
        return BERTH_OK;
    struct berth_span span = berth_load_span(value);
    const void *data = span.data;
    int code = visitor->piece(visitor, type, &data, multiply(span.count, size));
    if (data != span.data) {
        span.data = data;
        if (!data)
            span.count = 0;
        memcpy(value, &span, sizeof(span));
    }
    return code;
}

static int visit_elements(struct visitor *visitor, const struct berth_type *element,
                          const void *value)
{
    struct berth_span span = berth_load_span(value);

    if (element->plain)
        return BERTH_OK;
    for (size_t i = 0; i < span.count; i++) {
        int code = visit(visitor, element, (char *)span.data + i * element->size);
        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

static int visit_array(struct visitor *visitor, const struct berth_type *type, void *value)
{
    int code = BERTH_OK;

    if (visitor->elements_first)
        code = visit_elements(visitor, type->element, value);
    if (code == BERTH_OK)
        code = visit_span(visitor, type, type->element->size, value);
    if (code == BERTH_OK && !visitor->elements_first)
        code = visit_elements(visitor, type->element, value);
    return code;
}

static int visit_handle(struct visitor *visitor, const struct berth_type *type, void *value)
{
    uint64_t id, changed;

    if (!visitor->walk)
        return BERTH_OK;
    memcpy(&id, value, sizeof(id));
    changed = id;
    int code = visitor->walk->handle(visitor->walk->user, type, &changed, visitor->error);
    if (code == BERTH_OK && changed != id)
        memcpy(value, &changed, sizeof(changed));
    return code;
}

static int visit(struct visitor *visitor, const struct berth_type *type, void *value)
{
    if (type->plain)
        return BERTH_OK;
    switch (type->kind) {
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        return visit_text(visitor, type, value);
    case BERTH_KIND_BYTES:
        return visit_span(visitor, type, 1, value);
    case BERTH_KIND_ARRAY:
        return visit_array(visitor, type, value);
    case BERTH_KIND_HANDLE:
        return visit_handle(visitor, type, value);
    case BERTH_KIND_OPTIONAL: {
        void *present = berth_optional_get(type, value);
        return present ? visit(visitor, type->element, present) : BERTH_OK;
    }
    case BERTH_KIND_STRUCT:
        for (size_t i = 0; i < type->field_count; i++) {
            const struct berth_parameter *field = &type->fields[i];
            int code = visit(visitor, field->type, (char *)value + field->offset);
            if (code != BERTH_OK)
                return code;
        }
        return BERTH_OK;
    default:
        return BERTH_OK;
    }
}

/* ---- check, walk, copy, free, zero, weight ---- */

static int check_text(const struct berth_type *type, const char *text, size_t size,
                      struct berth_error *error)
{
    size_t bad;

    if (!text)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "the %s is NULL", type->text);
    if (type->kind == BERTH_KIND_JSON)
        return berth_json_check(text, size - 1, error);
    if (!berth_utf8_valid(text, size - 1, &bad))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "the string is not UTF-8 at byte %zu",
                               bad);
    return BERTH_OK;
}

static int refuse_span(const struct berth_type *type, size_t size, struct berth_error *error)
{
    if (size == SIZE_MAX)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "the %s is larger than memory can be",
                               type->text);
    return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                           "the %s has a size of %zu and data that is NULL", type->text, size);
}

/* What a value points at. */
static inline int check_data(const struct berth_type *type, const void *data, size_t size,
                             struct berth_error *error)
{
    if (type->kind == BERTH_KIND_STRING || type->kind == BERTH_KIND_JSON)
        return check_text(type, data, size, error);
    return size == SIZE_MAX || (size > 0 && !data) ? refuse_span(type, size, error) : BERTH_OK;
}

static int check_piece(struct visitor *visitor, const struct berth_type *type, const void **data,
                       size_t size)
{
    return check_data(type, *data, size, visitor->error);
}

int berth_value_check(const struct berth_type *type, const void *value, struct berth_error *error)
{
    struct visitor visitor = { .piece = check_piece, .error = error };
    return visit(&visitor, type, (void *)value);
}

static int check_result_piece(struct visitor *visitor, const struct berth_type *type,
                              const void **data, size_t size)
{
    bool text = type->kind == BERTH_KIND_STRING || type->kind == BERTH_KIND_JSON;

    return text && !*data ? BERTH_OK : check_piece(visitor, type, data, size);
}

int berth_result_check(const struct berth_type *type, const void *value, struct berth_error *error)
{
    struct berth_error why;
    struct visitor visitor = { .piece = check_result_piece, .error = &why };

    return visit(&visitor, type, (void *)value) == BERTH_OK
               ? BERTH_OK
               : berth_error_set(error, BERTH_INTERNAL, "its result: %s", why.text);
}

int berth_value_walk(const struct berth_type *type, void *value,
                     const struct berth_handle_walk *walk, struct berth_error *error)
{
    struct visitor visitor = { .walk = walk, .error = error };
    return visit(&visitor, type, value);
}

static int copy_piece(struct visitor *visitor, const struct berth_type *type, const void **data,
                      size_t size)
{
    if (!*data) {
        if (type->kind == BERTH_KIND_STRING || type->kind == BERTH_KIND_JSON)
            *data = berth_text_default(type);
        return BERTH_OK;
    }
    if (visitor->keep && berth_arena_holds(visitor->arena, *data))
        return BERTH_OK;
    const void *copy = berth_arena_copy(visitor->arena, *data, size);
    if (!copy)
        return berth_error_nomem(visitor->error);
    *data = copy;
    return BERTH_OK;
}

int berth_value_copy(const struct berth_type *type, void *to, const void *from,
                     struct berth_arena *arena, bool keep, struct berth_error *error)
{
    struct visitor visitor = { .piece = copy_piece, .arena = arena, .keep = keep, .error = error };

    if (to != from)
        memcpy(to, from, type->size);
    return visit(&visitor, type, to);
}

/* Goes on after a failure, so that everything is a copy or NULL in the end and can be freed. */
static int copy_piece_malloc(struct visitor *visitor, const struct berth_type *type,
                             const void **data, size_t size)
{
    const void *from = *data;

    if (!from && (type->kind == BERTH_KIND_STRING || type->kind == BERTH_KIND_JSON)) {
        from = berth_text_default(type);
        size = strlen(from) + 1;
    }
    *data = NULL;
    if (!from || visitor->failed)
        return BERTH_OK;
    void *copy = berth_malloc(size);
    if (!copy) {
        visitor->failed = true;
        return BERTH_OK;
    }
    if (size > 0)
        memcpy(copy, from, size);
    *data = copy;
    return BERTH_OK;
}

int berth_value_copy_malloc(const struct berth_type *type, void *to, const void *from,
                            struct berth_error *error)
{
    struct visitor visitor = { .piece = copy_piece_malloc, .error = error };

    if (to != from)
        memcpy(to, from, type->size);
    visit(&visitor, type, to);
    if (!visitor.failed)
        return BERTH_OK;
    berth_value_free(type, to);
    return berth_error_nomem(error);
}

static int free_piece(struct visitor *visitor, const struct berth_type *type, const void **data,
                      size_t size)
{
    (void)visitor, (void)type, (void)size;
    berth_free((void *)*data);
    *data = NULL;
    return BERTH_OK;
}

void berth_value_free(const struct berth_type *type, void *value)
{
    struct visitor visitor = { .piece = free_piece, .elements_first = true };
    visit(&visitor, type, value);
}

static int zero_piece(struct visitor *visitor, const struct berth_type *type, const void **data,
                      size_t size)
{
    (void)visitor, (void)size;
    if (type->kind == BERTH_KIND_STRING || type->kind == BERTH_KIND_JSON)
        *data = berth_text_default(type);
    return BERTH_OK;
}

void berth_value_zero(const struct berth_type *type, void *value)
{
    struct visitor visitor = { .piece = zero_piece };
    if (type->size > 0) /* void may have no place */
        memset(value, 0, type->size);
    visit(&visitor, type, value);
}

static int weigh_piece(struct visitor *visitor, const struct berth_type *type, const void **data,
                       size_t size)
{
    (void)type, (void)data;
    visitor->weight += size;
    return BERTH_OK;
}

size_t berth_value_weight(const struct berth_type *type, const void *value)
{
    struct visitor visitor = { .piece = weigh_piece, .weight = type->size };
    visit(&visitor, type, (void *)value);
    return visitor.weight;
}

/* ---- a copy in one piece ---- */

/* A quarter of all memory is no room for anything, and two of them are no overflow. */
#define ROOM_MOST (SIZE_MAX / 4)

static void add_room(struct berth_plan *plan, size_t size)
{
    bool fits = size <= ROOM_MOST && plan->room <= ROOM_MOST;
    plan->room = fits ? plan->room + berth_plan_round(size) : ROOM_MOST;
}

/* What is taken over needs no room. */
int berth_plan_checked(struct berth_plan *plan, const struct berth_type *type, const void *data,
                       size_t size, struct berth_error *error)
{
    const void **taken = NULL;
    int code = check_data(type, data, size, error);
    if (code == BERTH_OK && size >= plan->least && berth_type_is_simple(type) &&
        plan->offered < BERTH_PLAN_TAKEN) {
        taken = &plan->taken[plan->offered++];
        *taken = NULL;
        code = plan->take(plan->user, data, size, taken, error);
    }
    if (!taken || !*taken)
        add_room(plan, size);
    return code;
}

static int plan_piece(struct visitor *visitor, const struct berth_type *type, const void **data,
                      size_t size)
{
    return berth_plan_checked(visitor->plan, type, *data, size, visitor->error);
}

int berth_plan_nested(struct berth_plan *plan, const struct berth_type *type, const void *value,
                      struct berth_error *error)
{
    struct visitor visitor = { .piece = plan_piece, .plan = plan, .error = error };
    return visit(&visitor, type, (void *)value);
}

static const void *place(char **next, const void *data, size_t size)
{
    void *memory = *next;
    *next += berth_plan_round(size);
    return size ? memcpy(memory, data, size) : memory;
}

const void *berth_place_large(struct berth_plan *plan, const void *data, size_t size, char **next)
{
    const void *taken = plan->placed < plan->offered ? plan->taken[plan->placed++] : NULL;
    return taken ? taken : place(next, data, size);
}

static int place_piece(struct visitor *visitor, const struct berth_type *type, const void **data,
                       size_t size)
{
    if (size >= visitor->plan->least && berth_type_is_simple(type))
        *data = berth_place_large(visitor->plan, *data, size, &visitor->next);
    else if (*data)
        *data = place(&visitor->next, *data, size);
    return BERTH_OK;
}

char *berth_place_nested(struct berth_plan *plan, const struct berth_type *type, void *value,
                         char *next)
{
    struct visitor visitor = { .piece = place_piece, .plan = plan, .next = next };
    visit(&visitor, type, value);
    return visitor.next;
}

/* ---- arguments ---- */

int berth_argument_error(const struct berth_signature *signature, size_t i, int code,
                         struct berth_error *error)
{
    if (code != BERTH_OK)
        berth_error_prefix(error, "argument %s: ", signature->parameters[i].name);
    return code;
}

int berth_arguments_check(const struct berth_signature *signature, const void *const *arguments,
                          struct berth_error *error)
{
    int code = BERTH_OK;

    for (size_t i = 0; i < signature->count && code == BERTH_OK; i++) {
        const struct berth_type *type = signature->parameters[i].type;
        if (type->kind >= BERTH_KIND_STRING) /* any bits are a number */
            code = berth_argument_error(signature, i, berth_value_check(type, arguments[i], error),
                                        error);
    }
    return code;
}

int berth_arguments_copy(const struct berth_signature *signature, const void *const *arguments,
                         struct berth_arena *arena, const void ***ret_arguments,
                         struct berth_error *error)
{
    const void **copies = berth_arena_alloc(arena, signature->count * sizeof(*copies));

    if (!copies)
        return berth_error_nomem(error);
    for (size_t i = 0; i < signature->count; i++) {
        const struct berth_type *type = signature->parameters[i].type;
        int code = berth_value_check(type, arguments[i], error);
        void *copy = code == BERTH_OK ? berth_arena_copy(arena, arguments[i], type->size) : NULL;
        if (code == BERTH_OK)
            code = copy ? berth_value_copy(type, copy, copy, arena, false, error)
                        : berth_error_nomem(error);
        if (code != BERTH_OK)
            return berth_argument_error(signature, i, code, error);
        copies[i] = copy;
    }
    *ret_arguments = copies;
    return BERTH_OK;
}
