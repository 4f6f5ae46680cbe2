/* SPDX-License-Identifier: MIT */
/*
 * Placement `process`: the image is mapped in a worker, a process of its own, and its functions are
 * called over a socket. Nothing that comes from the worker is believed (peer.h); a result is
 * unpacked with the signature of the function that was called.
 *
 * A worker's end has two signs: the connection ends, and the zygote tells how the process ended.
 * Whoever sees the first waits a moment for the second, so that callers hear what happened; then
 * the worker is killed, so that there will be a second. `died` is called upon the second alone, and
 * so exactly once.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/memory.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/call/interrupt.h"
#include "runtime/call/ring.h"
#include "runtime/carrier/carrier.h"
#include "runtime/carrier/peer.h"
#include "runtime/carrier/stream.h"
#include "runtime/carrier/waits.h"
#include "runtime/carrier/zygote.h"

#define MS INT64_C(1000000)
/* From the end of the connection until the worker, which may have closed it and live, is killed. */
#define GRACE (500 * MS)
/* From then on until the zygote tells what has become of it: longer, and nobody waits for that. */
#define TELL_TIMEOUT (20000 * MS)
/* From SIGKILL until a worker has ended: it may have much memory to give back. */
#define KILL_TIMEOUT (5000 * MS)

#define LINE_MAX_SIZE ((size_t)8192) /* of a worker's log */

struct process_carrier {
    struct berth_carrier carrier;
    char *name;
    const struct berth_upcalls *upcalls;
    struct berth_loop *loop;
    int64_t stop_timeout;
    size_t max_message;
    struct berth_window several;
    int log_level; /* that the worker has been told */
    struct berth_worker *worker;
    struct berth_peer *peer;
    struct berth_worker_waits waits;
    struct berth_timer grace;     /* runs after the connection's end, until the worker's */
    bool closed;                  /* atomic */
    struct berth_outgoing *serve; /* made while its lack can still be an error; NULL: it serves */

    pthread_mutex_t lock; /* what follows; a leaf */
    bool opened;          /* open has succeeded: from now on the host wants to hear of an end */
    bool stopping;        /* the end is wanted */
    bool ended;
    struct berth_list untold; /* calls that were started, and end when it is known how */
    bool cut_off;             /* it was killed because the connection had ended, and it had not */
    char how[256]; /* it ended, or what it did wrong; "" while it lives, or it is not known yet */
};

static struct process_carrier *self_of(const struct berth_carrier *carrier)
{
    return berth_container(carrier, struct process_carrier, carrier);
}

/* ---- the worker's end ---- */

#define CLOSED     "closed its connection"
#define OUR_SIGNAL "was killed by signal 9 "

/* With the lock held. */
static int error_ended(const struct process_carrier *self, struct berth_error *error)
{
    return berth_error_set(error, BERTH_UNAVAILABLE, "%s: its worker (process %d) %s", self->name,
                           (int)berth_worker_pid(self->worker), self->how[0] ? self->how : CLOSED);
}

/* The first to know is right: what comes later is only its consequence. */
static void set_how(struct process_carrier *self, const char *how)
{
    pthread_mutex_lock(&self->lock);
    if (!self->how[0])
        snprintf(self->how, sizeof(self->how), "%s", how);
    pthread_mutex_unlock(&self->lock);
}

/* A call that the host has started, until its answer. */
struct waited {
    struct berth_list link;
    struct process_carrier *self;
    struct berth_carrier_answer answer;
    const struct berth_type *type;
    int lost; /* the code, if the worker has ended */
};

static void tell(struct waited *waited, bool more, int code, const void *result, size_t size,
                 const struct berth_error *error)
{
    waited->answer.came(waited->answer.user, more, code, result, size, error);
    if (!more)
        berth_free(waited);
}

/* Those who have started calls hear of the end. */
static void tell_ended(struct process_carrier *self)
{
    struct berth_error error;

    for (;;) {
        pthread_mutex_lock(&self->lock);
        struct berth_list *link = self->untold.next;
        bool any = link != &self->untold;
        if (any) {
            berth_list_remove(link);
            error_ended(self, &error);
        }
        pthread_mutex_unlock(&self->lock);
        if (!any)
            return;
        struct waited *waited = berth_container(link, struct waited, link);
        tell(waited, false, waited->lost, NULL, 0, &error);
    }
}

