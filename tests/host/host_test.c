/* SPDX-License-Identifier: MIT */
/* Hosts: several, many, without threads; what is loaded in which order; files that are none. */
#include "tests/support/hosting.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <berth/module.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           INT64_C(1000000)

static size_t thread_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t count = 0;

    REQUIRE(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* A thread that has been joined may still be listed for a moment. */
static void check_threads(size_t expected)
{
    EVENTUALLY(thread_count() == expected);
}

static size_t threads_at_first;

static void *tell_id(void *ret_id)
{
    *(pid_t *)ret_id = gettid();
    return NULL;
}

/* ThreadSanitizer has one of its own as soon as there is a second. */
static void count_first_threads(void)
{
    pthread_t thread;
    char path[64];
    pid_t id = 0;

    if (pthread_create(&thread, NULL, tell_id, &id) == 0)
        pthread_join(thread, NULL);
    snprintf(path, sizeof(path), "/proc/self/task/%d", (int)id);
    while (access(path, F_OK) == 0)
        berth_test_pause(1);
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));)
        threads_at_first += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
}

/* How many there are when those of the tests before have gone. */
static size_t quiet_threads(void)
{
    check_threads(threads_at_first);
    return threads_at_first;
}

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    CHECK(sscanf(berth_test_read("/proc/self/statm", NULL), "%ld %ld", &pages, &resident) == 2);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static berth_host *host_with_threads(int threads)
{
    struct berth_host_options options = berth_test_host_options();
    options.threads = threads;
    return berth_test_host(&options);
}

/* ---- Options ---- */

static void defaults_are_as_the_header_says(void)
{
    struct berth_host_options options;

    memset(&options, 0xff, sizeof(options));
    berth_host_options_init(&options);
    CHECK_INT(options.size, sizeof(options));
    CHECK_INT(options.threads, -1);
    CHECK_INT(options.flags, 0);
    CHECK_INT(options.log_level, BERTH_LOG_INFO);
    CHECK_INT(options.max_message, 16 << 20);
    CHECK_INT(options.mailbox_messages, 1024);
    CHECK_INT(options.mailbox_bytes, 1 << 20);
    CHECK_INT(options.call_timeout_ns, 0);
    CHECK_INT(options.stop_timeout_ns, 5000 * MS);
    CHECK(!options.log);
}

static void a_host_needs_no_options(void)
{
    berth_host *host = NULL;
    struct berth_error error;

    CHECK_CODE(berth_host_new(NULL, &host, &error), BERTH_OK, &error);
    REQUIRE(host);
    LOAD(host, "math", NULL);
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    berth_host_free(host);
    berth_host_free(NULL);
    CHECK_INT(berth_host_new(NULL, &host, NULL), BERTH_OK);
    berth_host_free(host);
}

