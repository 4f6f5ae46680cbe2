/* SPDX-License-Identifier: MIT */
#include "tests/support/suite.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <CUnit/TestRun.h>

static struct {
    unsigned long number; /* of the running test, from 1 */
    bool skipped;
    char skip_reason[256];
    uint64_t seed;
    uint64_t random_state;
    unsigned timeout; /* seconds for each test */
    pthread_t thread; /* that runs the tests */
    pthread_mutex_t output;
    char timeout_text[256]; /* written beforehand: a signal handler cannot format */
} suite = { .output = PTHREAD_MUTEX_INITIALIZER };

/* ---- Diagnosis ---- */

/* Prints one or more lines of diagnosis, each as TAP wants them. */
__attribute__((format(printf, 1, 0))) static void note(const char *format, va_list arguments)
{
    char text[4096];
    vsnprintf(text, sizeof(text), format, arguments);

    pthread_mutex_lock(&suite.output);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        printf("# %s\n", line);
    fflush(stdout);
    pthread_mutex_unlock(&suite.output);
}

void berth_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    note(format, arguments);
    va_end(arguments);
}

/* ---- Checks ---- */

/*
 * What fails is printed here and at once, while values are known and even if the program crashes
 * next; CUnit keeps a record without a text, only to count it.
 */
__attribute__((format(printf, 3, 4))) static bool record(bool passed, struct berth_test_place place,
                                                         const char *format, ...)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    if (!passed) {
        char text[3072];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        berth_note("%s:%d: %s", place.file, place.line, text);
    }

    pthread_mutex_lock(&lock);
    CU_assertImplementation(passed, (unsigned)place.line, "", place.file, "", CU_FALSE);
    pthread_mutex_unlock(&lock);
    return passed;
}

bool berth_check(bool passed, struct berth_test_place place, const char *expression)
{
    return record(passed, place, "%s", expression);
}

bool berth_check_int(long long actual, long long expected, struct berth_test_place place,
                     const char *expression)
{
    return record(actual == expected, place, "%s: got %lld, expected %lld", expression, actual,
                  expected);
}

bool berth_check_str(const char *actual, const char *expected, struct berth_test_place place,
                     const char *expression)
{
    bool same = actual && expected ? strcmp(actual, expected) == 0 : actual == expected;

    return record(same, place, "%s:\n  got      %s\n  expected %s", expression,
                  actual ? actual : "(null)", expected ? expected : "(null)");
}

bool berth_check_contains(const char *text, const char *part, struct berth_test_place place,
                          const char *expression)
{
    return record(text && part && strstr(text, part), place, "%s:\n  got      %s\n  lacks    %s",
                  expression, text ? text : "(null)", part ? part : "(null)");
}

bool berth_check_code(int actual, int expected, const struct berth_error *error,
                      struct berth_test_place place, const char *expression)
{
    return record(actual == expected, place, "%s: got code %d, expected %d%s%s", expression, actual,
                  expected, error && actual ? ": " : "", error && actual ? error->text : "");
}

/* Leaves the running test through CUnit's own way out of a fatal assertion. */
__attribute__((noreturn)) static void leave_test(void)
{
    if (!pthread_equal(pthread_self(), suite.thread)) {
        berth_note("a thread of its own cannot end the test: giving up");
        abort();
    }
    longjmp(*CU_get_current_test()->pJumpBuf, 1);
}

void berth_require(bool passed, struct berth_test_place place, const char *expression)
{
    if (!record(passed, place, "%s (required)", expression))
        leave_test();
}

void berth_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(suite.skip_reason, sizeof(suite.skip_reason), format, arguments);
    va_end(arguments);
    suite.skipped = true;
    leave_test();
}

/* ---- Randomness ---- */

uint64_t berth_test_seed(void)
{
    return suite.seed;
}

/* splitmix64 */
uint64_t berth_test_random(void)
{
    uint64_t z = suite.random_state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

uint64_t berth_test_random_below(uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)berth_test_random() * limit) >> 64);
}

/* ---- Time ---- */

int64_t berth_test_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t berth_test_patience(void)
{
    return suite.timeout * INT64_C(500000000);
}

