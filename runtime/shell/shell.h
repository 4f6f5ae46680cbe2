/* SPDX-License-Identifier: MIT */
/*
 * The program `berth`: a client of <berth/host.h>, as any other application. Each command is one
 * constant in one file, and main.c lists them.
 */
#ifndef RUNTIME_SHELL_SHELL_H
#define RUNTIME_SHELL_SHELL_H

/* What every command ends with. */
enum berth_exit {
    BERTH_EXIT_OK = 0,
    BERTH_EXIT_FAILED = 1, /* what was asked for failed */
    BERTH_EXIT_USAGE = 2,  /* the question makes no sense */
    BERTH_EXIT_NO_HOST = 3 /* nobody is there to be asked */
};

struct berth_command {
    const char *name;
    const char *synopsis; /* what follows the name */
    const char *help;     /* whole lines; the first one stands in the list of commands as well */
    int (*run)(int argc, char **argv); /* argv[0] is the name; returns an enum berth_exit */
};

extern const struct berth_command berth_command_call;
extern const struct berth_command berth_command_check;
extern const struct berth_command berth_command_doctor;
extern const struct berth_command berth_command_events;
extern const struct berth_command berth_command_help;
extern const struct berth_command berth_command_history;
extern const struct berth_command berth_command_list;
extern const struct berth_command berth_command_load;
extern const struct berth_command berth_command_log;
extern const struct berth_command berth_command_move;
extern const struct berth_command berth_command_publish;
extern const struct berth_command berth_command_reconfigure;
extern const struct berth_command berth_command_reload;
extern const struct berth_command berth_command_rollback;
extern const struct berth_command berth_command_run;
extern const struct berth_command berth_command_show;
extern const struct berth_command berth_command_snapshot;
extern const struct berth_command berth_command_stats;
extern const struct berth_command berth_command_subscribe;
extern const struct berth_command berth_command_unload;

/* In the order of the list; ends with NULL. */
extern const struct berth_command *const berth_commands[];

/* The command of that name. Else NULL, after a word about it on standard error. */
const struct berth_command *berth_command_find(const char *name);

/* How a command is used, or all of it when command is NULL. Return an exit status. */
int berth_help_print(const struct berth_command *command);
int berth_help_version(void);

#endif
