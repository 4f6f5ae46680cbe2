/* SPDX-License-Identifier: MIT */
/*
 * The host inside a worker: an ordinary host with one inline module, whose imports and messages go
 * upstream, to the host that the worker serves. So a module has the same services in every
 * placement, from the same code.
 */
#ifndef RUNTIME_SERVE_H
#define RUNTIME_SERVE_H

#include "runtime/carrier/carrier.h"
#include "runtime/core/upstream.h"
#include "runtime/image/image.h"
#include "runtime/value/value.h"
#include <berth/host.h>

/* As berth_host_new; upstream must outlive the host. */
int berth_served_new(const struct berth_host_options *options,
                     const struct berth_upstream *upstream, berth_host **ret_host,
                     struct berth_error *error);
/*
 * Maps the image (taken, also on failure) as the host's one module, with its options; START does
 * not run.
 */
int berth_served_open(berth_host *host, struct berth_image *image, const char *name,
                      const char *options_json, struct berth_error *error);
struct berth_started;
/*
 * A call of an export, which may be cancelled, and answered later: begin is called before it runs,
 * and end after it, unless it is answered later: then notify is, as that of core/started.h.
 */
struct berth_served_later {
    void (*begin)(void *user, struct berth_started *started);
    void (*end)(void *user);
    void (*notify)(struct berth_started *started);
    void *user;  /* and the call's */
    bool single; /* nobody takes one of several replies */
};
#define BERTH_SERVED_LATER (-3)
/*
 * What berth_carrier_ops.invoke does, on packed arguments; topic and echo as in its place. under:
 * the ctx of the module's call to upstream->call that this call came back under, on the same
 * thread; NULL: none. The item must exist (else invalid_argument).
 */
int berth_served_invoke(berth_host *host, berth_ctx *under, enum berth_item_kind kind, size_t index,
                        int64_t deadline, const char *topic, bool echo,
                        const struct berth_served_later *later, struct berth_reader *arguments,
                        struct berth_buffer *result, struct berth_error *error);
/*
 * The module's timers and watches have turns from now on, as they have not before START and
 * RESTORE, and while SAVE has been and it is not known yet who goes on. Does not block for long.
 */
void berth_served_serve(berth_host *host);
/* What is inside of the module is to stop, or need not any more. Does not block for long. */
void berth_served_tell(berth_host *host, enum berth_ending ending);
/*
 * Whether the chain of ctx is where no other one is: inside of the module's gate, or, in a parallel
 * one, in the turn of its mailbox.
 */
bool berth_served_inside(berth_host *host, const berth_ctx *ctx);
/* A number for what the calling thread is in, as long as that lasts (call/thread.h). */
uint32_t berth_served_run(berth_host *host);
/* Whether more calls than so many that the module has started are open, and may be taken. */
bool berth_served_has_started(berth_host *host, size_t count);
/* The calling thread waits for upstream, or waits no more: others do what there is to do. */
void berth_served_waits(berth_host *host, bool waits);
/* Runs fn(argument) on a thread of the host's pool. */
int berth_served_submit(berth_host *host, void (*fn)(void *argument), void *argument);

#endif
