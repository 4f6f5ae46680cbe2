/* SPDX-License-Identifier: MIT */
/* Gates, and the passes that chains get to them: who is let in, who waits, who is refused. */
#include "runtime/call/gate.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "runtime/base/error.h"
#include "runtime/call/thread.h"
#include "runtime/loop/loop.h"
#include "tests/support/suite.h"

#define FOREVER INT64_MAX

static struct berth_threads set;
static const struct berth_services services = { .size = sizeof(services), .abi = BERTH_ABI };

static void begin(void)
{
    REQUIRE(berth_threads_init(&set, &services) == BERTH_OK);
}

static void end(void)
{
    berth_threads_deinit(&set);
}

static _Thread_local struct berth_error error; /* of the last lock that failed */

static int lock(struct berth_gate *gate, const berth_ctx *ctx, int64_t deadline)
{
    struct berth_gate_entry entry = { .ctx = ctx, .deadline = deadline };
    struct berth_error own;
    int code = berth_gate_lock(gate, &entry, &own);

    if (code != BERTH_OK)
        error = own;
    return code;
}

static void in_and_out(struct berth_gate *gate, const berth_ctx *ctx, int times)
{
    for (int i = 0; i < times; i++) {
        CHECK_INT(lock(gate, ctx, FOREVER), BERTH_OK);
        berth_gate_unlock(gate, ctx);
    }
}

static bool has_pass(const struct berth_gate *gate, const berth_ctx *ctx)
{
    const struct berth_pass *pass = __atomic_load_n(&gate->pass, __ATOMIC_ACQUIRE);

    return __atomic_load_n(&pass->chain, __ATOMIC_RELAXED) == berth_block(ctx)->chain;
}

/* Runs on a thread of its own, which has ended when this returns. */
static void elsewhere(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, body, argument) == 0);
    pthread_join(thread, NULL);
}

static void *goes_through(void *argument)
{
    berth_ctx *ctx = berth_thread_enter(&set);

    in_and_out(argument, ctx, 1);
    CHECK(!has_pass(argument, ctx));
    berth_thread_leave(ctx);
    return NULL;
}

static void *earns_the_pass(void *argument)
{
    berth_ctx *ctx = berth_thread_enter(&set);

    in_and_out(argument, ctx, 2 * BERTH_GATE_STREAK);
    CHECK(has_pass(argument, ctx));
    berth_thread_leave(ctx);
    return NULL;
}

static void *is_too_late(void *argument)
{
    berth_ctx *ctx = berth_thread_enter(&set);

    CHECK_INT(lock(argument, ctx, berth_now() + 5000000), BERTH_DEADLINE_EXCEEDED);
    berth_thread_leave(ctx);
    return NULL;
}

/* The same by an owner and by the pass. */
static void refusals(struct berth_gate *gate, berth_ctx *ctx, bool by_pass)
{
    CHECK_INT(lock(gate, ctx, FOREVER), BERTH_OK);
    CHECK_INT(has_pass(gate, ctx), by_pass);
    CHECK(berth_gate_owned(gate, ctx));
    CHECK_INT(lock(gate, ctx, FOREVER), BERTH_ABORTED);
    CHECK_CONTAINS(error.text, "would wait for itself");
    elsewhere(is_too_late, gate);
    elsewhere(is_too_late, gate); /* it finds the pass half taken back */
    CHECK_INT(lock(gate, ctx, FOREVER), BERTH_ABORTED);
    CHECK(berth_gate_owned(gate, ctx));
    berth_gate_unlock(gate, ctx);
    CHECK(!berth_gate_owned(gate, ctx));
    in_and_out(gate, ctx, 1);
    elsewhere(goes_through, gate);
}

static void a_gate_refuses(void)
{
    struct berth_gate gate;

    begin();
    berth_gate_init(&gate);
    berth_ctx *ctx = berth_thread_enter(&set);
    refusals(&gate, ctx, false);
    in_and_out(&gate, ctx, 2 * BERTH_GATE_STREAK);
    refusals(&gate, ctx, true);
    berth_thread_leave(ctx);
    berth_gate_deinit(&gate);
    end();
}

