/* SPDX-License-Identifier: MIT */
#include "runtime/shell/signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

enum { SECOND = 1000000000 };

static void fill(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGUSR1);
}

void berth_signals_block(void)
{
    sigset_t signals;

    fill(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* whoever reads the log may go away */
}

int berth_signals_wait(int64_t timeout)
{
    const struct timespec limit = { timeout / SECOND, timeout % SECOND };
    sigset_t signals;
    int got;

    fill(&signals);
    do
        got = timeout < 0 ? sigwaitinfo(&signals, NULL) : sigtimedwait(&signals, NULL, &limit);
    while (got < 0 && errno == EINTR);
    return got < 0 ? 0 : got;
}

void berth_signals_release(void)
{
    sigset_t signals;

    sigemptyset(&signals); /* the others do nothing any more, and must not kill */
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL); /* a script's background jobs begin with it ignored */
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}
