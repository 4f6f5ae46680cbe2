/* SPDX-License-Identifier: MIT */
/* A configuration's text, by the table of keys. */
#include "runtime/shell/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/base/topic_name.h"
#include "runtime/image/semver.h"
#include "runtime/shell/file.h"
#include "runtime/shell/quantity.h"
#include "runtime/value/number.h"
#include "runtime/value/type.h"

enum { KEYS_MAX = 32, EXCERPT_MAX = 40, PATH_ROOM = 320 };

/* Where a key is: modules, math, placement. */
struct path {
    const struct path *parent;
    const char *name;
};

static int read_object(struct berth_config *config, const struct path *path,
                       const struct berth_config_object *object, const struct berth_node *node,
                       void *into);

/* ---- what is wrong with a value ---- */

static const char *print_path(const struct path *path, char text[PATH_ROOM])
{
    text[0] = '\0';
    if (!path)
        return text;
    print_path(path->parent, text);
    size_t length = strlen(text);
    snprintf(text + length, PATH_ROOM - length, "%s%s", length ? "." : "", path->name);
    return text;
}

const char *berth_config_takes(const struct berth_config_key *key,
                               char text[BERTH_CONFIG_TAKES_MAX])
{
    char min[BERTH_QUANTITY_MAX], max[BERTH_QUANTITY_MAX];
    int length;

    switch (key->kind) {
    case BERTH_CONFIG_TEXT:
        return strcpy(text, "a non-empty string");
    case BERTH_CONFIG_FLAG:
        return strcpy(text, "true or false");
    case BERTH_CONFIG_WORD:
        length = snprintf(text, BERTH_CONFIG_TAKES_MAX, "one of");
        for (size_t i = 0; key->words[i] && length < BERTH_CONFIG_TAKES_MAX; i++)
            length += snprintf(text + length, BERTH_CONFIG_TAKES_MAX - (size_t)length, "%s \"%s\"",
                               i ? "," : "", key->words[i]);
        return text;
    case BERTH_CONFIG_NUMBER:
    case BERTH_CONFIG_COUNT:
        snprintf(text, BERTH_CONFIG_TAKES_MAX, "a whole number from %lld to %lld",
                 (long long)key->min, (long long)key->max);
        return text;
    case BERTH_CONFIG_SIZE:
        snprintf(text, BERTH_CONFIG_TAKES_MAX,
                 "a number of bytes or a size like \"16MiB\", from %s to %s",
                 berth_size_print(key->min, min), berth_size_print(key->max, max));
        return text;
    case BERTH_CONFIG_DURATION:
        snprintf(text, BERTH_CONFIG_TAKES_MAX,
                 "a time like \"200ms\", \"5s\" or \"1m\", from %s to %s",
                 berth_duration_print(key->min, min), berth_duration_print(key->max, max));
        return text;
    case BERTH_CONFIG_RANGE:
        return strcpy(text, "a range of versions like \"^1.2\", \"~1.2.3\" or \">=1 <3\"");
    case BERTH_CONFIG_DIRECTORIES:
        return strcpy(text, "an array of directories");
    case BERTH_CONFIG_CHOICE:
        length = 0;
        for (size_t i = 0; key->words[i] && length < BERTH_CONFIG_TAKES_MAX; i++)
            length += snprintf(text + length, BERTH_CONFIG_TAKES_MAX - (size_t)length, "\"%s\", ",
                               key->words[i]);
        if (length < BERTH_CONFIG_TAKES_MAX)
            snprintf(text + length, BERTH_CONFIG_TAKES_MAX - (size_t)length, "or an object");
        return text;
    case BERTH_CONFIG_TARGET:
        return strcpy(text, "\"stderr\", \"journal\" or the name of a file");
    case BERTH_CONFIG_FUNCTIONS:
        return strcpy(text, "an array of functions: module.function, module.* or *");
    case BERTH_CONFIG_TOPICS:
        return strcpy(text, "an array of topics, in which * is one token and > the rest");
    case BERTH_CONFIG_OPTIONS:
    case BERTH_CONFIG_WORDS:
    case BERTH_CONFIG_TIMES:
    case BERTH_CONFIG_OBJECT:
    case BERTH_CONFIG_ENTRIES:
    case BERTH_CONFIG_CALLERS:
        break;
    }
    return strcpy(text, "an object");
}

