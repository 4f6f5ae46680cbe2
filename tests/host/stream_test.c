/* SPDX-License-Identifier: MIT */
/*
 * Many replies to one call: who sends them waits for who takes them, wherever the two are; each
 * comes once and in order; and whoever waits goes on when nobody takes any more.
 */
#include "runtime/core/core.h"
#include "tests/support/hosting.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const int64_t ms = 1000000;

enum { WINDOW = 1024 };

static berth_host *host_with(const char *producer, const char *consumer)
{
    if (berth_test_valgrind() &&
        (strcmp(producer, "process") == 0 || (consumer && strcmp(consumer, "process") == 0)))
        berth_skip("valgrind cannot follow workers");
    berth_host *host = berth_test_host(NULL);
    LOAD(host, "stream", producer);
    if (consumer)
        LOAD(host, "later", producer);
    if (consumer)
        LOAD(host, "taker", consumer);
    return host;
}

static berth_pending start(berth_ctx *ctx, const char *function, const char *arguments,
                           int64_t timeout)
{
    const struct berth_call_options options = { .size = sizeof options, .timeout_ns = timeout };
    berth_pending pending = { 0 };
    int code = berth_call_start_json(ctx, function, arguments, &options, &pending);
    REQUIRE(code == BERTH_OK);
    return pending;
}

/* The next reply as a number; 0: there is none. */
static int64_t next(berth_ctx *ctx, berth_pending call)
{
    char *value = NULL;
    int64_t number = 0;
    if (berth_call_next_json(ctx, call, &value) == BERTH_OK && value)
        number = strtoll(value, NULL, 10);
    else if (berth_failed(ctx))
        berth_note("%s", berth_error_text(ctx));
    berth_free(value);
    return number;
}

static void check_answer(berth_ctx *ctx, berth_pending call, const char *expected)
{
    char *result = NULL;
    if (berth_call_take_json(ctx, call, &result) != BERTH_OK)
        berth_note("%s", berth_error_text(ctx));
    berth_clear(ctx);
    CHECK_STR(result ? result : "failed", expected);
    berth_free(result);
}

static void check_fails(berth_ctx *ctx, berth_pending call, int code, const char *part)
{
    CHECK_INT(berth_call_take_json(ctx, call, NULL), code);
    CHECK_CONTAINS(berth_error_text(ctx), part);
    berth_clear(ctx);
}

/*
 * Since so many have been taken it has sent all that it may, and as far as can be seen no more:
 * how many.
 */
static int64_t wait_until_it_waits(berth_host *host, int64_t taken)
{
    int64_t sent = -1;
    UNTIL(host, CALL_INT(host, "stream.sent", "[]") >= taken + (taken ? WINDOW / 2 : WINDOW));
    for (int calm = 0; calm < 20; calm++) {
        int64_t now = CALL_INT(host, "stream.sent", "[]");
        calm = now == sent ? calm : 0;
        sent = now;
        berth_test_pass_time(host);
    }
    return sent;
}

static void check_over(berth_host *host, const char *failure)
{
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 0);
    const char *why = CALL(host, "stream.failure", "[]");
    if (*failure)
        CHECK_CONTAINS(why, failure);
    else
        CHECK_STR(why, "\"\"");
}

static void all_come_in_order(const char *placement)
{
    const int64_t count = berth_test_instrumented() ? 20000 : 100000;
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call =
        start(ctx, "stream.count", berth_test_format("[%lld]", (long long)count), 0);
    int64_t taken = 0, ahead = 0;

    for (int64_t value; (value = next(ctx, call)); taken++) {
        if (value != taken + 1)
            break;
        if (taken % 1000 == 0) {
            int64_t sent = CALL_INT(host, "stream.sent", "[]");
            ahead = sent - taken > ahead ? sent - taken : ahead;
        }
    }
    CHECK_INT(taken, count);
    CHECK(ahead <= 2 * WINDOW); /* of the host's and, with a worker, of that's */
    check_answer(ctx, call, berth_test_format("%lld", (long long)count));
    check_over(host, "");
    berth_leave(ctx);
    berth_host_free(host);
}

