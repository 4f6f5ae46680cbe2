/* SPDX-License-Identifier: MIT */
/*
 * All keys of a configuration. Reader, JSON Schema and the manual's test follow from this table, so
 * a new key is one line here, its place in config.h, and its words in doc/berth.conf.5.
 */
#include "runtime/shell/config.h"
#include "runtime/shell/log.h"

#define INTO(object, member) offsetof(struct object, member)
#define KEYS(object, keys)   CHECKED_KEYS(object, keys, NULL)
#define CHECKED_KEYS(object, keys, check)                                    \
    {                                                                        \
        sizeof(struct object), sizeof(keys) / sizeof((keys)[0]), keys, check \
    }
#define MILLISECOND INT64_C(1000000)
#define YEAR        (8760 * 3600 * INT64_C(1000000000))
#define KIB         (INT64_C(1) << 10)
#define GIB         (INT64_C(1) << 30)

const char *const berth_placements[] = { "inline", "process", NULL };
const char *const berth_config_modes[] = { "open", "declared", "listed", NULL };
const char *const berth_config_actors[] = { "operator", NULL };
const char *const berth_restarts[] = { "always", "never", NULL };

struct berth_restart_policy berth_config_policy(const struct berth_config_restart *restart)
{
    struct berth_restart_policy policy = restart->policy;

    policy.size = sizeof(policy);
    if (restart->word == 1)
        policy.limit = BERTH_RESTART_NEVER;
    return policy;
}

/* 0: not given. */
static const char *check_restart(const void *values)
{
    const struct berth_restart_policy *policy =
        &((const struct berth_config_restart *)values)->policy;
    int64_t first = policy->first_ns ? policy->first_ns : 100 * MILLISECOND;
    int64_t last = policy->last_ns ? policy->last_ns : 30000 * MILLISECOND;

    return first > last
               ? "the first delay is longer than the last one, which is 30s if it is not given"
               : NULL;
}
static const char *const after_crash[] = {
    [BERTH_AFTER_CRASH_NOTHING] = "nothing",
    [BERTH_AFTER_CRASH_ISOLATE] = "isolate",
    [BERTH_AFTER_CRASH_ISOLATE + 1] = NULL,
};
const char *const berth_stagings[] = { "memory", "file", NULL };
static const char *const log_targets[] = { "stderr", "journal", NULL };

/* clang-format off */
static const struct berth_config_key limit_keys[] = {
    { "max_message", BERTH_CONFIG_SIZE, INTO(berth_config, host.max_message),
      "Bytes of a JSON text, or of a packed message or call.", KIB, GIB, NULL, NULL },
    { "mailbox_messages", BERTH_CONFIG_COUNT, INTO(berth_config, host.mailbox_messages),
      "Messages that wait in the mailbox of a module.", 1, 1000000, NULL, NULL },
    { "mailbox_bytes", BERTH_CONFIG_SIZE, INTO(berth_config, host.mailbox_bytes),
      "Bytes of messages that wait in the mailbox of a module.", KIB, GIB, NULL, NULL },
    { "call_timeout", BERTH_CONFIG_DURATION, INTO(berth_config, host.call_timeout_ns),
      "The time of a call that has neither a deadline nor a timeout of its own.",
      MILLISECOND, YEAR, NULL, NULL },
    { "call_timeouts", BERTH_CONFIG_TIMES, INTO(berth_config, timeouts),
      "The longest time of a call: of a function (module.function), or of all of a module.",
      MILLISECOND, YEAR, NULL, NULL },
    { "stop_timeout", BERTH_CONFIG_DURATION, INTO(berth_config, host.stop_timeout_ns),
      "How long an unload, a reload, or the end of the host waits for calls to end.",
      MILLISECOND, YEAR, NULL, NULL },
    { "history", BERTH_CONFIG_COUNT, INTO(berth_config, host.history),
      "Generations that are remembered with their images, of each module. Default: 8.",
      0, 1000, NULL, NULL },
    { "history_bytes", BERTH_CONFIG_SIZE, INTO(berth_config, host.history_bytes),
      "Bytes of all these images. Default: 64MiB.", KIB, GIB, NULL, NULL },
    { "quarantine_images", BERTH_CONFIG_COUNT, INTO(berth_config, host.quarantine_images),
      "Old images that are not proved safe to unmap, before reloads are refused.", 1, 1000000,
      NULL, NULL },
    { "quarantine_bytes", BERTH_CONFIG_SIZE, INTO(berth_config, host.quarantine_bytes),
      "Bytes of address space of such images, before reloads are refused.", KIB, 1024 * GIB,
      NULL, NULL },
};
static const struct berth_config_object limits = KEYS(berth_config, limit_keys);

static const struct berth_config_key log_keys[] = {
    { "level", BERTH_CONFIG_WORD, INTO(berth_config, host.log_level),
      "The most detailed lines that are logged.", 0, 0, berth_log_levels, NULL },
    { "levels", BERTH_CONFIG_WORDS, INTO(berth_config, levels),
      "The same for single modules; \"host\" is the host itself.", 0, 0, berth_log_levels, NULL },
    { "target", BERTH_CONFIG_TARGET, INTO(berth_config, log_target),
      "Where lines go: stderr, journal, or a file. Default: stderr.", 0, 0, log_targets, NULL },
    { "format", BERTH_CONFIG_WORD, INTO(berth_config, log_format),
      "Lines of text, or one JSON object a line.", 0, 0, berth_log_formats, NULL },
};
static const struct berth_config_object log_object = KEYS(berth_config, log_keys);

