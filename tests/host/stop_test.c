/* SPDX-License-Identifier: MIT */
/*
 * Unloads, and the end of a host, while something is inside that could go on for ever: it is left
 * alone for half of the stop_timeout, and then told. A reload tells nobody.
 */
#include "tests/support/hosting.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           INT64_C(1000000)
/* Half of it is waited for, and the other half is for those who are told. */
#define STOP_TIMEOUT ((berth_test_instrumented() ? 8000 : 3000) * MS)

/* A call of the listener's, on a thread of its own. */
struct inside {
    berth_host *host;
    const char *function, *more, *path; /* more: arguments behind the path */
    pthread_t thread;
    const char *result;
    int code;
    struct berth_error error;
};

static void *call_main(void *argument)
{
    struct inside *inside = argument;
    char arguments[256], *result = NULL;
    berth_ctx *ctx = berth_host_enter(inside->host);
    snprintf(arguments, sizeof arguments, "[\"%s\"%s]", inside->path, inside->more);
    inside->code = berth_call_json(ctx, inside->function, arguments, &result);
    inside->result = result ? berth_test_format("%s", result) : "";
    snprintf(inside->error.text, sizeof inside->error.text, "%s", berth_error_text(ctx));
    berth_free(result);
    berth_leave(ctx);
    return NULL;
}

static void go_in(struct inside *inside, berth_host *host, const char *function, const char *more)
{
    *inside = (struct inside){ host, function, more, berth_test_hold_path(), .code = -1 };
    REQUIRE(pthread_create(&inside->thread, NULL, call_main, inside) == 0);
    UNTIL(host, berth_test_exists(inside->path));
}

static void come_out(struct inside *inside)
{
    pthread_join(inside->thread, NULL);
    unlink(inside->path);
}

static berth_host *bare_host(int threads, int64_t stop_timeout, const char *placement)
{
    if (berth_test_valgrind() && placement && strcmp(placement, "process") == 0)
        berth_skip("valgrind cannot follow workers");
    struct berth_host_options options = berth_test_host_options();
    options.threads = threads;
    options.stop_timeout_ns = stop_timeout;
    return berth_test_host(&options);
}

static void load_listener(berth_host *host, const char *placement)
{
    LOAD(host, "later", NULL);
    LOAD(host, "sleeper", placement);
    LOAD(host, "listener", placement);
}

static berth_host *host_with(int threads, int64_t stop_timeout, const char *placement)
{
    berth_host *host = bare_host(threads, stop_timeout, placement);
    load_listener(host, placement);
    return host;
}

/* All that can be inside of a module, at once. */
struct crowd {
    struct inside loop, keep, wait, look, queue;
    struct berth_test_held held; /* what queue waits for */
    const char *handled;         /* removed when the handler has ended */
};

static void crowd_in(struct crowd *crowd, berth_host *host, int threads)
{
    go_in(&crowd->loop, host, "listener.loop", "");
    go_in(&crowd->keep, host, "listener.keep", "");
    go_in(&crowd->wait, host, "listener.wait", "");
    go_in(&crowd->look, host, "listener.look", ",3600000");
    berth_test_hold(&crowd->held, host, "sleeper.hold");
    go_in(&crowd->queue, host, "listener.queue", "");
    crowd->handled = NULL;
    if (!threads) /* who would run it does not come out of it */
        return;
    crowd->handled = berth_test_hold_path();
    CALL(host, "listener.ring", berth_test_format("[\"%s\"]", crowd->handled));
    UNTIL(host, berth_test_exists(crowd->handled));
}

static void check_cancelled(const struct inside *inside, const char *why)
{
    CHECK_CODE(inside->code, BERTH_CANCELLED, &inside->error);
    CHECK_CONTAINS(inside->error.text, why);
}