static void who_sends_waits(const char *placement)
{
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(ctx, "stream.aside", "[5000]", 0); /* a thread of the module's */

    int64_t sent = wait_until_it_waits(host, 0);
    CHECK(sent <= 2 * WINDOW);
    for (int64_t i = 1; i <= 2000; i++)
        CHECK_INT(next(ctx, call), i);
    sent = wait_until_it_waits(host, 2000);
    CHECK(sent <= 2000 + 2 * WINDOW);
    for (int64_t i = 2001; i <= 5000; i++)
        CHECK_INT(next(ctx, call), i);
    CHECK_INT(next(ctx, call), 0);
    check_answer(ctx, call, "5000");
    check_over(host, "");
    berth_leave(ctx);
    berth_host_free(host);
}

/* Few are many bytes; and one that is larger than all that may lie there still comes. */
static void bytes_count(const char *placement)
{
    static const struct {
        int64_t count, size, most;
    } cases[] = { { 600, 10000, 2 * 110 }, { 30, 3000000, 2 } };
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t taken = 0;
        char *value = NULL;
        berth_pending call = start(
            ctx, "stream.texts",
            berth_test_format("[%lld, %lld]", (long long)cases[i].count, (long long)cases[i].size),
            0);
        UNTIL(host, CALL_INT(host, "stream.running", "[]") == 1 &&
                        CALL_INT(host, "stream.sent", "[]") > 0);
        while (berth_call_next_json(ctx, call, &value) == BERTH_OK && value) {
            taken++;
            CHECK_INT(strtoll(value + 1, NULL, 10), taken);
            CHECK_INT(strlen(value), cases[i].size + 2);
            berth_free(value);
            CHECK(CALL_INT(host, "stream.sent", "[]") - taken <= cases[i].most);
        }
        CHECK_INT(taken, cases[i].count);
        check_answer(ctx, call, "\"\"");
        check_over(host, "");
    }
    berth_leave(ctx);
    berth_host_free(host);
}

static void modules_take_them(const char *producer, const char *consumer)
{
    const char *count = berth_test_instrumented() ? "10000" : "100000";
    berth_host *host = host_with(producer, consumer);

    CHECK_CALL(host, "taker.total", berth_test_format("[%s]", count), count);
    check_over(host, "");
    CHECK_CALL(host, "taker.begin", "[20000]", "null");
    int64_t sent = wait_until_it_waits(host, 0);
    CHECK(sent <= 4 * WINDOW);
    CHECK_CALL(host, "taker.take", "[10000]", "10000");
    sent = wait_until_it_waits(host, 10000);
    CHECK(sent <= 10000 + 4 * WINDOW);
    CHECK_CALL(host, "taker.take", "[20000]", "10000");
    CHECK_CALL(host, "taker.finish", "[]", "20000");
    check_over(host, "");
    CHECK_CALL(host, "taker.call_me", "[5000]", "null");
    UNTIL(host, CALL_INT(host, "taker.told", "[]") == 5000);
    berth_host_free(host);
}

/* By its name, through the module host. */
static void they_pass_through_others(const char *placement)
{
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(ctx, "host.call", "[\"stream.count\", [10000]]", 0);

    int64_t sent = wait_until_it_waits(host, 0);
    CHECK(sent <= 4 * WINDOW);
    for (int64_t i = 1; i <= 10000; i++)
        CHECK_INT(next(ctx, call), i);
    check_answer(ctx, call, "10000");
    check_over(host, "");
    call = start(ctx, "host.call", "[\"stream.count\", [1000000000000]]", 0);
    CHECK_INT(next(ctx, call), 1);
    berth_call_drop(ctx, call);
    check_over(host, "");
    call = start(ctx, "host.call", "[\"stream.count\", [1000000000000]]", 0);
    CHECK_INT(next(ctx, call), 1);
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_OK);
    check_over(host, "");
    for (int i = 0; i < 20; i++) { /* before host.call has begun, as a rule */
        call = start(ctx, "host.call", "[\"stream.count\", [1000000000000]]", 0);
        CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_OK);
    }
    check_over(host, "");
    berth_leave(ctx);
    berth_host_free(host);
}

/* Whoever takes the answer alone wants no more: callers need not know. */
static void the_answer_alone(const char *placement)
{
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);

    berth_pending call = start(ctx, "stream.count", "[1000000000000]", 0);
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_OK);
    check_over(host, "");
    call = start(ctx, "stream.count", "[1000000000000]", 0);
    wait_until_it_waits(host, 0);
    CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_OK);
    check_over(host, "");
    CHECK_CALL(host, "stream.count", "[1000000000000]", "0");
    berth_leave(ctx);
    berth_host_free(host);
}

