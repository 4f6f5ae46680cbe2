/* SPDX-License-Identifier: MIT */
/* The map from names, and the map of ids. */
#include "runtime/base/idmap.h"
#include "runtime/base/map.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void *number(size_t i)
{
    return (void *)(i + 1);
}

static const char *name(size_t i)
{
    static char text[32];
    snprintf(text, sizeof(text), "module%zu.function", i);
    return text;
}

/* ---- names ---- */

static void names_are_found(void)
{
    struct berth_map map;

    berth_map_init(&map);
    CHECK(berth_map_get(&map, "") == NULL);
    CHECK(berth_map_remove(&map, "x") == NULL);
    for (size_t i = 0; i < 5000; i++) {
        CHECK(berth_map_get(&map, name(i)) == NULL);
        REQUIRE(berth_map_set(&map, name(i), number(i)));
    }
    CHECK_INT(map.count, 5000);
    for (size_t i = 0; i < 5000; i++)
        CHECK(berth_map_get(&map, name(i)) == number(i));
    CHECK(berth_map_get(&map, "module1.functio") == NULL);
    CHECK(berth_map_get(&map, "module1.function2") == NULL);

    /* A part of a longer text, as a name is in a request. */
    const char *text = "module7.function(1, 2)";
    CHECK(berth_map_get_hashed(&map, text, 16, berth_map_hash(text, 16)) == number(7));
    CHECK(berth_map_get_hashed(&map, text, 17, berth_map_hash(text, 17)) == NULL);
    CHECK(berth_map_get_hashed(&map, text, 16, berth_map_hash(text, 16) ^ 1) == NULL);
    berth_map_deinit(&map);
    CHECK(berth_map_get(&map, "module7.function") == NULL);
}

/* As a value's own name is: the map copies nothing, and frees nothing. */
static void keys_may_be_borrowed(void)
{
    struct berth_map map;
    static char names[1000][32];
    long live = berth_fault_live();

    berth_map_init_borrowing(&map);
    for (size_t i = 0; i < COUNT(names); i++) {
        strcpy(names[i], name(i));
        REQUIRE(berth_map_set(&map, names[i], names[i]));
    }
    CHECK(berth_fault_live() <= live + 2); /* two tables */
    for (size_t i = 0; i < COUNT(names); i++)
        CHECK(berth_map_get(&map, name(i)) == names[i]);
    struct berth_map_entry *entry;
    for (size_t i = 0, expected = 0; berth_map_next(&map, &i, &entry); expected++)
        CHECK(entry->key == names[expected]);
    CHECK(berth_map_remove(&map, name(7)) == names[7]);
    CHECK(berth_map_get(&map, name(7)) == NULL);
    berth_map_deinit(&map);
    CHECK_INT(berth_fault_live(), live);
}

static void keys_are_copied_and_values_replaced(void)
{
    struct berth_map map;
    char key[] = "abc";
    int first, second;

    berth_map_init(&map);
    REQUIRE(berth_map_set(&map, key, &first));
    key[0] = 'x';
    CHECK(berth_map_get(&map, "abc") == &first);
    REQUIRE(berth_map_set(&map, "abc", &second));
    CHECK_INT(map.count, 1);
    CHECK(berth_map_get(&map, "abc") == &second);
    REQUIRE(berth_map_set(&map, "", &first));
    CHECK(berth_map_get(&map, "") == &first);
    CHECK(berth_map_remove(&map, "abc") == &second);
    CHECK(berth_map_get(&map, "abc") == NULL);
    CHECK_INT(map.count, 1);
    berth_map_deinit(&map);
}

static void walking_follows_the_order_of_insertion(void)
{
    struct berth_map map;
    struct berth_map_entry *entry;
    size_t expected = 0;

    berth_map_init(&map);
    for (size_t i = 0; i < 100; i++)
        REQUIRE(berth_map_set(&map, name(i), number(i)));
    REQUIRE(berth_map_set(&map, name(50), number(50))); /* keeps its place */
    for (size_t i = 0; berth_map_next(&map, &i, &entry); expected++) {
        CHECK_STR(entry->key, name(expected));
        CHECK(entry->value == number(expected));
        if (expected % 3 == 0)
            berth_map_remove(&map, name(expected)); /* the current one */
    }
    CHECK_INT(expected, 100);
    REQUIRE(berth_map_set(&map, name(0), number(0))); /* now the last */
    size_t previous = 0, count = 0;
    for (size_t i = 0; berth_map_next(&map, &i, &entry); count++) {
        CHECK((size_t)entry->value > previous || entry->value == number(0));
        previous = (size_t)entry->value;
    }
    CHECK_INT(count, 67);
    CHECK(previous == (size_t)number(0));
    berth_map_deinit(&map);
}

