/* SPDX-License-Identifier: MIT */
/* What a module has from its host: options, timers, watches, threads, handles, a log. */
#include "tests/carrier/conformance.h"

#include <berth/module.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- The application as a module ---- */

BERTH_MODULE("app", "1.0.0", "The application of this test.");
BERTH_PARALLEL;
BERTH_TOPIC("app.event", event, (string, text), (i64, number));
BERTH_IMPORT(f64, callback, four_times, (f64, x));

static uint64_t marks[2]; /* what the thread had allocated in the last two calls */

BERTH_EXPORT(f64, twice, "x + x", (f64, x))
{
    marks[0] = marks[1];
    marks[1] = berth_mark(ctx);
    return x + x;
}

BERTH_EXPORT(string, name, "What it calls itself.")
{
    return "the test";
}

BERTH_EXPORT(void, fail, "Fails.", (string, why))
{
    berth_fail(ctx, BERTH_PERMISSION_DENIED, "%s", why);
}

BERTH_EXPORT(f64, eight_times, "Through callback and back.", (f64, x))
{
    return 2 * callback_four_times(ctx, x);
}

BERTH_EXPORT(void, announce, "Publishes.", (string, text), (i64, number))
{
    publish_event(ctx, text, number);
}

static int inside;  /* how many are in app.wait; atomic */
static bool let_go; /* they return; atomic */

BERTH_EXPORT(void, wait, "Returns when the test wants it.")
{
    (void)ctx;
    __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    EVENTUALLY(__atomic_load_n(&let_go, __ATOMIC_SEQ_CST));
    __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
}

static int insiders(void)
{
    return __atomic_load_n(&inside, __ATOMIC_SEQ_CST);
}

/* What a worker has asked for runs on when it has gone, but nobody waits for that. */
static void a_call_of_a_dead_worker_holds_up_nobody(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;

    if (!conformance_process() || berth_test_valgrind() || conformance.threads == 0)
        berth_skip("needs a worker, and threads");
    options.threads = conformance.threads;
    options.stop_timeout_ns = INT64_C(200000000);
    berth_host *host = berth_test_host(&options);
    __atomic_store_n(&let_go, false, __ATOMIC_SEQ_CST);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    LOAD(host, "aside", "process");
    CHECK_CALL(host, "aside.wait", "[]", "null");
    UNTIL(host, insiders() == 1);
    CHECK_CODE(berth_host_unload(host, "aside", &error), BERTH_OK, &error);
    CHECK_INT(insiders(), 1);
    LOAD(host, "aside", "process");
    CHECK_STR(berth_test_module(host, "aside", "state"), "running");
    __atomic_store_n(&let_go, true, __ATOMIC_SEQ_CST);
    berth_host_free(host);
}

/* A worker that asks for more than there are threads does not keep others from coming back. */
static void a_restart_has_a_thread_whatever_modules_do(void)
{
    struct berth_error error;

    if (!conformance_process() || berth_test_valgrind() || conformance.threads == 0)
        berth_skip("needs a worker, and threads");
    berth_host *host = conformance_host();
    __atomic_store_n(&let_go, false, __ATOMIC_SEQ_CST);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    LOAD(host, "aside", "process");
    LOAD(host, "math", "process");
    for (int i = 0; i < 100; i++)
        CHECK_CALL(host, "aside.wait", "[]", "null");
    UNTIL(host, insiders() >= 64);
    const char *pid = berth_test_module(host, "math", "pid");
    kill((pid_t)atoi(pid), SIGKILL);
    UNTIL(host, berth_test_runs_again(host, "math", pid));
    CHECK(insiders() >= 64);
    __atomic_store_n(&let_go, true, __ATOMIC_SEQ_CST);
    berth_host_free(host);
}

