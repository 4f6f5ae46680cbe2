/* SPDX-License-Identifier: MIT */
#include "runtime/shell/output.h"
#include "runtime/shell/remote.h"
#include "runtime/shell/shell.h"

static int ask(struct berth_remote *remote, const char *module, bool force)
{
    struct berth_buffer params;
    struct berth_piece nothing = { 0 };

    berth_params_begin(&params);
    berth_params_text(&params, "module", module);
    if (force)
        berth_params_piece(&params, "force", (struct berth_piece){ "true", 4 });
    berth_params_end(&params);
    int status = berth_remote_ask_of(remote, "host.unload", module, &params, &nothing);
    if (status == BERTH_EXIT_OK && remote->options.json)
        status = berth_remote_print(remote, nothing);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "force", no_argument, NULL, 'f' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct berth_remote remote = { .options = { .command = &berth_command_unload,
                                                .known = known } };
    bool force = false;
    int status;

    while (berth_remote_next(&remote, argc, argv) != -1) /* --force is the only one */
        force = true;
    const char *name = berth_remote_name(&remote, argc, argv);
    if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
        return status;
    status = ask(&remote, name, force);
    berth_remote_close(&remote);
    return status;
}

const struct berth_command berth_command_unload = {
    .name = "unload",
    .synopsis = "NAME [--force]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Ends a module of a running host.\n"
            "\n"
            "  --force        although loaded modules require it\n" BERTH_REMOTE_HELP
            "  --json         prints null, or the error as JSON\n"
            "\n"
            "Calls that are inside finish first. Nothing is printed.\n"
            "\n"
            "Example:\n"
            "  berth unload greet\n",
    .run = run,
};
