/* SPDX-License-Identifier: MIT */
/* The words of a command line. */
#ifndef RUNTIME_SHELL_OPTIONS_H
#define RUNTIME_SHELL_OPTIONS_H

#include <berth/error.h>
#include <getopt.h>
#include <stdbool.h>

#include "runtime/shell/shell.h"

/*
 * One walk over a command's options; --help and --json are taken care of. Every option is read
 * before the first problem is told, so that --json holds for it wherever it stands.
 *
 *     struct berth_options options = { .command = &berth_command_x, .known = known };
 *     while ((option = berth_options_next(&options, argc, argv)) != -1)
 *         if (option == 't') …                   one of the command's own, with its value in optarg
 *     if (berth_options_end(&options, &status))   help was printed, or a problem
 *         return status;
 *     …                                           the words begin at argv[optind]
 */
struct berth_options {
    const struct berth_command *command;
    const struct option *known; /* ends with a row of zeros */
    bool words_end_options;     /* else options may follow words */
    bool begun, json, help;
    struct berth_error problem; /* the first; .code 0: none */
};

/* Rows of the table that every command has. */
#define BERTH_OPTION_JSON              \
    {                                  \
        "json", no_argument, NULL, 'j' \
    }
#define BERTH_OPTION_HELP              \
    {                                  \
        "help", no_argument, NULL, 'h' \
    }

int berth_options_next(struct berth_options *options, int argc, char **argv);
/* Remembers a problem with a value, or with the words. Only the first one counts. */
void berth_options_problem(struct berth_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* True when the command is over: *ret_status is its exit status. */
bool berth_options_end(const struct berth_options *options, int *ret_status);

#endif
