/* SPDX-License-Identifier: MIT */
/*
 * Topics, who publishes to them, and who gets it. Takes topic_lock itself, unless said otherwise.
 */
#ifndef RUNTIME_CORE_TOPIC_H
#define RUNTIME_CORE_TOPIC_H

#include "runtime/core/core.h"

/*
 * next's publishers and subscriptions take the place of old's (NULL: none). check says whether the
 * types agree with everybody else's, but for modules that are being replaced as well; prepare takes
 * the memory that it needs, into next; switch cannot fail.
 */
int berth_topics_check(struct berth_generation *next, const struct berth_generation *old,
                       struct berth_error *error);
int berth_topics_prepare(struct berth_generation *next, struct berth_error *error);
void berth_topics_switch(struct berth_generation *next, struct berth_generation *old);
void berth_topics_leave(struct berth_generation *generation);

/* A failure is marked in ctx. */
void berth_publish(berth_ctx *ctx, struct berth_publisher *publisher, const void *const *arguments);
/*
 * topic_lock is held for reading. sender: a module's name. error NULL: who does not get the message
 * is told instead, with the next one.
 */
int berth_topic_post(struct berth_host *host, struct berth_topic *topic, const char *sender,
                     const struct berth_signature *signature, const void *const *arguments,
                     struct berth_error *error);
/* topic_lock is held. NULL: nobody declares it now. */
const struct berth_signature *berth_topic_signature(const struct berth_topic *topic);

/*
 * Of messages of any type. function and holder: what is to be called, and the module that asked
 * host.subscribe for that; NULL: the application.
 */
int berth_subscription_new(struct berth_host *host, struct berth_module *module,
                           const char *pattern, const char *function, const char *holder,
                           enum berth_full full, struct berth_subscription **ret_subscription,
                           struct berth_error *error);
void berth_subscription_end(struct berth_host *host, struct berth_subscription *subscription);
void berth_subscription_unref(struct berth_subscription *subscription);

#endif
