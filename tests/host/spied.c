/* SPDX-License-Identifier: MIT */
/*
 * An ordinary application of the installed library, for tests/host/spy.sh to spy upon. It does
 * everything that there is to do, and compares what a process shares before and after.
 *
 *     spied THREADS FIXTURES WORKER     the scenario
 *     spied provoke                     calls what a library must not call, and so must be noted
 */
#include <berth/host.h>
#include <berth/module.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 100 /* seconds, for what should happen in a moment */

extern char **environ;

BERTH_MODULE("app", "1.0.0", "The application.");
BERTH_PARALLEL;
BERTH_TOPIC("app.event", event, (string, text), (i64, number));

BERTH_EXPORT(f64, twice, "x + x", (f64, x))
{
    return x + x;
}

BERTH_EXPORT(string, name, "What it calls itself.")
{
    return "spied";
}

BERTH_EXPORT(void, fail, "Fails.", (string, why))
{
    berth_fail(ctx, BERTH_PERMISSION_DENIED, "%s", why);
}

static int failures;

static void expect(bool condition, const char *what)
{
    if (!condition) {
        printf("not as expected: %s\n", what);
        failures++;
    }
}

/* ---- What a process shares ---- */

struct shared {
    struct sigaction handlers[65];
    sigset_t blocked;
    stack_t stack;
    char directory[4096], locale[512], name[16], *variables[1024];
    mode_t mask;
    struct rlimit limits[RLIMIT_NLIMITS];
    int nice, dumpable, death_signal, subreaper, privileges, rounding, output;
    size_t descriptors, threads;
    off_t written;
};