/* Against a plain table, with many removals, so that the index fills with the dead. */
static void it_agrees_with_a_table(void)
{
    struct berth_map map;
    void *table[64] = { NULL };
    size_t count = 0;

    berth_map_init(&map);
    for (size_t step = 0; step < 100000; step++) {
        size_t i = berth_test_random_below(COUNT(table));
        switch (berth_test_random_below(3)) {
        case 0: {
            void *value = number(berth_test_random_below(1000));
            REQUIRE(berth_map_set(&map, name(i), value));
            count += !table[i];
            table[i] = value;
            break;
        }
        case 1:
            CHECK(berth_map_remove(&map, name(i)) == table[i]);
            count -= table[i] != NULL;
            table[i] = NULL;
            break;
        default:
            CHECK(berth_map_get(&map, name(i)) == table[i]);
        }
        CHECK_INT(map.count, count);
    }
    CHECK(map.capacity <= 512); /* the removed ones are cleared away */
    berth_map_deinit(&map);
}

static void without_memory_nothing_changes(void)
{
    for (unsigned long k = 1; k <= 60; k++) {
        struct berth_map map;
        long live = berth_fault_live();
        size_t added = 0, failed = 0;

        berth_map_init(&map);
        berth_fault_arm(k, false);
        for (size_t i = 0; i < 40; i++) {
            if (berth_map_set(&map, name(i), number(i)))
                added++;
            else
                failed++;
        }
        bool hit = berth_fault_disarm();
        CHECK_INT(failed, hit);
        CHECK_INT(map.count, added);
        size_t found = 0;
        for (size_t i = 0; i < 40; i++)
            found += berth_map_get(&map, name(i)) == number(i);
        CHECK_INT(found, added);
        berth_map_deinit(&map);
        CHECK_INT(berth_fault_live(), live);
    }
}

static void hashing_is_keyed_and_spreads(void)
{
    char text[64] = { 0 };
    size_t buckets[256] = { 0 };

    /* The same key has the same hash wherever it lies, and no byte after it counts. */
    for (size_t length = 0; length <= 40; length++)
        for (size_t shift = 0; shift < 16; shift++) {
            memset(text, 'z', sizeof(text));
            memcpy(text + shift, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", length);
            CHECK(berth_map_hash(text + shift, length) ==
                  berth_map_hash("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", length));
        }
    CHECK(berth_map_hash("a\0b", 3) != berth_map_hash("a\0c", 3));
    CHECK(berth_map_hash("", 0) != berth_map_hash("\0", 1));
    for (size_t i = 0; i < 25600; i++)
        buckets[berth_map_hash(name(i), strlen(name(i))) % COUNT(buckets)]++;
    for (size_t i = 0; i < COUNT(buckets); i++)
        CHECK(buckets[i] > 40 && buckets[i] < 180); /* 100 ± 6 sigma */
}

static void *hash_on_a_thread(void *ret_hash)
{
    *(uint64_t *)ret_hash = berth_map_hash("divide", 6);
    return NULL;
}

static void all_threads_have_one_seed(void)
{
    pthread_t threads[8];
    uint64_t hashes[COUNT(threads)];

    for (size_t i = 0; i < COUNT(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, hash_on_a_thread, &hashes[i]) == 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(hashes[i] == berth_map_hash("divide", 6));
}

static void a_lookup_is_fast(void)
{
    struct berth_map map;
    struct timespec before, after;
    size_t sum = 0;
    enum { NAMES = 1000, ROUNDS = 300 };
    char(*names)[24] = berth_test_alloc(NAMES * sizeof(*names));

    if (berth_test_instrumented())
        berth_skip("instrumented code is slow");
    berth_map_init(&map);
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "mod%04zu.function%04zu", i, i);
        REQUIRE(berth_map_set(&map, names[i], number(i)));
    }
    double best = 1e9;
    for (int attempt = 0; attempt < 5; attempt++) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before); /* what others take does not count */
        for (size_t round = 0; round < ROUNDS; round++)
            for (size_t i = 0; i < NAMES; i++)
                sum += (size_t)berth_map_get(&map, names[i]);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
        double ns = ((double)(after.tv_sec - before.tv_sec) * 1e9 +
                     (double)(after.tv_nsec - before.tv_nsec)) /
                    (NAMES * ROUNDS);
        best = ns < best ? ns : best;
    }
    berth_note("%.1f ns for a name of 20 characters among %d (checksum %zu)", best, NAMES, sum);
    CHECK(best < 300); /* a gross mistake; the benchmarks look closer */
    berth_map_deinit(&map);
}

