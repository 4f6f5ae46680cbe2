/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/report.h"
#include "runtime/shell/shell.h"

static int ask(struct berth_remote *remote, const char *module, const char *generation)
{
    struct berth_buffer params;

    berth_params_begin(&params);
    berth_params_text(&params, "module", module);
    if (generation)
        berth_params_piece(&params, "generation",
                           (struct berth_piece){ generation, strlen(generation) });
    return berth_report_ask(remote, "host.rollback", module, &params);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "to", required_argument, NULL, 'g' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct berth_remote remote = { .options = { .command = &berth_command_rollback,
                                                .known = known } };
    const char *generation = NULL;
    int status;

    while (berth_remote_next(&remote, argc, argv) != -1) { /* --to is the only one */
        generation = optarg;
        if (!*generation || generation[strspn(generation, "0123456789")] || *generation == '0' ||
            strlen(generation) > 9)
            berth_options_problem(&remote.options, "--to %s: write a generation's number",
                                  generation);
    }
    const char *name = berth_remote_name(&remote, argc, argv);
    if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
        return status;
    status = ask(&remote, name, generation);
    berth_remote_close(&remote);
    return status;
}

const struct berth_command berth_command_rollback = {
    .name = "rollback",
    .synopsis = "NAME [--to N]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help =
        "Goes back to the code that a module of a running host had before.\n"
        "\n"
        "  --to N         to generation N; else to the newest that was another\n" BERTH_REMOTE_HELP
        "  --json         prints the report as JSON\n"
        "\n"
        "It is a reload of the image that the host has kept, with the options that it\n"
        "had, and prints what a reload does. The old code must accept the state that the\n"
        "present one saves; else the rollback is refused, and nothing has changed.\n"
        "\n"
        "Examples:\n"
        "  berth rollback greet\n"
        "  berth rollback greet --to 1\n",
    .run = run,
};
