/* SPDX-License-Identifier: MIT */
/*
 * Calls that would wait for each other for ever, in whole hosts: over modules at random, through
 * reloads and loads, at the ends of subscriptions. What is not found hangs, until the test's time
 * is over.
 */
#include "tests/support/hosting.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <berth/module.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

BERTH_MODULE("app", "1.0.0", "The application of this test.");
BERTH_PARALLEL;

static berth_host *host;
static void (*on_holding)(void);

BERTH_EXPORT(void, holding, "What keeps a call inside.")
{
    (void)ctx;
    on_holding();
}

static void make_host(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;

    options.threads = 4;
    host = berth_test_host(&options);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
}

/* How many have come to meet(), of all who ever did; who does goes on when it is `met`. */
static unsigned came, met; /* atomic */

static void meet(void)
{
    unsigned own = __atomic_add_fetch(&came, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&met, __ATOMIC_ACQUIRE) < own)
        usleep(500);
}

static bool is_inline(const char *placement)
{
    return strcmp(placement, "inline") == 0;
}

static void skip_workers(const char *placement)
{
    if (!is_inline(placement) && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
}

/* ---- at random ---- */

enum { MODULES = 8, THREADS = 4 };

struct walk {
    pthread_t thread;
    int inside[MODULES]; /* modules, in order of entering */
    int count;
    int wants; /* a module */
    char path[MODULES + 4];
    int code;
    struct berth_error error;
};

static bool reentrant[MODULES];

static int holder_of(const struct walk *walks, int module)
{
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < walks[i].count; k++)
            if (walks[i].inside[k] == module)
                return i;
    return -1;
}

/* Each is inside of modules of its own before anyone calls the one that it wants. */
static void draw_walks(struct walk *walks)
{
    memset(walks, 0, THREADS * sizeof *walks);
    for (int module = 0; module < MODULES; module++) {
        struct walk *walk = &walks[berth_test_random_below(THREADS)];
        if (berth_test_random_below(4))
            walk->inside[walk->count++] = module;
    }
    for (int i = 0; i < THREADS; i++) {
        char *at = walks[i].path;
        walks[i].wants = (int)berth_test_random_below(MODULES);
        for (int k = 0; k < walks[i].count; k++)
            *at++ = (char)('0' + walks[i].inside[k]);
        *at++ = '!';
        *at++ = (char)('0' + walks[i].wants);
        *at = '\0';
    }
}

/* Plainly: whether one comes back to itself from holder to holder. */
static bool is_in_ring(const struct walk *walks, int one)
{
    int at = one;
    for (int steps = 0; steps < THREADS; steps++) {
        int next = holder_of(walks, walks[at].wants);
        if (next < 0 || (next == at && reentrant[walks[at].wants]))
            return false;
        if (next == one)
            return true;
        at = next;
    }
    return false;
}

/* How many rings there are: each counts with the first of its members. */
static int count_rings(const struct walk *walks)
{
    int rings = 0;
    for (int i = 0; i < THREADS; i++) {
        int least = i, at = i;
        if (!is_in_ring(walks, i))
            continue;
        do {
            at = holder_of(walks, walks[at].wants);
            least = at < least ? at : least;
        } while (at != i);
        rings += least == i;
    }
    return rings;
}

static void *walk_main(void *argument)
{
    struct walk *walk = argument;
    const char *first = walk->path;
    if (*first == '!') {
        meet();
        first++;
    }
    walk->code = berth_test_try(host, berth_test_format("m%c.go", *first),
                                berth_test_format("[\"%s\"]", first + 1), 0, NULL, &walk->error);
    return NULL;
}

/* Nobody goes on before all are inside. Of each ring one is refused, and nobody else. */
static int walk_all(struct walk *walks)
{
    int refused = 0;
    unsigned all = __atomic_load_n(&came, __ATOMIC_ACQUIRE) + THREADS;
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&walks[i].thread, NULL, walk_main, &walks[i]) == 0);
    UNTIL(host, __atomic_load_n(&came, __ATOMIC_ACQUIRE) == all);
    __atomic_store_n(&met, all, __ATOMIC_RELEASE);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(walks[i].thread, NULL);
        refused += walks[i].code != BERTH_OK;
        CHECK(walks[i].code == BERTH_OK || is_in_ring(walks, i));
        if (walks[i].code == BERTH_OK)
            continue;
        CHECK_CODE(walks[i].code, BERTH_ABORTED, &walks[i].error);
        CHECK_CONTAINS(walks[i].error.text, berth_test_format("m%d.go", walks[i].wants));
    }
    return refused;
}

