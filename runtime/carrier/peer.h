/* SPDX-License-Identifier: MIT */
/*
 * One end of the connection between a host and a worker. Both ends are alike: each can make
 * requests of the other, and each waits for its own.
 *
 * Nested calls. A request that is made while this thread serves one of the other end's says so
 * (`under`), and is served by the very thread there that waits for that one. So a chain of calls
 * stays one chain, in the order of a stack, and a serial module that calls itself by way of others
 * is found out. A request under nothing is served by a thread of ops->submit.
 *
 * Who reads. One thread at a time: a waiting one, or, when nobody waits, the loop. So calls work in
 * a host that has no threads at all. Sending only queues and then writes what the socket takes; the
 * rest goes when the socket is ready, to whoever reads. No thread ever blocks on sending.
 *
 * Trust. Nothing that comes in is believed: size, type, head, the ids of replies and of `under`,
 * and the number of requests are checked, and ops->check sees the rest. What is wrong breaks the
 * connection off. Memory is bounded on both sides: an end may have BERTH_PEER_REQUESTS unanswered
 * requests, of eight times the largest frame together; it is refused more by itself, and broken off
 * by the other. Results that the other end does not fetch are bounded in the same way. Of several
 * results of one request no more are under way than a window has room for (base/window.h): who
 * sends them waits until the other end says that some were taken, and whichever does not keep to it
 * is broken off.
 */
#ifndef RUNTIME_CARRIER_PEER_H
#define RUNTIME_CARRIER_PEER_H

#include "runtime/base/window.h"
#include "runtime/carrier/wire.h"
#include "runtime/loop/loop.h"
#include <berth/call.h>

#define BERTH_PEER_REQUESTS 4096

struct berth_peer;

/* A request that has come in, until a thread serves it. */
struct berth_peer_work {
    struct berth_list link; /* whoever keeps it may use these two */
    bool told;
    struct berth_peer *peer;
    struct berth_received *request;
};
/* They end it. To refuse does not block. */
void berth_peer_work_run(void *work);
void berth_peer_work_refuse(struct berth_peer_work *work, int code, const char *text);

struct berth_peer_ops {
    /*
     * A request or a note: NULL, or what is wrong with it, in words for "a malformed frame: …".
     * Must not block: it runs on the thread that reads.
     */
    const char *(*check)(void *user, const struct berth_received *frame);
    /*
     * Serves a request: appends the result to the buffer, or fills *error and returns its code; or
     * BERTH_PEER_LATER, after berth_peer_later_begin. May block. under: the ctx of the
     * berth_peer_call that waits on this thread, or NULL.
     */
    int (*serve)(void *user, berth_ctx *under, struct berth_received *request,
                 struct berth_buffer *result, struct berth_error *error);
    /* A note. Must not block. Notes come in the order of sending, and before a later reply. */
    void (*note)(void *user, struct berth_received *note);
    /* Has it run or refused, once, on a thread that may block; or fails, and does not. */
    int (*submit)(void *user, struct berth_peer_work *work);
    /*
     * The calling thread waits for a reply, and has done so for a while; then, that it waits no
     * more. NULL: nobody wants to know.
     */
    void (*waits)(void *user, bool waits);
    /*
     * The same, with ctx: does what there is to do meanwhile, until then or once something was
     * done; the loop reads then. false, or NULL: the thread is to wait.
     */
    bool (*work)(void *user, berth_ctx *ctx, uint64_t since, int64_t until);
    /* The thread that berth_peer_hold has found waits for the reply to this request no more. */
    void (*left)(void *user, uint64_t id);
    /*
     * The connection has ended, and all calls with it. Once, unless berth_peer_close was first.
     * Must not block. wrong: what the other end did ("sent a malformed frame: an unknown type"), or
     * NULL: it is only gone.
     */
    void (*ended)(void *user, const char *wrong);
};

struct berth_peer_setup {
    struct berth_loop *loop;
    int life; /* a pidfd of the other end's process, kept open until berth_peer_close; or -1 */
    size_t max_message;
    struct berth_window several; /* results of one request that may be under way */
    unsigned accepts;            /* BERTH_WIRE_BIT of the requests and notes that may come */
    const struct berth_peer_ops *ops;
    void *user;
};

