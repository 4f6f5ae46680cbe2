/* SPDX-License-Identifier: MIT */
/* Calls that are started, and calls that are kept: answered once, in time, whatever happens. */
#include "runtime/core/core.h"
#include "tests/support/hosting.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t ms = 1000000;

/* A call that has been started, with arguments as JSON; the test ends if it cannot be. */
static berth_pending start(berth_ctx *ctx, const char *function, const char *arguments,
                           int64_t timeout)
{
    const struct berth_call_options options = { .size = sizeof options, .timeout_ns = timeout };
    berth_pending pending = { 0 };
    int code = berth_call_start_json(ctx, function, arguments, &options, &pending);
    CHECK_CODE(code, BERTH_OK, NULL);
    REQUIRE(code == BERTH_OK);
    return pending;
}

static void check_taken(berth_ctx *ctx, berth_pending pending, const char *expected)
{
    char *result = NULL;
    if (berth_call_take_json(ctx, pending, &result) != BERTH_OK)
        berth_note("%s", berth_error_text(ctx));
    CHECK_STR(result ? result : "failed", expected);
    berth_clear(ctx);
    free(result);
}

static void check_fails(berth_ctx *ctx, berth_pending pending, int code, const char *part)
{
    CHECK_INT(berth_call_take_json(ctx, pending, NULL), code);
    CHECK_CONTAINS(berth_error_text(ctx), part);
    berth_clear(ctx);
    CHECK_INT(berth_call_take_json(ctx, pending, NULL), BERTH_NOT_FOUND); /* it has ended */
    berth_clear(ctx);
}

static void wait_until_held(berth_host *host, const char *key)
{
    char arguments[64];
    snprintf(arguments, sizeof arguments, "[\"%s\"]", key);
    UNTIL(host, strcmp(CALL(host, "later.holds", arguments), "true") == 0);
}

static berth_host *host_with(const char *placement)
{
    if (berth_test_valgrind() && strcmp(placement, "process") == 0)
        berth_skip("valgrind cannot follow workers");
    berth_host *host = berth_test_host(NULL);
    LOAD(host, "math", placement);
    LOAD(host, "counter", placement);
    LOAD(host, "later", placement);
    LOAD(host, "ahead", placement);
    return host;
}

static void the_application_starts(const char *placement)
{
    berth_host *host = host_with(placement);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending none;

    berth_pending call = start(ctx, "math.divide", "[6, 4]", 0);
    CHECK(berth_call_any(ctx, &call, 1, INT64_MAX) == 0);
    CHECK(berth_call_done(ctx, call));
    check_taken(ctx, call, "1.5");
    check_taken(ctx, start(ctx, "math.nothing", NULL, 0), "null");
    check_taken(ctx, start(ctx, "math.sum", "{\"numbers\": [1, 2, 3]}", 0), "6");
    check_fails(ctx, start(ctx, "math.divide", "[1, 0]", 0), BERTH_INVALID_ARGUMENT,
                "math.divide: b is zero");
    check_fails(ctx, start(ctx, "math.divide", "[1]", 0), BERTH_INVALID_ARGUMENT, "math.divide: ");
    CHECK_INT(berth_call_start_json(ctx, "math.divde", "[]", NULL, &none), BERTH_NOT_FOUND);
    CHECK_CONTAINS(berth_error_text(ctx), "did you mean divide?");
    berth_clear(ctx);
    berth_leave(ctx);
    berth_host_free(host);
}

static berth_pending start_with(berth_ctx *ctx, const char *function,
                                const struct berth_value *arguments, size_t count)
{
    berth_pending pending = { 0 };
    int code = berth_call_start(ctx, function, arguments, count, NULL, &pending);
    if (code != BERTH_OK)
        berth_note("%s", berth_error_text(ctx));
    REQUIRE(code == BERTH_OK);
    return pending;
}

