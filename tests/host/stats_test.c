/* SPDX-License-Identifier: MIT */
/* What a host counts: who calls and publishes to whom, how that goes, and what modules use. */
#include "tests/support/hosting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static berth_host *host;

static const char *stats(void)
{
    char *json = NULL;
    struct berth_error error;
    CHECK_CODE(berth_host_stats(host, &json, &error), BERTH_OK, &error);
    const char *kept = berth_test_format("%s", json ? json : "");
    free(json);
    return kept;
}

/* The entry that begins so, up to its end; "" when there is none. */
static const char *entry(const char *beginning)
{
    const char *all = stats(), *found = strstr(all, beginning);
    return found ? berth_test_format("%.*s", (int)strcspn(found, "\n") - 0, found) : "";
}

static const char *flow(const char *from, const char *to)
{
    return entry(berth_test_format("{\"from\":\"%s\",\"to\":\"%s\",", from, to));
}

static const char *message_flow(const char *from, const char *topic, const char *to)
{
    return entry(
        berth_test_format("{\"from\":\"%s\",\"topic\":\"%s\",\"to\":\"%s\",", from, topic, to));
}

/* A number of an entry: -1 when it is not there. */
static long long number(const char *text, const char *name)
{
    const char *key = berth_test_format("\"%s\":", name);
    const char *end = strchr(text, '}'), *found = strstr(text, key);
    if (end && strstr(text, "\"errors\":{"))
        end = strchr(end + 1, '}');
    return found && end && found < end ? strtoll(found + strlen(key), NULL, 10) : -1;
}

static long long calls(const char *from, const char *to)
{
    return number(flow(from, to), "calls");
}

static void begin(const char *placement)
{
    struct berth_host_options options = berth_test_host_options();
    host = berth_test_host(&options);
    LOAD(host, "math", placement);
    LOAD(host, "counter", NULL);
    LOAD(host, "hammer", NULL);
}

/* For those that make calls in great number. */
static void skip_if_slow(void)
{
    if (berth_test_valgrind())
        berth_skip("takes too long");
}

/* ---- calls ---- */

static void every_way_to_call_is_counted(void)
{
    struct berth_error error;
    berth_function *function;
    double a = 1, b = 2, result;
    const void *arguments[] = { &a, &b };

    begin(NULL);
    for (int i = 0; i < 3; i++)
        CALL(host, "math.add", "[1,2]");
    REQUIRE(berth_function_find(host, "math.add", &function, &error) == BERTH_OK);
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < 2000; i++)
        berth_function_invoke(function, ctx, arguments, &result);
    berth_leave(ctx);
    berth_function_free(function);
    CHECK_INT(calls("", "math.add"), 2003);
    CHECK_CALL(host, "hammer.divide", "[7,2]", "0");
    CHECK_INT(calls("hammer", "math.divide"), 7);
    CHECK_INT(calls("", "hammer.divide"), 1);
    CHECK_INT(calls("", "math.divide"), -1); /* nobody */
    CHECK_INT(calls("hammer", "counter.add"), -1);
    CHECK_CALL(host, "hammer.add", "[5]", "5");
    CHECK_INT(calls("hammer", "counter.add"), 5);
    CHECK_INT(number(entry("{\"name\":\"math\""), "calls"), 2010);
}

BERTH_BOUND(f64, add, (f64, a), (f64, b));

