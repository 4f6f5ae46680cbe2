/* SPDX-License-Identifier: MIT */
/*
 * The maker of workers: a small process, begun by the host when it first needs one, that forks
 * workers and reports how they ended. Neither is a child of the application, which never forks: it
 * sees no SIGCHLD, and its waitpid(-1) steals nothing. The zygote ends when the host's end of its
 * socket closes, or with the application, and its workers end with it.
 *
 * All functions may be called by any thread. In a host whose loop nobody runs, those that wait do
 * the reading themselves.
 */
#ifndef RUNTIME_CARRIER_ZYGOTE_H
#define RUNTIME_CARRIER_ZYGOTE_H

#include <sys/types.h>

#include "runtime/loop/loop.h"
#include <berth/error.h>

struct berth_zygote;
struct berth_worker;

/* program: the berth-worker to run. Nothing is begun yet. */
int berth_zygote_new(struct berth_loop *loop, const char *program, struct berth_zygote **ret_zygote,
                     struct berth_error *error);
/* Kills and reaps the process. All workers must have been freed. NULL is fine. */
void berth_zygote_free(struct berth_zygote *zygote);

/*
 * ended(owner, how) is called once, when the worker has ended, with no lock held, by the thread
 * that runs the loop or one that waits here. how: "exited with status 3", "was killed by signal 11
 * (Segmentation fault)".
 */
struct berth_worker_end {
    void (*ended)(void *owner, const char *how);
    void *owner;
};

/*
 * Forks a worker that serves on socket, with the image's descriptor; both stay the caller's here.
 * A zygote that has died is replaced. *ret_worker is ended by berth_worker_free.
 */
int berth_zygote_spawn(struct berth_zygote *zygote, const char *name, int socket, int image,
                       int64_t deadline, const struct berth_worker_end *end,
                       struct berth_worker **ret_worker, struct berth_error *error);

pid_t berth_worker_pid(const struct berth_worker *worker);
/* Its pidfd, until berth_worker_free: readable when it has ended, and exact, unlike a number. */
int berth_worker_pidfd(const struct berth_worker *worker);
/* SIGKILL. Nothing when it has ended. */
void berth_worker_kill(struct berth_worker *worker);
/* Waits until ended() has returned. False: not before the deadline. Not inside ended(). */
bool berth_worker_wait(struct berth_worker *worker, int64_t deadline);
/*
 * Kills it if need be. ended() is not running after this returns, unless this was called by it, and
 * will not be called. NULL is fine.
 */
void berth_worker_free(struct berth_worker *worker);

/* The process that makes workers, or 0 while there is none. For tests and lists. */
pid_t berth_zygote_pid(struct berth_zygote *zygote);

#endif
