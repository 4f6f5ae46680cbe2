/* SPDX-License-Identifier: MIT */
#include "runtime/loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/idmap.h"
#include "runtime/base/memory.h"

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define BATCH     32

/* What epoll gives back for the loop's own two descriptors; a source's id is never 0. */
#define OWN_EVENT 0

struct berth_loop {
    int epoll, timer_fd, wake_fd;
    pthread_mutex_t lock;
    pthread_cond_t turn;  /* nobody runs the loop any more; on CLOCK_MONOTONIC */
    pthread_cond_t ended; /* a callback has ended */

    /* Under the lock. */
    struct berth_idmap sources; /* an event may come late: what it names must fail a lookup */
    struct berth_timer **heap;  /* the earliest at 1, children of i at 2i and 2i + 1 */
    size_t timers, capacity;
    int64_t armed; /* when timer_fd goes off: never after the earliest timer */
    bool running;
    uint64_t woken; /* how often; atomic, changed under lock */
    pthread_t runner;
    const void *current; /* the source or timer whose callback runs */
    uint64_t callbacks;  /* counted: tells one run of a callback from its next */
    unsigned removers;   /* wait for `ended` */

    struct epoll_event events[BATCH]; /* the runner's */
};

int64_t berth_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
}

/* ---- life ---- */

static int open_descriptors(struct berth_loop *loop)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = OWN_EVENT };

    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll < 0 || loop->timer_fd < 0 || loop->wake_fd < 0)
        return -1;
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->timer_fd, &event) != 0)
        return -1;
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake_fd, &event);
}

int berth_loop_new(struct berth_loop **ret_loop, struct berth_error *error)
{
    struct berth_loop *loop = berth_calloc(1, sizeof(*loop));
    pthread_condattr_t attributes;

    if (!loop)
        return berth_error_nomem(error);
    loop->epoll = loop->timer_fd = loop->wake_fd = -1;
    loop->armed = BERTH_FOREVER;
    berth_idmap_init(&loop->sources);
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->ended, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&loop->turn, &attributes);
    pthread_condattr_destroy(&attributes);

    if (open_descriptors(loop) != 0) {
        int number = errno;
        berth_loop_free(loop);
        return berth_error_errno(error, number, "cannot make an event loop");
    }
    *ret_loop = loop;
    return BERTH_OK;
}

void berth_loop_free(struct berth_loop *loop)
{
    if (!loop)
        return;
    assert(!loop->running && loop->timers == 0 && loop->sources.count == 0);
    const int descriptors[] = { loop->epoll, loop->timer_fd, loop->wake_fd };
    for (size_t i = 0; i < 3; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    pthread_cond_destroy(&loop->turn);
    pthread_cond_destroy(&loop->ended);
    pthread_mutex_destroy(&loop->lock);
    berth_idmap_deinit(&loop->sources);
    berth_free(loop->heap);
    berth_free(loop);
}

int berth_loop_fd(const struct berth_loop *loop)
{
    return loop->epoll;
}

/* ---- callbacks: their begin, their end, and who waits for it ---- */

/* Both with the lock held, which the callback runs without. */
static void callback_begin(struct berth_loop *loop, const void *what)
{
    loop->current = what;
    loop->callbacks++;
    pthread_mutex_unlock(&loop->lock);
}

static void callback_end(struct berth_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->current = NULL;
    if (loop->removers)
        pthread_cond_broadcast(&loop->ended);
}

static bool is_runner(const struct berth_loop *loop)
{
    return loop->running && pthread_equal(loop->runner, pthread_self());
}

/*
 * Waits until the callback of `what` has ended; false when there was no reason to. From within the
 * callback it never waits. What is removed there and comes again at the same address is taken for
 * the old one until the callback ends, which costs whoever removes it that wait.
 */
static bool wait_for_callback(struct berth_loop *loop, const void *what)
{
    uint64_t run = loop->callbacks;

    if (loop->current != what || is_runner(loop))
        return false;
    loop->removers++;
    while (loop->current == what && loop->callbacks == run)
        pthread_cond_wait(&loop->ended, &loop->lock);
    loop->removers--;
    return true;
}

/* ---- sources ---- */

int berth_source_add(struct berth_loop *loop, struct berth_source *source,
                     struct berth_error *error)
{
    struct epoll_event event = { .events = source->events };
    int number = 0;

    assert(source->id == 0);
    pthread_mutex_lock(&loop->lock);
    event.data.u64 = berth_idmap_add(&loop->sources, source);
    if (event.data.u64 == 0) {
        number = ENOMEM;
    } else if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &event) != 0) {
        number = errno;
        berth_idmap_remove(&loop->sources, event.data.u64);
    } else {
        source->id = event.data.u64;
        __atomic_store_n(&source->loop, loop, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&loop->lock);

    if (number == EPERM)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "descriptor %d cannot be watched: it is always ready, like any file",
                               source->fd);
    if (number)
        return berth_error_errno(error, number, "cannot watch descriptor %d", source->fd);
    return BERTH_OK;
}

