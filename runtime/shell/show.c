/* SPDX-License-Identifier: MIT */
#include <berth/host.h>
#include <stdlib.h>

#include "runtime/shell/options.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_OPTION_JSON, BERTH_OPTION_HELP, { 0 } };
    struct berth_options options = { .command = &berth_command_show, .known = known };
    struct berth_error error = { 0 };
    char *json = NULL, *text = NULL;
    int status;

    while (berth_options_next(&options, argc, argv) != -1)
        ;
    if (argc - optind != 1)
        berth_options_problem(&options, optind == argc ? "FILE is missing" : "one file at a time");
    if (berth_options_end(&options, &status))
        return status;

    if (berth_manifest_read(argv[optind], &json, &text, &error) != BERTH_OK)
        status = berth_output_error(options.json, &error);
    else if (options.json)
        status = berth_output_json(json);
    else
        status = berth_output_text(false, text);
    free(json);
    free(text);
    return status;
}

const struct berth_command berth_command_show = {
    .name = "show",
    .synopsis = "FILE [--json]",
    .help = "Shows what a module says of itself: functions, topics, options, needs.\n"
            "\n"
            "It is read from the file. No code of the file runs, so any file may be looked\n"
            "at.\n"
            "\n"
            "  --json  one JSON object, described in berth-module(3)\n"
            "\n"
            "Example:\n"
            "  berth show ./greet.so\n",
    .run = run,
};
