/* SPDX-License-Identifier: MIT */
/*
 * What an image says of itself, made from its records. Immutable, so that any thread may read it;
 * freed as a whole.
 */
#ifndef RUNTIME_IMAGE_MANIFEST_H
#define RUNTIME_IMAGE_MANIFEST_H

#include "runtime/base/buffer.h"
#include "runtime/base/topic_name.h"
#include "runtime/image/semver.h"
#include "runtime/value/type.h"
#include <berth/call.h>

/* One note, as found in a file or in memory: its virtual address, unrelocated, and its text. */
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
    bool async; /* its code returns nothing, and answers later */
};
struct berth_manifest_import {
    const char *module, *function, *name; /* name: "module.function" */
    bool has_full;                        /* one of its records says what, */
    enum berth_full full;                 /* of what is started and sent, a full mailbox does */
    const struct berth_signature *signature;
};
struct berth_manifest_topic {
    const char *topic, *name;
    bool last;                               /* who subscribes later gets its current value */
    unsigned priority;                       /* enum berth_priority */
    const struct berth_signature *signature; /* result void */
};
struct berth_manifest_subscribe {
    const char *pattern, *handler;
    bool any; /* the handler takes (string topic, json fields) */
    enum berth_full full;
    unsigned tries;    /* turns that a message gets whose handler fails */
    const char *group; /* a queue group, or NULL */
    const struct berth_signature *signature;
};
enum berth_hook {
    BERTH_HOOK_START,
    BERTH_HOOK_STOP,
    BERTH_HOOK_SAVE,
    BERTH_HOOK_RESTORE,
    BERTH_HOOK_COUNT
};

/* What this berth does not know: a kind of record, or keys of a known one. */
struct berth_manifest_other {
    const char *kind;
    char *text; /* JSON: {"kind":"value of its first key","key":"value",…} */
};

/* Which item a record is; sorted by address. An import in two files is two records, one item. */
struct berth_manifest_item {
    uint64_t address;
    enum berth_item_kind kind;
    size_t index; /* in exports, imports, topics, subscribes; enum berth_hook for a hook; else 0 */
};

#define BERTH_RESTORES_MAX 16

/* Each array is sorted by its first member. */
struct berth_manifest {
    const char *name, *version, *doc;
    struct berth_semver semver;
    unsigned abi, api;
    const char *header;       /* the release of the header that it was compiled with */
    bool parallel, reentrant; /* neither: serial */
    size_t require_count, option_count, export_count, import_count, topic_count, subscribe_count,
        other_count, item_count;
    struct berth_manifest_require *requires;
    struct berth_manifest_option *options;
    struct berth_manifest_export *exports;
    struct berth_manifest_import *imports; /* by name */
    struct berth_manifest_topic *topics;
    struct berth_manifest_subscribe *subscribes;
    struct berth_manifest_other *others;
    struct berth_manifest_item *items;
    bool hooks[BERTH_HOOK_COUNT];
    bool restores_handles;                 /* RESTORE brings live handles back */
    unsigned state_version;                /* of SAVE */
    size_t restore_count;                  /* 0: RESTORE does not say which versions it reads */
    unsigned restores[BERTH_RESTORES_MAX]; /* besides that of SAVE */
    struct berth_types *types;
    char *memory;  /* most texts lie in it */
    unsigned refs; /* atomic */
};

/*
 * Checks everything and copies what it keeps. Errors name the record and the cure: unknown type,
 * bad identifier, more than 16 parameters, two equal exports, unequal duplicates, a record that
 * does not end in NUL, an unknown key that begins with `!`, two ABI revisions… Order of the
 * records does not matter. Without any record: not_found.
 */
int berth_manifest_new(const struct berth_record *records, size_t count,
                       struct berth_manifest **ret_manifest, struct berth_error *error);
/*
 * The same, but goes on without the records that are wrong: tell gets what is wrong with each, in
 * their order. Fails as new does with the first of them, or untold, if there is no record or no
 * memory. error is not NULL.
 */
typedef void (*berth_manifest_fault_fn)(void *user, const struct berth_error *fault);
int berth_manifest_examine(const struct berth_record *records, size_t count,
                           berth_manifest_fault_fn tell, void *user,
                           struct berth_manifest **ret_manifest, struct berth_error *error);
/* Images of the same bytes share one, which nobody changes. */
struct berth_manifest *berth_manifest_ref(struct berth_manifest *manifest);
void berth_manifest_unref(struct berth_manifest *manifest); /* may be NULL */

/* NULL: none. */
const struct berth_manifest_export *berth_manifest_find_export(
    const struct berth_manifest *manifest, const char *name);
const struct berth_manifest_option *berth_manifest_find_option(
    const struct berth_manifest *manifest, const char *name);
const struct berth_manifest_item *berth_manifest_find_item(const struct berth_manifest *manifest,
                                                           uint64_t address);

#define BERTH_TRIES_MAX 1000

/* "reject", "block", "drop_oldest"; "data", "control". */
const char *berth_full_name(enum berth_full full);
const char *berth_priority_name(unsigned priority);
/* Whether it is one of these; then *ret_full is. */
bool berth_full_find(const char *name, enum berth_full *ret_full);

/* "start", "stop", "save", "restore". */
const char *berth_hook_name(enum berth_hook hook);
/* What an item is, for messages: "export divide". Cut to size (> 0). Returns buffer. */
const char *berth_manifest_describe(const struct berth_manifest *manifest,
                                    const struct berth_manifest_item *item, char *buffer,
                                    size_t size);

/* For people (as `berth show` prints it), and as JSON (the schema is in berth-module(3)). */
int berth_manifest_print(const struct berth_manifest *manifest, struct berth_buffer *buffer,
                         struct berth_error *error);
int berth_manifest_json(const struct berth_manifest *manifest, struct berth_buffer *buffer,
                        struct berth_error *error);

#endif
