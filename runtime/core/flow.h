/* SPDX-License-Identifier: MIT */
/*
 * Who calls and publishes to whom, how often, how long that takes and how it fails. A flow is all
 * calls from one module to one function, or all messages from one module on one topic to one
 * handler; it is kept for the host's life, whatever is loaded anew meanwhile.
 *
 * What passes through the host is counted, each time. A bound call does not pass through it, so as
 * long as a flow is counted its call sites ask the host first (berth_edge_set). That costs several
 * times as much as the call, which nobody notices a few thousand times a second. A flow that gets
 * more is sampled: its call sites are direct, and for a moment of each period they ask; what was in
 * between is estimated. An idle host has no sampled flow, and so no timer for it.
 */
#ifndef RUNTIME_CORE_FLOW_H
#define RUNTIME_CORE_FLOW_H

#include "runtime/base/histogram.h"
#include "runtime/core/core.h"

#define BERTH_CODES (BERTH_UNAUTHENTICATED + 1)

enum berth_flow_state {
    BERTH_FLOW_COUNTED, /* every call */
    BERTH_FLOW_DIRECT,  /* sampled: no call, just now */
    BERTH_FLOW_WINDOW,  /* sampled: every call, for a moment */
};

/* What becomes of a message that is not delivered: exactly one of these, for each receiver. */
enum berth_fate {
    BERTH_FATE_REJECTED, /* it never came into the mailbox, and its sender knows */
    BERTH_FATE_DROPPED,  /* by the policy of a full mailbox; or the host's own, which had no room */
    BERTH_FATE_EXPIRED,  /* before its turn: its sender's deadline has passed */
    BERTH_FATE_DEAD,     /* its handler has failed, as often as it may */
    BERTH_FATE_LEFT,     /* its receiver has ended */
    BERTH_FATES
};

struct berth_flow {
    /* what each message looks at, in one line of the cache */
    const char *from;   /* a module; "": the application */
    const char *topic;  /* NULL: calls */
    const char *to;     /* module.function or module.handler; "": the application */
    const char *sender; /* of messages: from, as it was given; only to compare */
    uint32_t id;
    enum berth_flow_state state; /* atomic; changed under lock */
    struct berth_cell *cell;     /* of calls */
    /* atomic, all of them */
    uint64_t calls; /* or messages; threads have the newest ones (struct berth_tally) */
    struct berth_histogram *times; /* NULL before the first one */

    uint64_t estimated;          /* calls that come on top: under lock */
    uint64_t fates[BERTH_FATES]; /* of its messages that were not delivered */
    uint64_t late;               /* answers of calls that had been answered by their deadline */
    uint64_t errors[BERTH_CODES];
    /* while it is sampled; under lock, but for what is atomic */
    struct berth_list sampled;
    double detour_ns;                  /* what asking takes, */
    double least_ns;                   /* and a call that does not ask, at least */
    int64_t since;                     /* its call sites are direct, or ask; */
    int64_t direct_ns;                 /* and in a window, how long they were direct before */
    uint32_t quiet;                    /* windows in a row with few calls */
    uint32_t windows;                  /* so far; atomic */
    uint32_t threads;                  /* that have called in this window; atomic */
    uint64_t seen;                     /* calls in this window; atomic */
    uint64_t errors_seen[BERTH_CODES]; /* of bound calls in the window; atomic */
};

/* NULL without memory. host->lock held. */
struct berth_flow *berth_flow_obtain(struct berth_host *host, const char *from, const char *topic,
                                     const char *to);
/* Of calls by a module, or ("") the application, to the cell. Takes the lock, as a rule. */
struct berth_flow *berth_flow_of(const char *from, struct berth_cell *cell);
void berth_flows_free(struct berth_host *host);

/* ---- counting ---- */

/* What one thread has counted of a flow. */
struct berth_flow_slot {
    struct berth_flow *flow; /* changed under the threads' lock */
    uint64_t calls;          /* atomic; written by the thread alone */
    int64_t since;           /* when the last of its many calls began (berth_flow_begin_bound) */
    uint32_t turns;          /* of its handler, by the thread */
    uint32_t window;         /* the last one in which the thread has called */
};
/* The head of what a thread counts. */
struct berth_tally {
    struct berth_flow_slot *last; /* used; or NULL */
    struct berth_flow_slot *turn; /* of the last turn of a handler; or NULL */
    uint32_t timed;               /* calls that are being timed */
};

/* Calls that are timed, as the clock takes longer than many a call: the first, then one of many. */
#define BERTH_TIMED_FIRST 16
#define BERTH_TIMED_EACH  64

/* The parts of what follows that are seldom done. */
struct berth_flow_slot *berth_flow_count_elsewhere(berth_ctx *ctx, struct berth_flow *flow);
void berth_flow_message_elsewhere(struct berth_thread *thread, struct berth_flow *flow);
void berth_flow_turn_begin_slowly(berth_ctx *ctx, struct berth_flow *flow);
void berth_flow_time(berth_ctx *ctx, struct berth_flow *flow, const struct berth_flow_slot *slot);
void berth_flow_end_with(berth_ctx *ctx, struct berth_flow *flow, int code);

/*
 * One call, of which ctx is the caller's; end with its code. No lock is held; flow may be NULL,
 * which counts nothing. Returns where it is counted; NULL: in the flow itself, without memory.
 */
