/* SPDX-License-Identifier: MIT */
/*
 * A host whose worker program lies (tests/carrier/fake_worker.c): the calls that are inside fail
 * with the reason, the worker is killed, and the host serves on.
 */
#include "tests/support/hosting.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "runtime/carrier/carrier.h"
#include "runtime/carrier/zygote.h"

#define MS INT64_C(1000000)

static berth_host *fake_host(int threads)
{
    struct berth_host_options options = berth_test_host_options();

    if (berth_test_valgrind())
        berth_skip("valgrind knows no clone with a pidfd");
    options.worker = berth_test_built("tests/carrier/fake_worker");
    options.threads = threads;
    options.stop_timeout_ns = 500 * MS;
    return berth_test_host(&options);
}

/* Loads math, whose worker does what the name says. */
static int load(berth_host *host, const char *name, struct berth_error *error)
{
    struct berth_load_options options = { .size = sizeof(options),
                                          .name = name,
                                          .placement = "process" };

    return berth_host_load(host, berth_test_fixture("math"), &options, error);
}

static void ignore_line(void *user, int level, const char *chain, const char *text, bool echo)
{
    (void)user;
    (void)level;
    (void)chain;
    (void)text;
    (void)echo;
}

/* What a worker does, and what is said of it. */
static const struct {
    const char *what, *how;
} lies[] = {
    { "garbage", "sent a malformed frame: not of this protocol" },
    { "giant", "sent a malformed frame: larger than allowed" },
    { "twice", "sent a malformed frame: a reply to nothing" },
    { "more", "sent a malformed frame: more results than there is room for" },
    { "import", "sent a malformed frame: no import has its number" },
    { "wait", "sent a malformed frame: not the size of a wait" },
    { "room", "sent a malformed frame: not the size of a wait" },
    { "inside", "sent a malformed frame: two wait inside of one gate" },
    { "close", "closed its connection" },
    { "exit", "exited with status 3" },
    { "segv", "was killed by signal 11 (Segmentation fault)" },
    { "abort", "was killed by signal 6 (Aborted)" },
    { "child", "exited with status 5" },
};

static void a_load_fails_with_what_the_worker_did(int threads)
{
    struct berth_error error;
    berth_host *host = fake_host(threads);

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        if (strcmp(lies[i].what, "twice") == 0)
            continue; /* the first reply is fine, so it depends */
        CHECK_CODE(load(host, berth_test_format("open_%s", lies[i].what), &error),
                   BERTH_UNAVAILABLE, &error);
        CHECK_CONTAINS(error.text, lies[i].how);
        CHECK_CONTAINS(error.text, "its worker (process ");
    }
    CHECK_STR(berth_test_module(host, "open_exit", "state"), "");
    berth_host_free(host);
}

static void loads_fail_with_what_the_worker_did(void)
{
    a_load_fails_with_what_the_worker_did(2);
}

static void loads_fail_alike_without_threads(void)
{
    a_load_fails_with_what_the_worker_did(0);
}

/* The carrier itself: a host is more patient than a test. */
static void silence_at_loading_ends_at_the_deadline(void)
{
    static const char *const names[] = { "open_stay", "open_half", "open_flood", "open_waits",
                                         "open_rooms" };
    static const struct berth_upcalls upcalls = { .log = ignore_line };
    struct berth_carrier_setup setup = { .upcalls = &upcalls, .max_message = 1 << 20 };
    struct berth_carrier *carrier;
    struct berth_error error;

    if (berth_test_valgrind())
        berth_skip("valgrind knows no clone with a pidfd");
    REQUIRE(berth_image_stage(berth_test_fixture("math"), 1, NULL, &setup.image, NULL) == BERTH_OK);
    REQUIRE(berth_loop_new(&setup.loop, NULL) == BERTH_OK);
    REQUIRE(berth_zygote_new(setup.loop, berth_test_built("tests/carrier/fake_worker"),
                             &setup.zygote, NULL) == BERTH_OK);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        setup.name = names[i];
        /* On a slow machine the time may be over before there is a worker. */
        error.text[0] = '\0';
        for (int64_t time = 500 * MS; !strstr(error.text, "did not get ready in time"); time *= 2) {
            int64_t began = berth_test_now();
            int code = berth_carrier_process.open(&setup, berth_now() + time, &carrier, &error);
            CHECK_CODE(code, BERTH_DEADLINE_EXCEEDED, &error);
            REQUIRE(code == BERTH_DEADLINE_EXCEEDED);
            CHECK(berth_test_now() - began < time + berth_test_patience());
        }
    }
    berth_zygote_free(setup.zygote);
    berth_loop_free(setup.loop);
    berth_image_free(setup.image);
}

