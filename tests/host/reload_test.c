/* SPDX-License-Identifier: MIT */
/*
 * Reload as a transaction: what its report says, what callers that were bound before may go on
 * with, states and their versions, going back, several modules at once, and a module that is inside
 * of itself. What holds in every placement and is older: tests/carrier/lifecycle.c.
 */
#include "runtime/core/core.h"
#include "runtime/core/registry.h"
#include "tests/support/hosting.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <berth/module.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const placements[] = { "inline", "process" };

static bool place(size_t i)
{
    return i == 0 || !berth_test_valgrind();
}

static int reload_how(berth_host *host, const char *module, const char *fixture, unsigned flags,
                      struct berth_reload_report *report, struct berth_error *error)
{
    const struct berth_reload_options how = { .size = sizeof(how),
                                              .file = fixture ? berth_test_fixture(fixture) : NULL,
                                              .flags = flags };
    *report = (struct berth_reload_report){ .size = sizeof(*report) };
    return berth_host_reload_with(host, module, &how, report, error);
}

static int reload(berth_host *host, const char *module, const char *fixture,
                  struct berth_reload_report *report, struct berth_error *error)
{
    return reload_how(host, module, fixture, 0, report, error);
}

/* ---- The report ---- */

static void the_report_accounts_for_what_was_inside(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_reload_report report;
    struct berth_test_held held;
    struct berth_error error;

    options.stop_timeout_ns = 50000000;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "sleeper_parallel", "inline");
    berth_test_hold(&held, host, "sleeper_parallel.hold");
    CHECK_CODE(reload(host, "sleeper_parallel", NULL, &report, &error), BERTH_OK, &error);
    CHECK_INT(report.in_flight, 1);
    CHECK_INT(report.drained, 0);
    CHECK_INT(report.dropped, 0);
    CHECK_CONTAINS(report.quarantined, "1 call is still inside");
    CHECK_STR(report.from_build, report.to_build); /* the same file */
    CHECK_STR(report.why, "");
    berth_test_release(&held);
    berth_test_join(&held);
    CHECK_CODE(held.code, BERTH_OK, &held.error);
    berth_host_free(host);
}

/* An inline module that is serial is emptied first. */
/* In flight, and not in the mailbox as well. */
static void a_started_call_is_counted_once(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_reload_report report;
    struct berth_error error;
    char arguments[2][4200];
    const char *paths[] = { berth_test_hold_path(), berth_test_hold_path() };
    berth_pending calls[2];

    options.stop_timeout_ns = 50000000;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "sleeper_parallel", "inline");
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < 2; i++) {
        snprintf(arguments[i], sizeof(arguments[i]), "[\"%s\"]", paths[i]);
        CHECK_INT(
            berth_call_start_json(ctx, "sleeper_parallel.hold", arguments[i], NULL, &calls[i]),
            BERTH_OK);
    }
    UNTIL(host, berth_test_exists(paths[0]) && berth_test_exists(paths[1]));
    CHECK_CODE(reload(host, "sleeper_parallel", NULL, &report, &error), BERTH_OK, &error);
    CHECK_INT(report.in_flight, 2);
    CHECK_INT(report.messages, 0);
    for (int i = 0; i < 2; i++) {
        char *none;
        unlink(paths[i]);
        CHECK_INT(berth_call_take_json(ctx, calls[i], &none), BERTH_OK);
        berth_free(none);
    }
    berth_leave(ctx);
    berth_host_free(host);
}

/* Kept, and never answered: its module, or its worker, ends without having done so. */
static void a_kept_call_without_answer_is_dropped(const char *placement)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_reload_report report;
    struct berth_error error;
    berth_pending call;
    char *none;

    if (strcmp(placement, "process") == 0 && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.stop_timeout_ns = 50000000;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "later", placement);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_call_start_json(ctx, "later.hold", "[\"a\"]", NULL, &call), BERTH_OK);
    UNTIL(host, strcmp(CALL(host, "later.holds", "[\"a\"]"), "true") == 0);
    CHECK_CODE(reload(host, "later", NULL, &report, &error), BERTH_OK, &error);
    CHECK_INT(report.in_flight, 1);
    CHECK_INT(report.dropped, 1);
    CHECK_INT(report.drained, 0);
    CHECK_INT(berth_call_take_json(ctx, call, &none), BERTH_UNAVAILABLE);
    if (strcmp(placement, "inline") == 0)
        CHECK_CONTAINS(berth_error_text(ctx), "its module ended without having answered");
    berth_clear(ctx);
    berth_leave(ctx);
    berth_host_free(host);
}
BERTH_TEST_BOTH(a_kept_call_without_answer_is_dropped)

/* Lets the call go on once the reload has switched: to what it calls, and back to its worker. */
struct calling_back {
    berth_host *host;
    const char *gate, *path;
};

static void *let_it_go(void *argument)
{
    const struct calling_back *calling = argument;
    EVENTUALLY(!strcmp(berth_test_module(calling->host, "hurry", "generation"), "2"));
    berth_test_pause(20); /* from now on the reload waits for nothing but the answer */
    unlink(calling->gate);
    EVENTUALLY(berth_test_exists(calling->path));
    fclose(fopen(calling->gate, "w"));
    berth_test_pause(20);
    unlink(calling->path);
    berth_test_pause(20);
    unlink(calling->gate);
    return NULL;
}