static void modules_call_the_application(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "callback", conformance.placement);
    CHECK_FAILS(host, "callback.greet", "[]", BERTH_UNAVAILABLE, "app.name");
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    CHECK_CALL(host, "callback.four_times", "[1.5]", "6");
    CHECK_CALL(host, "callback.greet", "[]", "\"hello, the test\"");
    CHECK_FAILS(host, "callback.fail", "[\"not you\"]", BERTH_PERMISSION_DENIED, "not you");
    CHECK_CALL(host, "app.twice", "[2]", "4");
    CHECK_CALL(host, "app.eight_times", "[2]", "16");

    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, "app");
    berth_host_free(host);
}

/* Its module, too, is whoever has made the host. */
static void the_application_needs_no_grants(void)
{
    static const char policy[] =
        "{\"mode\":\"listed\",\"grants\":{\"callback\":{\"call\":[\"app.twice\"],"
        "\"subscribe\":[\"app.event\"]}}}";
    static const char more[] =
        "{\"mode\":\"listed\",\"grants\":{\"callback\":{\"call\":[\"app.*\"],"
        "\"subscribe\":[\"app.*\"]}}}";
    berth_host *host = conformance_host();
    struct berth_error error;

    CHECK_CODE(berth_host_permit(host, policy, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    CHECK_CODE(berth_test_load(host, "callback", conformance.placement, NULL, &error),
               BERTH_PERMISSION_DENIED, &error);
    CHECK_CONTAINS(error.text, "app.name");
    CHECK_CODE(berth_host_permit(host, more, &error), BERTH_OK, &error);
    LOAD(host, "callback", conformance.placement);
    CHECK_CODE(berth_host_permit(host, policy, &error), BERTH_OK, &error);
    CHECK_CALL(host, "app.eight_times", "[2]", "16"); /* its import, and one that is granted */
    CHECK_CALL(host, "app.announce", "[\"x\",1]", "null");
    CHECK_FAILS(host, "callback.greet", "[]", BERTH_PERMISSION_DENIED,
                "callback may not call app.name");
    berth_host_free(host);
}

/* However many calls a module makes inside one of its own: nothing is left of them. */
static void finished_calls_hold_no_memory(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "callback", conformance.placement);
    LOAD(host, "deep", conformance.placement);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    CHECK_CALL(host, "callback.four_times", "[1]", "4");
    CHECK_INT(marks[1], marks[0]);
    CHECK_CALL(host, "deep.growth", "[100]", "0");
    berth_host_free(host);
}

static void the_application_publishes(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "callback", conformance.placement);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    CHECK_CALL(host, "app.announce", "[\"one\",1]", "null");
    UNTIL(host, CALL_INT(host, "callback.seen", "[]") == 1);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_publish_json(ctx, "app.event", "{\"text\":\"two\",\"number\":2}"), BERTH_OK);
    CHECK_INT(berth_publish_json(ctx, "app.event", "[\"three\",3]"), BERTH_OK);
    CHECK_INT(berth_publish_json(ctx, "app.event", "[\"four\"]"), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(berth_error_text(ctx), "number");
    berth_clear(ctx);
    CHECK_INT(berth_publish_json(ctx, "app.nothing", "{}"), BERTH_NOT_FOUND);
    CHECK_CONTAINS(berth_error_text(ctx), "app.nothing");
    berth_clear(ctx);
    berth_leave(ctx);
    UNTIL(host, CALL_INT(host, "callback.seen", "[]") == 3);
    berth_host_free(host);
}

/* ---- Options ---- */

static void options_have_defaults_and_values(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "options", conformance.placement);
    CHECK_CALL(host, "options.show", "[]", "\"1000 1000 3 1 0.50 none \\\"yet\\\" 2 a -\"");
    CHECK_CODE(berth_host_unload(host, "options", &error), BERTH_OK, &error);
    REQUIRE(berth_test_loaded(host, "options", conformance.placement,
                              "{\"limit\":5,\"level\":255,\"verbose\":false,\"ratio\":0.25,"
                              "\"title\":\"gr\u00fcn\",\"words\":[],\"note\":\"n\"}",
                              BERTH_TEST_HERE));
    CHECK_CALL(host, "options.show", "[]", "\"5 5 255 0 0.25 gr\u00fcn 0 - n\"");
    berth_host_free(host);
}

