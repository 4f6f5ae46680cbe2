/* SPDX-License-Identifier: MIT */
/* Messages: parcels in mailboxes, and how each is handled. */
#ifndef RUNTIME_CORE_MESSAGE_H
#define RUNTIME_CORE_MESSAGE_H

#include "runtime/core/flow.h"

/*
 * Where a message goes whose handler has failed as often as it may, or whose sender's deadline has
 * passed, or its call been cancelled, before its turn: topic of the built-in module.
 */
#define BERTH_DEAD_LETTER_TOPIC "host.dead_letter"

/* Stands for a message whose sender waits for room. */
struct berth_message_ticket {
    struct berth_mail *mail;
    struct berth_flow *flow;
};
#define BERTH_MESSAGE_NO_MEMORY (-2)
/* What one takes in its parcel. */
extern const size_t berth_message_size;
/*
 * Into the mailbox of the subscription's module, in a place of the parcel's (NULL: in memory of its
 * own). As berth_mailbox_post, and without memory BERTH_MESSAGE_NO_MEMORY; a reference of the
 * parcel's goes with it. flow: what it is counted in, or NULL; BERTH_OK: by whoever posts it.
 * BERTH_MAIL_WAITS: *ret_ticket is for berth_message_waited, with the code of berth_room_wait.
 */
int berth_message_post(struct berth_subscription *subscription, struct berth_parcel *parcel,
                       void *place, struct berth_flow *flow, const struct berth_delivery *how,
                       struct berth_message_ticket *ret_ticket);
/* One that was posted. thread: the calling one, or NULL. */
static inline void berth_message_count(struct berth_host *host, struct berth_thread *thread,
                                       struct berth_flow *flow)
{
    if (BERTH_I_UNLIKELY(!flow))
        __atomic_add_fetch(&host->uncounted, 1, __ATOMIC_RELAXED);
    else
        berth_flow_message(thread, flow);
}
/*
 * One that did not get there is counted. lost: its sender does not know, so its receiver is told.
 */
void berth_message_refused(struct berth_host *host, struct berth_subscription *subscription,
                           struct berth_flow *flow, int code, bool lost);
void berth_message_waited(berth_ctx *ctx, const struct berth_message_ticket *ticket, int code);

#endif
