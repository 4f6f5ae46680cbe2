/* SPDX-License-Identifier: MIT */
/* Names and what is behind them: modules, cells, and the call sites that are bound to cells. */
#include "runtime/core/registry.h"
#include "runtime/base/pool.h"
#include "runtime/core/flow.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/timeout.h"

#include "runtime/base/memory.h"

#include <stdio.h>
#include <string.h>

int berth_wait_changed(struct berth_host *host, int64_t deadline)
{
    if (deadline == BERTH_FOREVER)
        return pthread_cond_wait(&host->changed, &host->lock);
    struct timespec at = { deadline / 1000000000, deadline % 1000000000 };
    return pthread_cond_timedwait(&host->changed, &host->lock, &at);
}

struct berth_module *berth_module_find(struct berth_host *host, const char *name)
{
    return berth_map_get(&host->modules, name);
}

struct berth_module *berth_module_new(struct berth_host *host, const char *name)
{
    size_t size = strlen(name) + 1;
    struct berth_module *module = berth_pool_alloc(sizeof *module + size);
    if (!module)
        return NULL;
    module->host = host;
    module->name = memcpy(module + 1, name, size);
    berth_list_init(&module->link);
    berth_mailbox_init(module);
    berth_list_init(&module->run_link);
    berth_list_init(&module->cells);
    berth_list_init(&module->subscriptions);
    berth_map_init(&module->handles_by_id);
    berth_gate_init(&module->gate);
    pthread_mutexattr_t attributes; /* it is never held for long */
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&module->mail_lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    pthread_cond_init(&module->turn_ended, &host->cond_clock);
    return module;
}

struct berth_module *berth_module_obtain(struct berth_host *host, const char *name)
{
    struct berth_module *module = berth_module_find(host, name);
    if (module)
        return module;
    module = berth_module_new(host, name);
    if (module && !berth_map_set(&host->modules, module->name, module)) {
        berth_module_free(module);
        module = NULL;
    }
    return module;
}

void berth_requires_count(const struct berth_generation *generation, bool serves)
{
    struct berth_host *host = generation->host;
    const struct berth_manifest *manifest = generation->image->manifest;
    if (host->upstream) /* the others are there */
        return;
    for (size_t i = 0; i < manifest->require_count; i++) {
        struct berth_module *other = berth_module_find(host, manifest->requires[i].module);
        if (other && other != generation->module)
            other->requirers += serves ? 1 : SIZE_MAX;
    }
}

void berth_module_free(struct berth_module *module)
{
    if (!module)
        return;
    berth_list_each_safe(&module->cells, link)
        berth_pool_free(berth_container(link, struct berth_cell, of_module));
    berth_map_deinit(&module->handles_by_id);
    berth_gate_deinit(&module->gate);
    berth_timer_remove(&module->retry_timer);
    __atomic_add_fetch(&module->host->delivered, module->delivered, __ATOMIC_RELAXED);
    pthread_cond_destroy(&module->turn_ended);
    pthread_mutex_destroy(&module->mail_lock);
    berth_pool_free(module);
}

struct berth_cell *berth_cell_obtain(struct berth_host *host, const char *name)
{
    struct berth_cell *cell = berth_map_get(&host->cells, name);
    const char *dot = strchr(name, '.');
    char module_name[BERTH_IDENTIFIER_MAX + 1];
    if (cell || !dot || (size_t)(dot - name) >= sizeof module_name)
        return cell;
    memcpy(module_name, name, (size_t)(dot - name));
    module_name[dot - name] = '\0';
    struct berth_module *module = berth_module_obtain(host, module_name);
    size_t size = strlen(name) + 1;
    cell = module ? berth_pool_alloc(sizeof *cell + size) : NULL;
    if (!cell)
        return NULL;
    cell->module = module;
    memcpy(cell->name, name, size);
    cell->function = cell->name + (dot + 1 - name);
    berth_list_init(&cell->edges);
    berth_list_init(&cell->functions);
    if (!berth_map_set(&host->cells, cell->name, cell)) {
        berth_pool_free(cell);
        return NULL;
    }
    berth_list_append(&module->cells, &cell->of_module);
    return cell;
}

/* What an edge may do without asking: nothing (or be counted), call under the gate, or call. */
void berth_edge_set(struct berth_edge *edge)
{
    struct berth_link *link = edge->link;
    struct berth_item *item = edge->cell ? edge->cell->item : NULL;
    const struct berth_host *host = edge->cell ? edge->cell->module->host : NULL;
    uintptr_t check = BERTH_CHECK_SLOW;
    void (*code)(void) = NULL;
    if (item && item->code && !item->async && edge->fit == BERTH_FIT_SAME && !edge->denied &&
        !edge->upstream && edge->cell->module->elders == 0 && !berth_cell_timeout(edge->cell) &&
        !(host->options.flags & BERTH_HOST_CHECK_OWNERSHIP)) {
        code = item->code;
        bool gated = !item->generation->image->manifest->parallel;
        /* code at an odd address, which the header does not make, would be taken for a gate */
        if (!berth_flow_asks(edge->flow) && (gated || !((uintptr_t)code & BERTH_CHECK_SLOW)))
            check =
                gated ? (uintptr_t)&edge->cell->module->gate | BERTH_CHECK_SLOW : (uintptr_t)code;
    }
    __atomic_store_n(&link->code, code, __ATOMIC_RELEASE);
    __atomic_store_n(&link->check, check, __ATOMIC_RELEASE);
}

