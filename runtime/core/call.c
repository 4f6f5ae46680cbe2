/* SPDX-License-Identifier: MIT */
/*
 * Calls that do not go straight through a link: by name, by handle, to a serial or a replaced
 * module the hard way, to a worker, and the calls that the host itself makes.
 */
#include "runtime/core/call.h"
#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/call/interrupt.h"
#include "runtime/call/ring.h"
#include "runtime/core/flow.h"
#include "runtime/core/kept.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int berth_call_refuse_forked(berth_ctx *ctx)
{
    berth_fault_raise_static(ctx, BERTH_FAILED_PRECONDITION, berth_process_refusal());
    return BERTH_FAILED_PRECONDITION;
}

/*
 * Without a state to hand over, a replacement keeps callers out for about 2 us; being woken takes
 * 20 times as long. So look again for a few before sleeping.
 */
static bool cell_comes_back(const struct berth_cell *cell)
{
    for (int i = 0; i < 200; i++) {
        if (__atomic_load_n(&cell->item, __ATOMIC_ACQUIRE))
            return true;
        berth_gate_relax();
    }
    return false;
}

/* A replacement has kept a caller out for so long. Any thread; no lock. */
static void count_wait(struct berth_module *module, int64_t wait)
{
    int64_t longest = __atomic_load_n(&module->longest_wait, __ATOMIC_RELAXED);
    __atomic_add_fetch(&module->waited, 1, __ATOMIC_RELAXED);
    while (wait > longest && !__atomic_compare_exchange_n(&module->longest_wait, &longest, wait,
                                                          true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static uint32_t swap_holder(const struct berth_wait *wait, size_t i)
{
    return i == 0 ? berth_module_swapper(wait->of) : 0;
}

/* There was nothing to call: waits while the module is being replaced. false: ctx is marked. */
static bool cell_wait(berth_ctx *ctx, struct berth_cell *cell)
{
    struct berth_module *module = cell->module;
    struct berth_host *host = module->host;
    int64_t began = berth_now(), deadline = berth_deadline(ctx, host);
    const char *over;
    int code = BERTH_OK;
    char text[BERTH_RING_TEXT + BERTH_FRAME_NAME] = "";
    struct berth_wait wait = {
        .ctx = ctx, .of = module, .holder = swap_holder, .target = cell->name
    };
    bool ring = !berth_wait_begin(&wait);
    if (!ring) /* who replaces it may wait for a turn that the pool is to give */
        berth_schedule_blocks(host);
    pthread_mutex_lock(&host->lock);
    bool waited = module->swapping;
    while (module->swapping && code == BERTH_OK) {
        if (module->swap_chain == berth_block(ctx)->chain) {
            code = BERTH_ABORTED;
            snprintf(text, sizeof text, "%s: called from inside its own %s", cell->name,
                     module->state == BERTH_MODULE_WAITING ? "restart" : "reload");
        } else if (ring) {
            code = BERTH_ABORTED;
            snprintf(text, sizeof text, "%s: the module is being replaced: %s", cell->name,
                     wait.ring);
        } else if ((over = berth_interrupted(ctx))) {
            code = BERTH_CANCELLED;
            snprintf(text, sizeof text, "%s: is being replaced, and %s", cell->name, over);
        } else if (berth_wait_changed(host, deadline) == ETIMEDOUT) {
            code = BERTH_DEADLINE_EXCEEDED;
            snprintf(text, sizeof text, "%s: the module was being replaced until the deadline",
                     cell->name);
        }
    }
    if (waited)
        count_wait(module, berth_now() - began);
    if (code == BERTH_OK && !cell->item) {
        code = BERTH_UNAVAILABLE;
        if (module->state == BERTH_MODULE_RUNNING) {
            code = BERTH_NOT_FOUND;
            snprintf(text, sizeof text, "%s: module %s %s has no such function", cell->name,
                     module->name,
                     module->current ? module->current->image->manifest->version : "");
        } else if (module->state == BERTH_MODULE_ABSENT) {
            snprintf(text, sizeof text, "%s: module %s is not loaded", cell->name, module->name);
        } else {
            snprintf(text, sizeof text, "%s: %s", cell->name, module->why);
        }
    }
    pthread_mutex_unlock(&host->lock);
    if (!ring) {
        berth_schedule_goes_on(host);
        berth_wait_end(&wait);
    }
    if (code != BERTH_OK)
        berth_fault_raise_format(ctx, code, "%s", text);
    return code == BERTH_OK;
}

/* There is nothing to call for now; false: there will not be, and ctx is marked. */
static bool wait_outside(berth_ctx *ctx, struct berth_cell *cell)
{
    int64_t began = berth_now();
    if (!cell_comes_back(cell))
        return cell_wait(ctx, cell);
    count_wait(cell->module, berth_now() - began);
    return true;
}

/* *ret_inside: the chain is inside of that generation, which is not the one for others any more. */
static struct berth_item *cell_pin(berth_ctx *ctx, struct berth_cell *cell, bool *ret_inside)
{
    *ret_inside = false;
    if (BERTH_I_UNLIKELY(berth_too_deep(ctx))) {
        berth_fault_raise_format(ctx, BERTH_RESOURCE_EXHAUSTED, "%s: calls are nested too deeply",
                                 cell->name);
        return NULL;
    }
    for (;;) {
        struct berth_item *item = __atomic_load_n(&cell->item, __ATOMIC_ACQUIRE);
        if (!item || __atomic_load_n(&cell->module->elders, __ATOMIC_ACQUIRE) > 0) {
            struct berth_item *older = berth_cell_came_back(ctx, cell);
            if (older) { /* which this chain keeps, as it is inside */
                berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)older);
                *ret_inside = true;
                return older;
            }
        }
        if (item) {
            berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
            if (__atomic_load_n(&cell->item, __ATOMIC_ACQUIRE) == item)
                return item;
            berth_frame_pop(ctx);
        } else if (!wait_outside(ctx, cell)) {
            return NULL;
        }
    }
}

/*
 * Whoever is inside may wait for a turn that no thread of the pool is left for; in a worker, for
 * somebody whom only the host sees.
 */
static void gate_waits(struct berth_wait *wait, bool waits)
{
    struct berth_host *host = berth_host_of(wait->ctx);
    const struct berth_upstream *upstream = host->upstream;
    berth_schedule_waits(host, waits);
    if (upstream && waits)
        upstream->wait_begin(upstream->user, wait, BERTH_WAIT_GATE, NULL, 0);
    else if (upstream)
        upstream->wait_end(upstream->user, wait);
}

int berth_generation_lock(struct berth_generation *generation, const struct berth_gate_entry *entry,
                          bool *ret_taken, struct berth_error *error)
{
    struct berth_gate *gate = &generation->module->gate;
    struct berth_gate_entry told = *entry;
    told.waits = gate_waits;
    *ret_taken = false;
    if (generation->image->manifest->reentrant && berth_gate_owned(gate, entry->ctx))
        return BERTH_OK;
    int code = berth_gate_lock(gate, &told, error);
    *ret_taken = code == BERTH_OK;
    return code;
}

/* On the way into a serial module's item, which is pinned; false: ctx is marked. */
static bool item_lock(berth_ctx *ctx, struct berth_item *item, const char *name, bool *ret_gated)
{
    struct berth_generation *generation = item->generation;
    struct berth_gate_entry entry = { .ctx = ctx,
                                      .deadline = berth_deadline(ctx, generation->host) };
    struct berth_error error;
    int code = berth_generation_lock(generation, &entry, ret_gated, &error);
    if (code == BERTH_OK)
        return true;
    berth_frame_pop(ctx);
    berth_fault_raise_format(ctx, code, "%s: %s", name, error.text);
    return false;
}

/* Inside of the gate: whether the generation is the one that it was when the item was pinned. */
static bool is_still_there(const struct berth_cell *cell, const struct berth_item *item,
                           bool inside)
{
    const struct berth_generation *generation = item->generation;
    return __atomic_load_n(&cell->item, __ATOMIC_ACQUIRE) == item ||
           (inside && (generation->elder ||
                       __atomic_load_n(&cell->module->current, __ATOMIC_ACQUIRE) == generation));
}

struct berth_item *berth_cell_enter(berth_ctx *ctx, struct berth_cell *cell, bool *ret_gated)
{
    bool inside;
    *ret_gated = false;
    for (;;) {
        struct berth_item *item = cell_pin(ctx, cell, &inside);
        if (!item || !item->gated)
            return item;
        if (!item_lock(ctx, item, cell->name, ret_gated))
            return NULL;
        if (is_still_there(cell, item, inside))
            return item;
        /* it has waited for who replaces it, and was there before that began */
        count_wait(cell->module,
                   berth_now() - __atomic_load_n(&cell->module->swap_began, __ATOMIC_RELAXED));
        if (*ret_gated)
            berth_gate_unlock(&cell->module->gate, ctx);
        berth_frame_pop(ctx);
    }
}

const char *berth_item_explain(const struct berth_item *item, const char *text,
                               char room[BERTH_EXPLAINED_MAX])
{
    const char *name = item->generation->module->name;
    size_t length = strlen(name);
    if (strncmp(text, name, length) != 0 || text[length] != ':')
        return text;
    snprintf(room, BERTH_EXPLAINED_MAX, "%s.%s%s", name, berth_item_name(item), text + length);
    return room;
}

static void pass_on(berth_ctx *ctx, const struct berth_item *item, int code, const char *text)
{
    char room[BERTH_EXPLAINED_MAX];
    berth_fault_pass_on(ctx, code, berth_item_explain(item, text, room));
}

static void timeout_begin(struct berth_thread *thread, struct berth_visit *visit)
{
    const struct berth_cell *cell = visit->cell;
    int64_t deadline = berth_call_deadline(thread->deadline, cell->module->host, cell);
    visit->outer = thread->deadline;
    visit->timed = deadline < visit->outer;
    thread->deadline = deadline;
}

struct berth_item *berth_visit_begin_slowly(berth_ctx *ctx, struct berth_visit *visit)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    timeout_begin(thread, visit);
    visit->item = berth_cell_enter(ctx, visit->cell, &visit->gated);
    if (BERTH_I_UNLIKELY(!visit->item)) {
        thread->deadline = visit->outer;
        berth_flow_end(ctx, visit->flow, berth_fault_get(ctx, NULL));
    }
    return visit->item;
}