static void a_call_fails_with_what_the_worker_did(int threads)
{
    struct berth_error error;

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        berth_host *host = fake_host(threads);
        const char *name = berth_test_format("call_%s", lies[i].what);
        CHECK_CODE(load(host, name, &error), BERTH_OK, &error);
        if (strcmp(lies[i].what, "twice") == 0)
            CHECK_CODE(
                berth_test_try(host, berth_test_format("%s.nothing", name), "[]", 0, NULL, &error),
                BERTH_OK, &error);
        else
            CHECK_FAILS(host, berth_test_format("%s.nothing", name), "[]", BERTH_UNAVAILABLE,
                        lies[i].how);
        UNTIL(host, strstr(berth_test_log(), lies[i].how)); /* `died` says it, too */
        berth_host_free(host);
    }
}

static void calls_fail_with_what_the_worker_did(void)
{
    a_call_fails_with_what_the_worker_did(2);
}

static void calls_fail_alike_without_threads(void)
{
    a_call_fails_with_what_the_worker_did(0);
}

static void *continue_later(void *zygote)
{
    usleep(1000000); /* longer than a host lets a worker live without a connection */
    kill(*(pid_t *)zygote, SIGCONT);
    return NULL;
}

/* How a worker ended is told, however long it takes until that is known. */
static void a_late_word(const char *name, const char *how)
{
    struct berth_error error;
    berth_host *host = fake_host(2);
    pid_t zygote = 0;
    pthread_t thread;

    CHECK_CODE(load(host, name, &error), BERTH_OK, &error);
    const char *pid = berth_test_module(host, name, "pid");
    const char *status = berth_test_read(berth_test_format("/proc/%s/status", pid), NULL);
    REQUIRE(sscanf(strstr(status, "PPid:"), "PPid: %d", &zygote) == 1 && zygote > 1);
    kill(zygote, SIGSTOP);
    REQUIRE(pthread_create(&thread, NULL, continue_later, &zygote) == 0);
    CHECK_FAILS(host, berth_test_format("%s.nothing", name), "[]", BERTH_UNAVAILABLE, how);
    pthread_join(thread, NULL);
    UNTIL(host, strstr(berth_test_log(), how));
    berth_host_free(host);
}

static void a_late_word_is_still_the_truth(void)
{
    a_late_word("call_exit", "exited with status 3");
    a_late_word("call_kill", "was killed by signal 9");
    a_late_word("call_close", "closed its connection");
}

static void a_result_must_be_of_its_type(void)
{
    struct berth_error error;
    berth_host *host = fake_host(2);

    CHECK_CODE(load(host, "call_result", &error), BERTH_OK, &error);
    CHECK_FAILS(host, "call_result.nothing", "[]", BERTH_UNAVAILABLE, "is not of its type");
    berth_host_free(host);
}

static void silence_in_a_call_ends_at_the_deadline(void)
{
    static const char *const names[] = { "call_stay", "call_half", "call_flood", "call_waits",
                                         "call_rooms" };
    struct berth_error error;

    for (size_t i = 0; i < 2 * sizeof(names) / sizeof(names[0]); i++) {
        const char *name = names[i / 2];
        berth_host *host = fake_host(i % 2 ? 2 : 0);
        CHECK_CODE(load(host, name, &error), BERTH_OK, &error);
        int64_t began = berth_test_now();
        CHECK_CODE(berth_test_try(host, berth_test_format("%s.nothing", name), "[]", 100 * MS, NULL,
                                  &error),
                   BERTH_DEADLINE_EXCEEDED, &error);
        CHECK(berth_test_now() - began < berth_test_patience());
        berth_host_free(host); /* which kills it */
    }
}

