/* SPDX-License-Identifier: MIT */
#include "tests/support/shortage.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/fault.h"
#include "tests/support/hosting.h"

#define TRIES_MAX 5000 /* none is well: what is used again costs nothing */

/* ---- Memory ---- */

static void one_block(unsigned long n)
{
    berth_fault_arm(n + 1, false);
}

static void all_blocks(unsigned long n)
{
    berth_fault_arm(n + 1, true);
}

static bool end_of_blocks(unsigned long n)
{
    (void)n;
    return berth_fault_disarm();
}

static const char *hinders_blocks(void)
{
    return berth_fault_works() ? NULL : "malloc cannot be replaced here";
}

const struct berth_shortage berth_short_of_block = { "one block of memory", one_block,
                                                     end_of_blocks, hinders_blocks,
                                                     BERTH_SHORT_ON_THREAD };
const struct berth_shortage berth_short_of_memory = { "memory", all_blocks, end_of_blocks,
                                                      hinders_blocks, BERTH_SHORT_ON_THREAD };

#define SHORT_ALL(name, where, in)                                                           \
    static void name##_one(unsigned long n)                                                  \
    {                                                                                        \
        berth_fault_arm_all(where, n + 1, false);                                            \
    }                                                                                        \
    static void name##_all(unsigned long n)                                                  \
    {                                                                                        \
        berth_fault_arm_all(where, n + 1, true);                                             \
    }                                                                                        \
    static bool name##_end(unsigned long n)                                                  \
    {                                                                                        \
        (void)n;                                                                             \
        return berth_fault_disarm_all(where);                                                \
    }                                                                                        \
    const struct berth_shortage berth_##name##_short_of_block = { "one block of the " #name, \
                                                                  name##_one, name##_end,    \
                                                                  hinders_blocks, in };      \
    const struct berth_shortage berth_##name##_short_of_memory = { "memory of the " #name,   \
                                                                   name##_all, name##_end,   \
                                                                   hinders_blocks, in };
SHORT_ALL(host, BERTH_FAULT_HERE, BERTH_SHORT_IN_HOST)
SHORT_ALL(workers, BERTH_FAULT_WORKERS, BERTH_SHORT_IN_WORKERS)

/* ---- What a process may have; who is refused some does not tell, so it is known what is enough */

#define ENOUGH_DESCRIPTORS 24
#define ENOUGH_PAGES       400

static struct rlimit before;