static size_t count_entries(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

static void look(struct shared *shared)
{
    memset(shared, 0, sizeof(*shared));
    for (int i = 1; i <= 64; i++)
        sigaction(i, NULL, &shared->handlers[i]);
    pthread_sigmask(SIG_SETMASK, NULL, &shared->blocked);
    sigaltstack(NULL, &shared->stack);
    expect(getcwd(shared->directory, sizeof(shared->directory)) != NULL, "a working directory");
    snprintf(shared->locale, sizeof(shared->locale), "%s", setlocale(LC_ALL, NULL));
    prctl(PR_GET_NAME, shared->name);
    for (size_t i = 0; environ[i] && i < 1024; i++)
        shared->variables[i] = environ[i]; /* the very same strings */
    umask(shared->mask = umask(0));
    for (int i = 0; i < RLIMIT_NLIMITS; i++)
        getrlimit((__rlimit_resource_t)i, &shared->limits[i]);
    shared->nice = getpriority(PRIO_PROCESS, 0);
    shared->dumpable = prctl(PR_GET_DUMPABLE);
    prctl(PR_GET_PDEATHSIG, &shared->death_signal);
    prctl(PR_GET_CHILD_SUBREAPER, &shared->subreaper);
    shared->privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    shared->rounding = fegetround();
    shared->output = fcntl(STDOUT_FILENO, F_GETFL);
    shared->written = lseek(STDOUT_FILENO, 0, SEEK_CUR);
    shared->descriptors = count_entries("/proc/self/fd");
    shared->threads = count_entries("/proc/self/task");
}

static void compare(const struct shared *before, const struct shared *after)
{
#define SAME(member) \
    expect(!memcmp(&before->member, &after->member, sizeof(before->member)), "the same " #member)
    for (int i = 1; i <= 64; i++) /* the rest of them is filled with what was on the stack */
        expect(before->handlers[i].sa_handler == after->handlers[i].sa_handler &&
                   before->handlers[i].sa_flags == after->handlers[i].sa_flags,
               "the same signal handlers");
    SAME(blocked);
    SAME(stack);
    SAME(directory);
    SAME(locale);
    SAME(name);
    SAME(variables);
    SAME(mask);
    SAME(limits);
    SAME(nice);
    SAME(dumpable);
    SAME(death_signal);
    SAME(subreaper);
    SAME(privileges);
    SAME(rounding);
    SAME(output);
    SAME(descriptors);
    SAME(threads);
    SAME(written);
}

/* ---- The scenario ---- */

static struct {
    berth_host *host;
    const char *fixtures;
    int threads;
    size_t lines, events;
    int children, forks; /* signals and handlers that should not have run */
} app;

static void on_child(int number)
{
    (void)number;
    app.children++;
}

static void on_fork(void)
{
    app.forks++;
}

static void log_line(void *user, const struct berth_log_line *line)
{
    (void)line;
    __atomic_add_fetch((size_t *)user, 1, __ATOMIC_RELAXED);
}

static void on_message(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    __atomic_add_fetch((size_t *)user, 1, __ATOMIC_RELAXED);
}

static const char *fixture(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s.so", app.fixtures, name);
    return path;
}

static void load(const char *name, const char *placement)
{
    const struct berth_load_options options = { .size = sizeof(options), .placement = placement };
    struct berth_error error = { 0 };

    if (berth_host_load(app.host, fixture(name), &options, &error) != BERTH_OK)
        expect(false, error.text);
}

static void call(const char *function, const char *arguments, int code)
{
    berth_ctx *ctx = berth_host_enter(app.host);
    char *result = NULL;

    int got = berth_call_json(ctx, function, arguments, &result);
    if (got != code)
        expect(false, got ? berth_error_text(ctx) : function);
    berth_clear(ctx);
    berth_leave(ctx);
    free(result);
}

static int64_t now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void pass_time(int times)
{
    for (int i = 0; i < times; i++) {
        if (app.threads)
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        else
            berth_host_dispatch(app.host, 1);
    }
}

/* Calls until it succeeds: what is called comes back. */
static void call_until(const char *function, const char *arguments)
{
    int64_t end = now_seconds() + PATIENCE;
    int code = BERTH_UNAVAILABLE;

    while (code != BERTH_OK && now_seconds() < end) {
        berth_ctx *ctx = berth_host_enter(app.host);
        char *result = NULL;
        code = berth_call_json(ctx, function, arguments, &result);
        berth_clear(ctx);
        berth_leave(ctx);
        free(result);
        pass_time(1);
    }
    expect(code == BERTH_OK, function);
}

static void wait_for_events(size_t count)
{
    int64_t end = now_seconds() + PATIENCE;

    while (__atomic_load_n(&app.events, __ATOMIC_RELAXED) < count && now_seconds() < end)
        pass_time(1);
}

/* Threads that have been joined may still be listed for a moment. */
static void wait_for_threads(size_t count)
{
    int64_t end = now_seconds() + PATIENCE;

    while (count_entries("/proc/self/task") > count && now_seconds() < end)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void reload(const char *name, const char *file, bool good)
{
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error = { 0 };

    int code = berth_host_reload(app.host, name, fixture(file), &report, &error);
    if ((code == BERTH_OK) != good)
        expect(false, good ? error.text : "a bad reload is refused");
}

static void unload(const char *name)
{
    struct berth_error error = { 0 };
    if (berth_host_unload(app.host, name, &error) != BERTH_OK)
        expect(false, error.text);
}

static void visit_modules(const char *placement)
{
    load("math", placement);
    load("counter", placement);
    load("publisher", placement);
    load("subscriber", placement);
    load("callback", placement);
    load("timer", placement);
    load("faulty", placement);
    call("math.add", "[1,2]", BERTH_OK);
    call("math.add", "[1]", BERTH_INVALID_ARGUMENT);
    call("math.ad", "[1,2]", BERTH_NOT_FOUND);
    call("faulty.fail", "[8,\"as asked\"]", BERTH_RESOURCE_EXHAUSTED);
    call("callback.four_times", "[1]", BERTH_OK);
    call("callback.fail", "[\"no\"]", BERTH_PERMISSION_DENIED);
    size_t events = __atomic_load_n(&app.events, __ATOMIC_RELAXED);
    call("publisher.burst", "[100]", BERTH_OK);
    wait_for_events(events + 100);
    call("counter.add", "[1]", BERTH_OK);
    reload("counter", "counter_v2", true);
    reload("counter", "bad_restore", false);
    reload("counter", "bad_start_counter", false);
    call("counter.get", "[]", BERTH_OK);
    pass_time(20);
    unload("timer");
    unload("callback");
    unload("subscriber");
    unload("publisher");
    unload("counter");
    unload("faulty");
    unload("math");
}

static void visit_crashes(void)
{
    load("crasher", "process");
    call("crasher.exit", "[3]", BERTH_UNAVAILABLE);
    call_until("crasher.alive", "[]");
    call("crasher.segv", "[]", BERTH_UNAVAILABLE);
    unload("crasher");
}

static void visit(const char *worker)
{
    struct berth_host_options options;
    struct berth_error error = { 0 };
    uint64_t id = 0;
    char *json = NULL;

    berth_host_options_init(&options);
    options.threads = app.threads;
    options.log = log_line;
    options.log_user = &app.lines;
    options.log_level = BERTH_LOG_DEBUG;
    options.worker = worker;
    if (berth_host_new(&options, &app.host, &error) != BERTH_OK) {
        expect(false, error.text);
        return;
    }
    expect(berth_host_provide(app.host, &berth_entry, &error) == BERTH_OK, "to provide");
    expect(berth_host_subscribe(app.host, ">", on_message, &app.events, &id, &error) == BERTH_OK,
           "to subscribe");
    visit_modules("inline");
    visit_modules("process");
    visit_crashes();
    expect(berth_host_load(app.host, "/dev/null", NULL, &error) != BERTH_OK, "a refusal");
    expect(berth_host_list(app.host, &json, &error) == BERTH_OK, "a list");
    free(json);
    berth_host_unsubscribe(app.host, id);
    berth_host_free(app.host);
    expect(app.events > 0, "messages");
}

static int provoke(void)
{
    FILE *stream;

    signal(SIGUSR1, SIG_DFL);
    sigaction(SIGUSR1, NULL, NULL);
    expect(getenv("HOME") || true, "");
    setenv("BERTH_SPIED", "1", 1);
    setlocale(LC_ALL, "C");
    expect(chdir("/") == 0, "to change the directory");
    umask(022);
    printf("%d\n", app.threads);
    fprintf(stderr, "%d\n", app.threads);
    puts("provoked");
    expect(write(STDOUT_FILENO, "", 0) == 0, "to write");
    if ((stream = fopen("/dev/null", "we"))) { /* a stream of one's own is one's own */
        fputs("fine\n", stream);
        fclose(stream);
    }
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    exit(0);
}

int main(int argc, char **argv)
{
    struct shared before, after;
    struct sigaction action = { .sa_handler = on_child };

    if (argc == 2)
        return provoke();
    if (argc != 4)
        return 2;
    app.threads = atoi(argv[1]);
    app.fixtures = argv[2];
    setlocale(LC_ALL, "");
    sigaction(SIGCHLD, &action, NULL);
    pthread_atfork(on_fork, NULL, NULL);
    srand(1);
    int next = rand();
    srand(1);
    look(&before);
    visit(argv[3]);
    wait_for_threads(before.threads);
    look(&after);
    compare(&before, &after);
    expect(rand() == next, "the same next random number");
    expect(app.children == 0, "no SIGCHLD");
    expect(app.forks == 0, "no fork");
    expect(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "no child");
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
