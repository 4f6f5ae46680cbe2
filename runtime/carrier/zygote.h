/* SPDX-License-Identifier: MIT */
/*
 * The maker of workers: a small process, begun by the host when it first needs one, that forks workers and reports how they ended. It is begun without a
 * signal to the application (clone with exit signal 0 and CLONE_VFORK, then exec): the application never forks, never sees SIGCHLD, and its
 * waitpid(-1) steals nothing. It ends when the host's end of its socket closes, and its workers with it.
 */
#ifndef RUNTIME_CARRIER_ZYGOTE_H
#define RUNTIME_CARRIER_ZYGOTE_H

#include "runtime/loop/loop.h"
#include <berth/error.h>
#include <sys/types.h>

struct berth_zygote;

/* program: the berth-worker to run. Nothing is begun yet. */
int berth_zygote_new(struct berth_loop *loop, const char *program, struct berth_zygote **ret_zygote, struct berth_error *error);
void berth_zygote_free(struct berth_zygote *zygote);

/*
 * Forks a worker that serves on `socket` (passed on, still the caller's here) with the image's descriptor. ended(owner, how) is called once, when it has ended,
 * from the loop's thread or another caller's: how is "exited with status 3", "was killed by signal 11 (Segmentation fault)".
 */
struct berth_worker_end {
    void (*ended)(void *owner, const char *how);
    void *owner;
};
int berth_zygote_spawn(struct berth_zygote *zygote, const char *name, int socket, int image, int64_t deadline,
                       const struct berth_worker_end *end, pid_t *ret_pid, struct berth_error *error);
/* SIGKILL, through the zygote, so that a pid is never mistaken. */
void berth_zygote_kill(struct berth_zygote *zygote, pid_t pid);
/* No ended() for this worker after it returns. */
void berth_zygote_forget(struct berth_zygote *zygote, pid_t pid);

#endif
