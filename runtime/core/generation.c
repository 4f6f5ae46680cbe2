/* SPDX-License-Identifier: MIT */
/*
 * A generation: one image of a module, made ready to run somewhere, with all that it holds on to.
 */
#include "runtime/core/generation.h"
#include "runtime/base/memory.h"
#include "runtime/base/pool.h"
#include "runtime/call/interrupt.h"
#include "runtime/core/alarm.h"
#include "runtime/core/blob.h"
#include "runtime/core/call.h"
#include "runtime/core/crash.h"
#include "runtime/core/flow.h"
#include "runtime/core/handle.h"
#include "runtime/core/kept.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/more.h"
#include "runtime/core/option.h"
#include "runtime/core/permit.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"
#include "runtime/core/services.h"
#include "runtime/core/started.h"
#include "runtime/core/topic.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ARENA_ROOM ((size_t)672) /* enough for a small module's items, */
/* which begin where a line of the cache does, behind the head of the arena's block */
#define HEAD_SIZE (((sizeof(struct berth_generation) + 32 + 63) & ~(size_t)63) - 32)

static uint64_t next_serial;

/* ---- what a worker asks for ---- */

/* Something that a worker asks for, while it is done. */
struct upcall {
    berth_ctx *ctx, *base; /* base: where the thread entered; NULL: it waits for the worker */
    struct berth_remote_run of;
    const berth_ctx *outer_chain;
    struct berth_acting outer_acting;
    int64_t outer_deadline;
    uint64_t mark; /* whoever waits for the worker may wait long: nothing is left in its arena */
};

/*
 * The ctx is of the activation that waits for the worker (its own frame is the item's), of one that
 * stands for it when nobody waits, or of a thread that has nothing to do with it.
 */
static bool upcall_enter(struct berth_generation *generation, const struct berth_origin *from,
                         struct upcall *ret_upcall, struct berth_error *error)
{
    berth_ctx *base = from->under ? NULL : berth_thread_enter(&generation->host->threads);
    berth_ctx *ctx = from->under ? from->under + 1 : from->of && base ? base + 1 : base;
    if (!ctx || berth_too_deep(ctx)) {
        berth_error_set(error, BERTH_RESOURCE_EXHAUSTED, "calls are nested too deeply");
        if (base)
            berth_thread_leave(base);
        return false;
    }
    struct berth_thread *thread = berth_thread_of(ctx);
    ret_upcall->ctx = ctx;
    ret_upcall->base = base;
    ret_upcall->outer_chain = thread->chain_from;
    ret_upcall->outer_deadline = thread->deadline;
    ret_upcall->mark = berth_arena_mark(&thread->arena);
    berth_remote_run_begin(base, from->of, &ret_upcall->of);
    ret_upcall->outer_acting = berth_permit_act(ctx, generation);
    if (from->deadline < thread->deadline)
        thread->deadline = from->deadline;
    /* what is in front of this activation, the worker and its callers add on the way back */
    thread->chain_from = ctx + 1;
    if (base && !from->of) /* it stands for a thread of the worker's */
        __atomic_store_n(&thread->stopping, &generation->stopping, __ATOMIC_RELAXED);
    return true;
}

static int upcall_leave(struct upcall *upcall, int code, struct berth_error *error)
{
    berth_ctx *ctx = upcall->ctx;
    struct berth_thread *thread = berth_thread_of(ctx);
    if (berth_failed(ctx))
        code = berth_fault_take(ctx, error);
    thread->chain_from = upcall->outer_chain;
    thread->acting = upcall->outer_acting;
    berth_remote_run_end(upcall->base, &upcall->of);
    thread->deadline = upcall->outer_deadline;
    berth_arena_rewind(&thread->arena, upcall->mark);
    if (upcall->base) {
        __atomic_store_n(&thread->stopping, NULL, __ATOMIC_RELAXED);
        berth_thread_leave(upcall->base);
    }
    return code;
}

/* The cell's call, which may be cancelled in the meantime if it is told that it runs. */
static int call_cell(berth_ctx *ctx, struct berth_cell *cell, const struct berth_edge *edge,
                     const struct berth_carrier_running *running, const void *const *values,
                     void *value)
{
    struct berth_started *started = running ? berth_started_cell(ctx, cell) : NULL;
    struct berth_run run;
    if (started) {
        running->begin(running->user, started);
        berth_run_begin(ctx, started, false, &run);
    }
    int code = berth_cell_call(ctx, cell, edge->flow, edge->signature, values, value);
    if (started) {
        berth_run_end(ctx, &run);
        running->end(running->user);
        berth_started_unref(started);
    }
    return code;
}