static void a_pass_is_earned_and_lost(void)
{
    struct berth_gate gate;

    begin();
    berth_gate_init(&gate);
    berth_ctx *ctx = berth_thread_enter(&set);
    in_and_out(&gate, ctx, BERTH_GATE_STREAK - 1);
    CHECK(!has_pass(&gate, ctx));
    elsewhere(goes_through, &gate); /* the streak is broken */
    in_and_out(&gate, ctx, BERTH_GATE_STREAK - 1);
    CHECK(!has_pass(&gate, ctx));
    in_and_out(&gate, ctx, 1);
    CHECK(has_pass(&gate, ctx));
    elsewhere(goes_through, &gate);
    CHECK(!has_pass(&gate, ctx));
    in_and_out(&gate, ctx, 2 * BERTH_GATE_STREAK);
    CHECK(has_pass(&gate, ctx));
    berth_thread_leave(ctx);
    berth_gate_deinit(&gate);
    end();
}

static int passes(const struct berth_gate *gate)
{
    int count = 0;

    for (const struct berth_gate_pass *pass = gate->passes; pass; pass = pass->next)
        count++;
    return count;
}

static void a_pass_outlives_its_thread(void)
{
    struct berth_gate gate;

    begin();
    berth_gate_init(&gate);
    for (int i = 0; i < 20; i++)
        elsewhere(earns_the_pass, &gate);
    CHECK_INT(passes(&gate), 1); /* the next one's, when its thread had ended */
    berth_ctx *ctx = berth_thread_enter(&set);
    in_and_out(&gate, ctx, 2 * BERTH_GATE_STREAK);
    elsewhere(earns_the_pass, &gate); /* the first thread is alive */
    CHECK_INT(passes(&gate), 2);
    berth_thread_leave(ctx);
    berth_gate_deinit(&gate);
    end();
}

/* ---- a ring of two, each inside by its pass -------------------------------------------------- */

static struct {
    struct berth_gate gates[2];
    pthread_barrier_t both_inside;
    int refused; /* atomic */
} ring;

static void *goes_around(void *argument)
{
    size_t first = (size_t)(uintptr_t)argument;
    berth_ctx *ctx = berth_thread_enter(&set);
    struct berth_gate *inner = &ring.gates[first], *outer = &ring.gates[1 - first];

    in_and_out(inner, ctx, 2 * BERTH_GATE_STREAK);
    pthread_barrier_wait(&ring.both_inside);
    CHECK_INT(lock(inner, ctx, FOREVER), BERTH_OK);
    CHECK(has_pass(inner, ctx));
    pthread_barrier_wait(&ring.both_inside);
    int code = lock(outer, ctx, FOREVER);
    if (code == BERTH_OK) {
        berth_gate_unlock(outer, ctx);
    } else {
        CHECK_INT(code, BERTH_ABORTED);
        CHECK_CONTAINS(error.text, "would close a ring");
        __atomic_add_fetch(&ring.refused, 1, __ATOMIC_RELAXED);
    }
    berth_gate_unlock(inner, ctx);
    pthread_barrier_wait(&ring.both_inside);
    berth_thread_leave(ctx);
    return NULL;
}

