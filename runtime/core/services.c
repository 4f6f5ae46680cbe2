/* SPDX-License-Identifier: MIT */
/* What a module reaches through its ctx: the table of <berth/call.h>. */
#include "runtime/core/services.h"
#include "runtime/base/process.h"
#include "runtime/call/interrupt.h"
#include "runtime/core/alarm.h"
#include "runtime/core/blob.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/generation.h"
#include "runtime/core/handle.h"
#include "runtime/core/kept.h"
#include "runtime/core/log.h"
#include "runtime/core/permit.h"
#include "runtime/core/registry.h"
#include "runtime/core/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- calls ---- */

/*
 * By the item that is pinned (NULL: none): what edge->fit says may already be about the next one.
 * BERTH_FIT_NOT: ctx is marked.
 */
static enum berth_fit item_fit(berth_ctx *ctx, const struct berth_edge *edge,
                               const struct berth_item *item)
{
    enum berth_fit fit =
        item ? berth_signature_fit(edge->signature->identity, item->signature) : BERTH_FIT_NOT;
    if (item && fit == BERTH_FIT_NOT)
        berth_cell_mismatch(ctx, edge->cell, edge->signature, item);
    return fit;
}

static int enter(berth_ctx *ctx, struct berth_link *link, void (**ret_code)(void))
{
    struct berth_edge *edge = link->edge;
    berth_gate_withdraw(ctx);
    if (berth_process_is_forked()) {
        berth_call_refuse_forked(ctx);
        return BERTH_ENTER_REFUSED;
    }
    if (!edge) {
        berth_fault_raise_format(ctx, BERTH_FAILED_PRECONDITION,
                                 "this import is not bound: its module is not loaded");
        return BERTH_ENTER_REFUSED;
    }
    if (BERTH_I_UNLIKELY(__atomic_load_n(&edge->denied, __ATOMIC_RELAXED))) {
        berth_flow_refused(edge->flow, BERTH_PERMISSION_DENIED);
        berth_permit_refuse_edge(ctx, edge);
        return BERTH_ENTER_REFUSED;
    }
    berth_flow_begin_bound(ctx, edge); /* leave, call, or a refusal ends it */
    if (edge->upstream || (berth_host_of(ctx)->options.flags & BERTH_HOST_CHECK_OWNERSHIP) ||
        BERTH_I_UNLIKELY(berth_cell_timeout(edge->cell)))
        return BERTH_ENTER_GENERAL;
    bool gated;
    struct berth_item *item = berth_cell_enter(ctx, edge->cell, &gated);
    enum berth_fit fit = item_fit(ctx, edge, item);
    if (fit == BERTH_FIT_SAME && item->code && !item->async) {
        *ret_code = item->code;
        /* else it has come back in: the frame stays the item's, which tells leave */
        if (gated || !item->gated)
            __atomic_store_n(&ctx[1].frame, (uintptr_t)item->code, __ATOMIC_RELEASE);
        return BERTH_ENTER_CALL;
    }
    int answer = fit != BERTH_FIT_NOT ? BERTH_ENTER_GENERAL : BERTH_ENTER_REFUSED;
    if (item) {
        berth_frame_pop(ctx);
        if (gated)
            berth_gate_unlock(&edge->cell->module->gate, ctx);
    }
    if (answer == BERTH_ENTER_REFUSED)
        berth_flow_end_bound(ctx, edge->flow, berth_fault_get(ctx, NULL));
    return answer;
}

static void leave(berth_ctx *ctx, struct berth_link *link)
{
    struct berth_edge *edge = link->edge;
    int code = ctx[1].frame & BERTH_FRAME_FAILED ? berth_fault_get(ctx, NULL) : BERTH_OK;
    bool again = (ctx[1].frame & BERTH_FRAME_OBJECT) != 0; /* the gate is an outer call's */
    berth_flow_end_bound(ctx, edge->flow, code);
    berth_frame_pop(ctx);
    if (!again && berth_gate_owned(&edge->cell->module->gate, ctx))
        berth_gate_unlock(&edge->cell->module->gate, ctx);
}

