/* SPDX-License-Identifier: MIT */
/* Subscriptions that are no module's: the application's, and those that host.subscribe makes. */
#ifndef RUNTIME_HOST_MESSAGE_H
#define RUNTIME_HOST_MESSAGE_H

#include "runtime/core/core.h"

/*
 * As berth_host_subscribe. lossy: when its mailbox is full the oldest message goes, so that nobody
 * who publishes is refused because of it.
 */
int berth_app_subscribe(berth_host *host, const char *pattern, bool lossy, berth_message_fn fn,
                        void *user, uint64_t *ret_id, struct berth_error *error);

#endif