static void on_worker_ended(void *owner, const char *how)
{
    struct process_carrier *self = owner;

    pthread_mutex_lock(&self->lock);
    bool by_us = self->cut_off && strncmp(how, OUR_SIGNAL, strlen(OUR_SIGNAL)) == 0;
    if (!self->how[0])
        snprintf(self->how, sizeof(self->how), "%s", by_us ? CLOSED : how);
    self->ended = true;
    bool wanted = self->opened && !self->stopping;
    pthread_mutex_unlock(&self->lock);
    tell_ended(self);
    if (wanted)
        self->upcalls->died(self->upcalls->user, self->how); /* self may be freed by this */
}

/*
 * The connection has ended some time ago. The worker has closed it and lives on, or it has ended in
 * its own way and a slow machine has not told yet: that is known when this has killed it, or not.
 */
static void cut_off(struct process_carrier *self)
{
    struct pollfd end = { berth_worker_pidfd(self->worker), POLLIN, 0 };
    bool lives = poll(&end, 1, 0) == 0;

    pthread_mutex_lock(&self->lock);
    self->cut_off = self->cut_off || lives;
    pthread_mutex_unlock(&self->lock);
    berth_worker_kill(self->worker);
}

static void on_grace_over(struct berth_timer *timer)
{
    cut_off(timer->owner);
}

static void on_peer_ended(void *user, const char *wrong)
{
    struct process_carrier *self = user;

    if (wrong) {
        set_how(self, wrong);
        berth_worker_kill(self->worker);
    } else if (berth_timer_add(self->loop, &self->grace, berth_now() + GRACE, NULL) != BERTH_OK) {
        berth_worker_kill(self->worker);
    }
}

static bool wait_for_end(struct process_carrier *self, int64_t time, int64_t deadline)
{
    int64_t until = berth_now() + time;

    return berth_worker_wait(self->worker, deadline < until ? deadline : until);
}

/* The connection has ended: waits until it is known how, and says so. */
static int fail_ended(struct process_carrier *self, int64_t deadline, struct berth_error *error)
{
    int64_t patience = berth_now() + GRACE;

    pthread_mutex_lock(&self->lock);
    bool known = self->how[0];
    pthread_mutex_unlock(&self->lock);
    /* whose deadline comes first has not seen how it ends: others will, or the timer */
    if (!known && !wait_for_end(self, GRACE, deadline) && berth_now() >= patience) {
        cut_off(self);
        wait_for_end(self, TELL_TIMEOUT, deadline);
    }
    pthread_mutex_lock(&self->lock);
    int code = error_ended(self, error);
    pthread_mutex_unlock(&self->lock);
    return code;
}

/* ---- what the worker asks for ---- */

static const char *on_check(void *user, const struct berth_received *frame)
{
    struct process_carrier *self = user;
    const struct berth_manifest *manifest = self->carrier.image->manifest;

    switch (frame->wire.type) {
    case BERTH_WIRE_CALL:
        if (frame->wire.kind > BERTH_WIRE_SENT)
            return "no such call";
        return frame->wire.index < manifest->import_count ? NULL : "no import has its number";
    case BERTH_WIRE_PUBLISH:
        return frame->wire.index < manifest->topic_count ? NULL : "no topic has its number";
    case BERTH_WIRE_LOG:
        return frame->wire.kind <= BERTH_LOG_DEBUG ? NULL : "no log level has its number";
    case BERTH_WIRE_WAIT:
        return berth_worker_waits_check(&self->waits, frame);
    case BERTH_WIRE_HANDLE_ENDED:
        return frame->wire.size == sizeof(uint64_t) ? NULL : "not the size of a handle";
    default: /* HANDLE_RESTORED, WAITED */
        return frame->wire.size == 2 * sizeof(uint64_t) ? NULL : "not the size of two numbers";
    }
}

/* A call that the worker has started, until its answer. */
struct started {
    struct process_carrier *self;
    struct berth_peer_later later;
    struct berth_received *request;
};