static inline struct berth_flow_slot *berth_flow_count(berth_ctx *ctx, struct berth_flow *flow)
{
    const struct berth_tally *tally = berth_thread_of(ctx)->tally;
    struct berth_flow_slot *slot = tally ? tally->last : NULL;
    if (!flow)
        return NULL;
    if (slot && slot->flow == flow)
        __atomic_store_n(&slot->calls, slot->calls + 1, __ATOMIC_RELAXED);
    else
        slot = berth_flow_count_elsewhere(ctx, flow);
    return slot;
}
static inline bool berth_flow_may_time(const struct berth_flow_slot *slot)
{
    return slot && (slot->calls % BERTH_TIMED_EACH == 0 || slot->calls < BERTH_TIMED_FIRST);
}
static inline struct berth_flow_slot *berth_flow_begin(berth_ctx *ctx, struct berth_flow *flow)
{
    struct berth_flow_slot *slot = berth_flow_count(ctx, flow);
    if (BERTH_I_UNLIKELY(berth_flow_may_time(slot)))
        berth_flow_time(ctx, flow, slot);
    return slot;
}
static inline void berth_flow_end(berth_ctx *ctx, struct berth_flow *flow, int code)
{
    const struct berth_tally *tally = berth_thread_of(ctx)->tally;
    if (flow && BERTH_I_UNLIKELY(code != BERTH_OK || (tally && tally->timed > 0)))
        berth_flow_end_with(ctx, flow, code);
}
/* As begin and end, for a bound call, which need not always pass through the host. */
void berth_flow_begin_bound(berth_ctx *ctx, struct berth_edge *edge);
int berth_flow_see_error(struct berth_flow *flow, int code); /* what end_bound counts of it */
static inline void berth_flow_end_bound(berth_ctx *ctx, struct berth_flow *flow, int code)
{
    if (flow && BERTH_I_UNLIKELY(code != BERTH_OK))
        code = berth_flow_see_error(flow, code);
    berth_flow_end(ctx, flow, code);
}
/* The thread counts this flow where it has counted another one of the same id. */
void berth_flow_take_slot(berth_ctx *ctx, struct berth_flow *flow);
/*
 * A message of the flow, which is not NULL, was put into a mailbox, by this thread (NULL: one that
 * has not entered). Its handler's turn has a time and a code of its own.
 */
static inline void berth_flow_message(struct berth_thread *thread, struct berth_flow *flow)
{
    struct berth_flow_slot *slot = thread && thread->tally ? thread->tally->last : NULL;
    if (BERTH_I_UNLIKELY(!slot || slot->flow != flow))
        berth_flow_message_elsewhere(thread, flow);
    else
        __atomic_store_n(&slot->calls, slot->calls + 1, __ATOMIC_RELAXED);
}
/* A call, or a message, that never came there. */
void berth_flow_refused(struct berth_flow *flow, int code);
/* The same of a call whose answer tells the code (berth_flow_back). */
void berth_flow_in_vain(struct berth_flow *flow);
/* A message of the host ends so, which was counted (berth_flow_message, berth_flow_refused). */
void berth_flow_fate(struct berth_host *host, struct berth_flow *flow, enum berth_fate fate);
/* A call that nobody waits for went from a full mailbox, by its policy; it was refused. */
void berth_flow_dropped(struct berth_flow *flow);
/* The callee has answered a call that was over. */
void berth_flow_late(struct berth_flow *flow);
/* The turn of a handler: its time, of the first ones and then of one of many; and its code. */
static inline void berth_flow_turn_begin(berth_ctx *ctx, struct berth_flow *flow)
{
    const struct berth_tally *tally = berth_thread_of(ctx)->tally;
    struct berth_flow_slot *slot = tally ? tally->turn : NULL;
    if (BERTH_I_UNLIKELY(!slot || slot->flow != flow || slot->turns < BERTH_TIMED_FIRST ||
                         slot->turns % BERTH_TIMED_EACH == 0))
        berth_flow_turn_begin_slowly(ctx, flow);
    else
        slot->turns++;
}
/*
 * The same of one that may end on another thread, and of a call that is answered there: since when,
 * for berth_flow_back, or 0: it is not timed. flow may be NULL.
 */
int64_t berth_flow_turn_away(berth_ctx *ctx, struct berth_flow *flow);
int64_t berth_flow_call_away(berth_ctx *ctx, struct berth_flow *flow);
void berth_flow_back(struct berth_flow *flow, int64_t began, int code);
/* Whether the call sites of a flow ask first. */
static inline bool berth_flow_asks(const struct berth_flow *flow)
{
    return flow && __atomic_load_n(&flow->state, __ATOMIC_RELAXED) != BERTH_FLOW_DIRECT;
}

/* Every call is counted from now on, or (false) as it is said above. Takes the lock. */
void berth_flows_count_all(struct berth_host *host, bool all);

/* What one has, at one moment. */
struct berth_flow_count {
    const struct berth_flow *flow;
    uint64_t calls, estimated; /* calls: those that are estimated, too */
};
/* All of them, in the order in which they came up; to be freed. NULL: no memory. Takes the lock. */
struct berth_flow_count *berth_flows_read(struct berth_host *host, size_t *ret_count);

/* For struct berth_threads: what the thread has counted is kept. */
void berth_flow_thread_ends(void *host, struct berth_thread *thread);

#endif
