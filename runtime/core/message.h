/* SPDX-License-Identifier: MIT */
/* Messages: parcels in mailboxes, and how each is handled. */
#ifndef RUNTIME_CORE_MESSAGE_H
#define RUNTIME_CORE_MESSAGE_H

#include "runtime/core/core.h"

/* Stands for a message whose sender waits for room. */
struct berth_message_ticket {
    struct berth_mail *mail;
    struct berth_flow *flow;
};
/*
 * Into the mailbox of the subscription's module. As berth_mailbox_post, and without memory
 * resource_exhausted. flow: what counts it, when it is there, or NULL. BERTH_MAIL_WAITS:
 * *ret_ticket is for berth_message_waited, with the code of berth_room_wait.
 */
int berth_message_post(struct berth_subscription *subscription, struct berth_parcel *parcel,
                       struct berth_flow *flow, const struct berth_delivery *how,
                       struct berth_message_ticket *ret_ticket);
void berth_message_waited(berth_ctx *ctx, const struct berth_message_ticket *ticket, int code);

#endif
