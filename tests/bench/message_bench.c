/* SPDX-License-Identifier: MIT */
/*
 * What a message between modules costs. The limits are the least that two threads can do for each
 * other (message_limits.h); one code path and no option makes up for where the threads are.
 */
#include "tests/bench/bench.h"
#include "tests/bench/message_limits.h"

#include <berth/host.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

BERTH_BOUND(void, start, (u64, semaphore), (i64, n), (bytes, data));
BERTH_BOUND(void, send, (i64, n), (bytes, data));
BERTH_BOUND(void, send_blob, (i64, n), (u64, size));
BERTH_BOUND(void, expect, (u64, semaphore), (i64, n));

#define SUBSCRIBERS 8

/* A host whose threads are known, so that they can be put somewhere. */
struct bench_host {
    berth_host *host;
    berth_ctx *ctx;
    pid_t threads[16];
    size_t thread_count;
};

static struct message_place two = { 0, 1 }, one = { 0, 0 };
static struct message_place anywhere = { BENCH_ANYWHERE, BENCH_ANYWHERE };
static char payload[4096];
static sem_t done;

static void check(berth_ctx *ctx)
{
    if (berth_failed(ctx))
        bench_die("%s", berth_error_text(ctx));
}

static void wait_done(void)
{
    while (sem_wait(&done) != 0)
        if (errno != EINTR)
            bench_die("%m");
}

static void note_thread(void *user)
{
    struct bench_host *host = user;
    size_t i = __atomic_fetch_add(&host->thread_count, 1, __ATOMIC_RELAXED);

    host->threads[i] = gettid();
}

#define MAILBOX_BYTES ((size_t)8 << 30) /* the number of messages is the bound, of whatever size */

static void open_host(struct bench_host *host, int threads)
{
    struct berth_host_options options;
    struct berth_error error;

    berth_host_options_init(&options);
    options.threads = threads;
    options.mailbox_bytes = MAILBOX_BYTES;
    options.thread = note_thread;
    options.thread_user = host;
    if (berth_host_new(&options, &host->host, &error) != BERTH_OK)
        bench_die("%s", error.text);
    host->ctx = berth_host_enter(host->host);
    if (!host->ctx)
        bench_die("no memory");
}

