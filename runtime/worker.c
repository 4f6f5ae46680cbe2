/* SPDX-License-Identifier: MIT */
/*
 * berth-worker, the program behind placement `process`. With --zygote it makes workers for one
 * host; each of them returns here to serve: it maps the image that it was given and answers the
 * host's calls, with the same core as the host itself (runtime/serve.h).
 *
 * The main thread maps the image and then reads the connection while no other thread waits for it.
 * Calls run on threads of the served host, one each, so that a call that waits upstream holds up
 * nobody; those of a serial module one after the other, in the order in which they have come. What
 * comes back under a call that this worker made runs on the thread that made it.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/idmap.h"
#include "runtime/base/memory.h"
#include "runtime/base/text.h"
#include "runtime/call/interrupt.h"
#include "runtime/call/park.h"
#include "runtime/call/ring.h"
#include "runtime/carrier/nursery.h"
#include "runtime/carrier/peer.h"
#include "runtime/core/more.h"
#include "runtime/core/started.h"
#include "runtime/serve.h"

#define THREADS_MIN   2
#define LINE_MAX_SIZE ((size_t)4000) /* of a log; the host cuts, too */

struct worker {
    struct berth_loop *loop;
    struct berth_peer *peer;
    struct berth_upstream upstream;
    int image; /* the descriptor; -1 once it has been taken */
    berth_host *host;
    bool stopping, ended;
    struct berth_peer_work *first; /* the host's first request, for the main thread */
    bool serial;                   /* the module is: what comes for it has turns */
    pthread_mutex_t turn_lock;
    struct berth_list turns; /* that wait */
    bool turning;            /* a thread takes them */
    size_t waiting;          /* threads that have waited for a while: turns are told of */
    struct berth_idmap told; /* waits that the host is told of */
};

/* ---- what the module wants of the host ---- */

/* Why it does not answer any more: what is still inside then is killed, and may tell others. */
#define ENDED "the host ends this worker, or has gone"

typedef int call_fn(struct berth_peer *peer, const struct berth_wire *wire,
                    struct berth_buffer *buffer, berth_ctx *ctx, int64_t deadline,
                    struct berth_received **ret_reply, struct berth_error *error);

/* By berth_peer_call or its like. */
static int ask(struct worker *worker, call_fn *call, struct berth_wire *wire, berth_ctx *ctx,
               int64_t deadline, const struct berth_signature *signature,
               const void *const *arguments, struct berth_received **ret_reply,
               struct berth_error *error)
{
    struct berth_buffer buffer;

    wire->inside = berth_served_inside(worker->host, ctx);
    wire->chain = berth_served_run(worker->host);
    berth_peer_begin(worker->peer, &buffer);
    int code = berth_arguments_pack(signature, arguments, &buffer, NULL, error);
    if (code != BERTH_OK) {
        berth_buffer_deinit(&buffer);
        return code;
    }
    code = call(worker->peer, wire, &buffer, ctx, deadline, ret_reply, error);
    if (code == BERTH_PEER_ENDED)
        return berth_error_set(error, BERTH_UNAVAILABLE, ENDED);
    if (code == BERTH_PEER_EXPIRED)
        return berth_error_set(error, BERTH_DEADLINE_EXCEEDED, "the host did not answer in time");
    if (code == BERTH_PEER_CANCELLED) {
        const char *over = berth_call_over(ctx); /* NULL: it need not stop any more */
        return berth_error_set(error, BERTH_CANCELLED, "%s", over ? over : "cancelled");
    }
    return code;
}

/* A message, or a call that is one way: what is sent next must not overtake it. */
static int tell_in_order(struct worker *worker, struct berth_wire *wire, berth_ctx *ctx,
                         int64_t deadline, const struct berth_signature *signature,
                         const void *const *arguments, struct berth_error *error)
{
    struct berth_received *reply;

    int code = ask(worker, berth_peer_see_through, wire, ctx, deadline, signature, arguments,
                   &reply, error);
    if (code == BERTH_OK)
        berth_received_free(reply);
    return code;
}

