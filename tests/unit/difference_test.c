/* SPDX-License-Identifier: MIT */
/* From the modules that run to those that are to run: which steps, and in which order. */
#include "runtime/shell/difference.h"

#include <string.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A module as a configuration has it; file NULL: it was not found. */
struct line {
    const char *name, *file, *options;
    int placement;
    bool optional;
    struct berth_config_restart restart;
};

static struct berth_roster_entry *entry_of(const struct line *line)
{
    const struct berth_config_module module = { .entry.key = line->name,
                                                .found = line->file,
                                                .options_json = line->options,
                                                .placement = line->placement,
                                                .optional = line->optional,
                                                .restart = line->restart };
    return berth_roster_entry_new(&module);
}

static int fill(struct berth_roster *roster, const struct line *lines, size_t count)
{
    int code = berth_roster_reserve(roster, count, NULL);

    for (size_t i = 0; i < count && code == BERTH_OK; i++) {
        struct berth_roster_entry *entry = entry_of(&lines[i]);
        if (!entry)
            return BERTH_RESOURCE_EXHAUSTED;
        berth_roster_put(roster, entry);
        berth_roster_entry_unref(entry);
    }
    return code;
}

/* The steps in a line: "+new ~changed -gone ". Lasts as long as the test. */
static const char *print(const struct berth_difference *difference)
{
    const char *all = "";

    for (size_t i = 0; i < difference->count; i++) {
        const struct berth_step *step = &difference->steps[i];
        CHECK((step->kind == BERTH_STEP_LOAD) == !step->old);
        CHECK((step->kind == BERTH_STEP_UNLOAD) == !step->next);
        CHECK(!step->taken);
        all = berth_test_format("%s%c%s ", all, "+~-"[step->kind],
                                step -> next ? step -> next -> name : step -> old -> name);
    }
    return all;
}

static const char *difference(const struct line *from, size_t from_count, const struct line *to,
                              size_t to_count)
{
    struct berth_roster running = { .count = 0 }, wanted = { .count = 0 };
    struct berth_difference result;
    struct berth_error error;

    REQUIRE(fill(&running, from, from_count) == BERTH_OK);
    REQUIRE(fill(&wanted, to, to_count) == BERTH_OK);
    CHECK_CODE(berth_difference_init(&result, &running, &wanted, &error), BERTH_OK, &error);
    berth_roster_deinit(&running); /* the steps hold what they need */
    berth_roster_deinit(&wanted);
    const char *text = print(&result);
    berth_difference_deinit(&result);
    return text;
}

static void loads_reloads_unloads(void)
{
    static const struct line from[] = { { .name = "a", .file = "/a" },
                                        { .name = "b", .file = "/b" },
                                        { .name = "c", .file = "/c" },
                                        { .name = "d", .file = "/d" } };
    static const struct line to[] = { { .name = "d", .file = "/d2" },
                                      { .name = "x", .file = "/x" },
                                      { .name = "b", .file = "/b2" },
                                      { .name = "y", .file = "/y" } };

    CHECK_STR(difference(from, 4, to, 4), "+x +y ~d ~b -c -a ");
    CHECK_STR(difference(from, 4, from, 4), "");
    CHECK_STR(difference(NULL, 0, to, 4), "+d +x +b +y ");
    CHECK_STR(difference(from, 4, NULL, 0), "-d -c -b -a ");
    CHECK_STR(difference(NULL, 0, NULL, 0), "");
}

