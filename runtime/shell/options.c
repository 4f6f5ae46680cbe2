/* SPDX-License-Identifier: MIT */
#include "runtime/shell/options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/output.h"

void berth_options_problem(struct berth_options *options, const char *format, ...)
{
    va_list arguments;

    if (options->problem.code)
        return;
    va_start(arguments, format);
    berth_error_set_va(&options->problem, BERTH_INVALID_ARGUMENT, format, arguments);
    va_end(arguments);
}

/* Whether a word is a long option, perhaps cut, with a value; getopt calls it `option`. */
static bool has_value(const char *word, const struct option *known, int option)
{
    for (; known->name; known++)
        if (known->val == option && !strncmp(word, "--", 2) && strchr(word, '=') &&
            !strncmp(word + 2, known->name, strcspn(word + 2, "=")))
            return true;
    return false;
}

int berth_options_next(struct berth_options *options, int argc, char **argv)
{
    /* The colon has a missing value told apart from an unknown option. */
    const char *flags = options->words_end_options ? "+:h" : ":h";

    if (!options->begun) {
        options->begun = true;
        opterr = 0;
        optind = 0; /* glibc: forget the last walk, flags included */
    }
    for (;;) {
        int option = getopt_long(argc, argv, flags, options->known, NULL);
        switch (option) {
        case 'j':
            options->json = true;
            break;
        case 'h':
            options->help = true;
            break;
        case ':':
            berth_options_problem(options, "%s needs a value", argv[optind - 1]);
            break;
        case '?':
            /* Among letters in one word, the last word is still the one before. */
            if (optopt && has_value(argv[optind - 1], options->known, optopt))
                berth_options_problem(options, "%s: this option takes no value", argv[optind - 1]);
            else if (optopt)
                berth_options_problem(options, "-%c: no such option", optopt);
            else
                berth_options_problem(options, "%s: no such option", argv[optind - 1]);
            break;
        default:
            return option;
        }
    }
}

bool berth_options_end(const struct berth_options *options, int *ret_status)
{
    const char *name = options->command->name;

    if (options->help)
        *ret_status = berth_help_print(options->command);
    else if (options->problem.code)
        *ret_status =
            berth_output_usage(options->json, name, "%s: %s", name, options->problem.text);
    return options->help || options->problem.code;
}
