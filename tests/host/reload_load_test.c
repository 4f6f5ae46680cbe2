/* SPDX-License-Identifier: MIT */
/*
 * Reloads under all the load that there is: bad ones of every kind, which nobody may notice, and
 * good ones in great number, which may lose, double and mix up nothing and leave nothing behind.
 * BERTH_TEST_RELOADS is how many of the latter; `make soak` makes 100,000.
 */
#include "tests/support/footprint.h"
#include "tests/support/ledger.h"

#include <elf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

BERTH_BOUND(u64, add, (u64, n));

static struct {
    berth_host *host;
    bool over; /* atomic */
} load;

static bool over(void)
{
    return __atomic_load_n(&load.over, __ATOMIC_ACQUIRE);
}

static void check_call(berth_ctx *ctx, const char *what)
{
    if (!berth_failed(ctx))
        return;
    berth_note("%s: %s", what, berth_error_text(ctx));
    CHECK_INT(berth_error_code(ctx), BERTH_OK);
    berth_clear(ctx);
}

/* ---- Bad ones ---- */

static const char *path_of(const char *name)
{
    return berth_test_format("%s/%s", berth_test_dir(), name);
}

/* A file of the fixture's bytes: so many of them, and with `to` wherever `from` stood. */
static const char *changed(const char *fixture, const char *name, size_t cut, const char *from,
                           const char *to)
{
    const char *path = path_of(name);
    size_t size, length = from ? strlen(from) : 0;
    char *bytes = berth_test_read(berth_test_fixture(fixture), &size);
    bool found = !from;

    for (size_t i = 0; from && i + length <= size; i++)
        if (memcmp(bytes + i, from, length) == 0) {
            memcpy(bytes + i, to, length);
            found = true;
        }
    CHECK(found);
    berth_test_write(path, bytes, cut ? cut : size);
    return path;
}

/* A file of this text. */
static const char *written(const char *name, const char *text)
{
    const char *path = path_of(name);
    berth_test_write(path, text, strlen(text));
    return path;
}

static const char *fifo(void)
{
    const char *path = path_of("fifo.so");
    REQUIRE(mkfifo(path, 0600) == 0);
    return path;
}

/* Its field of the header. */
static const char *of_another_machine(void)
{
    const char *path = path_of("machine.so");
    size_t size;
    char *bytes = berth_test_read(berth_test_fixture("counter"), &size);
    ((Elf64_Ehdr *)(void *)bytes)->e_machine = EM_RISCV;
    berth_test_write(path, bytes, size);
    return path;
}

struct bad {
    const char *what, *file, *step;
    const char *options, *placement;
    unsigned flags;
    bool slow; /* a worker is started */
};

struct counting {
    pthread_t thread;
    uint64_t calls;
    bool by_name;
};

/* The sums that one thread gets rise; in the end they tell of every call. */
static void *count(void *argument)
{
    struct counting *counting = argument;
    const struct berth_value one = { .kind = BERTH_VALUE_U64, .as.u64 = 1 };
    struct berth_value sum;
    struct berth_error error;
    uint64_t last = 0;
    add_bound bound;
    int code = berth_bind(load.host, "counter.add", add, &bound, &error);

    CHECK_CODE(code, BERTH_OK, &error);
    while (code == BERTH_OK && !over()) {
        berth_ctx *ctx = berth_host_enter(load.host);
        for (int i = 0; i < 100; i++) {
            sum.as.u64 = 0;
            if (counting->by_name)
                berth_call(ctx, "counter.add", &one, 1, &sum);
            else
                sum.as.u64 = add_call(&bound, ctx, 1);
            check_call(ctx, "counter.add");
            if (sum.as.u64 <= last)
                CHECK_INT(sum.as.u64, last + 1);
            last = sum.as.u64;
            __atomic_store_n(&counting->calls, counting->calls + 1, __ATOMIC_RELAXED);
        }
        berth_leave(ctx);
    }
    if (code == BERTH_OK)
        berth_unbind(load.host, &bound);
    return NULL;
}