/*
 * Takes the socket (a non-blocking stream), also on failure. max_message is the same at both ends.
 * Nothing comes before open, so that ops may rely on what is done with the peer until then.
 */
int berth_peer_new(const struct berth_peer_setup *setup, int socket, struct berth_peer **ret_peer,
                   struct berth_error *error);
int berth_peer_open(struct berth_peer *peer, struct berth_error *error);
/*
 * For an end that learns these from the other: before the first call, note or large result.
 */
void berth_peer_set_max_message(struct berth_peer *peer, size_t max_message);
void berth_peer_set_several(struct berth_peer *peer, const struct berth_window *several);
/*
 * Ends the connection, if it has not ended, and waits for callbacks that run on other threads:
 * none of ops runs after this, but submitted work that has not begun may still come, and does
 * nothing. No berth_peer_call may be waiting. May be called inside a callback, on its thread.
 */
void berth_peer_close(struct berth_peer *peer);
/* The same, but waits until the deadline at most. False: callbacks still run. */
bool berth_peer_close_until(struct berth_peer *peer, int64_t deadline);
/* After berth_peer_close, or without open; NULL is fine. */
void berth_peer_unref(struct berth_peer *peer);

/* An empty buffer for the data of a frame: it has room for the head, and the right limit. */
void berth_peer_begin(const struct berth_peer *peer, struct berth_buffer *buffer);

/*
 * Makes a request (type, kind and index of wire; the buffer is taken) and waits for its reply. ctx
 * is what ops->serve gets for requests that come back under this one. Returns the reply's code,
 * with its words in *error; for BERTH_OK *ret_reply is the caller's to berth_received_free(). A
 * reply that comes after the deadline is dropped, and counted.
 */
int berth_peer_call(struct berth_peer *peer, const struct berth_wire *wire,
                    struct berth_buffer *buffer, berth_ctx *ctx, int64_t deadline,
                    struct berth_received **ret_reply, struct berth_error *error);
/*
 * The same for what the other end must be through with before the next request, as it is to be done
 * in order: waits for the reply, which comes soon after the deadline, or after a cancel of the call
 * that this is made under. Both are the other end's to see to.
 */
int berth_peer_see_through(struct berth_peer *peer, const struct berth_wire *wire,
                           struct berth_buffer *buffer, berth_ctx *ctx, int64_t deadline,
                           struct berth_received **ret_reply, struct berth_error *error);
/*
 * The same as berth_peer_call without waiting. `came` is called once with more false, unless this
 * fails; before that for each of several results. code: as berth_peer_call's. The frame (NULL:
 * none) stays the peer's, also when it is broken off from in there. On the thread that reads: must
 * not block.
 */
struct berth_peer_answer {
    void (*came)(void *user, bool more, int code, const struct berth_received *reply,
                 const struct berth_error *error);
    /*
     * What requests of the other end's that are made under this one belong to: held for each, with
     * a lock of the peer's, and let go of without it. NULL: nothing.
     */
    void *(*hold)(void *user);
    void (*release)(void *held);
    void *user;
};
int berth_peer_start(struct berth_peer *peer, const struct berth_wire *wire,
                     struct berth_buffer *buffer, int64_t deadline,
                     const struct berth_peer_answer *answer, uint64_t *ret_id,
                     struct berth_error *error);
/* Nobody wants the answer of a started request any more; it still comes. Does not block. */
void berth_peer_cancel(struct berth_peer *peer, uint64_t id);
/*
 * Of several results of a started request, so many have been taken (bytes: of their frames' data);
 * none: nobody takes any more; taker: the chain that takes them, as in wire.h. False: the other end
 * could not be told, and may wait for it.
 */
bool berth_peer_taken(struct berth_peer *peer, uint64_t id, const struct berth_window *taken,
                      bool none, uint32_t taker);

