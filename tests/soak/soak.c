/* SPDX-License-Identifier: MIT */
/*
 * What only time finds: modules that are reloaded, and workers that are killed, under all the load
 * that there is. Every answer is compared, every message accounted for, and memory and descriptors
 * must not grow. BERTH_SOAK_SECONDS (default 60) is how long each test takes.
 */
#include "tests/support/footprint.h"
#include "tests/support/ledger.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND       INT64_C(1000000000)

#define CALLERS  3
#define SLACK_KB 8192 /* what memory may grow by after the first quarter: heaps breathe */

BERTH_BOUND(f64, add, (f64, a), (f64, b));

static struct {
    berth_host *host;
    int64_t begun, end;
    struct berth_test_footprint warm; /* what there is of all after a quarter of the time */
} soak;

static int seconds(void)
{
    const char *text = getenv("BERTH_SOAK_SECONDS");
    return text && atoi(text) > 0 ? atoi(text) : 60;
}

static void begin(void)
{
    soak.begun = berth_test_now();
    soak.end = soak.begun + seconds() * SECOND;
    soak.warm = (struct berth_test_footprint){ 0 };
    berth_note("seed %llu, %d s", (unsigned long long)berth_test_seed(), seconds());
}

static bool goes_on(void)
{
    int64_t now = berth_test_now();
    if (!soak.warm.rss && now >= soak.begun + seconds() * SECOND / 4)
        soak.warm = berth_test_footprint();
    return now < soak.end;
}

static void check_growth(size_t descriptors)
{
    const struct berth_test_growth may = { true, descriptors, SLACK_KB };
    berth_test_check_footprint(&soak.warm, &may);
}

/*
 * Loads, without what lasts as long as a test: here that is a night. The caller has made the path.
 */
static void load(const char *file, const char *placement)
{
    const struct berth_load_options options = { .size = sizeof(options), .placement = placement };
    struct berth_error error = { 0 };
    int code = berth_host_load(soak.host, file, &options, &error);

    CHECK_CODE(code, BERTH_OK, &error);
    REQUIRE(code == BERTH_OK);
}

static void make_host(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.log_level = BERTH_LOG_ERROR;
    soak.host = berth_test_host(&options);
}

/* ---- Reloads lose nothing -------------------------------------------------------------------- */

/* To another version each time, and now and then to one that cannot take the state. */
static void change_version(unsigned round, const char *const files[3])
{
    struct berth_error error = { 0 };
    struct berth_reload_report report = { .size = sizeof(report) };
    bool refuses = berth_test_random_below(4) == 0;
    int code =
        berth_host_reload(soak.host, "ledger", files[refuses ? 2 : round % 2], &report, &error);

    if (refuses) {
        CHECK_CODE(code, BERTH_DATA_LOSS, &error);
        CHECK_STR(report.step, "handover");
    } else {
        CHECK_CODE(code, BERTH_OK, &error);
        CHECK_STR(report.step, "done");
        CHECK_STR(report.quarantined, berth_test_instrumented() ? report.quarantined : "");
    }
}

static void reload_under_load(const char *placement)
{
    const char *const files[] = { berth_test_fixture("ledger"), berth_test_fixture("ledger_next"),
                                  berth_test_fixture("ledger_refuses") };
    struct berth_test_ledger ledger = { .callers = 3, .publishers = 2 };
    unsigned rounds = 0;

    begin();
    make_host();
    ledger.host = soak.host;
    load(files[0], placement);
    berth_test_ledger_start(&ledger);
    while (goes_on()) {
        change_version(++rounds, files);
        usleep((useconds_t)berth_test_random_below(3000));
    }
    berth_test_ledger_stop(&ledger);
    check_growth(4);
    CHECK(CALL_INT(soak.host, "ledger.ticks", "[]") > 0);
    berth_note("%u reloads (%s)", rounds, placement);
    berth_host_free(soak.host);
}

static void reload_under_load_inline(void)
{
    reload_under_load("inline");
}

static void reload_under_load_in_a_worker(void)
{
    if (berth_test_valgrind())
        berth_skip("it starts a worker");
    reload_under_load("process");
}

/* ---- Workers that die ----------------------------------------------------------------------- */

struct asker {
    pthread_t thread;
    uint64_t good, refused;
    bool over; /* atomic */
};

/* An answer is right, or it is `unavailable` and says how the worker died. */
static void ask_once(struct asker *asker, berth_ctx *ctx, add_bound *bound)
{
    double a = (double)(asker->good % 1000), sum = add_call(bound, ctx, a, 0.5);

    if (!berth_failed(ctx)) {
        CHECK(sum == a + 0.5);
        asker->good++;
        return;
    }
    if (berth_error_code(ctx) != BERTH_UNAVAILABLE) {
        berth_note("math.add: %s", berth_error_text(ctx));
        CHECK_INT(berth_error_code(ctx), BERTH_UNAVAILABLE);
    }
    CHECK_CONTAINS(berth_error_text(ctx), "math");
    berth_clear(ctx);
    asker->refused++;
    usleep(100);
}

