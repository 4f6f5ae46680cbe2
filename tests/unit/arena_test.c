/* SPDX-License-Identifier: MIT */
#include "runtime/base/arena.h"

#include <string.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void memory_is_zeroed_aligned_and_apart(void)
{
    struct berth_arena arena;
    char *pieces[2000];
    size_t sizes[COUNT(pieces)];

    berth_arena_init(&arena);
    for (size_t i = 0; i < COUNT(pieces); i++) {
        sizes[i] = berth_test_random_below(300);
        pieces[i] = berth_arena_alloc(&arena, sizes[i]);
        REQUIRE(pieces[i]);
        CHECK_INT((uintptr_t)pieces[i] % 16, 0);
        for (size_t j = 0; j < sizes[i]; j++)
            if (pieces[i][j] != 0)
                CHECK_INT(pieces[i][j], 0);
        memset(pieces[i], (int)(i % 251) + 1, sizes[i]);
    }
    for (size_t i = 0; i < COUNT(pieces); i++)
        for (size_t j = 0; j < sizes[i]; j++)
            if ((unsigned char)pieces[i][j] != i % 251 + 1)
                CHECK(false && "overwritten by another piece");
    CHECK(berth_arena_alloc(&arena, 0) != berth_arena_alloc(&arena, 0));
    CHECK(berth_arena_alloc(&arena, SIZE_MAX) == NULL);
    CHECK(berth_arena_alloc(&arena, 8) != NULL);
    berth_arena_deinit(&arena);
}

static void text_is_copied_and_formatted(void)
{
    struct berth_arena arena;
    char longer[1000];

    berth_arena_init(&arena);
    CHECK_STR(berth_arena_string(&arena, "hello"), "hello");
    CHECK_STR(berth_arena_copy(&arena, "a\0b", 4), "a");
    CHECK(berth_arena_copy(&arena, NULL, 0) != NULL);
    CHECK_STR(berth_arena_format(&arena, "%s-%d", "x", 5), "x-5");
    memset(longer, 'l', sizeof(longer));
    for (size_t length = 250; length < 260; length++) { /* about the size of its first try */
        longer[length] = '\0';
        CHECK_STR(berth_arena_format(&arena, "%s", longer), longer);
        longer[length] = 'l';
    }
    berth_arena_deinit(&arena);
}

static void a_lent_block_comes_first(void)
{
    struct berth_arena arena;
    char block[1000], outside[100];
    long live = berth_fault_live();

    for (size_t shift = 0; shift < 17; shift++) {
        berth_arena_init(&arena);
        berth_arena_lend(&arena, block + shift, sizeof(block) - shift);
        for (int round = 0; round < 3; round++) {
            char *first = berth_arena_alloc(&arena, 100), *second = berth_arena_alloc(&arena, 600);
            CHECK(first >= block + shift && first + 100 <= block + sizeof(block));
            CHECK(second >= block + shift && second + 600 <= block + sizeof(block));
            CHECK_INT(berth_fault_live(), live);
            char *third = berth_arena_alloc(&arena, 600); /* too much for it */
            REQUIRE(third);
            memset(third, 1, 600);
            CHECK(third < block || third >= block + sizeof(block));
            CHECK(berth_arena_holds(&arena, first));
            CHECK(berth_arena_holds(&arena, third + 599));
            CHECK(!berth_arena_holds(&arena, outside));
            berth_arena_reset(&arena);
            CHECK_INT(berth_fault_live(), live); /* it is the one that is kept */
        }
        berth_arena_deinit(&arena);
        memset(block, 'x', sizeof(block)); /* not poisoned any more */
    }
    berth_arena_init(&arena);
    berth_arena_lend(&arena, block, 20); /* of no use, and no harm */
    CHECK(berth_arena_alloc(&arena, 1) != NULL);
    berth_arena_deinit(&arena);
}