/* What the caller must do about a callee's failure; the frame is still pushed. */
static int invoke_failed(berth_ctx *ctx, const struct berth_item *item, int code,
                         const struct berth_error *error, void *result)
{
    if (result)
        berth_value_zero(item->signature->result, result);
    if (code != BERTH_INVOKED_FAILED)
        pass_on(ctx, item, code, error->text);
    return berth_fault_get(ctx, NULL);
}

static int invoke_carrier(berth_ctx *ctx, struct berth_item *item, const char *topic,
                          const void *const *arguments, void *result)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    struct berth_generation *generation = item->generation;
    struct berth_carrier *carrier = __atomic_load_n(&generation->carrier, __ATOMIC_ACQUIRE);
    struct berth_place place = { ctx,
                                 &thread->arena,
                                 berth_deadline(ctx, generation->host),
                                 *topic ? topic : thread->topic,
                                 thread->echo,
                                 true };
    struct berth_error error;
    int code;
    if (!carrier)
        code = berth_error_set(&error, BERTH_UNAVAILABLE, "%s: %s", generation->module->name,
                               generation->module->why);
    else
        code = carrier->ops->invoke(carrier, &place, item->kind, item->index, arguments, result,
                                    &error);
    if (code == BERTH_INVOKED_LOST) {
        __atomic_add_fetch(&generation->lost, 1, __ATOMIC_RELAXED);
        code = error.code;
    }
    return code == BERTH_OK ? BERTH_OK : invoke_failed(ctx, item, code, &error, result);
}

