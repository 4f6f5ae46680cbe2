/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/given.h"
#include "runtime/shell/report.h"
#include "runtime/shell/shell.h"

struct reload {
    struct berth_remote remote;
    struct berth_given given;
    const char *module;
    char file[PATH_MAX]; /* or "" */
};

/* The file that the module was loaded from; "" for one that has none, or is not there. */
static int find_file(struct reload *reload, const char **ret_file)
{
    struct berth_arena *arena = &reload->remote.client.arena;
    struct berth_piece list = { 0 }, module;
    struct berth_buffer params;

    berth_params_begin(&params);
    berth_params_end(&params);
    int status = berth_remote_ask(&reload->remote, "host.list", &params, &list);
    struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(list, "modules"));
    while (berth_piece_next(&walk, NULL, &module))
        if (!strcmp(berth_piece_text_of(module, "name", arena), reload->module))
            *ret_file = berth_piece_text_of(module, "file", arena);
    return status;
}

/* Without a file there are no types to be read by; then the host has something against the rest. */
static int add_options(struct reload *reload, struct berth_buffer *params)
{
    const char *file = reload->file;
    int status = BERTH_EXIT_OK;

    if (reload->given.count && !*file)
        status = find_file(reload, &file);
    if (status != BERTH_EXIT_OK || (reload->given.count && !*file))
        return status;
    return berth_given_add(&reload->given, file, params);
}

static int ask(struct reload *reload)
{
    struct berth_buffer params;

    berth_params_begin(&params);
    berth_params_text(&params, "module", reload->module);
    if (*reload->file)
        berth_params_text(&params, "file", reload->file);
    int status = add_options(reload, &params);
    berth_params_end(&params);
    if (status == BERTH_EXIT_OK)
        return berth_report_ask(&reload->remote, "host.reload", reload->module, &params);
    berth_buffer_deinit(&params);
    return status;
}

static void read_words(struct reload *reload, int argc, char **argv)
{
    struct berth_options *options = &reload->remote.options;
    struct berth_error error = { 0 };
    int option;

    while ((option = berth_remote_next(&reload->remote, argc, argv)) != -1)
        berth_given_read(&reload->given, option, optarg);
    reload->module = argv[optind];
    if (argc == optind || argc - optind > 2)
        berth_options_problem(options, optind == argc ? "NAME is missing" : "one module at a time");
    else
        berth_remote_check_text(&reload->remote, "NAME", reload->module);
    if (argc - optind == 2 &&
        berth_place_absolute(argv[optind + 1], reload->file, &error) != BERTH_OK)
        berth_options_problem(options, "%s", error.text);
    berth_given_check(&reload->given);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_GIVEN_OPTIONS, BERTH_REMOTE_OPTIONS, { 0 } };
    struct reload reload = {
        .remote = { .options = { .command = &berth_command_reload, .known = known } },
    };
    int status;

    if (!berth_given_init(&reload.given, &reload.remote, argc))
        return BERTH_EXIT_FAILED;
    read_words(&reload, argc, argv);
    if (!berth_options_end(&reload.remote.options, &status) &&
        berth_remote_open(&reload.remote, &status)) {
        status = ask(&reload);
        berth_remote_close(&reload.remote);
    }
    berth_given_deinit(&reload.given);
    return status;
}

const struct berth_command berth_command_reload = {
    .name = "reload",
    .synopsis = "NAME [FILE] " BERTH_GIVEN_SYNOPSIS "\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Replaces a module of a running host while everything else goes on.\n"
            "\n"
            "FILE is the new code; else it is read again from where it was loaded.\n"
            "\n" BERTH_GIVEN_HELP BERTH_REMOTE_HELP "  --json         prints the report as JSON\n"
            "\n"
            "Without values its options stay as they are; with some, the others are at\n"
            "their defaults, and --options {} has all of them there.\n" BERTH_GIVEN_HELP_VALUES "\n"
            "Prints what happened: from which generation to which, in what time, how many\n"
            "calls were inside, how many had to wait and how long. If it fails, the old code\n"
            "goes on as if nothing had been.\n"
            "\n"
            "Examples:\n"
            "  berth reload greet\n"
            "  berth reload greet ./greet.so\n",
    .run = run,
};
