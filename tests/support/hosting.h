/* SPDX-License-Identifier: MIT */
/*
 * Hosts for tests of the public interface: short ways to load, call and wait, whose strings last as
 * long as the test (tests/support/scratch.h). Everything here checks, and goes on.
 */
#ifndef BERTH_TESTS_SUPPORT_HOSTING_H
#define BERTH_TESTS_SUPPORT_HOSTING_H

#include <pthread.h>

#include <berth/host.h>

#include "tests/support/suite.h"

/*
 * A host with the build tree's worker, whose log is kept. NULL: two threads, patience with what
 * should stop, the other defaults.
 * Ends the test when there is none to be had.
 */
berth_host *berth_test_host(const struct berth_host_options *options);
/* Those defaults, to be changed. */
struct berth_host_options berth_test_host_options(void);
/* All that this test's hosts and their modules have logged, "level module text\n" each. */
const char *berth_test_log(void);

/* A fixture under its own name. "placement options" of NULL are the defaults. */
int berth_test_load(berth_host *host, const char *fixture, const char *placement,
                    const char *options, struct berth_error *error);
/* The same, named as the test likes, and it must work: else the test ends. */
void berth_test_load_as(berth_host *host, const char *fixture, const char *name,
                        const char *placement);
#define LOAD(host, fixture, placement) \
    REQUIRE(berth_test_loaded(host, fixture, placement, NULL, BERTH_TEST_HERE))
bool berth_test_loaded(berth_host *host, const char *fixture, const char *placement,
                       const char *options, struct berth_test_place place);

/* Calls a function with JSON arguments. The result as JSON; "failed", and a failed check. */
#define CALL(host, function, arguments) berth_test_call(host, function, arguments, BERTH_TEST_HERE)
const char *berth_test_call(berth_host *host, const char *function, const char *arguments,
                            struct berth_test_place place);
#define CHECK_CALL(host, function, arguments, result) \
    CHECK_STR(CALL(host, function, arguments), result)
/* The result as a number; -1 when it fails. */
#define CALL_INT(host, function, arguments) strtoll(CALL(host, function, arguments), NULL, 10)

/* Calls what must fail: with this code, and words that contain part. */
#define CHECK_FAILS(host, function, arguments, code, part)                               \
    do {                                                                                 \
        struct berth_error berth_e;                                                      \
        CHECK_CODE(berth_test_try(host, function, arguments, 0, NULL, &berth_e), (code), \
                   &berth_e);                                                            \
        CHECK_CONTAINS(berth_e.text, part);                                              \
    } while (0)
/* A call with a timeout (0: none) that may do either. */
int berth_test_try(berth_host *host, const char *function, const char *arguments,
                   int64_t timeout_ns, const char **ret_result, struct berth_error *error);

/*
 * A call of sleeper's (or sleeper_parallel's) hold() on a thread of its own. It is inside when
 * berth_test_hold returns, and stays until berth_test_release; berth_test_join waits for its end,
 * after which code and error say how it went.
 */
struct berth_test_held {
    berth_host *host;
    const char *function, *path;
    pthread_t thread;
    int code;
    struct berth_error error;
};
void berth_test_hold(struct berth_test_held *held, berth_host *host, const char *function);
void berth_test_release(struct berth_test_held *held);
void berth_test_join(struct berth_test_held *held);
/* The file that tells that such a call is inside; a new name. Its removal releases the call. */
const char *berth_test_hold_path(void);
bool berth_test_exists(const char *path);

/* EVENTUALLY of suite.h, while what the host has to do is done. */
#define UNTIL(host, condition)                                               \
    do {                                                                     \
        int64_t berth_end = berth_test_now() + berth_test_patience();        \
        bool berth_met; /* looked at once more, it may not be so any more */ \
        while (!(berth_met = (condition)) && berth_test_now() < berth_end)   \
            berth_test_pass_time(host);                                      \
        if (!berth_met)                                                      \
            CHECK(condition);                                                \
    } while (0)
void berth_test_pass_time(berth_host *host);

/* The value of a key of a module in berth_host_list: "running", "2"; "" without it. */
const char *berth_test_module(berth_host *host, const char *module, const char *key);
/* Whether it runs in another worker than the one with this pid. Once it does, it goes on to. */
bool berth_test_runs_again(berth_host *host, const char *module, const char *pid);

/* A test of `function`, which takes the placement of what it is about, for each of the two. */
#define BERTH_TEST_BOTH(function)        \
    static void inline_##function(void)  \
    {                                    \
        function("inline");              \
    }                                    \
    static void process_##function(void) \
    {                                    \
        function("process");             \
    }
/* Their rows. */
#define BERTH_TEST_ROWS(text, function)         \
    { text, inline_##function },                \
    {                                           \
        text ", in workers", process_##function \
    }

#endif