static void limit_descriptors(unsigned long n)
{
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(next);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    const struct rlimit limit = { (rlim_t)next + n, before.rlim_max };
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static bool end_of_descriptors(unsigned long n)
{
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    return n < ENOUGH_DESCRIPTORS;
}

static const char *hinders_descriptors(void)
{
    return berth_test_valgrind() ? "valgrind has descriptors of its own" : NULL;
}

static void limit_space(unsigned long n)
{
    rlim_t pages = strtoul(berth_test_read("/proc/self/statm", NULL), NULL, 10) + n;

    REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
    const struct rlimit limit = { pages * (rlim_t)sysconf(_SC_PAGESIZE), before.rlim_max };
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

static bool end_of_space(unsigned long n)
{
    REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
    return n < ENOUGH_PAGES;
}

static const char *hinders_space(void)
{
    return berth_test_instrumented() ? "a sanitizer or valgrind needs much of it" : NULL;
}

const struct berth_shortage berth_short_of_descriptors = { "descriptors", limit_descriptors,
                                                           end_of_descriptors, hinders_descriptors,
                                                           BERTH_SHORT_ON_THREAD };
const struct berth_shortage berth_short_of_space = { "address space", limit_space, end_of_space,
                                                     hinders_space, BERTH_SHORT_ON_THREAD };

/* ---- Trying ---- */

berth_host *berth_scarce_host(const struct berth_shortage *shortage, bool worker)
{
    struct berth_host_options options = berth_test_host_options();
    const char *hindrance = shortage->hindrance();

    if (hindrance)
        berth_skip("%s", hindrance);
    if (worker && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    options.threads = shortage->where == BERTH_SHORT_ON_THREAD ? 0 : 2;
    options.log = NULL;
    if (shortage->where == BERTH_SHORT_IN_WORKERS)
        options.worker = berth_fault_workers();
    berth_host *host = berth_test_host(&options);
    if (worker)
        berth_test_load_as(host, "greet", "away", "process");
    return host;
}

/* By threads of the host's: no mailbox has anything. */
static bool is_quiet(berth_host *host)
{
    char *json = NULL;

    if (berth_host_list(host, &json, NULL) != BERTH_OK)
        return false;
    const char *at = json;
    while ((at = strstr(at, "\"messages\":")) && at[11] == '0')
        at++;
    berth_free(json);
    return !at;
}

void berth_scarce_settle(berth_host *host)
{
    while (berth_host_dispatch(host, 0) > 0)
        ;
    UNTIL(host, is_quiet(host));
}

int berth_scarce_call(berth_host *host, const char *function, const char *arguments,
                      const char *expected)
{
    berth_ctx *ctx = berth_host_enter(host);
    char *result = NULL;

    if (!ctx)
        return BERTH_RESOURCE_EXHAUSTED;
    int code = berth_call_json(ctx, function, arguments, &result);
    CHECK((result != NULL) == (code == BERTH_OK));
    CHECK_INT(berth_error_code(ctx), code);
    CHECK((berth_error_text(ctx)[0] != '\0') == (code != BERTH_OK));
    if (result && expected)
        CHECK_STR(result, expected);
    berth_free(result);
    berth_clear(ctx);
    berth_leave(ctx);
    return code;
}

static char *list_modules(berth_host *host)
{
    struct berth_error error;
    char *json = NULL;

    berth_scarce_settle(host); /* what has been published, mailboxes tell */
    CHECK_CODE(berth_host_list(host, &json, &error), BERTH_OK, &error);
    char *quarantined = json ? strstr(json, "\"quarantined\"") : NULL;
    if (quarantined && berth_test_instrumented())
        *quarantined = '\0'; /* the image of what has failed stays, for the reports */
    return json;
}

/* The C library keeps the text of dlerror() until it was asked for, and once more. */
static void forget_text(void)
{
    dlerror();
    dlerror();
}

/* Of whom it is about; *ret_born: workers that are other ones than before. */
static long count_blocks(const struct berth_shortage *shortage, unsigned *ret_born)
{
    if (shortage->where == BERTH_SHORT_IN_WORKERS)
        return berth_fault_workers_live(ret_born);
    *ret_born = 0;
    return berth_fault_live();
}

struct outcome {
    unsigned long refused, tolerated, odd;
    long leaked; /* blocks, by all tries that failed */
};

static void note_failure(const struct berth_scarce *scarce, const struct berth_operation *operation,
                         const struct berth_shortage *shortage, int code, const char *modules,
                         struct outcome *outcome)
{
    if (code != BERTH_RESOURCE_EXHAUSTED && !outcome->odd++)
        berth_note("%s: try %lu: code %d", operation->name, outcome->refused, code);
    if (scarce->recover)
        scarce->recover();
    /* it may have cost a worker, which another one replaces; others may end any time */
    if (code == BERTH_UNAVAILABLE || shortage->where != BERTH_SHORT_ON_THREAD)
        return;
    char *now = list_modules(scarce->host);
    CHECK_STR(now, modules);
    berth_free(now);
}

static void check_unharmed(const struct berth_scarce *scarce)
{
    if (scarce->unharmed)
        scarce->unharmed();
}

/* With enough; a worker that the try before has cost may end only now. */
static void do_it(const struct berth_scarce *scarce, const struct berth_operation *operation)
{
    int64_t end = berth_test_now() + berth_test_patience();
    int code;

    do {
        if (scarce->recover)
            scarce->recover();
        if (operation->prepare)
            operation->prepare();
        code = operation->run();
    } while (code == BERTH_UNAVAILABLE && scarce->recover && berth_test_now() < end);
    CHECK_CODE(code, BERTH_OK, NULL);
    if (code == BERTH_OK && operation->undo)
        operation->undo();
}

/* False: nothing was refused. */
static bool try_once(const struct berth_scarce *scarce, const struct berth_operation *operation,
                     const struct berth_shortage *shortage, struct outcome *outcome)
{
    if (scarce->recover) /* the try before may have worked, and cost a worker its connection */
        scarce->recover();
    char *modules = list_modules(scarce->host);
    if (operation->prepare)
        operation->prepare();
    shortage->begin(outcome->refused);
    unsigned born, now_born;
    long live = count_blocks(shortage, &born);
    int code = operation->run();
    bool refused = shortage->end(outcome->refused);
    if (code == BERTH_OK) {
        outcome->tolerated += refused;
        check_unharmed(scarce);
        if (operation->undo)
            operation->undo();
    } else {
        CHECK(refused || (code == BERTH_UNAVAILABLE && scarce->recover));
        berth_scarce_settle(scarce->host); /* those subscribers that have got a message */
        forget_text();
        long left = count_blocks(shortage, &now_born) - live;
        outcome->leaked += born == now_born && code != BERTH_UNAVAILABLE ? left : 0;
        note_failure(scarce, operation, shortage, code, modules, outcome);
        do_it(scarce, operation);
    }
    check_unharmed(scarce);
    berth_free(modules);
    return refused;
}

unsigned long berth_scarce_try(const struct berth_scarce *scarce,
                               const struct berth_operation *operation,
                               const struct berth_shortage *shortage)
{
    struct outcome outcome = { 0 };

    do_it(scarce, operation); /* fills caches, of the C library too */
    size_t descriptors = berth_test_descriptors();
    while (outcome.refused < TRIES_MAX && try_once(scarce, operation, shortage, &outcome))
        outcome.refused++;
    CHECK(outcome.refused < TRIES_MAX);
    if (!berth_test_instrumented()) { /* else images are kept, and ASan finds leaks */
        UNTIL(scarce->host,
              berth_test_descriptors() <= descriptors); /* each worker has some, too */
        CHECK(outcome.leaked <= scarce->keeps);
    }
    berth_note("%s: %s: refused %lu times, %lu of them no harm, %lu with another code, %ld leaked",
               operation->name, shortage->of, outcome.refused, outcome.tolerated, outcome.odd,
               outcome.leaked);
    return outcome.refused;
}