enum berth_full berth_edge_full(const struct berth_edge *edge)
{
    const struct berth_generation *importer = edge->importer;
    return importer ? importer->image->manifest->imports[edge->import].full : BERTH_FULL_REJECT;
}

void berth_edge_shut(struct berth_edge *edge)
{
    __atomic_store_n(&edge->link->check, BERTH_CHECK_SLOW, __ATOMIC_RELEASE);
}

void berth_edge_remove(struct berth_edge *edge)
{
    berth_edge_shut(edge);
    __atomic_store_n(&edge->link->code, NULL, __ATOMIC_RELEASE); /* another image's soon */
    __atomic_store_n(&edge->link->edge, NULL, __ATOMIC_RELEASE);
    if (edge->cell)
        berth_list_remove(&edge->of_cell);
    __atomic_store_n(&edge->cell, NULL, __ATOMIC_RELEASE);
}

void berth_cell_shut(struct berth_cell *cell)
{
    __atomic_store_n(&cell->item, NULL, __ATOMIC_RELEASE);
    berth_list_each(&cell->edges, link)
        berth_edge_shut(berth_container(link, struct berth_edge, of_cell));
}

/* Whoever comes to an item must ask, or need not. */
static void item_ask(const struct berth_cell *cell, struct berth_item *item)
{
    bool asks = item->gated || cell->module->elders > 0 || berth_cell_timeout(cell);
    __atomic_store_n(&item->asks, asks, __ATOMIC_RELEASE);
}

