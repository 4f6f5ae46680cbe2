/* SPDX-License-Identifier: MIT */
/*
 * What loading costs: a thousand different modules into one host, against copying each to a memory
 * file, dlopen and dlsym of the same files. Every run is a process of its own.
 */
#include "tests/bench/bench.h"
#include "tests/bench/many.h"

#include <berth/host.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULES 1000

struct cost {
    double ns, kib; /* of one module */
};
static struct cost last_plain, last_berth;

/* RssAnon + RssShmem of this process, in KiB. */
static double resident(void)
{
    char line[256];
    double value, sum = 0;
    FILE *file = fopen("/proc/self/status", "re");

    if (!file)
        bench_die("/proc/self/status: %m");
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "RssAnon: %lf", &value) == 1 || sscanf(line, "RssShmem: %lf", &value) == 1)
            sum += value;
    }
    fclose(file);
    return sum;
}

static void load_plain(unsigned index)
{
    char path[MANY_NAME_SIZE];

    many_path(path, index);
    many_load_plain(path);
}

static void load_berth(berth_host *host, unsigned index)
{
    struct berth_error error;
    char path[MANY_NAME_SIZE];

    many_path(path, index);
    if (berth_host_load(host, path, NULL, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

static berth_host *make_host(void)
{
    struct berth_host_options options;
    struct berth_error error;
    berth_host *host;

    berth_host_options_init(&options);
    options.threads = 0;
    if (berth_host_new(&options, &host, &error) != BERTH_OK)
        bench_die("%s", error.text);
    return host;
}

/* In a process of its own, which ends without undoing anything. */
static struct cost measure(bool berth)
{
    struct cost cost = { 0 };
    int ends[2], status;
    pid_t child;

    fflush(stdout);
    if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0)
        bench_die("%m");
    if (child == 0) {
        berth_host *host = berth ? make_host() : NULL;
        double before = resident(), start = bench_now();
        for (unsigned i = 0; i < MODULES; i++) {
            if (berth)
                load_berth(host, i);
            else
                load_plain(i);
        }
        cost.ns = (bench_now() - start) / MODULES;
        cost.kib = (resident() - before) / MODULES;
        _exit(write(ends[1], &cost, sizeof(cost)) != sizeof(cost));
    }
    close(ends[1]);
    if (read(ends[0], &cost, sizeof(cost)) != sizeof(cost))
        bench_die("a measuring process failed");
    close(ends[0]);
    waitpid(child, &status, 0);
    return cost;
}

static double time_plain(void *user, long n)
{
    (void)user;
    last_plain = measure(false);
    return last_plain.ns * (double)n;
}

static double time_berth(void *user, long n)
{
    (void)user;
    last_berth = measure(true);
    return last_berth.ns * (double)n;
}

/* Of the runs that the row of times has just made. */
static double memory_plain(void *user, long n)
{
    (void)user;
    return last_plain.kib * (double)n;
}

static double memory_berth(void *user, long n)
{
    (void)user;
    return last_berth.kib * (double)n;
}

static struct bench_row rows[] = {
    { .id = "load.control",
      .what = "memfd copy, dlopen, dlsym against itself",
      .limit = time_plain,
      .run = time_plain,
      .n = 1 },
    { .id = "load.time",
      .what = "load one of 1,000 modules / the same",
      .limit = time_plain,
      .run = time_berth,
      .goal = 1.4,
      .n = 1 },
    { .id = "load.memory",
      .what = "RssAnon + RssShmem of a loaded module",
      .unit = "KiB",
      .limit = memory_plain,
      .run = memory_berth,
      .goal = 8,
      .difference = true,
      .n = 1 },
};

int main(int argc, char **argv)
{
    struct rlimit files;

    bench_pin(0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* a loaded module keeps a descriptor */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    many_make(MODULES);
    return bench_main(argc, argv, "load", rows, sizeof(rows) / sizeof(rows[0]));
}
