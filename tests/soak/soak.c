/* SPDX-License-Identifier: MIT */
/*
 * What only time finds: modules that are reloaded, and workers that are killed, under all the load
 * that there is. Every answer is compared, every message accounted for, and memory and descriptors
 * must not grow. BERTH_SOAK_SECONDS (default 60) is how long each test takes.
 */
#include "tests/support/hosting.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND       INT64_C(1000000000)

enum { CALLERS = 3, PUBLISHERS = 2, SENDERS = CALLERS + PUBLISHERS };
#define SLACK_KB 8192 /* what memory may grow by after the first quarter: heaps breathe */

BERTH_BOUND(u64, enter, (u32, sender), (u64, number));
BERTH_BOUND(f64, add, (f64, a), (f64, b));

static struct {
    berth_host *host;
    int64_t end;
    bool over;                    /* atomic */
    uint64_t good, refused, full; /* atomic */
} soak;

struct sender {
    pthread_t thread;
    uint32_t index;
    uint64_t seed, calls, notes;
};

static int seconds(void)
{
    const char *text = getenv("BERTH_SOAK_SECONDS");
    return text && atoi(text) > 0 ? atoi(text) : 60;
}

static bool over(void)
{
    return __atomic_load_n(&soak.over, __ATOMIC_ACQUIRE);
}

static void tally(uint64_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static uint64_t draw(struct sender *sender, uint64_t limit)
{
    sender->seed ^= sender->seed << 13;
    sender->seed ^= sender->seed >> 7;
    sender->seed ^= sender->seed << 17;
    return (sender->seed >> 20) % limit;
}

/* A line of /proc/self/status, in KiB. */
static long memory_kb(void)
{
    char line[128];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "re");

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1)
            break;
    if (file)
        fclose(file);
    return kb;
}

/* What must not grow, looked at when everything is warm and again at the end. */
struct measure {
    size_t descriptors;
    long kb;
};

static struct measure measure(void)
{
    return (struct measure){ berth_test_descriptors(), memory_kb() };
}

