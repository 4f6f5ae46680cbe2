/* SPDX-License-Identifier: MIT */
/*
 * Keeps values by name, in memory, for modules that may die: what is to survive a crash must lie
 * in another process. Values survive a reload of this module, too.
 */
#include <berth/module.h>

#include <stdlib.h>
#include <string.h>

BERTH_MODULE("keep", "1.0.0", "Keeps values for modules that may die.");
BERTH_OPTION(u64, max_bytes, 16777216, "Of all names and values together.");

struct value {
    struct value *next;
    size_t name_size, size; /* the name with its NUL; the value lies behind it */
    char name[];
};
static struct value *values;
static uint64_t held, limit;

BERTH_START
{
    limit = option_max_bytes(ctx);
}

static struct value **find(const char *name)
{
    struct value **place = &values;
    while (*place && strcmp((*place)->name, name))
        place = &(*place)->next;
    return place;
}

static void drop(struct value **place)
{
    struct value *value = *place;
    *place = value->next;
    held -= value->name_size + value->size;
    free(value);
}

BERTH_EXPORT(void, put, "Keeps a value in the place of the one that had its name.", (string, name),
             (bytes, value))
{
    struct value **place = find(name);
    size_t name_size = strlen(name) + 1, old = *place ? (*place)->name_size + (*place)->size : 0;
    struct value *kept;
    if (value.size > limit || held - old + name_size + value.size > limit) {
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED,
                   "%s: %zu bytes more are too many: raise the option \"max_bytes\"", name,
                   value.size);
        return;
    }
    kept = (struct value *)malloc(sizeof(*kept) + name_size + value.size);
    if (!kept) {
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "%s: no memory", name);
        return;
    }
    if (*place)
        drop(place);
    kept->name_size = name_size;
    kept->size = value.size;
    memcpy(kept->name, name, name_size);
    if (value.size)
        memcpy(kept->name + name_size, value.data, value.size);
    held += name_size + value.size;
    kept->next = values;
    values = kept;
}

BERTH_EXPORT(optional(bytes), get, "The value of a name, if there is one.", (string, name))
{
    struct value *kept = *find(name);
    berth_optional(bytes) result = { kept != NULL, { NULL, 0 } };
    if (kept) {
        result.value.data = kept->name + kept->name_size;
        result.value.size = kept->size;
    }
    return result;
}

BERTH_EXPORT(bool, drop, "Forgets a name; whether there was one.", (string, name))
{
    struct value **place = find(name);
    bool found = *place != NULL;
    if (found)
        drop(place);
    return found;
}

BERTH_EXPORT(array(string), names, "What there is.")
{
    size_t count = 0, i = 0;
    for (struct value *value = values; value; value = value->next)
        count++;
    berth_string *names = (berth_string *)berth_alloc(ctx, count * sizeof(*names));
    for (struct value *value = values; value && names; value = value->next)
        names[i++] = value->name;
    berth_array(string) result = { names, i };
    return result;
}

/* Each value as name size, size (both as size_t), name, value. */
BERTH_SAVE(1)
{
    size_t size = 0;
    for (struct value *value = values; value; value = value->next)
        size += 2 * sizeof(size_t) + value->name_size + value->size;
    char *to = (char *)berth_alloc(ctx, size);
    berth_bytes saved = { to, to ? size : 0 };
    for (struct value *value = values; value && to; value = value->next) {
        memcpy(to, &value->name_size, sizeof(size_t));
        memcpy(to + sizeof(size_t), &value->size, sizeof(size_t));
        memcpy(to + 2 * sizeof(size_t), value->name, value->name_size + value->size);
        to += 2 * sizeof(size_t) + value->name_size + value->size;
    }
    return saved;
}

BERTH_RESTORE
{
    const char *from = (const char *)state.data, *end = from + state.size;
    while (version == 1 && from < end && !berth_failed(ctx)) {
        berth_bytes value;
        size_t name_size;
        memcpy(&name_size, from, sizeof(name_size));
        memcpy(&value.size, from + sizeof(size_t), sizeof(value.size));
        from += 2 * sizeof(size_t);
        value.data = from + name_size;
        berth_export_put(ctx, from, value);
        from += name_size + value.size;
    }
    if (version != 1)
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "a state of version %u", version);
}
