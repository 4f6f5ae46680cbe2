/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "runtime/shell/output.h"
#include "runtime/shell/remote.h"
#include "runtime/shell/shell.h"

static int ask(struct berth_remote *remote, const char *topic, struct berth_piece fields)
{
    struct berth_buffer params;
    struct berth_piece nothing = { 0 };

    berth_params_begin(&params);
    berth_params_text(&params, "topic", topic);
    berth_params_piece(&params, "fields", fields);
    berth_params_end(&params);
    int status = berth_remote_ask(remote, "publish", &params, &nothing);
    if (status == BERTH_EXIT_OK && remote->options.json)
        status = berth_remote_print(remote, nothing);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_REMOTE_OPTIONS, { 0 } };
    struct berth_remote remote = { .options = { .command = &berth_command_publish,
                                                .known = known } };
    struct berth_error error = { 0 };
    struct berth_piece fields = { 0 };
    int status;

    while (berth_remote_next(&remote, argc, argv) != -1)
        ;
    if (argc - optind != 2)
        berth_options_problem(&remote.options, "it takes TOPIC and JSON");
    else if (berth_piece_read(argv[optind + 1], strlen(argv[optind + 1]), "JSON", &fields,
                              &error) != BERTH_OK)
        berth_options_problem(&remote.options, "%s", error.text);
    else
        berth_remote_check_text(&remote, "TOPIC", argv[optind]);
    if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
        return status;
    status = ask(&remote, argv[optind], fields);
    berth_remote_close(&remote);
    return status;
}

const struct berth_command berth_command_publish = {
    .name = "publish",
    .synopsis = "TOPIC JSON\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Publishes a message to a topic that a module of a running host declares.\n"
            "\n"
            "JSON is an object with the fields, or an array of them in order. Nothing is\n"
            "printed.\n"
            "\n" BERTH_REMOTE_HELP "  --json         prints null, or the error as JSON\n"
            "\n"
            "Example:\n"
            "  berth publish news.text '{\"text\": \"hello\", \"number\": 1}'\n",
    .run = run,
};
