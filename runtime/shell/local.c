/* SPDX-License-Identifier: MIT */
#include "runtime/shell/local.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/shell/control.h"
#include "runtime/shell/log.h"
#include "runtime/shell/place.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/summary.h"

void berth_local_init(struct berth_local *local)
{
    *local = (struct berth_local){ .count = 0 };
    berth_search_init(&local->search);
}

void berth_local_end(struct berth_local *local, struct berth_shutdown_report *report)
{
    berth_host_end(local->host, report);
    local->host = NULL;
}

void berth_local_deinit(struct berth_local *local)
{
    berth_host_free(local->host);
    free(local->modules);
    berth_search_deinit(&local->search);
    *local = (struct berth_local){ 0 };
}

static int add(struct berth_local *local, const struct berth_local_module *module,
               struct berth_error *error)
{
    if (local->count == local->room) {
        size_t room = local->room ? 2 * local->room : 8;
        struct berth_local_module *more = realloc(local->modules, room * sizeof(*more));
        if (!more)
            return berth_error_nomem(error);
        local->modules = more;
        local->room = room;
    }
    local->modules[local->count++] = *module;
    return BERTH_OK;
}

int berth_local_add(struct berth_local *local, char *word, struct berth_error *error)
{
    struct berth_local_module module = { .file = word };
    char *equals = strrchr(word, '=');

    if (!*word || equals == word)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "\"%s\" names no module's file",
                               word);

    if (equals && (!strcmp(equals + 1, "inline") || !strcmp(equals + 1, "process"))) {
        *equals = '\0';
        module.placement = equals + 1;
    } else if (equals && !strpbrk(equals, "./")) {
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: there is no placement \"%s\", only inline and process", word,
                               equals + 1);
    }
    return add(local, &module, error);
}

int berth_local_add_config(struct berth_local *local, const struct berth_config *config,
                           struct berth_error *error)
{
    const struct berth_config_module *modules = config->modules.items;
    int code = BERTH_OK;

    local->levels = &config->levels;
    local->timeouts = &config->timeouts;
    for (size_t i = 0; i < config->modules.count && code == BERTH_OK; i++)
        if (modules[i].found)
            code = add(local,
                       &(struct berth_local_module){
                           .file = modules[i].found,
                           .name = modules[i].entry.key,
                           .placement = berth_placements[modules[i].placement],
                           .options = modules[i].options_json,
                           .restart = berth_config_policy(&modules[i].restart),
                           .optional = modules[i].optional,
                       },
                       error);
    return code;
}

int berth_local_find(struct berth_local *local, struct berth_error *error)
{
    int code = BERTH_OK;

    for (size_t i = 0; i < local->count && code == BERTH_OK; i++)
        code = berth_search_file(&local->search, local->modules[i].file, &local->modules[i].file,
                                 error);
    return code;
}

bool berth_local_isolate(struct berth_local *local, const char *name, const char *version)
{
    bool isolated = false;

    for (size_t i = 0; i < local->count; i++) {
        struct berth_local_module *module = &local->modules[i];
        struct berth_summary summary;
        bool is_inline = !module->placement || strcmp(module->placement, "inline") == 0;
        if (!is_inline || (module->name && strcmp(module->name, name) != 0) ||
            berth_summary_init(&summary, module->file, NULL) != BERTH_OK)
            continue;
        if (strcmp(module->name ? module->name : summary.module, name) == 0 &&
            strcmp(summary.version, version) == 0) {
            module->placement = "process";
            isolated = true;
        }
        berth_summary_deinit(&summary);
    }
    return isolated;
}

/*
 * The worker's program: BERTH_WORKER names it; a shell in a build tree takes the one that was built
 * with it; NULL leaves it to libberth, which knows the installed one.
 */
static const char *find_worker(char path[PATH_MAX])
{
    const char *named = secure_getenv("BERTH_WORKER");
    if (named && *named)
        return named;
    return berth_place_built("/berth-worker", path) && access(path, X_OK) == 0 ? path : NULL;
}

static struct berth_load_options load_options(const struct berth_local_module *module)
{
    return (struct berth_load_options){
        .size = sizeof(struct berth_load_options),
        .name = module->name,
        .placement = module->placement,
        .options = module->options,
        .restart = module->restart.size ? &module->restart : NULL,
    };
}

static void set_loaded(struct berth_local *local, struct berth_local_module *module)
{
    module->loaded = true;
    local->loaded++;
}

