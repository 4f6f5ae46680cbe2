/* SPDX-License-Identifier: MIT */
/*
 * What it costs that there are many modules: when they pass messages on at random, and when they
 * rest. And what a started call costs beside messages.
 */
#include "tests/bench/bench.h"
#include "tests/bench/many.h"
#include "tests/bench/rest.h"

#include <berth/host.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define FEW    10
#define MANY   10000
#define TOKENS FEW

static sem_t done;

static void wait_done(void)
{
    while (sem_wait(&done) != 0)
        if (errno != EINTR)
            bench_die("%m");
}

/* ---- modules in a ring, in random order ------------------------------------------------------ */

struct ring {
    unsigned count;
    unsigned *order;       /* the ring */
    void (**visits)(void); /* in its order: a function of each module */
    berth_host *host;
    berth_ctx *ctx;
    pid_t thread;
};

static struct ring few = { .count = FEW }, many = { .count = MANY };

static unsigned draw(unsigned limit)
{
    static uint64_t seed = 88172645463325252;

    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % limit);
}

static void shuffle(struct ring *ring)
{
    ring->order = calloc(ring->count, sizeof(*ring->order));
    if (!ring->order)
        bench_die("no memory");
    for (unsigned i = 0; i < ring->count; i++) {
        unsigned other = draw(i + 1);
        ring->order[i] = ring->order[other];
        ring->order[other] = i;
    }
}

static void load(struct ring *ring, unsigned place)
{
    const unsigned own = ring->order[place], next = ring->order[(place + 1) % ring->count];
    char path[32], name[16], next_name[16];
    const struct many_change changes[] = { { "hop_aaaa", name }, { "hop_bbbb", next_name } };
    struct berth_error error;
    int fd = memfd_create("hop", MFD_CLOEXEC); /* a file that goes by itself */

    if (fd < 0)
        bench_die("%m");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    snprintf(name, sizeof(name), "hop_%04u", own);
    snprintf(next_name, sizeof(next_name), "hop_%04u", next);
    many_write(path, "hop", changes, 2);
    if (berth_host_load(ring->host, path, NULL, &error) != BERTH_OK)
        bench_die("%s", error.text);
    close(fd);
}

/* The pool's, as the others do not run modules, or only for a while. */
static void note_thread(void *user)
{
    struct ring *ring = user;
    char name[16] = "";

    if (pthread_getname_np(pthread_self(), name, sizeof(name)) == 0 &&
        strcmp(name, "berth-pool") == 0)
        ring->thread = gettid();
}

static void open_ring(struct ring *ring)
{
    struct berth_host_options options;
    struct berth_error error;

    if (ring->host)
        return;
    berth_host_options_init(&options);
    options.threads = 1;
    options.thread = note_thread;
    options.thread_user = ring;
    if (berth_host_new(&options, &ring->host, &error) != BERTH_OK)
        bench_die("%s", error.text);
    shuffle(ring);
    for (unsigned i = 0; i < ring->count; i++)
        load(ring, i);
    ring->ctx = berth_host_enter(ring->host);
    if (!ring->ctx)
        bench_die("no memory");
}

static void send_token(struct ring *ring, unsigned place, long hops)
{
    char name[32];
    struct berth_value in[] = { { .kind = BERTH_VALUE_U64, .as.u64 = (uintptr_t)&done },
                                { .kind = BERTH_VALUE_I64, .as.i64 = hops } };
    struct berth_value out;

    snprintf(name, sizeof(name), "hop_%04u.start", ring->order[place]);
    if (berth_call(ring->ctx, name, in, 2, &out) != BERTH_OK)
        bench_die("%s", berth_error_text(ring->ctx));
}

/* As many messages are on their way as there are few modules: each turn has one of them. */
static double hop(struct ring *ring, long n)
{
    double began;

    open_ring(ring);
    bench_place(0, 0);
    bench_place(ring->thread, 0);
    began = bench_now();
    for (unsigned i = 0; i < TOKENS; i++)
        send_token(ring, i * (ring->count / TOKENS), n / TOKENS + 1);
    for (unsigned i = 0; i < TOKENS; i++)
        wait_done();
    return bench_now() - began;
}

static double hop_few(void *user, long n)
{
    (void)user;
    return hop(&few, n);
}

static double hop_many(void *user, long n)
{
    (void)user;
    return hop(&many, n);
}

/* ---- their images without Berth -------------------------------------------------------------- */

static void find_visits(struct ring *ring)
{
    ring->visits = calloc(ring->count, sizeof(*ring->visits));
    if (!ring->visits)
        bench_die("no memory");
    for (unsigned i = 0; i < ring->count; i++) {
        char name[32];
        struct berth_value out;
        snprintf(name, sizeof(name), "hop_%04u.where", ring->order[i]);
        if (berth_call(ring->ctx, name, NULL, 0, &out) != BERTH_OK)
            bench_die("%s", berth_error_text(ring->ctx));
        ring->visits[i] = (void (*)(void))(uintptr_t)out.as.u64;
    }
}

/* The least that going through so many images costs: their code, and a line of their data. */
static double visit(struct ring *ring, long n)
{
    double began;

    open_ring(ring);
    if (!ring->visits)
        find_visits(ring);
    bench_place(0, 0);
    began = bench_now();
    for (long i = 0; i < n; i += ring->count)
        for (unsigned k = 0; k < ring->count; k++)
            ring->visits[k]();
    return bench_now() - began;
}

