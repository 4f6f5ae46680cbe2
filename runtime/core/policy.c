/* SPDX-License-Identifier: MIT */
#include "runtime/core/policy.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/value/json.h"
#include "runtime/value/type.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const mode_names[] = { "open", "declared", "listed" };

const char *berth_policy_mode_name(enum berth_policy_mode mode)
{
    return mode_names[mode];
}

/* ---- asking ---- */

static bool is_own(const char *caller, const char *function)
{
    size_t length = strlen(caller);
    return strncmp(function, caller, length) == 0 && function[length] == '.';
}

bool berth_policy_allows(const struct berth_policy *policy, const char *caller,
                         enum berth_right right, const char *what)
{
    return policy->mode != BERTH_POLICY_LISTED ||
           (right == BERTH_RIGHT_CALL && is_own(caller, what)) ||
           berth_grants_allow(&policy->grants, caller, right, what);
}

const char *berth_policy_actor(const struct berth_policy *policy, const char *module)
{
    const struct berth_grantee *grantee = berth_grants_find(&policy->grants, module);
    return grantee && grantee->operates ? BERTH_CALLER_OPERATOR : module;
}

void berth_policy_deinit(struct berth_policy *policy)
{
    berth_grants_deinit(&policy->grants);
}

/* ---- reading ---- */

struct reader {
    struct berth_scan scan;
    struct berth_arena arena;
    struct berth_policy *policy;
    struct berth_error error;
};

/* What reads a member's value; its key is passed. */
typedef int (*read_fn)(struct reader *reader, const char *owner);

struct key {
    const char *name;
    read_fn read;
};

static int open_list(struct reader *reader, char bracket, const char *takes)
{
    if (berth_scan_peek(&reader->scan) != bracket)
        return berth_scan_error(&reader->scan, reader->scan.next, "expected %s", takes);
    reader->scan.next++;
    return BERTH_OK;
}

static int decode(struct reader *reader, const struct berth_token *token, const char **ret_text)
{
    if (token->nul)
        return berth_scan_error(&reader->scan, token->text, "\\u0000 cannot be part of a name");
    *ret_text = berth_json_decode(token, &reader->arena);
    return *ret_text ? BERTH_OK : berth_error_nomem(&reader->error);
}

/* *ret_at: where it stands, for messages. */
static int read_string(struct reader *reader, const char *takes, const char **ret_text,
                       const char **ret_at)
{
    struct berth_token token;
    char first = berth_scan_peek(&reader->scan);
    *ret_at = reader->scan.next;
    if (first != '"')
        return berth_scan_error(&reader->scan, *ret_at, "expected %s", takes);
    int code = berth_scan_string(&reader->scan, &token);
    return code == BERTH_OK ? decode(reader, &token, ret_text) : code;
}

static int unknown_key(struct reader *reader, const struct berth_token *token, const char *name,
                       const struct key *keys, size_t count)
{
    const char *names[8];
    for (size_t i = 0; i < count; i++)
        names[i] = keys[i].name;
    const char *nearest = berth_text_nearest(name, names, count);
    return berth_scan_error(&reader->scan, token->text, "unknown key \"%.64s\"%s%s%s", name,
                            nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                            nearest ? "\"?" : "");
}

/* An object with these keys, each at most once. */
static int read_keys(struct reader *reader, const struct key *keys, size_t count, const char *owner)
{
    bool first = true, more = true, seen[8] = { false };
    int code = open_list(reader, '{', "an object");
    while (code == BERTH_OK) {
        struct berth_token token;
        const char *name;
        size_t i = 0;
        code = berth_scan_member(&reader->scan, &first, &more, &token);
        if (code != BERTH_OK || !more)
            break;
        code = decode(reader, &token, &name);
        while (code == BERTH_OK && i < count && strcmp(keys[i].name, name) != 0)
            i++;
        if (code == BERTH_OK && i == count)
            code = unknown_key(reader, &token, name, keys, count);
        else if (code == BERTH_OK && seen[i])
            code =
                berth_scan_error(&reader->scan, token.text, "the key \"%s\" is there twice", name);
        if (code != BERTH_OK)
            break;
        seen[i] = true;
        code = keys[i].read(reader, owner);
    }
    return code;
}

static int read_rules(struct reader *reader, const char *caller, enum berth_right right)
{
    const char *takes =
        right == BERTH_RIGHT_CALL
            ? "a function: module.function, module.* or *"
            : "a topic or pattern: tokens joined by dots, * for one, > for the rest";
    bool first = true, more = true;
    int code = open_list(reader, '[', "an array");
    while (code == BERTH_OK) {
        const char *pattern, *at;
        code = berth_scan_element(&reader->scan, &first, &more);
        if (code != BERTH_OK || !more)
            break;
        code = read_string(reader, takes, &pattern, &at);
        if (code == BERTH_OK && !berth_right_pattern_valid(right, pattern))
            code = berth_scan_error(&reader->scan, at, "\"%.80s\" is not %s", pattern, takes);
        if (code == BERTH_OK && !berth_grants_add(&reader->policy->grants, caller, right, pattern))
            code = berth_error_nomem(&reader->error);
    }
    return code;
}