static void calls_of_the_application_by_any_door_are_one_flow(void)
{
    add_bound bound;
    struct berth_error error;

    begin(NULL);
    CHECK_CODE(berth_bind(host, "math.add", add, &bound, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < 9; i++)
        add_call(&bound, ctx, 1, 2);
    berth_leave(ctx);
    CALL(host, "math.add", "[1,2]");
    CHECK_INT(calls("", "math.add"), 10);
    berth_unbind(host, &bound);
}

static void failures_are_counted_by_code(void)
{
    begin(NULL);
    CHECK_CALL(host, "hammer.divide", "[6,0]", "6");
    CHECK_CALL(host, "hammer.divide", "[4,1]", "0");
    CHECK_INT(calls("hammer", "math.divide"), 10);
    CHECK_INT(number(flow("hammer", "math.divide"), "invalid_argument"), 6);
    berth_host_unload(host, "math", NULL);
    CHECK_CALL(host, "hammer.divide", "[2,1]", "2");
    CHECK_INT(number(flow("hammer", "math.divide"), "unavailable"), 2);
    CHECK_FAILS(host, "counter.add", "[\"x\"]", BERTH_INVALID_ARGUMENT, "");
    CHECK_INT(number(flow("", "counter.add"), "invalid_argument"), 1);
    CHECK_INT(number(entry("{\"name\":\"counter\""), "failed"), 1);
}

static void counts_outlive_what_is_loaded(void)
{
    struct berth_error error;

    begin(NULL);
    CALL(host, "hammer.divide", "[10,2]");
    CHECK_CODE(berth_host_reload(host, "math", NULL, NULL, &error), BERTH_OK, &error);
    CALL(host, "hammer.divide", "[10,2]");
    CHECK_CODE(berth_host_reload(host, "hammer", NULL, NULL, &error), BERTH_OK, &error);
    CALL(host, "hammer.divide", "[10,2]");
    CHECK_INT(calls("hammer", "math.divide"), 30);
}

static void *call_and_end(void *unused)
{
    CALL(host, "hammer.divide", "[100,2]");
    return unused;
}

static void counts_outlive_their_threads(void)
{
    begin(NULL);
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, call_and_end, NULL) == 0);
        pthread_join(thread, NULL);
    }
    CHECK_INT(calls("hammer", "math.divide"), 500);
}

static void a_module_that_calls_through_host_is_named(void)
{
    begin(NULL);
    LOAD(host, "asker", NULL);
    CALL(host, "asker.call", "[\"math.add\",[1,2]]");
    CHECK_INT(calls("asker", "math.add"), 1);
    CHECK_INT(calls("asker", "host.call"), 1);
}

/* ---- sampling ---- */

#define MANY 3000000

/*
 * The estimate of a loop that does nothing but call is low, for the calls that are looked at are
 * the slow ones; what is checked here is that there is one.
 */
static void calls_in_great_number_are_estimated(void)
{
    static const char *const functions[][2] = { { "hammer.divide", "math.divide" },
                                                { "hammer.add", "counter.add" } };
    skip_if_slow();
    begin(NULL);
    for (int i = 0; i < 2; i++) {
        const char *to = functions[i][1];
        const char *arguments = i ? "[3000000]" : "[3000000,2]";
        for (int tries = 0; tries < 100 && number(flow("hammer", to), "estimated") <= 0; tries++)
            CALL(host, functions[i][0], arguments);
        CHECK(number(flow("hammer", to), "estimated") > 0);
        CHECK(calls("hammer", to) > number(flow("hammer", to), "estimated"));
    }
}

/* Seen at full speed now and then, they are not taken for calls that go on all the time. */
static void bursts_do_not_count_for_what_is_between(void)
{
    if (berth_test_instrumented())
        berth_skip("calls take their time here");
    begin(NULL);
    for (int i = 0; i < 200; i++) {
        CALL(host, "hammer.divide", "[2000,2]");
        berth_test_pause(5);
    }
    CHECK(calls("hammer", "math.divide") < 20 * 200 * 2000);
}

/* They are over in less time than is between two windows of calls that go on. */
static void a_burst_is_seen_before_it_is_over(void)
{
    if (berth_test_instrumented())
        berth_skip("calls take their time here");
    begin(NULL);
    for (int i = 0; i < 5; i++) {
        CALL(host, "hammer.divide", "[10000000,2]");
        berth_test_pause(100);
    }
    CHECK(calls("hammer", "math.divide") > 5 * 10000000 / 100);
}

static void all_are_counted_when_that_is_wanted(void)
{
    skip_if_slow();
    begin(NULL);
    CHECK_CALL(host, "host.count_all", "[true]", "null");
    CHECK_CONTAINS(stats(), "\"counting\":\"all\"");
    CALL(host, "hammer.divide", "[3000000,2]");
    CALL(host, "hammer.add", "[300000]");
    CHECK_INT(calls("hammer", "math.divide"), MANY);
    CHECK_INT(calls("hammer", "counter.add"), MANY / 10);
    CHECK_INT(number(flow("hammer", "math.divide"), "estimated"), 0);
}

