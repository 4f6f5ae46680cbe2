/* SPDX-License-Identifier: MIT */
#include "runtime/core/kept.h"
#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/call/ring.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/log.h"
#include "runtime/core/more.h"
#include "runtime/core/parcel.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- running ---- */

void berth_run_begin(berth_ctx *ctx, struct berth_started *started, bool may_keep,
                     struct berth_run *run)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    *run = (struct berth_run){ { thread->serving, started, ctx, may_keep ? ctx + 1 : NULL },
                               thread->cancelled,
                               thread->deadline,
                               thread->echo };
    __atomic_store_n(&started->chain, thread->block.chain, __ATOMIC_RELEASE);
    thread->serving = &run->serving;
    thread->cancelled = &started->cancelled;
    thread->deadline = __atomic_load_n(&started->deadline, __ATOMIC_RELAXED);
    thread->echo = started->echo;
}

void berth_run_end(berth_ctx *ctx, const struct berth_run *run)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    /* if it is not answered, it is kept */
    __atomic_store_n(&run->serving.started->chain, BERTH_CHAIN_OTHER, __ATOMIC_RELEASE);
    thread->serving = run->serving.outer;
    thread->cancelled = run->cancelled;
    thread->deadline = run->deadline;
    thread->echo = run->echo;
}

/* The kept call: with a reference, or, if it is ended, with that which it had for being kept. */
static struct berth_started *kept_find(struct berth_host *host, uint64_t id, bool end)
{
    pthread_mutex_lock(&host->calls_lock);
    struct berth_started *started =
        end ? berth_idmap_remove(&host->kept, id) : berth_idmap_get(&host->kept, id);
    if (started && !end)
        berth_started_ref(started);
    pthread_mutex_unlock(&host->calls_lock);
    return started;
}

static void kept_leave(struct berth_started *started)
{
    struct berth_generation *generation = started->item->generation;
    berth_started_unref(started);
    __atomic_sub_fetch(&generation->inside, 1, __ATOMIC_RELEASE); /* from here on it may go */
}

/* Its body has kept it, and failed then: that is the answer. */
static void kept_failed(struct berth_started *started)
{
    struct berth_started *kept = kept_find(started->host, started->kept, true);
    if (kept)
        kept_leave(kept);
}

/* Its function, without the call's result: it comes by reply. */
static int invoke_async(berth_ctx *ctx, struct berth_item *item, struct berth_started *started,
                        const void *const *arguments)
{
    started->item = item;
    int code = berth_item_begin(ctx, item, arguments);
    if (code != BERTH_OK && started->kept_once)
        kept_failed(started);
    if (code != BERTH_OK || started->kept_once)
        return code;
    code = BERTH_INTERNAL;
    berth_fault_raise_format(ctx, code, "%s: has neither kept nor failed the call: berth_call_keep",
                             started->name);
    return code;
}

int berth_kept_run(berth_ctx *ctx, struct berth_item *item, struct berth_started *started,
                   const void *const *arguments)
{
    struct berth_run run;
    berth_run_begin(ctx, started, true, &run);
    int code = invoke_async(ctx, item, started, arguments);
    berth_run_end(ctx, &run);
    return code;
}

int berth_kept_serve(berth_ctx *ctx, struct berth_item *item, const char *topic,
                     struct berth_started *started, const void *const *arguments, void *result)
{
    struct berth_run run;
    berth_run_begin(ctx, started, false, &run);
    int code = berth_item_invoke(ctx, item, topic, arguments, result);
    berth_run_end(ctx, &run);
    return code;
}

