/* SPDX-License-Identifier: MIT */
/* Subscriptions that are no module's: the application's, and those that host.subscribe makes. */
#ifndef RUNTIME_HOST_MESSAGE_H
#define RUNTIME_HOST_MESSAGE_H

#include "runtime/core/core.h"

/* Who asked host.subscribe, "" for the application, and the function that it names. */
struct berth_receiver {
    const char *holder, *function;
    const struct berth_listener *listener;
};
/*
 * As berth_host_subscribe_with, and it gets messages while the receiver may have them.
 */
int berth_receiver_subscribe(berth_host *host, const char *pattern,
                             const struct berth_subscribe_options *options,
                             const struct berth_receiver *receiver, berth_message_fn fn, void *user,
                             uint64_t *ret_id, struct berth_error *error);
/* As berth_host_unsubscribe; false: the callback has not returned by the deadline. */
bool berth_subscriber_end(berth_host *host, uint64_t id, int64_t deadline);

#endif
