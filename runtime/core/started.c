/* SPDX-License-Identifier: MIT */
#include "runtime/core/started.h"
#include "runtime/base/memory.h"
#include "runtime/call/interrupt.h"
#include "runtime/call/ring.h"
#include "runtime/core/call.h"
#include "runtime/core/generation.h"
#include "runtime/core/kept.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/more.h"
#include "runtime/core/parcel.h"
#include "runtime/core/permit.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"
#include "runtime/value/words.h"

#include <stdio.h>
#include <string.h>

#define WITH_ITS_CAUSE "the call that has started it was cancelled"
#define ALIGNED(size)  (((size) + 15) & ~(size_t)15)

/* ---- replies ---- */

void berth_reply_free(struct berth_started *started, struct berth_reply *reply)
{
    if (!reply)
        return;
    if (reply->whole.blocks)
        berth_arena_deinit(&reply->whole);
    else if (reply->data != (char *)reply->room)
        berth_free(reply->data);
    if (reply != started->spare)
        berth_free(reply);
}

static struct berth_reply *reply_plain(struct berth_started *started, const struct berth_type *type,
                                       const void *value, bool more)
{
    struct berth_reply *reply =
        !more && started->spare ? started->spare : berth_malloc(sizeof *reply + type->size);
    if (!reply)
        return NULL;
    *reply =
        (struct berth_reply){ .size = type->size, .data = (char *)reply->room, .kind = type->kind };
    memcpy(reply->data, value, type->size);
    return reply;
}

/* With all that it points at: nobody knows its type when it is taken. */
static int reply_whole(const struct berth_started *started, const struct berth_type *type,
                       const void *value, struct berth_reply **ret_reply, struct berth_error *error)
{
    size_t size = berth_value_weight(type, value), limit = started->host->options.max_message;
    if (size > limit)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "the result has %zu bytes; max_message is %zu", size, limit);
    struct berth_reply *reply = berth_calloc(1, sizeof *reply);
    if (!reply)
        return berth_error_nomem(error);
    reply->size = size;
    reply->kind = type->kind;
    reply->data = berth_arena_alloc(&reply->whole, type->size);
    int code = reply->data ? berth_value_copy(type, reply->data, value, &reply->whole, false, error)
                           : berth_error_nomem(error);
    if (code == BERTH_OK) {
        *ret_reply = reply;
        return BERTH_OK;
    }
    berth_arena_deinit(&reply->whole);
    berth_free(reply);
    return code;
}

static int write_text(const struct berth_started *started, const struct berth_type *type,
                      const void *value, struct berth_buffer *buffer, struct berth_error *error)
{
    enum berth_value_kind kind;
    berth_buffer_text(buffer, ""); /* it may stay that */
    if (!started->json)
        return berth_words_write(type, value, buffer, &kind, error);
    if (type->kind != BERTH_KIND_VOID)
        return berth_json_write(type, value, buffer, error);
    berth_buffer_text(buffer, "null");
    return BERTH_OK;
}

static int reply_form(struct berth_started *started, const struct berth_type *type,
                      const void *value, bool more, struct berth_reply **ret_reply,
                      struct berth_error *error)
{
    struct berth_buffer buffer;
    struct berth_reply *reply = NULL;
    int code = BERTH_OK;
    *ret_reply = NULL;
    bool text = started->json || started->words;
    if (started->one_way || (type->kind == BERTH_KIND_VOID && !text))
        return BERTH_OK;
    if (type->plain && !text && !started->packed) {
        *ret_reply = reply_plain(started, type, value, more);
        return *ret_reply ? BERTH_OK : berth_error_nomem(error);
    }
    if (started->whole)
        return reply_whole(started, type, value, ret_reply, error);
    berth_buffer_init(&buffer, started->host->options.max_message);
    if (text)
        code = write_text(started, type, value, &buffer, error);
    else
        code = berth_value_pack(type, value, &buffer, NULL, error);
    if (code == BERTH_OK)
        code = berth_buffer_check(&buffer, error);
    reply = code == BERTH_OK ? berth_calloc(1, sizeof *reply) : NULL;
    if (reply) {
        reply->kind = type->kind;
        reply->data = berth_buffer_take(&buffer, &reply->size);
    }
    berth_buffer_deinit(&buffer);
    if (code == BERTH_OK && (!reply || !reply->data)) {
        berth_free(reply);
        return berth_error_nomem(error);
    }
    *ret_reply = reply;
    return code;
}

int berth_reply_new(struct berth_started *started, const struct berth_type *type, const void *value,
                    bool more, struct berth_reply **ret_reply, struct berth_error *error)
{
    int code = reply_form(started, type, value, more, ret_reply, error);
    return code == BERTH_OK ? code : berth_error_prefix(error, "%s: ", started->name);
}

int berth_reply_read(berth_ctx *ctx, struct berth_reply *reply, const struct berth_type *type,
                     void *ret_value, struct berth_error *error)
{
    if (type->plain) {
        memcpy(ret_value, reply->data, type->size);
        return BERTH_OK;
    }
    struct berth_reader reader = { (const unsigned char *)reply->data,
                                   (const unsigned char *)reply->data + reply->size };
    return berth_value_unpack(type, &reader, &berth_thread_of(ctx)->arena, ret_value, NULL, error);
}

const void *berth_reply_keep(berth_ctx *ctx, struct berth_reply *reply)
{
    struct berth_arena *arena = &berth_thread_of(ctx)->arena;
    if (!reply->whole.blocks)
        return berth_arena_copy(arena, reply->data, reply->size);
    berth_arena_join(arena, &reply->whole);
    const void *value = reply->data;
    reply->data = NULL;
    return value;
}

/* ---- waking ---- */

struct waiting {
    struct berth_interrupt interrupt;
    struct berth_park *park;
    struct berth_host *host;
    const berth_pending *pendings;
    size_t count;
    enum berth_awaited awaited;
    bool begun;     /* the finder knows */
    uint64_t since; /* what is waited for has been looked at since then: berth_loop_woken */
    struct berth_wait wait;
};

void berth_started_wake(struct berth_host *host)
{
    if (berth_interrupt_all(&host->threads) && !host->pool_size)
        berth_loop_wake(host->loop);
}