static void a_ring_of_passes_is_found(void)
{
    begin();
    pthread_barrier_init(&ring.both_inside, NULL, 2);
    for (int round = 0; round < 20; round++) {
        pthread_t threads[2];

        ring.refused = 0;
        for (size_t i = 0; i < 2; i++)
            berth_gate_init(&ring.gates[i]);
        for (uintptr_t i = 0; i < 2; i++)
            REQUIRE(pthread_create(&threads[i], NULL, goes_around, (void *)i) == 0);
        for (size_t i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        CHECK_INT(ring.refused, 1);
        for (size_t i = 0; i < 2; i++)
            berth_gate_deinit(&ring.gates[i]);
    }
    pthread_barrier_destroy(&ring.both_inside);
    end();
}

/* ---- all at once ----------------------------------------------------------------------------- */

enum { GATES = 3, THREADS = 4 };

static struct place {
    struct berth_gate gate;
    uint32_t inside;  /* atomic */
    uint64_t entries; /* by who is inside: one at a time, or TSan tells */
} places[GATES];

struct walker {
    pthread_t thread;
    uint64_t seed, entries[GATES], aborted;
    int bursts;
};

static uint64_t draw(struct walker *walker, uint64_t limit)
{
    walker->seed ^= walker->seed << 13;
    walker->seed ^= walker->seed >> 7;
    walker->seed ^= walker->seed << 17;
    return (walker->seed >> 20) % limit;
}

/* Into a place and, with depth, from there into another one; a ring is refused. */
static void visit(struct walker *walker, berth_ctx *ctx, size_t at, unsigned depth)
{
    struct place *place = &places[at];
    int code = lock(&place->gate, ctx, FOREVER);

    if (code != BERTH_OK) {
        CHECK_INT(code, BERTH_ABORTED);
        walker->aborted++;
        return;
    }
    CHECK_INT(__atomic_add_fetch(&place->inside, 1, __ATOMIC_RELAXED), 1);
    place->entries++;
    walker->entries[at]++;
    if (depth)
        visit(walker, ctx, draw(walker, GATES), depth - 1);
    __atomic_sub_fetch(&place->inside, 1, __ATOMIC_RELAXED);
    berth_gate_unlock(&place->gate, ctx);
}

/* Often the same place again and again, so that passes are given; and short visits elsewhere. */
static void *walk(void *argument)
{
    struct walker *walker = argument;
    berth_ctx *ctx = berth_thread_enter(&set);

    for (int i = 0; i < walker->bursts; i++) {
        size_t at = draw(walker, GATES);
        bool long_one = draw(walker, 4) == 0;
        uint64_t times = draw(walker, long_one ? 2 * BERTH_GATE_STREAK : 10);
        unsigned depth = draw(walker, 8) == 0 ? 2 : 0;

        for (uint64_t n = 0; n < times; n++)
            visit(walker, ctx, at, depth);
        if (draw(walker, 4) == 0)
            sched_yield();
    }
    berth_thread_leave(ctx);
    return NULL;
}

/* One round: threads come, walk, and end, with passes or without. */
static uint64_t walk_all(int bursts, uint64_t expected[GATES])
{
    struct walker walkers[THREADS];
    uint64_t aborted = 0;

    for (size_t i = 0; i < THREADS; i++) {
        walkers[i] = (struct walker){ .seed = berth_test_random() | 1, .bursts = bursts };
        REQUIRE(pthread_create(&walkers[i].thread, NULL, walk, &walkers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(walkers[i].thread, NULL);
        for (size_t g = 0; g < GATES; g++)
            expected[g] += walkers[i].entries[g];
        aborted += walkers[i].aborted;
    }
    return aborted;
}

static void one_at_a_time(void)
{
    uint64_t expected[GATES] = { 0 }, aborted = 0;
    int rounds = berth_test_instrumented() ? 4 : 40;

    begin();
    for (size_t g = 0; g < GATES; g++)
        berth_gate_init(&places[g].gate);
    for (int i = 0; i < rounds; i++)
        aborted += walk_all(60, expected);
    for (size_t g = 0; g < GATES; g++) {
        CHECK_INT(places[g].entries, expected[g]);
        CHECK_INT(places[g].gate.owner, 0);
        CHECK(passes(&places[g].gate) <= THREADS);
        berth_gate_deinit(&places[g].gate);
    }
    berth_note("%llu entries of the first, %llu refused", (unsigned long long)expected[0],
               (unsigned long long)aborted);
    end();
}

/* ---- passes that change hands all the time --------------------------------------------------- */

static struct {
    struct berth_gate gate;
    struct berth_link link;
    uint32_t inside;  /* atomic */
    uint64_t entries; /* by who is inside */
    int going;        /* threads; atomic */
} hasty;

static void code(void)
{
}

/* As if the owner had been here often: it leaves with the pass. */
static void hurry(const berth_ctx *ctx)
{
    if (__atomic_load_n(&hasty.gate.pass, __ATOMIC_ACQUIRE) == &hasty.gate.nobodys) {
        hasty.gate.last = berth_block(ctx)->chain;
        hasty.gate.streak = BERTH_GATE_STREAK;
    }
}

static void meet_nobody(const berth_ctx *ctx)
{
    CHECK_INT(__atomic_add_fetch(&hasty.inside, 1, __ATOMIC_RELAXED), 1);
    hasty.entries++;
    hurry(ctx);
    __atomic_sub_fetch(&hasty.inside, 1, __ATOMIC_RELAXED);
}

static void lock_in(const berth_ctx *ctx)
{
    CHECK_INT(lock(&hasty.gate, ctx, FOREVER), BERTH_OK);
    meet_nobody(ctx);
    berth_gate_unlock(&hasty.gate, ctx);
}

/* As a bound call does, without a call. */
static void call_in(berth_ctx *ctx)
{
    void (*callee)(void) = NULL;

    berth_frame_push(ctx, (uintptr_t)code);
    struct berth_gate *gate = berth_gate_enter(ctx, &hasty.link, &callee);
    if (gate) {
        CHECK(callee == code);
        meet_nobody(ctx);
        berth_gate_leave(ctx, gate);
        return;
    }
    berth_gate_withdraw(ctx);
    lock_in(ctx);
}

static void *hurry_along(void *argument)
{
    struct walker *walker = argument;
    berth_ctx *ctx = berth_thread_enter(&set);

    for (int i = 0; i < walker->bursts; i++)
        for (uint64_t n = 1 + draw(walker, 6); n; n--, walker->entries[0]++)
            if (i % 2)
                call_in(ctx);
            else
                lock_in(ctx);
    berth_thread_leave(ctx);
    __atomic_sub_fetch(&hasty.going, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Between any two instructions, for as long as others need to get and lose passes. */
static void stop_for_a_while(int signal)
{
    (void)signal;
    nanosleep(&(struct timespec){ .tv_nsec = 30000 }, NULL);
}

static void leave_gate(berth_ctx *ctx, struct berth_gate *gate)
{
    berth_gate_left(gate, ctx);
}

static void passes_change_hands(void)
{
    static const struct berth_services own = { .size = sizeof(own),
                                               .abi = BERTH_ABI,
                                               .leave_gate = leave_gate };
    struct walker walkers[THREADS];
    struct sigaction before;
    uint64_t expected = 0;

    REQUIRE(berth_threads_init(&set, &own) == BERTH_OK);
    berth_gate_init(&hasty.gate);
    hasty.entries = 0;
    hasty.going = THREADS;
    sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = stop_for_a_while }, &before);
    hasty.link.code = code;
    hasty.link.check = (uintptr_t)&hasty.gate | BERTH_CHECK_SLOW;
    for (size_t i = 0; i < THREADS; i++) {
        walkers[i] = (struct walker){ .seed = berth_test_random() | 1,
                                      .bursts = berth_test_instrumented() ? 3000 : 200000 };
        REQUIRE(pthread_create(&walkers[i].thread, NULL, hurry_along, &walkers[i]) == 0);
    }
    while (__atomic_load_n(&hasty.going, __ATOMIC_ACQUIRE)) {
        pthread_kill(walkers[berth_test_random_below(THREADS)].thread, SIGUSR1);
        nanosleep(&(struct timespec){ .tv_nsec = 10000 }, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(walkers[i].thread, NULL);
        expected += walkers[i].entries[0];
    }
    sigaction(SIGUSR1, &before, NULL);
    CHECK_INT(hasty.entries, expected);
    CHECK_INT(hasty.gate.owner, 0);
    berth_gate_deinit(&hasty.gate);
    end();
}

static const struct berth_test tests[] = {
    { "a gate refuses", a_gate_refuses },
    { "a pass is earned and lost", a_pass_is_earned_and_lost },
    { "a pass outlives its thread", a_pass_outlives_its_thread },
    { "a ring of passes is found", a_ring_of_passes_is_found },
    { "one at a time", one_at_a_time },
    { "passes change hands", passes_change_hands },
};

int main(int argc, char **argv)
{
    return berth_suite_main("gate", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
