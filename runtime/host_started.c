/* SPDX-License-Identifier: MIT */
/* The application's calls that are started: <berth/host.h>. */
#include <berth/host.h>

#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/core/call.h"
#include "runtime/core/started.h"
#include "runtime/host.h"

#include <string.h>

static int check(berth_ctx *ctx, const char *name, const char *arguments,
                 const struct berth_call_options *options)
{
    size_t size = arguments ? strlen(arguments) : 0,
           limit = berth_host_of(ctx)->options.max_message;
    struct berth_error error = { .code = BERTH_OK };
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    if (options && options->size != sizeof *options)
        berth_error_set(&error, BERTH_INVALID_ARGUMENT,
                        "berth_call_options.size is %zu: set it to sizeof(struct "
                        "berth_call_options)",
                        options->size);
    else if (options && options->full != BERTH_FULL_REJECT && options->full != BERTH_FULL_BLOCK)
        berth_error_set(&error, BERTH_INVALID_ARGUMENT,
                        "berth_call_options.full is %u: a call is rejected or blocks",
                        (unsigned)options->full);
    else if (size > limit)
        berth_error_set(&error, BERTH_RESOURCE_EXHAUSTED,
                        "%s: the arguments have %zu bytes; max_message is %zu", name, size, limit);
    if (error.code != BERTH_OK)
        berth_fault_raise_format(ctx, error.code, "%s", error.text);
    return error.code;
}

/* NULL: ctx is marked. */
static struct berth_started *start_call(berth_ctx *ctx, const char *name, const char *arguments,
                                        const struct berth_call_options *options, bool one_way)
{
    int64_t now = berth_now(), timeout = options ? options->timeout_ns : 0;
    struct berth_start start = { .json = arguments ? arguments : "",
                                 .deadline = BERTH_FOREVER,
                                 .full = options ? options->full : BERTH_FULL_REJECT,
                                 .one_way = one_way };
    if (check(ctx, name, arguments, options) != BERTH_OK)
        return NULL;
    start.cell = berth_call_find(ctx, name);
    if (!start.cell)
        return NULL;
    start.flow = berth_flow_of("", start.cell);
    if (timeout > 0 && timeout < BERTH_FOREVER - now)
        start.deadline = now + timeout;
    struct berth_started *started = berth_started_new(ctx, &start);
    if (!started)
        berth_fault_raise_static(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    return started;
}

int berth_call_start_json(berth_ctx *ctx, const char *name, const char *arguments,
                          const struct berth_call_options *options, berth_pending *ret_pending)
{
    struct berth_started *started = start_call(ctx, name, arguments, options, false);
    ret_pending->id = started ? berth_started_give(started) : 0;
    if (started && !ret_pending->id)
        berth_fault_raise_static(ctx, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    return ret_pending->id ? BERTH_OK : berth_fault_get(ctx, NULL);
}

int berth_send_json(berth_ctx *ctx, const char *name, const char *arguments,
                    const struct berth_call_options *options)
{
    struct berth_started *started = start_call(ctx, name, arguments, options, true);
    if (started)
        berth_started_send(ctx, started);
    return berth_failed(ctx) ? berth_fault_get(ctx, NULL) : BERTH_OK;
}

/* A reply's text becomes the caller's. */
static int take(berth_ctx *ctx, berth_pending pending, bool more, char **ret_text)
{
    struct berth_reply *reply = NULL;
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_started *started = berth_started_find(berth_host_of(ctx), pending.id);
    if (!started || !started->json || started->owner) {
        berth_fault_raise_format(ctx, started ? BERTH_INVALID_ARGUMENT : BERTH_NOT_FOUND,
                                 started ? "this call was not started by berth_call_start_json"
                                         : "there is no such call: it has been taken, or dropped");
        if (started)
            berth_started_unref(started);
        return berth_fault_get(ctx, NULL);
    }
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
    return take(ctx, pending, false, ret_result);
}

int berth_call_next_json(berth_ctx *ctx, berth_pending pending, char **ret_value)
{
    return take(ctx, pending, true, ret_value);
}
