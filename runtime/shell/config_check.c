/* SPDX-License-Identifier: MIT */
/* What can be said of a configuration's modules without running them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/image/semver.h"
#include "runtime/shell/config.h"
#include "runtime/shell/file.h"
#include "runtime/shell/offer.h"
#include "runtime/shell/summary.h"
#include "runtime/value/json.h"

struct check {
    struct berth_config *config;
    struct berth_search *search;
    bool start;
    struct berth_config_module *module;
    struct berth_summary *summaries; /* one for each module; valid where it was found */
};

static struct berth_config_module *module_at(const struct berth_config *config, size_t i)
{
    return (struct berth_config_module *)config->modules.items + i;
}

/* Where a module's key stands; its own place when it is not given. */
static const char *place(const struct berth_config_module *module, const char *key)
{
    const struct berth_node *node = berth_node_find(module->entry.node, key);
    return node ? node->at : module->entry.node->key_at;
}

/* What is wrong with the file of the module: it may do without, if it is optional. */
static int complain(struct check *check, const char *key, const struct berth_error *error)
{
    const struct berth_config_module *module = check->module;

    if (error->code == BERTH_RESOURCE_EXHAUSTED)
        return error->code;
    berth_problems_add(&check->config->problems, module->optional, place(module, key),
                       "modules.%s: %s%s", module->entry.key, error->text,
                       module->optional ? " (it is optional: the host starts without it)" : "");
    return BERTH_OK;
}

/* ---- options ---- */

/* In front of what is wrong with a reference. */
#define PREFIX_MAX (2 * BERTH_IDENTIFIER_MAX + 32)
static const char *prefix_of(const struct check *check, const struct berth_node *option,
                             char prefix[PREFIX_MAX])
{
    snprintf(prefix, PREFIX_MAX, "modules.%s: option %s: ", check->module->entry.key, option->key);
    return prefix;
}

/* All of them, references resolved. */
static void write_options(const struct check *check, const struct berth_node *options,
                          struct berth_buffer *buffer)
{
    char prefix[PREFIX_MAX];

    berth_buffer_text(buffer, "{");
    berth_node_each(options, option)
    {
        berth_buffer_text(buffer, option == options->first ? "" : ",");
        berth_json_write_string(option->key, strlen(option->key), buffer);
        berth_buffer_text(buffer, ":");
        berth_config_write_options(check->config, prefix_of(check, option, prefix), option, true,
                                   buffer);
    }
    berth_buffer_text(buffer, "}");
}

/* Whether a value has the type, its references standing for strings. */
static int try_option(struct check *check, const struct berth_node *node,
                      const struct berth_type *type, struct berth_error *error)
{
    struct berth_buffer text;
    struct berth_arena arena;
    char what[BERTH_IDENTIFIER_MAX + 16], prefix[PREFIX_MAX];

    berth_buffer_init(&text, 0);
    berth_config_write_options(check->config, prefix_of(check, node, prefix), node, false, &text);
    void *value = NULL;
    int code = berth_buffer_check(&text, error);
    berth_arena_init(&arena);
    if (code == BERTH_OK) {
        value = berth_arena_alloc(&arena, type->size);
        code = value ? BERTH_OK : berth_error_nomem(error);
    }
    if (code == BERTH_OK) {
        snprintf(what, sizeof(what), "option %s", node->key);
        code = berth_json_read(type, text.data, text.size, what, &arena, value, error);
    }
    berth_arena_deinit(&arena);
    berth_buffer_deinit(&text);
    return code;
}

static void refuse_option(struct check *check, const struct berth_summary *summary,
                          const struct berth_node *node)
{
    const char *nearest = berth_summary_nearest(summary->options, node->key);

    berth_problems_add(&check->config->problems, false, node->key_at,
                       "modules.%s: %s %s has no option \"%.64s\"%s%s%s", check->module->entry.key,
                       summary->module, summary->version, node->key,
                       nearest ? "; did you mean \"" : "; berth show lists those that it has",
                       nearest ? nearest : "", nearest ? "\"?" : "");
}

static int check_option(struct check *check, const struct berth_summary *summary,
                        const struct berth_node *node)
{
    struct berth_problems *problems = &check->config->problems;
    const char *name = check->module->entry.key;
    const struct berth_type *type = NULL;
    struct berth_error error;
    int code = berth_summary_option(summary, node->key, &type, &error);

    if (code == BERTH_NOT_FOUND)
        refuse_option(check, summary, node);
    else if (code == BERTH_OK)
        code = try_option(check, node, type, &error);
    if (code == BERTH_RESOURCE_EXHAUSTED)
        return code;
    if (type && code != BERTH_OK && berth_config_reference(node))
        berth_problems_add(problems, false, node->at,
                           "modules.%s: option %s is of type %s, and a reference stands for a "
                           "string",
                           name, node->key, type->text);
    else if (type && code == BERTH_OUT_OF_RANGE) /* which names the type */
        berth_problems_add(problems, false, node->at, "modules.%s: %s", name, error.text);
    else if (type && code != BERTH_OK)
        berth_problems_add(problems, false, node->at, "modules.%s: %s (%s)", name, error.text,
                           type->text);
    return BERTH_OK;
}

