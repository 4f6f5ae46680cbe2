/* SPDX-License-Identifier: MIT */
#include "runtime/shell/search.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/image/semver.h"
#include "runtime/shell/summary.h"
#include "runtime/value/type.h"

static const char suffix[] = ".so";
enum { SUFFIX = sizeof(suffix) - 1 };

/* One search for one name. */
struct hunt {
    struct berth_search *search;
    const char *name, *range_text;
    struct berth_semver_range range;
    struct berth_search_result result;
    struct berth_search_candidate **last, *best; /* best: of the directory that is looked at */
    struct berth_semver best_version;
};

void berth_search_init(struct berth_search *search)
{
    *search = (struct berth_search){ .last = &search->first };
    berth_arena_init(&search->arena);
}

void berth_search_deinit(struct berth_search *search)
{
    berth_arena_deinit(&search->arena);
}

int berth_search_add(struct berth_search *search, const char *directory, const char *origin,
                     struct berth_error *error)
{
    if (!*directory)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s: \"\" is no directory", origin);
    struct berth_search_place *place = berth_arena_alloc(&search->arena, sizeof(*place));
    if (!place)
        return berth_error_nomem(error);
    *place = (struct berth_search_place){ .directory = directory, .origin = origin };
    *search->last = place;
    search->last = &place->next;
    return BERTH_OK;
}

int berth_search_add_standard(struct berth_search *search, struct berth_error *error)
{
    const char *path = secure_getenv("BERTH_PATH"), *home = secure_getenv("HOME");
    int code = BERTH_OK;

    for (size_t length; path && *path && code == BERTH_OK; path += length + (path[length] == ':')) {
        length = strcspn(path, ":");
        if (length == 0) /* for PATH this would be where one is: not for code */
            continue;
        const char *directory = berth_arena_format(&search->arena, "%.*s", (int)length, path);
        code = directory ? berth_search_add(search, directory, "$BERTH_PATH", error)
                         : berth_error_nomem(error);
    }
    if (code == BERTH_OK && home && *home) {
        const char *directory = berth_arena_format(&search->arena, "%s/.local/lib/berth", home);
        code = directory ? berth_search_add(search, directory, "your own", error)
                         : berth_error_nomem(error);
    }
    if (code == BERTH_OK)
        code = berth_search_add(search, BERTH_MODULE_DIR, "installed", error);
    return code;
}

bool berth_search_is_file(const char *word)
{
    size_t length = strlen(word);

    return !*word || strchr(word, '/') ||
           (length > SUFFIX && strcmp(word + length - SUFFIX, suffix) == 0);
}

/* ---- candidates ---- */

__attribute__((format(printf, 3, 4))) static int reject(struct hunt *hunt,
                                                        struct berth_search_candidate *candidate,
                                                        const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    candidate->why = berth_arena_format_va(&hunt->search->arena, format, arguments);
    va_end(arguments);
    return candidate->why ? BERTH_OK : BERTH_RESOURCE_EXHAUSTED;
}

/* Among those of its directory that will do: is it the best so far? */
static int compete(struct hunt *hunt, struct berth_search_candidate *candidate,
                   const struct berth_semver *version)
{
    struct berth_search_candidate *loser = candidate, *winner = hunt->best;

    if (!hunt->best || berth_semver_compare(version, &hunt->best_version) > 0) {
        loser = hunt->best;
        winner = hunt->best = candidate;
        hunt->best_version = *version;
    }
    if (!loser)
        return BERTH_OK;
    if (strcmp(loser->version, winner->version) == 0)
        return reject(hunt, loser, "%s is of the same version", winner->file);
    return reject(hunt, loser, "%s has a higher version", winner->file);
}

/* named: the version that its file's name says, or NULL. */
static int judge(struct hunt *hunt, struct berth_search_candidate *candidate, const char *named)
{
    struct berth_summary summary;
    struct berth_error error = { 0 };
    int code = berth_summary_init(&summary, candidate->file, &error);

    if (code == BERTH_RESOURCE_EXHAUSTED)
        return code;
    if (code != BERTH_OK) {
        size_t length = strlen(candidate->file); /* is told already */
        bool again = !strncmp(error.text, candidate->file, length) && error.text[length] == ':';
        return reject(hunt, candidate, "%s", again ? error.text + length + 2 : error.text);
    }
    candidate->version = berth_arena_string(&hunt->search->arena, summary.version);
    if (!candidate->version)
        code = BERTH_RESOURCE_EXHAUSTED;
    else if (named && strcmp(named, summary.version) != 0)
        code = reject(hunt, candidate, "its name says %s, but its manifest %s", named,
                      summary.version);
    else if (hunt->range_text && !berth_semver_range_holds(&hunt->range, &summary.semver))
        code =
            reject(hunt, candidate, "version %s is not in %s", summary.version, hunt->range_text);
    else if (hunt->result.file)
        code = reject(hunt, candidate, "%s comes first", hunt->result.file);
    else
        code = compete(hunt, candidate, &summary.semver);
    berth_summary_deinit(&summary);
    return code;
}

