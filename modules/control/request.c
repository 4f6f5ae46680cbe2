/* SPDX-License-Identifier: MIT */
/* JSON-RPC 2.0: one line in, one line out. */
#include "control.h"

#include <string.h>

struct request {
    const char *id; /* as it was written; NULL: a notification */
    const char *method, *params;
    const char *wrong; /* what makes it no request; NULL: nothing */
};

BERTH_IMPORT(parsed, host, parse, (json, text));

berth_parsed json_parse(berth_ctx *ctx, const char *json)
{
    return host_parse(ctx, json);
}

const char *json_member(const berth_parsed *object, const char *name)
{
    for (size_t i = 0; i < object->members.count; i++)
        if (!strcmp(object->members.data[i].name, name))
            return object->members.data[i].value;
    return NULL;
}

berth_parsed json_parse_member(berth_ctx *ctx, const berth_parsed *object, const char *name)
{
    const char *json = json_member(object, name);
    return json_parse(ctx, json ? json : "null");
}

const char *json_string_member(berth_ctx *ctx, const berth_parsed *object, const char *name)
{
    const char *json = json_member(object, name), *text = json ? json_string(ctx, json) : NULL;
    return text ? text : "";
}

/* ---- answers -------------------------------------------------------------------------------- */

static void put_id(struct text *reply, const char *id)
{
    text_puts(reply, ",\"id\":");
    text_puts(reply, id ? id : "null");
    text_puts(reply, "}");
}

static void put_answer(struct text *reply, const char *id, const struct answer *answer)
{
    text_puts(reply, "{\"jsonrpc\":\"2.0\",");
    if (answer->result) {
        text_puts(reply, "\"result\":");
        text_put_json(reply, answer->result);
    } else {
        text_puts(reply, "\"error\":{\"code\":-");
        text_put_number(reply, (uint64_t)-answer->rpc);
        text_puts(reply, ",\"message\":");
        text_put_string(reply, answer->words);
        text_puts(reply, ",\"data\":{\"code\":");
        text_put_string(reply, code_name(answer->code));
        text_puts(reply, ",\"number\":");
        text_put_number(reply, (uint64_t)answer->code);
        text_puts(reply, "}}");
    }
    put_id(reply, id);
}

void request_refuse(struct text *reply, int code, const char *words)
{
    struct answer answer;
    answer_fail(&answer, 0, code, words);
    put_answer(reply, NULL, &answer);
    text_puts(reply, "\n");
}

/* ---- requests ------------------------------------------------------------------------------- */

static bool is_id(const char *json)
{
    return *json == '"' || *json == '-' || (*json >= '0' && *json <= '9') || *json == 'n';
}

static void take_member(berth_ctx *ctx, struct request *request, const berth_member *member,
                        bool *versioned)
{
    const char *value = member->value;
    if (!strcmp(member->name, "jsonrpc")) {
        *versioned = !strcmp(value, "\"2.0\"");
    } else if (!strcmp(member->name, "id")) {
        if (is_id(value))
            request->id = value;
        else
            request->wrong = "id must be a string, a number or null";
    } else if (!strcmp(member->name, "method")) {
        request->method = json_string(ctx, value);
    } else if (!strcmp(member->name, "params")) {
        request->params = value;
        if (*value != '[' && *value != '{')
            request->wrong = "params must be an array or an object";
    }
}

static void take_request(berth_ctx *ctx, const berth_parsed *parsed, struct request *request)
{
    bool versioned = false;
    memset(request, 0, sizeof(*request));
    if (parsed->kind[0] != 'o') {
        request->wrong = "a request is an object";
        return;
    }
    for (size_t i = 0; i < parsed->members.count; i++)
        take_member(ctx, request, &parsed->members.data[i], &versioned);
    if (!versioned)
        request->wrong = "jsonrpc must be \"2.0\"";
    else if (!request->method)
        request->wrong = "method must be a string";
}

