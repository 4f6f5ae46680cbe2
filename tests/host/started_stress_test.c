/* SPDX-License-Identifier: MIT */
/*
 * Calls that are started by several threads at once, by a seed: taken, waited for, cancelled,
 * dropped, given deadlines, kept and answered or never, while their modules are reloaded and their
 * workers die. Each is answered exactly once, with its own result or a failure that has a reason.
 */
#include "tests/support/hosting.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3, ROUNDS = 150, AT_ONCE = 8 };

static struct {
    berth_host *host;
    unsigned going;                     /* threads; atomic */
    uint64_t answered, failed, replies; /* atomic */
} all;

struct starter {
    pthread_t thread;
    uint64_t seed;
    unsigned number;
};

static uint64_t draw(struct starter *starter, uint64_t limit)
{
    starter->seed ^= starter->seed << 13;
    starter->seed ^= starter->seed >> 7;
    starter->seed ^= starter->seed << 17;
    return (starter->seed >> 20) % limit;
}

struct call {
    berth_pending pending;
    int kind;
    long value;
    bool cancelled;
};
enum { DIVIDE, COUNT, HALF, HOLD, ASK, KINDS };

static bool start(struct starter *starter, berth_ctx *ctx, struct call *call)
{
    static const char *const functions[KINDS] = { "math.divide", "later.count", "later.half",
                                                  "later.hold", "ahead.divide" };
    struct berth_call_options options = { .size = sizeof options };
    char arguments[64];

    *call = (struct call){ .kind = (int)draw(starter, KINDS), .value = (long)draw(starter, 50) };
    if (call->kind == HOLD)
        snprintf(arguments, sizeof arguments, "[\"%u-%ld\"]", starter->number, call->value);
    else if (call->kind == DIVIDE || call->kind == ASK)
        snprintf(arguments, sizeof arguments, "[%ld, 2]", call->value);
    else
        snprintf(arguments, sizeof arguments, "[%ld]", call->value);
    if (call->kind == HOLD || draw(starter, 4) == 0)
        options.timeout_ns = 1000000 * (int64_t)(1 + draw(starter, 5));
    if (berth_call_start_json(ctx, functions[call->kind], arguments, &options, &call->pending) ==
        BERTH_OK)
        return true;
    berth_clear(ctx);
    return false;
}

/* Its own result, or a failure that may come. */
static void check_answer(berth_ctx *ctx, const struct call *call, int code, const char *result)
{
    double wanted = call->kind == COUNT ? (double)call->value : (double)call->value / 2;

    if (code == BERTH_OK) {
        CHECK(call->kind != HOLD);
        CHECK(result && strtod(result, NULL) == wanted);
        __atomic_add_fetch(&all.answered, 1, __ATOMIC_RELAXED);
        return;
    }
    bool expected = code == BERTH_DEADLINE_EXCEEDED || code == BERTH_UNAVAILABLE ||
                    code == BERTH_RESOURCE_EXHAUSTED || code == BERTH_FAILED_PRECONDITION ||
                    (code == BERTH_CANCELLED && (call->cancelled || call->kind == ASK));
    if (!expected)
        berth_note("%s", berth_error_text(ctx));
    CHECK(expected);
    __atomic_add_fetch(&all.failed, 1, __ATOMIC_RELAXED);
}

static void finish(struct starter *starter, berth_ctx *ctx, struct call *call)
{
    char *result = NULL, *value = NULL;
    long last = 0;
    int code = BERTH_OK;

    if (draw(starter, 8) == 0) {
        berth_call_cancel(ctx, call->pending);
        call->cancelled = true;
    }
    if (draw(starter, 16) == 0) {
        berth_call_drop(ctx, call->pending);
        CHECK_INT(berth_call_take_json(ctx, call->pending, NULL), BERTH_NOT_FOUND);
        berth_clear(ctx);
        return;
    }
    while (call->kind == COUNT && code == BERTH_OK &&
           (code = berth_call_next_json(ctx, call->pending, &value)) == BERTH_OK && value) {
        CHECK_INT(strtol(value, NULL, 10), ++last);
        __atomic_add_fetch(&all.replies, 1, __ATOMIC_RELAXED);
        free(value);
        value = NULL;
    }
    if (code == BERTH_OK)
        code = berth_call_take_json(ctx, call->pending, &result);
    check_answer(ctx, call, code, result);
    berth_clear(ctx);
    free(result);
}