void berth_cell_open(struct berth_cell *cell, struct berth_item *item)
{
    if (item)
        item_ask(cell, item);
    berth_list_each(&cell->edges, link) {
        struct berth_edge *edge = berth_container(link, struct berth_edge, of_cell);
        enum berth_fit fit =
            item ? berth_signature_fit(edge->signature->identity, item->signature) : BERTH_FIT_SAME;
        __atomic_store_n(&edge->fit, fit, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&cell->item, item, __ATOMIC_RELEASE);
    berth_list_each(&cell->edges, link)
        berth_edge_set(berth_container(link, struct berth_edge, of_cell));
}

const struct berth_signature *berth_cell_signature(const struct berth_cell *cell)
{
    const struct berth_generation *current = cell->module->current;
    if (cell->item)
        return cell->item->signature;
    const struct berth_manifest_export *export =
        current ? berth_manifest_find_export(current->image->manifest, cell->function) : NULL;
    return export ? export->signature : NULL;
}

struct berth_cell *berth_cell_find(struct berth_host *host, const char *name,
                                   struct berth_error *error)
{
    struct berth_cell *cell = NULL;
    if (!berth_function_name_valid(name))
        berth_error_set(error, BERTH_INVALID_ARGUMENT,
                        "\"%.80s\" is not a function: write module.function", name);
    else if (!(cell = berth_map_get(&host->cells, name)) || !berth_cell_signature(cell)) {
        berth_error_set(error, BERTH_NOT_FOUND, "%s: no loaded module has this function", name);
        cell = NULL;
    }
    return cell;
}

uint32_t berth_module_swapper(const struct berth_module *module)
{
    pthread_mutex_lock(&module->host->lock);
    uint32_t chain = module->swapping ? module->swap_chain : 0;
    pthread_mutex_unlock(&module->host->lock);
    return chain;
}

void berth_module_shut(struct berth_module *module)
{
    berth_list_each(&module->cells, link)
        berth_cell_shut(berth_container(link, struct berth_cell, of_module));
}

static struct berth_item *item_of(struct berth_generation *generation, const char *function)
{
    const struct berth_manifest_export *export =
        berth_manifest_find_export(generation->image->manifest, function);
    return export ? &generation->exports[export - generation->image->manifest->exports] : NULL;
}

void berth_module_open(struct berth_module *module, struct berth_generation *generation)
{
    berth_mailbox_take_calls(module);
    berth_list_each(&module->cells, link) {
        struct berth_cell *cell = berth_container(link, struct berth_cell, of_module);
        berth_cell_open(cell, item_of(generation, cell->function));
    }
}

void berth_module_unbind(struct berth_module *module)
{
    berth_list_each(&module->cells, link)
        berth_cell_open(berth_container(link, struct berth_cell, of_module), NULL);
}

/* ---- elders ---- */

void berth_module_ask(struct berth_module *module)
{
    berth_list_each(&module->cells, of_module) {
        struct berth_cell *cell = berth_container(of_module, struct berth_cell, of_module);
        if (cell->item)
            item_ask(cell, cell->item);
        berth_list_each(&cell->edges, link)
            berth_edge_set(berth_container(link, struct berth_edge, of_cell));
    }
}

void berth_elder_begin(struct berth_generation *old)
{
    old->elder = true;
    __atomic_add_fetch(&old->module->elders, 1, __ATOMIC_RELEASE);
    berth_module_ask(old->module);
}

void berth_elder_end(struct berth_generation *old)
{
    struct berth_module *module = old->module;
    pthread_mutex_lock(&module->host->lock);
    if (old->elder) {
        old->elder = false;
        if (__atomic_sub_fetch(&module->elders, 1, __ATOMIC_RELEASE) == 0)
            berth_module_ask(module);
    }
    pthread_mutex_unlock(&module->host->lock);
}

struct berth_item *berth_cell_came_back(const berth_ctx *ctx, const struct berth_cell *cell)
{
    struct berth_module *module = cell->module;
    struct berth_host *host = module->host;
    struct berth_item *found = NULL;
    pthread_mutex_lock(&host->lock);
    bool kept_out = module->swapping && module->state == BERTH_MODULE_RUNNING &&
                    module->swap_chain != berth_block(ctx)->chain;
    if (kept_out || module->elders > 0)
        berth_list_each(&host->generations, link) { /* the youngest is the last */
            struct berth_generation *generation =
                berth_container(link, struct berth_generation, all);
            if (generation->module == module &&
                (generation->elder || (kept_out && generation == module->current)) &&
                berth_frames_inside(ctx, berth_generation_holds, generation))
                found = item_of(generation, cell->function);
        }
    pthread_mutex_unlock(&host->lock);
    return found;
}

bool berth_generation_holds(void *user, uintptr_t word)
{
    const struct berth_generation *generation = user;
    if (!(word & BERTH_FRAME_OBJECT))
        return word >= generation->image->low && word < generation->image->high;
    uintptr_t object = word & ~BERTH_FRAME_OBJECT;
    return (object >= (uintptr_t)generation->exports &&
            object < (uintptr_t)(generation->exports + generation->export_count)) ||
           (object >= (uintptr_t)generation->handlers &&
            object < (uintptr_t)(generation->handlers + generation->handler_count)) ||
           (object >= (uintptr_t)generation->hooks &&
            object < (uintptr_t)(generation->hooks + BERTH_HOOK_COUNT));
}

bool berth_generation_inside(const berth_ctx *ctx, struct berth_generation *generation)
{
    const bool *stopping = __atomic_load_n(&berth_thread_of(ctx)->stopping, __ATOMIC_RELAXED);
    return stopping == &generation->stopping ||
           berth_frames_inside(ctx, berth_generation_holds, generation);
}

const char *berth_generation_placement(const struct berth_generation *generation)
{
    if (generation->image->own_links)
        return "built-in";
    return berth_image_is_application(generation->image) ? "application"
                                                         : generation->placement->name;
}

void berth_module_label(const struct berth_generation *generation, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s@%s#%u", generation->module->name,
             generation->image->manifest->version, generation->number);
}

const char *berth_item_name(const struct berth_item *item)
{
    static const char *const hooks[] = { "START", "STOP", "SAVE", "RESTORE" };
    const struct berth_manifest *manifest = item->generation->image->manifest;
    switch (item->kind) {
    case BERTH_ITEM_EXPORT:
        return manifest->exports[item->index].name;
    case BERTH_ITEM_SUBSCRIBE:
        return manifest->subscribes[item->index].handler;
    default:
        return item->index < BERTH_HOOK_COUNT ? hooks[item->index] : "?";
    }
}

static const char *describe_in(const struct berth_generation *generation, uintptr_t word,
                               char *buffer, size_t size)
{
    const struct berth_item *found = NULL;
    for (size_t i = 0; i < generation->export_count + generation->handler_count + BERTH_HOOK_COUNT;
         i++) {
        const struct berth_item *item =
            i < generation->export_count ? &generation->exports[i]
            : i < generation->export_count + generation->handler_count
                ? &generation->handlers[i - generation->export_count]
                : &generation->hooks[i - generation->export_count - generation->handler_count];
        if ((uintptr_t)item == (word & ~BERTH_FRAME_OBJECT) ||
            (item->code && (uintptr_t)item->code == word))
            found = item;
    }
    snprintf(buffer, size, "%s.%s", generation->module->name,
             found ? berth_item_name(found) : "callback");
    return buffer;
}

const char *berth_registry_describe(void *user, uintptr_t word, char *buffer, size_t size)
{
    struct berth_host *host = user;
    const char *text = NULL;
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->generations, link) {
        struct berth_generation *generation = berth_container(link, struct berth_generation, all);
        if (!text && berth_generation_holds(generation, word))
            text = describe_in(generation, word, buffer, size);
    }
    pthread_mutex_unlock(&host->lock);
    return text;
}