/* A request of the other end's that is answered when it likes. Zero before begin. */
struct berth_peer_later {
    struct berth_list link;
    struct berth_peer *peer;
    uint64_t id;
    size_t cost;
    uint32_t taker; /* of several results: the other end's chain (wire.h), the last told */
    bool lost;      /* one of them */
    struct berth_window sent; /* those that have not been taken */
    void *what;               /* the owner's: it is wanted no more. `hold` is called with a lock */
    void (*hold)(void *what); /* of the peer's, and `cancel` without it; that lets go again. Not */
    void (*cancel)(void *what); /* after end */
    /* In the same way: some of several results were taken, or nobody takes any more. Or NULL. */
    void (*taken)(void *what, bool none);
};
/* In ops->serve. Each needs one reply, which is its end, or an end. */
void berth_peer_later_begin(struct berth_peer *peer, struct berth_peer_later *later,
                            struct berth_received *request);
/*
 * One of several results (taken). If it is lost, the reply says so: see there. False: there is no
 * room for it, until `taken`.
 */
bool berth_peer_later_more(struct berth_peer_later *later, struct berth_buffer *buffer);
/*
 * The result, or with a code *error. The buffer, of berth_peer_begin, is taken. What was lost
 * before it, as the other end does not fetch or there was no memory, is an error, too.
 */
void berth_peer_later_reply(struct berth_peer_later *later, int code, struct berth_buffer *result,
                            const struct berth_error *error);
/* ops->serve replies after all. */
void berth_peer_later_end(struct berth_peer_later *later);

#define BERTH_PEER_LATER   (-3) /* of ops->serve */
#define BERTH_PEER_ENDED   (-1) /* no reply: the connection has ended. *error is untouched */
#define BERTH_PEER_EXPIRED (-2) /* no reply before the deadline. *error is untouched */
/* The call that ctx runs was cancelled; the other end is told. *error is untouched. */
#define BERTH_PEER_CANCELLED (-4)

/* Makes a note (the buffer is taken), to be sent or freed; NULL: there is no memory. */
struct berth_outgoing *berth_peer_make(const struct berth_wire *wire, struct berth_buffer *buffer);
/* Queues it (taken). False: the other end does not fetch. */
bool berth_peer_send(struct berth_peer *peer, struct berth_outgoing *outgoing);
/* Both. */
bool berth_peer_note(struct berth_peer *peer, const struct berth_wire *wire,
                     struct berth_buffer *buffer);

/* What was queued still goes; then the other end sees the end. Replies still come. */
void berth_peer_finish(struct berth_peer *peer);
/* The other end did something wrong that only the caller could see. Nothing when it has ended. */
void berth_peer_break(struct berth_peer *peer, const char *wrong);

/* The other end's request that the calling thread serves, innermost; 0: none. */
uint64_t berth_peer_serves(struct berth_peer *peer);
/*
 * In a holder of the finder's (call/ring.h): the chains of the threads that serve requests which
 * were made inside of a gate (wire.h), or are to, once they are through with what they wait for on
 * top of ours, that it is under; the i-th of them; 0: there are no more.
 */
uint32_t berth_peer_inside(struct berth_peer *peer, size_t i);
/* The chain of the thread that serves what this chain of the other end's waits for; 0: none. */
uint32_t berth_peer_serving(struct berth_peer *peer, uint32_t theirs);
/* Its taker. */
uint32_t berth_peer_later_taker(const struct berth_peer_later *later);
/* What requests belong to that are made under a started one of ours, held (see answer); or NULL. */
void *berth_peer_started_find(struct berth_peer *peer, uint64_t id);
/* What answers this request of the other end's later, held as by `hold`; NULL: nothing does. */
void *berth_peer_later_find(struct berth_peer *peer, uint64_t id);
/*
 * In ops->note: a request of ours that has no reply. *ret_ctx is what waits for that, which does
 * not go on before berth_peer_release, nor without ops->left; NULL: nobody waits. *ret_kind is the
 * request's. False: there is none.
 */
bool berth_peer_hold(struct berth_peer *peer, uint64_t id, berth_ctx **ret_ctx, uint16_t *ret_kind);
void berth_peer_release(struct berth_peer *peer);

/* How many replies came after their deadline. */
uint64_t berth_peer_late(struct berth_peer *peer);

#endif
