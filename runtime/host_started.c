/* SPDX-License-Identifier: MIT */
/* The application's calls that are started: <berth/host.h>. */
#include <berth/host.h>

#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/core/call.h"
#include "runtime/core/registry.h"
#include "runtime/core/started.h"
#include "runtime/host.h"
#include "runtime/host_value.h"

#include <string.h>

/* What is asked for: arguments as JSON, or (by_values) as values. */
struct asked {
    const char *name;
    bool by_values, one_way;
    const char *json;
    const struct berth_value *values;
    size_t count;
    const struct berth_call_options *options;
};

static int check(berth_ctx *ctx, const struct asked *asked)
{
    const struct berth_call_options *options = asked->options;
    size_t size = asked->json ? strlen(asked->json) : 0,
           limit = berth_host_of(ctx)->options.max_message;
    enum berth_full last = asked->one_way ? BERTH_FULL_DROP_OLDEST : BERTH_FULL_BLOCK;
    struct berth_error error = { .code = BERTH_OK };
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    if (options && options->size != sizeof *options)
        berth_error_set(&error, BERTH_INVALID_ARGUMENT,
                        "berth_call_options.size is %zu: set it to sizeof(struct "
                        "berth_call_options)",
                        options->size);
    else if (options && (unsigned)options->full > last)
        berth_error_set(&error, BERTH_INVALID_ARGUMENT, "berth_call_options.full is %u: %s",
                        (unsigned)options->full,
                        asked->one_way ? "no enum berth_full"
                                       : "a call that somebody waits for is rejected or blocks");
    else if (size > limit)
        berth_error_set(&error, BERTH_RESOURCE_EXHAUSTED,
                        "%s: the arguments have %zu bytes; max_message is %zu", asked->name, size,
                        limit);
    if (error.code != BERTH_OK)
        berth_fault_raise_format(ctx, error.code, "%s", error.text);
    return error.code;
}

/*
 * The signature that the function has now, which stays until `inside` of the generation is one
 * less. No frame: the module may be one that is being replaced.
 */