/* As the caller has given them; signature: of those. */
static int arguments_read(berth_ctx *ctx, const struct berth_started *started,
                          const struct berth_signature *signature,
                          const void *const **ret_arguments, struct berth_error *error)
{
    struct berth_arena *arena = &berth_thread_of(ctx)->arena;
    const char *data = started->arguments ? started->arguments : "";
    const void **read;
    if (!started->identity) {
        int code = berth_json_read_arguments(signature, started->size ? data : NULL, started->size,
                                             arena, &read, error);
        if (code == BERTH_OK)
            *ret_arguments = read;
        return code;
    }
    if (started->parcel) {
        *ret_arguments = started->parcel->arguments;
        return BERTH_OK;
    }
    const void **arguments = berth_arena_alloc(arena, (signature->count + 1) * sizeof *arguments);
    if (!arguments)
        return berth_error_nomem(error);
    for (size_t i = 0; i < signature->count; i++) {
        arguments[i] = data;
        data += (signature->parameters[i].type->size + 15) & ~(size_t)15;
    }
    *ret_arguments = arguments;
    return BERTH_OK;
}

/*
 * The arguments that the function gets, in the thread's arena. The caller may know a signature that
 * has fewer of them: that of a generation before.
 */
static int arguments_take(berth_ctx *ctx, const struct berth_started *started,
                          const struct berth_signature *signature,
                          const void *const **ret_arguments, struct berth_error *error)
{
    struct berth_signature known = *signature;
    const void *const *given = NULL;
    const void **room = NULL;
    enum berth_fit fit = started->identity ? berth_signature_fit(started->identity, signature)
                                           : BERTH_FIT_SAME; /* JSON is read by the new one */
    if (fit == BERTH_FIT_NOT)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "called as %s, but the module has %s", started->identity,
                               signature->identity);
    if (fit == BERTH_FIT_ADAPTED) {
        known.count = started->count;
        room = berth_arena_alloc(&berth_thread_of(ctx)->arena, BERTH_PARAMETERS_MAX * sizeof *room);
        if (!room)
            return berth_error_nomem(error);
    }
    int code = arguments_read(ctx, started, &known, &given, error);
    if (code == BERTH_OK)
        *ret_arguments = room ? berth_arguments_extend(signature, given, known.count, room) : given;
    return code;
}

/* What the caller is told, from the failure in ctx; nobody waits for what was one way. */
static void answer_failure(berth_ctx *ctx, struct berth_started *started,
                           const struct berth_generation *callee)
{
    struct berth_error error = { 0 };
    int code = berth_fault_take(ctx, &error);
    if (!berth_started_fail(started, code, error.text))
        berth_flow_late(started->flow);
    else if (started->one_way)
        berth_host_log(started->host, callee, BERTH_LOG_ERROR,
                       "a call that nobody waits for: %s: %s", berth_code_name(code), error.text);
}

static void answer_result(berth_ctx *ctx, struct berth_started *started,
                          const struct berth_item *item, void *result)
{
    const struct berth_type *type = item->signature->result;
    struct berth_error error;
    if (result && berth_result_check(type, result, &error) != BERTH_OK) {
        berth_fault_raise_format(ctx, error.code, "%s: %s", started->name, error.text);
        answer_failure(ctx, started, item->generation);
    } else if (!berth_started_answer(started, type, result, NULL)) {
        berth_flow_late(started->flow);
    }
}

static int call_function(berth_ctx *ctx, struct berth_started *started, struct berth_item *item,
                         void **ret_result)
{
    const struct berth_type *type = item->signature->result;
    const void *const *arguments;
    struct berth_error error;
    int code = arguments_take(ctx, started, item->signature, &arguments, &error);
    if (code == BERTH_OK && !item->async && type->size &&
        !(*ret_result = berth_arena_alloc(&berth_thread_of(ctx)->arena, type->size)))
        code = berth_error_nomem(&error);
    if (code != BERTH_OK) {
        berth_fault_raise_format(ctx, code, "%s: %s", started->name, error.text);
        return code;
    }
    return item->async ? invoke_async(ctx, item, started, arguments)
                       : berth_item_invoke(ctx, item, "", arguments, *ret_result);
}

static void run_item(berth_ctx *ctx, struct berth_started *started, struct berth_item *item)
{
    struct berth_run run;
    void *result = NULL;
    berth_run_begin(ctx, started, item->async, &run);
    __atomic_store_n(&started->began, berth_flow_call_away(ctx, started->flow), __ATOMIC_RELAXED);
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    int code = call_function(ctx, started, item, &result);
    if (code == BERTH_OK && !item->async)
        answer_result(ctx, started, item, result);
    berth_frame_pop(ctx);
    if (berth_failed(ctx))
        answer_failure(ctx, started, item->generation);
    berth_run_end(ctx, &run);
}

