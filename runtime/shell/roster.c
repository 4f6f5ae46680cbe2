/* SPDX-License-Identifier: MIT */
#include "runtime/shell/roster.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"

struct berth_stamp berth_stamp_of(const char *file)
{
    struct stat status;

    if (stat(file, &status) < 0)
        return (struct berth_stamp){ .size = 0 };
    return (struct berth_stamp){ status.st_dev, status.st_ino, status.st_size, status.st_mtim };
}

bool berth_stamp_equal(const struct berth_stamp *a, const struct berth_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

/* ---- entries ---- */

static struct berth_roster_entry *entry_new(const char *name, const char *file, const char *options)
{
    struct berth_roster_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    entry->refs = 1;
    entry->name = strdup(name);
    entry->options = strdup(options);
    entry->file = file ? strdup(file) : NULL;
    if (entry->name && entry->options && (entry->file || !file))
        return entry;
    berth_roster_entry_unref(entry);
    return NULL;
}

struct berth_roster_entry *berth_roster_entry_new(const struct berth_config_module *module)
{
    struct berth_roster_entry *entry = entry_new(
        module->entry.key, module->found, module->options_json ? module->options_json : "{}");
    if (!entry)
        return NULL;
    entry->placement = berth_placements[module->placement];
    entry->optional = module->optional;
    entry->restart = berth_config_policy(&module->restart);
    if (entry->file)
        entry->stamp = berth_stamp_of(entry->file);
    return entry;
}

struct berth_roster_entry *berth_roster_entry_elsewhere(const struct berth_roster_entry *entry,
                                                        const char *file, const char *placement)
{
    struct berth_roster_entry *other = entry_new(entry->name, file, entry->options);
    if (!other)
        return NULL;
    other->optional = entry->optional;
    other->restart = entry->restart;
    for (size_t i = 0; berth_placements[i]; i++)
        if (berth_text_equal(berth_placements[i], placement))
            other->placement = berth_placements[i];
    return other;
}

struct berth_roster_entry *berth_roster_entry_ref(struct berth_roster_entry *entry)
{
    entry->refs++;
    return entry;
}

void berth_roster_entry_unref(struct berth_roster_entry *entry)
{
    if (!entry || --entry->refs > 0)
        return;
    if (entry->options)
        explicit_bzero(entry->options, strlen(entry->options)); /* there may be secrets in it */
    free(entry->options);
    free(entry->name);
    free(entry->file);
    free(entry);
}

/* ---- rosters ---- */

void berth_roster_deinit(struct berth_roster *roster)
{
    for (size_t i = 0; i < roster->count; i++)
        berth_roster_entry_unref(roster->entries[i]);
    free(roster->entries);
    *roster = (struct berth_roster){ .count = 0 };
}

int berth_roster_reserve(struct berth_roster *roster, size_t more, struct berth_error *error)
{
    size_t room = roster->count + more;

    if (room <= roster->room)
        return BERTH_OK;
    struct berth_roster_entry **entries =
        realloc(roster->entries, room * sizeof(struct berth_roster_entry *));
    if (!entries)
        return berth_error_nomem(error);
    roster->entries = entries;
    roster->room = room;
    return BERTH_OK;
}

/* count: there is none of that name. */
static size_t find(const struct berth_roster *roster, const char *name)
{
    size_t i = 0;

    while (i < roster->count && !berth_text_equal(roster->entries[i]->name, name))
        i++;
    return i;
}

struct berth_roster_entry *berth_roster_find(const struct berth_roster *roster, const char *name)
{
    size_t i = find(roster, name);
    return i < roster->count ? roster->entries[i] : NULL;
}

void berth_roster_put(struct berth_roster *roster, struct berth_roster_entry *entry)
{
    size_t i = find(roster, entry->name);

    berth_roster_entry_ref(entry);
    if (i == roster->count)
        roster->count++;
    else
        berth_roster_entry_unref(roster->entries[i]);
    roster->entries[i] = entry;
}

void berth_roster_remove(struct berth_roster *roster, const char *name)
{
    size_t i = find(roster, name);

    if (i == roster->count)
        return;
    berth_roster_entry_unref(roster->entries[i]);
    roster->count--;
    memmove(&roster->entries[i], &roster->entries[i + 1],
            (roster->count - i) * sizeof(struct berth_roster_entry *));
}

int berth_roster_fill(struct berth_roster *roster, const struct berth_config *config,
                      struct berth_error *error)
{
    const struct berth_config_module *modules = config->modules.items;
    int code = berth_roster_reserve(roster, config->modules.count, error);

    for (size_t i = 0; i < config->modules.count && code == BERTH_OK; i++) {
        struct berth_roster_entry *entry = berth_roster_entry_new(&modules[i]);
        if (!entry)
            return berth_error_nomem(error);
        berth_roster_put(roster, entry);
        berth_roster_entry_unref(entry);
    }
    return code;
}