static int upcall_call(void *user, const struct berth_origin *from, size_t import,
                       const struct berth_carrier_running *running, struct berth_reader *arguments,
                       struct berth_buffer *result, struct berth_error *error)
{
    struct berth_generation *generation = user;
    if (import >= generation->edge_count)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "module %s has no import %zu",
                               generation->module->name, import);
    struct berth_edge *edge = &generation->edges[import];
    struct upcall upcall;
    if (!upcall_enter(generation, from, &upcall, error))
        return BERTH_RESOURCE_EXHAUSTED;
    struct berth_thread *thread = berth_thread_of(upcall.ctx);
    const struct berth_type *type = edge->signature->result;
    const void **values;
    void *value = NULL;
    int code =
        berth_arguments_unpack(edge->signature, arguments, &thread->arena, &values, NULL, error);
    if (code == BERTH_OK && type->size && !(value = berth_arena_alloc(&thread->arena, type->size)))
        code = berth_error_nomem(error);
    /* cells last as long as the host; edges end while the worker's own threads may still call */
    struct berth_cell *cell = __atomic_load_n(&edge->cell, __ATOMIC_ACQUIRE);
    if (code == BERTH_OK && !cell)
        code = berth_error_set(error, BERTH_UNAVAILABLE, "module %s is stopping and calls nobody",
                               generation->module->name);
    if (code == BERTH_OK && __atomic_load_n(&edge->denied, __ATOMIC_RELAXED))
        code = berth_permit_refuse_edge(upcall.ctx, edge);
    if (code == BERTH_OK)
        code = call_cell(upcall.ctx, cell, edge, running, values, value);
    if (code == BERTH_OK && value) {
        berth_handles_hold(edge, value);
        code = berth_value_pack(type, value, result, NULL, error);
    }
    return upcall_leave(&upcall, code, error);
}

static bool reply_give(struct berth_started *started, const struct berth_reply *reply, bool more)
{
    struct berth_carrier_reply *asker = started->user;
    struct berth_error error = { 0 };
    if (!more && started->code != BERTH_OK)
        berth_error_set(&error, started->code, "%s",
                        started->text ? started->text : "out of memory");
    bool gone = asker->came(asker->user, more, more ? BERTH_OK : started->code,
                            reply ? reply->data : "", reply ? reply->size : 0, &error);
    if (more)
        return gone;
    berth_free(asker);
    berth_started_unref(started); /* the asker's */
    return true;
}

static uint32_t reply_taker(void *user, size_t i)
{
    const struct berth_carrier_reply *asker = user;
    return asker->taker(asker->user, i);
}

static void reply_notify(struct berth_started *started)
{
    berth_more_forward(started, reply_give);
}

static void reply_begin(void *user, struct berth_started *started)
{
    struct berth_carrier_reply *asker = user;
    berth_started_ref(started); /* until its answer has been given */
    asker->begin(asker->user, started);
}

/* What the worker has said about it; ctx is marked on failure. */
static int start_edge(berth_ctx *ctx, struct berth_edge *edge, const void *const *values,
                      struct berth_carrier_reply *asker, struct berth_error *error)
{
    struct berth_cell *cell = __atomic_load_n(&edge->cell, __ATOMIC_ACQUIRE);
    if (!cell)
        return berth_error_set(error, BERTH_UNAVAILABLE, "module %s is stopping and calls nobody",
                               edge->importer->module->name);
    const struct berth_start start = {
        .cell = cell,
        .flow = edge->flow,
        .caller = berth_permit_name(edge->importer),
        .signature = edge->signature,
        .arguments = values,
        .deadline = BERTH_FOREVER,
        .full = berth_edge_full(edge),
        .denied = __atomic_load_n(&edge->denied, __ATOMIC_RELAXED) ? edge : NULL,
        .one_way = !asker,
        .packed = true,
        .notify = asker ? reply_notify : NULL,
        .begin = asker ? reply_begin : NULL,
        .taker = asker ? reply_taker : NULL,
        .user = asker,
    };
    struct berth_started *started = berth_started_new(ctx, &start);
    if (!started)
        return berth_error_nomem(error);
    if (asker)
        berth_started_unref(started);
    else
        berth_started_send(ctx, started);
    return berth_fault_get(ctx, NULL);
}

static int upcall_start(void *user, const struct berth_origin *from, size_t import,
                        struct berth_reader *arguments, const struct berth_carrier_reply *reply,
                        struct berth_error *error)
{
    struct berth_generation *generation = user;
    struct berth_carrier_reply *asker = reply ? berth_malloc(sizeof *asker) : NULL;
    struct upcall upcall;
    const void **values;
    if (reply && !asker)
        return berth_error_nomem(error);
    if (reply)
        *asker = *reply;
    int code = import >= generation->edge_count
                   ? berth_error_set(error, BERTH_INVALID_ARGUMENT, "module %s has no import %zu",
                                     generation->module->name, import)
                   : BERTH_OK;
    if (code == BERTH_OK && !upcall_enter(generation, from, &upcall, error))
        code = BERTH_RESOURCE_EXHAUSTED;
    if (code != BERTH_OK) {
        berth_free(asker);
        return code;
    }
    struct berth_edge *edge = &generation->edges[import];
    code = berth_arguments_unpack(edge->signature, arguments, &berth_thread_of(upcall.ctx)->arena,
                                  &values, NULL, error);
    if (code == BERTH_OK)
        code = start_edge(upcall.ctx, edge, values, asker, error);
    if (code != BERTH_OK)
        berth_free(asker);
    return upcall_leave(&upcall, code, error);
}