/* Who waits for the answer is told that replies have to be taken first. */
static void waiting_for_the_answer(const char *placement)
{
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(ctx, "stream.count", "[5000]", 0);
    int64_t taken = 0;

    CHECK_INT(berth_call_any(ctx, &call, 1, INT64_MAX), 0);
    CHECK(berth_call_all(ctx, &call, 1, INT64_MAX));
    CHECK(berth_call_done(ctx, call));
    while (next(ctx, call) == taken + 1)
        taken++;
    CHECK_INT(taken, 5000);
    CHECK(berth_call_done(ctx, call));
    check_answer(ctx, call, "5000");
    check_over(host, "");
    berth_leave(ctx);
    berth_host_free(host);
}

static void it_ends_at_the_deadline(const char *placement)
{
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);

    berth_pending call = start(ctx, "stream.count", "[1000000000000]", 1000 * ms);
    CHECK_INT(next(ctx, call), 1);
    check_over(host, "");          /* nobody wants more */
    CHECK_INT(next(ctx, call), 2); /* what has come is still there */
    check_fails(ctx, call, BERTH_DEADLINE_EXCEEDED,
                "stream.count: not answered before the deadline");
    call = start(ctx, "stream.aside", "[1000000000000]", 0);
    wait_until_it_waits(host, 0);
    berth_call_limit(ctx, call, 10 * ms); /* given later: it is looked at by who waits */
    while (next(ctx, call))
        ;
    check_fails(ctx, call, BERTH_DEADLINE_EXCEEDED,
                "stream.aside: not answered before the deadline");
    check_over(host, "");
    berth_leave(ctx);
    berth_host_free(host);
}

static void it_ends_with_the_call(const char *placement)
{
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);

    berth_pending call = start(ctx, "stream.count", "[1000000000000]", 0);
    wait_until_it_waits(host, 0);
    berth_call_cancel(ctx, call);
    check_over(host, "");
    check_fails(ctx, call, BERTH_CANCELLED, "stream.count: its caller has cancelled it");
    call = start(ctx, "stream.aside", "[1000000000000]", 0);
    wait_until_it_waits(host, 0);
    berth_call_drop(ctx, call);
    check_over(host, "");
    berth_leave(ctx);
    berth_host_free(host);
}

static pid_t pid_of(berth_host *host, const char *module)
{
    pid_t pid = (pid_t)strtol(berth_test_module(host, module, "pid"), NULL, 10);
    REQUIRE(pid > 0);
    return pid;
}

static void who_takes_them_dies(const char *placement)
{
    berth_host *host = host_with(placement, "process");

    CHECK_CALL(host, "taker.begin", "[1000000000000]", "null");
    wait_until_it_waits(host, 0);
    kill(pid_of(host, "taker"), SIGKILL);
    check_over(host, "");
    berth_host_free(host);
}

static void who_sends_them_dies(void)
{
    berth_host *host = host_with("process", NULL);
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(ctx, "stream.count", "[1000000000000]", 0);
    int64_t taken = 0;

    wait_until_it_waits(host, 0);
    kill(pid_of(host, "stream"), SIGKILL);
    UNTIL(host, berth_call_done(ctx, call));
    while (next(ctx, call) == taken + 1)
        taken++;
    CHECK(taken >= 0);
    check_fails(ctx, call, BERTH_UNAVAILABLE, "stream.count: its worker");
    berth_leave(ctx);
    berth_host_free(host);
}

/* The module of whoever takes them goes, and its calls with it. */
static void who_takes_them_is_unloaded(const char *placement)
{
    struct berth_error error;
    berth_host *host = host_with(placement, placement);

    CHECK_CALL(host, "taker.begin", "[1000000000000]", "null");
    wait_until_it_waits(host, 0);
    CHECK_CODE(berth_host_unload(host, "taker", &error), BERTH_OK, &error);
    /* nobody takes them, or its call was cancelled: which of both it hears first is open */
    UNTIL(host, CALL_INT(host, "stream.running", "[]") == 0);
    berth_host_free(host);
}

struct reload {
    berth_host *host;
    int code;
    struct berth_error error;
    bool over;
};