static void walk_around(int rounds, bool workers)
{
    struct walk walks[THREADS];
    int rings = 0;
    make_host();
    on_holding = meet;
    for (int i = 0; i < MODULES; i++) {
        reentrant[i] = i % 3 == 2;
        berth_test_load_as(host, reentrant[i] ? "maze_reentrant" : "maze",
                           berth_test_format("m%d", i), workers && i % 2 ? "process" : "inline");
    }
    for (int i = 0; i < rounds; i++) {
        draw_walks(walks);
        int expected = count_rings(walks);
        int refused = walk_all(walks);
        CHECK_INT(refused, expected);
        rings += refused;
    }
    CHECK(rings > rounds / 10);
    berth_note("%d rings in %d rounds", rings, rounds);
    berth_host_free(host);
}

static void each_ring_is_found_once(void)
{
    walk_around(berth_test_instrumented() ? 40 : 400, false);
}

static void each_ring_over_workers_is_found_once(void)
{
    skip_workers("process");
    walk_around(berth_test_instrumented() ? 20 : 100, true);
}

/* ---- over hosts ---- */

static berth_host *hosts[2];
static int crossed[2]; /* what the call from one into the other has come to */

static void land(void)
{
}

static void cross_from(int own)
{
    const char *arguments = berth_test_format("[%llu]", (unsigned long long)(uintptr_t)land);
    struct berth_error error;
    meet();
    crossed[own] = berth_test_try(hosts[1 - own], "leap.leap", arguments, 0, NULL, &error);
    if (crossed[own] != BERTH_OK)
        CHECK_CODE(crossed[own], BERTH_ABORTED, &error);
}

static void cross_from_first(void)
{
    cross_from(0);
}

static void cross_from_second(void)
{
    cross_from(1);
}

static void *leap_main(void *second)
{
    uintptr_t address = (uintptr_t)(second ? cross_from_second : cross_from_first);
    CHECK_CALL(hosts[second != NULL], "leap.leap",
               berth_test_format("[%llu]", (unsigned long long)address), "null");
    return NULL;
}