static void upcall_hold(void *started)
{
    berth_started_ref(started);
}

static void upcall_cancel(void *started)
{
    berth_started_cancel(started);
    berth_started_unref(started);
}

static uint32_t upcall_runner(void *started, const char **ret_name)
{
    uint32_t chain = berth_started_runner(started, false);
    *ret_name = ((const struct berth_started *)started)->name;
    berth_started_unref(started);
    return chain;
}

static uint32_t upcall_taker(void *of, size_t i)
{
    uint32_t chain = berth_more_taker(of, i);
    berth_started_unref(of);
    return chain;
}

static void upcall_stream(void *of, const char **ret_name, const char **ret_taker)
{
    berth_more_names(of, ret_name, ret_taker);
    berth_started_unref(of);
}

static int upcall_publish(void *user, const struct berth_origin *from, size_t index,
                          struct berth_reader *fields, struct berth_error *error)
{
    struct berth_generation *generation = user;
    if (index >= generation->image->manifest->topic_count)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "module %s has no topic %zu",
                               generation->module->name, index);
    const struct berth_manifest_topic *declared = &generation->image->manifest->topics[index];
    struct upcall upcall;
    if (!upcall_enter(generation, from, &upcall, error))
        return BERTH_RESOURCE_EXHAUSTED;
    const void **values;
    int code = berth_arguments_unpack(declared->signature, fields,
                                      &berth_thread_of(upcall.ctx)->arena, &values, NULL, error);
    if (code == BERTH_OK)
        code = berth_publisher_post(upcall.ctx, &generation->publishers[index], values, error);
    return upcall_leave(&upcall, code, error);
}

static void upcall_log(void *user, int level, const char *chain, const char *text, bool echo)
{
    berth_worker_log(user, level, chain, text, echo);
}

static void upcall_handle_ended(void *user, uint64_t id)
{
    berth_handle_ended(user, id);
}

static void upcall_handle_restored(void *user, uint64_t old, uint64_t id)
{
    berth_handle_restored(user, old, id);
}

static int upcall_submit(void *user, void (*run)(void *argument), void *argument)
{
    struct berth_generation *generation = user;
    return berth_schedule_job(generation->host, run, argument);
}

static void upcall_waits(void *user, bool waits)
{
    struct berth_host *host = ((const struct berth_generation *)user)->host;
    berth_schedule_waits(host, waits);
    if (!waits)
        berth_schedule_let_in(host);
}

