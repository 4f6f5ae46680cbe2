/* SPDX-License-Identifier: MIT */
/*
 * The end of a host: from any thread, in bounded time, and never under code that the host has
 * called. That code is told so, and the host goes on.
 */
#include "runtime/core/core.h"
#include "runtime/core/schedule.h"
#include "runtime/loop/loop.h"
#include "tests/support/hosting.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <berth/module.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           INT64_C(1000000)
#define NOT_YET      (-1)

BERTH_MODULE("app", "1.0.0", "The application of this test.");
BERTH_PARALLEL;

static berth_host *host;
static int code; /* atomic: what berth_host_free has said in there */
static void (*on_starting)(void), (*on_holding)(void);

BERTH_EXPORT(void, starting, "What a START does.")
{
    (void)ctx;
    if (on_starting)
        on_starting();
}

BERTH_EXPORT(void, holding, "What keeps a call inside.")
{
    (void)ctx;
    if (on_holding)
        on_holding();
}

static void try_to_end(void)
{
    __atomic_store_n(&code, berth_host_free(host), __ATOMIC_RELEASE);
}

static int told(void)
{
    return __atomic_load_n(&code, __ATOMIC_ACQUIRE);
}

static void provide(void)
{
    struct berth_error error;
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
}

static void make_host(const struct berth_host_options *options)
{
    on_starting = on_holding = NULL;
    code = NOT_YET;
    __atomic_store_n(&host, berth_test_host(options), __ATOMIC_RELEASE); /* its threads look */
}