static void started_begin(void *user, void *call)
{
    struct started *started = user;
    struct process_carrier *self = started->self;

    started->later.what = call;
    started->later.hold = self->upcalls->hold;
    started->later.cancel = self->upcalls->cancel;
    started->later.taken = self->upcalls->taken;
    berth_peer_later_begin(self->peer, &started->later, started->request);
    berth_worker_waits_begun(&self->waits, call); /* it may be cancelled, and answered, already */
}

static void started_end(void *user)
{
    struct started *started = user;
    berth_peer_later_end(&started->later);
}

static bool started_came(void *user, bool more, int code, const char *packed, size_t size,
                         const struct berth_error *error)
{
    struct started *started = user;
    struct berth_buffer buffer;

    berth_peer_begin(started->later.peer, &buffer);
    berth_buffer_append(&buffer, packed, size);
    if (more)
        return berth_peer_later_more(&started->later, &buffer);
    berth_peer_later_reply(&started->later, code, &buffer, error);
    berth_free(started);
    return true;
}

static uint32_t started_taker(void *user, size_t i)
{
    struct started *started = user;
    struct berth_worker_waits *waits = &started->self->waits;
    uint32_t theirs = berth_peer_later_taker(&started->later);

    if (theirs == BERTH_CHAIN_OTHER)
        return berth_worker_waits_inside(waits, i);
    return i == 0 ? berth_worker_waits_chain(waits, theirs) : 0;
}

static int serve_started(struct process_carrier *self, const struct berth_origin *from,
                         struct berth_received *request, struct berth_error *error)
{
    const struct berth_upcalls *upcalls = self->upcalls;
    struct berth_reader arguments = berth_received_reader(request);
    struct started *started = berth_calloc(1, sizeof(*started));

    if (!started)
        return berth_error_nomem(error);
    started->self = self;
    started->request = request;
    const struct berth_carrier_reply reply = { started_begin, started_came, started_taker,
                                               started };
    int code = upcalls->start(upcalls->user, from, request->wire.index, &arguments, &reply, error);
    if (code == BERTH_OK)
        return BERTH_PEER_LATER;
    berth_free(started);
    return code;
}

static int serve_call(struct process_carrier *self, const struct berth_origin *from,
                      struct berth_received *request, struct berth_buffer *result,
                      struct berth_error *error)
{
    const struct berth_upcalls *upcalls = self->upcalls;
    struct berth_reader arguments = berth_received_reader(request);
    struct started started = { .self = self, .request = request };
    const struct berth_carrier_running running = { started_begin, started_end, &started };

    return upcalls->call(upcalls->user, from, request->wire.index, from->under ? NULL : &running,
                         &arguments, result, error);
}

static int on_serve(void *user, berth_ctx *under, struct berth_received *request,
                    struct berth_buffer *result, struct berth_error *error)
{
    struct process_carrier *self = user;
    const struct berth_upcalls *upcalls = self->upcalls;
    const struct berth_origin from = { under, request->of, request->deadline };
    struct berth_reader arguments = berth_received_reader(request);

    if (request->wire.type == BERTH_WIRE_PUBLISH)
        return upcalls->publish(upcalls->user, &from, request->wire.index, &arguments, error);
    if (request->wire.kind == BERTH_WIRE_STARTED)
        return serve_started(self, &from, request, error);
    if (request->wire.kind == BERTH_WIRE_SENT)
        return upcalls->start(upcalls->user, &from, request->wire.index, &arguments, NULL, error);
    return serve_call(self, &from, request, result, error);
}

static void pass_line_on(struct process_carrier *self, struct berth_received *note)
{
    size_t size = note->wire.size < LINE_MAX_SIZE ? note->wire.size : LINE_MAX_SIZE;
    char *text = (char *)note->data;

    text[size] = '\0'; /* there is room: a frame's data ends with a NUL */
    size_t words = strlen(text);
    char *chain = words < size ? text + words + 1 : text + size;
    berth_utf8_repair(text, words);
    berth_utf8_repair(chain, strlen(chain));
    self->upcalls->log(self->upcalls->user, note->wire.kind, chain, text, note->wire.echo != 0);
}

