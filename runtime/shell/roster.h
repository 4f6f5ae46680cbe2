/* SPDX-License-Identifier: MIT */
/*
 * The modules of a configuration: those that are to run, or those that do. An entry has all that
 * makes a module another one when it changes, in memory of its own, so that it outlives the text
 * that it was read from.
 */
#ifndef RUNTIME_SHELL_ROSTER_H
#define RUNTIME_SHELL_ROSTER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "runtime/shell/config.h"

/* What a file was when it was looked at: its name alone does not tell that it is another one. */
struct berth_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

/* Never changed once it is made; shared by counting. */
struct berth_roster_entry {
    char *name;
    char *file; /* NULL: of an optional module, and nothing was found that could be loaded */
    char *options;
    const char *placement;
    bool optional;
    struct berth_restart_policy restart;
    struct berth_stamp stamp;
    unsigned refs;
};

/* Modules by their names, in the order in which they came. */
struct berth_roster {
    struct berth_roster_entry **entries;
    size_t count, room;
};

/* All zero when there was no such file. */
struct berth_stamp berth_stamp_of(const char *file);
bool berth_stamp_equal(const struct berth_stamp *a, const struct berth_stamp *b);

/* From a configuration's module that has been checked for a start. NULL without memory. */
struct berth_roster_entry *berth_roster_entry_new(const struct berth_config_module *module);
/* The same module, found to run from that file and in that placement. NULL without memory. */
struct berth_roster_entry *berth_roster_entry_elsewhere(const struct berth_roster_entry *entry,
                                                        const char *file, const char *placement);
struct berth_roster_entry *berth_roster_entry_ref(struct berth_roster_entry *entry);
void berth_roster_entry_unref(struct berth_roster_entry *entry);

/* A roster of zeros is empty. */
void berth_roster_deinit(struct berth_roster *roster);
/* Adds the modules of a configuration that has been checked for a start. */
int berth_roster_fill(struct berth_roster *roster, const struct berth_config *config,
                      struct berth_error *error);
/* Room for so many more: berth_roster_put does not fail until it is used up. */
int berth_roster_reserve(struct berth_roster *roster, size_t more, struct berth_error *error);
/* The entry, which gets one more reference, in the place of the one of its name, or as the last. */
void berth_roster_put(struct berth_roster *roster, struct berth_roster_entry *entry);
void berth_roster_remove(struct berth_roster *roster, const char *name);
struct berth_roster_entry *berth_roster_find(const struct berth_roster *roster, const char *name);

#endif