static void what_makes_it_another_one(void)
{
    static const struct line old = { "m", "/m", "{\"a\":1}", 0, false, { .word = 0 } };
    static const struct {
        struct line next;
        const char *steps;
    } cases[] = {
        { { "m", "/m", "{\"a\":1}", 0, false, { .word = 0 } }, "" },
        { { "m", "/m", "{\"a\":1}", 0, true, { .word = 0 } },
          "" }, /* says nothing about one that runs */
        { { "m", "/n", "{\"a\":1}", 0, false, { .word = 0 } }, "~m " },
        { { "m", "/m", "{\"a\":2}", 0, false, { .word = 0 } }, "~m " },
        { { "m", "/m", NULL, 0, false, { .word = 0 } }, "~m " },
        { { "m", "/m", "{\"a\":1}", 1, false, { .word = 0 } }, "~m " },
        { { "m", "/m", "{\"a\":1}", 0, false, { .word = 1 } }, "~m " },
        { { "m", "/m", "{\"a\":1}", 0, false, { .policy.limit = 2 } }, "~m " },
        { { "m", "/m", "{\"a\":1}", 0, false, { .policy.window_ns = 2 } }, "~m " },
        { { "m", "/m", "{\"a\":1}", 0, false, { .policy.first_ns = 2 } }, "~m " },
        { { "m", "/m", "{\"a\":1}", 0, false, { .policy.last_ns = 2 } }, "~m " },
        { { "n", "/m", "{\"a\":1}", 0, false, { .word = 0 } }, "+n -m " },
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_STR(difference(&old, 1, &cases[i].next, 1), cases[i].steps);
}

static void no_options_are_the_defaults(void)
{
    static const struct line none = { .name = "m", .file = "/m" };
    static const struct line empty = { .name = "m", .file = "/m", .options = "{}" };

    CHECK_STR(difference(&none, 1, &empty, 1), "");
}

static void what_is_not_found_stays_as_it_is(void)
{
    static const struct line running = { .name = "m", .file = "/m", .optional = true };
    static const struct line lost = { .name = "m", .optional = true };

    CHECK_STR(difference(&running, 1, &lost, 1), "");
    CHECK_STR(difference(NULL, 0, &lost, 1), "");
}

static void a_file_is_told_by_more_than_its_name(void)
{
    const struct line line = { .name = "m", .file = berth_test_fixture("math") };
    struct berth_roster a = { .count = 0 }, b = { .count = 0 };
    struct berth_difference result;

    REQUIRE(fill(&a, &line, 1) == BERTH_OK && fill(&b, &line, 1) == BERTH_OK);
    CHECK(a.entries[0]->stamp.size > 0);
    CHECK(berth_stamp_equal(&a.entries[0]->stamp, &b.entries[0]->stamp));
    for (int i = 0; i < 5; i++) {
        const struct berth_stamp stamp = b.entries[0]->stamp;
        b.entries[0]->stamp.device += i == 0;
        b.entries[0]->stamp.inode += i == 1;
        b.entries[0]->stamp.size += i == 2;
        b.entries[0]->stamp.modified.tv_sec += i == 3;
        b.entries[0]->stamp.modified.tv_nsec += i == 4;
        REQUIRE(berth_difference_init(&result, &a, &b, NULL) == BERTH_OK);
        CHECK_STR(print(&result), "~m ");
        berth_difference_deinit(&result);
        b.entries[0]->stamp = stamp;
    }
    berth_roster_deinit(&a);
    berth_roster_deinit(&b);
}

static void one_that_was_moved_is_set_right(void)
{
    static const struct line line = { .name = "m", .file = "/m", .optional = true };
    struct berth_roster a = { .count = 0 }, b = { .count = 0 };
    struct berth_difference result;

    REQUIRE(fill(&a, &line, 1) == BERTH_OK && fill(&b, &line, 1) == BERTH_OK);
    struct berth_roster_entry *moved =
        berth_roster_entry_elsewhere(a.entries[0], "/other", "process");
    REQUIRE(moved);
    CHECK_STR(moved->placement, "process");
    CHECK(moved->optional);
    berth_roster_put(&a, moved);
    berth_roster_entry_unref(moved);
    CHECK_INT(a.count, 1);
    REQUIRE(berth_difference_init(&result, &a, &b, NULL) == BERTH_OK);
    CHECK_STR(print(&result), "~m ");
    berth_difference_deinit(&result);
    berth_roster_remove(&a, "none");
    berth_roster_remove(&a, "m");
    CHECK(!berth_roster_find(&a, "m"));
    berth_roster_deinit(&a);
    berth_roster_deinit(&b);
}

/* ---- the order ---- */

/* The order of these, as names; requirer requires math and imports from it, counter neither. */
static const char *order(const struct line *lines, size_t count)
{
    struct berth_roster to = { .count = 0 }, none = { .count = 0 };
    struct berth_difference result;
    struct berth_error error;

    REQUIRE(fill(&to, lines, count) == BERTH_OK);
    REQUIRE(berth_difference_init(&result, &none, &to, &error) == BERTH_OK);
    CHECK_CODE(berth_difference_order(&result, &error), BERTH_OK, &error);
    const char *text = print(&result);
    berth_difference_deinit(&result);
    berth_roster_deinit(&to);
    return text;
}

static void what_is_required_comes_first(void)
{
    const char *requirer = berth_test_fixture("requirer"), *math = berth_test_fixture("math");
    const struct line lines[] = { { .name = "requirer", .file = requirer },
                                  { .name = "lost", .file = "/none" },
                                  { .name = "math", .file = math },
                                  { .name = "again", .file = requirer } };
    const struct line ring[] = { { .name = "math", .file = requirer },
                                 { .name = "requirer", .file = requirer } };

    CHECK_STR(order(lines, 4), "+lost +math +requirer +again ");
    CHECK_STR(order(lines, 2), "+requirer +lost "); /* math is there, or it will be told */
    CHECK_STR(order(ring, 2), "+math +requirer ");
}

static void what_is_imported_comes_first_where_it_can(void)
{
    const struct line chain[] = { { .name = "chain_a", .file = berth_test_fixture("chain_a") },
                                  { .name = "chain_b", .file = berth_test_fixture("chain_b") },
                                  { .name = "chain_c", .file = berth_test_fixture("chain_c") } };
    const struct line ring[] = { { .name = "cycle_b", .file = berth_test_fixture("cycle_b") },
                                 { .name = "cycle_a", .file = berth_test_fixture("cycle_a") } };

    CHECK_STR(order(chain, 3), "+chain_c +chain_b +chain_a ");
    CHECK_STR(order(ring, 2), "+cycle_b +cycle_a ");
}

/* One that is reloaded may be required by one that is new, and the unloads stay behind. */
static void loads_and_reloads_are_ordered_together(void)
{
    const struct line from[] = { { .name = "math", .file = "/old" },
                                 { .name = "x", .file = "/x" } };
    const struct line to[] = { { .name = "requirer", .file = berth_test_fixture("requirer") },
                               { .name = "math", .file = berth_test_fixture("math") } };
    struct berth_roster running = { .count = 0 }, wanted = { .count = 0 };
    struct berth_difference result;

    REQUIRE(fill(&running, from, 2) == BERTH_OK && fill(&wanted, to, 2) == BERTH_OK);
    REQUIRE(berth_difference_init(&result, &running, &wanted, NULL) == BERTH_OK);
    CHECK_STR(print(&result), "+requirer ~math -x ");
    REQUIRE(berth_difference_order(&result, NULL) == BERTH_OK);
    CHECK_STR(print(&result), "~math +requirer -x ");
    berth_difference_deinit(&result);
    berth_roster_deinit(&running);
    berth_roster_deinit(&wanted);
}

/* ---- without memory ---- */

static int work(const struct line *from, const struct line *to)
{
    struct berth_roster running = { .count = 0 }, wanted = { .count = 0 };
    struct berth_difference result = { .count = 0 };
    int code = fill(&running, from, 2);

    if (code == BERTH_OK)
        code = fill(&wanted, to, 2);
    if (code == BERTH_OK)
        code = berth_difference_init(&result, &running, &wanted, NULL);
    if (code == BERTH_OK)
        code = berth_difference_order(&result, NULL);
    if (code == BERTH_OK) {
        struct berth_roster_entry *other =
            berth_roster_entry_elsewhere(wanted.entries[0], "/other", "inline");
        code = other ? BERTH_OK : BERTH_RESOURCE_EXHAUSTED;
        berth_roster_entry_unref(other);
    }
    berth_difference_deinit(&result);
    berth_roster_deinit(&running);
    berth_roster_deinit(&wanted);
    return code;
}

static void missing_memory_is_an_error(void)
{
    const struct line from[] = { { .name = "a", .file = "/a" }, { .name = "b", .file = "/b" } };
    const struct line to[] = { { .name = "b", .file = berth_test_fixture("math") },
                               { .name = "c", .file = berth_test_fixture("requirer") } };
    bool hit = true;

    if (!berth_fault_works())
        berth_skip("no malloc of our own here");
    CHECK_INT(work(from, to), BERTH_OK);
    for (unsigned long k = 1; hit; k++) {
        long before = berth_fault_live();
        berth_fault_arm(k, false);
        int code = work(from, to);
        hit = berth_fault_disarm();
        if (!berth_test_instrumented()) /* a sanitizer counts for itself */
            CHECK_INT(berth_fault_live(), before);
        CHECK(code == BERTH_OK || (hit && code == BERTH_RESOURCE_EXHAUSTED));
    }
}

static const struct berth_test tests[] = {
    { "loads_reloads_unloads", loads_reloads_unloads },
    { "what_makes_it_another_one", what_makes_it_another_one },
    { "no_options_are_the_defaults", no_options_are_the_defaults },
    { "what_is_not_found_stays_as_it_is", what_is_not_found_stays_as_it_is },
    { "a_file_is_told_by_more_than_its_name", a_file_is_told_by_more_than_its_name },
    { "one_that_was_moved_is_set_right", one_that_was_moved_is_set_right },
    { "what_is_required_comes_first", what_is_required_comes_first },
    { "what_is_imported_comes_first_where_it_can", what_is_imported_comes_first_where_it_can },
    { "loads_and_reloads_are_ordered_together", loads_and_reloads_are_ordered_together },
    { "missing_memory_is_an_error", missing_memory_is_an_error },
};

int main(int argc, char **argv)
{
    return berth_suite_main("difference", tests, COUNT(tests), argc, argv);
}
