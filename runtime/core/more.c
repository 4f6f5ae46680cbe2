/* SPDX-License-Identifier: MIT */
#include "runtime/core/more.h"
#include "runtime/call/interrupt.h"
#include "runtime/call/park.h"
#include "runtime/call/ring.h"
#include "runtime/core/generation.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"

#include <stdio.h>

/* What has become of one of several replies. */
enum put {
    PUT,      /* it lies there */
    UNWANTED, /* nobody takes it */
    FULL,     /* it does not lie there, and may later */
};

static struct berth_window limit_of(const struct berth_started *started)
{
    const struct berth_host_options *options = &started->host->options;
    return (struct berth_window){ options->mailbox_messages, options->mailbox_bytes };
}

/* The call's lock is held, as in the next ones. */
static bool is_wanted(const struct berth_started *started)
{
    return !started->answered && !started->one_way && !started->single;
}

static bool has_room(const struct berth_started *started, size_t size)
{
    const struct berth_window limit = limit_of(started);
    return berth_window_has_room(&started->sent, &limit, size);
}

bool berth_more_is_full(const struct berth_started *started)
{
    const struct berth_window limit = limit_of(started);
    return !started->answered &&
           (started->sent.messages >= limit.messages || started->sent.bytes > limit.bytes / 2);
}

/* The reply is taken if it is there then. */
static enum put put(struct berth_started *started, struct berth_reply *reply)
{
    pthread_mutex_lock(&started->lock);
    enum put put = !is_wanted(started) ? UNWANTED : has_room(started, reply->cost) ? PUT : FULL;
    if (put != PUT) {
        pthread_mutex_unlock(&started->lock);
        return put;
    }
    berth_window_add(&started->sent, reply->cost);
    *started->last = reply;
    started->last = &reply->next;
    berth_started_tell(started);
    return PUT;
}

/* ---- waiting for room ---- */

/* Who has one to send, and no room for it: on the stack of that thread. */
struct sending {
    struct berth_list link; /* in started->senders */
    struct berth_started *started;
    struct berth_park *park;
    const char *taker;
    struct berth_wait wait;
    char target[BERTH_FRAME_NAME];
};

void berth_more_wake(struct berth_started *started)
{
    berth_list_each(&started->senders, link)
        berth_park_wake(berth_container(link, struct sending, link)->park);
}

/* The call whose caller takes what this one gets. */
static struct berth_started *end_of(struct berth_started *started)
{
    while (started->sink)
        started = started->sink;
    return started;
}

/* Lasts as long as the host. */
static const char *taker_name(struct berth_started *started)
{
    struct berth_started *end = end_of(started);
    const char *name = end->host->upstream ? "its caller" : "the application";
    pthread_mutex_lock(&end->lock);
    if (end->owner && is_wanted(end)) /* else that may have ended */
        name = end->owner->module->name;
    pthread_mutex_unlock(&end->lock);
    return name;
}

/*
 * Whoever took the last one, or has started the call, and is in the same module still; else 0. The
 * call's lock is held, and it is not answered: its owner has not ended.
 */
static uint32_t last_taker(const struct berth_started *started)
{
    struct berth_generation *owner = started->owner;
    if (owner && !berth_frames_count_of(&started->host->threads, started->taker,
                                        berth_generation_holds, owner, NULL))
        return 0;
    return started->taker;
}

/* The chain that is to take some: that, or the turn that calls its function. */
static uint32_t taker_of(struct berth_started *started)
{
    struct berth_module *module = NULL; /* of a name: for the host's life */
    uint32_t chain = 0;
    pthread_mutex_lock(&started->lock);
    if (is_wanted(started) && started->fn)
        module = started->owner ? started->owner->module : NULL;
    else if (is_wanted(started) && !started->notify)
        chain = last_taker(started);
    pthread_mutex_unlock(&started->lock);
    if (module)
        chain = berth_module_turn(module);
    return chain ? chain : BERTH_CHAIN_OTHER;
}

