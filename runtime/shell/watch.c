/* SPDX-License-Identifier: MIT */
#include "runtime/shell/watch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/shell/output.h"

static volatile sig_atomic_t stop; /* the first signal */

static void on_signal(int number)
{
    stop = number;
}

void berth_watch_begin(struct berth_remote *remote)
{
    /* A write goes on, and the second signal ends the program: that write may wait for ever. */
    struct sigaction action = { .sa_handler = on_signal,
                                .sa_flags = (int)(SA_RESTART | SA_RESETHAND) };
    static sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaction(SIGINT, &action, NULL); /* a script's background jobs begin with it ignored */
    sigaction(SIGTERM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    remote->client.stop = &stop;
    remote->client.signals = &signals;
    remote->client.output = STDOUT_FILENO;
}

int berth_watch_die(int status)
{
    if (!stop)
        return status;
    fflush(stdout);
    raise(stop); /* whose action is the default one again */
    return status;
}

int berth_watch_follow(struct berth_remote *remote,
                       bool (*print)(void *user, struct berth_piece message), void *user,
                       struct berth_error *error)
{
    struct berth_piece message;
    int code;

    do
        code = berth_client_wait(&remote->client, &message, error);
    while (code == BERTH_OK && print(user, message));
    return code;
}

int berth_watch_end(struct berth_remote *remote, int status, int code,
                    const struct berth_error *error)
{
    if (code == BERTH_OK)
        return status;
    if (error->code == BERTH_CANCELLED && stop)
        return BERTH_EXIT_OK;
    if (!remote->client.unread)
        return berth_remote_fail(remote, error);
    raise(SIGPIPE);
    return BERTH_EXIT_FAILED; /* it is ignored */
}

int berth_watch_subscribe(struct berth_remote *remote, const char *const *topics, size_t count,
                          const char *group, struct berth_error *error)
{
    struct berth_buffer params;
    struct berth_piece id;

    berth_buffer_init(&params, 0);
    berth_buffer_text(&params, "{\"topics\":[");
    for (size_t i = 0; i < count; i++) {
        berth_buffer_text(&params, i ? "," : "");
        berth_piece_quote(topics[i], strlen(topics[i]), &params);
    }
    berth_buffer_text(&params, "]");
    if (group)
        berth_params_text(&params, "group", group);
    berth_buffer_text(&params, "}");
    return berth_client_ask(&remote->client, "subscribe", &params, &id, error);
}
