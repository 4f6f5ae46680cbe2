/* SPDX-License-Identifier: MIT */
/*
 * Calls by a signature that is known only at run time. Each callee is compiled C that notes what it
 * got; random values must arrive, and its result come back, as if C had called it.
 */
#include "runtime/value/invoke.h"

#include <pthread.h>
#include <string.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"
#include "tests/support/values.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- structs of many shapes, in C and for the set of types ---- */

#define STRUCT(name, ...)                                                              \
    typedef struct berth_##name {                                                      \
        BERTH_I_EACH(MEMBER, 0, __VA_ARGS__)                                           \
    } berth_##name;                                                                    \
    BERTH_I_BOTH(name);                                                                \
    static const struct berth_text_parameter fields_##name[] = { BERTH_I_EACH(TEXT, 0, \
                                                                              __VA_ARGS__) }
#define MEMBER(p)     BERTH_I_TUPLE(MEMBER_, p)
#define MEMBER_(t, n) berth_##t n;
#define TEXT(p)       BERTH_I_TUPLE(TEXT_, p)
#define TEXT_(t, n)   { #t, #n, "" },

typedef struct berth_cursor {
    uint64_t id;
} berth_cursor;
BERTH_I_BOTH(cursor);
STRUCT(one, (u8, a));
STRUCT(three, (i8, a), (i8, b), (i8, c));
STRUCT(floats, (f32, a), (f32, b));
STRUCT(floats3, (f32, a), (f32, b), (f32, c));
STRUCT(mixed, (f32, a), (i32, b), (f64, c));
STRUCT(short_mixed, (f32, a), (i32, b), (f32, c));
STRUCT(doubles, (f64, a), (f64, b));
STRUCT(doubles3, (f64, a), (f64, b), (f64, c));
STRUCT(crossed, (i64, a), (f64, b));
STRUCT(loose, (bool, a), (i16, b), (u8, c), (i32, d));
STRUCT(nested, (floats, a), (one, b), (optional(u16), c));
STRUCT(deep, (nested, a), (optional(nested), b), (bytes, c), (array(nested), d), (json, e));

static struct berth_types *make_types(void)
{
    struct berth_types *types = berth_types_new();
    struct berth_error error;

    REQUIRE(types);
    REQUIRE(berth_types_add_handle(types, "cursor", "m", "cursor", NULL, "", &error) == BERTH_OK);
#define ADD(name)                                                                         \
    REQUIRE(berth_types_add_struct(types, #name, "", fields_##name, COUNT(fields_##name), \
                                   &error) == BERTH_OK)
    ADD(one);
    ADD(three);
    ADD(floats);
    ADD(floats3);
    ADD(mixed);
    ADD(short_mixed);
    ADD(doubles);
    ADD(doubles3);
    ADD(crossed);
    ADD(loose);
    ADD(nested);
    ADD(deep);
    return types;
}

/* ---- callees ---- */

static berth_ctx context; /* only its address matters */
static struct {
    berth_ctx *ctx;
    size_t count;
    unsigned char arguments[BERTH_PARAMETERS_MAX][256];
    const void *result;
} got;

static void take(const void *argument, size_t size)
{
    memcpy(got.arguments[got.count++], argument, size);
}

struct callee {
    const char *name, *result;
    const struct berth_text_parameter *parameters;
    size_t count;
    void (*code)(void);
};