/* Each has ended because it was told to, and says so. */
static void crowd_out(struct crowd *crowd, const char *why)
{
    struct inside *all[] = { &crowd->loop, &crowd->keep, &crowd->wait, &crowd->look,
                             &crowd->queue };
    for (size_t i = 0; i < COUNT(all); i++)
        come_out(all[i]);
    CHECK_STR(crowd->loop.result, "true");
    CHECK_STR(crowd->keep.result, "true");
    check_cancelled(&crowd->wait, why);
    check_cancelled(&crowd->look, why);
    check_cancelled(&crowd->queue, why);
    if (crowd->handled)
        EVENTUALLY(!berth_test_exists(crowd->handled)); /* it looks each millisecond */
}

static void an_unload_tells(int threads, const char *placement)
{
    berth_host *host = host_with(threads, STOP_TIMEOUT, placement);
    struct berth_error error;
    struct crowd crowd;

    crowd_in(&crowd, host, threads);
    CHECK_CODE(berth_host_unload(host, "listener", &error), BERTH_OK, &error);
    crowd_out(&crowd, "is being unloaded");
    berth_test_release(&crowd.held); /* that was not meant: it has gone on */
    berth_test_join(&crowd.held);
    CHECK_CODE(crowd.held.code, BERTH_OK, &crowd.held.error);
    CHECK_CALL(host, "sleeper.nap", "[1]", "1");
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

static void an_unload_tells_what_is_inside(const char *placement)
{
    an_unload_tells(2, placement);
}

static void without_threads_too(const char *placement)
{
    an_unload_tells(0, placement);
}

/*
 * It is not over before the threads that are inside have left, for the sake of its own last one:
 * that is of the module that ends last, as it was loaded first, or it would take time from others.
 */
struct ending {
    berth_host *host;
    int pipe[2];
    pthread_t thread;
    int code;
};

static void *end_main(void *argument)
{
    struct ending *ending = argument;
    ending->code = berth_host_free(ending->host);
    return NULL;
}

static void the_end_tells(int threads, const char *placement)
{
    struct ending ending = { .code = -1 };
    struct crowd crowd;

    ending.host = bare_host(threads, STOP_TIMEOUT, placement);
    REQUIRE(pipe(ending.pipe) == 0);
    REQUIRE(berth_test_loaded(ending.host, "stubborn", NULL,
                              berth_test_format("{\"pipe\":%d}", ending.pipe[0]), BERTH_TEST_HERE));
    CALL(ending.host, "stubborn.begin", "[]");
    load_listener(ending.host, placement);
    crowd_in(&crowd, ending.host, threads);
    REQUIRE(pthread_create(&ending.thread, NULL, end_main, &ending) == 0);
    crowd_out(&crowd, "the host ends");
    berth_test_release(&crowd.held);
    berth_test_join(&crowd.held);
    close(ending.pipe[1]);
    pthread_join(ending.thread, NULL);
    close(ending.pipe[0]);
    CHECK_INT(ending.code, BERTH_OK);
}

static void the_end_of_a_host_tells_what_is_inside(const char *placement)
{
    the_end_tells(2, placement);
}

static void of_one_without_threads_too(const char *placement)
{
    the_end_tells(0, placement);
}

static void *unload_main(void *host)
{
    struct berth_error error;
    CHECK_CODE(berth_host_unload(host, "listener", &error), BERTH_OK, &error);
    return NULL;
}

/* What ends by itself in the first half has not been told anything. */
static void at_first_it_is_left_alone(const char *placement)
{
    berth_host *host = host_with(2, 1000 * berth_test_patience(), placement);
    struct inside loop;
    pthread_t thread;

    go_in(&loop, host, "listener.loop", "");
    REQUIRE(pthread_create(&thread, NULL, unload_main, host) == 0);
    berth_test_pause(50);
    unlink(loop.path);
    come_out(&loop);
    pthread_join(thread, NULL);
    CHECK_STR(loop.result, "false");
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

/* No call is lost by it: it waits, and gives up. */
static void a_reload_tells_nobody(const char *placement)
{
    berth_host *host = host_with(2, 200 * MS, placement);
    struct berth_error error;
    struct inside loop;

    go_in(&loop, host, "listener.loop", "");
    CHECK_CODE(berth_host_reload(host, "listener", NULL, NULL, &error), BERTH_DEADLINE_EXCEEDED,
               &error);
    CHECK_CONTAINS(error.text, "it goes on");
    unlink(loop.path);
    come_out(&loop);
    CHECK_STR(loop.result, "false");
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

/* Inline; a worker would be killed. It is reported, and told no more once the unload gives up. */
static void who_does_not_listen_goes_on(void)
{
    berth_host *host = host_with(2, 200 * MS, NULL);
    struct berth_test_held held;
    struct berth_error error;

    berth_test_hold(&held, host, "sleeper.hold");
    CHECK_CODE(berth_host_unload(host, "sleeper", &error), BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CONTAINS(error.text, "sleeper: 1 call was still inside");
    berth_test_release(&held);
    berth_test_join(&held);
    CHECK_CODE(held.code, BERTH_OK, &held.error);
    CHECK_CALL(host, "sleeper.wait", "[1]", "false");
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

/* Its host has given up and is left in memory: what asks at last must not go on for ever. */
static void who_is_late_is_told_after_the_end(void)
{
    berth_host *host = host_with(2, 200 * MS, NULL);
    struct inside late;

    go_in(&late, host, "listener.late", "");
    CHECK_INT(berth_host_free(host), BERTH_DEADLINE_EXCEEDED);
    unlink(late.path);
    come_out(&late);
    CHECK_STR(late.result, "true");
}

/* A call that was started has no frame here. Its worker ends with it, and that is said. */
static void a_worker_that_does_not_listen_is_killed(void)
{
    berth_host *host = host_with(2, 200 * MS, "process");
    const char *path = berth_test_hold_path();
    struct berth_error error;
    berth_pending call;
    berth_ctx *ctx = berth_host_enter(host);
    CHECK_INT(berth_call_start_json(ctx, "sleeper.hold", berth_test_format("[\"%s\"]", path), NULL,
                                    &call),
              BERTH_OK);
    EVENTUALLY(berth_test_exists(path));
    CHECK_CODE(berth_host_unload(host, "sleeper", &error), BERTH_OK, &error);
    CHECK_CONTAINS(berth_test_log(), "its worker is killed: 1 call was still inside after");
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_UNAVAILABLE);
    CHECK_CONTAINS(berth_error_text(ctx), "was killed, as something inside did not end in time");
    berth_leave(ctx);
    unlink(path);
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

BERTH_TEST_BOTH(an_unload_tells_what_is_inside)
BERTH_TEST_BOTH(without_threads_too)
BERTH_TEST_BOTH(the_end_of_a_host_tells_what_is_inside)
BERTH_TEST_BOTH(of_one_without_threads_too)
BERTH_TEST_BOTH(at_first_it_is_left_alone)
BERTH_TEST_BOTH(a_reload_tells_nobody)

static const struct berth_test tests[] = {
    BERTH_TEST_ROWS("an unload tells what is inside", an_unload_tells_what_is_inside),
    BERTH_TEST_ROWS("without threads, too", without_threads_too),
    BERTH_TEST_ROWS("the end of a host tells what is inside",
                    the_end_of_a_host_tells_what_is_inside),
    BERTH_TEST_ROWS("of one without threads, too", of_one_without_threads_too),
    BERTH_TEST_ROWS("at first it is left alone", at_first_it_is_left_alone),
    BERTH_TEST_ROWS("a reload tells nobody", a_reload_tells_nobody),
    { "who does not listen goes on", who_does_not_listen_goes_on },
    { "who is late is told after the end", who_is_late_is_told_after_the_end },
    { "a worker that does not listen is killed", a_worker_that_does_not_listen_is_killed },
};

int main(int argc, char **argv)
{
    return berth_suite_main("stop", tests, COUNT(tests), argc, argv);
}
