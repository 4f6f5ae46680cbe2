/* SPDX-License-Identifier: MIT */
#include <berth/host.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/shell/describe.h"
#include "runtime/shell/output.h"
#include "runtime/shell/remote.h"
#include "runtime/shell/search.h"
#include "runtime/shell/shell.h"
#include "runtime/value/json.h"

struct show {
    struct berth_remote remote; /* and the options */
    struct berth_search search;
    struct berth_search_result found; /* of a name */
    bool searched;
    bool path; /* --path: it is a file's name */
};

static void put_member(struct berth_buffer *buffer, const char *key, const char *text)
{
    berth_buffer_format(buffer, "\"%s\":", key);
    if (text)
        berth_json_write_string(text, strlen(text), buffer);
    else
        berth_buffer_text(buffer, "null");
}

/* In front of the manifest's own members: the file, and all that the search has met. */
static void put_json(const struct show *show, const char *manifest, struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, "{");
    put_member(buffer, "file", show->found.file);
    berth_buffer_text(buffer, ",\"candidates\":[");
    for (const struct berth_search_candidate *each = show->found.first; each; each = each->next) {
        berth_buffer_text(buffer, each == show->found.first ? "{" : ",{");
        put_member(buffer, "file", each->file);
        berth_buffer_text(buffer, ",");
        put_member(buffer, "version", each->version);
        berth_buffer_text(buffer, ",");
        put_member(buffer, "why_not", each->why);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "],");
    berth_buffer_text(buffer, manifest + 1);
}

static void put_text(const struct show *show, const char *manifest, struct berth_buffer *buffer)
{
    berth_buffer_format(buffer, "%s (%s)\n", show->found.file, show->found.origin);
    for (const struct berth_search_candidate *each = show->found.first; each; each = each->next)
        if (each->why)
            berth_buffer_format(buffer, "not %s: %s\n", each->file, each->why);
    berth_buffer_text(buffer, "\n");
    berth_buffer_text(buffer, manifest);
}

static int print(const struct show *show, const char *json, const char *text)
{
    struct berth_buffer buffer;
    struct berth_error error;
    int status;

    berth_buffer_init(&buffer, 0);
    if (!show->searched)
        berth_buffer_text(&buffer, show->remote.options.json ? json : text);
    else if (show->remote.options.json)
        put_json(show, json, &buffer);
    else
        put_text(show, text, &buffer);
    if (berth_buffer_check(&buffer, &error) != BERTH_OK)
        status = berth_output_error(show->remote.options.json, &error);
    else if (show->remote.options.json)
        status = berth_output_json(buffer.data);
    else
        status = berth_output_text(false, buffer.data);
    berth_buffer_deinit(&buffer);
    return status;
}

static int show_file(struct show *show, const char *word)
{
    struct berth_error error = { 0 };
    char *json = NULL, *text = NULL;
    const char *file = word;
    int code = BERTH_OK, status;

    show->searched = !berth_search_is_file(word);
    if (show->searched) {
        code = berth_search_add_standard(&show->search, &error);
        if (code == BERTH_OK)
            code = berth_search_find(&show->search, word, NULL, true, &show->found, &error);
        file = show->found.file;
    }
    if (code == BERTH_OK)
        code = berth_manifest_read(file, &json, &text, &error);
    status = code == BERTH_OK ? print(show, json, text)
                              : berth_output_error(show->remote.options.json, &error);
    free(json);
    free(text);
    return status;
}

/* ---- a running module ---- */

static int print_running(struct berth_remote *remote, struct berth_piece manifest)
{
    struct berth_buffer text;

    if (remote->options.json)
        return berth_remote_print(remote, manifest);
    berth_buffer_init(&text, 0);
    berth_describe(manifest, &remote->client.arena, &text);
    int status = text.failed ? berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory")
                             : berth_output_text(false, text.data);
    berth_buffer_deinit(&text);
    return status;
}

/* Asks for its manifest. *ret_status is what there is no host, or no such module, with. */
static int find_running(struct berth_remote *remote, const char *name,
                        struct berth_piece *ret_manifest, int *ret_status,
                        struct berth_error *error)
{
    struct berth_buffer params;
    int code = berth_remote_connect(remote, error);

    *ret_status = code == BERTH_OK ? BERTH_EXIT_FAILED : BERTH_EXIT_NO_HOST;
    if (code != BERTH_OK)
        return code;
    berth_params_begin(&params);
    berth_params_text(&params, "module", name);
    berth_params_end(&params);
    return berth_client_ask(&remote->client, "host.show", &params, ret_manifest, error);
}

/*
 * A name is that of a module in a running host or, unless a host was named, of a file: of a module
 * that could run there.
 */
static int show_name(struct show *show, const char *name)
{
    struct berth_remote *remote = &show->remote;
    struct berth_piece manifest = { 0 };
    struct berth_error error = { 0 };
    int status;

    int code = find_running(remote, name, &manifest, &status, &error);
    if (code == BERTH_OK)
        status = print_running(remote, manifest);
    else if (remote->place.name || remote->place.socket)
        berth_remote_fail(remote, &error);
    else if (status == BERTH_EXIT_NO_HOST || code == BERTH_NOT_FOUND)
        status = show_file(show, name);
    else
        berth_remote_fail(remote, &error);
    berth_remote_close(remote);
    return status;
}

static void read_word(struct show *show, int argc, char **argv)
{
    bool named = show->remote.place.name || show->remote.place.socket;

    if (argc - optind != 1)
        berth_options_problem(&show->remote.options,
                              optind == argc ? "FILE or NAME is missing" : "one module at a time");
    else if (named && (show->path || berth_search_is_file(argv[optind])))
        berth_options_problem(&show->remote.options,
                              "%s is a file, which no host is asked for; name a module of it",
                              argv[optind]);
    else
        berth_remote_check_text(&show->remote, "NAME", argv[optind]);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "path", required_argument, NULL, 'p' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct show show = { .remote.options = { .command = &berth_command_show, .known = known } };
    struct berth_error error = { 0 };
    int option, status;

    berth_search_init(&show.search);
    while ((option = berth_remote_next(&show.remote, argc, argv)) != -1)
        if (option == 'p') {
            show.path = true;
            if (berth_search_add(&show.search, optarg, "--path", &error) != BERTH_OK)
                berth_options_problem(&show.remote.options, "%s", error.text);
        }
    read_word(&show, argc, argv);
    if (!berth_options_end(&show.remote.options, &status))
        status = show.path || berth_search_is_file(argv[optind]) ? show_file(&show, argv[optind])
                                                                 : show_name(&show, argv[optind]);
    berth_search_deinit(&show.search);
    return status;
}

const struct berth_command berth_command_show = {
    .name = "show",
    .synopsis = "FILE|NAME [--path DIR]...\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Shows what a module says of itself: functions, topics, options, needs.\n"
            "\n"
            "A FILE has a / in its name, or ends with .so. No code of it runs, so any file\n"
            "may be looked at. A NAME is that of a module in a running host. If there is\n"
            "none, or with --path, the file of that name is searched; then the first lines\n"
            "tell which one was found, and why not the others.\n"
            "\n"
            "  --path DIR     searches a name here first; may be repeated\n" BERTH_REMOTE_HELP
            "  --json         one JSON object, described in berth-module(3)\n"
            "\n"
            "Examples:\n"
            "  berth show ./greet.so\n"
            "  berth show greet\n"
            "  berth show --path . greet\n",
    .run = run,
};
