/* SPDX-License-Identifier: MIT */
/*
 * A host's policy at work. Links are asked about when they are bound and when the policy changes:
 * each remembers whether it is denied, so that a bound call asks nothing. What a module does
 * through the module `host` is asked about each time, in the name of the module that called host.
 *
 * The application's modules and the built-in one may do everything.
 */
#ifndef RUNTIME_CORE_PERMIT_H
#define RUNTIME_CORE_PERMIT_H

#include "runtime/core/core.h"

/*
 * Whether next may be loaded: all that its manifest imports, publishes and subscribes to is
 * granted. Else the error has the rules that are missing. admin held.
 */
int berth_permit_check(struct berth_generation *next, struct berth_error *error);

/*
 * The policy is taken, and every link of the host becomes as it says. What modules want and may not
 * have is logged. admin held, and no other lock.
 */
void berth_permit_change(struct berth_host *host, struct berth_policy *policy);

/* A call by, or a publication of, a link that is denied: marks ctx. */
void berth_permit_refuse(berth_ctx *ctx, const char *caller, enum berth_right right,
                         const char *what);
int berth_permit_refuse_edge(berth_ctx *ctx, const struct berth_edge *edge);
/* In whose name a generation acts: its module's; "" may do everything. */
const char *berth_permit_name(const struct berth_generation *generation);
/* The same, where no ctx is to be marked. */
int berth_permit_explain_edge(const struct berth_edge *edge, struct berth_error *error);

/*
 * ctx is that of a function of the module `host`: may its caller do this? Else ctx is marked, and
 * its code returned. What is not even a name passes: who goes on with it tells more.
 */
int berth_permit_ask(berth_ctx *ctx, enum berth_right right, const char *what);
/*
 * The name of the module that called, for the host's life; "" is the application. *ret_by_name (may
 * be NULL): not by a link of its own, but through host.call.
 */
const char *berth_permit_caller(berth_ctx *ctx, bool *ret_by_name);
/* Whether a subscription by host.subscribe is denied. topic_lock held. */
bool berth_permit_denies(struct berth_host *host, const struct berth_subscription *subscription);

/* Appends the JSON of berth_host_permissions. */
void berth_permissions_print(struct berth_host *host, struct berth_buffer *buffer);

/*
 * The frame is the generation's, though its word may not say so. What this returns is to be put
 * back into the thread when the frame ends.
 */
static inline struct berth_acting berth_permit_act(berth_ctx *ctx,
                                                   const struct berth_generation *generation)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    struct berth_acting outer = thread->acting;
    thread->acting = (struct berth_acting){ ctx, generation };
    return outer;
}

#endif
