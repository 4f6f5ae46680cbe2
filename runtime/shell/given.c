/* SPDX-License-Identifier: MIT */
#include "runtime/shell/given.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

bool berth_given_init(struct berth_given *given, struct berth_remote *remote, int argc)
{
    *given = (struct berth_given){ .remote = remote,
                                   .pairs = calloc((size_t)argc + 1, sizeof(*given->pairs)) };
    if (!given->pairs)
        berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    return given->pairs;
}

void berth_given_deinit(struct berth_given *given)
{
    free(given->pairs);
}

/* ---- the command line ---- */

static void read_pair(struct berth_given *given, char *pair)
{
    char *equals = strchr(pair, '=');

    if (!equals || equals == pair)
        berth_options_problem(&given->remote->options,
                              "--option %s: write K=V, as in --option limit=10", pair);
    else
        berth_remote_check_text(given->remote, "--option", pair);
    if (equals) {
        *equals = '\0';
        given->pairs[given->count++] = pair;
    }
}

void berth_given_read(struct berth_given *given, int option, char *text)
{
    if (option == 'o')
        read_pair(given, text);
    else
        given->json = text;
}

void berth_given_check(struct berth_given *given)
{
    struct berth_options *options = &given->remote->options;
    struct berth_error error = { 0 };
    struct berth_piece json;

    if (given->json && given->count)
        berth_options_problem(options, "options are either --option or --options, not both");
    if (given->json &&
        berth_piece_read(given->json, strlen(given->json), "--options", &json, &error) != BERTH_OK)
        berth_options_problem(options, "%s", error.text);
}

/* ---- what the host gets ---- */

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
    const char *type = berth_piece_text_of(option, "type", arena);

    return !strcmp(type, "string") || !strcmp(type, "optional(string)");
}

/* By the types that the manifest tells: JSON for what is no string, if it is JSON. */
static int add_pairs(struct berth_given *given, const char *file, struct berth_buffer *options)
{
    struct berth_buffer params;
    struct berth_piece manifest = { 0 };

    berth_params_begin(&params);
    berth_params_text(&params, "file", file);
    berth_params_end(&params);
    int status = berth_remote_ask(given->remote, "host.read", &params, &manifest);
    if (status != BERTH_EXIT_OK)
        return status;

    for (size_t i = 0; i < given->count; i++) {
        const char *name = given->pairs[i], *value = name + strlen(name) + 1;
        struct berth_piece json = json_of(value);
        if (json.size && !is_text(manifest, name, &given->remote->client.arena))
            berth_params_piece(options, name, json);
        else
            berth_params_text(options, name, value);
    }
    return BERTH_EXIT_OK;
}

int berth_given_add(struct berth_given *given, const char *file, struct berth_buffer *params)
{
    struct berth_buffer options;

    if (given->json)
        berth_params_piece(params, "options", json_of(given->json));
    if (!given->count)
        return BERTH_EXIT_OK;
    berth_params_begin(&options);
    int status = add_pairs(given, file, &options);
    berth_params_end(&options);
    if (options.failed)
        params->failed = true;
    else if (status == BERTH_EXIT_OK)
        berth_params_piece(params, "options", (struct berth_piece){ options.data, options.size });
    berth_buffer_deinit(&options);
    return status;
}