/* Under the call's lock: who waits looks away under it, too, before he goes. */
static void wake(struct berth_started *started)
{
    if (started->waiter)
        berth_park_wake(started->waiter);
    started->waiter = NULL;
}

void berth_started_tell(struct berth_started *started)
{
    bool woken = started->waiter != NULL;
    void (*notify)(struct berth_started *) = started->notify;
    bool timed = started->answered && started->timed;
    if (timed)
        started->timed = false;
    wake(started);
    if (started->answered)
        berth_more_wake(started);
    pthread_mutex_unlock(&started->lock);
    if (woken && !started->host->pool_size) /* it waits in the loop */
        berth_loop_wake(started->host->loop);
    if (notify)
        notify(started);
    if (timed) {
        berth_timer_remove(&started->timer);
        berth_started_unref(started);
    }
}

/* ---- answering ---- */

/* The answer (taken; text, too): false: there is one already. */
static bool put_answer(struct berth_started *started, int code, char *text,
                       struct berth_reply *answer)
{
    pthread_mutex_lock(&started->lock);
    if (started->answered) {
        pthread_mutex_unlock(&started->lock);
        berth_free(text);
        berth_reply_free(started, answer);
        return false;
    }
    started->answered = true;
    berth_flow_back(started->flow, __atomic_load_n(&started->began, __ATOMIC_RELAXED), code);
    started->code = code;
    started->text = text;
    started->answer = answer;
    berth_started_tell(started);
    return true;
}

bool berth_started_fail(struct berth_started *started, int code, const char *text)
{
    return put_answer(started, code, code == BERTH_OK ? NULL : berth_strdup(text), NULL);
}

static void tell_remote(const struct berth_started *started);

/* Who has it elsewhere is told, or would keep it, and be waited for. */
void berth_started_expire(struct berth_started *started)
{
    char text[2 * BERTH_IDENTIFIER_MAX + 64];
    snprintf(text, sizeof text, "%s: not answered before the deadline", started->name);
    if (!berth_started_fail(started, BERTH_DEADLINE_EXCEEDED, text))
        return;
    __atomic_store_n(&started->cancelled, true, __ATOMIC_RELEASE);
    pthread_mutex_lock(&started->host->calls_lock);
    tell_remote(started);
    pthread_mutex_unlock(&started->host->calls_lock);
    berth_more_look(started); /* what has not been given away is wanted no more */
}

/*
 * When it is answered at the latest. A message's turn is over when its handler is, as it would be
 * here: what is handled next must not overtake it.
 */
static int64_t last_of(const struct berth_started *started)
{
    return started->topic ? BERTH_FOREVER : __atomic_load_n(&started->deadline, __ATOMIC_RELAXED);
}

bool berth_started_late(const struct berth_started *started)
{
    int64_t last = last_of(started);
    return last != BERTH_FOREVER && berth_now() >= last;
}

bool berth_started_is_open(struct berth_started *started)
{
    if (berth_started_late(started))
        berth_started_expire(started);
    pthread_mutex_lock(&started->lock);
    bool open = !started->answered;
    pthread_mutex_unlock(&started->lock);
    return open;
}

bool berth_started_answer(struct berth_started *started, const struct berth_type *type,
                          const void *value, struct berth_error *error)
{
    struct berth_reply *reply;
    struct berth_error own = { 0 };
    if (!berth_started_is_open(started))
        return false;
    int code = berth_reply_new(started, type, value, false, &reply, &own);
    if (code == BERTH_OK)
        return put_answer(started, BERTH_OK, NULL, reply);
    if (error)
        *error = own;
    return berth_started_fail(started, code, own.text);
}

bool berth_started_over(struct berth_started *started)
{
    if (berth_started_late(started))
        return true;
    pthread_mutex_lock(&started->lock);
    bool over = started->answered;
    pthread_mutex_unlock(&started->lock);
    return over || __atomic_load_n(&started->cancelled, __ATOMIC_RELAXED);
}

static void cancel(struct berth_started *started, const char *why);

static void last_came(struct berth_started *started, const struct berth_type *type, int code,
                      const void *result, const struct berth_error *error)
{
    if (!(code == BERTH_OK ? berth_started_answer(started, type, result, NULL)
                           : berth_started_fail(started, code, error->text)))
        berth_flow_late(started->flow);
}

bool berth_started_came(struct berth_started *started, const struct berth_type *type, bool more,
                        int code, const void *result, size_t size, const struct berth_error *error)
{
    struct berth_error own;
    if (!more) {
        last_came(started, type, code, result, error);
        return true;
    }
    if (code == BERTH_OK) {
        code = berth_more_came(started, type, result, size, &own);
        error = &own;
    }
    if (code == BERTH_MORE_FULL)
        return false;
    if (code != BERTH_OK) { /* who sends it does not know: it must not be lost */
        berth_started_fail(started, code, error->text);
        cancel(started, NULL);
    }
    return true;
}

/* calls_lock held: whoever has it ends it in the same lock. */
static void tell_remote(const struct berth_started *started)
{
    const struct berth_upstream *upstream = started->host->upstream;
    if (!started->remote || !__atomic_load_n(&started->cancelled, __ATOMIC_RELAXED))
        return;
    /* who has it is known before its number is */
    struct berth_carrier *carrier = started->callee ? started->callee->carrier : NULL;
    if (carrier)
        carrier->ops->cancel(carrier, started->remote);
    else if (upstream)
        upstream->cancel(upstream->user, started->remote);
}

void berth_started_set_remote(struct berth_started *started, uint64_t remote)
{
    pthread_mutex_lock(&started->host->calls_lock);
    started->remote = started->given_up ? 0 : remote;
    started->given_up = !remote; /* it may have been answered before its number was known */
    tell_remote(started);
    pthread_mutex_unlock(&started->host->calls_lock);
    if (remote)
        berth_more_tell(started);
}

/* ---- life ---- */

void berth_started_ref(struct berth_started *started)
{
    __atomic_add_fetch(&started->refs, 1, __ATOMIC_RELAXED);
}