/* No thread waits for it: it is in its worker, here, and there again, and inside all the time. */
static void who_calls_back_is_still_inside(void)
{
    struct calling_back calling = { NULL, berth_test_hold_path(), berth_test_hold_path() };
    struct berth_reload_report report;
    struct berth_error error;
    berth_pending call;
    pthread_t releaser;

    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    berth_host *host = calling.host = berth_test_host(NULL);
    LOAD(host, "sleeper", "inline");
    LOAD(host, "hurry", "process");
    fclose(fopen(calling.gate, "w"));
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_call_start_json(
                  ctx, "hurry.hold_between",
                  berth_test_format("[\"%s\",\"%s\"]", calling.gate, calling.path), NULL, &call),
              BERTH_OK);
    UNTIL(host, CALL_INT(host, "hurry.begun", "[]") == 1);
    REQUIRE(pthread_create(&releaser, NULL, let_it_go, &calling) == 0);
    CHECK_CODE(reload(host, "hurry", NULL, &report, &error), BERTH_OK, &error);
    pthread_join(releaser, NULL);
    CHECK_INT(report.in_flight, 1);
    CHECK_INT(report.drained, 1);
    CHECK_INT(report.dropped, 0);
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_OK);
    berth_leave(ctx);
    berth_host_free(host);
}

static int called_meanwhile; /* the code */

static void call_listener(berth_ctx *ctx, const struct berth_message *message, void *path)
{
    char *result = NULL;
    (void)message;
    called_meanwhile = berth_call_json(ctx, "listener.queue",
                                       berth_test_format("[\"%s\"]", (char *)path), &result);
    berth_free(result);
}

static void *unlink_soon(void *path)
{
    berth_test_pause(50);
    unlink(path);
    return NULL;
}

/* The only thread, which reloads, ends the turn of the old one's, and begins none that calls it. */
static void who_is_heard_later_calls_the_new_one(void)
{
    const char *held = berth_test_hold_path(), *made = berth_test_hold_path();
    struct berth_host_options options = berth_test_host_options();
    struct berth_reload_report report;
    struct berth_error error;
    pthread_t releaser;

    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    options.threads = 0;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "later", "inline");
    LOAD(host, "sleeper", "inline");
    LOAD(host, "hurry", "inline");
    LOAD(host, "listener", "process");
    CHECK_CODE(berth_host_subscribe(host, "hurry.jobs", call_listener, (void *)made, NULL, &error),
               BERTH_OK, &error);
    CALL(host, "listener.ring", berth_test_format("[\"%s\"]", held));
    UNTIL(host, berth_test_exists(held));
    called_meanwhile = -1;
    CALL(host, "hurry.tell", "[1]");
    REQUIRE(pthread_create(&releaser, NULL, unlink_soon, (void *)held) == 0);
    CHECK_CODE(reload(host, "listener", NULL, &report, &error), BERTH_OK, &error);
    pthread_join(releaser, NULL);
    UNTIL(host, called_meanwhile != -1);
    CHECK_INT(called_meanwhile, BERTH_OK);
    unlink(made);
    berth_host_free(host);
}

static void a_call_that_stays_inside_refuses_it(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_reload_report report;
    struct berth_test_held held;
    struct berth_error error;

    options.stop_timeout_ns = 50000000;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "sleeper", "inline");
    berth_test_hold(&held, host, "sleeper.hold");
    CHECK_CODE(reload(host, "sleeper", NULL, &report, &error), BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_STR(report.step, "handover");
    CHECK_CONTAINS(error.text, "sleeper: 1 call was still inside after the stop_timeout of 0.05 s");
    berth_test_release(&held);
    berth_test_join(&held);
    CHECK_CODE(held.code, BERTH_OK, &held.error);
    CHECK_CALL(host, "sleeper.nap", "[1]", "1");
    berth_host_free(host);
}

static void a_refusal_says_which_step_and_why(void)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_reload_report report;
    struct berth_error error;

    LOAD(host, "counter", "inline");
    CHECK_CODE(reload(host, "counter", "bad_start_counter", &report, &error),
               BERTH_FAILED_PRECONDITION, &error);
    CHECK_STR(report.step, "start");
    CHECK_STR(report.why, error.text);
    CHECK_STR(report.from, "counter@1.0.0#1");
    CHECK(report.total_ns > 0);
    berth_host_free(host);
}

/* A carrier that loses the call that comes next, in front of the one that was there. */
static struct losing {
    struct berth_carrier carrier;
    struct berth_carrier *behind;
    bool entered, lose; /* atomic */
} losing;

static int lose_or_invoke(struct berth_carrier *carrier, const struct berth_place *where,
                          enum berth_item_kind kind, size_t index, const void *const *arguments,
                          void *result, struct berth_error *error)
{
    (void)carrier;
    if (kind != BERTH_ITEM_EXPORT)
        return losing.behind->ops->invoke(losing.behind, where, kind, index, arguments, result,
                                          error);
    __atomic_store_n(&losing.entered, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&losing.lose, __ATOMIC_ACQUIRE))
        berth_test_pause(1);
    berth_error_set(error, BERTH_UNAVAILABLE, "the test has lost this call");
    return BERTH_INVOKED_LOST;
}

static bool stop_behind(struct berth_carrier *carrier)
{
    (void)carrier;
    return losing.behind->ops->stop(losing.behind);
}

static void close_behind(struct berth_carrier *carrier)
{
    (void)carrier;
    losing.behind->ops->close(losing.behind);
}

static void fini_behind(struct berth_carrier *carrier)
{
    if (carrier)
        losing.behind->ops->fini(losing.behind);
}

static int pid_behind(const struct berth_carrier *carrier)
{
    (void)carrier;
    return 0;
}

static void *call_hello(void *host)
{
    struct berth_error error;
    int code = berth_test_try(host, "greet.hello", "[\"you\"]", 0, NULL, &error);
    CHECK_CODE(code, BERTH_UNAVAILABLE, &error);
    CHECK_CONTAINS(error.text, "lost this call");
    return NULL;
}

