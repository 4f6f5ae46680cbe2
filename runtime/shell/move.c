/* SPDX-License-Identifier: MIT */
#include "runtime/base/error.h"
#include "runtime/shell/report.h"
#include "runtime/shell/shell.h"

static int ask(struct berth_remote *remote, const char *module, const char *placement)
{
    struct berth_buffer params;

    berth_params_begin(&params);
    berth_params_text(&params, "module", module);
    berth_params_text(&params, "placement", placement);
    return berth_report_ask(remote, "host.move", module, &params);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_REMOTE_OPTIONS, { 0 } };
    struct berth_remote remote = { .options = { .command = &berth_command_move, .known = known } };
    int status;

    while (berth_remote_next(&remote, argc, argv) != -1)
        ;
    if (argc - optind != 2)
        berth_options_problem(&remote.options, "write NAME, and inline or process");
    for (int i = optind; i < argc; i++)
        berth_remote_check_text(&remote, i == optind ? "NAME" : "the placement", argv[i]);
    if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
        return status;
    status = ask(&remote, argv[optind], argv[optind + 1]);
    berth_remote_close(&remote);
    return status;
}

const struct berth_command berth_command_move = {
    .name = "move",
    .synopsis = "NAME inline|process\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Has a module of a running host run elsewhere while everything else goes on.\n"
            "\n"
            "  inline         in the host's own process\n"
            "  process        in a worker of its own, and its crash is only an error\n"
            "\n" BERTH_REMOTE_HELP "  --json         prints the report as JSON\n"
            "\n"
            "It is a reload of the same file with the same options: callers, messages and\n"
            "subscriptions stay, and so does the state of a module that hands it over. Prints\n"
            "what a reload does. If it fails, the module goes on where it is.\n"
            "\n"
            "Example:\n"
            "  berth move greet process\n",
    .run = run,
};
