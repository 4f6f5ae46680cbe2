/* SPDX-License-Identifier: MIT */
#include <berth/host.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/text.h"
#include "runtime/shell/options.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

static const char head[] = "berth: loads modules, calls their functions and keeps them running.\n"
                           "\n";

static const char foot[] =
    "  berth --version\n"
    "\n"
    "\"berth help COMMAND\" tells more of one, \"man berth-COMMAND\" all of it.\n"
    "Exit status: 0 fine, 1 it failed, 2 wrong usage, 3 no host.\n";

enum { NAMES_MAX = 32 };

const struct berth_command *berth_command_find(const char *name)
{
    const char *names[NAMES_MAX];
    size_t count = 0;

    for (const struct berth_command *const *each = berth_commands; *each; each++) {
        if (!strcmp((*each)->name, name))
            return *each;
        if (count < NAMES_MAX)
            names[count++] = (*each)->name;
    }
    const char *nearest = berth_text_nearest(name, names, count);
    if (*name == '-')
        berth_output_usage(false, NULL, "%s: no such option here: those of a command follow it",
                           name);
    else if (nearest)
        berth_output_usage(false, NULL, "%s: no such command; did you mean \"%s\"?", name, nearest);
    else
        berth_output_usage(false, NULL, "%s: no such command", name);
    return NULL;
}

/* All of its lines as far to the right as the first one. */
static void print_synopsis(const struct berth_command *command)
{
    const char *line = command->synopsis;

    printf("  berth %s ", command->name);
    for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        printf("%.*s\n  ", (int)(end - line), line);
    printf("%s\n", line);
}

static void print_list(void)
{
    fputs(head, stdout);
    for (const struct berth_command *const *each = berth_commands; *each; each++) {
        const struct berth_command *command = *each;
        print_synopsis(command);
        printf("    %.*s\n", (int)strcspn(command->help, "\n"), command->help);
    }
    fputs(foot, stdout);
}

int berth_help_print(const struct berth_command *command)
{
    if (command)
        printf("berth %s %s\n\n%s\n\"man berth-%s\" tells all of it.\n", command->name,
               command->synopsis, command->help, command->name);
    else
        print_list();
    return berth_output_text(false, "");
}

int berth_help_version(void)
{
    printf("berth %s\n", berth_version());
    return berth_output_text(false, "");
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_OPTION_HELP, { 0 } };
    struct berth_options options = { .command = &berth_command_help, .known = known };
    int status;

    while (berth_options_next(&options, argc, argv) != -1)
        ;
    if (argc - optind > 1)
        berth_options_problem(&options, "one command at a time");
    if (berth_options_end(&options, &status))
        return status;
    if (optind == argc)
        return berth_help_print(NULL);

    const struct berth_command *command = berth_command_find(argv[optind]);
    return command ? berth_help_print(command) : BERTH_EXIT_USAGE;
}

const struct berth_command berth_command_help = {
    .name = "help",
    .synopsis = "[COMMAND]",
    .help = "Says what the commands do, or one of them.\n",
    .run = run,
};