static void wrong_options_are_refused_before_start(void)
{
    static const struct {
        const char *options, *part;
        int code;
    } wrong[] = {
        { "{\"limit\":\"5\"}", "limit", BERTH_INVALID_ARGUMENT },
        { "{\"limit\":1.5}", "limit", BERTH_INVALID_ARGUMENT },
        { "{\"level\":256}", "level", BERTH_OUT_OF_RANGE },
        { "{\"limits\":5}", "limit", BERTH_INVALID_ARGUMENT },
        { "{\"words\":[\"a\",2]}", "words", BERTH_INVALID_ARGUMENT },
        { "{\"limit\":5", "", BERTH_INVALID_ARGUMENT },
        { "[5]", "", BERTH_INVALID_ARGUMENT },
        { "{\"limit\":-5}", "limit is -5: make it 0 or more", BERTH_INVALID_ARGUMENT }, /* START */
    };
    berth_host *host = conformance_host();

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct berth_error error = { 0 };
        CHECK_CODE(
            berth_test_load(host, "options", conformance.placement, wrong[i].options, &error),
            wrong[i].code, &error);
        CHECK_CONTAINS(error.text, wrong[i].part);
        CHECK_STR(berth_test_module(host, "options", "state"), "");
    }
    LOAD(host, "options", conformance.placement);
    berth_host_free(host);
}

/* ---- Timers, watches, threads ---- */

static void timers_run_and_are_cancelled(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "timer", conformance.placement);
    UNTIL(host, CALL_INT(host, "timer.ticks", "[]") >= 5);
    UNTIL(host, CALL_INT(host, "timer.once", "[]") == 1);
    CHECK_CALL(host, "timer.stop", "[]", "null");
    int64_t ticks = CALL_INT(host, "timer.ticks", "[]");
    for (int i = 0; i < 20; i++)
        berth_test_pass_time(host);
    CHECK(CALL_INT(host, "timer.ticks", "[]") <= ticks + 1); /* one may have been on its way */
    CHECK_CALL(host, "timer.once", "[]", "1");
    CHECK_CALL(host, "timer.cancelled", "[]", "0");
    CHECK_CODE(berth_host_unload(host, "timer", &error), BERTH_OK, &error);
    LOAD(host, "timer", conformance.placement); /* its timers have ended with it */
    berth_host_free(host);
}

static void a_reload_ends_the_timers_of_the_old_generation(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "timer", conformance.placement);
    UNTIL(host, CALL_INT(host, "timer.ticks", "[]") >= 2);
    CHECK_CODE(berth_host_reload(host, "timer", NULL, NULL, &error), BERTH_OK, &error);
    UNTIL(host, CALL_INT(host, "timer.ticks", "[]") >= 2);
    CHECK_CALL(host, "timer.cancelled", "[]", "0");
    berth_host_free(host);
}

/*
 * No tick before RESTORE, which refuses then, and none after SAVE, unless the old version goes on.
 */
static void timers_wait_for_the_state(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;
    int64_t ticks = 0;

    LOAD(host, "ledger", conformance.placement);
    for (int i = 0; i < 10; i++) {
        UNTIL(host, CALL_INT(host, "ledger.ticks", "[]") > ticks + 10);
        ticks = CALL_INT(host, "ledger.ticks", "[]");
        CHECK_CODE(berth_host_reload(host, "ledger", NULL, NULL, &error), BERTH_OK, &error);
        CHECK(CALL_INT(host, "ledger.ticks", "[]") >= ticks);
    }
    CHECK(!strstr(berth_test_log(), "a tick after SAVE"));
    CHECK_CODE(
        berth_host_reload(host, "ledger", berth_test_fixture("ledger_refuses"), NULL, &error),
        BERTH_DATA_LOSS, &error);
    ticks = CALL_INT(host, "ledger.ticks", "[]");
    UNTIL(host, CALL_INT(host, "ledger.ticks", "[]") > ticks + 10);
    berth_host_free(host);
}

