/* SPDX-License-Identifier: MIT */
/*
 * A JSON text as a tree that knows where in the text each value stands, for who has to say what is
 * wrong with it. Numbers are kept as their text, strings are decoded.
 */
#ifndef RUNTIME_SHELL_DOCUMENT_H
#define RUNTIME_SHELL_DOCUMENT_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/arena.h"
#include "runtime/shell/problem.h"

enum berth_node_kind {
    BERTH_NODE_NULL,
    BERTH_NODE_BOOL,
    BERTH_NODE_NUMBER,
    BERTH_NODE_STRING,
    BERTH_NODE_ARRAY,
    BERTH_NODE_OBJECT
};

struct berth_node {
    enum berth_node_kind kind;
    const char *at;   /* where it stands; a list's opening bracket */
    size_t size;      /* of its text, unless it is a list */
    const char *text; /* a string: what it says */
    const char *key;  /* a member's, else NULL */
    const char *key_at;
    size_t count;                     /* of elements or members */
    struct berth_node *first, **last; /* of a list: its elements or members, in order */
    struct berth_node *next;
};

/*
 * Reads the text that the problems are about. What is wrong is added to them: an error of syntax
 * ends the reading (*ret_whole is false), and the tree holds what came before it; a second key of
 * one name, and a string with \u0000, are left out of it. *ret_root may be NULL. comments: there
 * may be some, of C++'s two kinds. The tree lives in the arena and points into the text. Fails
 * only without memory.
 */
int berth_document_read(struct berth_problems *problems, bool comments, struct berth_arena *arena,
                        const struct berth_node **ret_root, bool *ret_whole,
                        struct berth_error *error);

/* An object's member, or NULL. node may be NULL. */
const struct berth_node *berth_node_find(const struct berth_node *node, const char *key);
/* What a string says; NULL for other nodes and for none. */
const char *berth_node_text(const struct berth_node *node);

#define berth_node_each(list, node) \
    for (const struct berth_node *node = (list) ? (list)->first : NULL; node; node = node->next)

#endif
