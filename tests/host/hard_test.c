/* SPDX-License-Identifier: MIT */
/*
 * Applications and modules that make it hard: what is done while START runs, threads and calls that
 * do not end.
 */
#include "runtime/core/core.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/registry.h"
#include "tests/support/hosting.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <berth/module.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           INT64_C(1000000)

BERTH_MODULE("app", "1.0.0", "The application of this test.");
BERTH_PARALLEL;

static berth_host *host;
static void (*on_starting)(void), (*on_holding)(void);
static bool refuses; /* a START */

BERTH_EXPORT(void, starting, "What a START does.")
{
    if (on_starting)
        on_starting();
    if (refuses)
        berth_fail(ctx, BERTH_ABORTED, "not now");
}

BERTH_EXPORT(void, holding, "What keeps a call inside.")
{
    (void)ctx;
    if (on_holding)
        on_holding();
}

static void make_host(int64_t stop_timeout)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;

    if (stop_timeout)
        options.stop_timeout_ns = stop_timeout;
    on_starting = on_holding = NULL;
    refuses = false;
    host = berth_test_host(&options);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
}

/* How often part is in text. */
static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

/* ---- What a crash handler may ask ---- */

static char described[256];

static void describe(void)
{
    described[berth_crash_describe(described, sizeof(described) - 1)] = '\0';
}

static void describe_a_little(void)
{
    described[berth_crash_describe(described, 20)] = '\0';
}

static void frames_tell_whose_code_it_is(void)
{
    struct berth_error error;

    make_host(0);
    describe();
    CHECK_STR(described, ""); /* no module's */
    on_starting = describe;
    LOAD(host, "starter", NULL);
    CHECK_STR(described, "app@1.0.0#1 starting\nstarter@1.0.0#1 START\n");
    CHECK_CODE(berth_host_reload(host, "starter", NULL, NULL, &error), BERTH_OK, &error);
    on_holding = describe;
    CALL(host, "host.call", "[\"starter.hold\"]");
    CHECK_CONTAINS(described, "app@1.0.0#1 holding\nstarter@1.0.0#2 hold\nhost@");
    CHECK_CONTAINS(described, "#1 call\n");
    on_holding = describe_a_little;
    CALL(host, "starter.hold", "[]");
    CHECK_STR(described, "app@1.0.0#1 holding\n"); /* whole lines, and the innermost */
    CHECK_CODE(berth_host_unload(host, "starter", &error), BERTH_OK, &error);
    describe();
    CHECK_STR(described, "");
    berth_host_free(host);
}

static unsigned threads_begun; /* atomic */

static void count_thread(void *user)
{
    __atomic_add_fetch((unsigned *)user, 1, __ATOMIC_RELAXED);
}

static void threads_begin_with_the_applications_own(void)
{
    struct berth_host_options options = berth_test_host_options();

    options.thread = count_thread;
    options.thread_user = &threads_begun;
    host = berth_test_host(&options);
    berth_host_free(host); /* which waits for all of them */
    CHECK_INT(threads_begun, options.threads + 1);
}

/* ---- While START runs ---- */

static uint64_t heard; /* atomic */

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    (void)user;
    __atomic_add_fetch(&heard, 1, __ATOMIC_RELAXED);
}

enum { LOADS = 8, SUBSCRIBERS = 2 };

static void subscribe_some(void)
{
    struct berth_error error;
    for (int i = 0; i < SUBSCRIBERS; i++)
        CHECK_CODE(berth_host_subscribe(host, "news.bell", hear, NULL, NULL, &error), BERTH_OK,
                   &error);
}

static void subscribing_during_a_load_leaves_it_its_room(void)
{
    make_host(0);
    heard = 0;
    LOAD(host, "publisher", NULL);
    on_starting = subscribe_some;
    for (int i = 0; i < LOADS; i++)
        berth_test_load_as(host, "starter", berth_test_format("starter%d", i), NULL);
    CALL(host, "publisher.ring", "[]");
    UNTIL(host, __atomic_load_n(&heard, __ATOMIC_RELAXED) == LOADS * SUBSCRIBERS);
    for (int i = 0; i < LOADS; i++)
        UNTIL(host, CALL_INT(host, berth_test_format("starter%d.bells", i), "[]") == 1);
    berth_host_free(host);
}

enum { PUBLISHERS = 4, MESSAGES = 100 };