static void upcall_work(void *user, berth_ctx *ctx, uint64_t since, int64_t until)
{
    const struct berth_generation *generation = user;
    bool worked = berth_schedule_work(ctx, generation->host, since, until);
    if (!worked) /* again, when there may be memory */
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

static void upcall_died(void *user, const char *how)
{
    struct berth_generation *generation = user;
    generation->host->died(generation, how);
}

/* ---- making one ---- */

static struct berth_item item_of(struct berth_generation *generation, enum berth_item_kind kind,
                                 size_t index, const struct berth_signature *signature)
{
    return (struct berth_item){ .generation = generation,
                                .kind = kind,
                                .index = index,
                                .signature = signature,
                                .serial = generation->serial };
}

static int items_make(struct berth_generation *generation, struct berth_error *error)
{
    const struct berth_manifest *manifest = generation->image->manifest;
    generation->serial = __atomic_add_fetch(&next_serial, 1, __ATOMIC_RELAXED);
    generation->export_count = manifest->export_count;
    generation->handler_count = manifest->subscribe_count;
    generation->exports = berth_arena_alloc(&generation->arena, (manifest->export_count + 1) *
                                                                    sizeof(struct berth_item));
    generation->handlers = berth_arena_alloc(&generation->arena, (manifest->subscribe_count + 1) *
                                                                     sizeof(struct berth_item));
    generation->subscriptions = berth_arena_alloc(
        &generation->arena, (manifest->subscribe_count + 1) * sizeof *generation->subscriptions);
    if (!generation->exports || !generation->handlers || !generation->subscriptions)
        return berth_error_nomem(error);
    for (size_t i = 0; i < manifest->export_count; i++)
        generation->exports[i] =
            item_of(generation, BERTH_ITEM_EXPORT, i, manifest->exports[i].signature);
    for (size_t i = 0; i < manifest->subscribe_count; i++) {
        generation->handlers[i] =
            item_of(generation, BERTH_ITEM_SUBSCRIBE, i, manifest->subscribes[i].signature);
        generation->handlers[i].any = manifest->subscribes[i].any;
    }
    for (size_t i = 0; i < BERTH_HOOK_COUNT; i++)
        generation->hooks[i] = item_of(generation, BERTH_ITEM_HOOK, i,
                                       berth_item_signature(manifest, BERTH_ITEM_HOOK, i));
    return BERTH_OK;
}

/* Every export has a cell, bound or not, so that it can be called by name. */
static int cells_make(struct berth_generation *generation, struct berth_error *error)
{
    const struct berth_manifest *manifest = generation->image->manifest;
    char name[2 * BERTH_IDENTIFIER_MAX + 2];
    char *function = stpcpy(stpcpy(name, generation->module->name), ".");
    bool ok = true;
    pthread_mutex_lock(&generation->host->lock);
    for (size_t i = 0; i < manifest->export_count && ok; i++) {
        strcpy(function, manifest->exports[i].name); /* both are identifiers */
        ok = berth_cell_obtain(generation->host, name) != NULL;
    }
    pthread_mutex_unlock(&generation->host->lock);
    return ok ? BERTH_OK : berth_error_nomem(error);
}

int berth_generation_new(struct berth_host *host, const struct berth_generation_setup *setup,
                         struct berth_generation **ret_generation, struct berth_error *error)
{
    struct berth_generation *generation = berth_pool_alloc(HEAD_SIZE + ARENA_ROOM);
    if (!generation) {
        berth_image_free(setup->image);
        return berth_error_nomem(error);
    }
    generation->host = host;
    generation->module = setup->module;
    generation->image = setup->image;
    generation->placement = setup->placement;
    generation->gated =
        setup->placement == &berth_carrier_inline && !setup->image->manifest->parallel;
    generation->image->staging = &host->staging;
    generation->probe = setup->probe || (host->options.flags & BERTH_HOST_PROBE);
    generation->number = setup->module->generations + 1; /* its own once it is opened */
    generation->stopping_fd = -1;
    berth_list_init(&generation->alarms);
    berth_list_init(&generation->threads);
    berth_list_init(&generation->blobs);
    berth_arena_init(&generation->arena);
    berth_arena_lend(&generation->arena, (char *)generation + HEAD_SIZE, ARENA_ROOM);
    generation->upcalls = (struct berth_upcalls){ .call = upcall_call,
                                                  .start = upcall_start,
                                                  .hold = upcall_hold,
                                                  .cancel = upcall_cancel,
                                                  .taken = berth_more_heard,
                                                  .runner = upcall_runner,
                                                  .taker = upcall_taker,
                                                  .stream = upcall_stream,
                                                  .publish = upcall_publish,
                                                  .log = upcall_log,
                                                  .handle_ended = upcall_handle_ended,
                                                  .handle_restored = upcall_handle_restored,
                                                  .to_module = berth_handles_to(generation),
                                                  .from_module = berth_handles_from(generation),
                                                  .submit = upcall_submit,
                                                  .waits = upcall_waits,
                                                  .work = host->pool_size ? NULL : upcall_work,
                                                  .died = upcall_died,
                                                  .user = generation };
    berth_list_init(&generation->all);
    int code = items_make(generation, error);
    pthread_mutex_lock(&host->lock); /* with its items: who prints a chain of calls looks at them */
    berth_list_append(&host->generations, &generation->all);
    pthread_mutex_unlock(&host->lock);
    if (code == BERTH_OK)
        code = cells_make(generation, error);
    if (code == BERTH_OK && setup->options) {
        generation->options_given = berth_arena_string(&generation->arena, setup->options);
        code = generation->options_given ? BERTH_OK : berth_error_nomem(error);
    }
    if (code == BERTH_OK)
        code = berth_options_read(generation, setup->options, error);
    if (code != BERTH_OK) {
        berth_generation_free(generation, NULL, 0);
        return code;
    }
    *ret_generation = generation;
    return BERTH_OK;
}

int berth_generation_carry(struct berth_generation *generation, struct berth_error *error)
{
    struct berth_host *host = generation->host;
    struct berth_carrier_setup setup = { .image = generation->image,
                                         .name = generation->module->name,
                                         .options_json = generation->options_json,
                                         .upcalls = &generation->upcalls,
                                         .loop = host->loop,
                                         .zygote = host->zygote,
                                         .stop_timeout = host->options.stop_timeout_ns,
                                         .max_message = host->options.max_message,
                                         .several = { host->options.mailbox_messages,
                                                      host->options.mailbox_bytes },
                                         .log_level = berth_log_level_of_worker(generation) };
    struct berth_carrier *carrier;
    int code =
        generation->placement->open(&setup, berth_now() + host->ready_timeout, &carrier, error);
    if (code == BERTH_OK)
        __atomic_store_n(&generation->carrier, carrier, __ATOMIC_RELEASE);
    return code;
}

/* host->lock held */
static int edge_init(struct berth_generation *generation, struct berth_edge *edge,
                     struct berth_link *link, size_t import, struct berth_error *error)
{
    const struct berth_manifest_import *declared = &generation->image->manifest->imports[import];
    edge->link = link ? link : &edge->own;
    edge->importer = generation;
    edge->import = import;
    edge->signature = declared->signature;
    edge->upstream = generation->host->upstream != NULL;
    berth_list_init(&edge->of_cell);
    berth_list_init(&edge->of_owner);
    if (!edge->upstream) {
        edge->cell = berth_cell_obtain(generation->host, declared->name);
        edge->flow = edge->cell ? berth_flow_obtain(generation->host, generation->module->name,
                                                    NULL, declared->name)
                                : NULL;
        if (!edge->flow)
            return berth_error_nomem(error);
        const struct berth_item *item = edge->cell->item;
        edge->fit =
            item ? berth_signature_fit(edge->signature->identity, item->signature) : BERTH_FIT_SAME;
        berth_list_append(&edge->cell->edges, &edge->of_cell);
    }
    edge->link->edge = edge;
    berth_edge_set(edge);
    return BERTH_OK;
}

static const struct berth_invoke *find_direct(const struct berth_generation *generation,
                                              enum berth_item_kind kind, size_t index)
{
    struct berth_carrier *carrier = generation->carrier;
    return generation->host->options.flags & BERTH_HOST_CHECK_OWNERSHIP
               ? NULL
               : carrier->ops->direct(carrier, kind, index);
}

static void export_bind(struct berth_generation *generation, struct berth_item *item,
                        struct berth_link *link)
{
    item->async = generation->image->manifest->exports[item->index].async;
    item->code = link->code;
    link->edge = item;
    item->gated = !generation->image->manifest->parallel;
    item->asks = item->gated;
    if (!item->async)
        item->direct = find_direct(generation, BERTH_ITEM_EXPORT, item->index);
}

/* Inline: every link of the table gets its place. host->lock held. */
static int links_bind(struct berth_generation *generation, struct berth_error *error)
{
    const struct berth_image *image = generation->image;
    int code = BERTH_OK;
    for (size_t i = 0; i < image->link_count && code == BERTH_OK; i++) {
        struct berth_link *link = image->links[i].link;
        size_t index = image->links[i].index;
        struct berth_publisher *publisher;
        switch (image->links[i].kind) {
        case BERTH_ITEM_UNIT:
            link->edge = generation;
            link->code = (void (*)(void))berth_unit_ctx;
            break;
        case BERTH_ITEM_EXPORT:
            export_bind(generation, &generation->exports[index], link);
            break;
        case BERTH_ITEM_SUBSCRIBE:
            generation->handlers[index].code = link->code;
            generation->handlers[index].direct =
                find_direct(generation, BERTH_ITEM_SUBSCRIBE, index);
            break;
        case BERTH_ITEM_HOOK:
            generation->hooks[index].code = link->code;
            break;
        case BERTH_ITEM_IMPORT:
            code = edge_init(generation, &generation->edges[generation->edge_count++], link, index,
                             error);
            break;
        case BERTH_ITEM_TOPIC:
            publisher = &generation->publishers[generation->publisher_count++];
            *publisher =
                (struct berth_publisher){ .generation = generation,
                                          .signature = image->manifest->topics[index].signature,
                                          .declared = &image->manifest->topics[index],
                                          .index = index };
            berth_list_init(&publisher->link);
            link->edge = publisher;
            break;
        case BERTH_ITEM_NONE:
            break;
        }
    }
    return code;
}

/* A worker's: by number, as its requests name them. */
static int imports_bind(struct berth_generation *generation, struct berth_error *error)
{
    const struct berth_manifest *manifest = generation->image->manifest;
    int code = BERTH_OK;
    for (size_t i = 0; i < manifest->import_count && code == BERTH_OK; i++)
        code = edge_init(generation, &generation->edges[generation->edge_count++], NULL, i, error);
    for (size_t i = 0; i < manifest->topic_count; i++) {
        struct berth_publisher *publisher = &generation->publishers[generation->publisher_count++];
        *publisher = (struct berth_publisher){ .generation = generation,
                                               .signature = manifest->topics[i].signature,
                                               .declared = &manifest->topics[i],
                                               .index = i };
        berth_list_init(&publisher->link);
    }
    return code;
}

static size_t count_links(const struct berth_image *image, enum berth_item_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < image->link_count; i++)
        count += image->links[i].kind == kind;
    return count;
}

