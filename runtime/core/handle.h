/* SPDX-License-Identifier: MIT */
/* Handles: ids that stand for modules' objects. Any thread; each takes host->lock itself. */
#ifndef RUNTIME_CORE_HANDLE_H
#define RUNTIME_CORE_HANDLE_H

#include "runtime/core/core.h"

/* 0: *error tells. */
uint64_t berth_handle_add(struct berth_generation *generation, const char *kind, void *object,
                          struct berth_error *error);
/* The object, or NULL for a stale or foreign id. end: the id is stale from now on. */
void *berth_handle_find(struct berth_generation *generation, const char *kind, uint64_t id,
                        bool end, struct berth_error *error);
/* Notes who has got the handles in the result of a call through this edge. */
void berth_handles_hold(struct berth_edge *edge, void *result);
/* All of the generation's are stale from now on. */
void berth_handles_end(struct berth_generation *generation);
/* Who holds the module's, in words. */
void berth_handles_print(struct berth_module *module, char *buffer, size_t size);

/*
 * In RESTORE of the generation: what the old one knew as id is this object from the switch on.
 * Returns what the new one knows it as. 0: *error tells.
 */
uint64_t berth_handle_restore(struct berth_generation *generation, const char *kind, uint64_t id,
                              void *object, struct berth_error *error);
/* How many the module has that the generation has not brought back. host->lock held. */
size_t berth_handles_missing(const struct berth_module *module,
                             const struct berth_generation *next);
/* Those that it has are its own from now on; or it has gone, and they stay. host->lock held. */
void berth_handles_switch(struct berth_module *module, struct berth_generation *next, bool done);

/* Between a worker's ids and the host's. */
struct berth_handle_walk berth_handles_to(struct berth_generation *generation);
struct berth_handle_walk berth_handles_from(struct berth_generation *generation);
void berth_handle_ended(struct berth_generation *generation, uint64_t worker_id);
void berth_handle_restored(struct berth_generation *generation, uint64_t old_id,
                           uint64_t worker_id);

#endif
