/* SPDX-License-Identifier: MIT */
/*
 * The callee's side of a started call: its turn in the mailbox, and calls that a function keeps to
 * answer them later. A kept call is inside of its generation without a frame, and is counted there.
 */
#ifndef RUNTIME_CORE_KEPT_H
#define RUNTIME_CORE_KEPT_H

#include "runtime/core/started.h"

/* Everything that a call brings to the thread that runs it, and what was there before. */
struct berth_run {
    struct berth_serving serving;
    const bool *cancelled;
    int64_t deadline;
    bool echo;
};
void berth_run_begin(berth_ctx *ctx, struct berth_started *started, bool may_keep,
                     struct berth_run *run);
void berth_run_end(berth_ctx *ctx, const struct berth_run *run);

/*
 * Has the item's worker handle a message; no thread waits. `notify` of the started one tells when
 * it is over: with BERTH_INVOKED_UNSENT for a code if the worker had ended before.
 */
void berth_remote_handle(berth_ctx *ctx, struct berth_started *started, struct berth_item *item,
                         const void *const *arguments);
/*
 * A thread here does for a while what a call that its worker has asks for, and stands for it: in
 * its frames, as its chain, and cancelled with it. of: held by the caller; NULL: nothing is done.
 * ctx: below what is asked for.
 */
struct berth_remote_run {
    struct berth_started *of;
    struct berth_run run;
    struct berth_started *cause; /* of a message, and the next one */
    const char *topic;
    bool mine; /* nobody stood for it before */
};
void berth_remote_run_begin(berth_ctx *ctx, struct berth_started *of, struct berth_remote_run *run);
void berth_remote_run_end(berth_ctx *ctx, const struct berth_remote_run *run);

/* Of the mail of a started call; and of one for a message, which counts in another mailbox. */
extern const struct berth_mail_ops berth_kept_ops, berth_kept_turn_ops;
/*
 * Calls a function that answers later, and waits for its answer on this thread. As
 * berth_item_invoke otherwise; the item is pinned. Gives up the module's gate while it waits.
 */
int berth_kept_call(berth_ctx *ctx, struct berth_item *item, const void *const *arguments,
                    void *result);
/*
 * Runs it, for a call that is answered by started->notify: a worker's. A code: it has not been
 * kept, and ctx is marked.
 */
int berth_kept_run(berth_ctx *ctx, struct berth_item *item, struct berth_started *started,
                   const void *const *arguments);

/* As berth_item_invoke, for a call that can be cancelled. */
int berth_kept_serve(berth_ctx *ctx, struct berth_item *item, const char *topic,
                     struct berth_started *started, const void *const *arguments, void *result);

/* Whether the call that may be kept here is waited for on this very thread. */
bool berth_kept_is_waited_for(const berth_ctx *ctx);
/* The services. 0: ctx is marked. */
uint64_t berth_kept_keep(berth_ctx *ctx);
/*
 * true: it is the caller's now. more: one of several, which may wait for room (more.h). A failure
 * is marked in ctx.
 */
bool berth_kept_reply(berth_ctx *ctx, const struct berth_item *item, uint64_t kept,
                      const void *value, bool more);
void berth_kept_fail(berth_ctx *ctx, uint64_t kept, int code, const char *text);
bool berth_kept_stopping(struct berth_host *host, uint64_t kept);
/* What has come of it elsewhere, without a ctx: as berth_started_came. */
bool berth_kept_came(struct berth_host *host, uint64_t kept, bool more, int code,
                     const void *result, size_t size, const struct berth_error *error);

/* No call is inside of the generation without a frame, or the deadline has passed (false). */
bool berth_kept_quiet(struct berth_generation *generation, int64_t deadline);
/* All that it has kept are cancelled: why, as the end of a sentence. */
void berth_kept_cancel(const struct berth_generation *generation, const char *why);
/* Those that are left are answered with unavailable. */
void berth_kept_end(struct berth_generation *generation);

#endif
