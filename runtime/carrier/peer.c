/* SPDX-License-Identifier: MIT */
#include "runtime/carrier/peer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/idmap.h"
#include "runtime/base/memory.h"
#include "runtime/base/spread.h"
#include "runtime/base/text.h"
#include "runtime/call/interrupt.h"
#include "runtime/call/ring.h"
#include "runtime/carrier/stream.h"

#define FRAMES_QUEUED 8  /* of the largest size: what one end may have under way */
#define TURNS         16 /* reads in one callback of the loop, which has others to serve */

enum pending_state {
    WAITING,
    ANSWERED,
    BROKEN_OFF,
    STARTED,  /* nobody waits: it is told to `answer` */
    GIVEN_UP, /* the deadline came first: nobody waits, but a reply may still come */
};

/* A request of ours that has no reply yet. */
struct pending {
    uint64_t id;
    size_t cost;
    uint16_t kind;
    enum pending_state state;
    berth_ctx *ctx;
    struct berth_peer_answer answer; /* STARTED */
    struct berth_window several;     /* results that have come, and have not been given back */
    bool telling;                    /* the reader tells it of one of them */
    struct berth_received *reply;
    struct berth_outgoing *outgoing; /* while all of it is queued */
    struct berth_list inbox;         /* requests that were made under this one */
    struct berth_list idle;          /* in peer->idle while its thread waits for somebody else */
    pthread_cond_t changed;
    bool reads; /* its thread waits for the socket now, */
    bool works; /* or in the loop */
    bool found; /* by berth_peer_hold: its thread says when it goes on */
};

/* A request of the other end's that a thread is serving now. */
struct serving {
    struct berth_list link;
    pthread_t thread;
    uint64_t id;
    uint32_t chain, theirs; /* theirs: the chain at the other end that waits for it, or 0 */
    bool inside;
};

struct berth_peer {
    struct berth_loop *loop;
    const struct berth_peer_ops *ops;
    void *user;
    size_t max_message, window;
    struct berth_window several;

    pthread_mutex_t lock; /* what follows; never held while ops run */
    size_t refs;
    bool ended;
    struct berth_idmap pendings;
    size_t asked;            /* bytes of them */
    size_t owed, owed_count; /* of requests that have come, until their reply has gone */
    size_t apart;            /* of what is queued: several results of requests */
    struct berth_list serving;
    struct berth_spread submitted; /* requests that have come, and may be cancelled; by their ids */
    struct berth_spread laters;    /* and so are these */
    size_t replying; /* threads that answer what came before; close waits for these, too */
    struct berth_list idle;
    bool reading;
    pthread_t reader;
    const struct pending *held; /* by the reader: its thread must not go on yet */
    bool armed;                 /* the loop looks at the socket */
    pthread_cond_t quiet;
    uint64_t late;
    struct berth_outgoing *reserve; /* a reply for want of memory; NULL: it is on its way */
    struct berth_source source;
    struct berth_stream stream;
};

static void finish_serving(struct berth_peer *peer, struct berth_received *request, int code,
                           struct berth_buffer *result, const struct berth_error *error);

static struct berth_outgoing *make_outgoing(struct berth_buffer *buffer);

/* What the reserve says instead of a result. */
#define NO_MEMORY "who serves it is out of memory"

static void peer_ref(struct berth_peer *peer)
{
    __atomic_fetch_add(&peer->refs, 1, __ATOMIC_RELAXED);
}

static struct pending *pending_new(berth_ctx *ctx)
{
    struct pending *pending = berth_calloc(1, sizeof(*pending));

    if (!pending)
        return NULL;
    pending->ctx = ctx;
    pthread_cond_init(&pending->changed, NULL);
    berth_list_init(&pending->inbox);
    berth_list_init(&pending->idle);
    return pending;
}

static void pending_free(struct pending *pending)
{
    pthread_cond_destroy(&pending->changed);
    berth_free(pending);
}

/* ---- life ---- */

static void on_ready(struct berth_source *source, uint32_t events);

static bool make_reserve(struct berth_peer *peer)
{
    struct berth_buffer buffer;

    berth_peer_begin(peer, &buffer);
    berth_buffer_text(&buffer, NO_MEMORY);
    peer->reserve = make_outgoing(&buffer);
    if (peer->reserve)
        peer->reserve->reserved = true;
    return peer->reserve;
}

int berth_peer_new(const struct berth_peer_setup *setup, int socket, struct berth_peer **ret_peer,
                   struct berth_error *error)
{
    struct berth_peer *peer = berth_calloc(1, sizeof(*peer));

    if (!peer) {
        close(socket);
        return berth_error_nomem(error);
    }
    int code = berth_stream_init(&peer->stream, socket, setup->life, setup->accepts,
                                 setup->max_message + BERTH_WIRE_EXTRA, error);
    if (code != BERTH_OK) {
        close(socket);
        berth_free(peer);
        return code;
    }
    berth_peer_set_max_message(peer, setup->max_message);
    if (!make_reserve(peer)) {
        berth_stream_deinit(&peer->stream);
        berth_free(peer);
        return berth_error_nomem(error);
    }
    peer->refs = 1;
    peer->loop = setup->loop;
    peer->ops = setup->ops;
    peer->user = setup->user;
    peer->several = setup->several;
    pthread_mutex_init(&peer->lock, NULL);
    pthread_cond_init(&peer->quiet, NULL);
    berth_idmap_init(&peer->pendings);
    berth_list_init(&peer->serving);
    berth_spread_init(&peer->submitted);
    berth_spread_init(&peer->laters);
    berth_list_init(&peer->idle);
    peer->armed = true;
    peer->source = (struct berth_source){
        .fd = peer->stream.epoll,
        .events = EPOLLIN | EPOLLONESHOT,
        .ready = on_ready,
        .owner = peer,
    };
    *ret_peer = peer;
    return BERTH_OK;
}

int berth_peer_open(struct berth_peer *peer, struct berth_error *error)
{
    return berth_source_add(peer->loop, &peer->source, error);
}

void berth_peer_set_max_message(struct berth_peer *peer, size_t max_message)
{
    peer->max_message = max_message;
    peer->window = FRAMES_QUEUED * (BERTH_WIRE_HEAD + BERTH_WIRE_EXTRA + max_message);
}

void berth_peer_set_several(struct berth_peer *peer, const struct berth_window *several)
{
    peer->several = *several;
}