static void watches_tell_of_descriptors(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "watcher", conformance.placement);
    CHECK_CALL(host, "watcher.poke", "[3]", "null");
    UNTIL(host, CALL_INT(host, "watcher.seen", "[]") == 3);
    CHECK_CALL(host, "watcher.poke", "[4000]", "null");
    UNTIL(host, CALL_INT(host, "watcher.seen", "[]") == 4003);
    CHECK_CALL(host, "watcher.ignore", "[]", "null");
    CHECK_CALL(host, "watcher.poke", "[5]", "null");
    for (int i = 0; i < 20; i++)
        berth_test_pass_time(host);
    CHECK_CALL(host, "watcher.seen", "[]", "4003");
    berth_host_free(host);
}

static void threads_of_the_host_end_with_the_module(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "math", conformance.other);
    LOAD(host, "threader", conformance.placement);
    CHECK_CALL(host, "threader.begin", "[]", "null");
    CHECK_CALL(host, "threader.begin", "[]", "null");
    UNTIL(host, CALL_INT(host, "threader.rounds", "[]") >= 5);
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    LOAD(host, "math", conformance.other);
    int64_t rounds = CALL_INT(host, "threader.rounds", "[]");
    UNTIL(host, CALL_INT(host, "threader.rounds", "[]") > rounds);
    CHECK_CALL(host, "threader.ends", "[]", "0");
    CHECK_CODE(berth_host_unload(host, "threader", &error), BERTH_OK, &error);
    berth_host_free(host);
}

static void threads_of_the_module_may_enter(void)
{
    if (conformance_process() && !conformance.threads)
        berth_skip("what a worker's own threads call needs a thread here");
    berth_host *host = conformance_host();
    LOAD(host, "math", conformance.other);
    LOAD(host, "threader", conformance.placement);
    for (int i = 0; i < 10; i++)
        CHECK_CALL(host, "threader.enter", "[1,2]", "3");
    berth_host_free(host);
}

/* ---- Handles ---- */

static void handles_stand_for_objects(void)
{
    berth_host *host = conformance_host();

    LOAD(host, "handles", conformance.placement);
    const char *box = CALL(host, "handles.open", "[5]");
    const char *other = CALL(host, "handles.open", "[6]");
    CHECK(strcmp(box, other) != 0);
    CHECK(strcmp(box, "0") != 0);
    CHECK_CALL(host, "handles.get", berth_test_format("[%s]", box), "5");
    CHECK_CALL(host, "handles.set", berth_test_format("[%s,-7]", box), "null");
    CHECK_CALL(host, "handles.get", berth_test_format("[%s]", box), "-7");
    CHECK_CALL(host, "handles.get", berth_test_format("[%s]", other), "6");
    CHECK_CALL(host, "handles.close", berth_test_format("[%s]", box), "null");
    CHECK_FAILS(host, "handles.get", berth_test_format("[%s]", box), BERTH_NOT_FOUND, "box");
    CHECK_FAILS(host, "handles.close", berth_test_format("[%s]", box), BERTH_NOT_FOUND, "box");
    CHECK_FAILS(host, "handles.get", "[12345]", BERTH_NOT_FOUND, "box");
    CHECK_FAILS(host, "handles.get", "[0]", BERTH_NOT_FOUND, "box");
    CHECK_CALL(host, "handles.open_count", "[]", "1");
    berth_host_free(host);
}

