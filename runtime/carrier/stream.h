/* SPDX-License-Identifier: MIT */
/*
 * Frames in and out of a non-blocking stream socket. Nothing here blocks; the peer decides who
 * waits, and keeps its lock: the reading half belongs to whoever reads, the rest to whoever holds
 * the lock.
 */
#ifndef RUNTIME_CARRIER_STREAM_H
#define RUNTIME_CARRIER_STREAM_H

#include <stdbool.h>

#include "runtime/base/list.h"
#include "runtime/carrier/wire.h"

/* A frame on its way out: data has the head in front. */
struct berth_outgoing {
    struct berth_list link;
    char *data;
    size_t size, sent;
    void *request; /* the peer's: what is waited for with it; NULL for others */
    size_t owed;   /* the peer's: a reply settles as much */
    bool reserved; /* the peer's, which takes it back once it has gone */
    size_t apart;  /* the peer's: of size, if something else bounds it */
};

struct berth_stream {
    int socket;
    int epoll; /* of the socket and life: what the one who waits waits for */
    int life;  /* borrowed: readable when the other end's process has ended; -1: not watched */
    int poke;  /* an eventfd, while somebody who waits is being woken; else -1 */
    unsigned accepts;
    size_t max_size; /* of a frame's data */

    struct berth_list queue; /* of berth_outgoing */
    size_t queued;           /* bytes */
    bool watches_out, finishing, ended_out;

    /* The reader's: bytes [begin, end) of buffer, and the frame whose data is coming in. */
    struct berth_received *incoming;
    struct berth_received *spare; /* what `incoming` is while there is no memory for another */
    size_t filled;
    size_t begin, end;
    unsigned char buffer[16384];
};

/* Takes the socket when it succeeds. life may be -1. */
int berth_stream_init(struct berth_stream *stream, int socket, int life, unsigned accepts,
                      size_t max_size, struct berth_error *error);
void berth_stream_deinit(struct berth_stream *stream);

/*
 * Waits until there is something to do, as a bit set: EPOLLIN, to read; EPOLLOUT, to flush. When
 * the other process has ended there is something to read as long as there is, and then the end,
 * even if another process holds its socket open.
 */
uint32_t berth_stream_wait(struct berth_stream *stream, int timeout_ms);
/* Whoever waits, or is about to, returns at once. Any thread, with the lock. */
void berth_stream_poke(struct berth_stream *stream);
/* Nobody waits: what that took is given back. With the lock. */
void berth_stream_unpoke(struct berth_stream *stream);

/* Puts it into the queue (taken) and writes. */
void berth_stream_send(struct berth_stream *stream, struct berth_outgoing *outgoing,
                       struct berth_list *sent);
/*
 * Writes what the socket takes. What has gone as a whole is appended to sent, for the caller to
 * free.
 */
void berth_stream_flush(struct berth_stream *stream, struct berth_list *sent);
/* Takes a frame back of which nothing has been sent. False: too late. */
bool berth_stream_withdraw(struct berth_stream *stream, struct berth_outgoing *outgoing);
void berth_outgoing_free(struct berth_outgoing *outgoing);

/* One read. > 0: there is something; 0: nothing now; < 0: the other end has ended. */
int berth_stream_fill(struct berth_stream *stream);
/* The next whole frame. NULL: none yet, or *ret_wrong says what is wrong with it. */
struct berth_received *berth_stream_next(struct berth_stream *stream, const char **ret_wrong);

#endif