/* ---- in a worker ---- */

/* Returns what it was before. */
static enum berth_whereabouts set_at(struct berth_started *started, enum berth_whereabouts at)
{
    struct berth_generation *generation = started->callee;
    pthread_mutex_lock(&started->host->calls_lock);
    enum berth_whereabouts before = started->at;
    started->at = at;
    if (before == BERTH_HERE)
        __atomic_sub_fetch(&generation->framed, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&started->host->calls_lock);
    return before;
}

/* If it is there. A frame is pushed before it is here, and popped after. */
static bool move(struct berth_started *started, enum berth_whereabouts from,
                 enum berth_whereabouts to)
{
    size_t more = to == BERTH_HERE ? 1 : SIZE_MAX;
    pthread_mutex_lock(&started->host->calls_lock);
    bool moves = started->at == from;
    if (moves) {
        started->at = to;
        __atomic_add_fetch(&started->callee->framed, more, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&started->host->calls_lock);
    return moves;
}

/* What a turn of the message's would have here (core/message.c). */
static void turn_begin(struct berth_thread *thread, struct berth_remote_run *run)
{
    const struct berth_started *of = run->of;
    run->cause = thread->cause;
    run->topic = thread->topic;
    run->run.cancelled = thread->cancelled;
    run->run.deadline = thread->deadline;
    run->run.echo = thread->echo;
    thread->cause = of->cause;
    thread->topic = of->topic;
    thread->cancelled = &of->cancelled;
    thread->deadline = of->deadline;
    thread->echo = of->echo;
}

static void turn_end(struct berth_thread *thread, const struct berth_remote_run *run)
{
    thread->cause = run->cause;
    thread->topic = run->topic;
    thread->cancelled = run->run.cancelled;
    thread->deadline = run->run.deadline;
    thread->echo = run->run.echo;
}

void berth_remote_run_begin(berth_ctx *ctx, struct berth_started *of, struct berth_remote_run *run)
{
    run->of = of;
    if (!of)
        return;
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)of->item);
    run->mine = move(of, BERTH_AWAY, BERTH_HERE);
    __atomic_store_n(&of->chain, berth_block(ctx)->chain, __ATOMIC_RELEASE);
    if (of->topic)
        turn_begin(berth_thread_of(ctx), run);
    else
        berth_run_begin(ctx, of, false, &run->run);
}

void berth_remote_run_end(berth_ctx *ctx, const struct berth_remote_run *run)
{
    if (!run->of)
        return;
    if (run->of->topic)
        turn_end(berth_thread_of(ctx), run);
    else
        berth_run_end(ctx, &run->run);
    __atomic_store_n(&run->of->chain, BERTH_CHAIN_OTHER, __ATOMIC_RELEASE);
    if (run->mine)
        move(run->of, BERTH_HERE, BERTH_AWAY);
    berth_frame_pop(ctx);
}

static void remote_came(void *user, bool more, int code, const void *result, size_t size,
                        const struct berth_error *error)
{
    struct berth_started *started = user;
    struct berth_generation *generation = started->callee;
    struct berth_error named;
    if (code == BERTH_INVOKED_LOST)
        __atomic_add_fetch(&generation->lost, 1, __ATOMIC_RELAXED);
    if (code == BERTH_INVOKED_LOST || (code == BERTH_INVOKED_UNSENT && !started->topic))
        code = BERTH_UNAVAILABLE;
    if (code != BERTH_OK) {
        char room[BERTH_EXPLAINED_MAX];
        berth_error_set(&named, code, "%s", berth_item_explain(started->item, error->text, room));
        error = &named;
    }
    berth_started_came(started, started->item->signature->result, more, code, result, size, error);
    if (more)
        return;
    if (code != BERTH_OK && started->one_way)
        berth_host_log(started->host, generation, BERTH_LOG_ERROR,
                       "a call that nobody waits for: %s: %s", berth_code_name(code), error->text);
    berth_started_set_remote(started, 0);
    bool inside = set_at(started, BERTH_NOWHERE) != BERTH_NOWHERE;
    berth_started_unref(started);
    if (inside) /* from here on it may go */
        __atomic_sub_fetch(&generation->inside, 1, __ATOMIC_RELEASE);
}

