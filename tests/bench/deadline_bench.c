/* SPDX-License-Identifier: MIT */
/*
 * How late a call is answered that runs into its deadline, whatever it waits for: the p99. The
 * limit is how late the kernel wakes a thread that sleeps as long.
 */
#include "tests/bench/bench.h"

#include <berth/host.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TIMEOUT 2000000 /* ns */
#define GOAL    5000000
#define CALLS   500

static berth_host *host;
static berth_ctx *ctx;
static bool over;

static double *room_for(long n)
{
    double *late = malloc((size_t)n * sizeof *late);
    if (!late)
        bench_die("no memory");
    return late;
}

static double time_sleep(void *user, long n)
{
    double *late = room_for(n);
    (void)user;
    for (long i = 0; i < n; i++) {
        double began = bench_now();
        nanosleep(&(struct timespec){ 0, TIMEOUT }, NULL);
        late[i] = bench_now() - began - TIMEOUT;
    }
    double result = bench_p99(late, n) * (double)n;
    free(late);
    return result;
}

/* What a row calls. */
struct late_call {
    const char *function, *arguments;
};

static double time_call(void *user, long n)
{
    const struct late_call *call = user;
    double *late = room_for(n);
    for (long i = 0; i < n; i++) {
        char *result = NULL;
        double began = bench_now();
        berth_set_timeout(ctx, TIMEOUT);
        int code = berth_call_json(ctx, call->function, call->arguments, &result);
        late[i] = bench_now() - began - TIMEOUT;
        if (code != BERTH_DEADLINE_EXCEEDED)
            bench_die("%s: %s: %s", call->function, berth_code_name(code), berth_error_text(ctx));
        berth_clear(ctx);
        berth_free(result);
    }
    double result = bench_p99(late, n) * (double)n;
    free(late);
    return result;
}

static struct late_call never = { "bench_late.never", "[]" }, nap = { "away.nap", "[6]" },
                        touch = { "bench_held.touch", "[]" }, tell = { "bench_late.tell", "[]" };

static struct bench_row rows[] = {
    { .id = "deadline.control",
      .what = "a sleep of 2 ms against itself, p99",
      .limit = time_sleep,
      .run = time_sleep,
      .n = CALLS,
      .once = true },
    { .id = "deadline.answer",
      .what = "no answer of a function that keeps the call",
      .limit = time_sleep,
      .run = time_call,
      .user = &never,
      .n = CALLS,
      .once = true,
      .difference = true,
      .goal = GOAL },
    { .id = "deadline.worker",
      .what = "no answer of a function in a worker",
      .limit = time_sleep,
      .run = time_call,
      .user = &nap,
      .n = CALLS,
      .once = true,
      .difference = true,
      .goal = GOAL },
    { .id = "deadline.serial",
      .what = "a serial module that somebody else is in",
      .limit = time_sleep,
      .run = time_call,
      .user = &touch,
      .n = CALLS,
      .once = true,
      .difference = true,
      .goal = GOAL },
    { .id = "deadline.room",
      .what = "a mailbox that stays full",
      .limit = time_sleep,
      .run = time_call,
      .user = &tell,
      .n = CALLS,
      .once = true,
      .difference = true,
      .goal = GOAL },
};

static void stay(berth_ctx *its, const struct berth_message *message, void *user)
{
    (void)its, (void)message, (void)user;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

static void load(const char *file, const char *name, const char *placement)
{
    const struct berth_load_options how = { .size = sizeof how,
                                            .name = name,
                                            .placement = placement };
    struct berth_error error;
    if (berth_host_load(host, bench_module(file), &how, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

static void make_host(void)
{
    const struct berth_subscribe_options block = { .size = sizeof block, .full = BERTH_FULL_BLOCK };
    struct berth_host_options options;
    struct berth_error error;
    uint64_t id;

    berth_host_options_init(&options);
    options.threads = 2;
    options.mailbox_messages = 1;
    options.worker = getenv("BERTH_WORKER");
    if (berth_host_new(&options, &host, &error) != BERTH_OK)
        bench_die("%s", error.text);
    load("late", NULL, "inline");
    load("late", "away", "process");
    load("held", NULL, "inline");
    if (berth_host_subscribe_with(host, "bench.late", &block, stay, NULL, &id, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

static void *hold(void *unused)
{
    char arguments[32], *result = NULL;
    berth_ctx *its = berth_host_enter(host);
    snprintf(arguments, sizeof arguments, "[%llu]", (unsigned long long)(uintptr_t)&over);
    if (!its || berth_call_json(its, "bench_held.hold", arguments, &result) != BERTH_OK)
        bench_die("hold");
    berth_free(result);
    berth_leave(its);
    return unused;
}

int main(int argc, char **argv)
{
    char *result = NULL;
    pthread_t holder;

    make_host();
    ctx = berth_host_enter(host);
    if (!ctx || pthread_create(&holder, NULL, hold, NULL) != 0 ||
        berth_call_json(ctx, tell.function, "[]", &result) != BERTH_OK) /* it stays with this one */
        bench_die("cannot begin");
    berth_free(result);
    nanosleep(&(struct timespec){ 0, 20000000 }, NULL); /* both are inside by then */
    int status = bench_main(argc, argv, "deadline", rows, sizeof(rows) / sizeof(rows[0]));
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    pthread_join(holder, NULL);
    berth_leave(ctx);
    berth_host_free(host);
    return status;
}
