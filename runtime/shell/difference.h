/* SPDX-License-Identifier: MIT */
/* What has to be done so that the modules that run become those that are to run. */
#ifndef RUNTIME_SHELL_DIFFERENCE_H
#define RUNTIME_SHELL_DIFFERENCE_H

#include "runtime/shell/roster.h"

enum berth_step_kind { BERTH_STEP_LOAD, BERTH_STEP_RELOAD, BERTH_STEP_UNLOAD };

struct berth_step {
    enum berth_step_kind kind;
    struct berth_roster_entry *old;  /* what runs; NULL: nothing */
    struct berth_roster_entry *next; /* what is to run; NULL: nothing */
    bool taken;                      /* it has been done */
};

struct berth_difference {
    struct berth_step *steps; /* with a reference to each entry */
    size_t count;
};

/*
 * The steps from one roster to the other: first the loads and then the reloads, in the order of
 * `to`, then the unloads, the last of `from` first. A module whose file was not found stays as it
 * is, be it there or not. A pure function of both. Fails only without memory.
 */
int berth_difference_init(struct berth_difference *difference, const struct berth_roster *from,
                          const struct berth_roster *to, struct berth_error *error);
/*
 * Orders the loads and reloads so that what a module requires and, if that can be, what it imports
 * has come before. Their files' manifests are read; what cannot be read, the step itself will tell.
 */
int berth_difference_order(struct berth_difference *difference, struct berth_error *error);
void berth_difference_deinit(struct berth_difference *difference);

#endif