static double visit_few(void *user, long n)
{
    (void)user;
    return visit(&few, n);
}

static double visit_many(void *user, long n)
{
    (void)user;
    return visit(&many, n);
}

/* ---- modules at rest ------------------------------------------------------------------------- */

#define REST_SECONDS 30

static double rest(void *user, long n)
{
    open_ring(&many);
    return rest_watch(getpid(), REST_SECONDS, user) * (double)n;
}

/* ---- calls that are started ------------------------------------------------------------------ */

BERTH_BOUND(void, ask, (u64, semaphore), (i64, n));
BERTH_BOUND(void, wait, (i64, n));
BERTH_BOUND(void, start, (u64, semaphore), (i64, left));
static ask_bound ask;
static wait_bound wait_each;
static start_bound start;

static void check(const struct ring *ring)
{
    if (berth_failed(ring->ctx))
        bench_die("%s", berth_error_text(ring->ctx));
}

static void open_asker(void)
{
    static bool is_open;
    struct berth_error error;
    berth_host *host;
    char name[32];

    open_ring(&few);
    bench_place(0, 0);
    bench_place(few.thread, 0);
    host = few.host;
    snprintf(name, sizeof(name), "hop_%04u.start", few.order[0]);
    if (!is_open && (berth_host_load(host, bench_module("answerer"), NULL, &error) != BERTH_OK ||
                     berth_host_load(host, bench_module("asker"), NULL, &error) != BERTH_OK ||
                     berth_bind(host, "bench_asker.ask", ask, &ask, &error) != BERTH_OK ||
                     berth_bind(host, "bench_asker.wait", wait, &wait_each, &error) != BERTH_OK ||
                     berth_bind(host, name, start, &start, &error) != BERTH_OK))
        bench_die("%s", error.text);
    is_open = true;
}

/* Nobody waits: the answer has a function called, which starts the next call. */
static double call(void *user, long n)
{
    double began;

    (void)user;
    open_asker();
    began = bench_now();
    ask_call(&ask, few.ctx, (uint64_t)(uintptr_t)&done, n);
    check(&few);
    wait_done();
    return bench_now() - began;
}

static double call_and_wait(void *user, long n)
{
    double began;

    (void)user;
    open_asker();
    began = bench_now();
    wait_call(&wait_each, few.ctx, n);
    check(&few);
    return bench_now() - began;
}

/* The host's only thread waits, in a turn: another one has to work in its place. */
static double call_in_turn(void *user, long n)
{
    const struct berth_value in = { .kind = BERTH_VALUE_I64, .as.i64 = n };
    berth_pending pending;
    double began;

    (void)user;
    open_asker();
    bench_place(few.thread, BENCH_ANYWHERE); /* new threads are where it is */
    began = bench_now();
    if (berth_call_start(few.ctx, "bench_asker.wait", &in, 1, NULL, &pending) != BERTH_OK ||
        berth_call_take(few.ctx, pending, NULL) != BERTH_OK)
        bench_die("%s", berth_error_text(few.ctx));
    return bench_now() - began;
}

/* There and back: two hops of one message. */
static double trip(void *user, long n)
{
    double began;

    (void)user;
    open_ring(&few);
    bench_place(0, 0);
    bench_place(few.thread, 0);
    began = bench_now();
    send_token(&few, 0, 2 * n);
    wait_done();
    return bench_now() - began;
}

/* The least that a thread can do that waits: one hop, after which it is woken. */
static double trip_and_wait(void *user, long n)
{
    double began;

    (void)user;
    open_asker();
    began = bench_now();
    for (long i = 0; i < n && !berth_failed(few.ctx); i++) {
        start_call(&start, few.ctx, (uint64_t)(uintptr_t)&done, 1);
        wait_done();
    }
    check(&few);
    return bench_now() - began;
}

/* ---- rows ------------------------------------------------------------------------------------ */

enum { REST = 3 };
static struct bench_row rows[] = {
    { .id = "scale.control",
      .what = "a message, one of 10 modules after the other, itself",
      .limit = hop_few,
      .run = hop_few },
    { .id = "scale.many",
      .what = "one of 10,000 modules after the other / of 10",
      .limit = hop_few,
      .run = hop_many,
      .goal = 1.5,
      .n = 200000 },
    { .id = "scale.images",
      .what = "a pointer to a function of one of 10,000 images after the other / of 10",
      .limit = visit_few,
      .run = visit_many,
      .n = 200000 },
    { .id = "scale.rest",
      .what = "30 s of rest with 10,000 modules: ticks and switches",
      .unit = "",
      .run = rest,
      .user = &rows[REST],
      .goal = BENCH_ZERO,
      .once = true,
      .n = 1 },
    { .id = "scale.async",
      .what = "a started call and its answer / a message there and back",
      .limit = trip,
      .run = call,
      .goal = 1.3 },
    { .id = "scale.async.wait",
      .what = "a started call that a thread waits for / a message, and a semaphore back",
      .limit = trip_and_wait,
      .run = call_and_wait,
      .goal = 1.3 },
    { .id = "scale.async.turn",
      .what = "a started call that the host's only thread waits for / the same",
      .limit = trip_and_wait,
      .run = call_in_turn },
};

int main(int argc, char **argv)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* a loaded module keeps a descriptor */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sem_init(&done, 0, 0);
    exit(bench_main(argc, argv, "scale", rows, sizeof(rows) / sizeof(rows[0])));
}
