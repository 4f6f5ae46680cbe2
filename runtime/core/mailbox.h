/* SPDX-License-Identifier: MIT */
/* What waits for a module's turn. Any thread; each takes mail_lock itself. */
#ifndef RUNTIME_CORE_MAILBOX_H
#define RUNTIME_CORE_MAILBOX_H

#include "runtime/core/core.h"

/* resource_exhausted when it is full, or without memory. flow: what counts it, or NULL. */
int berth_mailbox_post(struct berth_subscription *subscription, struct berth_parcel *parcel,
                       struct berth_flow *flow);
void berth_mailbox_alarm(struct berth_module *module, struct berth_alarm *alarm);
/* The alarm has no mail and no turn any more, but for the turn that this is called from. */
void berth_mailbox_forget(struct berth_module *module, struct berth_alarm *alarm);
/* Everything that is in it goes. Returns how many messages that were. */
size_t berth_mailbox_drop(struct berth_module *module);
void berth_parcel_unref(struct berth_parcel *parcel);

/* No turn begins until resume; waits for none. */
void berth_mailbox_pause(struct berth_module *module);
void berth_mailbox_resume(struct berth_module *module);
/* The generation has started, and has its state: alarms that were due meanwhile have turns now. */
void berth_mailbox_serve(struct berth_generation *generation);
/* No more than `self` turns of the generation go on, or the deadline has passed (false). */
bool berth_mailbox_quiet(struct berth_module *module, const struct berth_generation *generation,
                         size_t self, int64_t deadline);
/*
 * Frees an application's module, after a turn that it may be in (its own: later). false: that has
 * not ended by the deadline, and will do it.
 */
bool berth_mailbox_retire(struct berth_module *module, int64_t deadline);

/* Handles one mail; false: nothing to do now. After a batch of them, settle. */
bool berth_mailbox_turn(struct berth_module *module);
void berth_mailbox_settle(struct berth_module *module);

#endif