/* Room for so many edges and publishers, or for none. */
static int sites_new(struct berth_generation *generation, size_t edges, size_t publishers,
                     struct berth_error *error)
{
    size_t size = edges * sizeof *generation->edges;
    if (edges) { /* not by calloc, which does not know the alignment of the link in an edge */
        generation->edges = berth_aligned_alloc(_Alignof(struct berth_edge), size);
        if (!generation->edges)
            return berth_error_nomem(error);
        memset(generation->edges, 0, size);
    }
    if (publishers) {
        generation->publishers = berth_pool_alloc(publishers * sizeof *generation->publishers);
        if (!generation->publishers)
            return berth_error_nomem(error);
    }
    return BERTH_OK;
}

int berth_generation_open(struct berth_generation *generation, struct berth_error *error)
{
    struct berth_host *host = generation->host;
    const struct berth_manifest *manifest = generation->image->manifest;
    bool is_inline = generation->placement == &berth_carrier_inline;
    size_t edges = manifest->import_count, publishers = manifest->topic_count;
    int code = BERTH_OK;
    generation->module->generations = generation->number; /* logs, gdb and perf may have it now */
    if (is_inline) { /* a worker's are there before it can ask for anything */
        code = berth_generation_carry(generation, error);
        edges = count_links(generation->image, BERTH_ITEM_IMPORT);
        publishers = count_links(generation->image, BERTH_ITEM_TOPIC);
    }
    if (code == BERTH_OK)
        code = sites_new(generation, edges, publishers, error);
    if (code != BERTH_OK)
        return code;
    pthread_mutex_lock(&host->lock);
    code = is_inline ? links_bind(generation, error) : imports_bind(generation, error);
    pthread_mutex_unlock(&host->lock);
    if (is_inline)
        berth_crash_publish(generation);
    return code == BERTH_OK && !is_inline ? berth_generation_carry(generation, error) : code;
}

