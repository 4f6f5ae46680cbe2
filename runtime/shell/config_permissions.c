/* SPDX-License-Identifier: MIT */
/* Permissions in a configuration: whom grants name, what they lack, and how the host is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/topic_name.h"
#include "runtime/shell/config.h"
#include "runtime/shell/summary.h"
#include "runtime/value/json.h"
#include "runtime/value/type.h"

enum {
    LISTED = 2,        /* in berth_config_modes */
    RULES_SHOWN = 700, /* bytes of them in a problem, which has some words around them */
};

/* ---- whom they name ---- */

static const struct berth_config_module *module_at(const struct berth_config *config, size_t i)
{
    return (const struct berth_config_module *)config->modules.items + i;
}

/* The module's number, or the count of them. */
static size_t find_module(const struct berth_config *config, const char *name)
{
    size_t i = 0;
    while (i < config->modules.count && !berth_text_equal(module_at(config, i)->entry.key, name))
        i++;
    return i;
}

void berth_config_warn_module(struct berth_config *config, const char *where, const char *at,
                              const char *name)
{
    const char **names = calloc(config->modules.count + 1, sizeof(*names));
    for (size_t i = 0; names && i < config->modules.count; i++)
        names[i] = module_at(config, i)->entry.key;
    const char *nearest = names ? berth_text_nearest(name, names, config->modules.count) : NULL;

    berth_problems_add(&config->problems, true, at, "%s: no module \"%s\" is configured%s%s%s",
                       where, name, nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                       nearest ? "\"?" : "");
    free(names);
}

static void warn_module(struct berth_config *config, const struct berth_node *grantee,
                        const char *at, const char *name)
{
    char where[BERTH_IDENTIFIER_MAX + 32];

    snprintf(where, sizeof(where), "permissions.grants.%s", grantee->key);
    berth_config_warn_module(config, where, at, name);
}

/* A function, or all of a module, that a module or the operator may call. */
static void check_call(struct berth_config *config, const struct berth_summary *summaries,
                       bool more, const struct berth_node *grantee, const struct berth_node *rule)
{
    char module[BERTH_IDENTIFIER_MAX + 1];
    const char *text = berth_node_text(rule), *dot = text ? strchr(text, '.') : NULL;

    if (!dot || !berth_function_pattern_valid(text) || strncmp(text, "host.", 5) == 0)
        return;
    memcpy(module, text, (size_t)(dot - text));
    module[dot - text] = '\0';
    size_t at = find_module(config, module);
    if (at == config->modules.count) {
        if (!more)
            warn_module(config, grantee, rule->at, module);
        return;
    }
    const struct berth_summary *summary = &summaries[at];
    if (!module_at(config, at)->found || dot[1] == '*' ||
        berth_node_find(summary->functions, dot + 1))
        return;
    const char *nearest = berth_summary_nearest(summary->functions, dot + 1);
    berth_problems_add(&config->problems, true, rule->at,
                       "permissions.grants.%s: %s %s has no function \"%s\"%s%s%s", grantee->key,
                       module, summary->version, dot + 1, nearest ? "; did you mean \"" : "",
                       nearest ? nearest : "", nearest ? "\"?" : "");
}

static void check_grantee(struct berth_config *config, const struct berth_summary *summaries,
                          bool more, const struct berth_node *grantee)
{
    bool every = berth_text_equal(grantee->key, "*");
    bool is_operator = berth_text_equal(grantee->key, berth_config_actors[0]);
    const struct berth_node *as = berth_node_find(grantee, "as");

    if (as && (every || is_operator))
        berth_problems_add(&config->problems, false, as->key_at,
                           "permissions.grants.%s: only a module can act for operators: name it",
                           grantee->key);
    if (!every && !is_operator && !more && strcmp(grantee->key, "control") != 0 &&
        find_module(config, grantee->key) == config->modules.count)
        warn_module(config, grantee, grantee->key_at, grantee->key);
    berth_node_each(berth_node_find(grantee, "call"), rule)
        check_call(config, summaries, more, grantee, rule);
}

/* ---- what they lack ---- */

struct lack {
    const struct berth_config *config;
    const char *module;
    const char *right; /* of the last one, or NULL */
    struct berth_buffer rules;
};

static bool rule_allows(bool call, const char *rule, const char *what)
{
    if (call)
        return berth_function_pattern_valid(rule) && berth_function_pattern_matches(rule, what);
    return berth_pattern_valid(rule) && berth_pattern_covers(rule, what);
}

static bool rules_allow(const struct berth_node *rules, bool call, const char *what)
{
    const struct berth_node *rule = rules ? rules->first : NULL;

    while (rule && !(berth_node_text(rule) && rule_allows(call, berth_node_text(rule), what)))
        rule = rule->next;
    return rule;
}

static bool is_granted(const struct lack *lack, const char *right, const char *what)
{
    const struct berth_config_grantee *grantees = lack->config->permissions.grants.items;
    bool call = strcmp(right, "call") == 0;
    size_t length = strlen(lack->module);

    if (call && strncmp(what, lack->module, length) == 0 && what[length] == '.')
        return true; /* its own */
    for (size_t i = 0; i < lack->config->permissions.grants.count; i++) {
        const struct berth_config_entry *caller = &grantees[i].entry;
        if ((berth_text_equal(caller->key, lack->module) || berth_text_equal(caller->key, "*")) &&
            rules_allow(berth_node_find(caller->node, right), call, what))
            return true;
    }
    return false;
}

