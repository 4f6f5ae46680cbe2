/* SPDX-License-Identifier: MIT */
/* Load, reload, unload: what happens to calls, state and the module that was there before. */
#include "tests/carrier/conformance.h"

#include <pthread.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static const char *pid_of(berth_host *host, const char *module)
{
    return berth_test_module(host, module, "pid");
}

static void a_module_loads_where_it_should(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;
    char *json = NULL;

    LOAD(host, "math", conformance.placement);
    CHECK_STR(berth_test_module(host, "math", "state"), "running");
    CHECK_STR(berth_test_module(host, "math", "version"), "1.2.0");
    CHECK_STR(berth_test_module(host, "math", "generation"), "1");
    CHECK_STR(berth_test_module(host, "math", "placement"), conformance.placement);
    int own = strtol(pid_of(host, "math"), NULL, 10) == getpid();
    int none = !strcmp(pid_of(host, "math"), "") || !strcmp(pid_of(host, "math"), "0");
    CHECK(conformance_process() ? !own && !none : own || none);
    CHECK_CODE(berth_host_show(host, "math", &json, &error), BERTH_OK, &error);
    CHECK_CONTAINS(json, "divide");
    free(json);
    json = NULL;
    CHECK_CODE(berth_host_show(host, "moth", &json, &error), BERTH_NOT_FOUND, &error);
    CHECK(!json);

    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    CHECK_STR(berth_test_module(host, "math", "state"), "");
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_NOT_FOUND, &error);
    berth_host_free(host);
}

static void a_name_is_taken_once(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "counter", conformance.placement);
    CHECK_CALL(host, "counter.add", "[5]", "5");
    CHECK_CODE(berth_test_load(host, "counter_v2", conformance.placement, NULL, &error),
               BERTH_ALREADY_EXISTS, &error);
    CHECK_CONTAINS(error.text, "counter");
    CHECK_CALL(host, "counter.get", "[]", "5");
    berth_host_free(host);
}

static void two_instances_have_two_states(void)
{
    berth_host *host = conformance_host();

    berth_test_load_as(host, "counter", "left", conformance.placement);
    berth_test_load_as(host, "counter", "right", conformance.placement);
    CHECK_CALL(host, "left.add", "[1]", "1");
    CHECK_CALL(host, "right.add", "[10]", "10");
    CHECK_CALL(host, "left.add", "[1]", "2");
    CHECK_FAILS(host, "counter.get", "[]", BERTH_NOT_FOUND, "counter");
    berth_host_free(host);
}

static void a_start_that_fails_loads_nothing(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    for (int i = 0; i < 3; i++) {
        CHECK_CODE(berth_test_load(host, "bad_start", conformance.placement, NULL, &error),
                   BERTH_FAILED_PRECONDITION, &error);
        CHECK_CONTAINS(error.text, "bad_start");
        CHECK_CONTAINS(error.text, "the moon is not full");
        CHECK_STR(berth_test_module(host, "bad_start", "state"), "");
        CHECK_FAILS(host, "bad_start.nothing", "[]", BERTH_NOT_FOUND, "bad_start");
    }
    berth_host_free(host);
}

