/* SPDX-License-Identifier: MIT */
#include "runtime/host_value.h"

#include <math.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/value/json.h"
#include "runtime/value/value.h"

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

int berth_value_from(const struct berth_type *type, const char *name,
                     const struct berth_value *value, void *room, const void **ret_place,
                     struct berth_error *error)
{
    *ret_place = room;
    if (value->kind == BERTH_VALUE_MEMORY) {
        if (!value->as.memory)
            return berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s is NULL", name);
        *ret_place = value->as.memory;
        return berth_value_check(type, value->as.memory, error) == BERTH_OK
                   ? BERTH_OK
                   : berth_error_prefix(error, "argument %s: ", name);
    }
    switch (type->kind) {
    case BERTH_KIND_BOOL:
        if (value->kind != BERTH_VALUE_BOOL)
            return mismatch(type, name, error);
        memcpy(room, &value->as.boolean, sizeof(bool));
        return BERTH_OK;
    case BERTH_KIND_F32:
    case BERTH_KIND_F64:
        return decimal_from(type, name, value, room, error);
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        return text_from(type, name, value, room, error);
    case BERTH_KIND_BYTES:
        if (value->kind != BERTH_VALUE_BYTES || (!value->as.bytes.data && value->as.bytes.size))
            return mismatch(type, name, error);
        memcpy(room, &value->as.bytes, sizeof value->as.bytes);
        return BERTH_OK;
    case BERTH_KIND_HANDLE:
        if (value->kind != BERTH_VALUE_HANDLE)
            return mismatch(type, name, error);
        memcpy(room, &value->as.u64, sizeof value->as.u64);
        return BERTH_OK;
    case BERTH_KIND_OPTIONAL:
        memset(room, 0, type->size <= 32 ? type->size : 0);
        if (value->kind == BERTH_VALUE_VOID && type->size <= 32)
            return BERTH_OK;
        if (type->element->kind == BERTH_KIND_STRING || type->element->kind == BERTH_KIND_JSON)
            return text_from(type->element, name, value, room, error);
        if (type->size > 32 || type->element->kind == BERTH_KIND_STRUCT)
            return mismatch(type, name, error);
        *(bool *)room = true;
        return berth_value_from(type->element, name, value,
                                (char *)room + (type->size - type->element->size), ret_place,
                                error) == BERTH_OK
                   ? (*ret_place = room, BERTH_OK)
               : error ? error->code
                       : BERTH_INVALID_ARGUMENT;
    case BERTH_KIND_VOID:
    case BERTH_KIND_ARRAY:
    case BERTH_KIND_STRUCT:
        return mismatch(type, name, error);
    default:
        return integer_from(type, name, value, room, error);
    }
}

void berth_value_to(const struct berth_type *type, const void *memory,
                    struct berth_value *ret_value)
{
    *ret_value = (struct berth_value){ .kind = BERTH_VALUE_MEMORY, .as.memory = memory };
    switch (type->kind) {
    case BERTH_KIND_VOID:
        ret_value->kind = BERTH_VALUE_VOID;
        break;
    case BERTH_KIND_BOOL:
        ret_value->kind = BERTH_VALUE_BOOL;
        ret_value->as.boolean = *(const bool *)memory;
        break;
    case BERTH_KIND_I8:
        ret_value->as.i64 = *(const int8_t *)memory;
        ret_value->kind = BERTH_VALUE_I64;
        break;
    case BERTH_KIND_I16:
        ret_value->as.i64 = *(const int16_t *)memory;
        ret_value->kind = BERTH_VALUE_I64;
        break;
    case BERTH_KIND_I32:
        ret_value->as.i64 = *(const int32_t *)memory;
        ret_value->kind = BERTH_VALUE_I64;
        break;
    case BERTH_KIND_I64:
        ret_value->as.i64 = *(const int64_t *)memory;
        ret_value->kind = BERTH_VALUE_I64;
        break;
    case BERTH_KIND_U8:
        ret_value->as.u64 = *(const uint8_t *)memory;
        ret_value->kind = BERTH_VALUE_U64;
        break;
    case BERTH_KIND_U16:
        ret_value->as.u64 = *(const uint16_t *)memory;
        ret_value->kind = BERTH_VALUE_U64;
        break;
    case BERTH_KIND_U32:
        ret_value->as.u64 = *(const uint32_t *)memory;
        ret_value->kind = BERTH_VALUE_U64;
        break;
    case BERTH_KIND_U64:
        ret_value->as.u64 = *(const uint64_t *)memory;
        ret_value->kind = BERTH_VALUE_U64;
        break;
    case BERTH_KIND_F32:
        ret_value->as.f64 = *(const float *)memory;
        ret_value->kind = BERTH_VALUE_F64;
        break;
    case BERTH_KIND_F64:
        ret_value->as.f64 = *(const double *)memory;
        ret_value->kind = BERTH_VALUE_F64;
        break;
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        ret_value->as.string = *(const char *const *)memory;
        ret_value->kind = type->kind == BERTH_KIND_JSON ? BERTH_VALUE_JSON : BERTH_VALUE_STRING;
        break;
    case BERTH_KIND_BYTES:
        ret_value->as.bytes = *(const berth_bytes *)memory;
        ret_value->kind = BERTH_VALUE_BYTES;
        break;
    case BERTH_KIND_HANDLE:
        ret_value->as.u64 = *(const uint64_t *)memory;
        ret_value->kind = BERTH_VALUE_HANDLE;
        break;
    default:
        break;
    }
}
