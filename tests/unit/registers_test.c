/* SPDX-License-Identifier: MIT */
/*
 * Calls by register class. Each callee notes what it got, from where the compiler expects it. What
 * lies behind a value in memory is garbage.
 */
#include "runtime/value/registers.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static unsigned char got[256];
static size_t got_size;
static berth_ctx *got_ctx;

static void note(const void *value, size_t size)
{
    memcpy(got + got_size, value, size);
    got_size += size;
}
#define NOTE(value) note(&(value), sizeof(value))

/* ---- callees --------------------------------------------------------------------------------- */

static int8_t narrow(berth_ctx *ctx, bool a, int8_t b, uint8_t c, int16_t d, uint16_t e)
{
    int64_t sum = (int64_t)a + b + c + d + e; /* optimised callees trust in extended arguments */

    got_ctx = ctx;
    NOTE(a);
    NOTE(b);
    NOTE(c);
    NOTE(d);
    NOTE(e);
    NOTE(sum);
    return b;
}

static uint16_t wide(berth_ctx *ctx, int32_t a, uint32_t b, int64_t c, uint64_t d, const char *e)
{
    int64_t sum = (int64_t)a + b;

    got_ctx = ctx;
    NOTE(a);
    NOTE(b);
    NOTE(c);
    NOTE(d);
    NOTE(e);
    NOTE(sum);
    return (uint16_t)c;
}

static float decimals(berth_ctx *ctx, float a, double b, float c, double d, float e, double f,
                      float g, double h)
{
    got_ctx = ctx;
    NOTE(a);
    NOTE(b);
    NOTE(c);
    NOTE(d);
    NOTE(e);
    NOTE(f);
    NOTE(g);
    NOTE(h);
    return g;
}

static double mixed(berth_ctx *ctx, int32_t a, double b, const char *c, int64_t d, float e, bool f)
{
    got_ctx = ctx;
    NOTE(a);
    NOTE(b);
    NOTE(c);
    NOTE(d);
    NOTE(e);
    NOTE(f);
    return b;
}

static double spans(berth_ctx *ctx, berth_bytes a, double b, berth_array_f64 c, int8_t d)
{
    got_ctx = ctx;
    NOTE(a);
    NOTE(b);
    NOTE(c);
    NOTE(d);
    return b;
}

static const char *text(berth_ctx *ctx, const char *a)
{
    got_ctx = ctx;
    NOTE(a);
    return a;
}

static void nothing(berth_ctx *ctx)
{
    got_ctx = ctx;
}

static bool truth(berth_ctx *ctx, uint64_t a)
{
    got_ctx = ctx;
    NOTE(a);
    return a & 1;
}

static double decimal_only(berth_ctx *ctx, uint64_t a)
{
    got_ctx = ctx;
    NOTE(a);
    return (double)a;
}

/* ---- the test -------------------------------------------------------------------------------- */

struct callee {
    void (*code)(void);
    const char *result, *types[9]; /* of the parameters, up to NULL */
    int result_is;                 /* the parameter that is returned, or -1 */
    const char *sum_of;            /* which parameters' sum is noted at the end */
};
static const struct callee callees[] = {
    { (void (*)(void))narrow, "i8", { "bool", "i8", "u8", "i16", "u16" }, 1, "all" },
    { (void (*)(void))wide, "u16", { "i32", "u32", "i64", "u64", "string" }, 2, "first two" },
    { (void (*)(void))decimals,
      "f32",
      { "f32", "f64", "f32", "f64", "f32", "f64", "f32", "f64" },
      6,
      NULL },
    { (void (*)(void))mixed, "f64", { "i32", "f64", "string", "i64", "f32", "bool" }, 1, NULL },
    { (void (*)(void))spans, "f64", { "bytes", "f64", "array(f64)", "i8" }, 1, NULL },
    { (void (*)(void))text, "string", { "optional(string)" }, 0, NULL },
    { (void (*)(void))nothing, "void", { NULL }, -1, NULL },
    { (void (*)(void))truth, "bool", { "u64" }, -1, NULL },
    { (void (*)(void))decimal_only, "f64", { "u64" }, -1, NULL },
};

static const struct berth_signature *signature(struct berth_types *types, const char *result,
                                               const char *const *parameters)
{
    struct berth_text_parameter list[BERTH_PARAMETERS_MAX];
    const struct berth_signature *made = NULL;
    struct berth_error error;
    char names[BERTH_PARAMETERS_MAX][4];
    size_t count = 0;

    for (; parameters[count]; count++) {
        snprintf(names[count], sizeof(names[count]), "p%zu", count);
        list[count] = (struct berth_text_parameter){ parameters[count], names[count], NULL };
    }
    CHECK_CODE(berth_signature_new(types, result, list, count, &made, &error), BERTH_OK, &error);
    REQUIRE(made != NULL);
    return made;
}