static void options_that_make_no_sense_are_refused(void)
{
    struct berth_host_options options = berth_test_host_options();
    berth_host *host = NULL;
    struct berth_error error;

    options.threads = -7;
    CHECK_CODE(berth_host_new(&options, &host, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "threads");
    options = berth_test_host_options();
    options.size = 0;
    CHECK_CODE(berth_host_new(&options, &host, &error), BERTH_INVALID_ARGUMENT, &error);
    options = berth_test_host_options();
    options.flags = 1u << 31;
    CHECK_CODE(berth_host_new(&options, &host, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK(!host);
}

static void words_about_itself(void)
{
    CHECK_STR(berth_version(), BERTH_VERSION);
    CHECK_STR(berth_code_name(BERTH_OK), "ok");
    CHECK_STR(berth_code_name(BERTH_INVALID_ARGUMENT), "invalid_argument");
    CHECK_STR(berth_code_name(BERTH_UNAUTHENTICATED), "unauthenticated");
    CHECK_STR(berth_code_name(17), "unknown");
    CHECK_STR(berth_code_name(-1), "unknown");
}

static void calls_have_the_hosts_timeout(void)
{
    struct berth_host_options options = berth_test_host_options();
    options.call_timeout_ns = berth_test_patience();
    berth_host *host = berth_test_host(&options);

    LOAD(host, "sleeper", NULL);
    CHECK_CALL(host, "sleeper.nap", "[1]", "1");
    CHECK(CALL_INT(host, "sleeper.left", "[]") <= berth_test_patience());
    berth_host_free(host);

    options.call_timeout_ns = 20 * MS;
    host = berth_test_host(&options);
    LOAD(host, "sleeper", NULL);
    CHECK_FAILS(host, "sleeper.nap", "[50]", BERTH_DEADLINE_EXCEEDED, "sleeper.nap");
    berth_host_free(host);
}

static void timeouts_may_be_for_ever(void)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_error error;

    options.stop_timeout_ns = options.call_timeout_ns = INT64_MAX;
    berth_host *host = berth_test_host(&options);
    LOAD(host, "counter", NULL);
    CHECK_CALL(host, "counter.add", "[2]", "2");
    CHECK_CODE(berth_host_reload(host, "counter", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.get", "[]", "2");
    CHECK_CODE(berth_host_unload(host, "counter", &error), BERTH_OK, &error);
    berth_host_free(host);
}

static void an_earlier_deadline_stays(void)
{
    berth_host *host = host_with_threads(1);
    int64_t early = berth_test_patience();

    LOAD(host, "sleeper", NULL);
    berth_ctx *outer = berth_host_enter(host);
    berth_set_timeout(outer, early);
    berth_ctx *inner = berth_host_enter(host);
    berth_set_timeout(inner, 100 * early);
    struct berth_value left = { 0 };
    CHECK_INT(berth_call(inner, "sleeper.left", NULL, 0, &left), BERTH_OK);
    CHECK(left.as.i64 > 0 && left.as.i64 <= early);
    berth_set_timeout(inner, INT64_MAX);
    CHECK_INT(berth_call(inner, "sleeper.left", NULL, 0, &left), BERTH_OK);
    CHECK(left.as.i64 <= early);
    berth_leave(inner);
    berth_leave(outer);
    berth_host_free(host);
}

/* ---- Several ---- */

static void hosts_do_not_know_each_other(void)
{
    berth_host *one = host_with_threads(1), *two = host_with_threads(1);
    struct berth_error error;

    LOAD(one, "counter", NULL);
    CHECK_CALL(one, "counter.add", "[5]", "5");
    CHECK_FAILS(two, "counter.get", "[]", BERTH_NOT_FOUND, "counter");
    LOAD(two, "counter", NULL);
    CHECK_CALL(two, "counter.get", "[]", "0");
    CHECK_CODE(berth_host_unload(one, "counter", &error), BERTH_OK, &error);
    CHECK_CALL(two, "counter.add", "[1]", "1");

    LOAD(one, "greet", NULL);
    berth_ctx *outer = berth_host_enter(one), *inner = berth_host_enter(two), *again;
    struct berth_value name = { .kind = BERTH_VALUE_STRING, .as.string = "a" }, text, sum;
    CHECK_INT(berth_call(inner, "counter.get", NULL, 0, &sum), BERTH_OK);
    again = berth_host_enter(one);
    CHECK_INT(berth_call(again, "greet.hello", &name, 1, &text), BERTH_OK);
    CHECK_STR(text.as.string, "Hello, a");
    berth_leave(again);
    CHECK_INT(berth_call(outer, "counter.get", NULL, 0, &sum), BERTH_NOT_FOUND);
    CHECK(berth_failed(outer));
    CHECK(!berth_failed(inner));
    berth_clear(outer);
    berth_leave(inner);
    berth_leave(outer);
    berth_host_free(one);
    CHECK_CALL(two, "counter.get", "[]", "1");
    berth_host_free(two);
}

static void use_one_host(int threads)
{
    berth_host *host = host_with_threads(threads);
    LOAD(host, "math", NULL);
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    berth_host_free(host);
}

static void a_thousand_hosts_leave_nothing(void)
{
    int count = berth_test_instrumented() ? 50 : 1000;
    size_t descriptors, threads;
    long resident;

    for (int i = 0; i < 20; i++)
        use_one_host(i % 2);
    descriptors = berth_test_descriptors();
    threads = quiet_threads();
    resident = resident_kib();
    for (int i = 0; i < count; i++)
        use_one_host(i % 10 == 0);
    check_threads(threads);
    if (!berth_test_instrumented()) { /* else images are kept, each with its descriptor */
        CHECK_INT(berth_test_descriptors(), descriptors);
        CHECK(resident_kib() - resident < 2048);
        berth_note("resident: %ld KiB more", resident_kib() - resident);
    }
}

static void a_hundred_hosts_at_once(void)
{
    enum { HOSTS = 100 };
    berth_host *hosts[HOSTS];
    size_t descriptors = berth_test_descriptors(), threads = quiet_threads();

    for (int i = 0; i < HOSTS; i++) {
        hosts[i] = host_with_threads(0);
        LOAD(hosts[i], "counter", NULL);
        CALL(hosts[i], "counter.add", berth_test_format("[%d]", i));
    }
    check_threads(threads);
    for (int i = 0; i < HOSTS; i++) {
        CHECK_INT(CALL_INT(hosts[i], "counter.get", "[]"), i);
        berth_host_free(hosts[i]);
    }
    if (!berth_test_instrumented())
        CHECK_INT(berth_test_descriptors(), descriptors);
}

static void descriptors_are_closed_by_exec(void)
{
    bool before[256];

    for (int fd = 0; fd < 256; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    berth_host *host = host_with_threads(1);
    LOAD(host, "math", NULL);
    if (!berth_test_valgrind())
        LOAD(host, "greet", "process");
    for (int fd = 0; fd < 256; fd++)
        if (!before[fd] && fcntl(fd, F_GETFD) >= 0)
            CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    berth_host_free(host);
}

/* ---- Without threads ---- */

static size_t heard;

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    berth_host *host = user;

    CHECK(ctx);
    CHECK_STR(message->topic, "news.bell");
    CHECK_INT(berth_host_dispatch(host, 0), -1); /* inside a call */
    heard++;
}

static bool readable(const berth_host *host, int timeout_ms)
{
    struct pollfd polled = { .fd = berth_host_fd(host), .events = POLLIN };
    return poll(&polled, 1, timeout_ms) == 1;
}

static void a_host_without_threads_is_polled(void)
{
    size_t threads = quiet_threads();
    berth_host *host = host_with_threads(0);
    struct berth_error error;
    uint64_t id;

    LOAD(host, "publisher", NULL);
    LOAD(host, "subscriber", NULL);
    CHECK_CODE(berth_host_subscribe(host, "news.bell", hear, host, &id, &error), BERTH_OK, &error);
    while (berth_host_dispatch(host, 0) > 0)
        ;
    CHECK(!readable(host, 0));
    heard = 0;
    for (size_t i = 1; i < 20; i++) {
        CHECK_CALL(host, "publisher.ring", "[]", "null");
        CHECK_INT(heard, i - 1); /* nothing runs by itself */
        CHECK(readable(host, 0));
        int done = 0;
        while (readable(host, 0))
            done += berth_host_dispatch(host, 0);
        CHECK_INT(heard, i);
        CHECK(done >= 2); /* the subscriber, and hear() */
        CHECK_INT(CALL_INT(host, "subscriber.bells", "[]"), i);
    }
    CHECK_INT(berth_host_dispatch(host, 0), 0);
    int64_t start = berth_test_now();
    CHECK_INT(berth_host_dispatch(host, 20), 0);
    CHECK(berth_test_now() - start >= 19 * MS);

    LOAD(host, "timer", NULL);
    int64_t end = berth_test_now() + berth_test_patience();
    while (CALL_INT(host, "timer.ticks", "[]") < 5 && berth_test_now() < end)
        if (readable(host, 1000))
            berth_host_dispatch(host, 0);
    CHECK(CALL_INT(host, "timer.ticks", "[]") >= 5);
    check_threads(threads);
    berth_host_unsubscribe(host, id);
    berth_host_free(host);
    check_threads(threads);
}

static void dispatch_works_beside_threads(void)
{
    berth_host *host = host_with_threads(1);

    LOAD(host, "publisher", NULL);
    LOAD(host, "subscriber", NULL);
    for (int i = 0; i < 50; i++) {
        CALL(host, "publisher.ring", "[]");
        berth_host_dispatch(host, 0);
    }
    UNTIL(host, CALL_INT(host, "subscriber.bells", "[]") == 50);
    berth_host_free(host);
}

static bool enough; /* atomic */

static void *dispatch_for_ever(void *host)
{
    while (!__atomic_load_n(&enough, __ATOMIC_ACQUIRE))
        CHECK(berth_host_dispatch(host, -1) >= 0);
    return NULL;
}

static void dispatch_waits_for_work_of_other_threads(void)
{
    berth_host *host = host_with_threads(0);
    pthread_t thread;

    LOAD(host, "publisher", NULL);
    LOAD(host, "subscriber", NULL);
    enough = false;
    pthread_create(&thread, NULL, dispatch_for_ever, host);
    for (int i = 0; i < 3; i++) {
        berth_test_pause(3); /* so that it mostly waits */
        CALL(host, "publisher.ring", "[]");
        EVENTUALLY(CALL_INT(host, "subscriber.bells", "[]") == i + 1);
    }
    __atomic_store_n(&enough, true, __ATOMIC_RELEASE);
    CALL(host, "publisher.ring", "[]"); /* wakes it once more */
    pthread_join(thread, NULL);
    berth_host_free(host);
}

/* ---- Order ---- */

static int load_all(berth_host *host, const char *const *fixtures, size_t count,
                    struct berth_error *error)
{
    const char *files[8];
    for (size_t i = 0; i < count; i++)
        files[i] = berth_test_fixture(fixtures[i]);
    return berth_host_load_all(host, files, NULL, count, error);
}

static void modules_load_in_the_order_of_their_needs(void)
{
    berth_host *host = host_with_threads(0);
    struct berth_error error;

    CHECK_CODE(load_all(host, (const char *const[]){ "requirer", "greet", "math" }, 3, &error),
               BERTH_OK, &error);
    CHECK_CALL(host, "requirer.three", "[]", "3");
    CHECK_CALL(host, "greet.hello", "[\"a\"]", "\"Hello, a\"");
    CHECK_CODE(load_all(host, NULL, 0, &error), BERTH_OK, &error);
    berth_host_free(host);
}

/* Whichever is named first, what does not fit is found before either serves. */
static void an_importer_comes_after_what_it_imports(void)
{
    static const char *const orders[][2] = { { "disagreer", "math" }, { "math", "disagreer" } };
    berth_host *host = host_with_threads(0);
    struct berth_error error;

    for (size_t i = 0; i < COUNT(orders); i++) {
        CHECK_CODE(load_all(host, orders[i], 2, &error), BERTH_FAILED_PRECONDITION, &error);
        CHECK_CONTAINS(error.text, "disagreer imports math.negate(string a) -> string, but math");
        CHECK_STR(berth_test_module(host, "math", "state"), "");
    }
    /* those that import each other come in some order */
    CHECK_CODE(load_all(host, (const char *const[]){ "threader", "chain_b", "chain_a", "math" }, 4,
                        &error),
               BERTH_OK, &error);
    berth_host_free(host);
}

static void its_threads_answer(void)
{
    berth_host *host = berth_test_host(NULL);
    struct berth_error error;

    for (int i = 0; i < 100; i++)
        CHECK_CODE(berth_host_check(host, (int)(berth_test_patience() / 1000000), &error), BERTH_OK,
                   &error);
    berth_host_free(host);
    host = host_with_threads(0);
    CHECK_CODE(berth_host_check(host, 0, &error), BERTH_OK, &error); /* nobody to ask */
    berth_host_free(host);
}

/* Over the files of a directory of /proc, some of which may vanish meanwhile. */
static long long sum(const char *directory, long long (*of)(const char *text))
{
    DIR *files = opendir(directory);
    long long total = 0;

    REQUIRE(files);
    for (struct dirent *entry; (entry = readdir(files));) {
        char text[4096];
        bool task = strstr(directory, "task") != NULL;
        FILE *file = fopen(
            berth_test_format("%s/%s%s", directory, entry->d_name, task ? "/status" : ""), "re");
        size_t size = file && entry->d_name[0] != '.' ? fread(text, 1, sizeof(text) - 1, file) : 0;
        text[size] = '\0';
        total += of(text);
        if (file)
            fclose(file);
    }
    closedir(files);
    return total;
}

/* Of a thread of a host: each time it had something to do, or thought so. */
static long long voluntary_switches(const char *status)
{
    const char *line = strstr(status, "\nvoluntary_ctxt_switches:");
    return line && strstr(status, "Name:\tberth-") ? strtoll(strchr(line, ':') + 1, NULL, 10) : 0;
}

/* A descriptor that goes off by itself. */
static long long armed(const char *information)
{
    const char *value = strstr(information, "\nit_value:");
    return value && !strstr(value, "it_value: (0, 0)");
}

static bool nobody_wakes(void)
{
    long long before = sum("/proc/self/task", voluntary_switches);
    berth_test_pause(300);
    return sum("/proc/self/task", voluntary_switches) == before;
}

/* Whatever there has been: calls, messages and started calls. */
static void at_rest_nobody_wakes(void)
{
    berth_host *host = berth_test_host(NULL);
    berth_ctx *ctx;
    berth_pending pending;
    char *result = NULL;

    for (int i = 0; i < 20; i++)
        berth_test_load_as(host, "counter", berth_test_format("counter_%d", i), "inline");
    LOAD(host, "publisher", NULL);
    LOAD(host, "subscriber", NULL);
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CALL(host, "counter_7.add", "[1]", "1");
    ctx = berth_host_enter(host);
    berth_set_timeout(ctx, 3600 * INT64_C(1000000000)); /* which nobody waits for any more */
    for (int i = 0; i < 50; i++) { /* and which has messages sent by threads of the pool */
        CHECK_INT(berth_call_start_json(ctx, "publisher.ring", "[]", NULL, &pending), BERTH_OK);
        CHECK_INT(berth_call_take_json(ctx, pending, &result), BERTH_OK);
        berth_free(result);
    }
    berth_leave(ctx);
    EVENTUALLY(nobody_wakes());
    CHECK_INT(sum("/proc/self/fdinfo", armed), 0);
    berth_host_free(host);
}

static void all_or_none_are_loaded(void)
{
    static const struct {
        const char *fixtures[3];
        const char *parts[2];
    } wrong[] = {
        { { "greet", "cycle_a", "cycle_b" }, { "cycle_a", "cycle_b" } },
        { { "greet", "requirer", "counter" }, { "requirer", "math" } },
        { { "greet", "counter", "bad_start" }, { "bad_start", "the moon is not full" } },
        { { "greet", "greet", "math" }, { "greet", "greet" } },
        { { "greet", "math", "no_such_file" }, { "no_such_file", "no_such_file" } },
    };
    berth_host *host = host_with_threads(0);
    struct berth_error error;

    for (size_t i = 0; i < COUNT(wrong); i++) {
        CHECK(load_all(host, wrong[i].fixtures, 3, &error) != BERTH_OK);
        CHECK_CONTAINS(error.text, wrong[i].parts[0]);
        CHECK_CONTAINS(error.text, wrong[i].parts[1]);
        for (size_t j = 0; j < 3; j++)
            CHECK_STR(berth_test_module(host, wrong[i].fixtures[j], "state"), "");
    }
    CHECK_CODE(load_all(host, (const char *const[]){ "greet", "math" }, 2, &error), BERTH_OK,
               &error);
    berth_host_free(host);
}

static void ranges_are_kept(void)
{
    berth_host *host = host_with_threads(0);
    struct berth_error error;

    berth_test_load_as(host, "greet", "math", NULL); /* 1.0.0, and ^1.1 is wanted */
    CHECK_CODE(berth_test_load(host, "requirer", NULL, NULL, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CONTAINS(error.text, "1.0.0");
    CHECK_CONTAINS(error.text, "^1.1");
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    LOAD(host, "math", NULL);
    LOAD(host, "requirer", NULL);
    CHECK_CODE(berth_host_reload(host, "math", berth_test_fixture("greet"), NULL, &error),
               BERTH_FAILED_PRECONDITION, &error); /* another module altogether */
    CHECK_CALL(host, "requirer.three", "[]", "3");
    for (int i = 0; i < 2; i++) { /* both may be replaced, and it is required as before */
        CHECK_CODE(berth_host_reload(host, i ? "math" : "requirer", NULL, NULL, &error), BERTH_OK,
                   &error);
        CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_FAILED_PRECONDITION, &error);
        CHECK_CONTAINS(error.text, "math is required by requirer");
    }
    CHECK_CODE(berth_host_unload(host, "requirer", &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    berth_host_free(host);
}

/* As an application gives them that was built before restart was there; its arrays are closer. */
static void shorter_options_are_taken(void)
{
    struct shorter {
        size_t size;
        const char *name, *placement, *options;
    };
    struct shorter each[2] = { { .size = sizeof(*each), .name = "one" },
                               { .size = sizeof(*each), .name = "two" } };
    const char *const files[] = { berth_test_fixture("math"), berth_test_fixture("math") };
    const struct berth_load_options *options = (const void *)each;
    struct berth_reload_options reload = { .size = offsetof(struct berth_reload_options, restart) };
    const struct berth_restart_policy bad = { .size = sizeof(bad), .limit = 33 };
    berth_host *host = host_with_threads(0);
    struct berth_error error;

    CHECK_INT(sizeof(*each), offsetof(struct berth_load_options, restart));
    CHECK_CODE(berth_host_load_all(host, files, options, 2, &error), BERTH_OK, &error);
    CHECK_CALL(host, "two.add", "[1,2]", "3");
    CHECK_CODE(berth_host_reload_with(host, "one", &reload, NULL, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_unload(host, "two", &error), BERTH_OK, &error);
    each[1].size = sizeof(struct berth_load_options) + 1;
    CHECK_CODE(berth_host_load_all(host, files, options, 2, &error), BERTH_INVALID_ARGUMENT,
               &error);
    each[0].size = 8;
    CHECK_CODE(berth_host_load(host, files[0], options, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "berth_load_options.size is 8");
    reload.size = sizeof(reload);
    reload.restart = &bad;
    CHECK_CODE(berth_host_reload_with(host, "one", &reload, NULL, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_CONTAINS(error.text, "limit must be 1 to 32");
    CHECK_CALL(host, "one.add", "[1,2]", "3");
    berth_host_free(host);
}

static void names_must_be_names(void)
{
    static const char *const wrong[] = {
        "Math", "1math", "ma-th", "", "a.b", "math ", "m\xc3\xa4th"
    };
    berth_host *host = host_with_threads(0);
    struct berth_error error;

    for (size_t i = 0; i < COUNT(wrong); i++) {
        const struct berth_load_options options = { .size = sizeof(options), .name = wrong[i] };
        CHECK_CODE(berth_host_load(host, berth_test_fixture("math"), &options, &error),
                   BERTH_INVALID_ARGUMENT, &error);
    }
    CHECK_STR(berth_test_module(host, "math", "state"), "");
    berth_host_free(host);
}

/* ---- Inside a call ---- */

BERTH_MODULE("app", "1.0.0", "The application of this test.");
BERTH_PARALLEL;

static berth_host *inside_host;
static int inside_codes[4];

BERTH_STRUCT(point, (f64, x), (f64, y));
BERTH_BOUND(point, echo_point, (point, value));

BERTH_EXPORT(f64, twice, "Changes the host that calls it.", (f64, x))
{
    struct berth_error error;

    inside_codes[0] = berth_host_unload(inside_host, "callback", &error);
    inside_codes[1] = berth_test_load(inside_host, "greet", NULL, NULL, &error);
    inside_codes[2] = berth_host_unload(inside_host, "greet", &error);
    inside_codes[3] = berth_host_dispatch(inside_host, 0);
    CHECK(!berth_failed(ctx));
    return 2 * x;
}

BERTH_EXPORT(string, name, "Not called.")
{
    return "";
}

BERTH_EXPORT(void, fail, "Not called.", (string, why))
{
    (void)why;
}

static void a_host_may_be_changed_inside_a_call(void)
{
    berth_host *host = inside_host = host_with_threads(1);
    struct berth_error error;

    LOAD(host, "callback", NULL);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    CHECK_CALL(host, "callback.four_times", "[1]", "4");
    CHECK(inside_codes[0] != BERTH_OK); /* it would wait for itself */
    CHECK_INT(inside_codes[1], BERTH_OK);
    CHECK_INT(inside_codes[2], BERTH_OK);
    CHECK_INT(inside_codes[3], -1);
    CHECK_CODE(berth_host_unload(host, "callback", &error), BERTH_OK, &error);
    berth_host_free(host);
}

static void an_application_is_in_one_host_at_a_time(void)
{
    berth_host *one = host_with_threads(1), *two = host_with_threads(1);
    struct berth_error error;

    CHECK_CODE(berth_host_provide(one, &berth_entry, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_provide(two, &berth_entry, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, "app");
    berth_host_free(one);
    CHECK_CODE(berth_host_provide(two, &berth_entry, &error), BERTH_OK, &error);
    berth_host_free(two);
}

static void bound_structs_keep_the_application(void)
{
    berth_host *host = host_with_threads(1);
    struct berth_error error;
    echo_point_bound echo;

    LOAD(host, "types", NULL);
    CHECK_CODE(berth_bind(host, "types.echo_point", echo_point, &echo, &error),
               BERTH_INVALID_ARGUMENT, &error);
    CHECK_CODE(berth_host_provide(host, &berth_entry, &error), BERTH_OK, &error);
    CHECK_CODE(berth_bind(host, "types.echo_point", echo_point, &echo, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_unload(host, "app", &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, "types.echo_point");
    CHECK_CODE(berth_host_reload(host, "types", NULL, NULL, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK(echo_point_call(&echo, ctx, (berth_point){ 1, 2 }).y == 2);
    berth_leave(ctx);
    berth_unbind(host, &echo);
    CHECK_CODE(berth_host_unload(host, "app", &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_reload(host, "types", NULL, NULL, &error), BERTH_OK, &error);
    berth_host_free(host);
}

BERTH_BOUND(f64, sum, (f64, a), (f64, b));

static void an_object_is_bound_once(void)
{
    berth_host *host = host_with_threads(1);
    struct berth_error error;
    sum_bound sum;

    LOAD(host, "math", NULL);
    berth_test_load_as(host, "math", "other", NULL);
    CHECK_CODE(berth_bind(host, "math.add", sum, &sum, &error), BERTH_OK, &error);
    CHECK_CODE(berth_bind(host, "other.divide", sum, &sum, &error), BERTH_FAILED_PRECONDITION,
               &error);
    CHECK_CONTAINS(error.text, "math.add");
    CHECK_CODE(berth_host_reload(host, "other", NULL, NULL, &error), BERTH_OK, &error);
    berth_ctx *ctx = berth_host_enter(host);
    CHECK(sum_call(&sum, ctx, 6, 3) == 9);
    berth_leave(ctx);
    berth_unbind(host, &sum);
    CHECK_CODE(berth_bind(host, "other.divide", sum, &sum, &error), BERTH_OK, &error);
    ctx = berth_host_enter(host);
    CHECK(sum_call(&sum, ctx, 6, 3) == 2);
    berth_leave(ctx);
    berth_host_free(host);
}

static void a_subscription_needs_a_function(void)
{
    berth_host *host = host_with_threads(0);
    struct berth_error error;

    CHECK_CODE(berth_host_subscribe(host, "a.>", NULL, NULL, NULL, &error), BERTH_INVALID_ARGUMENT,
               &error);
    berth_host_free(host);
}

/* ---- Files ---- */

static void refuse(berth_host *host, const char *file, int code, const char *part)
{
    struct berth_error error = { 0 };
    char *json = NULL, *text = NULL;

    int got = berth_host_load(host, file, NULL, &error);
    if (code)
        CHECK_CODE(got, code, &error);
    CHECK(got != BERTH_OK);
    CHECK_CONTAINS(error.text, part);
    CHECK(berth_manifest_read(file, &json, &text, &error) != BERTH_OK || got != BERTH_OK);
    free(json);
    free(text);
}

static void files_that_are_no_modules_are_refused(void)
{
    berth_host *host = host_with_threads(0);
    const char *file = berth_test_copy(berth_test_fixture("math"), "math.so");
    size_t size;
    char *data = berth_test_read(file, &size);
    const char *other = berth_test_format("%s/other.so", berth_test_dir());

    refuse(host, berth_test_format("%s/none.so", berth_test_dir()), BERTH_NOT_FOUND, "none.so");
    refuse(host, berth_test_dir(), 0, berth_test_dir());
    refuse(host, "/dev/null", 0, "/dev/null");
    refuse(host, "", 0, "");
    refuse(host, berth_test_source("LICENSE"), BERTH_INVALID_ARGUMENT, "ELF");
    berth_test_write(other, "", 0);
    refuse(host, other, BERTH_INVALID_ARGUMENT, "other.so");
    CHECK_INT(mkfifo(berth_test_format("%s/fifo", berth_test_dir()), 0600), 0);
    refuse(host, berth_test_format("%s/fifo", berth_test_dir()), 0, "fifo");

    for (size_t cut = 1; cut < size; cut += size / 40) { /* each time a shorter file */
        struct berth_error error;
        berth_test_write(other, data, size - cut);
        if (berth_host_load(host, other, NULL, &error) == BERTH_OK) { /* only tables were cut off */
            CHECK_CALL(host, "math.add", "[1,2]", "3");
            CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
        }
    }
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)data;
    Elf64_Ehdr original = *header;
    header->e_machine = EM_S390;
    berth_test_write(other, data, size);
    refuse(host, other, BERTH_INVALID_ARGUMENT, "other.so");
    *header = original;
    header->e_ident[EI_CLASS] = ELFCLASS32;
    berth_test_write(other, data, size);
    refuse(host, other, BERTH_INVALID_ARGUMENT, "other.so");
    *header = original;
    header->e_phoff = UINT64_MAX - 8;
    berth_test_write(other, data, size);
    refuse(host, other, BERTH_DATA_LOSS, "other.so");
    refuse(host, "/proc/self/exe", 0, "/proc/self/exe"); /* a program */

    LOAD(host, "math", NULL);
    CHECK_CALL(host, "math.add", "[1,2]", "3");
    berth_host_free(host);
}

/* Single bits are turned all over the headers; whatever comes of it, nothing dies. */
static void mutated_files_end_nobody(void)
{
    berth_host *host = host_with_threads(0);
    size_t size;
    char *data = berth_test_read(berth_test_fixture("types"), &size);
    const char *file = berth_test_format("%s/mutant.so", berth_test_dir());
    int rounds = berth_test_instrumented() ? 100 : 600, loaded = 0;

    for (int i = 0; i < rounds; i++) {
        /* The headers, and what the manifest says: past them is code, which may do anything. */
        size_t at = berth_test_random_below(2) ? berth_test_random_below(1024)
                                               : berth_test_random_below(size / 4);
        int bit = (int)berth_test_random_below(8);
        struct berth_error error = { 0 };
        char *json = NULL, *text = NULL;

        data[at] = (char)(data[at] ^ (1 << bit));
        berth_test_write(file, data, size);
        if (berth_manifest_read(file, &json, &text, &error) != BERTH_OK)
            CHECK_CONTAINS(error.text, "mutant.so");
        else
            loaded++;
        free(json);
        free(text);
        data[at] = (char)(data[at] ^ (1 << bit));
    }
    CHECK(loaded > 0);
    berth_note("%d of %d could be read", loaded, rounds);
    berth_host_free(host);
}

static void a_file_may_change_under_a_module(void)
{
    berth_host *host = host_with_threads(0);
    struct berth_error error;
    const char *file = berth_test_copy(berth_test_fixture("counter"), "live.so");
    size_t size;
    char *next = berth_test_read(berth_test_fixture("counter_v2"), &size);

    CHECK_CODE(berth_host_load(host, file, NULL, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.add", "[5]", "5");
    berth_test_write(file, "not any more", 12); /* the same inode, as `cp` does it */
    CHECK_CALL(host, "counter.add", "[5]", "10");
    CHECK(berth_host_reload(host, "counter", NULL, NULL, &error) != BERTH_OK);
    CHECK_CALL(host, "counter.add", "[5]", "15");
    berth_test_write(file, next, size);
    CHECK_CODE(berth_host_reload(host, "counter", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CALL(host, "counter.get", "[]", "15");
    CHECK_STR(berth_test_module(host, "counter", "version"), "1.1.0");
    unlink(file);
    CHECK_CODE(berth_host_reload(host, "counter", NULL, NULL, &error), BERTH_NOT_FOUND, &error);
    CHECK_CALL(host, "counter.get", "[]", "15");
    berth_host_free(host);
}

static void a_manifest_can_be_read_without_running_anything(void)
{
    char *json = NULL, *text = NULL;
    struct berth_error error;

    CHECK_CODE(berth_manifest_read(berth_test_fixture("bad_start"), &json, &text, &error), BERTH_OK,
               &error);
    CHECK_CONTAINS(json, "\"bad_start\"");
    CHECK_CONTAINS(text, "bad_start");
    free(json);
    free(text);
    json = NULL;
    CHECK_CODE(berth_manifest_read(berth_test_fixture("types"), &json, NULL, &error), BERTH_OK,
               &error);
    CHECK_CONTAINS(json, "echo_path");
    free(json);
}

/* ---- Threads of the application ---- */

static void *call_once(void *host)
{
    berth_ctx *ctx = berth_host_enter(host);
    struct berth_value in = { .kind = BERTH_VALUE_I64, .as.i64 = 1 }, out;

    CHECK_INT(berth_call(ctx, "math.negate", &in, 1, &out), BERTH_OK);
    CHECK_INT(out.as.i64, -1);
    static int calls;
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 3) /* some forget to leave */
        berth_leave(ctx);
    return NULL;
}

static void short_threads_leave_nothing(void)
{
    berth_host *host = host_with_threads(0);
    struct berth_error error;
    int count = berth_test_instrumented() ? 100 : 2000;
    long resident = 0;

    LOAD(host, "math", NULL);
    for (int i = 0; i < count; i++) {
        pthread_t threads[2];
        if (i == 100)
            resident = resident_kib();
        for (size_t j = 0; j < 2; j++)
            pthread_create(&threads[j], NULL, call_once, host);
        for (size_t j = 0; j < 2; j++)
            pthread_join(threads[j], NULL);
    }
    if (!berth_test_instrumented())
        CHECK(resident_kib() - resident < 2048);
    CHECK_CODE(berth_host_unload(host, "math", &error), BERTH_OK, &error);
    berth_host_free(host);
}

/* Values and memory live until berth_leave, over everything that happens meanwhile. */
static void results_live_until_the_thread_leaves(void)
{
    berth_host *host = host_with_threads(0);
    struct berth_error error;
    struct berth_value name = { .kind = BERTH_VALUE_STRING }, texts[64], motto;

    LOAD(host, "greet", NULL);
    berth_ctx *ctx = berth_host_enter(host);
    for (int i = 0; i < 64; i++) {
        name.as.string = berth_test_format("%d", i);
        CHECK_INT(berth_call(ctx, "greet.hello", &name, 1, &texts[i]), BERTH_OK);
    }
    CHECK_INT(berth_call(ctx, "greet.motto", NULL, 0, &motto), BERTH_OK); /* of the image */
    char *mine = berth_alloc(ctx, 10000);
    CHECK(mine && mine[0] == 0 && mine[9999] == 0);
    berth_string printed = berth_printf(ctx, "%s %d", "mine", 7);
    CHECK_CODE(berth_host_reload(host, "greet", NULL, NULL, &error), BERTH_OK, &error);
    CHECK_CODE(berth_host_unload(host, "greet", &error), BERTH_OK, &error);
    for (int i = 0; i < 64; i++)
        CHECK_STR(texts[i].as.string, berth_test_format("Hello, %d", i));
    CHECK_STR(motto.as.string, "once loaded, twice shy");
    CHECK_STR(printed, "mine 7");
    berth_leave(ctx);
    berth_host_free(host);
}

static void memory_is_given_back_by_mark_and_rewind(void)
{
    berth_host *host = host_with_threads(0);
    struct berth_value name = { .kind = BERTH_VALUE_STRING, .as.string = "a" }, text;

    LOAD(host, "greet", NULL);
    berth_ctx *ctx = berth_host_enter(host);
    long resident = resident_kib();
    for (int i = 0; i < 100000; i++) {
        uint64_t mark = berth_mark(ctx);
        CHECK_INT(berth_call(ctx, "greet.hello", &name, 1, &text), BERTH_OK);
        berth_rewind(ctx, mark);
        if (berth_test_instrumented() && i > 1000)
            break;
    }
    if (!berth_test_instrumented())
        CHECK(resident_kib() - resident < 1024);
    berth_leave(ctx);
    berth_host_free(host);
}

static const struct berth_test tests[] = {
    { "defaults_are_as_the_header_says", defaults_are_as_the_header_says },
    { "a_host_needs_no_options", a_host_needs_no_options },
    { "options_that_make_no_sense_are_refused", options_that_make_no_sense_are_refused },
    { "words_about_itself", words_about_itself },
    { "calls_have_the_hosts_timeout", calls_have_the_hosts_timeout },
    { "an_earlier_deadline_stays", an_earlier_deadline_stays },
    { "hosts_do_not_know_each_other", hosts_do_not_know_each_other },
    { "a_thousand_hosts_leave_nothing", a_thousand_hosts_leave_nothing },
    { "a_hundred_hosts_at_once", a_hundred_hosts_at_once },
    { "descriptors_are_closed_by_exec", descriptors_are_closed_by_exec },
    { "a_host_without_threads_is_polled", a_host_without_threads_is_polled },
    { "dispatch_works_beside_threads", dispatch_works_beside_threads },
    { "dispatch_waits_for_work_of_other_threads", dispatch_waits_for_work_of_other_threads },
    { "modules_load_in_the_order_of_their_needs", modules_load_in_the_order_of_their_needs },
    { "an_importer_comes_after_what_it_imports", an_importer_comes_after_what_it_imports },
    { "its_threads_answer", its_threads_answer },
    { "at_rest_nobody_wakes", at_rest_nobody_wakes },
    { "all_or_none_are_loaded", all_or_none_are_loaded },
    { "ranges_are_kept", ranges_are_kept },
    { "shorter_options_are_taken", shorter_options_are_taken },
    { "names_must_be_names", names_must_be_names },
    { "a_host_may_be_changed_inside_a_call", a_host_may_be_changed_inside_a_call },
    { "files_that_are_no_modules_are_refused", files_that_are_no_modules_are_refused },
    { "mutated_files_end_nobody", mutated_files_end_nobody },
    { "an_application_is_in_one_host_at_a_time", an_application_is_in_one_host_at_a_time },
    { "bound_structs_keep_the_application", bound_structs_keep_the_application },
    { "an_object_is_bound_once", an_object_is_bound_once },
    { "a_subscription_needs_a_function", a_subscription_needs_a_function },
    { "timeouts_may_be_for_ever", timeouts_may_be_for_ever },
    { "a_file_may_change_under_a_module", a_file_may_change_under_a_module },
    { "a_manifest_can_be_read_without_running_anything",
      a_manifest_can_be_read_without_running_anything },
    { "short_threads_leave_nothing", short_threads_leave_nothing },
    { "results_live_until_the_thread_leaves", results_live_until_the_thread_leaves },
    { "memory_is_given_back_by_mark_and_rewind", memory_is_given_back_by_mark_and_rewind },
};

int main(int argc, char **argv)
{
    count_first_threads();
    return berth_suite_main("host", tests, COUNT(tests), argc, argv);
}