static void try_bad(const struct bad *bad)
{
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_reload_options how = { .size = sizeof(how),
                                        .file = bad->file,
                                        .options = bad->options,
                                        .placement = bad->placement,
                                        .flags = bad->flags };
    struct berth_error error;
    int code = berth_host_reload_with(load.host, "counter", &how, &report, &error);

    if (code != BERTH_OK && strcmp(report.step, bad->step) == 0 && report.why[0])
        return;
    berth_note("%s: %s: %s", bad->what, report.step, code ? error.text : "");
    CHECK(code != BERTH_OK);
    CHECK_STR(report.step, bad->step);
    CHECK(report.why[0]);
}

static void bad_ones_are_not_noticed(void)
{
    const struct bad kinds[] = {
        { .what = "no file", .file = "/no/such.so", .step = "stage" },
        { .what = "empty", .file = written("empty.so", ""), .step = "stage" },
        { .what = "a text", .file = written("text.so", "not yet written"), .step = "stage" },
        { .what = "a directory", .file = "/tmp", .step = "stage" },
        { .what = "a FIFO", .file = fifo(), .step = "stage" },
        { .what = "an executable", .file = "/proc/self/exe", .step = "stage" },
        { .what = "only its header",
          .file = changed("counter", "header.so", 64, NULL, NULL),
          .step = "stage" },
        { .what = "truncated",
          .file = changed("counter", "half.so", 6000, NULL, NULL),
          .step = "stage" },
        { .what = "another machine", .file = of_another_machine(), .step = "stage" },
        { .what = "another ABI",
          .file = changed("counter", "abi.so", 0, "abi=1", "abi=7"),
          .step = "compare" },
        { .what = "a record that must be understood",
          .file = changed("counter", "must.so", 0, "doc=Counts", "!oc=Counts"),
          .step = "stage" },
        { .what = "no manifest",
          .file = changed("counter", "notes.so", 0, "Berth", "Berto"),
          .step = "stage" },
        { .what = "no entry",
          .file = changed("counter", "entry.so", 0, "berth_entry", "berth_entrx"),
          .step = "stage" },
        { .what = "a missing symbol",
          .file = changed("counter_v3", "symbol.so", 0, "snprintf", "snprintq"),
          .step = "start" },
        { .what = "another module", .file = berth_test_fixture("math"), .step = "compare" },
        { .what = "a parameter's type",
          .file = berth_test_fixture("counter_changed"),
          .step = "compare" },
        { .what = "no RESTORE",
          .file = berth_test_fixture("counter_stateless"),
          .step = "compare" },
        { .what = "another state", .file = berth_test_fixture("counter_picky"), .step = "compare" },
        { .what = "requires what is not there",
          .file = berth_test_fixture("counter_needs"),
          .step = "compare" },
        { .what = "imports what is otherwise",
          .file = berth_test_fixture("counter_asks"),
          .step = "compare" },
        { .what = "an option that there is not", .options = "{\"x\":1}", .step = "compare" },
        { .what = "no such placement", .placement = "moon", .step = "stage" },
        { .what = "START", .file = berth_test_fixture("bad_start_counter"), .step = "start" },
        { .what = "RESTORE", .file = berth_test_fixture("bad_restore"), .step = "handover" },
        { .what = "START in a worker",
          .file = berth_test_fixture("bad_start_counter"),
          .placement = "process",
          .step = "start",
          .slow = true },
        { .what = "RESTORE in a worker",
          .file = berth_test_fixture("bad_restore"),
          .placement = "process",
          .step = "handover",
          .slow = true },
        { .what = "a constructor that crashes",
          .file = berth_test_fixture("counter_crashes"),
          .flags = BERTH_RELOAD_PROBE,
          .step = "start",
          .slow = true },
        { .what = "a constructor that ends the process",
          .file = berth_test_fixture("counter_exits"),
          .flags = BERTH_RELOAD_PROBE,
          .step = "start",
          .slow = true },
    };
    struct counting counting[2] = { { .by_name = false }, { .by_name = true } };
    int rounds = berth_test_instrumented() ? 2 : 50;
    uint64_t sum = 0;

    load.over = false;
    load.host = berth_test_host(NULL);
    LOAD(load.host, "counter", "inline");
    for (size_t i = 0; i < COUNT(counting); i++)
        REQUIRE(pthread_create(&counting[i].thread, NULL, count, &counting[i]) == 0);
    for (size_t i = 0; i < COUNT(counting); i++) /* what nobody has bound may change */
        EVENTUALLY(__atomic_load_n(&counting[i].calls, __ATOMIC_RELAXED) > 0);
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNT(kinds); i++)
            if (!kinds[i].slow || !berth_test_valgrind())
                try_bad(&kinds[i]);
    __atomic_store_n(&load.over, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < COUNT(counting); i++) {
        pthread_join(counting[i].thread, NULL);
        sum += counting[i].calls;
    }
    CHECK_CALL(load.host, "counter.get", "[]", berth_test_format("%llu", (unsigned long long)sum));
    CHECK_STR(berth_test_module(load.host, "counter", "version"), "1.0.0");
    berth_note("%zu kinds, %d times each, beside %llu calls", COUNT(kinds), rounds,
               (unsigned long long)sum);
    berth_host_free(load.host);
}