static void keep(berth_ctx *ctx, struct berth_link *link, void *result)
{
    struct berth_edge *edge = link->edge;
    const struct berth_type *type = edge->signature->result;
    struct berth_error error;
    if (ctx[1].frame & BERTH_FRAME_FAILED) {
        berth_value_zero(type, result);
        return;
    }
    if (type->plain)
        return;
    int code = berth_value_copy(type, result, result, &berth_thread_of(ctx)->arena, true, &error);
    if (code != BERTH_OK) {
        berth_fault_raise_format(ctx, code, "%s", error.text);
        berth_value_zero(type, result);
        return;
    }
    berth_handles_hold(edge, result);
}

static void call(berth_ctx *ctx, struct berth_link *link, const void *const *arguments,
                 void *result)
{
    struct berth_edge *edge = link->edge;
    struct berth_host *host = berth_host_of(ctx);
    if (edge->upstream) {
        struct berth_error error;
        if (result)
            berth_value_zero(edge->signature->result, result);
        int code = berth_arguments_check(edge->signature, arguments, &error);
        if (code != BERTH_OK)
            berth_error_prefix(&error,
                               "%s: ", edge->importer->image->manifest->imports[edge->import].name);
        if (code == BERTH_OK && berth_too_deep(ctx))
            code = berth_error_set(&error, BERTH_RESOURCE_EXHAUSTED, "calls are nested too deeply");
        if (code == BERTH_OK)
            code = host->upstream->call(host->upstream->user, ctx, edge->import,
                                        berth_deadline(ctx, host), edge->signature, arguments,
                                        &berth_thread_of(ctx)->arena, result, &error);
        if (code != BERTH_OK)
            berth_fault_pass_on(ctx, code, error.text);
        return;
    }
    int code = berth_cell_call(ctx, edge->cell, NULL, edge->signature, arguments, result);
    berth_flow_end_bound(ctx, edge->flow, code);
    if (code == BERTH_OK && result)
        berth_handles_hold(edge, result);
}

static void leave_gate(berth_ctx *ctx, struct berth_gate *gate)
{
    berth_gate_left(gate, ctx);
}

static void publish(berth_ctx *ctx, struct berth_link *link, const void *const *arguments)
{
    if (berth_process_is_forked())
        berth_call_refuse_forked(ctx);
    else if (link->edge)
        berth_publish(ctx, link->edge, arguments);
}

/* ---- calls that are started, and kept ---- */

/* NULL: ctx is marked, or there was no memory. */
static struct berth_started *start_call(berth_ctx *ctx, const struct berth_link *link,
                                        const void *const *arguments, bool one_way)
{
    struct berth_edge *edge = link->edge;
    struct berth_start start = { .arguments = arguments,
                                 .deadline = BERTH_FOREVER,
                                 .one_way = one_way };
    if (berth_process_is_forked()) {
        berth_call_refuse_forked(ctx);
        return NULL;
    }
    if (!edge) {
        berth_fault_raise_format(ctx, BERTH_FAILED_PRECONDITION,
                                 "this import is not bound: its module is not loaded");
        return NULL;
    }
    if (edge->upstream) {
        start.import = edge->import;
        start.name = edge->importer->image->manifest->imports[edge->import].name;
    }
    start.cell = edge->cell;
    start.flow = edge->flow;
    start.owner = edge->importer;
    start.full = berth_edge_full(edge);
    start.caller = edge->importer ? berth_permit_name(edge->importer) : "";
    start.signature = edge->signature;
    start.denied = __atomic_load_n(&edge->denied, __ATOMIC_RELAXED) ? edge : NULL;
    return berth_started_new(ctx, &start);
}

static berth_pending call_start(berth_ctx *ctx, struct berth_link *link,
                                const void *const *arguments)
{
    struct berth_started *started = start_call(ctx, link, arguments, false);
    return (berth_pending){ started ? berth_started_give(started) : 0 };
}