static void *reload(void *argument)
{
    struct reload *mine = argument;
    mine->code = berth_host_reload(mine->host, "stream", NULL, NULL, &mine->error);
    __atomic_store_n(&mine->over, true, __ATOMIC_RELEASE);
    return NULL;
}

/* As a call that is inside: it is waited for, and all of it comes. */
static void reload_who_sends_them(const char *placement, const char *function)
{
    berth_host *host = host_with(placement, NULL);
    berth_ctx *ctx = berth_host_enter(host);
    struct reload mine = { .host = host };
    pthread_t thread;
    int64_t taken = 0;

    berth_pending call = start(ctx, function, "[20000]", 0);
    wait_until_it_waits(host, 0);
    REQUIRE(pthread_create(&thread, NULL, reload, &mine) == 0);
    while (next(ctx, call) == taken + 1)
        taken++;
    CHECK_INT(taken, 20000);
    check_answer(ctx, call, "20000");
    pthread_join(thread, NULL);
    CHECK_CODE(mine.code, BERTH_OK, &mine.error);
    CHECK_STR(berth_test_module(host, "stream", "generation"), "2");
    berth_leave(ctx);
    berth_host_free(host);
}

static void who_sends_them_is_reloaded(const char *placement)
{
    reload_who_sends_them(placement, "stream.count");
    reload_who_sends_them(placement, "stream.aside");
}

static void check_ring(const char *text, const char *taker)
{
    CHECK_CONTAINS(text, "it would close a ring of calls that wait for each other: ");
    CHECK_CONTAINS(text, berth_test_format("later.count → %s (replies)", taker));
    CHECK_CONTAINS(text, "later.holds");
}

/* It is inside of its serial module, and who should take them waits for that. */
static void a_ring_is_found(const char *producer, const char *consumer)
{
    berth_host *host = host_with(producer, consumer);

    for (int i = 0; i < 4; i++) {
        const char *text = CALL(host, "taker.tangle", i % 2 ? "[true]" : "[false]");
        check_ring(text, "taker");
        CHECK_CONTAINS(text, "taker.tangle → later.holds");
        CHECK_CALL(host, "later.holds", "[\"x\"]", "false"); /* it is out of there */
    }
    berth_host_free(host);
}

static void tangle_turns(berth_host *host, const char *taker, bool itself)
{
    int64_t before = CALL_INT(host, berth_test_format("%s.tangles", taker), "[]");
    CHECK_CALL(host, berth_test_format("%s.tangle_turns", taker), itself ? "[true]" : "[false]",
               "null");
    UNTIL(host, CALL_INT(host, berth_test_format("%s.tangles", taker), "[]") > before);
    check_ring(CALL(host, berth_test_format("%s.tangled", taker), "[]"), taker);
}

/* A function takes them, which waits for that; or it cannot run before that has come to an end. */
static void a_ring_by_a_turn_is_found(const char *producer, const char *consumer)
{
    berth_host *host = host_with(producer, consumer);

    LOAD(host, "taker_serial", consumer);
    tangle_turns(host, "taker", true);
    tangle_turns(host, "taker_serial", true);
    tangle_turns(host, "taker_serial", false);
    CHECK_CALL(host, "later.holds", "[\"x\"]", "false");
    berth_host_free(host);
}

/*
 * Who is to take some goes where their sender waits inside. The sender has one left then: with half
 * a window of them taken there is room for that, at once or as soon as it hears of it.
 */
static void what_was_taken_makes_room(const char *producer, const char *consumer)
{
    const int workers = !strcmp(producer, "process") + !strcmp(consumer, "process");
    const int64_t all = (1 + workers) * WINDOW + 1, half = WINDOW / 2;
    berth_host *host = host_with(producer, consumer);

    for (int i = 0; i < 10; i++)
        CHECK_CALL(host, "taker.untangled",
                   berth_test_format("[%lld, %lld]", (long long)all, (long long)half), "\"\"");
    check_ring(CALL(host, "taker.untangled",
                    berth_test_format("[%lld, %lld]", (long long)all, (long long)half - 1)),
               "taker");
    berth_host_free(host);
}

static void *share(void *host)
{
    CHECK_CALL(host, "taker.share", "[20000]", "true");
    return NULL;
}

