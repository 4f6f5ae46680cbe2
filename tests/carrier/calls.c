/* SPDX-License-Identifier: MIT */
/* Calls: every type, every way in, imports in both directions, serial modules, deadlines. */
#include "tests/carrier/conformance.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>

#define MS INT64_C(1000000)

/* ---- Types ---- */

static void each_type_comes_back(void)
{
    /* What goes in comes out, unless `out` says otherwise. */
    static const struct {
        const char *function, *in, *out;
    } values[] = {
        { "types.echo_i8", "[-128]", "-128" },
        { "types.echo_i8", "[127]", "127" },
        { "types.echo_i16", "[-32768]", "-32768" },
        { "types.echo_i32", "[2147483647]", "2147483647" },
        { "types.echo_i64", "[-9223372036854775808]", "-9223372036854775808" },
        { "types.echo_i64", "[9007199254740993]", "9007199254740993" },
        { "types.echo_i64", "[1e3]", "1000" },
        { "types.echo_u8", "[255]", "255" },
        { "types.echo_u16", "[65535]", "65535" },
        { "types.echo_u32", "[4294967295]", "4294967295" },
        { "types.echo_u64", "[18446744073709551615]", "18446744073709551615" },
        { "types.echo_f32", "[0.5]", "0.5" },
        { "types.echo_f64", "[0.1]", "0.1" },
        { "types.echo_f64", "[1e300]", "1e300" },
        { "types.echo_f64", "[\"-Infinity\"]", "\"-Infinity\"" },
        { "types.echo_f64", "[\"NaN\"]", "\"NaN\"" },
        { "types.echo_string", "[\"\"]", "\"\"" },
        { "types.echo_string", "[\"gr\u00fc\u00df \\\"dich\\\"\\n\"]",
          "\"gr\u00fc\u00df \\\"dich\\\"\\n\"" },
        { "types.echo_json", "[{\"a\":[1,{\"b\":null}]}]", "{\"a\":[1,{\"b\":null}]}" },
        { "types.echo_bytes", "[\"\"]", "\"\"" },
        { "types.echo_bytes", "[\"AAECAw==\"]", "\"AAECAw==\"" },
        { "types.echo_point", "[{\"x\":1.5,\"y\":-2}]", "{\"x\":1.5,\"y\":-2}" },
        { "types.echo_small", "[{\"a\":-1,\"b\":65535}]", "{\"a\":-1,\"b\":65535}" },
        { "types.echo_line",
          "[{\"from\":{\"x\":0,\"y\":1},\"to\":{\"x\":2,\"y\":3},\"label\":null}]",
          "{\"from\":{\"x\":0,\"y\":1},\"to\":{\"x\":2,\"y\":3},\"label\":null}" },
        { "types.echo_path", "[{\"points\":[{\"x\":1,\"y\":2},{\"x\":3,\"y\":4}],\"last\":null}]",
          "{\"points\":[{\"x\":1,\"y\":2},{\"x\":3,\"y\":4}],\"last\":null}" },
        { "types.echo_path",
          "[{\"points\":[],\"last\":{\"from\":{\"x\":0,\"y\":1},\"to\":{\"x\":2,\"y\":3},"
          "\"label\":\"here\"}}]",
          "{\"points\":[],\"last\":{\"from\":{\"x\":0,\"y\":1},\"to\":{\"x\":2,\"y\":3},"
          "\"label\":\"here\"}}" },
        { "types.echo_all",
          "[{\"b\":true,\"i1\":-1,\"i2\":-2,\"i4\":-4,\"i8\":-8,\"u1\":1,\"u2\":2,\"u4\":4,"
          "\"u8\":8,\"f4\":0.25,\"f8\":0.125,\"s\":\"s\",\"j\":[1],\"d\":\"eHl6\","
          "\"list\":[1,-2,3],\"maybe\":2.5}]",
          "{\"b\":true,\"i1\":-1,\"i2\":-2,\"i4\":-4,\"i8\":-8,\"u1\":1,\"u2\":2,\"u4\":4,"
          "\"u8\":8,\"f4\":0.25,\"f8\":0.125,\"s\":\"s\",\"j\":[1],\"d\":\"eHl6\","
          "\"list\":[1,-2,3],\"maybe\":2.5}" },
    };
    berth_host *host = conformance_host();

    LOAD(host, "types", conformance.placement);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        CHECK_CALL(host, values[i].function, values[i].in, values[i].out);
    berth_host_free(host);
}

