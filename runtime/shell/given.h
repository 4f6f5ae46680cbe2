/* SPDX-License-Identifier: MIT */
/* Values for a module's options, as a command line gives them: --option K=V…, or --options JSON. */
#ifndef RUNTIME_SHELL_GIVEN_H
#define RUNTIME_SHELL_GIVEN_H

#include "runtime/shell/remote.h"

struct berth_given {
    struct berth_remote *remote;
    const char *json; /* --options */
    char **pairs;     /* or --option K=V, each cut into K and V */
    size_t count;
};

/* Rows of the table of options, and what the help says of them. */
#define BERTH_GIVEN_OPTIONS                     \
    { "option", required_argument, NULL, 'o' }, \
    {                                           \
        "options", required_argument, NULL, 'O' \
    }
#define BERTH_GIVEN_SYNOPSIS "[--option K=V]... [--options JSON]"
#define BERTH_GIVEN_HELP                                               \
    "  --option K=V   the value V for its option K; may be repeated\n" \
    "  --options JSON all values at once, as a JSON object\n"
#define BERTH_GIVEN_HELP_VALUES                                               \
    "V is the text itself for an option that is a string. For others it is\n" \
    "JSON. \"berth show FILE\" tells the options of a module.\n"

/* For at most argc options. False: there is no memory, which has been told. */
bool berth_given_init(struct berth_given *given, struct berth_remote *remote, int argc);
void berth_given_deinit(struct berth_given *given);
/* One of the options above, whose text is cut and kept. */
void berth_given_read(struct berth_given *given, int option, char *text);
/* After the last one: remembers a problem, if there is one. */
void berth_given_check(struct berth_given *given);
/*
 * Adds the member "options", if any are given; the types of pairs are told by the manifest of the
 * module's file, for which the host is asked. Returns an exit status; a failure is told.
 */
int berth_given_add(struct berth_given *given, const char *file, struct berth_buffer *params);

#endif
