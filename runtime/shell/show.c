/* SPDX-License-Identifier: MIT */
#include <berth/host.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/shell/options.h"
#include "runtime/shell/output.h"
#include "runtime/shell/search.h"
#include "runtime/shell/shell.h"
#include "runtime/value/json.h"

struct show {
    struct berth_options options;
    struct berth_search search;
    struct berth_search_result found; /* of a name */
    bool searched;
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
        berth_buffer_text(&buffer, show->options.json ? json : text);
    else if (show->options.json)
        put_json(show, json, &buffer);
    else
        put_text(show, text, &buffer);
    if (berth_buffer_check(&buffer, &error) != BERTH_OK)
        status = berth_output_error(show->options.json, &error);
    else if (show->options.json)
        status = berth_output_json(buffer.data);
    else
        status = berth_output_text(false, buffer.data);
    berth_buffer_deinit(&buffer);
    return status;
}

static int show_word(struct show *show, const char *word)
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
    status =
        code == BERTH_OK ? print(show, json, text) : berth_output_error(show->options.json, &error);
    free(json);
    free(text);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "path", required_argument, NULL, 'p' },
        BERTH_OPTION_JSON,
        BERTH_OPTION_HELP,
        { 0 },
    };
    struct show show = { .options = { .command = &berth_command_show, .known = known } };
    struct berth_error error = { 0 };
    int option, status;

    berth_search_init(&show.search);
    while ((option = berth_options_next(&show.options, argc, argv)) != -1)
        if (option == 'p' && berth_search_add(&show.search, optarg, "--path", &error) != BERTH_OK)
            berth_options_problem(&show.options, "%s", error.text);
    if (argc - optind != 1)
        berth_options_problem(&show.options,
                              optind == argc ? "FILE is missing" : "one file at a time");
    if (!berth_options_end(&show.options, &status))
        status = show_word(&show, argv[optind]);
    berth_search_deinit(&show.search);
    return status;
}

const struct berth_command berth_command_show = {
    .name = "show",
    .synopsis = "FILE|NAME [--path DIR]... [--json]",
    .help = "Shows what a module says of itself: functions, topics, options, needs.\n"
            "\n"
            "It is read from the file. No code of the file runs, so any file may be looked\n"
            "at. Of a NAME it tells first which file was found, and why not the others.\n"
            "\n"
            "  --path DIR  searches a name here first; may be repeated\n"
            "  --json      one JSON object, described in berth-module(3)\n"
            "\n"
            "Examples:\n"
            "  berth show ./greet.so\n"
            "  berth show --path . greet\n",
    .run = run,
};