/* How a value is called in a message: as it stands there, but for lists. */
static const char *print_value(const struct berth_node *node, char text[EXCERPT_MAX + 8])
{
    if (node->kind == BERTH_NODE_ARRAY)
        return strcpy(text, "an array");
    if (node->kind == BERTH_NODE_OBJECT)
        return strcpy(text, "an object");
    size_t length =
        berth_utf8_cut(node->at, node->size < EXCERPT_MAX ? node->size : (size_t)EXCERPT_MAX);
    snprintf(text, EXCERPT_MAX + 8, "%.*s%s", (int)length, node->at,
             length < node->size ? "…" : "");
    return text;
}

static int refuse(struct berth_config *config, const struct path *path,
                  const struct berth_config_key *key, const struct berth_node *node)
{
    char where[PATH_ROOM], value[EXCERPT_MAX + 8], takes[BERTH_CONFIG_TAKES_MAX];
    const char *text = berth_node_text(node), *nearest = NULL;
    const bool choice = key->kind == BERTH_CONFIG_WORD ||
                        (key->kind == BERTH_CONFIG_WORDS && node->kind != BERTH_NODE_OBJECT);
    size_t words = 0;

    while ((choice || key->kind == BERTH_CONFIG_CHOICE) && key->words[words])
        words++;
    if (words && text)
        nearest = berth_text_nearest(text, key->words, words);
    berth_problems_add(&config->problems, false, node->at, "%s: %s is not %s%s%s%s",
                       print_path(path, where), print_value(node, value),
                       berth_config_takes(key, takes), nearest ? "; did you mean \"" : "",
                       nearest ? nearest : "", nearest ? "\"?" : "");
    return BERTH_OK;
}

static int refuse_key(struct berth_config *config, const struct path *path,
                      const struct berth_config_object *object, const struct berth_node *node)
{
    char where[PATH_ROOM], known[512];
    const char *names[KEYS_MAX];
    size_t count = 0, length = 0;

    print_path(path, where);
    for (; count < object->count && count < KEYS_MAX; count++) {
        names[count] = object->keys[count].name;
        int more = snprintf(known + length, sizeof(known) - length, "%s%s", count ? ", " : "",
                            names[count]);
        length += (size_t)more < sizeof(known) - length ? (size_t)more : 0;
    }
    const char *nearest = berth_text_nearest(node->key, names, count);
    if (nearest)
        berth_problems_add(&config->problems, false, node->key_at,
                           "%s%sunknown key \"%.64s\"; did you mean \"%s\"?", where,
                           *where ? ": " : "", node->key, nearest);
    else
        berth_problems_add(&config->problems, false, node->key_at,
                           "%s%sunknown key \"%.64s\"; the keys here are %s", where,
                           *where ? ": " : "", node->key, known);
    return BERTH_OK;
}

/* ---- values of one kind each: what does not fit is refused, and nothing is stored ---- */

static int read_text(struct berth_config *config, const struct path *path,
                     const struct berth_config_key *key, const struct berth_node *node, void *into)
{
    struct berth_semver_range range;
    const char *text = berth_node_text(node);

    if (!text || !*text ||
        (key->kind == BERTH_CONFIG_RANGE && !berth_semver_range_parse(text, &range)))
        return refuse(config, path, key, node);
    memcpy(into, &text, sizeof(text));
    return BERTH_OK;
}

static int read_flag(struct berth_config *config, const struct path *path,
                     const struct berth_config_key *key, const struct berth_node *node, void *into)
{
    if (node->kind != BERTH_NODE_BOOL)
        return refuse(config, path, key, node);
    *(bool *)into = *node->at == 't';
    return BERTH_OK;
}

static int read_word(struct berth_config *config, const struct path *path,
                     const struct berth_config_key *key, const struct berth_node *node, void *into)
{
    const char *text = berth_node_text(node);

    for (int i = 0; text && key->words[i]; i++)
        if (berth_text_equal(text, key->words[i])) {
            *(int *)into = i;
            return BERTH_OK;
        }
    return refuse(config, path, key, node);
}

static int read_choice(struct berth_config *config, const struct path *path,
                       const struct berth_config_key *key, const struct berth_node *node,
                       void *into)
{
    return node->kind == BERTH_NODE_OBJECT ? read_object(config, path, key->object, node, into)
                                           : read_word(config, path, key, node, into);
}