static void want(struct lack *lack, const char *right, const char *what)
{
    if (!what || is_granted(lack, right, what))
        return;
    if (lack->right == right)
        berth_buffer_text(&lack->rules, ", ");
    else
        berth_buffer_format(&lack->rules, "%s\"%s\": [", lack->right ? "], " : "", right);
    berth_json_write_string(what, strlen(what), &lack->rules);
    lack->right = right;
}

/* A listed host would refuse it, in the same words. */
static void check_wants(struct berth_config *config, const struct berth_config_module *module,
                        const struct berth_summary *summary)
{
    static const char call[] = "call", publish[] = "publish", subscribe[] = "subscribe";
    const struct berth_node *entry = module->entry.node;
    struct lack lack = { .config = config, .module = module->entry.key };

    berth_buffer_init(&lack.rules, 0);
    berth_node_each(summary->imports, import)
        want(&lack, call, berth_node_text(berth_node_find(import, "function")));
    berth_node_each(summary->topics, topic) want(&lack, publish, topic->key);
    berth_node_each(summary->subscribes, pattern)
        want(&lack, subscribe, berth_node_text(berth_node_find(pattern, "topic")));
    if (lack.rules.failed)
        config->problems.failed = true;
    else if (lack.right && lack.rules.size > RULES_SHOWN)
        berth_problems_add(&config->problems, module->optional, entry->key_at,
                           "modules.%s: it wants more than it is granted; berth run --learn "
                           "tells what",
                           lack.module);
    else if (lack.right)
        berth_problems_add(&config->problems, module->optional, entry->key_at,
                           "modules.%s: it wants more than it is granted: add to the grants "
                           "\"%s\": {%s]}",
                           lack.module, lack.module, lack.rules.data);
    berth_buffer_deinit(&lack.rules);
}

void berth_config_check_grants(struct berth_config *config, const struct berth_summary *summaries,
                               bool more)
{
    const struct berth_config_permissions *permissions = &config->permissions;
    const struct berth_config_grantee *grantees = permissions->grants.items;

    for (size_t i = 0; i < permissions->grants.count; i++)
        check_grantee(config, summaries, more, grantees[i].entry.node);
    if (permissions->grants.count && permissions->mode != LISTED)
        berth_problems_add(&config->problems, true, grantees[0].entry.node->key_at,
                           "permissions.grants: a host whose mode is \"%s\" does not ask for "
                           "grants; one that is \"listed\" does",
                           berth_config_modes[permissions->mode]);
    for (size_t i = 0; i < config->modules.count && permissions->mode == LISTED && !more; i++)
        if (module_at(config, i)->found)
            check_wants(config, module_at(config, i), &summaries[i]);
}

/* ---- how the host is told ---- */

bool berth_config_has_grants(const struct berth_config *config, const char *caller)
{
    const struct berth_config_grantee *grantees = config->permissions.grants.items;

    for (size_t i = 0; i < config->permissions.grants.count; i++)
        if (berth_text_equal(grantees[i].entry.key, caller))
            return true;
    return false;
}

/* Those of berth run's own socket: who can reach that operates the host. */
static void put_own(const struct berth_config *config, const char **comma,
                    struct berth_buffer *buffer)
{
    static const char *const own[][2] = {
        { "control", "{\"as\":\"operator\",\"call\":[\"host.*\"]}" },
        { "operator", "{\"call\":[\"*\",\"host.*\"],\"publish\":[\">\"],"
                      "\"subscribe\":[\">\",\"host.>\"]}" },
    };

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (!berth_config_has_grants(config, own[i][0])) {
            berth_buffer_format(buffer, "%s\"%s\":%s", *comma, own[i][0], own[i][1]);
            *comma = ",";
        }
}

int berth_config_permit(struct berth_config *config, bool learn, bool listens,
                        struct berth_error *error)
{
    const struct berth_config_permissions *permissions = &config->permissions;
    const struct berth_config_grantee *grantees = permissions->grants.items;
    const char *comma = "";
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    berth_buffer_format(&buffer, "{\"mode\":\"%s\",\"record\":%s,\"grants\":{",
                        berth_config_modes[learn ? 0 : permissions->mode],
                        learn ? "true" : "false");
    for (size_t i = 0; i < permissions->grants.count; i++) {
        berth_buffer_format(&buffer, "%s\"%s\":", comma, grantees[i].entry.key);
        berth_config_write_options(config, "", grantees[i].entry.node, false, &buffer);
        comma = ",";
    }
    if (listens)
        put_own(config, &comma, &buffer);
    berth_buffer_text(&buffer, "}}");
    int code = berth_buffer_check(&buffer, error);
    if (code == BERTH_OK) {
        config->host.permissions = berth_arena_string(&config->arena, buffer.data);
        code = config->host.permissions ? BERTH_OK : berth_error_nomem(error);
    }
    berth_buffer_deinit(&buffer);
    return code;
}