static void random_numbers_come_back(void)
{
    berth_host *host = conformance_host();
    int64_t i64, back;
    uint64_t u64, uback;
    double f64, fback;
    const void *const i_args[] = { &i64 }, *const u_args[] = { &u64 }, *const f_args[] = { &f64 };
    berth_function *echo_i, *echo_u, *echo_f;
    struct berth_error error;

    LOAD(host, "types", conformance.placement);
    CHECK_CODE(berth_function_find(host, "types.echo_i64", &echo_i, &error), BERTH_OK, &error);
    CHECK_CODE(berth_function_find(host, "types.echo_u64", &echo_u, &error), BERTH_OK, &error);
    CHECK_CODE(berth_function_find(host, "types.echo_f64", &echo_f, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < 300; i++) {
        uint64_t random = berth_test_random() >> berth_test_random_below(64);
        i64 = (int64_t)random;
        u64 = random;
        memcpy(&f64, &random, sizeof(f64));
        CHECK_INT(berth_function_invoke(echo_i, ctx, i_args, &back), BERTH_OK);
        CHECK_INT(back, i64);
        CHECK_INT(berth_function_invoke(echo_u, ctx, u_args, &uback), BERTH_OK);
        CHECK(uback == u64);
        CHECK_INT(berth_function_invoke(echo_f, ctx, f_args, &fback), BERTH_OK);
        CHECK(isnan(f64) ? isnan(fback) : !memcmp(&f64, &fback, sizeof(f64)));
    }
    berth_leave(ctx);
    berth_function_free(echo_i);
    berth_function_free(echo_u);
    berth_function_free(echo_f);
    berth_host_free(host);
}

static void large_values_come_back(void)
{
    enum { SIZE = 3 << 20 };
    berth_host *host = conformance_host();
    char *text = berth_test_alloc(SIZE + 1);
    struct berth_value in = { .kind = BERTH_VALUE_STRING, .as.string = text }, out = { 0 };

    LOAD(host, "types", conformance.placement);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)('a' + berth_test_random_below(26));
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_call(ctx, "types.echo_string", &in, 1, &out), BERTH_OK);
    CHECK_INT(out.kind, BERTH_VALUE_STRING);
    CHECK(out.as.string && !strcmp(out.as.string, text));
    in = (struct berth_value){ .kind = BERTH_VALUE_BYTES, .as.bytes = { text, SIZE } };
    CHECK_INT(berth_call(ctx, "types.echo_bytes", &in, 1, &out), BERTH_OK);
    CHECK_INT(out.as.bytes.size, SIZE);
    CHECK(out.as.bytes.size == SIZE && !memcmp(out.as.bytes.data, text, SIZE));
    berth_leave(ctx);
    berth_host_free(host);
}

/* ---- Ways in ---- */

BERTH_BOUND(f64, add, (f64, a), (f64, b));
BERTH_BOUND(string, hello, (string, name));
BERTH_BOUND(void, nothing);

static void values_by_name(void)
{
    berth_host *host = conformance_host();
    struct berth_value in[] = { { .kind = BERTH_VALUE_F64, .as.f64 = 1.5 },
                                { .kind = BERTH_VALUE_I64, .as.i64 = 2 } };
    struct berth_value out = { .kind = 99 };

    LOAD(host, "math", conformance.placement);
    LOAD(host, "greet", conformance.placement);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_call(ctx, "math.add", in, 2, &out), BERTH_OK);
    CHECK_INT(out.kind, BERTH_VALUE_F64);
    CHECK(out.as.f64 == 3.5);
    in[0] = (struct berth_value){ .kind = BERTH_VALUE_U64, .as.u64 = 7 };
    CHECK_INT(berth_call(ctx, "math.negate", in, 1, &out), BERTH_OK);
    CHECK_INT(out.kind, BERTH_VALUE_I64);
    CHECK_INT(out.as.i64, -7);
    CHECK_INT(berth_call(ctx, "math.nothing", NULL, 0, &out), BERTH_OK);
    CHECK_INT(out.kind, BERTH_VALUE_VOID);
    CHECK_INT(berth_call(ctx, "math.nothing", NULL, 0, NULL), BERTH_OK);

    static const double numbers[] = { 1, 2, 3.5 };
    const berth_array(f64) array = { numbers, 3 };
    in[0] = (struct berth_value){ .kind = BERTH_VALUE_MEMORY, .as.memory = &array };
    CHECK_INT(berth_call(ctx, "math.sum", in, 1, &out), BERTH_OK);
    CHECK(out.as.f64 == 6.5);

    in[0] = (struct berth_value){ .kind = BERTH_VALUE_STRING, .as.string = "world" };
    CHECK_INT(berth_call(ctx, "greet.hello", in, 1, &out), BERTH_OK);
    CHECK_INT(out.kind, BERTH_VALUE_STRING);
    CHECK_STR(out.as.string, "Hello, world");
    berth_leave(ctx);
    berth_host_free(host);
}

