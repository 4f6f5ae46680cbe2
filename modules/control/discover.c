/* SPDX-License-Identifier: MIT */
/* rpc.discover: the manifests of what is loaded, as one document in the manner of OpenRPC. */
#include "control.h"

#include <string.h>

BERTH_IMPORT(json, host, list);
BERTH_IMPORT(json, host, show, (string, module));

/* ---- types ---------------------------------------------------------------------------------- */

static const struct {
    const char *type, *schema;
} schemas[] = {
    { "void", "{\"type\":\"null\"}" },
    { "bool", "{\"type\":\"boolean\"}" },
    { "string", "{\"type\":\"string\"}" },
    { "json", "{}" },
    { "bytes", "{\"type\":\"string\",\"contentEncoding\":\"base64\"}" },
    { "f32", "{\"type\":[\"number\",\"string\"]}" },
    { "f64", "{\"type\":[\"number\",\"string\"]}" },
    { "i8", "{\"type\":\"integer\",\"minimum\":-128,\"maximum\":127}" },
    { "i16", "{\"type\":\"integer\",\"minimum\":-32768,\"maximum\":32767}" },
    { "i32", "{\"type\":\"integer\",\"minimum\":-2147483648,\"maximum\":2147483647}" },
    { "i64", "{\"type\":\"integer\",\"minimum\":-9223372036854775808,"
             "\"maximum\":9223372036854775807}" },
    { "u8", "{\"type\":\"integer\",\"minimum\":0,\"maximum\":255}" },
    { "u16", "{\"type\":\"integer\",\"minimum\":0,\"maximum\":65535}" },
    { "u32", "{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967295}" },
    { "u64", "{\"type\":\"integer\",\"minimum\":0,\"maximum\":18446744073709551615}" },
};

/* What is between the parentheses of "array(T)"; NULL: it is something else. */
static const char *inner(berth_ctx *ctx, const char *type, const char *outer)
{
    size_t length = strlen(outer), size = strlen(type);
    if (strncmp(type, outer, length) || type[length] != '(')
        return NULL;
    return berth_printf(ctx, "%.*s", (int)(size - length - 2), type + length + 1);
}

static void put_schema(berth_ctx *ctx, struct text *to, const char *module, const char *type)
{
    const char *of;
    if ((of = inner(ctx, type, "array"))) {
        text_puts(to, "{\"type\":\"array\",\"items\":");
        put_schema(ctx, to, module, of);
        text_puts(to, "}");
        return;
    }
    if ((of = inner(ctx, type, "optional"))) {
        text_puts(to, "{\"oneOf\":[");
        put_schema(ctx, to, module, of);
        text_puts(to, ",{\"type\":\"null\"}]}");
        return;
    }
    for (size_t i = 0; i < sizeof(schemas) / sizeof(*schemas); i++)
        if (!strcmp(type, schemas[i].type)) {
            text_puts(to, schemas[i].schema);
            return;
        }
    text_puts(to, "{\"$ref\":");
    text_put_string(to, berth_printf(ctx, "#/components/schemas/%s.%s", module, type));
    text_puts(to, "}");
}

/* The structs and handles of a module. */
static void put_types(berth_ctx *ctx, struct text *to, const char *module,
                      const berth_parsed *types)
{
    for (size_t i = 0; i < types->members.count; i++) {
        berth_parsed type = json_parse(ctx, types->members.data[i].value);
        berth_parsed fields = json_parse_member(ctx, &type, "struct");
        text_puts(to, to->size ? "," : "");
        text_put_string(to, berth_printf(ctx, "%s.%s", module, types->members.data[i].name));
        text_puts(to, ":{");
        if (fields.kind[0] != 'a')
            text_puts(to, "\"type\":\"integer\",\"minimum\":0,");
        else
            text_puts(to, "\"type\":\"object\",\"properties\":{");
        for (size_t j = 0; j < fields.members.count; j++) {
            berth_parsed field = json_parse(ctx, fields.members.data[j].value);
            text_puts(to, j ? "," : "");
            text_put_string(to, json_string_member(ctx, &field, "name"));
            text_puts(to, ":");
            put_schema(ctx, to, module, json_string_member(ctx, &field, "type"));
        }
        text_puts(to, fields.kind[0] == 'a' ? "},\"description\":" : "\"description\":");
        text_put_string(to, json_string_member(ctx, &type, "doc"));
        text_puts(to, "}");
    }
}

/* ---- functions ------------------------------------------------------------------------------ */