void berth_test_pause(unsigned milliseconds)
{
    usleep((useconds_t)milliseconds * 1000);
}

/* ---- Where the tests run ---- */

bool berth_test_valgrind(void)
{
    const char *under = getenv("BERTH_TEST_UNDER");
    return under && strcmp(under, "valgrind") == 0;
}

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

bool berth_test_instrumented(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return berth_test_valgrind();
#endif
}

/* ---- The run ---- */

static void timed_out(int signal_number)
{
    (void)signal_number;
    ssize_t written = write(STDOUT_FILENO, suite.timeout_text, strlen(suite.timeout_text));
    (void)written;
    abort();
}

static void test_started(const CU_pTest test, const CU_pSuite unused)
{
    (void)unused;
    suite.number++;
    suite.skipped = false;
    suite.random_state = suite.seed;
    snprintf(suite.timeout_text, sizeof(suite.timeout_text),
             "# %s took more than %u seconds (BERTH_TEST_TIMEOUT), with BERTH_TEST_SEED=%llu\n",
             test->pName, suite.timeout, (unsigned long long)suite.seed);
    alarm(suite.timeout);
}

static void test_completed(const CU_pTest test, const CU_pSuite unused, CU_pFailureRecord failure)
{
    (void)unused;
    alarm(0);
    berth_scratch_clear();

    bool failed = failure != NULL;
    for (; failure; failure = failure->pNext)
        if (*failure->strCondition)
            berth_note("%s:%u: %s", failure->strFileName, failure->uiLineNumber,
                       failure->strCondition);
    if (failed)
        berth_note("repeat with: BERTH_TEST_SEED=%llu %s %s", (unsigned long long)suite.seed,
                   program_invocation_name, test->pName);

    pthread_mutex_lock(&suite.output);
    printf("%s %lu - %s", failed ? "not ok" : "ok", suite.number, test->pName);
    if (suite.skipped && !failed)
        printf(" # SKIP %s", suite.skip_reason);
    printf("\n");
    fflush(stdout);
    pthread_mutex_unlock(&suite.output);
}

/* A number from the environment, or a default where there is none. */
static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static uint64_t fresh_seed(void)
{
    uint32_t seed = 0; /* 32 bits: easier to type again */
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint32_t)getpid();
    return seed;
}

static bool wanted(const struct berth_test *test, int argc, char **argv)
{
    if (argc < 2)
        return true;
    for (int i = 1; i < argc; i++)
        if (fnmatch(argv[i], test->name, 0) == 0)
            return true;
    return false;
}

static int run_tests(const char *name, const struct berth_test *tests, size_t count, int argc,
                     char **argv)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return EXIT_FAILURE;
    CU_pSuite registered = CU_add_suite(name, NULL, NULL);
    if (!registered)
        return EXIT_FAILURE;

    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        if (!wanted(&tests[i], argc, argv))
            continue;
        if (!CU_add_test(registered, tests[i].name, tests[i].run))
            return EXIT_FAILURE;
        chosen++;
    }
    if (chosen == 0) {
        fprintf(stderr, "%s: no test has that name; --list prints them\n", program_invocation_name);
        return EXIT_FAILURE;
    }

    CU_set_test_start_handler(test_started);
    CU_set_test_complete_handler(test_completed);
    printf("1..%zu\n", chosen);
    fflush(stdout);

    bool ran = CU_run_all_tests() == CUE_SUCCESS;
    unsigned failed = CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    /* Automake's harness has counted the failures, and would count the status as one more. */
    bool counted = getenv("BERTH_TEST_HARNESS") != NULL;
    return ran && (failed == 0 || counted) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int berth_suite_main(const char *name, const struct berth_test *tests, size_t count, int argc,
                     char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++)
            puts(tests[i].name);
        return EXIT_SUCCESS;
    }

    suite.thread = pthread_self();
    suite.seed = number_from("BERTH_TEST_SEED", fresh_seed());
    suite.timeout = (unsigned)number_from("BERTH_TEST_TIMEOUT", 300);
    struct sigaction action = { .sa_handler = timed_out };
    sigaction(SIGALRM, &action, NULL);

    return run_tests(name, tests, count, argc, argv);
}