/* A value of each form that a reply can have: plain, with pointers in it, a struct, none. */
static void the_application_starts_with_values(const char *placement)
{
    struct point {
        double x, y;
    };
    berth_host *host = host_with(placement);
    LOAD(host, "types", placement);
    berth_ctx *ctx = berth_host_enter(host);
    const double numbers[] = { 1, 2, 3 };
    const berth_array_f64 array = { numbers, 3 };
    const struct point points[] = { { 1, 2 }, { 3, 4 } };
    const struct {
        const struct point *data;
        size_t count;
    } line = { points, 2 };
    struct berth_value two[] = { { .kind = BERTH_VALUE_I64, .as.i64 = 6 },
                                 { .kind = BERTH_VALUE_F64, .as.f64 = 4 } };
    struct berth_value list = { .kind = BERTH_VALUE_MEMORY, .as.memory = &array };
    struct berth_value text = { .kind = BERTH_VALUE_STRING, .as.string = "a" }, value;
    struct berth_value way = { .kind = BERTH_VALUE_MEMORY, .as.memory = &line };
    struct berth_value place = { .kind = BERTH_VALUE_MEMORY, .as.memory = points };

    CHECK_INT(berth_call_take(ctx, start_with(ctx, "math.divide", two, 2), &value), BERTH_OK);
    CHECK(value.kind == BERTH_VALUE_F64 && value.as.f64 == 1.5);
    CHECK_INT(berth_call_take(ctx, start_with(ctx, "math.sum", &list, 1), &value), BERTH_OK);
    CHECK(value.kind == BERTH_VALUE_F64 && value.as.f64 == 6);
    CHECK_INT(berth_call_take(ctx, start_with(ctx, "math.nothing", NULL, 0), &value), BERTH_OK);
    CHECK(value.kind == BERTH_VALUE_VOID);
    CHECK_INT(berth_call_take(ctx, start_with(ctx, "types.echo_point", &place, 1), &value),
              BERTH_OK);
    CHECK(value.kind == BERTH_VALUE_MEMORY && ((const struct point *)value.as.memory)->y == 2);
    berth_pending call = start_with(ctx, "types.echo_point_array", &way, 1);
    CHECK_INT(berth_call_any(ctx, &call, 1, INT64_MAX), 0);
    CHECK_CODE(berth_host_unload(host, "types", NULL), BERTH_OK, NULL); /* its types go, too */
    CHECK_INT(berth_call_take(ctx, call, &value), BERTH_OK);
    const struct point *const *got = value.as.memory;
    CHECK(value.kind == BERTH_VALUE_MEMORY && *got != points && (*got)[1].y == 4);
    call = start_with(ctx, "later.hold", &text, 1);
    wait_until_held(host, "a");
    CHECK_CALL(host, "later.more", "[\"a\", \"x\"]", "true");
    CHECK_CALL(host, "later.release", "[\"a\", \"y\"]", "null");
    CHECK_INT(berth_call_next(ctx, call, &value), BERTH_OK);
    CHECK(value.kind == BERTH_VALUE_STRING && strcmp(value.as.string, "x") == 0);
    CHECK_INT(berth_call_next(ctx, call, &value), BERTH_OK);
    CHECK(value.kind == BERTH_VALUE_VOID);
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_INVALID_ARGUMENT);
    berth_clear(ctx);
    CHECK_INT(berth_call_take(ctx, call, &value), BERTH_OK);
    CHECK(value.kind == BERTH_VALUE_STRING && strcmp(value.as.string, "y") == 0);
    CHECK_INT(berth_call_take(ctx, call, &value), BERTH_NOT_FOUND);
    berth_clear(ctx);
    CHECK_INT(berth_send(ctx, "counter.add", two, 1, NULL), BERTH_OK);
    UNTIL(host, strcmp(CALL(host, "counter.get", "[]"), "6") == 0);
    CHECK_INT(berth_send_json(ctx, "math.divide", "[1, 0]", NULL), BERTH_OK);
    UNTIL(host, strstr(berth_test_log(), "error math@1.2.0#1 a call that nobody waits for: "
                                         "invalid_argument: math.divide: b is zero"));
    berth_leave(ctx);
    berth_host_free(host);
}