/* Lets the call go once the reload has switched. */
static void *lose_it(void *host)
{
    EVENTUALLY(!strcmp(berth_test_module(host, "greet", "generation"), "2"));
    __atomic_store_n(&losing.lose, true, __ATOMIC_RELEASE);
    return NULL;
}

static void a_lost_call_is_counted(void)
{
    static const struct berth_carrier_ops ops = {
        .name = "losing",
        .invoke = lose_or_invoke,
        .close = close_behind,
        .stop = stop_behind,
        .fini = fini_behind,
        .pid = pid_behind,
    };
    struct berth_reload_report report;
    struct berth_error error;
    pthread_t caller, loser;

    berth_host *host = berth_test_host(NULL);
    LOAD(host, "greet", "inline");
    struct berth_generation *generation = berth_module_find(host, "greet")->current;
    losing = (struct losing){ .carrier = { &ops, generation->carrier->image },
                              .behind = generation->carrier };
    generation->carrier = &losing.carrier;
    for (size_t i = 0; i < generation->export_count; i++) { /* as of one that is elsewhere */
        generation->exports[i].direct = NULL;
        generation->exports[i].gated = generation->exports[i].asks = false;
    }
    REQUIRE(pthread_create(&caller, NULL, call_hello, host) == 0);
    EVENTUALLY(__atomic_load_n(&losing.entered, __ATOMIC_ACQUIRE));
    REQUIRE(pthread_create(&loser, NULL, lose_it, host) == 0);
    CHECK_CODE(reload(host, "greet", NULL, &report, &error), BERTH_OK, &error);
    pthread_join(caller, NULL);
    pthread_join(loser, NULL);
    CHECK_INT(report.in_flight, 1);
    CHECK_INT(report.dropped, 1);
    CHECK_INT(report.drained, 0);
    CHECK_CONTAINS(CALL(host, "greet.hello", "[\"you\"]"), "you");
    CHECK_CODE(reload(host, "greet", NULL, &report, &error), BERTH_OK, &error);
    CHECK_INT(report.dropped, 0);
    berth_host_free(host);
}

