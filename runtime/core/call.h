/* SPDX-License-Identifier: MIT */
/*
 * Calls whose signature is known at run time. No lock is held by the caller. A failure is marked in
 * ctx, as of any call, and its code returned.
 */
#ifndef RUNTIME_CORE_CALL_H
#define RUNTIME_CORE_CALL_H

#include "runtime/core/core.h"
#include "runtime/core/flow.h"
#include "runtime/core/timeout.h"

/*
 * The gate of a serial module, on the way into the generation. *ret_taken: leaving gives it back;
 * not if the chain is inside already, and comes back into a reentrant one.
 */
int berth_generation_lock(struct berth_generation *generation, const struct berth_gate_entry *entry,
                          bool *ret_taken, struct berth_error *error);

/*
 * Waits until the cell has something to call, pins it in ctx[1], and takes its gate. NULL: ctx is
 * marked.
 */
struct berth_item *berth_cell_enter(berth_ctx *ctx, struct berth_cell *cell, bool *ret_gated);

/*
 * A call from its begin to its end: enters the cell, with the timeout that it has from now on, and
 * counts. NULL: ctx is marked, and the call is over. Then invoke, and
 * leave with what that returned; it returns the call's code.
 */
struct berth_visit {
    struct berth_cell *cell;
    struct berth_flow *flow; /* NULL: it is not counted */
    struct berth_item *item; /* begin's, and what follows */
    bool gated;
    bool timed; /* it has a timeout of its own; `outer` is what the thread's deadline was */
    int64_t outer;
};
/* When there is something to wait for, to give up at, to tell or to time. */
struct berth_item *berth_visit_begin_slowly(berth_ctx *ctx, struct berth_visit *visit);
int berth_visit_leave_slowly(berth_ctx *ctx, const struct berth_visit *visit, int code,
                             void *result);

static inline struct berth_item *berth_visit_begin(berth_ctx *ctx, struct berth_visit *visit)
{
    struct berth_item *item = __atomic_load_n(&visit->cell->item, __ATOMIC_ACQUIRE);
    berth_flow_begin(ctx, visit->flow);
    if (BERTH_I_UNLIKELY(!item) || BERTH_I_UNLIKELY(berth_too_deep(ctx)))
        return berth_visit_begin_slowly(ctx, visit);
    berth_frame_push(ctx, BERTH_FRAME_OBJECT | (uintptr_t)item);
    if (BERTH_I_UNLIKELY(__atomic_load_n(&visit->cell->item, __ATOMIC_ACQUIRE) != item) ||
        BERTH_I_UNLIKELY(__atomic_load_n(&item->asks, __ATOMIC_RELAXED)) ||
        BERTH_I_UNLIKELY(berth_host_timeout(visit->cell->module->host) > 0)) {
        berth_frame_pop(ctx);
        return berth_visit_begin_slowly(ctx, visit);
    }
    visit->item = item;
    visit->gated = false;
    return item;
}

static inline int berth_visit_leave(berth_ctx *ctx, const struct berth_visit *visit, int code,
                                    void *result)
{
    const struct berth_thread *thread = berth_thread_of(ctx);
    if (BERTH_I_UNLIKELY(code != BERTH_OK || visit->gated || thread->deadline != BERTH_FOREVER ||
                         (thread->tally && thread->tally->timed > 0)))
        return berth_visit_leave_slowly(ctx, visit, code, result);
    berth_frame_pop(ctx);
    return BERTH_OK;
}
/* Marks ctx: the item has another signature. */
int berth_cell_mismatch(berth_ctx *ctx, struct berth_cell *cell,
                        const struct berth_signature *expected, const struct berth_item *item);
/* A visit as a whole. */
int berth_cell_call(berth_ctx *ctx, struct berth_cell *cell, struct berth_flow *flow,
                    const struct berth_signature *expected, const void *const *arguments,
                    void *result);
/* Marks ctx: this is a child of fork, which may not. Returns the code. */
int berth_call_refuse_forked(berth_ctx *ctx);
/* By the thread's cache, then the registry. NULL: nobody has ever had or imported it. */
struct berth_cell *berth_cell_lookup(berth_ctx *ctx, const char *name);

/* The parts of what follows that are not done for most: a way in that is not direct; a failure. */
int berth_item_invoke_slowly(berth_ctx *ctx, struct berth_item *item, const char *topic,
                             const void *const *arguments, void *result);
int berth_item_failed(berth_ctx *ctx, const struct berth_item *item, void *result);
/* Invokes an item that the caller has pinned in ctx[1]: mails, too. */
static inline int berth_item_invoke(berth_ctx *ctx, struct berth_item *item, const char *topic,
                                    const void *const *arguments, void *result)
{
    if (BERTH_I_UNLIKELY(item->async) || BERTH_I_UNLIKELY(!item->direct))
        return berth_item_invoke_slowly(ctx, item, topic, arguments, result);
    berth_invoke_call(item->direct, item->code, ctx + 1, arguments, result);
    return BERTH_I_UNLIKELY(ctx[1].frame & BERTH_FRAME_FAILED)
               ? berth_item_failed(ctx, item, result)
               : BERTH_OK;
}
/* Only the first part of an item that answers later: its function. */
int berth_item_begin(berth_ctx *ctx, struct berth_item *item, const void *const *arguments);
#define BERTH_EXPLAINED_MAX (sizeof(((struct berth_error *)0)->text) + BERTH_IDENTIFIER_MAX)
/* A carrier's failure names the module; who called it wants to know which of its functions. */
const char *berth_item_explain(const struct berth_item *item, const char *text,
                               char room[BERTH_EXPLAINED_MAX]);
/* A hook, if the module has it; its failure goes to *error, and ctx is clear. */
int berth_hook_invoke(berth_ctx *ctx, struct berth_generation *generation, enum berth_hook hook,
                      const void *const *arguments, void *result, struct berth_error *error);

static inline struct berth_host *berth_host_of(const berth_ctx *ctx)
{
    return berth_container(berth_thread_of(ctx)->set, struct berth_host, threads);
}

#endif