static void what_is_required_must_be_there(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    CHECK_CODE(berth_test_load(host, "requirer", conformance.placement, NULL, &error),
               BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, "math");
    CHECK_CONTAINS(error.text, "^1.1");
    LOAD(host, "math", conformance.other);
    LOAD(host, "requirer", conformance.placement);
    CHECK_CALL(host, "requirer.three", "[]", "3");
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, "requirer");
    CHECK_CALL(host, "requirer.three", "[]", "3");
    CHECK_CODE(berth_host_unload(host, "requirer", &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    berth_host_free(host);
}

static void unknown_placements_are_refused(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    CHECK_CODE(berth_test_load(host, "math", "outer space", NULL, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_CONTAINS(error.text, "outer space");
    CHECK_CONTAINS(error.text, "process"); /* what there is */
    berth_host_free(host);
}

/* ---- Unload ---- */

static void *nap(void *host)
{
    CHECK_CALL(host, "sleeper.nap", "[10]", "10");
    return NULL;
}

/* What must wait for a call that is held: it may return only after that has been released. */
struct change {
    berth_host *host;
    pthread_t thread;
    bool released; /* atomic */
};

static void *unload_main(void *argument)
{
    struct change *change = argument;
    struct berth_error error;

    CHECK_CODE(berth_host_unload(change->host, "sleeper", &error), BERTH_OK, &error);
    CHECK(__atomic_load_n(&change->released, __ATOMIC_SEQ_CST));
    return NULL;
}

static void unloading_waits_for_calls(void)
{
    berth_host *host = conformance_host();
    struct change unload = { .host = host };
    struct berth_test_held held;

    LOAD(host, "sleeper", conformance.placement);
    berth_test_hold(&held, host, "sleeper.hold");
    REQUIRE(pthread_create(&unload.thread, NULL, unload_main, &unload) == 0);
    berth_test_pause(30); /* one that does not wait would return now */
    __atomic_store_n(&unload.released, true, __ATOMIC_SEQ_CST);
    berth_test_release(&held);
    pthread_join(unload.thread, NULL);
    berth_test_join(&held);
    CHECK_CODE(held.code, BERTH_OK, &held.error);
    berth_host_free(host);
}

static void unloading_does_not_wait_for_ever(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_test_held held;
    struct berth_error error;

    if (conformance_process() && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.threads = conformance.threads;
    options.stop_timeout_ns = 50 * MS;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "sleeper_parallel", conformance.placement);
    berth_test_hold(&held, host, "sleeper_parallel.hold");
    int code = berth_host_unload(host, "sleeper_parallel", &error);
    CHECK(berth_test_exists(held.path)); /* nobody has released it */
    if (code != BERTH_OK) {              /* it is still there, and serves */
        CHECK_CODE(code, BERTH_DEADLINE_EXCEEDED, &error);
        CHECK_CALL(host, "sleeper_parallel.nap", "[1]", "1");
    }
    berth_test_release(&held);
    berth_test_join(&held);
    berth_host_free(host);
}

/* ---- Reload ---- */

static int reload(berth_host *host, const char *module, const char *fixture,
                  struct berth_reload_report *report, struct berth_error *error)
{
    *report = (struct berth_reload_report){ .size = sizeof(*report) };
    return berth_host_reload(host, module, fixture ? berth_test_fixture(fixture) : NULL, report,
                             error);
}

BERTH_BOUND(u64, sum, (u64, n));

static void state_moves_to_the_next_version(void)
{
    berth_host *host = conformance_host();
    struct berth_reload_report report;
    struct berth_error error;
    berth_function *get = NULL;
    sum_bound bound;
    uint64_t value = 0;

    LOAD(host, "counter", conformance.placement);
    CHECK_CODE(berth_bind(host, "counter.add", sum, &bound, &error), BERTH_OK, &error);
    CHECK_CODE(berth_function_find(host, "counter.get", &get, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.add", "[41]", "41");
    CHECK_FAILS(host, "counter.reset", "[]", BERTH_NOT_FOUND, "reset");

    CHECK_CODE(reload(host, "counter", "counter_v2", &report, &error), BERTH_OK, &error);
    CHECK_STR(report.step, "done");
    CHECK_STR(report.from, "counter@1.0.0#1");
    CHECK_STR(report.to, "counter@1.1.0#2");
    CHECK_INT(report.state_bytes, 8);
    CHECK_INT(report.state_version, 1);
    CHECK(report.total_ns > 0);
    CHECK(report.unmapped == 1 || report.quarantined[0]);
    CHECK_STR(berth_test_module(host, "counter", "version"), "1.1.0");
    CHECK_STR(berth_test_module(host, "counter", "generation"), "2");

    CHECK_CALL(host, "counter.get", "[]", "41");
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(sum_call(&bound, ctx, 1), 42);
    CHECK_INT(berth_function_invoke(get, ctx, NULL, &value), BERTH_OK);
    CHECK_INT(value, 42);
    berth_leave(ctx);
    CHECK_CALL(host, "counter.reset", "[]", "null");

    CHECK_CALL(host, "counter.add", "[7]", "7");
    for (int i = 0; i < 5; i++) {
        CHECK_CODE(reload(host, "counter", i % 2 ? "counter_v2" : "counter", &report, &error),
                   BERTH_OK, &error);
        CHECK_CALL(host, "counter.get", "[]", "7");
    }
    CHECK_CODE(reload(host, "counter", NULL, &report, &error), BERTH_OK,
               &error); /* the same file */
    CHECK_CALL(host, "counter.add", "[1]", "8");
    berth_unbind(host, &bound);
    berth_function_free(get);
    berth_host_free(host);
}

static void a_bad_reload_leaves_the_old_one_serving(void)
{
    static const struct {
        const char *fixture, *step, *part;
        int code;
    } bad[] = {
        { "bad_start_counter", "start", "the moon is not full", BERTH_FAILED_PRECONDITION },
        { "bad_restore", "handover", "cannot read a state", BERTH_DATA_LOSS },
        { "counter_changed", "compare", "counter.add", BERTH_FAILED_PRECONDITION },
        { "math", "compare", "math", BERTH_FAILED_PRECONDITION },
        { "counter_stateless", "compare", "RESTORE", BERTH_FAILED_PRECONDITION },
        { "no_such_file", "stage", "no_such_file", BERTH_NOT_FOUND },
    };
    berth_host *host = conformance_host();
    struct berth_reload_report report;
    struct berth_error error;
    sum_bound bound;

    LOAD(host, "counter", conformance.placement);
    CHECK_CODE(berth_bind(host, "counter.add", sum, &bound, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.add", "[5]", "5");
    berth_ctx *ctx = berth_host_enter(host);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_CODE(reload(host, "counter", bad[i].fixture, &report, &error), bad[i].code, &error);
        CHECK_STR(report.step, bad[i].step);
        CHECK_CONTAINS(error.text, bad[i].part);
        CHECK_CALL(host, "counter.get", "[]", berth_test_format("%zu", i + 5));
        CHECK_INT(sum_call(&bound, ctx, 1), i + 6);
        CHECK_STR(berth_test_module(host, "counter", "version"), "1.0.0");
        CHECK_STR(berth_test_module(host, "counter", "state"), "running");
    }
    berth_leave(ctx);
    CHECK_CODE(reload(host, "cunter", NULL, &report, &error), BERTH_NOT_FOUND, &error);
    CHECK_CODE(reload(host, "counter", "counter_v2", &report, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.get", "[]", "11");
    CHECK_CONTAINS(berth_test_log(), "stops what it has started"); /* bad_restore */
    berth_unbind(host, &bound);
    berth_host_free(host);
}

static void a_reload_by_another_module_is_refused(void)
{
    berth_host *host = conformance_host();
    struct berth_reload_report report;
    struct berth_error error;

    CHECK_CODE(berth_test_load(host, "options", conformance.placement, "{\"limit\":7}", &error),
               BERTH_OK, &error);
    CHECK_CODE(reload(host, "options", "math", &report, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_STR(report.step, "compare");
    CHECK_CONTAINS(error.text, "math.so is module math, not options"); /* which has no limit */
    CHECK_CODE(reload(host, "options", NULL, &report, &error), BERTH_OK, &error);
    berth_host_free(host);
}

static int reload_with(berth_host *host, const char *module, const char *options,
                       const char *placement, struct berth_error *error)
{
    const struct berth_reload_options how = { .size = sizeof(how),
                                              .options = options,
                                              .placement = placement };
    return berth_host_reload_with(host, module, &how, NULL, error);
}

static void a_reload_takes_other_options(void)
{
    static const struct {
        const char *given, *shown;
    } ways[] = {
        { "{\"limit\":7,\"level\":2}", "\"7 7 2 1 0.50 none \\\"yet\\\" 2 a -\"" },
        { NULL, "\"7 7 2 1 0.50 none \\\"yet\\\" 2 a -\"" },
        { "{\"words\":[]}", "\"1000 1000 3 1 0.50 none \\\"yet\\\" 0 - -\"" },
        { "{}", "\"1000 1000 3 1 0.50 none \\\"yet\\\" 2 a -\"" },
        { NULL, "\"1000 1000 3 1 0.50 none \\\"yet\\\" 2 a -\"" },
    };
    berth_host *host = conformance_host();
    struct berth_error error;

    REQUIRE(berth_test_loaded(host, "options", conformance.placement, "{\"limit\":5}",
                              BERTH_TEST_HERE));
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        CHECK_CODE(reload_with(host, "options", ways[i].given, NULL, &error), BERTH_OK, &error);
        CHECK_CALL(host, "options.show", "[]", ways[i].shown);
        CHECK_STR(berth_test_module(host, "options", "placement"), conformance.placement);
    }
    berth_host_free(host);
}

static void bad_options_leave_the_old_ones(void)
{
    static const struct {
        const char *given, *part;
    } bad[] = {
        { "{\"limit\":\"x\"}", "limit" },
        { "{\"limt\":1}", "limt" },
        { "[1", "options" },
        { "{\"limit\":-1}", "make it 0 or more" }, /* says its START */
    };
    berth_host *host = conformance_host();
    struct berth_reload_options how = { .size = 1 };
    struct berth_error error;

    REQUIRE(berth_test_loaded(host, "options", conformance.placement, "{\"limit\":5}",
                              BERTH_TEST_HERE));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_CODE(reload_with(host, "options", bad[i].given, NULL, &error), BERTH_INVALID_ARGUMENT,
                   &error);
        CHECK_CONTAINS(error.text, bad[i].part);
        CHECK_CONTAINS(CALL(host, "options.show", "[]"), "\"5 5 3 ");
    }
    CHECK_CODE(berth_host_reload_with(host, "options", &how, NULL, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_CONTAINS(error.text, "berth_reload_options.size is 1");
    CHECK_CODE(reload_with(host, "options", NULL, "moon", &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "\"moon\" is no placement");
    CHECK_CODE(berth_host_reload_with(host, "options", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CONTAINS(CALL(host, "options.show", "[]"), "\"5 5 3 "); /* for the next one, too */
    berth_host_free(host);
}

/* With its state, its callers and their links, and its mail. */
static void a_reload_moves_to_another_placement(void)
{
    static const char *const places[] = { "process", "inline", "inline", "process", "process" };
    berth_host *host = conformance_host();
    struct berth_error error;
    sum_bound bound;

    if (berth_test_valgrind())
        berth_skip("a worker is started");
    LOAD(host, "counter", conformance.placement);
    LOAD(host, "math", conformance.placement);
    LOAD(host, "requirer", conformance.other);
    CHECK_CODE(berth_bind(host, "counter.add", sum, &bound, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.add", "[40]", "40");
    berth_ctx *ctx = berth_host_enter(host);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        CHECK_CODE(reload_with(host, "counter", NULL, places[i], &error), BERTH_OK, &error);
        CHECK_STR(berth_test_module(host, "counter", "placement"), places[i]);
        CHECK_INT(sum_call(&bound, ctx, 1), 41 + i);
        CHECK_CODE(reload_with(host, "math", NULL, places[i], &error), BERTH_OK, &error);
        CHECK_CALL(host, "requirer.three", "[]", "3");
        CHECK_CODE(reload_with(host, "requirer", NULL, places[i], &error), BERTH_OK, &error);
        CHECK_CALL(host, "requirer.three", "[]", "3");
    }
    CHECK_CODE(berth_host_reload(host, "counter", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_STR(berth_test_module(host, "counter", "placement"), "process"); /* where it was */
    berth_leave(ctx);
    berth_unbind(host, &bound);
    berth_host_free(host);
}

static void a_save_that_fails_leaves_the_old_one_serving(void)
{
    berth_host *host = conformance_host();
    struct berth_reload_report report;
    struct berth_error error;

    LOAD(host, "bad_save", conformance.placement);
    CHECK_CODE(reload(host, "bad_save", NULL, &report, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_STR(report.step, "handover");
    CHECK_CONTAINS(error.text, "not now");
    CHECK_CALL(host, "bad_save.get", "[]", "false");
    CHECK_CALL(host, "bad_save.set", "[true]", "null");
    CHECK_CODE(reload(host, "bad_save", NULL, &report, &error), BERTH_OK, &error);
    CHECK_CALL(host, "bad_save.get", "[]", "true");
    berth_host_free(host);
}

static void imports_follow_a_reload(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "chain_a", conformance.other);
    LOAD(host, "chain_b", conformance.placement);
    LOAD(host, "chain_c", conformance.other);
    for (int i = 0; i < 4; i++) {
        const char *module = (const char *[]){ "chain_b", "chain_c", "chain_a", "chain_b" }[i];
        CHECK_CODE(berth_host_reload(host, module, NULL, NULL, &error), BERTH_OK, &error);
        CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
        CHECK_CALL(host, "chain_a.path", "[\"\"]", "\"abc\"");
    }
    CHECK_CODE(berth_host_unload(host, "chain_b", &error), BERTH_OK, &error);
    CHECK_FAILS(host, "chain_a.half", "[3]", BERTH_UNAVAILABLE, "chain_b");
    LOAD(host, "chain_b", conformance.placement);
    CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
    berth_host_free(host);
}

static void *reload_main(void *host)
{
    struct berth_error error;

    CHECK_CODE(berth_host_reload(host, "sleeper", NULL, NULL, &error), BERTH_OK, &error);
    return NULL;
}

static void calls_that_are_inside_finish_in_the_old_one(void)
{
    berth_host *host = conformance_host();
    struct berth_test_held held;
    pthread_t threads[3];

    LOAD(host, "sleeper", conformance.placement);
    berth_test_hold(&held, host, "sleeper.hold");
    for (size_t i = 0; i < 2; i++) /* these wait for the held one, or for the reload */
        REQUIRE(pthread_create(&threads[i], NULL, nap, host) == 0);
    REQUIRE(pthread_create(&threads[2], NULL, reload_main, host) == 0);
    berth_test_pause(30); /* so that most of the reload comes while it is inside */
    berth_test_release(&held);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    berth_test_join(&held);
    CHECK_CODE(held.code, BERTH_OK, &held.error);
    CHECK_CALL(host, "sleeper.nap", "[1]", "1");
    CHECK_STR(berth_test_module(host, "sleeper", "generation"), "2");
    berth_host_free(host);
}

struct pourer {
    berth_host *host;
    pthread_t thread;
    uint64_t calls; /* atomic, as the next one */
    int stop;
};

static void *pour(void *argument)
{
    struct pourer *pourer = argument;
    struct berth_error error;
    sum_bound bound;

    int code = berth_bind(pourer->host, "counter.add", sum, &bound, &error);
    CHECK_CODE(code, BERTH_OK, &error);
    if (code != BERTH_OK)
        return NULL;
    while (!__atomic_load_n(&pourer->stop, __ATOMIC_RELAXED)) {
        berth_ctx *ctx = berth_host_enter(pourer->host);
        for (int i = 0; i < 100; i++) {
            uint64_t sum = sum_call(&bound, ctx, 1);
            if (berth_failed(ctx)) {
                CHECK_STR(berth_error_text(ctx), "no error");
                berth_clear(ctx);
            } else {
                CHECK(sum > pourer->calls); /* others count, too */
                __atomic_store_n(&pourer->calls, pourer->calls + 1, __ATOMIC_RELAXED);
            }
        }
        berth_leave(ctx);
    }
    berth_unbind(pourer->host, &bound);
    return NULL;
}

/* Each call counts one: had one been lost, run twice, or lost its state, the sum would tell. */
static void no_call_is_lost_over_reloads_under_load(void)
{
    berth_host *host = conformance_host();
    struct pourer pourers[3] = { 0 };
    uint64_t sum = 0;

    LOAD(host, "counter", conformance.placement);
    for (size_t i = 0; i < 3; i++) {
        pourers[i].host = host;
        pthread_create(&pourers[i].thread, NULL, pour, &pourers[i]);
    }
    for (size_t i = 0; i < 3; i++)
        UNTIL(host, __atomic_load_n(&pourers[i].calls, __ATOMIC_RELAXED) > 0);
    for (int i = 0; i < (berth_test_instrumented() ? 10 : 40); i++) {
        struct berth_reload_report report;
        struct berth_error error;
        CHECK_CODE(reload(host, "counter", i % 2 ? "counter" : "counter_v2", &report, &error),
                   BERTH_OK, &error);
        CHECK_STR(report.step, "done");
        usleep(2000);
    }
    for (size_t i = 0; i < 3; i++) {
        __atomic_store_n(&pourers[i].stop, 1, __ATOMIC_RELAXED);
        pthread_join(pourers[i].thread, NULL);
        sum += pourers[i].calls;
    }
    CHECK_CALL(host, "counter.get", "[]", berth_test_format("%llu", (unsigned long long)sum));
    CHECK(sum > 0);
    berth_host_free(host);
}

const struct berth_test conformance_lifecycle[] = {
    { "a_module_loads_where_it_should", a_module_loads_where_it_should },
    { "a_name_is_taken_once", a_name_is_taken_once },
    { "two_instances_have_two_states", two_instances_have_two_states },
    { "a_start_that_fails_loads_nothing", a_start_that_fails_loads_nothing },
    { "what_is_required_must_be_there", what_is_required_must_be_there },
    { "unknown_placements_are_refused", unknown_placements_are_refused },
    { "unloading_waits_for_calls", unloading_waits_for_calls },
    { "unloading_does_not_wait_for_ever", unloading_does_not_wait_for_ever },
    { "state_moves_to_the_next_version", state_moves_to_the_next_version },
    { "a_bad_reload_leaves_the_old_one_serving", a_bad_reload_leaves_the_old_one_serving },
    { "a_reload_by_another_module_is_refused", a_reload_by_another_module_is_refused },
    { "a_reload_takes_other_options", a_reload_takes_other_options },
    { "bad_options_leave_the_old_ones", bad_options_leave_the_old_ones },
    { "a_reload_moves_to_another_placement", a_reload_moves_to_another_placement },
    { "a_save_that_fails_leaves_the_old_one_serving",
      a_save_that_fails_leaves_the_old_one_serving },
    { "imports_follow_a_reload", imports_follow_a_reload },
    { "calls_that_are_inside_finish_in_the_old_one", calls_that_are_inside_finish_in_the_old_one },
    { "no_call_is_lost_over_reloads_under_load", no_call_is_lost_over_reloads_under_load },
    { NULL, NULL },
};