/* Everything that the callee gets and gives lives in blocks of its own that are freed at once. */
static int invoke_checked(berth_ctx *ctx, struct berth_item *item, const char *topic,
                          const void *const *arguments, void *result)
{
    const struct berth_signature *signature = item->signature;
    void *copies[BERTH_PARAMETERS_MAX + 1] = { NULL };
    struct berth_error error;
    int code = BERTH_OK;
    size_t made = 0;
    for (; made < signature->count && code == BERTH_OK; made++) {
        const struct berth_type *type = signature->parameters[made].type;
        copies[made] = berth_calloc(1, type->size);
        code = copies[made] ? berth_value_copy_malloc(type, copies[made], arguments[made], &error)
                            : berth_error_nomem(&error);
    }
    code = code == BERTH_OK ? invoke_carrier(ctx, item, topic, (const void *const *)copies, result)
                            : invoke_failed(ctx, item, code, &error, result);
    for (size_t i = 0; i < made; i++) {
        if (copies[i])
            berth_value_free(signature->parameters[i].type, copies[i]);
        berth_free(copies[i]);
    }
    return code;
}

int berth_item_begin(berth_ctx *ctx, struct berth_item *item, const void *const *arguments)
{
    return item->generation->host->options.flags & BERTH_HOST_CHECK_OWNERSHIP
               ? invoke_checked(ctx, item, "", arguments, NULL)
               : invoke_carrier(ctx, item, "", arguments, NULL);
}