/* Those without which the host does not start: all of them, or none. */
static int load_needed(struct berth_local *local, struct berth_error *error)
{
    const char **files = calloc(local->count + 1, sizeof(*files));
    struct berth_load_options *options = calloc(local->count + 1, sizeof(*options));
    size_t count = 0;
    int code = files && options ? BERTH_OK : berth_error_nomem(error);

    for (size_t i = 0; i < local->count && code == BERTH_OK; i++)
        if (!local->modules[i].optional) {
            files[count] = local->modules[i].file;
            options[count++] = load_options(&local->modules[i]);
        }
    if (code == BERTH_OK && count)
        code = berth_host_load_all(local->host, files, options, count, error);
    for (size_t i = 0; i < local->count && code == BERTH_OK; i++)
        if (!local->modules[i].optional)
            set_loaded(local, &local->modules[i]);
    free(files);
    free(options);
    return code;
}

/* Whether an optional module requires another one that is still to come. */
static bool waits(const struct berth_local *local, const bool *done, size_t of)
{
    struct berth_summary summary;
    bool found = false;

    if (berth_summary_init(&summary, local->modules[of].file, NULL) != BERTH_OK)
        return false; /* the load will tell */
    for (size_t i = 0; i < local->count; i++)
        found |= !done[i] && i != of &&
                 berth_node_find(summary.requires, local->modules[i].name) != NULL;
    berth_summary_deinit(&summary);
    return found;
}

/* Each by itself, after those that it requires; in a ring, the first one fails and says why. */
static int load_optional(struct berth_local *local, struct berth_error *error)
{
    bool *done = calloc(local->count + 1, sizeof(*done));
    struct berth_error why = { 0 };

    if (!done)
        return berth_error_nomem(error);
    for (size_t i = 0; i < local->count; i++)
        done[i] = !local->modules[i].optional;
    for (;;) {
        size_t next = local->count, first = local->count;
        for (size_t i = local->count; i-- > 0;) {
            if (done[i])
                continue;
            first = i;
            next = waits(local, done, i) ? next : i;
        }
        next = next < local->count ? next : first;
        if (next == local->count)
            break;
        struct berth_local_module *module = &local->modules[next];
        const struct berth_load_options options = load_options(module);
        done[next] = true;
        if (berth_host_load(local->host, module->file, &options, &why) == BERTH_OK)
            set_loaded(local, module);
        else
            berth_log_warning("%s is optional, and is left out: %s: %s", module->name,
                              berth_code_name(why.code), why.text);
    }
    free(done);
    return BERTH_OK;
}

/* Before the modules are there: their first lines count. */
static int set_levels(struct berth_local *local, struct berth_error *error)
{
    size_t count = local->levels ? local->levels->count : 0;
    int code = BERTH_OK;

    for (size_t i = 0; i < count && code == BERTH_OK; i++) {
        const struct berth_config_word *level = local->levels->items;
        code = berth_host_set_log_level(local->host, level[i].entry.key, level[i].word, error);
    }
    return code;
}

static int set_timeouts(struct berth_local *local, struct berth_error *error)
{
    size_t count = local->timeouts ? local->timeouts->count : 0;
    int code = BERTH_OK;

    for (size_t i = 0; i < count && code == BERTH_OK; i++) {
        const struct berth_config_time *timeout = local->timeouts->items;
        code = berth_host_set_call_timeout(local->host, timeout[i].entry.key, timeout[i].ns, error);
    }
    return code;
}

int berth_local_open(struct berth_local *local, struct berth_host_options options,
                     struct berth_error *error)
{
    const char *worker = find_worker(local->worker);
    if (worker)
        options.worker = worker;

    if (berth_host_new(&options, &local->host, error) != BERTH_OK)
        return BERTH_EXIT_NO_HOST;
    if (set_levels(local, error) != BERTH_OK || set_timeouts(local, error) != BERTH_OK)
        return BERTH_EXIT_FAILED;
    if (local->offer && berth_offer_provide(local->offer, local->host, error) != BERTH_OK)
        return BERTH_EXIT_FAILED;
    if (local->socket && berth_control_load(local->host, local->socket, local->offer->listener >= 0,
                                            error) != BERTH_OK)
        return BERTH_EXIT_FAILED;
    if (load_needed(local, error) != BERTH_OK || load_optional(local, error) != BERTH_OK)
        return BERTH_EXIT_FAILED;
    return BERTH_EXIT_OK;
}