static void handles_pass_through_other_modules(void)
{
    const char *const places[][2] = { { conformance.placement, conformance.placement },
                                      { conformance.placement, conformance.other },
                                      { conformance.other, conformance.placement } };

    for (size_t i = 0; i < 3; i++) {
        berth_host *host = conformance_host();
        LOAD(host, "handles", places[i][0]);
        LOAD(host, "handle_user", places[i][1]);
        CHECK_CALL(host, "handle_user.round_trip", "[9]", "9");
        const char *box = CALL(host, "handle_user.keep", "[11]");
        CHECK_CALL(host, "handle_user.look", "[]", "11");
        CHECK_CALL(host, "handles.get", berth_test_format("[%s]", box), "11");
        CHECK_CALL(host, "handles.set", berth_test_format("[%s,12]", box), "null");
        CHECK_CALL(host, "handle_user.look", "[]", "12");
        CHECK_FAILS(host, "handle_user.forge", "[77]", BERTH_NOT_FOUND, "box");
        CHECK_CALL(host, "handles.open_count", "[]", "1");
        CHECK_CALL(host, "handles.close", berth_test_format("[%s]", box), "null");
        CHECK_FAILS(host, "handle_user.look", "[]", BERTH_NOT_FOUND, "box");
        berth_host_free(host);
    }
}

static void handles_of_another_module_are_refused(void)
{
    berth_host *host = conformance_host();

    berth_test_load_as(host, "handles", "left", conformance.placement);
    berth_test_load_as(host, "handles", "right", conformance.placement);
    const char *box = berth_test_format("[%s]", CALL(host, "left.open", "[5]"));
    CHECK_CALL(host, "left.get", box, "5");
    CHECK_FAILS(host, "right.get", box, BERTH_NOT_FOUND, "box");
    CHECK_FAILS(host, "right.close", box, BERTH_NOT_FOUND, "box");
    CHECK_CALL(host, "left.close", box, "null");
    berth_host_free(host);
}

