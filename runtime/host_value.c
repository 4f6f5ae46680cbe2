/* SPDX-License-Identifier: MIT */
#include "runtime/host_value.h"

#include <math.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/value/fit.h"
#include "runtime/value/json.h"
#include "runtime/value/value.h"
#include "runtime/value/words.h"

struct range {
    int64_t low;
    uint64_t high;
};

static const struct range ranges[] = {
    [BERTH_KIND_I8] = { INT8_MIN, INT8_MAX },    [BERTH_KIND_I16] = { INT16_MIN, INT16_MAX },
    [BERTH_KIND_I32] = { INT32_MIN, INT32_MAX }, [BERTH_KIND_I64] = { INT64_MIN, INT64_MAX },
    [BERTH_KIND_U8] = { 0, UINT8_MAX },          [BERTH_KIND_U16] = { 0, UINT16_MAX },
    [BERTH_KIND_U32] = { 0, UINT32_MAX },        [BERTH_KIND_U64] = { 0, UINT64_MAX },
};

static int mismatch(const struct berth_type *type, const char *name, struct berth_error *error)
{
    return berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s must be %s", name,
                           type->text);
}

static int integer_from(const struct berth_type *type, const char *name,
                        const struct berth_value *value, void *ret_value, struct berth_error *error)
{
    const struct range *range = &ranges[type->kind];
    bool is_signed = value->kind == BERTH_VALUE_I64;
    if (!is_signed && value->kind != BERTH_VALUE_U64)
        return mismatch(type, name, error);
    bool fits =
        is_signed && value->as.i64 < 0 ? value->as.i64 >= range->low : value->as.u64 <= range->high;
    if (!fits)
        return berth_error_set(error, BERTH_OUT_OF_RANGE, "argument %s does not fit %s", name,
                               type->text);
    memcpy(ret_value, &value->as, type->size); /* little-endian: the low bytes come first */
    return BERTH_OK;
}

static int decimal_from(const struct berth_type *type, const char *name,
                        const struct berth_value *value, void *ret_value, struct berth_error *error)
{
    double number;
    if (value->kind == BERTH_VALUE_F64)
        number = value->as.f64;
    else if (value->kind == BERTH_VALUE_I64)
        number = (double)value->as.i64;
    else if (value->kind == BERTH_VALUE_U64)
        number = (double)value->as.u64;
    else
        return mismatch(type, name, error);
    if (type->kind == BERTH_KIND_F64) {
        memcpy(ret_value, &number, sizeof number);
        return BERTH_OK;
    }
    float narrow = (float)number;
    if (isinf(narrow) && !isinf(number))
        return berth_error_set(error, BERTH_OUT_OF_RANGE, "argument %s does not fit f32", name);
    memcpy(ret_value, &narrow, sizeof narrow);
    return BERTH_OK;
}

static int text_from(const struct berth_type *type, const char *name,
                     const struct berth_value *value, void *ret_value, struct berth_error *error)
{
    bool is_json = type->kind == BERTH_KIND_JSON;
    const char *text = value->as.string;
    if (value->kind != BERTH_VALUE_STRING && !(is_json && value->kind == BERTH_VALUE_JSON))
        return mismatch(type, name, error);
    if (!text)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s is NULL", name);
    int code = is_json ? berth_json_check(text, strlen(text), error) : BERTH_OK;
    if (code != BERTH_OK)
        return berth_error_prefix(error, "argument %s: ", name);
    if (!is_json && !berth_utf8_valid(text, strlen(text), NULL))
        code =
            berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s is not valid UTF-8", name);
    memcpy(ret_value, &text, sizeof text);
    return code;
}

/* Of a kind that nothing else is turned into. */
static int same_from(const struct berth_type *type, const char *name,
                     const struct berth_value *value, uint32_t kind, void *ret_value,
                     struct berth_error *error)
{
    if (value->kind != kind ||
        (kind == BERTH_VALUE_BYTES && !value->as.bytes.data && value->as.bytes.size))
        return mismatch(type, name, error);
    memcpy(ret_value, &value->as, type->size);
    return BERTH_OK;
}

static int element_from(const struct berth_type *type, const char *name,
                        const struct berth_value *value, void *room, struct berth_error *error)
{
    switch (type->kind) {
    case BERTH_KIND_BOOL:
        return same_from(type, name, value, BERTH_VALUE_BOOL, room, error);
    case BERTH_KIND_BYTES:
        return same_from(type, name, value, BERTH_VALUE_BYTES, room, error);
    case BERTH_KIND_HANDLE:
        return same_from(type, name, value, BERTH_VALUE_HANDLE, room, error);
    case BERTH_KIND_F32:
    case BERTH_KIND_F64:
        return decimal_from(type, name, value, room, error);
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        return text_from(type, name, value, room, error);
    case BERTH_KIND_VOID:
    case BERTH_KIND_ARRAY:
    case BERTH_KIND_STRUCT:
    case BERTH_KIND_OPTIONAL:
        return mismatch(type, name, error);
    default:
        return integer_from(type, name, value, room, error);
    }
}