static uint32_t room_holder(const struct berth_wait *wait, size_t i)
{
    const struct sending *sending = wait->of;
    struct berth_started *started = sending->started;
    if (i > 0)
        return 0;
    pthread_mutex_lock(&started->lock);
    bool over = !is_wanted(started) || !berth_more_is_full(started);
    pthread_mutex_unlock(&started->lock);
    return over ? BERTH_CHAIN_OTHER : taker_of(end_of(started));
}

static void room_refuse(struct berth_wait *wait)
{
    const struct sending *sending = wait->of;
    berth_park_wake(sending->park);
}

/* Why it is not waited for any longer: a code; or BERTH_OK: it still is. */
static int reason_to_leave(const struct sending *sending, bool waits, const char **ret_over)
{
    if (!waits || berth_wait_refused(&sending->wait))
        return BERTH_ABORTED;
    if ((*ret_over = berth_generation_interrupted(sending->wait.ctx)))
        return BERTH_CANCELLED;
    return berth_now() >= berth_thread_of(sending->wait.ctx)->deadline ? BERTH_DEADLINE_EXCEEDED
                                                                       : BERTH_OK;
}

/* Until it is there, or nobody wants it, or for another reason: FULL with its code. */
static enum put sleep_for_room(const struct sending *sending, struct berth_reply *reply, bool waits,
                               int *ret_code, const char **ret_over)
{
    const struct berth_thread *thread = berth_thread_of(sending->wait.ctx);
    struct berth_started *started = sending->started;
    for (;;) {
        enum put result = berth_started_is_open(started) ? put(started, reply) : UNWANTED;
        *ret_code = result == FULL ? reason_to_leave(sending, waits, ret_over) : BERTH_OK;
        if (result != FULL || *ret_code != BERTH_OK)
            return result;
        int64_t last = __atomic_load_n(&started->deadline, __ATOMIC_RELAXED);
        berth_park_wait(sending->park, last < thread->deadline ? last : thread->deadline);
    }
}

/* over: why it was cancelled. */
static void explain(berth_ctx *ctx, const struct sending *sending, int code, const char *over)
{
    const char *name = sending->started->name, *taker = sending->taker;
    if (code == BERTH_ABORTED)
        berth_fault_raise_format(ctx, code, "%s: %s", name, sending->wait.ring);
    else if (code == BERTH_CANCELLED)
        berth_fault_raise_format(ctx, code, "%s: %s had not taken its replies, and %s", name, taker,
                                 over);
    else
        berth_fault_raise_format(ctx, code, "%s: %s had not taken its replies before the deadline",
                                 name, taker);
}

/* As room for a message is waited for (mailbox.c). */
static enum put wait_for_room(berth_ctx *ctx, struct berth_started *started,
                              struct berth_reply *reply)
{
    struct sending sending = { .started = started,
                               .park = berth_park_own(),
                               .taker = taker_name(started) };
    struct berth_interrupt interrupt;
    const char *over = NULL;
    int code;
    sending.wait = (struct berth_wait){ .ctx = ctx,
                                        .of = &sending,
                                        .holder = room_holder,
                                        .target = sending.target,
                                        .refuse = room_refuse };
    snprintf(sending.target, sizeof sending.target, "%s (replies)", sending.taker);
    bool waits = berth_wait_begin(&sending.wait);
    if (waits)
        berth_schedule_blocks(started->host);
    berth_interrupt_begin(&interrupt, ctx, sending.park, NULL);
    berth_interrupt_lasts(&interrupt);
    pthread_mutex_lock(&started->lock);
    berth_list_append(&started->senders, &sending.link);
    pthread_mutex_unlock(&started->lock);
    enum put result = sleep_for_room(&sending, reply, waits, &code, &over);
    pthread_mutex_lock(&started->lock);
    berth_list_remove(&sending.link);
    pthread_mutex_unlock(&started->lock);
    berth_interrupt_end(&interrupt);
    if (waits) {
        berth_schedule_goes_on(started->host);
        berth_wait_end(&sending.wait);
    }
    if (code != BERTH_OK)
        explain(ctx, &sending, code, over);
    return result;
}