struct caller {
    berth_host *host;
    bool may_take; /* atomic */
    int code;      /* atomic; -1: it waits */
};

/* Who is to take the replies to the first one waits for the second one. */
static void *start_two(void *argument)
{
    struct caller *caller = argument;
    berth_ctx *ctx = berth_host_enter(caller->host);
    berth_pending pending[2] = { { 0 }, { 0 } };

    for (int i = 0; i < 2; i++)
        CHECK_INT(berth_call_start_json(ctx, "call_stuck.nothing", "[]", NULL, &pending[i]),
                  BERTH_OK);
    while (!__atomic_load_n(&caller->may_take, __ATOMIC_ACQUIRE))
        berth_test_pause(1);
    int code = berth_call_take_json(ctx, pending[1], NULL);
    __atomic_store_n(&caller->code, code, __ATOMIC_RELEASE);
    berth_call_drop(ctx, pending[0]);
    berth_leave(ctx);
    return NULL;
}

/* A ring by way of that is only told to the worker that has said so, which need not be stuck. */
static void who_says_to_wait_for_room_has_nobody_else_refused(void)
{
    struct berth_error error;
    struct caller caller = { .host = fake_host(2), .code = -1 };
    pthread_t thread;

    CHECK_CODE(load(caller.host, "call_stuck", &error), BERTH_OK, &error);
    REQUIRE(pthread_create(&thread, NULL, start_two, &caller) == 0);
    UNTIL(caller.host, strstr(berth_test_log(), " waits\n"));
    __atomic_store_n(&caller.may_take, true, __ATOMIC_RELEASE);
    UNTIL(caller.host, strstr(berth_test_log(), " refused\n"));
    CHECK_INT(__atomic_load_n(&caller.code, __ATOMIC_ACQUIRE), -1);
    kill((pid_t)strtol(berth_test_module(caller.host, "call_stuck", "pid"), NULL, 10), SIGKILL);
    pthread_join(thread, NULL);
    CHECK_INT(caller.code, BERTH_UNAVAILABLE);
    berth_host_free(caller.host);
}

static void *call_nothing(void *host)
{
    CHECK_FAILS(host, "call_listen.nothing", "[]", BERTH_UNAVAILABLE, "was killed by signal 9");
    return NULL;
}

/* How many calls the worker has said to have got. */
static int times_asked(void)
{
    int times = 0;

    for (const char *log = berth_test_log(); (log = strstr(log, " asked\n")); log++)
        times++;
    return times;
}

static void silence_without_a_deadline_ends_with_the_worker(void)
{
    struct berth_error error;
    berth_host *host = fake_host(2);
    pthread_t threads[3];

    CHECK_CODE(load(host, "call_listen", &error), BERTH_OK, &error);
    pid_t pid = (pid_t)strtol(berth_test_module(host, "call_listen", "pid"), NULL, 10);
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, call_nothing, host) == 0);
    UNTIL(host, times_asked() == 3);
    REQUIRE(pid > 0);
    kill(pid, SIGKILL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    berth_host_free(host);
}

static pid_t parent_of(pid_t pid)
{
    const char *status = berth_test_read(berth_test_format("/proc/%d/status", (int)pid), NULL);
    const char *parent = strstr(status, "PPid:");

    REQUIRE(parent != NULL);
    return (pid_t)strtol(parent + strlen("PPid:"), NULL, 10);
}