static void bound_calls(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;
    add_bound add;
    hello_bound hello;
    nothing_bound nothing;

    LOAD(host, "math", conformance.placement);
    LOAD(host, "greet", conformance.placement);
    CHECK_CODE(berth_bind(host, "math.add", add, &add, &error), BERTH_OK, &error);
    CHECK_CODE(berth_bind(host, "greet.hello", hello, &hello, &error), BERTH_OK, &error);
    CHECK_CODE(berth_bind(host, "math.nothing", nothing, &nothing, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < 50; i++)
        CHECK(add_call(&add, ctx, i, 0.5) == i + 0.5);
    const char *one = hello_call(&hello, ctx, "one"), *two = hello_call(&hello, ctx, "two");
    CHECK_STR(one, "Hello, one");
    CHECK_STR(two, "Hello, two");
    nothing_call(&nothing, ctx);
    CHECK(!berth_failed(ctx));

    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    CHECK(add_call(&add, ctx, 1, 2) == 0);
    CHECK_INT(berth_error_code(ctx), BERTH_UNAVAILABLE);
    berth_clear(ctx);
    LOAD(host, "math", conformance.placement);
    CHECK(add_call(&add, ctx, 1, 2) == 3);
    CHECK(!berth_failed(ctx));
    CHECK_STR(one, "Hello, one"); /* until berth_leave */
    berth_leave(ctx);
    berth_unbind(host, &add);
    berth_unbind(host, &hello);
    berth_unbind(host, &nothing);
    berth_host_free(host);
}

BERTH_BOUND(f64, wrong, (f64, a), (i64, b));

static void binding_what_does_not_fit_is_refused(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;
    wrong_bound wrong;
    add_bound add;

    CHECK_CODE(berth_bind(host, "math.add", add, &add, &error), BERTH_NOT_FOUND, &error);
    CHECK_CONTAINS(error.text, "math");
    LOAD(host, "math", conformance.placement);
    CHECK_CODE(berth_bind(host, "math.add", wrong, &wrong, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CONTAINS(error.text, "math.add");
    CHECK_CODE(berth_bind(host, "math.ad", add, &add, &error), BERTH_NOT_FOUND, &error);
    berth_host_free(host);
}

static void imports_that_do_not_fit_are_refused(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "disagreer", conformance.placement); /* first: after math it would not be loaded */
    LOAD(host, "math", conformance.other);
    CHECK_FAILS(host, "disagreer.ask", "[]", BERTH_FAILED_PRECONDITION,
                "math.negate(string a) -> string is expected, but the module has "
                "math.negate(i64 a) -> i64");
    CHECK_CALL(host, "math.negate", "[1]", "-1");
    berth_host_free(host);
}

static void functions_by_handle(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;
    berth_function *add = NULL;
    const double a = 1, b = 2;
    double sum = 0;

    CHECK_CODE(berth_function_find(host, "math.add", &add, &error), BERTH_NOT_FOUND, &error);
    CHECK(!add);
    LOAD(host, "math", conformance.placement);
    CHECK_CODE(berth_function_find(host, "math.add", &add, &error), BERTH_OK, &error);
    REQUIRE(add);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_function_invoke(add, ctx, (const void *const[]){ &a, &b }, &sum), BERTH_OK);
    CHECK(sum == 3);
    CHECK_INT(berth_function_invoke(add, ctx, (const void *const[]){ &a, &b }, NULL), BERTH_OK);
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    CHECK_INT(berth_function_invoke(add, ctx, (const void *const[]){ &a, &b }, &sum),
              BERTH_UNAVAILABLE);
    CHECK(berth_failed(ctx));
    berth_clear(ctx);
    LOAD(host, "math", conformance.placement);
    CHECK_INT(berth_function_invoke(add, ctx, (const void *const[]){ &b, &b }, &sum), BERTH_OK);
    CHECK(sum == 4);
    berth_leave(ctx);
    berth_function_free(add);
    berth_function_free(NULL);
    berth_host_free(host);
}

static const char *call_words(berth_ctx *ctx, const char *function, const char *const *texts,
                              bool as_json)
{
    struct berth_word words[3];
    struct berth_words_call call = { .size = sizeof(call), .words = words, .as_json = as_json };
    struct berth_words_result result = { 0 };

    for (; call.count < 3 && texts[call.count]; call.count++)
        words[call.count] = (struct berth_word){ texts[call.count], strlen(texts[call.count]) };
    if (berth_call_words(ctx, function, &call, &result) != BERTH_OK)
        return berth_error_text(ctx);
    CHECK(result.data && result.data[result.size] == '\0');
    const char *text = berth_test_format("%s", result.data ? result.data : "");
    berth_free(result.data);
    return text;
}

static void words_as_people_type_them(void)
{
    static const struct {
        const char *function, *words[3], *text, *json;
    } calls[] = {
        { "math.add", { "1", "-5" }, "-4", "-4" },
        { "math.add", { "b=1", "a=2" }, "3", "3" },
        { "math.nothing", { NULL }, "", "null" },
        { "greet.hello", { "you" }, "Hello, you", "\"Hello, you\"" },
        { "greet.hello", { "name=you" }, "Hello, you", "\"Hello, you\"" },
        { "greet.hello", { "x=y" }, "Hello, x=y", "\"Hello, x=y\"" },
        { "math.sum", { "[1,2,3]" }, "6", "6" },
        { "types.echo_bytes", { "abc" }, "abc", "\"YWJj\"" },
    };
    berth_host *host = conformance_host();

    LOAD(host, "math", conformance.placement);
    LOAD(host, "greet", conformance.placement);
    LOAD(host, "types", conformance.placement);
    berth_ctx *ctx = berth_host_enter(host);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        CHECK_STR(call_words(ctx, calls[i].function, calls[i].words, false), calls[i].text);
        CHECK_STR(call_words(ctx, calls[i].function, calls[i].words, true), calls[i].json);
    }
    CHECK(!berth_failed(ctx));
    CHECK_CONTAINS(call_words(ctx, "math.add", (const char *const[]){ "1", "x", NULL }, false),
                   "b");
    CHECK_INT(berth_error_code(ctx), BERTH_INVALID_ARGUMENT);
    berth_clear(ctx);
    const struct berth_words_call sizeless = { .size = 0 };
    struct berth_words_result none;
    CHECK_INT(berth_call_words(ctx, "math.nothing", &sizeless, &none), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(berth_error_text(ctx), "berth_words_call.size is 0");
    berth_clear(ctx);
    berth_leave(ctx);
    berth_host_free(host);
}

/* ---- Imports ---- */

static void modules_call_one_another(void)
{
    const char *const places[][3] = {
        { conformance.placement, conformance.placement, conformance.placement },
        { conformance.placement, conformance.other, conformance.placement },
        { conformance.other, conformance.placement, conformance.other },
        { conformance.other, conformance.other, conformance.placement },
        { conformance.placement, conformance.other, conformance.other },
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        berth_host *host = conformance_host();
        LOAD(host, "chain_a", places[i][0]);
        CHECK_FAILS(host, "chain_a.half", "[3]", BERTH_UNAVAILABLE, "chain_b");
        LOAD(host, "chain_b", places[i][1]);
        LOAD(host, "chain_c", places[i][2]);
        CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
        CHECK_CALL(host, "chain_a.path", "[\"\"]", "\"abc\"");
        CHECK_FAILS(host, "chain_a.half", "[-1]", BERTH_OUT_OF_RANGE, "x is -1: below 0");
        CHECK_CALL(host, "chain_a.half", "[4]", "2");
        berth_host_free(host);
    }
}

static void callbacks_of_the_c_library_find_their_ctx(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "current", conformance.placement);
    LOAD(host, "math", conformance.other);
    CHECK_CALL(host, "current.sort", "[[3,1,2,-7.5,1]]", "[-7.5,1,1,2,3]");
    CHECK_CALL(host, "current.sort", "[[]]", "[]");
    berth_host_free(host);
}