int berth_item_invoke_slowly(berth_ctx *ctx, struct berth_item *item, const char *topic,
                             const void *const *arguments, void *result)
{
    if (item->async)
        return berth_kept_call(ctx, item, arguments, result);
    return item->generation->host->options.flags & BERTH_HOST_CHECK_OWNERSHIP
               ? invoke_checked(ctx, item, topic, arguments, result)
               : invoke_carrier(ctx, item, topic, arguments, result);
}

int berth_item_failed(berth_ctx *ctx, const struct berth_item *item, void *result)
{
    return invoke_failed(ctx, item, BERTH_INVOKED_FAILED, NULL, result);
}

/* Inline, the thread is the callee: it is answered when it returns, and then too late. */
static int answered_late(berth_ctx *ctx, const struct berth_visit *visit, void *result)
{
    char timeout[64] = "";
    int64_t had = berth_cell_timeout(visit->cell);
    if (visit->timed && had)
        snprintf(timeout, sizeof timeout, " that its timeout of %lld ms makes",
                 (long long)had / 1000000);
    berth_fault_raise_format(ctx, BERTH_DEADLINE_EXCEEDED, "%s: answered after the deadline%s",
                             visit->cell->name, timeout);
    if (result)
        berth_value_zero(visit->item->signature->result, result);
    return BERTH_DEADLINE_EXCEEDED;
}

int berth_visit_leave_slowly(berth_ctx *ctx, const struct berth_visit *visit, int code,
                             void *result)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    int64_t deadline = thread->deadline;
    if (BERTH_I_UNLIKELY(deadline != BERTH_FOREVER) && code == BERTH_OK && berth_now() > deadline)
        code = answered_late(ctx, visit, result);
    if (BERTH_I_UNLIKELY(visit->timed))
        thread->deadline = visit->outer;
    berth_frame_pop(ctx);
    if (visit->gated && (!visit->item->async || berth_gate_owned(&visit->cell->module->gate, ctx)))
        berth_gate_unlock(&visit->cell->module->gate, ctx);
    berth_flow_end(ctx, visit->flow, code);
    return code;
}

int berth_cell_mismatch(berth_ctx *ctx, struct berth_cell *cell,
                        const struct berth_signature *expected, const struct berth_item *item)
{
    char wants[512], has[512];
    berth_signature_print(expected, cell->name, wants, sizeof wants);
    berth_signature_print(item->signature, cell->name, has, sizeof has);
    berth_fault_raise_format(ctx, BERTH_FAILED_PRECONDITION,
                             "%s is expected, but the module has %s", wants, has);
    return BERTH_FAILED_PRECONDITION;
}