static const struct berth_config_key restart_keys[] = {
    { "limit", BERTH_CONFIG_NUMBER, INTO(berth_config_restart, policy.limit),
      "So many restarts within the window. Default: 5.", 1, 32, NULL, NULL },
    { "window", BERTH_CONFIG_DURATION, INTO(berth_config_restart, policy.window_ns),
      "The time that the limit is for; a life of it forgives what was before. Default: 30s.",
      MILLISECOND, YEAR, NULL, NULL },
    { "first", BERTH_CONFIG_DURATION, INTO(berth_config_restart, policy.first_ns),
      "The delay of the second restart, the first being at once. Default: 100ms.",
      MILLISECOND, YEAR, NULL, NULL },
    { "last", BERTH_CONFIG_DURATION, INTO(berth_config_restart, policy.last_ns),
      "The longest delay: each one is twice the one before. Default: 30s.",
      MILLISECOND, YEAR, NULL, NULL },
};
static const struct berth_config_object restart =
    CHECKED_KEYS(berth_config_restart, restart_keys, check_restart);

static const struct berth_config_key module_keys[] = {
    { "file", BERTH_CONFIG_TEXT, INTO(berth_config_module, file),
      "Its file, with a / or at the end .so; or a name for the search path. Default: its own name.",
      0, 0, NULL, NULL },
    { "version", BERTH_CONFIG_RANGE, INTO(berth_config_module, version),
      "The versions that will do. Default: any.", 0, 0, NULL, NULL },
    { "placement", BERTH_CONFIG_WORD, INTO(berth_config_module, placement),
      "Where it runs: inline, in the host's own process, or in a process of its own.",
      0, 0, berth_placements, NULL },
    { "options", BERTH_CONFIG_OPTIONS, INTO(berth_config_module, options),
      "Values for the module's options.", 0, 0, NULL, NULL },
    { "optional", BERTH_CONFIG_FLAG, INTO(berth_config_module, optional),
      "Whether the host starts without it when it cannot be loaded.", 0, 0, NULL, NULL },
    { "restart", BERTH_CONFIG_CHOICE, INTO(berth_config_module, restart),
      "Whether and how often it comes back when its worker has died. Default: always.",
      0, 0, berth_restarts, &restart },
};
static const struct berth_config_object module = KEYS(berth_config_module, module_keys);

static const struct berth_config_key grantee_keys[] = {
    { "as", BERTH_CONFIG_WORD, INTO(berth_config_grantee, as),
      "In whose name it does what it does through the module host. Default: its own.",
      0, 0, berth_config_actors, NULL },
    { "call", BERTH_CONFIG_FUNCTIONS, INTO(berth_config_grantee, call),
      "The functions that it may call.", 0, 0, NULL, NULL },
    { "publish", BERTH_CONFIG_TOPICS, INTO(berth_config_grantee, publish),
      "The topics that it may publish to.", 0, 0, NULL, NULL },
    { "subscribe", BERTH_CONFIG_TOPICS, INTO(berth_config_grantee, listens),
      "The topics that it may subscribe to.", 0, 0, NULL, NULL },
};
static const struct berth_config_object grantee = KEYS(berth_config_grantee, grantee_keys);

static const struct berth_config_key permission_keys[] = {
    { "mode", BERTH_CONFIG_WORD, INTO(berth_config_permissions, mode),
      "open: everything; declared: what manifests declare; listed: of that, what is granted.",
      0, 0, berth_config_modes, NULL },
    { "grants", BERTH_CONFIG_CALLERS, INTO(berth_config_permissions, grants),
      "What each module may do; * is every module, operator who operates the host.",
      0, 0, NULL, &grantee },
};
static const struct berth_config_object permissions =
    KEYS(berth_config_permissions, permission_keys);

static const struct berth_config_key root_keys[] = {
    { "$schema", BERTH_CONFIG_TEXT, INTO(berth_config, schema),
      "Where an editor finds the JSON Schema; not used otherwise.", 0, 0, NULL, NULL },
    { "name", BERTH_CONFIG_TEXT, INTO(berth_config, host.name),
      "The name of the host.", 0, 0, NULL, NULL },
    { "threads", BERTH_CONFIG_NUMBER, INTO(berth_config, host.threads),
      "Threads for messages, timers and watches. Default: one for each processor.",
      1, 1024, NULL, NULL },
    { "path", BERTH_CONFIG_DIRECTORIES, INTO(berth_config, path),
      "Directories where modules are searched.", 0, 0, NULL, NULL },
    { "modules", BERTH_CONFIG_ENTRIES, INTO(berth_config, modules),
      "The modules, each under its name in the host.", 0, 0, NULL, &module },
    { "permissions", BERTH_CONFIG_OBJECT, INTO(berth_config, permissions),
      "What modules may do.", 0, 0, NULL, &permissions },
    { "limits", BERTH_CONFIG_OBJECT, 0,
      "Limits of the host.", 0, 0, NULL, &limits },
    { "log", BERTH_CONFIG_OBJECT, 0,
      "What is logged.", 0, 0, NULL, &log_object },
    { "after_crash", BERTH_CONFIG_WORD, INTO(berth_config, after_crash),
      "What becomes of the module that the last run has crashed in: isolate loads it in a process.",
      0, 0, after_crash, NULL },
    { "staging", BERTH_CONFIG_WORD, INTO(berth_config, staging),
      "What inline images are mapped from: sealed memory, or named files, for perf.",
      0, 0, berth_stagings, NULL },
};
/* clang-format on */
const struct berth_config_object berth_config_root = KEYS(berth_config, root_keys);