static void on_note(void *user, struct berth_received *note)
{
    struct process_carrier *self = user;
    const struct berth_upcalls *upcalls = self->upcalls;
    struct berth_reader reader = berth_received_reader(note);
    uint64_t id, next;

    if (note->wire.type == BERTH_WIRE_LOG)
        pass_line_on(self, note);
    else if (note->wire.type == BERTH_WIRE_WAIT)
        berth_worker_waits_add(&self->waits, note);
    else if (!berth_wire_get_u64(&reader, &id))
        return;
    else if (note->wire.type == BERTH_WIRE_HANDLE_ENDED)
        upcalls->handle_ended(upcalls->user, id);
    else if (!berth_wire_get_u64(&reader, &next))
        return;
    else if (note->wire.type == BERTH_WIRE_WAITED)
        berth_worker_waits_remove(&self->waits, id, next);
    else
        upcalls->handle_restored(upcalls->user, id, next);
}

static int on_submit(void *user, struct berth_peer_work *work)
{
    struct process_carrier *self = user;

    return self->upcalls->submit(self->upcalls->user, berth_peer_work_run, work);
}

static bool on_work(void *user, berth_ctx *ctx, uint64_t since, int64_t until)
{
    struct process_carrier *self = user;
    const struct berth_upcalls *upcalls = self->upcalls;

    if (upcalls->work)
        upcalls->work(upcalls->user, ctx, since, until);
    return upcalls->work != NULL;
}

static void on_left(void *user, uint64_t request)
{
    struct process_carrier *self = user;

    berth_worker_waits_left(&self->waits, request);
}

static void on_waits(void *user, bool waits)
{
    struct process_carrier *self = user;

    if (self->upcalls->waits)
        self->upcalls->waits(self->upcalls->user, waits);
}

static const struct berth_peer_ops peer_ops = {
    .check = on_check,
    .serve = on_serve,
    .note = on_note,
    .submit = on_submit,
    .waits = on_waits,
    .work = on_work,
    .left = on_left,
    .ended = on_peer_ended,
};

/* ---- life ---- */

static void process_fini(struct berth_carrier *carrier)
{
    if (!carrier)
        return;
    struct process_carrier *self = self_of(carrier);
    /* In this order: the peer starts the timer, and both use the worker. */
    if (self->peer)
        berth_peer_close(self->peer);
    berth_timer_remove(&self->grace);
    tell_ended(self);
    berth_worker_waits_deinit(&self->waits);
    berth_peer_unref(self->peer);
    if (self->serve)
        berth_outgoing_free(self->serve);
    berth_worker_free(self->worker);
    pthread_mutex_destroy(&self->lock);
    berth_free(self->name);
    berth_free(self);
}

/* The worker, and the connection to it. */
static int connect_worker(struct process_carrier *self, struct berth_zygote *zygote,
                          int64_t deadline, struct berth_error *error)
{
    struct berth_peer_setup setup = {
        .loop = self->loop,
        .max_message = self->max_message,
        .several = self->several,
        .accepts = BERTH_WIRE_BIT(BERTH_WIRE_CALL) | BERTH_WIRE_BIT(BERTH_WIRE_PUBLISH) |
                   BERTH_WIRE_BIT(BERTH_WIRE_LOG) | BERTH_WIRE_BIT(BERTH_WIRE_HANDLE_ENDED) |
                   BERTH_WIRE_BIT(BERTH_WIRE_HANDLE_RESTORED) | BERTH_WIRE_BIT(BERTH_WIRE_WAIT) |
                   BERTH_WIRE_BIT(BERTH_WIRE_WAITED),
        .ops = &peer_ops,
        .user = self,
    };
    const struct berth_worker_end end = { on_worker_ended, self };
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return berth_error_errno(error, errno, "cannot make a socket for a worker");
    int code = berth_zygote_spawn(zygote, self->name, ends[1], self->carrier.image->copy->fd,
                                  deadline, &end, &self->worker, error);
    close(ends[1]);
    if (code != BERTH_OK) {
        close(ends[0]);
        return code;
    }
    setup.life = berth_worker_pidfd(self->worker);
    code = berth_peer_new(&setup, ends[0], &self->peer, error);
    if (code != BERTH_OK)
        return code;
    self->waits.peer = self->peer;
    return berth_peer_open(self->peer, error);
}

static unsigned generation_of(const struct berth_image *image)
{
    const char *mark = strrchr(image->label, '#');

    return mark ? (unsigned)strtoul(mark + 1, NULL, 10) : 0;
}

