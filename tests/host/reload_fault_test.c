/* SPDX-License-Identifier: MIT */
/*
 * A reload for which there is not enough, at each place where it takes something: memory,
 * descriptors, address space. Whatever it was, the old generation serves, callers that were bound
 * before go on, and the next try may succeed. Of several modules all are replaced, or none is.
 */
#include "tests/support/fault.h"
#include "tests/support/hosting.h"

#include <berth/module.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

BERTH_BOUND(u64, sum, (u64, n));

static berth_host *host;
static struct berth_error error;
static struct berth_reload_report report;
static sum_bound bound;

/* ---- Not enough ---- */

/* The nth allocation of this thread fails, or so does each from then on; so much more is there. */
static void one_block(unsigned long n)
{
    berth_fault_arm(n + 1, false);
}

static void all_blocks(unsigned long n)
{
    berth_fault_arm(n + 1, true);
}

static void limit(int what, unsigned long at)
{
    struct rlimit rlimit;
    REQUIRE(getrlimit(what, &rlimit) == 0);
    rlimit.rlim_cur = at;
    REQUIRE(setrlimit(what, &rlimit) == 0);
}

static void descriptors(unsigned long n)
{
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    limit(RLIMIT_NOFILE, (unsigned long)next + n);
}

static void space(unsigned long n)
{
    unsigned long pages = strtoul(berth_test_read("/proc/self/statm", NULL), NULL, 10);
    limit(RLIMIT_AS, (pages + n) * (unsigned long)sysconf(_SC_PAGESIZE));
}

static const struct shortage {
    const char *of;
    void (*begin)(unsigned long n);
    int limit;            /* RLIMIT_… that it is about; -1: none */
    unsigned long enough; /* so much of it is enough; 0: when nothing has failed */
} shortages[] = {
    { "one block of memory", one_block, -1, 0 },
    { "memory", all_blocks, -1, 0 },
    { "descriptors", descriptors, RLIMIT_NOFILE, 24 },
    { "address space", space, RLIMIT_AS, 400 },
};

/* Whether it went without anything. */
static bool end(const struct shortage *shortage, unsigned long n, rlim_t before)
{
    if (shortage->limit < 0)
        return berth_fault_disarm();
    limit(shortage->limit, before);
    return n < shortage->enough;
}

/* ---- Reloads; the paths of their files are made before ---- */

static const char *counter_file, *more_file, *pair_files[2][2];

static int reload_counter(const char *file, const char *placement)
{
    const struct berth_reload_options how = { .size = sizeof(how),
                                              .file = file,
                                              .placement = placement };
    report = (struct berth_reload_report){ .size = sizeof(report) };
    return berth_host_reload_with(host, "counter", &how, &report, &error);
}

/* A caller that was bound before needs an adapter. */
static int adapt(void)
{
    return reload_counter(more_file, NULL);
}

static int go_back(void)
{
    return reload_counter(counter_file, "inline");
}

static int move(void)
{
    return reload_counter(counter_file, "process");
}

static int reload_pair(size_t version)
{
    static const char *const names[] = { "answering", "asking" };
    const struct berth_reload_options how[] = {
        { .size = sizeof(how[0]), .file = pair_files[version][0] },
        { .size = sizeof(how[0]), .file = pair_files[version][1] },
    };
    struct berth_reload_report reports[2] = { { .size = sizeof(report) },
                                              { .size = sizeof(report) } };
    int code = berth_host_reload_all(host, names, how, 2, reports, &error);
    CHECK_STR(reports[1].step, code == BERTH_OK ? "done" : reports[1].step);
    report = reports[0];
    return code;
}

static int change_pair(void)
{
    return reload_pair(1);
}

static int change_pair_back(void)
{
    return reload_pair(0);
}

static int roll_back(void)
{
    report = (struct berth_reload_report){ .size = sizeof(report) };
    return berth_host_rollback(host, "counter", 0, &report, &error);
}

/* Of what is the state already. */
static int restore(void)
{
    report = (struct berth_reload_report){ .size = sizeof(report) };
    return berth_host_restore(host, "counter",
                              "{\"module\":\"counter\",\"version\":\"1.0.0\",\"bytes\":8,"
                              "\"state_version\":1,\"state\":\"BwAAAAAAAAA=\"}",
                              &report, &error);
}

/* What its RESTORE brings back, somebody holds. */
static int reload_handles(void)
{
    report = (struct berth_reload_report){ .size = sizeof(report) };
    return berth_host_reload(host, "handles", NULL, &report, &error);
}

static const struct operation {
    const char *name;
    int (*run)(void);
    int (*undo)(void); /* once it has worked; or NULL */
    bool worker;
} operations[] = {
    { "a caller that adapts", adapt, go_back, false },
    { "two that change together", change_pair, change_pair_back, false },
    { "a rollback", roll_back, roll_back, false },
    { "a state from a text", restore, NULL, false },
    { "handles", reload_handles, NULL, false },
    { "into a worker", move, go_back, true },
};

/* ---- Trying them ---- */

