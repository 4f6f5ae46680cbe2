/* SPDX-License-Identifier: MIT */
#include "runtime/shell/reconfigure.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/path.h"
#include "runtime/base/text.h"
#include "runtime/shell/log.h"
#include "runtime/value/json.h"

int berth_reconfigure_init(struct berth_reconfigure *reconfigure, struct berth_local *local,
                           const struct berth_config *config, const struct berth_notify *notify,
                           struct berth_error *error)
{
    *reconfigure = (struct berth_reconfigure){ .local = local, .config = config, .notify = notify };
    pthread_mutex_init(&reconfigure->lock, NULL);
    return berth_roster_fill(&reconfigure->roster, config, error);
}

void berth_reconfigure_deinit(struct berth_reconfigure *reconfigure)
{
    berth_roster_deinit(&reconfigure->roster);
    pthread_mutex_destroy(&reconfigure->lock);
}

void berth_reconfigure_close(struct berth_reconfigure *reconfigure)
{
    pthread_mutex_lock(&reconfigure->lock);
    reconfigure->closed = true;
    pthread_mutex_unlock(&reconfigure->lock);
}

static bool is_loaded(const struct berth_local *local, const char *name)
{
    for (size_t i = 0; i < local->count; i++)
        if (local->modules[i].name && berth_text_equal(local->modules[i].name, name))
            return local->modules[i].loaded;
    return false;
}

void berth_reconfigure_started(struct berth_reconfigure *reconfigure)
{
    struct berth_roster *roster = &reconfigure->roster;

    for (size_t i = roster->count; i-- > 0;)
        if (!is_loaded(reconfigure->local, roster->entries[i]->name))
            berth_roster_remove(roster, roster->entries[i]->name);
}

/* ---- what really runs: others may have unloaded and reloaded modules meanwhile ---- */

static const struct berth_node *find_module(const struct berth_node *list, const char *name)
{
    berth_node_each(berth_node_find(list, "modules"), module)
    {
        const char *text = berth_node_text(berth_node_find(module, "name"));
        if (text && berth_text_equal(text, name))
            return module;
    }
    return NULL;
}

/* A host names files from the root; this program stays in the directory that it was started in. */
static bool same_file(const char *listed, const char *file)
{
    char path[PATH_MAX];

    return berth_path_absolute(file, path, NULL) == BERTH_OK && berth_text_equal(listed, path);
}

/* One entry, by what the host says of it. */
static int adjust(struct berth_roster *roster, struct berth_roster_entry *entry,
                  const struct berth_node *module, struct berth_error *error)
{
    const char *file = berth_node_text(berth_node_find(module, "file"));
    const char *placement = berth_node_text(berth_node_find(module, "placement"));

    if (!file || !placement) { /* it is gone, or another one that has no file has its name */
        berth_roster_remove(roster, entry->name);
        return BERTH_OK;
    }
    if (same_file(file, entry->file) && berth_text_equal(placement, entry->placement))
        return BERTH_OK;
    struct berth_roster_entry *other = berth_roster_entry_elsewhere(entry, file, placement);
    if (!other)
        return berth_error_nomem(error);
    berth_roster_put(roster, other);
    berth_roster_entry_unref(other);
    return BERTH_OK;
}

static int take_stock(berth_host *host, struct berth_roster *roster, struct berth_error *error)
{
    struct berth_problems problems;
    struct berth_arena arena;
    const struct berth_node *list = NULL;
    char *json;
    bool whole;

    if (berth_host_list(host, &json, error) != BERTH_OK)
        return error->code;
    berth_arena_init(&arena);
    berth_problems_init(&problems, "", json, strlen(json));
    int code = berth_document_read(&problems, false, &arena, &list, &whole, error);
    for (size_t i = roster->count; i-- > 0 && code == BERTH_OK;)
        code =
            adjust(roster, roster->entries[i], find_module(list, roster->entries[i]->name), error);
    berth_problems_deinit(&problems);
    berth_arena_deinit(&arena);
    free(json);
    return code;
}

/* ---- reading it again ---- */

/* The command line's directories come first, as at the start. */
static int open_search(const struct berth_reconfigure *reconfigure, struct berth_search *search,
                       struct berth_error *error)
{
    int code = BERTH_OK;

    berth_search_init(search);
    for (const struct berth_search_place *place = reconfigure->local->search.first; place;
         place = place->next)
        if (code == BERTH_OK && berth_text_equal(place->origin, "--path"))
            code = berth_search_add(search, place->directory, place->origin, error);
    return code;
}

static int tell_error(int code, const struct berth_error *error)
{
    if (code != BERTH_OK)
        berth_log_error("%s: %s", berth_code_name(code), error->text);
    return code;
}

/* Everything that is wrong with it is told before anything is changed. */
static int read_again(const struct berth_reconfigure *reconfigure, struct berth_config *config,
                      struct berth_search *search, struct berth_roster *to,
                      struct berth_error *error)
{
    int code = open_search(reconfigure, search, error);

