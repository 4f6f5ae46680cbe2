/* SPDX-License-Identifier: MIT */
/*
 * The demonstration's application: follows a log that is being written, while one module is
 * replaced and another's process is killed. demo/run calls it, and compares what it found.
 *
 *     demo INPUT DIRECTORY LINES_PER_SECOND
 *
 * The log is DIRECTORY/log; results go to DIRECTORY/berth. The programs and modules are looked for
 * in the build tree that $BERTH_TOP_BUILDDIR names.
 */
#include <berth/host.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_NS 100000000000 /* for what should happen in a moment */

extern char **environ;

static berth_host *host;
static const char *build, *directory;
static int64_t began_ns;
static unsigned long long total; /* lines of the input */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char text[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    printf("%6.2f s  %s\n", (double)(now_ns() - began_ns) / 1e9, text);
    fflush(stdout);
}

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
    fprintf(stderr, "demo: %s: %s\n", what, why);
    berth_host_free(host);
    exit(1);
}

static void nap(void)
{
    const struct timespec tick = { 0, 5000000 };
    nanosleep(&tick, NULL);
}

static char *path_of(const char *top, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", top, name) < 0)
        die(name, "no memory");
    return path;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* The number behind "key": in a JSON text that this program knows the shape of. */
static unsigned long long number_in(const char *json, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *found = strstr(json, quoted);
    return found ? strtoull(found + strlen(quoted), NULL, 10) : 0;
}

/* Calls a function without parameters; its result as JSON, for free(), or NULL. */
static char *ask_with(berth_ctx *ctx, const char *function)
{
    char *json = NULL;
    if (berth_call_json(ctx, function, NULL, &json)) {
        say("%s: %s", function, berth_error_text(ctx));
        berth_clear(ctx);
    }
    return json;
}

static char *ask(const char *function)
{
    berth_ctx *ctx = berth_host_enter(host);
    char *json = ctx ? ask_with(ctx, function) : NULL;
    if (ctx)
        berth_leave(ctx);
    return json;
}

static unsigned long long ask_number(const char *function, const char *key)
{
    char *json = ask(function);
    unsigned long long number = json ? number_in(json, key) : 0;
    free(json);
    return number;
}

/* Waits until a number is at least so much. */
static void wait_for(const char *function, const char *key, unsigned long long least)
{
    int64_t end = now_ns() + PATIENCE_NS;
    while (ask_number(function, key) < least) {
        if (now_ns() > end)
            die(function, "did not get there in time");
        nap();
    }
}

/*
 * Waits until crc has had all lines, or until no more come: asked for its sum, it gets from tail
 * what was lost when its worker was killed over the very last line.
 */
static void wait_for_crc(void)
{
    unsigned long long lines = 0, before;
    int idle = 0;
    while (lines < total && idle++ < 100) {
        char *json = ask("crc.lines");
        before = lines;
        lines = json ? strtoull(json, NULL, 10) : 0;
        free(json);
        if (lines > before)
            idle = 0;
        nap();
    }
}

/* ---- the host ------------------------------------------------------------------------------- */

static void on_log(void *user, const struct berth_log_line *line)
{
    (void)user;
    say("%s: %s", line->module[0] ? line->module : "host", line->text);
}

static void on_tick(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)user;
    char *tail = ask_with(ctx, "tail.position"), *count = ask_with(ctx, "count.counts");
    if (tail && count)
        say("tick %llu: tail has published %llu lines, count has counted %llu",
            number_in(message->fields, "number"), number_in(tail, "lines"),
            number_in(count, "lines"));
    free(tail);
    free(count);
}

static void start_host(void)
{
    struct berth_error error;
    struct berth_host_options options;
    const char *worker = getenv("BERTH_WORKER");
    berth_host_options_init(&options);
    options.name = "demo";
    options.log = on_log;
    char *built = path_of(build, "berth-worker");
    options.worker = worker ? worker : built;
    if (berth_host_new(&options, &host, &error))
        die("the host", error.text);
    free(built);
}

static void load(const char *name, const char *placement, const char *module_options)
{
    struct berth_error error;
    char file[4096];
    struct berth_load_options options = { .size = sizeof(options),
                                          .placement = placement,
                                          .options = module_options };
    snprintf(file, sizeof(file), "%s/modules/%s/%s.so", build, name, name);
    if (berth_host_load(host, file, &options, &error))
        die(file, error.text);
    say("loaded %s (%s)", name, placement);
}