/* From sampled to counted while calls go on: from then on each one counts. */
static void it_can_be_wanted_at_any_time(void)
{
    skip_if_slow();
    begin(NULL);
    for (int tries = 0; tries < 100 && number(flow("hammer", "math.divide"), "estimated") <= 0;
         tries++)
        CALL(host, "hammer.divide", "[3000000,2]");
    berth_host_count_all(host, true);
    long long before = calls("hammer", "math.divide");
    CALL(host, "hammer.divide", "[100000,2]");
    CHECK_INT(calls("hammer", "math.divide") - before, 100000);
}

/* Until it is sampled; on a machine where the calls themselves take long perhaps not. */
static void hammer_until_estimated(const char *arguments, long long above)
{
    for (int tries = 0; tries < 100; tries++) {
        CALL(host, "hammer.divide", arguments);
        if (number(flow("hammer", "math.divide"), "estimated") > above)
            return;
    }
}

/* Whoever asks while the flow is sampled, as the callee has gone, is in the estimate already. */
static void no_failure_is_counted_twice(void)
{
    if (berth_test_instrumented())
        berth_skip("calls take their time here");
    begin(NULL);
    hammer_until_estimated("[100000,0]", 0);
    berth_host_unload(host, "math", NULL);
    hammer_until_estimated("[100000,0]", number(flow("hammer", "math.divide"), "estimated"));
    const char *all = flow("hammer", "math.divide");
    long long failed = number(all, "invalid_argument") + number(all, "unavailable");
    CHECK(number(all, "unavailable") > 0);
    CHECK(failed <= number(all, "calls") * 101 / 100); /* some were under way */
    CHECK(failed >= number(all, "calls") / 2);
}

BERTH_BOUND(f64, divide, (f64, a), (f64, b));

