/* SPDX-License-Identifier: MIT */
/* What a client can ask for: functions of modules, and a few methods of the socket's own. */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

BERTH_IMPORT(json, host, call, (string, function), (optional(json), arguments),
             (optional(i64), timeout_ms));
BERTH_IMPORT(void, host, publish, (string, topic), (json, fields));

/* ---- answers -------------------------------------------------------------------------------- */

const char *code_name(int code)
{
    static const char *const names[] = {
        "ok",
        "cancelled",
        "unknown",
        "invalid_argument",
        "deadline_exceeded",
        "not_found",
        "already_exists",
        "permission_denied",
        "resource_exhausted",
        "failed_precondition",
        "aborted",
        "out_of_range",
        "unimplemented",
        "internal",
        "unavailable",
        "data_loss",
        "unauthenticated",
    };
    return code >= 0 && (size_t)code < sizeof(names) / sizeof(*names) ? names[code] : "unknown";
}

void answer_fail(struct answer *answer, int rpc, int code, const char *words)
{
    *answer = (struct answer){ NULL, rpc ? rpc : -32000 - code, code, words };
}

#define ARROW " → "

static bool begins(const char *words, const char *with)
{
    return strncmp(words, with, strlen(with)) == 0;
}

/* Error words begin with the chain of calls; this thread's own frame is no news. */
static const char *without_thread(const char *words)
{
    size_t length = strlen(own_name);
    static const char *const frames[] = { ".callback" ARROW, ".callback: " };
    for (size_t i = 0; i < 2; i++)
        if (begins(words, own_name) && begins(words + length, frames[i]))
            return words + length + strlen(frames[i]);
    return words;
}

/* Further inside, where an error is part of another one, the chain begins here all the same. */
static void remove_ways(char *words)
{
    for (char *at = words; (at = strchr(at, ' ')) != NULL;) {
        char *begin = ++at;
        const char *end = without_thread(begin);
        if (end == begin)
            continue;
        while (begins(end, "host.") && begins(end + strcspn(end, " :"), ARROW))
            end = strstr(end, ARROW) + strlen(ARROW);
        memmove(begin, end, strlen(end) + 1);
    }
}

/* Nor is the function of the host's that was only the way. */
static const char *without_way(const char *words)
{
    const char *at = begins(words, "host.") ? words + strcspn(words, ": ") : "";
    if (begins(at, ": "))
        return at + 2;
    return begins(at, ARROW) ? at + strlen(ARROW) : words;
}

void answer_fail_call(berth_ctx *ctx, struct answer *answer)
{
    char words[4096]; /* the text ends with the error; an error's is not longer */
    int code = berth_error_code(ctx);
    snprintf(words, sizeof(words), "%s", without_way(without_thread(berth_error_text(ctx))));
    berth_clear(ctx);
    remove_ways(words);
    answer_fail(answer, 0, code, berth_printf(ctx, "%s", words));
    berth_clear(ctx);
}

static void invalid_params(struct answer *answer, const char *words)
{
    answer_fail(answer, RPC_INVALID_PARAMS, BERTH_INVALID_ARGUMENT, words);
}

/* ---- params --------------------------------------------------------------------------------- */

const char *json_string(berth_ctx *ctx, const char *json)
{
    size_t size = strlen(json);
    if (*json != '"')
        return NULL;
    if (strchr(json, '\\')) {
        berth_parsed parsed = json_parse(ctx, json);
        if (!berth_failed(ctx))
            return parsed.text;
        berth_clear(ctx); /* \u0000 */
        return NULL;
    }
    char *text = (char *)berth_alloc(ctx, size - 1);
    if (text)
        memcpy(text, json + 1, size - 2);
    berth_clear(ctx);
    return text;
}

/* The values of params by the names that the document has; NULL where nothing is given. */
static bool take_params(berth_ctx *ctx, const struct method_doc *doc, const char *params,
                        const char *values[4], struct answer *answer)
{
    berth_parsed parsed = { 0 };
    if (params)
        parsed = json_parse(ctx, params);
    if (berth_failed(ctx)) {
        answer_fail_call(ctx, answer);
        return false;
    }
    for (size_t i = 0; i < parsed.members.count; i++) {
        const berth_member *member = &parsed.members.data[i];
        size_t at = i;
        if (parsed.kind[0] == 'o')
            for (at = 0; at < 4 && doc->params[at].name; at++)
                if (!strcmp(doc->params[at].name, member->name))
                    break;
        if (at >= 4 || !doc->params[at].name) {
            invalid_params(answer, berth_printf(ctx,
                                                parsed.kind[0] == 'o' ? "%s has no parameter %s"
                                                                      : "%s takes fewer params%.0s",
                                                doc->name, member->name));
            return false;
        }
        values[at] = member->value;
    }
    for (size_t i = 0; i < 4 && doc->params[i].name; i++)
        if (doc->params[i].required && !values[i]) {
            invalid_params(answer, berth_printf(ctx, "%s needs the parameter %s", doc->name,
                                                doc->params[i].name));
            return false;
        }
    return true;
}

