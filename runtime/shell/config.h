/* SPDX-License-Identifier: MIT */
/*
 * A configuration, berth.conf(5): JSON with comments. It is read by one table of keys
 * (config_table.c), from which its JSON Schema is written as well; config_check.c then looks at the
 * modules that it names. Whatever is wrong is gathered in its problems, so that all of it can be
 * told at once.
 */
#ifndef RUNTIME_SHELL_CONFIG_H
#define RUNTIME_SHELL_CONFIG_H

#include <berth/host.h>

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"
#include "runtime/shell/document.h"
#include "runtime/shell/problem.h"
#include "runtime/shell/search.h"

#define BERTH_CONFIG_SIZE_MAX ((size_t)1 << 20)
#define BERTH_SECRET_SIZE_MAX ((size_t)1 << 20) /* of a file that a reference names */

/* ---- what it says ---- */

/* What every entry of an object of objects begins with. */
struct berth_config_entry {
    const char *key;
    const struct berth_node *node;
};

/* When its worker comes back: one of two words, or numbers. */
struct berth_config_restart {
    int word; /* an index of berth_restarts; 0 as well if there are numbers */
    struct berth_restart_policy policy;
};

struct berth_config_module {
    struct berth_config_entry entry; /* its name in the host */
    const char *file;                /* or a name to be searched; NULL: its own name */
    const char *version;             /* a range, or NULL */
    int placement;                   /* an index of berth_placements */
    bool optional;
    struct berth_config_restart restart;
    const struct berth_node *options; /* an object, or NULL */
    /* Filled by berth_config_check; all of it is valid as long as the configuration. */
    const char *found;        /* the file; NULL: there is none that could be loaded */
    const char *options_json; /* references resolved */
};

/* An entry whose value is a word. */
struct berth_config_word {
    struct berth_config_entry entry;
    int word; /* an index of the key's words */
};

/* An entry whose value is a time; its name may be a function's. */
struct berth_config_time {
    struct berth_config_entry entry;
    int64_t ns;
};

/* Lists of texts and of entries. */
struct berth_config_list {
    void *items;
    size_t count;
};

/* What a caller may do; the key is a module's name, "operator" or "*". */
struct berth_config_grantee {
    struct berth_config_entry entry;
    int as;                                    /* an index of berth_config_actors */
    struct berth_config_list call;             /* const char *: functions, module.*, * */
    struct berth_config_list publish, listens; /* const char *: topics and patterns of them */
};

struct berth_config_permissions {
    int mode;                        /* an index of berth_config_modes */
    struct berth_config_list grants; /* struct berth_config_grantee */
};

struct berth_config {
    struct berth_host_options host;    /* what is not configured keeps its default */
    struct berth_config_list path;     /* const char *: directories */
    struct berth_config_list modules;  /* struct berth_config_module */
    const char *log_target;            /* NULL: none is said. A file: from where the text is */
    int log_format;                    /* an index of berth_log_formats */
    struct berth_config_list levels;   /* struct berth_config_word of berth_log_levels */
    struct berth_config_list timeouts; /* struct berth_config_time, of modules and functions */
    int after_crash;                   /* enum berth_after_crash */
    int staging;                       /* an index of berth_stagings */
    struct berth_config_permissions permissions;
    const char *schema;
    const struct berth_node *root; /* of the text, or NULL */
    struct berth_problems problems;
    bool whole; /* no error of syntax: nothing is missing that is in the text */
    const char *file;
    char *text; /* of malloc, or NULL */
    struct berth_arena arena;
};

/* What becomes of the module that the last run has crashed in. */
enum berth_after_crash { BERTH_AFTER_CRASH_NOTHING, BERTH_AFTER_CRASH_ISOLATE };

extern const char *const berth_stagings[];      /* "memory", "file", NULL */
extern const char *const berth_config_modes[];  /* "open", "declared", "listed", NULL */
extern const char *const berth_config_actors[]; /* "operator", NULL */
extern const char *const berth_placements[];    /* "inline", "process", NULL */
extern const char *const berth_restarts[];      /* "always", "never", NULL */

/* What the core takes. */
struct berth_restart_policy berth_config_policy(const struct berth_config_restart *restart);

/* ---- the table of keys ---- */