static void it_knows_what_it_holds(void)
{
    struct berth_arena arena, other;
    char *pieces[200];

    berth_arena_init(&arena);
    berth_arena_init(&other);
    CHECK(!berth_arena_holds(&arena, NULL));
    CHECK(!berth_arena_holds(&arena, &arena));
    for (size_t i = 0; i < COUNT(pieces); i++) {
        pieces[i] = berth_arena_alloc(&arena, 1 + i * 7);
        char *foreign = berth_arena_alloc(&other, 1 + i * 7);
        REQUIRE(pieces[i] && foreign);
        CHECK(!berth_arena_holds(&arena, foreign));
    }
    for (size_t i = 0; i < COUNT(pieces); i++) {
        CHECK(berth_arena_holds(&arena, pieces[i]));
        CHECK(berth_arena_holds(&arena, pieces[i] + i * 7));
    }
    uintptr_t last = (uintptr_t)pieces[COUNT(pieces) - 1];
    CHECK(!berth_arena_holds(&arena, (void *)(last + 1 + 199 * 7 + 16))); /* not handed out */
    berth_arena_reset(&arena);
    CHECK(!berth_arena_holds(&arena, (void *)last));
    berth_arena_deinit(&arena);
    berth_arena_deinit(&other);
}

static void a_rewind_gives_back_what_is_newer(void)
{
    struct berth_arena arena;

    berth_arena_init(&arena);
    for (int round = 0; round < 300; round++) {
        char *before[20];
        uint64_t marks[COUNT(before)] = { 0 };
        size_t count = 1 + berth_test_random_below(COUNT(before));
        for (size_t i = 0; i < count; i++) {
            marks[i] = berth_arena_mark(&arena);
            size_t size = berth_test_random_below(round % 2 ? 100 : 5000);
            before[i] = berth_arena_alloc(&arena, size + 1);
            REQUIRE(before[i]);
            memset(before[i], (int)i + 1, size + 1);
        }
        size_t back = berth_test_random_below(count);
        berth_arena_rewind(&arena, marks[back]);
        CHECK_INT(berth_arena_mark(&arena), marks[back]);
        for (size_t i = 0; i < count; i++)
            CHECK_INT(berth_arena_holds(&arena, before[i]), i < back);
        for (size_t i = 0; i < back; i++)
            CHECK_INT(before[i][0], i + 1);
        berth_arena_rewind(&arena, marks[back] + 1000000); /* newer: nothing */
        CHECK_INT(berth_arena_mark(&arena), marks[back]);
        if (round % 7 == 0)
            berth_arena_reset(&arena);
    }
    berth_arena_deinit(&arena);
}

static void a_wrong_mark_keeps_the_alignment(void)
{
    struct berth_arena arena;

    berth_arena_init(&arena);
    berth_arena_alloc(&arena, 1000);
    berth_arena_rewind(&arena, 333);
    CHECK_INT((uintptr_t)berth_arena_alloc(&arena, 8) % 16, 0);
    berth_arena_deinit(&arena);
}

static void loops_of_the_same_size_allocate_once(void)
{
    struct berth_arena arena;

    berth_arena_init(&arena);
    berth_arena_alloc(&arena, 2000);
    uint64_t mark = berth_arena_mark(&arena);
    berth_arena_alloc(&arena, 3000);
    berth_arena_rewind(&arena, mark);
    long live = berth_fault_live();
    berth_fault_arm(1, false);
    for (int i = 0; i < 1000; i++) {
        CHECK(berth_arena_alloc(&arena, 3000) != NULL);
        berth_arena_rewind(&arena, mark);
    }
    CHECK(!berth_fault_disarm());
    CHECK_INT(berth_fault_live(), live);

    berth_arena_reset(&arena);
    berth_fault_arm(1, false);
    for (int i = 0; i < 1000; i++) {
        CHECK(berth_arena_alloc(&arena, 1500) != NULL);
        berth_arena_reset(&arena);
    }
    CHECK(!berth_fault_disarm());
    berth_arena_deinit(&arena);
}