static void *run(void *argument)
{
    struct starter *starter = argument;
    struct call calls[AT_ONCE];

    for (int round = 0; round < ROUNDS; round++) {
        berth_ctx *ctx = berth_host_enter(all.host);
        size_t count = 0, wanted = 1 + draw(starter, AT_ONCE);
        berth_pending pendings[AT_ONCE];
        for (size_t i = 0; i < wanted; i++)
            count += start(starter, ctx, &calls[count]);
        for (size_t i = 0; i < count; i++)
            pendings[i] = calls[i].pending;
        if (count && draw(starter, 2))
            CHECK(berth_call_any(ctx, pendings, count, INT64_MAX) >= 0);
        for (size_t i = 0; i < count; i++)
            finish(starter, ctx, &calls[i]);
        berth_leave(ctx);
    }
    __atomic_sub_fetch(&all.going, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* asker: the module that starts calls of the others'. */
static void stress(const char *asker, const char *placement)
{
    const struct berth_host_options options = berth_test_host_options();
    struct starter starters[THREADS];
    struct berth_reload_report report;
    struct berth_error error;

    memset(&all, 0, sizeof all);
    all.host = berth_test_host(&options);
    all.going = THREADS;
    LOAD(all.host, "math", placement);
    LOAD(all.host, "later", placement);
    LOAD(all.host, asker, placement);
    for (unsigned i = 0; i < THREADS; i++) {
        starters[i] = (struct starter){ .seed = berth_test_random() | 1, .number = i };
        REQUIRE(pthread_create(&starters[i].thread, NULL, run, &starters[i]) == 0);
    }
    while (__atomic_load_n(&all.going, __ATOMIC_ACQUIRE)) {
        static const char *const names[] = { "math", "later", "ahead" };
        const char *name = names[berth_test_random() % 3];
        int pid = atoi(berth_test_module(all.host, name, "pid"));
        report.size = sizeof report;
        if (pid > 0 && berth_test_random() % 8 == 0)
            kill(pid, SIGKILL);
        else if (berth_host_reload(all.host, name, NULL, &report, &error) != BERTH_OK)
            CHECK(error.code == BERTH_UNAVAILABLE || error.code == BERTH_FAILED_PRECONDITION ||
                  error.code == BERTH_DEADLINE_EXCEEDED);
        else /* nothing that is inside waits for a restart that waits for this reload */
            CHECK(report.total_ns < options.stop_timeout_ns);
        berth_test_pause(5);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(starters[i].thread, NULL);
    berth_note("%llu answered, %llu failed, %llu replies", (unsigned long long)all.answered,
               (unsigned long long)all.failed, (unsigned long long)all.replies);
    CHECK(all.answered > 0);
    CHECK_INT(berth_host_free(all.host), BERTH_OK);
}

static void inline_stress(void)
{
    stress("ahead", "inline");
}

static void worker_stress(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    stress("ahead", "process");
}

/* It waits before the switch for what is inside, and that for a worker that is to be restarted. */
static void state_stress(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    stress("ahead_state", "process");
}

static const struct berth_test tests[] = {
    { "each call is answered once", inline_stress },
    { "each call is answered once, in workers", worker_stress },
    { "each call is answered once, in workers, with a state to hand over", state_stress },
};

int main(int argc, char **argv)
{
    return berth_suite_main("started_stress", tests, sizeof tests / sizeof *tests, argc, argv);
}
