/* SPDX-License-Identifier: MIT */
/*
 * A serial module that everybody comes to at once, by a seed: through bound calls in long and short
 * bursts, which get passes to its gate and lose them again, by name, by messages, from another
 * module, from a worker, while its timer runs and it is reloaded. It must be alone, and nothing may
 * be lost.
 */
#include "tests/support/hosting.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 3, LONG = 6000 };

BERTH_BOUND(u64, enter, (u32, linger), (bool, again));
BERTH_BOUND(void, disturb, (u32, times), (u32, linger), (bool, again));

static struct {
    berth_host *host;
    unsigned bursts;
    bool reloads;   /* then nobody may come back from inside: he would wait for the reload */
    unsigned going; /* threads; atomic */
    uint64_t calls, knocks; /* atomic */
} all;

struct visitor {
    pthread_t thread;
    uint64_t seed;
};

static uint64_t draw(struct visitor *visitor, uint64_t limit)
{
    visitor->seed ^= visitor->seed << 13;
    visitor->seed ^= visitor->seed >> 7;
    visitor->seed ^= visitor->seed << 17;
    return (visitor->seed >> 20) % limit;
}

static void came(berth_ctx *ctx, uint64_t calls)
{
    if (berth_failed(ctx)) {
        berth_note("%s", berth_error_text(ctx));
        CHECK_INT(berth_error_code(ctx), BERTH_OK);
        berth_clear(ctx);
    }
    __atomic_add_fetch(&all.calls, calls, __ATOMIC_RELAXED);
}

static void burst(struct visitor *visitor, berth_ctx *ctx, enter_bound *bound, disturb_bound *near)
{
    uint32_t linger = (uint32_t)draw(visitor, 20);
    uint64_t times = draw(visitor, 3) == 0 ? LONG : 1 + draw(visitor, 5);
    bool again = draw(visitor, 8) == 0 && !all.reloads;

    switch (draw(visitor, 8)) {
    case 0:
        for (uint64_t i = 0; i < times % 10; i++) {
            char *result = NULL;
            berth_call_json(ctx, "lone.enter", again ? "[1,true]" : "[1,false]", &result);
            free(result);
        }
        came(ctx, times % 10);
        break;
    case 1:
        for (uint64_t i = 0; i < times % 10; i++)
            if (berth_publish_json(ctx, "lone.knock", "[]") == BERTH_OK)
                __atomic_add_fetch(&all.knocks, 1, __ATOMIC_RELAXED);
        berth_clear(ctx); /* the mailbox may be full */
        break;
    case 2:
        disturb_call(near, ctx, (uint32_t)times, linger, again);
        came(ctx, times);
        break;
    case 3:
        if (*berth_test_module(all.host, "far_caller", "state")) {
            berth_call_json(ctx, "far_caller.disturb", again ? "[20,1,true]" : "[20,1,false]",
                            NULL);
            came(ctx, 20);
        }
        break;
    default:
        for (uint64_t i = 0; i < times; i++)
            enter_call(bound, ctx, linger, again);
        came(ctx, times);
    }
}

static void *visit(void *argument)
{
    struct visitor *visitor = argument;
    struct berth_error error = { 0 };
    enter_bound bound;
    disturb_bound near;
    int code = berth_bind(all.host, "lone.enter", enter, &bound, &error);
    if (code == BERTH_OK)
        code = berth_bind(all.host, "lone_caller.disturb", disturb, &near, &error);
    CHECK_CODE(code, BERTH_OK, &error);

    berth_ctx *ctx = berth_host_enter(all.host);
    for (unsigned i = 0; i < all.bursts && code == BERTH_OK; i++)
        burst(visitor, ctx, &bound, &near);
    berth_leave(ctx);
    if (code == BERTH_OK) {
        berth_unbind(all.host, &bound);
        berth_unbind(all.host, &near);
    }
    __atomic_sub_fetch(&all.going, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Threads come, and end with a pass or without; meanwhile lone is reloaded. */
static unsigned visits(bool reload)
{
    struct visitor visitors[THREADS];
    unsigned reloads = 0;

    all.going = THREADS;
    all.reloads = reload;
    for (size_t i = 0; i < THREADS; i++) {
        visitors[i] = (struct visitor){ .seed = berth_test_random() | 1 };
        REQUIRE(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]) == 0);
    }
    while (reload && __atomic_load_n(&all.going, __ATOMIC_ACQUIRE)) {
        struct berth_error error = { 0 };
        CHECK_CODE(berth_host_reload(all.host, "lone", NULL, NULL, &error), BERTH_OK, &error);
        reloads++;
        usleep((useconds_t)berth_test_random_below(4000));
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(visitors[i].thread, NULL);
    return reloads;
}

static void everybody(int threads, bool worker)
{
    struct berth_host_options options = berth_test_host_options();
    unsigned reloads = 0;

    options.threads = threads;
    all.host = berth_test_host(&options);
    all.bursts = berth_test_instrumented() ? 20 : 60;
    all.calls = all.knocks = 0;
    LOAD(all.host, "lone", "inline");
    LOAD(all.host, "lone_caller", "inline");
    if (worker)
        berth_test_load_as(all.host, "lone_caller", "far_caller", "process");
    for (int round = 0; round < (berth_test_instrumented() ? 2 : 10); round++)
        reloads += visits(round % 2);
    UNTIL(all.host, CALL_INT(all.host, "lone.knocks", "[]") == (long long)all.knocks);
    UNTIL(all.host, CALL_INT(all.host, "lone.ticks", "[]") > 0);
    CHECK_INT(CALL_INT(all.host, "lone.calls", "[]"), all.calls);
    CHECK_INT(CALL_INT(all.host, "lone.overlaps", "[]"), 0);
    berth_note("%llu calls, %llu messages, %u reloads", (unsigned long long)all.calls,
               (unsigned long long)all.knocks, reloads);
    berth_host_free(all.host);
}

static void with_threads(void)
{
    everybody(2, false);
}

static void without_threads(void)
{
    everybody(0, false);
}

static void with_a_worker(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    everybody(2, true);
}

static const struct berth_test tests[] = {
    { "with_threads", with_threads },
    { "without_threads", without_threads },
    { "with_a_worker", with_a_worker },
};

int main(int argc, char **argv)
{
    return berth_suite_main("serial", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