/* Who has started it waits for its sender; but it is another one who takes them. */
static void another_one_takes_them(const char *producer, const char *consumer)
{
    berth_host *host = host_with(producer, consumer);
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, share, host) == 0);
    CHECK_CALL(host, "taker.take_slowly", "[]", "20000");
    pthread_join(thread, NULL);
    berth_host_free(host);
}

static void *visit(void *host)
{
    CHECK_CALL(host, "taker.visit", "[]", "true");
    return NULL;
}

/* Who has started it is done; somebody else waits for the sender, perhaps on the same thread. */
static void they_are_taken_later(const char *producer, const char *consumer)
{
    berth_host *host = host_with(producer, consumer);
    pthread_t threads[4];

    CHECK_CALL(host, "taker.begin_shared", "[20000]", "null");
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, visit, host) == 0);
    for (int i = 0; i < 50; i++)
        berth_test_pass_time(host);
    CHECK_CALL(host, "taker.take_shared", "[]", "20000");
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    berth_host_free(host);
}

/* Who takes them is the application, by itself or by way of the module host. */
static void tangle_application(berth_host *host)
{
    static const char *const calls[][2] = { { "later.count", "[100000]" },
                                            { "host.call", "[\"later.count\", [100000]]" } };
    berth_ctx *ctx = berth_host_enter(host);

    for (int i = 0; i < 2; i++) {
        struct berth_error error = { 0 };
        berth_pending call = start(ctx, calls[i][0], calls[i][1], 0);
        CHECK_INT(next(ctx, call), 1); /* it is inside by now */
        int code = berth_test_try(host, "later.holds", "[\"x\"]", 0, NULL, &error);
        while (next(ctx, call))
            ;
        bool ended = code != BERTH_OK; /* else it is the stream that has failed */
        CHECK_INT(berth_call_take_json(ctx, call, NULL), ended ? BERTH_OK : BERTH_ABORTED);
        CHECK_INT(ended ? code : BERTH_ABORTED, BERTH_ABORTED);
        check_ring(ended ? error.text : berth_error_text(ctx), "the application");
        berth_clear(ctx);
    }
    berth_leave(ctx);
}

static void an_application_in_a_ring(const char *placement)
{
    berth_host *host = host_with(placement, "inline");
    tangle_application(host);
    berth_host_free(host);
}

/* Each reply is sent under a call of who should take them. */
static void who_takes_them_sends_them(const char *placement)
{
    berth_host *host = host_with(placement, "inline");
    berth_ctx *ctx = berth_host_enter(host);
    berth_pending call = start(ctx, "later.hold", "[\"k\"]", 0);
    const char *more = "[\"k\", \"v\"]";
    struct berth_error error = { 0 };
    int sent = 0, taken = 0;
    char *value = NULL;

    UNTIL(host, strcmp(CALL(host, "later.holds", "[\"k\"]"), "true") == 0);
    while (berth_test_try(host, "later.more", more, 0, NULL, &error) == BERTH_OK && sent < 10000)
        sent++;
    CHECK_CODE(error.code, BERTH_ABORTED, &error);
    CHECK_CONTAINS(error.text, "it would wait for itself: ");
    CHECK_CONTAINS(error.text, "later.more → the application (replies)");
    CHECK(sent == WINDOW || sent == 2 * WINDOW);
    CHECK_CALL(host, "later.release", "[\"k\", \"\"]", "null");
    for (; berth_call_next_json(ctx, call, &value) == BERTH_OK && value; taken++)
        berth_free(value);
    CHECK_INT(taken, sent);
    check_answer(ctx, call, "\"\"");
    berth_leave(ctx);
    berth_host_free(host);
}

/* There the callee cannot wait, but its worker can. */
static void without_threads(void)
{
    struct berth_host_options options = berth_test_host_options();
    options.threads = 0;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "stream", NULL);
    berth_ctx *ctx = berth_host_enter(host);

    berth_pending call = start(ctx, "stream.count", "[1000]", 0);
    for (int64_t i = 1; i <= 1000; i++)
        CHECK_INT(next(ctx, call), i);
    check_answer(ctx, call, "1000");
    call = start(ctx, "stream.count", "[5000]", 0);
    check_answer(ctx, call, "0"); /* nobody takes any */
    call = start(ctx, "stream.count", "[5000]", 0);
    CHECK_INT(next(ctx, call), 1);
    check_fails(ctx, call, BERTH_RESOURCE_EXHAUSTED,
                "stream.count: the application has not taken its replies");
    berth_leave(ctx);
    berth_host_free(host);
}

