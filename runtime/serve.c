/* SPDX-License-Identifier: MIT */
#include "runtime/serve.h"

#include "runtime/core/call.h"
#include "runtime/core/generation.h"
#include "runtime/core/kept.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/schedule.h"
#include "runtime/host.h"
#include "runtime/reload/lifecycle.h"

#include <string.h>

int berth_served_new(const struct berth_host_options *options,
                     const struct berth_upstream *upstream, berth_host **ret_host,
                     struct berth_error *error)
{
    return berth_host_make(options, upstream, ret_host, error);
}

int berth_served_open(berth_host *host, struct berth_image *image, const char *name,
                      const char *options_json, struct berth_error *error)
{
    berth_ctx *admin = berth_admin_enter(host, "a load", error);
    if (!admin) {
        berth_image_free(image);
        return BERTH_RESOURCE_EXHAUSTED;
    }
    struct berth_load load = {
        .image = image, .name = name, .placement = "inline", .options = options_json
    };
    int code = berth_module_load(admin, &load, error);
    berth_admin_leave(host, admin);
    return code;
}

static struct berth_module *served_module(berth_host *host)
{
    return berth_list_empty(&host->order)
               ? NULL
               : berth_container(host->order.next, struct berth_module, link);
}

void berth_served_serve(berth_host *host)
{
    struct berth_module *module = served_module(host);
    if (!module || !module->current)
        return;
    berth_generation_serve(module->current);
    berth_mailbox_resume(module);
}

void berth_served_tell(berth_host *host, enum berth_ending ending)
{
    struct berth_module *module = served_module(host);
    if (module && module->current)
        berth_generation_tell(module->current, ending);
}

static struct berth_item *find_item(struct berth_generation *generation, enum berth_item_kind kind,
                                    size_t index)
{
    if (!generation)
        return NULL;
    if (kind == BERTH_ITEM_EXPORT && index < generation->export_count)
        return &generation->exports[index];
    if (kind == BERTH_ITEM_SUBSCRIBE && index < generation->handler_count)
        return &generation->handlers[index];
    if (kind == BERTH_ITEM_HOOK && index < BERTH_HOOK_COUNT &&
        generation->image->manifest->hooks[index])
        return &generation->hooks[index];
    return NULL;
}

/*
 * What a host does to its own modules before these hooks: SAVE has no timer or watch beside it, nor
 * after it unless upstream says so; STOP is the last call.
 */
static int before_hook(const struct berth_item *item, int64_t deadline, struct berth_error *error)
{
    struct berth_module *module = item->generation->module;
    if (item->kind != BERTH_ITEM_HOOK)
        return BERTH_OK;
    if (item->index == BERTH_HOOK_STOP && !berth_generation_halt(item->generation, deadline))
        return berth_error_set(error, BERTH_DEADLINE_EXCEEDED,
                               "%s: a thread of its own has not ended: it must ask berth_stopping",
                               module->name);
    if (item->index != BERTH_HOOK_SAVE)
        return BERTH_OK;
    berth_mailbox_pause(module);
    if (berth_mailbox_quiet(module, item->generation, NULL, deadline))
        return BERTH_OK;
    return berth_error_set(error, BERTH_DEADLINE_EXCEEDED,
                           "%s: a timer or watch was still running at the deadline", module->name);
}

static void run_async(berth_ctx *ctx, struct berth_item *item, struct berth_started *started,
                      const void *const *values, struct berth_error *error)
{
    if (berth_kept_run(ctx, item, started, values) == BERTH_OK)
        return;
    int code = berth_fault_take(ctx, error);
    berth_started_fail(started, code, error->text);
}

/*
 * A call of an export, or a message. It may have waited for its module's gate: if it was cancelled
 * meanwhile it does not begin, and what is to answer later has answered.
 */
static int run_later(berth_ctx *ctx, struct berth_item *item, const char *topic,
                     const struct berth_served_later *later, const void *const *values, void *value,
                     struct berth_error *error)
{
    struct berth_started *started = berth_started_direct(ctx, item, NULL);
    int code = BERTH_SERVED_LATER;
    if (!started)
        return berth_error_nomem(error);
    started->packed = true;
    started->single = later->single;
    started->user = later->user;
    if (item->async)
        started->notify = later->notify;
    berth_started_ref(started); /* the user's, until end, or the answer */
    later->begin(later->user, started);
    bool over = __atomic_load_n(&started->cancelled, __ATOMIC_ACQUIRE);
    if (item->async && !over)
        run_async(ctx, item, started, values, error);
    if (!item->async) {
        code = over ? berth_error_set(error, BERTH_CANCELLED, "cancelled before it was begun")
                    : berth_kept_serve(ctx, item, topic, started, values, value);
        later->end(later->user);
        berth_started_unref(started);
    }
    berth_started_unref(started);
    return code;
}