/* Has the worker map the image. */
static int open_image(struct process_carrier *self, const char *options_json, int64_t deadline,
                      struct berth_error *error)
{
    const struct berth_image *image = self->carrier.image;
    struct berth_wire wire = { .type = BERTH_WIRE_OPEN, .index = generation_of(image) };
    struct berth_received *reply;
    struct berth_buffer buffer;

    berth_peer_begin(self->peer, &buffer);
    berth_wire_put_text(&buffer, self->name);
    berth_wire_put_text(&buffer, image->file);
    berth_wire_put_u64(&buffer, self->max_message);
    berth_wire_put_u64(&buffer, (uint64_t)self->stop_timeout);
    berth_wire_put_u64(&buffer, (uint64_t)self->log_level);
    berth_wire_put_u64(&buffer, self->several.messages);
    berth_wire_put_u64(&buffer, self->several.bytes);
    berth_wire_put_text(&buffer, options_json ? options_json : "{}");
    int code = berth_peer_call(self->peer, &wire, &buffer, NULL, deadline, &reply, error);
    if (code == BERTH_OK)
        berth_received_free(reply);
    if (code == BERTH_PEER_ENDED)
        code = fail_ended(self, deadline, error);
    if (code == BERTH_PEER_EXPIRED)
        code = berth_error_set(error, BERTH_DEADLINE_EXCEEDED,
                               "%s: its worker (process %d) did not get ready in time: does a "
                               "constructor hang?",
                               self->name, (int)berth_worker_pid(self->worker));
    return code;
}

/* The note to serve, for when it is due: then there must be no want of memory. */
static int make_serve(struct process_carrier *self, struct berth_error *error)
{
    const struct berth_wire wire = { .type = BERTH_WIRE_SERVE };
    struct berth_buffer buffer;

    if (self->serve)
        return BERTH_OK;
    berth_peer_begin(self->peer, &buffer);
    self->serve = berth_peer_make(&wire, &buffer);
    return self->serve ? BERTH_OK : berth_error_nomem(error);
}

static int process_open(const struct berth_carrier_setup *setup, int64_t deadline,
                        struct berth_carrier **ret_carrier, struct berth_error *error)
{
    struct process_carrier *self = berth_calloc(1, sizeof(*self));

    if (self)
        self->name = berth_strdup(setup->name);
    if (!self || !self->name) {
        berth_free(self);
        return berth_error_nomem(error);
    }
    self->carrier = (struct berth_carrier){ &berth_carrier_process, setup->image };
    self->upcalls = setup->upcalls;
    self->loop = setup->loop;
    self->stop_timeout = setup->stop_timeout;
    self->max_message = setup->max_message;
    self->several = setup->several;
    self->log_level = setup->log_level;
    self->grace = (struct berth_timer){ .fire = on_grace_over, .owner = self };
    pthread_mutex_init(&self->lock, NULL);
    berth_list_init(&self->untold);
    berth_worker_waits_init(&self->waits, self->name, self->upcalls);

    int code = connect_worker(self, setup->zygote, deadline, error);
    if (code == BERTH_OK)
        code = make_serve(self, error);
    if (code == BERTH_OK)
        code = open_image(self, setup->options_json, deadline, error);
    if (code == BERTH_OK) {
        pthread_mutex_lock(&self->lock);
        self->opened = !self->ended;
        pthread_mutex_unlock(&self->lock);
        if (!self->opened)
            code = fail_ended(self, deadline, error);
    }
    if (code == BERTH_OK)
        *ret_carrier = &self->carrier;
    else
        process_fini(&self->carrier);
    return code;
}

static void process_close(struct berth_carrier *carrier)
{
    __atomic_store_n(&self_of(carrier)->closed, true, __ATOMIC_RELEASE);
}

static void process_serve(struct berth_carrier *carrier)
{
    struct process_carrier *self = self_of(carrier);
    struct berth_outgoing *serve = self->serve;

    self->serve = NULL;
    if (serve && !berth_peer_send(self->peer, serve)) {
        set_how(self, "could not be told to serve");
        berth_worker_kill(self->worker);
    }
}

