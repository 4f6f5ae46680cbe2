/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/shell/output.h"
#include "runtime/shell/remote.h"
#include "runtime/shell/shell.h"

struct load {
    struct berth_remote remote;
    char file[PATH_MAX];
    const char *name, *placement;
    const char *json; /* --options */
    char **pairs;     /* or --option K=V, each cut into K and V */
    size_t count;
};

/* ---- the command line ---- */

static void read_pair(struct load *load, char *pair)
{
    char *equals = strchr(pair, '=');

    if (!equals || equals == pair)
        berth_options_problem(&load->remote.options,
                              "--option %s: write K=V, as in --option limit=10", pair);
    else
        berth_remote_check_text(&load->remote, "--option", pair);
    if (equals) {
        *equals = '\0';
        load->pairs[load->count++] = pair;
    }
}

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
        case 'o':
            read_pair(load, optarg);
            break;
        case 'O':
            load->json = optarg;
            break;
        }
}

static void read_words(struct load *load, int argc, char **argv)
{
    struct berth_error error = { 0 };
    struct berth_piece options;

    if (argc - optind != 1)
        berth_options_problem(&load->remote.options,
                              optind == argc ? "FILE is missing" : "one file at a time");
    else if (berth_place_absolute(argv[optind], load->file, &error) != BERTH_OK)
        berth_options_problem(&load->remote.options, "%s", error.text);
    if (load->json && load->count)
        berth_options_problem(&load->remote.options,
                              "options are either --option or --options, not both");
    if (load->json &&
        berth_piece_read(load->json, strlen(load->json), "--options", &options, &error) != BERTH_OK)
        berth_options_problem(&load->remote.options, "%s", error.text);
}

/* ---- options ---- */

static struct berth_piece json_of(const char *text)
{
    struct berth_piece piece = { 0 };
    berth_piece_read(text, strlen(text), NULL, &piece, NULL);
    return piece;
}

/* Whether the option takes a value as it is typed. */
static bool is_text(struct berth_piece manifest, const char *name, struct berth_arena *arena)
{
    struct berth_piece option = berth_piece_get(berth_piece_get(manifest, "options"), name);
    const char *type = berth_piece_text(berth_piece_get(option, "type"), arena);

    return !strcmp(type, "string") || !strcmp(type, "optional(string)");
}

/* By the types that the manifest tells: JSON for what is no string, if it is JSON. */
static int add_pairs(struct load *load, struct berth_buffer *options)
{
    struct berth_buffer params;
    struct berth_piece manifest = { 0 };

    berth_params_begin(&params);
    berth_params_text(&params, "file", load->file);
    berth_params_end(&params);
    int status = berth_remote_ask(&load->remote, "host.read", &params, &manifest);
    if (status != BERTH_EXIT_OK)
        return status;

    for (size_t i = 0; i < load->count; i++) {
        const char *name = load->pairs[i], *value = name + strlen(name) + 1;
        struct berth_piece json = json_of(value);
        if (json.size && !is_text(manifest, name, &load->remote.client.arena))
            berth_params_piece(options, name, json);
        else
            berth_params_text(options, name, value);
    }
    return BERTH_EXIT_OK;
}

static int ask(struct load *load)
{
    struct berth_buffer params, options;
    struct berth_piece loaded = { 0 };
    int status = BERTH_EXIT_OK;

    berth_params_begin(&params);
    berth_params_text(&params, "file", load->file);
    if (load->name)
        berth_params_text(&params, "name", load->name);
    if (load->placement)
        berth_params_text(&params, "placement", load->placement);
    berth_params_begin(&options);
    if (load->count)
        status = add_pairs(load, &options);
    berth_params_end(&options);
    if (load->json)
        berth_params_piece(&params, "options", json_of(load->json));
    else if (load->count)
        berth_params_piece(&params, "options", (struct berth_piece){ options.data, options.size });
    berth_params_end(&params);
    params.failed |= options.failed;
    berth_buffer_deinit(&options);

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
        { "option", required_argument, NULL, 'o' },
        { "options", required_argument, NULL, 'O' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct load load = {
        .remote = { .options = { .command = &berth_command_load, .known = known } },
        .pairs = calloc((size_t)argc, sizeof(*load.pairs)),
    };
    int status;

    if (!load.pairs)
        return berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    read_options(&load, argc, argv);
    read_words(&load, argc, argv);
    if (!berth_options_end(&load.remote.options, &status) &&
        berth_remote_open(&load.remote, &status)) {
        status = ask(&load);
        berth_remote_close(&load.remote);
    }
    free(load.pairs);
    return status;
}

const struct berth_command berth_command_load = {
    .name = "load",
    .synopsis = "FILE [--as NAME] [--placement inline|process]\n"
                "           [--option K=V]... [--options JSON]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Loads a module into a running host, starts it, and prints its name.\n"
            "\n"
            "  --as NAME      the name that it has there; else its own\n"
            "  --placement P  inline, which is the default, or process: in a worker\n"
            "  --option K=V   the value V for its option K; may be repeated\n"
            "  --options JSON all values at once, as a JSON object\n" BERTH_REMOTE_HELP
            "  --json         prints the name, or the error, as JSON\n"
            "\n"
            "V is the text itself for an option that is a string. For others it is\n"
            "JSON. \"berth show FILE\" tells the options of a module.\n"
            "\n"
            "Examples:\n"
            "  berth load ./greet.so\n"
            "  berth load ./math.so --as calculator --placement process\n",
    .run = run,
};