    if (code == BERTH_OK)
        code = berth_config_open(config, reconfigure->config->file, search, error);
    if (code != BERTH_OK)
        return code;
    berth_config_compare(reconfigure->config, config);
    berth_problems_log(&config->problems);
    code = berth_problems_error(&config->problems, error);
    return code == BERTH_OK ? berth_roster_fill(to, config, error) : code;
}

static int change(struct berth_reconfigure *reconfigure, const struct berth_roster *to,
                  struct berth_applied *applied, struct berth_error *error)
{
    struct berth_roster *roster = &reconfigure->roster;
    struct berth_difference difference;
    int code = take_stock(reconfigure->local->host, roster, error);

    if (code == BERTH_OK)
        code = berth_difference_init(&difference, roster, to, error);
    if (code != BERTH_OK)
        return tell_error(code, error);
    code = tell_error(berth_difference_order(&difference, error), error);
    if (code == BERTH_OK) /* which tells its own errors, before it undoes */
        code = berth_apply(reconfigure->local->host, roster, &difference, applied, error);
    berth_difference_deinit(&difference);
    return code;
}

static size_t unchanged(const struct berth_reconfigure *reconfigure,
                        const struct berth_applied *applied)
{
    return reconfigure->roster.count - applied->started - applied->reloaded;
}

static void tell(const struct berth_reconfigure *reconfigure, int code,
                 const struct berth_applied *applied)
{
    const char *file = reconfigure->config->file;
    size_t done = applied->started + applied->reloaded + applied->stopped;

    if (code == BERTH_OK)
        berth_log_info("%s is applied: started %zu, reloaded %zu, stopped %zu, unchanged %zu", file,
                       applied->started, applied->reloaded, applied->stopped,
                       unchanged(reconfigure, applied));
    else if (!done)
        berth_log_error("%s is not applied: nothing has changed", file);
    else if (!applied->stuck)
        berth_log_error("%s is not applied: what was done is undone", file);
    else
        berth_log_error("%s is applied in part: %zu of %zu steps could not be undone", file,
                        applied->stuck, done);
}

static void write_report(const struct berth_reconfigure *reconfigure, struct berth_config *config,
                         const struct berth_applied *applied, int code,
                         const struct berth_error *error, struct berth_buffer *report)
{
    const char *file = reconfigure->config->file;

    berth_buffer_text(report, "{\"file\":");
    berth_json_write_string(file, strlen(file), report);
    berth_buffer_format(report, ",\"applied\":%s", code == BERTH_OK ? "true" : "false");
    if (code == BERTH_OK)
        berth_buffer_format(
            report, ",\"started\":%zu,\"reloaded\":%zu,\"stopped\":%zu,\"unchanged\":%zu",
            applied->started, applied->reloaded, applied->stopped, unchanged(reconfigure, applied));
    berth_buffer_text(report, ",\"steps\":[");
    if (applied->told.size)
        berth_buffer_append(report, applied->told.data, applied->told.size);
    report->failed |= applied->told.failed;
    berth_buffer_text(report, "],\"problems\":");
    berth_problems_json(&config->problems, report);
    if (code != BERTH_OK) {
        berth_buffer_format(report, ",\"error\":{\"code\":\"%s\",\"text\":", berth_code_name(code));
        berth_json_write_string(error->text, strlen(error->text), report);
        berth_buffer_text(report, "}");
    }
    berth_buffer_text(report, "}");
}

/* Alone. */
static int read_and_change(struct berth_reconfigure *reconfigure, struct berth_buffer *report,
                           struct berth_error *error)
{
    struct berth_config config = { .file = NULL };
    struct berth_roster to = { .count = 0 };
    struct berth_applied applied;
    struct berth_search search;
    const char *file = reconfigure->config->file;

    berth_notify_reloading(reconfigure->notify, "reading %s again", file);
    berth_applied_init(&applied);
    int code = tell_error(read_again(reconfigure, &config, &search, &to, error), error);
    if (code == BERTH_OK)
        code = change(reconfigure, &to, &applied, error);
    tell(reconfigure, code, &applied);
    berth_notify_ready(reconfigure->notify, "%s is %sapplied", file,
                       code == BERTH_OK ? "" : "not ");
    if (report)
        write_report(reconfigure, &config, &applied, code, error, report);
    berth_applied_deinit(&applied);
    berth_roster_deinit(&to);
    berth_config_deinit(&config);
    berth_search_deinit(&search);
    return code;
}

int berth_reconfigure(struct berth_reconfigure *reconfigure, bool wait, struct berth_buffer *report,
                      struct berth_error *error)
{
    int code = BERTH_OK;

    if (wait)
        pthread_mutex_lock(&reconfigure->lock);
    else if (pthread_mutex_trylock(&reconfigure->lock) != 0)
        return berth_error_set(error, BERTH_ABORTED,
                               "%s is just being applied: try again when that is done",
                               reconfigure->config->file);
    if (reconfigure->closed)
        code = berth_error_set(error, BERTH_UNAVAILABLE, "the host is stopping");
    else
        code = read_and_change(reconfigure, report, error);
    pthread_mutex_unlock(&reconfigure->lock);
    return code;
}