/* ---- Good ones ---- */

static void reload_times(unsigned long times, const char *const files[2])
{
    struct berth_reload_report report;
    struct berth_error error;
    uint64_t waited = 0;
    int64_t longest = 0;

    for (unsigned long i = 0; i < times; i++) {
        report = (struct berth_reload_report){ .size = sizeof(report) };
        int code = berth_host_reload(load.host, "ledger", files[i % 2], &report, &error);
        /* a thread that has not come to its first call yet, for want of a processor, goes by */
        bool stays = report.quarantined[0] && strncmp(report.quarantined, "not proved", 10) != 0;
        if (code != BERTH_OK || report.dropped || (stays && !berth_test_instrumented())) {
            CHECK_CODE(code, BERTH_OK, &error);
            CHECK_INT(report.dropped, 0);
            CHECK_STR(report.quarantined, "");
        }
        waited += report.waited;
        longest = report.longest_wait_ns > longest ? report.longest_wait_ns : longest;
    }
    berth_note("%lu reloads: %llu calls waited, at most %lld us", times, (unsigned long long)waited,
               (long long)longest / 1000);
}

static void good_ones_lose_nothing(void)
{
    const char *const files[] = { berth_test_fixture("ledger_next"), berth_test_fixture("ledger") };
    const char *text = getenv("BERTH_TEST_RELOADS");
    unsigned long wanted = text ? strtoul(text, NULL, 10) : 1000;
    unsigned long times = berth_test_instrumented() ? 40 : wanted,
                  first = times < 2000 ? times / 2 : 1000;
    struct berth_test_ledger ledger = { .callers = 3, .publishers = 1 };
    struct berth_host_options options = berth_test_host_options();

    options.log_level = BERTH_LOG_ERROR;
    ledger.host = load.host = berth_test_host(&options);
    LOAD(load.host, "ledger", "inline");
    berth_test_ledger_start(&ledger);
    reload_times(first, files);
    berth_test_ledger_stop(&ledger);
    struct berth_test_footprint before = berth_test_footprint();
    berth_test_ledger_start(&ledger);
    reload_times(times - first, files);
    berth_test_ledger_stop(&ledger);
    /* the C library's free memory is not Berth's: `make soak` has it keep none */
    const struct berth_test_growth may = { .rss = getenv("GLIBC_TUNABLES") ? 64 : 0 };
    berth_test_check_footprint(&before, &may);
    berth_host_free(load.host);
}

static const struct berth_test tests[] = {
    { "bad_ones_are_not_noticed", bad_ones_are_not_noticed },
    { "good_ones_lose_nothing", good_ones_lose_nothing },
};

int main(int argc, char **argv)
{
    return berth_suite_main("reload under load", tests, COUNT(tests), argc, argv);
}