/* A message goes only if its sender's call is cancelled before it is answered. */
static bool goes_with(const struct berth_started *started, const struct berth_started *cause)
{
    return __atomic_load_n(started->topic ? &cause->recalled : &cause->cancelled, __ATOMIC_ACQUIRE);
}

/* calls_lock held; NULL: to nobody. */
static void belong_to(struct berth_started *started, struct berth_started *cause)
{
    started->cause = cause;
    if (!cause)
        return;
    berth_started_ref(cause);
    berth_list_append(&cause->children, &started->sibling);
}

/*
 * Nobody can cancel it any more, but with its own cause: to that belongs what it has started,
 * unless it is being cancelled. Where each call starts the next one for ever, none keeps all that
 * were before. Its caller has a reference, and calls_lock is held.
 */
static void caller_leaves(struct berth_started *started)
{
    started->left = true;
    if (__atomic_load_n(&started->cancelled, __ATOMIC_RELAXED))
        return;
    berth_list_each_safe(&started->children, link) {
        struct berth_started *child = berth_container(link, struct berth_started, sibling);
        if (child->cause != started || child->topic) /* it is here to be cancelled, or it stays */
            continue;
        berth_list_remove(&child->sibling);
        belong_to(child, started->cause);
        __atomic_sub_fetch(&started->refs, 1, __ATOMIC_RELAXED);
    }
}

void berth_started_leave(struct berth_started *started)
{
    pthread_mutex_lock(&started->host->calls_lock);
    caller_leaves(started);
    pthread_mutex_unlock(&started->host->calls_lock);
}

/* Returns what it was started under, whose reference is to end next: chains of them may be long. */
static struct berth_started *started_free(struct berth_started *started)
{
    pthread_mutex_lock(&started->host->calls_lock);
    struct berth_started *cause = started->cause;
    berth_list_remove(&started->sibling);
    pthread_mutex_unlock(&started->host->calls_lock);
    while (started->first) {
        struct berth_reply *next = started->first->next;
        berth_reply_free(started, started->first);
        started->first = next;
    }
    berth_reply_free(started, started->answer);
    berth_started_unref(started->sink);
    if (!started->plain)
        berth_free(started->arguments);
    berth_parcel_unref(started->parcel);
    berth_free(started->text);
    pthread_mutex_destroy(&started->lock);
    berth_free(started);
    return cause;
}

void berth_started_unref(struct berth_started *started)
{
    while (started && __atomic_sub_fetch(&started->refs, 1, __ATOMIC_ACQ_REL) == 0)
        started = started_free(started);
}

/* What room is needed for, and where it lies in it. */
struct layout {
    size_t arguments, identity, spare, size;
};

static void lay_out(const struct berth_start *start, bool plain, struct layout *layout)
{
    const struct berth_signature *signature = start->signature;
    *layout = (struct layout){ 0 };
    if (!signature)
        return;
    for (size_t i = 0; plain && i < signature->count; i++)
        layout->size += ALIGNED(signature->parameters[i].type->size);
    if (!start->one_way && signature->result->plain && signature->result->size) {
        layout->spare = layout->size;
        layout->size += ALIGNED(sizeof(struct berth_reply) + signature->result->size);
    }
    layout->identity = layout->size;
    layout->size += strlen(signature->identity) + 1;
}

static bool all_plain(const struct berth_signature *signature)
{
    for (size_t i = 0; i < signature->count; i++)
        if (!signature->parameters[i].type->plain)
            return false;
    return true;
}

static void fill(struct berth_started *started, const struct berth_start *start,
                 const struct layout *layout)
{
    const struct berth_signature *signature = start->signature;
    char *at = started->room;
    started->arguments = started->plain ? at : NULL;
    for (size_t i = 0; started->plain && i < signature->count; i++) {
        memcpy(at, start->arguments[i], signature->parameters[i].type->size);
        at += ALIGNED(signature->parameters[i].type->size);
    }
    if (!start->one_way && signature->result->plain && signature->result->size)
        started->spare = (struct berth_reply *)(void *)(started->room + layout->spare);
    started->identity = strcpy(started->room + layout->identity, signature->identity);
}

static int take_json(struct berth_started *started, const char *json, struct berth_error *error)
{
    struct berth_buffer buffer;
    berth_buffer_init(&buffer, started->host->options.max_message);
    berth_buffer_text(&buffer, json ? json : "");
    int code = berth_buffer_check(&buffer, error);
    if (code == BERTH_OK && buffer.size && /* nothing is there of no arguments */
        !(started->arguments = berth_buffer_take(&buffer, &started->size)))
        code = berth_error_nomem(error);
    berth_buffer_deinit(&buffer);
    return code;
}

/* What is large is passed on as it lies in its blob. */
static int take_arguments(struct berth_started *started, const struct berth_start *start,
                          struct berth_error *error)
{
    const struct berth_parcel_setup setup = { .thread = berth_thread_mine(&started->host->threads),
                                              .signature = start->signature };
    if (!start->signature)
        return take_json(started, start->json, error);
    int code = berth_parcel_new(started->host, &setup, start->arguments, &started->parcel, error);
    if (code == BERTH_OK)
        started->size = started->parcel->size;
    return code;
}

/* Belongs to the call that the thread runs, if it runs one. */
static void set_cause(struct berth_started *started, const struct berth_thread *thread)
{
    struct berth_started *cause = berth_cause_of(thread);
    if (!cause)
        return;
    pthread_mutex_lock(&started->host->calls_lock);
    while (cause && !started->topic &&        /* a message goes with its sender's call alone */
           (cause->one_way || cause->left) && /* which is cancelled only with its own, */
           !__atomic_load_n(&cause->cancelled, __ATOMIC_RELAXED)) /* and has not been yet */
        cause = cause->cause;
    belong_to(started, cause);
    pthread_mutex_unlock(&started->host->calls_lock);
    if (cause && goes_with(started, cause)) /* has it gone past it? */
        berth_started_cancel_as(started, WITH_ITS_CAUSE);
}