static int add(struct hunt *hunt, const struct berth_search_place *place, const char *base,
               const char *named)
{
    struct berth_arena *arena = &hunt->search->arena;
    struct berth_search_candidate *candidate = berth_arena_alloc(arena, sizeof(*candidate));
    if (!candidate)
        return BERTH_RESOURCE_EXHAUSTED;
    candidate->origin = place->origin;
    candidate->file = berth_arena_format(arena, "%s/%s", place->directory, base);
    if (!candidate->file)
        return BERTH_RESOURCE_EXHAUSTED;
    *hunt->last = candidate;
    hunt->last = &candidate->next;
    return judge(hunt, candidate, named);
}

/* Whether a file's name is one of NAME's. version gets what NAME-VERSION.so says, or "". */
static bool matches(const char *base, const char *name, char version[NAME_MAX + 1])
{
    size_t length = strlen(base), skip = strlen(name);
    struct berth_semver parsed;

    version[0] = '\0';
    if (length > NAME_MAX || length < skip + SUFFIX || strncmp(base, name, skip) != 0 ||
        strcmp(base + length - SUFFIX, suffix) != 0)
        return false;
    if (length == skip + SUFFIX)
        return true;
    if (base[skip] != '-')
        return false;
    memcpy(version, base + skip + 1, length - skip - 1 - SUFFIX);
    version[length - skip - 1 - SUFFIX] = '\0';
    return berth_semver_parse(version, &parsed);
}

static int look(struct hunt *hunt, const struct berth_search_place *place)
{
    char version[NAME_MAX + 1];
    struct dirent **entries;
    int count = scandir(place->directory, &entries, NULL, alphasort);
    int code = count < 0 && errno == ENOMEM ? BERTH_RESOURCE_EXHAUSTED : BERTH_OK;

    hunt->best = NULL;
    for (int i = 0; i < count; i++) {
        if (code == BERTH_OK && matches(entries[i]->d_name, hunt->name, version))
            code = add(hunt, place, entries[i]->d_name, *version ? version : NULL);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    if (hunt->best) {
        hunt->result.file = hunt->best->file;
        hunt->result.version = hunt->best->version;
        hunt->result.origin = hunt->best->origin;
    }
    return code;
}

/* ---- the answer ---- */

/* The file of that name that is here, as PATH's rule has it. */
static const char *advice(const char *name)
{
    return access(name, F_OK) == 0 ? "; for the file here write ./" : "";
}

static int not_found(const struct hunt *hunt, struct berth_error *error)
{
    char text[1024];
    size_t length = 0;
    const char *here = advice(hunt->name);

    text[0] = '\0';
    for (const struct berth_search_candidate *each = hunt->result.first; each; each = each->next) {
        snprintf(text + length, sizeof(text) - length, "%s (%s), ", each->file, each->why);
        length += strlen(text + length);
    }
    const char *but = length ? "there is " : "";
    snprintf(text + length, sizeof(text) - length, "searched");
    length += strlen(text + length);
    for (const struct berth_search_place *place = hunt->search->first; place; place = place->next) {
        snprintf(text + length, sizeof(text) - length, "%s %s",
                 place == hunt->search->first ? "" : ",", place->directory);
        length += strlen(text + length);
    }
    return berth_error_set(error, BERTH_NOT_FOUND, "%s: no such module%s%s: %s%s%s%s", hunt->name,
                           hunt->range_text ? " of version " : "",
                           hunt->range_text ? hunt->range_text : "", but, text, here,
                           *here ? hunt->name : "");
}

int berth_search_find(struct berth_search *search, const char *name, const char *range, bool all,
                      struct berth_search_result *ret_result, struct berth_error *error)
{
    struct hunt hunt = { .search = search, .name = name, .range_text = range };
    int code = BERTH_OK;

    *ret_result = (struct berth_search_result){ .file = NULL };
    if (!berth_identifier_valid(name)) {
        const char *here = advice(name);
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: a module's name is [a-z][a-z0-9_]*, and a file has a / in it "
                               "or ends in .so%s%s",
                               name, here, *here ? name : "");
    }
    if (range && !berth_semver_range_parse(range, &hunt.range))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s is no range of versions", range);
    hunt.last = &hunt.result.first;
    for (const struct berth_search_place *place = search->first; place; place = place->next)
        if (code == BERTH_OK && (all || !hunt.result.file))
            code = look(&hunt, place);
    *ret_result = hunt.result;
    if (code != BERTH_OK)
        return berth_error_nomem(error);
    return hunt.result.file ? BERTH_OK : not_found(&hunt, error);
}

int berth_search_file(struct berth_search *search, const char *word, const char **ret_file,
                      struct berth_error *error)
{
    struct berth_search_result result;

    if (berth_search_is_file(word)) {
        *ret_file = word;
        return BERTH_OK;
    }
    int code = berth_search_find(search, word, NULL, false, &result, error);
    if (code == BERTH_OK)
        *ret_file = result.file;
    return code;
}
