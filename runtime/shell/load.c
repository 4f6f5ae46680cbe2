/* SPDX-License-Identifier: MIT */
#include "runtime/base/error.h"
#include "runtime/shell/given.h"
#include "runtime/shell/search.h"
#include "runtime/shell/shell.h"

struct load {
    struct berth_remote remote;
    struct berth_given given;
    const char *word; /* a file, or a name for the host's own search */
    char file[PATH_MAX];
    const char *name, *placement;
    bool probe;
};

/* ---- the command line ---- */

static void read_options(struct load *load, int argc, char **argv)
{
    int option;

    while ((option = berth_remote_next(&load->remote, argc, argv)) != -1)
        switch (option) {
        case 'n':
            load->name = optarg;
            berth_remote_check_text(&load->remote, "--as", optarg);
            break;
        case 'p':
            load->placement = optarg;
            berth_remote_check_text(&load->remote, "--placement", optarg);
            break;
        case 'b':
            load->probe = true;
            break;
        default:
            berth_given_read(&load->given, option, optarg);
            break;
        }
}

static void read_words(struct load *load, int argc, char **argv)
{
    struct berth_options *options = &load->remote.options;
    struct berth_error error = { 0 };

    load->word = argv[optind];
    if (argc - optind != 1)
        berth_options_problem(options, optind == argc ? "FILE is missing" : "one file at a time");
    else if (!berth_search_is_file(load->word))
        berth_remote_check_text(&load->remote, "NAME", load->word);
    else if (berth_place_absolute(load->word, load->file, &error) != BERTH_OK)
        berth_options_problem(options, "%s", error.text);
    berth_given_check(&load->given);
}

/* ---- the host ---- */

/* A name is searched where the host would have found it at its start. */
static int find(struct load *load, const char **ret_file)
{
    struct berth_piece found = { 0 };
    struct berth_buffer params;
    struct berth_error error = { 0 };

    *ret_file = load->file;
    if (*load->file)
        return BERTH_EXIT_OK;
    berth_params_begin(&params);
    berth_params_text(&params, "name", load->word);
    berth_params_end(&params);
    if (berth_client_ask(&load->remote.client, "run.find", &params, &found, &error) == BERTH_OK) {
        *ret_file = berth_piece_text(found, &load->remote.client.arena);
        return BERTH_EXIT_OK;
    }
    if (error.code == BERTH_NOT_FOUND) {
        const struct berth_error why = error;
        berth_error_set(&error, BERTH_NOT_FOUND, "%s (a file is written with a / in it: ./%s)",
                        why.text, load->word);
    }
    return berth_remote_fail(&load->remote, &error);
}

static int ask(struct load *load)
{
    struct berth_buffer params;
    struct berth_piece loaded = { 0 };
    const char *file;
    int status = find(load, &file);

    if (status != BERTH_EXIT_OK)
        return status;
    berth_params_begin(&params);
    berth_params_text(&params, "file", file);
    if (load->name)
        berth_params_text(&params, "name", load->name);
    if (load->placement)
        berth_params_text(&params, "placement", load->placement);
    if (load->probe)
        berth_params_piece(&params, "probe", (struct berth_piece){ "true", 4 });
    status = berth_given_add(&load->given, file, &params);
    berth_params_end(&params);
    if (status == BERTH_EXIT_OK)
        status = berth_remote_ask(&load->remote, "host.load", &params, &loaded);
    else
        berth_buffer_deinit(&params);
    if (status != BERTH_EXIT_OK)
        return status;
    return load->remote.options.json ? berth_remote_print(&load->remote, loaded)
                                     : berth_remote_print_text(&load->remote, loaded);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "as", required_argument, NULL, 'n' },
        { "placement", required_argument, NULL, 'p' },
        { "probe", no_argument, NULL, 'b' },
        BERTH_GIVEN_OPTIONS,
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct load load = {
        .remote = { .options = { .command = &berth_command_load, .known = known } },
    };
    int status;

    if (!berth_given_init(&load.given, &load.remote, argc))
        return BERTH_EXIT_FAILED;
    read_options(&load, argc, argv);
    read_words(&load, argc, argv);
    if (!berth_options_end(&load.remote.options, &status) &&
        berth_remote_open(&load.remote, &status)) {
        status = ask(&load);
        berth_remote_close(&load.remote);
    }
    berth_given_deinit(&load.given);
    return status;
}

const struct berth_command berth_command_load = {
    .name = "load",
    .synopsis = "FILE|NAME [--as NAME] [--placement inline|process] [--probe]\n"
                "           " BERTH_GIVEN_SYNOPSIS "\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Loads a module into a running host, starts it, and prints its name.\n"
            "\n"
            "  FILE, NAME     a file has a / in its name or ends in .so; a name is searched\n"
            "                 by the host, in the directories of its own path\n"
            "  --as NAME      the name that it has there; else its own\n"
            "  --placement P  inline, which is the default, or process: in a worker\n"
            "  --probe        maps it in a worker first, where it may crash\n" BERTH_GIVEN_HELP
                BERTH_REMOTE_HELP "  --json         prints the name, or the error, as JSON\n"
            "\n" BERTH_GIVEN_HELP_VALUES "\n"
            "Examples:\n"
            "  berth load ./greet.so\n"
            "  berth load ./math.so --as calculator --placement process\n",
    .run = run,
};