/* Random, and often at the edges, where extending shows. */
static void fill(unsigned char *value, const struct berth_type *type)
{
    uint64_t bits[2] = { berth_test_random(), berth_test_random() };

    if (berth_test_random_below(3) == 0)
        memset(bits, berth_test_random_below(2) ? 0xff : 0x80, sizeof(bits));
    if (type->kind == BERTH_KIND_BOOL)
        bits[0] &= 1;
    if (type->kind == BERTH_KIND_F32 || type->kind == BERTH_KIND_F64)
        bits[0] &= ~(UINT64_C(1) << 62 | UINT64_C(1) << 30); /* no NaN, whose bits may change */
    memcpy(value, bits, type->size);
}

static int64_t as_integer(const struct berth_type *type, const unsigned char *value)
{
    uint64_t bits = 0;
    unsigned unused = 64 - 8 * (unsigned)type->size;
    bool is_signed = type->kind >= BERTH_KIND_I8 && type->kind <= BERTH_KIND_I64;

    memcpy(&bits, value, type->size);
    return is_signed ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
}

static void call_once(const struct callee *callee, const struct berth_signature *made,
                      const struct berth_registers *plan)
{
    static berth_ctx frames[4];
    unsigned char values[BERTH_PARAMETERS_MAX][32], want[256], result[16];
    const void *arguments[BERTH_PARAMETERS_MAX];
    size_t size = 0;
    int64_t sum = 0;

    for (size_t i = 0; i < made->count; i++) {
        const struct berth_type *type = made->parameters[i].type;
        memset(values[i], 0xa5, sizeof(values[i]));
        fill(values[i], type);
        arguments[i] = values[i];
        memcpy(want + size, values[i], type->size);
        size += type->size;
        if (callee->sum_of && (i < 2 || strcmp(callee->sum_of, "all") == 0))
            sum += as_integer(type, values[i]);
    }
    if (callee->sum_of) {
        memcpy(want + size, &sum, sizeof(sum));
        size += sizeof(sum);
    }
    got_size = 0;
    got_ctx = NULL;
    memset(result, 0x5a, sizeof(result));
    berth_registers_call(plan, callee->code, frames, arguments, made->result->size ? result : NULL);
    CHECK(got_ctx == frames);
    CHECK(got_size == size && memcmp(got, want, size) == 0);
    if (callee->result_is >= 0)
        CHECK(memcmp(result, values[callee->result_is], made->result->size) == 0);
    for (size_t i = made->result->size; i < sizeof(result); i++)
        CHECK_INT(result[i], 0x5a);
}

static void values_arrive(void)
{
    struct berth_types *types = berth_types_new();

    REQUIRE(types != NULL);
    for (size_t i = 0; i < COUNT(callees); i++) {
        const struct berth_signature *made = signature(types, callees[i].result, callees[i].types);
        struct berth_registers plan;
        if (!berth_registers_plan(&plan, made)) {
            berth_types_free(types);
            berth_skip("no calls by registers on this machine");
        }
        for (int round = 0; round < 1000; round++)
            call_once(&callees[i], made, &plan);
    }
    berth_types_free(types);
}

static void a_dropped_result_is_not_written(void)
{
    struct berth_types *types = berth_types_new();
    const char *const parameters[] = { "u64", NULL };
    struct berth_registers plan;
    uint64_t value = 7;
    const void *arguments[] = { &value };

    REQUIRE(types != NULL);
    if (berth_registers_plan(&plan, signature(types, "bool", parameters)))
        berth_registers_call(&plan, (void (*)(void))truth, NULL, arguments, NULL);
    berth_types_free(types);
}

static void what_does_not_fit_is_refused(void)
{
    static const char *const lists[][11] = {
        { "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64" },
        { "f64", "f64", "f64", "f64", "f64", "f64", "f64", "f64", "f64" },
        { "u64", "u64", "u64", "u64", "u64", "u64", "bytes" }, /* half of it would fit */
        { "pair" },
        { "optional(i32)" },
        { "optional(bytes)" },
    };
    static const struct berth_text_parameter fields[] = { { "i32", "a", NULL },
                                                          { "i32", "b", NULL } };
    static const char *const results[] = { "bytes", "pair", "array(f64)", "optional(f64)" };
    static const char *const none[] = { NULL };
    struct berth_types *types = berth_types_new();
    struct berth_registers plan;
    struct berth_error error;

    REQUIRE(types != NULL);
    CHECK_CODE(berth_types_add_struct(types, "pair", NULL, fields, 2, &error), BERTH_OK, &error);
    for (size_t i = 0; i < COUNT(lists); i++)
        CHECK(!berth_registers_plan(&plan, signature(types, "void", lists[i])));
    for (size_t i = 0; i < COUNT(results); i++)
        CHECK(!berth_registers_plan(&plan, signature(types, results[i], none)));
    berth_types_free(types);
}

static const struct berth_test tests[] = {
    { "values arrive", values_arrive },
    { "a dropped result is not written", a_dropped_result_is_not_written },
    { "what does not fit is refused", what_does_not_fit_is_refused },
};

int main(int argc, char **argv)
{
    return berth_suite_main("registers", tests, COUNT(tests), argc, argv);
}