/* ---- threads of the module ---- */

static void thread_run(struct berth_module_thread *thread, berth_ctx *ctx)
{
    struct berth_generation *generation = thread->generation;
    __atomic_store_n(&berth_thread_of(ctx)->stopping, &generation->stopping, __ATOMIC_RELAXED);
    berth_frame_push(ctx, (uintptr_t)thread->fn);
    berth_permit_act(ctx + 1, generation);
    thread->fn(ctx + 1, thread->user);
    berth_frame_pop(ctx);
    if (berth_failed(ctx)) {
        struct berth_error error = { 0 };
        berth_fault_take(ctx, &error);
        berth_host_log(generation->host, generation, BERTH_LOG_ERROR, "a thread ended with %s: %s",
                       berth_code_name(error.code), error.text);
    }
    berth_thread_leave(ctx);
}

/* Who has started it hears whether it can begin, and looks after it if not. */
static void thread_tell(struct berth_module_thread *thread, bool begun)
{
    struct berth_host *host = thread->generation->host;
    pthread_mutex_lock(&host->lock);
    *thread->start = begun ? BERTH_THREAD_BEGUN : BERTH_THREAD_FAILED;
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
}

static void *module_thread_main(void *argument)
{
    struct berth_module_thread *thread = argument;
    struct berth_host *host = thread->generation->host;
    berth_ctx *ctx = berth_thread_enter(&host->threads);
    thread_tell(thread, ctx);
    if (!ctx)
        return NULL;
    thread_run(thread, ctx);
    pthread_mutex_lock(&host->lock);
    thread->ended = true;
    bool alone = berth_list_empty(&thread->link);
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
    if (alone)
        berth_free(thread);
    return NULL;
}

/* The first that has ended, or has not; NULL: there is none. host->lock held. */
static struct berth_module_thread *thread_find(struct berth_generation *generation, bool ended)
{
    berth_list_each(&generation->threads, link) {
        struct berth_module_thread *thread =
            berth_container(link, struct berth_module_thread, link);
        if (thread->ended == ended)
            return thread;
    }
    return NULL;
}

/* Joins those that have ended, which may still have destructors of the module's to run. */
static void threads_collect(struct berth_generation *generation)
{
    for (;;) {
        pthread_mutex_lock(&generation->host->lock);
        struct berth_module_thread *thread = thread_find(generation, true);
        if (thread)
            berth_list_remove(&thread->link);
        pthread_mutex_unlock(&generation->host->lock);
        if (!thread)
            return;
        pthread_join(thread->thread, NULL);
        berth_free(thread);
    }
}

/* false: not all of them have ended by the deadline. */
static bool threads_end(struct berth_generation *generation, int64_t deadline)
{
    struct berth_host *host = generation->host;
    pthread_mutex_lock(&host->lock);
    while (thread_find(generation, false) && berth_wait_changed(host, deadline) != ETIMEDOUT)
        ;
    bool ended = !thread_find(generation, false);
    pthread_mutex_unlock(&host->lock);
    threads_collect(generation);
    return ended;
}

/* It may have run to its end before this one goes on, and be gone. host->lock held. */
static int thread_start(struct berth_module_thread *thread, const char *name)
{
    struct berth_generation *generation = thread->generation;
    struct berth_host *host = generation->host;
    enum berth_thread_start start = BERTH_THREAD_STARTED;
    thread->start = &start;
    int number = berth_thread_spawn(host, &thread->thread, module_thread_main, thread, name);
    if (number != 0)
        return number;
    berth_list_append(&generation->threads, &thread->link);
    while (start == BERTH_THREAD_STARTED)
        berth_wait_changed(host, BERTH_FOREVER);
    if (start == BERTH_THREAD_BEGUN)
        return 0;
    bool left = berth_list_empty(&thread->link); /* by the host, and detached */
    berth_list_remove(&thread->link);
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
    if (!left)
        pthread_join(thread->thread, NULL);
    pthread_mutex_lock(&host->lock);
    return ENOMEM;
}

