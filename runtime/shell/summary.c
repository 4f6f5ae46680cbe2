/* SPDX-License-Identifier: MIT */
#include "runtime/shell/summary.h"

#include <berth/host.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#define NAMES_NEAR 64 /* as many names are looked at for the nearest one */

/* {"struct":[{"name","type","doc"},…]} */
static int add_struct(struct berth_types *types, const char *name, const struct berth_node *fields,
                      struct berth_error *error)
{
    struct berth_text_parameter parameters[BERTH_FIELDS_MAX];
    size_t count = 0;

    berth_node_each(fields, field)
    {
        if (count < BERTH_FIELDS_MAX)
            parameters[count++] = (struct berth_text_parameter){
                .type = berth_node_text(berth_node_find(field, "type")),
                .name = berth_node_text(berth_node_find(field, "name")),
            };
    }
    return berth_types_add_struct(types, name, "", parameters, count, error);
}

/* {"handle":{"module","kind","release"}} */
static int add_handle(struct berth_types *types, const char *name, const struct berth_node *handle,
                      struct berth_error *error)
{
    return berth_types_add_handle(types, name, berth_node_text(berth_node_find(handle, "module")),
                                  berth_node_text(berth_node_find(handle, "kind")), NULL, "",
                                  error);
}

static int add_types(struct berth_summary *summary, const struct berth_node *types,
                     struct berth_error *error)
{
    int code = BERTH_OK;

    summary->types = berth_types_new();
    if (!summary->types)
        return berth_error_nomem(error);
    berth_node_each(types, type)
    {
        const struct berth_node *fields = berth_node_find(type, "struct");
        if (code == BERTH_OK && fields)
            code = add_struct(summary->types, type->key, fields, error);
        else if (code == BERTH_OK)
            code = add_handle(summary->types, type->key, berth_node_find(type, "handle"), error);
    }
    return code;
}

static int read_json(struct berth_summary *summary, const char *file, struct berth_error *error)
{
    struct berth_problems problems;
    const struct berth_node *root = NULL;
    bool whole;

    berth_problems_init(&problems, file, summary->json, strlen(summary->json));
    int code = berth_document_read(&problems, false, &summary->arena, &root, &whole, error);
    berth_problems_deinit(&problems);
    if (code != BERTH_OK)
        return code;
    summary->module = berth_node_text(berth_node_find(root, "module"));
    summary->version = berth_node_text(berth_node_find(root, "version"));
    summary->options = berth_node_find(root, "options");
    summary->requires = berth_node_find(root, "requires");
    summary->imports = berth_node_find(root, "imports");
    summary->functions = berth_node_find(root, "functions");
    summary->topics = berth_node_find(root, "topics");
    summary->subscribes = berth_node_find(root, "subscribes");
    if (!summary->module || !summary->version ||
        !berth_semver_parse(summary->version, &summary->semver))
        return berth_error_set(error, BERTH_INTERNAL,
                               "%s: libberth gives a manifest that this "
                               "berth cannot read: install both anew",
                               file);
    return add_types(summary, berth_node_find(root, "types"), error);
}

int berth_summary_init(struct berth_summary *summary, const char *file, struct berth_error *error)
{
    *summary = (struct berth_summary){ .json = NULL };
    berth_arena_init(&summary->arena);
    int code = berth_manifest_read(file, &summary->json, NULL, error);
    if (code == BERTH_OK)
        code = read_json(summary, file, error);
    if (code != BERTH_OK)
        berth_summary_deinit(summary);
    return code;
}

void berth_summary_deinit(struct berth_summary *summary)
{
    berth_types_free(summary->types);
    berth_arena_deinit(&summary->arena);
    free(summary->json);
    *summary = (struct berth_summary){ .json = NULL };
}

int berth_summary_option(const struct berth_summary *summary, const char *name,
                         const struct berth_type **ret_type, struct berth_error *error)
{
    const char *text =
        berth_node_text(berth_node_find(berth_node_find(summary->options, name), "type"));

    if (!text)
        return berth_error_set(error, BERTH_NOT_FOUND, "%s has no option %s", summary->module,
                               name);
    return berth_types_find(summary->types, text, ret_type, error);
}

const char *berth_summary_nearest(const struct berth_node *members, const char *name)
{
    const char *names[NAMES_NEAR];
    size_t count = 0;

    berth_node_each(members, member) if (count < NAMES_NEAR) names[count++] = member->key;
    return berth_text_nearest(name, names, count);
}