/* The number that a node says, in whatever way its kind allows; -1: none. */
static int64_t number_of(const struct berth_config_key *key, const struct berth_node *node)
{
    bool negative;
    uint64_t magnitude;

    if (node->kind == BERTH_NODE_STRING && key->kind == BERTH_CONFIG_DURATION)
        return berth_duration_parse(node->text);
    if (node->kind == BERTH_NODE_STRING && key->kind == BERTH_CONFIG_SIZE)
        return berth_size_parse(node->text);
    if (node->kind != BERTH_NODE_NUMBER || key->kind == BERTH_CONFIG_DURATION ||
        berth_number_to_integer(node->at, node->size, &negative, &magnitude) != BERTH_OK ||
        negative || magnitude > INT64_MAX)
        return -1;
    return (int64_t)magnitude;
}

static int read_number(struct berth_config *config, const struct path *path,
                       const struct berth_config_key *key, const struct berth_node *node,
                       void *into)
{
    int64_t number = number_of(key, node); /* no minimum is negative */

    if (number < key->min || number > key->max)
        return refuse(config, path, key, node);
    if (key->kind == BERTH_CONFIG_NUMBER)
        *(int *)into = (int)number;
    else if (key->kind == BERTH_CONFIG_DURATION)
        *(int64_t *)into = number;
    else
        *(size_t *)into = (size_t)number;
    return BERTH_OK;
}

/* An empty list, with room for as many texts as an array has elements. NULL: no memory. */
static const char **begin_list(struct berth_config *config, const struct berth_node *array,
                               struct berth_config_list *ret_list)
{
    const char **items = berth_arena_alloc(&config->arena, array->count * sizeof(*items));
    *ret_list = (struct berth_config_list){ .items = items };
    return items;
}

/* Relative ones are meant from where the configuration is. */
static int read_directories(struct berth_config *config, const struct path *path,
                            const struct berth_config_key *key, const struct berth_node *node,
                            void *into)
{
    struct berth_config_list *list = into;
    char where[PATH_ROOM];
    const char **items;

    if (node->kind != BERTH_NODE_ARRAY)
        return refuse(config, path, key, node);
    if (!(items = begin_list(config, node, list)))
        return BERTH_RESOURCE_EXHAUSTED;
    berth_node_each(node, element)
    {
        const char *text = berth_node_text(element);
        if (!text || !*text) {
            berth_problems_add(&config->problems, false, element->at,
                               "%s: an element is not the name of a directory",
                               print_path(path, where));
            continue;
        }
        items[list->count] = berth_file_beside(config->file, text, &config->arena);
        if (!items[list->count++])
            return BERTH_RESOURCE_EXHAUSTED;
    }
    return BERTH_OK;
}

static int read_patterns(struct berth_config *config, const struct path *path,
                         const struct berth_config_key *key, const struct berth_node *node,
                         void *into)
{
    bool functions = key->kind == BERTH_CONFIG_FUNCTIONS;
    struct berth_config_list *list = into;
    char where[PATH_ROOM], value[EXCERPT_MAX + 8];
    const char **items;

    if (node->kind != BERTH_NODE_ARRAY)
        return refuse(config, path, key, node);
    if (!(items = begin_list(config, node, list)))
        return BERTH_RESOURCE_EXHAUSTED;
    berth_node_each(node, element)
    {
        const char *text = berth_node_text(element);
        if (text && (functions ? berth_function_pattern_valid(text) : berth_pattern_valid(text)))
            items[list->count++] = text;
        else
            berth_problems_add(&config->problems, false, element->at, "%s: %s is not %s",
                               print_path(path, where), print_value(element, value),
                               functions ? "a function: write module.function, module.* or *"
                                         : "a topic: write tokens joined by dots, * for one, > "
                                           "for the rest");
    }
    return BERTH_OK;
}

const struct berth_node *berth_config_reference(const struct berth_node *node)
{
    const struct berth_node *only = node->kind == BERTH_NODE_OBJECT ? node->first : NULL;

    if (!only || only->next || (strcmp(only->key, "$file") != 0 && strcmp(only->key, "$env") != 0))
        return NULL;
    return only;
}

/* Every reference below a node has the form of one. Depth is bounded by the document. */
static void check_references(struct berth_config *config, const struct path *path,
                             const struct berth_node *node)
{
    const struct berth_node *reference = berth_config_reference(node);
    char where[PATH_ROOM];

    if (reference) {
        const char *text = berth_node_text(reference);
        if (!text || !*text)
            berth_problems_add(&config->problems, false, reference->at,
                               "%s: %s takes the name of a %s, as a string",
                               print_path(path, where), reference->key,
                               reference->key[1] == 'f' ? "file" : "variable");
        return;
    }
    if (node->kind == BERTH_NODE_OBJECT || node->kind == BERTH_NODE_ARRAY)
        berth_node_each(node, child) check_references(config, path, child);
}