/* Appends the answer, if there is one. */
static void run_one(struct worker *worker, const berth_parsed *parsed)
{
    struct request request;
    struct answer answer = { 0 };
    take_request(worker->ctx, parsed, &request);
    worker->id = worker->in_batch ? NULL : request.id;
    if (request.wrong)
        answer_fail(&answer, RPC_INVALID_REQUEST, BERTH_INVALID_ARGUMENT, request.wrong);
    else if (worker->lost)
        answer_fail(&answer, 0, BERTH_UNAVAILABLE,
                    berth_printf(worker->ctx,
                                 "%s was reloaded, and its generation that executed this has ended "
                                 "without an answer: see stop_timeout",
                                 own_name));
    else
        method_run(worker, request.method, request.params, &answer);
    if (request.id || request.wrong)
        put_answer(&worker->reply, request.id, &answer);
}

/* ---- batches -------------------------------------------------------------------------------- */

static void run_element(struct worker *worker, const char *json, size_t *first)
{
    berth_ctx *ctx = worker->ctx;
    uint64_t mark = berth_mark(ctx);
    size_t before = worker->reply.size;
    struct answer answer;
    text_puts(&worker->reply, before == *first ? "[" : ",");
    size_t began = worker->reply.size;
    if (before > limits.line) {
        answer_fail(&answer, 0, BERTH_RESOURCE_EXHAUSTED, "the answers to this batch are too long");
        put_answer(&worker->reply, NULL, &answer);
    } else {
        berth_parsed parsed = json_parse(ctx, json);
        if (!berth_failed(ctx)) {
            run_one(worker, &parsed);
        } else {
            answer_fail_call(ctx, &answer);
            put_answer(&worker->reply, NULL, &answer);
        }
    }
    if (worker->reply.size == began) /* a notification */
        worker->reply.size = before;
    berth_rewind(ctx, mark);
}

static void run_batch(struct worker *worker, const berth_parsed *batch)
{
    size_t first = worker->reply.size;
    struct answer answer;
    if (batch->members.count == 0 || batch->members.count > limits.batch) {
        if (batch->members.count == 0)
            answer_fail(&answer, RPC_INVALID_REQUEST, BERTH_INVALID_ARGUMENT,
                        "a batch has at least one request");
        else
            answer_fail(&answer, 0, BERTH_RESOURCE_EXHAUSTED,
                        "too many requests in one batch: see the option \"batch\"");
        put_answer(&worker->reply, NULL, &answer);
        return;
    }
    worker->in_batch = true;
    for (size_t i = 0; i < batch->members.count; i++)
        run_element(worker, batch->members.data[i].value, &first);
    worker->in_batch = false;
    if (worker->reply.size > first)
        text_puts(&worker->reply, "]");
}

/* ---- a line --------------------------------------------------------------------------------- */

static void refuse_line(struct worker *worker, const char *words)
{
    /* on its way out of a worker: so the carrier says that it is no JSON */
    static const char packed[] = "argument text: packed value: ";
    struct answer answer;
    if (!words) {
        answer_fail_call(worker->ctx, &answer);
        if (!strncmp(answer.words, packed, sizeof(packed) - 1))
            words = answer.words + sizeof(packed) - 1;
        else if (answer.code == BERTH_INVALID_ARGUMENT)
            words = answer.words;
    }
    if (words) /* else it is too long for the host, for instance */
        answer_fail(&answer, RPC_PARSE_ERROR, BERTH_INVALID_ARGUMENT, words);
    put_answer(&worker->reply, NULL, &answer);
}

void request_run(struct worker *worker)
{
    berth_ctx *ctx = worker->ctx;
    uint64_t mark = berth_mark(ctx);
    text_clear(&worker->reply);
    berth_parsed parsed = { 0 };
    if (worker->line.failed)
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for this line");
    else if (memchr(worker->line.data, '\0', worker->line.size))
        refuse_line(worker, "a byte 0 in the line");
    else
        parsed = json_parse(ctx, worker->line.data);
    if (berth_failed(ctx))
        refuse_line(worker, NULL);
    else if (parsed.kind && parsed.kind[0] == 'a')
        run_batch(worker, &parsed);
    else if (parsed.kind)
        run_one(worker, &parsed);
    if (worker->reply.size)
        text_puts(&worker->reply, "\n");
    berth_rewind(ctx, mark);
}
