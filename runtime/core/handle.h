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

/* Between a worker's ids and the host's. */
struct berth_handle_walk berth_handles_to(struct berth_generation *generation);
struct berth_handle_walk berth_handles_from(struct berth_generation *generation);
void berth_handle_ended(struct berth_generation *generation, uint64_t worker_id);

#endif
