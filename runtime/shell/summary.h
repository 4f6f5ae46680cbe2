/* SPDX-License-Identifier: MIT */
/* What the shell needs of a module's manifest, read from its file: no code of it runs. */
#ifndef RUNTIME_SHELL_SUMMARY_H
#define RUNTIME_SHELL_SUMMARY_H

#include <berth/error.h>

#include "runtime/base/arena.h"
#include "runtime/image/semver.h"
#include "runtime/shell/document.h"
#include "runtime/value/type.h"

struct berth_summary {
    const char *module, *version;
    struct berth_semver semver;
    const struct berth_node *options;    /* {"name":{"type":…},…}, or NULL */
    const struct berth_node *requires;   /* {"module":"range",…}, or NULL */
    const struct berth_node *imports;    /* [{"function":"module.function",…},…], or NULL */
    const struct berth_node *functions;  /* {"name":{…},…}, or NULL */
    const struct berth_node *topics;     /* {"topic":{…},…}, or NULL */
    const struct berth_node *subscribes; /* [{"topic":"pattern",…},…], or NULL */
    struct berth_types *types;           /* those that the options' types may name */
    struct berth_arena arena;            /* all of it */
    char *json;                          /* the manifest; of malloc */
};

/* On failure there is nothing to deinit. */
int berth_summary_init(struct berth_summary *summary, const char *file, struct berth_error *error);
void berth_summary_deinit(struct berth_summary *summary);

/* The type of an option; not_found: there is none of that name. */
int berth_summary_option(const struct berth_summary *summary, const char *name,
                         const struct berth_type **ret_type, struct berth_error *error);
/* The member's name that is most like it, or NULL: of the options, of the functions. */
const char *berth_summary_nearest(const struct berth_node *members, const char *name);

#endif