static void a_dry_run_changes_nothing(void)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_reload_report report;
    struct berth_error error;

    LOAD(host, "counter", "inline");
    CHECK_CALL(host, "counter.add", "[5]", "5");
    CHECK_CODE(
        reload_how(host, "counter", "bad_start_counter", BERTH_RELOAD_DRY_RUN, &report, &error),
        BERTH_OK, &error); /* its START has not run */
    CHECK_STR(report.step, "compare");
    CHECK_STR(report.from, "counter@1.0.0#1");
    CHECK_CONTAINS(report.to, "#2");
    CHECK_CODE(reload_how(host, "counter", "math", BERTH_RELOAD_DRY_RUN, &report, &error),
               BERTH_FAILED_PRECONDITION, &error);
    CHECK_STR(report.step, "compare");
    CHECK_CODE(reload_how(host, "counter", "no_such", BERTH_RELOAD_DRY_RUN, &report, &error),
               BERTH_NOT_FOUND, &error);
    CHECK_STR(report.step, "stage");
    CHECK_CODE(reload_how(host, "counter", NULL, 64, &report, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_CALL(host, "counter.get", "[]", "5");
    CHECK_STR(berth_test_module(host, "counter", "generation"), "1");
    CHECK_CODE(reload(host, "counter", "math", &report, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CODE(reload(host, "counter", NULL, &report, &error), BERTH_OK, &error);
    CHECK_STR(report.to, "counter@1.0.0#2"); /* none has been used up */
    CHECK_CODE(reload(host, "counter", "bad_start_counter", &report, &error),
               BERTH_FAILED_PRECONDITION, &error);
    CHECK_CODE(reload(host, "counter", NULL, &report, &error), BERTH_OK, &error);
    CHECK_STR(report.to, "counter@1.0.0#4"); /* code of number 3 has run */
    berth_host_free(host);
}

/* ---- Callers of an older version ---- */

BERTH_BOUND(u64, sum, (u64, n));
BERTH_BOUND(u64, more, (u64, n), (optional(u32), times), (optional(string), why));

/* By name, by handle, bound, and from there back again. */
static void callers_go_on_without_what_is_optional(const char *placement)
{
    berth_host *host = berth_test_host(NULL);
    const struct berth_value two = { .kind = BERTH_VALUE_I64, .as.i64 = 2 };
    struct berth_reload_report report;
    struct berth_error error;
    struct berth_value value;
    berth_function *add, *get;
    sum_bound bound;
    more_bound later;
    uint64_t result = 0, one = 1;
    const void *const arguments[] = { &one };

    LOAD(host, "counter", placement);
    CHECK_CODE(berth_bind(host, "counter.add", sum, &bound, &error), BERTH_OK, &error);
    CHECK_CODE(berth_function_find(host, "counter.add", &add, &error), BERTH_OK, &error);
    CHECK_CODE(berth_function_find(host, "counter.get", &get, &error), BERTH_OK, &error);
    CHECK_CODE(reload(host, "counter", "counter_more", &report, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(sum_call(&bound, ctx, 1), 1);
    CHECK_INT(berth_function_invoke(add, ctx, arguments, &result), BERTH_OK);
    CHECK_INT(result, 2);
    CHECK_INT(berth_function_call(add, ctx, &two, 1, &value), BERTH_OK);
    CHECK_INT(value.as.u64, 4);
    CHECK_INT(berth_function_invoke(get, ctx, NULL, &result), BERTH_OK);
    CHECK_INT(result, 4);
    CHECK_INT(berth_call(ctx, "counter.add", &two, 1, &value), BERTH_OK);
    CHECK_INT(value.as.u64, 6);
    CHECK_CALL(host, "counter.extras", "[]", "0");
    CHECK_CODE(berth_bind(host, "counter.add", more, &later, &error), BERTH_OK, &error);
    CHECK_INT(more_call(&later, ctx, 2, (berth_optional_u32){ true, 10 }, NULL), 26);
    CHECK(!berth_failed(ctx));
    berth_leave(ctx);
    CHECK_CALL(host, "counter.extras", "[]", "1");
    /* now somebody has bound what is new */
    CHECK_CODE(reload(host, "counter", "counter", &report, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CONTAINS(error.text, "the application calls counter.add, whose parameter times "
                               "(optional(u32)) is not there any more in version 1.0.0");
    berth_unbind(host, &later);
    CHECK_CODE(reload(host, "counter", "counter", &report, &error), BERTH_OK, &error);
    ctx = berth_host_enter(host);
    CHECK_INT(sum_call(&bound, ctx, 1), 27);
    berth_leave(ctx);
    berth_unbind(host, &bound);
    CHECK_CODE(reload(host, "counter", "counter_changed", &report, &error),
               BERTH_FAILED_PRECONDITION, &error); /* the handles */
    CHECK_CONTAINS(error.text, "the application calls counter.add, whose parameter n is u64, but "
                               "in version 2.0.0 it is f64");
    berth_function_free(add);
    berth_function_free(get);
    berth_host_free(host);
}

static void callers_adapt(void)
{
    for (size_t i = 0; i < 2; i++)
        if (place(i))
            callers_go_on_without_what_is_optional(placements[i]);
}

/* ---- Versions of a state ---- */

static void a_state_that_cannot_be_read_is_refused_at_once(void)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_reload_report report;
    struct berth_error error;

    LOAD(host, "counter", "inline");
    CHECK_CALL(host, "counter.add", "[41]", "41");
    CHECK_CODE(reload(host, "counter", "counter_picky", &report, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_STR(report.step, "compare");
    CHECK_CONTAINS(error.text, "has version 1, but version 2.1.0 of the module reads only 7 and 8");
    CHECK_CODE(reload(host, "counter", "counter_v3", &report, &error), BERTH_OK, &error);
    CHECK_INT(report.state_version, 1);
    CHECK_CALL(host, "counter.add", "[1]", "42");
    CHECK_CODE(reload(host, "counter", "counter_v3", &report, &error), BERTH_OK, &error);
    CHECK_INT(report.state_version, 2);
    CHECK_CALL(host, "counter.get", "[]", "42");
    berth_host_free(host);
}

static void a_state_is_taken_out_and_put_in(void)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error;
    char *state = NULL;

    for (size_t i = 0; i < 2; i++) {
        if (!place(i))
            continue;
        LOAD(host, "counter", placements[i]);
        CHECK_CALL(host, "counter.add", "[258]", "258");
        CHECK_CODE(berth_host_snapshot(host, "counter", &state, &error), BERTH_OK, &error);
        CHECK_STR(state, "{\"module\":\"counter\",\"version\":\"1.0.0\",\"state_version\":1,"
                         "\"bytes\":8,\"state\":\"AgEAAAAAAAA=\"}");
        CHECK_CALL(host, "counter.add", "[1]", "259"); /* it goes on */
        CHECK_CODE(berth_host_restore(host, "counter", state, &report, &error), BERTH_OK, &error);
        CHECK_INT(report.state_bytes, 8);
        CHECK_CONTAINS(report.to, "counter@1.0.0#");
        CHECK_CALL(host, "counter.get", "[]", "258");
        CHECK_CODE(berth_host_restore(host, "counter", "{\"state_version\":1}", NULL, &error),
                   BERTH_INVALID_ARGUMENT, &error);
        CHECK_CODE(berth_host_restore(host, "counter",
                                      "{\"module\":\"counter\",\"version\":\"1\",\"bytes\":1,"
                                      "\"state_version\":9,\"state\":\"AA==\"}",
                                      NULL, &error),
                   BERTH_INVALID_ARGUMENT, &error);
        CHECK_CONTAINS(error.text, "RESTORE of the new version failed: ");
        CHECK_CODE(berth_host_restore(host, "counter",
                                      "{\"module\":\"other\",\"version\":\"1.0.0\",\"bytes\":8,"
                                      "\"state_version\":1,\"state\":\"AgEAAAAAAAA=\"}",
                                      NULL, &error),
                   BERTH_INVALID_ARGUMENT, &error);
        CHECK_CONTAINS(error.text, "the snapshot is of module other, not of counter");
        CHECK_CALL(host, "counter.get", "[]", "258");
        CHECK_CODE(berth_host_unload(host, "counter", &error), BERTH_OK, &error);
        free(state);
    }
    LOAD(host, "math", "inline");
    CHECK_CODE(berth_host_snapshot(host, "math", &state, &error), BERTH_FAILED_PRECONDITION,
               &error);
    berth_host_free(host);
}

static int reload_into(berth_host *host, const char *module, const char *placement,
                       const char *options, struct berth_error *error)
{
    const struct berth_reload_options how = { .size = sizeof(how),
                                              .options = options,
                                              .placement = placement };
    return berth_host_reload_with(host, module, &how, NULL, error);
}

/* By ids that callers have kept: the application, and a module that has them within its state. */
static void handles_come_back(void)
{
    static const char *const ways[] = { "inline", "process", "process", "inline", "inline" };
    berth_host *host = berth_test_host(NULL);
    struct berth_error error;

    LOAD(host, "handles_next", "inline");
    LOAD(host, "handle_user", "inline");
    CHECK_CALL(host, "handle_user.hold", "[5]", "null");
    const char *box = CALL(host, "handles.open", "[7]");
    for (size_t i = 0; i < COUNT(ways) && (i == 0 || place(1)); i++) {
        CHECK_CODE(reload_into(host, "handles", ways[i], "{}", &error), BERTH_OK, &error);
        CHECK_CALL(host, "handles.get", berth_test_format("[%s]", box), "7");
        CHECK_CALL(host, "handle_user.look", "[]", "5");
        CHECK_CALL(host, "handles.open_count", "[]", "2");
        /* one that is left out refuses it */
        CHECK_CODE(reload_into(host, "handles", ways[i], "{\"forgets\":true}", &error),
                   BERTH_FAILED_PRECONDITION, &error);
        CHECK_CONTAINS(error.text, "has not brought back 1 of the handles of handles (");
        CHECK_CONTAINS(error.text, "box held by handle_user");
        CHECK_CALL(host, "handles.get", berth_test_format("[%s]", box), "7");
        CHECK_CALL(host, "handle_user.look", "[]", "5");
    }
    CHECK_CODE(reload(host, "handles", "handles", &(struct berth_reload_report){ 0 }, &error),
               BERTH_FAILED_PRECONDITION, &error); /* which does not even say so */
    CHECK_CALL(host, "handle_user.drop", "[]", "null");
    CHECK_CALL(host, "handles.close", berth_test_format("[%s]", box), "null");
    CHECK_FAILS(host, "handles.get", berth_test_format("[%s]", box), BERTH_NOT_FOUND, "stale");
    CHECK_CALL(host, "handles.open_count", "[]", "0");
    berth_host_free(host);
}

/* ---- Going back ---- */

static const char *history(berth_host *host, const char *module)
{
    struct berth_error error;
    char *json = NULL;
    CHECK_CODE(berth_host_history(host, module, &json, &error), BERTH_OK, &error);
    const char *text = berth_test_format("%s", json ? json : "");
    free(json);
    return text;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

static void a_rollback_goes_back(void)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error;

    LOAD(host, "counter", "inline");
    CHECK_CODE(berth_host_rollback(host, "counter", 0, &report, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CALL(host, "counter.add", "[3]", "3");
    CHECK_CODE(reload(host, "counter", "counter_v2", &report, &error), BERTH_OK, &error);
    CHECK_CODE(reload(host, "counter", "counter_v2", &report, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_rollback(host, "counter", 0, &report, &error), BERTH_OK, &error);
    CHECK_STR(report.from, "counter@1.1.0#3");
    CHECK_STR(report.to, "counter@1.0.0#4");
    CHECK_CALL(host, "counter.add", "[1]", "4");
    CHECK_CODE(berth_host_rollback(host, "counter", 0, &report, &error), BERTH_OK, &error);
    CHECK_STR(report.to, "counter@1.1.0#5"); /* the one before is the newer one now */
    CHECK_CODE(berth_host_rollback(host, "counter", 1, &report, &error), BERTH_OK, &error);
    CHECK_STR(report.to, "counter@1.0.0#6");
    CHECK_CODE(berth_host_rollback(host, "counter", 77, &report, &error), BERTH_NOT_FOUND, &error);
    CHECK_CALL(host, "counter.get", "[]", "4");
    CHECK_INT(count_of(history(host, "counter"), "\"generation\":"), 6);
    CHECK_INT(count_of(history(host, "counter"), "\"kept\":true"), 6);
    CHECK_INT(count_of(history(host, "counter"), "\"current\":true"), 1);
    CHECK_CONTAINS(history(host, "host"), "\"content\":\"\",\"bytes\":0"); /* it has no file */
    berth_host_free(host);
}

static void a_rollback_that_cannot_read_the_state_is_refused(void)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error;

    LOAD(host, "counter", "inline");
    CHECK_CALL(host, "counter.add", "[3]", "3");
    CHECK_CODE(reload(host, "counter", "counter_v3", &report, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_rollback(host, "counter", 0, &report, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_STR(report.step, "handover");
    CHECK_CONTAINS(error.text, "a state of version 2");
    CHECK_CALL(host, "counter.add", "[1]", "4");
    CHECK_STR(berth_test_module(host, "counter", "version"), "1.3.0");
    berth_host_free(host);
}

static void the_history_is_bounded(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error;

    options.history = 2;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "counter", "inline");
    for (int i = 0; i < 6; i++)
        CHECK_CODE(reload(host, "counter", i % 2 ? "counter" : "counter_v2", &report, &error),
                   BERTH_OK, &error);
    CHECK_INT(count_of(history(host, "counter"), "\"generation\":"), 3);
    CHECK_CODE(berth_host_rollback(host, "counter", 1, &report, &error), BERTH_NOT_FOUND, &error);
    CHECK_CODE(berth_host_rollback(host, "counter", 0, &report, &error), BERTH_OK, &error);
    berth_host_free(host);
    options.history = 0;
    host = berth_test_host(&options);
    LOAD(host, "counter", "inline");
    CHECK_CODE(reload(host, "counter", "counter_v2", &report, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_rollback(host, "counter", 0, &report, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CONTAINS(error.text, "history is 0");
    berth_host_free(host);
    options.history = 8;
    options.history_bytes = 1; /* lines, but not one image */
    host = berth_test_host(&options);
    LOAD(host, "counter", "inline");
    CHECK_CODE(reload(host, "counter", "counter_v2", &report, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_rollback(host, "counter", 0, &report, &error), BERTH_FAILED_PRECONDITION,
               &error);
    berth_host_free(host);
}

static bool is_mapped(const char *name)
{
    size_t size;
    return strstr(berth_test_read("/proc/self/maps", &size), name) != NULL;
}

/* The copies of the newest two generations are mapped in turn, where the history may keep one. */
static void known_bytes_are_not_copied(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_reload_report report;
    struct berth_error error;

    if (berth_test_instrumented())
        berth_skip("images stay mapped");
    for (options.history = 0; options.history < 2; options.history++) {
        berth_host *host = berth_test_host(&options);
        LOAD(host, "counter", "inline");
        CHECK_CALL(host, "counter.add", "[3]", "3");
        for (unsigned number = 2; number < 8; number++) {
            unsigned copy = options.history == 0 ? number : number % 2 ? 1 : 2;
            CHECK_CODE(reload(host, "counter", NULL, &report, &error), BERTH_OK, &error);
            CHECK_STR(report.to, berth_test_format("counter@1.0.0#%u", number));
            CHECK_STR(report.quarantined, "");
            CHECK(is_mapped(berth_test_format("/memfd:counter@1.0.0#%u ", copy)));
        }
        CHECK_CODE(reload(host, "counter", "counter_v2", &report, &error), BERTH_OK, &error);
        CHECK(is_mapped("/memfd:counter@1.1.0#8 "));
        CHECK_CALL(host, "counter.get", "[]", "3");
        berth_host_free(host);
    }
}

/* ---- Several at once ---- */

static int reload_pair(berth_host *host, const char *asking, const char *answering,
                       struct berth_reload_report reports[2], struct berth_error *error)
{
    const char *const names[] = { "answering", "asking" };
    const struct berth_reload_options how[] = {
        { .size = sizeof(how[0]), .file = berth_test_fixture(answering) },
        { .size = sizeof(how[0]), .file = berth_test_fixture(asking) },
    };
    memset(reports, 0, 2 * sizeof(*reports));
    reports[0].size = reports[1].size = sizeof(*reports);
    return berth_host_reload_all(host, names, how, 2, reports, error);
}

static void both_sides_of_an_interface_change_together(const char *asking, const char *answering)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_reload_report reports[2];
    struct berth_error error;

    LOAD(host, "answering", answering);
    LOAD(host, "asking", asking);
    CHECK_CALL(host, "asking.ask", "[1.5]", "2");
    for (size_t i = 0; i < 2; i++) { /* one alone does not fit the other */
        const char *name = i ? "asking" : "answering";
        CHECK_CODE(berth_host_reload(host, name,
                                     berth_test_fixture(i ? "asking_next" : "answering_next"), NULL,
                                     &error),
                   BERTH_FAILED_PRECONDITION, &error);
        CHECK_CONTAINS(error.text, "answering");
    }
    CHECK_CODE(reload_pair(host, "asking_next", "answering", reports, &error),
               BERTH_FAILED_PRECONDITION, &error);
    CHECK_CALL(host, "asking.ask", "[1.5]", "2");
    CHECK_CODE(reload_pair(host, "asking_next", "answering_next", reports, &error), BERTH_OK,
               &error);
    CHECK_STR(reports[0].step, "done");
    CHECK_CONTAINS(reports[0].to, "answering@2.0.0#");
    CHECK_CONTAINS(reports[1].to, "asking@2.0.0#");
    CHECK_CALL(host, "asking.ask", "[1.5]", "3");
    CHECK_CODE(reload_pair(host, "asking", "answering", reports, &error), BERTH_OK, &error);
    CHECK_CALL(host, "asking.ask", "[1.5]", "2");
    berth_host_free(host);
}

static void groups_are_all_or_none(void)
{
    static const char *const names[] = { "counter", "counter" };
    berth_host *host = berth_test_host(NULL);
    struct berth_error error;

    both_sides_of_an_interface_change_together("inline", "inline");
    if (place(1)) {
        both_sides_of_an_interface_change_together("process", "inline");
        both_sides_of_an_interface_change_together("inline", "process");
    }
    LOAD(host, "counter", "inline");
    CHECK_CODE(berth_host_reload_all(host, names, NULL, 2, NULL, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_CONTAINS(error.text, "twice");
    /* the second one fails when the first has its state already */
    berth_test_load_as(host, "counter", "other", "inline");
    const char *const two[] = { "other", "counter" };
    const struct berth_reload_options how[] = {
        { .size = sizeof(how[0]), .file = berth_test_fixture("counter_v2") },
        { .size = sizeof(how[0]), .file = berth_test_fixture("bad_restore") },
    };
    CHECK_CALL(host, "other.add", "[7]", "7");
    CHECK_CALL(host, "counter.add", "[8]", "8");
    CHECK_CODE(berth_host_reload_all(host, two, how, 2, NULL, &error), BERTH_DATA_LOSS, &error);
    CHECK_CONTAINS(error.text, "counter (refused in step handover): ");
    CHECK_CALL(host, "other.add", "[1]", "8");
    CHECK_CALL(host, "counter.add", "[1]", "9");
    CHECK_STR(berth_test_module(host, "other", "version"), "1.0.0");
    berth_host_free(host);
}

/* ---- Inside of itself ---- */

static berth_host *app_host;
static bool app_inside, app_go; /* atomic */
static int app_kills;           /* a worker of math's, before it needs that; 0: none */

/* By a worker that takes the dead one's place. */
static void need_the_dead(berth_ctx *ctx)
{
    const struct berth_value numbers[] = { { .kind = BERTH_VALUE_F64, .as.f64 = 3 },
                                           { .kind = BERTH_VALUE_F64, .as.f64 = 2 } };
    struct berth_value half = { 0 };

    if (!app_kills)
        return;
    kill(app_kills, SIGKILL);
    while (berth_call(ctx, "math.divide", numbers, 2, &half) == BERTH_UNAVAILABLE) {
        berth_clear(ctx);
        berth_test_pause(1);
    }
    CHECK(half.as.f64 == 1.5);
}

/* The application, which holds the returner's call until it may come back. */
BERTH_MODULE("app", "1.0.0", "Where the returner goes.");
BERTH_PARALLEL;
BERTH_IMPORT(u64, returner, who);
BERTH_EXPORT(u64, through, "Waits, and calls returner.who by a link and by name.")
{
    struct berth_value by_name = { 0 };
    __atomic_store_n(&app_inside, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&app_go, __ATOMIC_ACQUIRE))
        berth_test_pause(1);
    need_the_dead(ctx);
    uint64_t by_link = returner_who(ctx);
    CHECK_INT(berth_call(ctx, "returner.who", NULL, 0, &by_name), BERTH_OK);
    CHECK_INT(by_name.as.u64, by_link);
    return by_link;
}

static void *go_out(void *result)
{
    *(const char **)result = CALL(app_host, "returner.out", "[]");
    return NULL;
}

/* No thread waits inside of it. */
static void *start_out(void *result)
{
    berth_pending call = { 0 };
    char *json = NULL;
    berth_ctx *ctx = berth_host_enter(app_host);
    CHECK_INT(berth_call_start_json(ctx, "returner.out", "[]", NULL, &call), BERTH_OK);
    CHECK_INT(berth_call_take_json(ctx, call, &json), BERTH_OK);
    *(const char **)result = berth_test_format("%s", json ? json : berth_error_text(ctx));
    free(json);
    berth_leave(ctx);
    return NULL;
}

static void *reload_returner(void *report)
{
    struct berth_error error;
    CHECK_CODE(reload(app_host, "returner", NULL, report, &error), BERTH_OK, &error);
    return NULL;
}

static void leave_in_the_old_one(const char *placement, bool stateful, bool kills,
                                 void *(*go)(void *))
{
    struct berth_reload_report report;
    struct berth_error error;
    const char *result = "";
    pthread_t caller, reloader;

    app_inside = app_go = false;
    app_host = berth_test_host(NULL);
    CHECK_CODE(berth_host_provide(app_host, &berth_entry, &error), BERTH_OK, &error);
    LOAD(app_host, stateful ? "returner_state" : "returner", placement);
    if (kills)
        LOAD(app_host, "math", "process");
    app_kills = kills ? atoi(berth_test_module(app_host, "math", "pid")) : 0;
    CHECK_CALL(app_host, "returner.set", "[1]", "null");
    REQUIRE(pthread_create(&caller, NULL, go, &result) == 0);
    EVENTUALLY(__atomic_load_n(&app_inside, __ATOMIC_ACQUIRE));
    REQUIRE(pthread_create(&reloader, NULL, reload_returner, &report) == 0);
    if (stateful) { /* it waits for the call, which must not wait for it */
        berth_test_pause(30);
    } else {
        EVENTUALLY(!strcmp(berth_test_module(app_host, "returner", "generation"), "2"));
        CHECK_CALL(app_host, "returner.who", "[]", "0"); /* others are in the new one */
        CHECK_CALL(app_host, "returner.set", "[2]", "null");
    }
    __atomic_store_n(&app_go, true, __ATOMIC_RELEASE);
    pthread_join(caller, NULL);
    pthread_join(reloader, NULL);
    CHECK_STR(result, "1");
    CHECK_INT(report.in_flight, stateful ? 0 : 1);
    CHECK_INT(report.drained, report.in_flight);
    CHECK_INT(report.unmapped || report.quarantined[0], 1);
    CHECK_CALL(app_host, "returner.who", "[]", stateful ? "1" : "2");
    CHECK_CALL(app_host, "returner.out", "[]", stateful ? "1" : "2"); /* by its link, too */
    berth_host_free(app_host);
}

static void who_comes_back_stays_in_the_old_one(void)
{
    for (size_t i = 0; i < 2; i++)
        for (int stateful = 0; stateful < 2 && place(i); stateful++) {
            leave_in_the_old_one(placements[i], stateful, false, go_out);
            leave_in_the_old_one(placements[i], stateful, false, start_out);
        }
}

/* The reload waits for what is inside, which waits for a restart, which must not wait for that. */
static void what_is_inside_may_need_a_worker_that_has_died(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    for (size_t i = 0; i < 2; i++)
        for (int stateful = 0; stateful < 2; stateful++) {
            leave_in_the_old_one(placements[i], stateful, true, go_out);
            leave_in_the_old_one(placements[i], stateful, true, start_out);
        }
}

static void a_module_reloads_itself(void)
{
    berth_host *host = berth_test_host(NULL);

    for (size_t i = 0; i < 2; i++) {
        struct berth_error error;
        if (!place(i))
            continue;
        LOAD(host, "phoenix", placements[i]);
        CHECK_CONTAINS(CALL(host, "phoenix.rise", "[]"), "\"step\":\"queued\",\"from\":"
                                                         "\"phoenix@1.0.0#");
        UNTIL(host, !strcmp(berth_test_module(host, "phoenix", "generation"), i ? "4" : "2"));
        CHECK_CONTAINS(CALL(host, "phoenix.rise", "[\"/no/such/file\"]"), "queued");
        UNTIL(host, strstr(berth_test_log(), "/no/such/file") != NULL);
        CHECK_CODE(berth_host_unload(host, "phoenix", &error), BERTH_OK, &error);
    }
    LOAD(host, "phoenix", "inline");
    CHECK_CONTAINS(CALL(host, "phoenix.rise", "[]"), "queued"); /* perhaps the end comes first */
    berth_host_free(host);
}

/* ---- Beginning a call ---- */

/* One thread stops where it wants memory, until it may go on. */
static _Thread_local bool stops;
static bool stopped, goes_on;

static void *allocate(void *user, size_t size)
{
    (void)user;
    if (stops) {
        stops = false;
        __atomic_store_n(&stopped, true, __ATOMIC_RELEASE);
        EVENTUALLY(__atomic_load_n(&goes_on, __ATOMIC_ACQUIRE));
    }
    return malloc(size);
}

static void *reallocate(void *user, void *memory, size_t size)
{
    (void)user;
    return realloc(memory, size);
}

static void release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static int start_set(berth_ctx *ctx)
{
    const struct berth_value one = { .kind = BERTH_VALUE_U64, .as.u64 = 1 };
    berth_pending call = { 0 };
    int code = berth_call_start(ctx, "returner.set", &one, 1, NULL, &call);
    return code == BERTH_OK ? berth_call_take(ctx, call, NULL) : code;
}

static void *start_slowly(void *unused)
{
    berth_ctx *ctx = berth_host_enter(app_host);
    (void)unused;
    CHECK_INT(start_set(ctx), BERTH_OK); /* what is made once is there */
    stops = true;
    CHECK_INT(start_set(ctx), BERTH_OK);
    berth_leave(ctx);
    return NULL;
}

/* It looks at what the function takes; that stays, and is no call yet. */
static void who_starts_a_call_is_not_inside(void)
{
    struct berth_reload_report report;
    pthread_t starter, reloader;

    app_host = berth_test_host(NULL);
    LOAD(app_host, "returner", "inline");
    REQUIRE(pthread_create(&starter, NULL, start_slowly, NULL) == 0);
    EVENTUALLY(__atomic_load_n(&stopped, __ATOMIC_ACQUIRE));
    REQUIRE(pthread_create(&reloader, NULL, reload_returner, &report) == 0);
    EVENTUALLY(!strcmp(berth_test_module(app_host, "returner", "generation"), "2"));
    __atomic_store_n(&goes_on, true, __ATOMIC_RELEASE);
    pthread_join(starter, NULL);
    pthread_join(reloader, NULL);
    CHECK_INT(report.in_flight, 0);
    CHECK_INT(report.drained, 0);
    berth_host_free(app_host);
}

/* One that starts well, and ends while the next one starts: nothing is lost by that. */
static void a_worker_that_ends_before_the_switch_takes_nobodys_place(void)
{
    static const char *const names[] = { "leaver", "lingerer" };
    int code = BERTH_OK;

    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    for (unsigned ms = 500; code == BERTH_OK && ms < 100000;
         ms *= 4) { /* its end may be told late */
        berth_host *host = berth_test_host(NULL);
        const struct berth_reload_options how[] = {
            { .size = sizeof(how[0]), .options = "{\"leaves_ms\":1}" },
            { .size = sizeof(how[0]), .options = berth_test_format("{\"lingers_ms\":%u}", ms) },
        };
        struct berth_error error;

        berth_test_load_as(host, "leaver", names[0], "process");
        berth_test_load_as(host, "leaver", names[1], NULL);
        CHECK_CALL(host, "leaver.calls", "[]", "1");
        code = berth_host_reload_all(host, names, how, 2, NULL, &error);
        if (code != BERTH_OK) {
            CHECK_CODE(code, BERTH_UNAVAILABLE, &error);
            CHECK_CONTAINS(error.text, "leaver (refused in step handover): ");
            CHECK_CONTAINS(error.text, "the new version's worker exited with status 3 before it");
            CHECK_CALL(host, "leaver.calls", "[]", "2");
        }
        berth_host_free(host);
    }
    CHECK_INT(code, BERTH_UNAVAILABLE);
}

static const struct berth_test tests[] = {
    { "the_report_accounts_for_what_was_inside", the_report_accounts_for_what_was_inside },
    { "a_started_call_is_counted_once", a_started_call_is_counted_once },
    BERTH_TEST_ROWS("a_kept_call_without_answer_is_dropped", a_kept_call_without_answer_is_dropped),
    { "who_calls_back_is_still_inside", who_calls_back_is_still_inside },
    { "who_is_heard_later_calls_the_new_one", who_is_heard_later_calls_the_new_one },
    { "a_call_that_stays_inside_refuses_it", a_call_that_stays_inside_refuses_it },
    { "a_refusal_says_which_step_and_why", a_refusal_says_which_step_and_why },
    { "a_lost_call_is_counted", a_lost_call_is_counted },
    { "a_dry_run_changes_nothing", a_dry_run_changes_nothing },
    { "callers_adapt", callers_adapt },
    { "a_state_that_cannot_be_read_is_refused_at_once",
      a_state_that_cannot_be_read_is_refused_at_once },
    { "a_state_is_taken_out_and_put_in", a_state_is_taken_out_and_put_in },
    { "handles_come_back", handles_come_back },
    { "a_rollback_goes_back", a_rollback_goes_back },
    { "a_rollback_that_cannot_read_the_state_is_refused",
      a_rollback_that_cannot_read_the_state_is_refused },
    { "the_history_is_bounded", the_history_is_bounded },
    { "known_bytes_are_not_copied", known_bytes_are_not_copied },
    { "groups_are_all_or_none", groups_are_all_or_none },
    { "who_comes_back_stays_in_the_old_one", who_comes_back_stays_in_the_old_one },
    { "what_is_inside_may_need_a_worker_that_has_died",
      what_is_inside_may_need_a_worker_that_has_died },
    { "a_module_reloads_itself", a_module_reloads_itself },
    { "who_starts_a_call_is_not_inside", who_starts_a_call_is_not_inside },
    { "a_worker_that_ends_before_the_switch_takes_nobodys_place",
      a_worker_that_ends_before_the_switch_takes_nobodys_place },
};

int main(int argc, char **argv)
{
    const struct berth_allocator allocator = {
        .size = sizeof allocator, .allocate = allocate, .reallocate = reallocate, .release = release
    };
    if (berth_set_allocator(&allocator, NULL) != BERTH_OK)
        return 1;
    return berth_suite_main("reload", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
