/* SPDX-License-Identifier: MIT */
/*
 * Topics, or patterns of them, in a tree of their tokens, so that what matches is found without
 * looking at what does not. Not thread-safe; several threads may look at once.
 */
#ifndef RUNTIME_BASE_TOPIC_TREE_H
#define RUNTIME_BASE_TOPIC_TREE_H

#include "runtime/base/list.h"
#include "runtime/base/topic_name.h"

#include <stdint.h>

struct berth_topic_node;
struct berth_topic_tree {
    struct berth_topic_node *root; /* NULL before the first entry */
    uint64_t visited;              /* nodes that were looked at so far; atomic */
};
/* Embedded in its owner. Zero before use. */
struct berth_topic_entry {
    struct berth_list link;
    struct berth_topic_node *node; /* NULL: it is in no tree */
};

void berth_topic_tree_deinit(struct berth_topic_tree *tree); /* whatever is still in it */

/* name: a topic or a pattern, and valid. false without memory. */
bool berth_topic_tree_add(struct berth_topic_tree *tree, const char *name,
                          struct berth_topic_entry *entry);
/* Nothing happens to one that is in no tree. */
void berth_topic_tree_remove(struct berth_topic_tree *tree, struct berth_topic_entry *entry);

/* false ends the walk, which then returns false, too. The tree stays as it is meanwhile. */
typedef bool (*berth_topic_visit)(void *user, struct berth_topic_entry *entry);
/* Of patterns: those that stand for the topic. */
bool berth_topic_tree_patterns(struct berth_topic_tree *tree, const char *topic,
                               berth_topic_visit visit, void *user);
/* Of topics: those that the pattern stands for. */
bool berth_topic_tree_topics(struct berth_topic_tree *tree, const char *pattern,
                             berth_topic_visit visit, void *user);

#endif
