/* SPDX-License-Identifier: MIT */
#include "runtime/base/topic_tree.h"

#include "runtime/base/map.h"
#include "runtime/base/memory.h"

#include <string.h>

struct berth_topic_node {
    struct berth_topic_node *parent;
    struct berth_map children; /* by token, wildcards like any other */
    struct berth_list entries;
    char token[];
};

struct walk {
    struct berth_topic_tree *tree;
    berth_topic_visit visit;
    void *user;
};

static size_t token_length(const char *name)
{
    return strcspn(name, ".");
}

/* What comes behind a token: NULL at the end. */
static const char *rest_of(const char *name)
{
    name += token_length(name);
    return *name ? name + 1 : NULL;
}

static struct berth_topic_node *child_of(struct walk *walk, const struct berth_topic_node *node,
                                         const char *token, size_t length)
{
    __atomic_add_fetch(&walk->tree->visited, 1, __ATOMIC_RELAXED);
    return node->children.count
               ? berth_map_get_hashed(&node->children, token, length, berth_map_hash(token, length))
               : NULL;
}

/* ---- in and out ---- */

static struct berth_topic_node *node_new(struct berth_topic_node *parent, const char *token,
                                         size_t length)
{
    struct berth_topic_node *node = berth_calloc(1, sizeof *node + length + 1);
    if (!node)
        return NULL;
    node->parent = parent;
    memcpy(node->token, token, length);
    berth_map_init_borrowing(&node->children);
    berth_list_init(&node->entries);
    if (!parent || berth_map_set(&parent->children, node->token, node))
        return node;
    berth_free(node);
    return NULL;
}

/* Upwards, as far as nothing is left. */
static void prune(struct berth_topic_tree *tree, struct berth_topic_node *node)
{
    while (node && berth_list_empty(&node->entries) && node->children.count == 0) {
        struct berth_topic_node *parent = node->parent;
        if (parent)
            berth_map_remove(&parent->children, node->token);
        else
            tree->root = NULL;
        berth_map_deinit(&node->children);
        berth_free(node);
        node = parent;
    }
}

bool berth_topic_tree_add(struct berth_topic_tree *tree, const char *name,
                          struct berth_topic_entry *entry)
{
    struct walk walk = { tree, NULL, NULL };
    struct berth_topic_node *node = tree->root;
    if (!node && !(node = tree->root = node_new(NULL, "", 0)))
        return false;
    for (; name; name = rest_of(name)) {
        size_t length = token_length(name);
        struct berth_topic_node *child = child_of(&walk, node, name, length);
        if (!child && !(child = node_new(node, name, length))) {
            prune(tree, node);
            return false;
        }
        node = child;
    }
    entry->node = node;
    berth_list_append(&node->entries, &entry->link);
    return true;
}

void berth_topic_tree_remove(struct berth_topic_tree *tree, struct berth_topic_entry *entry)
{
    struct berth_topic_node *node = entry->node;
    if (!node)
        return;
    entry->node = NULL;
    berth_list_remove(&entry->link);
    prune(tree, node);
}

static void node_free(struct berth_topic_node *node)
{
    struct berth_map_entry *entry;
    for (size_t i = 0; berth_map_next(&node->children, &i, &entry);)
        node_free(entry->value);
    berth_map_deinit(&node->children);
    berth_free(node);
}

void berth_topic_tree_deinit(struct berth_topic_tree *tree)
{
    if (tree->root)
        node_free(tree->root);
    tree->root = NULL;
}

/* ---- walks ---- */

static bool visit_entries(struct walk *walk, struct berth_topic_node *node)
{
    berth_list_each(&node->entries, link) {
        if (!walk->visit(walk->user, berth_container(link, struct berth_topic_entry, link)))
            return false;
    }
    return true;
}

/* wild: wildcards at this level stand for what follows. */
static bool patterns_below(struct walk *walk, struct berth_topic_node *node, const char *topic,
                           bool wild)
{
    struct berth_topic_node *rest = wild ? child_of(walk, node, ">", 1) : NULL;
    struct berth_topic_node *any = wild ? child_of(walk, node, "*", 1) : NULL;
    struct berth_topic_node *same = child_of(walk, node, topic, token_length(topic));
    struct berth_topic_node *ways[] = { same, any };
    const char *further = rest_of(topic);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (ways[i] && !(further ? patterns_below(walk, ways[i], further, true)
                                 : visit_entries(walk, ways[i])))
            return false;
    return !rest || visit_entries(walk, rest);
}

bool berth_topic_tree_patterns(struct berth_topic_tree *tree, const char *topic,
                               berth_topic_visit visit, void *user)
{
    struct walk walk = { tree, visit, user };
    return !tree->root || patterns_below(&walk, tree->root, topic, !berth_topic_is_hosts(topic));
}

static bool all_below(struct walk *walk, struct berth_topic_node *node);

/* What a wildcard that the pattern begins with does not mean: the host's own topics. */
static bool is_hosts(const struct berth_topic_node *node)
{
    return !node->parent->parent && strcmp(node->token, "host") == 0;
}

static bool topics_below(struct walk *walk, struct berth_topic_node *node, const char *pattern)
{
    const char *further = rest_of(pattern);
    struct berth_map_entry *entry;
    if (*pattern == '>')
        return all_below(walk, node);
    if (*pattern != '*') {
        struct berth_topic_node *child = child_of(walk, node, pattern, token_length(pattern));
        return !child ||
               (further ? topics_below(walk, child, further) : visit_entries(walk, child));
    }
    for (size_t i = 0; berth_map_next(&node->children, &i, &entry);) {
        struct berth_topic_node *child = entry->value;
        __atomic_add_fetch(&walk->tree->visited, 1, __ATOMIC_RELAXED);
        if (further && is_hosts(child))
            continue;
        if (!(further ? topics_below(walk, child, further) : visit_entries(walk, child)))
            return false;
    }
    return true;
}

/* All that is longer than the node's own name. */
static bool all_below(struct walk *walk, struct berth_topic_node *node)
{
    struct berth_map_entry *entry;
    for (size_t i = 0; berth_map_next(&node->children, &i, &entry);) {
        struct berth_topic_node *child = entry->value;
        __atomic_add_fetch(&walk->tree->visited, 1, __ATOMIC_RELAXED);
        if (!is_hosts(child) && !all_below(walk, child))
            return false;
        if (!visit_entries(walk, child))
            return false;
    }
    return true;
}

bool berth_topic_tree_topics(struct berth_topic_tree *tree, const char *pattern,
                             berth_topic_visit visit, void *user)
{
    struct walk walk = { tree, visit, user };
    return !tree->root || topics_below(&walk, tree->root, pattern);
}