/* A whole number, in digits alone. */
static bool json_integer(const char *json, int64_t *ret_value)
{
    char *end;
    errno = 0;
    *ret_value = strtoll(json, &end, 10);
    return !errno && end != json && !*end;
}

/* With a deadline or more replies than one it is started, and can be cancelled. */
struct call_options {
    berth_optional_i64 timeout;
    bool more;
};

/* ---- functions ------------------------------------------------------------------------------ */

static size_t identifier(const char *text)
{
    size_t length = 0;
    while ((text[length] >= 'a' && text[length] <= 'z') ||
           (text[length] >= 'A' && text[length] <= 'Z') || text[length] == '_' ||
           (length && text[length] >= '0' && text[length] <= '9'))
        length++;
    return length;
}

static bool is_function(const char *name)
{
    size_t length = identifier(name);
    return length && name[length] == '.' && identifier(name + length + 1) &&
           !name[length + 1 + identifier(name + length + 1)];
}

static void call_function(struct worker *worker, const char *function, const char *arguments,
                          const struct call_options *options, struct answer *answer)
{
    berth_ctx *ctx = worker->ctx;
    if (!is_function(function)) {
        berth_fail(ctx, BERTH_NOT_FOUND, "there is no method %.100s; functions are module.function",
                   function);
        answer_fail_call(ctx, answer);
        answer->rpc = RPC_METHOD_NOT_FOUND;
        return;
    }
    answer->result =
        options->timeout.present || options->more
            ? started_call(worker, function, arguments, options->timeout, options->more)
            : host_call(ctx, function, arguments, options->timeout);
    if (!berth_failed(ctx))
        return;
    /* what host.call says itself, not what is called */
    bool missing = berth_error_code(ctx) == BERTH_NOT_FOUND &&
                   begins(without_thread(berth_error_text(ctx)), "host.call: ");
    answer_fail_call(ctx, answer);
    if (missing)
        answer->rpc = RPC_METHOD_NOT_FOUND;
}

/* ---- the socket's own ----------------------------------------------------------------------- */

static void run_call(struct worker *worker, const char *const *values, struct answer *answer)
{
    berth_ctx *ctx = worker->ctx;
    struct call_options options = { { false, 0 }, false };
    const char *function = json_string(ctx, values[0]);
    options.timeout.present = values[2] != NULL;
    options.more = values[3] && !strcmp(values[3], "true");
    if (!function)
        invalid_params(answer, "function must be a string");
    else if (values[1] && *values[1] != '[' && *values[1] != '{')
        invalid_params(answer, "args must be an array or an object");
    else if (values[2] && !json_integer(values[2], &options.timeout.value))
        invalid_params(answer, "timeout_ms must be a whole number");
    else if (values[3] && !options.more && strcmp(values[3], "false"))
        invalid_params(answer, "more must be true or false");
    else
        call_function(worker, function, values[1], &options, answer);
}

static void run_cancel(struct worker *worker, const char *const *values, struct answer *answer)
{
    answer->result = "null";
    if (!started_cancel(worker->ctx, worker->connection, values[0]) &&
        !connection_cancel_foreign(worker->connection, values[0]))
        answer_fail(answer, 0, BERTH_NOT_FOUND,
                    "no call with this id goes on that can be cancelled: it needs timeout_ms, or "
                    "more");
}

static void run_publish(struct worker *worker, const char *const *values, struct answer *answer)
{
    berth_ctx *ctx = worker->ctx;
    const char *topic = json_string(ctx, values[0]);
    const char *fields = values[1] ? values[1] : "{}";
    if (!topic) {
        invalid_params(answer, "topic must be a string");
    } else if (*fields != '[' && *fields != '{') {
        invalid_params(answer, "fields must be an object or an array");
    } else {
        host_publish(ctx, topic, fields);
        answer->result = "null";
        if (berth_failed(ctx))
            answer_fail_call(ctx, answer);
    }
}

/* One pattern, or an array of them. */
static size_t take_patterns(berth_ctx *ctx, const char *json, const char *patterns[PATTERNS_MAX],
                            struct answer *answer)
{
    berth_parsed parsed = json_parse(ctx, json);
    berth_member alone = { "", json };
    if (berth_failed(ctx)) {
        answer_fail_call(ctx, answer);
        return 0;
    }
    if (parsed.kind[0] != 'a')
        parsed.members = (berth_array_member){ &alone, 1 };
    if (parsed.members.count == 0 || parsed.members.count > PATTERNS_MAX) {
        invalid_params(answer, "topics must be 1 to 64 patterns");
        return 0;
    }
    for (size_t i = 0; i < parsed.members.count; i++) {
        patterns[i] = json_string(ctx, parsed.members.data[i].value);
        if (!patterns[i]) {
            invalid_params(answer, "each of topics must be a string");
            return 0;
        }
    }
    return parsed.members.count;
}

