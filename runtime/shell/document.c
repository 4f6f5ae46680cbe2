/* SPDX-License-Identifier: MIT */
#include "runtime/shell/document.h"

#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/map.h"
#include "runtime/base/text.h"
#include "runtime/value/json.h"
#include "runtime/value/scan.h"

struct parser {
    struct berth_scan scan;
    struct berth_problems *problems;
    struct berth_arena *arena;
    unsigned depth;
    const char *failed_at; /* the scanner's error */
    struct berth_error error;
};

/* A key that comes before a value, or none. */
struct label {
    const char *key, *at;
};

static int parse_value(struct parser *parser, struct berth_node *parent, const struct label *label);

static struct berth_node *add(struct parser *parser, struct berth_node *parent,
                              const struct label *label, enum berth_node_kind kind)
{
    struct berth_node *node = berth_arena_alloc(parser->arena, sizeof(*node));
    if (!node)
        return NULL;
    *node = (struct berth_node){
        .kind = kind,
        .at = parser->scan.next,
        .key = label->key,
        .key_at = label->at,
        .last = &node->first,
    };
    *parent->last = node;
    parent->last = &node->next;
    parent->count++;
    return node;
}

static int add_string(struct parser *parser, struct berth_node *parent, const struct label *label)
{
    const char *at = parser->scan.next;
    struct berth_token token;
    int code = berth_scan_string(&parser->scan, &token);

    if (code != BERTH_OK)
        return code;
    if (token.nul) {
        berth_problems_add(parser->problems, false, at, "a string cannot hold \\u0000");
        return BERTH_OK;
    }
    struct berth_node *node = add(parser, parent, label, BERTH_NODE_STRING);
    if (!node)
        return berth_error_nomem(&parser->error);
    node->at = at;
    node->size = token.length + 2;
    node->text = berth_json_decode(&token, parser->arena);
    return node->text ? BERTH_OK : berth_error_nomem(&parser->error);
}

/* A number, true, false or null. */
static int add_scalar(struct parser *parser, struct berth_node *parent, const struct label *label,
                      char c)
{
    bool number = c == '-' || (c >= '0' && c <= '9');
    struct berth_token token;
    int code =
        number ? berth_scan_number(&parser->scan, &token) : berth_scan_word(&parser->scan, &token);

    if (code != BERTH_OK)
        return code;
    struct berth_node *node = add(parser, parent, label,
                                  number     ? BERTH_NODE_NUMBER
                                  : c == 'n' ? BERTH_NODE_NULL
                                             : BERTH_NODE_BOOL);
    if (!node)
        return berth_error_nomem(&parser->error);
    node->at = token.text;
    node->size = token.length;
    return BERTH_OK;
}

/* Takes a list's opening bracket, in a node of its own. */
static int open_list(struct parser *parser, struct berth_node *parent, const struct label *label,
                     enum berth_node_kind kind, struct berth_node **ret_list)
{
    if (parser->depth == BERTH_JSON_DEPTH_MAX)
        return berth_scan_error(&parser->scan, parser->scan.next, "nested deeper than %d levels",
                                BERTH_JSON_DEPTH_MAX);
    *ret_list = add(parser, parent, label, kind);
    if (!*ret_list)
        return berth_error_nomem(&parser->error);
    parser->depth++;
    parser->scan.next++;
    return BERTH_OK;
}

static int parse_array(struct parser *parser, struct berth_node *parent, const struct label *label)
{
    const struct label none = { NULL, NULL };
    struct berth_node *list;
    bool first = true, more = true;
    int code = open_list(parser, parent, label, BERTH_NODE_ARRAY, &list);

    if (code != BERTH_OK)
        return code;
    while (code == BERTH_OK && more) {
        code = berth_scan_element(&parser->scan, &first, &more);
        if (code == BERTH_OK && more)
            code = parse_value(parser, list, &none);
    }
    parser->depth--;
    return code;
}

/* One member, whose key has been passed. */
static int parse_member(struct parser *parser, struct berth_node *list, struct berth_map *keys,
                        const struct berth_token *token)
{
    struct berth_node nowhere = { .last = &nowhere.first };
    struct label label = { NULL, token->text - 1 };
    bool twice = false;

    if (!token->nul) {
        label.key = berth_json_decode(token, parser->arena);
        if (!label.key)
            return berth_error_nomem(&parser->error);
        twice = berth_map_get(keys, label.key) != NULL;
    }
    if (token->nul)
        berth_problems_add(parser->problems, false, label.at, "a key cannot hold \\u0000");
    else if (twice)
        berth_problems_add(parser->problems, false, label.at,
                           "the key \"%s\" is there twice: keep one of them", label.key);
    else if (!berth_map_set(keys, label.key, list))
        return berth_error_nomem(&parser->error);
    return parse_value(parser, token->nul || twice ? &nowhere : list, &label);
}

static int parse_object(struct parser *parser, struct berth_node *parent, const struct label *label)
{
    struct berth_node *list;
    struct berth_map keys;
    struct berth_token token;
    bool first = true, more = true;
    int code = open_list(parser, parent, label, BERTH_NODE_OBJECT, &list);

    if (code != BERTH_OK)
        return code;
    berth_map_init_borrowing(&keys);
    while (code == BERTH_OK && more) {
        code = berth_scan_member(&parser->scan, &first, &more, &token);
        if (code == BERTH_OK && more)
            code = parse_member(parser, list, &keys, &token);
    }
    berth_map_deinit(&keys);
    parser->depth--;
    return code;
}

static int parse_value(struct parser *parser, struct berth_node *parent, const struct label *label)
{
    char c = berth_scan_peek(&parser->scan);

    if (c == '{')
        return parse_object(parser, parent, label);
    if (c == '[')
        return parse_array(parser, parent, label);
    if (c == '"')
        return add_string(parser, parent, label);
    return add_scalar(parser, parent, label, c);
}

int berth_document_read(struct berth_problems *problems, bool comments, struct berth_arena *arena,
                        const struct berth_node **ret_root, bool *ret_whole,
                        struct berth_error *error)
{
    struct berth_node top = { .last = &top.first };
    struct parser parser = { .problems = problems, .arena = arena };

    parser.scan = (struct berth_scan){
        .text = problems->text,
        .end = problems->end,
        .next = problems->text,
        .error = &parser.error,
        .comments = comments,
        .ret_at = &parser.failed_at,
    };
    int code = parse_value(&parser, &top, &(struct label){ NULL, NULL });
    if (code == BERTH_OK)
        code = berth_scan_end(&parser.scan);
    if (code == BERTH_RESOURCE_EXHAUSTED)
        return berth_error_nomem(error);
    if (code != BERTH_OK)
        berth_problems_add(problems, false, parser.failed_at, "%s", parser.error.text);
    if (problems->failed)
        return berth_error_nomem(error);
    *ret_whole = code == BERTH_OK;
    *ret_root = top.first;
    return BERTH_OK;
}

const struct berth_node *berth_node_find(const struct berth_node *node, const char *key)
{
    if (node && node->kind == BERTH_NODE_OBJECT)
        berth_node_each(node, member) if (berth_text_equal(member->key, key)) return member;
    return NULL;
}

const char *berth_node_text(const struct berth_node *node)
{
    return node && node->kind == BERTH_NODE_STRING ? node->text : NULL;
}