static void without_threads_of_a_worker(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    struct berth_host_options options = berth_test_host_options();
    options.threads = 0;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "stream", "process");
    berth_ctx *ctx = berth_host_enter(host);

    berth_pending call = start(ctx, "stream.count", "[5000]", 0);
    for (int64_t i = 1; i <= 5000; i++)
        CHECK_INT(next(ctx, call), i);
    check_answer(ctx, call, "5000");
    berth_leave(ctx);
    LOAD(host, "later", "process");
    tangle_application(host);
    berth_host_free(host);
}

/* With both at every place. */
#define TEST_ALL(name)                  \
    static void name##_here(void)       \
    {                                   \
        name("inline", "inline");       \
    }                                   \
    static void name##_there(void)      \
    {                                   \
        name("inline", "process");      \
    }                                   \
    static void name##_from_there(void) \
    {                                   \
        name("process", "inline");      \
    }                                   \
    static void name##_away(void)       \
    {                                   \
        name("process", "process");     \
    }
#define TEST_ROWS(title, name)                                                        \
    { title ", inline", name##_here }, { title ", taken in a worker", name##_there }, \
        { title ", sent by a worker", name##_from_there },                            \
    {                                                                                 \
        title ", by a worker to another one", name##_away                             \
    }

TEST_ALL(modules_take_them)
TEST_ALL(a_ring_is_found)
TEST_ALL(a_ring_by_a_turn_is_found)
TEST_ALL(what_was_taken_makes_room)
TEST_ALL(another_one_takes_them)
TEST_ALL(they_are_taken_later)
BERTH_TEST_BOTH(an_application_in_a_ring)
BERTH_TEST_BOTH(who_takes_them_sends_them)
BERTH_TEST_BOTH(all_come_in_order)
BERTH_TEST_BOTH(who_sends_waits)
BERTH_TEST_BOTH(bytes_count)
BERTH_TEST_BOTH(they_pass_through_others)
BERTH_TEST_BOTH(the_answer_alone)
BERTH_TEST_BOTH(waiting_for_the_answer)
BERTH_TEST_BOTH(it_ends_at_the_deadline)
BERTH_TEST_BOTH(it_ends_with_the_call)
BERTH_TEST_BOTH(who_takes_them_dies)
BERTH_TEST_BOTH(who_takes_them_is_unloaded)
BERTH_TEST_BOTH(who_sends_them_is_reloaded)

static const struct berth_test tests[] = {
    BERTH_TEST_ROWS("all come in order", all_come_in_order),
    BERTH_TEST_ROWS("who sends waits", who_sends_waits),
    BERTH_TEST_ROWS("bytes count", bytes_count),
    TEST_ROWS("modules take them", modules_take_them),
    BERTH_TEST_ROWS("they pass through others", they_pass_through_others),
    BERTH_TEST_ROWS("the answer alone", the_answer_alone),
    BERTH_TEST_ROWS("waiting for the answer", waiting_for_the_answer),
    BERTH_TEST_ROWS("it ends at the deadline", it_ends_at_the_deadline),
    BERTH_TEST_ROWS("it ends with the call", it_ends_with_the_call),
    BERTH_TEST_ROWS("who takes them dies", who_takes_them_dies),
    { "who sends them dies", who_sends_them_dies },
    BERTH_TEST_ROWS("who takes them is unloaded", who_takes_them_is_unloaded),
    BERTH_TEST_ROWS("who sends them is reloaded", who_sends_them_is_reloaded),
    TEST_ROWS("a ring is found", a_ring_is_found),
    TEST_ROWS("a ring by a turn is found", a_ring_by_a_turn_is_found),
    TEST_ROWS("what was taken makes room", what_was_taken_makes_room),
    TEST_ROWS("another one takes them", another_one_takes_them),
    TEST_ROWS("they are taken later", they_are_taken_later),
    BERTH_TEST_ROWS("an application in a ring", an_application_in_a_ring),
    BERTH_TEST_ROWS("who takes them sends them", who_takes_them_sends_them),
    { "without threads", without_threads },
    { "without threads, of a worker", without_threads_of_a_worker },
};

int main(int argc, char **argv)
{
    return berth_suite_main("stream", tests, sizeof tests / sizeof *tests, argc, argv);
}