#define TAKE(p)     BERTH_I_TUPLE(TAKE_, p)
#define TAKE_(t, n) take(&n, sizeof(n));
#define CALLEE(name, ret, ...)                                                                    \
    static const struct berth_text_parameter parameters_##name[] = { BERTH_I_EACH(TEXT, 0,        \
                                                                                  __VA_ARGS__) }; \
    static berth_##ret name(berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, 0, __VA_ARGS__))            \
    {                                                                                             \
        got.ctx = ctx;                                                                            \
        BERTH_I_EACH(TAKE, 0, __VA_ARGS__)                                                        \
        return *(const berth_##ret *)got.result;                                                  \
    }                                                                                             \
    static const struct callee callee_##name = { #name, #ret, parameters_##name,                  \
                                                 COUNT(parameters_##name), (void (*)(void))name }

CALLEE(same_bool, bool, (bool, a));
CALLEE(same_i8, i8, (i8, a));
CALLEE(same_i16, i16, (i16, a));
CALLEE(same_i32, i32, (i32, a));
CALLEE(same_i64, i64, (i64, a));
CALLEE(same_u8, u8, (u8, a));
CALLEE(same_u16, u16, (u16, a));
CALLEE(same_u32, u32, (u32, a));
CALLEE(same_u64, u64, (u64, a));
CALLEE(same_f32, f32, (f32, a));
CALLEE(same_f64, f64, (f64, a));
CALLEE(same_string, string, (string, a));
CALLEE(same_json, json, (json, a));
CALLEE(same_bytes, bytes, (bytes, a));
CALLEE(same_cursor, cursor, (cursor, a));
CALLEE(same_array, array(i16), (array(i16), a));
CALLEE(same_array_of_structs, array(loose), (array(mixed), a));
CALLEE(same_array_of_strings, array(string), (array(json), a));
CALLEE(optional_bool, optional(bool), (optional(bool), a));
CALLEE(optional_i8, optional(i8), (optional(i8), a));
CALLEE(optional_i16, optional(i16), (optional(i16), a));
CALLEE(optional_u32, optional(u32), (optional(u32), a));
CALLEE(optional_i64, optional(i64), (optional(i64), a));
CALLEE(optional_f32, optional(f32), (optional(f32), a));
CALLEE(optional_f64, optional(f64), (optional(f64), a));
CALLEE(optional_text, optional(string), (optional(string), a), (optional(json), b));
CALLEE(optional_bytes, optional(bytes), (optional(bytes), a));
CALLEE(optional_cursor, optional(cursor), (optional(cursor), a));
CALLEE(optional_floats, optional(floats), (optional(floats), a), (f32, b));
CALLEE(optional_loose, optional(loose), (optional(loose), a), (i8, b));
CALLEE(struct_one, one, (one, a), (one, b));
CALLEE(struct_three, three, (three, a), (i64, b));
CALLEE(struct_floats, floats, (floats, a), (f32, b), (floats, c));
CALLEE(struct_floats3, floats3, (floats3, a), (f64, b));
CALLEE(struct_mixed, mixed, (mixed, a), (mixed, b));
CALLEE(struct_doubles, doubles, (doubles, a), (doubles, b), (doubles, c), (doubles, d),
       (doubles, e));
CALLEE(struct_doubles3, doubles3, (doubles3, a), (f64, b));
CALLEE(struct_crossed, crossed, (crossed, a), (crossed, b), (f64, c), (i64, d));
CALLEE(struct_loose, loose, (loose, a), (bool, b));
CALLEE(struct_nested, nested, (nested, a), (string, b), (nested, c));
CALLEE(struct_deep, deep, (deep, a), (i8, b), (deep, c));
/* Registers that run out in the middle of something. */
CALLEE(late_struct, crossed, (i64, a), (i64, b), (i64, c), (i64, d), (bytes, e), (i8, f));
/* The sixth general register, and vector registers that are in use by then. */
CALLEE(sixth_crossed, f64, (f64, a), (i64, b), (bytes, c), (u8, d), (crossed, e), (f32, f));
CALLEE(sixth_crossed_of_memory, deep, (bytes, a), (f32, b), (i8, c), (crossed, d), (crossed, e));
CALLEE(sixth_optional, json, (i32, a), (array(bytes), b), (optional(f64), c), (optional(f64), d),
       (i64, e), (i32, f), (optional(bytes), g), (deep, h), (i16, i));
CALLEE(sixth_mixed, mixed, (f64, a), (u8, b), (u8, c), (u8, d), (u8, e), (mixed, f), (mixed, g));
CALLEE(sixth_short, crossed, (f32, a), (bytes, b), (bytes, c), (short_mixed, d), (f32, e), (i8, f));
CALLEE(sixth_late, f32, (f64, a), (i64, b), (bytes, c), (i8, d), (bytes, e), (crossed, f), (i8, g));
CALLEE(late_bytes, i64, (i8, a), (i16, b), (i32, c), (u8, d), (u16, e), (bytes, f), (u32, g));
CALLEE(many_integers, i8, (i8, a), (u8, b), (i16, c), (u16, d), (i32, e), (u32, f), (i64, g),
       (u64, h), (bool, i), (i8, j), (i16, k), (bool, l), (u8, m), (i32, n), (i64, o), (i8, p));
CALLEE(many_decimals, f64, (f32, a), (f64, b), (f32, c), (f64, d), (f32, e), (f64, f), (f32, g),
       (f64, h), (f32, i), (f64, j), (f32, k), (f64, l), (f32, m), (f64, n), (f32, o), (f64, p));
CALLEE(many_kinds, f32, (string, a), (f64, b), (deep, c), (i8, d), (floats, e), (optional(u16), f),
       (bytes, g), (bool, h), (f32, i), (array(string), j), (cursor, k), (doubles3, l), (json, m),
       (optional(deep), n), (u64, o), (three, p));

static berth_void nothing(berth_ctx *ctx)
{
    got.ctx = ctx;
}
static const struct callee callee_nothing = { "nothing", "void", NULL, 0, (void (*)(void))nothing };
static berth_void takes_only(berth_ctx *ctx, berth_i32 a)
{
    got.ctx = ctx;
    take(&a, sizeof(a));
}
static const struct callee callee_takes_only = { "takes_only", "void", parameters_same_i32, 1,
                                                 (void (*)(void))takes_only };
static berth_deep gives_only(berth_ctx *ctx)
{
    got.ctx = ctx;
    return *(const berth_deep *)got.result;
}
static const struct callee callee_gives_only = { "gives_only", "deep", NULL, 0,
                                                 (void (*)(void))gives_only };

static const struct callee *const callees[] = {
    &callee_same_bool,
    &callee_same_i8,
    &callee_same_i16,
    &callee_same_i32,
    &callee_same_i64,
    &callee_same_u8,
    &callee_same_u16,
    &callee_same_u32,
    &callee_same_u64,
    &callee_same_f32,
    &callee_same_f64,
    &callee_same_string,
    &callee_same_json,
    &callee_same_bytes,
    &callee_same_cursor,
    &callee_same_array,
    &callee_same_array_of_structs,
    &callee_same_array_of_strings,
    &callee_optional_bool,
    &callee_optional_i8,
    &callee_optional_i16,
    &callee_optional_u32,
    &callee_optional_i64,
    &callee_optional_f32,
    &callee_optional_f64,
    &callee_optional_text,
    &callee_optional_bytes,
    &callee_optional_cursor,
    &callee_optional_floats,
    &callee_optional_loose,
    &callee_struct_one,
    &callee_struct_three,
    &callee_struct_floats,
    &callee_struct_floats3,
    &callee_struct_mixed,
    &callee_struct_doubles,
    &callee_struct_doubles3,
    &callee_struct_crossed,
    &callee_struct_loose,
    &callee_struct_nested,
    &callee_struct_deep,
    &callee_late_struct,
    &callee_sixth_crossed,
    &callee_sixth_crossed_of_memory,
    &callee_sixth_optional,
    &callee_sixth_mixed,
    &callee_sixth_short,
    &callee_sixth_late,
    &callee_late_bytes,
    &callee_many_integers,
    &callee_many_decimals,
    &callee_many_kinds,
    &callee_nothing,
    &callee_takes_only,
    &callee_gives_only,
};

/* ---- tests ---- */

static const struct berth_signature *sign(struct berth_types *types, const struct callee *callee)
{
    const struct berth_signature *signature = NULL;
    struct berth_error error;
    CHECK_CODE(berth_signature_new(types, callee->result, callee->parameters, callee->count,
                                   &signature, &error),
               BERTH_OK, &error);
    REQUIRE(signature);
    return signature;
}

static struct berth_invoke *prepare(const struct berth_signature *signature)
{
    struct berth_invoke *invoke = NULL;
    struct berth_error error;
    CHECK_CODE(berth_invoke_new(signature, &invoke, &error), BERTH_OK, &error);
    REQUIRE(invoke);
    return invoke;
}

static void call_once(const struct callee *callee, const struct berth_signature *signature,
                      const struct berth_invoke *invoke, struct berth_arena *arena)
{
    const struct berth_type *type = signature->result;
    const void **arguments = berth_test_random_arguments(signature, arena);
    unsigned char *result = berth_arena_alloc(arena, type->size + 16);

    REQUIRE(result);
    memset(result, 0x5a, type->size + 16);
    memset(&got, 0, sizeof(got));
    got.result = berth_test_random_value(type, arena);
    berth_invoke_call(invoke, callee->code, &context, arguments,
                      type->kind == BERTH_KIND_VOID ? NULL : result);

    bool right = got.ctx == &context && got.count == callee->count;
    for (size_t i = 0; i < callee->count && right; i++)
        right = berth_test_same(signature->parameters[i].type, got.arguments[i], arguments[i]);
    if (type->kind != BERTH_KIND_VOID)
        right = right && berth_test_same(type, result, got.result);
    for (size_t i = 0; i < 16; i++) /* no byte more */
        right = right && result[type->size + i] == 0x5a;
    CHECK(right);
    if (!right)
        berth_note("in %s", callee->name);

    got.count = 0; /* and with the result dropped */
    berth_invoke_call(invoke, callee->code, &context, arguments, NULL);
    CHECK_INT(got.count, callee->count);
}

static void values_arrive_and_come_back(void)
{
    struct berth_types *types = make_types();
    struct berth_arena arena;

    berth_arena_init(&arena);
    for (size_t i = 0; i < COUNT(callees); i++) {
        const struct berth_signature *signature = sign(types, callees[i]);
        struct berth_invoke *invoke = prepare(signature);
        for (int round = 0; round < 200; round++) {
            call_once(callees[i], signature, invoke, &arena);
            berth_arena_reset(&arena);
        }
        berth_invoke_free(invoke);
    }
    berth_arena_deinit(&arena);
    berth_types_free(types);
}

/* It does not refer to the signature: a manifest may go before it. */
static void it_outlives_its_signature(void)
{
    struct berth_types *types = make_types();
    struct berth_invoke *invoke = prepare(sign(types, &callee_struct_nested));
    berth_nested first = { { 1, 2 }, { 3 }, { true, 4 } }, third = first, result;
    const char *text = "x";
    const void *const arguments[] = { &first, &text, &third };

    berth_types_free(types);
    got.count = 0;
    got.result = &first;
    berth_invoke_call(invoke, callee_struct_nested.code, &context, arguments, &result);
    CHECK(result.a.b == 2 && result.b.a == 3 && result.c.value == 4);
    berth_invoke_free(invoke);
}

static berth_f64 add(berth_ctx *ctx, berth_f64 a, berth_crossed b)
{
    return ctx ? 0 : a + (double)b.a + b.b;
}

static void *call_often(void *invoke)
{
    size_t wrong = 0;
    for (int i = 0; i < 20000; i++) {
        double a = i, result = 0;
        berth_crossed b = { i, 0.5 };
        berth_invoke_call(invoke, (void (*)(void))add, NULL, (const void *const[]){ &a, &b },
                          &result);
        wrong += result != 2 * a + 0.5;
    }
    return (void *)wrong;
}

static void threads_share_it(void)
{
    static const struct berth_text_parameter parameters[] = { { "f64", "a", "" },
                                                              { "crossed", "b", "" } };
    const struct callee callee = { "add", "f64", parameters, 2, NULL };
    struct berth_types *types = make_types();
    struct berth_invoke *invoke = prepare(sign(types, &callee));
    pthread_t threads[4];

    for (size_t i = 0; i < COUNT(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, call_often, invoke) == 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        CHECK(wrong == NULL);
    }
    berth_invoke_free(invoke);
    berth_types_free(types);
}

static void without_memory_it_says_so(void)
{
    struct berth_types *types = make_types();
    struct berth_error error;

    if (!berth_fault_works()) {
        berth_types_free(types);
        berth_skip("no allocation can be made to fail here");
    }
    for (size_t i = 0; i < COUNT(callees); i++) {
        const struct berth_signature *signature = sign(types, callees[i]);
        long live = berth_fault_live();
        for (unsigned long k = 1;; k++) {
            struct berth_invoke *invoke = NULL;
            berth_fault_arm(k, false);
            int code = berth_invoke_new(signature, &invoke, &error);
            bool hit = berth_fault_disarm();
            CHECK_INT(code, hit ? BERTH_RESOURCE_EXHAUSTED : BERTH_OK);
            CHECK((invoke == NULL) == hit);
            berth_invoke_free(invoke);
            CHECK_INT(berth_fault_live(), live);
            if (!hit)
                break;
        }
    }
    berth_types_free(types);
}

static const struct berth_test tests[] = {
    { "values_arrive_and_come_back", values_arrive_and_come_back },
    { "it_outlives_its_signature", it_outlives_its_signature },
    { "threads_share_it", threads_share_it },
    { "without_memory_it_says_so", without_memory_it_says_so },
};

int main(int argc, char **argv)
{
    return berth_suite_main("invoke", tests, COUNT(tests), argc, argv);
}