/* ---- ids ---- */

static void ids_end_with_their_values(void)
{
    struct berth_idmap map;
    int values[3];

    berth_idmap_init(&map);
    CHECK(berth_idmap_get(&map, 0) == NULL);
    CHECK(berth_idmap_get(&map, 1) == NULL);
    uint64_t first = berth_idmap_add(&map, &values[0]);
    uint64_t second = berth_idmap_add(&map, &values[1]);
    CHECK(first != 0 && second != 0 && first != second);
    CHECK(berth_idmap_get(&map, first) == &values[0]);
    CHECK(berth_idmap_get(&map, second) == &values[1]);
    CHECK(berth_idmap_remove(&map, first) == &values[0]);
    CHECK(berth_idmap_get(&map, first) == NULL);
    CHECK(berth_idmap_remove(&map, first) == NULL);
    uint64_t third = berth_idmap_add(&map, &values[2]);
    CHECK(third != first);
    CHECK(berth_idmap_get(&map, first) == NULL);
    CHECK(berth_idmap_get(&map, third) == &values[2]);
    CHECK_INT(map.count, 2);
    for (int i = 0; i < 1000; i++) { /* whatever somebody makes up */
        uint64_t id = berth_test_random() >> (i % 64);
        if (id != second && id != third)
            CHECK(berth_idmap_get(&map, id) == NULL);
    }
    berth_idmap_deinit(&map);
    CHECK(berth_idmap_get(&map, second) == NULL);
}

static void many_ids_come_and_go(void)
{
    struct berth_idmap map;
    static char values[1000];
    uint64_t ids[COUNT(values)] = { 0 }, dead = 0, id;
    size_t count = 0;

    berth_idmap_init(&map);
    for (size_t step = 0; step < 100000; step++) {
        size_t i = berth_test_random_below(COUNT(values));
        if (ids[i] == 0) {
            ids[i] = berth_idmap_add(&map, &values[i]);
            REQUIRE(ids[i] != 0);
            count++;
        } else {
            CHECK(berth_idmap_remove(&map, ids[i]) == &values[i]);
            dead = ids[i];
            ids[i] = 0;
            count--;
        }
        CHECK_INT(map.count, count);
        if (dead)
            CHECK(berth_idmap_get(&map, dead) == NULL);
        if (ids[i])
            CHECK(berth_idmap_get(&map, ids[i]) == &values[i]);
    }
    size_t walked = 0;
    uint32_t position = 0;
    for (char *value; (value = berth_idmap_next(&map, &position, &id)); walked++) {
        CHECK(ids[value - values] == id);
        CHECK(berth_idmap_remove(&map, id) == value); /* the current one */
    }
    CHECK_INT(walked, count);
    CHECK_INT(map.count, 0);
    position = 0;
    CHECK(berth_idmap_next(&map, &position, NULL) == NULL);
    berth_idmap_deinit(&map);
}

static void no_id_without_memory(void)
{
    struct berth_idmap map;
    long live = berth_fault_live();
    int value;

    if (!berth_fault_works())
        berth_skip("no allocation can be made to fail here");
    berth_idmap_init(&map);
    size_t given = 0;
    for (unsigned long k = 1; k <= 3; k++) {
        uint64_t id;
        berth_fault_arm(1, false);
        while ((id = berth_idmap_add(&map, &value)) != 0)
            given++;
        CHECK(berth_fault_disarm());
        CHECK_INT(map.count, given);
        CHECK(berth_idmap_add(&map, &value) != 0); /* and it goes on */
        given++;
    }
    berth_idmap_deinit(&map);
    CHECK_INT(berth_fault_live(), live);
}

static const struct berth_test tests[] = {
    { "names_are_found", names_are_found },
    { "keys_are_copied_and_values_replaced", keys_are_copied_and_values_replaced },
    { "keys_may_be_borrowed", keys_may_be_borrowed },
    { "walking_follows_the_order_of_insertion", walking_follows_the_order_of_insertion },
    { "it_agrees_with_a_table", it_agrees_with_a_table },
    { "without_memory_nothing_changes", without_memory_nothing_changes },
    { "hashing_is_keyed_and_spreads", hashing_is_keyed_and_spreads },
    { "all_threads_have_one_seed", all_threads_have_one_seed },
    { "a_lookup_is_fast", a_lookup_is_fast },
    { "ids_end_with_their_values", ids_end_with_their_values },
    { "many_ids_come_and_go", many_ids_come_and_go },
    { "no_id_without_memory", no_id_without_memory },
};

int main(int argc, char **argv)
{
    return berth_suite_main("map", tests, COUNT(tests), argc, argv);
}
