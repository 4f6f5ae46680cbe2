/* SPDX-License-Identifier: MIT */
/*
 * A reload for which there is not enough, at each place where it takes something: memory,
 * descriptors, address space. Whatever it was, the old generation serves, callers that were bound
 * before go on, and the next try may succeed. Of several modules all are replaced, or none is.
 */
#include "tests/support/hosting.h"
#include "tests/support/shortage.h"

#include <berth/module.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

BERTH_BOUND(u64, sum, (u64, n));

static berth_host *host;
static struct berth_error error;
static struct berth_reload_report report;
static sum_bound bound;

/* ---- Reloads; the paths of their files are made before ---- */

static const char *counter_file, *more_file, *pair_files[2][2];
static char steps[200]; /* in which they have failed */

/* What the report says of it. */
static int told(int code)
{
    size_t length = strlen(steps);

    if (code == BERTH_OK) {
        CHECK_STR(report.step, "done");
        return code;
    }
    CHECK(error.text[0] && (report.why[0] || !report.step[0])); /* or it has not begun */
    CHECK(strcmp(report.step, "done") != 0);
    if (!strstr(steps, report.step))
        snprintf(steps + length, sizeof(steps) - length, " %s", report.step);
    return code;
}

static int reload_counter(const char *file, const char *placement)
{
    const struct berth_reload_options how = { .size = sizeof(how),
                                              .file = file,
                                              .placement = placement };
    report = (struct berth_reload_report){ .size = sizeof(report) };
    return told(berth_host_reload_with(host, "counter", &how, &report, &error));
}

/* A caller that was bound before needs an adapter. */
static int adapt(void)
{
    return reload_counter(more_file, NULL);
}

static int move(void)
{
    return reload_counter(counter_file, "process");
}

static void go_back(void)
{
    CHECK_CODE(reload_counter(counter_file, "inline"), BERTH_OK, &error);
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
    return told(code);
}

static int change_pair(void)
{
    return reload_pair(1);
}

static void change_pair_back(void)
{
    CHECK_CODE(reload_pair(0), BERTH_OK, &error);
}

static int roll_back(void)
{
    report = (struct berth_reload_report){ .size = sizeof(report) };
    return told(berth_host_rollback(host, "counter", 0, &report, &error));
}

static void roll_forth(void)
{
    CHECK_CODE(roll_back(), BERTH_OK, &error);
}

/* Of what is the state already. */
static int restore(void)
{
    report = (struct berth_reload_report){ .size = sizeof(report) };
    return told(berth_host_restore(host, "counter",
                                   "{\"module\":\"counter\",\"version\":\"1.0.0\",\"bytes\":8,"
                                   "\"state_version\":1,\"state\":\"BwAAAAAAAAA=\"}",
                                   &report, &error));
}

/* What its RESTORE brings back, somebody holds. */
static int reload_handles(void)
{
    report = (struct berth_reload_report){ .size = sizeof(report) };
    return told(berth_host_reload(host, "handles", NULL, &report, &error));
}

static const struct berth_operation operations[] = {
    { "a caller that adapts", adapt, go_back, NULL },
    { "two that change together", change_pair, change_pair_back, NULL },
    { "a rollback", roll_back, roll_forth, NULL },
    { "a state from a text", restore, NULL, NULL },
    { "handles", reload_handles, NULL, NULL },
};
static const struct berth_operation worker_operations[] = {
    { "into a worker", move, go_back, NULL },
};

/* ---- Trying them ---- */

static void set_up(const struct berth_shortage *shortage, bool worker)
{
    counter_file = berth_test_fixture("counter");
    more_file = berth_test_fixture("counter_more");
    for (size_t i = 0; i < 2; i++) {
        pair_files[i][0] = berth_test_fixture(i ? "answering_next" : "answering");
        pair_files[i][1] = berth_test_fixture(i ? "asking_next" : "asking");
    }
    host = berth_scarce_host(shortage, worker);
    LOAD(host, "counter", "inline");
    LOAD(host, "answering", "inline");
    LOAD(host, "asking", "inline");
    LOAD(host, "handles_next", "inline");
    LOAD(host, "handle_user", "inline");
    CHECK_CODE(berth_bind(host, "counter.add", sum, &bound, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.add", "[7]", "7");
    CHECK_CALL(host, "handle_user.hold", "[5]", "null");
    go_back(); /* a rollback has something to go back to */
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

static void try_operations(const struct berth_shortage *shortage,
                           const struct berth_operation *tried, size_t count, bool worker)
{
    set_up(shortage, worker);
    const struct berth_scarce scarce = { host, NULL, check_serves, 0 };
    for (size_t i = 0; i < count; i++) {
        steps[0] = '\0';
        berth_scarce_try(&scarce, &tried[i], shortage);
        CHECK(steps[0]);
        berth_note("failed in:%s", steps);
    }
    berth_unbind(host, &bound);
    berth_host_free(host);
}

static void try_all(const struct berth_shortage *shortage)
{
    try_operations(shortage, operations, COUNT(operations), false);
}

static void try_worker(const struct berth_shortage *shortage)
{
    try_operations(shortage, worker_operations, COUNT(worker_operations), true);
}

static void without_memory(void)
{
    try_all(&berth_short_of_block);
    try_all(&berth_short_of_memory);
}

static void without_memory_for_a_worker(void)
{
    try_worker(&berth_short_of_block);
    try_worker(&berth_short_of_memory);
}

static void without_descriptors(void)
{
    try_all(&berth_short_of_descriptors);
}

static void without_descriptors_for_a_worker(void)
{
    try_worker(&berth_short_of_descriptors);
}

static void without_address_space(void)
{
    try_all(&berth_short_of_space);
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