/* What a key takes, and what that goes into. */
enum berth_config_kind {
    BERTH_CONFIG_TEXT,        /* const char * */
    BERTH_CONFIG_FLAG,        /* bool */
    BERTH_CONFIG_WORD,        /* int: an index of words */
    BERTH_CONFIG_NUMBER,      /* int, from min to max */
    BERTH_CONFIG_COUNT,       /* size_t, likewise */
    BERTH_CONFIG_SIZE,        /* size_t: bytes, likewise */
    BERTH_CONFIG_DURATION,    /* int64_t: nanoseconds, likewise */
    BERTH_CONFIG_RANGE,       /* const char *: a range of versions */
    BERTH_CONFIG_DIRECTORIES, /* struct berth_config_list of const char * */
    BERTH_CONFIG_FUNCTIONS,   /* the same of functions, module.* and * */
    BERTH_CONFIG_TOPICS,      /* the same of topics and patterns of them */
    BERTH_CONFIG_OPTIONS,     /* const struct berth_node *: an object, with references in it */
    BERTH_CONFIG_TARGET,      /* const char *: one of words, or a file */
    BERTH_CONFIG_WORDS,       /* struct berth_config_list of struct berth_config_word */
    BERTH_CONFIG_TIMES,       /* the same of struct berth_config_time, from min to max */
    BERTH_CONFIG_OBJECT,      /* the struct that its object describes */
    BERTH_CONFIG_CHOICE,      /* the same, which begins with an int: an index of words instead */
    BERTH_CONFIG_ENTRIES,     /* struct berth_config_list of such structs, each with a name */
    BERTH_CONFIG_CALLERS,     /* the same; the name may be * */
};

struct berth_config_object;
struct berth_config_key {
    const char *name;
    enum berth_config_kind kind;
    size_t offset; /* of where it goes */
    const char *doc;
    int64_t min, max;
    const char *const *words; /* ends with NULL */
    const struct berth_config_object *object;
};
struct berth_config_object {
    size_t size, count;
    const struct berth_config_key *keys;
    /* What is wrong with values that are fine one by one, or NULL. May be NULL. */
    const char *(*check)(const void *values);
};
extern const struct berth_config_object berth_config_root;

/* What a key takes, for people: "a whole number from 1 to 1024". Returns text. */
#define BERTH_CONFIG_TAKES_MAX 160
const char *berth_config_takes(const struct berth_config_key *key,
                               char text[BERTH_CONFIG_TAKES_MAX]);

/* The JSON Schema (draft 2020-12) of a configuration; no newline at its end. */
void berth_config_schema(struct berth_buffer *buffer);

/* ---- reading ---- */

/*
 * Reads a file. Fails only when that, or memory, does; what is wrong with the text is in the
 * problems. The file's name is borrowed. To be deinit'ed in any case.
 */
int berth_config_read(struct berth_config *config, const char *file, struct berth_error *error);
/* The same of a text, which is borrowed, too. */
int berth_config_parse(struct berth_config *config, const char *file, const char *text, size_t size,
                       struct berth_error *error);
void berth_config_deinit(struct berth_config *config);

/*
 * Looks at the modules without running any code of them: whether they are found and are modules,
 * satisfy the range, have these options with these types, and have beside them what they require.
 * For a start references are resolved as well, and requirements are left to the load, as the
 * command line may bring more modules. What is wrong with an optional module's file is a warning.
 * Fails only without memory.
 */
int berth_config_check(struct berth_config *config, struct berth_search *search, bool start,
                       struct berth_error *error);

struct berth_summary;
/*
 * Looks at the grants of a configuration, by the summaries of its modules, in their order, and at
 * what those want. more: there may be modules that it does not name, and the host itself refuses
 * those that want too much.
 */
void berth_config_check_grants(struct berth_config *config, const struct berth_summary *summaries,
                               bool more);
/*
 * Warns of a name that none of the modules has, with the nearest one: "WHERE: no module …".
 */
void berth_config_warn_module(struct berth_config *config, const char *where, const char *at,
                              const char *name);
/*
 * host.permissions by what the configuration says; to learn, the host is open and notes what is
 * needed. When the host listens, the module control acts for operators, who may do everything,
 * unless the configuration has grants of theirs. It lives as long as the configuration, which may
 * be zeroed instead of read.
 */
int berth_config_permit(struct berth_config *config, bool learn, bool listens,
                        struct berth_error *error);
/* Whether it has grants of that caller. */
bool berth_config_has_grants(const struct berth_config *config, const char *caller);

/*
 * All that is to be known before a host starts by a file: reads it, adds its path and the standard
 * one to the search, and looks at its modules. To be deinit'ed in any case.
 */
int berth_config_open(struct berth_config *config, const char *file, struct berth_search *search,
                      struct berth_error *error);
/*
 * Adds a problem to next for each key that has another value than in the configuration by which a
 * host runs, and is the host's for life.
 */
void berth_config_compare(const struct berth_config *running, struct berth_config *next);

/*
 * Options as JSON, without comments. Each reference, {"$file": …} or {"$env": …}, is the string
 * that it stands for, or "" unless resolve; then what cannot be had is added to the problems, with
 * the prefix in front: "modules.m: option x: ".
 */
void berth_config_write_options(struct berth_config *config, const char *prefix,
                                const struct berth_node *options, bool resolve,
                                struct berth_buffer *buffer);
/* A reference's only member, or NULL. */
const struct berth_node *berth_config_reference(const struct berth_node *node);

#endif
