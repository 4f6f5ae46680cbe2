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
#include "runtime/value/words.h"

#include <string.h>

/* How a call is started, and taken. */
enum form { BY_JSON, BY_VALUES, BY_WORDS };

/* What is asked for. */
struct asked {
    const char *name;
    enum form form;
    bool one_way;
    const char *json;
    const struct berth_value *values;
    size_t count;
    const struct berth_words_call *words;
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
    if (asked->words && berth_words_check(ctx, asked->words) != BERTH_OK)
        return BERTH_INVALID_ARGUMENT;
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
 * The signature that the function has now, which stays until `readers` of the generation is one
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
        __atomic_add_fetch(&generation->readers, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&host->lock);
    return generation;
}

/* Where the arguments are: in list, or in the thread's arena. */
static int read_arguments(berth_ctx *ctx, const struct asked *asked, struct berth_start *start,
                          struct berth_value_list *list, struct berth_error *error)
{
    const void **arguments;
    if (asked->form == BY_VALUES) {
        start->arguments = list->places;
        return berth_value_list_from(start->signature, asked->values, asked->count, list, error);
    }
    int code = berth_value_read_words(start->signature, asked->words,
                                      berth_host_of(ctx)->options.max_message,
                                      &berth_thread_of(ctx)->arena, &arguments, error);
    if (code == BERTH_OK)
        start->arguments = arguments;
    return code;
}

/* By the signature that the function has now. NULL: ctx is marked, or there was no memory. */
static struct berth_started *start_typed(berth_ctx *ctx, struct berth_start *start,
                                         const struct asked *asked)
{
    struct berth_arena *arena = &berth_thread_of(ctx)->arena;
    struct berth_value_list list;
    struct berth_error error;
    struct berth_started *started = NULL;
    struct berth_generation *generation = hold(start->cell, &start->signature, &error);
    if (!generation) {
        berth_fault_raise_format(ctx, error.code, "%s", error.text);
        return NULL;
    }
    uint64_t mark = berth_arena_mark(arena); /* what is started has its own copy */
    int code = read_arguments(ctx, asked, start, &list, &error);
    if (code == BERTH_OK) {
        start->held = &generation;
        start->whole = asked->form == BY_VALUES;
        start->words = asked->form == BY_WORDS;
        start->json_replies = start->words && asked->words->as_json;
        started = berth_started_new(ctx, start);
    } else {
        berth_fault_raise_format(ctx, code, "%s: %s", asked->name, error.text);
    }
    berth_arena_rewind(arena, mark);
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
        asked->form == BY_JSON ? berth_started_new(ctx, &start) : start_typed(ctx, &start, asked);
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
        .name = name, .form = BY_VALUES, .values = arguments, .count = count, .options = options
    };
    return start(ctx, &asked, ret_pending);
}

int berth_call_start_words(berth_ctx *ctx, const char *name, const struct berth_words_call *words,
                           const struct berth_call_options *options, berth_pending *ret_pending)
{
    const struct asked asked = {
        .name = name, .form = BY_WORDS, .words = words, .options = options
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
                                 .form = BY_VALUES,
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

static bool was_started(const struct berth_started *started, enum form form)
{
    if (started->owner || started->words != (form == BY_WORDS))
        return false;
    return form == BY_VALUES ? started->whole : form == BY_WORDS || started->json;
}

/* The pending call, if it was started like that; NULL: ctx is marked. */
static struct berth_started *find(berth_ctx *ctx, berth_pending pending, enum form form)
{
    static const char *const starts[] = { [BY_JSON] = "berth_call_start_json",
                                          [BY_VALUES] = "berth_call_start",
                                          [BY_WORDS] = "berth_call_start_words" };
    struct berth_started *started = berth_started_find(berth_host_of(ctx), pending.id);
    if (!started) {
        berth_fault_raise_format(ctx, BERTH_NOT_FOUND,
                                 "there is no such call: it has been taken, or dropped");
        return NULL;
    }
    if (was_started(started, form))
        return started;
    berth_started_unref(started);
    berth_fault_raise_format(ctx, BERTH_INVALID_ARGUMENT, "this call was not started by %s",
                             starts[form]);
    return NULL;
}

/* Hands the reply (NULL: there is none) to give, with its call. */
static int take(berth_ctx *ctx, berth_pending pending, enum form form, bool more,
                int (*give)(berth_ctx *ctx, const struct berth_started *started,
                            struct berth_reply *reply, void *ret_result),
                void *ret_result)
{
    struct berth_reply *reply = NULL;
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_started *started = find(ctx, pending, form);
    if (!started)
        return berth_fault_get(ctx, NULL);
    int code = berth_started_take(ctx, started, more, &reply);
    if (code == BERTH_OK && ret_result)
        code = give(ctx, started, reply, ret_result);
    berth_reply_free(started, reply);
    berth_started_unref(started);
    return code;
}

/* A reply's text becomes the caller's. */
static int give_json(berth_ctx *ctx, const struct berth_started *started, struct berth_reply *reply,
                     void *ret_result)
{
    char **ret_text = ret_result;
    (void)ctx, (void)started;
    *ret_text = reply ? reply->data : NULL;
    if (reply)
        reply->data = NULL;
    return BERTH_OK;
}

int berth_call_take_json(berth_ctx *ctx, berth_pending pending, char **ret_result)
{
    return take(ctx, pending, BY_JSON, false, give_json, ret_result);
}

int berth_call_next_json(berth_ctx *ctx, berth_pending pending, char **ret_value)
{
    return take(ctx, pending, BY_JSON, true, give_json, ret_value);
}

static int give_words(berth_ctx *ctx, const struct berth_started *started,
                      struct berth_reply *reply, void *ret_result)
{
    struct berth_words_result *result = ret_result;
    *result = (struct berth_words_result){ .kind = BERTH_VALUE_VOID };
    if (!reply)
        return BERTH_OK;
    result->kind = started->json ? BERTH_VALUE_JSON : berth_words_kind(reply->kind);
    result->size = reply->size;
    return give_json(ctx, started, reply, &result->data);
}

int berth_call_take_words(berth_ctx *ctx, berth_pending pending,
                          struct berth_words_result *ret_result)
{
    return take(ctx, pending, BY_WORDS, false, give_words, ret_result);
}

int berth_call_next_words(berth_ctx *ctx, berth_pending pending,
                          struct berth_words_result *ret_value)
{
    return take(ctx, pending, BY_WORDS, true, give_words, ret_value);
}

/* A reply lives in the thread's memory from now on. */
static int give_value(berth_ctx *ctx, const struct berth_started *started,
                      struct berth_reply *reply, void *ret_result)
{
    const void *memory = reply ? berth_reply_keep(ctx, reply) : NULL;
    struct berth_value value = { .kind = BERTH_VALUE_VOID };
    if (reply && !memory) {
        berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED, "%s: no memory for the result",
                                 started->name);
        return BERTH_RESOURCE_EXHAUSTED;
    }
    if (memory)
        berth_value_to(reply->kind, memory, &value);
    *(struct berth_value *)ret_result = value;
    return BERTH_OK;
}

int berth_call_take(berth_ctx *ctx, berth_pending pending, struct berth_value *ret_result)
{
    return take(ctx, pending, BY_VALUES, false, give_value, ret_result);
}

int berth_call_next(berth_ctx *ctx, berth_pending pending, struct berth_value *ret_value)
{
    return take(ctx, pending, BY_VALUES, true, give_value, ret_value);
}