static void live_handles_refuse_a_reload(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "handles", conformance.placement);
    LOAD(host, "handle_user", conformance.other);
    CHECK_CALL(host, "handle_user.hold", "[1]", "null");
    CHECK_CODE(berth_host_reload(host, "handles", NULL, NULL, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CONTAINS(error.text, "box");
    CHECK_CONTAINS(error.text, "handle_user"); /* who has it */
    CHECK_CALL(host, "handle_user.look", "[]", "1");
    CHECK_CALL(host, "handle_user.drop", "[]", "null");
    CHECK_CODE(berth_host_reload(host, "handles", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CALL(host, "handles.open_count", "[]", "0");

    CHECK_CALL(host, "handle_user.hold", "[2]", "null");
    CHECK_CODE(berth_host_reload(host, "handles", NULL, NULL, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CONTAINS(error.text, "1 in all");
    CHECK_CONTAINS(error.text, "unload it"); /* the cure for one that its holder has lost */

    const char *box = berth_test_format("[%s]", CALL(host, "handles.open", "[3]"));
    CHECK_CODE(berth_host_unload(host, "handles", &error), BERTH_OK, &error);
    LOAD(host, "handles", conformance.placement);
    CHECK_FAILS(host, "handles.get", box, BERTH_NOT_FOUND, "box"); /* of its former life */
    berth_host_free(host);
}

/* ---- The log ---- */

static void modules_log(void)
{
    berth_host *host = conformance_host();
    struct berth_error error;

    LOAD(host, "logger", conformance.placement);
    CHECK_CALL(host, "logger.log", "[0,\"an error\"]", "null");
    CHECK_CALL(host, "logger.log", "[3,\"two\\nlines\"]", "null");
    CHECK_CALL(host, "logger.log", "[77,\"odd\"]", "null");
    CHECK_CODE(berth_host_reload(host, "logger", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_reload(host, "logger", "./nothing.so", NULL, &error), BERTH_NOT_FOUND,
               &error);
    CHECK_CALL(host, "host.unload", "[\"logger\"]", "null");
    CHECK_FAILS(host, "host.unload", "[\"logger\"]", BERTH_NOT_FOUND, "no module logger");
    CHECK_CONTAINS(berth_test_log(), "info  logger@1.0.0#1 is replaced by logger@1.0.0#2 (");
    CHECK_CONTAINS(berth_test_log(),
                   "warning  logger@1.0.0#2 goes on as it was: refused in step stage: ");
    CHECK_CONTAINS(berth_test_log(), "info  logger@1.0.0#2 has been unloaded (");
    CHECK_CONTAINS(berth_test_log(), "warning  an unload of logger was refused: ");
    CHECK_CONTAINS(berth_test_log(), "logger@1.0.0#2 is unloaded\n");
    CHECK_CONTAINS(berth_test_log(), "info logger@1.0.0#1 started\n");
    CHECK_CONTAINS(berth_test_log(), "error logger@1.0.0#1 an error\n");
    CHECK_CONTAINS(berth_test_log(), "odd\n");
    CHECK_CONTAINS(berth_test_log(), "info logger@1.0.0#1 stopped\n");
    const char *loaded = strstr(berth_test_log(), " is loaded (");
    CHECK(loaded && !strstr(loaded + 1, " is loaded (")); /* told once, not by the worker as well */
    berth_host_free(host);
}

static void the_level_of_the_log_is_kept(void)
{
    struct berth_host_options options = berth_test_host_options();

    if (conformance_process() && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.threads = conformance.threads;
    options.log_level = BERTH_LOG_WARNING;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "logger", conformance.placement);
    CHECK_CALL(host, "logger.log", "[1,\"heard\"]", "null");
    CHECK_CALL(host, "logger.log", "[2,\"not heard\"]", "null");
    berth_host_free(host);
    CHECK_CONTAINS(berth_test_log(), "warning logger@1.0.0#1 heard\n");
    CHECK(!strstr(berth_test_log(), "not heard"));
}

static void levels_change_while_a_module_runs(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;

    if (conformance_process() && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.threads = conformance.threads;
    options.log_level = BERTH_LOG_WARNING;
    berth_host *host = berth_test_host(&options);
    CHECK_CODE(berth_host_set_log_level(host, "logger", BERTH_LOG_INFO, &error), BERTH_OK, &error);
    LOAD(host, "logger", conformance.placement); /* which says at its START that it has started */
    CHECK_CALL(host, "host.log_level", "[\"logger\"]", "\"info\"");
    CHECK_CALL(host, "logger.log", "[3,\"not one\"]", "null");
    CHECK_CALL(host, "host.log_level", "[\"logger\",\"debug\"]", "\"debug\"");
    CHECK_CALL(host, "logger.log", "[3,\"two\"]", "null");
    CHECK_CALL(host, "host.log_level", "[\"logger\",\"\"]", "\"warning\"");
    CHECK_CALL(host, "logger.log", "[2,\"not three\"]", "null");
    CHECK_CALL(host, "host.log_level", "[\"\",\"info\"]", "\"info\"");
    CHECK_CALL(host, "logger.log", "[2,\"four\"]", "null");
    CHECK_CALL(host, "host.log_level", "[\"logger\",\"error\"]", "\"error\"");
    CHECK_CALL(host, "host.log_level", "[\"\",\"debug\"]", "\"debug\"");
    CHECK_CALL(host, "logger.log", "[1,\"not five\"]", "null");
    CHECK_CODE(berth_host_reload(host, "logger", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CALL(host, "logger.log", "[1,\"not six\"]", "null"); /* the module's, not the image's */
    CHECK_CALL(host, "logger.log", "[0,\"seven\"]", "null");
    berth_host_free(host);
    CHECK_CONTAINS(berth_test_log(), "info logger@1.0.0#1 started\n");
    CHECK_CONTAINS(berth_test_log(), "debug logger@1.0.0#1 two\n");
    CHECK_CONTAINS(berth_test_log(), "info logger@1.0.0#1 four\n");
    CHECK_CONTAINS(berth_test_log(), "error logger@1.0.0#2 seven\n");
    CHECK(!strstr(berth_test_log(), " not "));
}

/* "text <chain>" of the last line of a module. */
static void keep_chain(void *user, const struct berth_log_line *line)
{
    if (*line->module)
        snprintf(user, 256, "%s <%s>", line->text, line->chain);
}

static void lines_know_their_calls(void)
{
    struct berth_host_options options = berth_test_host_options();
    char last[256] = "";

    if (conformance_process() && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.threads = conformance.threads;
    options.log = keep_chain;
    options.log_user = last;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "logger", conformance.placement);
    CHECK_STR(last, "started <logger.START>");
    CHECK_CALL(host, "logger.log", "[0,\"a line\"]", "null");
    CHECK_STR(last, "a line <logger.log>");
    CHECK_CALL(host, "host.call", "[\"logger.log\", [0,\"behind another\"]]", "null");
    CHECK_STR(last, conformance_process() ? "behind another <logger.log>"
                                          : "behind another <host.call → logger.log>");
    berth_host_free(host);
}

/* ---- Ownership ---- */

/* Run once more as a program that breaks the rule: AddressSanitizer must end it. */
static void keepers_are_found_by_asan(void)
{
#ifdef __SANITIZE_ADDRESS__
    struct berth_test_command command = { 0 };
    char self[4096] = "";

    if (!(conformance.flags & BERTH_HOST_CHECK_OWNERSHIP))
        berth_skip("only in the mode that checks ownership");
    if (getenv("BERTH_TEST_KEEP")) {
        berth_host *host = conformance_host();
        LOAD(host, "keeper", conformance.placement);
        CALL(host, "keeper.keep", "[\"kept\"]");
        CALL(host, "keeper.look", "[]");
        berth_host_free(host);
        return;
    }
    REQUIRE(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    CHECK(berth_test_run(&command, (const char *const[]){ "env", "BERTH_TEST_KEEP=1", self,
                                                          "keepers_are_found_by_asan", NULL }));
    CHECK_CONTAINS(command.err, "use-after-free");
#else
    berth_skip("needs AddressSanitizer");
#endif
}

const struct berth_test conformance_services[] = {
    { "modules_call_the_application", modules_call_the_application },
    { "the_application_needs_no_grants", the_application_needs_no_grants },
    { "finished_calls_hold_no_memory", finished_calls_hold_no_memory },
    { "a_call_of_a_dead_worker_holds_up_nobody", a_call_of_a_dead_worker_holds_up_nobody },
    { "a_restart_has_a_thread_whatever_modules_do", a_restart_has_a_thread_whatever_modules_do },
    { "the_application_publishes", the_application_publishes },
    { "options_have_defaults_and_values", options_have_defaults_and_values },
    { "wrong_options_are_refused_before_start", wrong_options_are_refused_before_start },
    { "timers_run_and_are_cancelled", timers_run_and_are_cancelled },
    { "a_reload_ends_the_timers_of_the_old_generation",
      a_reload_ends_the_timers_of_the_old_generation },
    { "timers_wait_for_the_state", timers_wait_for_the_state },
    { "watches_tell_of_descriptors", watches_tell_of_descriptors },
    { "threads_of_the_host_end_with_the_module", threads_of_the_host_end_with_the_module },
    { "threads_of_the_module_may_enter", threads_of_the_module_may_enter },
    { "handles_stand_for_objects", handles_stand_for_objects },
    { "handles_pass_through_other_modules", handles_pass_through_other_modules },
    { "handles_of_another_module_are_refused", handles_of_another_module_are_refused },
    { "live_handles_refuse_a_reload", live_handles_refuse_a_reload },
    { "modules_log", modules_log },
    { "the_level_of_the_log_is_kept", the_level_of_the_log_is_kept },
    { "levels_change_while_a_module_runs", levels_change_while_a_module_runs },
    { "lines_know_their_calls", lines_know_their_calls },
    { "keepers_are_found_by_asan", keepers_are_found_by_asan },
    { NULL, NULL },
};
