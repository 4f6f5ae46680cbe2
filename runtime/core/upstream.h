/* SPDX-License-Identifier: MIT */
/* Where the calls and messages of a worker's host go: to the host that the worker serves. */
#ifndef RUNTIME_CORE_UPSTREAM_H
#define RUNTIME_CORE_UPSTREAM_H

#include "runtime/value/value.h"
#include <berth/call.h>

struct berth_wait;

struct berth_window;

/* Who is told what comes of a call that was started: as struct berth_carrier_answer, packed. */
struct berth_upstream_answer {
    void (*came)(void *user, bool more, int code, struct berth_reader *packed,
                 const struct berth_error *error);
    void *user;
};

/* What a thread waits for that may never come, as far as it knows. */
enum berth_upstream_wait {
    BERTH_WAIT_GATE,    /* a serial module's turn */
    BERTH_WAIT_ANSWERS, /* to what it has started: ids of start; 0: not from there */
    BERTH_WAIT_ROOM,    /* for one of several replies to a request of upstream's: its id */
};

/*
 * What the served host does with what it cannot answer itself. Any thread; may block; ctx is the
 * calling module's.
 */
struct berth_upstream {
    int (*call)(void *user, berth_ctx *ctx, size_t import, int64_t deadline,
                const struct berth_signature *signature, const void *const *arguments,
                struct berth_arena *arena, void *result, struct berth_error *error);
    /* Without waiting; *ret_id is for cancel. */
    int (*start)(void *user, size_t import, int64_t deadline,
                 const struct berth_signature *signature, const void *const *arguments,
                 const struct berth_upstream_answer *answer, uint64_t *ret_id,
                 struct berth_error *error);
    void (*cancel)(void *user, uint64_t id); /* does not block */
    /*
     * As struct berth_carrier_ops has it. taker: berth_thread_run of who takes them now;
     * BERTH_CHAIN_OTHER: whoever has the module's turn.
     */
    bool (*taken)(void *user, uint64_t id, const struct berth_window *taken, bool none,
                  uint32_t taker);
    /* One way: returns when it is in the callee's mailbox. */
    int (*send)(void *user, berth_ctx *ctx, size_t import, int64_t deadline,
                const struct berth_signature *signature, const void *const *arguments,
                struct berth_error *error);
    int (*publish)(void *user, berth_ctx *ctx, size_t topic,
                   const struct berth_signature *signature, const void *const *arguments,
                   struct berth_error *error);
    void (*log)(void *user, int level, const char *chain, const char *text, bool echo);
    /*
     * The calling thread waits, and does not know whether that can end. Until wait_end it may be
     * refused; one for room looks again whether there is some, then. Neither blocks.
     */
    void (*wait_begin)(void *user, struct berth_wait *wait, enum berth_upstream_wait what,
                       const uint64_t *ids, size_t count);
    void (*wait_end)(void *user, struct berth_wait *wait);
    void (*handle_ended)(void *user, uint64_t id);
    void (*handle_restored)(void *user, uint64_t old, uint64_t id);
    void *user;
};

#endif
