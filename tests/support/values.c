/* SPDX-License-Identifier: MIT */
#include "tests/support/values.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- types ---- */

static const char *const simple[] = { "bool", "i8",  "i16", "i32", "i64",    "u8",   "u16",
                                      "u32",  "u64", "f32", "f64", "string", "json", "bytes" };

/* The text of any type that the set knows, given its count of structs so far. */
static const char *random_text(size_t structs)
{
    size_t pick = berth_test_random_below(COUNT(simple) + 1 + structs);
    const char *base = pick < COUNT(simple) ? simple[pick]
                       : pick == COUNT(simple)
                           ? "cursor"
                           : berth_test_format("s%zu", pick - COUNT(simple) - 1);
    switch (berth_test_random_below(4)) {
    case 0:
        return berth_test_format("array(%s)", base);
    case 1:
        return berth_test_format("optional(%s)", base);
    default:
        return base;
    }
}

#define STRUCTS 12

struct berth_types *berth_test_types(void)
{
    struct berth_types *types = berth_types_new();
    struct berth_error error;

    REQUIRE(types);
    REQUIRE(berth_types_add_handle(types, "cursor", "store", "cursor", NULL, "", &error) ==
            BERTH_OK);
    for (size_t i = 0; i < STRUCTS;) {
        struct berth_text_parameter fields[5];
        size_t count = 1 + berth_test_random_below(COUNT(fields));
        for (size_t j = 0; j < count; j++)
            fields[j] =
                (struct berth_text_parameter){ random_text(i), berth_test_format("f%zu", j), "" };
        int code =
            berth_types_add_struct(types, berth_test_format("s%zu", i), "", fields, count, &error);
        i += code == BERTH_OK; /* else it is too large: another */
    }
    return types;
}

const struct berth_type *berth_test_random_type(struct berth_types *types)
{
    const struct berth_type *type;
    REQUIRE(berth_types_find(types, random_text(STRUCTS), &type, NULL) == BERTH_OK);
    return type;
}

const struct berth_signature *berth_test_random_signature(struct berth_types *types)
{
    struct berth_text_parameter parameters[BERTH_PARAMETERS_MAX];
    const struct berth_signature *signature;
    size_t count = berth_test_random_below(COUNT(parameters) + 1);

    for (size_t i = 0; i < count; i++)
        parameters[i] =
            (struct berth_text_parameter){ random_text(STRUCTS), berth_test_format("p%zu", i), "" };
    const char *result = berth_test_random_below(8) == 0 ? "void" : random_text(STRUCTS);
    REQUIRE(berth_signature_new(types, result, parameters, count, &signature, NULL) == BERTH_OK);
    return signature;
}

/* ---- values ---- */

static void *need(void *memory)
{
    REQUIRE(memory);
    return memory;
}

/*
 * Elements that the value which is being made may still have: arrays of structs of arrays would
 * grow without bound, and with them the time of tests that walk them once for each piece.
 */
static size_t elements_left;

static size_t random_count(void)
{
    switch (berth_test_random_below(8)) {
    case 0:
        return 0;
    case 1:
        return berth_test_random_below(200);
    default:
        return berth_test_random_below(5);
    }
}

static char *random_string(struct berth_arena *arena)
{
    static const char *const pieces[] = {
        "a",  "Z",    " ",        "\"", "\\", "/", "\x01", "\n",           "\t",
        "\r", "\x7f", "\xc3\xa4", "{",  "[",  ",", "0",    "\xe2\x82\xac", "\xf0\x9f\x98\x80"
    };
    char text[200 * 4 + 1];
    size_t length = 0;

    for (size_t i = random_count(); i > 0; i--) {
        const char *piece = pieces[berth_test_random_below(COUNT(pieces))];
        memcpy(text + length, piece, strlen(piece));
        length += strlen(piece);
    }
    text[length] = '\0';
    return need(berth_arena_string(arena, text));
}

static const char *random_json(struct berth_arena *arena)
{
    static const char *const texts[] = {
        "null",         "true", "-0", "9007199254740993",   "1e400",
        "\"x\\u0000\"", "[]",   "{}", "[1,{\"a\":[null]}]", "{\"a\":1,\"b\":{\"a\":2}}"
    };
    return need(berth_arena_string(arena, texts[berth_test_random_below(COUNT(texts))]));
}

