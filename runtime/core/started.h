/* SPDX-License-Identifier: MIT */
/*
 * A call that is started: request and answer as one kept value. Its caller has it as a pending
 * call, waits for it, asks, or is called back; its callee runs it as a mail (kept.h), and may keep
 * it and answer later. It is answered exactly once, by whoever comes first: the callee, who cancels
 * it, its deadline, or the end of its callee's generation. A reply that comes later is dropped, and
 * counted.
 *
 * Whatever is called or started while it runs belongs to it, and is cancelled with it. So a call of
 * a function that answers later is one, too, when its caller waits for it on the callee's thread.
 *
 * Its lock is taken after all of the host's; calls_lock, of the ids and of who was started under
 * whom, before it.
 */
#ifndef RUNTIME_CORE_STARTED_H
#define RUNTIME_CORE_STARTED_H

#include "runtime/base/window.h"
#include "runtime/core/core.h"

struct berth_park;

/* A thread runs a call: on its stack, in thread->serving. */
struct berth_serving {
    const struct berth_serving *outer;
    struct berth_started *started;
    const berth_ctx *base; /* what it runs under, */
    const berth_ctx *at;   /* the callee's: it may keep the call; NULL: nobody may */
};

/* One of several replies, or the answer. */
struct berth_reply {
    struct berth_reply *next;
    size_t size, cost;        /* cost: for which one of several counts, where it comes from */
    char *data;               /* the value as it lies in memory, packed, or JSON */
    enum berth_kind kind;     /* of its type; */
    struct berth_arena whole; /* what it points at, for who takes it without knowing the type */
    uint64_t room[];          /* of a plain value, which data points to */
};

struct berth_started {
    struct berth_mail mail; /* in the callee's mailbox */
    struct berth_mail then; /* in the caller's, for its function; the application's is */
    struct berth_job job;   /* this */
    size_t refs;            /* atomic: its caller's, its mails', and that of its being kept */
    struct berth_host *host;
    const char *name; /* module.function, which lasts as long as the host */
    /* of a message, whose turn this is: who has it alone answers; NULL: it is a call */
    const char *topic;
    struct berth_cell *cell;
    struct berth_flow *flow;        /* counts its answer, too */
    int64_t began;                  /* when it came to its callee, if it is timed; else 0; atomic */
    const char *caller;             /* in whose name it is; "": the application's. Lasts */
    struct berth_generation *owner; /* whose it is; NULL: the application's, or the host's */
    struct berth_started *cause;    /* it was started under this one, or NULL; under calls_lock */
    struct berth_list children, sibling; /* and so are these, and the next three */
    bool left;                           /* by its caller, who has its answer, or dropped it */
    uint64_t pending, kept;              /* ids; 0: none */
    int64_t deadline;                    /* atomic */
    bool cancelled;                      /* atomic */
    bool recalled;                       /* cancelled before it was answered; atomic */
    /* what replies are kept as; none: as they lie in memory, if they can be */
    bool json, words, packed, whole;
    bool single;                             /* nobody takes more replies than one; atomic */
    bool plain, one_way, echo;               /* plain: the arguments lie in room */
    bool refused;                            /* it has never come into a mailbox; the starter's */
    const struct berth_signature *signature; /* the caller's, which may be gone: only to compare */
    char *identity;                          /* of that; NULL: of JSON */
    char *arguments;                         /* those in room, or JSON; or else they lie in */
    struct berth_parcel *parcel;             /* this */
    size_t size, count;                      /* count: of the caller's parameters */

    /* the callee's */
    uint32_t chain; /* that runs it; 0: not yet; BERTH_CHAIN_OTHER: it is kept, or remote; atomic */
    const struct berth_item *item; /* while it runs, and as long as it is kept */
    bool kept_once;
    bool given_up;   /* by who had it elsewhere; under calls_lock, and so are the next ones */
    uint64_t remote; /* its number in the worker, or upstream, that has it */
    uint64_t asked;  /* and in a worker, of what it answers: upstream's; 0: nothing; stays */
    struct berth_window
        untold;       /* replies that were taken, and who sends them there is not told yet */
    bool none_untold; /* nor that nobody takes any more */
    /* in a worker: it is there, or a thread here stands for it; under calls_lock */
    enum berth_whereabouts { BERTH_NOWHERE, BERTH_AWAY, BERTH_HERE } at;
    struct berth_generation *callee; /* whose worker it is */