static void what_does_not_fit_is_not_started(void)
{
    berth_host *host = host_with("inline");
    berth_ctx *ctx = berth_host_enter(host);
    struct berth_value text = { .kind = BERTH_VALUE_STRING, .as.string = "a" };
    struct berth_value bad = { .kind = BERTH_VALUE_STRING, .as.string = "\xff" };
    const struct berth_call_options drops = { .size = sizeof drops,
                                              .full = BERTH_FULL_DROP_OLDEST };
    berth_pending pending = { 1 };

    CHECK_INT(berth_call_start(ctx, "math.negate", &text, 1, NULL, &pending),
              BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(berth_error_text(ctx), "math.negate: argument a must be i64");
    berth_clear(ctx);
    CHECK_INT(pending.id, 0);
    CHECK_INT(berth_call_start(ctx, "math.negate", &text, 0, NULL, &pending),
              BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(berth_error_text(ctx), "math.negate: takes 1 arguments, not 0");
    berth_clear(ctx);
    CHECK_INT(berth_send(ctx, "later.hold", &bad, 1, NULL), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(berth_error_text(ctx), "later.hold: argument key is not valid UTF-8");
    berth_clear(ctx);
    CHECK_INT(berth_call_start(ctx, "later.hold", &text, 1, &drops, &pending),
              BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(berth_error_text(ctx), "rejected or blocks");
    berth_clear(ctx);
    berth_leave(ctx);
    CHECK_INT(berth_host_free(host), BERTH_OK); /* nothing is held */
}

static void modules_start(const char *placement)
{
    berth_host *host = host_with(placement);

    CHECK_CALL(host, "ahead.divide", "[6, 4]", "1.5");
    CHECK_FAILS(host, "ahead.divide", "[6, 0]", BERTH_INVALID_ARGUMENT,
                "ahead.divide \xe2\x86\x92 math.divide: b is zero");
    CHECK_CALL(host, "ahead.sum", "[[1, 2.5, 3]]", "6.5");
    CHECK_CALL(host, "ahead.all", "[64]", "64");
    CHECK_CALL(host, "ahead.nothing", "[]", "null");
    CHECK_CALL(host, "ahead.total", "[100]", "5050");
    CHECK_CALL(host, "ahead.soon", "[\"a\", 1]", "false");
    CHECK_FAILS(host, "ahead.limited", "[\"b\", 5]", BERTH_DEADLINE_EXCEEDED,
                "later.hold: not answered before the deadline");
    CHECK_FAILS(host, "ahead.other", "[]", BERTH_INVALID_ARGUMENT, "by another import");
    CHECK_CALL(host, "ahead.send", "[5]", "null");
    UNTIL(host, strcmp(CALL(host, "counter.get", "[]"), "5") == 0);
    berth_host_free(host);
}

/* A function that has got optional parameters at its end is started as it was known before. */
static void functions_get_more_parameters(const char *placement)
{
    static const char *const more[][2] = { { "counter", "counter_more" },
                                           { "measure", "measure_more" } };
    berth_host *host = host_with(placement);
    struct berth_error error;

    LOAD(host, "measure", placement);
    CHECK_CALL(host, "ahead.add", "[1]", "1");
    CHECK_CALL(host, "ahead.length", "[\"four\"]", "4");
    for (size_t i = 0; i < 2; i++)
        CHECK_CODE(
            berth_host_reload(host, more[i][0], berth_test_fixture(more[i][1]), NULL, &error),
            BERTH_OK, &error);
    CHECK_CALL(host, "ahead.add", "[1]", "2");
    CHECK_CALL(host, "ahead.send", "[1]", "null");
    UNTIL(host, strcmp(CALL(host, "counter.get", "[]"), "3") == 0);
    CHECK_CALL(host, "ahead.length", "[\"three\"]", "5");
    CHECK_CALL(host, "counter.extras", "[]", "0");
    berth_host_free(host);
}

static berth_pending start_words(berth_ctx *ctx, const char *function, const char *word, bool json)
{
    const struct berth_word words[] = { { .data = word, .size = strlen(word) } };
    const struct berth_words_call call = {
        .size = sizeof call, .words = words, .count = 1, .as_json = json
    };
    berth_pending pending = { 0 };
    CHECK_INT(berth_call_start_words(ctx, function, &call, NULL, &pending), BERTH_OK);
    return pending;
}

/* The next reply, or with more false the answer, as "kind text". */
static const char *taken_words(berth_ctx *ctx, berth_pending pending, bool more)
{
    struct berth_words_result result = { 0 };
    int code = more ? berth_call_next_words(ctx, pending, &result)
                    : berth_call_take_words(ctx, pending, &result);
    if (code != BERTH_OK)
        return "failed";
    const char *text = berth_test_format("%u %s", result.kind, result.data ? result.data : "none");
    CHECK(!result.data || strlen(result.data) == result.size);
    berth_free(result.data);
    return text;
}

static void the_application_starts_in_words(const char *placement)
{
    berth_host *host = host_with(placement);
    LOAD(host, "types", placement);
    berth_ctx *ctx = berth_host_enter(host);

    CHECK_STR(taken_words(ctx, start_words(ctx, "types.echo_string", "a\"b", false), false),
              berth_test_format("%u a\"b", BERTH_VALUE_STRING));
    CHECK_STR(taken_words(ctx, start_words(ctx, "types.echo_string", "a\"b", true), false),
              berth_test_format("%u \"a\\\"b\"", BERTH_VALUE_JSON));
    CHECK_STR(taken_words(ctx, start_words(ctx, "types.echo_bytes", "x y", false), false),
              berth_test_format("%u x y", BERTH_VALUE_BYTES));
    CHECK_STR(taken_words(ctx, start_words(ctx, "ahead.send", "1", false), false),
              berth_test_format("%u ", BERTH_VALUE_VOID));
    berth_pending call = start_words(ctx, "later.count", "2", false);
    CHECK_STR(taken_words(ctx, call, true), berth_test_format("%u 1", BERTH_VALUE_JSON));
    CHECK_STR(taken_words(ctx, call, true), berth_test_format("%u 2", BERTH_VALUE_JSON));
    CHECK_STR(taken_words(ctx, call, true), berth_test_format("%u none", BERTH_VALUE_VOID));
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(berth_error_text(ctx), "not started by berth_call_start_json");
    berth_clear(ctx);
    CHECK_STR(taken_words(ctx, call, false), berth_test_format("%u 2", BERTH_VALUE_JSON));
    const struct berth_words_call none = { .size = sizeof none };
    CHECK_INT(berth_call_start_words(ctx, "types.echo_string", &none, NULL, &call),
              BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(berth_error_text(ctx), "types.echo_string: missing argument");
    berth_leave(ctx);
    berth_host_free(host);
}

/* Its replies are told first, and the failure by the answer alone. */
static void a_stream_fails(const char *placement)
{
    berth_host *host = host_with(placement);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(ctx, "later.hold", "[\"a\"]", 0);
    char *value = NULL;

    wait_until_held(host, "a");
    CHECK_CALL(host, "later.more", "[\"a\", \"x\"]", "true");
    CHECK_CALL(host, "later.refuse", "[\"a\", \"no\"]", "null");
    CHECK_INT(berth_call_next_json(ctx, call, &value), BERTH_OK);
    CHECK_STR(value, "\"x\"");
    berth_free(value);
    CHECK_INT(berth_call_next_json(ctx, call, &value), BERTH_OK);
    CHECK(!value);
    check_fails(ctx, call, BERTH_FAILED_PRECONDITION, "later.hold: no");
    call = start(ctx, "later.hold", "[\"b\"]", 0);
    berth_set_timeout(ctx, 0);
    CHECK_INT(berth_call_next_json(ctx, call, &value), BERTH_DEADLINE_EXCEEDED);
    berth_clear(ctx);
    berth_set_timeout(ctx, INT64_MAX);
    wait_until_held(host, "b"); /* it goes on */
    CHECK_CALL(host, "later.release", "[\"b\", \"y\"]", "null");
    check_taken(ctx, call, "\"y\"");
    berth_leave(ctx);
    berth_host_free(host);
}

static void *call_plainly(void *host)
{
    CHECK_CALL(host, "later.hold", "[\"a\"]", "\"x\"");
    return NULL;
}

/* `more` says so to who answers, wherever that is. */
static void nobody_wants_more(const char *placement)
{
    berth_host *host = host_with(placement);
    berth_ctx *ctx = berth_host_enter(host);
    pthread_t caller;

    REQUIRE(pthread_create(&caller, NULL, call_plainly, host) == 0);
    wait_until_held(host, "a");
    CHECK_CALL(host, "later.more", "[\"a\", \"x\"]", "false");
    CHECK_CALL(host, "later.release", "[\"a\", \"x\"]", "null");
    pthread_join(caller, NULL);
    CHECK_INT(berth_send_json(ctx, "later.hold", "[\"b\"]", NULL), BERTH_OK);
    wait_until_held(host, "b");
    CHECK_CALL(host, "later.more", "[\"b\", \"x\"]", "false");
    CHECK_CALL(host, "later.release", "[\"b\", \"x\"]", "null"); /* the end would wait for it */
    berth_pending call = start(ctx, "later.hold", "[\"c\"]", 0);
    wait_until_held(host, "c");
    CHECK_CALL(host, "later.more", "[\"c\", \"x\"]", "true");
    berth_call_drop(ctx, call);
    UNTIL(host, strcmp(CALL(host, "later.more", "[\"c\", \"x\"]"), "false") == 0);
    berth_leave(ctx);
    berth_host_free(host);
}

static void a_worker_dies(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    berth_host *host = berth_test_host(NULL);
    LOAD(host, "crasher", "process");
    berth_ctx *ctx = berth_host_enter(host);
    check_fails(ctx, start(ctx, "crasher.exit", "[3]", 0), BERTH_UNAVAILABLE,
                "crasher.exit: its worker");
    berth_leave(ctx);
    berth_host_free(host);
}

static void kept_calls_are_answered(const char *placement)
{
    berth_host *host = host_with(placement);
    berth_ctx *ctx = berth_host_enter(host);

    berth_pending call = start(ctx, "later.hold", "[\"a\"]", 0);
    wait_until_held(host, "a");
    CHECK(!berth_call_done(ctx, call));
    CHECK_CALL(host, "later.stopping", "[\"a\"]", "false");
    CHECK_CALL(host, "later.release", "[\"a\", \"x\"]", "null");
    check_taken(ctx, call, "\"x\"");
    call = start(ctx, "later.hold", "[\"b\"]", 0);
    wait_until_held(host, "b");
    CHECK_CALL(host, "later.refuse", "[\"b\", \"no\"]", "null");
    check_fails(ctx, call, BERTH_FAILED_PRECONDITION, "later.hold: no");
    static const int none[] = { 0, -1, -3, 17, 99 };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) { /* these are no codes */
        call = start(ctx, "later.hold", "[\"c\"]", 0);
        wait_until_held(host, "c");
        CHECK_CALL(host, "later.refuse_with", berth_test_format("[\"c\", %d]", none[i]), "null");
        check_fails(ctx, call, BERTH_UNKNOWN, "later.hold: so");
    }
    CHECK_CALL(host, "later.half", "[3]", "1.5"); /* by an ordinary call */
    check_fails(ctx, start(ctx, "later.forget", "[]", 0), BERTH_INTERNAL,
                "has neither kept nor failed");
    CHECK_FAILS(host, "later.forget", "[]", BERTH_INTERNAL, "has neither kept nor failed");
    check_fails(ctx, start(ctx, "later.falter", "[]", 0), BERTH_RESOURCE_EXHAUSTED, "no thread");
    CHECK_FAILS(host, "later.falter", "[]", BERTH_RESOURCE_EXHAUSTED, "no thread");
    CHECK_INT(host->kept.count, 0); /* else its unload would wait for them */
    CHECK_FAILS(host, "later.keep", "[]", BERTH_FAILED_PRECONDITION, "BERTH_EXPORT_ASYNC");
    berth_leave(ctx);
    berth_host_free(host);
}

static void streams_are_in_order(const char *placement)
{
    berth_host *host = host_with(placement);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(ctx, "later.count", "[1000]", 0);
    char *value = NULL;
    long expected = 0;

    while (berth_call_next_json(ctx, call, &value) == BERTH_OK && value) {
        CHECK_INT(strtol(value, NULL, 10), ++expected);
        free(value);
    }
    CHECK_INT(expected, 1000);
    check_taken(ctx, call, "1000");
    check_taken(ctx, start(ctx, "later.count", "[5000]", 0), "5000"); /* nobody takes them */
    berth_leave(ctx);
    berth_host_free(host);
}

static void deadlines_hold(const char *placement)
{
    berth_host *host = host_with(placement);
    berth_ctx *ctx = berth_host_enter(host);
    char *stats = NULL;

    berth_pending call = start(ctx, "later.hold", "[\"a\"]", 0);
    wait_until_held(host, "a");
    berth_call_limit(ctx, call, 20 * ms);
    check_fails(ctx, call, BERTH_DEADLINE_EXCEEDED, "later.hold: not answered before the deadline");
    UNTIL(host, strcmp(CALL(host, "later.stopping", "[\"a\"]"), "true") == 0);
    CHECK_CALL(host, "later.release", "[\"a\", \"x\"]", "null"); /* too late: counted */
    CHECK_INT(berth_host_stats(host, &stats, NULL), BERTH_OK);
    CHECK_CONTAINS(stats, "\"to\":\"later.hold\",\"calls\":1,\"estimated\":0,\"late\":1");
    berth_free(stats);
    call = start(ctx, "later.hold", "[\"c\"]", 20 * ms); /* before its turn, or after */
    check_fails(ctx, call, BERTH_DEADLINE_EXCEEDED, "later.hold: not answered before the deadline");
    struct berth_error error; /* by a call that waits on its own thread */
    CHECK_CODE(berth_test_try(host, "later.hold", "[\"b\"]", 20 * ms, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CONTAINS(error.text, strcmp(placement, "inline") ? "did not answer in time"
                                                           : "not answered before the deadline");
    berth_leave(ctx);
    berth_host_free(host);
}

static void cancelling_travels(const char *placement)
{
    berth_host *host = host_with(placement);
    berth_ctx *ctx = berth_host_enter(host);

    berth_pending call = start(ctx, "later.linger", "[]", 0);
    berth_call_cancel(ctx, call);
    check_fails(ctx, call, BERTH_CANCELLED, "later.linger: its caller has cancelled it");
    call = start(ctx, "ahead.ask", "[\"a\"]", 0); /* one that waits for another one */
    wait_until_held(host, "a");
    berth_call_cancel(ctx, call);
    check_fails(ctx, call, BERTH_CANCELLED, "ahead.ask: its caller has cancelled it");
    UNTIL(host, strcmp(CALL(host, "later.stopping", "[\"a\"]"), "true") == 0);
    call = start(ctx, "ahead.ask_at_once", "[\"b\"]", 0); /* by an ordinary call */
    wait_until_held(host, "b");
    berth_call_drop(ctx, call);
    UNTIL(host, strcmp(CALL(host, "later.stopping", "[\"b\"]"), "true") == 0);
    berth_leave(ctx);
    berth_host_free(host);
}

static void functions_are_called(const char *placement)
{
    berth_host *host = host_with(placement);

    CHECK_CALL(host, "ahead.call_me", "[\"a\"]", "null");
    wait_until_held(host, "a");
    CHECK_CALL(host, "ahead.tellings", "[]", "0");
    CHECK_CALL(host, "later.release", "[\"a\", \"x\"]", "null");
    UNTIL(host, strcmp(CALL(host, "ahead.tellings", "[]"), "1") == 0);
    CHECK_CALL(host, "ahead.told", "[]", "\"x\"");
    berth_host_free(host);
}

static void any_of_several(const char *placement)
{
    berth_host *host = host_with(placement);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(ctx, "ahead.race", "[\"a\", \"b\"]", 0);

    wait_until_held(host, "a");
    wait_until_held(host, "b");
    CHECK_CALL(host, "later.release", "[\"b\", \"x\"]", "null");
    check_taken(ctx, call, "1");
    berth_leave(ctx);
    berth_host_free(host);
}

static void an_unload_ends_kept_calls(void)
{
    struct berth_host_options options = berth_test_host_options();
    options.stop_timeout_ns = 50 * ms;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "later", NULL);
    berth_ctx *ctx = berth_host_enter(host);
    struct berth_error error;

    berth_pending call = start(ctx, "later.hold", "[\"a\"]", 0);
    wait_until_held(host, "a");
    CHECK_CODE(berth_host_unload(host, "later", &error), BERTH_OK, &error);
    check_fails(ctx, call, BERTH_UNAVAILABLE, "later.hold: its module ended");
    LOAD(host, "later", NULL);
    call = start(ctx, "later.hold", "[\"a\"]", 0);
    wait_until_held(host, "a");
    CHECK_CODE(berth_host_reload(host, "later", NULL, NULL, &error), BERTH_OK, &error);
    check_fails(ctx, call, BERTH_UNAVAILABLE, "later.hold: its module ended");
    berth_leave(ctx);
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

static void *reload_taker(void *host)
{
    struct berth_error error;
    CHECK_CODE(berth_host_reload(host, "taker", NULL, NULL, &error), BERTH_OK, &error);
    return NULL;
}

/* By a thread of the old generation's, which the reload waits for: as if it had simply called. */
static void a_reload_loses_no_answer(const char *placement)
{
    pthread_t thread;
    berth_host *host = host_with(placement);
    LOAD(host, "taker", placement);

    CHECK_CALL(host, "taker.take_aside", "[]", "null");
    wait_until_held(host, "thread");
    REQUIRE(pthread_create(&thread, NULL, reload_taker, host) == 0);
    UNTIL(host, strcmp(berth_test_module(host, "taker", "generation"), "2") == 0);
    berth_test_pause(20); /* it has been told to stop by then */
    CHECK_CALL(host, "later.release", "[\"thread\", \"after all\"]", "null");
    pthread_join(thread, NULL);
    CHECK_CONTAINS(berth_test_log(), "info taker@1.0.0#1 answered: after all\n");
    berth_host_free(host);
}

static void a_host_without_threads(const char *placement)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;
    if (berth_test_valgrind() && strcmp(placement, "process") == 0)
        berth_skip("valgrind cannot follow workers");
    options.threads = 0;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "math", NULL);
    LOAD(host, "later", NULL);
    LOAD(host, "ahead", placement); /* what it starts is done by who waits for it */
    berth_ctx *ctx = berth_host_enter(host);

    check_taken(ctx, start(ctx, "math.divide", "[6, 4]", 0), "1.5");
    CHECK_CALL(host, "ahead.divide", "[6, 4]", "1.5");
    CHECK_CALL(host, "ahead.total", "[100]", "5050");
    CHECK_CALL(host, "later.half", "[3]", "1.5");
    check_fails(ctx, start(ctx, "later.hold", "[\"a\"]", 10 * ms), BERTH_DEADLINE_EXCEEDED,
                "not answered");
    CHECK_CODE(berth_test_try(host, "ahead.ask", "[\"b\"]", 10 * ms, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    berth_leave(ctx);
    berth_host_free(host);
}

/* Of this thread, in ns. */
static int64_t time_worked(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec * 1000 * ms + at.tv_nsec;
}

/* Who is inside of a serial module and waits does all the work but that module's. */
static void a_wait_sleeps(void)
{
    struct berth_host_options options = berth_test_host_options();
    options.threads = 0;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "later", NULL);
    LOAD(host, "patient", NULL);

    int64_t before = time_worked();
    CHECK_CALL(host, "patient.wait", "[600]", "0");
    CHECK(berth_test_instrumented() || time_worked() - before < 100 * ms);
    UNTIL(host, CALL_INT(host, "patient.bells", "[]") == 1); /* it is not forgotten */
    berth_host_free(host);
}

BERTH_TEST_BOTH(the_application_starts)
BERTH_TEST_BOTH(the_application_starts_with_values)
BERTH_TEST_BOTH(the_application_starts_in_words)
BERTH_TEST_BOTH(a_stream_fails)
BERTH_TEST_BOTH(nobody_wants_more)
BERTH_TEST_BOTH(modules_start)
BERTH_TEST_BOTH(functions_get_more_parameters)
BERTH_TEST_BOTH(kept_calls_are_answered)
BERTH_TEST_BOTH(streams_are_in_order)
BERTH_TEST_BOTH(deadlines_hold)
BERTH_TEST_BOTH(cancelling_travels)
BERTH_TEST_BOTH(functions_are_called)
BERTH_TEST_BOTH(any_of_several)
BERTH_TEST_BOTH(a_reload_loses_no_answer)
BERTH_TEST_BOTH(a_host_without_threads)

static const struct berth_test tests[] = {
    BERTH_TEST_ROWS("the application starts", the_application_starts),
    BERTH_TEST_ROWS("the application starts with values", the_application_starts_with_values),
    BERTH_TEST_ROWS("the application starts in words", the_application_starts_in_words),
    BERTH_TEST_ROWS("a stream fails", a_stream_fails),
    BERTH_TEST_ROWS("nobody wants more", nobody_wants_more),
    { "what does not fit is not started", what_does_not_fit_is_not_started },
    BERTH_TEST_ROWS("modules start", modules_start),
    BERTH_TEST_ROWS("functions get more parameters", functions_get_more_parameters),
    { "a worker dies", a_worker_dies },
    BERTH_TEST_ROWS("kept calls are answered", kept_calls_are_answered),
    BERTH_TEST_ROWS("streams are in order", streams_are_in_order),
    BERTH_TEST_ROWS("deadlines hold", deadlines_hold),
    BERTH_TEST_ROWS("cancelling travels", cancelling_travels),
    BERTH_TEST_ROWS("functions are called", functions_are_called),
    BERTH_TEST_ROWS("any of several", any_of_several),
    { "an unload ends kept calls", an_unload_ends_kept_calls },
    BERTH_TEST_ROWS("a reload loses no answer", a_reload_loses_no_answer),
    BERTH_TEST_ROWS("a host without threads", a_host_without_threads),
    { "a wait sleeps", a_wait_sleeps },
};

int main(int argc, char **argv)
{
    return berth_suite_main("started", tests, sizeof tests / sizeof *tests, argc, argv);
}