static bool process_set_log_level(struct berth_carrier *carrier, int level)
{
    struct process_carrier *self = self_of(carrier);
    const struct berth_wire wire = { .type = BERTH_WIRE_LEVEL, .kind = (uint16_t)level };
    struct berth_buffer buffer;

    if (self->log_level == level)
        return true;
    berth_peer_begin(self->peer, &buffer);
    if (!berth_peer_note(self->peer, &wire, &buffer))
        return false;
    self->log_level = level;
    return true;
}

/* Without memory for it, what is inside is waited for, or killed, as one that does not listen. */
static void process_tell(struct berth_carrier *carrier, enum berth_ending ending)
{
    struct process_carrier *self = self_of(carrier);
    const struct berth_wire wire = { .type = BERTH_WIRE_TELL, .kind = (uint16_t)ending };
    struct berth_buffer buffer;

    berth_peer_begin(self->peer, &buffer);
    berth_peer_note(self->peer, &wire, &buffer);
}

static void process_kill(struct berth_carrier *carrier)
{
    struct process_carrier *self = self_of(carrier);

    set_how(self, "was killed, as something inside did not end in time");
    berth_worker_kill(self->worker);
}

static void warn_of_kill(struct process_carrier *self)
{
    char text[128], within[BERTH_TIME_MAX];

    snprintf(text, sizeof(text), "its worker (process %d) is killed: it has not ended within %s s",
             (int)berth_worker_pid(self->worker),
             berth_time_print_exact(self->stop_timeout, within));
    self->upcalls->log(self->upcalls->user, BERTH_LOG_WARNING, "", text, false);
}

static bool process_stop(struct berth_carrier *carrier)
{
    struct process_carrier *self = self_of(carrier);
    const struct berth_wire wire = { .type = BERTH_WIRE_STOP };
    struct berth_buffer buffer;

    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_mutex_unlock(&self->lock);
    berth_peer_begin(self->peer, &buffer);
    berth_peer_note(self->peer, &wire, &buffer);
    berth_peer_finish(self->peer);
    if (!berth_worker_wait(self->worker, berth_now() + self->stop_timeout)) {
        warn_of_kill(self);
        berth_worker_kill(self->worker);
        berth_worker_wait(self->worker, berth_now() + KILL_TIMEOUT);
    }
    return berth_peer_close_until(self->peer, berth_now() + self->stop_timeout);
}

static int process_pid(const struct berth_carrier *carrier)
{
    return (int)berth_worker_pid(self_of(carrier)->worker);
}

/* ---- invoking ---- */

/* Passes handles on to the host's walk, and remembers whether it was that which failed. */
struct handle_guard {
    const struct berth_handle_walk *walk;
    bool failed;
};

static int guard_handle(void *user, const struct berth_type *type, uint64_t *id,
                        struct berth_error *error)
{
    struct handle_guard *guard = user;
    int code = guard->walk->handle(guard->walk->user, type, id, error);

    guard->failed = code != BERTH_OK;
    return code;
}

/*
 * A result is the callee's to get wrong; that it does not even have the type's form is the
 * worker's.
 */
static int take_result(struct process_carrier *self, const struct berth_type *type,
                       const struct berth_received *reply, struct berth_arena *arena, void *result,
                       struct berth_error *error)
{
    struct berth_reader reader = berth_received_reader(reply);
    struct handle_guard guard = { &self->upcalls->from_module, false };
    const struct berth_handle_walk walk = { guard_handle, &guard };

    if (!result && type->size)
        result = berth_arena_alloc(arena, type->size);
    if (!result && type->size)
        return berth_error_nomem(error);
    int code = type->kind == BERTH_KIND_VOID
                   ? BERTH_OK
                   : berth_value_unpack(type, &reader, arena, result, &walk, error);
    if (code == BERTH_RESOURCE_EXHAUSTED || guard.failed)
        return code;
    if (code == BERTH_OK && reader.next == reader.end)
        return BERTH_OK;
    berth_peer_break(self->peer, "sent a malformed frame: a result that is not of its type");
    return BERTH_PEER_ENDED;
}