/* A caller that cannot wait for the reason makes none up. Nobody reads here but those who wait. */
static void a_short_deadline_does_not_hide_how_it_ended(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;

    if (berth_test_valgrind())
        berth_skip("valgrind knows no clone with a pidfd");
    options.threads = 0;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "greet", "process");
    pid_t pid = (pid_t)strtol(berth_test_module(host, "greet", "pid"), NULL, 10);
    pid_t zygote = parent_of(pid);
    struct pollfd end = { pidfd_open(pid, 0), POLLIN, 0 };
    REQUIRE(pid > 0 && zygote > 1 && end.fd >= 0);
    kill(zygote, SIGSTOP); /* it will tell later */
    kill(pid, SIGKILL);
    CHECK_INT(poll(&end, 1, 20000), 1);
    close(end.fd);
    int64_t began = berth_test_now();
    int code = berth_test_try(host, "greet.hello", "[\"you\"]", 20 * MS, NULL, &error);
    kill(zygote, SIGCONT);
    UNTIL(host, strstr(berth_test_log(), "its worker "));
    bool slow = berth_test_now() - began > 400 * MS; /* then the host may have lost patience */
    CHECK(slow || strstr(berth_test_log(), "its worker was killed by signal 9"));
    CHECK(slow || code == BERTH_UNAVAILABLE);
    berth_host_free(host);
}

static void other_workers_go_on(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;
    berth_host *host = fake_host(2);
    berth_host *good = berth_test_host(&options);

    LOAD(good, "math", "process");
    LOAD(good, "greet", "process");
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        load(host, berth_test_format("now_%s", lies[i].what), &error);
        CHECK_CALL(good, "math.add", "[1,2]", "3");
        CHECK_CALL(good, "greet.hello", "[\"you\"]", "\"Hello, you\"");
    }
    berth_host_free(host);
    berth_host_free(good);
}

/* Crash and restart, without an end: nothing is left of it. */
static void a_thousand_ends_leave_nothing(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;
    int rounds = berth_test_instrumented() ? 50 : 1000;

    if (berth_test_valgrind())
        berth_skip("valgrind knows no clone with a pidfd");
    berth_host *host = berth_test_host(&options);
    LOAD(host, "greet", "process");
    struct berth_load_options as = { .size = sizeof(as), .placement = "process" };
    size_t before = 0;
    for (int i = 0; i < rounds; i++) {
        CHECK_CODE(berth_host_load(host, berth_test_fixture("crasher"), &as, &error), BERTH_OK,
                   &error);
        CHECK_FAILS(host, "crasher.exit", "[7]", BERTH_UNAVAILABLE, "exited with status 7");
        CHECK_CODE(berth_host_unload(host, "crasher", &error), BERTH_OK, &error);
        if (i == 5)
            before = berth_test_descriptors();
    }
    EVENTUALLY(berth_test_descriptors() <= before);
    CHECK_CALL(host, "greet.hello", "[\"you\"]", "\"Hello, you\"");
    berth_host_free(host);
}

static const struct berth_test tests[] = {
    { "loads_fail_with_what_the_worker_did", loads_fail_with_what_the_worker_did },
    { "loads_fail_alike_without_threads", loads_fail_alike_without_threads },
    { "silence_at_loading_ends_at_the_deadline", silence_at_loading_ends_at_the_deadline },
    { "calls_fail_with_what_the_worker_did", calls_fail_with_what_the_worker_did },
    { "calls_fail_alike_without_threads", calls_fail_alike_without_threads },
    { "a_late_word_is_still_the_truth", a_late_word_is_still_the_truth },
    { "a_result_must_be_of_its_type", a_result_must_be_of_its_type },
    { "silence_in_a_call_ends_at_the_deadline", silence_in_a_call_ends_at_the_deadline },
    { "who_says_to_wait_for_room_has_nobody_else_refused",
      who_says_to_wait_for_room_has_nobody_else_refused },
    { "silence_without_a_deadline_ends_with_the_worker",
      silence_without_a_deadline_ends_with_the_worker },
    { "a_short_deadline_does_not_hide_how_it_ended", a_short_deadline_does_not_hide_how_it_ended },
    { "other_workers_go_on", other_workers_go_on },
    { "a_thousand_ends_leave_nothing", a_thousand_ends_leave_nothing },
};

int main(int argc, char **argv)
{
    return berth_suite_main("hostile", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