static struct berth_started *started_alloc(struct berth_host *host, size_t room)
{
    struct berth_started *started = berth_malloc(sizeof *started + room);
    if (!started)
        return NULL;
    *started =
        (struct berth_started){ .refs = 1, .host = host, .caller = "", .deadline = BERTH_FOREVER };
    berth_list_init(&started->mail.link);
    berth_list_init(&started->then.link);
    berth_list_init(&started->children);
    berth_list_init(&started->sibling);
    berth_list_init(&started->senders);
    started->last = &started->first;
    pthread_mutex_init(&started->lock, NULL);
    return started;
}

static struct berth_started *started_here(berth_ctx *ctx, size_t room)
{
    const struct berth_thread *thread = berth_thread_of(ctx);
    struct berth_started *started = started_alloc(berth_host_of(ctx), room);
    if (!started)
        return NULL;
    started->deadline = thread->deadline;
    started->echo = thread->echo;
    return started;
}

struct berth_started *berth_started_direct(berth_ctx *ctx, const struct berth_item *item,
                                           const char *topic)
{
    const char *module = item->generation->module->name, *function = berth_item_name(item);
    struct berth_started *started = started_here(ctx, strlen(module) + strlen(function) + 2);
    if (!started)
        return NULL;
    stpcpy(stpcpy(stpcpy(started->room, module), "."), function);
    started->name = started->room;
    started->topic = topic;
    set_cause(started, berth_thread_of(ctx));
    return started;
}

struct berth_started *berth_started_cell(berth_ctx *ctx, const struct berth_cell *cell)
{
    struct berth_started *started = started_here(ctx, 0);
    if (!started)
        return NULL;
    started->name = cell->name;
    set_cause(started, berth_thread_of(ctx));
    return started;
}

/*
 * Whether the cell leads, or will lead, anywhere: a module that is being replaced or restarted gets
 * it afterwards.
 */
static int cell_check(const struct berth_cell *cell, struct berth_error *error)
{
    struct berth_module *module = cell->module;
    int code = BERTH_OK;
    if (__atomic_load_n(&cell->item, __ATOMIC_ACQUIRE))
        return BERTH_OK;
    pthread_mutex_lock(&module->host->lock);
    if (module->state == BERTH_MODULE_ABSENT)
        code = berth_error_set(error, BERTH_UNAVAILABLE, "%s: module %s is not loaded", cell->name,
                               module->name);
    else if (module->state == BERTH_MODULE_FAILED)
        code = berth_error_set(error, BERTH_UNAVAILABLE, "%s: %s", cell->name, module->why);
    else if (!berth_cell_signature(cell))
        code = berth_error_set(error, BERTH_NOT_FOUND, "%s: module %s has no such function",
                               cell->name, module->name);
    pthread_mutex_unlock(&module->host->lock);
    return code;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What has come from upstream, packed. The last of it ends the call's being there. */
static void upstream_came(void *user, bool more, int code, struct berth_reader *packed,
                          const struct berth_error *error)
{
    struct berth_started *started = user;
    const struct berth_type *type = started->signature->result;
    size_t size = (size_t)(packed->end - packed->next);
    struct berth_arena arena;
    struct berth_error own;
    void *value = NULL;
    berth_arena_init(&arena);
    if (code == BERTH_OK && type->size && !(value = berth_arena_alloc(&arena, type->size)))
        code = berth_error_nomem(&own);
    else if (code == BERTH_OK && type->size)
        code = berth_value_unpack(type, packed, &arena, value, NULL, &own);
    else if (code != BERTH_OK)
        own = *error;
    berth_started_came(started, type, more, code, value, size, &own);
    berth_arena_deinit(&arena);
    if (more)
        return;
    berth_started_set_remote(started, 0);
    berth_started_unref(started);
}

static int upstream_begin(berth_ctx *ctx, struct berth_started *started,
                          const struct berth_start *start, struct berth_error *error)
{
    const struct berth_upstream *upstream = started->host->upstream;
    const struct berth_upstream_answer answer = { upstream_came, started };
    uint64_t id = 0;
    int code = berth_arguments_check(start->signature, start->arguments, error);
    if (code != BERTH_OK)
        return berth_error_prefix(error, "%s: ", started->name);
    if (start->one_way)
        return upstream->send(upstream->user, ctx, start->import, started->deadline,
                              start->signature, start->arguments, error);
    berth_started_ref(started); /* until its answer */
    code = upstream->start(upstream->user, start->import, started->deadline, start->signature,
                           start->arguments, &answer, &id, error);
    if (code == BERTH_OK)
        berth_started_set_remote(started, id);
    else
        berth_started_unref(started);
    return code;
}

static void set_timer_and_unlock(struct berth_started *started);

/* Into the callee's mailbox, which may be waited for. */
static int started_post(berth_ctx *ctx, struct berth_started *started, enum berth_full full,
                        struct berth_error *error)
{
    struct berth_module *callee = started->cell->module;
    struct berth_room room;
    bool dropped = full == BERTH_FULL_DROP_OLDEST && !started->one_way; /* somebody waits for it */
    const struct berth_delivery how = { .full = dropped ? BERTH_FULL_REJECT : full, .room = &room };
    int code = berth_mailbox_post(callee, &started->mail, &how);
    if (code == BERTH_OK)
        return BERTH_OK;
    if (code == BERTH_MAIL_WAITS) {
        code = berth_room_wait(ctx, &room, started->deadline, error);
        return code == BERTH_OK ? BERTH_OK : berth_error_prefix(error, "%s: ", started->name);
    }
    if (code == BERTH_UNAVAILABLE) /* it has ended, or failed, since that was looked at */
        return cell_check(started->cell, error) != BERTH_OK
                   ? error->code
                   : berth_error_set(error, code, "%s: module %s is not loaded", started->name,
                                     callee->name);
    return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                           "%s: the mailbox of %s is full: call more slowly, or raise the limit",
                           started->name, callee->name);
}

void berth_started_let_go(struct berth_generation **held)
{
    if (*held)
        __atomic_sub_fetch(&(*held)->readers, 1, __ATOMIC_RELEASE);
    *held = NULL;
}