static void remote_hold(void *user)
{
    berth_started_ref(user);
}

static void remote_release(void *user)
{
    berth_started_unref(user);
}

/* From here on it is inside of its generation, until it has come. */
static void remote_begin(struct berth_started *started, struct berth_item *item)
{
    started->item = item;
    started->callee = item->generation;
    __atomic_store_n(&started->chain, BERTH_CHAIN_OTHER, __ATOMIC_RELEASE);
    berth_started_ref(started);
    __atomic_add_fetch(&started->callee->inside, 1, __ATOMIC_RELEASE);
    set_at(started, BERTH_AWAY);
}

/* Its worker answers when it has done it; no thread waits here. */
static int remote_send(berth_ctx *ctx, struct berth_started *started, const void *const *arguments,
                       struct berth_error *error)
{
    const struct berth_item *item = started->item;
    const struct berth_generation *generation = item->generation;
    struct berth_carrier *carrier = __atomic_load_n(&generation->carrier, __ATOMIC_ACQUIRE);
    const struct berth_carrier_answer answer = { remote_came, remote_hold, remote_release,
                                                 started };
    const struct berth_place place = { ctx,
                                       &berth_thread_of(ctx)->arena,
                                       __atomic_load_n(&started->deadline, __ATOMIC_RELAXED),
                                       started->topic ? started->topic : "",
                                       started->echo,
                                       started->one_way ||
                                           __atomic_load_n(&started->single, __ATOMIC_RELAXED) };
    uint64_t id;
    if (!carrier)
        return berth_error_set(error, BERTH_UNAVAILABLE, "%s: %s", started->name,
                               generation->module->why);
    int code = carrier->ops->start(carrier, &place, item->kind, item->index, arguments, &answer,
                                   &id, error);
    if (code != BERTH_OK)
        return code;
    berth_started_set_remote(started, id);
    uint32_t chain = carrier->ops->runner(carrier, id);
    if (chain) /* it waits there already, and who waits for it could not know for whom */
        berth_wait_again(chain);
    return BERTH_OK;
}

static void run_remote(berth_ctx *ctx, struct berth_started *started, struct berth_item *item)
{
    const void *const *arguments;
    struct berth_error error;
    int code = arguments_take(ctx, started, item->signature, &arguments, &error);
    if (code != BERTH_OK)
        berth_error_prefix(&error, "%s: ", started->name);
    remote_begin(started, item);
    __atomic_store_n(&started->began, berth_flow_call_away(ctx, started->flow), __ATOMIC_RELAXED);
    if (code == BERTH_OK)
        code = remote_send(ctx, started, arguments, &error);
    if (code != BERTH_OK)
        remote_came(started, false, code, NULL, 0, &error);
}

void berth_remote_handle(berth_ctx *ctx, struct berth_started *started, struct berth_item *item,
                         const void *const *arguments)
{
    struct berth_error error;
    remote_begin(started, item);
    int code = remote_send(ctx, started, arguments, &error);
    if (code != BERTH_OK)
        remote_came(started, false, code, NULL, 0, &error);
}

static struct berth_item *item_find(const struct berth_generation *generation,
                                    const struct berth_cell *cell)
{
    const struct berth_manifest *manifest = generation->image->manifest;
    const struct berth_manifest_export *export =
        berth_manifest_find_export(manifest, cell->function);
    return export ? &generation->exports[export - manifest->exports] : NULL;
}

