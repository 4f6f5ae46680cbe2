/* SPDX-License-Identifier: MIT */
/* What goes wrong in a call, and how a caller hears of it. */
#include "tests/carrier/conformance.h"

static void every_code_comes_through(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "faulty", conformance.placement);
    for (int code = BERTH_CANCELLED; code <= BERTH_UNAUTHENTICATED; code++) {
        const char *arguments = berth_test_format("[%d,\"gr\u00fcn %d\"]", code, code);
        CHECK_FAILS(host, "faulty.fail", arguments, code, berth_test_format("gr\u00fcn %d", code));
    }
    CHECK_CALL(host, "faulty.fine", "[]", "1");
    berth_host_free(host);
}

static void codes_that_are_none_become_unknown(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "faulty", conformance.placement);
    CHECK_FAILS(host, "faulty.fail", "[99,\"odd\"]", BERTH_UNKNOWN, "odd");
    CHECK_FAILS(host, "faulty.fail", "[0,\"fine?\"]", BERTH_UNKNOWN, "fine?");
    CHECK_FAILS(host, "faulty.fail", "[-1,\"below\"]", BERTH_UNKNOWN, "below");
    berth_host_free(host);
}

static void a_second_error_keeps_the_first_as_its_cause(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "faulty", conformance.placement);
    CHECK_FAILS(host, "faulty.fail_twice", "[]", BERTH_ABORTED, "the second");
    CHECK_FAILS(host, "faulty.fail_twice", "[]", BERTH_ABORTED, "the first");
    berth_host_free(host);
}

static void long_texts_are_cut_at_a_character(void)
{
    berth_host *host = conformance_host();
    char *text = berth_test_alloc(6001);
    struct berth_error error;

    LOAD(host, "faulty", conformance.placement);
    for (size_t i = 0; i < 6000; i += 2)
        memcpy(text + i, "\u00e4", 2);
    CHECK_CODE(
        berth_test_try(host, "faulty.fail", berth_test_format("[5,\"%s\"]", text), 0, NULL, &error),
        BERTH_NOT_FOUND, &error);
    CHECK_CONTAINS(error.text, "\u00e4\u00e4\u00e4");
    berth_host_free(host);
}

static void errors_tell_the_way_that_they_came(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "faulty", conformance.placement);
    LOAD(host, "catcher", conformance.other);
    CHECK_FAILS(host, "catcher.pass", "[5]", BERTH_NOT_FOUND, "not handled");
    CHECK_FAILS(host, "catcher.pass", "[5]", BERTH_NOT_FOUND, "faulty.fail");
    CHECK_FAILS(host, "catcher.pass", "[5]", BERTH_NOT_FOUND, "catcher.pass");
    berth_host_free(host);
}

/* An error belongs to the frame whose call failed, until that frame clears it. */
static void handled_errors_are_nobody_elses(void)
{
    const char *const places[][2] = { { conformance.placement, conformance.placement },
                                      { conformance.placement, conformance.other },
                                      { conformance.other, conformance.placement } };

    for (size_t i = 0; i < 3; i++) {
        berth_host *host = conformance_host();
        LOAD(host, "faulty", places[i][0]);
        LOAD(host, "catcher", places[i][1]);
        CHECK_CALL(host, "catcher.handle", "[5]", "5");
        CHECK_CALL(host, "catcher.handle", "[14]", "14");
        CHECK_FAILS(host, "catcher.pass_later", "[]", BERTH_NOT_FOUND, "not handled");
        CHECK_CALL(host, "catcher.asks", "[]", "false");
        CHECK_CALL(host, "catcher.leaks", "[]", "false");
        CHECK_CALL(host, "catcher.empty", "[]", "0");
        CHECK_CONTAINS(CALL(host, "catcher.words", "[]"), "no such thing");
        berth_host_free(host);
    }
}

