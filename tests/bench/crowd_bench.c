/* SPDX-License-Identifier: MIT */
/*
 * What others cost that a module has nothing to do with: one that floods the host, and
 * subscriptions to other topics.
 */
#include "tests/bench/bench.h"

#include <berth/host.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OTHERS      100000
#define SUBSCRIBERS 3

BERTH_BOUND(void, start, (u64, semaphore), (i64, n), (bytes, data));
BERTH_BOUND(void, begin);
BERTH_BOUND(void, end);
BERTH_BOUND(void, send, (i64, n), (bytes, data));
BERTH_BOUND(void, expect, (u64, semaphore), (i64, n));

/* Each with a host of its own. */
struct crowd {
    berth_host *host;
    berth_ctx *ctx;
    pid_t thread;
    bool others; /* what a row is about is there */
    start_bound start;
    begin_bound begin;
    end_bound end;
    send_bound send;
    expect_bound expect[SUBSCRIBERS];
};

static struct crowd quiet, noisy = { .others = true }, alone, among = { .others = true };
static sem_t done;

static void wait_done(void)
{
    while (sem_wait(&done) != 0)
        if (errno != EINTR)
            bench_die("%m");
}

static void check(const struct crowd *crowd)
{
    if (berth_failed(crowd->ctx))
        bench_die("%s", berth_error_text(crowd->ctx));
}

/* The pool's, as the others do not run modules, or only for a while. */
static void note_thread(void *user)
{
    struct crowd *crowd = user;
    char name[16] = "";

    if (pthread_getname_np(pthread_self(), name, sizeof(name)) == 0 &&
        strcmp(name, "berth-pool") == 0)
        crowd->thread = gettid();
}

static void open_host(struct crowd *crowd, int threads)
{
    struct berth_host_options options;
    struct berth_error error;

    berth_host_options_init(&options);
    options.threads = threads;
    options.thread = note_thread;
    options.thread_user = crowd;
    if (berth_host_new(&options, &crowd->host, &error) != BERTH_OK)
        bench_die("%s", error.text);
    crowd->ctx = berth_host_enter(crowd->host);
    if (!crowd->ctx)
        bench_die("no memory");
}

static void load(struct crowd *crowd, const char *file, const char *name)
{
    const struct berth_load_options options = { .size = sizeof(options), .name = name };
    struct berth_error error;

    if (berth_host_load(crowd->host, bench_module(file), &options, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

#define BIND(crowd, name, function, bound)                                          \
    do {                                                                            \
        struct berth_error berth_e;                                                 \
        if (berth_bind((crowd)->host, name, function, bound, &berth_e) != BERTH_OK) \
            bench_die("%s", berth_e.text);                                          \
    } while (0)

/* ---- a neighbour ----------------------------------------------------------------------------- */

static void open_neighbours(struct crowd *crowd)
{
    open_host(crowd, -1);
    load(crowd, "ping", NULL);
    load(crowd, "pong", NULL);
    BIND(crowd, "bench_ping.start", start, &crowd->start);
    load(crowd, "noise", NULL);
    BIND(crowd, "bench_noise.begin", begin, &crowd->begin);
    BIND(crowd, "bench_noise.end", end, &crowd->end);
}

/* How long a message takes there and back, with this thread waiting, one every millisecond: p99. */
static double neighbour(void *user, long n)
{
    const struct berth_bytes data = { "", 1 };
    struct crowd *crowd = user;
    double *took = malloc((size_t)n * sizeof(*took)), result;

    if (!took)
        bench_die("no memory");
    bench_place(0, BENCH_ANYWHERE);
    if (!crowd->host)
        open_neighbours(crowd);
    if (crowd->others)
        begin_call(&crowd->begin, crowd->ctx);
    for (long i = 0; i < n; i++) {
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        double began = bench_now();
        start_call(&crowd->start, crowd->ctx, (uint64_t)(uintptr_t)&done, 1, data);
        check(crowd);
        wait_done();
        took[i] = bench_now() - began;
    }
    if (crowd->others)
        end_call(&crowd->end, crowd->ctx);
    check(crowd);
    result = bench_p99(took, n) * (double)n;
    free(took);
    return result;
}

/* ---- subscriptions --------------------------------------------------------------------------- */

static void ignore(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx, (void)message, (void)user;
}

/* A third of them each: of one topic, of a token anywhere, of all below. */
static void other_pattern(char pattern[64], int i)
{
    if (i % 3 == 0)
        snprintf(pattern, 64, "bench.other%d", i);
    else if (i % 3 == 1)
        snprintf(pattern, 64, "bench.*.other%d", i);
    else
        snprintf(pattern, 64, "other%d.>", i);
}

static void subscribe_others(struct crowd *crowd)
{
    struct berth_error error;
    uint64_t id;

    for (int i = 0; i < OTHERS; i++) {
        char pattern[64];
        other_pattern(pattern, i);
        if (berth_host_subscribe(crowd->host, pattern, ignore, NULL, &id, &error) != BERTH_OK)
            bench_die("%s", error.text);
    }
}

static void open_topic(struct crowd *crowd)
{
    open_host(crowd, 1);
    load(crowd, "source", NULL);
    BIND(crowd, "bench_source.send", send, &crowd->send);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        char name[32], function[64];
        snprintf(name, sizeof(name), "sink_%d", i);
        snprintf(function, sizeof(function), "%s.expect", name);
        load(crowd, "sink", name);
        BIND(crowd, function, expect, &crowd->expect[i]);
    }
    if (crowd->others)
        subscribe_others(crowd);
}

static double publish(void *user, long n)
{
    static const char payload[64];
    struct crowd *crowd = user;
    double began;

    if (!crowd->host)
        open_topic(crowd);
    bench_place(0, 0);
    bench_place(crowd->thread, 0);
    for (int i = 0; i < SUBSCRIBERS; i++)
        expect_call(&crowd->expect[i], crowd->ctx, (uint64_t)(uintptr_t)&done, n);
    began = bench_now();
    send_call(&crowd->send, crowd->ctx, n, (berth_bytes){ payload, sizeof(payload) });
    check(crowd);
    for (int i = 0; i < SUBSCRIBERS; i++)
        wait_done();
    return bench_now() - began;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static double neighbour_quiet(void *user, long n)
{
    (void)user;
    return neighbour(&quiet, n);
}

static double publish_alone(void *user, long n)
{
    (void)user;
    return publish(&alone, n);
}

static struct bench_row rows[] = {
    { .id = "crowd.flood",
      .what = "a message while another module floods itself, p99 / while it is quiet",
      .limit = neighbour_quiet,
      .run = neighbour,
      .user = &noisy,
      .goal = 2,
      .n = 300 },
    { .id = "crowd.topic",
      .what = "to three subscribers, beside 100,000 other subscriptions / without them",
      .limit = publish_alone,
      .run = publish,
      .user = &among,
      .goal = 1.1 },
};

int main(int argc, char **argv)
{
    sem_init(&done, 0, 0);
    exit(bench_main(argc, argv, "crowd", rows, sizeof(rows) / sizeof(rows[0])));
}