static bool subscribed;    /* atomic */
static uint64_t published; /* atomic */

static void *publish_without_pause(void *fields)
{
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < MESSAGES && !__atomic_load_n(&subscribed, __ATOMIC_ACQUIRE); i++) {
        uint64_t mark = berth_mark(ctx);
        CHECK_INT(berth_publish_json(ctx, "news.text", fields), BERTH_OK);
        berth_rewind(ctx, mark);
        __atomic_add_fetch(&published, 1, __ATOMIC_RELAXED);
    }
    berth_leave(ctx);
    return NULL;
}

/* Each is busy for some milliseconds with a message, so that one of them always is. */
static void publishers_do_not_keep_a_subscriber_out(void)
{
    enum { SIZE = 1 << 20 };
    pthread_t threads[PUBLISHERS];
    struct berth_error error;

    if (berth_test_valgrind())
        berth_skip("valgrind has one thread run at a time, and says which");
    char *fields = berth_test_alloc(SIZE + 16);
    make_host(0);
    LOAD(host, "publisher", NULL);
    memset(fields, 'a', SIZE);
    memcpy(fields, "[\"", 2);
    strcpy(fields + SIZE, "\",1]");
    subscribed = false;
    published = 0;
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_create(&threads[i], NULL, publish_without_pause, fields);
    while (__atomic_load_n(&published, __ATOMIC_RELAXED) < PUBLISHERS)
        usleep(1000);
    CHECK_CODE(berth_host_subscribe(host, "news.bell", hear, NULL, NULL, &error), BERTH_OK, &error);
    __atomic_store_n(&subscribed, true, __ATOMIC_RELEASE);
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(__atomic_load_n(&published, __ATOMIC_RELAXED) < PUBLISHERS * MESSAGES / 2);
    berth_host_free(host);
}

static uint64_t key;

static void make_key(void)
{
    key = strtoull(CALL(host, "starter.make", "[7]"), NULL, 10);
}

