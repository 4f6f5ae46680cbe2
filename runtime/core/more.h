/* SPDX-License-Identifier: MIT */
/*
 * Several replies to one call. They lie in it until its caller takes them, or somebody passes them
 * on to where the caller is. As many may lie there as in a mailbox; whoever sends one more waits
 * until the caller has taken half of them, and is told when nobody will.
 */
#ifndef RUNTIME_CORE_MORE_H
#define RUNTIME_CORE_MORE_H

#include "runtime/core/started.h"

/*
 * The callee's: sends a reply, and waits for room at most until the deadline of ctx. false: nobody
 * wants any more of them; or ctx is marked.
 */
bool berth_more_send(berth_ctx *ctx, struct berth_started *started, const struct berth_type *type,
                     const void *value);
#define BERTH_MORE_FULL (-1) /* it is not there: there is no room */
/*
 * For what has come of the call elsewhere; does not wait. A code: it is not there, and not lost on
 * the way but for want of memory. What nobody wants is dropped, and no failure. size: that it
 * counts for. A worker, or the host upstream, keeps to the same window: there is room.
 */
int berth_more_came(struct berth_started *started, const struct berth_type *type, const void *value,
                    size_t size, struct berth_error *error);

/* The caller's: the oldest one; NULL: there is none. The call's lock is held. */
struct berth_reply *berth_more_take(struct berth_started *started);
/* After that, without the lock: whoever sends may go on, if it is worth his while. */
void berth_more_taken(struct berth_started *started);
/* Nobody takes any: what is there is dropped, and `more` is false from now on. No lock is held. */
void berth_more_refuse(struct berth_started *started);
/* Whoever sends them elsewhere is known now, and told what he has not been. No lock is held. */
void berth_more_tell(struct berth_started *started);
/* In a worker: another chain than before takes them, or a turn does. No lock is held. */
void berth_more_taker_changes(struct berth_started *started);
/*
 * The i-th chain that has to go on before some are taken; BERTH_CHAIN_OTHER: one that nobody knows,
 * or it need not be; 0: there are no more. For the finder of rings.
 */
uint32_t berth_more_taker(struct berth_started *started, size_t i);
/* Whose replies they are, and who takes them, in words that last as long as the host; or NULL. */
void berth_more_names(struct berth_started *started, const char **ret_name, const char **ret_taker);
/* It goes on only when some are taken. The call's lock is held. */
bool berth_more_is_full(const struct berth_started *started);
/* Those who wait to send look whether they still should. The call's lock is held. */
void berth_more_wake(struct berth_started *started);

/*
 * What the call gets is passed on to `sink`, which is kept: when some are taken there, notify is
 * called here. Until they part, once the answer has been given away, too.
 */
void berth_more_join(struct berth_started *started, struct berth_started *sink);
void berth_more_part(struct berth_started *started);
/*
 * For notify: gives what is new away, in order and one after the other; with more false the answer,
 * once: its reply may be NULL, and code and text are the call's. give is false if there is no room
 * for one of several where it goes to: it stays, until this is called again.
 */
typedef bool (*berth_more_give)(struct berth_started *started, const struct berth_reply *reply,
                                bool more);
void berth_more_forward(struct berth_started *started, berth_more_give give);
/* What is given away is so by this one's notify: there may be room, or nobody wants it any more. */
void berth_more_look(struct berth_started *started);
/* Where they went to has taken some, or (none) takes no more. A carrier's; takes a reference. */
void berth_more_heard(void *started, bool none);

#endif