void berth_peer_unref(struct berth_peer *peer)
{
    if (!peer || __atomic_sub_fetch(&peer->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    uint32_t position = 0;
    for (struct pending *left; (left = berth_idmap_next(&peer->pendings, &position, NULL));)
        pending_free(left);
    berth_idmap_deinit(&peer->pendings);
    berth_stream_deinit(&peer->stream);
    if (peer->reserve)
        berth_outgoing_free(peer->reserve);
    pthread_cond_destroy(&peer->quiet);
    pthread_mutex_destroy(&peer->lock);
    berth_free(peer);
}

/* ---- requests that are answered later ---- */

/* One that nobody serves yet, or answers later, or NULL. With the lock held. */
static struct berth_received *submitted_find(struct berth_peer *peer, uint64_t id)
{
    berth_list_each(berth_spread_list(&peer->submitted, id), link) {
        struct berth_received *request = berth_container(link, struct berth_received, link);
        if (request->wire.id == id)
            return request;
    }
    return NULL;
}

static void cancel_submitted(struct berth_peer *peer, uint64_t id)
{
    struct berth_received *request = submitted_find(peer, id);

    if (request)
        request->cancelled = true;
}

/* With the lock held, and NULL for none, as the next one. */
static struct berth_peer_later *later_any(struct berth_peer *peer)
{
    for (size_t i = 0; i < BERTH_SPREAD; i++)
        if (!berth_list_empty(&peer->laters.lists[i]))
            return berth_container(peer->laters.lists[i].next, struct berth_peer_later, link);
    return NULL;
}

static struct berth_peer_later *later_find(struct berth_peer *peer, uint64_t id)
{
    berth_list_each(berth_spread_list(&peer->laters, id), link) {
        struct berth_peer_later *later = berth_container(link, struct berth_peer_later, link);
        if (later->id == id)
            return later;
    }
    return NULL;
}

/*
 * One of the other end's that is wanted no more, held; 0: any. NULL: nobody serves it. It is in no
 * list after that.
 */
static void *later_take(struct berth_peer *peer, uint64_t id, void (**ret_cancel)(void *what))
{
    void *what = NULL;

    pthread_mutex_lock(&peer->lock);
    struct berth_peer_later *later = id ? later_find(peer, id) : later_any(peer);
    if (later) {
        berth_list_remove(&later->link);
        what = later->what;
        *ret_cancel = later->cancel;
        later->hold(what);
    } else if (id) {
        cancel_submitted(peer, id);
    }
    pthread_mutex_unlock(&peer->lock);
    return what;
}

void *berth_peer_later_find(struct berth_peer *peer, uint64_t id)
{
    void *what = NULL;

    pthread_mutex_lock(&peer->lock);
    struct berth_peer_later *later = later_find(peer, id);
    if (later) {
        what = later->what;
        later->hold(what);
    }
    pthread_mutex_unlock(&peer->lock);
    return what;
}

uint32_t berth_peer_later_taker(const struct berth_peer_later *later)
{
    pthread_mutex_lock(&later->peer->lock);
    uint32_t taker = later->taker;
    pthread_mutex_unlock(&later->peer->lock);
    return taker;
}

void berth_peer_later_begin(struct berth_peer *peer, struct berth_peer_later *later,
                            struct berth_received *request)
{
    later->peer = peer;
    later->id = request->wire.id;
    later->cost = BERTH_WIRE_HEAD + request->wire.size;
    berth_list_init(&later->link);
    peer_ref(peer);
    pthread_mutex_lock(&peer->lock);
    berth_list_remove(&request->link);
    later->taker = request->taker;
    bool over = request->cancelled || peer->ended;
    bool none = !over && request->none && later->taken;
    void (*cancel)(void *what) = later->cancel; /* once it is in the list, it may be answered and */
    void (*taken)(void *what, bool none) = later->taken; /* gone as soon as the lock is given up */
    void *what = later->what;
    if (over || none)
        later->hold(what);
    if (!over)
        berth_list_append(berth_spread_list(&peer->laters, later->id), &later->link);
    pthread_mutex_unlock(&peer->lock);
    if (over)
        cancel(what);
    else if (none)
        taken(what, true);
}

void berth_peer_later_end(struct berth_peer_later *later)
{
    struct berth_peer *peer = later->peer;

    pthread_mutex_lock(&peer->lock);
    berth_list_remove(&later->link);
    pthread_mutex_unlock(&peer->lock);
    berth_peer_unref(peer);
}

/* Its thread is to look. With the lock held. */
static void wake(const struct berth_peer *peer, struct pending *pending)
{
    pthread_cond_signal(&pending->changed);
    if (pending->works)
        berth_loop_wake(peer->loop);
}

/*
 * Nothing comes or goes any more; whoever waits is told, and what has been started is put into the
 * list, for tell_started. With the lock held.
 */
static void end_locked(struct berth_peer *peer, struct berth_list *started)
{
    uint32_t position = 0;
    uint64_t id;

    berth_list_init(started);
    peer->ended = true;
    for (struct pending *pending; (pending = berth_idmap_next(&peer->pendings, &position, &id));) {
        berth_idmap_remove(&peer->pendings, id);
        if (pending->outgoing)
            pending->outgoing->request = NULL;
        if (pending->state == GIVEN_UP) {
            pending_free(pending);
        } else if (pending->state == STARTED && pending->telling) {
            pending->state = BROKEN_OFF; /* the reader sees to it */
        } else if (pending->state == STARTED) {
            berth_list_append(started, &pending->idle);
        } else {
            pending->state = BROKEN_OFF;
            wake(peer, pending);
        }
    }
}

/* The requests that were started have no answer; those of the other end are wanted no more. */
static void tell_started(struct berth_peer *peer, struct berth_list *started)
{
    void (*cancel)(void *what);
    void *what;

    berth_list_each_safe(started, link) {
        struct pending *pending = berth_container(link, struct pending, idle);
        berth_list_remove(link);
        pending->answer.came(pending->answer.user, false, BERTH_PEER_ENDED, NULL, NULL);
        pending_free(pending);
    }
    while ((what = later_take(peer, 0, &cancel)))
        cancel(what);
}

/* By the reader, or by a thread that serves: berth_peer_close waits for those. */
static void end(struct berth_peer *peer, const char *wrong)
{
    struct berth_list started;

    pthread_mutex_lock(&peer->lock);
    bool was_ended = peer->ended;
    if (!was_ended)
        end_locked(peer, &started);
    pthread_mutex_unlock(&peer->lock);
    if (was_ended)
        return;
    tell_started(peer, &started);
    peer->ops->ended(peer->user, wrong);
    shutdown(peer->stream.socket, SHUT_RDWR); /* a worker may exit of that: why is known before */
}

/* Whether a callback runs on another thread. With the lock held. */
static bool others_inside(struct berth_peer *peer)
{
    pthread_t self = pthread_self();

    berth_list_each(&peer->serving, link)
        if (!pthread_equal(berth_container(link, struct serving, link)->thread, self))
            return true;
    return peer->replying || (peer->reading && !pthread_equal(peer->reader, self));
}

bool berth_peer_close_until(struct berth_peer *peer, int64_t deadline)
{
    struct timespec until = { deadline / 1000000000, deadline % 1000000000 };
    struct berth_list started;
    int number = 0;

    pthread_mutex_lock(&peer->lock);
    bool was_ended = peer->ended;
    if (!was_ended)
        end_locked(peer, &started);
    pthread_mutex_unlock(&peer->lock);
    if (!was_ended) {
        shutdown(peer->stream.socket, SHUT_RDWR);
        tell_started(peer, &started);
    }
    berth_source_remove(&peer->source);
    pthread_mutex_lock(&peer->lock);
    while (others_inside(peer) && number != ETIMEDOUT)
        number = deadline == BERTH_FOREVER
                     ? pthread_cond_wait(&peer->quiet, &peer->lock)
                     : pthread_cond_clockwait(&peer->quiet, &peer->lock, CLOCK_MONOTONIC, &until);
    bool left = !others_inside(peer);
    pthread_mutex_unlock(&peer->lock);
    return left;
}

void berth_peer_close(struct berth_peer *peer)
{
    berth_peer_close_until(peer, BERTH_FOREVER);
}

void berth_peer_break(struct berth_peer *peer, const char *wrong)
{
    end(peer, wrong);
}

uint64_t berth_peer_late(struct berth_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    uint64_t late = peer->late;
    pthread_mutex_unlock(&peer->lock);
    return late;
}

/* ---- sending (with the lock held, but for what has no _locked) ---- */

static void settle_sent(struct berth_peer *peer, struct berth_list *sent)
{
    berth_list_each_safe(sent, link) {
        struct berth_outgoing *outgoing = berth_container(link, struct berth_outgoing, link);
        struct pending *pending = outgoing->request;
        if (pending)
            pending->outgoing = NULL;
        if (outgoing->owed) {
            peer->owed -= outgoing->owed;
            peer->owed_count--;
        }
        peer->apart -= outgoing->apart;
        if (outgoing->reserved) {
            berth_list_remove(link);
            outgoing->sent = outgoing->owed = 0;
            peer->reserve = outgoing;
        } else {
            berth_outgoing_free(outgoing);
        }
    }
}

static void flush_locked(struct berth_peer *peer)
{
    struct berth_list sent;

    berth_list_init(&sent);
    berth_stream_flush(&peer->stream, &sent);
    settle_sent(peer, &sent);
}

static void send_locked(struct berth_peer *peer, struct berth_outgoing *outgoing)
{
    struct berth_list sent;

    berth_list_init(&sent);
    berth_stream_send(&peer->stream, outgoing, &sent);
    settle_sent(peer, &sent);
}

/* What is queued, but for what a window of its own bounds. */
static size_t queued(const struct berth_peer *peer)
{
    size_t all = peer->stream.queued; /* without what has gone of the first one */

    return all > peer->apart ? all - peer->apart : 0;
}

void berth_peer_begin(const struct berth_peer *peer, struct berth_buffer *buffer)
{
    static const char head[BERTH_WIRE_HEAD];

    berth_buffer_init(buffer, BERTH_WIRE_HEAD + BERTH_WIRE_EXTRA + peer->max_message);
    berth_buffer_append(buffer, head, sizeof(head));
}

/* Makes a frame of the buffer, which is taken. */
static struct berth_outgoing *make_outgoing(struct berth_buffer *buffer)
{
    struct berth_outgoing *outgoing = berth_calloc(1, sizeof(*outgoing));

    if (outgoing)
        outgoing->data = berth_buffer_take(buffer, &outgoing->size);
    if (outgoing && outgoing->data) {
        berth_list_init(&outgoing->link);
        return outgoing;
    }
    berth_free(outgoing);
    berth_buffer_deinit(buffer);
    return NULL;
}

static void write_head(struct berth_outgoing *outgoing, struct berth_wire wire)
{
    wire.size = (uint32_t)(outgoing->size - BERTH_WIRE_HEAD);
    berth_wire_write(&wire, (unsigned char *)outgoing->data);
}

struct berth_outgoing *berth_peer_make(const struct berth_wire *wire, struct berth_buffer *buffer)
{
    struct berth_outgoing *outgoing = make_outgoing(buffer);

    if (outgoing)
        write_head(outgoing, *wire);
    return outgoing;
}

bool berth_peer_send(struct berth_peer *peer, struct berth_outgoing *outgoing)
{
    pthread_mutex_lock(&peer->lock);
    bool fits = !peer->ended && outgoing->size <= peer->window &&
                queued(peer) <= peer->window - outgoing->size;
    if (fits)
        send_locked(peer, outgoing);
    pthread_mutex_unlock(&peer->lock);
    if (!fits)
        berth_outgoing_free(outgoing);
    return fits;
}

bool berth_peer_note(struct berth_peer *peer, const struct berth_wire *wire,
                     struct berth_buffer *buffer)
{
    struct berth_outgoing *outgoing = berth_peer_make(wire, buffer);
    return outgoing && berth_peer_send(peer, outgoing);
}

void berth_peer_cancel(struct berth_peer *peer, uint64_t id)
{
    const struct berth_wire wire = { .type = BERTH_WIRE_CANCEL, .id = id };
    struct berth_buffer buffer;

    berth_peer_begin(peer, &buffer);
    berth_peer_note(peer, &wire, &buffer);
}

bool berth_peer_taken(struct berth_peer *peer, uint64_t id, const struct berth_window *taken,
                      bool none, uint32_t taker)
{
    const struct berth_wire wire = { .type = BERTH_WIRE_TAKEN,
                                     .chain = taker,
                                     .id = id,
                                     .left = (int64_t)taken->bytes,
                                     .index = (uint32_t)taken->messages,
                                     .single = none };
    struct berth_buffer buffer;

    berth_peer_begin(peer, &buffer);
    struct berth_outgoing *outgoing = berth_peer_make(&wire, &buffer);
    pthread_mutex_lock(&peer->lock);
    struct pending *pending = berth_idmap_get(&peer->pendings, id);
    bool over = !pending || pending->state != STARTED; /* as it ends */
    if (!over && outgoing)
        berth_window_give_back(&pending->several, taken);
    pthread_mutex_unlock(&peer->lock);
    if (outgoing && !over)
        return berth_peer_send(peer, outgoing);
    if (outgoing)
        berth_outgoing_free(outgoing);
    return over;
}

void berth_peer_finish(struct berth_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer->stream.finishing = true;
    if (!peer->ended && !peer->stream.watches_out)
        flush_locked(peer);
    pthread_mutex_unlock(&peer->lock);
}

/* ---- serving ---- */

/* The other end's request that this thread serves, innermost, or 0. With the lock held. */
static uint64_t innermost(const struct berth_peer *peer)
{
    pthread_t self = pthread_self();

    for (struct berth_list *link = peer->serving.previous; link != &peer->serving;
         link = link->previous) {
        struct serving *serving = berth_container(link, struct serving, link);
        if (pthread_equal(serving->thread, self))
            return serving->id;
    }
    return 0;
}

uint64_t berth_peer_serves(struct berth_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    uint64_t id = innermost(peer);
    pthread_mutex_unlock(&peer->lock);
    return id;
}

/* The i-th of the threads that serve what came from inside of a gate. With the lock held. */
static uint32_t serving_inside(const struct berth_peer *peer, size_t *i)
{
    berth_list_each(&peer->serving, link) {
        const struct serving *serving = berth_container(link, struct serving, link);
        if (serving->inside && (*i)-- == 0)
            return serving->chain;
    }
    return 0;
}

/* Something from inside of a gate is for its thread, which has to come back to it first. */
static bool is_kept_from(const struct pending *pending)
{
    if (pending->state != WAITING || !pending->works)
        return false;
    berth_list_each(&pending->inbox, link)
        if (berth_container(link, struct berth_received, link)->wire.inside)
            return berth_wait_above(pending->ctx);
    return false;
}

static uint32_t kept_inside(const struct berth_peer *peer, size_t *i)
{
    uint32_t position = 0;

    for (const struct pending *pending;
         (pending = berth_idmap_next(&peer->pendings, &position, NULL));)
        if (is_kept_from(pending) && (*i)-- == 0)
            return berth_block(pending->ctx)->chain;
    return 0;
}

uint32_t berth_peer_inside(struct berth_peer *peer, size_t i)
{
    pthread_mutex_lock(&peer->lock);
    uint32_t chain = serving_inside(peer, &i);
    if (!chain)
        chain = kept_inside(peer, &i);
    pthread_mutex_unlock(&peer->lock);
    return chain;
}

uint32_t berth_peer_serving(struct berth_peer *peer, uint32_t theirs)
{
    uint32_t chain = 0;

    pthread_mutex_lock(&peer->lock);
    berth_list_each(&peer->serving, link) {
        const struct serving *serving = berth_container(link, struct serving, link);
        if (serving->theirs == theirs)
            chain = serving->chain; /* it waits for the newest one */
    }
    pthread_mutex_unlock(&peer->lock);
    return chain;
}

static void request_free(struct berth_peer *peer, struct berth_received *request)
{
    pthread_mutex_lock(&peer->lock);
    berth_list_remove(&request->link);
    pthread_mutex_unlock(&peer->lock);
    if (request->of)
        request->release(request->of);
    berth_received_free(request);
}

static int serve_now(struct berth_peer *peer, berth_ctx *under, struct berth_received *request,
                     struct berth_buffer *result, struct berth_error *error)
{
    if (request->dropped)
        return berth_error_nomem(error);
    if (berth_now() >= request->deadline)
        return berth_error_set(error, BERTH_DEADLINE_EXCEEDED, "not begun before the deadline");
    pthread_mutex_lock(&peer->lock);
    bool cancelled = request->cancelled; /* what was sent after it may have been served */
    pthread_mutex_unlock(&peer->lock);
    if (cancelled)
        return berth_error_set(error, BERTH_CANCELLED, "cancelled before it was begun");
    if (berth_buffer_check(result, error) != BERTH_OK) /* before anything has happened */
        return BERTH_RESOURCE_EXHAUSTED;
    int code = peer->ops->serve(peer->user, under, request, result, error);
    if (code == BERTH_OK)
        code = berth_buffer_check(result, error);
    if (code != BERTH_PEER_LATER && (code < 0 || code > BERTH_UNAUTHENTICATED))
        code = berth_error_set(error, BERTH_INTERNAL, "failed with code %d, which is none", code);
    return code;
}

static uint32_t chain_that_waits(const struct berth_wire *wire)
{
    bool started = wire->type == BERTH_WIRE_CALL && wire->kind == BERTH_WIRE_STARTED;
    return started ? 0 : wire->chain;
}

/* Serves a request (taken) on this thread, and replies. */
static void serve(struct berth_peer *peer, berth_ctx *under, struct berth_received *request)
{
    struct serving serving = { .thread = pthread_self(),
                               .id = request->wire.id,
                               .chain = berth_chain_own(),
                               .theirs = chain_that_waits(&request->wire),
                               .inside = request->wire.inside };
    struct berth_error error = { .code = BERTH_OK };
    struct berth_buffer result;

    pthread_mutex_lock(&peer->lock);
    if (peer->ended) {
        pthread_mutex_unlock(&peer->lock);
        request_free(peer, request);
        return;
    }
    berth_list_append(&peer->serving, &serving.link);
    pthread_mutex_unlock(&peer->lock);

    berth_peer_begin(peer, &result);
    int code = serve_now(peer, under, request, &result, &error);
    if (code == BERTH_PEER_LATER) {
        berth_buffer_deinit(&result);
        request_free(peer, request);
    } else {
        finish_serving(peer, request, code, &result, &error);
    }

    pthread_mutex_lock(&peer->lock);
    berth_list_remove(&serving.link);
    pthread_cond_broadcast(&peer->quiet);
    pthread_mutex_unlock(&peer->lock);
}

static void refuse(struct berth_peer *peer, struct berth_received *request, int code,
                   const char *text)
{
    struct berth_error error;
    struct berth_buffer result;

    berth_error_set(&error, code, "%s", text);
    berth_peer_begin(peer, &result);
    finish_serving(peer, request, code, &result, &error);
}

/* The reply, or an error in its place when too many results lie unfetched already. */
static struct berth_outgoing *make_reply(struct berth_peer *peer, int *code,
                                         struct berth_buffer *result,
                                         const struct berth_error *error)
{
    const char *text = error->text;

    if (*code == BERTH_OK) {
        pthread_mutex_lock(&peer->lock);
        bool fits = queued(peer) + result->size <= peer->window;
        pthread_mutex_unlock(&peer->lock);
        if (fits)
            return make_outgoing(result);
        *code = BERTH_RESOURCE_EXHAUSTED;
        text = "too many results wait to be fetched";
    }
    berth_buffer_deinit(result);
    berth_peer_begin(peer, result);
    berth_buffer_text(result, text);
    return make_outgoing(result);
}

/* There is no memory for more than the code. NULL: the last one of these has not gone yet. */
static struct berth_outgoing *take_reserve(struct berth_peer *peer, bool has_result, int *code)
{
    pthread_mutex_lock(&peer->lock);
    struct berth_outgoing *outgoing = peer->reserve;
    peer->reserve = NULL;
    pthread_mutex_unlock(&peer->lock);
    if (outgoing)
        outgoing->size = BERTH_WIRE_HEAD + (has_result ? strlen(NO_MEMORY) : 0);
    if (has_result)
        *code = BERTH_RESOURCE_EXHAUSTED;
    return outgoing;
}

/* The result is taken. */
static void reply(struct berth_peer *peer, uint64_t id, size_t cost, int code,
                  struct berth_buffer *result, const struct berth_error *error)
{
    bool has_result = code == BERTH_OK && (result->failed || result->size > BERTH_WIRE_HEAD);
    struct berth_outgoing *outgoing = make_reply(peer, &code, result, error);
    if (!outgoing && !(outgoing = take_reserve(peer, has_result, &code))) {
        end(peer, "cannot be answered: there is no memory for that");
        return;
    }
    outgoing->owed = cost;
    write_head(outgoing,
               (struct berth_wire){ .type = BERTH_WIRE_REPLY, .code = (uint32_t)code, .id = id });
    pthread_mutex_lock(&peer->lock);
    if (!peer->ended) {
        send_locked(peer, outgoing);
        outgoing = NULL;
    }
    pthread_mutex_unlock(&peer->lock);
    if (outgoing)
        berth_outgoing_free(outgoing);
}

/* Replies to a request (taken, like the result). */
static void finish_serving(struct berth_peer *peer, struct berth_received *request, int code,
                           struct berth_buffer *result, const struct berth_error *error)
{
    size_t cost = BERTH_WIRE_HEAD + request->wire.size;
    uint64_t id = request->wire.id;

    request_free(peer, request);
    reply(peer, id, cost, code, result, error);
}

bool berth_peer_later_more(struct berth_peer_later *later, struct berth_buffer *buffer)
{
    const struct berth_wire wire = { .type = BERTH_WIRE_MORE, .id = later->id };
    struct berth_peer *peer = later->peer;
    struct berth_outgoing *outgoing = berth_peer_make(&wire, buffer);
    bool room = true;

    pthread_mutex_lock(&peer->lock);
    if (!outgoing) {
        later->lost = true;
    } else if (!peer->ended) {
        size_t size = outgoing->size - BERTH_WIRE_HEAD;
        room = berth_window_has_room(&later->sent, &peer->several, size);
        if (room) {
            berth_window_add(&later->sent, size);
            peer->apart += outgoing->apart = outgoing->size;
            send_locked(peer, outgoing);
            outgoing = NULL;
        }
    }
    pthread_mutex_unlock(&peer->lock);
    if (outgoing)
        berth_outgoing_free(outgoing);
    return room;
}

static void count_replying(struct berth_peer *peer, bool begins)
{
    pthread_mutex_lock(&peer->lock);
    peer->replying += begins ? 1 : SIZE_MAX;
    if (!begins)
        pthread_cond_broadcast(&peer->quiet);
    pthread_mutex_unlock(&peer->lock);
}

void berth_peer_later_reply(struct berth_peer_later *later, int code, struct berth_buffer *result,
                            const struct berth_error *error)
{
    struct berth_peer *peer = later->peer;
    uint64_t id = later->id;
    size_t cost = later->cost;
    struct berth_error lost;

    if (later->lost && code == BERTH_OK) {
        code = berth_error_set(&lost, BERTH_RESOURCE_EXHAUSTED,
                               "replies before the last one were lost: no memory or room for them");
        error = &lost;
    }
    peer_ref(peer);
    berth_peer_later_end(later);
    count_replying(peer, true); /* it may have to end the connection */
    reply(peer, id, cost, code, result, error);
    count_replying(peer, false);
    berth_peer_unref(peer);
}

void berth_peer_work_run(void *argument)
{
    struct berth_peer_work *work = argument;

    serve(work->peer, NULL, work->request);
    berth_peer_unref(work->peer);
    berth_free(work);
}

void berth_peer_work_refuse(struct berth_peer_work *work, int code, const char *text)
{
    refuse(work->peer, work->request, code, text);
    berth_peer_unref(work->peer);
    berth_free(work);
}

static void submit(struct berth_peer *peer, struct berth_received *request)
{
    struct berth_peer_work *work = berth_calloc(1, sizeof(*work));

    if (!work) {
        refuse(peer, request, BERTH_RESOURCE_EXHAUSTED, "there is no thread for it");
        return;
    }
    work->peer = peer;
    work->request = request;
    peer_ref(peer);
    int code = peer->ops->submit(peer->user, work);
    if (code != BERTH_OK)
        berth_peer_work_refuse(work, code, "there is no thread for it");
}

/* ---- what comes in: what is wrong with it, or NULL. By the reader, without the lock ---- */

/* What came, in words if it is a failure; those that there was no memory for are these. */
static int code_of(const struct berth_received *reply, struct berth_error *error)
{
    int code = (int)reply->wire.code;

    error->code = BERTH_OK;
    if (code != BERTH_OK)
        return berth_error_set(error, code, "%s",
                               reply->wire.size ? (const char *)reply->data
                                                : "there was no memory for the reason");
    return reply->dropped ? berth_error_nomem(error) : BERTH_OK;
}

/* Of a request that was started; both go. */
static void tell_answer(struct pending *pending, struct berth_received *reply)
{
    struct berth_error error;
    int code = code_of(reply, &error);

    pending->answer.came(pending->answer.user, false, code, code == BERTH_OK ? reply : NULL,
                         &error);
    pending_free(pending);
    berth_received_free(reply);
}

static void tell_broken_off(struct pending *pending)
{
    pending->answer.came(pending->answer.user, false, BERTH_PEER_ENDED, NULL, NULL);
    pending_free(pending);
}

/* One of several results: what is wrong with that, or NULL. With the lock held. */
static const char *admit_more(struct berth_peer *peer, struct pending *pending, size_t size)
{
    if (!pending || pending->outgoing)
        return "more of nothing";
    if (!berth_window_has_room(&pending->several, &peer->several, size))
        return "more results than there is room for";
    berth_window_add(&pending->several, size);
    return NULL;
}

static const char *take_more(struct berth_peer *peer, struct berth_received *more)
{
    pthread_mutex_lock(&peer->lock);
    struct pending *pending = berth_idmap_get(&peer->pendings, more->wire.id);
    const char *wrong = admit_more(peer, pending, more->wire.size);
    bool tell = !wrong && pending->state == STARTED;
    if (tell)
        pending->telling = true; /* whoever ends the connection leaves it */
    pthread_mutex_unlock(&peer->lock);
    if (tell) {
        struct berth_error error;
        int code = more->dropped ? berth_error_nomem(&error) : BERTH_OK;
        pending->answer.came(pending->answer.user, true, code, more, &error);
        pthread_mutex_lock(&peer->lock);
        pending->telling = false;
        bool over = pending->state == BROKEN_OFF;
        pthread_mutex_unlock(&peer->lock);
        if (over)
            tell_broken_off(pending);
    }
    berth_received_free(more);
    return wrong;
}

/* Some of the results that answer a request of the other end's. */
static const char *take_taken(struct berth_peer *peer, struct berth_received *note)
{
    const struct berth_window taken = { note->wire.index, (size_t)note->wire.left };
    bool none = note->wire.single;
    void (*tell)(void *what, bool none) = NULL;
    void *what = NULL;
    bool right = true;

    pthread_mutex_lock(&peer->lock);
    struct berth_peer_later *later = later_find(peer, note->wire.id);
    struct berth_received *submitted = later ? NULL : submitted_find(peer, note->wire.id);
    if (later) {
        right = berth_window_give_back(&later->sent, &taken);
        later->taker = note->wire.chain;
    } else if (submitted) { /* else it has been answered */
        right = !taken.messages && !taken.bytes;
        submitted->none |= none;
        submitted->taker = note->wire.chain;
    }
    if (later && right && later->taken) {
        tell = later->taken;
        what = later->what;
        later->hold(what);
    }
    pthread_mutex_unlock(&peer->lock);
    berth_received_free(note);
    if (tell)
        tell(what, none);
    return right ? NULL : "it has taken results that were not sent";
}

static void take_cancel(struct berth_peer *peer, struct berth_received *note)
{
    void (*cancel)(void *what);
    void *what = later_take(peer, note->wire.id, &cancel);

    berth_received_free(note);
    if (what) /* else it has not begun, or has been answered */
        cancel(what);
}

/* For the thread that waits for it. What is lent cannot be, but then it may say it all. */
static struct berth_received *kept(struct berth_received *reply)
{
    static struct berth_received done = { .lent = true };

    if (!reply->lent)
        return reply;
    return reply->wire.code == BERTH_OK && !reply->dropped ? &done : NULL;
}

static const char *take_reply(struct berth_peer *peer, struct berth_received *reply)
{
    size_t bad;

    if (reply->wire.code != BERTH_OK &&
        (reply->wire.size >= sizeof(((struct berth_error *)0)->text) ||
         strlen((const char *)reply->data) != reply->wire.size ||
         !berth_utf8_valid(reply->data, reply->wire.size, &bad))) {
        berth_received_free(reply);
        return "an error without words";
    }

    pthread_mutex_lock(&peer->lock);
    struct pending *pending = berth_idmap_get(&peer->pendings, reply->wire.id);
    if (!pending || pending->outgoing) {
        pthread_mutex_unlock(&peer->lock);
        berth_received_free(reply);
        return "a reply to nothing";
    }
    berth_idmap_remove(&peer->pendings, reply->wire.id);
    peer->asked -= pending->cost;
    if (pending->state == STARTED) {
        pthread_mutex_unlock(&peer->lock);
        tell_answer(pending, reply);
        return NULL;
    }
    if (pending->state == GIVEN_UP) {
        peer->late++;
        pending_free(pending);
        berth_received_free(reply);
    } else {
        pending->reply = kept(reply);
        pending->state = ANSWERED;
        wake(peer, pending);
    }
    pthread_mutex_unlock(&peer->lock);
    return NULL;
}

/* Counts it, and finds the thread that has to serve it. With the lock held. */
static const char *admit(struct berth_peer *peer, struct berth_received *request,
                         struct pending **ret_under)
{
    size_t cost = BERTH_WIRE_HEAD + request->wire.size;

    if (peer->owed_count == BERTH_PEER_REQUESTS || cost > peer->window - peer->owed)
        return "too many requests at once";
    if (request->wire.under) {
        *ret_under = berth_idmap_get(&peer->pendings, request->wire.under);
        if (!*ret_under)
            return "a request under one that there is not";
    }
    peer->owed += cost;
    peer->owed_count++;
    return NULL;
}

/* With the lock held. */
static void hold_started(struct berth_received *request, const struct pending *under)
{
    const struct berth_peer_answer *answer = &under->answer;

    if (!answer->hold)
        return;
    request->of = answer->hold(answer->user);
    request->release = answer->release;
}

void *berth_peer_started_find(struct berth_peer *peer, uint64_t id)
{
    void *of = NULL;

    pthread_mutex_lock(&peer->lock);
    const struct pending *pending = berth_idmap_get(&peer->pendings, id);
    if (pending && pending->state == STARTED && pending->answer.hold)
        of = pending->answer.hold(pending->answer.user);
    pthread_mutex_unlock(&peer->lock);
    return of;
}

/*
 * For the thread that waits under it. Returns its chain if it does others' work meanwhile, which
 * may wait for who is inside of the gate that this has come from; else 0. With the lock held.
 */
static uint32_t give_to(struct berth_peer *peer, struct pending *under,
                        struct berth_received *request)
{
    berth_list_append(&under->inbox, &request->link);
    wake(peer, under);
    return under->works && request->wire.inside ? berth_block(under->ctx)->chain : 0;
}

static const char *take_request(struct berth_peer *peer, struct berth_received *request)
{
    int64_t now = berth_now();
    struct pending *under = NULL;
    uint32_t busy = 0;

    berth_list_init(&request->link);
    request->taker = request->wire.chain;
    request->deadline =
        request->wire.left > BERTH_FOREVER - now ? BERTH_FOREVER : now + request->wire.left;
    pthread_mutex_lock(&peer->lock);
    const char *wrong = admit(peer, request, &under);
    bool lost = !wrong && request->lent;
    if (!wrong && !lost && under && under->state == STARTED) { /* no thread waits: any will do */
        hold_started(request, under);
        under = NULL;
    }
    bool waits = !lost && under && under->state == WAITING;
    if (!wrong && !lost && !under)
        berth_list_append(berth_spread_list(&peer->submitted, request->wire.id), &request->link);
    if (!wrong && waits)
        busy = give_to(peer, under, request);
    pthread_mutex_unlock(&peer->lock);

    if (busy)
        berth_wait_again(busy);
    if (wrong)
        berth_received_free(request);
    else if (lost)
        refuse(peer, request, BERTH_RESOURCE_EXHAUSTED, NO_MEMORY);
    else if (under && !waits)
        refuse(peer, request, BERTH_DEADLINE_EXCEEDED, "the call that it belongs to was given up");
    else if (!under)
        submit(peer, request);
    return wrong;
}

static const char *take(struct berth_peer *peer, struct berth_received *frame)
{
    if (frame->wire.type == BERTH_WIRE_REPLY)
        return take_reply(peer, frame);
    if (frame->wire.type == BERTH_WIRE_MORE)
        return take_more(peer, frame);
    if (frame->wire.type == BERTH_WIRE_TAKEN)
        return take_taken(peer, frame);
    if (frame->wire.type == BERTH_WIRE_CANCEL) {
        take_cancel(peer, frame);
        return NULL;
    }
    const char *wrong = frame->dropped ? NULL : peer->ops->check(peer->user, frame);
    if (!wrong && !(BERTH_WIRE_NOTES & BERTH_WIRE_BIT(frame->wire.type)))
        return take_request(peer, frame);
    /* what other notes say may be lost; who is not refused waits for ever */
    if (!wrong && (!frame->dropped || frame->wire.type == BERTH_WIRE_REFUSE))
        peer->ops->note(peer->user, frame);
    berth_received_free(frame);
    return wrong;
}

/*
 * One read, and all the frames that are whole then. > 0: there may be more; 0: not now; < 0: it has
 * ended.
 */
static int read_once(struct berth_peer *peer)
{
    int got = berth_stream_fill(&peer->stream);
    struct berth_received *frame;
    const char *wrong = NULL;

    while (got > 0 && !wrong && (frame = berth_stream_next(&peer->stream, &wrong)))
        wrong = take(peer, frame);
    if (wrong) {
        char text[128];
        snprintf(text, sizeof(text), "sent a malformed frame: %s", wrong);
        end(peer, text);
        return -1;
    }
    if (got < 0)
        end(peer, NULL);
    return got;
}

/* ---- reading: taking turns ---- */

/* With the lock held: somebody else must read from now on, or the loop. */
static void hand_over(struct berth_peer *peer)
{
    if (peer->reading || peer->ended)
        return;
    if (!berth_list_empty(&peer->idle)) {
        struct pending *next = berth_container(peer->idle.next, struct pending, idle);
        pthread_cond_signal(&next->changed);
    } else if (!peer->armed) {
        peer->armed = true;
        berth_source_modify(&peer->source, EPOLLIN | EPOLLONESHOT);
    }
}

static void begin_reading(struct berth_peer *peer)
{
    peer->reading = true;
    peer->reader = pthread_self();
}

static void end_reading(struct berth_peer *peer)
{
    berth_stream_unpoke(&peer->stream);
    peer->reading = false;
    pthread_cond_broadcast(&peer->quiet);
}

/* In the loop: nobody waits here, unless somebody has just begun to. */
static void on_ready(struct berth_source *source, uint32_t events)
{
    struct berth_peer *peer = source->owner;

    (void)events;
    pthread_mutex_lock(&peer->lock);
    peer->armed = false;
    if (peer->ended || peer->reading || !berth_list_empty(&peer->idle)) {
        pthread_mutex_unlock(&peer->lock);
        return;
    }
    peer_ref(peer);
    begin_reading(peer);
    flush_locked(peer);
    pthread_mutex_unlock(&peer->lock);

    if (berth_stream_wait(&peer->stream, 0) & EPOLLIN)
        for (int i = 0; i < TURNS && read_once(peer) > 0; i++)
            ;

    pthread_mutex_lock(&peer->lock);
    end_reading(peer);
    hand_over(peer);
    pthread_mutex_unlock(&peer->lock);
    berth_peer_unref(peer);
}

/* As the one that reads: waits for the socket, and reads once. With the lock held. */
static void read_turn(struct berth_peer *peer, struct pending *pending, int64_t deadline)
{
    if (peer->armed) {
        peer->armed = false;
        berth_source_modify(&peer->source, EPOLLONESHOT);
    }
    begin_reading(peer);
    pending->reads = true;
    pthread_mutex_unlock(&peer->lock);

    uint32_t ready = berth_stream_wait(&peer->stream, berth_milliseconds_until(deadline));
    if (ready & EPOLLIN)
        read_once(peer);

    pthread_mutex_lock(&peer->lock);
    pending->reads = false;
    if (ready & EPOLLOUT && !peer->ended)
        flush_locked(peer);
    end_reading(peer);
}

/* Waits until there is something for this one, or it is to read. With the lock held. */
static void idle_turn(struct berth_peer *peer, struct pending *pending, int64_t deadline)
{
    berth_list_append(&peer->idle, &pending->idle);
    if (deadline == BERTH_FOREVER) {
        pthread_cond_wait(&pending->changed, &peer->lock);
    } else {
        struct timespec until = { deadline / 1000000000, deadline % 1000000000 };
        pthread_cond_clockwait(&pending->changed, &peer->lock, CLOCK_MONOTONIC, &until);
    }
    berth_list_remove(&pending->idle);
}

/* Does what there is to do elsewhere. With the lock held, and again afterwards. */
static void work_turn(struct berth_peer *peer, struct pending *pending, int64_t deadline)
{
    uint64_t since = berth_loop_woken(peer->loop);

    hand_over(peer);
    pthread_mutex_unlock(&peer->lock);
    bool works = peer->ops->work(peer->user, pending->ctx, since, deadline);
    pthread_mutex_lock(&peer->lock);
    pending->works = works;
}

/* ---- calling ---- */

/* Serves what came back under our own request. With the lock held, and again afterwards. */
static void serve_inbox(struct berth_peer *peer, struct pending *pending)
{
    struct berth_received *request =
        berth_container(pending->inbox.next, struct berth_received, link);

    berth_list_remove(&request->link);
    hand_over(peer); /* this may take long */
    pthread_mutex_unlock(&peer->lock);
    serve(peer, pending->ctx, request);
    pthread_mutex_lock(&peer->lock);
}

/*
 * Nobody waits for the reply any more. With the lock held. Returns whether a reply may still come.
 */
static bool give_up(struct berth_peer *peer, struct pending *pending)
{
    if (pending->outgoing && berth_stream_withdraw(&peer->stream, pending->outgoing)) {
        berth_idmap_remove(&peer->pendings, pending->id);
        peer->asked -= pending->cost;
        return false;
    }
    if (pending->outgoing)
        pending->outgoing->request = NULL;
    pending->outgoing = NULL;
    pending->state = GIVEN_UP;
    return true;
}

/* A thread waits; the request may outlive that. */
struct waiter {
    struct berth_interrupt interrupt;
    struct berth_peer *peer;
    struct pending *pending; /* NULL: it does not wait any more; with the lock */
    int64_t patience;        /* until then */
    bool told;
    bool to_the_end; /* neither the deadline nor a cancel ends the wait: the reply tells of them */
};

/* It is to look whether it still should. */
static void interrupt(struct berth_interrupt *interrupt)
{
    struct waiter *waiter = berth_container(interrupt, struct waiter, interrupt);
    struct berth_peer *peer = waiter->peer;

    pthread_mutex_lock(&peer->lock);
    if (waiter->pending)
        wake(peer, waiter->pending);
    if (waiter->pending && waiter->pending->reads)
        berth_stream_poke(&peer->stream);
    pthread_mutex_unlock(&peer->lock);
}

static bool is_cancelled(const struct pending *pending)
{
    return pending->ctx && berth_call_over(pending->ctx);
}

/* With the lock held, and again afterwards. */
static void tell_waits(struct waiter *waiter, bool waits)
{
    struct berth_peer *peer = waiter->peer;

    if (waiter->told == waits)
        return;
    waiter->told = waits;
    pthread_mutex_unlock(&peer->lock);
    berth_interrupt_lasts(&waiter->interrupt);
    if (peer->ops->waits)
        peer->ops->waits(peer->user, waits);
    pthread_mutex_lock(&peer->lock);
}

static void lose_patience_later(struct waiter *waiter)
{
    waiter->patience = berth_now() + BERTH_WAIT_TOLD;
}

/* One step of it; a code: the wait is over. With the lock held. */
static int wait_on(struct waiter *waiter, struct pending *pending, int64_t deadline)
{
    struct berth_peer *peer = waiter->peer;
    int64_t now = berth_now();

    if (!berth_list_empty(&pending->inbox)) {
        tell_waits(waiter, false);
        pending->works = false;
        serve_inbox(peer, pending);
        lose_patience_later(waiter);
        return BERTH_OK;
    }
    if (!waiter->to_the_end && is_cancelled(pending))
        return BERTH_PEER_CANCELLED;
    if (now >= deadline)
        return BERTH_PEER_EXPIRED;
    if (now >= waiter->patience) {
        waiter->patience = BERTH_FOREVER;
        tell_waits(waiter, true);
        pending->works = peer->ops->work && pending->ctx;
        return BERTH_OK;
    }
    if (waiter->patience < deadline)
        deadline = waiter->patience;
    if (pending->works)
        work_turn(peer, pending, deadline);
    else if (peer->reading)
        idle_turn(peer, pending, deadline);
    else
        read_turn(peer, pending, deadline);
    return BERTH_OK;
}

/* Until the state is another one. With the lock held. Returns why it has not waited for that. */
static int wait_for_reply(struct waiter *waiter, int64_t deadline)
{
    struct pending *pending = waiter->pending;
    int code = BERTH_OK;

    lose_patience_later(waiter);
    while (pending->state == WAITING && code == BERTH_OK)
        code = wait_on(waiter, pending, deadline);
    tell_waits(waiter, false);
    return pending->state == WAITING ? code : BERTH_OK; /* it may have come just now */
}

/* Requests that came under one whose thread has left. */
static void refuse_inbox(struct berth_peer *peer, struct berth_list *inbox)
{
    berth_list_each_safe(inbox, link) {
        berth_list_remove(link);
        refuse(peer, berth_container(link, struct berth_received, link), BERTH_CANCELLED,
               "the call that it belongs to has ended");
    }
}

/* With the lock held. */
static int add_pending(struct berth_peer *peer, struct pending *pending,
                       struct berth_outgoing *outgoing, struct berth_error *error)
{
    if (peer->ended)
        return BERTH_PEER_ENDED;
    if (peer->pendings.count == BERTH_PEER_REQUESTS || outgoing->size > peer->window - peer->asked)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "%zu calls with %zu bytes are unanswered already",
                               peer->pendings.count, peer->asked);
    pending->id = berth_idmap_add(&peer->pendings, pending);
    if (!pending->id)
        return berth_error_nomem(error);
    pending->cost = outgoing->size;
    peer->asked += pending->cost;
    return BERTH_OK;
}

bool berth_peer_hold(struct berth_peer *peer, uint64_t id, berth_ctx **ret_ctx, uint16_t *ret_kind)
{
    pthread_mutex_lock(&peer->lock);
    struct pending *pending = berth_idmap_get(&peer->pendings, id);
    if (pending) {
        *ret_ctx = pending->state == WAITING ? pending->ctx : NULL;
        *ret_kind = pending->kind;
        pending->found = *ret_ctx != NULL;
        peer->held = pending;
    }
    pthread_mutex_unlock(&peer->lock);
    return pending;
}

void berth_peer_release(struct berth_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer->held = NULL;
    pthread_cond_broadcast(&peer->quiet);
    pthread_mutex_unlock(&peer->lock);
}

/* The thread waits no more: whoever has found it is told. With the lock held. */
static void leave(struct berth_peer *peer, struct pending *pending, uint64_t id)
{
    while (pending->found || peer->held == pending) {
        if (peer->held == pending) {
            pthread_cond_wait(&peer->quiet, &peer->lock);
            continue;
        }
        pending->found = false;
        pthread_mutex_unlock(&peer->lock);
        peer->ops->left(peer->user, id);
        pthread_mutex_lock(&peer->lock);
    }
}

static int start_call(struct berth_peer *peer, struct pending *pending, struct berth_wire wire,
                      struct berth_outgoing *outgoing, int64_t deadline, struct berth_error *error)
{
    wire.left = deadline == BERTH_FOREVER ? INT64_MAX : deadline - berth_now();
    if (wire.left <= 0)
        return BERTH_PEER_EXPIRED;
    int code = add_pending(peer, pending, outgoing, error);
    if (code != BERTH_OK)
        return code;
    wire.id = pending->id;
    pending->kind = wire.kind;
    /* one that is started may outlive the call that starts it, whose thread may end any time */
    wire.under = pending->state == STARTED ? 0 : innermost(peer);
    write_head(outgoing, wire);
    outgoing->request = pending;
    pending->outgoing = outgoing;
    send_locked(peer, outgoing);
    return BERTH_OK;
}

static int take_answer(struct pending *pending, struct berth_received **ret_reply,
                       struct berth_error *error)
{
    struct berth_received *reply = pending->reply;

    if (pending->state == BROKEN_OFF)
        return BERTH_PEER_ENDED;
    if (!reply)
        return berth_error_nomem(error);
    int code = code_of(reply, error);
    if (code == BERTH_OK)
        *ret_reply = reply;
    else
        berth_received_free(reply);
    return code;
}

/*
 * The whole of a call but its memory. Returns whether *pending must stay, for a reply that may
 * still come.
 */
static bool run_call(struct waiter *waiter, const struct berth_wire *wire,
                     struct berth_outgoing *outgoing, int64_t deadline,
                     struct berth_received **ret_reply, int *ret_code, struct berth_error *error)
{
    struct berth_peer *peer = waiter->peer;
    struct pending *pending = waiter->pending;
    struct berth_list inbox;
    bool stays = false;

    pthread_mutex_lock(&peer->lock);
    *ret_code = start_call(peer, pending, *wire, outgoing, deadline, error);
    if (*ret_code != BERTH_OK) {
        pthread_mutex_unlock(&peer->lock);
        berth_outgoing_free(outgoing);
        return false;
    }
    uint64_t id = pending->id;
    *ret_code = wait_for_reply(waiter, waiter->to_the_end ? BERTH_FOREVER : deadline);
    leave(peer, pending, id);
    if (pending->state != WAITING) /* it may have come meanwhile */
        *ret_code = BERTH_OK;
    waiter->pending = NULL;
    if (*ret_code == BERTH_OK)
        *ret_code = take_answer(pending, ret_reply, error);
    else
        stays = give_up(peer, pending);
    bool tell = stays && *ret_code == BERTH_PEER_CANCELLED;
    hand_over(peer);
    berth_list_init(&inbox);
    berth_list_each_safe(&pending->inbox, link) {
        berth_list_remove(link);
        berth_list_append(&inbox, link);
    }
    pthread_mutex_unlock(&peer->lock);
    if (tell)
        berth_peer_cancel(peer, id);
    refuse_inbox(peer, &inbox);
    return stays;
}

static int call(struct berth_peer *peer, const struct berth_wire *wire, struct berth_buffer *buffer,
                berth_ctx *ctx, int64_t deadline, bool to_the_end,
                struct berth_received **ret_reply, struct berth_error *error)
{
    struct berth_outgoing *outgoing = make_outgoing(buffer);
    struct pending *pending = outgoing ? pending_new(ctx) : NULL;
    int code;

    if (!pending) {
        if (outgoing)
            berth_outgoing_free(outgoing);
        return berth_error_nomem(error);
    }
    peer_ref(peer);
    struct waiter waiter = { .peer = peer, .pending = pending, .to_the_end = to_the_end };
    berth_interrupt_begin(&waiter.interrupt, ctx, NULL, interrupt);
    bool stays = run_call(&waiter, wire, outgoing, deadline, ret_reply, &code, error);
    berth_interrupt_end(&waiter.interrupt);
    if (!stays)
        pending_free(pending);
    berth_peer_unref(peer);
    return code;
}

int berth_peer_call(struct berth_peer *peer, const struct berth_wire *wire,
                    struct berth_buffer *buffer, berth_ctx *ctx, int64_t deadline,
                    struct berth_received **ret_reply, struct berth_error *error)
{
    return call(peer, wire, buffer, ctx, deadline, false, ret_reply, error);
}

int berth_peer_see_through(struct berth_peer *peer, const struct berth_wire *wire,
                           struct berth_buffer *buffer, berth_ctx *ctx, int64_t deadline,
                           struct berth_received **ret_reply, struct berth_error *error)
{
    return call(peer, wire, buffer, ctx, deadline, true, ret_reply, error);
}

int berth_peer_start(struct berth_peer *peer, const struct berth_wire *wire,
                     struct berth_buffer *buffer, int64_t deadline,
                     const struct berth_peer_answer *answer, uint64_t *ret_id,
                     struct berth_error *error)
{
    struct berth_outgoing *outgoing = make_outgoing(buffer);
    struct pending *pending = outgoing ? pending_new(NULL) : NULL;

    if (!pending) {
        if (outgoing)
            berth_outgoing_free(outgoing);
        return berth_error_nomem(error);
    }
    pending->state = STARTED;
    pending->answer = *answer;
    pthread_mutex_lock(&peer->lock);
    int code = start_call(peer, pending, *wire, outgoing, deadline, error);
    if (code == BERTH_OK)
        *ret_id = pending->id; /* it may be answered, and gone, as soon as the lock is given up */
    hand_over(peer);
    pthread_mutex_unlock(&peer->lock);
    if (code != BERTH_OK) {
        berth_outgoing_free(outgoing);
        pending_free(pending);
    }
    return code;
}
