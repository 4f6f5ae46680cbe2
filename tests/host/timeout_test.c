/* SPDX-License-Identifier: MIT */
/* How long calls may take: timeouts of functions, of modules and of the host. */
#include "tests/support/hosting.h"

#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
/* Far apart, so that what holds is known by what is left of it. */
#define SHORT (INT64_C(3600) * 1000 * MS)
#define LONG  (INT64_C(24) * SHORT)

static berth_host *host_for(const char *placement)
{
    if (berth_test_valgrind() && strcmp(placement, "process") == 0)
        berth_skip("valgrind cannot follow workers");
    return berth_test_host(NULL);
}

static berth_host *host_with(const char *placement)
{
    berth_host *host = host_for(placement);
    LOAD(host, "sleeper", placement);
    LOAD(host, "hurry", placement);
    return host;
}

static void set(berth_host *host, const char *of, int64_t ns)
{
    struct berth_error error;
    CHECK_CODE(berth_host_set_call_timeout(host, of, ns, &error), BERTH_OK, &error);
}

/* Which of the timeouts a call of the function has. */
static const char *has(berth_host *host, const char *function)
{
    int64_t left = CALL_INT(host, function, "[]");
    return left <= 0 ? "nothing" : left <= SHORT ? "short" : left <= LONG ? "long" : "none";
}

static void the_nearest_holds(const char *placement)
{
    berth_host *host = host_with(placement);

    CHECK_STR(has(host, "sleeper.left"), "none");
    set(host, "", LONG);
    CHECK_STR(has(host, "sleeper.left"), "long");
    set(host, "sleeper", SHORT);
    CHECK_STR(has(host, "sleeper.left"), "short");
    set(host, "sleeper.left", LONG);
    CHECK_STR(has(host, "sleeper.left"), "long");
    set(host, "sleeper.left", INT64_MAX);
    CHECK_STR(has(host, "sleeper.left"), "none");
    set(host, "sleeper.left", 0);
    CHECK_STR(has(host, "sleeper.left"), "short");
    set(host, "sleeper", 0);
    CHECK_STR(has(host, "sleeper.left"), "long");
    set(host, "", 0);
    CHECK_STR(has(host, "sleeper.left"), "none");
    berth_host_free(host);
}

static void bound_calls_have_it(const char *placement)
{
    berth_host *host = host_with(placement);

    CHECK_STR(has(host, "hurry.left"), "none");
    set(host, "sleeper.left", SHORT);
    CHECK_STR(has(host, "hurry.left"), "short");
    CHECK_STR(has(host, "hurry.left_after"), "none"); /* the call's, not its caller's */
    set(host, "sleeper", LONG);
    CHECK_STR(has(host, "hurry.left"), "short");
    set(host, "sleeper.left", 0);
    CHECK_STR(has(host, "hurry.left"), "long");
    set(host, "sleeper", 0);
    CHECK_STR(has(host, "hurry.left"), "none");
    berth_host_free(host);
}

static void the_earlier_one_holds(const char *placement)
{
    berth_host *host = host_with(placement);

    set(host, "hurry.left", SHORT);
    set(host, "sleeper.left", LONG);
    CHECK_STR(has(host, "hurry.left"), "short"); /* of the caller */
    set(host, "hurry.left", LONG);
    set(host, "sleeper.left", SHORT);
    CHECK_STR(has(host, "hurry.left"), "short"); /* of the callee */
    set(host, "", 1);
    CHECK_STR(has(host, "hurry.left"), "short"); /* the host's is for those that have none */
    berth_host_free(host);
}

static void it_stays(const char *placement)
{
    struct berth_reload_options how = { .size = sizeof how, .placement = placement };
    struct berth_error error;
    berth_host *host = host_for(placement);

    set(host, "sleeper", LONG); /* before there is any */
    set(host, "sleeper.left", SHORT);
    LOAD(host, "sleeper", NULL);
    LOAD(host, "hurry", NULL);
    CHECK_STR(has(host, "hurry.left"), "short");
    CHECK_CODE(berth_host_reload_with(host, "sleeper", &how, NULL, &error), BERTH_OK, &error);
    CHECK_STR(has(host, "hurry.left"), "short");
    CHECK_STR(berth_test_module(host, "sleeper", "call_timeout_ns"), "86400000000000");
    berth_host_free(host);
}