static void load_modules(void)
{
    char tail_options[4200];
    struct berth_error error;
    uint64_t id;
    snprintf(tail_options, sizeof(tail_options), "{\"file\":\"%s/log\"}", directory);
    load("keep", "inline", NULL);
    load("count", "inline", NULL);
    load("tail", "inline", tail_options);
    load("crc", "process", NULL);
    if (berth_host_subscribe(host, "clock.tick", on_tick, NULL, &id, &error))
        die("clock.tick", error.text);
    load("clock", "inline", NULL);
}

static void replace_count(void)
{
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error;
    char *file = path_of(build, "demo/count_next.so");
    if (berth_host_reload(host, "count", file, &report, &error))
        die("replacing count", error.text);
    free(file);
    say("replaced %s by %s in %.1f ms: %llu bytes of state, %llu messages kept, %llu calls waited",
        report.from, report.to, (double)report.total_ns / 1e6,
        (unsigned long long)report.state_bytes, (unsigned long long)report.messages,
        (unsigned long long)report.waited);
}

/* The process that a module runs in; 0: none now. */
static pid_t worker_of(const char *name)
{
    char *json = NULL, named[80];
    pid_t pid = 0;
    if (berth_host_list(host, &json, NULL))
        return 0;
    snprintf(named, sizeof(named), "\"name\":\"%s\"", name);
    const char *found = strstr(json, named), *running;
    if (found && (running = strstr(found, "\"pid\":")) && running < found + strcspn(found, "}"))
        pid = (pid_t)number_in(running, "pid");
    free(json);
    return pid;
}

static void kill_crc(void)
{
    int64_t end = now_ns() + PATIENCE_NS, killed_ns = now_ns();
    pid_t old = worker_of("crc"), new = 0;
    if (old <= 0 || old == getpid())
        die("crc", "runs in no worker");
    kill(old, SIGKILL);
    say("killed crc's worker, process %d", (int)old);
    while ((new = worker_of("crc")) == 0 || new == old) {
        if (now_ns() > end)
            die("crc", "did not come back in time");
        nap();
    }
    say("crc is back, process %d, after %.1f ms", (int)new, (double)(now_ns() - killed_ns) / 1e6);
}

/* ---- the appender --------------------------------------------------------------------------- */

static pid_t appender;
static FILE *answers;
static int appender_out = -1;

static void start_appender(const char *input, const char *rate)
{
    int to[2], from[2];
    char *program = path_of(build, "demo/appender"), *log = path_of(directory, "log");
    char *argv[] = { program, (char *)(uintptr_t)input, log, (char *)(uintptr_t)rate, NULL };
    posix_spawn_file_actions_t actions;
    if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC) || posix_spawn_file_actions_init(&actions) ||
        posix_spawn_file_actions_adddup2(&actions, to[0], 0) ||
        posix_spawn_file_actions_adddup2(&actions, from[1], 1) ||
        (errno = posix_spawn(&appender, program, &actions, NULL, argv, environ)))
        die(program, strerror(errno));
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    answers = fdopen(to[1], "w");
    appender_out = from[0];
    free(program);
    free(log);
}

/* Acts on what the appender says: true once it has written everything. */
static bool hear(const char *line)
{
    char what[16];
    unsigned long long lines, size;
    if (sscanf(line, "%15s %llu %llu", what, &lines, &size) != 3)
        die("the appender", line);
    if (!strcmp(what, "truncate")) {
        wait_for("tail.position", "size", size);
        say("the appender truncates the log after line %llu", lines);
        fputs("go\n", answers);
        fflush(answers);
    } else if (!strcmp(what, "refilled")) {
        say("and has refilled it at once up to line %llu", lines);
    } else if (!strcmp(what, "rotated")) {
        say("the appender has rotated the log within line %llu", lines);
    } else if (!strcmp(what, "pieces")) {
        say("%llu times it stopped in the middle of a line", lines);
    } else {
        total = lines;
        say("the appender has written all %llu lines", lines);
    }
    return !strcmp(what, "done");
}

