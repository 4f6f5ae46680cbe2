/* SPDX-License-Identifier: MIT */
/* A worker that dies is an error of those calls that were inside it, and of nothing else. */
#include "tests/carrier/conformance.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/core/core.h"
#include "runtime/loop/restart.h"

#define MS INT64_C(1000000)

static berth_host *crash_host(void)
{
    if (!conformance_process())
        berth_skip("a crash inline ends the application");
    if (berth_test_instrumented() && getenv("BERTH_TEST_NO_CRASH"))
        berth_skip("not here");
    return conformance_host();
}

/* One that does not wait long for what hangs. */
static berth_host *slow_host(int64_t stop_timeout_ns)
{
    struct berth_host_options options = berth_test_host_options();

    if (!conformance_process() || berth_test_valgrind())
        berth_skip("needs a worker");
    options.threads = conformance.threads;
    options.stop_timeout_ns = stop_timeout_ns;
    return berth_test_host(&options);
}

/* Waits until a module runs again in another process than before. */
static void wait_for_restart(berth_host *host, const char *module, const char *old)
{
    UNTIL(host, berth_test_runs_again(host, module, old));
}

/* Else nothing could be loaded, unloaded or restarted any more. */
static void a_start_that_hangs_is_given_up(void)
{
    berth_host *host = slow_host(200 * MS);
    int64_t patient = host->ready_timeout;
    struct berth_error error;

    host->ready_timeout = 500 * MS;
    CHECK_CODE(berth_test_load(host, "slow_start", "process", NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CONTAINS(error.text, "slow_start");
    CHECK_STR(berth_test_module(host, "slow_start", "state"), "");
    host->ready_timeout = patient;
    LOAD(host, "math", "process");
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    berth_host_free(host);
}

static bool dying;

static void *load_again(void *host)
{
    const struct berth_load_options options = { .size = sizeof(options), .placement = "process" };
    const char *file = berth_test_fixture("greet");
    struct berth_error error;

    while (__atomic_load_n(&dying, __ATOMIC_ACQUIRE)) {
        CHECK_CODE(berth_host_load(host, file, &options, &error), BERTH_ALREADY_EXISTS, &error);
        usleep(1000); /* restarts want a turn */
    }
    return NULL;
}

/* What a death does to a module, and who looks at that meanwhile: for the thread sanitizer. */
static void a_death_meets_a_load(void)
{
    berth_host *host = crash_host();
    struct berth_error error;
    pthread_t thread;

    if (conformance.threads == 0)
        berth_skip("needs threads that restart");
    LOAD(host, "greet", "process");
    dying = true;
    REQUIRE(pthread_create(&thread, NULL, load_again, host) == 0);
    for (int i = 0; i < 3; i++) {
        const char *pid = berth_test_module(host, "greet", "pid");
        kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
        wait_for_restart(host, "greet", pid);
        CHECK_CODE(berth_host_reload(host, "greet", berth_test_fixture("greet"), NULL, &error),
                   BERTH_OK, &error);
    }
    __atomic_store_n(&dying, false, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    berth_host_free(host);
}

static void each_way_to_die_is_told(void)
{
    static const struct {
        const char *function, *arguments, *how;
    } ways[] = {
        { "crasher.segv", "[]", "signal 11" },   { "crasher.abort", "[]", "signal 6" },
        { "crasher.exit", "[3]", "3" },          { "crasher.exit", "[0]", "0" },
        { "crasher.signal", "[9]", "signal 9" },
    };

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        berth_host *host = crash_host();
        LOAD(host, "math", conformance.placement);
        LOAD(host, "crasher", conformance.placement);
        const char *pid = berth_test_module(host, "crasher", "pid");
        if (berth_test_instrumented() && i < 2)
            CHECK_FAILS(host, ways[i].function, ways[i].arguments, BERTH_UNAVAILABLE, "crasher");
        else
            CHECK_FAILS(host, ways[i].function, ways[i].arguments, BERTH_UNAVAILABLE, ways[i].how);
        CHECK_CALL(host, "math.add", "[1,2]", "3"); /* another worker */
        wait_for_restart(host, "crasher", pid);
        CHECK_CALL(host, "crasher.alive", "[]", berth_test_module(host, "crasher", "pid"));
        CHECK_STR(berth_test_module(host, "crasher", "generation"), "1");
        berth_host_free(host);
    }
}

static void a_kill_from_outside_is_noticed(void)
{
    berth_host *host = crash_host();

    LOAD(host, "crasher", conformance.placement);
    const char *pid = berth_test_module(host, "crasher", "pid");
    kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
    wait_for_restart(host, "crasher", pid);
    UNTIL(host, strstr(berth_test_log(), "signal 9"));
    CHECK_CALL(host, "crasher.alive", "[]", berth_test_module(host, "crasher", "pid"));
    berth_host_free(host);
}

/* A restart does not wait for its own end: nor does a load. */
static void a_start_may_call_its_own_module(void)
{
    berth_host *host = crash_host();
    char old[32];

    LOAD(host, "deep", "process");
    snprintf(old, sizeof(old), "%s", berth_test_module(host, "deep", "pid"));
    kill((pid_t)atoi(old), SIGKILL);
    wait_for_restart(host, "deep", old);
    CHECK_CONTAINS(berth_test_log(), conformance.threads
                                         ? "deep.echo: called from inside its own restart"
                                         : "deep.echo: its worker "); /* where nobody waits */
    berth_host_free(host);
}

static void too_many_deaths_are_final(void)
{
    berth_host *host = crash_host();
    struct berth_error error;

    LOAD(host, "crasher", conformance.placement);
    int64_t start = berth_test_now();
    for (int i = 0; i < 6; i++) {
        const char *pid = berth_test_module(host, "crasher", "pid");
        CHECK_FAILS(host, "crasher.exit", "[7]", BERTH_UNAVAILABLE, "7");
        if (i < 5)
            wait_for_restart(host, "crasher", pid);
    }
    if (berth_test_now() - start >= BERTH_RESTART_WINDOW_NS) {
        berth_host_free(host);
        berth_skip("so slow a machine does not see so many deaths in so short a time");
    }
    UNTIL(host, !strcmp(berth_test_module(host, "crasher", "state"), "failed"));
    CHECK_FAILS(host, "crasher.alive", "[]", BERTH_UNAVAILABLE, "crasher");
    CHECK_CODE(berth_host_reload(host, "crasher", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_STR(berth_test_module(host, "crasher", "state"), "running");
    CHECK(CALL_INT(host, "crasher.alive", "[]") > 0);
    CHECK_CODE(berth_host_unload(host, "crasher", &error), BERTH_OK, &error);
    berth_host_free(host);
}

static void the_policy_says_how_often(void)
{
    static const struct berth_restart_policy never = { .size = sizeof(never),
                                                       .limit = BERTH_RESTART_NEVER };
    static const struct berth_restart_policy once = { .size = sizeof(once),
                                                      .limit = 1,
                                                      .window_ns = INT64_MAX };
    const struct berth_load_options load = { .size = sizeof(load),
                                             .placement = "process",
                                             .restart = &never };
    const struct berth_reload_options reload = { .size = sizeof(reload), .restart = &once };
    berth_host *host = crash_host();
    struct berth_error error;

    CHECK_CODE(berth_host_load(host, berth_test_fixture("crasher"), &load, &error), BERTH_OK,
               &error);
    for (int i = 0; i < 2; i++) {
        CHECK_FAILS(host, "crasher.exit", "[7]", BERTH_UNAVAILABLE, "7");
        UNTIL(host, !strcmp(berth_test_module(host, "crasher", "state"), "failed"));
        CHECK_CONTAINS(berth_test_module(host, "crasher", "why"), "is never to be restarted");
        CHECK_CODE(berth_host_reload(host, "crasher", NULL, NULL, &error), BERTH_OK, &error);
    }
    CHECK_CODE(berth_host_reload_with(host, "crasher", &reload, NULL, &error), BERTH_OK, &error);
    const char *pid = berth_test_module(host, "crasher", "pid");
    CHECK_FAILS(host, "crasher.exit", "[7]", BERTH_UNAVAILABLE, "7");
    wait_for_restart(host, "crasher", pid);
    CHECK_FAILS(host, "crasher.exit", "[7]", BERTH_UNAVAILABLE, "7");
    UNTIL(host, !strcmp(berth_test_module(host, "crasher", "state"), "failed"));
    CHECK_CONTAINS(berth_test_module(host, "crasher", "why"), "too often");
    berth_host_free(host);
}

static void dying_at_start_refuses_the_load(void)
{
    berth_host *host = crash_host();
    struct berth_error error;

    CHECK_CODE(
        berth_test_load(host, "crasher", conformance.placement, "{\"at_start\":true}", &error),
        BERTH_UNAVAILABLE, &error);
    CHECK_CONTAINS(error.text, "crasher");
    CHECK_STR(berth_test_module(host, "crasher", "state"), "");
    LOAD(host, "crasher", conformance.placement);
    berth_host_free(host);
}

static void dying_at_stop_is_no_error_of_the_unload(void)
{
    berth_host *host = crash_host();
    struct berth_error error;

    REQUIRE(berth_test_loaded(host, "crasher", conformance.placement, "{\"at_stop\":true}",
                              BERTH_TEST_HERE));
    CHECK_CODE(berth_host_unload(host, "crasher", &error), BERTH_OK, &error);
    CHECK_STR(berth_test_module(host, "crasher", "state"), "");
    LOAD(host, "crasher", conformance.placement);
    berth_host_free(host);
}

static void a_handler_that_dies_takes_its_message_only(void)
{
    berth_host *host = crash_host();

    LOAD(host, "crasher", conformance.placement);
    const char *pid = berth_test_module(host, "crasher", "pid");
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_publish_json(ctx, "crasher.die", "[\"now\"]"), BERTH_OK);
    CHECK_INT(berth_publish_json(ctx, "crasher.die", "[\"\"]"), BERTH_OK); /* harmless */
    berth_leave(ctx);
    wait_for_restart(host, "crasher", pid);
    pid = berth_test_module(host, "crasher", "pid");
    for (int i = 0; i < 10; i++)
        berth_test_pass_time(host);
    CHECK_STR(berth_test_module(host, "crasher", "pid"), pid); /* the first has not come again */
    berth_host_free(host);
}

static void calls_that_are_inside_fail_at_once(void)
{
    berth_host *host = crash_host();
    struct berth_test_held held;

    LOAD(host, "sleeper", conformance.placement);
    const char *pid = berth_test_module(host, "sleeper", "pid");
    berth_test_hold(&held, host, "sleeper.hold");
    int64_t start = berth_test_now();
    kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
    berth_test_join(&held); /* nobody has released it */
    CHECK(berth_test_now() - start < berth_test_patience());
    CHECK_CODE(held.code, BERTH_UNAVAILABLE, &held.error);
    CHECK_CONTAINS(held.error.text, "signal 9");
    wait_for_restart(host, "sleeper", pid);
    berth_host_free(host);
}

static void a_hanging_callee_is_left_at_the_deadline(void)
{
    berth_host *host = slow_host(300 * MS);
    const char *path = berth_test_hold_path(), *arguments = berth_test_format("[\"%s\"]", path);
    struct berth_error error;

    LOAD(host, "sleeper", conformance.placement);
    /* On a slow machine the time may be over before the call has begun. */
    for (int64_t time = 100 * MS; !berth_test_exists(path); time *= 2) {
        CHECK_CODE(berth_test_try(host, "sleeper.hold", arguments, time, NULL, &error),
                   BERTH_DEADLINE_EXCEEDED, &error);
        CHECK_CONTAINS(error.text, "sleeper.hold");
    }
    CHECK_CODE(berth_test_try(host, "sleeper.most_inside", "[]", 100 * MS, NULL, &error),
               BERTH_DEADLINE_EXCEEDED, &error); /* serial: the first is still inside */
    int64_t start = berth_test_now();
    berth_host_free(host); /* kills what hangs */
    CHECK(berth_test_exists(path));
    CHECK(berth_test_now() - start < berth_test_patience());
}

static void callers_in_a_chain_hear_of_a_death(void)
{
    berth_host *host = crash_host();

    LOAD(host, "chain_a", conformance.placement);
    LOAD(host, "chain_b", conformance.placement);
    LOAD(host, "chain_c", conformance.placement);
    CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
    const char *pid = berth_test_module(host, "chain_b", "pid");
    kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
    wait_for_restart(host, "chain_b", pid);
    CHECK_CALL(host, "chain_a.half", "[3]", "1.5");
    berth_host_free(host);
}

static void handles_die_with_the_worker(void)
{
    berth_host *host = crash_host();

    LOAD(host, "handles", conformance.placement);
    const char *box = berth_test_format("[%s]", CALL(host, "handles.open", "[5]"));
    const char *pid = berth_test_module(host, "handles", "pid");
    kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
    wait_for_restart(host, "handles", pid);
    CHECK_FAILS(host, "handles.get", box, BERTH_NOT_FOUND, "box");
    CHECK_CALL(host, "handles.open_count", "[]", "0");
    berth_host_free(host);
}

static void *nap_until_it_dies(void *host)
{
    struct berth_error error;
    CHECK_CODE(berth_test_try(host, "sleeper_parallel.nap", "[600000]", 0, NULL, &error),
               BERTH_UNAVAILABLE, &error);
    return NULL;
}

static void the_death_of_a_replaced_worker_is_not_the_modules(void)
{
    berth_host *host = slow_host(50 * MS);
    struct berth_error error;
    pthread_t thread;

    LOAD(host, "sleeper_parallel", conformance.placement);
    const char *pid = berth_test_module(host, "sleeper_parallel", "pid");
    pthread_create(&thread, NULL, nap_until_it_dies, host);
    UNTIL(host, CALL_INT(host, "sleeper_parallel.most_inside", "[]") == 1);
    CHECK_CODE(berth_host_reload(host, "sleeper_parallel", NULL, NULL, &error), BERTH_OK, &error);
    kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
    pthread_join(thread, NULL);
    LOAD(host, "math", conformance.other); /* ends what has been left */
    CHECK_STR(berth_test_module(host, "sleeper_parallel", "state"), "running");
    CHECK_STR(berth_test_module(host, "sleeper_parallel", "why"), "");
    CHECK_CALL(host, "sleeper_parallel.nap", "[1]", "1");
    berth_host_free(host);
}

static void the_application_sees_no_child(void)
{
    berth_host *host = crash_host();
    int status;

    LOAD(host, "crasher", conformance.placement);
    const char *pid = berth_test_module(host, "crasher", "pid");
    CHECK_INT(waitpid(-1, &status, WNOHANG), -1);
    CHECK_INT(waitpid((pid_t)strtol(pid, NULL, 10), &status, WNOHANG), -1);
    CHECK_FAILS(host, "crasher.exit", "[1]", BERTH_UNAVAILABLE, "1");
    CHECK_INT(waitpid(-1, &status, WNOHANG), -1);
    berth_host_free(host);
    CHECK_INT(waitpid(-1, &status, WNOHANG), -1);
}

const struct berth_test conformance_crashes[] = {
    { "a_start_that_hangs_is_given_up", a_start_that_hangs_is_given_up },
    { "a_death_meets_a_load", a_death_meets_a_load },
    { "each_way_to_die_is_told", each_way_to_die_is_told },
    { "a_kill_from_outside_is_noticed", a_kill_from_outside_is_noticed },
    { "a_start_may_call_its_own_module", a_start_may_call_its_own_module },
    { "too_many_deaths_are_final", too_many_deaths_are_final },
    { "the_policy_says_how_often", the_policy_says_how_often },
    { "dying_at_start_refuses_the_load", dying_at_start_refuses_the_load },
    { "dying_at_stop_is_no_error_of_the_unload", dying_at_stop_is_no_error_of_the_unload },
    { "a_handler_that_dies_takes_its_message_only", a_handler_that_dies_takes_its_message_only },
    { "calls_that_are_inside_fail_at_once", calls_that_are_inside_fail_at_once },
    { "a_hanging_callee_is_left_at_the_deadline", a_hanging_callee_is_left_at_the_deadline },
    { "callers_in_a_chain_hear_of_a_death", callers_in_a_chain_hear_of_a_death },
    { "handles_die_with_the_worker", handles_die_with_the_worker },
    { "the_death_of_a_replaced_worker_is_not_the_modules",
      the_death_of_a_replaced_worker_is_not_the_modules },
    { "the_application_sees_no_child", the_application_sees_no_child },
    { NULL, NULL },
};
