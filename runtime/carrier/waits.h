/* SPDX-License-Identifier: MIT */
/*
 * What chains wait for inside of a worker, as the finder of rings has it at the host's end.
 *
 * The gate of a serial module lies in its worker, and so do its waits for calls that it has
 * started, and for somebody to take its replies: the finder there sees no more than one process. So
 * what has waited there for a while is told of (WAIT), and until it is over (WAITED) it is in the
 * host's finder as any other wait: in the chain of the thread that waits for the request that it is
 * under, or, if none does, in one of its own. If it could never end, the worker is told to refuse
 * it (REFUSE).
 *
 * Who is inside of the gate is known here without being told: whoever has come up from inside, and
 * is being served, or is to be by a thread that waits for something else first (in a host without
 * threads, on top), or is told to wait inside. Another one that goes on inside waits for nobody.
 *
 * Why what is found is true: what the worker says comes in order. While a chain that has come up
 * from inside is served, it stays inside. One of which WAIT has come, and WAITED has not, cannot
 * have got in before: it would have said so before it was out again, so before the other one came
 * in, and up. Only one whose deadline passes may be here a moment too long. And that replies have
 * been taken may be on its way to who waits for that: the worker looks again before it refuses such
 * a wait, and no other one is refused for its sake (doubtful).
 *
 * Who takes what a worker gets is a chain there, told by a number (wire.h): here it is that of
 * whoever serves what it asks for, or of what is told of it.
 */
#ifndef RUNTIME_CARRIER_WAITS_H
#define RUNTIME_CARRIER_WAITS_H

#include <pthread.h>

#include "runtime/base/spread.h"
#include "runtime/carrier/carrier.h"
#include "runtime/carrier/peer.h"

struct told;
struct berth_worker_waits {
    pthread_mutex_t lock;       /* taken after the finder's, and before the peer's */
    struct berth_spread told;   /* by the request that each is under */
    struct berth_spread theirs; /* the same by their chains in the worker */
    size_t weight;              /* of them and what they wait for; atomic */
    const struct told *inside;  /* the one that is; or NULL */
    struct berth_peer *peer;
    const char *module; /* its name */
    const struct berth_upcalls *upcalls;
};

/* `peer` follows, before it is opened. */
void berth_worker_waits_init(struct berth_worker_waits *waits, const char *module,
                             const struct berth_upcalls *upcalls);
/* The peer is closed. */
void berth_worker_waits_deinit(struct berth_worker_waits *waits);
/* What is wrong with a WAIT, or NULL. */
const char *berth_worker_waits_check(struct berth_worker_waits *waits,
                                     const struct berth_received *note);
/* A WAIT and a WAITED have come. More than there is room for are not looked at. */
void berth_worker_waits_add(struct berth_worker_waits *waits, const struct berth_received *note);
void berth_worker_waits_remove(struct berth_worker_waits *waits, uint64_t number, uint64_t under);
/* Nobody in the host waits for the reply to this request any more: nor for what is under it. */
void berth_worker_waits_left(struct berth_worker_waits *waits, uint64_t request);
/* A call that the worker has started, and may wait for already, is about to begin. */
void berth_worker_waits_begun(struct berth_worker_waits *waits, void *started);
/* The chain that has to go on before a request is answered; 0: none, as far as is known. */
uint32_t berth_worker_waits_runner(struct berth_worker_waits *waits, uint64_t request);
/* What a chain of the worker's is here, if it waits for anybody; else 0. */
uint32_t berth_worker_waits_chain(struct berth_worker_waits *waits, uint32_t theirs);
/* The i-th chain that is inside of the gate, and waits; 0: there are no more. */
uint32_t berth_worker_waits_inside(struct berth_worker_waits *waits, size_t i);

#endif
