/* SPDX-License-Identifier: MIT */
/* Cancelling a call ends whatever it waits for: at once, though nothing else happens. */
#include "tests/support/hosting.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static berth_host *host_of(const char *sleeper, const char *hurry, size_t messages)
{
    struct berth_host_options options = berth_test_host_options();
    if (berth_test_valgrind() && (strcmp(sleeper, "process") == 0 || strcmp(hurry, "process") == 0))
        berth_skip("valgrind cannot follow workers");
    options.mailbox_messages = messages;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "sleeper", sleeper);
    LOAD(host, "hurry", hurry);
    return host;
}

static berth_host *host_with(const char *sleeper, const char *hurry)
{
    return host_of(sleeper, hurry, 1);
}

/* A call of hurry's that waits, or is about to. */
static berth_pending start(berth_host *host, berth_ctx *ctx, const char *function,
                           const char *arguments)
{
    berth_pending call = { 0 };
    int64_t before = CALL_INT(host, "hurry.begun", "[]");
    CHECK_INT(berth_call_start_json(ctx, function, arguments, NULL, &call), BERTH_OK);
    UNTIL(host, CALL_INT(host, "hurry.begun", "[]") > before);
    return call;
}

/* It is answered, and its function goes on, too. */
static void check_cancelled(berth_host *host, berth_ctx *ctx, berth_pending call)
{
    berth_call_cancel(ctx, call);
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_CANCELLED);
    berth_clear(ctx);
    UNTIL(host, CALL_INT(host, "hurry.last", "[]") == BERTH_CANCELLED);
}

/* The callee looks at nothing, and stays inside. */
static void a_call_to_a_worker(const char *hurry)
{
    berth_host *host = host_with("process", hurry);
    berth_ctx *ctx = berth_host_enter(host);
    const char *path = berth_test_hold_path();

    berth_pending call = start(host, ctx, "hurry.hold", berth_test_format("[\"%s\"]", path));
    UNTIL(host, berth_test_exists(path));
    check_cancelled(host, ctx, call);
    CHECK(berth_test_exists(path));
    unlink(path);
    CHECK_CALL(host, "sleeper.nap", "[1]", "1"); /* its late reply harms nobody */
    berth_leave(ctx);
    berth_host_free(host);
}

/* The worker is told, over a caller in another worker, too. */
static void a_worker_is_told(const char *hurry)
{
    berth_host *host = host_with("process", hurry);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(host, ctx, "hurry.wait", "[4000000]");

    berth_test_pause(10); /* it is there now, or comes in vain */
    check_cancelled(host, ctx, call);
    CHECK_CALL(host, "sleeper.nap", "[1]", "1"); /* once the other has left */
    berth_leave(ctx);
    berth_host_free(host);
}

static void a_serial_module(const char *hurry)
{
    berth_host *host = host_with("inline", hurry);
    berth_ctx *ctx = berth_host_enter(host);
    struct berth_test_held held;

    berth_test_hold(&held, host, "sleeper.hold");
    check_cancelled(host, ctx, start(host, ctx, "hurry.enter", "[]"));
    berth_test_release(&held);
    berth_test_join(&held);
    CHECK_INT(held.code, BERTH_OK);
    CHECK_CALL(host, "hurry.left", "[]", "9223372036854775807");
    berth_leave(ctx);
    berth_host_free(host);
}

static unsigned heard;

static void stay(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx, (void)message;
    while (!__atomic_load_n((bool *)user, __ATOMIC_ACQUIRE))
        berth_test_pause(1);
    __atomic_add_fetch(&heard, 1, __ATOMIC_RELEASE);
}

static void a_full_mailbox(const char *hurry)
{
    berth_host *host = host_with("inline", hurry);
    const struct berth_subscribe_options options = { .size = sizeof options,
                                                     .full = BERTH_FULL_BLOCK };
    berth_ctx *ctx = berth_host_enter(host);
    bool free = false;
    uint64_t id;

    CHECK_INT(berth_host_subscribe_with(host, "hurry.jobs", &options, stay, &free, &id, NULL),
              BERTH_OK);
    CHECK_CALL(host, "hurry.tell", "[1]", "null");
    check_cancelled(host, ctx, start(host, ctx, "hurry.tell", "[2]"));
    __atomic_store_n(&free, true, __ATOMIC_RELEASE);
    CHECK_CALL(host, "hurry.tell", "[3]", "null");
    berth_host_unsubscribe(host, id);
    berth_leave(ctx);
    berth_host_free(host);
}

static uint64_t expired(berth_host *host)
{
    const char *stats = CALL(host, "host.stats", "[]"), *found = strstr(stats, "\"expired\":");
    uint64_t sum = 0;
    for (; found; found = strstr(found + 1, "\"expired\":"))
        sum += strtoull(strchr(found, ':') + 1, NULL, 10);
    return sum;
}