static int read_options(struct berth_config *config, const struct path *path,
                        const struct berth_config_key *key, const struct berth_node *node,
                        void *into)
{
    if (node->kind != BERTH_NODE_OBJECT)
        return refuse(config, path, key, node);
    berth_node_each(node, option)
        check_references(config, &(struct path){ path, option->key }, option);
    memcpy(into, &node, sizeof(node));
    return BERTH_OK;
}

/* One of the words, or a file, which is meant from where the configuration is. */
static int read_target(struct berth_config *config, const struct path *path,
                       const struct berth_config_key *key, const struct berth_node *node,
                       void *into)
{
    const char *text = berth_node_text(node);

    if (!text || !*text)
        return refuse(config, path, key, node);
    size_t word = 0;
    while (key->words[word] && !berth_text_equal(text, key->words[word]))
        word++;
    if (!key->words[word])
        text = berth_file_beside(config->file, text, &config->arena);
    memcpy(into, &text, sizeof(text));
    return text ? BERTH_OK : BERTH_RESOURCE_EXHAUSTED;
}

/* Whether a key can be the name of a module. every: `*` stands for all modules. */
static bool check_name(struct berth_config *config, const struct berth_node *member, bool every)
{
    if (berth_identifier_valid(member->key) || (every && berth_text_equal(member->key, "*")))
        return true;
    berth_problems_add(&config->problems, false, member->key_at,
                       "\"%.64s\" cannot be a module's name: write [a-z][a-z0-9_]*, at most 64 "
                       "characters%s",
                       member->key, every ? "; or * for every module" : "");
    return false;
}

/* An empty list with room for an item of this size for each member of an object. */
static bool list_begin(struct berth_config *config, const struct berth_node *object,
                       size_t item_size, struct berth_config_list *list)
{
    list->items = berth_arena_alloc(&config->arena, object->count * item_size);
    list->count = 0;
    return list->items != NULL;
}

static int read_words(struct berth_config *config, const struct path *path,
                      const struct berth_config_key *key, const struct berth_node *node, void *into)
{
    struct berth_config_list *list = into;

    if (node->kind != BERTH_NODE_OBJECT)
        return refuse(config, path, key, node);
    if (!list_begin(config, node, sizeof(struct berth_config_word), list))
        return BERTH_RESOURCE_EXHAUSTED;
    struct berth_config_word *items = list->items;
    berth_node_each(node, member)
    {
        struct berth_config_word item = { { member->key, member }, -1 };
        if (!check_name(config, member, false))
            continue;
        read_word(config, &(struct path){ path, member->key }, key, member, &item.word);
        if (item.word >= 0)
            items[list->count++] = item;
    }
    return BERTH_OK;
}

/* What it takes is one of its values. */
static struct berth_config_key time_of(const struct berth_config_key *key)
{
    struct berth_config_key time = *key;

    time.kind = BERTH_CONFIG_DURATION;
    return time;
}

static int read_times(struct berth_config *config, const struct path *path,
                      const struct berth_config_key *key, const struct berth_node *node, void *into)
{
    struct berth_config_list *list = into;
    const struct berth_config_key time = time_of(key);

    if (node->kind != BERTH_NODE_OBJECT)
        return refuse(config, path, key, node);
    if (!list_begin(config, node, sizeof(struct berth_config_time), list))
        return BERTH_RESOURCE_EXHAUSTED;
    struct berth_config_time *items = list->items;
    berth_node_each(node, member)
    {
        struct berth_config_time item = { { member->key, member }, 0 };
        if (!berth_function_name_valid(member->key) && !check_name(config, member, false))
            continue;
        read_number(config, &(struct path){ path, member->key }, &time, member, &item.ns);
        if (item.ns)
            items[list->count++] = item;
    }
    return BERTH_OK;
}

static int read_entries(struct berth_config *config, const struct path *path,
                        const struct berth_config_key *key, const struct berth_node *node,
                        void *into)
{
    struct berth_config_list *list = into;
    int code = BERTH_OK;

    if (node->kind != BERTH_NODE_OBJECT)
        return refuse(config, path, key, node);
    if (!list_begin(config, node, key->object->size, list))
        return BERTH_RESOURCE_EXHAUSTED;
    char *items = list->items;
    bool every = key->kind == BERTH_CONFIG_CALLERS;
    berth_node_each(node, member)
    {
        if (!check_name(config, member, every))
            continue;
        char *item = items + list->count++ * key->object->size;
        *(struct berth_config_entry *)(void *)item =
            (struct berth_config_entry){ member->key, member };
        if (code == BERTH_OK)
            code =
                read_object(config, &(struct path){ path, member->key }, key->object, member, item);
    }
    return code;
}