static struct berth_generation *hold(struct berth_cell *cell,
                                     const struct berth_signature **ret_signature,
                                     struct berth_error *error)
{
    struct berth_host *host = cell->module->host;
    struct berth_generation *generation = NULL;
    pthread_mutex_lock(&host->lock);
    if (berth_cell_find(host, cell->name, error)) {
        generation = cell->item ? cell->item->generation : cell->module->current;
        *ret_signature = berth_cell_signature(cell);
        __atomic_add_fetch(&generation->inside, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&host->lock);
    return generation;
}

/* NULL: ctx is marked, or there was no memory. */
static struct berth_started *start_with_values(berth_ctx *ctx, struct berth_start *start,
                                               const struct asked *asked)
{
    struct berth_value_list list;
    struct berth_error error;
    struct berth_started *started = NULL;
    struct berth_generation *generation = hold(start->cell, &start->signature, &error);
    if (!generation) {
        berth_fault_raise_format(ctx, error.code, "%s", error.text);
        return NULL;
    }
    int code = berth_value_list_from(start->signature, asked->values, asked->count, &list, &error);
    if (code == BERTH_OK) {
        start->arguments = list.places;
        start->held = &generation;
        start->whole = true;
        started = berth_started_new(ctx, start);
    } else {
        berth_fault_raise_format(ctx, code, "%s: %s", asked->name, error.text);
    }
    berth_started_let_go(&generation);
    return started;
}

/* NULL: ctx is marked. */
static struct berth_started *start_call(berth_ctx *ctx, const struct asked *asked)
{
    const struct berth_call_options *options = asked->options;
    int64_t now = berth_now(), timeout = options ? options->timeout_ns : 0;
    struct berth_start start = { .json = asked->json ? asked->json : "",
                                 .deadline = BERTH_FOREVER,
                                 .full = options ? options->full : BERTH_FULL_REJECT,
                                 .one_way = asked->one_way };
    if (check(ctx, asked) != BERTH_OK)
        return NULL;
    start.cell = berth_call_find(ctx, asked->name);
    if (!start.cell)
        return NULL;
    start.flow = berth_flow_of("", start.cell);
    if (timeout > 0 && timeout < BERTH_FOREVER - now)
        start.deadline = now + timeout;
    struct berth_started *started =
        asked->by_values ? start_with_values(ctx, &start, asked) : berth_started_new(ctx, &start);
    if (!started && !berth_failed(ctx))
        berth_fault_raise_static(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    return started;
}

static int start(berth_ctx *ctx, const struct asked *asked, berth_pending *ret_pending)
{
    struct berth_started *started = start_call(ctx, asked);
    ret_pending->id = started ? berth_started_give(started) : 0;
    if (started && !ret_pending->id)
        berth_fault_raise_static(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    return ret_pending->id ? BERTH_OK : berth_fault_get(ctx, NULL);
}

int berth_call_start(berth_ctx *ctx, const char *name, const struct berth_value *arguments,
                     size_t count, const struct berth_call_options *options,
                     berth_pending *ret_pending)
{
    const struct asked asked = {
        .name = name, .by_values = true, .values = arguments, .count = count, .options = options
    };
    return start(ctx, &asked, ret_pending);
}

int berth_call_start_json(berth_ctx *ctx, const char *name, const char *arguments,
                          const struct berth_call_options *options, berth_pending *ret_pending)
{
    const struct asked asked = { .name = name, .json = arguments, .options = options };
    return start(ctx, &asked, ret_pending);
}

static int send(berth_ctx *ctx, const struct asked *asked)
{
    struct berth_started *started = start_call(ctx, asked);
    if (started)
        berth_started_send(ctx, started);
    return berth_failed(ctx) ? berth_fault_get(ctx, NULL) : BERTH_OK;
}

int berth_send(berth_ctx *ctx, const char *name, const struct berth_value *arguments, size_t count,
               const struct berth_call_options *options)
{
    const struct asked asked = { .name = name,
                                 .by_values = true,
                                 .one_way = true,
                                 .values = arguments,
                                 .count = count,
                                 .options = options };
    return send(ctx, &asked);
}

int berth_send_json(berth_ctx *ctx, const char *name, const char *arguments,
                    const struct berth_call_options *options)
{
    const struct asked asked = {
        .name = name, .one_way = true, .json = arguments, .options = options
    };
    return send(ctx, &asked);
}

/* ---- taking ---- */

/* The pending call, if it was started like that; NULL: ctx is marked. */
static struct berth_started *find(berth_ctx *ctx, berth_pending pending, bool by_values)
{
    struct berth_started *started = berth_started_find(berth_host_of(ctx), pending.id);
    if (!started) {
        berth_fault_raise_format(ctx, BERTH_NOT_FOUND,
                                 "there is no such call: it has been taken, or dropped");
        return NULL;
    }
    if (!started->owner && (by_values ? started->whole : started->json))
        return started;
    berth_started_unref(started);
    berth_fault_raise_format(ctx, BERTH_INVALID_ARGUMENT, "this call was not started by %s",
                             by_values ? "berth_call_start" : "berth_call_start_json");
    return NULL;
}

/* A reply's text becomes the caller's. */
static int take_json(berth_ctx *ctx, berth_pending pending, bool more, char **ret_text)
{
    struct berth_reply *reply = NULL;
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_started *started = find(ctx, pending, false);
    if (!started)
        return berth_fault_get(ctx, NULL);
    int code = berth_started_take(ctx, started, more, &reply);
    if (code == BERTH_OK && ret_text) {
        *ret_text = reply ? reply->data : NULL;
        if (reply)
            reply->data = NULL;
    }
    berth_reply_free(started, reply);
    berth_started_unref(started);
    return code;
}

int berth_call_take_json(berth_ctx *ctx, berth_pending pending, char **ret_result)
{
    return take_json(ctx, pending, false, ret_result);
}

int berth_call_next_json(berth_ctx *ctx, berth_pending pending, char **ret_value)
{
    return take_json(ctx, pending, true, ret_value);
}

/* A reply lives in the thread's memory from now on. */
static int take_value(berth_ctx *ctx, berth_pending pending, bool more,
                      struct berth_value *ret_value)
{
    struct berth_reply *reply = NULL;
    struct berth_value value = { .kind = BERTH_VALUE_VOID };
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_started *started = find(ctx, pending, true);
    if (!started)
        return berth_fault_get(ctx, NULL);
    int code = berth_started_take(ctx, started, more, &reply);
    const void *memory = reply && ret_value ? berth_reply_keep(ctx, reply) : NULL;
    if (memory) {
        berth_value_to(reply->kind, memory, &value);
    } else if (reply && ret_value) {
        code = BERTH_RESOURCE_EXHAUSTED;
        berth_fault_raise_static(ctx, code, "out of memory");
    }
    if (code == BERTH_OK && ret_value)
        *ret_value = value;
    berth_reply_free(started, reply);
    berth_started_unref(started);
    return code;
}

int berth_call_take(berth_ctx *ctx, berth_pending pending, struct berth_value *ret_result)
{
    return take_value(ctx, pending, false, ret_result);
}

int berth_call_next(berth_ctx *ctx, berth_pending pending, struct berth_value *ret_value)
{
    return take_value(ctx, pending, true, ret_value);
}
