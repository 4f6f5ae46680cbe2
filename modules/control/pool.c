/* SPDX-License-Identifier: MIT */
/*
 * The threads, and what they wait for. They come when a request is about to be executed and nobody
 * else would wait for events; of those that have nothing to do two stay, so that a client which
 * asks one thing after the other costs no thread each time.
 */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define KEPT       2    /* threads that wait for ever */
#define SURPLUS_MS 2000 /* how long one more waits */

/* Tags that are no connection's: those are below. */
enum {
    TAG_FIRST = 0x7ffffff0,
    TAG_LISTENER = TAG_FIRST,
    TAG_BELL,
    TAG_TIMER,
    TAG_PARENT,
    TAG_STOPPING
};

static struct {
    pthread_mutex_t lock;
    int epoll, bell, timer;
    int listener;            /* atomic */
    int64_t wake_at;         /* what the timer is set to; 0: nothing */
    size_t threads, waiting; /* the latter is atomic */
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .epoll = -1, .bell = -1, .timer = -1, .listener = -1
};

static struct {
    pthread_mutex_t lock;
    struct connection *first, *last;
} ready = { PTHREAD_MUTEX_INITIALIZER, NULL, NULL };

int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- what is waited for --------------------------------------------------------------------- */

static bool add(int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = { .events = events, .data = { .u64 = tag } };
    return epoll_ctl(pool.epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool pool_add(int fd, uint64_t tag)
{
    return add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, tag);
}

void pool_change(int fd, uint64_t tag, bool output)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET |
                                           (output ? (uint32_t)EPOLLOUT : 0),
                                 .data = { .u64 = tag } };
    epoll_ctl(pool.epoll, EPOLL_CTL_MOD, fd, &event);
}