static enum berth_mail_next mail_run(berth_ctx *ctx, struct berth_generation *generation,
                                     struct berth_mail *mail)
{
    struct berth_started *started = berth_container(mail, struct berth_started, mail);
    struct berth_item *item = item_find(generation, started->cell);
    if (!started->topic && berth_started_over(started)) { /* it has waited too long */
        berth_flow_in_vain(started->flow);
        if (berth_started_late(started)) /* else it is answered by who cancels it */
            berth_started_expire(started);
    } else if (item && generation->placement->start) {
        run_remote(ctx, started, item);
    } else if (item) {
        run_item(ctx, started, item);
    } else {
        berth_fault_raise_format(ctx, BERTH_NOT_FOUND, "%s: module %s %s has no such function",
                                 started->name, generation->module->name,
                                 generation->image->manifest->version);
        answer_failure(ctx, started, generation);
    }
    return BERTH_MAIL_DONE;
}

static bool mail_awaited(const struct berth_mail *mail)
{
    return !berth_container(mail, struct berth_started, mail)->one_way;
}

/* Why it has had no turn. */
static void explain_end(const struct berth_started *started, enum berth_mail_end how,
                        char *ret_text, size_t size)
{
    const struct berth_module *module = started->cell->module;
    const char *why = how == BERTH_MAIL_DROPPED
                          ? "dropped, as its policy says: the mailbox was full"
                          : "its module was unloaded before the call's turn";
    pthread_mutex_lock(&module->host->lock);
    if (how == BERTH_MAIL_LEFT && module->state == BERTH_MODULE_FAILED)
        why = module->why;
    snprintf(ret_text, size, "%s: %s", started->name, why);
    pthread_mutex_unlock(&module->host->lock);
}

static void mail_end(berth_ctx *ctx, struct berth_mail *mail, enum berth_mail_end how)
{
    struct berth_started *started = berth_container(mail, struct berth_started, mail);
    char text[2 * BERTH_IDENTIFIER_MAX + sizeof started->cell->module->why + 4];
    (void)ctx;
    if (how == BERTH_MAIL_HANDLED) {
        berth_started_unref(started);
        return;
    }
    int code = how == BERTH_MAIL_DROPPED ? BERTH_RESOURCE_EXHAUSTED : BERTH_UNAVAILABLE;
    explain_end(started, how, text, sizeof text);
    berth_flow_in_vain(started->flow);
    if (how == BERTH_MAIL_DROPPED)
        berth_flow_dropped(started->flow);
    berth_started_fail(started, code, text);
    berth_started_unref(started);
}

const struct berth_mail_ops berth_kept_ops = {
    .run = mail_run, .end = mail_end, .awaited = mail_awaited, .counted = true, .beside = true
};

const struct berth_mail_ops berth_kept_turn_ops = {
    .run = mail_run, .end = mail_end, .awaited = mail_awaited, .beside = true
};

/* ---- a caller that waits ---- */

static int wait_for_answer(berth_ctx *ctx, struct berth_item *item, struct berth_started *started,
                           void *result)
{
    struct berth_module *module = item->generation->module;
    struct berth_reply *reply;
    struct berth_error error;
    bool reentrant = item->generation->image->manifest->reentrant;
    if (item->gated && !reentrant && berth_gate_owned(&module->gate, ctx)) /* others may go in */
        berth_gate_unlock(&module->gate, ctx);
    berth_started_ref(started); /* the id's */
    if (!berth_started_give(started)) {
        berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
        return BERTH_RESOURCE_EXHAUSTED;
    }
    int code = berth_started_take(ctx, started, false, &reply);
    if (code == BERTH_OK && reply && result)
        code = berth_reply_read(ctx, reply, item->signature->result, result, &error);
    if (code != BERTH_OK && !berth_failed(ctx))
        berth_fault_raise_format(ctx, code, "%s", error.text);
    berth_reply_free(started, reply);
    return code;
}

int berth_kept_call(berth_ctx *ctx, struct berth_item *item, const void *const *arguments,
                    void *result)
{
    struct berth_started *started = berth_started_direct(ctx, item, NULL);
    if (!started) {
        berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
        return BERTH_RESOURCE_EXHAUSTED;
    }
    started->single = true;
    int code = berth_kept_run(ctx, item, started, arguments);
    if (code == BERTH_OK)
        code = wait_for_answer(ctx, item, started, result);
    if (code != BERTH_OK && result)
        berth_value_zero(item->signature->result, result);
    berth_started_unref(started);
    return code;
}

