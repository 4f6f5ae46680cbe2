/* SPDX-License-Identifier: MIT */
/*
 * What loading costs: a thousand different modules into one host, against copying each to a memory
 * file, dlopen and dlsym of the same files. Every run is a process of its own.
 */
#include "tests/bench/bench.h"

#include <berth/host.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULES 1000

static char directory[] = "/tmp/berth-bench-XXXXXX";

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

static void name(char *path, size_t size, unsigned index)
{
    snprintf(path, size, "%s/m%04u.so", directory, index);
}

/* The modules, made of one by writing another name into it: all names have the same length. */
static void make_modules(void)
{
    static char data[1 << 20];
    FILE *file = fopen(bench_module("small"), "re");
    size_t size = file ? fread(data, 1, sizeof(data), file) : 0;
    char *place = memmem(data, size, "bench_0000", 10);

    if (!file || !place)
        bench_die("%s: not what was expected", bench_module("small"));
    fclose(file);
    for (unsigned i = 0; i < MODULES; i++) {
        char path[256], digits[16];
        snprintf(digits, sizeof(digits), "%04u", i);
        memcpy(place + 6, digits, 4);
        name(path, sizeof(path), i);
        file = fopen(path, "we");
        if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
            bench_die("%s: %m", path);
    }
    sync(); /* else the kernel writes them while we measure */
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_modules(void)
{
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void load_plain(unsigned index)
{
    char path[256];
    struct stat status;
    off_t offset = 0;
    void *object;
    int in, out;

    name(path, sizeof(path), index);
    in = open(path, O_RDONLY | O_CLOEXEC);
    out = memfd_create(path, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (in < 0 || out < 0 || fstat(in, &status) < 0)
        bench_die("%s: %m", path);
    while (offset < status.st_size) {
        if (sendfile(out, in, &offset, (size_t)(status.st_size - offset)) <= 0)
            bench_die("%s: %m", path);
    }
    close(in);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", out); /* stays open: a path is used once */
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object || !dlsym(object, "berth_entry"))
        bench_die("%s", dlerror());
}

static void load_berth(berth_host *host, unsigned index)
{
    struct berth_error error;
    char path[256];

    name(path, sizeof(path), index);
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
    if (!mkdtemp(directory) || atexit(remove_modules) != 0)
        bench_die("%s: %m", directory);
    make_modules();
    return bench_main(argc, argv, "load", rows, sizeof(rows) / sizeof(rows[0]));
}