/* ---- the callee's ---- */

bool berth_more_send(berth_ctx *ctx, struct berth_started *started, const struct berth_type *type,
                     const void *value)
{
    struct berth_reply *reply;
    struct berth_error error;
    if (!berth_started_is_open(started))
        return false;
    int code = berth_reply_new(started, type, value, true, &reply, &error);
    if (code != BERTH_OK)
        berth_fault_raise_format(ctx, code, "%s", error.text);
    if (code != BERTH_OK || !reply)
        return false;
    reply->cost = reply->size;
    enum put result = put(started, reply);
    if (result == FULL && started->host->pool_size)
        result = wait_for_room(ctx, started, reply);
    else if (result == FULL) /* whoever should take them may be this thread */
        berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED,
                                 "%s: %s has not taken its replies, and a host without threads "
                                 "cannot wait for that: send fewer, or give it threads",
                                 started->name, taker_name(started));
    if (result != PUT)
        berth_reply_free(started, reply);
    return result == PUT;
}

int berth_more_came(struct berth_started *started, const struct berth_type *type, const void *value,
                    size_t size, struct berth_error *error)
{
    struct berth_reply *reply;
    if (!berth_started_is_open(started))
        return BERTH_OK;
    int code = berth_reply_new(started, type, value, true, &reply, error);
    if (code != BERTH_OK || !reply)
        return code;
    reply->cost = size;
    enum put result = put(started, reply);
    if (result != PUT)
        berth_reply_free(started, reply);
    return result == FULL ? BERTH_MORE_FULL : BERTH_OK;
}

/* ---- the caller's ---- */

struct berth_reply *berth_more_take(struct berth_started *started)
{
    struct berth_reply *reply = started->first;
    if (!reply)
        return NULL;
    started->first = reply->next;
    if (!started->first)
        started->last = &started->first;
    berth_window_add(&started->taken, reply->cost);
    return reply;
}

/* calls_lock held, as in started.c. false: it cannot be told now. */
static bool tell_elsewhere(struct berth_started *started)
{
    const struct berth_upstream *upstream = started->host->upstream;
    const struct berth_window untold = started->untold;
    bool none = started->none_untold;
    if (!started->remote || (!untold.messages && !none))
        return true;
    /* it has not been answered: its callee is there */
    struct berth_carrier *carrier = started->callee ? started->callee->carrier : NULL;
    started->untold = (struct berth_window){ 0, 0 };
    started->none_untold = false;
    if (carrier)
        return carrier->ops->taken(carrier, started->remote, &untold, none);
    return !upstream || upstream->taken(upstream->user, started->remote, &untold, none);
}

/* taken: some more that were, or NULL; none: no more will be. */
static void tell(struct berth_started *started, const struct berth_window *taken, bool none)
{
    struct berth_host *host = started->host;
    char text[2 * BERTH_IDENTIFIER_MAX + 80];
    pthread_mutex_lock(&host->calls_lock);
    if (taken) {
        started->untold.messages += taken->messages;
        started->untold.bytes += taken->bytes;
    }
    started->none_untold |= none;
    bool told = tell_elsewhere(started);
    pthread_mutex_unlock(&host->calls_lock);
    if (told)
        return;
    snprintf(text, sizeof text, "%s: no memory or room to ask for more replies", started->name);
    berth_started_fail(started, BERTH_RESOURCE_EXHAUSTED, text);
    berth_started_cancel(started);
}

void berth_more_tell(struct berth_started *started)
{
    tell(started, NULL, false);
}

/* What passes its replies on to this one, with a reference; or NULL. The call's lock is held. */
static struct berth_started *source_of(const struct berth_started *started)
{
    if (started->source)
        berth_started_ref(started->source);
    return started->source;
}

