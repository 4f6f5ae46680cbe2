/* SPDX-License-Identifier: MIT */
/*
 * Topics, who publishes to them, and who gets it. Takes topic_lock itself, unless said otherwise.
 */
#ifndef RUNTIME_CORE_TOPIC_H
#define RUNTIME_CORE_TOPIC_H

#include "runtime/core/core.h"

/*
 * For who changes topics, subscriptions, or what they may: topic_lock, for writing, and nobody
 * reads by a mark. Under no mark, and with no lock but admin.
 */
void berth_topics_lock(struct berth_host *host);
void berth_topics_unlock(struct berth_host *host);

bool berth_topics_enter_slowly(struct berth_host *host, struct berth_thread *thread);
/*
 * For who publishes: they stay as they are until leave, by the thread's mark, which is not set yet,
 * or (false) by topic_lock.
 */
static inline bool berth_topics_enter(struct berth_host *host, struct berth_thread *thread)
{
    berth_mark_set(thread->mark);
    return BERTH_I_UNLIKELY(__atomic_load_n(&host->topics_change, __ATOMIC_ACQUIRE))
               ? berth_topics_enter_slowly(host, thread)
               : true;
}
static inline void berth_topics_leave(struct berth_host *host, struct berth_thread *thread,
                                      bool marked)
{
    if (marked)
        berth_mark_end(thread->mark);
    else
        pthread_rwlock_unlock(&host->topic_lock);
}

/*
 * next's publishers and subscriptions take the place of old's (NULL: none). check says whether the
 * types agree with everybody else's, but for modules that are being replaced as well; prepare takes
 * the memory that it needs, into next; switch cannot fail.
 */
int berth_topics_check(struct berth_generation *next, const struct berth_generation *old,
                       struct berth_error *error);
int berth_topics_prepare(struct berth_generation *next, struct berth_error *error);
/* Whose types of one topic differ: the refusal, in words. */
struct berth_topic_side {
    const char *who;
    const struct berth_signature *signature;
};
int berth_topic_disagree(const char *topic, const struct berth_topic_side *publisher,
                         const struct berth_topic_side *other, struct berth_error *error);
void berth_topics_switch(struct berth_generation *next, struct berth_generation *old);
void berth_topics_retire(struct berth_generation *generation);

/* Subscriptions that prepare has made and no switch has taken, and the references of all. */
void berth_topics_release(struct berth_generation *generation);

/* A failure is marked in ctx. */
void berth_publish(berth_ctx *ctx, struct berth_publisher *publisher, const void *const *arguments);
/* Not in a worker. That it is denied is marked in ctx; every other failure is returned. */
int berth_publisher_post(berth_ctx *ctx, struct berth_publisher *publisher,
                         const void *const *arguments, struct berth_error *error);
/* Whether anybody would get a message to it now. */
bool berth_topic_is_read(struct berth_host *host, const char *topic);
/* The host's own; who has no room for it misses it, and is told so with the next one. */
void berth_publish_own(struct berth_host *host, const char *topic, const void *const *arguments);

/* Who has not got a message, or why: as many as there is room for, and how many more. */
struct berth_missed {
    char text[512];
    unsigned more;
};
/*
 * One message on its way to those who subscribe: first to all that do not have to be waited for,
 * topics staying as they are, then to the others, without.
 */
struct berth_posting {
    struct berth_host *host;
    berth_ctx *ctx;     /* of who sends it; NULL: the host, which waits for nobody */
    const char *sender; /* a module's name, for the host's life; "" for the application */
    struct berth_topic *topic;
    const struct berth_manifest_topic *declared;
    /* the rest is begin's */
    struct berth_thread *thread; /* the calling one; NULL: it has not entered */
    struct berth_list waits;
    size_t left; /* receivers that have not had their turn: the parcel has a reference for each */
    int code;
    struct berth_missed full, too_much, waited; /* names; of those there was no memory for; why */
};
/*
 * Between enter and leave, or with topic_lock; finish must follow outside. In a host's own messages
 * (ctx NULL) nothing fails: who misses one is told with the next.
 */
void berth_posting_begin(struct berth_posting *posting, const void *const *arguments,
                         struct berth_error *error);
int berth_posting_finish_slowly(struct berth_posting *posting, struct berth_error *error);
/* The code of all of it: those that are not named in error have got it. */
static inline int berth_posting_finish(struct berth_posting *posting, struct berth_error *error)
{
    return BERTH_I_UNLIKELY(posting->code != BERTH_OK || !berth_list_empty(&posting->waits))
               ? berth_posting_finish_slowly(posting, error)
               : BERTH_OK;
}
/* topic_lock is held. What its first publisher declares; NULL: nobody declares it now. */
const struct berth_manifest_topic *berth_topic_declared(const struct berth_topic *topic);

struct berth_subscription_setup {
    struct berth_module *module;
    const char *pattern, *function; /* function: or "" */
    const char *holder;             /* that asked host.subscribe for it; NULL: the application */
    struct berth_receipt how;
};
/* Of messages of any type. It gets the current values of its topics at once. */
int berth_subscription_new(struct berth_host *host, const struct berth_subscription_setup *setup,
                           struct berth_subscription **ret_subscription, struct berth_error *error);
void berth_subscription_end(struct berth_host *host, struct berth_subscription *subscription);
void berth_subscription_free(struct berth_subscription *subscription);
/* References go back. Nothing is looked at afterwards: another one may have been the last. */
static inline void berth_subscription_give(struct berth_subscription *subscription, size_t count)
{
    if (BERTH_I_UNLIKELY(__atomic_add_fetch(&subscription->given, count, __ATOMIC_ACQ_REL) == 0))
        berth_subscription_free(subscription);
}
/*
 * The same of messages that a thread has handled: it counts them, as a locked instruction for each
 * would cost as much as all the rest of their end. Then give_all is due, once it handles no more.
 */
static inline void berth_subscription_give_all(struct berth_thread *thread)
{
    if (thread->handled_count)
        berth_subscription_give(thread->handled, thread->handled_count);
    thread->handled_count = 0;
}
static inline void berth_subscription_give_later(struct berth_thread *thread,
                                                 struct berth_subscription *subscription)
{
    if (BERTH_I_UNLIKELY(thread->handled != subscription))
        berth_subscription_give_all(thread);
    thread->handled = subscription;
    thread->handled_count++;
}
/* At the host's end. */
void berth_topics_free(struct berth_host *host);

#endif
