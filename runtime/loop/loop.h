/* SPDX-License-Identifier: MIT */
/*
 * The one place where a host waits: an epoll set with descriptors and timers. Its own descriptor
 * can be polled by an application instead. One thread at a time runs it; any thread may add, change
 * and remove. Callbacks run on the running thread without any lock of the loop, and must be short:
 * they hand work on, they never run a module's code.
 *
 * A source or a timer is its owner's: apart from its own callback, one thread at a time handles it,
 * and not after the loop's end.
 */
#ifndef RUNTIME_LOOP_LOOP_H
#define RUNTIME_LOOP_LOOP_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct berth_loop;

/* CLOCK_MONOTONIC, in nanoseconds. */
int64_t berth_now(void);
#define BERTH_FOREVER INT64_MAX
/* For poll and epoll_wait: rounded up, so that they do not come back just before the deadline. */
int berth_milliseconds_until(int64_t deadline);

struct berth_source { /* embedded in its owner; zero before use */
    int fd;
    uint32_t events; /* EPOLLIN …, with EPOLLONESHOT: to be armed again by berth_source_modify */
    void (*ready)(struct berth_source *source, uint32_t events);
    void *owner;
    struct berth_loop *loop; /* the loop's: NULL before the first add */
    uint64_t id;             /* the loop's: 0 while it is not in */
};

struct berth_timer { /* embedded in its owner; zero before use */
    int64_t due;
    void (*fire)(struct berth_timer *timer); /* once; may be added again there, or freed */
    void *owner;
    struct berth_loop *loop; /* the loop's: NULL before the first add */
    size_t position;         /* the loop's: 0 while it is not in */
};

int berth_loop_new(struct berth_loop **ret_loop, struct berth_error *error);
void berth_loop_free(struct berth_loop *loop); /* sources and timers must be out; NULL is fine */
/* Readable when berth_loop_run has something to do (a due timer included, through a timerfd). */
int berth_loop_fd(const struct berth_loop *loop);

/* Fails for memory, and with failed_precondition for what epoll does not take (a regular file). */
int berth_source_add(struct berth_loop *loop, struct berth_source *source,
                     struct berth_error *error);
/* Any thread, without waiting. Nothing happens to a source that is not in. */
void berth_source_modify(struct berth_source *source, uint32_t events);
/*
 * To be called before its fd is closed; nothing happens to a source that is not in. Its callback
 * does not run after this returns: it waits for one that runs, unless called from it, so it must
 * not be called with a lock that the callback takes. From within it, the source may be freed
 * afterwards.
 */
void berth_source_remove(struct berth_source *source);

/* Adds, or moves one that is in already. Fails only for memory, never when it is in already. */
int berth_timer_add(struct berth_loop *loop, struct berth_timer *timer, int64_t due,
                    struct berth_error *error);
void berth_timer_remove(struct berth_timer *timer); /* as berth_source_remove */

/*
 * Makes those berth_loop_run that wait return, else the next one; several are as good as one. Any
 * thread; async-signal-safe.
 */
void berth_loop_wake(struct berth_loop *loop);
/*
 * Runs what is due, waiting at most timeout_ns for something (BERTH_FOREVER: without limit).
 * Returns how many callbacks ran; 0 at once when another thread is running the loop and timeout_ns
 * is 0 (else it waits for its turn), and inside a callback of the loop.
 */
int berth_loop_run(struct berth_loop *loop, int64_t timeout_ns);
/*
 * The same for one of several threads that each wait for something of their own: who asks woken,
 * looks, and then runs it since that, has not slept through a wake in between.
 */
uint64_t berth_loop_woken(const struct berth_loop *loop);
int berth_loop_run_since(struct berth_loop *loop, uint64_t since, int64_t timeout_ns);

#endif
