/* SPDX-License-Identifier: MIT */
#include "runtime/shell/remote.h"

#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/shell/output.h"
#include "runtime/shell/quantity.h"

int berth_remote_next(struct berth_remote *remote, int argc, char **argv)
{
    int option;

    while ((option = berth_options_next(&remote->options, argc, argv)) != -1)
        switch (option) {
        case 'H':
            remote->place.name = optarg;
            remote->place.name_first = true;
            break;
        case 'S':
            remote->place.socket = optarg;
            break;
        case 't':
            remote->timeout = berth_duration_parse(optarg);
            if (remote->timeout <= 0)
                berth_options_problem(&remote->options,
                                      "--timeout %s: write a time like 200ms, 5s or 1m", optarg);
            break;
        default:
            return option;
        }
    if (remote->place.name && remote->place.socket)
        berth_options_problem(&remote->options, "a host is named by --host or --socket, not both");
    return -1;
}

int berth_remote_fail(struct berth_remote *remote, const struct berth_error *error)
{
    return berth_output_error(remote->options.json, error);
}

int berth_remote_connect(struct berth_remote *remote, struct berth_error *error)
{
    int code = berth_place_socket(&remote->place, remote->path, error);

    berth_client_init(&remote->client, remote->path);
    if (remote->timeout > 0 && remote->timeout < BERTH_CLIENT_FOREVER - berth_client_now())
        remote->client.deadline = berth_client_now() + remote->timeout;
    return code == BERTH_OK ? berth_client_connect(&remote->client, error) : code;
}

bool berth_remote_open(struct berth_remote *remote, int *ret_status)
{
    struct berth_error error = { 0 };

    if (berth_remote_connect(remote, &error) == BERTH_OK)
        return true;
    berth_remote_fail(remote, &error);
    berth_remote_close(remote);
    *ret_status = BERTH_EXIT_NO_HOST;
    return false;
}

void berth_remote_close(struct berth_remote *remote)
{
    berth_client_deinit(&remote->client);
}

int berth_remote_ask(struct berth_remote *remote, const char *method, struct berth_buffer *params,
                     struct berth_piece *ret_result)
{
    struct berth_error error = { 0 };

    if (berth_client_ask(&remote->client, method, params, ret_result, &error) == BERTH_OK)
        return BERTH_EXIT_OK;
    return berth_remote_fail(remote, &error);
}

/* Whether the error is that this module is not there, and not that something else is not. */
static bool lacks(const struct berth_error *error, const char *module)
{
    static const char before[] = "no module ", after[] = " is loaded";
    const char *at = strstr(error->text, before);
    size_t length = strlen(module);

    return error->code == BERTH_NOT_FOUND && at && !strncmp(at + strlen(before), module, length) &&
           !strcmp(at + strlen(before) + length, after);
}

int berth_remote_ask_of(struct berth_remote *remote, const char *method, const char *module,
                        struct berth_buffer *params, struct berth_piece *ret_result)
{
    struct berth_error error = { 0 };

    if (berth_client_ask(&remote->client, method, params, ret_result, &error) == BERTH_OK)
        return BERTH_EXIT_OK;
    if (lacks(&error, module))
        berth_error_set(&error, BERTH_NOT_FOUND,
                        "the host has no module %s; \"berth list\" tells what it has", module);
    return berth_remote_fail(remote, &error);
}

/* ---- results ---- */

static int print(struct berth_remote *remote, struct berth_buffer *line, bool newline)
{
    int status =
        line->failed
            ? berth_output_fail(remote->options.json, BERTH_RESOURCE_EXHAUSTED, "out of memory")
            : berth_output_write(remote->options.json, line->data, line->size, newline);
    berth_buffer_deinit(line);
    return status;
}

int berth_remote_print(struct berth_remote *remote, struct berth_piece result)
{
    struct berth_buffer line;

    berth_buffer_init(&line, 0);
    berth_piece_line(result, &line);
    return print(remote, &line, true);
}

int berth_remote_print_text(struct berth_remote *remote, struct berth_piece result)
{
    struct berth_buffer line;

    berth_buffer_init(&line, 0);
    if (!berth_piece_characters(result, &line))
        berth_piece_line(result, &line);
    berth_buffer_text(&line, "\n");
    int status = line.failed ? berth_output_fail(remote->options.json, BERTH_RESOURCE_EXHAUSTED,
                                                 "out of memory")
                             : berth_output_text(remote->options.json, line.data);
    berth_buffer_deinit(&line);
    return status;
}

/* ---- parameters ---- */

static void member(struct berth_buffer *params, const char *name)
{
    if (params->size > 1)
        berth_buffer_text(params, ",");
    berth_piece_quote(name, strlen(name), params);
    berth_buffer_text(params, ":");
}

void berth_params_begin(struct berth_buffer *params)
{
    berth_buffer_init(params, 0);
    berth_buffer_text(params, "{");
}

void berth_params_text(struct berth_buffer *params, const char *name, const char *text)
{
    member(params, name);
    berth_piece_quote(text, strlen(text), params);
}

void berth_params_piece(struct berth_buffer *params, const char *name, struct berth_piece piece)
{
    member(params, name);
    berth_piece_line(piece, params);
}

void berth_params_end(struct berth_buffer *params)
{
    berth_buffer_text(params, "}");
}

void berth_remote_check_text(struct berth_remote *remote, const char *what, const char *text)
{
    if (!berth_utf8_valid(text, strlen(text), NULL))
        berth_options_problem(&remote->options, "%s %s is not UTF-8", what, text);
}

bool berth_remote_is_file(const char *word)
{
    size_t length = strlen(word);

    return strchr(word, '/') || (length > 3 && !strcmp(word + length - 3, ".so"));
}

const char *berth_remote_name(struct berth_remote *remote, int argc, char **argv)
{
    if (argc - optind != 1)
        berth_options_problem(&remote->options,
                              optind == argc ? "NAME is missing" : "one module at a time");
    else if (berth_remote_is_file(argv[optind]))
        berth_options_problem(&remote->options,
                              "%s is a file: write the module's name, which \"berth list\" tells",
                              argv[optind]);
    else
        berth_remote_check_text(remote, "NAME", argv[optind]);
    return argv[optind];
}