static int optional_from(const struct berth_type *type, const char *name,
                         const struct berth_value *value, void *room, struct berth_error *error)
{
    const struct berth_type *element = type->element;
    bool fits = type->size <= BERTH_VALUE_ROOM;
    if (fits)
        memset(room, 0, type->size);
    if (fits && value->kind == BERTH_VALUE_VOID)
        return BERTH_OK;
    if (element->kind == BERTH_KIND_STRING || element->kind == BERTH_KIND_JSON)
        return text_from(element, name, value, room, error); /* without one it is NULL */
    if (!fits)
        return mismatch(type, name, error);
    *(bool *)room = true;
    return element_from(element, name, value, (char *)room + (type->size - element->size), error);
}

/* The caller's own, as a module would give it. */
static int memory_from(const struct berth_type *type, const char *name,
                       const struct berth_value *value, struct berth_error *error)
{
    if (!value->as.memory)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s is NULL", name);
    return berth_value_check(type, value->as.memory, error) == BERTH_OK
               ? BERTH_OK
               : berth_error_prefix(error, "argument %s: ", name);
}

int berth_value_from(const struct berth_type *type, const char *name,
                     const struct berth_value *value, void *room, const void **ret_place,
                     struct berth_error *error)
{
    *ret_place = value->kind == BERTH_VALUE_MEMORY ? value->as.memory : room;
    if (value->kind == BERTH_VALUE_MEMORY)
        return memory_from(type, name, value, error);
    return type->kind == BERTH_KIND_OPTIONAL ? optional_from(type, name, value, room, error)
                                             : element_from(type, name, value, room, error);
}

int berth_value_list_from(const struct berth_signature *signature, const struct berth_value *values,
                          size_t count, struct berth_value_list *list, struct berth_error *error)
{
    int code = BERTH_OK;
    if (!berth_signature_omits(signature, count))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "takes %zu arguments, not %zu",
                               signature->count, count);
    for (size_t i = count; i < signature->count; i++)
        list->places[i] = berth_argument_absent();
    for (size_t i = 0; i < count && code == BERTH_OK; i++)
        code = berth_value_from(signature->parameters[i].type, signature->parameters[i].name,
                                &values[i], &list->rooms[i], &list->places[i], error);
    return code;
}

/* case: what is in memory as a C type becomes a value's member. */
#define GIVES(type_kind, value_kind, member, type)    \
    case BERTH_KIND_##type_kind:                      \
        ret_value->kind = BERTH_VALUE_##value_kind;   \
        ret_value->as.member = *(const type *)memory; \
        break

void berth_value_to(enum berth_kind kind, const void *memory, struct berth_value *ret_value)
{
    *ret_value = (struct berth_value){ .kind = BERTH_VALUE_MEMORY, .as.memory = memory };
    switch (kind) {
    case BERTH_KIND_VOID:
        ret_value->kind = BERTH_VALUE_VOID;
        break;
        GIVES(BOOL, BOOL, boolean, bool);
        GIVES(I8, I64, i64, int8_t);
        GIVES(I16, I64, i64, int16_t);
        GIVES(I32, I64, i64, int32_t);
        GIVES(I64, I64, i64, int64_t);
        GIVES(U8, U64, u64, uint8_t);
        GIVES(U16, U64, u64, uint16_t);
        GIVES(U32, U64, u64, uint32_t);
        GIVES(U64, U64, u64, uint64_t);
        GIVES(F32, F64, f64, float);
        GIVES(F64, F64, f64, double);
        GIVES(STRING, STRING, string, char *const);
        GIVES(JSON, JSON, string, char *const);
        GIVES(BYTES, BYTES, bytes, berth_bytes);
        GIVES(HANDLE, HANDLE, u64, uint64_t);
    default:
        break;
    }
}

int berth_value_read_json(const struct berth_signature *signature, const char *json, size_t limit,
                          struct berth_arena *arena, const void ***ret_arguments,
                          struct berth_error *error)
{
    size_t size = json ? strlen(json) : 0;
    if (size > limit)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "the arguments have %zu bytes; max_message is %zu", size, limit);
    return berth_json_read_arguments(signature, json, size, arena, ret_arguments, error);
}

int berth_value_read_words(const struct berth_signature *signature,
                           const struct berth_words_call *words, size_t limit,
                           struct berth_arena *arena, const void ***ret_arguments,
                           struct berth_error *error)
{
    if (words->json)
        return berth_value_read_json(signature, words->json, limit, arena, ret_arguments, error);
    int code = berth_words_read(signature, words->words, words->count, words->expand, words->user,
                                arena, ret_arguments, error);
    size_t size = 0;
    for (size_t i = 0; code == BERTH_OK && i < signature->count; i++)
        size += berth_value_weight(signature->parameters[i].type, (*ret_arguments)[i]);
    return code == BERTH_OK && size > limit
               ? berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                                 "the arguments have %zu bytes; max_message is %zu", size, limit)
               : code;
}