static void load(struct bench_host *host, const char *file, const char *name)
{
    struct berth_load_options options = { .size = sizeof(options), .name = name };
    struct berth_error error;

    if (berth_host_load(host->host, bench_module(file), &options, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

/* ---- there and back: the pool's two threads, this one only waits for the end ----------------- */

static struct bench_host trips;
static start_bound start;

static void open_trips(void)
{
    struct berth_error error;

    open_host(&trips, 2);
    load(&trips, "ping", NULL);
    load(&trips, "pong", NULL);
    if (berth_bind(trips.host, "bench_ping.start", start, &start, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

static double trip(void *user, long n)
{
    const struct message_place *place = user;
    const struct berth_bytes data = { payload, MESSAGE_SIZE };
    double began;

    bench_place(0, place->here);
    for (size_t i = 0; i < trips.thread_count; i++)
        bench_place(trips.threads[i], i % 2 ? place->there : place->here);
    began = bench_now();
    start_call(&start, trips.ctx, (uint64_t)(uintptr_t)&done, n, data);
    check(trips.ctx);
    wait_done();
    return bench_now() - began;
}

/* ---- one way: this thread sends, the pool's one thread receives ------------------------------ */

static struct bench_host flows, fans;
static send_bound flow_send, fan_send;
static send_blob_bound flow_send_blob;
static expect_bound flow_expect, fan_expect[SUBSCRIBERS];

static void open_flows(void)
{
    struct berth_error error;

    open_host(&flows, 1);
    load(&flows, "source", NULL);
    load(&flows, "sink", NULL);
    open_host(&fans, 1);
    load(&fans, "source", NULL);
    if (berth_bind(flows.host, "bench_source.send", send, &flow_send, &error) != BERTH_OK ||
        berth_bind(flows.host, "bench_source.send_blob", send_blob, &flow_send_blob, &error) !=
            BERTH_OK ||
        berth_bind(flows.host, "bench_sink.expect", expect, &flow_expect, &error) != BERTH_OK ||
        berth_bind(fans.host, "bench_source.send", send, &fan_send, &error) != BERTH_OK)
        bench_die("%s", error.text);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        char name[32], function[64];
        snprintf(name, sizeof(name), "sink_%d", i);
        snprintf(function, sizeof(function), "%s.expect", name);
        load(&fans, "sink", name);
        if (berth_bind(fans.host, function, expect, &fan_expect[i], &error) != BERTH_OK)
            bench_die("%s", error.text);
    }
}

static void place_host(const struct bench_host *host, const struct message_place *place)
{
    bench_place(0, place->here);
    for (size_t i = 0; i < host->thread_count; i++)
        bench_place(host->threads[i], place->there);
}

static double flow_began(const struct message_place *place, long n)
{
    place_host(&flows, place);
    expect_call(&flow_expect, flows.ctx, (uint64_t)(uintptr_t)&done, n);
    return bench_now();
}

static double flow_ended(double began)
{
    check(flows.ctx);
    wait_done();
    return bench_now() - began;
}

static double flow_small(void *user, long n)
{
    const struct berth_bytes data = { payload, MESSAGE_SIZE };
    double began = flow_began(user, n);

    send_call(&flow_send, flows.ctx, n, data);
    return flow_ended(began);
}

static double flow_blob(void *user, long n)
{
    double began = flow_began(user, n);

    send_blob_call(&flow_send_blob, flows.ctx, n, 1 << 20);
    return flow_ended(began);
}

static double fan(void *user, long n)
{
    const struct berth_bytes data = { payload, sizeof(payload) };
    double began;

    place_host(&fans, user);
    for (int i = 0; i < SUBSCRIBERS; i++)
        expect_call(&fan_expect[i], fans.ctx, (uint64_t)(uintptr_t)&done, n);
    began = bench_now();
    send_call(&fan_send, fans.ctx, n, data);
    check(fans.ctx);
    for (int i = 0; i < SUBSCRIBERS; i++)
        wait_done();
    return bench_now() - began;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct bench_row rows[] = {
    { .id = "trip.control",
      .what = "there and back, 64 B, two cores: spinning, itself",
      .limit = limit_spin,
      .run = limit_spin,
      .user = &two,
      .two_cores = true },
    { .id = "trip.two",
      .what = "there and back, 64 B, two cores / spinning",
      .limit = limit_spin,
      .run = trip,
      .user = &two,
      .goal = 1.5,
      .two_cores = true },
    { .id = "trip.one",
      .what = "there and back, 64 B, one core / futex",
      .limit = limit_futex,
      .run = trip,
      .user = &one,
      .goal = 0.9 },
    { .id = "trip.free",
      .what = "there and back, 64 B, not pinned / futex",
      .limit = limit_futex,
      .run = trip,
      .user = &anywhere,
      .goal = 1.0 },
    { .id = "flow.two",
      .what = "one way, 64 B, two cores / ring",
      .limit = limit_ring,
      .run = flow_small,
      .user = &two,
      .goal = 2,
      .two_cores = true },
    { .id = "flow.one",
      .what = "one way, 64 B, one core / ring",
      .limit = limit_ring,
      .run = flow_small,
      .user = &one,
      .goal = 6 },
    { .id = "flow.box.two",
      .what = "one way, 64 B, two cores: ring with lock, bounds, handler, counts / ring",
      .limit = limit_ring,
      .run = limit_box,
      .user = &two,
      .two_cores = true },
    { .id = "flow.box.one",
      .what = "one way, 64 B, one core: ring with lock, bounds, handler, counts / ring",
      .limit = limit_ring,
      .run = limit_box,
      .user = &one },
    { .id = "flow.blob",
      .what = "one way, 1 MiB by reference / 64 B, two cores",
      .limit = flow_small,
      .run = flow_blob,
      .user = &two,
      .goal = 2,
      .two_cores = true },
    { .id = "fan",
      .what = "4 KiB to 8 subscribers, one core / counted buffer",
      .limit = limit_fan,
      .run = fan,
      .user = &one,
      .goal = 1.6 },
    { .id = "peer.zeromq.flow",
      .what = "ZeroMQ inproc / one way, 64 B, two cores",
      .limit = flow_small,
      .run = peer_zeromq_flow,
      .user = &two,
      .goal = 5,
      .at_least = true,
      .two_cores = true },
    { .id = "peer.nng.flow",
      .what = "nng inproc / one way, 64 B, two cores",
      .limit = flow_small,
      .run = peer_nng_flow,
      .user = &two,
      .goal = 50,
      .at_least = true,
      .two_cores = true },
    { .id = "peer.zeromq.trip",
      .what = "ZeroMQ inproc / there and back, 64 B, two cores",
      .limit = trip,
      .run = peer_zeromq_trip,
      .user = &two,
      .two_cores = true },
    { .id = "peer.nng.trip",
      .what = "nng inproc / there and back, 64 B, two cores",
      .limit = trip,
      .run = peer_nng_trip,
      .user = &two,
      .two_cores = true },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void find_peers(void)
{
    const char *zeromq = peer_zeromq_find(), *nng = peer_nng_find();

    for (size_t i = 0; i < ROWS; i++) {
        if (strncmp(rows[i].id, "peer.zeromq", 11) == 0)
            rows[i].skipped = zeromq;
        if (strncmp(rows[i].id, "peer.nng", 8) == 0)
            rows[i].skipped = nng;
    }
}

static void close_host(struct bench_host *host)
{
    berth_leave(host->ctx);
    berth_host_free(host->host);
}

int main(int argc, char **argv)
{
    int result;

    sem_init(&done, 0, 0);
    open_trips();
    open_flows();
    find_peers();
    result = bench_main(argc, argv, "message", rows, ROWS);
    berth_unbind(trips.host, &start);
    berth_unbind(flows.host, &flow_send);
    berth_unbind(flows.host, &flow_send_blob);
    berth_unbind(flows.host, &flow_expect);
    berth_unbind(fans.host, &fan_send);
    for (int i = 0; i < SUBSCRIBERS; i++)
        berth_unbind(fans.host, &fan_expect[i]);
    close_host(&trips);
    close_host(&flows);
    close_host(&fans);
    return result;
}
