/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <string.h>

#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

const struct berth_command *const berth_commands[] = {
    &berth_command_show,     &berth_command_call,      &berth_command_run,
    &berth_command_list,     &berth_command_load,      &berth_command_unload,
    &berth_command_reload,   &berth_command_rollback,  &berth_command_history,
    &berth_command_snapshot, &berth_command_move,      &berth_command_reconfigure,
    &berth_command_publish,  &berth_command_subscribe, &berth_command_events,
    &berth_command_stats,    &berth_command_log,       &berth_command_check,
    &berth_command_doctor,   &berth_command_help,      NULL,
};

int main(int argc, char **argv)
{
    berth_output_init();
    if (argc < 2)
        return berth_output_usage(false, NULL, "which command?");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return berth_help_print(NULL);
    if (!strcmp(argv[1], "--version"))
        return berth_help_version();

    const struct berth_command *command = berth_command_find(argv[1]);
    return command ? command->run(argc - 1, argv + 1) : BERTH_EXIT_USAGE;
}
