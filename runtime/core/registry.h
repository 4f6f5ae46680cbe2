/* SPDX-License-Identifier: MIT */
/* Names and what is behind them. host->lock is held by the caller, unless said otherwise. */
#ifndef RUNTIME_CORE_REGISTRY_H
#define RUNTIME_CORE_REGISTRY_H

#include "runtime/core/core.h"

/* Waits for a change (host->changed), at most until the deadline: then ETIMEDOUT. */
int berth_wait_changed(struct berth_host *host, int64_t deadline);

struct berth_module *berth_module_find(struct berth_host *host, const char *name);
/* One that is in no map: an application's subscription. */
struct berth_module *berth_module_new(struct berth_host *host, const char *name);
/* Adds an absent one. NULL: no memory. */
struct berth_module *berth_module_obtain(struct berth_host *host, const char *name);
void berth_module_free(struct berth_module *module);
/* The chain that replaces or ends it, whom callers wait for; 0: none does. Takes the lock. */
uint32_t berth_module_swapper(const struct berth_module *module);
/* No cell of the module has anything to call: callers ask the host, and wait or are refused. */
void berth_module_shut(struct berth_module *module);
/*
 * Opens the cells of all exports of the generation; each edge is told how it fits. Its mailbox
 * takes calls, if it did not.
 */
void berth_module_open(struct berth_module *module, struct berth_generation *generation);
/* After berth_module_shut, when nobody is inside: no link of another image leads into it then. */
void berth_module_unbind(struct berth_module *module);

/* What is behind its cells may be asked for in another way: elders, timeouts. */
void berth_module_ask(struct berth_module *module);

/* What the module says of itself, or is going to say when it is being replaced. */
static inline const struct berth_manifest *berth_module_coming(const struct berth_module *module)
{
    return (module->next ? module->next : module->current)->image->manifest;
}
/*
 * The generation serves from now on, or (false) no longer: it counts with the modules that it
 * requires. host->lock held.
 */
void berth_requires_count(const struct berth_generation *generation, bool serves);
/*
 * A generation that is replaced, though something may still be inside: chains that are, and come
 * back into the module, stay in the old one until the end. Before the new one opens.
 */
void berth_elder_begin(struct berth_generation *old);
/* Nothing is inside any more; one that is no elder is fine. Takes the lock itself. */
void berth_elder_end(struct berth_generation *old);
/*
 * The item of the generation that this chain is inside of, when it comes back into a module that is
 * being replaced, or has been since; NULL: it is not inside. Takes the lock itself.
 */
struct berth_item *berth_cell_came_back(const berth_ctx *ctx, const struct berth_cell *cell);

/* The cell of "module.function", added if it is new. NULL: no memory. */
struct berth_cell *berth_cell_obtain(struct berth_host *host, const char *name);
/* One with something behind it; else not_found, or invalid_argument for what is no name. */
struct berth_cell *berth_cell_find(struct berth_host *host, const char *name,
                                   struct berth_error *error);
/* Of what is behind a cell, also while that is being replaced or restarted; NULL: nothing is. */
const struct berth_signature *berth_cell_signature(const struct berth_cell *cell);
void berth_cell_shut(struct berth_cell *cell);
void berth_cell_open(struct berth_cell *cell, struct berth_item *item);

/* Writes the link: what the call site may do without asking. */
void berth_edge_set(struct berth_edge *edge);
/* What a full mailbox does with what is started or sent through it. */
enum berth_full berth_edge_full(const struct berth_edge *edge);
/* The call site asks, until the edge is set again. */
void berth_edge_shut(struct berth_edge *edge);
/* It leads nowhere any more, for good. */
void berth_edge_remove(struct berth_edge *edge);

/* Takes the lock itself. For struct berth_threads: user is the host. */
const char *berth_registry_describe(void *host, uintptr_t word, char *buffer, size_t size);
/* For berth_frames_count: whether a frame's word is code or an item of the generation. No lock. */
bool berth_generation_holds(void *generation, uintptr_t word);
/* Whether this thread is inside of it, or does what a thread of its worker asks for. */
bool berth_generation_inside(const berth_ctx *ctx, struct berth_generation *generation);
/* No lock. */
const char *berth_item_name(const struct berth_item *item);
/* "inline", "process"; "application" and "built-in" for what no file has. No lock. */
const char *berth_generation_placement(const struct berth_generation *generation);
/* "module@version#generation". No lock. */
void berth_module_label(const struct berth_generation *generation, char *buffer, size_t size);

#endif