/* ".divide", or nothing for what has no name. */
static const char *function_name(const struct process_carrier *self, const struct berth_wire *wire,
                                 char buffer[BERTH_IDENTIFIER_MAX + 2])
{
    const struct berth_manifest *manifest = self->carrier.image->manifest;

    buffer[0] = '\0';
    if (wire->kind == BERTH_ITEM_EXPORT)
        snprintf(buffer, BERTH_IDENTIFIER_MAX + 2, ".%s", manifest->exports[wire->index].name);
    return buffer;
}

/* The topic, and the arguments; on failure there is nothing to free. */
static int begin_invoke(struct process_carrier *self, const struct berth_place *place,
                        const struct berth_wire *wire, const struct berth_signature *signature,
                        const void *const *arguments, struct berth_buffer *buffer,
                        struct berth_error *error)
{
    char function[BERTH_IDENTIFIER_MAX + 2];

    berth_peer_begin(self->peer, buffer);
    berth_wire_put_text(buffer, place->topic ? place->topic : "");
    int code = berth_arguments_pack(signature, arguments, buffer, &self->upcalls->to_module, error);
    if (code == BERTH_OK)
        return BERTH_OK;
    berth_buffer_deinit(buffer);
    return berth_error_prefix(error, "%s%s: %s", self->name, function_name(self, wire, function),
                              code == BERTH_RESOURCE_EXHAUSTED ? "the arguments: " : "");
}

static int call_worker(struct process_carrier *self, const struct berth_place *place,
                       const struct berth_wire *wire, const struct berth_signature *signature,
                       const void *const *arguments, void *result, struct berth_error *error)
{
    char function[BERTH_IDENTIFIER_MAX + 2];
    struct berth_received *reply;
    struct berth_buffer buffer;

    int code = begin_invoke(self, place, wire, signature, arguments, &buffer, error);
    if (code != BERTH_OK)
        return code;
    code = berth_peer_call(self->peer, wire, &buffer, place->ctx, place->deadline, &reply, error);
    if (code == BERTH_OK) {
        code = take_result(self, signature->result, reply, place->arena, result, error);
        berth_received_free(reply);
    }
    if (code == BERTH_PEER_ENDED) {
        fail_ended(self, place->deadline, error);
        return BERTH_INVOKED_LOST;
    }
    if (code == BERTH_PEER_EXPIRED)
        code = berth_error_set(
            error, BERTH_DEADLINE_EXCEEDED, "%s%s: its worker (process %d) did not answer in time",
            self->name, function_name(self, wire, function), (int)berth_worker_pid(self->worker));
    if (code == BERTH_PEER_CANCELLED) {
        const char *over = berth_call_over(place->ctx); /* NULL: it need not stop any more */
        code = berth_error_set(error, BERTH_CANCELLED, "%s%s: %s", self->name,
                               function_name(self, wire, function), over ? over : "cancelled");
    }
    return code;
}

static int process_invoke(struct berth_carrier *carrier, const struct berth_place *place,
                          enum berth_item_kind kind, size_t index, const void *const *arguments,
                          void *result, struct berth_error *error)
{
    struct process_carrier *self = self_of(carrier);
    const struct berth_signature *signature =
        berth_item_signature(carrier->image->manifest, kind, index);
    const struct berth_wire wire = { .type = BERTH_WIRE_INVOKE,
                                     .kind = (uint16_t)kind,
                                     .index = (uint32_t)index,
                                     .echo = place->echo,
                                     .single = place->single };

    if (!signature)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s: has no such item", self->name);
    int code = BERTH_INVOKED_LOST;
    if (__atomic_load_n(&self->closed, __ATOMIC_ACQUIRE))
        berth_error_set(error, BERTH_UNAVAILABLE, "%s: is being unloaded", self->name);
    else if (kind == BERTH_ITEM_HOOK && index == BERTH_HOOK_SAVE) /* it serves no more */
        code = make_serve(self, error);
    else
        code = BERTH_OK;
    if (code == BERTH_OK)
        code = call_worker(self, place, &wire, signature, arguments, result, error);
    if (code != BERTH_OK && result)
        berth_value_zero(signature->result, result);
    return code;
}

/* ---- invoking, without waiting ---- */

/* The worker has ended; it may take a moment until it is known how. */
static void tell_when_known(struct waited *waited, int lost)
{
    struct process_carrier *self = waited->self;

    waited->lost = lost;

    pthread_mutex_lock(&self->lock);
    berth_list_append(&self->untold, &waited->link);
    bool known = self->how[0];
    pthread_mutex_unlock(&self->lock);
    if (known)
        tell_ended(self);
}