static void run_subscribe(struct worker *worker, const char *const *values, struct answer *answer)
{
    berth_ctx *ctx = worker->ctx;
    const char *patterns[PATTERNS_MAX];
    if (!values[0] == !values[1]) {
        invalid_params(answer, "subscribe needs topics, or topic");
        return;
    }
    size_t count = take_patterns(ctx, values[0] ? values[0] : values[1], patterns, answer);
    const char *group = values[2] ? json_string(ctx, values[2]) : NULL;
    if (count && values[2] && (!group || count > 1)) {
        invalid_params(answer, group ? "a group is for one topic" : "group must be a string");
        return;
    }
    if (count && connection_patterns(worker->connection) + count > limits.patterns) {
        answer_fail(answer, 0, BERTH_RESOURCE_EXHAUSTED,
                    "too many subscriptions: see the option \"patterns\"");
        return;
    }
    struct subscription *made = count ? subscription_new(ctx, patterns, count, group) : NULL;
    if (berth_failed(ctx))
        answer_fail_call(ctx, answer);
    if (!made)
        return;
    answer->result = berth_printf(ctx, "%llu", (unsigned long long)made->number);
    berth_clear(ctx);
    if (!worker->in_batch) {
        worker->fresh = made; /* its messages come after the answer */
    } else if (!connection_subscribe(worker->connection, made)) {
        answer_fail(answer, 0, BERTH_CANCELLED, "the client has gone");
        subscriptions_end(ctx, made);
    }
}

static void run_unsubscribe(struct worker *worker, const char *const *values, struct answer *answer)
{
    int64_t number;
    if (!json_integer(values[0], &number)) {
        invalid_params(answer, "subscription must be a whole number");
        return;
    }
    answer->result = "null";
    if (!connection_unsubscribe(worker->ctx, worker->connection, (uint64_t)number))
        answer_fail(answer, 0, BERTH_NOT_FOUND, "this connection has no such subscription");
}

static void run_discover(struct worker *worker, const char *const *values, struct answer *answer)
{
    (void)values;
    discover(worker->ctx, answer);
}

static void (*const runs[])(struct worker *, const char *const *, struct answer *) = {
    run_call, run_cancel, run_publish, run_subscribe, run_unsubscribe, run_discover,
};

#define STRING "{\"type\":\"string\"}"
const struct method_doc method_docs[] = {
    { "call",
      "Calls a function by its name.",
      "{}",
      { { "function", "{\"type\":\"string\",\"description\":\"module.function\"}", true },
        { "args", "{\"type\":[\"array\",\"object\"]}", false },
        { "timeout_ms", "{\"type\":\"integer\",\"minimum\":0}", false },
        { "more", "{\"type\":\"boolean\"}", false } } },
    { "cancel",
      "Cancels a call of this connection that has timeout_ms, or more.",
      "{\"type\":\"null\"}",
      { { "id", "{\"type\":[\"string\",\"number\"]}", true } } },
    { "publish",
      "Publishes to a topic that a loaded module declares.",
      "{\"type\":\"null\"}",
      { { "topic", STRING, true }, { "fields", "{\"type\":[\"object\",\"array\"]}", false } } },
    { "subscribe",
      "Has messages sent to this connection, as notifications \"message\". Takes topics or topic.",
      "{\"type\":\"integer\",\"description\":\"the subscription's number\"}",
      { { "topics", "{\"type\":\"array\",\"items\":" STRING ",\"maxItems\":64}", false },
        { "topic",
          "{\"type\":\"string\",\"description\":\"a pattern: * is one token, > the rest\"}",
          false },
        { "group",
          "{\"type\":\"string\",\"description\":\"of subscriptions, one of which gets a message\"}",
          false } } },
    { "unsubscribe",
      "Ends a subscription of this connection.",
      "{\"type\":\"null\"}",
      { { "subscription", "{\"type\":\"integer\"}", true } } },
    { "rpc.discover", "Describes all that can be asked for.", "{\"type\":\"object\"}", { { 0 } } },
};
const size_t method_doc_count = sizeof(method_docs) / sizeof(*method_docs);

void method_run(struct worker *worker, const char *method, const char *params,
                struct answer *answer)
{
    for (size_t i = 0; i < method_doc_count; i++) {
        const char *values[4] = { NULL };
        if (strcmp(method, method_docs[i].name))
            continue;
        if (take_params(worker->ctx, &method_docs[i], params, values, answer))
            runs[i](worker, values, answer);
        return;
    }
    call_function(worker, method, params, &(struct call_options){ { false, 0 }, false }, answer);
}
