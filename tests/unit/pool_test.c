/* SPDX-License-Identifier: MIT */
#include "runtime/base/pool.h"

#include <stdint.h>
#include <string.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BLOCKS       500

struct block {
    unsigned char *memory;
    size_t size;
    unsigned char mark;
};

static void fill(struct block *block, size_t size)
{
    block->memory = berth_pool_alloc(size);
    block->size = size;
    block->mark = (unsigned char)(berth_test_random_below(255) + 1);
    REQUIRE(block->memory != NULL);
    CHECK_INT((uintptr_t)block->memory % 16, 0);
    for (size_t i = 0; i < size; i++)
        if (block->memory[i] != 0)
            CHECK_INT(block->memory[i], 0);
    memset(block->memory, block->mark, size);
}

static void give_back(struct block *block)
{
    for (size_t i = 0; i < block->size; i++)
        if (block->memory[i] != block->mark)
            CHECK_INT(block->memory[i], block->mark);
    berth_pool_free(block->memory);
    *block = (struct block){ .memory = NULL };
}

/* Mostly small ones; some as large as a chunk, about, or larger. */
static size_t any_size(void)
{
    switch (berth_test_random_below(50)) {
    case 0:
        return ((size_t)128 << 10) - berth_test_random_below(2000);
    case 1:
        return berth_test_random_below(1 << 20);
    default:
        return berth_test_random_below(3000);
    }
}

/* With the chunk that stays. */
static long live_blocks(void)
{
    berth_pool_free(berth_pool_alloc(1));
    return berth_fault_live();
}

static void memory_is_zeroed_and_apart(void)
{
    struct block blocks[BLOCKS] = { { .memory = NULL } };
    long live = live_blocks();

    for (int step = 0; step < 20000; step++) {
        struct block *block = &blocks[berth_test_random_below(BLOCKS)];
        if (block->memory)
            give_back(block);
        else
            fill(block, any_size());
    }
    for (size_t i = 0; i < BLOCKS; i++)
        if (blocks[i].memory)
            give_back(&blocks[i]);
    CHECK_INT(berth_fault_live(), live);
    berth_pool_free(NULL);
}

/* As modules that are reloaded now and then, beside one that is reloaded all the time. */
static void what_lasts_holds_little_of_what_has_gone(void)
{
    struct block kept[100];
    long live = live_blocks();

    for (size_t i = 0; i < 100; i++) {
        fill(&kept[i], 3000);
        for (int j = 0; j < 100; j++) {
            struct block gone;
            fill(&gone, 2900);
            give_back(&gone);
        }
    }
    CHECK(berth_fault_live() - live <= 100); /* chunks; on the heap it is blocks */
    for (size_t i = 0; i < 100; i++)
        give_back(&kept[i]);
    CHECK_INT(berth_fault_live(), live);
}

static void no_memory_is_an_error(void)
{
    if (!berth_test_instrumented()) { /* to AddressSanitizer that is a fault of the caller */
        CHECK(berth_pool_alloc(SIZE_MAX) == NULL);
        CHECK(berth_pool_alloc(SIZE_MAX / 2) == NULL);
    }
    if (!berth_fault_works())
        return;
    berth_fault_arm(1, false);
    void *memory = berth_pool_alloc((size_t)1 << 20);
    CHECK(berth_fault_disarm());
    CHECK(memory == NULL);
}

static const struct berth_test tests[] = {
    { "memory_is_zeroed_and_apart", memory_is_zeroed_and_apart },
    { "what_lasts_holds_little_of_what_has_gone", what_lasts_holds_little_of_what_has_gone },
    { "no_memory_is_an_error", no_memory_is_an_error },
};

int main(int argc, char **argv)
{
    return berth_suite_main("pool", tests, COUNT(tests), argc, argv);
}