static int call_upstream(void *user, berth_ctx *ctx, size_t import, int64_t deadline,
                         const struct berth_signature *signature, const void *const *arguments,
                         struct berth_arena *arena, void *result, struct berth_error *error)
{
    struct berth_wire wire = { .type = BERTH_WIRE_CALL, .index = (uint32_t)import };
    struct berth_received *reply;

    int code =
        ask(user, berth_peer_call, &wire, ctx, deadline, signature, arguments, &reply, error);
    if (code != BERTH_OK)
        return code;
    struct berth_reader reader = berth_received_reader(reply);
    if (result)
        code = berth_value_unpack(signature->result, &reader, arena, result, NULL, error);
    berth_received_free(reply);
    return code;
}

/* Somebody of the served host, who does not wait. */
struct asker {
    struct berth_upstream_answer answer;
};

static void on_answer(void *user, bool more, int code, const struct berth_received *reply,
                      const struct berth_error *error)
{
    struct asker *asker = user;
    struct berth_reader reader = { NULL, NULL };
    struct berth_error own;

    if (reply)
        reader = berth_received_reader(reply);
    if (code == BERTH_PEER_ENDED) {
        code = berth_error_set(&own, BERTH_UNAVAILABLE, ENDED);
        error = &own;
    }
    asker->answer.came(asker->answer.user, more, code, &reader, error);
    if (!more)
        berth_free(asker);
}

static int start_upstream(void *user, size_t import, int64_t deadline,
                          const struct berth_signature *signature, const void *const *arguments,
                          const struct berth_upstream_answer *answer, uint64_t *ret_id,
                          struct berth_error *error)
{
    struct worker *worker = user;
    const struct berth_wire wire = { .type = BERTH_WIRE_CALL,
                                     .kind = BERTH_WIRE_STARTED,
                                     .index = (uint32_t)import,
                                     .chain = berth_served_run(worker->host) };
    struct asker *asker = berth_malloc(sizeof(*asker));
    struct berth_buffer buffer;

    if (!asker)
        return berth_error_nomem(error);
    asker->answer = *answer;
    const struct berth_peer_answer came = { .came = on_answer, .user = asker };
    berth_peer_begin(worker->peer, &buffer);
    int code = berth_arguments_pack(signature, arguments, &buffer, NULL, error);
    if (code != BERTH_OK)
        berth_buffer_deinit(&buffer);
    else
        code = berth_peer_start(worker->peer, &wire, &buffer, deadline, &came, ret_id, error);
    if (code == BERTH_PEER_ENDED)
        code = berth_error_set(error, BERTH_UNAVAILABLE, ENDED);
    if (code == BERTH_PEER_EXPIRED)
        code = berth_error_set(error, BERTH_DEADLINE_EXCEEDED, "not begun before the deadline");
    if (code != BERTH_OK)
        berth_free(asker);
    return code;
}

static void cancel_upstream(void *user, uint64_t id)
{
    struct worker *worker = user;

    berth_peer_cancel(worker->peer, id);
}

static bool taken_upstream(void *user, uint64_t id, const struct berth_window *taken, bool none,
                           uint32_t taker)
{
    struct worker *worker = user;

    return berth_peer_taken(worker->peer, id, taken, none, taker);
}

static int send_upstream(void *user, berth_ctx *ctx, size_t import, int64_t deadline,
                         const struct berth_signature *signature, const void *const *arguments,
                         struct berth_error *error)
{
    struct berth_wire wire = { .type = BERTH_WIRE_CALL,
                               .kind = BERTH_WIRE_SENT,
                               .index = (uint32_t)import };

    return tell_in_order(user, &wire, ctx, deadline, signature, arguments, error);
}

