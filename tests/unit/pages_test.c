/* SPDX-License-Identifier: MIT */
#include "runtime/base/pages.h"

#include <stdint.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"

static char *at(uintptr_t address)
{
    return (char *)address; /* never looked into */
}

static void knows_each_page_that_is_touched(void)
{
    static int one, two;
    struct berth_pages pages;
    berth_pages_init(&pages);
    CHECK(berth_pages_get(&pages, &one) == NULL);
    CHECK(berth_pages_set(&pages, at(0x7fff12345000), 3 * BERTH_PAGE, &one));
    CHECK(berth_pages_set(&pages, at(0x7fff12348800), 1, &two));
    CHECK(berth_pages_get(&pages, at(0x7fff12344fff)) == NULL);
    CHECK(berth_pages_get(&pages, at(0x7fff12345000)) == &one);
    CHECK(berth_pages_get(&pages, at(0x7fff12347fff)) == &one);
    CHECK(berth_pages_get(&pages, at(0x7fff12348000)) == &two);
    CHECK(berth_pages_get(&pages, at(0x7fff12349000)) == NULL);
    berth_pages_clear(&pages, at(0x7fff12345000), 3 * BERTH_PAGE);
    CHECK(berth_pages_get(&pages, at(0x7fff12346000)) == NULL);
    CHECK(berth_pages_get(&pages, at(0x7fff12348000)) == &two);
    berth_pages_deinit(&pages);
}

static void goes_over_the_ends_of_nodes(void)
{
    static int value;
    struct berth_pages pages;
    char *end = at((uintptr_t)1 << 39);
    berth_pages_init(&pages);
    CHECK(berth_pages_set(&pages, end - BERTH_PAGE, 2 * BERTH_PAGE, &value));
    CHECK(berth_pages_get(&pages, end - 1) == &value);
    CHECK(berth_pages_get(&pages, end) == &value);
    CHECK(berth_pages_get(&pages, end + BERTH_PAGE) == NULL);
    CHECK(berth_pages_get(&pages, end - BERTH_PAGE - 1) == NULL);
    berth_pages_deinit(&pages);
}

static void takes_no_address_that_is_too_large(void)
{
    static int value;
    struct berth_pages pages;
    char *end = at((uintptr_t)1 << 48);
    berth_pages_init(&pages);
    CHECK(berth_pages_set(&pages, end - BERTH_PAGE, BERTH_PAGE, &value));
    CHECK(berth_pages_get(&pages, end - 1) == &value);
    CHECK(!berth_pages_set(&pages, end - 1, 2, &value));
    CHECK(!berth_pages_set(&pages, end, 1, &value));
    CHECK(!berth_pages_set(&pages, at(UINTPTR_MAX - BERTH_PAGE), BERTH_PAGE + 1, &value));
    CHECK(berth_pages_get(&pages, end) == NULL);
    CHECK(berth_pages_get(&pages, at(UINTPTR_MAX)) == NULL);
    berth_pages_deinit(&pages);
}

static void without_memory_nothing_has_changed(void)
{
    static int value;
    char *end = at((uintptr_t)1 << 30);
    bool set = !berth_fault_works();
    for (unsigned long n = 1; !set; n++) {
        struct berth_pages pages;
        berth_pages_init(&pages);
        berth_fault_arm(n, false);
        set = berth_pages_set(&pages, end - BERTH_PAGE, 2 * BERTH_PAGE, &value);
        CHECK(berth_fault_disarm() == !set);
        CHECK((berth_pages_get(&pages, end - 1) == &value) == set);
        CHECK((berth_pages_get(&pages, end) == &value) == set);
        berth_pages_deinit(&pages);
    }
}

static const struct berth_test tests[] = {
    { "knows_each_page_that_is_touched", knows_each_page_that_is_touched },
    { "goes_over_the_ends_of_nodes", goes_over_the_ends_of_nodes },
    { "takes_no_address_that_is_too_large", takes_no_address_that_is_too_large },
    { "without_memory_nothing_has_changed", without_memory_nothing_has_changed },
};

int main(int argc, char **argv)
{
    return berth_suite_main("pages", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