static int read_call(struct reader *reader, const char *caller)
{
    return read_rules(reader, caller, BERTH_RIGHT_CALL);
}

static int read_publish(struct reader *reader, const char *caller)
{
    return read_rules(reader, caller, BERTH_RIGHT_PUBLISH);
}

static int read_subscribe(struct reader *reader, const char *caller)
{
    return read_rules(reader, caller, BERTH_RIGHT_SUBSCRIBE);
}

static int read_as(struct reader *reader, const char *caller)
{
    const char *text, *at;
    int code = read_string(reader, "\"" BERTH_CALLER_OPERATOR "\"", &text, &at);
    if (code != BERTH_OK)
        return code;
    if (strcmp(text, BERTH_CALLER_OPERATOR) != 0)
        return berth_scan_error(&reader->scan, at, "\"%.64s\" is not \"" BERTH_CALLER_OPERATOR "\"",
                                text);
    if (strcmp(caller, BERTH_CALLER_EVERY) == 0 || strcmp(caller, BERTH_CALLER_OPERATOR) == 0)
        return berth_scan_error(&reader->scan, at, "\"%s\" cannot act for operators: name a module",
                                caller);
    berth_grants_find(&reader->policy->grants, caller)->operates = true;
    return BERTH_OK;
}

static const struct key grantee_keys[] = {
    { "as", read_as },
    { "call", read_call },
    { "publish", read_publish },
    { "subscribe", read_subscribe },
};

static int read_grantee(struct reader *reader, const struct berth_token *token)
{
    const char *name;
    int code = decode(reader, token, &name);
    if (code != BERTH_OK)
        return code;
    if (strcmp(name, BERTH_CALLER_EVERY) != 0 && !berth_identifier_valid(name))
        return berth_scan_error(&reader->scan, token->text,
                                "\"%.64s\" is no caller: write a module's name, or *", name);
    if (berth_grants_find(&reader->policy->grants, name))
        return berth_scan_error(&reader->scan, token->text, "the key \"%s\" is there twice", name);
    if (!berth_grants_obtain(&reader->policy->grants, name))
        return berth_error_nomem(&reader->error);
    return read_keys(reader, grantee_keys, COUNT(grantee_keys), name);
}

static int read_grants(struct reader *reader, const char *owner)
{
    bool first = true, more = true;
    int code = open_list(reader, '{', "an object");
    (void)owner;
    while (code == BERTH_OK) {
        struct berth_token token;
        code = berth_scan_member(&reader->scan, &first, &more, &token);
        if (code != BERTH_OK || !more)
            break;
        code = read_grantee(reader, &token);
    }
    return code;
}

static int read_mode(struct reader *reader, const char *owner)
{
    const char *text, *at;
    int code = read_string(reader, "\"open\", \"declared\" or \"listed\"", &text, &at);
    (void)owner;
    if (code != BERTH_OK)
        return code;
    for (size_t i = 0; i < COUNT(mode_names); i++)
        if (strcmp(text, mode_names[i]) == 0) {
            reader->policy->mode = (enum berth_policy_mode)i;
            return BERTH_OK;
        }
    return berth_scan_error(&reader->scan, at,
                            "\"%.64s\" is not \"open\", \"declared\" or "
                            "\"listed\"",
                            text);
}

static int read_record(struct reader *reader, const char *owner)
{
    struct berth_token token;
    char first = berth_scan_peek(&reader->scan);
    (void)owner;
    if (first != 't' && first != 'f')
        return berth_scan_error(&reader->scan, reader->scan.next, "expected true or false");
    int code = berth_scan_word(&reader->scan, &token);
    reader->policy->record = first == 't';
    return code;
}

static const struct key policy_keys[] = {
    { "mode", read_mode },
    { "grants", read_grants },
    { "record", read_record },
};

int berth_policy_read(const char *json, struct berth_policy *ret_policy, struct berth_error *error)
{
    struct berth_policy policy = { .mode = BERTH_POLICY_DECLARED };
    struct reader reader = { .policy = &policy };
    const char *text = json ? json : "{}";
    reader.scan = (struct berth_scan){ .text = text,
                                       .end = text + strlen(text),
                                       .next = text,
                                       .what = "permissions",
                                       .error = &reader.error };
    berth_arena_init(&reader.arena);
    int code = read_keys(&reader, policy_keys, COUNT(policy_keys), NULL);
    if (code == BERTH_OK)
        code = berth_scan_end(&reader.scan);
    berth_arena_deinit(&reader.arena);
    if (code == BERTH_OK) {
        *ret_policy = policy;
        return BERTH_OK;
    }
    berth_policy_deinit(&policy);
    return berth_error_set(error, code, "%s", reader.error.text);
}
