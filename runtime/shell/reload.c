/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/given.h"
#include "runtime/shell/report.h"
#include "runtime/shell/shell.h"

struct reload {
    struct berth_remote remote;
    struct berth_given given;
    bool dry, probe;
    const char *module;
    char file[PATH_MAX]; /* or "" */
    char **pairs;        /* or NAME=FILE, NAME=FILE … */
    int count;
};

static void add_flags(const struct reload *reload, struct berth_buffer *params)
{
    const struct berth_piece yes = { "true", 4 };

    if (reload->dry)
        berth_params_piece(params, "dry_run", yes);
    if (reload->probe)
        berth_params_piece(params, "probe", yes);
}

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
    add_flags(reload, &params);
    if (status == BERTH_EXIT_OK)
        return berth_report_ask(&reload->remote, "host.reload", reload->module, &params);
    berth_buffer_deinit(&params);
    return status;
}

/* All of them in one request. The words have been looked at. */
static int ask_all(struct reload *reload)
{
    struct berth_buffer params, list, one;

    berth_buffer_init(&list, 0);
    for (int i = 0; i < reload->count; i++) {
        char *file = strchr(reload->pairs[i], '=');
        char path[PATH_MAX] = "";
        struct berth_error error;
        *file = '\0';
        if (file[1] && berth_place_absolute(file + 1, path, &error) != BERTH_OK) {
            berth_buffer_deinit(&list);
            return berth_remote_fail(&reload->remote, &error);
        }
        berth_params_begin(&one);
        berth_params_text(&one, "module", reload->pairs[i]);
        if (*path)
            berth_params_text(&one, "file", path);
        berth_params_end(&one);
        berth_buffer_text(&list, i ? "," : "[");
        berth_buffer_append(&list, one.data, one.size);
        list.failed |= one.failed;
        berth_buffer_deinit(&one);
    }
    berth_buffer_text(&list, "]");
    berth_params_begin(&params);
    berth_params_piece(&params, "modules", (struct berth_piece){ list.data, list.size });
    params.failed |= list.failed;
    add_flags(reload, &params);
    berth_buffer_deinit(&list);
    return berth_report_ask(&reload->remote, "host.reload_all", NULL, &params);
}

/* NAME=FILE, NAME=: several modules in one transaction. */
static void read_pairs(struct reload *reload, int count, char **words)
{
    struct berth_options *options = &reload->remote.options;

    reload->pairs = words;
    reload->count = count;
    if (reload->given.count || reload->given.json)
        berth_options_problem(options, "values for options go with one module at a time");
    for (int i = 0; i < count; i++) {
        berth_remote_check_text(&reload->remote, "NAME=FILE", words[i]);
        if (!strchr(words[i], '='))
            berth_options_problem(options, "%s: write NAME=FILE for each of several modules",
                                  words[i]);
    }
}

static void read_words(struct reload *reload, int argc, char **argv)
{
    struct berth_options *options = &reload->remote.options;
    struct berth_error error = { 0 };
    int option;

    while ((option = berth_remote_next(&reload->remote, argc, argv)) != -1)
        if (option == 'n')
            reload->dry = true;
        else if (option == 'b')
            reload->probe = true;
        else
            berth_given_read(&reload->given, option, optarg);
    if (argc > optind && strchr(argv[optind], '=')) {
        read_pairs(reload, argc - optind, argv + optind);
        return;
    }
    reload->module = argv[optind];
    if (argc == optind || argc - optind > 2)
        berth_options_problem(options, optind == argc
                                           ? "NAME is missing"
                                           : "one module at a time, or NAME=FILE for each");
    else if (berth_remote_is_file(reload->module))
        berth_options_problem(options, "%s is a file: write the module's name before it",
                              reload->module);
    else
        berth_remote_check_text(&reload->remote, "NAME", reload->module);
    if (argc - optind == 2 &&
        berth_place_absolute(argv[optind + 1], reload->file, &error) != BERTH_OK)
        berth_options_problem(options, "%s", error.text);
    berth_given_check(&reload->given);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "dry-run", no_argument, NULL, 'n' },
        { "probe", no_argument, NULL, 'b' },
        BERTH_GIVEN_OPTIONS,
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct reload reload = {
        .remote = { .options = { .command = &berth_command_reload, .known = known } },
    };
    int status;

    if (!berth_given_init(&reload.given, &reload.remote, argc))
        return BERTH_EXIT_FAILED;
    read_words(&reload, argc, argv);
    if (!berth_options_end(&reload.remote.options, &status) &&
        berth_remote_open(&reload.remote, &status)) {
        status = reload.count ? ask_all(&reload) : ask(&reload);
        berth_remote_close(&reload.remote);
    }
    berth_given_deinit(&reload.given);
    return status;
}

const struct berth_command berth_command_reload = {
    .name = "reload",
    .synopsis = "NAME [FILE] [--dry-run] [--probe]\n"
                "           " BERTH_GIVEN_SYNOPSIS "\n"
                "           " BERTH_REMOTE_SYNOPSIS "\n"
                "berth reload NAME=[FILE]... [--dry-run] [--probe]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Replaces a module of a running host while everything else goes on.\n"
            "\n"
            "FILE is the new code; else it is read again from where it was loaded. With\n"
            "NAME=FILE for each, several modules are replaced at once, all or none.\n"
            "\n"
            "  --dry-run      only as far as no code of it runs: is it possible?\n"
            "  --probe        maps it in a worker first, where it may crash\n" BERTH_GIVEN_HELP
                BERTH_REMOTE_HELP "  --json         prints the report as JSON\n"
            "\n"
            "Without values its options stay as they are; with some, the others are at\n"
            "their defaults, and --options {} has all of them there.\n" BERTH_GIVEN_HELP_VALUES "\n"
            "Prints what happened: from which generation to which, in what time, how many\n"
            "calls were inside, how many had to wait and how long. If it fails, the old code\n"
            "goes on as if nothing had been.\n"
            "\n"
            "Examples:\n"
            "  berth reload greet\n"
            "  berth reload greet ./greet.so\n"
            "  berth reload greet ./greet.so --dry-run\n"
            "  berth reload greet=./greet.so math=./math.so\n",
    .run = run,
};