static void on_came(void *user, bool more, int code, const struct berth_received *reply,
                    const struct berth_error *error)
{
    struct waited *waited = user;
    struct berth_arena arena;
    struct berth_error own;
    void *value = NULL;

    if (code == BERTH_PEER_ENDED) {
        tell_when_known(waited, BERTH_INVOKED_LOST);
        return;
    }
    if (code != BERTH_OK) {
        tell(waited, more, code, NULL, 0, error);
        return;
    }
    berth_arena_init(&arena);
    if (waited->type->size && !(value = berth_arena_alloc(&arena, waited->type->size)))
        code = berth_error_nomem(&own);
    if (code == BERTH_OK)
        code = take_result(waited->self, waited->type, reply, &arena, value, &own);
    if (code == BERTH_PEER_ENDED)
        code = berth_error_set(&own, BERTH_DATA_LOSS,
                               "%s: its worker has sent a result that is not of its type",
                               waited->self->name);
    tell(waited, more, code, value, reply->wire.size, &own);
    berth_arena_deinit(&arena);
}

static void *hold_call(void *user)
{
    const struct waited *waited = user;

    waited->answer.hold(waited->answer.user);
    return waited->answer.user;
}

static int process_start(struct berth_carrier *carrier, const struct berth_place *place,
                         enum berth_item_kind kind, size_t index, const void *const *arguments,
                         const struct berth_carrier_answer *answer, uint64_t *ret_id,
                         struct berth_error *error)
{
    struct process_carrier *self = self_of(carrier);
    const struct berth_signature *signature =
        berth_item_signature(carrier->image->manifest, kind, index);
    const struct berth_wire wire = { .type = BERTH_WIRE_INVOKE,
                                     .kind = (uint16_t)kind,
                                     .index = (uint32_t)index,
                                     .echo = place->echo,
                                     .single = place->single };
    struct waited *waited;
    struct berth_buffer buffer;

    if (__atomic_load_n(&self->closed, __ATOMIC_ACQUIRE))
        return berth_error_set(error, BERTH_UNAVAILABLE, "%s: is being unloaded", self->name);
    if (!(waited = berth_calloc(1, sizeof(*waited))))
        return berth_error_nomem(error);
    *waited = (struct waited){ .self = self, .answer = *answer, .type = signature->result };
    const struct berth_peer_answer came = { on_came, hold_call, answer->release, waited };
    int code = begin_invoke(self, place, &wire, signature, arguments, &buffer, error);
    if (code == BERTH_OK)
        code = berth_peer_start(self->peer, &wire, &buffer, place->deadline, &came, ret_id, error);
    if (code == BERTH_PEER_ENDED) {
        *ret_id = 0;
        tell_when_known(waited, BERTH_INVOKED_UNSENT);
        return BERTH_OK;
    }
    if (code == BERTH_PEER_EXPIRED)
        code = berth_error_set(error, BERTH_DEADLINE_EXCEEDED, "%s: not begun before the deadline",
                               self->name);
    if (code != BERTH_OK)
        berth_free(waited);
    return code;
}

static void process_cancel(struct berth_carrier *carrier, uint64_t id)
{
    berth_peer_cancel(self_of(carrier)->peer, id);
}

static bool process_taken(struct berth_carrier *carrier, uint64_t id,
                          const struct berth_window *taken, bool none)
{
    return berth_peer_taken(self_of(carrier)->peer, id, taken, none, 0);
}

static uint32_t process_runner(struct berth_carrier *carrier, uint64_t id)
{
    return berth_worker_waits_runner(&self_of(carrier)->waits, id);
}

const struct berth_carrier_ops berth_carrier_process = {
    .name = "process",
    .open = process_open,
    .invoke = process_invoke,
    .start = process_start,
    .cancel = process_cancel,
    .taken = process_taken,
    .runner = process_runner,
    .serve = process_serve,
    .set_log_level = process_set_log_level,
    .tell = process_tell,
    .close = process_close,
    .stop = process_stop,
    .kill = process_kill,
    .fini = process_fini,
    .pid = process_pid,
};