static int publish_upstream(void *user, berth_ctx *ctx, size_t topic,
                            const struct berth_signature *signature, const void *const *arguments,
                            struct berth_error *error)
{
    struct berth_wire wire = { .type = BERTH_WIRE_PUBLISH, .index = (uint32_t)topic };

    return tell_in_order(user, &wire, ctx, berth_thread_of(ctx)->deadline, signature, arguments,
                         error);
}

static void log_upstream(void *user, int level, const char *chain, const char *text, bool echo)
{
    struct worker *worker = user;
    const struct berth_wire wire = { .type = BERTH_WIRE_LOG,
                                     .kind = (uint16_t)level,
                                     .echo = echo };
    struct berth_buffer buffer;

    berth_peer_begin(worker->peer, &buffer);
    size_t size = strlen(text);
    berth_buffer_append(&buffer, text,
                        size > LINE_MAX_SIZE ? berth_utf8_cut(text, LINE_MAX_SIZE) : size);
    if (*chain) {
        berth_buffer_append(&buffer, "", 1);
        berth_buffer_text(&buffer, chain);
    }
    berth_peer_note(worker->peer, &wire, &buffer); /* without room or memory the line is lost */
}

static void handle_ended_upstream(void *user, uint64_t id)
{
    struct worker *worker = user;
    const struct berth_wire wire = { .type = BERTH_WIRE_HANDLE_ENDED };
    struct berth_buffer buffer;

    berth_peer_begin(worker->peer, &buffer);
    berth_wire_put_u64(&buffer, id);
    berth_peer_note(worker->peer, &wire, &buffer); /* else the host's handle ends with its module */
}

static void handle_restored_upstream(void *user, uint64_t old, uint64_t id)
{
    struct worker *worker = user;
    const struct berth_wire wire = { .type = BERTH_WIRE_HANDLE_RESTORED };
    struct berth_buffer buffer;

    berth_peer_begin(worker->peer, &buffer);
    berth_wire_put_u64(&buffer, old);
    berth_wire_put_u64(&buffer, id);
    berth_peer_note(worker->peer, &wire, &buffer); /* else the host misses it, and refuses */
}

/* ---- waits that only the host may see the end of (carrier/waits.h) ---- */

static void tell_wait(struct worker *worker, const struct berth_wire *wire, uint64_t number,
                      uint64_t under, const uint64_t *ids, size_t count)
{
    struct berth_buffer buffer;

    berth_peer_begin(worker->peer, &buffer);
    berth_wire_put_u64(&buffer, number);
    berth_wire_put_u64(&buffer, under);
    for (size_t i = 0; i < count; i++)
        berth_wire_put_u64(&buffer, ids[i]);
    berth_peer_note(worker->peer, wire, &buffer); /* else it ends when it does */
}

static void tell_waited(struct worker *worker, uint64_t number, uint64_t under)
{
    const struct berth_wire wire = { .type = BERTH_WIRE_WAITED };

    tell_wait(worker, &wire, number, under, NULL, 0);
}

/* It waits for those that were before it. With turn_lock held. */
static void tell_turn(struct worker *worker, struct berth_peer_work *turn)
{
    const struct berth_wire wire = { .type = BERTH_WIRE_WAIT, .kind = BERTH_WIRE_GATE };

    if (!turn->told)
        tell_wait(worker, &wire, 0, turn->request->wire.id, NULL, 0);
    turn->told = true;
}

/* A thread has waited for a while, as turns may do for it; or does so no more. */
static void count_waiting(struct worker *worker, bool waits)
{
    pthread_mutex_lock(&worker->turn_lock);
    worker->waiting += waits ? 1 : (size_t)-1;
    if (worker->waiting)
        berth_list_each(&worker->turns, link)
            tell_turn(worker, berth_container(link, struct berth_peer_work, link));
    pthread_mutex_unlock(&worker->turn_lock);
}