int berth_cell_call(berth_ctx *ctx, struct berth_cell *cell, struct berth_flow *flow,
                    const struct berth_signature *expected, const void *const *arguments,
                    void *result)
{
    struct berth_visit visit = { .cell = cell, .flow = flow };
    struct berth_item *item = berth_visit_begin(ctx, &visit);
    if (result)
        berth_value_zero(expected->result, result);
    if (!item)
        return berth_fault_get(ctx, NULL);
    const void *room[BERTH_PARAMETERS_MAX];
    enum berth_fit fit = berth_signature_fit(expected->identity, item->signature);
    if (fit == BERTH_FIT_ADAPTED)
        arguments = berth_arguments_extend(item->signature, arguments, expected->count, room);
    int code = fit == BERTH_FIT_NOT ? berth_cell_mismatch(ctx, cell, expected, item)
                                    : berth_item_invoke(ctx, item, "", arguments, result);
    return berth_visit_leave(ctx, &visit, code, result);
}

/* Where the cache keeps a name. Only for that: whoever makes names collide slows down himself. */
static size_t cache_place(const char *name, size_t length)
{
    uint64_t first = 0, last = 0;
    if (length >= sizeof first) {
        memcpy(&first, name, sizeof first);
        memcpy(&last, name + length - sizeof last, sizeof last);
    } else {
        memcpy(&first, name, length);
    }
    uint64_t mixed = (first ^ length) * UINT64_C(0x9e3779b97f4a7c15) ^ last;
    return (size_t)(mixed * UINT64_C(0xff51afd7ed558ccd) >> 32) % BERTH_NAMES_CACHED;
}

struct berth_cell *berth_cell_lookup(berth_ctx *ctx, const char *name)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    struct berth_host *host = berth_host_of(ctx);
    size_t length = strlen(name);
    void **place = NULL;
    if (!thread->names)
        thread->names = berth_calloc(BERTH_NAMES_CACHED, sizeof *thread->names);
    if (thread->names) {
        place = &thread->names[cache_place(name, length)];
        struct berth_cell *cell = *place; /* cells stay for the host's life */
        if (cell && strcmp(cell->name, name) == 0)
            return cell;
    }
    uint64_t hash = berth_map_hash(name, length);
    pthread_mutex_lock(&host->lock);
    struct berth_cell *cell = berth_map_get_hashed(&host->cells, name, length, hash);
    pthread_mutex_unlock(&host->lock);
    if (cell && place)
        *place = cell;
    return cell;
}

/* Callers, or the end, wait for a hook; for START of a worker everybody who loads anything. */
static int64_t hook_deadline(const struct berth_generation *generation, enum berth_hook hook)
{
    const struct berth_host *host = generation->host;
    if (hook != BERTH_HOOK_START)
        return berth_now() + host->options.stop_timeout_ns;
    return generation->placement == &berth_carrier_inline ? BERTH_FOREVER
                                                          : berth_now() + host->ready_timeout;
}

int berth_hook_invoke(berth_ctx *ctx, struct berth_generation *generation, enum berth_hook hook,
                      const void *const *arguments, void *result, struct berth_error *error)
{
    struct berth_item *item = &generation->hooks[hook];
    if (!generation->image->manifest->hooks[hook])
        return BERTH_OK;
    if (berth_too_deep(ctx))
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED, "calls are nested too deeply");
    struct berth_thread *thread = berth_thread_of(ctx);
    int64_t outer = thread->deadline, deadline = hook_deadline(generation, hook);
    if (deadline < outer)
        thread->deadline = deadline;
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    int code = berth_item_invoke(ctx, item, "", arguments, result);
    berth_frame_pop(ctx);
    thread->deadline = outer;
    if (code != BERTH_OK)
        berth_fault_take(ctx, error);
    return code;
}