static void few_blocks_hold_much(void)
{
    struct berth_arena arena;
    long live = berth_fault_live();

    berth_arena_init(&arena);
    for (int i = 0; i < 100000; i++)
        berth_arena_alloc(&arena, 100);
    CHECK(berth_fault_live() - live < 20);
    berth_arena_alloc(&arena, (size_t)20 << 20); /* larger than any block would be */
    CHECK(berth_arena_alloc(&arena, 1) != NULL);
    berth_arena_reset(&arena);
    CHECK(berth_fault_live() - live <= 1);
    berth_arena_deinit(&arena);
    CHECK_INT(berth_fault_live(), live);
}

static void another_one_is_joined(void)
{
    const long live = berth_fault_live();
    struct berth_arena arena, other;
    berth_arena_init(&arena);
    berth_arena_init(&other);
    const char *own = berth_arena_string(&arena, "own");
    uint64_t mark = berth_arena_mark(&arena);
    berth_arena_join(&arena, &other); /* nothing */
    CHECK_INT(berth_arena_mark(&arena), mark);
    const char *first = berth_arena_string(&other, "first");
    const char *large = berth_arena_alloc(&other, 10000);
    const char *last = berth_arena_string(&other, "last");
    berth_arena_join(&arena, &other);
    CHECK(other.blocks == NULL);
    const char *after = berth_arena_string(&arena, "after");
    CHECK(berth_arena_holds(&arena, own) && berth_arena_holds(&arena, first) &&
          berth_arena_holds(&arena, large + 9999) && berth_arena_holds(&arena, after));
    CHECK_STR(own, "own");
    CHECK_STR(first, "first");
    CHECK_STR(last, "last");
    CHECK_STR(after, "after");
    CHECK(!berth_arena_holds(&arena, own + 100));
    berth_arena_rewind(&arena, mark);
    CHECK_STR(own, "own");
    CHECK_STR(berth_arena_string(&arena, "again"), "again");
    CHECK(!berth_arena_holds(&arena, large + 9999));
    berth_arena_deinit(&other);
    berth_arena_deinit(&arena);
    CHECK_INT(berth_fault_live(), live);
}

static void without_memory_it_says_so_and_goes_on(void)
{
    struct berth_arena arena;

    if (!berth_fault_works())
        berth_skip("no allocation can be made to fail here");
    berth_arena_init(&arena);
    berth_fault_arm(1, false);
    CHECK(berth_arena_alloc(&arena, 10) == NULL);
    CHECK(berth_fault_disarm());
    char *kept = berth_arena_string(&arena, "kept");
    uint64_t mark = berth_arena_mark(&arena);
    berth_fault_arm(1, false);
    CHECK(berth_arena_copy(&arena, "", 1 << 20) == NULL);
    CHECK(berth_fault_disarm());
    char longer[5000];
    memset(longer, 'l', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    berth_fault_arm(1, false);
    CHECK(berth_arena_format(&arena, "%s", longer) == NULL);
    CHECK(berth_fault_disarm());
    CHECK_INT(berth_arena_mark(&arena), mark);
    CHECK_STR(kept, "kept");
    CHECK_STR(berth_arena_string(&arena, "more"), "more");
    berth_arena_deinit(&arena);
}

static const struct berth_test tests[] = {
    { "memory_is_zeroed_aligned_and_apart", memory_is_zeroed_aligned_and_apart },
    { "text_is_copied_and_formatted", text_is_copied_and_formatted },
    { "a_lent_block_comes_first", a_lent_block_comes_first },
    { "it_knows_what_it_holds", it_knows_what_it_holds },
    { "a_rewind_gives_back_what_is_newer", a_rewind_gives_back_what_is_newer },
    { "a_wrong_mark_keeps_the_alignment", a_wrong_mark_keeps_the_alignment },
    { "loops_of_the_same_size_allocate_once", loops_of_the_same_size_allocate_once },
    { "few_blocks_hold_much", few_blocks_hold_much },
    { "another_one_is_joined", another_one_is_joined },
    { "without_memory_it_says_so_and_goes_on", without_memory_it_says_so_and_goes_on },
};

int main(int argc, char **argv)
{
    return berth_suite_main("arena", tests, COUNT(tests), argc, argv);
}