static int check_options(struct check *check, const struct berth_summary *summary)
{
    const struct berth_node *options = check->module->options;
    size_t errors = check->config->problems.errors;
    struct berth_buffer buffer;
    struct berth_error error;
    int code = BERTH_OK;

    berth_node_each(options, option) if (code == BERTH_OK) code =
        check_option(check, summary, option);
    if (code != BERTH_OK || !options || !check->start || check->config->problems.errors > errors)
        return code;

    berth_buffer_init(&buffer, 0);
    write_options(check, options, &buffer);
    code = berth_buffer_check(&buffer, &error);
    if (code == BERTH_OK) {
        check->module->options_json = berth_arena_string(&check->config->arena, buffer.data);
        code = check->module->options_json ? BERTH_OK : BERTH_RESOURCE_EXHAUSTED;
    }
    if (buffer.data)
        explicit_bzero(buffer.data, buffer.size);
    berth_buffer_deinit(&buffer);
    return code;
}

/* ---- the module's file ---- */

static int find(struct check *check, const char **ret_file, struct berth_error *error)
{
    const struct berth_config_module *module = check->module;
    const char *word = module->file ? module->file : module->entry.key;
    struct berth_search_result result;

    if (berth_search_is_file(word)) {
        *ret_file = berth_file_beside(check->config->file, word, &check->config->arena);
        return *ret_file ? BERTH_OK : berth_error_nomem(error);
    }
    int code = berth_search_find(check->search, word, module->version, false, &result, error);
    *ret_file = result.file;
    return code;
}

static int check_version(struct check *check, const struct berth_summary *summary,
                         struct berth_error *error)
{
    struct berth_semver_range range;
    const char *version = check->module->version;

    if (!version || !berth_semver_range_parse(version, &range) ||
        berth_semver_range_holds(&range, &summary->semver))
        return BERTH_OK;
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "%s is of version %s, which is not in %s: give another file or range",
                           check->module->found, summary->version, version);
}

/* Before a start it is often enough that the host will be able to read it. */
static bool needs_summary(const struct check *check)
{
    return !check->start || check->module->options || check->module->version ||
           check->config->permissions.grants.count > 0;
}

static int check_module(struct check *check, struct berth_summary *summary)
{
    const char *file = NULL;
    struct berth_error error;
    int code = find(check, &file, &error);

    if (code == BERTH_OK)
        code = needs_summary(check) ? berth_summary_init(summary, file, &error)
                                    : berth_manifest_read(file, NULL, NULL, &error);
    if (code != BERTH_OK)
        return complain(check, "file", &error);
    check->module->found = file;
    code = check_version(check, summary, &error);
    if (code != BERTH_OK) {
        berth_summary_deinit(summary);
        check->module->found = NULL;
        return complain(check, "version", &error);
    }
    return check_options(check, summary);
}

/* Names that are taken before any module is loaded. */
static void check_name(struct check *check)
{
    const struct berth_config_entry *entry = &check->module->entry;
    bool host = berth_text_equal(entry->key, "host");

    if (host || berth_text_equal(entry->key, BERTH_OFFER_NAME))
        berth_problems_add(&check->config->problems, false, entry->node->key_at,
                           "modules.%s: this name has %s: choose another one", entry->key,
                           host ? "the host itself" : "what berth run offers");
}

/* ---- the log ---- */

/* Warnings: a directory may be made before the host starts, and a module come by hand. */
static void check_target(struct berth_config *config, const struct berth_node *log)
{
    const char *target = config->log_target, *slash = target ? strrchr(target, '/') : NULL;
    char directory[PATH_MAX];
    struct stat status;

    if (!slash)
        return;
    snprintf(directory, sizeof(directory), "%.*s", (int)(slash + 1 - target), target);
    if (stat(directory, &status) < 0 || !S_ISDIR(status.st_mode))
        berth_problems_add(&config->problems, true, berth_node_find(log, "target")->at,
                           "log.target: there is no directory %s: make it", directory);
}

static bool is_known(const struct berth_config *config, const char *module)
{
    static const char *const always[] = { "host", "control", BERTH_OFFER_NAME };

    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (berth_text_equal(module, always[i]))
            return true;
    for (size_t i = 0; i < config->modules.count; i++)
        if (berth_text_equal(module, module_at(config, i)->entry.key))
            return true;
    return false;
}