static uint16_t wire_kind(const struct berth_wait *wait, enum berth_upstream_wait what)
{
    if (what == BERTH_WAIT_ROOM)
        return BERTH_WIRE_ROOM;
    if (what == BERTH_WAIT_GATE)
        return BERTH_WIRE_GATE;
    return wait->any ? BERTH_WIRE_ANY : BERTH_WIRE_ALL;
}

static void wait_begin_upstream(void *user, struct berth_wait *wait, enum berth_upstream_wait what,
                                const uint64_t *ids, size_t count)
{
    struct worker *worker = user;
    uint64_t under = berth_peer_serves(worker->peer);
    const struct berth_wire wire = { .type = BERTH_WIRE_WAIT,
                                     .kind = wire_kind(wait, what),
                                     .chain = berth_served_run(worker->host),
                                     .inside = what != BERTH_WAIT_GATE &&
                                               berth_served_inside(worker->host, wait->ctx) };

    size_t waited = what == BERTH_WAIT_ANSWERS ? count : 0;
    if (!under && !wire.inside && !berth_served_has_started(worker->host, waited))
        return; /* nobody else waits for it */
    pthread_mutex_lock(&worker->turn_lock);
    wait->told = berth_idmap_add(&worker->told, wait);
    pthread_mutex_unlock(&worker->turn_lock);
    if (!wait->told)
        return;
    tell_wait(worker, &wire, wait->told, under, ids, count);
    count_waiting(worker, true);
}

static void wait_end_upstream(void *user, struct berth_wait *wait)
{
    struct worker *worker = user;

    if (!wait->told)
        return;
    count_waiting(worker, false);
    pthread_mutex_lock(&worker->turn_lock);
    berth_idmap_remove(&worker->told, wait->told); /* from here on it is not refused */
    pthread_mutex_unlock(&worker->turn_lock);
    tell_waited(worker, wait->told, berth_peer_serves(worker->peer));
    wait->told = 0;
}

/* With turn_lock held. */
static void refuse_wait(struct worker *worker, uint64_t number, const char *why)
{
    struct berth_wait *wait = berth_idmap_get(&worker->told, number);

    if (!wait) /* it is over */
        return;
    snprintf(wait->ring, sizeof(wait->ring), "%s", why);
    __atomic_store_n(&wait->refused, true, __ATOMIC_RELEASE);
    berth_park_wake(wait->park);
}

/* One that has not begun, or NULL. With turn_lock held. */
static struct berth_peer_work *take_turn(struct worker *worker, uint64_t id)
{
    berth_list_each(&worker->turns, link) {
        struct berth_peer_work *turn = berth_container(link, struct berth_peer_work, link);
        if (id && turn->request->wire.id != id)
            continue;
        berth_list_remove(link);
        if (turn->told)
            tell_waited(worker, 0, turn->request->wire.id);
        return turn;
    }
    return NULL;
}

static void on_refuse(struct worker *worker, struct berth_received *note)
{
    struct berth_reader reader = berth_received_reader(note);
    struct berth_peer_work *turn = NULL;
    const char *why = berth_wire_get_text(&reader);

    if (!why)
        why = "it would close a ring, and there was no memory for which";
    pthread_mutex_lock(&worker->turn_lock);
    if (note->wire.id)
        refuse_wait(worker, note->wire.id, why);
    else if (note->wire.under)
        turn = take_turn(worker, note->wire.under);
    pthread_mutex_unlock(&worker->turn_lock);
    if (turn)
        berth_peer_work_refuse(turn, BERTH_ABORTED, why);
}

/* ---- what the host wants ---- */

struct numbers {
    uint64_t max_message, stop_timeout, log_level, messages, bytes;
};