static void random_number(const struct berth_type *type, void *value)
{
    static const double decimals[] = { 0.0,          -0.0,     1.0,       0.1,         1e22,
                                       NAN,          INFINITY, -INFINITY, DBL_MAX,     DBL_MIN,
                                       5e-324,       1.0 / 3,  FLT_MAX,   -123456.789, 1e-45,
                                       0x1.921fb6p1, 1e300,    1e21 };
    uint64_t bits = berth_test_random();

    switch (berth_test_random_below(4)) {
    case 0:
        bits =
            UINT64_C(0x7fffffffffffffff) >> (8 * (8 - type->size)); /* the most of a signed one */
        bits += berth_test_random_below(3);                         /* the least, too */
        break;
    case 1:
        bits = berth_test_random_below(10);
        break;
    default:
        break;
    }
    memcpy(value, &bits, type->size);
    if (type->kind == BERTH_KIND_BOOL)
        *(bool *)value = bits & 1;
    if (berth_test_random_below(2) == 0)
        return;
    double decimal = decimals[berth_test_random_below(COUNT(decimals))];
    if (type->kind == BERTH_KIND_F64)
        *(double *)value = decimal;
    if (type->kind == BERTH_KIND_F32)
        *(float *)value = (float)decimal;
}

static void fill(const struct berth_type *type, void *value, struct berth_arena *arena);

static void fill_span(const struct berth_type *element, void *value, struct berth_arena *arena)
{
    size_t count = random_count(), size = element ? element->size : 1;
    if (element && count > elements_left)
        count = elements_left;
    if (element)
        elements_left -= count;
    char *data = need(berth_arena_alloc(arena, count * size));
    struct berth_span span = { count || berth_test_random_below(2) ? data : NULL, count };

    for (size_t i = 0; i < count; i++) {
        if (element)
            fill(element, data + i * size, arena);
        else
            data[i] = (char)berth_test_random();
    }
    memcpy(value, &span, sizeof(span));
}

static void fill(const struct berth_type *type, void *value, struct berth_arena *arena)
{
    switch (type->kind) {
    case BERTH_KIND_VOID:
        break;
    case BERTH_KIND_STRING:
        *(const char **)value = random_string(arena);
        break;
    case BERTH_KIND_JSON:
        *(const char **)value = random_json(arena);
        break;
    case BERTH_KIND_BYTES:
    case BERTH_KIND_ARRAY:
        fill_span(type->element, value, arena);
        break;
    case BERTH_KIND_OPTIONAL:
        if (berth_test_random_below(2)) {
            void *present = berth_optional_set(type, value);
            /* As JSON, an optional null is the same as none. */
            do
                fill(type->element, present, arena);
            while (type->element->kind == BERTH_KIND_JSON &&
                   strcmp(*(const char **)present, "null") == 0);
        }
        break;
    case BERTH_KIND_STRUCT:
        for (size_t i = 0; i < type->field_count; i++)
            fill(type->fields[i].type, (char *)value + type->fields[i].offset, arena);
        break;
    case BERTH_KIND_HANDLE:
        *(uint64_t *)value = berth_test_random();
        break;
    default:
        random_number(type, value);
    }
}

void *berth_test_random_value(const struct berth_type *type, struct berth_arena *arena)
{
    void *value = need(berth_arena_alloc(arena, type->size));
    elements_left = 400;
    fill(type, value, arena);
    return value;
}

const void **berth_test_random_arguments(const struct berth_signature *signature,
                                         struct berth_arena *arena)
{
    const void **arguments = need(berth_arena_alloc(arena, signature->count * sizeof(*arguments)));

    for (size_t i = 0; i < signature->count; i++)
        arguments[i] = berth_test_random_value(signature->parameters[i].type, arena);
    return arguments;
}

/* ---- comparison ---- */

static bool same_span(const struct berth_type *element, const void *a, const void *b)
{
    struct berth_span left = berth_load_span(a), right = berth_load_span(b);

    if (left.count != right.count)
        return false;
    if (!element)
        return left.count == 0 || memcmp(left.data, right.data, left.count) == 0;
    for (size_t i = 0; i < left.count; i++)
        if (!berth_test_same(element, (const char *)left.data + i * element->size,
                             (const char *)right.data + i * element->size))
            return false;
    return true;
}

bool berth_test_same(const struct berth_type *type, const void *a, const void *b)
{
    const void *left, *right;

    switch (type->kind) {
    case BERTH_KIND_F32:
        return (isnan(*(const float *)a) && isnan(*(const float *)b)) || memcmp(a, b, 4) == 0;
    case BERTH_KIND_F64:
        return (isnan(*(const double *)a) && isnan(*(const double *)b)) || memcmp(a, b, 8) == 0;
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        return strcmp(berth_load_pointer(a), berth_load_pointer(b)) == 0;
    case BERTH_KIND_BYTES:
    case BERTH_KIND_ARRAY:
        return same_span(type->element, a, b);
    case BERTH_KIND_OPTIONAL:
        left = berth_optional_get(type, a);
        right = berth_optional_get(type, b);
        return !left || !right ? left == right : berth_test_same(type->element, left, right);
    case BERTH_KIND_STRUCT:
        for (size_t i = 0; i < type->field_count; i++)
            if (!berth_test_same(type->fields[i].type, (const char *)a + type->fields[i].offset,
                                 (const char *)b + type->fields[i].offset))
                return false;
        return true;
    default:
        return memcmp(a, b, type->size) == 0;
    }
}