static void put_param(berth_ctx *ctx, struct text *to, const char *module,
                      const berth_parsed *param)
{
    const char *type = json_string_member(ctx, param, "type");
    text_puts(to, "{\"name\":");
    text_put_string(to, json_string_member(ctx, param, "name"));
    text_puts(to, ",\"description\":");
    text_put_string(to, json_string_member(ctx, param, "doc"));
    text_puts(to, strncmp(type, "optional(", 9) ? ",\"required\":true,\"schema\":"
                                                : ",\"required\":false,\"schema\":");
    put_schema(ctx, to, module, type);
    text_puts(to, "}");
}

static void put_function(berth_ctx *ctx, struct text *to, const char *module,
                         const berth_member *member)
{
    berth_parsed function = json_parse(ctx, member->value);
    berth_parsed params = json_parse_member(ctx, &function, "parameters");
    text_puts(to, ",{\"name\":");
    text_put_string(to, berth_printf(ctx, "%s.%s", module, member->name));
    text_puts(to, ",\"description\":");
    text_put_string(to, json_string_member(ctx, &function, "doc"));
    text_puts(to, ",\"params\":[");
    for (size_t i = 0; i < params.members.count; i++) {
        berth_parsed param = json_parse(ctx, params.members.data[i].value);
        text_puts(to, i ? "," : "");
        put_param(ctx, to, module, &param);
    }
    text_puts(to, "],\"result\":{\"name\":\"result\",\"schema\":");
    put_schema(ctx, to, module, json_string_member(ctx, &function, "result"));
    text_puts(to, "}}");
}

static void put_module(berth_ctx *ctx, struct text *methods, struct text *types, const char *name)
{
    const char *manifest = host_show(ctx, name);
    if (berth_failed(ctx)) { /* it has gone meanwhile */
        berth_clear(ctx);
        return;
    }
    berth_parsed module = json_parse(ctx, manifest);
    berth_parsed functions = json_parse_member(ctx, &module, "functions");
    berth_parsed structs = json_parse_member(ctx, &module, "types");
    for (size_t i = 0; i < functions.members.count; i++)
        put_function(ctx, methods, name, &functions.members.data[i]);
    put_types(ctx, types, name, &structs);
}

/* ---- the document --------------------------------------------------------------------------- */

static void put_own(struct text *to)
{
    for (size_t i = 0; i < method_doc_count; i++) {
        const struct method_doc *doc = &method_docs[i];
        text_puts(to, i ? ",{\"name\":" : "{\"name\":");
        text_put_string(to, doc->name);
        text_puts(to, ",\"description\":");
        text_put_string(to, doc->doc);
        text_puts(to, ",\"params\":[");
        for (size_t j = 0; j < 4 && doc->params[j].name; j++) {
            text_puts(to, j ? ",{\"name\":" : "{\"name\":");
            text_put_string(to, doc->params[j].name);
            text_puts(to, doc->params[j].required ? ",\"required\":true,\"schema\":"
                                                  : ",\"required\":false,\"schema\":");
            text_puts(to, doc->params[j].schema);
            text_puts(to, "}");
        }
        text_puts(to, "],\"result\":{\"name\":\"result\",\"schema\":");
        text_puts(to, doc->result);
        text_puts(to, "}}");
    }
}

static void put_modules(berth_ctx *ctx, struct text *methods, struct text *types)
{
    berth_parsed list = json_parse(ctx, host_list(ctx));
    berth_parsed modules = json_parse_member(ctx, &list, "modules");
    for (size_t i = 0; i < modules.members.count && !berth_failed(ctx); i++) {
        uint64_t mark = berth_mark(ctx);
        berth_parsed module = json_parse(ctx, modules.members.data[i].value);
        put_module(ctx, methods, types, json_string_member(ctx, &module, "name"));
        berth_rewind(ctx, mark);
    }
}

void discover(berth_ctx *ctx, struct answer *answer)
{
    struct text methods = { 0 }, types = { 0 };
    put_own(&methods);
    put_modules(ctx, &methods, &types);
    if (methods.failed || types.failed)
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for the document");
    if (!berth_failed(ctx))
        answer->result = berth_printf(
            ctx,
            "{\"openrpc\":\"1.3.2\",\"info\":{\"title\":\"%s\",\"version\":\"%s\"},\"methods\":["
            "%.*s],\"components\":{\"schemas\":{%.*s}}}",
            own_name, BERTH_VERSION, (int)methods.size, methods.data, (int)types.size,
            types.data ? types.data : "");
    if (berth_failed(ctx))
        answer_fail_call(ctx, answer);
    text_free(&methods);
    text_free(&types);
}