static int make_host(struct worker *worker, const struct numbers *numbers,
                     struct berth_error *error)
{
    struct berth_host_options options;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    berth_host_options_init(&options);
    options.threads =
        processors > THREADS_MIN && processors <= INT_MAX ? (int)processors : THREADS_MIN;
    options.log_level = (int)numbers->log_level; /* what it does not want costs no frame */
    options.max_message = (size_t)numbers->max_message;
    options.mailbox_messages = (size_t)numbers->messages; /* as many replies fit into its calls */
    options.mailbox_bytes = (size_t)numbers->bytes;
    options.stop_timeout_ns = (int64_t)numbers->stop_timeout;
    return berth_served_new(&options, &worker->upstream, &worker->host, error);
}

/* On the main thread: some libraries want to be loaded there. */
static int serve_open(struct worker *worker, struct berth_received *request,
                      struct berth_error *error)
{
    struct berth_reader reader = berth_received_reader(request);
    const char *name = berth_wire_get_text(&reader), *file = berth_wire_get_text(&reader);
    struct numbers numbers = { 0 };
    bool complete = berth_wire_get_u64(&reader, &numbers.max_message) &&
                    berth_wire_get_u64(&reader, &numbers.stop_timeout) &&
                    berth_wire_get_u64(&reader, &numbers.log_level) &&
                    berth_wire_get_u64(&reader, &numbers.messages) &&
                    berth_wire_get_u64(&reader, &numbers.bytes);
    const char *options_json = berth_wire_get_text(&reader);
    struct berth_image *image;

    if (!name || !file || !complete || !options_json || worker->image < 0)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "not a request to open an image");
    const struct berth_window several = { numbers.messages, numbers.bytes };
    berth_peer_set_max_message(worker->peer, (size_t)numbers.max_message);
    berth_peer_set_several(worker->peer, &several);
    int code = make_host(worker, &numbers, error);
    if (code != BERTH_OK)
        return code;
    code = berth_image_stage_fd(worker->image, file, request->wire.index, &image, error);
    worker->image = -1;
    if (code != BERTH_OK)
        return code;
    worker->serial = !image->manifest->parallel;
    return berth_served_open(worker->host, image, name, options_json, error);
}

static const char *on_check(void *user, const struct berth_received *frame)
{
    (void)user;
    (void)frame;
    return NULL; /* the host is to be believed; what does not exist is an error of the call */
}

/* A call, or a message, that the host may cancel; a call may be answered later. */
struct call {
    struct worker *worker;
    struct berth_received *request;
    struct berth_peer_later later;
};

static void hold(void *what)
{
    berth_started_ref(what);
}

static void cancel(void *what)
{
    berth_started_cancel(what);
    berth_started_unref(what);
}

static void call_begin(void *user, struct berth_started *started)
{
    struct call *call = user;

    started->asked = call->request->wire.id;
    call->later.what = started;
    call->later.hold = hold;
    call->later.cancel = cancel;
    call->later.taken = berth_more_heard;
    berth_peer_later_begin(call->worker->peer, &call->later, call->request);
}

static void call_end(void *user)
{
    struct call *call = user;

    berth_peer_later_end(&call->later);
}

static bool call_give(struct berth_started *started, const struct berth_reply *reply, bool more)
{
    struct call *call = started->user;
    struct berth_buffer buffer;
    struct berth_error error = { .code = BERTH_OK };

    berth_peer_begin(call->later.peer, &buffer);
    if (reply)
        berth_buffer_append(&buffer, reply->data, reply->size);
    if (more)
        return berth_peer_later_more(&call->later, &buffer);
    if (started->code != BERTH_OK)
        berth_error_set(&error, started->code, "%s",
                        started->text ? started->text : "out of memory");
    berth_peer_later_reply(&call->later, started->code, &buffer, &error);
    berth_free(call);
    berth_started_unref(started);
    return true;
}

static void call_notify(struct berth_started *started)
{
    berth_more_forward(started, call_give);
}

static int serve_call(struct worker *worker, berth_ctx *under, struct berth_received *request,
                      const char *topic, struct berth_reader *arguments,
                      struct berth_buffer *result, struct berth_error *error)
{
    struct call *call = berth_calloc(1, sizeof(*call));

