/* SPDX-License-Identifier: MIT */
#include "runtime/call/stock.h"

#include "runtime/call/thread.h"

#include <pthread.h>
#include <string.h>

#include "tests/support/suite.h"

#define THREADS 4
#define PLACES  64
#define STEPS   20000
#define MANY    3000

static struct berth_threads set;
static const struct berth_services services = { .size = sizeof(services), .abi = BERTH_ABI };

/* What a block is filled with, so that one which two threads have shows. */
struct load {
    struct berth_chunk *chunk;
    size_t size;
    unsigned char mark;
};

static void begin(void)
{
    REQUIRE(berth_threads_init(&set, &services) == BERTH_OK);
}

static struct load *load_new(struct berth_thread *thread, size_t size, unsigned char mark)
{
    struct berth_chunk *chunk;
    struct load *load = berth_stock_take(thread, sizeof *load + size, &chunk);
    REQUIRE(load != NULL);
    REQUIRE((uintptr_t)load % 16 == 0);
    *load = (struct load){ chunk, size, mark };
    memset(load + 1, mark, size);
    return load;
}

/* false: somebody else has written to it. */
static bool load_end(struct load *load)
{
    const unsigned char *bytes = (const unsigned char *)(load + 1);
    bool good = true;
    for (size_t i = 0; i < load->size; i++)
        good = good && bytes[i] == load->mark;
    berth_stock_give(load, load->chunk);
    return good;
}

/* ---- many threads: what one takes another one gives back, or a later one ---- */

static struct load *places[PLACES]; /* atomic */
static size_t spoilt;               /* atomic */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void *pass_around(void *user)
{
    uint64_t state = *(const uint64_t *)user;
    berth_ctx *ctx = berth_thread_enter(&set);
    for (int i = 0; ctx && i < STEPS; i++) {
        struct load *load = NULL;
        if (next_random(&state) % 8 != 0)
            load = load_new(berth_thread_of(ctx), next_random(&state) % 1200,
                            (unsigned char)next_random(&state));
        load = __atomic_exchange_n(&places[next_random(&state) % PLACES], load, __ATOMIC_ACQ_REL);
        if (load && !load_end(load))
            __atomic_add_fetch(&spoilt, 1, __ATOMIC_RELAXED);
        if (next_random(&state) % 64 == 0)
            berth_stock_return(berth_thread_of(ctx));
    }
    if (ctx)
        berth_thread_leave(ctx);
    return NULL;
}

static void no_two_threads_have_a_block(void)
{
    begin();
    for (int round = 0; round < 3; round++) { /* later threads have the stocks of earlier ones */
        pthread_t threads[THREADS];
        uint64_t seeds[THREADS];
        for (int i = 0; i < THREADS; i++) {
            seeds[i] = berth_test_random();
            REQUIRE(pthread_create(&threads[i], NULL, pass_around, &seeds[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < PLACES; i++)
        if (places[i] && !load_end(places[i]))
            spoilt++;
    CHECK_INT(spoilt, 0);
    berth_threads_deinit(&set);
}

/* ---- one that takes many, and one that gives them back ---- */

static struct load *taken[MANY];

static void *give_all(void *user)
{
    berth_ctx *ctx = berth_thread_enter(&set);
    (void)user;
    for (int i = 0; i < MANY; i++)
        if (!load_end(taken[i]))
            spoilt++;
    if (ctx)
        berth_thread_leave(ctx);
    return NULL;
}

static void what_is_too_much_or_too_large_is_the_heaps(void)
{
    begin();
    berth_ctx *ctx = berth_thread_enter(&set);
    REQUIRE(ctx != NULL);
    spoilt = 0;
    for (int round = 0; round < 3; round++) {
        pthread_t thread;
        for (size_t i = 0; i < MANY; i++)
            taken[i] =
                load_new(i % 9 ? berth_thread_of(ctx) : NULL, 5 * i % 12000, (unsigned char)i);
        REQUIRE(pthread_create(&thread, NULL, give_all, NULL) == 0);
        pthread_join(thread, NULL);
    }
    CHECK_INT(spoilt, 0);
    berth_thread_leave(ctx);
    berth_threads_deinit(&set);
}

static const struct berth_test tests[] = {
    { "no two threads have a block", no_two_threads_have_a_block },
    { "what is too much or too large is the heap's", what_is_too_much_or_too_large_is_the_heaps },
};

int main(int argc, char **argv)
{
    return berth_suite_main("stock", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
