/* SPDX-License-Identifier: MIT */
/*
 * The one place where a host waits: an epoll set with descriptors and timers. Its own descriptor can be polled by an application
 * instead. One thread at a time runs it; any thread may add, change and remove. Callbacks run on the running thread without any lock of the loop, and
 * must be short: they hand work on, they never run a module's code.
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

struct berth_source { /* embedded in its owner; zero before use */
    int fd;
    uint32_t events; /* EPOLLIN …, with EPOLLONESHOT: to be armed again by berth_source_modify */
    void (*ready)(struct berth_source *source, uint32_t events);
    void *owner;
    struct berth_loop *loop; /* NULL while it is in none */
};

struct berth_timer { /* embedded in its owner; zero before use */
    int64_t due;
    void (*fire)(struct berth_timer *timer); /* it has left the loop before: may be added again there */
    void *owner;
    struct berth_loop *loop; /* NULL while it is in none */
    size_t position;
};

int berth_loop_new(struct berth_loop **ret_loop, struct berth_error *error);
void berth_loop_free(struct berth_loop *loop); /* sources and timers must be out */
/* Readable when berth_loop_run has something to do (a due timer included, through a timerfd). */
int berth_loop_fd(const struct berth_loop *loop);

int berth_source_add(struct berth_loop *loop, struct berth_source *source, struct berth_error *error);
int berth_source_modify(struct berth_source *source, uint32_t events);
/* Its callback does not run after this returns (it waits for one that runs, unless called from it). */
void berth_source_remove(struct berth_source *source);

/* Adds, or moves one that is in already. Fails only for memory. */
int berth_timer_add(struct berth_loop *loop, struct berth_timer *timer, int64_t due, struct berth_error *error);
void berth_timer_remove(struct berth_timer *timer); /* as berth_source_remove */

/* Makes a berth_loop_run that waits return. Any thread; async-signal-safe. */
void berth_loop_wake(struct berth_loop *loop);
/*
 * Runs what is due, waiting at most timeout_ns for something. Returns how many callbacks ran; 0 at once when another thread is running
 * the loop and timeout_ns is 0 (else it waits for its turn).
 */
int berth_loop_run(struct berth_loop *loop, int64_t timeout_ns);

#endif