uint64_t berth_generation_thread(struct berth_generation *generation, const char *name,
                                 berth_thread_fn fn, void *user, struct berth_error *error)
{
    struct berth_host *host = generation->host;
    struct berth_module_thread *thread = berth_calloc(1, sizeof *thread);
    if (!thread) {
        berth_error_nomem(error);
        return 0;
    }
    threads_collect(generation); /* else they would be kept until the module's end */
    *thread = (struct berth_module_thread){ .generation = generation, .fn = fn, .user = user };
    pthread_mutex_lock(&host->lock);
    int number = generation->stopping ? ECANCELED
                                      : thread_start(thread, name && *name ? name : "berth-module");
    pthread_mutex_unlock(&host->lock);
    if (number == 0)
        return (uint64_t)(uintptr_t)thread;
    berth_free(thread);
    if (number == ECANCELED)
        berth_error_set(error, BERTH_FAILED_PRECONDITION, "module %s is stopping",
                        generation->module->name);
    else
        berth_error_errno(error, number, "cannot start a thread");
    return 0;
}

int berth_generation_stopping_fd(struct berth_generation *generation, struct berth_error *error)
{
    struct berth_host *host = generation->host;
    int code = BERTH_OK;
    pthread_mutex_lock(&host->lock);
    if (generation->stopping_fd < 0) {
        /* under the lock, in which it is told that it stops: it may be stopping already */
        unsigned stopping = __atomic_load_n(&generation->stopping, __ATOMIC_ACQUIRE);
        generation->stopping_fd = eventfd(stopping, EFD_CLOEXEC | EFD_NONBLOCK);
        if (generation->stopping_fd < 0)
            code = berth_error_errno(error, errno, "cannot make a descriptor");
    }
    pthread_mutex_unlock(&host->lock);
    return code == BERTH_OK ? generation->stopping_fd : -1;
}

void berth_generation_set_stopping(struct berth_generation *generation)
{
    __atomic_store_n(&generation->stopping, true, __ATOMIC_RELEASE);
    if (generation->stopping_fd >= 0)
        eventfd_write(generation->stopping_fd, 1);
}

void berth_generation_tell(struct berth_generation *generation, enum berth_ending ending)
{
    static const char *const why[] = { NULL, "a module that it is inside of is being unloaded",
                                       "the host ends" };
    struct berth_host *host = generation->host;
    struct berth_carrier *carrier = generation->carrier;
    bool tells = ending == BERTH_ENDING_MODULE || ending == BERTH_ENDING_HOST;
    berth_threads_tell(&host->threads, &generation->telling, false);
    if (tells)
        generation->telling = (struct berth_telling){ .inside = berth_generation_holds,
                                                      .user = generation,
                                                      .except = &generation->stopping,
                                                      .why = why[ending] };
    __atomic_store_n(&generation->leaving, tells, __ATOMIC_RELAXED);
    if (tells)
        berth_threads_tell(&host->threads, &generation->telling, true);
    if (carrier && carrier->ops->tell)
        carrier->ops->tell(carrier, ending);
    if (!tells)
        return;
    pthread_mutex_lock(&host->lock);
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
    berth_started_wake(host);
}

/* Whether the thread is one of a module's own that is to end because another generation serves. */
static bool has_left(const struct berth_thread *thread)
{
    const bool *stopping = __atomic_load_n(&thread->stopping, __ATOMIC_RELAXED);
    if (!stopping || !__atomic_load_n(stopping, __ATOMIC_ACQUIRE))
        return false;
    const struct berth_generation *generation =
        berth_container(stopping, struct berth_generation, stopping);
    return __atomic_load_n(&generation->ending, __ATOMIC_RELAXED) == BERTH_ENDING_NOT;
}

const char *berth_generation_interrupted(const berth_ctx *ctx)
{
    return has_left(berth_thread_of(ctx)) ? berth_call_over(ctx) : berth_interrupted(ctx);
}

void berth_generations_leave(struct berth_host *host)
{
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->generations, all) {
        struct berth_generation *generation = berth_container(all, struct berth_generation, all);
        berth_list_each_safe(&generation->threads, link) {
            struct berth_module_thread *thread =
                berth_container(link, struct berth_module_thread, link);
            pthread_detach(thread->thread);
            berth_list_remove(link);
            if (thread->ended)
                berth_free(thread);
        }
    }
    pthread_mutex_unlock(&host->lock);
}

/* ---- the end ---- */

void berth_generation_serve(struct berth_generation *generation)
{
    struct berth_carrier *carrier = generation->carrier;
    berth_mailbox_serve(generation);
    pthread_mutex_lock(&generation->host->lock);
    berth_log_tell(generation); /* it may have changed since the worker was opened */
    pthread_mutex_unlock(&generation->host->lock);
    if (carrier && carrier->ops->serve)
        carrier->ops->serve(carrier);
}