static void a_thread_is_one_chain_in_all_hosts(void)
{
    pthread_t threads[2];

    for (size_t i = 0; i < 2; i++) {
        hosts[i] = berth_test_host(NULL);
        LOAD(hosts[i], "leap", "inline");
    }
    for (int round = 0; round < 20; round++) {
        unsigned all = __atomic_load_n(&came, __ATOMIC_ACQUIRE) + 2;
        for (size_t i = 0; i < 2; i++)
            REQUIRE(pthread_create(&threads[i], NULL, leap_main, i ? &hosts : NULL) == 0);
        UNTIL(hosts[0], __atomic_load_n(&came, __ATOMIC_ACQUIRE) == all);
        __atomic_store_n(&met, all, __ATOMIC_RELEASE);
        for (size_t i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        CHECK((crossed[0] == BERTH_OK) != (crossed[1] == BERTH_OK));
    }
    for (size_t i = 0; i < 2; i++)
        berth_host_free(hosts[i]);
}

/* ---- through reloads ---- */

struct call {
    pthread_t thread;
    const char *function, *arguments;
    int code;
    struct berth_error error;
};

static void *call_main(void *argument)
{
    struct call *call = argument;
    call->code = berth_test_try(host, call->function, call->arguments, 0, NULL, &call->error);
    return NULL;
}

static void begin(struct call *call, const char *function, const char *arguments)
{
    *call = (struct call){ .function = function, .arguments = arguments };
    REQUIRE(pthread_create(&call->thread, NULL, call_main, call) == 0);
}

static void let_go(unsigned how_many)
{
    __atomic_add_fetch(&met, how_many, __ATOMIC_ACQ_REL);
}

static unsigned waiting_to_meet(void)
{
    return __atomic_load_n(&came, __ATOMIC_ACQUIRE) - __atomic_load_n(&met, __ATOMIC_ACQUIRE);
}

/* Whoever comes goes on, until keep_again, when nobody is there. */
static void let_all_go(void)
{
    let_go(UINT_MAX / 2);
}

static void keep_again(void)
{
    __atomic_store_n(&met, __atomic_load_n(&came, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

struct reload {
    pthread_t thread;
    const char *module;
    int code;
    struct berth_error error;
};

static void *reload_main(void *argument)
{
    struct reload *reload = argument;
    reload->code = berth_host_reload(host, reload->module, NULL, NULL, &reload->error);
    return NULL;
}

/* When it returns, calls of this function of the module wait for the reload. */
static void begin_reload(struct reload *reload, const char *module, const char *function,
                         const char *arguments)
{
    struct berth_error error = { 0 };
    *reload = (struct reload){ .module = module };
    REQUIRE(pthread_create(&reload->thread, NULL, reload_main, reload) == 0);
    UNTIL(host, berth_test_try(host, function, arguments, 1000000, NULL, &error) ==
                        BERTH_DEADLINE_EXCEEDED &&
                    strstr(error.text, "replaced") != NULL);
}

/* One call inside m0 is about to call m1, one inside m1 m0, which is being replaced. */
static void cross(struct call *calls, struct reload *reload, const char *fixture)
{
    make_host();
    on_holding = meet;
    berth_test_load_as(host, fixture, "m0", "inline");
    berth_test_load_as(host, "maze", "m1", "inline");
    begin(&calls[0], "m0.go", "[\"!1\"]");
    begin(&calls[1], "m1.go", "[\"!0\"]");
    UNTIL(host, waiting_to_meet() == 2);
    begin_reload(reload, "m0", "m0.go", "[\"\"]");
    let_go(2);
    for (int i = 0; i < 2; i++)
        pthread_join(calls[i].thread, NULL);
    pthread_join(reload->thread, NULL);
    CHECK_CALL(host, "m0.go", "[\"1\"]", "null");
    berth_host_free(host);
}

static void a_reload_is_part_of_a_ring(void)
{
    struct call calls[2];
    struct reload reload;

    cross(calls, &reload, "maze");
    CHECK_CODE(reload.code, BERTH_OK, &reload.error);
    const struct call *refused = &calls[calls[0].code == BERTH_OK];
    CHECK_CODE(refused->code, BERTH_ABORTED, &refused->error);
    CHECK_CONTAINS(refused->error.text, "m0 (reload)");
    CHECK_CODE(calls[refused == &calls[0]].code, BERTH_OK, NULL);
}

/* Where it can be told to, it is the reload that gives way. */
static void a_reload_gives_way(void)
{
    struct call calls[2];
    struct reload reload;

    cross(calls, &reload, "maze_parallel");
    CHECK_CODE(reload.code, BERTH_ABORTED, &reload.error);
    CHECK_CONTAINS(reload.error.text, "for its reload; it goes on");
    for (int i = 0; i < 2; i++)
        CHECK_CODE(calls[i].code, BERTH_OK, &calls[i].error);
}

/* m0 is replaced while a call is inside of it; both end well. The host goes. */
static void call_and_reload(const char *arguments)
{
    struct call call;
    struct reload reload;

    begin(&call, "m0.go", arguments);
    UNTIL(host, waiting_to_meet() == 1);
    begin_reload(&reload, "m0", "m0.go", "[\"\"]");
    let_go(1);
    pthread_join(call.thread, NULL);
    pthread_join(reload.thread, NULL);
    CHECK_CODE(call.code, BERTH_OK, &call.error);
    CHECK_CODE(reload.code, BERTH_OK, &reload.error);
    berth_host_free(host);
}

/* It comes back into a reentrant module that is being replaced, and that it is inside of. */
static void a_chain_comes_back_in_spite_of_a_reload(void)
{
    make_host();
    on_holding = meet;
    berth_test_load_as(host, "maze_reentrant", "m0", "inline");
    call_and_reload("[\"!00\"]");
}

static void meet_and_unload(void)
{
    struct berth_error error;
    meet();
    CHECK_CODE(berth_host_unload(host, "m1", &error), BERTH_ABORTED, &error);
    CHECK_CONTAINS(error.text, "m0 (reload)");
}

static void a_module_cannot_wait_for_its_reload(void)
{
    make_host();
    on_holding = meet_and_unload;
    berth_test_load_as(host, "maze", "m0", "inline");
    berth_test_load_as(host, "maze", "m1", "inline");
    call_and_reload("[\"!\"]");
}

/* ---- at calls that are started ---- */

static void make_waiters(const char *placement)
{
    skip_workers(placement);
    make_host();
    on_holding = meet;
    berth_test_load_as(host, "maze", "m0", "inline");
    berth_test_load_as(host, "maze", "m1", placement);
    berth_test_load_as(host, "waiter", "m7", placement);
}

/* m7 waits for a call of m1: for its turn, which does not come, or for what it calls. */
static void a_started_call_that_waits_for_its_caller(const char *placement)
{
    struct berth_error error;

    make_waiters(placement);
    CHECK_CALL(host, "m7.go", "[\"0\"]", "null");
    /* with a worker it may be the call that is refused for which m7 waits */
    CHECK_FAILS(host, "m1.go", "[\"7\"]", BERTH_ABORTED,
                is_inline(placement) ? "m1.go → host.call → m7.go → m1.go"
                                     : "m1.go → host.call → m7.go");
    CHECK_FAILS(host, "m0.go", "[\"70\"]", BERTH_ABORTED,
                is_inline(placement) ? "m1.go → host.call → m0.go" : "host.call → m0.go");
    /* the call that nobody waits for any more may still be on its way into m0 */
    UNTIL(host, berth_test_try(host, "m0.go", "[\"7\"]", 0, NULL, &error) == BERTH_OK);
    berth_host_free(host);
}

static void a_started_call_is_part_of_a_ring(const char *placement)
{
    struct call calls[2];

    make_waiters(placement);
    for (int round = 0; round < 20; round++) {
        begin(&calls[0], "m0.go", "[\"!7\"]");
        begin(&calls[1], "m1.go", "[\"!0\"]");
        UNTIL(host, waiting_to_meet() == 2);
        let_go(2);
        for (int i = 0; i < 2; i++)
            pthread_join(calls[i].thread, NULL);
        CHECK((calls[0].code == BERTH_OK) != (calls[1].code == BERTH_OK));
        const struct call *refused = &calls[calls[0].code == BERTH_OK];
        CHECK_CODE(refused->code, BERTH_ABORTED, &refused->error);
        /* in a worker its turn may be what closes the ring, and comes first */
        CHECK_CONTAINS(refused->error.text, is_inline(placement) ? "m7.go → m1.go" : "→ m7.go");
    }
    berth_host_free(host);
}

/* ---- at mailboxes ---- */

static void go_on(void)
{
}

/* Its mailbox has room for 1,024, and nobody can take one out while it is inside. */
static void a_full_mailbox_of_its_own(const char *placement)
{
    skip_workers(placement);
    make_host();
    on_holding = go_on;
    LOAD(host, "flood", placement);
    CHECK_CALL(host, "flood.send", "[false,1000]", "null");
    UNTIL(host, CALL_INT(host, "flood.came", "[]") == 1000);
    CHECK_FAILS(host, "flood.send", "[false,5000]", BERTH_ABORTED, "flood.send → flood (mailbox)");
    UNTIL(host, CALL_INT(host, "flood.came", "[]") == 2024);
    CHECK_CALL(host, "flood.send", "[false,1000]", "null");
    berth_host_free(host);
}

/* Nor as long as it is to be replaced, which waits for who is inside. */
static void a_full_mailbox_of_one_that_is_replaced(void)
{
    struct call call;
    struct reload reload;

    make_host();
    on_holding = meet;
    LOAD(host, "flood", "inline");
    begin(&call, "flood.send", "[false,5000]");
    UNTIL(host, waiting_to_meet() == 1);
    begin_reload(&reload, "flood", "flood.came", "[]");
    let_go(1);
    pthread_join(call.thread, NULL);
    pthread_join(reload.thread, NULL);
    CHECK_CODE(call.code, BERTH_ABORTED, &call.error);
    CHECK_CONTAINS(call.error.text, "flood.send → flood (mailbox); flood (reload)");
    CHECK_CODE(reload.code, BERTH_OK, &reload.error);
    berth_host_free(host);
}

/* Each is inside of one, and sends to the other one more than its mailbox takes. */
static void two_flood_each_other(const char *placement)
{
    struct call calls[2];

    skip_workers(placement);
    make_host();
    LOAD(host, "flood", placement);
    LOAD(host, "flood_two", placement);
    for (int round = 0; round < 5; round++) {
        on_holding = meet;
        begin(&calls[0], "flood.send", "[true,5000]");
        begin(&calls[1], "flood_two.send", "[false,5000]");
        UNTIL(host, waiting_to_meet() == 2);
        let_go(2);
        for (int i = 0; i < 2; i++)
            pthread_join(calls[i].thread, NULL);
        CHECK((calls[0].code == BERTH_OK) != (calls[1].code == BERTH_OK));
        const struct call *refused = &calls[calls[0].code == BERTH_OK];
        CHECK_CODE(refused->code, BERTH_ABORTED, &refused->error);
        CHECK_CONTAINS(refused->error.text, "flood.send → flood_two (mailbox)");
        CHECK_CONTAINS(refused->error.text, "flood_two.send → flood (mailbox)");
    }
    berth_host_free(host);
}

BERTH_TEST_BOTH(a_started_call_that_waits_for_its_caller)
BERTH_TEST_BOTH(a_started_call_is_part_of_a_ring)
BERTH_TEST_BOTH(a_full_mailbox_of_its_own)
BERTH_TEST_BOTH(two_flood_each_other)

/* ---- at the end of subscriptions and timers ---- */

static uint64_t ids[2];
static unsigned calls_of[2], ended; /* atomic */

static void end_the_other(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    int own = user == &ids[1];
    (void)ctx;
    (void)message;
    __atomic_add_fetch(&calls_of[own], 1, __ATOMIC_RELAXED);
    meet();
    berth_host_unsubscribe(host, ids[1 - own]);
    __atomic_add_fetch(&ended, 1, __ATOMIC_RELEASE);
}

static void two_end_each_others_subscriptions(void)
{
    struct berth_error error;

    make_host();
    LOAD(host, "publisher", "inline");
    calls_of[0] = calls_of[1] = ended = 0;
    for (int i = 0; i < 2; i++)
        CHECK_CODE(berth_host_subscribe(host, "news.bell", end_the_other, &ids[i], &ids[i], &error),
                   BERTH_OK, &error);
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    UNTIL(host, waiting_to_meet() == 2);
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    let_go(2);
    UNTIL(host, __atomic_load_n(&ended, __ATOMIC_ACQUIRE) == 2);
    CHECK_INT(berth_host_free(host), BERTH_OK);
    for (int i = 0; i < 2; i++)
        CHECK_INT(calls_of[i], 1);
}

/* The timer's callback calls m0, and from inside of that somebody wants to end the timer. */
static void a_timer_that_waits_for_who_ends_it(void)
{
    struct call call;

    make_host();
    on_holding = meet;
    berth_test_load_as(host, "maze", "m0", "inline");
    berth_test_load_as(host, "canceller", "m7", "inline");
    begin(&call, "m0.go", "[\"!7\"]");
    UNTIL(host, waiting_to_meet() == 1);
    CHECK_CALL(host, "m7.begin", "[]", "null");
    UNTIL(host, waiting_to_meet() == 2);
    let_go(2);
    pthread_join(call.thread, NULL);
    CHECK_CODE(call.code, BERTH_OK, &call.error);
    CHECK_INT(berth_host_free(host), BERTH_OK);
    CHECK_INT(waiting_to_meet(), 0);
}

/* The same, of a serial module: whoever of the two comes later is refused. */
static void a_timer_inside_is_part_of_a_ring(const char *placement)
{
    struct call call;

    skip_workers(placement);
    make_host();
    on_holding = meet;
    berth_test_load_as(host, "maze", "m0", "inline");
    berth_test_load_as(host, "canceller_serial", "m7", placement);
    for (int round = 0; round < 5; round++) {
        begin(&call, "m0.go", "[\"!7\"]");
        UNTIL(host, waiting_to_meet() == 1);
        CHECK_CALL(host, "m7.begin", "[]", "null");
        UNTIL(host, waiting_to_meet() == 2);
        let_all_go(); /* the timer may come again, before it is ended */
        pthread_join(call.thread, NULL);
        if (call.code != BERTH_OK)
            CHECK_CODE(call.code, BERTH_ABORTED, &call.error);
        CHECK_CALL(host, "m7.go", "[\"\"]", "null");
        keep_again();
    }
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

BERTH_TEST_BOTH(a_timer_inside_is_part_of_a_ring)

/* ---- on one thread ---- */

static const char *gate; /* a file: while it is there, who is inside of m1 does not call back */
static int came_by;

static void open_the_gate(void)
{
    came_by++;
    unlink(gate);
}

static void make_one_thread(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;

    skip_workers("process");
    options.threads = 0;
    host = berth_test_host(&options);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    on_holding = open_the_gate;
    came_by = 0;
    gate = berth_test_hold_path();
    fclose(fopen(gate, "w"));
    berth_test_load_as(host, "maze", "m0", "inline");
    berth_test_load_as(host, "turnstile", "m1", "process");
    berth_test_load_as(host, "waiter", "m7", "inline");
}

/* Inside of m1, which calls back once somebody on top of this has come by. */
static void wait_for_m1(void)
{
    CHECK_CALL(host, "m1.go", berth_test_format("[\"%s\"]", gate), "null");
    CHECK_INT(came_by, 2);
    CHECK_CALL(host, "m1.go", "[\"\"]", "null"); /* nobody is left inside */
}

/* What m0 does on top of the wait for m1 comes back to m1, along the path. */
static void come_back(const char *path, const char *ring)
{
    berth_pending pending;

    make_one_thread();
    berth_ctx *ctx = berth_host_enter(host);
    const char *words = berth_test_format("[\"%s\"]", path);
    REQUIRE(berth_call_start_json(ctx, "m0.go", words, NULL, &pending) == BERTH_OK);
    wait_for_m1();
    CHECK_INT(berth_call_take_json(ctx, pending, NULL), BERTH_ABORTED);
    CHECK_CONTAINS(berth_error_text(ctx), ring);
    berth_clear(ctx);
    berth_leave(ctx);
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

static void a_turn_that_calls_who_waits_below(void)
{
    come_back("!1", "it would wait for itself: m1.go → m0.go → host.call → m1.go");
}

static void a_turn_that_starts_a_call_of_who_waits_below(void)
{
    come_back("!7", "m1.go → m0.go → host.call → m7.go → m1.go");
}

static void a_thread_of_who_waits_below(void)
{
    make_one_thread();
    CHECK_CALL(host, "m1.begin", "[]", "null");
    wait_for_m1();
    UNTIL(host, strstr(berth_test_log(), "→ m7.go → m1.go") != NULL);
    CHECK_CONTAINS(berth_test_log(), "it would close a ring");
    CHECK_INT(berth_host_free(host), BERTH_OK);
}

static const struct berth_test tests[] = {
    { "each_ring_is_found_once", each_ring_is_found_once },
    { "each_ring_over_workers_is_found_once", each_ring_over_workers_is_found_once },
    { "a_thread_is_one_chain_in_all_hosts", a_thread_is_one_chain_in_all_hosts },
    { "a_reload_is_part_of_a_ring", a_reload_is_part_of_a_ring },
    { "a_reload_gives_way", a_reload_gives_way },
    { "a_chain_comes_back_in_spite_of_a_reload", a_chain_comes_back_in_spite_of_a_reload },
    { "a_module_cannot_wait_for_its_reload", a_module_cannot_wait_for_its_reload },
    BERTH_TEST_ROWS("a_started_call_that_waits_for_its_caller",
                    a_started_call_that_waits_for_its_caller),
    BERTH_TEST_ROWS("a_started_call_is_part_of_a_ring", a_started_call_is_part_of_a_ring),
    BERTH_TEST_ROWS("a_full_mailbox_of_its_own", a_full_mailbox_of_its_own),
    { "a_full_mailbox_of_one_that_is_replaced", a_full_mailbox_of_one_that_is_replaced },
    BERTH_TEST_ROWS("two_flood_each_other", two_flood_each_other),
    { "two_end_each_others_subscriptions", two_end_each_others_subscriptions },
    { "a_timer_that_waits_for_who_ends_it", a_timer_that_waits_for_who_ends_it },
    BERTH_TEST_ROWS("a_timer_inside_is_part_of_a_ring", a_timer_inside_is_part_of_a_ring),
    { "a_turn_that_calls_who_waits_below", a_turn_that_calls_who_waits_below },
    { "a_turn_that_starts_a_call_of_who_waits_below",
      a_turn_that_starts_a_call_of_who_waits_below },
    { "a_thread_of_who_waits_below", a_thread_of_who_waits_below },
};

int main(int argc, char **argv)
{
    return berth_suite_main("ring", tests, COUNT(tests), argc, argv);
}
