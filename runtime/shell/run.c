/* SPDX-License-Identifier: MIT */
#include <berth/host.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "runtime/shell/local.h"
#include "runtime/shell/log.h"
#include "runtime/shell/options.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

/* Waits for SIGTERM or SIGINT, both blocked. From then on the next one ends the program at once. */
static int wait_for_end(const sigset_t *ends)
{
    int got;

    do
        got = sigwaitinfo(ends, NULL);
    while (got < 0 && errno == EINTR);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL); /* a script's background jobs begin with it ignored */
    pthread_sigmask(SIG_UNBLOCK, ends, NULL);
    return got;
}

static int serve(struct berth_local *local, const sigset_t *ends)
{
    struct berth_host_options options;
    struct berth_error error = { 0 };

    berth_host_options_init(&options);
    options.log = berth_log_print;
    int status = berth_local_open(local, options, &error);
    if (status != BERTH_EXIT_OK) {
        berth_output_error(false, &error);
        return status;
    }
    berth_log_info("ready, with %zu module%s", local->count, local->count == 1 ? "" : "s");
    int signal_number = wait_for_end(ends);
    berth_log_info("SIG%s: stopping", sigabbrev_np(signal_number));
    return BERTH_EXIT_OK;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_OPTION_HELP, { 0 } };
    struct berth_options options = { .command = &berth_command_run, .known = known };
    struct berth_local local;
    struct berth_error error = { 0 };
    sigset_t ends;
    int status;

    while (berth_options_next(&options, argc, argv) != -1)
        ;
    if (berth_local_init(&local, argc, &error) != BERTH_OK)
        return berth_output_error(false, &error);
    for (char **word = argv + optind; *word; word++)
        if (berth_local_add(&local, *word, &error) != BERTH_OK)
            berth_options_problem(&options, "%s", error.text);

    if (!berth_options_end(&options, &status)) {
        /* Blocked before the host has threads, which inherit it: only sigwaitinfo gets them. */
        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigaddset(&ends, SIGINT);
        pthread_sigmask(SIG_BLOCK, &ends, NULL);
        signal(SIGPIPE, SIG_IGN); /* whoever reads the log may go away */
        status = serve(&local, &ends);
    }
    berth_local_deinit(&local);
    return status;
}

const struct berth_command berth_command_run = {
    .name = "run",
    .synopsis = "[FILE[=inline|process]]...",
    .help = "Runs a host with these modules, in the foreground, until SIGTERM or SIGINT.\n"
            "\n"
            "The modules are loaded in an order that satisfies what they require: all of\n"
            "them, or none.\n"
            "\n"
            "  FILE=inline   runs in the host's own process, which is the default\n"
            "  FILE=process  runs in a worker of its own, and its crash is only an error\n"
            "\n"
            "What the modules and the host log goes to standard error, one line each:\n"
            "TIME LEVEL MODULE TEXT. The line \"ready\" says that all of them are serving. At\n"
            "SIGTERM or SIGINT (Ctrl-C) every module is stopped in order, and the exit\n"
            "status is 0; a second signal ends the host at once.\n"
            "\n"
            "Example:\n"
            "  berth run ./greet.so ./math.so=process\n",
    .run = run,
};