static void set_up(bool worker)
{
    struct berth_host_options options = berth_test_host_options();

    if (worker && berth_test_valgrind())
        berth_skip("valgrind cannot follow a worker");
    counter_file = berth_test_fixture("counter");
    more_file = berth_test_fixture("counter_more");
    for (size_t i = 0; i < 2; i++) {
        pair_files[i][0] = berth_test_fixture(i ? "answering_next" : "answering");
        pair_files[i][1] = berth_test_fixture(i ? "asking_next" : "asking");
    }
    options.threads = 0;
    options.log = NULL; /* it would allocate, too */
    host = berth_test_host(&options);
    LOAD(host, "counter", "inline");
    LOAD(host, "answering", "inline");
    LOAD(host, "asking", "inline");
    LOAD(host, "handles_next", "inline");
    LOAD(host, "handle_user", "inline");
    if (worker) /* the process that makes workers is there, then */
        berth_test_load_as(host, "greet", "away", "process");
    CHECK_CODE(berth_bind(host, "counter.add", sum, &bound, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.add", "[7]", "7");
    CHECK_CALL(host, "handle_user.hold", "[5]", "null");
    CHECK_CODE(go_back(), BERTH_OK, &error); /* a rollback has something to go back to */
    CHECK_CODE(adapt(), BERTH_OK, &error);
    CHECK_CODE(go_back(), BERTH_OK, &error);
}

/* All of it serves, in whatever versions. */
static void check_serves(void)
{
    berth_ctx *ctx = berth_host_enter(host);

    CHECK_INT(sum_call(&bound, ctx, 0), 7);
    CHECK(!berth_failed(ctx));
    berth_clear(ctx);
    berth_leave(ctx);
    CHECK_CALL(host, "counter.get", "[]", "7");
    CHECK_CONTAINS("2 3", CALL(host, "asking.ask", "[1.5]"));
    CHECK_CALL(host, "handle_user.look", "[]", "5");
}

static char *list_modules(void)
{
    char *json = NULL;

    while (berth_host_dispatch(host, 0) > 0)
        ;
    CHECK_CODE(berth_host_list(host, &json, &error), BERTH_OK, &error);
    char *quarantined = json ? strstr(json, "\"quarantined\"") : NULL;
    if (quarantined) /* what could not be proved, and is looked at again */
        *quarantined = '\0';
    return json;
}

/* How often it has failed, and what with. */
struct outcome {
    unsigned long tries, failed;
    char steps[200];
};

static void note_step(struct outcome *outcome)
{
    size_t length = strlen(outcome->steps);

    outcome->failed++;
    if (!strstr(outcome->steps, report.step))
        snprintf(outcome->steps + length, sizeof(outcome->steps) - length, " %s", report.step);
}

/* False: there was enough. */
static bool try_once(const struct operation *operation, const struct shortage *shortage,
                     unsigned long n, struct outcome *outcome)
{
    struct rlimit before = { 0 };
    char *modules = list_modules();

    REQUIRE(shortage->limit < 0 || getrlimit(shortage->limit, &before) == 0);
    shortage->begin(n);
    int code = operation->run();
    bool was_short = end(shortage, n, before.rlim_cur);
    outcome->tries++;
    if (code == BERTH_OK) {
        CHECK_STR(report.step, "done");
        check_serves();
        if (operation->undo)
            CHECK_CODE(operation->undo(), BERTH_OK, &error);
    } else {
        CHECK(was_short);
        CHECK(error.text[0] && (report.why[0] || !report.step[0])); /* or it has not begun */
        CHECK(strcmp(report.step, "done") != 0);
        note_step(outcome);
        char *now = list_modules();
        CHECK_STR(now, modules);
        free(now);
    }
    check_serves();
    free(modules);
    return was_short;
}

static void try_all(const struct shortage *shortage, bool worker)
{
    set_up(worker);
    for (size_t i = 0; i < COUNT(operations); i++) {
        const struct operation *operation = &operations[i];
        struct outcome outcome = { 0 };
        if (operation->worker != worker)
            continue;
        while (try_once(operation, shortage, outcome.tries, &outcome) && outcome.tries < 5000)
            ;
        CHECK(outcome.failed > 0 && outcome.tries < 5000);
        berth_note("%s: %s: %lu tries, %lu failed:%s", shortage->of, operation->name, outcome.tries,
                   outcome.failed, outcome.steps);
    }
    berth_unbind(host, &bound);
    berth_host_free(host);
}

static void without_memory(void)
{
    if (!berth_fault_works())
        berth_skip("malloc cannot be replaced here");
    try_all(&shortages[0], false);
    try_all(&shortages[1], false);
}

static void without_memory_for_a_worker(void)
{
    if (!berth_fault_works())
        berth_skip("malloc cannot be replaced here");
    try_all(&shortages[0], true);
    try_all(&shortages[1], true);
}

static void without_descriptors(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind has descriptors of its own");
    try_all(&shortages[2], false);
}

static void without_descriptors_for_a_worker(void)
{
    try_all(&shortages[2], true);
}

static void without_address_space(void)
{
    if (berth_test_instrumented())
        berth_skip("a sanitizer or valgrind needs much of it");
    try_all(&shortages[3], false);
}

static const struct berth_test tests[] = {
    { "without_memory", without_memory },
    { "without_memory_for_a_worker", without_memory_for_a_worker },
    { "without_descriptors", without_descriptors },
    { "without_descriptors_for_a_worker", without_descriptors_for_a_worker },
    { "without_address_space", without_address_space },
};

int main(int argc, char **argv)
{
    return berth_suite_main("reloads without enough", tests, COUNT(tests), argc, argv);
}