static void who_takes_longer_fails(const char *placement)
{
    berth_host *host = host_with(placement);

    set(host, "sleeper.nap", 20 * MS);
    CHECK_FAILS(host, "sleeper.nap", "[50]", BERTH_DEADLINE_EXCEEDED, "sleeper.nap");
    CHECK_FAILS(host, "hurry.nap", "[50]", BERTH_DEADLINE_EXCEEDED, "sleeper.nap");
    set(host, "sleeper.nap", 0);
    set(host, "sleeper.wait", 20 * MS);
    CHECK_FAILS(host, "hurry.wait", "[100000]", BERTH_DEADLINE_EXCEEDED, "sleeper.wait");
    berth_host_free(host);
}

static void calls_that_are_started(const char *placement)
{
    berth_host *host = host_with(placement);
    const struct berth_call_options options = { .size = sizeof options, .timeout_ns = LONG };
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call;
    char *left = NULL;

    set(host, "sleeper", SHORT);
    CHECK_INT(berth_call_start_json(ctx, "sleeper.left", "[]", &options, &call), BERTH_OK);
    CHECK_INT(berth_call_take_json(ctx, call, &left), BERTH_OK);
    CHECK(left && strtoll(left, NULL, 10) <= SHORT);
    free(left);
    set(host, "sleeper", 0); /* and the host's is not for one that has a deadline */
    set(host, "", SHORT);
    CHECK_INT(berth_call_start_json(ctx, "sleeper.left", "[]", &options, &call), BERTH_OK);
    CHECK_INT(berth_call_take_json(ctx, call, &left), BERTH_OK);
    CHECK(left && strtoll(left, NULL, 10) > SHORT);
    free(left);
    set(host, "", 0);
    set(host, "sleeper.nap", 20 * MS);
    CHECK_INT(berth_call_start_json(ctx, "sleeper.nap", "[100]", NULL, &call), BERTH_OK);
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_DEADLINE_EXCEEDED);
    berth_clear(ctx);
    berth_leave(ctx);
    berth_host_free(host);
}

static void what_may_be_set(void)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_error error;
    char *list = NULL;

    LOAD(host, "sleeper", NULL);
    CHECK_CODE(berth_host_set_call_timeout(host, "Sleeper", 1, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_CODE(berth_host_set_call_timeout(host, "a.b.c", 1, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_CONTAINS(error.text, "\"a.b.c\" has no calls");
    CHECK_CALL(host, "host.call_timeout", "[\"sleeper.nap\"]", "0");
    CHECK_CALL(host, "host.call_timeout", "[\"\", 5000]", "5000");
    CHECK_CALL(host, "host.call_timeout", "[\"sleeper.nap\"]", "5000");
    CHECK_CALL(host, "host.call_timeout", "[\"sleeper\", 3000]", "3000");
    CHECK_CALL(host, "host.call_timeout", "[\"sleeper.nap\"]", "3000");
    CHECK_CALL(host, "host.call_timeout", "[\"sleeper.nap\", 200]", "200");
    CHECK_CALL(host, "host.call_timeout", "[\"sleeper\"]", "3000");
    CHECK_FAILS(host, "host.call_timeout", "[\"sleeper\", -1]", BERTH_INVALID_ARGUMENT, "no time");
    CHECK_FAILS(host, "host.call_timeout", "[\"no name\"]", BERTH_INVALID_ARGUMENT, "has no calls");
    CHECK_INT(berth_host_list(host, &list, &error), BERTH_OK);
    CHECK_CONTAINS(list, "\"call_timeout_ns\":3000000000,\"call_timeouts\":{\"nap\":200000000}");
    free(list);
    berth_host_free(host);
}

BERTH_TEST_BOTH(the_nearest_holds)
BERTH_TEST_BOTH(bound_calls_have_it)
BERTH_TEST_BOTH(the_earlier_one_holds)
BERTH_TEST_BOTH(it_stays)
BERTH_TEST_BOTH(who_takes_longer_fails)
BERTH_TEST_BOTH(calls_that_are_started)

static const struct berth_test tests[] = {
    BERTH_TEST_ROWS("the nearest one holds", the_nearest_holds),
    BERTH_TEST_ROWS("bound calls have it", bound_calls_have_it),
    BERTH_TEST_ROWS("the earlier one holds", the_earlier_one_holds),
    BERTH_TEST_ROWS("it stays when a module is replaced", it_stays),
    BERTH_TEST_ROWS("who takes longer fails", who_takes_longer_fails),
    BERTH_TEST_ROWS("calls that are started", calls_that_are_started),
    { "what may be set", what_may_be_set },
};

int main(int argc, char **argv)
{
    return berth_suite_main("timeout", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