    if (!call)
        return berth_error_nomem(error);
    call->worker = worker;
    call->request = request;
    const struct berth_served_later later = { call_begin, call_end, call_notify, call,
                                              request->wire.single != 0 };
    int code = berth_served_invoke(worker->host, under, (enum berth_item_kind)request->wire.kind,
                                   request->wire.index, request->deadline, topic,
                                   request->wire.echo != 0, &later, arguments, result, error);
    if (code != BERTH_SERVED_LATER)
        berth_free(call);
    return code;
}

static int on_serve(void *user, berth_ctx *under, struct berth_received *request,
                    struct berth_buffer *result, struct berth_error *error)
{
    struct worker *worker = user;
    struct berth_reader reader = berth_received_reader(request);

    if (request->wire.type == BERTH_WIRE_OPEN)
        return serve_open(worker, request, error);
    const char *topic = berth_wire_get_text(&reader);
    if (!topic)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "not a call");
    if (request->wire.kind != BERTH_ITEM_HOOK)
        return serve_call(worker, under, request, topic, &reader, result, error);
    return berth_served_invoke(worker->host, under, (enum berth_item_kind)request->wire.kind,
                               request->wire.index, request->deadline, topic,
                               request->wire.echo != 0, NULL, &reader, result, error);
}

static void on_note(void *user, struct berth_received *note)
{
    struct worker *worker = user;

    if (note->wire.type == BERTH_WIRE_STOP)
        worker->stopping = true;
    else if (note->wire.type == BERTH_WIRE_REFUSE)
        on_refuse(worker, note);
    else if (worker->host && note->wire.type == BERTH_WIRE_LEVEL)
        berth_host_set_log_level(worker->host, "", note->wire.kind, NULL);
    else if (worker->host && note->wire.type == BERTH_WIRE_TELL)
        berth_served_tell(worker->host, note->wire.kind);
    else if (worker->host)
        berth_served_serve(worker->host);
}

/* ---- turns, of a serial module ---- */

static void take_turns(void *argument)
{
    struct worker *worker = argument;
    struct berth_peer_work *turn;

    pthread_mutex_lock(&worker->turn_lock);
    while ((turn = take_turn(worker, 0))) {
        pthread_mutex_unlock(&worker->turn_lock);
        berth_peer_work_run(turn);
        pthread_mutex_lock(&worker->turn_lock);
    }
    worker->turning = false;
    pthread_mutex_unlock(&worker->turn_lock);
}

/*
 * The gate lets in whoever comes to it first; what the host has sent is to run in that order, as
 * two calls that were started one after the other. Called by the thread that reads.
 */
static int queue_turn(struct worker *worker, struct berth_peer_work *turn)
{
    int code = BERTH_OK;

    pthread_mutex_lock(&worker->turn_lock);
    berth_list_append(&worker->turns, &turn->link);
    if (!worker->turning) {
        code = berth_served_submit(worker->host, take_turns, worker);
        worker->turning = code == BERTH_OK;
        if (code != BERTH_OK)
            berth_list_remove(&turn->link);
    } else if (worker->waiting) {
        tell_turn(worker, turn);
    }
    pthread_mutex_unlock(&worker->turn_lock);
    return code;
}

static int on_submit(void *user, struct berth_peer_work *work)
{
    struct worker *worker = user;

    if (worker->host)
        return worker->serial ? queue_turn(worker, work)
                              : berth_served_submit(worker->host, berth_peer_work_run, work);
    if (worker->first)
        return BERTH_FAILED_PRECONDITION;
    worker->first = work;
    return BERTH_OK;
}

static void on_waits(void *user, bool waits)
{
    struct worker *worker = user;

    if (!worker->host)
        return;
    berth_served_waits(worker->host, waits);
    count_waiting(worker, waits);
}