static void calls_may_go_deep_but_not_too_deep(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "deep", conformance.placement);
    CHECK_CALL(host, "deep.down", "[100]", "100");
    CHECK_FAILS(host, "deep.down", "[1000000]", BERTH_RESOURCE_EXHAUSTED, "deep");
    CHECK_CALL(host, "deep.down", "[300]", "300");
    berth_host_free(host);
}

/* ---- Serial and parallel ---- */

struct nap {
    berth_host *host;
    const char *function;
};

static void *take_naps(void *argument)
{
    const struct nap *nap = argument;
    for (int i = 0; i < 5; i++)
        CHECK_CALL(nap->host, nap->function, "[3]", "3");
    return NULL;
}

static void nap_together(const struct nap *nap)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, take_naps, (void *)(uintptr_t)nap);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void one_thread_is_inside_a_serial_module(void)
{
    berth_host *host = conformance_host();
    struct nap nap = { host, "sleeper.nap" };

    LOAD(host, "sleeper", conformance.placement);
    nap_together(&nap);
    CHECK_CALL(host, "sleeper.most_inside", "[]", "1");
    berth_host_free(host);
}

static void several_threads_are_inside_a_parallel_module(void)
{
    berth_host *host = conformance_host();
    struct berth_test_held held[3];

    LOAD(host, "sleeper_parallel", conformance.placement);
    for (size_t i = 0; i < 3; i++)
        berth_test_hold(&held[i], host, "sleeper_parallel.hold");
    CHECK_CALL(host, "sleeper_parallel.most_inside", "[]", "3");
    for (size_t i = 0; i < 3; i++) {
        berth_test_release(&held[i]);
        berth_test_join(&held[i]);
        CHECK_CODE(held[i].code, BERTH_OK, &held[i].error);
    }
    berth_host_free(host);
}

