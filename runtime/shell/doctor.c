/* SPDX-License-Identifier: MIT */
#include <berth/host.h>

#include "runtime/base/buffer.h"
#include "runtime/shell/options.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

struct doctor {
    struct berth_options options;
    const char *program;
    bool strict;
    bool found; /* something for which the exit status is 1 */
    struct berth_buffer told;
};

static int look_at(struct doctor *doctor, const char *file, struct berth_error *error)
{
    const struct berth_doctor_options options = { .size = sizeof(options),
                                                  .program = doctor->program };
    struct berth_doctor_report report = { .size = sizeof(report) };
    int code = berth_doctor(file, &options, &report, error);

    if (code != BERTH_OK)
        return code;
    doctor->found |= report.errors || (doctor->strict && report.warnings);
    if (doctor->options.json && doctor->told.size > 1)
        berth_buffer_text(&doctor->told, ",");
    berth_buffer_text(&doctor->told, doctor->options.json ? report.json : report.text);
    berth_free(report.json);
    berth_free(report.text);
    return BERTH_OK;
}

static int look_at_all(struct doctor *doctor, char **files)
{
    struct berth_error error = { 0 };
    bool json = doctor->options.json;
    int code = BERTH_OK, status;

    berth_buffer_init(&doctor->told, 0);
    berth_buffer_text(&doctor->told, json ? "[" : "");
    for (; *files && code == BERTH_OK; files++)
        code = look_at(doctor, *files, &error);
    berth_buffer_text(&doctor->told, json ? "]" : "");
    if (code == BERTH_OK)
        code = berth_buffer_check(&doctor->told, &error);
    if (code != BERTH_OK)
        status = berth_output_error(json, &error);
    else if (json)
        status = berth_output_json(doctor->told.data);
    else
        status = berth_output_text(false, doctor->told.data);
    berth_buffer_deinit(&doctor->told);
    return status == BERTH_EXIT_OK && doctor->found ? BERTH_EXIT_FAILED : status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "program", required_argument, NULL, 'p' },
        { "strict", no_argument, NULL, 's' },
        BERTH_OPTION_JSON,
        BERTH_OPTION_HELP,
        { 0 },
    };
    struct doctor doctor = { .options = { .command = &berth_command_doctor, .known = known } };
    int option, status;

    while ((option = berth_options_next(&doctor.options, argc, argv)) != -1)
        if (option == 'p')
            doctor.program = optarg;
        else if (option == 's')
            doctor.strict = true;
    if (optind >= argc)
        berth_options_problem(&doctor.options, "FILE is missing");
    return berth_options_end(&doctor.options, &status) ? status
                                                       : look_at_all(&doctor, argv + optind);
}

const struct berth_command berth_command_doctor = {
    .name = "doctor",
    .synopsis = "[--program PROGRAM] [--strict] [--json] FILE...",
    .help = "Tells what is wrong with a module's file, before it is loaded, and the cure.\n"
            "\n"
            "What it lacks here: symbols, libraries, versions of them; what the loader or\n"
            "the host would refuse; what cannot be unloaded or replaced; which of its names\n"
            "clash; and which functions that it calls may harm the application. No code of\n"
            "the file runs.\n"
            "\n"
            "  --program PROGRAM\n"
            "                 the application it is for, whose exported names come before\n"
            "                 the module's own; else it is berth itself\n"
            "  --strict       warnings make the exit status 1, as errors do\n"
            "  --json         an array with one JSON object for each file\n"
            "\n"
            "Examples:\n"
            "  berth doctor ./greet.so\n"
            "  berth doctor --strict --json ./greet.so ./math.so\n",
    .run = run,
};