/*
 * The item's module is gated like in any host: its timers and watches run beside what comes from
 * upstream.
 */
static int invoke(berth_ctx *ctx, struct berth_item *item, const char *topic, bool echo,
                  const struct berth_served_later *later, struct berth_reader *arguments,
                  struct berth_buffer *result, struct berth_error *error)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    struct berth_module *module = item->generation->module;
    const struct berth_type *type = item->signature->result;
    bool gated = false;
    const char *outer = thread->topic;
    bool outer_echo = thread->echo;
    const void **values;
    void *value = NULL;
    int code =
        berth_arguments_unpack(item->signature, arguments, &thread->arena, &values, NULL, error);
    if (code == BERTH_OK && type->size && !(value = berth_arena_alloc(&thread->arena, type->size)))
        code = berth_error_nomem(error);
    if (code != BERTH_OK)
        return code;
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    if (!item->generation->image->manifest->parallel) {
        struct berth_gate_entry entry = { .ctx = ctx, .deadline = thread->deadline };
        code = berth_generation_lock(item->generation, &entry, &gated, error);
    }
    if (code != BERTH_OK) {
        berth_frame_pop(ctx);
        return berth_error_prefix(error, "%s: ", module->name);
    }
    thread->topic = topic;
    thread->echo = echo;
    code = later ? run_later(ctx, item, topic, later, values, value, error)
                 : berth_item_invoke(ctx, item, topic, values, value);
    if (code == BERTH_OK && value && (code = berth_result_check(type, value, error)) != BERTH_OK)
        berth_error_prefix(error, "%s: ", module->name);
    if (code == BERTH_OK && value)
        code = berth_value_pack(type, value, result, NULL, error);
    berth_frame_pop(ctx);
    thread->topic = outer;
    thread->echo = outer_echo;
    if (gated)
        berth_gate_unlock(&module->gate, ctx);
    return code;
}

int berth_served_invoke(berth_host *host, berth_ctx *under, enum berth_item_kind kind, size_t index,
                        int64_t deadline, const char *topic, bool echo,
                        const struct berth_served_later *later, struct berth_reader *arguments,
                        struct berth_buffer *result, struct berth_error *error)
{
    struct berth_module *module = served_module(host);
    struct berth_item *item = module ? find_item(module->current, kind, index) : NULL;
    if (!item)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "the module has no such item (%d, %zu)", (int)kind, index);
    berth_ctx *ctx = under ? under : berth_thread_enter(&host->threads);
    if (!ctx || berth_too_deep(ctx)) {
        if (ctx && !under)
            berth_thread_leave(ctx);
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED, "calls are nested too deeply");
    }
    struct berth_thread *thread = berth_thread_of(ctx);
    int64_t outer = thread->deadline;
    if (deadline < outer)
        thread->deadline = deadline;
    const berth_ctx *outer_chain = thread->chain_from;
    thread->chain_from = ctx + 1; /* what is in front of the item, upstream adds */
    uint64_t mark = berth_arena_mark(&thread->arena); /* under another call, which may go on long */
    int code = before_hook(item, thread->deadline, error);
    if (code == BERTH_OK)
        code = invoke(ctx, item, topic ? topic : "", echo, later, arguments, result, error);
    if (berth_failed(ctx))
        code = berth_fault_take(ctx, error);
    thread->chain_from = outer_chain;
    thread->deadline = outer;
    berth_arena_rewind(&thread->arena, mark);
    if (!under)
        berth_thread_leave(ctx);
    return code;
}

bool berth_served_inside(berth_host *host, const berth_ctx *ctx)
{
    const struct berth_module *module = served_module(host);
    if (!module || !module->current)
        return false;
    return module->current->image->manifest->parallel ? berth_mailbox_turn_is(module, ctx)
                                                      : berth_gate_owned(&module->gate, ctx);
}

uint32_t berth_served_run(berth_host *host)
{
    struct berth_thread *thread = berth_thread_mine(&host->threads);
    return thread ? berth_thread_run(thread) : 0;
}

bool berth_served_has_started(berth_host *host, size_t count)
{
    pthread_mutex_lock(&host->calls_lock);
    bool more = host->pendings.count > count;
    pthread_mutex_unlock(&host->calls_lock);
    return more;
}

int berth_served_submit(berth_host *host, void (*fn)(void *argument), void *argument)
{
    return berth_schedule_job(host, fn, argument);
}

void berth_served_waits(berth_host *host, bool waits)
{
    berth_schedule_waits(host, waits);
}