    pthread_mutex_t lock; /* of what follows */
    bool answered, timed, given;
    bool told;  /* its function is going to be called, or what is new is being forwarded; then */
    bool again; /* whoever does that looks once more */
    int code;
    char *text;                 /* of a failure; NULL: there was no memory */
    struct berth_reply *answer; /* NULL: void, or a failure */
    /* several replies (more.h); sent: that have not been given back, though some are taken */
    struct berth_reply *first, **last;
    struct berth_window sent, taken;
    struct berth_list senders; /* who wait to send one */
    uint32_t taker;            /* the chain that has started it, or taken the last one */
    uint32_t taker_run;        /* in a worker: what that is in (call/thread.h), */
    uint32_t taker_told;       /* and what of it upstream knows; this is under calls_lock */
    uint32_t (*takers)(void *user, size_t i); /* who takes what notify passes on; or NULL */
    uint64_t lost; /* of a message that is passed on: how many before it, of which it tells */
    struct berth_started *source; /* what passes its own on to this one; or NULL */
    struct berth_started *sink;   /* and where this one does so to: for its life; or NULL */
    struct berth_park *waiter;    /* who is to be woken; or NULL */
    void (*notify)(struct berth_started *started); /* something new is there; no lock; is short */
    berth_reply_fn fn;
    void *user;
    struct berth_timer timer; /* of the deadline, when nobody waits */

    struct berth_reply *spare; /* in room, for a plain answer; or NULL */
    char room[] __attribute__((aligned(16)));
};

/* ---- making and ending ---- */

struct berth_start {
    struct berth_cell *cell;
    struct berth_flow *flow;
    const char *caller; /* NULL: the application */
    struct berth_generation *owner;
    const struct berth_signature *signature; /* of the arguments; NULL: they are JSON */
    /* whose it is, to be let go of, and this NULL, before the mailbox is waited for; or NULL */
    struct berth_generation **held; /* that has one more of `readers` */
    const void *const *arguments;
    const char *json;
    int64_t deadline;                /* besides those of ctx, or BERTH_FOREVER */
    const struct berth_edge *denied; /* that the policy does not allow, or NULL */
    enum berth_full full;            /* of the callee's mailbox; drop_oldest: if it is one way */
    bool one_way;
    bool packed; /* its replies; or, so that they can be taken without knowing their type, */
    bool whole;
    bool words, json_replies; /* or as text: for people, or as JSON, as without a signature */
    const char *topic;        /* of a message that it handles: that counts already; or NULL */
    size_t import;            /* instead of a cell: of the host that this one serves */
    const char *name;
    /* Instead of a pending call for somebody: called when there is something new. */
    void (*notify)(struct berth_started *started);
    void *user;
    void (*begin)(void *user, struct berth_started *started); /* before anything of that; or NULL */
    /* Then: who takes several replies, as of struct berth_carrier_reply; or NULL. */
    uint32_t (*taker)(void *user, size_t i);
};

/*
 * Puts the call into the callee's mailbox. What fails is the call, which is answered then. NULL:
 * there was no memory, not even for that. One reference is the caller's.
 */
struct berth_started *berth_started_new(berth_ctx *ctx, const struct berth_start *start);
/* The generation that start.held is of, if it has not been let go of. */
void berth_started_let_go(struct berth_generation **held);
/*
 * One that runs on this thread, or in the item's worker, and has no mail; topic: of the message
 * that is to be handled, or NULL. NULL: no memory.
 */
struct berth_started *berth_started_direct(berth_ctx *ctx, const struct berth_item *item,
                                           const char *topic);
struct berth_started *berth_started_cell(berth_ctx *ctx, const struct berth_cell *cell);
void berth_started_ref(struct berth_started *started);
void berth_started_unref(struct berth_started *started); /* NULL: nothing */
/* One that is one way: a failure of its beginning is marked in ctx. Takes the reference. */
void berth_started_send(berth_ctx *ctx, struct berth_started *started);
/* An id for it; takes the reference. 0: no memory, and the call is dropped. */
uint64_t berth_started_give(struct berth_started *started);
/* The one of that id, with a reference; NULL: it has ended. */
struct berth_started *berth_started_find(struct berth_host *host, uint64_t id);
/* Its caller does not want to know any more. */
void berth_started_drop(struct berth_started *started);
/* All that a generation has started. */
void berth_started_end(const struct berth_generation *owner);