/* What a call has published, and nobody has handled yet. */
static void messages_of_a_call(const char *hurry)
{
    berth_host *host = host_of("inline", hurry, 100);
    berth_ctx *ctx = berth_host_enter(host);
    const char *path = berth_test_hold_path();
    bool free = false;
    uint64_t id;

    heard = 0;
    CHECK_INT(berth_host_subscribe(host, "hurry.jobs", stay, &free, &id, NULL), BERTH_OK);
    CHECK_CALL(host, "hurry.tell", "[1]", "null"); /* stays there */
    berth_pending call =
        start(host, ctx, "hurry.tell_and_hold", berth_test_format("[2, \"%s\"]", path));
    UNTIL(host, berth_test_exists(path));
    berth_call_cancel(ctx, call); /* its message is not wanted any more */
    berth_call_drop(ctx, call);
    unlink(path);
    call = start(host, ctx, "hurry.tell", "[3]");
    CHECK_INT(berth_call_any(ctx, &call, 1, INT64_MAX), 0);
    berth_call_drop(ctx, call); /* this one's is: it had been answered */
    __atomic_store_n(&free, true, __ATOMIC_RELEASE);
    UNTIL(host, __atomic_load_n(&heard, __ATOMIC_ACQUIRE) == 2);
    CHECK_INT(expired(host), 1);
    berth_host_unsubscribe(host, id);
    berth_leave(ctx);
    berth_host_free(host);
    CHECK_INT(heard, 2);
}

struct nest {
    berth_host *host;
    berth_pending call;
};

static void *cancel_nest(void *argument)
{
    const struct nest *nest = argument;
    berth_ctx *ctx = berth_host_enter(nest->host);
    berth_call_cancel(ctx, nest->call);
    CHECK_INT(berth_call_take_json(ctx, nest->call, NULL), BERTH_CANCELLED);
    berth_clear(ctx);
    berth_leave(ctx);
    return NULL;
}

/* Each call has started the next one: a thread with little stack cancels all of them. */
static void calls_that_are_nested_deeply(void)
{
    enum { DEPTH = 20000, STACK = 512 * 1024 };
    struct nest nest = { .host = berth_test_host(NULL) };
    pthread_attr_t attributes;
    pthread_t thread;

    LOAD(nest.host, "relay", "inline");
    berth_ctx *ctx = berth_host_enter(nest.host);
    const char *arguments = berth_test_format("[%d]", DEPTH);
    CHECK_INT(berth_call_start_json(ctx, "relay.nest", arguments, NULL, &nest.call), BERTH_OK);
    UNTIL(nest.host, CALL_INT(nest.host, "relay.nested", "[]") == DEPTH + 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    REQUIRE(pthread_create(&thread, &attributes, cancel_nest, &nest) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    CHECK_CALL(nest.host, "relay.wanted", "[]", "0");
    berth_leave(ctx);
    berth_host_free(nest.host);
}

static void *take_nest(void *argument)
{
    const struct nest *nest = argument;
    berth_ctx *ctx = berth_host_enter(nest->host);
    CHECK_INT(berth_call_take_json(ctx, nest->call, NULL), BERTH_CANCELLED);
    berth_clear(ctx);
    berth_leave(ctx);
    return NULL;
}

/* Who waits has the answer, and leaves, while those that were started under it are cancelled. */
static void calls_that_are_waited_for(void)
{
    enum { ROUNDS = 300, DEPTH = 3 };
    struct nest nest = { .host = berth_test_host(NULL) };
    pthread_t thread;

    LOAD(nest.host, "relay", "inline");
    berth_ctx *ctx = berth_host_enter(nest.host);
    const char *arguments = berth_test_format("[%d]", DEPTH);
    for (long i = 1; i <= ROUNDS; i++) {
        CHECK_INT(berth_call_start_json(ctx, "relay.nest", arguments, NULL, &nest.call), BERTH_OK);
        REQUIRE(pthread_create(&thread, NULL, take_nest, &nest) == 0);
        UNTIL(nest.host, CALL_INT(nest.host, "relay.nested", "[]") == i * (DEPTH + 1));
        berth_call_cancel(ctx, nest.call);
        CHECK_CALL(nest.host, "relay.wanted", "[]", "0");
        pthread_join(thread, NULL);
    }
    berth_leave(ctx);
    berth_host_free(nest.host);
}

BERTH_TEST_BOTH(a_call_to_a_worker)
BERTH_TEST_BOTH(a_worker_is_told)
BERTH_TEST_BOTH(a_serial_module)
BERTH_TEST_BOTH(a_full_mailbox)
BERTH_TEST_BOTH(messages_of_a_call)

static const struct berth_test tests[] = {
    BERTH_TEST_ROWS("a call to a worker", a_call_to_a_worker),
    BERTH_TEST_ROWS("a worker is told", a_worker_is_told),
    BERTH_TEST_ROWS("a serial module", a_serial_module),
    BERTH_TEST_ROWS("a full mailbox", a_full_mailbox),
    BERTH_TEST_ROWS("messages of a call", messages_of_a_call),
    { "calls that are nested deeply", calls_that_are_nested_deeply },
    { "calls that are waited for", calls_that_are_waited_for },
};

int main(int argc, char **argv)
{
    return berth_suite_main("cancel", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