/* Reads what there is within 5 ms. true: it has written everything. */
static bool listen_to_appender(void)
{
    static char text[256];
    static size_t filled;
    struct pollfd ready = { .fd = appender_out, .events = POLLIN };
    bool done = false;
    char *newline;
    if (poll(&ready, 1, 5) <= 0)
        return false;
    ssize_t got = read(appender_out, text + filled, sizeof(text) - filled - 1);
    if (got <= 0)
        die("the appender", "ended early");
    filled += (size_t)got;
    text[filled] = '\0';
    while ((newline = strchr(text, '\n'))) {
        *newline = '\0';
        done = hear(text) || done;
        filled -= (size_t)(newline + 1 - text);
        memmove(text, newline + 1, filled + 1);
    }
    return done;
}

/* ---- the whole of it ------------------------------------------------------------------------ */

static unsigned long long count_input(const char *path)
{
    unsigned long long lines = 0;
    FILE *file = fopen(path, "re");
    for (int c; file && (c = getc_unlocked(file)) != EOF;)
        lines += c == '\n';
    if (!file)
        die(path, strerror(errno));
    fclose(file);
    return lines;
}

static void write_table(void)
{
    struct berth_value table;
    char *path = path_of(directory, "berth.table");
    FILE *file = fopen(path, "we");
    berth_ctx *ctx = berth_host_enter(host);
    if (!file || !ctx)
        die(path, strerror(errno));
    if (berth_call(ctx, "count.table", NULL, 0, &table))
        die("count.table", berth_error_text(ctx));
    fwrite(table.as.bytes.data, 1, table.as.bytes.size, file);
    berth_leave(ctx);
    fclose(file);
    free(path);
}

static void write_results(void)
{
    char *count = ask("count.counts"), *crc = ask("crc.sum"), *tail = ask("tail.position");
    char *path = path_of(directory, "berth");
    FILE *file = fopen(path, "we");
    if (!count || !crc || !tail || !file)
        die("the results", "cannot be had");
    fprintf(file, "lines %llu\nfields %llu\nsize %llu\n", number_in(count, "lines"),
            number_in(count, "fields"), number_in(count, "size"));
    fprintf(file, "published %llu\nmissing %llu\nrepeated %llu\n", number_in(tail, "lines"),
            number_in(count, "missing"), number_in(count, "repeated"));
    fprintf(file, "sum %llu\nsum_size %llu\nsum_lines %llu\nasked %llu\n", number_in(crc, "sum"),
            number_in(crc, "size"), number_in(crc, "lines"), number_in(crc, "asked"));
    const char *resumed = strstr(crc, "\"resumed\":[");
    fprintf(file, "replaced %llu\nkilled %llu\n", number_in(count, "since"),
            resumed ? strtoull(resumed + strlen("\"resumed\":["), NULL, 10) : 0);
    char *ticks = ask("clock.ticks");
    fprintf(file, "ticks %s\n", ticks ? ticks : "");
    fclose(file);
    free(ticks);
    free(count);
    free(crc);
    free(tail);
    free(path);
    write_table();
}

int main(int argc, char **argv)
{
    began_ns = now_ns();
    build = getenv("BERTH_TOP_BUILDDIR");
    if (argc != 4 || !build) {
        fputs("usage: BERTH_TOP_BUILDDIR=... demo INPUT DIRECTORY LINES_PER_SECOND\n", stderr);
        return 2;
    }
    directory = argv[2];
    unsigned long long input_lines = count_input(argv[1]);
    bool replaced = false, killed = false, done = false;
    start_host();
    load_modules();
    start_appender(argv[1], argv[3]);
    while (!done) {
        done = listen_to_appender();
        unsigned long long lines = ask_number("tail.position", "lines");
        if (!replaced && (lines >= input_lines * 2 / 5 || done)) {
            replaced = true;
            replace_count();
        }
        if (!killed && (lines >= input_lines * 3 / 5 || done)) {
            killed = true;
            kill_crc();
        }
    }
    waitpid(appender, NULL, 0);
    wait_for("tail.position", "lines", total);
    wait_for("count.counts", "lines", total);
    wait_for_crc();
    say("everything has been counted");
    write_results();
    fclose(answers);
    berth_host_free(host);
    return 0;
}