/* ---- keeping ---- */

bool berth_kept_is_waited_for(const berth_ctx *ctx)
{
    const struct berth_serving *serving = berth_thread_of(ctx)->serving;
    return serving && serving->at == ctx && !serving->started->cell;
}

uint64_t berth_kept_keep(berth_ctx *ctx)
{
    const struct berth_serving *serving = berth_thread_of(ctx)->serving;
    struct berth_started *started = serving && serving->at == ctx ? serving->started : NULL;
    if (!started || started->kept_once) {
        berth_fault_raise_format(ctx, BERTH_FAILED_PRECONDITION,
                                 started ? "this call is kept already"
                                         : "only a function of BERTH_EXPORT_ASYNC may keep its "
                                           "call, and only from its own body");
        return 0;
    }
    struct berth_host *host = started->host;
    struct berth_generation *generation = started->item->generation;
    pthread_mutex_lock(&host->calls_lock);
    uint64_t id = started->kept = berth_idmap_add(&host->kept, started);
    if (id) { /* before who ends a generation's finds it, and takes both back */
        started->kept_once = true;
        berth_started_ref(started);
        __atomic_add_fetch(&generation->inside, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&host->calls_lock);
    if (!id)
        berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory to keep a call");
    return id;
}

static void refuse_stale(berth_ctx *ctx)
{
    berth_fault_raise_format(ctx, BERTH_NOT_FOUND, "this call is not kept: it has been answered");
}

/* Ends it if it is the last reply; NULL: ctx is marked. */
static struct berth_started *kept_take(berth_ctx *ctx, const struct berth_item *item, uint64_t id,
                                       bool more)
{
    struct berth_host *host = berth_host_of(ctx);
    struct berth_started *started = kept_find(host, id, false);
    if (!started) {
        refuse_stale(ctx);
        return NULL;
    }
    bool other = item && started->item != item;
    berth_started_unref(started);
    if (other) {
        berth_fault_raise_format(ctx, BERTH_INVALID_ARGUMENT, "this is a call of %s, not of %s",
                                 started->name, berth_item_name(item));
        return NULL;
    }
    started = kept_find(host, id, !more);
    if (!started)
        refuse_stale(ctx);
    return started;
}

static bool reply_last(berth_ctx *ctx, struct berth_started *started, const struct berth_type *type,
                       const void *value)
{
    struct berth_error error = { 0 };
    int code = value ? berth_result_check(type, value, &error) : BERTH_OK;
    bool taken = code == BERTH_OK ? berth_started_answer(started, type, value, &error)
                                  : berth_started_fail(started, code, error.text);
    if (!taken)
        berth_flow_late(started->flow);
    if (error.code != BERTH_OK)
        berth_fault_raise_format(ctx, error.code, "%s", error.text);
    return taken;
}

static bool reply_more(berth_ctx *ctx, struct berth_started *started, const struct berth_type *type,
                       const void *value)
{
    struct berth_error error;
    if (berth_result_check(type, value, &error) == BERTH_OK)
        return berth_more_send(ctx, started, type, value);
    berth_fault_raise_format(ctx, error.code, "%s", error.text);
    return false;
}

bool berth_kept_reply(berth_ctx *ctx, const struct berth_item *item, uint64_t kept,
                      const void *value, bool more)
{
    const struct berth_type *type = item->signature->result;
    struct berth_started *started = kept_take(ctx, item, kept, more);
    if (!started)
        return false;
    bool taken =
        more ? reply_more(ctx, started, type, value) : reply_last(ctx, started, type, value);
    if (more)
        berth_started_unref(started);
    else
        kept_leave(started);
    return taken;
}

void berth_kept_fail(berth_ctx *ctx, uint64_t kept, int code, const char *text)
{
    struct berth_started *started = kept_take(ctx, NULL, kept, false);
    char longer[sizeof((struct berth_error *)0)->text + 2 * BERTH_IDENTIFIER_MAX];
    if (!started)
        return;
    snprintf(longer, sizeof longer, "%s: %s", started->name, text);
    if (!berth_started_fail(started, berth_code_of_failure(code), longer))
        berth_flow_late(started->flow);
    kept_leave(started);
}

bool berth_kept_stopping(struct berth_host *host, uint64_t kept)
{
    struct berth_started *started = kept_find(host, kept, false);
    if (!started)
        return true;
    const struct berth_generation *generation = started->item->generation;
    bool over = berth_started_over(started) ||
                __atomic_load_n(&generation->leaving, __ATOMIC_RELAXED) ||
                __atomic_load_n(&generation->stopping, __ATOMIC_RELAXED);
    berth_started_unref(started);
    return over;
}

bool berth_kept_came(struct berth_host *host, uint64_t kept, bool more, int code,
                     const void *result, size_t size, const struct berth_error *error)
{
    struct berth_started *started = kept_find(host, kept, !more);
    if (!started)
        return true;
    bool taken = berth_started_came(started, started->item->signature->result, more, code, result,
                                    size, error);
    if (more)
        berth_started_unref(started);
    else
        kept_leave(started);
    return taken;
}

/* Ends those of a generation: all, or which nobody waits for any more. */
static void end_kept(struct berth_generation *generation, bool all)
{
    struct berth_host *host = generation->host;
    struct berth_started *started;
    char text[2 * BERTH_IDENTIFIER_MAX + 80];
    do {
        uint32_t position = 0;
        uint64_t id;
        pthread_mutex_lock(&host->calls_lock);
        while ((started = berth_idmap_next(&host->kept, &position, &id)) &&
               (started->item->generation != generation || !(all || berth_started_over(started))))
            ;
        if (started)
            berth_idmap_remove(&host->kept, id);
        pthread_mutex_unlock(&host->calls_lock);
        if (!started)
            continue;
        if (!berth_started_over(started))
            __atomic_add_fetch(&generation->lost, 1, __ATOMIC_RELAXED);
        snprintf(text, sizeof text, "%s: its module ended without having answered", started->name);
        berth_started_fail(started, BERTH_UNAVAILABLE, text);
        kept_leave(started);
    } while (started);
}

/* The next one of a generation, with a reference; NULL: there is none. */
static struct berth_started *kept_next(const struct berth_generation *generation,
                                       uint32_t *position)
{
    struct berth_host *host = generation->host;
    struct berth_started *started;
    uint64_t id;
    pthread_mutex_lock(&host->calls_lock);
    while ((started = berth_idmap_next(&host->kept, position, &id)) &&
           started->item->generation != generation)
        ;
    if (started)
        berth_started_ref(started);
    pthread_mutex_unlock(&host->calls_lock);
    return started;
}

void berth_kept_cancel(const struct berth_generation *generation, const char *why)
{
    struct berth_started *started;
    for (uint32_t position = 0; (started = kept_next(generation, &position));) {
        berth_started_cancel_as(started, why);
        berth_started_unref(started);
    }
}

static void pause_for(long *pause)
{
    nanosleep(&(struct timespec){ 0, *pause }, NULL);
    *pause = *pause < 1000000 ? *pause * 2 : *pause;
}

static bool is_read(const struct berth_generation *generation)
{
    return __atomic_load_n(&generation->readers, __ATOMIC_ACQUIRE) > 0;
}

static bool is_inside(const struct berth_generation *generation)
{
    return __atomic_load_n(&generation->inside, __ATOMIC_ACQUIRE) > 0 || is_read(generation);
}

bool berth_kept_quiet(struct berth_generation *generation, int64_t deadline)
{
    long pause = 20000;
    bool quiet;
    __atomic_store_n(&generation->leaving, true, __ATOMIC_RELAXED);
    while (!(quiet = !is_inside(generation)) && berth_now() < deadline) {
        end_kept(generation, false);
        if (!berth_schedule_help(generation->host))
            pause_for(&pause);
    }
    berth_schedule_let_in(generation->host);
    return quiet;
}

void berth_kept_end(struct berth_generation *generation)
{
    long pause = 20000;
    end_kept(generation, true);
    while (is_read(generation)) /* which takes a moment, and waits for nobody */
        pause_for(&pause);
}