static void check_levels(struct berth_config *config)
{
    const struct berth_config_word *levels = config->levels.items;

    for (size_t i = 0; i < config->levels.count; i++) {
        const struct berth_config_entry *entry = &levels[i].entry;
        char where[BERTH_IDENTIFIER_MAX + 16];
        snprintf(where, sizeof(where), "log.levels.%s", entry->key);
        if (!is_known(config, entry->key))
            berth_config_warn_module(config, where, entry->node->key_at, entry->key);
    }
}

/* ---- timeouts ---- */

static const struct berth_summary *provider(const struct check *check, const char *name);

/* Of a function that its module does not have; a module may come by hand. */
static void check_timeout(const struct check *check, const struct berth_config_entry *entry)
{
    char module[BERTH_IDENTIFIER_MAX + 1], where[2 * BERTH_IDENTIFIER_MAX + 32];
    const char *dot = strchr(entry->key, '.');
    int length = dot ? (int)(dot - entry->key) : (int)strlen(entry->key);

    snprintf(module, sizeof(module), "%.*s", length, entry->key);
    snprintf(where, sizeof(where), "limits.call_timeouts.%s", entry->key);
    const struct berth_summary *summary = provider(check, module);
    if (!summary) {
        if (!is_known(check->config, module))
            berth_config_warn_module(check->config, where, entry->node->key_at, module);
        return;
    }
    if (!summary->version || !dot || berth_node_find(summary->functions, dot + 1))
        return;
    const char *nearest = berth_summary_nearest(summary->functions, dot + 1);
    berth_problems_add(&check->config->problems, true, entry->node->key_at,
                       "%s: %s %s has no function \"%s\"%s%s%s", where, module, summary->version,
                       dot + 1, nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                       nearest ? "\"?" : "");
}

static void check_timeouts(const struct check *check)
{
    const struct berth_config_time *timeouts = check->config->timeouts.items;

    for (size_t i = 0; i < check->config->timeouts.count; i++)
        check_timeout(check, &timeouts[i].entry);
}

/* ---- requirements ---- */

static const struct berth_summary *provider(const struct check *check, const char *name)
{
    for (size_t i = 0; i < check->config->modules.count; i++)
        if (berth_text_equal(module_at(check->config, i)->entry.key, name))
            return &check->summaries[i];
    return NULL;
}

static void check_requirement(struct check *check, const struct berth_node *require)
{
    const struct berth_config_module *module = check->module;
    const struct berth_summary *other = provider(check, require->key);
    struct berth_semver_range range;
    const char *at = module->entry.node->key_at, *optional = module->optional ? " (optional)" : "";

    if (!other)
        berth_problems_add(&check->config->problems, module->optional, at,
                           "modules.%s%s requires %s %s, which is not among the modules: add it",
                           module->entry.key, optional, require->key, require->text);
    else if (other->version && berth_semver_range_parse(require->text, &range) &&
             !berth_semver_range_holds(&range, &other->semver))
        berth_problems_add(&check->config->problems, module->optional, at,
                           "modules.%s%s requires %s %s, and what is found is %s",
                           module->entry.key, optional, require->key, require->text,
                           other->version);
}

int berth_config_open(struct berth_config *config, const char *file, struct berth_search *search,
                      struct berth_error *error)
{
    int code = berth_config_read(config, file, error);
    const char *const *directories = config->path.items;

    for (size_t i = 0; i < config->path.count && code == BERTH_OK; i++)
        code = berth_search_add(search, directories[i], "path", error);
    if (code == BERTH_OK)
        code = berth_search_add_standard(search, error);
    return code == BERTH_OK ? berth_config_check(config, search, true, error) : code;
}

int berth_config_check(struct berth_config *config, struct berth_search *search, bool start,
                       struct berth_error *error)
{
    size_t count = config->modules.count;
    struct check check = { .config = config, .search = search, .start = start };
    int code = BERTH_OK;

    if (!config->whole) /* more would be said of what is missing than of what is there */
        return BERTH_OK;
    check.summaries = calloc(count + 1, sizeof(*check.summaries));
    if (!check.summaries)
        return berth_error_nomem(error);
    for (size_t i = 0; i < count && code == BERTH_OK; i++) {
        check.module = module_at(config, i);
        check_name(&check);
        code = check_module(&check, &check.summaries[i]);
    }
    if (code == BERTH_OK && !start) {
        check_target(config, berth_node_find(config->root, "log"));
        check_levels(config);
        check_timeouts(&check);
    }
    for (size_t i = 0; i < count && code == BERTH_OK && !start; i++) {
        check.module = module_at(config, i);
        if (check.module->found)
            berth_node_each(check.summaries[i].requires, require)
                check_requirement(&check, require);
    }
    if (code == BERTH_OK)
        berth_config_check_grants(config, check.summaries, start);
    for (size_t i = 0; i < count; i++)
        if (module_at(config, i)->found)
            berth_summary_deinit(&check.summaries[i]);
    free(check.summaries);
    return code == BERTH_OK && !config->problems.failed ? BERTH_OK : berth_error_nomem(error);
}