/* ---- objects ---- */

static int read_value(struct berth_config *config, const struct path *path,
                      const struct berth_config_key *key, const struct berth_node *node, void *into)
{
    switch (key->kind) {
    case BERTH_CONFIG_TEXT:
    case BERTH_CONFIG_RANGE:
        return read_text(config, path, key, node, into);
    case BERTH_CONFIG_FLAG:
        return read_flag(config, path, key, node, into);
    case BERTH_CONFIG_WORD:
        return read_word(config, path, key, node, into);
    case BERTH_CONFIG_NUMBER:
    case BERTH_CONFIG_COUNT:
    case BERTH_CONFIG_SIZE:
    case BERTH_CONFIG_DURATION:
        return read_number(config, path, key, node, into);
    case BERTH_CONFIG_DIRECTORIES:
        return read_directories(config, path, key, node, into);
    case BERTH_CONFIG_FUNCTIONS:
    case BERTH_CONFIG_TOPICS:
        return read_patterns(config, path, key, node, into);
    case BERTH_CONFIG_OPTIONS:
        return read_options(config, path, key, node, into);
    case BERTH_CONFIG_ENTRIES:
    case BERTH_CONFIG_CALLERS:
        return read_entries(config, path, key, node, into);
    case BERTH_CONFIG_CHOICE:
        return read_choice(config, path, key, node, into);
    case BERTH_CONFIG_TARGET:
        return read_target(config, path, key, node, into);
    case BERTH_CONFIG_WORDS:
        return read_words(config, path, key, node, into);
    case BERTH_CONFIG_TIMES:
        return read_times(config, path, key, node, into);
    case BERTH_CONFIG_OBJECT:
        break;
    }
    return read_object(config, path, key->object, node, into);
}

static int read_object(struct berth_config *config, const struct path *path,
                       const struct berth_config_object *object, const struct berth_node *node,
                       void *into)
{
    char where[PATH_ROOM];
    int code = BERTH_OK;

    if (node->kind != BERTH_NODE_OBJECT) {
        berth_problems_add(&config->problems, false, node->at, "%s is not an object: write {…}",
                           path ? print_path(path, where) : "the configuration");
        return BERTH_OK;
    }
    berth_node_each(node, member)
    {
        size_t i = 0;
        while (i < object->count && !berth_text_equal(object->keys[i].name, member->key))
            i++;
        const struct berth_config_key *key = &object->keys[i];
        if (i == object->count)
            refuse_key(config, path, object, member);
        else if (code == BERTH_OK)
            code = read_value(config, &(struct path){ path, key->name }, key, member,
                              (char *)into + key->offset);
    }
    const char *wrong = object->check ? object->check(into) : NULL;
    if (wrong)
        berth_problems_add(&config->problems, false, node->at, "%s: %s", print_path(path, where),
                           wrong);
    return code;
}

int berth_config_parse(struct berth_config *config, const char *file, const char *text, size_t size,
                       struct berth_error *error)
{
    *config = (struct berth_config){ .file = file };
    berth_host_options_init(&config->host);
    config->permissions.mode = 1; /* declared */
    berth_arena_init(&config->arena);
    berth_problems_init(&config->problems, file, text, size);
    int code = berth_document_read(&config->problems, true, &config->arena, &config->root,
                                   &config->whole, error);
    if (code == BERTH_OK && config->root)
        code = read_object(config, NULL, &berth_config_root, config->root, config);
    return code == BERTH_OK && !config->problems.failed ? BERTH_OK : berth_error_nomem(error);
}

int berth_config_read(struct berth_config *config, const char *file, struct berth_error *error)
{
    size_t size;
    char *text = berth_file_read(file, BERTH_CONFIG_SIZE_MAX, &size);

    if (!text) {
        *config = (struct berth_config){ .file = file };
        berth_problems_init(&config->problems, file, "", 0);
        if (errno == EFBIG)
            return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                                   "%s: a configuration has at most 1 MiB", file);
        return berth_error_errno(error, errno, "%s", file);
    }
    int code = berth_config_parse(config, file, text, size, error);
    config->text = text;
    return code;
}

void berth_config_deinit(struct berth_config *config)
{
    berth_problems_deinit(&config->problems);
    berth_arena_deinit(&config->arena);
    free(config->text);
    config->text = NULL;
}
