/* SPDX-License-Identifier: MIT */
/*
 * What a reload costs: as a whole, against a copy of the file in memory, dlopen and dlclose; and
 * who calls meanwhile, on the other processor, against a barrier in all threads while that is busy.
 * Of each reload the longest call counts, and of many reloads the 99.9th percentile of these.
 */
#include "tests/bench/bench.h"

#include <berth/host.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RELOADS 2000 /* of one run of a row about waiting */

BERTH_BOUND(u64, add, (u64, n));

static berth_host *host;
static char stateless_file[1024], state_file[1024];
/* Of RELOADS. On the heap, as each reload looks through the application's static data. */
static double *values, *seen;

/* ---- The whole ---- */

/* One of a module that nobody calls; the file's content is known after the first time. */
static double time_reload(void *user, long n)
{
    struct berth_error error;
    double start = bench_now();

    (void)user;
    for (long i = 0; i < n; i++)
        if (berth_host_reload(host, "stateless", NULL, NULL, &error) != BERTH_OK)
            bench_die("%s", error.text);
    return bench_now() - start;
}

static void copy_and_open(const char *file)
{
    char path[64];
    struct stat status;
    off_t offset = 0;
    int in = open(file, O_RDONLY | O_CLOEXEC);
    int out = memfd_create("limit", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (in < 0 || out < 0 || fstat(in, &status) < 0)
        bench_die("%s: %m", file);
    while (offset < status.st_size)
        if (sendfile(out, in, &offset, (size_t)(status.st_size - offset)) <= 0)
            bench_die("%s: %m", file);
    close(in);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", out);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object || !dlsym(object, "berth_entry"))
        bench_die("%s", dlerror());
    dlclose(object);
    close(out);
}

static double time_open(void *user, long n)
{
    double start = bench_now();

    (void)user;
    for (long i = 0; i < n; i++)
        copy_and_open(stateless_file);
    return bench_now() - start;
}

/* ---- Who waits ---- */

static struct caller {
    pthread_t thread;
    const char *function;
    bool over;      /* atomic, as the rest */
    uint64_t calls; /* made so far */
    double longest; /* ns, since it was last taken */
} caller;

/* Calls without a pause, or is just busy when there is nothing to call. */
static void *call_always(void *argument)
{
    struct berth_error error;
    add_bound bound;

    (void)argument;
    bench_pin(1);
    if (caller.function && berth_bind(host, caller.function, add, &bound, &error) != BERTH_OK)
        bench_die("%s", error.text);
    berth_ctx *ctx = berth_host_enter(host);
    while (!__atomic_load_n(&caller.over, __ATOMIC_RELAXED)) {
        double before = bench_now(), longest;
        if (caller.function)
            add_call(&bound, ctx, 1);
        if (berth_failed(ctx))
            bench_die("%s", berth_error_text(ctx));
        double took = bench_now() - before;
        __atomic_load(&caller.longest, &longest, __ATOMIC_RELAXED);
        if (took > longest)
            __atomic_store(&caller.longest, &took, __ATOMIC_RELAXED);
        __atomic_add_fetch(&caller.calls, 1, __ATOMIC_RELAXED);
    }
    berth_leave(ctx);
    if (caller.function)
        berth_unbind(host, &bound);
    return NULL;
}

static void caller_start(const char *function)
{
    caller = (struct caller){ .function = function };
    if (pthread_create(&caller.thread, NULL, call_always, NULL))
        bench_die("no thread");
    while (!__atomic_load_n(&caller.calls, __ATOMIC_RELAXED))
        usleep(1000); /* it begins on this processor */
}

static void caller_end(void)
{
    __atomic_store_n(&caller.over, true, __ATOMIC_RELAXED);
    pthread_join(caller.thread, NULL);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double tail(double *of, size_t count)
{
    qsort(of, count, sizeof(*of), compare);
    return of[count * 999 / 1000];
}

/* As the reports tell it; a note has what the caller saw, with interrupts and all. */
static double waits(const char *module, const char *file, const char *function, char note[64])
{
    struct berth_error error;
    double none = 0;

    caller_start(function);
    for (size_t i = 0; i < RELOADS; i++) {
        __atomic_store(&caller.longest, &none, __ATOMIC_RELAXED);
        struct berth_reload_report report = { .size = sizeof(report) };
        if (berth_host_reload(host, module, file, &report, &error) != BERTH_OK)
            bench_die("%s", error.text);
        values[i] = (double)report.longest_wait_ns;
        uint64_t calls = __atomic_load_n(&caller.calls, __ATOMIC_RELAXED);
        while (__atomic_load_n(&caller.calls, __ATOMIC_RELAXED) < calls + 2)
            ; /* one that began meanwhile has ended */
        __atomic_load(&caller.longest, &seen[i], __ATOMIC_RELAXED);
    }
    caller_end();
    snprintf(note, 64, "as callers see it %.1f us, median %.1f us", tail(seen, RELOADS) / 1000,
             seen[RELOADS / 2] / 1000);
    return tail(values, RELOADS);
}

static double wait_stateless(void *user, long n)
{
    struct bench_row *row = user;
    return waits("stateless", stateless_file, "stateless.add", row->note) * (double)n;
}

static double wait_state(void *user, long n)
{
    struct bench_row *row = user;
    return waits("state", state_file, "state.add", row->note) / 1000 * (double)n;
}

/* While another thread of this process is busy there. */
static double time_barrier(void *user, long n)
{
    (void)user;
    caller_start(NULL);
    for (size_t i = 0; i < RELOADS; i++) {
        double start = bench_now();
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
        values[i] = bench_now() - start;
    }
    caller_end();
    return tail(values, RELOADS) * (double)n;
}

static struct bench_row rows[4] = {
    { .id = "reload.control",
      .what = "memfd copy, dlopen, dlclose against itself",
      .limit = time_open,
      .run = time_open },
    { .id = "reload.whole",
      .what = "reload of a small stateless module / the same",
      .limit = time_open,
      .run = time_reload,
      .goal = 1.5 },
    { .id = "reload.wait",
      .what = "a caller's longest wait, stateless, p99.9 / membarrier, p99.9",
      .limit = time_barrier,
      .run = wait_stateless,
      .user = &rows[2],
      .goal = 3,
      .n = 1,
      .two_cores = true },
    { .id = "reload.wait.state",
      .what = "a caller's longest wait, state of 1 KiB, p99.9",
      .unit = "us",
      .run = wait_state,
      .user = &rows[3],
      .goal = 100,
      .n = 1,
      .two_cores = true },
};

static void load(const char *name, char file[1024])
{
    struct berth_error error;

    snprintf(file, 1024, "%s", bench_module(name));
    if (berth_host_load(host, file, NULL, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

int main(int argc, char **argv)
{
    struct berth_host_options options;
    struct berth_error error;

    bench_pin(0);
    values = calloc(RELOADS, sizeof(*values));
    seen = calloc(RELOADS, sizeof(*seen));
    if (!values || !seen)
        bench_die("no memory");
    berth_host_options_init(&options);
    options.threads = 0;
    if (berth_host_new(&options, &host, &error) != BERTH_OK)
        bench_die("%s", error.text);
    load("stateless", stateless_file);
    load("state", state_file);
    int status = bench_main(argc, argv, "reload", rows, sizeof(rows) / sizeof(rows[0]));
    berth_host_free(host);
    return status;
}
