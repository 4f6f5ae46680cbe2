/* SPDX-License-Identifier: MIT */
/* A host of the shell's own, with the modules that its command line, or a configuration, names. */
#ifndef RUNTIME_SHELL_LOCAL_H
#define RUNTIME_SHELL_LOCAL_H

#include <berth/host.h>
#include <limits.h>
#include <stdbool.h>

#include "runtime/shell/config.h"
#include "runtime/shell/offer.h"
#include "runtime/shell/search.h"

struct berth_local_module {
    const char *file; /* a word, until it is found */
    const char *name; /* in the host; NULL: the manifest's */
    const char *placement;
    const char *options;
    struct berth_restart_policy restart; /* zeros: the defaults */
    bool optional;                       /* what fails is logged */
    bool loaded;
};

struct berth_local {
    berth_host *host;
    struct berth_search search;
    struct berth_local_module *modules;       /* all texts are borrowed */
    const struct berth_config_list *levels;   /* of the log, struct berth_config_word; or NULL */
    const struct berth_config_list *timeouts; /* of calls, struct berth_config_time; or NULL */
    size_t count, room, loaded;
    /* Set these after init. */
    const char *socket;        /* the host listens there; NULL: it does not */
    struct berth_offer *offer; /* what the host gets from this program; NULL: nothing */
    char worker[PATH_MAX];
};

void berth_local_init(struct berth_local *local);
/* Ends the host, which stops its modules in order. */
void berth_local_deinit(struct berth_local *local);
/* Ends the host; deinit is still due. report: its size is set; if there is no host, all is 0. */
void berth_local_end(struct berth_local *local, struct berth_shutdown_report *report);

/*
 * One FILE[=inline|process] or NAME[=inline|process], which is cut in place and kept. Only a
 * placement may stand after the last `=`, unless there is a `/` or a `.` in it.
 */
int berth_local_add(struct berth_local *local, char *word, struct berth_error *error);
/* Adds the modules of a configuration that has been checked for a start. */
int berth_local_add_config(struct berth_local *local, const struct berth_config *config,
                           struct berth_error *error);

/*
 * After berth_local_find: has the module of this name run in a process of its own, if it is of this
 * version. True: it would have run inline.
 */
bool berth_local_isolate(struct berth_local *local, const char *name, const char *version);

/* Finds the file of each word, in the places that were added to the search. */
int berth_local_find(struct berth_local *local, struct berth_error *error);

/*
 * Makes the host, which listens first, and loads all modules, those that are not optional before
 * the others. Returns an exit status. The worker's path is set here.
 */
int berth_local_open(struct berth_local *local, struct berth_host_options options,
                     struct berth_error *error);

#endif