/* ---- the caller's ---- */

void berth_started_cancel(struct berth_started *started);
/* The same by somebody else: why, as the end of a sentence; NULL: by its caller. */
void berth_started_cancel_as(struct berth_started *started, const char *why);
void berth_started_limit(struct berth_started *started, int64_t deadline);
void berth_started_then(struct berth_started *started, berth_reply_fn fn, void *user);
/* Calls notify for what is new, now too; sees to the deadline from now on. */
void berth_started_watch(struct berth_started *started,
                         void (*notify)(struct berth_started *started), void *user);
/* What is waited for. */
enum berth_awaited {
    BERTH_AWAIT_ANY,    /* the answer of one of them */
    BERTH_AWAIT_ALL,    /* the answer of each */
    BERTH_AWAIT_REPLY,  /* one of several replies, or the answer */
    BERTH_AWAIT_ANSWER, /* to take it: a reload does not end that, as it ends no other call */
};
/*
 * Returns the index of one, or with all 1; -1 (with all 0): not before `until` or the deadline of
 * ctx; -1 with ctx marked: it is over.
 */
int berth_started_wait(berth_ctx *ctx, const berth_pending *pendings, size_t count, int64_t until,
                       enum berth_awaited awaited);
/*
 * Waits for the answer and takes it (*ret_reply NULL: of void), which ends the pending call, or
 * with more for a reply (NULL: the last one has been taken), which ends nothing. For
 * berth_reply_free. A code: ctx is marked.
 */
int berth_started_take(berth_ctx *ctx, struct berth_started *started, bool more,
                       struct berth_reply **ret_reply);
/* The value, in the thread's arena; then frees it. */
int berth_reply_read(berth_ctx *ctx, struct berth_reply *reply, const struct berth_type *type,
                     void *ret_value, struct berth_error *error);
/* The same of one that is whole: where it is. NULL: no memory. */
const void *berth_reply_keep(berth_ctx *ctx, struct berth_reply *reply);
void berth_reply_free(struct berth_started *started, struct berth_reply *reply);

/* ---- the callee's ---- */

/* Whether it is still to be answered; its deadline answers it now if that has passed. */
bool berth_started_is_open(struct berth_started *started);
/* false: it has been answered already, by its deadline, too. text may be NULL for BERTH_OK. */
bool berth_started_fail(struct berth_started *started, int code, const char *text);
bool berth_started_late(const struct berth_started *started);
/* Its deadline has passed: it is answered so, if it has not been answered. */
void berth_started_expire(struct berth_started *started);
bool berth_started_answer(struct berth_started *started, const struct berth_type *type,
                          const void *value, struct berth_error *error);
/* A value, or nothing for void, in the form that the caller wants. more: it is one of several. */
int berth_reply_new(struct berth_started *started, const struct berth_type *type, const void *value,
                    bool more, struct berth_reply **ret_reply, struct berth_error *error);
/* Its caller has its answer, or wants none. No lock is held. */
void berth_started_leave(struct berth_started *started);
/* Tells whoever wants to know that something is new. The call's lock is held, and given up. */
void berth_started_tell(struct berth_started *started);
/*
 * What has come of it elsewhere. error: of a code. size: that one of several replies counts for
 * there; false: there is no room for it.
 */
bool berth_started_came(struct berth_started *started, const struct berth_type *type, bool more,
                        int code, const void *result, size_t size, const struct berth_error *error);
/*
 * The chain that has to go on before it is answered, or, some: before there is a reply; or
 * BERTH_CHAIN_OTHER (call/ring.h).
 */
uint32_t berth_started_runner(struct berth_started *started, bool some);
/* The chain that has to go on before the module's mailbox has its next turn; 0: none. */
uint32_t berth_module_turn(struct berth_module *module);
/* It runs elsewhere, under this number; 0: no more. */
void berth_started_set_remote(struct berth_started *started, uint64_t remote);
/* The call that this thread works for; NULL: none that could be cancelled. */
static inline struct berth_started *berth_cause_of(const struct berth_thread *thread)
{
    return thread->serving ? thread->serving->started : thread->cause;
}
/* Whether it is not wanted any more. */
bool berth_started_over(struct berth_started *started);
/* Those who wait, whatever for, look whether that is over. */
void berth_started_wake(struct berth_host *host);

#endif
