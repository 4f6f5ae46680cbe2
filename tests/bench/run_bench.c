/* SPDX-License-Identifier: MIT */
/*
 * What the program costs that operators run: how long `berth run` takes from exec to ready, against
 * a small program that copies and opens the same files; what it does when nobody asks for anything;
 * and the memory that it has for itself.
 */
#include "tests/bench/bench.h"
#include "tests/bench/many.h"
#include "tests/bench/rest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULES      100
#define IDLE_SECONDS 30

static char files[MODULES][MANY_NAME_SIZE];
static char berth[4096], plain[4096], config[MANY_NAME_SIZE], socket_path[MANY_NAME_SIZE];

/* ---- a program, until it says that it is ready ----------------------------------------------- */

struct program {
    pid_t pid;
    int messages; /* its standard error */
    double ms;    /* from before fork to "ready" */
};

static void wait_ready(struct program *program)
{
    char text[8192] = "";
    size_t size = 0;

    while (!strstr(text, "ready")) {
        ssize_t got = read(program->messages, text + size, sizeof(text) - 1 - size);
        if (got <= 0)
            bench_die("it did not get ready: %s", text);
        size += (size_t)got;
        text[size] = '\0';
    }
}

static struct program begin(const char *const *argv)
{
    struct program program = { .pid = -1 };
    double start = bench_now();
    int ends[2];

    fflush(stdout);
    if (pipe2(ends, O_CLOEXEC) < 0 || (program.pid = vfork()) < 0)
        bench_die("%m");
    if (program.pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(ends[1]);
    program.messages = ends[0];
    wait_ready(&program);
    program.ms = (bench_now() - start) / 1e6;
    return program;
}

static double end(struct program *program)
{
    kill(program->pid, SIGTERM);
    waitpid(program->pid, NULL, 0);
    close(program->messages);
    return program->ms;
}

/* With the modules as words, named by a configuration, or none at all. */
static struct program begin_host(bool words, bool configured)
{
    const char *argv[MODULES + 8] = { berth, "run", "--socket", socket_path };
    size_t count = 4;

    if (configured) {
        argv[count++] = "--config";
        argv[count++] = config;
    }
    for (size_t i = 0; i < MODULES && words; i++)
        argv[count++] = files[i];
    return begin(argv);
}

/* ---- start ----------------------------------------------------------------------------------- */

static double start_plain(void *user, long n)
{
    const char *argv[MODULES + 2] = { plain };
    double ms = 0;

    (void)user;
    for (size_t i = 0; i < MODULES; i++)
        argv[i + 1] = files[i];
    for (long i = 0; i < n; i++) {
        struct program program = begin(argv);
        ms += end(&program);
    }
    return ms;
}

static double start_words(void *user, long n)
{
    double ms = 0;

    (void)user;
    for (long i = 0; i < n; i++) {
        struct program program = begin_host(true, false);
        ms += end(&program);
    }
    return ms;
}

static double start_configured(void *user, long n)
{
    double ms = 0;

    (void)user;
    for (long i = 0; i < n; i++) {
        struct program program = begin_host(false, true);
        ms += end(&program);
    }
    return ms;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static double memory(void *user, long n)
{
    char path[64];
    struct program program = begin_host(false, false);

    (void)user;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)program.pid);
    double mib = rest_number(path, "VmRSS:") / 1024;
    end(&program);
    return mib * (double)n;
}

/* ---- idle ------------------------------------------------------------------------------------ */

static struct bench_row *idle_row;

static double idle(void *user, long n)
{
    struct program program = begin_host(true, false);
    double work = rest_watch(program.pid, IDLE_SECONDS, idle_row);

    (void)user;
    end(&program);
    return work * (double)n;
}

/* ---- the rows -------------------------------------------------------------------------------- */

static struct bench_row rows[] = {
    { .id = "run.control",
      .what = "a program that copies and opens 100 files, itself",
      .unit = "ms",
      .limit = start_plain,
      .run = start_plain,
      .n = 1 },
    { .id = "run.start",
      .what = "berth run with 100 modules, to ready / the same",
      .unit = "ms",
      .limit = start_plain,
      .run = start_words,
      .goal = 1.5,
      .n = 1 },
    { .id = "run.configured",
      .what = "from a configuration / the same",
      .unit = "ms",
      .limit = start_plain,
      .run = start_configured,
      .goal = 1.5,
      .n = 1 },
    { .id = "run.memory",
      .what = "berth run without a module (but control): RSS",
      .unit = "MiB",
      .run = memory,
      .goal = 6,
      .n = 1 },
    { .id = "run.idle",
      .what = "30 s of rest with 100 modules: ticks and switches",
      .unit = "",
      .run = idle,
      .goal = BENCH_ZERO,
      .once = true,
      .n = 1 },
};

static void write_config(void)
{
    FILE *file = fopen(config, "we");

    if (!file)
        bench_die("%s: %m", config);
    fputs("{\"modules\":{", file);
    for (size_t i = 0; i < MODULES; i++)
        fprintf(file, "%s\"bench_%04zu\":{\"file\":\"%s\"}", i ? "," : "", i, files[i]);
    fputs("}}\n", file);
    if (fclose(file) != 0)
        bench_die("%s: %m", config);
}

/* The program itself, and not libtool's script, which takes as long as all the rest. */
static void find_programs(void)
{
    const char *top = getenv("BERTH_TOP_BUILDDIR");
    char libraries[4096];

    top = top ? top : ".";
    snprintf(plain, sizeof(plain), "%s/tests/bench/many_start", top);
    snprintf(berth, sizeof(berth), "%s/.libs/berth", top);
    snprintf(libraries, sizeof(libraries), "%s/.libs", top);
    if (access(berth, X_OK) == 0)
        setenv("LD_LIBRARY_PATH", libraries, 1);
    else
        snprintf(berth, sizeof(berth), "%s/berth", top);
}

int main(int argc, char **argv)
{
    bench_pin(0);
    idle_row = &rows[sizeof(rows) / sizeof(rows[0]) - 1];
    many_make(MODULES);
    for (unsigned i = 0; i < MODULES; i++)
        many_path(files[i], i);
    snprintf(config, sizeof(config), "%s/berth.conf", many_directory());
    snprintf(socket_path, sizeof(socket_path), "%s/socket", many_directory());
    write_config();
    find_programs();
    return bench_main(argc, argv, "run", rows, sizeof(rows) / sizeof(rows[0]));
}
