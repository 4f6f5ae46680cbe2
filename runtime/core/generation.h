/* SPDX-License-Identifier: MIT */
/* Making generations, and ending them. Under admin. */
#ifndef RUNTIME_CORE_GENERATION_H
#define RUNTIME_CORE_GENERATION_H

#include "runtime/core/core.h"

struct berth_generation_setup {
    struct berth_image *image; /* staged; taken, also on failure */
    struct berth_module *module;
    const struct berth_carrier_ops *placement;
    const char *options; /* JSON or NULL */
    bool probe;
};
int berth_generation_new(struct berth_host *host, const struct berth_generation_setup *setup,
                         struct berth_generation **ret_generation, struct berth_error *error);
/* Makes it ready to be invoked: the carrier, links, edges. START does not run. */
int berth_generation_open(struct berth_generation *generation, struct berth_error *error);
/* A new carrier for one whose worker has died. */
int berth_generation_carry(struct berth_generation *generation, struct berth_error *error);
/*
 * It has started, and has its state: its timers and watches have turns now. Not in the host's lock.
 */
void berth_generation_serve(struct berth_generation *generation);
/*
 * Its timers and watches end, and its threads are told to; false: not all of these have ended by
 * the deadline. May be called again.
 */
bool berth_generation_halt(struct berth_generation *generation, int64_t deadline);
/* Its edges and handles go: it calls nobody any more. After halt. */
void berth_generation_close(struct berth_generation *generation);
/* Lets go of its carrier; false: a call that its worker has made is still running. */
bool berth_generation_uncarry(struct berth_generation *generation);
/* Lets go of carrier and image: true when both have gone, else reason says why not. Then frees. */
bool berth_generation_free(struct berth_generation *generation, char *reason, size_t size);
/* At the host's end, when no job runs any more: frees those that were kept for a call's sake. */
void berth_generations_finish(struct berth_host *host);
/* At the host's end: frees one whose image stays mapped. */
void berth_generation_forget(struct berth_generation *generation);
/* For a host that cannot be freed: nobody will join its modules' threads. */
void berth_generations_leave(struct berth_host *host);
/* A thread of the module's, see berth_thread. Any thread; no lock. 0: *error tells. */
uint64_t berth_generation_thread(struct berth_generation *generation, const char *name,
                                 berth_thread_fn fn, void *user, struct berth_error *error);
/*
 * Tells what is inside of it, here and in its worker, to stop: berth_stopping is true there, and
 * waits there are over. Or (BERTH_ENDING_NOT) that it need not any more. Under admin, but for
 * the built-in module at the host's end, which nobody else tells before. No lock is held.
 */
void berth_generation_tell(struct berth_generation *generation, enum berth_ending ending);
/*
 * As berth_interrupted, of a wait that a reload does not end: a thread of the old generation's goes
 * on with it, so that no call is lost.
 */
const char *berth_generation_interrupted(const berth_ctx *ctx);
/* Whoever asks from now on sees it; whoever waits is woken. host->lock held. */
void berth_generation_set_stopping(struct berth_generation *generation);
/* Readable once it is being stopped; the generation's. -1: *error tells. Any thread; no lock. */
int berth_generation_stopping_fd(struct berth_generation *generation, struct berth_error *error);

#endif
