/* SPDX-License-Identifier: MIT */
#include "runtime/shell/learn.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/document.h"
#include "runtime/shell/output.h"
#include "runtime/value/json.h"

/* What the host says of itself; deinit'ed by the caller in any case. */
struct answer {
    char *json; /* of malloc */
    struct berth_problems problems;
    struct berth_arena arena;
    const struct berth_node *root;
};

static int answer_read(struct answer *answer, berth_host *host,
                       int (*ask)(berth_host *, char **, struct berth_error *),
                       struct berth_error *error)
{
    bool whole;

    *answer = (struct answer){ .json = NULL };
    berth_arena_init(&answer->arena);
    int code = ask(host, &answer->json, error);
    const char *text = code == BERTH_OK ? answer->json : "";
    berth_problems_init(&answer->problems, "permissions", text, strlen(text));
    if (code == BERTH_OK)
        code = berth_document_read(&answer->problems, false, &answer->arena, &answer->root, &whole,
                                   error);
    return code;
}

static void answer_deinit(struct answer *answer)
{
    berth_problems_deinit(&answer->problems);
    berth_arena_deinit(&answer->arena);
    free(answer->json);
}

/* The newest first, as the host itself would. What stays is ended with it. */
static void unload(berth_host *host, const struct berth_node *module)
{
    if (!module)
        return;
    unload(host, module->next);
    berth_host_unload(host, berth_node_text(berth_node_find(module, "name")), NULL);
}

static void unload_all(berth_host *host)
{
    struct answer answer;

    if (answer_read(&answer, host, berth_host_list, NULL) == BERTH_OK) {
        const struct berth_node *modules = berth_node_find(answer.root, "modules");
        unload(host, modules ? modules->first : NULL);
    }
    answer_deinit(&answer);
}

static void put_text(struct berth_buffer *buffer, const char *text)
{
    berth_json_write_string(text, strlen(text), buffer);
}

/* "call": ["math.add", "math.divide"] */
static void put_member(struct berth_buffer *buffer, const struct berth_node *member)
{
    put_text(buffer, member->key);
    berth_buffer_text(buffer, ": ");
    if (member->kind == BERTH_NODE_STRING) {
        put_text(buffer, member->text);
        return;
    }
    berth_buffer_text(buffer, "[");
    berth_node_each(member, rule)
    {
        berth_buffer_text(buffer, rule == member->first ? "" : ", ");
        put_text(buffer, rule->text);
    }
    berth_buffer_text(buffer, "]");
}

static bool is_given(const struct berth_config *listening, const char *caller)
{
    return listening && !berth_config_has_grants(listening, caller) &&
           (!strcmp(caller, "control") || !strcmp(caller, "operator"));
}

static void put_grants(struct berth_buffer *buffer, const struct berth_node *grants,
                       const struct berth_config *listening)
{
    bool first = true;

    berth_buffer_text(buffer, "\"permissions\": {\n    \"mode\": \"listed\",\n    \"grants\": {");
    berth_node_each(grants, grantee)
    {
        if (is_given(listening, grantee->key))
            continue;
        berth_buffer_text(buffer, first ? "\n        " : ",\n        ");
        first = false;
        put_text(buffer, grantee->key);
        berth_buffer_text(buffer, ": {");
        berth_node_each(grantee, member)
        {
            berth_buffer_text(buffer, member == grantee->first ? "" : ", ");
            put_member(buffer, member);
        }
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, first ? "}\n}\n" : "\n    }\n}\n");
}

int berth_learn_print(berth_host *host, const struct berth_config *listening)
{
    struct berth_error error = { 0 };
    struct berth_buffer buffer;
    struct answer answer;

    unload_all(host);
    berth_buffer_init(&buffer, 0);
    int code = answer_read(&answer, host, berth_host_permissions, &error);
    if (code == BERTH_OK) {
        put_grants(&buffer, berth_node_find(answer.root, "needed"), listening);
        code = berth_buffer_check(&buffer, &error);
    }
    int status = code == BERTH_OK ? berth_output_text(false, buffer.data)
                                  : berth_output_error(false, &error);
    answer_deinit(&answer);
    berth_buffer_deinit(&buffer);
    return status;
}