static void call_send(berth_ctx *ctx, struct berth_link *link, const void *const *arguments)
{
    struct berth_started *started = start_call(ctx, link, arguments, true);
    if (!started) {
        if (!berth_failed(ctx))
            berth_fault_raise_static(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    berth_started_send(ctx, started);
}

/* Of this import, and this generation: else NULL, and ctx is marked. */
static struct berth_started *find_own(berth_ctx *ctx, const struct berth_edge *edge,
                                      berth_pending pending)
{
    struct berth_started *started = berth_started_find(berth_host_of(ctx), pending.id);
    if (!started) {
        berth_fault_raise_format(ctx, pending.id ? BERTH_NOT_FOUND : BERTH_RESOURCE_EXHAUSTED,
                                 pending.id ? "there is no such call: it has been taken, or dropped"
                                            : "this call could not be started: out of memory");
        return NULL;
    }
    if (edge && started->owner == edge->importer && started->signature == edge->signature)
        return started;
    berth_started_unref(started);
    berth_fault_raise_format(ctx, BERTH_INVALID_ARGUMENT,
                             "this call was started by another import");
    return NULL;
}

static int call_take(berth_ctx *ctx, struct berth_link *link, berth_pending pending, void *result,
                     int more)
{
    struct berth_edge *edge = link->edge;
    struct berth_reply *reply = NULL;
    struct berth_error error;
    struct berth_started *started = find_own(ctx, edge, pending);
    int code = started ? berth_started_take(ctx, started, more != 0, &reply) : BERTH_NOT_FOUND;
    if (code == BERTH_OK && reply &&
        (code = berth_reply_read(ctx, reply, edge->signature->result, result, &error)) != BERTH_OK)
        berth_fault_raise_format(ctx, code, "%s: %s", started->name, error.text);
    if (code == BERTH_OK && reply)
        berth_handles_hold(edge, result);
    if (code != BERTH_OK && result && edge)
        berth_value_zero(edge->signature->result, result);
    if (started) {
        berth_reply_free(started, reply);
        berth_started_unref(started);
    }
    return code == BERTH_OK && reply != NULL;
}

static int64_t from_now(int64_t timeout)
{
    int64_t now = berth_now();
    return timeout >= BERTH_FOREVER - now ? BERTH_FOREVER : now + (timeout > 0 ? timeout : 0);
}

static int call_wait(berth_ctx *ctx, const berth_pending *pendings, size_t count, int64_t timeout,
                     int all)
{
    return berth_started_wait(ctx, pendings, count, from_now(timeout),
                              all ? BERTH_AWAIT_ALL : BERTH_AWAIT_ANY);
}

static void call_then(berth_ctx *ctx, berth_pending pending, berth_reply_fn fn, void *user)
{
    struct berth_started *started = berth_started_find(berth_host_of(ctx), pending.id);
    if (!started) {
        berth_fault_raise_format(ctx, BERTH_NOT_FOUND,
                                 "there is no such call: it has been taken, or dropped");
        return;
    }
    berth_started_then(started, fn, user);
    berth_started_unref(started);
}

static void call_limit(berth_ctx *ctx, berth_pending pending, int64_t timeout)
{
    struct berth_started *started = berth_started_find(berth_host_of(ctx), pending.id);
    if (!started)
        return;
    berth_started_limit(started, from_now(timeout));
    berth_started_unref(started);
}

static void call_end(berth_ctx *ctx, berth_pending pending, int drop)
{
    struct berth_started *started = berth_started_find(berth_host_of(ctx), pending.id);
    if (!started)
        return;
    if (drop)
        berth_started_drop(started);
    else
        berth_started_cancel(started);
    berth_started_unref(started);
}

static berth_kept call_keep(berth_ctx *ctx)
{
    return (berth_kept){ berth_kept_keep(ctx) };
}

static int kept_reply(berth_ctx *ctx, struct berth_link *link, berth_kept kept, const void *value,
                      int more)
{
    return berth_kept_reply(ctx, link->edge, kept.id, value, more != 0);
}

__attribute__((format(printf, 4, 0))) static void kept_fail(berth_ctx *ctx, berth_kept kept,
                                                            int code, const char *format,
                                                            va_list arguments)
{
    struct berth_error error;
    berth_error_set_va(&error, code, format, arguments);
    berth_kept_fail(ctx, kept.id, code, error.text);
}

static int kept_stopping(berth_ctx *ctx, berth_kept kept)
{
    return berth_kept_stopping(berth_host_of(ctx), kept.id);
}

/* ---- memory ---- */

static void *alloc(berth_ctx *ctx, size_t size)
{
    void *memory = berth_arena_alloc(&berth_thread_of(ctx)->arena, size);
    if (!memory)
        berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for %zu bytes", size);
    return memory;
}

__attribute__((format(printf, 2, 0))) static char *format_text(berth_ctx *ctx, const char *format,
                                                               va_list arguments)
{
    static char empty[] = "";
    char *text = berth_arena_format_va(&berth_thread_of(ctx)->arena, format, arguments);
    if (text)
        return text;
    berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for a text");
    return empty;
}

static uint64_t mark(berth_ctx *ctx)
{
    return berth_arena_mark(&berth_thread_of(ctx)->arena);
}

static void rewind_to(berth_ctx *ctx, uint64_t to)
{
    berth_arena_rewind(&berth_thread_of(ctx)->arena, to);
}

/* ---- the module's own ---- */

__attribute__((format(printf, 4, 0))) static void log_line(berth_ctx *ctx, struct berth_link *unit,
                                                           int level, const char *format,
                                                           va_list arguments)
{
    berth_module_log_va(ctx, unit->edge, level, format, arguments);
}

static void option(berth_ctx *ctx, struct berth_link *unit, const void *record, void *ret_value)
{
    const struct berth_generation *generation = unit->edge;
    uint64_t address = berth_image_address(generation->image, record);
    for (size_t i = 0; i < generation->image->manifest->option_count; i++) {
        const struct berth_option_value *value = &generation->options[i];
        if (value->address == address) {
            memcpy(ret_value, value->value, value->type->size);
            return;
        }
    }
    berth_fault_raise_format(ctx, BERTH_INTERNAL, "an option that the manifest does not have");
}

static uint64_t report(berth_ctx *ctx, uint64_t id, const struct berth_error *error)
{
    if (!id)
        berth_fault_raise_format(ctx, error->code, "%s", error->text);
    return id;
}

static uint64_t handle_new(berth_ctx *ctx, struct berth_link *unit, const char *kind, void *object)
{
    struct berth_error error;
    return report(ctx, berth_handle_add(unit->edge, kind, object, &error), &error);
}

static void *handle_get(berth_ctx *ctx, struct berth_link *unit, const char *kind, uint64_t id,
                        int end)
{
    struct berth_error error;
    void *object = berth_handle_find(unit->edge, kind, id, end != 0, &error);
    if (!object)
        berth_fault_raise_format(ctx, error.code, "%s", error.text);
    return object;
}

static uint64_t handle_restore(berth_ctx *ctx, struct berth_link *unit, const char *kind,
                               uint64_t id, void *object)
{
    struct berth_error error;
    return report(ctx, berth_handle_restore(unit->edge, kind, id, object, &error), &error);
}

static uint64_t timer(berth_ctx *ctx, struct berth_link *unit, int64_t delay, int64_t period,
                      berth_timer_fn fn, void *user)
{
    struct berth_error error;
    return report(ctx, berth_alarm_timer(unit->edge, delay, period, fn, user, &error), &error);
}

static uint64_t watch(berth_ctx *ctx, struct berth_link *unit, int fd, uint32_t events,
                      berth_watch_fn fn, void *user)
{
    struct berth_error error;
    return report(ctx, berth_alarm_watch(unit->edge, fd, events, fn, user, &error), &error);
}

static uint64_t thread(berth_ctx *ctx, struct berth_link *unit, const char *name,
                       berth_thread_fn fn, void *user)
{
    struct berth_error error;
    return report(ctx, berth_generation_thread(unit->edge, name, fn, user, &error), &error);
}

static void cancel(berth_ctx *ctx, struct berth_link *unit, uint64_t id)
{
    (void)ctx;
    berth_alarm_cancel(unit->edge, id);
}

static int stopping_fd(berth_ctx *ctx, struct berth_link *unit)
{
    struct berth_error error;
    int fd = berth_generation_stopping_fd(unit->edge, &error);
    if (fd < 0)
        berth_fault_raise_format(ctx, error.code, "%s", error.text);
    return fd;
}

static const char *module_name(berth_ctx *ctx, struct berth_link *unit)
{
    const struct berth_generation *generation = unit->edge;
    (void)ctx;
    return generation->module->name;
}

/* ---- blobs ---- */

static void *blob_new(berth_ctx *ctx, struct berth_link *unit, size_t size)
{
    struct berth_error error;
    void *data = berth_blob_new(unit->edge, size, &error);
    if (!data)
        berth_fault_raise_format(ctx, error.code, "%s", error.text);
    return data;
}

static const void *blob_keep(berth_ctx *ctx, struct berth_link *unit, const void *data, size_t size)
{
    struct berth_error error;
    int code = berth_blob_hold(unit->edge, &data, size, &error);
    if (code != BERTH_OK)
        berth_fault_raise_format(ctx, code, "%s", error.text);
    return code == BERTH_OK ? data : NULL;
}

static void blob_release(berth_ctx *ctx, struct berth_link *unit, const void *data)
{
    struct berth_error error;
    int code = berth_blob_release(unit->edge, data, &error);
    if (code != BERTH_OK)
        berth_fault_raise_format(ctx, code, "%s", error.text);
}

/* ---- the call ---- */

static int64_t time_left(berth_ctx *ctx)
{
    int64_t deadline = berth_thread_of(ctx)->deadline;
    if (deadline == BERTH_FOREVER)
        return INT64_MAX;
    int64_t left = deadline - berth_now();
    return left > 0 ? left : 0;
}

static int stopping(berth_ctx *ctx)
{
    const bool *flag = berth_thread_of(ctx)->stopping;
    return (flag && __atomic_load_n(flag, __ATOMIC_RELAXED)) || time_left(ctx) == 0 ||
           berth_call_over(ctx);
}

static const char *topic(berth_ctx *ctx)
{
    return berth_thread_of(ctx)->topic;
}

/* Behind berth_current and berth_enter of a module's file. */
berth_ctx *berth_unit_ctx(struct berth_link *unit, int want_enter)
{
    struct berth_generation *generation = unit->edge;
    if (!want_enter)
        return berth_thread_current(&generation->host->threads);
    if (__atomic_load_n(&generation->stopping, __ATOMIC_RELAXED))
        return NULL;
    berth_ctx *ctx = berth_thread_enter(&generation->host->threads);
    if (!ctx)
        return NULL;
    struct berth_thread *thread = berth_thread_of(ctx);
    if (ctx == berth_thread_base(thread)) /* the module's own: STOP ends it, who waits for calls */
        __atomic_store_n(&thread->stopping, &generation->stopping, __ATOMIC_RELAXED); /* does not */
    /* an address in the image: as long as the thread is entered, the image is in use */
    __atomic_store_n(&ctx->frame, (uintptr_t)unit, __ATOMIC_RELEASE);
    return ctx;
}

const struct berth_services berth_services = {
    .size = sizeof(struct berth_services),
    .abi = BERTH_ABI,
    .enter = enter,
    .leave = leave,
    .leave_gate = leave_gate,
    .call = call,
    .keep = keep,
    .publish = publish,
    .fail = berth_fault_raise_va,
    .clear = berth_fault_clear,
    .error = berth_fault_get,
    .alloc = alloc,
    .format = format_text,
    .mark = mark,
    .rewind = rewind_to,
    .log = log_line,
    .option = option,
    .handle_new = handle_new,
    .handle_get = handle_get,
    .timer = timer,
    .watch = watch,
    .thread = thread,
    .cancel = cancel,
    .time_left = time_left,
    .stopping = stopping,
    .topic = topic,
    .leave_thread = berth_thread_leave,
    .stopping_fd = stopping_fd,
    .module_name = module_name,
    .call_start = call_start,
    .call_send = call_send,
    .call_take = call_take,
    .call_wait = call_wait,
    .call_then = call_then,
    .call_limit = call_limit,
    .call_end = call_end,
    .call_keep = call_keep,
    .kept_reply = kept_reply,
    .kept_fail = kept_fail,
    .kept_stopping = kept_stopping,
    .handle_restore = handle_restore,
    .blob_new = blob_new,
    .blob_keep = blob_keep,
    .blob_release = blob_release,
};