/* Its arguments, and into the mailbox. */
static int started_begin(berth_ctx *ctx, struct berth_started *started,
                         const struct berth_start *start, struct berth_error *error)
{
    if (!start->cell)
        return upstream_begin(ctx, started, start, error);
    int code = start->denied ? berth_permit_explain_edge(start->denied, error)
                             : cell_check(start->cell, error);
    if (code == BERTH_OK && !started->plain)
        code = take_arguments(started, start, error);
    if (code != BERTH_OK)
        return code;
    started->mail.ops = started->topic ? &berth_kept_turn_ops : &berth_kept_ops;
    started->mail.size = sizeof *started + started->size;
    started->mail.sender = start->owner ? start->owner->module : NULL;
    if (start->held) /* who replaces it would wait for this one, and this one for room */
        berth_started_let_go(start->held);
    berth_started_ref(started); /* the mail's */
    code = started_post(ctx, started, start->full, error);
    if (code != BERTH_OK)
        berth_started_unref(started);
    return code;
}

struct berth_started *berth_started_new(berth_ctx *ctx, const struct berth_start *start)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    struct berth_host *host = berth_host_of(ctx);
    bool plain = start->cell && start->signature && all_plain(start->signature);
    struct berth_error error;
    struct layout layout;
    lay_out(start, plain, &layout);
    struct berth_started *started = started_alloc(host, layout.size);
    if (!started)
        return NULL;
    started->cell = start->cell;
    started->name = start->cell ? start->cell->name : start->name;
    started->flow = start->flow;
    started->owner = start->owner;
    started->caller = start->caller ? start->caller : "";
    started->signature = start->signature;
    started->json = start->json_replies || !start->signature;
    started->words = start->words;
    started->packed = start->packed;
    started->whole = start->whole;
    started->count = start->signature ? start->signature->count : 0;
    started->plain = plain;
    started->one_way = start->one_way;
    started->topic = start->topic;
    started->single = start->topic;
    started->notify = start->notify;
    started->user = start->user;
    started->echo = thread->echo;
    started->taker = thread->block.chain;
    started->taker_run = started->taker_told = host->upstream ? berth_thread_run(thread) : 0;
    started->takers = start->taker;
    started->deadline =
        berth_call_deadline(earlier(thread->deadline, start->deadline), host, start->cell);
    if (start->signature)
        fill(started, start, &layout);
    if (start->begin) /* its cause may be over: then it is answered by this */
        start->begin(start->user, started);
    set_cause(started, thread);
    int code = started_begin(ctx, started, start, &error);
    started->refused = code != BERTH_OK;
    if (code != BERTH_OK) {
        berth_flow_in_vain(started->flow);
        berth_started_fail(started, code, error.text);
    }
    if (start->notify) {
        pthread_mutex_lock(&started->lock);
        set_timer_and_unlock(started);
    }
    return started;
}

void berth_started_send(berth_ctx *ctx, struct berth_started *started)
{
    if (started->refused) /* what fails later is logged, though it may have by now */
        berth_fault_pass_on(ctx, started->code, started->text ? started->text : "out of memory");
    berth_started_unref(started);
}

uint64_t berth_started_give(struct berth_started *started)
{
    struct berth_host *host = started->host;
    pthread_mutex_lock(&host->calls_lock);
    uint64_t id = started->pending = berth_idmap_add(&host->pendings, started);
    pthread_mutex_unlock(&host->calls_lock);
    if (!id) {
        berth_started_cancel(started);
        berth_started_unref(started);
    }
    return id;
}

struct berth_started *berth_started_find(struct berth_host *host, uint64_t id)
{
    pthread_mutex_lock(&host->calls_lock);
    struct berth_started *started = berth_idmap_get(&host->pendings, id);
    if (started)
        berth_started_ref(started);
    pthread_mutex_unlock(&host->calls_lock);
    return started;
}

/* The id ends, and with it the caller's reference. */
static void forget(struct berth_started *started)
{
    struct berth_host *host = started->host;
    pthread_mutex_lock(&host->calls_lock);
    bool mine = started->pending != 0;
    if (mine)
        berth_idmap_remove(&host->pendings, started->pending);
    started->pending = 0;
    if (mine)
        caller_leaves(started);
    pthread_mutex_unlock(&host->calls_lock);
    if (!mine)
        return;
    pthread_mutex_lock(&started->lock);
    started->notify = NULL; /* its owner may end */
    pthread_mutex_unlock(&started->lock);
    berth_started_unref(started);
}

void berth_started_drop(struct berth_started *started)
{
    berth_started_cancel(started);
    pthread_mutex_lock(&started->lock);
    started->notify = NULL;
    pthread_mutex_unlock(&started->lock);
    forget(started);
}

void berth_started_end(const struct berth_generation *owner)
{
    struct berth_host *host = owner->host;
    uint32_t position = 0;
    struct berth_started *started;
    do {
        pthread_mutex_lock(&host->calls_lock);
        while ((started = berth_idmap_next(&host->pendings, &position, NULL)) &&
               started->owner != owner)
            ;
        if (started)
            berth_started_ref(started);
        pthread_mutex_unlock(&host->calls_lock);
        if (started) {
            berth_started_drop(started);
            berth_started_unref(started);
        }
    } while (started);
}

/* ---- cancelling ---- */

