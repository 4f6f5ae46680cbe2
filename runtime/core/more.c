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
    size_t size; /* that it counts for */
    struct berth_park *park;
    const char *taker;
    int64_t quiet; /* until then upstream is not told, or for ever */
    bool told;     /* it is */
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
    else if (*end->caller) /* a worker's */
        name = end->caller;
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

/* The same, or the turn that calls its function, or who takes them where they are passed on to. */
static uint32_t taker_of(struct berth_started *started, size_t i)
{
    struct berth_module *module = NULL; /* of a name: for the host's life */
    uint32_t chain = 0;
    pthread_mutex_lock(&started->lock);
    if (is_wanted(started) && started->fn)
        module = started->owner ? started->owner->module : NULL;
    else if (is_wanted(started) && started->takers) /* not answered: it is passed on still */
        chain = started->takers(started->user, i);
    else if (is_wanted(started) && !started->notify && i == 0)
        chain = last_taker(started);
    pthread_mutex_unlock(&started->lock);
    if (module && i == 0)
        chain = berth_module_turn(module);
    return chain || i > 0 ? chain : BERTH_CHAIN_OTHER;
}

uint32_t berth_more_taker(struct berth_started *started, size_t i)
{
    return taker_of(end_of(started), i);
}

void berth_more_names(struct berth_started *started, const char **ret_name, const char **ret_taker)
{
    *ret_name = started->cell ? started->name : NULL;
    *ret_taker = taker_name(started);
}

static uint32_t room_holder(const struct berth_wait *wait, size_t i)
{
    const struct sending *sending = wait->of;
    struct berth_started *started = sending->started;
    pthread_mutex_lock(&started->lock);
    bool over = !is_wanted(started) || has_room(started, sending->size);
    pthread_mutex_unlock(&started->lock);
    if (over)
        return i == 0 ? BERTH_CHAIN_OTHER : 0;
    return berth_more_taker(started, i);
}

static void room_refuse(struct berth_wait *wait)
{
    const struct sending *sending = wait->of;
    berth_park_wake(sending->park);
}

/* Why it is not waited for any longer: a code; or BERTH_OK: it still is. */
static int reason_to_leave(const struct sending *sending, bool refused, const char **ret_over)
{
    if (refused)
        return BERTH_ABORTED;
    if ((*ret_over = berth_generation_interrupted(sending->wait.ctx)))
        return BERTH_CANCELLED;
    return berth_now() >= berth_thread_of(sending->wait.ctx)->deadline ? BERTH_DEADLINE_EXCEEDED
                                                                       : BERTH_OK;
}

#define MOMENT INT64_C(1000000)

/* In a worker: upstream knows who is to take some. */
static void tell_upstream(struct sending *sending)
{
    const struct berth_upstream *upstream = sending->started->host->upstream;
    sending->quiet = BERTH_FOREVER;
    sending->told = true;
    sending->wait.park = sending->park;
    upstream->wait_begin(upstream->user, &sending->wait, BERTH_WAIT_ROOM, &sending->started->asked,
                         1);
}

static void untell_upstream(struct sending *sending)
{
    const struct berth_upstream *upstream = sending->started->host->upstream;
    if (sending->told)
        upstream->wait_end(upstream->user, &sending->wait);
}

static void sleep_until(struct sending *sending, int64_t until)
{
    int64_t deadline = berth_thread_of(sending->wait.ctx)->deadline;
    int64_t last = __atomic_load_n(&sending->started->deadline, __ATOMIC_RELAXED);
    deadline = last < deadline ? last : deadline;
    until = deadline < until ? deadline : until;
    bool quiet = sending->quiet < until;
    if (!berth_park_wait(sending->park, quiet ? sending->quiet : until) && quiet)
        tell_upstream(sending);
}

static bool is_passed_on(struct berth_started *started)
{
    pthread_mutex_lock(&started->lock);
    bool now = started->told && !started->fn;
    pthread_mutex_unlock(&started->lock);
    return now;
}

/*
 * Until it is there, or nobody wants it, or for another reason: FULL with its code. Upstream may
 * refuse the wait while that some were taken is on its way here: then there is room by now, or in a
 * moment, when another sender has passed on what there is room for there.
 */
static enum put sleep_for_room(struct sending *sending, struct berth_reply *reply, bool waits,
                               int *ret_code, const char **ret_over)
{
    struct berth_started *started = sending->started;
    for (;;) {
        bool refused = !waits || berth_wait_refused(&sending->wait);
        enum put result = berth_started_is_open(started) ? put(started, reply) : UNWANTED;
        *ret_code = result == FULL ? reason_to_leave(sending, refused, ret_over) : BERTH_OK;
        bool soon = *ret_code == BERTH_ABORTED && is_passed_on(started);
        if (!soon && (result != FULL || *ret_code != BERTH_OK))
            return result;
        sleep_until(sending, soon ? berth_now() + MOMENT : BERTH_FOREVER);
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
                               .size = reply->cost,
                               .park = berth_park_own(),
                               .taker = taker_name(started),
                               .quiet = BERTH_FOREVER };
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
    if (started->asked)
        sending.quiet = berth_now() + BERTH_WAIT_TOLD;
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
    untell_upstream(&sending);
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

/* Who takes them, as upstream has it. calls_lock held, as in the next ones. */
static uint32_t taker_for_upstream(struct berth_started *started)
{
    pthread_mutex_lock(&started->lock);
    uint32_t taker = started->fn ? BERTH_CHAIN_OTHER : started->taker_run;
    pthread_mutex_unlock(&started->lock);
    return taker;
}

/* false: it cannot be told now. */
static bool tell_upstream_taken(struct berth_started *started, const struct berth_window *taken,
                                bool none)
{
    const struct berth_upstream *upstream = started->host->upstream;
    uint32_t taker = taker_for_upstream(started);
    bool nothing = !taken->messages && !none; /* but that, which only the finder wants to know */
    if (nothing && taker == started->taker_told)
        return true;
    started->taker_told = taker;
    return upstream->taken(upstream->user, started->remote, taken, none, taker) || nothing;
}

/* As in started.c; the same. */
static bool tell_elsewhere(struct berth_started *started)
{
    const struct berth_window untold = started->untold;
    bool none = started->none_untold;
    if (!started->remote)
        return true;
    started->untold = (struct berth_window){ 0, 0 };
    started->none_untold = false;
    if (started->host->upstream)
        return tell_upstream_taken(started, &untold, none);
    /* it has not been answered: its callee is there */
    struct berth_carrier *carrier = started->callee ? started->callee->carrier : NULL;
    return !carrier || (!untold.messages && !none) ||
           carrier->ops->taken(carrier, started->remote, &untold, none);
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

void berth_more_taker_changes(struct berth_started *started)
{
    if (started->host->upstream)
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
