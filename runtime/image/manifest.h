/* SPDX-License-Identifier: MIT */
/*
 * What an image says of itself, made from its records. Immutable, freed as a whole.
 */
#ifndef RUNTIME_IMAGE_MANIFEST_H
#define RUNTIME_IMAGE_MANIFEST_H

#include "runtime/base/buffer.h"
#include "runtime/image/semver.h"
#include "runtime/value/type.h"

/* One note, as found in the file or in memory: where it lies (its virtual address in the image, unrelocated) and its text. */
struct berth_record {
    uint64_t address;
    uint32_t type; /* of the note: 1 */
    const char *text;
    size_t size;
};

enum berth_item_kind { /* what a link's record can be */
                       BERTH_ITEM_UNIT,
                       BERTH_ITEM_EXPORT,
                       BERTH_ITEM_IMPORT,
                       BERTH_ITEM_TOPIC,
                       BERTH_ITEM_SUBSCRIBE,
                       BERTH_ITEM_HOOK,
                       BERTH_ITEM_NONE, /* a record that has no link: option, struct, … */
};

struct berth_manifest_require {
    const char *module, *range;
    struct berth_semver_range parsed;
};
struct berth_manifest_option {
    const char *name, *doc, *default_json;
    const struct berth_type *type;
    uint64_t address; /* of its record: how option_NAME(ctx) asks for it */
};
struct berth_manifest_export {
    const char *name, *doc;
    const struct berth_signature *signature;
};
struct berth_manifest_import {
    const char *module, *function, *name; /* name: "module.function" */
    const struct berth_signature *signature;
};
struct berth_manifest_topic {
    const char *topic, *name;
    const struct berth_signature *signature; /* result void */
};
struct berth_manifest_subscribe {
    const char *pattern, *handler;
    bool any; /* the handler takes (string topic, json fields) */
    const struct berth_signature *signature;
};
enum berth_hook {
    BERTH_HOOK_START,
    BERTH_HOOK_STOP,
    BERTH_HOOK_SAVE,
    BERTH_HOOK_RESTORE,
    BERTH_HOOK_COUNT
};

struct berth_manifest_other {
    const char *kind,
        *text; /* a record of a kind that this berth does not know, as JSON: {"kind":"x","key":"value",…} */
};

/* Which item a record is; sorted by address. Several records may be one item (the same import in two files). */
struct berth_manifest_item {
    uint64_t address;
    enum berth_item_kind kind;
    size_t
        index; /* in exports, imports, topics, subscribes; enum berth_hook for a hook; 0 for unit */
};

struct berth_manifest {
    const char *name, *version, *doc;
    struct berth_semver semver;
    unsigned abi, api;
    const char *header;
    bool parallel;
    size_t require_count, option_count, export_count, import_count, topic_count, subscribe_count,
        other_count, item_count;
    struct berth_manifest_require *requires;
    struct berth_manifest_option *options;
    struct berth_manifest_export *exports;
    struct berth_manifest_import *imports;
    struct berth_manifest_topic *topics;
    struct berth_manifest_subscribe *subscribes;
    struct berth_manifest_other *others;
    struct berth_manifest_item *items;
    bool hooks[BERTH_HOOK_COUNT];
    unsigned state_version; /* of SAVE */
    struct berth_types *types;
};

/*
 * Checks everything and copies what it keeps. Errors name the record and the cure: unknown type, bad identifier, more than 16 parameters,
 * two equal exports, unequal duplicates, a record that does not end in NUL, an unknown key that begins with `!`, two ABI revisions…
 * Order of the records does not matter: the result is sorted by name.
 */
int berth_manifest_new(const struct berth_record *records, size_t count,
                       struct berth_manifest **ret_manifest, struct berth_error *error);
void berth_manifest_free(struct berth_manifest *manifest);

const struct berth_manifest_export *berth_manifest_find_export(
    const struct berth_manifest *manifest, const char *name);
const struct berth_manifest_item *berth_manifest_find_item(const struct berth_manifest *manifest,
                                                           uint64_t address);

/* For people (aligned, as `berth show` prints it), and as JSON (one object, the schema is in berth-module(3)). */
int berth_manifest_print(const struct berth_manifest *manifest, struct berth_buffer *buffer,
                         struct berth_error *error);
int berth_manifest_json(const struct berth_manifest *manifest, struct berth_buffer *buffer,
                        struct berth_error *error);

/* Topics: a concrete name (tokens of [a-z0-9_-] joined by dots), a pattern (`*` one token, `>` the rest, at the end). */
bool berth_topic_valid(const char *topic);
bool berth_pattern_valid(const char *pattern);
bool berth_pattern_matches(const char *pattern, const char *topic);

#endif