/* It was refused, nothing has changed, and outside it works. */
static void goes_on_until_it_is_ended_outside(void)
{
    CHECK_INT(told(), BERTH_FAILED_PRECONDITION);
    LOAD(host, "math", NULL);
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

static void a_call_does_not_end_its_host(void)
{
    make_host(NULL);
    provide();
    LOAD(host, "starter", NULL);
    on_holding = try_to_end;
    CALL(host, "starter.hold", "[]");
    goes_on_until_it_is_ended_outside();
}

static void a_load_does_not_end_its_host(void)
{
    make_host(NULL);
    provide();
    on_starting = try_to_end;
    LOAD(host, "starter", NULL);
    goes_on_until_it_is_ended_outside();
}

static void on_message(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    (void)user;
    try_to_end();
}

static void a_handler_does_not_end_its_host(void)
{
    struct berth_error error;

    for (int threads = 0; threads <= 2; threads += 2) {
        struct berth_host_options options = berth_test_host_options();
        options.threads = threads;
        make_host(&options);
        LOAD(host, "publisher", NULL);
        CHECK_CODE(berth_host_subscribe(host, "news.bell", on_message, NULL, NULL, &error),
                   BERTH_OK, &error);
        CALL(host, "publisher.ring", "[]");
        UNTIL(host, told() != NOT_YET);
        goes_on_until_it_is_ended_outside();
    }
}

static int dispatched; /* what berth_host_dispatch has said in a line of the log */

static void end_in_a_line(void *user, const struct berth_log_line *line)
{
    if (!strstr(line->text, *(const char **)user) || told() != NOT_YET)
        return;
    dispatched = berth_host_dispatch(host, 0);
    try_to_end();
}

static void end_in_the_line(const char *text, int threads)
{
    struct berth_host_options options = berth_test_host_options();
    options.threads = threads;
    options.log = end_in_a_line;
    options.log_user = &text;
    make_host(&options);
    if (berth_test_valgrind() || strcmp(text, "its worker") != 0) {
        LOAD(host, "logger", NULL);
        CALL(host, "logger.log", "[1,\"go down, its worker\"]");
    } else { /* told by a thread that is in no call */
        LOAD(host, "sleeper", "process");
        kill((pid_t)strtol(berth_test_module(host, "sleeper", "pid"), NULL, 10), SIGKILL);
    }
    UNTIL(host, told() != NOT_YET);
    CHECK_INT(dispatched, -1);
    goes_on_until_it_is_ended_outside();
}

static void a_line_of_the_log_does_not_end_its_host(void)
{
    for (int threads = 0; threads <= 2; threads += 2) {
        end_in_the_line("go down", threads);
        end_in_the_line("its worker", threads);
    }
}

/* The first threads begin before the application knows its host. */
static void end_first(void *user)
{
    (void)user;
    if (__atomic_load_n(&host, __ATOMIC_ACQUIRE) && told() == NOT_YET)
        try_to_end();
}

static void a_new_thread_does_not_end_its_host(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.thread = end_first;
    __atomic_store_n(&host, NULL, __ATOMIC_RELEASE);
    make_host(&options);
    LOAD(host, "math", NULL);
    LOAD(host, "threader", NULL);
    CALL(host, "threader.begin", "[]");
    UNTIL(host, told() != NOT_YET);
    CHECK_INT(told(), BERTH_FAILED_PRECONDITION);
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

static bool begins, last_started, last_ran; /* atomic */

static void set_flag(void *flag)
{
    __atomic_store_n((bool *)flag, true, __ATOMIC_RELEASE);
}

/* On the loop's thread, when the host has looked whether any job has a thread still. */
static void begin_last(struct berth_timer *timer)
{
    struct berth_host *ending = timer->owner;

    set_flag(&begins);
    while (!__atomic_load_n(&ending->ending, __ATOMIC_ACQUIRE))
        berth_test_pause(1);
    berth_test_pause(20);
    for (int i = 0; i < 2; i++) /* the pool's thread may still count as free for one */
        CHECK_INT(berth_schedule_job(ending, set_flag, &last_ran), BERTH_OK);
}

/* It is late, as on a busy machine. */
static void start_late(void *user)
{
    char name[16] = "";

    (void)user;
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (strcmp(name, "berth-job") != 0)
        return;
    berth_test_pause(50);
    set_flag(&last_started);
}

static void a_thread_that_begins_last_is_waited_for(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_timer timer = { .fire = begin_last };
    struct berth_error error;

    options.threads = 1;
    options.thread = start_late;
    make_host(&options);
    timer.owner = host;
    CHECK_CODE(berth_timer_add(host->loop, &timer, berth_now(), &error), BERTH_OK, &error);
    EVENTUALLY(__atomic_load_n(&begins, __ATOMIC_ACQUIRE));
    CHECK_INT(berth_host_free(host), BERTH_OK);
    CHECK(__atomic_load_n(&last_started, __ATOMIC_ACQUIRE));
    CHECK(__atomic_load_n(&last_ran, __ATOMIC_ACQUIRE));
}

static void who_has_entered_leaves_first(void)
{
    make_host(NULL);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_host_free(host), BERTH_FAILED_PRECONDITION);
    berth_ctx *again = berth_host_enter(host);
    berth_leave(again);
    try_to_end();
    berth_leave(ctx);
    goes_on_until_it_is_ended_outside();
}

static void *end_of(void *which)
{
    static int said;
    said = berth_host_free(which);
    return &said;
}

/* A call of one host may end another, and so may a thread that no host has ever seen. */
static void another_host_may_be_ended(void)
{
    struct berth_host_options options = berth_test_host_options();
    pthread_t thread;
    void *said;

    make_host(&options);
    berth_host *other = berth_test_host(NULL);
    berth_ctx *ctx = berth_host_enter(other);
    CHECK_INT(berth_host_free(host), BERTH_OK);
    berth_leave(ctx);
    REQUIRE(pthread_create(&thread, NULL, end_of, other) == 0);
    pthread_join(thread, &said);
    CHECK_INT(*(int *)said, BERTH_OK);
}

/* ---- What does not end ---- */

static bool go; /* atomic */

static void wait_for_go(void)
{
    __atomic_store_n(&code, 0, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
        usleep(1000);
}

static void stay(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    wait_for_go();
    __atomic_store_n((bool *)user, true, __ATOMIC_RELEASE);
}

static void make_impatient_host(void)
{
    struct berth_host_options options = berth_test_host_options();
    options.stop_timeout_ns = 50 * MS;
    go = false;
    make_host(&options);
}

static void a_callback_that_stays_does_not_keep_it(void)
{
    struct berth_error error;
    bool returned = false;

    make_impatient_host();
    LOAD(host, "publisher", NULL);
    CHECK_CODE(berth_host_subscribe(host, "news.bell", stay, &returned, NULL, &error), BERTH_OK,
               &error);
    CALL(host, "publisher.ring", "[]");
    CALL(host, "publisher.ring", "[]");
    UNTIL(host, told() != NOT_YET);
    CHECK_INT(berth_host_free(host), BERTH_DEADLINE_EXCEEDED);
    CHECK_CONTAINS(berth_test_log(), "a subscription's callback has not returned");
    CHECK_CONTAINS(berth_test_log(), "keeps this host in memory");
    code = NOT_YET;
    __atomic_store_n(&go, true, __ATOMIC_RELEASE);
    EVENTUALLY(__atomic_load_n(&returned, __ATOMIC_ACQUIRE));
    berth_test_pause(20);
    CHECK_INT(told(), NOT_YET); /* the second message comes to nobody */
}

static void *load_starter(void *unused)
{
    struct berth_error error;
    (void)unused;
    berth_test_load(host, "starter", NULL, NULL, &error);
    return NULL;
}

static void a_load_that_stays_does_not_keep_it(void)
{
    pthread_t thread;

    make_impatient_host();
    provide();
    on_starting = wait_for_go;
    REQUIRE(pthread_create(&thread, NULL, load_starter, NULL) == 0);
    EVENTUALLY(told() != NOT_YET);
    CHECK_INT(berth_host_free(host), BERTH_DEADLINE_EXCEEDED);
    CHECK_CONTAINS(berth_test_log(), "another load, unload or reload has not ended in time");
    __atomic_store_n(&go, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

BERTH_BOUND(void, hold, (string, path));

struct held {
    hold_bound bound;
    const char *path;
    int said;
};

static void *hold_on(void *argument)
{
    struct held *held = argument;
    berth_ctx *ctx = berth_host_enter(host);
    hold_call(&held->bound, ctx, held->path);
    held->said = berth_error_code(ctx);
    berth_leave(ctx);
    return NULL;
}

/* What it can reach stays: its way back, too. */
static void a_bound_call_that_stays_comes_back(void)
{
    static const char *const modules[] = { "sleeper", "sleeper_parallel" };
    struct berth_error error;
    pthread_t thread;

    for (size_t i = 0; i < COUNT(modules); i++) {
        struct held held = { .path = berth_test_hold_path(), .said = NOT_YET };
        make_impatient_host();
        LOAD(host, modules[i], NULL);
        CHECK_CODE(
            berth_bind(host, berth_test_format("%s.hold", modules[i]), hold, &held.bound, &error),
            BERTH_OK, &error);
        REQUIRE(pthread_create(&thread, NULL, hold_on, &held) == 0);
        EVENTUALLY(berth_test_exists(held.path));
        CHECK_INT(berth_host_free(host), BERTH_DEADLINE_EXCEEDED);
        unlink(held.path);
        pthread_join(thread, NULL);
        CHECK_INT(held.said, BERTH_OK);
    }
}

static const struct berth_test tests[] = {
    { "a_call_does_not_end_its_host", a_call_does_not_end_its_host },
    { "a_load_does_not_end_its_host", a_load_does_not_end_its_host },
    { "a_handler_does_not_end_its_host", a_handler_does_not_end_its_host },
    { "a_line_of_the_log_does_not_end_its_host", a_line_of_the_log_does_not_end_its_host },
    { "a_new_thread_does_not_end_its_host", a_new_thread_does_not_end_its_host },
    { "a_thread_that_begins_last_is_waited_for", a_thread_that_begins_last_is_waited_for },
    { "who_has_entered_leaves_first", who_has_entered_leaves_first },
    { "another_host_may_be_ended", another_host_may_be_ended },
    { "a_callback_that_stays_does_not_keep_it", a_callback_that_stays_does_not_keep_it },
    { "a_bound_call_that_stays_comes_back", a_bound_call_that_stays_comes_back },
    { "a_load_that_stays_does_not_keep_it",
      a_load_that_stays_does_not_keep_it }, /* app stays, too */
};

int main(int argc, char **argv)
{
    return berth_suite_main("end", tests, COUNT(tests), argc, argv);
}
