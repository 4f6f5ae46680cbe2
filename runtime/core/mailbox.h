/* SPDX-License-Identifier: MIT */
/* What waits for a module's turn. Any thread; each takes mail_lock itself. */
#ifndef RUNTIME_CORE_MAILBOX_H
#define RUNTIME_CORE_MAILBOX_H

#include "runtime/call/ring.h"
#include "runtime/core/core.h"

/* Of the turn that a mail has. */
enum berth_mail_turn {
    BERTH_TURN_NONE,
    BERTH_TURN_TAKEN,   /* it is out of the mailbox, and may still be withdrawn */
    BERTH_TURN_RUNNING, /* ops->run */
};

/* Messages and bytes that are in it, or in turns, of those that count. */
struct berth_mailbox_count {
    size_t messages, bytes;
};
struct berth_mailbox_count berth_mailbox_count(struct berth_module *module);
/* Without those in turns. */
size_t berth_mailbox_waiting(struct berth_module *module);

void berth_mailbox_init(struct berth_module *module);

#define BERTH_MAIL_WAITS (-1)
/*
 * Puts a mail into the module's mailbox. Else it is the caller's as before: resource_exhausted when
 * it is full, unavailable when it is closed or fails calls, already_exists for one that waits there
 * already or has been withdrawn. Does not wait: BERTH_MAIL_WAITS means that berth_room_wait must
 * follow.
 */
int berth_mailbox_post(struct berth_module *receiver, struct berth_mail *mail,
                       const struct berth_delivery *how);

/* Room that a sender waits for: the first who waits gets it first. */
struct berth_room {
    struct berth_list link;
    struct berth_host *host;
    struct berth_module *module; /* while it waits */
    struct berth_mail *mail;
    const char *name;        /* of the module */
    struct berth_park *park; /* of who waits */
    enum berth_room_state { BERTH_ROOM_WAITED, BERTH_ROOM_GOT, BERTH_ROOM_NONE } state;
};
/*
 * Waits until the mail is in the mailbox. Else it is the caller's: deadline_exceeded, aborted (who
 * would make room waits for this chain; the error names the ring), cancelled (the calling module is
 * being stopped, or its call was cancelled), unavailable (the receiver has ended). No lock is held.
 */
int berth_room_wait(berth_ctx *ctx, struct berth_room *room, int64_t deadline,
                    struct berth_error *error);

/*
 * The mail has no turn any more, nor does posting it do anything. One that runs is waited for,
 * unless this is called from it.
 */
void berth_mailbox_withdraw(struct berth_module *module, struct berth_mail *mail);
/* Nothing is taken any more until open, and what is in it goes. Returns how many count. */
size_t berth_mailbox_close(struct berth_module *module);
void berth_mailbox_open(struct berth_module *module);

/*
 * The module has failed: what is awaited would wait for ever, and is not taken until take_calls.
 * host->lock is held, as the module's state is.
 */
void berth_mailbox_fail_calls(struct berth_module *module);
void berth_mailbox_take_calls(struct berth_module *module);
/* Then, without any lock: those that are in it, or wait for room, go, if it still fails them. */
void berth_mailbox_end_calls(struct berth_module *module);

/* No turn begins until resume; waits for none. */
void berth_mailbox_pause(struct berth_module *module);
void berth_mailbox_resume(struct berth_module *module);
/* The generation has started, and has its state: mails that are for it alone have turns now. */
void berth_mailbox_serve(struct berth_generation *generation);
/*
 * No turn of the generation goes on; false: the deadline has passed, or the wait (or NULL) is
 * refused, and the mailbox was woken for that.
 */
bool berth_mailbox_quiet(struct berth_module *module, const struct berth_generation *generation,
                         const struct berth_wait *wait, int64_t deadline);
/* Nothing is posted for it any more: what still waits for a turn of this generation goes. */
void berth_mailbox_forget(const struct berth_generation *generation);
void berth_mailbox_wake(struct berth_module *module);
/*
 * Frees an application's module, after a turn that it may be in (its own: later). false: that has
 * not ended by the deadline, and will do it.
 */
bool berth_mailbox_retire(struct berth_module *module, int64_t deadline);

/*
 * The turn that is run goes on elsewhere from now on, before it may be back; its run returns
 * BERTH_MAIL_AWAY.
 */
void berth_mailbox_away(struct berth_module *module);
/* It is to be resumed, once for each that went away; no lock after mail_lock is held. */
void berth_mailbox_back(struct berth_module *module);
/* The chain that has to go on before the turn that goes on ends; 0: none does. */
uint32_t berth_mailbox_runner(struct berth_module *module);
/* Whether it is that of ctx, which is the calling thread's. */
bool berth_mailbox_turn_is(const struct berth_module *module, const berth_ctx *ctx);

/* What a turn of the generation's that has gone away is in, with a reference; or NULL. */
struct berth_started *berth_mailbox_turn_of(const struct berth_generation *generation,
                                            int64_t *ret_since);

/*
 * Handles a batch of mails, for a module that was scheduled; it is again, if there are more. No
 * other thread does so at the same time.
 */
void berth_mailbox_run(struct berth_module *module);

#endif