static void errors_of_the_application_come_through(void)
{
    berth_host *host = conformance_host();
    struct berth_value in[2] = { { .kind = BERTH_VALUE_I64, .as.i64 = BERTH_ABORTED },
                                 { .kind = BERTH_VALUE_STRING, .as.string = "one" } };
    struct berth_value out;

    LOAD(host, "faulty", conformance.placement);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_call(ctx, "faulty.fail", in, 2, &out), BERTH_ABORTED);
    CHECK(berth_failed(ctx));
    CHECK_INT(berth_error_code(ctx), BERTH_ABORTED);
    CHECK_CONTAINS(berth_error_text(ctx), "one");
    CHECK_INT(berth_call(ctx, "faulty.fine", NULL, 0, &out), BERTH_OK); /* and the old one stays */
    CHECK_INT(berth_error_code(ctx), BERTH_ABORTED);
    berth_clear(ctx);
    CHECK(!berth_failed(ctx));
    CHECK_STR(berth_error_text(ctx), "");
    CHECK_INT(berth_error_code(ctx), BERTH_OK);
    berth_leave(ctx);
    berth_host_free(host);
}

/* ---- Calls that never reach the callee ---- */

static void unknown_functions_are_named(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "math", conformance.placement);
    CHECK_FAILS(host, "math.ad", "[1,2]", BERTH_NOT_FOUND, "module math has no function ad");
    CHECK_FAILS(host, "math.ad", "[1,2]", BERTH_NOT_FOUND, "add"); /* did you mean */
    CHECK_FAILS(host, "moth.add", "[1,2]", BERTH_NOT_FOUND, "moth");
    CHECK_FAILS(host, "add", "[1,2]", BERTH_INVALID_ARGUMENT, "add");
    CHECK_FAILS(host, "", "[1,2]", BERTH_INVALID_ARGUMENT, "");
    CHECK_FAILS(host, "math.", "[]", BERTH_INVALID_ARGUMENT, "math.");
    CHECK_FAILS(host, "math.add.more", "[]", BERTH_INVALID_ARGUMENT, "math.add.more");
    berth_host_free(host);
}

static void wrong_arguments_are_named(void)
{
    static const struct {
        const char *function, *arguments, *part;
        int code, or_code;
    } calls[] = {
        { "math.add", "[1]", "b", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "[1,2,3]", "2", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "[1,\"2\"]", "b", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "[1,null]", "b", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "{\"a\":1}", "b", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "{\"a\":1,\"b\":2,\"bb\":3}", "bb", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "{\"a\":1,\"a\":1,\"b\":2}", "a", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "[1,2", "1", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "7", "", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "[1,2] x", "", BERTH_INVALID_ARGUMENT, 0 },
        { "math.add", "[1,1e400]", "b", BERTH_OUT_OF_RANGE, BERTH_INVALID_ARGUMENT },
        { "math.negate", "[1.5]", "a", BERTH_INVALID_ARGUMENT, 0 },
        { "math.negate", "[9223372036854775808]", "a", BERTH_OUT_OF_RANGE, 0 },
        { "types.echo_i8", "[128]", "value", BERTH_OUT_OF_RANGE, 0 },
        { "types.echo_u8", "[-1]", "value", BERTH_OUT_OF_RANGE, 0 },
        { "types.echo_u64", "[18446744073709551616]", "value", BERTH_OUT_OF_RANGE, 0 },
        { "types.echo_f32", "[1e39]", "value", BERTH_OUT_OF_RANGE, 0 },
        { "types.echo_string", "[\"\xff\"]", "", BERTH_INVALID_ARGUMENT, 0 },
        { "types.echo_string", "[\"\\ud800\"]", "", BERTH_INVALID_ARGUMENT, 0 },
        { "types.echo_bytes", "[\"a\"]", "value", BERTH_INVALID_ARGUMENT, 0 },
        { "types.echo_point", "[{\"x\":1}]", "y", BERTH_INVALID_ARGUMENT, 0 },
        { "types.echo_point", "[{\"x\":1,\"y\":2,\"z\":3}]", "z", BERTH_INVALID_ARGUMENT, 0 },
        { "types.echo_path", "[{\"points\":[{\"x\":1,\"y\":\"2\"}],\"last\":null}]", "points[0].y",
          BERTH_INVALID_ARGUMENT, 0 },
    };
    berth_host *host = conformance_host();

    LOAD(host, "math", conformance.placement);
    LOAD(host, "types", conformance.placement);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct berth_error error;
        int code = berth_test_try(host, calls[i].function, calls[i].arguments, 0, NULL, &error);
        if (code != calls[i].or_code || !calls[i].or_code)
            CHECK_CODE(code, calls[i].code, &error);
        CHECK_CONTAINS(error.text, calls[i].part);
    }
    CHECK_CALL(host, "math.add", "[1,2]", "3"); /* and it serves on */
    berth_host_free(host);
}