bool berth_generation_halt(struct berth_generation *generation, int64_t deadline)
{
    struct berth_host *host = generation->host;
    pthread_mutex_lock(&host->lock);
    berth_generation_set_stopping(generation);
    pthread_cond_broadcast(&host->changed); /* its threads wait for no other module any more */
    pthread_mutex_unlock(&host->lock);
    berth_started_wake(host);
    berth_alarms_end(generation);
    /* a turn may have been taken for one of them just before */
    return berth_mailbox_quiet(generation->module, generation, NULL, deadline) &&
           threads_end(generation, deadline);
}

void berth_generation_close(struct berth_generation *generation)
{
    struct berth_host *host = generation->host;
    berth_started_end(generation);
    while (__atomic_load_n(&generation->posting, __ATOMIC_ACQUIRE) > 0)
        sched_yield();
    berth_mailbox_forget(generation);
    generation->closed = true;
    berth_handles_end(generation);
    pthread_mutex_lock(&host->lock);
    if (generation->stopping_fd >= 0) /* its image may stay mapped for long */
        close(generation->stopping_fd);
    generation->stopping_fd = -1;
    for (size_t i = 0; i < generation->edge_count; i++)
        berth_edge_remove(&generation->edges[i]);
    pthread_mutex_unlock(&host->lock);
    if (!generation->image->handle &&
        !generation->image->copy) /* the application's links outlive this host */
        for (size_t i = 0; i < generation->image->link_count; i++) {
            struct berth_image_link *line = &generation->image->links[i];
            line->link->edge = NULL;
            if (line->kind == BERTH_ITEM_UNIT)
                line->link->code = NULL;
        }
}

bool berth_generation_uncarry(struct berth_generation *generation)
{
    struct berth_carrier *carrier = generation->carrier;
    if (!carrier)
        return true;
    carrier->ops->close(carrier);
    if (!carrier->ops->stop(carrier))
        return false;
    carrier->ops->fini(carrier);
    generation->carrier = NULL;
    return true;
}

/*
 * Images that could not be let go of when their host ended: kept reachable for as long as they are
 * mapped.
 */
static struct kept_image {
    struct kept_image *next;
    struct berth_image *image;
} * kept_images;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

static void generation_free(struct berth_generation *generation)
{
    berth_crash_withdraw(generation);
    pthread_mutex_lock(&generation->host->lock);
    berth_list_remove(&generation->all);
    pthread_mutex_unlock(&generation->host->lock);
    berth_topics_release(generation);
    berth_blobs_leave(generation);
    berth_image_free(generation->image);
    berth_aligned_free(generation->edges);
    berth_pool_free(generation->publishers);
    if (generation->stopping_fd >= 0)
        close(generation->stopping_fd);
    berth_arena_deinit(&generation->arena);
    berth_pool_free(generation);
}

void berth_generations_finish(struct berth_host *host)
{
    berth_list_each_safe(&host->generations, link) {
        struct berth_generation *generation = berth_container(link, struct berth_generation, all);
        if (generation->closed && generation->carrier)
            berth_generation_free(generation, NULL, 0);
    }
}

void berth_generation_forget(struct berth_generation *generation)
{
    struct berth_image *image = generation->image;
    for (size_t i = 0; i < image->link_count; i++) {
        image->links[i].link->edge = NULL;
        if (image->links[i].kind == BERTH_ITEM_UNIT)
            image->links[i].link->code = NULL;
    }
    struct kept_image *kept = berth_malloc(sizeof *kept);
    pthread_mutex_lock(&kept_lock);
    if (kept) {
        *kept = (struct kept_image){ kept_images, image };
        kept_images = kept;
    }
    pthread_mutex_unlock(&kept_lock);
    generation->image = NULL;
    generation_free(generation);
}

bool berth_generation_free(struct berth_generation *generation, char *reason, size_t size)
{
    if (!generation)
        return true;
    struct berth_host *host = generation->host;
    if (!berth_generation_uncarry(generation)) { /* until the host's end, which waits for it */
        if (reason)
            snprintf(reason, size, "a call that it made is still running");
        return false;
    }
    if (berth_image_mapped(generation->image) && generation->image->copy) {
        char why[160];
        bool keep = host->options.flags & BERTH_HOST_KEEP_IMAGES;
        if (keep)
            snprintf(why, sizeof why, "images stay mapped, as under valgrind and sanitizers");
        if (!keep)
            berth_crash_withdraw(generation);
        if (keep || !berth_image_unmap(generation->image, why, sizeof why)) {
            if (!keep)
                berth_crash_publish(generation);
            if (reason)
                snprintf(reason, size, "%s", why);
            /* its code may still be reached: what it points at stays, too, until the host's end */
            return false;
        }
    }
    generation_free(generation);
    return true;
}