void berth_more_taken(struct berth_started *started)
{
    const struct berth_window limit = limit_of(started);
    struct berth_started *source = NULL;
    struct berth_window taken = { 0, 0 };
    pthread_mutex_lock(&started->lock);
    if (berth_window_is_due(&started->taken, &limit)) {
        taken = started->taken;
        berth_window_give_back(&started->sent, &taken);
        started->taken = (struct berth_window){ 0, 0 };
        berth_more_wake(started);
        source = source_of(started);
    }
    pthread_mutex_unlock(&started->lock);
    if (source)
        berth_more_look(source);
    berth_started_unref(source);
    if (taken.messages)
        tell(started, &taken, false);
}

void berth_more_refuse(struct berth_started *started)
{
    struct berth_reply *reply;
    pthread_mutex_lock(&started->lock);
    __atomic_store_n(&started->single, true, __ATOMIC_RELAXED);
    while (!started->notify && (reply = berth_more_take(started))) /* else it is being given away */
        berth_reply_free(started, reply);
    started->sent = started->taken = (struct berth_window){ 0, 0 };
    berth_more_wake(started);
    struct berth_started *source = source_of(started);
    pthread_mutex_unlock(&started->lock);
    if (source)
        berth_more_refuse(source);
    berth_started_unref(source);
    tell(started, NULL, true);
    berth_more_look(started);
}

/* ---- giving them away ---- */

void berth_more_look(struct berth_started *started)
{
    pthread_mutex_lock(&started->lock);
    void (*notify)(struct berth_started *) = started->fn || started->topic ? NULL : started->notify;
    pthread_mutex_unlock(&started->lock);
    if (notify)
        notify(started);
}

void berth_more_heard(void *started, bool none)
{
    if (none)
        berth_more_refuse(started);
    else
        berth_more_look(started);
    berth_started_unref(started);
}

/* Whether nobody takes any there: from here on the source is told so. */
static bool set_source(struct berth_started *sink, struct berth_started *source)
{
    pthread_mutex_lock(&sink->lock);
    sink->source = source;
    bool refused = sink->single;
    pthread_mutex_unlock(&sink->lock);
    return refused;
}

void berth_more_join(struct berth_started *started, struct berth_started *sink)
{
    berth_started_ref(started); /* until they part */
    berth_started_ref(sink);
    started->sink = sink;
    if (set_source(sink, started)) /* before there was anybody to be told */
        berth_more_refuse(started);
}

void berth_more_part(struct berth_started *started)
{
    set_source(started->sink, NULL);
    berth_started_unref(started);
}

/* The oldest one; whoever does not want it gets none. false: it stays. The lock is held. */
static bool give_first(struct berth_started *started, berth_more_give give)
{
    struct berth_reply *reply = started->first;
    bool unwanted = started->single || __atomic_load_n(&started->cancelled, __ATOMIC_ACQUIRE);
    pthread_mutex_unlock(&started->lock);
    bool gone = unwanted || give(started, reply, true);
    pthread_mutex_lock(&started->lock);
    if (!gone)
        return false;
    berth_more_take(started); /* it is the same: nobody else takes any */
    pthread_mutex_unlock(&started->lock);
    berth_reply_free(started, reply);
    berth_more_taken(started);
    pthread_mutex_lock(&started->lock);
    return true;
}

/* The lock is held, and given up meanwhile. */
static void give_answer(struct berth_started *started, berth_more_give give)
{
    started->given = true;
    pthread_mutex_unlock(&started->lock);
    berth_started_leave(started);
    give(started, started->answer, false);
    pthread_mutex_lock(&started->lock);
}

void berth_more_forward(struct berth_started *started, berth_more_give give)
{
    berth_started_ref(started);
    pthread_mutex_lock(&started->lock);
    bool mine = !started->told; /* else who does it looks once more */
    started->told = true;
    started->again = true;
    while (mine && started->again) {
        started->again = false;
        while (started->first && give_first(started, give))
            ;
        if (!started->first && started->answered && !started->given)
            give_answer(started, give);
    }
    if (mine)
        started->told = false;
    pthread_mutex_unlock(&started->lock);
    berth_started_unref(started);
}