void pool_remove(int fd)
{
    epoll_ctl(pool.epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* Nobody reads the bell: each stroke is an edge. */
static void strike(void)
{
    eventfd_write(pool.bell, 1);
}

void pool_ring(struct connection *connection)
{
    pthread_mutex_lock(&ready.lock);
    connection->next_ready = NULL;
    if (ready.first)
        ready.last->next_ready = connection;
    else
        ready.first = connection;
    ready.last = connection;
    pthread_mutex_unlock(&ready.lock);
    strike();
}

void pool_wake_at(int64_t when)
{
    pthread_mutex_lock(&pool.lock);
    if (!pool.wake_at || when < pool.wake_at) {
        struct itimerspec at = { .it_value = { when / 1000000000, when % 1000000000 } };
        timerfd_settime(pool.timer, TFD_TIMER_ABSTIME, &at, NULL);
        pool.wake_at = when;
    }
    pthread_mutex_unlock(&pool.lock);
}

void pool_listen(int listener)
{
    int before = __atomic_exchange_n(&pool.listener, listener, __ATOMIC_ACQ_REL);
    if (before >= 0)
        pool_remove(before);
    if (listener >= 0)
        add(listener, EPOLLIN | EPOLLET, TAG_LISTENER);
}

/* ---- threads -------------------------------------------------------------------------------- */

static void serve_ready(struct worker *worker)
{
    pthread_mutex_lock(&ready.lock);
    struct connection *connection = ready.first;
    bool more = false;
    if (connection) {
        ready.first = connection->next_ready;
        more = ready.first != NULL;
    }
    pthread_mutex_unlock(&ready.lock);
    if (more)
        strike();
    if (connection)
        connections_resume(worker, connection);
}

static void serve_timer(struct worker *worker)
{
    uint64_t times;
    if (read(pool.timer, &times, sizeof(times)) != sizeof(times))
        return; /* it was set again meanwhile */
    pthread_mutex_lock(&pool.lock);
    pool.wake_at = 0;
    pthread_mutex_unlock(&pool.lock);
    connections_accept(__atomic_load_n(&pool.listener, __ATOMIC_ACQUIRE));
    connections_check(worker);
    inherit_check(worker->ctx);
}

static void serve(struct worker *worker, const struct epoll_event *event)
{
    switch (event->data.u64) {
    case TAG_LISTENER:
        connections_accept(__atomic_load_n(&pool.listener, __ATOMIC_ACQUIRE));
        break;
    case TAG_BELL:
        serve_ready(worker);
        break;
    case TAG_TIMER:
        serve_timer(worker);
        break;
    case TAG_PARENT:
        inherit_event(worker->ctx);
        break;
    case TAG_STOPPING:
        break;
    default:
        connections_event(worker, event->data.u64, event->events);
        break;
    }
}

/* Counted as waiting already. false: this thread is not needed any more. */
static bool wait_event(struct epoll_event *event)
{
    for (;;) {
        bool surplus = __atomic_load_n(&pool.waiting, __ATOMIC_RELAXED) > KEPT;
        int got = epoll_wait(pool.epoll, event, 1, surplus ? SURPLUS_MS : -1);
        size_t others = __atomic_sub_fetch(&pool.waiting, 1, __ATOMIC_ACQ_REL);
        if (got > 0)
            return true;
        if (got == 0 && others >= KEPT)
            return false;
        __atomic_add_fetch(&pool.waiting, 1, __ATOMIC_ACQ_REL);
    }
}

static void run(berth_ctx *ctx, void *user)
{
    struct worker worker = { .ctx = ctx };
    struct epoll_event event;
    (void)user;
    while (wait_event(&event) && !berth_stopping(ctx)) {
        serve(&worker, &event);
        berth_clear(ctx);
        __atomic_add_fetch(&pool.waiting, 1, __ATOMIC_ACQ_REL);
    }
    if (berth_stopping(ctx) && inherit_leave(ctx))
        inherit_stay(ctx);
    text_free(&worker.line);
    text_free(&worker.reply);
    pthread_mutex_lock(&pool.lock);
    pool.threads--;
    pthread_mutex_unlock(&pool.lock);
}

/* Counts it as waiting, so that two do not start one each for the same reason. */
static void start_one(berth_ctx *ctx)
{
    pool.threads++;
    __atomic_add_fetch(&pool.waiting, 1, __ATOMIC_ACQ_REL);
    if (berth_thread(ctx, "control", run, NULL))
        return;
    pool.threads--;
    __atomic_sub_fetch(&pool.waiting, 1, __ATOMIC_ACQ_REL);
}

void pool_ensure(berth_ctx *ctx)
{
    if (__atomic_load_n(&pool.waiting, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&pool.lock);
    if (!__atomic_load_n(&pool.waiting, __ATOMIC_ACQUIRE) && pool.threads < limits.threads)
        start_one(ctx);
    pthread_mutex_unlock(&pool.lock);
    berth_clear(ctx); /* without another thread it goes on, one request after the other */
}

bool pool_start(berth_ctx *ctx, int listener, int parent)
{
    int stopping = berth_stopping_fd(ctx);
    if (stopping < 0)
        return false;
    pool.epoll = epoll_create1(EPOLL_CLOEXEC);
    pool.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pool.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (pool.epoll < 0 || pool.bell < 0 || pool.timer < 0 ||
        !add(stopping, EPOLLIN, TAG_STOPPING) || !add(pool.bell, EPOLLIN | EPOLLET, TAG_BELL) ||
        !add(pool.timer, EPOLLIN | EPOLLET, TAG_TIMER) ||
        (parent >= 0 && !add(parent, EPOLLIN | EPOLLET, TAG_PARENT))) {
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "cannot wait for clients: %s", strerror(errno));
        return false;
    }
    pool_listen(listener);
    pthread_mutex_lock(&pool.lock);
    start_one(ctx);
    pthread_mutex_unlock(&pool.lock);
    return !berth_failed(ctx);
}

void pool_stop(void)
{
    int *const all[] = { &pool.epoll, &pool.bell, &pool.timer };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (*all[i] >= 0)
            close(*all[i]);
        *all[i] = -1;
    }
}