static void check_growth(struct measure before, size_t descriptors_more)
{
    struct measure after = measure();

    berth_note("memory %ld -> %ld KiB, descriptors %zu -> %zu", before.kb, after.kb,
               before.descriptors, after.descriptors);
    if (berth_test_instrumented())
        return; /* images are kept, and freed memory is */
    CHECK(after.kb <= before.kb + SLACK_KB);
    CHECK(after.descriptors <= before.descriptors + descriptors_more);
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

static void begin(int threads)
{
    struct berth_host_options options = berth_test_host_options();

    options.threads = threads;
    options.log_level = BERTH_LOG_ERROR;
    soak.host = berth_test_host(&options);
    soak.end = berth_test_now() + seconds() * SECOND;
    soak.over = false;
    soak.good = soak.refused = soak.full = 0;
    berth_note("seed %llu, %d s", (unsigned long long)berth_test_seed(), seconds());
}

static void start(struct sender *senders, size_t count, void *(*run)(void *))
{
    for (size_t i = 0; i < count; i++) {
        senders[i] = (struct sender){ .index = (uint32_t)i, .seed = berth_test_random() | 1 };
        REQUIRE(pthread_create(&senders[i].thread, NULL, run, &senders[i]) == 0);
    }
}

static void join(struct sender *senders, size_t count)
{
    __atomic_store_n(&soak.over, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < count; i++)
        pthread_join(senders[i].thread, NULL);
    berth_note("%llu fine, %llu refused, %llu times full", (unsigned long long)soak.good,
               (unsigned long long)soak.refused, (unsigned long long)soak.full);
}

/* ---- The ledger: reloads lose nothing ------------------------------------------------------- */

/* In one of the three ways. Never refused, whatever happens to the module meanwhile. */
static void book(struct sender *sender, berth_ctx *ctx, enter_bound *bound)
{
    uint64_t number = sender->calls + 1, answer = 0;
    uint64_t way = draw(sender, 8);

    if (way == 0) {
        char text[64], *result = NULL;
        snprintf(text, sizeof(text), "[%u,%llu]", sender->index, (unsigned long long)number);
        if (berth_call_json(ctx, "ledger.enter", text, &result) == BERTH_OK)
            answer = strtoull(result, NULL, 10);
        free(result);
    } else if (way == 1) {
        struct berth_value in[] = { { .kind = BERTH_VALUE_U64, .as.u64 = sender->index },
                                    { .kind = BERTH_VALUE_U64, .as.u64 = number } };
        struct berth_value out = { 0 };
        if (berth_call(ctx, "ledger.enter", in, COUNT(in), &out) == BERTH_OK)
            answer = out.as.u64;
    } else {
        answer = enter_call(bound, ctx, sender->index, number);
    }
    if (berth_failed(ctx)) {
        berth_note("ledger.enter: %s", berth_error_text(ctx));
        CHECK_INT(berth_error_code(ctx), BERTH_OK);
        berth_clear(ctx);
        return;
    }
    CHECK_INT(answer, number * 31 + sender->index);
    sender->calls = number;
    tally(&soak.good);
}

/* What is refused because the mailbox is full has not come, and is sent again. */
static void note(struct sender *sender, berth_ctx *ctx)
{
    char text[64];

    snprintf(text, sizeof(text), "[%u,%llu]", sender->index,
             (unsigned long long)(sender->notes + 1));
    int code = berth_publish_json(ctx, "ledger.note", text);
    if (code == BERTH_OK) {
        sender->notes++;
        tally(&soak.good);
        return;
    }
    CHECK_INT(code, BERTH_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(berth_error_text(ctx), "ledger");
    berth_clear(ctx);
    tally(&soak.full);
    usleep(200);
}

static void *send(void *argument)
{
    struct sender *sender = argument;
    struct berth_error error = { 0 };
    enter_bound bound;
    int code = berth_bind(soak.host, "ledger.enter", enter, &bound, &error);

    CHECK_CODE(code, BERTH_OK, &error);
    while (code == BERTH_OK && !over()) {
        berth_ctx *ctx = berth_host_enter(soak.host);
        for (int i = 0; i < 50 && ctx; i++) {
            if (sender->index < CALLERS)
                book(sender, ctx, &bound);
            else
                note(sender, ctx);
        }
        berth_leave(ctx);
    }
    if (code == BERTH_OK)
        berth_unbind(soak.host, &bound);
    return NULL;
}

static uint64_t of_account(uint32_t sender, const char *key)
{
    const char *json = CALL(soak.host, "ledger.account", berth_test_format("[%u]", sender));
    const char *found = strstr(json, berth_test_format("\"%s\":", key));

    return found ? strtoull(strchr(found, ':') + 1, NULL, 10) : UINT64_MAX;
}

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
    struct sender senders[SENDERS];
    struct measure warm = { 0 };
    unsigned rounds = 0;

    begin(2);
    int64_t warm_at = soak.end - seconds() * SECOND * 3 / 4;
    load(files[0], placement);
    start(senders, SENDERS, send);
    while (berth_test_now() < soak.end) {
        change_version(++rounds, files);
        if (!warm.kb && berth_test_now() >= warm_at)
            warm = measure();
        usleep((useconds_t)berth_test_random_below(3000));
    }
    join(senders, SENDERS);
    check_growth(warm, 4);
    for (uint32_t i = 0; i < SENDERS; i++) {
        UNTIL(soak.host, of_account(i, "notes") == senders[i].notes);
        CHECK_INT(of_account(i, "calls"), senders[i].calls);
        CHECK_INT(of_account(i, "wrong"), 0);
    }
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

/* An answer is right, or it is `unavailable` and says how the worker died. */
static void *ask(void *argument)
{
    struct sender *sender = argument;
    struct berth_error error = { 0 };
    add_bound bound;
    int code = berth_bind(soak.host, "math.add", add, &bound, &error);

    CHECK_CODE(code, BERTH_OK, &error);
    while (code == BERTH_OK && !over()) {
        berth_ctx *ctx = berth_host_enter(soak.host);
        for (int i = 0; i < 50 && ctx; i++) {
            double a = (double)draw(sender, 1000), sum = add_call(&bound, ctx, a, 0.5);
            if (!berth_failed(ctx)) {
                CHECK(sum == a + 0.5);
                tally(&soak.good);
                continue;
            }
            if (berth_error_code(ctx) != BERTH_UNAVAILABLE) {
                berth_note("math.add: %s", berth_error_text(ctx));
                CHECK_INT(berth_error_code(ctx), BERTH_UNAVAILABLE);
            }
            CHECK_CONTAINS(berth_error_text(ctx), "math");
            berth_clear(ctx);
            tally(&soak.refused);
            usleep(100);
        }
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
    struct sender senders[CALLERS];
    struct measure warm = { 0 };
    unsigned deaths = 0;

    if (berth_test_valgrind())
        berth_skip("it starts a worker");
    begin(2);
    int64_t warm_at = soak.end - seconds() * SECOND * 3 / 4;
    load(berth_test_fixture("math"), "process");
    start(senders, CALLERS, ask);
    for (; berth_test_now() < soak.end; deaths++) {
        kill_worker();
        if (!warm.kb && berth_test_now() >= warm_at)
            warm = measure();
    }
    join(senders, CALLERS);
    check_growth(warm, 4);
    CHECK(soak.good > 0);
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
    int64_t begun = berth_test_now(), end = begun + seconds() * SECOND;
    const char *files[COUNT(visitors)];
    struct measure warm = { 0 };
    unsigned hosts = 0;

    berth_note("seed %llu, %d s", (unsigned long long)berth_test_seed(), seconds());
    for (size_t i = 0; i < COUNT(visitors); i++)
        files[i] = berth_test_fixture(visitors[i]);
    for (; berth_test_now() < end; hosts++) {
        come_and_go(files, hosts % 8 || berth_test_valgrind() ? "inline" : "process");
        if (!warm.kb && berth_test_now() >= begun + seconds() * SECOND / 4)
            warm = measure();
    }
    check_growth(warm, 0);
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