/* The window of a flow whose bound calls have ended sees none of them. */
static void failures_by_name_are_not_estimated(void)
{
    divide_bound bound;
    struct berth_error error;

    skip_if_slow();
    begin(NULL);
    CHECK_CODE(berth_bind(host, "math.divide", divide, &bound, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    for (int tries = 0; tries < 100 && number(flow("", "math.divide"), "estimated") <= 0; tries++)
        for (int i = 0; i < MANY; i++)
            divide_call(&bound, ctx, 1, 2);
    berth_leave(ctx);
    for (int i = 0; i < 200; i++) {
        CHECK_FAILS(host, "math.divide", "[1,0]", BERTH_INVALID_ARGUMENT, "");
        berth_test_pause(1);
    }
    CHECK_INT(number(flow("", "math.divide"), "invalid_argument"), 200);
    berth_unbind(host, &bound);
}

static void *hammer_on(void *until)
{
    while (!__atomic_load_n((bool *)until, __ATOMIC_RELAXED)) {
        CALL(host, "hammer.divide", "[100000,2]");
        CALL(host, "hammer.add", "[20000]");
    }
    return NULL;
}

/* Windows open and close, modules come and go, and everybody reads. */
static void sampling_stands_reloads(void)
{
    bool end = false;
    pthread_t threads[2];
    long long last = -1;

    skip_if_slow();
    begin(NULL);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, hammer_on, &end) == 0);
    for (int i = 0; i < 60; i++) {
        struct berth_error error;
        const char *const modules[] = { "math", "counter", "hammer" };
        const char *module = modules[berth_test_random_below(3)];
        CHECK_CODE(berth_host_reload(host, module, NULL, NULL, &error), BERTH_OK, &error);
        if (berth_test_random_below(4) == 0)
            berth_host_count_all(host, berth_test_random_below(2) == 0);
        long long now = calls("hammer", "math.divide");
        CHECK(now >= last);
        last = now;
        berth_test_pause(5);
    }
    __atomic_store_n(&end, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void times_are_told(void)
{
    begin(NULL);
    for (int i = 0; i < 3; i++)
        CALL(host, "hammer.divide", "[1000,2]");
    const char *of_math = flow("hammer", "math.divide");
    CHECK(number(of_math, "timed") > 0);
    CHECK(number(of_math, "p50_ns") > 0);
    CHECK(number(of_math, "p99_ns") >= number(of_math, "p50_ns"));
    CHECK(number(of_math, "max_ns") >= number(of_math, "p99_ns"));
}

/* ---- messages ---- */

static void messages_are_counted_by_who_gets_them(void)
{
    struct berth_error error;

    begin(NULL);
    LOAD(host, "publisher", NULL);
    LOAD(host, "subscriber", NULL);
    CHECK_CALL(host, "publisher.burst", "[10]", "10");
    CALL(host, "publisher.text", "[\"fail\",11]");
    UNTIL(host, CALL_INT(host, "subscriber.texts", "[]") == 11);
    UNTIL(host,
          number(message_flow("publisher", "news.text", "subscriber.on_text"), "unknown") == 1);
    CHECK_INT(number(message_flow("publisher", "news.text", "subscriber.on_text"), "messages"), 11);
    CHECK_INT(number(message_flow("publisher", "news.text", "subscriber.on_any"), "messages"), 11);
    CHECK(number(message_flow("publisher", "news.text", "subscriber.on_text"), "timed") > 0);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_CODE(berth_publish_json(ctx, "news.bell", "{}"), BERTH_OK, &error);
    berth_leave(ctx);
    CHECK_INT(number(message_flow("", "news.bell", "subscriber.on_bell"), "messages"), 1);
    CHECK(number(entry("{\"name\":\"subscriber\""), "messages") == 24);
}

/* A thread has places of its own for 1,024 of them. */
static void more_flows_than_places_are_counted(void)
{
    enum { SENDERS = 10, RECEIVERS = 55, EACH = 20 };

    skip_if_slow();
    begin(NULL);
    for (int i = 0; i < SENDERS; i++)
        berth_test_load_as(host, "publisher", berth_test_format("publisher_%d", i), NULL);
    for (int i = 0; i < RECEIVERS; i++)
        berth_test_load_as(host, "subscriber", berth_test_format("subscriber_%d", i), NULL);
    for (int i = 0; i < SENDERS * EACH; i++)
        CALL(host, berth_test_format("publisher_%d.ring", i % SENDERS), "[]");
    for (int i = 0; i < RECEIVERS; i++)
        UNTIL(host,
              CALL_INT(host, berth_test_format("subscriber_%d.all", i), "[]") == SENDERS * EACH);
    const char *all = stats();
    for (int i = 0; i < SENDERS * RECEIVERS; i++) {
        const char *its = strstr(
            all, berth_test_format("{\"from\":\"publisher_%d\",\"topic\":\"news.bell\",\"to\":"
                                   "\"subscriber_%d.on_bell\",",
                                   i % SENDERS, i / SENDERS));
        REQUIRE(its != NULL);
        CHECK_INT(number(its, "messages"), EACH);
        CHECK(number(its, "timed") > 0);
    }
}

static void what_a_full_mailbox_refuses_is_counted(void)
{
    struct berth_host_options options = berth_test_host_options();
    const char *hold = berth_test_hold_path();

    options.mailbox_messages = 4;
    host = berth_test_host(&options);
    LOAD(host, "publisher", NULL);
    REQUIRE(berth_test_loaded(host, "subscriber", NULL,
                              berth_test_format("{\"hold\":\"%s\"}", hold), BERTH_TEST_HERE));
    fclose(fopen(hold, "w"));
    long long sent = CALL_INT(host, "publisher.burst", "[50]");
    CHECK(sent < 50);
    const char *texts = message_flow("publisher", "news.text", "subscriber.on_text");
    CHECK_INT(number(texts, "messages"), 50);
    CHECK(number(texts, "resource_exhausted") > 0);
    CHECK(number(strstr(entry("{\"name\":\"subscriber\""), "\"mailbox\""), "messages") > 0);
    remove(hold);
}

/* ---- workers ---- */

static void workers_tell_what_they_use(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind runs no workers");
    begin("process");
    CALL(host, "hammer.divide", "[3000,2]");
    CHECK_INT(calls("hammer", "math.divide"), 3000);
    CHECK_INT(number(flow("hammer", "math.divide"), "estimated"), 0);
    const char *math = strstr(entry("{\"name\":\"math\""), "\"pid\"");
    REQUIRE(math != NULL);
    CHECK(number(math, "cpu_ns") > 0);
    CHECK(number(math, "memory") > 4096);
    CHECK(number(entry("{\"host\":"), "memory") > 4096);
}

static void a_worker_that_calls_is_named(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind runs no workers");
    host = berth_test_host(NULL);
    LOAD(host, "math", NULL);
    LOAD(host, "counter", NULL);
    LOAD(host, "hammer", "process");
    CALL(host, "hammer.divide", "[30,0]");
    CHECK_INT(calls("hammer", "math.divide"), 30);
    CHECK_INT(number(flow("hammer", "math.divide"), "invalid_argument"), 30);
}

/* ---- calls that are started ---- */

/* Its answer's code. */
static int start_nap(berth_ctx *ctx, int ms, int64_t timeout_ns)
{
    const struct berth_call_options options = { .size = sizeof options, .timeout_ns = timeout_ns };
    berth_pending call = { 0 };
    CHECK_INT(
        berth_call_start_json(ctx, "sleeper.nap", berth_test_format("[%d]", ms), &options, &call),
        BERTH_OK);
    int code = berth_call_take_json(ctx, call, NULL);
    berth_clear(ctx);
    return code;
}

/* From when its callee has it until it is answered, with whatever code. */
static void started_calls_are_timed_and_their_answers_counted(const char *placement)
{
    if (berth_test_valgrind() && strcmp(placement, "process") == 0)
        berth_skip("valgrind runs no workers");
    host = berth_test_host(NULL);
    LOAD(host, "sleeper", placement);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(start_nap(ctx, 30, 0), BERTH_OK);
    CHECK_INT(number(flow("", "sleeper.nap"), "timed"), 1);
    CHECK(number(flow("", "sleeper.nap"), "max_ns") >= 29000000);
    CHECK_INT(start_nap(ctx, 100, 10000000), BERTH_DEADLINE_EXCEEDED);
    CHECK_INT(number(flow("", "sleeper.nap"), "deadline_exceeded"), 1);
    CHECK_INT(number(entry("{\"name\":\"sleeper\""), "failed"), 1);
    UNTIL(host, number(flow("", "sleeper.nap"), "late") == 1);
    CHECK_INT(number(entry("{\"name\":\"sleeper\""), "failed"), 1);
    CHECK_INT(calls("", "sleeper.nap"), 2);
    berth_leave(ctx);
}

BERTH_TEST_BOTH(started_calls_are_timed_and_their_answers_counted)

static const struct berth_test tests[] = {
    { "every_way_to_call_is_counted", every_way_to_call_is_counted },
    { "calls_of_the_application_by_any_door_are_one_flow",
      calls_of_the_application_by_any_door_are_one_flow },
    { "failures_are_counted_by_code", failures_are_counted_by_code },
    { "counts_outlive_what_is_loaded", counts_outlive_what_is_loaded },
    { "counts_outlive_their_threads", counts_outlive_their_threads },
    { "a_module_that_calls_through_host_is_named", a_module_that_calls_through_host_is_named },
    { "calls_in_great_number_are_estimated", calls_in_great_number_are_estimated },
    { "bursts_do_not_count_for_what_is_between", bursts_do_not_count_for_what_is_between },
    { "a_burst_is_seen_before_it_is_over", a_burst_is_seen_before_it_is_over },
    { "all_are_counted_when_that_is_wanted", all_are_counted_when_that_is_wanted },
    { "it_can_be_wanted_at_any_time", it_can_be_wanted_at_any_time },
    { "no_failure_is_counted_twice", no_failure_is_counted_twice },
    { "failures_by_name_are_not_estimated", failures_by_name_are_not_estimated },
    { "sampling_stands_reloads", sampling_stands_reloads },
    { "times_are_told", times_are_told },
    { "messages_are_counted_by_who_gets_them", messages_are_counted_by_who_gets_them },
    { "more_flows_than_places_are_counted", more_flows_than_places_are_counted },
    { "what_a_full_mailbox_refuses_is_counted", what_a_full_mailbox_refuses_is_counted },
    { "workers_tell_what_they_use", workers_tell_what_they_use },
    BERTH_TEST_ROWS("started calls are timed, and their answers counted",
                    started_calls_are_timed_and_their_answers_counted),
    { "a_worker_that_calls_is_named", a_worker_that_calls_is_named },
};

int main(int argc, char **argv)
{
    return berth_suite_main("stats", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