static void a_chain_that_comes_back_is_refused(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "ring", conformance.placement);
    CHECK_CALL(host, "ring.again", "[0]", "0");
    CHECK_FAILS(host, "ring.again", "[1]", BERTH_ABORTED, "it would wait for itself: ring.again");
    CHECK_CALL(host, "ring.again", "[0]", "0");
    berth_host_free(host);
}

static void a_chain_comes_back_into_a_reentrant_module(void)
{
    static const char *const ways[] = { "bound", "twin", "name" };
    berth_host *host = conformance_host();

    LOAD(host, "spiral", conformance.placement);
    berth_test_load_as(host, "spiral", "twin", "inline");
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
            CHECK_CALL(host, "spiral.down", berth_test_format("[9,\"%s\"]", ways[i]), "9");
        CHECK_CODE(berth_host_unload(host, "twin", NULL), BERTH_OK, NULL);
        berth_test_load_as(host, "spiral", "twin", conformance.placement);
    }
    berth_host_free(host);
}

/* It has come back and left again, and is still inside. */
static void nobody_else_comes_into_a_reentrant_module(void)
{
    berth_host *host = conformance_host();
    struct berth_test_held held;
    struct berth_error error;

    LOAD(host, "spiral", conformance.placement);
    berth_test_hold(&held, host, "spiral.hold");
    CHECK_CODE(berth_test_try(host, "spiral.down", "[0,\"bound\"]", 20 * MS, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    berth_test_release(&held);
    berth_test_join(&held);
    CHECK_CODE(held.code, BERTH_OK, &held.error);
    for (int i = 0; i < 2100; i++) /* then it has the gate's pass, if it has one */
        CHECK_CALL(host, "spiral.down", "[2,\"bound\"]", "2");
    berth_test_hold(&held, host, "spiral.hold");
    CHECK_CODE(berth_test_try(host, "spiral.down", "[0,\"bound\"]", 20 * MS, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    berth_test_release(&held);
    berth_test_join(&held);
    berth_host_free(host);
}

static void *answer_sums(void *argument)
{
    berth_host *host = argument;
    for (int i = 0; i < 200; i++) {
        const char *in = berth_test_format("[%d,%d]", i, 1000);
        CHECK_CALL(host, "math.add", in, berth_test_format("%d", i + 1000));
        in = berth_test_format("[\"%p %d\"]", argument, i);
        CHECK_CALL(host, "greet.hello", in, berth_test_format("\"Hello, %p %d\"", argument, i));
    }
    return NULL;
}

static void every_thread_gets_its_own_answers(void)
{
    berth_host *host = conformance_host();
    pthread_t threads[4];

    LOAD(host, "math", conformance.placement);
    LOAD(host, "greet", conformance.placement);
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, answer_sums, host);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    berth_host_free(host);
}

/* ---- Deadlines ---- */

static void the_callee_sees_the_deadline(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;
    const char *left = "0";

    LOAD(host, "sleeper", conformance.placement);
    CHECK_CALL(host, "sleeper.left", "[]", "9223372036854775807");
    CHECK_CODE(berth_test_try(host, "sleeper.left", "[]", berth_test_patience(), &left, &error),
               BERTH_OK, &error);
    CHECK(strtoll(left, NULL, 10) > 0);
    CHECK(strtoll(left, NULL, 10) <= berth_test_patience());
    berth_host_free(host);
}

static void a_late_answer_is_an_error(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "sleeper_parallel", conformance.placement);
    CHECK_CODE(berth_test_try(host, "sleeper_parallel.nap", "[60]", 20 * MS, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CONTAINS(error.text, "sleeper_parallel.nap");
    CHECK_CALL(host, "sleeper_parallel.nap", "[1]", "1");
    berth_host_free(host);
}

static void a_callee_learns_that_it_should_stop(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;
    int64_t start = berth_test_now();

    LOAD(host, "sleeper", conformance.placement);
    const char *long_time = berth_test_format("[%lld]", (long long)(berth_test_patience() / MS));
    CHECK_CODE(berth_test_try(host, "sleeper.wait", long_time, 20 * MS, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CALL(host, "sleeper.wait", "[1]", "false"); /* serial: it has stopped, or this waits */
    CHECK(berth_test_now() - start < berth_test_patience());
    berth_host_free(host);
}

static void waiting_for_a_busy_module_ends_at_the_deadline(void)
{
    berth_host *host = conformance_host();
    struct berth_test_held held;
    struct berth_error error;

    LOAD(host, "sleeper", conformance.placement);
    berth_test_hold(&held, host, "sleeper.hold");
    CHECK_CODE(berth_test_try(host, "sleeper.most_inside", "[]", 10 * MS, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    berth_test_release(&held);
    berth_test_join(&held);
    CHECK_CODE(held.code, BERTH_OK, &held.error);
    CHECK_CALL(host, "sleeper.most_inside", "[]", "1");
    berth_host_free(host);
}

const struct berth_test conformance_calls[] = {
    { "each_type_comes_back", each_type_comes_back },
    { "random_numbers_come_back", random_numbers_come_back },
    { "large_values_come_back", large_values_come_back },
    { "values_by_name", values_by_name },
    { "bound_calls", bound_calls },
    { "binding_what_does_not_fit_is_refused", binding_what_does_not_fit_is_refused },
    { "imports_that_do_not_fit_are_refused", imports_that_do_not_fit_are_refused },
    { "functions_by_handle", functions_by_handle },
    { "words_as_people_type_them", words_as_people_type_them },
    { "modules_call_one_another", modules_call_one_another },
    { "callbacks_of_the_c_library_find_their_ctx", callbacks_of_the_c_library_find_their_ctx },
    { "calls_may_go_deep_but_not_too_deep", calls_may_go_deep_but_not_too_deep },
    { "one_thread_is_inside_a_serial_module", one_thread_is_inside_a_serial_module },
    { "several_threads_are_inside_a_parallel_module",
      several_threads_are_inside_a_parallel_module },
    { "a_chain_that_comes_back_is_refused", a_chain_that_comes_back_is_refused },
    { "a_chain_comes_back_into_a_reentrant_module", a_chain_comes_back_into_a_reentrant_module },
    { "nobody_else_comes_into_a_reentrant_module", nobody_else_comes_into_a_reentrant_module },
    { "every_thread_gets_its_own_answers", every_thread_gets_its_own_answers },
    { "the_callee_sees_the_deadline", the_callee_sees_the_deadline },
    { "a_late_answer_is_an_error", a_late_answer_is_an_error },
    { "a_callee_learns_that_it_should_stop", a_callee_learns_that_it_should_stop },
    { "waiting_for_a_busy_module_ends_at_the_deadline",
      waiting_for_a_busy_module_ends_at_the_deadline },
    { NULL, NULL },
};
