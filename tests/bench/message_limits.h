/* SPDX-License-Identifier: MIT */
/*
 * Messages between two threads without Berth: the least that can be done for them, and what other
 * libraries make of it. Each function is a bench_fn: it passes n messages of 64 bytes, if nothing
 * else is said, with this thread as one side and a thread of its own as the other, and returns
 * nanoseconds. Its user is where both are.
 */
#ifndef BERTH_TESTS_BENCH_MESSAGE_LIMITS_H
#define BERTH_TESTS_BENCH_MESSAGE_LIMITS_H

#include <stddef.h>

struct message_place {
    int here, there; /* as bench_place takes it */
};

#define MESSAGE_SIZE 64

/* Of payloads, one word of each line of the cache is read. */
static inline void message_touch(const void *payload, size_t size)
{
    const volatile char *bytes = payload;

    for (size_t i = 0; i < size; i += 64)
        (void)bytes[i];
}

/* own(n) on this thread, other(n) on one of its own; from when both are there to when both end. */
double message_pair(const struct message_place *place, void (*own)(long n), void (*other)(long n),
                    long n);

/* Round trips. */
double limit_spin(void *place, long n);  /* look, pause, look again */
double limit_futex(void *place, long n); /* sleep, and be woken */
/* One way: a ring of 1,024 places for one writer and one reader, which look, pause or yield. */
double limit_ring(void *place, long n);
/*
 * The same with what a mailbox cannot do without: a lock, as there may be several senders, bounds
 * of messages and of bytes, a deadline, a handler that is called, a frame that says so, two counts.
 */
double limit_box(void *place, long n);
/* One thread: a buffer of 4 KiB is written, passed to 8 rings by its address, and read there. */
double limit_fan(void *place, long n);

/* Pairs of sockets that talk inproc. NULL, or why they cannot be had. */
const char *peer_zeromq_find(void);
const char *peer_nng_find(void);
double peer_zeromq_trip(void *place, long n);
double peer_nng_trip(void *place, long n);
double peer_zeromq_flow(void *place, long n);
double peer_nng_flow(void *place, long n);

#endif