static void wrong_values_are_named(void)
{
    berth_host *host = conformance_host();
    struct berth_value values[3] = { 0 }, out;

    LOAD(host, "math", conformance.placement);
    LOAD(host, "types", conformance.placement);
    berth_ctx *ctx = berth_host_enter(host);
#define CHECK_VALUE(function, count, value, code, part)                  \
    do {                                                                 \
        values[0] = (struct berth_value)value;                           \
        CHECK_CODE(berth_call(ctx, function, values, count, &out), code, \
                   &(struct berth_error){ .text = "by value" });         \
        CHECK_CONTAINS(berth_error_text(ctx), part);                     \
        berth_clear(ctx);                                                \
    } while (0)
#define VALUE(...) { __VA_ARGS__ }
    CHECK_VALUE("types.echo_i8", 0, VALUE(0), BERTH_INVALID_ARGUMENT, "echo_i8");
    CHECK_VALUE("types.echo_i8", 2, VALUE(0), BERTH_INVALID_ARGUMENT, "echo_i8");
    CHECK_VALUE("types.echo_i8", 1, VALUE(.kind = BERTH_VALUE_I64, .as.i64 = 128),
                BERTH_OUT_OF_RANGE, "value");
    CHECK_VALUE("types.echo_u8", 1, VALUE(.kind = BERTH_VALUE_I64, .as.i64 = -1),
                BERTH_OUT_OF_RANGE, "value");
    CHECK_VALUE("types.echo_i64", 1, VALUE(.kind = BERTH_VALUE_U64, .as.u64 = UINT64_MAX),
                BERTH_OUT_OF_RANGE, "value");
    CHECK_VALUE("types.echo_i8", 1, VALUE(.kind = BERTH_VALUE_F64, .as.f64 = 1),
                BERTH_INVALID_ARGUMENT, "value");
    CHECK_VALUE("types.echo_i8", 1, VALUE(.kind = 1234), BERTH_INVALID_ARGUMENT, "value");
    CHECK_VALUE("types.echo_string", 1, VALUE(.kind = BERTH_VALUE_STRING, .as.string = NULL),
                BERTH_INVALID_ARGUMENT, "value");
    CHECK_VALUE("types.echo_string", 1, VALUE(.kind = BERTH_VALUE_STRING, .as.string = "a\xff"),
                BERTH_INVALID_ARGUMENT, "value");
    CHECK_VALUE("types.echo_json", 1, VALUE(.kind = BERTH_VALUE_JSON, .as.string = "{"),
                BERTH_INVALID_ARGUMENT, "value");
    CHECK_VALUE("types.echo_bytes", 1, VALUE(.kind = BERTH_VALUE_BYTES, .as.bytes = { NULL, 3 }),
                BERTH_INVALID_ARGUMENT, "value");
    CHECK_VALUE("types.echo_point", 1, VALUE(.kind = BERTH_VALUE_MEMORY, .as.memory = NULL),
                BERTH_INVALID_ARGUMENT, "value");
    berth_leave(ctx);
    berth_host_free(host);
}