/* One that was started under it, which is in no list then; with a reference. */
static struct berth_started *take_child(struct berth_started *started)
{
    struct berth_started *found = NULL;
    pthread_mutex_lock(&started->host->calls_lock);
    while (!found && !berth_list_empty(&started->children)) {
        struct berth_started *child =
            berth_container(started->children.next, struct berth_started, sibling);
        size_t refs = __atomic_load_n(&child->refs, __ATOMIC_RELAXED);
        berth_list_remove(&child->sibling);
        while (refs && !__atomic_compare_exchange_n(&child->refs, &refs, refs + 1, false,
                                                    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            ;
        if (refs) /* else it is being freed */
            found = child;
    }
    pthread_mutex_unlock(&started->host->calls_lock);
    return found;
}

/*
 * Those that were started under it come into the list of who cancels them as well. A message's turn
 * is only told of it: its worker answers.
 */
static void cancel_one(struct berth_started *started, struct berth_started *first, const char *why)
{
    char text[2 * BERTH_IDENTIFIER_MAX + 64];
    if (__atomic_exchange_n(&started->cancelled, true, __ATOMIC_ACQ_REL))
        return;
    if (!why)
        why = started == first ? "its caller has cancelled it" : WITH_ITS_CAUSE;
    snprintf(text, sizeof text, "%s: %s", started->name, why);
    if (!started->topic && berth_started_fail(started, BERTH_CANCELLED, text))
        __atomic_store_n(&started->recalled, true, __ATOMIC_RELEASE);
    pthread_mutex_lock(&started->host->calls_lock);
    tell_remote(started);
    while (started != first && !berth_list_empty(&started->children)) {
        struct berth_list *child = started->children.next;
        berth_list_remove(child);
        berth_list_append(&first->children, child);
    }
    pthread_mutex_unlock(&started->host->calls_lock);
    berth_more_look(started);
}

/* One after the other, however deep they are. */
static void cancel(struct berth_started *started, const char *why)
{
    struct berth_started *child;
    cancel_one(started, started, why);
    while ((child = take_child(started))) {
        if (!child->topic || goes_with(child, child->cause))
            cancel_one(child, started, why);
        berth_started_unref(child);
    }
}

void berth_started_cancel(struct berth_started *started)
{
    berth_started_cancel_as(started, NULL);
}

void berth_started_cancel_as(struct berth_started *started, const char *why)
{
    struct berth_host *host = started->host;
    cancel(started, why);
    berth_started_wake(host);
    pthread_mutex_lock(&host->lock); /* who waits for a module that is being replaced */
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
}

/* ---- the deadline, when nobody waits ---- */

static void timer_due(struct berth_timer *timer)
{
    struct berth_started *started = timer->owner;
    pthread_mutex_lock(&started->lock);
    bool timed = started->timed;
    started->timed = false;
    if (timed) /* it may have been set again since it went off, by the reference that ends here */
        berth_timer_remove(timer);
    pthread_mutex_unlock(&started->lock);
    if (!timed) /* who has answered it waits for this callback */
        return;
    berth_started_expire(started);
    berth_started_unref(started);
}

/* Under nobody's wait: the loop sees to the deadline. The call's lock is held, and given up. */
static void set_timer_and_unlock(struct berth_started *started)
{
    int64_t last = last_of(started);
    bool wanted = !started->answered && started->notify && last != BERTH_FOREVER;
    bool first = wanted && !started->timed;
    if (first) {
        started->timed = true;
        berth_started_ref(started);
        started->timer.fire = timer_due;
        started->timer.owner = started;
    }
    if (wanted && berth_timer_add(started->host->loop, &started->timer, last, NULL) != BERTH_OK &&
        first) {
        started->timed = false; /* it is found out when somebody asks */
        pthread_mutex_unlock(&started->lock);
        berth_started_unref(started);
        return;
    }
    pthread_mutex_unlock(&started->lock);
}

void berth_started_limit(struct berth_started *started, int64_t deadline)
{
    pthread_mutex_lock(&started->lock);
    if (deadline < started->deadline)
        __atomic_store_n(&started->deadline, deadline, __ATOMIC_RELAXED);
    wake(started);            /* it would wait too long, */
    berth_more_wake(started); /* and so would they */
    set_timer_and_unlock(started);
}

/* ---- the caller's function ---- */

static bool then_begin(struct berth_started *started)
{
    pthread_mutex_lock(&started->lock);
    started->told = false;
    bool wanted = started->notify != NULL;
    pthread_mutex_unlock(&started->lock);
    return wanted;
}

static void then_end(berth_ctx *ctx, struct berth_mail *mail, enum berth_mail_end how)
{
    struct berth_started *started = berth_container(mail, struct berth_started, then);
    (void)ctx;
    if (how != BERTH_MAIL_HANDLED)
        then_begin(started);
    berth_started_unref(started);
}

static enum berth_mail_next then_run(berth_ctx *ctx, struct berth_generation *generation,
                                     struct berth_mail *mail)
{
    struct berth_started *started = berth_container(mail, struct berth_started, then);
    if (then_begin(started)) {
        berth_frame_push(ctx, (uintptr_t)started->fn);
        struct berth_acting outer = berth_permit_act(ctx + 1, generation);
        started->fn(ctx + 1, (berth_pending){ started->pending }, started->user);
        berth_frame_pop(ctx);
        berth_thread_of(ctx)->acting = outer;
    }
    if (berth_failed(ctx))
        berth_log_fault(ctx, generation, "the function of a call that was started");
    return BERTH_MAIL_DONE;
}

static const struct berth_mail_ops then_ops = { .run = then_run, .end = then_end };

static void then_job(void *argument)
{
    struct berth_started *started = argument;
    struct berth_host *host = started->host;
    berth_ctx *ctx = berth_thread_enter(&host->threads);
    if (!ctx && !__atomic_load_n(&host->ending, __ATOMIC_ACQUIRE)) {
        berth_schedule_lent(host, &started->job); /* without memory it is tried again */
        return;
    }
    if (then_begin(started) && ctx)
        started->fn(ctx, (berth_pending){ started->pending }, started->user);
    if (ctx)
        berth_thread_leave(ctx);
    berth_started_unref(started);
}

static void then_notify(struct berth_started *started)
{
    static const struct berth_delivery how = { .full = BERTH_FULL_REJECT };
    pthread_mutex_lock(&started->lock);
    struct berth_generation *owner = started->owner;
    bool told = started->told || !started->notify;
    started->told = true;
    if (!told && owner) /* it is there: it has not let go of this call */
        __atomic_add_fetch(&owner->posting, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&started->lock);
    if (told)
        return;
    berth_started_ref(started);
    if (!owner) {
        started->job = (struct berth_job){ .run = then_job, .argument = started };
        berth_schedule_lent(started->host, &started->job);
        return;
    }
    int code = berth_mailbox_post(owner->module, &started->then, &how);
    __atomic_sub_fetch(&owner->posting, 1, __ATOMIC_RELEASE);
    if (code != BERTH_OK) /* it ends */
        then_end(NULL, &started->then, BERTH_MAIL_LEFT);
}

void berth_started_watch(struct berth_started *started,
                         void (*notify)(struct berth_started *started), void *user)
{
    pthread_mutex_lock(&started->lock);
    started->user = user;
    started->notify = notify;
    bool now = started->answered || started->first;
    set_timer_and_unlock(started);
    if (now)
        notify(started);
}

void berth_started_then(struct berth_started *started, berth_reply_fn fn, void *user)
{
    pthread_mutex_lock(&started->lock);
    started->fn = fn;
    started->then.ops = &then_ops;
    started->then.generation = started->owner;
    pthread_mutex_unlock(&started->lock);
    berth_more_taker_changes(started);
    berth_started_watch(started, then_notify, user);
}

/* ---- waiting ---- */

/*
 * Who waits for the answer is not to wait for a callee that waits for him: whose replies have to be
 * taken is done with, as far as that goes. The call's lock is held.
 */
static bool is_done(const struct berth_started *started, bool some)
{
    return started->answered || (some ? started->first != NULL : berth_more_is_full(started));
}

/* Whether it is answered, or has something; else the waiter is told. Ends it at its deadline. */
static bool look(struct berth_host *host, uint64_t id, bool some, struct waiting *waiting,
                 int64_t *until)
{
    struct berth_started *started = berth_started_find(host, id);
    if (!started)
        return true;
    if (berth_started_late(started))
        berth_started_expire(started);
    pthread_mutex_lock(&started->lock);
    bool done = is_done(started, some);
    started->waiter = done ? NULL : waiting->park;
    *until = earlier(*until, done ? BERTH_FOREVER : started->deadline);
    pthread_mutex_unlock(&started->lock);
    berth_started_unref(started);
    return done;
}

/* Nobody is to wake this thread any more. */
static void look_away(struct berth_host *host, const berth_pending *pendings, size_t count,
                      const struct waiting *waiting)
{
    for (size_t i = 0; i < count; i++) {
        struct berth_started *started = berth_started_find(host, pendings[i].id);
        if (!started)
            continue;
        pthread_mutex_lock(&started->lock);
        if (started->waiter == waiting->park)
            started->waiter = NULL;
        pthread_mutex_unlock(&started->lock);
        berth_started_unref(started);
    }
}

/* In a host without threads whoever waits does the work. false: it cannot, and ctx is marked. */
static bool do_work(berth_ctx *ctx, struct berth_host *host, uint64_t since, int64_t until)
{
    if (berth_schedule_work(ctx, host, since, until))
        return true;
    berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED,
                             "no memory for the turn of what is waited for, or calls are nested "
                             "too deeply");
    return false;
}

/* false: that cannot be, and ctx is marked. */
static bool sleep_until(berth_ctx *ctx, struct berth_host *host, struct waiting *waiting,
                        int64_t until)
{
    if (!host->pool_size)
        return do_work(ctx, host, waiting->since, until);
    berth_schedule_blocks(host);
    berth_park_wait(waiting->park, until);
    berth_schedule_goes_on(host);
    return true;
}

/* In a worker: who goes on with it there, if that waits for anybody. */
static uint32_t remote_runner(const struct berth_started *started)
{
    pthread_mutex_lock(&started->host->calls_lock);
    struct berth_carrier *carrier =
        started->remote && started->callee ? started->callee->carrier : NULL;
    uint32_t chain = carrier ? carrier->ops->runner(carrier, started->remote) : 0;
    pthread_mutex_unlock(&started->host->calls_lock);
    return chain ? chain : BERTH_CHAIN_OTHER;
}

uint32_t berth_module_turn(struct berth_module *module)
{
    uint32_t chain = berth_mailbox_runner(module);
    if (!chain)
        chain = berth_gate_inside(&module->gate);
    return chain ? chain : berth_module_swapper(module);
}

/* Who has to go on, that a call which is not answered may be. */
static uint32_t runner_of(const struct berth_started *started)
{
    uint32_t chain = __atomic_load_n(&started->chain, __ATOMIC_ACQUIRE);
    if (chain == BERTH_CHAIN_OTHER)
        return remote_runner(started);
    if (chain || !started->cell)
        return chain ? chain : BERTH_CHAIN_OTHER;
    chain = berth_module_turn(started->cell->module);
    return chain ? chain : BERTH_CHAIN_OTHER;
}

uint32_t berth_started_runner(struct berth_started *started, bool some)
{
    pthread_mutex_lock(&started->lock);
    bool done = is_done(started, some);
    pthread_mutex_unlock(&started->lock);
    return done ? BERTH_CHAIN_OTHER : runner_of(started);
}

static uint32_t answer_holder(const struct berth_wait *wait, size_t i)
{
    const struct waiting *waiting = wait->of;
    if (i == waiting->count)
        return 0;
    struct berth_started *started = berth_started_find(waiting->host, waiting->pendings[i].id);
    if (!started)
        return BERTH_CHAIN_OTHER;
    uint32_t chain = berth_started_runner(started, waiting->awaited == BERTH_AWAIT_REPLY);
    berth_started_unref(started);
    return chain;
}

static void answer_refuse(struct berth_wait *wait)
{
    const struct waiting *waiting = wait->of;
    berth_park_wake(waiting->park);
    if (!waiting->host->pool_size)
        berth_loop_wake(waiting->host->loop);
}

/* What is answered in no time is not worth the finder's while: it is told after this. */
#define UNTOLD_NS INT64_C(20000)

/* In a worker: the host knows who has those that were started there. */
static void tell_upstream(struct waiting *waiting)
{
    const struct berth_upstream *upstream = waiting->host->upstream;
    uint64_t *ids = berth_calloc(waiting->count, sizeof *ids);
    bool any = false;
    if (!ids) /* it ends when it does */
        return;
    for (size_t i = 0; i < waiting->count; i++) {
        struct berth_started *started = berth_started_find(waiting->host, waiting->pendings[i].id);
        if (!started)
            continue;
        pthread_mutex_lock(&waiting->host->calls_lock);
        ids[i] = started->remote;
        any |= ids[i] != 0;
        pthread_mutex_unlock(&waiting->host->calls_lock);
        berth_started_unref(started);
    }
    waiting->wait.park = waiting->park;
    if (any)
        upstream->wait_begin(upstream->user, &waiting->wait, BERTH_WAIT_ANSWERS, ids,
                             waiting->count);
    berth_free(ids);
}

/* false: it could never be answered. */
static bool tell_finder(berth_ctx *ctx, struct waiting *waiting)
{
    struct berth_started *first = berth_started_find(waiting->host, waiting->pendings[0].id);
    waiting->wait = (struct berth_wait){ .ctx = ctx,
                                         .of = waiting,
                                         .holder = answer_holder,
                                         .any = waiting->awaited != BERTH_AWAIT_ALL,
                                         .target = first ? first->name : "",
                                         .refuse = answer_refuse };
    if (first)
        berth_started_unref(first);
    waiting->begun = berth_wait_begin(&waiting->wait);
    if (waiting->begun && waiting->host->upstream)
        tell_upstream(waiting);
    return waiting->begun;
}

static void untell_finder(struct waiting *waiting)
{
    const struct berth_upstream *upstream = waiting->host->upstream;
    if (!waiting->begun)
        return;
    if (upstream)
        upstream->wait_end(upstream->user, &waiting->wait);
    berth_wait_end(&waiting->wait);
}

/*
 * For an answer, however long that takes; who looks for a time goes on by himself. false: it is
 * refused, and ctx is marked.
 */
static bool wait_once(berth_ctx *ctx, struct waiting *waiting, bool first, int64_t until)
{
    if (first)
        until = earlier(until, berth_now() + UNTOLD_NS);
    if (first ||
        ((waiting->begun || tell_finder(ctx, waiting)) && !berth_wait_refused(&waiting->wait)))
        return sleep_until(ctx, waiting->host, waiting, until);
    berth_fault_raise_format(ctx, BERTH_ABORTED, "%s: %s", waiting->wait.target,
                             waiting->wait.ring);
    return false;
}

/* Why it is not waited for any longer; NULL: it is. */
static const char *why_over(const berth_ctx *ctx, const struct waiting *waiting)
{
    return waiting->awaited == BERTH_AWAIT_ANSWER ? berth_generation_interrupted(ctx)
                                                  : berth_interrupted(ctx);
}

/* As berth_started_wait, without saying who waits. */
static int wait_for(berth_ctx *ctx, struct waiting *waiting, int64_t until)
{
    int64_t last = earlier(until, berth_thread_of(ctx)->deadline);
    bool all = waiting->awaited == BERTH_AWAIT_ALL, some = waiting->awaited == BERTH_AWAIT_REPLY;
    for (bool first = true;; first = false) {
        waiting->since = berth_loop_woken(waiting->host->loop);
        const char *over = why_over(ctx, waiting);
        int64_t next = last;
        size_t done = 0;
        for (size_t i = 0; i < waiting->count; i++) {
            bool found = look(waiting->host, waiting->pendings[i].id, some, waiting, &next);
            if (found && !all)
                return (int)i;
            done += found;
        }
        if (all && done == waiting->count)
            return 1;
        if (over) {
            berth_fault_raise_format(ctx, BERTH_CANCELLED, "%s", over);
            return all ? 0 : -1;
        }
        bool forever = until == BERTH_FOREVER && waiting->count;
        if (berth_now() >= last)
            return all ? 0 : -1;
        if (!waiting->interrupt.listed && !(first && forever)) {
            berth_interrupt_lasts(&waiting->interrupt); /* and looks again */
            continue;
        }
        if (forever ? !wait_once(ctx, waiting, first, next)
                    : !sleep_until(ctx, waiting->host, waiting, next))
            return all ? 0 : -1;
    }
}

int berth_started_wait(berth_ctx *ctx, const berth_pending *pendings, size_t count, int64_t until,
                       enum berth_awaited awaited)
{
    struct berth_host *host = berth_host_of(ctx);
    struct waiting waiting;
    waiting.park = berth_park_own();
    waiting.host = host;
    waiting.pendings = pendings;
    waiting.count = count;
    waiting.awaited = awaited;
    waiting.begun = false;
    berth_interrupt_begin(&waiting.interrupt, ctx, waiting.park, NULL);
    int answer = wait_for(ctx, &waiting, until);
    untell_finder(&waiting);
    look_away(host, pendings, count, &waiting);
    berth_interrupt_end(&waiting.interrupt);
    berth_schedule_let_in(host);
    return answer;
}

/* ---- taking ---- */

static int take_failed(berth_ctx *ctx, const struct berth_started *started)
{
    int code = started->code;
    berth_fault_pass_on(ctx, code, started->text ? started->text : "out of memory");
    return code;
}

int berth_started_take(berth_ctx *ctx, struct berth_started *started, bool more,
                       struct berth_reply **ret_reply)
{
    berth_pending pending = { started->pending };
    *ret_reply = NULL;
    struct berth_thread *thread = berth_thread_of(ctx);
    uint32_t run = started->host->upstream ? berth_thread_run(thread) : 0;
    pthread_mutex_lock(&started->lock);
    bool ready = started->answered;
    bool other = started->taker_run != run;
    started->taker = thread->block.chain;
    started->taker_run = run;
    pthread_mutex_unlock(&started->lock);
    if (!ready && !more)
        berth_more_refuse(started);
    else if (!ready && other)
        berth_more_taker_changes(started);
    if (!ready && berth_started_wait(ctx, &pending, 1, BERTH_FOREVER,
                                     more ? BERTH_AWAIT_REPLY : BERTH_AWAIT_ANSWER) < 0) {
        if (!berth_failed(ctx))
            berth_fault_raise_format(ctx, BERTH_DEADLINE_EXCEEDED,
                                     "%s: not answered before the deadline", started->name);
        if (!more)
            berth_started_drop(started);
        return berth_fault_get(ctx, NULL);
    }
    int code = BERTH_OK;
    pthread_mutex_lock(&started->lock);
    if (more) {
        *ret_reply = berth_more_take(started);
    } else {
        code = started->code;
        *ret_reply = started->answer;
        started->answer = NULL;
    }
    pthread_mutex_unlock(&started->lock);
    if (code != BERTH_OK)
        take_failed(ctx, started);
    if (more)
        berth_more_taken(started);
    else
        forget(started);
    return code;
}