static void a_handle_of_the_last_moment_refuses_the_reload(void)
{
    struct berth_error error;

    make_host(0);
    LOAD(host, "starter", NULL);
    on_starting = make_key; /* the old generation still serves */
    CHECK_CODE(berth_host_reload(host, "starter", NULL, NULL, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CONTAINS(error.text, "handles");
    CHECK_CALL(host, "starter.look", berth_test_format("[%llu]", (unsigned long long)key), "7");
    CALL(host, "starter.drop", berth_test_format("[%llu]", (unsigned long long)key));
    on_starting = NULL;
    CHECK_CODE(berth_host_reload(host, "starter", NULL, NULL, &error), BERTH_OK, &error);
    berth_host_free(host);
}

static pthread_t holder;
static bool holds; /* atomic */

static void hold_for_a_moment(void)
{
    __atomic_store_n(&holds, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&holds, __ATOMIC_ACQUIRE)) /* until START has taken its time */
        usleep(1000);
    usleep(50000);
}

static void *hold(void *unused)
{
    (void)unused;
    CALL(host, "starter.hold", "[]");
    return NULL;
}

static void start_slowly(void)
{
    pthread_create(&holder, NULL, hold, NULL);
    while (!__atomic_load_n(&holds, __ATOMIC_ACQUIRE))
        usleep(1000);
    usleep(1100000); /* longer than stop_timeout */
    __atomic_store_n(&holds, false, __ATOMIC_RELEASE);
}

static void the_time_of_start_is_not_that_of_calls(void)
{
    struct berth_error error;

    make_host(1000 * MS);
    LOAD(host, "starter", NULL);
    on_starting = start_slowly;
    on_holding = hold_for_a_moment;
    holds = false;
    CHECK_CODE(berth_host_reload(host, "starter", NULL, NULL, &error), BERTH_OK, &error);
    pthread_join(holder, NULL);
    berth_host_free(host);
}

/* ---- What does not end ---- */

static int ends[2]; /* of a pipe: what is stubborn ends when the second is closed */

static void load_stubborn(void)
{
    struct berth_error error;
    CHECK_CODE(berth_test_load(host, "stubborn", NULL, berth_test_format("{\"pipe\":%d}", ends[0]),
                               &error),
               BERTH_OK, &error);
}

static void make_stubborn(int64_t stop_timeout)
{
    REQUIRE(!pipe(ends));
    make_host(stop_timeout);
    load_stubborn();
}

static size_t stops(void)
{
    return count_of(berth_test_log(), "stops\n");
}

static void an_unload_does_not_wait_for_a_thread_for_ever(void)
{
    struct berth_error error;
    char *list = NULL;

    make_stubborn(50 * MS);
    CALL(host, "stubborn.begin", "[]");
    CHECK_CODE(berth_host_unload(host, "stubborn", &error), BERTH_OK, &error);
    CHECK_STR(berth_test_module(host, "stubborn", "state"), "");
    CHECK_CODE(berth_host_list(host, &list, &error), BERTH_OK, &error);
    CHECK_CONTAINS(
        list, "\"quarantined\":[{\"name\":\"stubborn\",\"version\":\"1.0.0\",\"generation\":1,");
    free(list);
    CHECK_CONTAINS(berth_test_log(), "berth_stopping"); /* the cure */
    CHECK_INT(stops(), 0);
    load_stubborn(); /* another one may come */
    close(ends[1]);
    UNTIL(host, stops() == 1);
    berth_host_free(host);
    CHECK_INT(stops(), 2);
    close(ends[0]);
}

static void a_reload_does_not_wait_for_a_thread_for_ever(void)
{
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error;

    make_stubborn(50 * MS);
    CALL(host, "stubborn.begin", "[]");
    CHECK_CODE(berth_host_reload(host, "stubborn", NULL, &report, &error), BERTH_OK, &error);
    CHECK_STR(report.step, "done");
    CHECK_CONTAINS(report.quarantined, "thread");
    CHECK_INT(report.unmapped, 0);
    close(ends[1]);
    UNTIL(host, stops() == 1);
    berth_host_free(host);
    CHECK_INT(stops(), 2);
    close(ends[0]);
}

static void *stay(void *unused)
{
    (void)unused;
    CALL(host, "stubborn.stay", "[]");
    return NULL;
}

/* Two old generations, of which the younger is left first. */
static void one_that_stays_does_not_keep_another(void)
{
    struct berth_error error;
    pthread_t thread;
    int first[2];

    make_stubborn(50 * MS);
    pthread_create(&thread, NULL, stay, NULL);
    usleep(50000);
    CHECK_CODE(berth_host_unload(host, "stubborn", &error), BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CODE(berth_host_reload(host, "stubborn", NULL, NULL, &error), BERTH_OK, &error);
    memcpy(first, ends, sizeof(first));
    REQUIRE(!pipe(ends));
    CHECK_CODE(berth_host_unload(host, "stubborn", &error), BERTH_OK, &error);
    CHECK_INT(stops(), 1); /* of the second */
    load_stubborn();
    CALL(host, "stubborn.begin", "[]");
    CHECK_CODE(berth_host_unload(host, "stubborn", &error), BERTH_OK, &error);
    CHECK_INT(stops(), 1);
    close(ends[1]);
    UNTIL(host, stops() == 2); /* the third; the first is still busy */
    close(first[1]);
    pthread_join(thread, NULL);
    UNTIL(host, stops() == 3);
    berth_host_free(host);
    close(first[0]);
    close(ends[0]);
}

static void a_thread_of_its_own_lives_until_stop(void)
{
    struct berth_error error;

    make_stubborn(0);
    CALL(host, "stubborn.enter", "[]");
    CHECK_CODE(berth_host_unload(host, "stubborn", &error), BERTH_OK, &error);
    CHECK_INT(stops(), 1);
    load_stubborn();
    CALL(host, "stubborn.enter", "[]");
    CHECK_CODE(berth_host_reload(host, "stubborn", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_INT(stops(), 2);
    berth_host_free(host);
    close(ends[0]);
    close(ends[1]);
}

static void an_end_does_not_race_with_new_timers(void)
{
    struct berth_error error;

    make_stubborn(0);
    for (int i = 0; i < (berth_test_instrumented() ? 20 : 200); i++) {
        for (int k = 0; k < 8; k++)
            CALL(host, "stubborn.storm", "[]");
        CHECK_CODE(berth_host_reload(host, "stubborn", NULL, NULL, &error), BERTH_OK, &error);
    }
    berth_host_free(host);
    close(ends[0]);
    close(ends[1]);
}

static long virtual_kib(void)
{
    return strtol(berth_test_read("/proc/self/statm", NULL), NULL, 10) *
           (sysconf(_SC_PAGESIZE) / 1024);
}

static void threads_that_have_ended_leave_nothing(void)
{
    enum { THREADS = 300, AT_ONCE = 100 };
    pthread_attr_t attributes;
    size_t stack = 0;

    pthread_attr_init(&attributes);
    pthread_attr_getstacksize(&attributes, &stack);
    pthread_attr_destroy(&attributes);
    make_stubborn(0);
    long before = virtual_kib();
    for (int i = 0; i < THREADS; i++) {
        CALL(host, "stubborn.brief", "[]");
        usleep(1000);
    }
    if (!berth_test_instrumented())
        CHECK(virtual_kib() - before < (long)(AT_ONCE * (stack >> 10)));
    berth_host_free(host);
    close(ends[0]);
    close(ends[1]);
}

static int inside; /* atomic: how many are in meet() */

static void meet(void)
{
    __atomic_add_fetch(&inside, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&inside, __ATOMIC_ACQUIRE) < 2)
        usleep(1000);
}

static void *ask_for_b(void *ret_code)
{
    struct berth_error error;
    *(int *)ret_code = berth_test_try(host, "pair_a.ask", "[true]", 0, NULL, &error);
    if (*(int *)ret_code)
        CHECK_CONTAINS(error.text, "would close a ring of calls that wait for each other: "
                                   "pair_a.ask → pair_b.number; pair_b.ask → pair_a.number");
    return NULL;
}

/* Each is inside of one, and calls the other. */
static void two_serial_modules_do_not_wait_for_each_other(void)
{
    struct berth_error error;
    pthread_t thread;
    int codes[2];

    make_host(0);
    on_holding = meet;
    for (int i = 0; i < 20; i++) {
        inside = 0;
        if (i == 0) {
            berth_test_load_as(host, "pair", "pair_a", NULL);
            berth_test_load_as(host, "pair", "pair_b", NULL);
        }
        pthread_create(&thread, NULL, ask_for_b, &codes[0]);
        codes[1] = berth_test_try(host, "pair_b.ask", "[false]", 0, NULL, &error);
        pthread_join(thread, NULL);
        if (codes[1])
            CHECK_CONTAINS(error.text, "would close a ring of calls that wait for each other: "
                                       "pair_b.ask → pair_a.number; pair_a.ask → pair_b.number");
        CHECK((codes[0] == BERTH_OK && codes[1] == BERTH_ABORTED) ||
              (codes[0] == BERTH_ABORTED && codes[1] == BERTH_OK));
    }
    berth_host_free(host);
}

/* ---- The end of a host that something is inside of ---- */

static void a_thread_does_not_keep_the_end_of_a_host(void)
{
    make_stubborn(50 * MS);
    CALL(host, "stubborn.begin", "[]");
    CHECK_INT(berth_host_free(host), BERTH_DEADLINE_EXCEEDED);
    CHECK_CONTAINS(berth_test_log(), "stubborn");
    CHECK_CONTAINS(berth_test_log(), "keeps this host in memory");
    close(ends[1]); /* its thread ends now, in a host that is not the application's any more */
}

static void a_timer_does_not_keep_the_end_of_a_host(void)
{
    make_stubborn(50 * MS);
    CALL(host, "stubborn.delay", "[]");
    usleep(20000);
    CHECK_INT(berth_host_free(host), BERTH_DEADLINE_EXCEEDED);
    close(ends[1]);
}

/* Pages of different protection in turn, each of them a mapping; some are left for the loader. */
static void what_the_kernel_has_no_mapping_for_says_so(void)
{
    enum { LEAST = 4096, MOST = 1 << 18, LEFT = 4 };
    struct berth_error error = { 0 };
    long page = sysconf(_SC_PAGESIZE);
    size_t count = 0;

    if (berth_test_instrumented() || berth_test_valgrind())
        berth_skip("the instrumentation has mappings of its own");
    host = berth_test_host(NULL);
    char *pages = mmap(NULL, (size_t)page * MOST, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    while (2 * count + 1 < MOST &&
           mprotect(pages + (2 * count + 1) * (size_t)page, (size_t)page, PROT_READ) == 0)
        count++;
    if (2 * count + 1 >= MOST) {
        munmap(pages, (size_t)page * MOST);
        berth_host_free(host);
        berth_skip("the kernel allows very many mappings");
    }
    CHECK(count > LEAST);
    for (size_t i = 0; i < LEFT / 2; i++) /* each of them joins three */
        mprotect(pages + (2 * i + 1) * (size_t)page, (size_t)page, PROT_NONE);
    int code = berth_host_load(host, berth_test_fixture("math"), NULL, &error);
    munmap(pages, (size_t)page * MOST);
    CHECK_CODE(code, BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "math");
    CHECK_CONTAINS(error.text, "sysctl -w vm.max_map_count=");
    CHECK_CODE(berth_host_load(host, berth_test_fixture("math"), NULL, &error), BERTH_OK, &error);
    berth_host_free(host);
}

/* ---- A load that fails ---- */

static unsigned mails_left;

static void count_left(berth_ctx *ctx, struct berth_mail *mail, enum berth_mail_end how)
{
    (void)ctx;
    (void)mail;
    CHECK_INT(how, BERTH_MAIL_LEFT);
    mails_left++;
}

static struct berth_mail late_mail;

/* As a call that was let through before an unload, and is as late as that. */
static void post_late(void)
{
    static const struct berth_mail_ops ops = { .end = count_left };
    static const struct berth_delivery how = { .full = BERTH_FULL_REJECT };

    pthread_mutex_lock(&host->lock);
    struct berth_module *module = berth_module_find(host, "starter");
    pthread_mutex_unlock(&host->lock);
    late_mail = (struct berth_mail){ .ops = &ops };
    berth_list_init(&late_mail.link);
    CHECK_INT(berth_mailbox_post(module, &late_mail, &how), BERTH_OK);
}

/* What comes while its START runs is for nobody when that fails, and does not wait for the next. */
static void what_comes_to_a_load_that_fails_ends(void)
{
    struct berth_error error;

    make_host(0);
    LOAD(host, "starter", "inline");
    CHECK_CODE(berth_host_unload(host, "starter", &error), BERTH_OK, &error);
    on_starting = post_late;
    refuses = true;
    CHECK_CODE(berth_host_load(host, berth_test_fixture("starter"), NULL, &error), BERTH_ABORTED,
               &error);
    CHECK_CONTAINS(error.text, "not now");
    CHECK_INT(mails_left, 1);
    on_starting = NULL;
    refuses = false;
    LOAD(host, "starter", "inline");
    CHECK_CALL(host, "starter.bells", "[]", "0");
    berth_host_free(host);
    CHECK_INT(mails_left, 1);
}

static const struct berth_test tests[] = {
    { "what_the_kernel_has_no_mapping_for_says_so", what_the_kernel_has_no_mapping_for_says_so },
    { "frames_tell_whose_code_it_is", frames_tell_whose_code_it_is },
    { "threads_begin_with_the_applications_own", threads_begin_with_the_applications_own },
    { "what_comes_to_a_load_that_fails_ends", what_comes_to_a_load_that_fails_ends },
    { "subscribing_during_a_load_leaves_it_its_room",
      subscribing_during_a_load_leaves_it_its_room },
    { "publishers_do_not_keep_a_subscriber_out", publishers_do_not_keep_a_subscriber_out },
    { "a_handle_of_the_last_moment_refuses_the_reload",
      a_handle_of_the_last_moment_refuses_the_reload },
    { "the_time_of_start_is_not_that_of_calls", the_time_of_start_is_not_that_of_calls },
    { "an_unload_does_not_wait_for_a_thread_for_ever",
      an_unload_does_not_wait_for_a_thread_for_ever },
    { "a_reload_does_not_wait_for_a_thread_for_ever",
      a_reload_does_not_wait_for_a_thread_for_ever },
    { "one_that_stays_does_not_keep_another", one_that_stays_does_not_keep_another },
    { "a_thread_of_its_own_lives_until_stop", a_thread_of_its_own_lives_until_stop },
    { "an_end_does_not_race_with_new_timers", an_end_does_not_race_with_new_timers },
    { "threads_that_have_ended_leave_nothing", threads_that_have_ended_leave_nothing },
    { "two_serial_modules_do_not_wait_for_each_other",
      two_serial_modules_do_not_wait_for_each_other },
    { "a_thread_does_not_keep_the_end_of_a_host", a_thread_does_not_keep_the_end_of_a_host },
    { "a_timer_does_not_keep_the_end_of_a_host", a_timer_does_not_keep_the_end_of_a_host },
};

int main(int argc, char **argv)
{
    return berth_suite_main("hard", tests, COUNT(tests), argc, argv);
}
