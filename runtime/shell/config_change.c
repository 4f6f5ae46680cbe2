/* SPDX-License-Identifier: MIT */
/* What a configuration must not change while a host runs by it: all that is the host's for life. */
#include <string.h>

#include "runtime/base/text.h"
#include "runtime/shell/config.h"

/* Of the root: these may change. */
static const char *const free_keys[] = { "$schema", "path", "modules" };

static bool is_free(const struct berth_config_key *key)
{
    for (size_t i = 0; i < sizeof(free_keys) / sizeof(free_keys[0]); i++)
        if (berth_text_equal(free_keys[i], key->name))
            return true;
    return false;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_texts(const struct berth_config_list *a, const struct berth_config_list *b)
{
    const char *const *left = a->items, *const *right = b->items;

    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_text(left[i], right[i]))
            return false;
    return true;
}

static bool same_words(const struct berth_config_list *a, const struct berth_config_list *b)
{
    const struct berth_config_word *left = a->items, *right = b->items;

    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (left[i].word != right[i].word || !same_text(left[i].entry.key, right[i].entry.key))
            return false;
    return true;
}

static bool same_times(const struct berth_config_list *a, const struct berth_config_list *b)
{
    const struct berth_config_time *left = a->items, *right = b->items;

    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (left[i].ns != right[i].ns || !same_text(left[i].entry.key, right[i].entry.key))
            return false;
    return true;
}

static bool same_grants(const struct berth_config_list *a, const struct berth_config_list *b)
{
    const struct berth_config_grantee *left = a->items, *right = b->items;

    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_text(left[i].entry.key, right[i].entry.key) ||
            !berth_node_find(left[i].entry.node, "as") !=
                !berth_node_find(right[i].entry.node, "as") ||
            !same_texts(&left[i].call, &right[i].call) ||
            !same_texts(&left[i].publish, &right[i].publish) ||
            !same_texts(&left[i].listens, &right[i].listens))
            return false;
    return true;
}

/* Whether both values of the key, each where it was read into, are equal. */
static bool same_value(const struct berth_config_key *key, const void *a, const void *b)
{
    switch (key->kind) {
    case BERTH_CONFIG_TEXT:
    case BERTH_CONFIG_RANGE:
    case BERTH_CONFIG_TARGET:
        return same_text(*(const char *const *)a, *(const char *const *)b);
    case BERTH_CONFIG_FLAG:
        return *(const bool *)a == *(const bool *)b;
    case BERTH_CONFIG_WORD:
    case BERTH_CONFIG_NUMBER:
        return *(const int *)a == *(const int *)b;
    case BERTH_CONFIG_COUNT:
    case BERTH_CONFIG_SIZE:
        return *(const size_t *)a == *(const size_t *)b;
    case BERTH_CONFIG_DURATION:
        return *(const int64_t *)a == *(const int64_t *)b;
    case BERTH_CONFIG_DIRECTORIES:
    case BERTH_CONFIG_FUNCTIONS:
    case BERTH_CONFIG_TOPICS:
        return same_texts(a, b);
    case BERTH_CONFIG_CALLERS:
        return same_grants(a, b);
    case BERTH_CONFIG_WORDS:
        return same_words(a, b);
    case BERTH_CONFIG_TIMES:
        return same_times(a, b);
    case BERTH_CONFIG_OPTIONS:
    case BERTH_CONFIG_CHOICE:
    case BERTH_CONFIG_OBJECT:
    case BERTH_CONFIG_ENTRIES:
        break;
    }
    return true; /* objects are told by their keys, and there is none of the others up here */
}

/* What does for now, until the host starts by this configuration. */
static const char *meanwhile(const char *where, const struct berth_config_key *key)
{
    if (berth_text_equal(where, "log") && strncmp(key->name, "level", strlen("level")) == 0)
        return "; meanwhile there is berth log --set";
    if (berth_text_equal(where, "limits") && strncmp(key->name, "call_", strlen("call_")) == 0)
        return "; meanwhile there is berth call host.call_timeout";
    if (berth_text_equal(where, "permissions"))
        return "; meanwhile there is berth call host.permit";
    return "";
}

/* at: where the object stands, which may lack the key. where: "limits." */
static void compare(struct berth_config *config, const struct berth_config_object *object,
                    const struct berth_node *node, const char *where, const char *at, const char *a,
                    const char *b)
{
    for (size_t i = 0; i < object->count; i++) {
        const struct berth_config_key *key = &object->keys[i];
        const struct berth_node *member = berth_node_find(node, key->name);
        const char *place = member ? member->key_at : at;
        if (!*where && is_free(key))
            continue;
        if (key->kind == BERTH_CONFIG_OBJECT)
            compare(config, key->object, member, key->name, place, a + key->offset,
                    b + key->offset);
        else if (!same_value(key, a + key->offset, b + key->offset))
            berth_problems_add(&config->problems, false, place,
                               "%s%s%s%s cannot be changed while the host runs: set it back, or "
                               "start the host anew%s",
                               where, *where ? "." : "", key->name, member ? "" : ", left out now,",
                               meanwhile(where, key));
    }
}

void berth_config_compare(const struct berth_config *running, struct berth_config *next)
{
    if (next->whole)
        compare(next, &berth_config_root, next->root, "", next->root->at, (const char *)running,
                (const char *)next);
}