static void on_ended(void *user, const char *wrong)
{
    struct worker *worker = user;

    (void)wrong;
    __atomic_store_n(&worker->ended, true, __ATOMIC_RELEASE);
    berth_loop_wake(worker->loop);
}

static const struct berth_peer_ops peer_ops = {
    .check = on_check,
    .serve = on_serve,
    .note = on_note,
    .submit = on_submit,
    .waits = on_waits,
    .ended = on_ended,
};

/* ---- running ---- */

static void run_loop(struct worker *worker)
{
    while (!__atomic_load_n(&worker->ended, __ATOMIC_ACQUIRE)) {
        berth_loop_run(worker->loop, BERTH_FOREVER);
        if (worker->first) {
            struct berth_peer_work *first = worker->first;
            worker->first = NULL;
            berth_peer_work_run(first);
        }
    }
}

static int serve(const struct berth_newborn *newborn)
{
    struct worker worker = {
        .upstream = { .call = call_upstream,
                      .start = start_upstream,
                      .cancel = cancel_upstream,
                      .taken = taken_upstream,
                      .send = send_upstream,
                      .publish = publish_upstream,
                      .log = log_upstream,
                      .wait_begin = wait_begin_upstream,
                      .wait_end = wait_end_upstream,
                      .handle_ended = handle_ended_upstream,
                      .handle_restored = handle_restored_upstream,
                      .user = &worker },
        .image = newborn->image,
        .turn_lock = PTHREAD_MUTEX_INITIALIZER,
        .turns = { &worker.turns, &worker.turns },
    };
    struct berth_peer_setup setup = {
        .life = -1,
        .max_message = UINT32_MAX, /* until the host has told its own */
        .accepts = BERTH_WIRE_BIT(BERTH_WIRE_OPEN) | BERTH_WIRE_BIT(BERTH_WIRE_INVOKE) |
                   BERTH_WIRE_BIT(BERTH_WIRE_SERVE) | BERTH_WIRE_BIT(BERTH_WIRE_STOP) |
                   BERTH_WIRE_BIT(BERTH_WIRE_LEVEL) | BERTH_WIRE_BIT(BERTH_WIRE_TELL) |
                   BERTH_WIRE_BIT(BERTH_WIRE_REFUSE),
        .ops = &peer_ops,
        .user = &worker,
    };

    berth_idmap_init(&worker.told);
    if (fcntl(newborn->socket, F_SETFL, O_NONBLOCK) != 0 ||
        berth_loop_new(&worker.loop, NULL) != BERTH_OK)
        return EXIT_FAILURE;
    setup.loop = worker.loop;
    if (berth_peer_new(&setup, newborn->socket, &worker.peer, NULL) != BERTH_OK ||
        berth_peer_open(worker.peer, NULL) != BERTH_OK)
        return EXIT_FAILURE;
    run_loop(&worker);
    if (!worker.stopping)
        _exit(EXIT_SUCCESS); /* the host has gone: nobody waits for an orderly end */
    berth_host_free(worker.host);
    berth_peer_close(worker.peer);
    berth_peer_unref(worker.peer);
    berth_idmap_deinit(&worker.told);
    berth_loop_free(worker.loop);
    return EXIT_SUCCESS;
}

static bool is_zygote_socket(void)
{
    int type;
    socklen_t size = sizeof(type);

    return getsockopt(BERTH_NURSERY_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           type == SOCK_SEQPACKET;
}

int main(int argc, char **argv)
{
    struct berth_newborn newborn;

    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return printf("berth-worker %s\n", berth_version()) < 0;
    if (argc != 2 || strcmp(argv[1], "--zygote") != 0 || !is_zygote_socket()) {
        fputs("berth-worker: a host starts this program when a module is loaded in a process of "
              "its own\n",
              stderr);
        return 2;
    }
    return berth_nursery_run(&newborn) ? serve(&newborn) : EXIT_SUCCESS;
}