static void what_is_too_large_is_refused(void)
{
    enum { SIZE = 100 << 20 };
    char *text;
    struct berth_value value = { .kind = BERTH_VALUE_STRING }, out;

    if (berth_test_instrumented())
        berth_skip("takes too much memory here");
    berth_host *host = conformance_host();
    LOAD(host, "types", conformance.placement);
    text = malloc(SIZE);
    REQUIRE(text);
    memset(text, 'a', SIZE);
    text[0] = '[';
    text[1] = '"';
    memcpy(text + SIZE - 3, "\"]", 3);
    CHECK_FAILS(host, "types.echo_string", text, BERTH_RESOURCE_EXHAUSTED, "max_message");
    if (conformance_process()) { /* a packed call; inline there is nothing to pack */
        value.as.string = text;
        berth_ctx *ctx = berth_host_enter(host);
        CHECK_INT(berth_call(ctx, "types.echo_string", &value, 1, &out), BERTH_RESOURCE_EXHAUSTED);
        berth_clear(ctx);
        berth_leave(ctx);
    }
    memset(text, '[', 10000);
    memset(text + 10000, ']', 10000);
    text[20000] = '\0';
    CHECK_FAILS(host, "types.echo_json", text, BERTH_INVALID_ARGUMENT, "128");
    free(text);
    CHECK_CALL(host, "types.echo_i8", "[1]", "1");
    berth_host_free(host);
}

static void results_that_are_not_of_their_type_are_the_modules_fault(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "liar", conformance.placement);
    CHECK_FAILS(host, "liar.text", "[]", BERTH_INTERNAL,
                "liar.text: its result: the string is not UTF-8 at byte 1");
    CHECK_FAILS(host, "liar.document", "[]", BERTH_INTERNAL, "liar.document: its result: line 1");
    CHECK_FAILS(host, "liar.inner", "[]", BERTH_INTERNAL, "liar.inner: its result: line 1");
    CHECK_FAILS(host, "liar.data", "[]", BERTH_INTERNAL, "liar.data: its result: the bytes");
    CHECK_CALL(host, "liar.nothing", "[]", "\"\"");
    berth_host_free(host);
}

/* Whatever is asked for, a frame of the socket has a size of 32 bits. */
static void no_limit_is_the_largest_limit(void)
{
    struct berth_host_options options = berth_test_host_options();
    char text[100004] = "[\"";

    if (conformance_process() && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.threads = conformance.threads;
    options.flags |= conformance.flags;
    options.max_message = SIZE_MAX;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "types", conformance.placement);
    memset(text + 2, 'x', 100000);
    memcpy(text + 100002, "\"]", 2);
    const char *result = CALL(host, "types.echo_string", berth_test_format("%.*s", 100004, text));
    CHECK_INT(strlen(result), 100002);
    berth_host_free(host);
}

/* ---- C++ ---- */

static void what_cxx_throws_is_internal(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    if (berth_test_load(host, "thrower", conformance.placement, NULL, &error) != BERTH_OK) {
        berth_host_free(host);
        berth_skip("no C++ fixture: %s", error.text);
    }
    CHECK_FAILS(host, "thrower.standard", "[\"from C++\"]", BERTH_INTERNAL, "from C++");
    CHECK_FAILS(host, "thrower.number", "[7]", BERTH_INTERNAL, "C++ exception");
    CHECK_CALL(host, "thrower.last", "[]", "\"from C++\"");
    CHECK_CALL(host, "thrower.fine", "[]", "null");
    berth_host_free(host);
}

const struct berth_test conformance_errors[] = {
    { "every_code_comes_through", every_code_comes_through },
    { "codes_that_are_none_become_unknown", codes_that_are_none_become_unknown },
    { "a_second_error_keeps_the_first_as_its_cause", a_second_error_keeps_the_first_as_its_cause },
    { "long_texts_are_cut_at_a_character", long_texts_are_cut_at_a_character },
    { "errors_tell_the_way_that_they_came", errors_tell_the_way_that_they_came },
    { "handled_errors_are_nobody_elses", handled_errors_are_nobody_elses },
    { "errors_of_the_application_come_through", errors_of_the_application_come_through },
    { "unknown_functions_are_named", unknown_functions_are_named },
    { "wrong_arguments_are_named", wrong_arguments_are_named },
    { "wrong_values_are_named", wrong_values_are_named },
    { "what_is_too_large_is_refused", what_is_too_large_is_refused },
    { "results_that_are_not_of_their_type_are_the_modules_fault",
      results_that_are_not_of_their_type_are_the_modules_fault },
    { "no_limit_is_the_largest_limit", no_limit_is_the_largest_limit },
    { "what_cxx_throws_is_internal", what_cxx_throws_is_internal },
    { NULL, NULL },
};
