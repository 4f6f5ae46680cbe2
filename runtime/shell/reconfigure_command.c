/* SPDX-License-Identifier: MIT */
/* berth reconfigure: has a running host apply its configuration, and tells what came of it. */
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/output.h"
#include "runtime/shell/remote.h"
#include "runtime/shell/shell.h"

/* As berth check prints them. */
static void put_problems(struct berth_remote *remote, struct berth_piece report,
                         struct berth_buffer *text)
{
    struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(report, "problems"));
    struct berth_piece problem;

    while (berth_piece_next(&walk, NULL, &problem)) {
        bool warning =
            !strcmp(berth_piece_text_of(problem, "level", &remote->client.arena), "warning");
        berth_buffer_text(text, berth_piece_text_of(report, "file", &remote->client.arena));
        if (berth_piece_get(problem, "line").size)
            berth_buffer_format(text, ":%llu:%llu",
                                (unsigned long long)berth_piece_integer_of(problem, "line"),
                                (unsigned long long)berth_piece_integer_of(problem, "column"));
        berth_buffer_format(text, ": %s%s\n", warning ? "warning: " : "",
                            berth_piece_text_of(problem, "text", &remote->client.arena));
    }
}

static void put_steps(struct berth_remote *remote, struct berth_piece report,
                      struct berth_buffer *text)
{
    struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(report, "steps"));
    struct berth_piece step;

    while (berth_piece_next(&walk, NULL, &step))
        berth_buffer_format(text, "%s\n", berth_piece_text(step, &remote->client.arena));
}

static void put_sum(struct berth_remote *remote, struct berth_piece report,
                    struct berth_buffer *text)
{
    static const char *const keys[] = { "started", "reloaded", "stopped", "unchanged" };

    berth_buffer_format(
        text, "%s is applied:", berth_piece_text_of(report, "file", &remote->client.arena));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        berth_buffer_format(text, "%s %s %llu", i ? "," : "", keys[i],
                            (unsigned long long)berth_piece_integer_of(report, keys[i]));
    berth_buffer_text(text, "\n");
}

/* To standard error, what has the form of lines. */
static void print_aside(const struct berth_buffer *text)
{
    if (text->size && !text->failed)
        berth_output_visible(stderr, text->data, text->size, true);
}

/* What was done; or all that is wrong, and what was undone. */
static int print(struct berth_remote *remote, struct berth_piece report)
{
    struct berth_piece failure = berth_piece_get(report, "error");
    struct berth_buffer aside, text;
    int status;

    berth_buffer_init(&aside, 0);
    berth_buffer_init(&text, 0);
    put_problems(remote, report, &aside);
    put_steps(remote, report, failure.size ? &aside : &text);
    print_aside(&aside);
    if (failure.size) {
        int code = berth_code_find(berth_piece_text_of(failure, "code", &remote->client.arena));
        status = berth_output_fail(false, code > BERTH_OK ? code : BERTH_UNKNOWN, "%s",
                                   berth_piece_text_of(failure, "text", &remote->client.arena));
    } else {
        put_sum(remote, report, &text);
        status = text.failed ? berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory")
                             : berth_output_text(false, text.data);
    }
    berth_buffer_deinit(&text);
    berth_buffer_deinit(&aside);
    return status;
}

static int ask(struct berth_remote *remote)
{
    struct berth_buffer params;
    struct berth_piece report = { 0 };
    struct berth_error error = { 0 };

    berth_params_begin(&params);
    berth_params_end(&params);
    int code = berth_client_ask(&remote->client, "run.reconfigure", &params, &report, &error);
    if (code == BERTH_NOT_FOUND)
        berth_error_set(&error, code,
                        "the host at %s is none that berth run has made: its application "
                        "configures it",
                        remote->path);
    if (code != BERTH_OK)
        return berth_remote_fail(remote, &error);
    if (!remote->options.json)
        return print(remote, report);
    int status = berth_remote_print(remote, report);
    return status == BERTH_EXIT_OK && berth_piece_get(report, "error").size ? BERTH_EXIT_FAILED
                                                                            : status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_REMOTE_OPTIONS, { 0 } };
    struct berth_remote remote = { .options = { .command = &berth_command_reconfigure,
                                                .known = known } };
    int status;

    while (berth_remote_next(&remote, argc, argv) != -1)
        ;
    if (optind < argc)
        berth_options_problem(&remote.options, "%s: it takes no words, only options", argv[optind]);
    if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
        return status;
    status = ask(&remote);
    berth_remote_close(&remote);
    return status;
}

const struct berth_command berth_command_reconfigure = {
    .name = "reconfigure",
    .synopsis = BERTH_REMOTE_SYNOPSIS,
    .help =
        "Has a running host read its configuration again, and become what it says.\n"
        "\n"
        "It is as SIGHUP, and waits. Modules are started, stopped and reloaded, all of\n"
        "them or none.\n"
        "\n" BERTH_REMOTE_HELP "  --json         prints a report as JSON, also of what is wrong\n"
        "\n"
        "Prints each step, and how many there were. What is wrong with the configuration\n"
        "goes to standard error, one line each: FILE:LINE:COLUMN: TEXT; then nothing has\n"
        "changed, or what was done is undone.\n"
        "\n"
        "Example:\n"
        "  berth reconfigure\n",
    .run = run,
};
