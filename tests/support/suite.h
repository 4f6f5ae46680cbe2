/* SPDX-License-Identifier: MIT */
/*
 * A test program: a table of tests, run by CUnit, reported in TAP for Automake's harness.
 *
 *     static void adds(void) { CHECK_INT(add(1, 2), 3); }
 *
 *     static const struct berth_test tests[] = {
 *         { "adds", adds },
 *     };
 *
 *     int main(int argc, char **argv)
 *     {
 *         return berth_suite_main("add", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
 *     }
 *
 * Run by hand, `add_test` runs all tests, `add_test 'ad*'` those whose names match a pattern, and
 * `add_test --list` prints the names. Three variables of the environment matter:
 *     BERTH_TEST_SEED     the seed of berth_test_random(); a failure prints the one that was used
 *     BERTH_TEST_TIMEOUT  seconds that one test may take before the program aborts (default 300)
 *     BERTH_TEST_UNDER    "valgrind" when run by it
 */
#ifndef BERTH_TESTS_SUPPORT_SUITE_H
#define BERTH_TESTS_SUPPORT_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <CUnit/CUnit.h>

#include <berth/error.h>

#include "tests/support/command.h"
#include "tests/support/scratch.h"

struct berth_test {
    const char *name;
    void (*run)(void);
};

/* What main() returns. The table is not copied. */
int berth_suite_main(const char *suite, const struct berth_test *tests, size_t count, int argc,
                     char **argv);

/* Ends the running test as skipped, with a reason. On the test's own thread; does not return. */
__attribute__((noreturn, format(printf, 1, 2))) void berth_skip(const char *format, ...);

/* Prints a line of diagnosis. Any thread. */
__attribute__((format(printf, 1, 2))) void berth_note(const char *format, ...);

/*
 * Checks. Any thread may use the CHECK family; a failed check is printed with its values and the
 * test goes on. REQUIRE ends the test at once, so only the test's own thread may use it (elsewhere
 * it aborts the program). CUnit's own assertions work as well, on the test's own thread.
 */
#define CHECK(condition) ((void)berth_check((condition), BERTH_TEST_HERE, #condition))
#define CHECK_INT(actual, expected)                                                     \
    ((void)berth_check_int((long long)(actual), (long long)(expected), BERTH_TEST_HERE, \
                           #actual " == " #expected))
#define CHECK_STR(actual, expected) \
    ((void)berth_check_str((actual), (expected), BERTH_TEST_HERE, #actual " == " #expected))
/* TEXT contains PART: for messages, of which a test should pin the point and not every word. */
#define CHECK_CONTAINS(text, part) \
    ((void)berth_check_contains((text), (part), BERTH_TEST_HERE, #text " contains " #part))
/* An enum berth_code, and the struct berth_error (or NULL) whose text explains a wrong one. */
#define CHECK_CODE(actual, expected, error) \
    ((void)berth_check_code((actual), (expected), (error), BERTH_TEST_HERE, #actual))
#define REQUIRE(condition) berth_require((condition), BERTH_TEST_HERE, #condition)

struct berth_test_place {
    const char *file;
    int line;
};
#define BERTH_TEST_HERE ((struct berth_test_place){ __FILE__, __LINE__ })

bool berth_check(bool passed, struct berth_test_place place, const char *expression);
bool berth_check_int(long long actual, long long expected, struct berth_test_place place,
                     const char *expression);
bool berth_check_str(const char *actual, const char *expected, struct berth_test_place place,
                     const char *expression);
bool berth_check_contains(const char *text, const char *part, struct berth_test_place place,
                          const char *expression);
bool berth_check_code(int actual, int expected, const struct berth_error *error,
                      struct berth_test_place place, const char *expression);
void berth_require(bool passed, struct berth_test_place place, const char *expression);

/*
 * Repeatable randomness: the sequence begins anew with every test, so that a test which runs alone
 * sees what it saw among the others. Only on the test's own thread.
 */
uint64_t berth_test_seed(void);
uint64_t berth_test_random(void);
/* Evenly from 0 to limit - 1; limit is not 0. */
uint64_t berth_test_random_below(uint64_t limit);

/*
 * Time. No verdict may depend on how fast the machine is: what must happen is waited for, and a
 * bound from above is patience, which only a machine that stands still exceeds. It is half of what
 * the test may take, in nanoseconds. A pause may only give what is wrong a chance to show.
 */
int64_t berth_test_now(void); /* CLOCK_MONOTONIC, in nanoseconds */
int64_t berth_test_patience(void);
/* Waits until a condition holds, and checks that it does. Any thread. */
#define EVENTUALLY(condition)                                                \
    do {                                                                     \
        int64_t berth_end = berth_test_now() + berth_test_patience();        \
        bool berth_met; /* looked at once more, it may not be so any more */ \
        while (!(berth_met = (condition)) && berth_test_now() < berth_end)   \
            berth_test_pause(1);                                             \
        if (!berth_met)                                                      \
            CHECK(condition);                                                \
    } while (0)
void berth_test_pause(unsigned milliseconds);

/* True under ASan, TSan or valgrind, where time and memory say little. */
bool berth_test_instrumented(void);
/* True under valgrind, which cannot follow clone3: tests that start a worker are skipped there. */
bool berth_test_valgrind(void);

#endif