void berth_source_modify(struct berth_source *source, uint32_t events)
{
    struct berth_loop *loop = __atomic_load_n(&source->loop, __ATOMIC_RELAXED);

    if (!loop)
        return;
    pthread_mutex_lock(&loop->lock);
    if (source->id) {
        struct epoll_event event = { .events = events, .data.u64 = source->id };
        source->events = events;
        epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event);
    }
    pthread_mutex_unlock(&loop->lock);
}

void berth_source_remove(struct berth_source *source)
{
    struct berth_loop *loop = __atomic_load_n(&source->loop, __ATOMIC_RELAXED);

    if (!loop)
        return;
    pthread_mutex_lock(&loop->lock);
    do { /* again after a callback, which may have put it back */
        if (source->id) {
            epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
            berth_idmap_remove(&loop->sources, source->id);
            source->id = 0;
        }
    } while (wait_for_callback(loop, source));
    if (loop->current != source) /* else another thread must still be able to wait for it */
        __atomic_store_n(&source->loop, NULL, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&loop->lock);
}

static int source_ready(struct berth_loop *loop, const struct epoll_event *event)
{
    pthread_mutex_lock(&loop->lock);
    struct berth_source *source = berth_idmap_get(&loop->sources, event->data.u64);
    /* What was asked for may have changed since the event was fetched. */
    uint32_t events = source ? event->events & (source->events | EPOLLERR | EPOLLHUP) : 0;
    if (events) {
        callback_begin(loop, source);
        source->ready(source, events);
        callback_end(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return events != 0;
}

/* ---- timers ---- */

static void timer_place(struct berth_loop *loop, size_t position, struct berth_timer *timer)
{
    loop->heap[position] = timer;
    timer->position = position;
}

static void timer_rise(struct berth_loop *loop, struct berth_timer *timer, size_t position)
{
    for (; position > 1 && loop->heap[position / 2]->due > timer->due; position /= 2)
        timer_place(loop, position, loop->heap[position / 2]);
    timer_place(loop, position, timer);
}

static void timer_sink(struct berth_loop *loop, struct berth_timer *timer, size_t position)
{
    for (size_t child; (child = 2 * position) <= loop->timers; position = child) {
        if (child < loop->timers && loop->heap[child + 1]->due < loop->heap[child]->due)
            child++;
        if (loop->heap[child]->due >= timer->due)
            break;
        timer_place(loop, position, loop->heap[child]);
    }
    timer_rise(loop, timer, position);
}

static bool timer_reserve(struct berth_loop *loop)
{
    size_t capacity = loop->capacity ? 2 * loop->capacity : 32;

    if (loop->timers + 1 < loop->capacity)
        return true;
    struct berth_timer **heap = berth_reallocarray(loop->heap, capacity, sizeof(*heap));
    if (!heap)
        return false;
    loop->heap = heap;
    loop->capacity = capacity;
    return true;
}

static void timer_take_out(struct berth_loop *loop, struct berth_timer *timer)
{
    struct berth_timer *last = loop->heap[loop->timers--];

    if (last != timer)
        timer_sink(loop, last, timer->position);
    timer->position = 0;
}

/*
 * Sets timer_fd to the earliest timer, which makes it unreadable. A removal does not come here:
 * going off once in vain costs less than a system call for each deadline that was kept.
 */
static void timers_arm(struct berth_loop *loop)
{
    struct itimerspec when = { 0 };

    loop->armed = loop->timers ? loop->heap[1]->due : BERTH_FOREVER;
    if (loop->armed < 1)
        loop->armed = 1; /* 0 would disarm it */
    if (loop->armed != BERTH_FOREVER)
        when.it_value = to_timespec(loop->armed);
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int berth_timer_add(struct berth_loop *loop, struct berth_timer *timer, int64_t due,
                    struct berth_error *error)
{
    pthread_mutex_lock(&loop->lock);
    if (!timer->position && !timer_reserve(loop)) {
        pthread_mutex_unlock(&loop->lock);
        return berth_error_nomem(error);
    }
    timer->due = due;
    timer_sink(loop, timer, timer->position ? timer->position : ++loop->timers);
    __atomic_store_n(&timer->loop, loop, __ATOMIC_RELAXED);
    if (due < loop->armed)
        timers_arm(loop);
    pthread_mutex_unlock(&loop->lock);
    return BERTH_OK;
}

void berth_timer_remove(struct berth_timer *timer)
{
    struct berth_loop *loop = __atomic_load_n(&timer->loop, __ATOMIC_RELAXED);

    if (!loop)
        return;
    pthread_mutex_lock(&loop->lock);
    do { /* again after a callback, which may have put it back */
        if (timer->position)
            timer_take_out(loop, timer);
    } while (wait_for_callback(loop, timer));
    if (loop->current != timer) /* else another thread must still be able to wait for it */
        __atomic_store_n(&timer->loop, NULL, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&loop->lock);
}

static int timers_fire(struct berth_loop *loop)
{
    int fired = 0;

    pthread_mutex_lock(&loop->lock);
    int64_t now = berth_now();
    if (loop->armed <= now) {
        /* Not more than there were: one that is always due again must not keep the rest waiting. */
        for (size_t left = loop->timers; left && loop->timers && loop->heap[1]->due <= now;
             left--) {
            struct berth_timer *timer = loop->heap[1];
            timer_take_out(loop, timer);
            callback_begin(loop, timer);
            timer->fire(timer);
            callback_end(loop);
            fired++;
        }
        timers_arm(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return fired;
}

/* ---- running ---- */

void berth_loop_wake(struct berth_loop *loop)
{
    int saved = errno;
    /* Fails only when the counter is full, and then it is readable already. */
    ssize_t written = write(loop->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    (void)written;
    errno = saved;
}

/* Waits until nobody else runs the loop. False: not before the deadline, or it was woken since. */
static bool take_turn(struct berth_loop *loop, uint64_t since, int64_t timeout_ns, int64_t deadline)
{
    struct timespec until = to_timespec(deadline);
    bool taken = false;

    pthread_mutex_lock(&loop->lock);
    if (!is_runner(loop)) {
        while (loop->running && timeout_ns > 0 && loop->woken == since)
            if (pthread_cond_timedwait(&loop->turn, &loop->lock, &until) != 0)
                break;
        if (!loop->running && (loop->woken == since || timeout_ns <= 0)) {
            loop->running = taken = true;
            loop->runner = pthread_self();
        }
    }
    pthread_mutex_unlock(&loop->lock);
    return taken;
}

/* A wake may be for any of those who wait for their turn. */
static void pass_turn(struct berth_loop *loop, bool woken)
{
    pthread_mutex_lock(&loop->lock);
    loop->running = false;
    __atomic_store_n(&loop->woken, loop->woken + woken, __ATOMIC_RELEASE);
    if (woken)
        pthread_cond_broadcast(&loop->turn);
    else
        pthread_cond_signal(&loop->turn);
    pthread_mutex_unlock(&loop->lock);
}

int berth_milliseconds_until(int64_t deadline)
{
    if (deadline == BERTH_FOREVER)
        return -1;
    int64_t left = deadline - berth_now();
    if (left <= 0)
        return 0;
    int64_t ms = (left - 1) / NS_PER_MS + 1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* One fetch of events. Returns how many callbacks ran. */
static int run_once(struct berth_loop *loop, int timeout_ms, bool *ret_woken)
{
    int ran = 0;
    int count = epoll_wait(loop->epoll, loop->events, BATCH, timeout_ms);

    for (int i = 0; i < count; i++) {
        uint64_t wakes;
        if (loop->events[i].data.u64 != OWN_EVENT)
            ran += source_ready(loop, &loop->events[i]);
        else if (read(loop->wake_fd, &wakes, sizeof(wakes)) > 0)
            *ret_woken = true;
        else
            ran += timers_fire(loop);
    }
    return ran;
}

uint64_t berth_loop_woken(const struct berth_loop *loop)
{
    return __atomic_load_n(&loop->woken, __ATOMIC_ACQUIRE);
}

int berth_loop_run(struct berth_loop *loop, int64_t timeout_ns)
{
    return berth_loop_run_since(loop, berth_loop_woken(loop), timeout_ns);
}

int berth_loop_run_since(struct berth_loop *loop, uint64_t since, int64_t timeout_ns)
{
    int64_t now = timeout_ns > 0 ? berth_now() : 0;
    int64_t deadline = timeout_ns > BERTH_FOREVER - now ? BERTH_FOREVER : now + timeout_ns;
    bool woken = false;
    int ran = 0, timeout_ms;

    if (!take_turn(loop, since, timeout_ns, deadline))
        return 0;
    do { /* a signal, or a timer that has been removed, is nothing to come back for */
        timeout_ms = timeout_ns > 0 ? berth_milliseconds_until(deadline) : 0;
        ran = run_once(loop, timeout_ms, &woken);
    } while (ran == 0 && !woken && timeout_ms != 0);
    pass_turn(loop, woken);
    return ran;
}