static void *ask(void *argument)
{
    struct asker *asker = argument;
    struct berth_error error = { 0 };
    add_bound bound;
    int code = berth_bind(soak.host, "math.add", add, &bound, &error);

    CHECK_CODE(code, BERTH_OK, &error);
    while (code == BERTH_OK && !__atomic_load_n(&asker->over, __ATOMIC_ACQUIRE)) {
        berth_ctx *ctx = berth_host_enter(soak.host);
        for (int i = 0; i < 50 && ctx; i++)
            ask_once(asker, ctx, &bound);
        berth_leave(ctx);
    }
    if (code == BERTH_OK)
        berth_unbind(soak.host, &bound);
    return NULL;
}

/* The worker's process of the only module; 0 while it has none. *ret_failed: it stays so. */
static pid_t find_worker(bool *ret_failed)
{
    char *json = NULL;
    pid_t pid = 0;

    CHECK_CODE(berth_host_list(soak.host, &json, NULL), BERTH_OK, NULL);
    *ret_failed = json && strstr(json, "\"state\":\"failed\"");
    if (json && strstr(json, "\"state\":\"running\"") && strstr(json, "\"pid\":"))
        pid = (pid_t)atoi(strstr(json, "\"pid\":") + strlen("\"pid\":"));
    free(json);
    return pid;
}

/* Kills the worker and waits for the next one; after too many deaths a reload brings it. */
static void kill_worker(void)
{
    struct berth_error error = { 0 };
    bool failed;
    pid_t old = find_worker(&failed), next;

    CHECK(old > 1);
    usleep((useconds_t)berth_test_random_below(5000));
    if (old > 1)
        kill(old, SIGKILL);
    UNTIL(soak.host, ((next = find_worker(&failed)) > 1 && next != old) || failed);
    if (failed)
        CHECK_CODE(berth_host_reload(soak.host, "math", NULL, NULL, &error), BERTH_OK, &error);
}

static void workers_die_and_come_back(void)
{
    struct asker askers[CALLERS] = { { 0 } };
    unsigned deaths = 0;

    if (berth_test_valgrind())
        berth_skip("it starts a worker");
    begin();
    make_host();
    load(berth_test_fixture("math"), "process");
    for (size_t i = 0; i < CALLERS; i++)
        REQUIRE(pthread_create(&askers[i].thread, NULL, ask, &askers[i]) == 0);
    for (; goes_on(); deaths++)
        kill_worker();
    for (size_t i = 0; i < CALLERS; i++)
        __atomic_store_n(&askers[i].over, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(askers[i].thread, NULL);
        berth_note("%llu fine, %llu refused", (unsigned long long)askers[i].good,
                   (unsigned long long)askers[i].refused);
        CHECK(askers[i].good > 0);
    }
    check_growth(4);
    berth_note("%u deaths", deaths);
    berth_host_free(soak.host);
}

/* ---- Hosts and modules that come and go ------------------------------------------------------ */

static const char *const visitors[] = { "math", "timer", "handles", "publisher", "subscriber" };

static void come_and_go(const char *const *files, const char *placement)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_value sent = { .kind = BERTH_VALUE_U64, .as.u64 = 100 };
    struct berth_error error = { 0 };

    options.threads = (int)berth_test_random_below(3);
    soak.host = berth_test_host(&options);
    for (size_t i = 0; i < COUNT(visitors); i++)
        load(files[i], placement);
    berth_ctx *ctx = berth_host_enter(soak.host);
    CHECK_INT(berth_call(ctx, "publisher.burst", &sent, 1, &sent), BERTH_OK);
    CHECK_INT(sent.as.u64, 100);
    berth_leave(ctx);
    const char *name = visitors[berth_test_random_below(COUNT(visitors))];
    if (berth_test_random_below(2))
        CHECK_CODE(berth_host_unload(soak.host, name, &error), BERTH_OK, &error);
    berth_host_free(soak.host);
}

static void hosts_come_and_go(void)
{
    const char *files[COUNT(visitors)];
    unsigned hosts = 0;

    begin();
    for (size_t i = 0; i < COUNT(visitors); i++)
        files[i] = berth_test_fixture(visitors[i]);
    for (; goes_on(); hosts++)
        come_and_go(files, hosts % 8 || berth_test_valgrind() ? "inline" : "process");
    check_growth(0);
    berth_note("%u hosts", hosts);
}

static const struct berth_test tests[] = {
    { "reload_under_load_inline", reload_under_load_inline },
    { "reload_under_load_in_a_worker", reload_under_load_in_a_worker },
    { "workers_die_and_come_back", workers_die_and_come_back },
    { "hosts_come_and_go", hosts_come_and_go },
};

int main(int argc, char **argv)
{
    char timeout[32];

    snprintf(timeout, sizeof(timeout), "%d", seconds() + 300);
    setenv("BERTH_TEST_TIMEOUT", timeout, 0);
    return berth_suite_main("soak", tests, COUNT(tests), argc, argv);
}
