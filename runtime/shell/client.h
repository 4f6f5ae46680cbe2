/* SPDX-License-Identifier: MIT */
/*
 * A connection to a host's control socket: JSON-RPC 2.0, one text a line. What the other side sends
 * is hostile until checked. One thread; signals interrupt nothing but through `stop`.
 */
#ifndef RUNTIME_SHELL_CLIENT_H
#define RUNTIME_SHELL_CLIENT_H

#include <signal.h>

#include "runtime/shell/piece.h"

#define BERTH_CLIENT_LINE_MAX \
    ((size_t)128 << 20) /* of one answer: bounds what a host can cost us */
#define BERTH_CLIENT_FOREVER INT64_MAX

struct berth_client {
    const char *path;
    /* Set these after init. */
    int64_t deadline;                  /* of CLOCK_MONOTONIC, ns; what waits then fails */
    size_t line_max;                   /* a longer line is an error */
    const volatile sig_atomic_t *stop; /* may be NULL; a wait is cancelled once it is set, by a */
    const sigset_t *signals;           /* handler of these, which are not blocked */
    int output; /* -1, or a wait is cancelled when nobody reads this descriptor any more */
    void (*message)(void *user, struct berth_piece params); /* one that comes before an answer */
    void (*more)(void *user, struct berth_piece value); /* one of several results; may be NULL */
    void *user;

    bool unread; /* a wait was cancelled because of the output */
    int fd;      /* -1: not connected */
    uint64_t last_id;
    struct berth_buffer in;
    size_t begin, seen; /* of the line that is being read; up to where there is no newline */
    bool over;          /* nothing more will come */
    struct berth_arena arena;
};

/* path is borrowed until deinit. */
void berth_client_init(struct berth_client *client, const char *path);
void berth_client_deinit(struct berth_client *client);

int64_t berth_client_now(void);

/*
 * Everything below fails with unavailable when there is no host (any more), deadline_exceeded,
 * cancelled because of `stop` or `output`, data_loss when the other side is no host.
 */
int berth_client_connect(struct berth_client *client, struct berth_error *error);
/*
 * Calls a method. params (taken) is the JSON text of its parameters. *ret_result lives until
 * deinit. A failure that the host tells keeps its code and words.
 */
int berth_client_ask(struct berth_client *client, const char *method, struct berth_buffer *params,
                     struct berth_piece *ret_result, struct berth_error *error);
/*
 * After ask was cancelled because of `stop`, which is not looked at any more: has the host cancel
 * it, and waits a moment for what it says.
 */
int berth_client_cancel(struct berth_client *client, struct berth_piece *ret_result,
                        struct berth_error *error);
/* Waits for a message of a subscription; it is valid until the next wait. */
int berth_client_wait(struct berth_client *client, struct berth_piece *ret_params,
                      struct berth_error *error);

#endif
