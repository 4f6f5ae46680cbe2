/* SPDX-License-Identifier: MIT */
/* How a manifest looks: in words, and as JSON. */
#include "runtime/image/manifest.h"

#include "runtime/base/error.h"
#include "runtime/value/json.h"

#include <string.h>

#define LINE_MAX 4096 /* of a signature; a longer one is cut */

/* ---- In words ---- */

/* Text from outside: what could drive a terminal becomes '?', and further lines are indented. */
static void put_text(struct berth_buffer *buffer, const char *text, unsigned indent)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)p[0], next = (unsigned char)p[1];
        if (c == '\n') {
            berth_buffer_format(buffer, "\n%*s", (int)indent, "");
        } else if (c == 0xc2 && next < 0xa0) { /* U+0080 to U+009F, in UTF-8 */
            berth_buffer_text(buffer, "?");
            p++;
        } else if (c < 0x20 || c == 0x7f) {
            berth_buffer_text(buffer, c == '\t' ? " " : "?");
        } else {
            berth_buffer_append(buffer, p, 1);
        }
    }
}

/* A paragraph below its line, if there is one. */
static void put_doc(struct berth_buffer *buffer, const char *doc, unsigned indent)
{
    if (!doc[0])
        return;
    berth_buffer_format(buffer, "%*s", (int)indent, "");
    put_text(buffer, doc, indent);
    berth_buffer_text(buffer, "\n");
}

/* The documented ones, one a line, their names aligned. */
static void put_parameters(struct berth_buffer *buffer, const struct berth_parameter *parameters,
                           size_t count, unsigned indent)
{
    size_t width = 0;

    for (size_t i = 0; i < count; i++)
        if (parameters[i].doc[0] && strlen(parameters[i].name) > width)
            width = strlen(parameters[i].name);
    for (size_t i = 0; i < count; i++) {
        if (!parameters[i].doc[0])
            continue;
        berth_buffer_format(buffer, "%*s%-*s  ", (int)indent, "", (int)width, parameters[i].name);
        put_text(buffer, parameters[i].doc, indent + (unsigned)width + 2);
        berth_buffer_text(buffer, "\n");
    }
}

static void put_heading(struct berth_buffer *buffer, const char *heading, size_t count)
{
    if (count)
        berth_buffer_format(buffer, "\n%s\n", heading);
}

/* name(type a, type b), with the result if there can be one. */
static void put_signature(struct berth_buffer *buffer, const char *name,
                          const struct berth_signature *signature)
{
    char line[LINE_MAX];

    berth_signature_print(signature, name, line, sizeof(line));
    if (signature->result->kind == BERTH_KIND_VOID) {
        char *arrow = strstr(line, " -> void");
        if (arrow)
            *arrow = '\0';
    }
    berth_buffer_text(buffer, line);
}

static const char *concurrency(const struct berth_manifest *manifest)
{
    return manifest->parallel ? "parallel" : manifest->reentrant ? "reentrant" : "serial";
}

static void put_head(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    berth_buffer_format(buffer, "%s %s", manifest->name, manifest->version);
    if (manifest->doc[0]) {
        berth_buffer_text(buffer, " \xe2\x80\x94 ");
        put_text(buffer, manifest->doc, 2);
    }
    berth_buffer_format(buffer, "\n  %s, made with berth %s (ABI %u, API %u)\n",
                        concurrency(manifest), manifest->header, manifest->abi, manifest->api);
}

static void put_functions(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    put_heading(buffer, "Functions", manifest->export_count);
    for (size_t i = 0; i < manifest->export_count; i++) {
        const struct berth_manifest_export *export = &manifest->exports[i];
        berth_buffer_text(buffer, "  ");
        put_signature(buffer, export->name, export->signature);
        berth_buffer_text(buffer, export->async ? ", answers later\n" : "\n");
        put_doc(buffer, export->doc, 6);
        put_parameters(buffer, export->signature->parameters, export->signature->count, 8);
    }
}

static void put_types(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    const struct berth_type *type = berth_types_declared(manifest->types);

    put_heading(buffer, "Types", type != NULL);
    for (; type; type = type->next) {
        berth_buffer_format(buffer, "  %s ", type->text);
        if (type->kind == BERTH_KIND_HANDLE && type->release)
            berth_buffer_format(buffer, "is a handle, ended by %s", type->release);
        else if (type->kind == BERTH_KIND_HANDLE)
            berth_buffer_format(buffer, "is a handle of %s.%s", type->module, type->name);
        for (size_t i = 0; i < type->field_count; i++)
            berth_buffer_format(buffer, "%s%s %s%s", i ? ", " : "{ ", type->fields[i].type->text,
                                type->fields[i].name, i + 1 < type->field_count ? "" : " }");
        berth_buffer_text(buffer, "\n");
        put_doc(buffer, type->doc, 6);
        put_parameters(buffer, type->fields, type->field_count, 8);
    }
}

static void put_topic_ways(struct berth_buffer *buffer, const struct berth_manifest_topic *topic)
{
    if (topic->last)
        berth_buffer_text(buffer, ", kept as its current value");
    if (topic->priority == BERTH_PRIORITY_CONTROL)
        berth_buffer_text(buffer, ", of priority control");
}

static void put_receipt(struct berth_buffer *buffer,
                        const struct berth_manifest_subscribe *subscribe)
{
    static const char *const full[] = { [BERTH_FULL_REJECT] = "",
                                        [BERTH_FULL_BLOCK] = ", whose senders wait for room",
                                        [BERTH_FULL_DROP_OLDEST] = ", dropping the oldest" };

    berth_buffer_text(buffer, full[subscribe->full]);
    if (subscribe->group)
        berth_buffer_format(buffer, ", one of group %s", subscribe->group);
    if (subscribe->tries > 1)
        berth_buffer_format(buffer, ", with %u tries", subscribe->tries);
}

static void put_messages(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    put_heading(buffer, "Publishes", manifest->topic_count);
    for (size_t i = 0; i < manifest->topic_count; i++) {
        berth_buffer_text(buffer, "  ");
        put_signature(buffer, manifest->topics[i].topic, manifest->topics[i].signature);
        put_topic_ways(buffer, &manifest->topics[i]);
        berth_buffer_text(buffer, "\n");
        put_parameters(buffer, manifest->topics[i].signature->parameters,
                       manifest->topics[i].signature->count, 8);
    }
    put_heading(buffer, "Subscribes to", manifest->subscribe_count);
    for (size_t i = 0; i < manifest->subscribe_count; i++) {
        const struct berth_manifest_subscribe *subscribe = &manifest->subscribes[i];
        berth_buffer_text(buffer, "  ");
        if (subscribe->any)
            berth_buffer_format(buffer, "%s, of any type", subscribe->pattern);
        else
            put_signature(buffer, subscribe->pattern, subscribe->signature);
        berth_buffer_format(buffer, ", handled by %s", subscribe->handler);
        put_receipt(buffer, subscribe);
        berth_buffer_text(buffer, "\n");
    }
}

static void put_import_ways(struct berth_buffer *buffer, const struct berth_manifest_import *import)
{
    if (import->has_full && import->full != BERTH_FULL_REJECT)
        berth_buffer_text(buffer, import->full == BERTH_FULL_BLOCK
                                      ? ", waiting for room when it is started or sent"
                                      : ", dropping the oldest when it is sent");
}

static void put_needs(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    put_heading(buffer, "Requires", manifest->require_count);
    for (size_t i = 0; i < manifest->require_count; i++)
        berth_buffer_format(buffer, "  %s %s\n", manifest->requires[i].module,
                            manifest->requires[i].range);
    put_heading(buffer, "Imports", manifest->import_count);
    for (size_t i = 0; i < manifest->import_count; i++) {
        berth_buffer_text(buffer, "  ");
        put_signature(buffer, manifest->imports[i].name, manifest->imports[i].signature);
        put_import_ways(buffer, &manifest->imports[i]);
        berth_buffer_text(buffer, "\n");
    }
}

static void put_options(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    put_heading(buffer, "Options", manifest->option_count);
    for (size_t i = 0; i < manifest->option_count; i++) {
        const struct berth_manifest_option *option = &manifest->options[i];
        berth_buffer_format(buffer, "  %s %s = ", option->type->text, option->name);
        put_text(buffer, option->default_json, 6);
        berth_buffer_text(buffer, "\n");
        put_doc(buffer, option->doc, 6);
    }
}

static void put_restores(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    for (size_t i = 0; i < manifest->restore_count; i++)
        berth_buffer_format(buffer, "%s%u", i ? "," : "", manifest->restores[i]);
}

static void put_life(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    bool any = false;

    for (int hook = 0; hook < BERTH_HOOK_COUNT; hook++) {
        if (!manifest->hooks[hook])
            continue;
        berth_buffer_format(buffer, "%s%s", any ? ", " : "\nLife\n  ",
                            berth_hook_name((enum berth_hook)hook));
        if (hook == BERTH_HOOK_SAVE)
            berth_buffer_format(buffer, " (state of version %u)", manifest->state_version);
        if (hook == BERTH_HOOK_RESTORE && manifest->restore_count) {
            berth_buffer_text(buffer, " (reads version ");
            put_restores(buffer, manifest);
            berth_buffer_text(buffer, ")");
        }
        if (hook == BERTH_HOOK_RESTORE && manifest->restores_handles)
            berth_buffer_text(buffer, " (handles, too)");
        any = true;
    }
    if (any)
        berth_buffer_text(buffer, "\n");
}

int berth_manifest_print(const struct berth_manifest *manifest, struct berth_buffer *buffer,
                         struct berth_error *error)
{
    put_head(buffer, manifest);
    put_functions(buffer, manifest);
    put_messages(buffer, manifest);
    put_needs(buffer, manifest);
    put_options(buffer, manifest);
    put_types(buffer, manifest);
    put_life(buffer, manifest);
    put_heading(buffer, "Not known to this berth", manifest->other_count);
    for (size_t i = 0; i < manifest->other_count; i++) {
        berth_buffer_text(buffer, "  ");
        put_text(buffer, manifest->others[i].text, 2);
        berth_buffer_text(buffer, "\n");
    }
    return berth_buffer_check(buffer, error);
}

/* ---- As JSON ---- */

/* The comma before all but the first member. */
static void json_next(struct berth_buffer *buffer)
{
    char last = buffer->size ? buffer->data[buffer->size - 1] : '{';
    if (last != '{' && last != '[')
        berth_buffer_text(buffer, ",");
}

static void json_key(struct berth_buffer *buffer, const char *key)
{
    json_next(buffer);
    berth_json_write_string(key, strlen(key), buffer);
    berth_buffer_text(buffer, ":");
}

static void json_string(struct berth_buffer *buffer, const char *key, const char *value)
{
    json_key(buffer, key);
    berth_json_write_string(value, strlen(value), buffer);
}

static void json_number(struct berth_buffer *buffer, const char *key, unsigned value)
{
    json_key(buffer, key);
    berth_buffer_format(buffer, "%u", value);
}

static void json_bool(struct berth_buffer *buffer, const char *key, bool value)
{
    json_key(buffer, key);
    berth_buffer_text(buffer, value ? "true" : "false");
}

static void json_parameters(struct berth_buffer *buffer, const char *key,
                            const struct berth_parameter *parameters, size_t count)
{
    json_key(buffer, key);
    berth_buffer_text(buffer, "[");
    for (size_t i = 0; i < count; i++) {
        json_next(buffer);
        berth_buffer_text(buffer, "{");
        json_string(buffer, "name", parameters[i].name);
        json_string(buffer, "type", parameters[i].type->text);
        json_string(buffer, "doc", parameters[i].doc);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "]");
}

static void json_signature(struct berth_buffer *buffer, const struct berth_signature *signature)
{
    json_parameters(buffer, "parameters", signature->parameters, signature->count);
}

static void json_head(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    json_number(buffer, "berth", 1); /* of this schema */
    json_string(buffer, "module", manifest->name);
    json_string(buffer, "version", manifest->version);
    json_string(buffer, "doc", manifest->doc);
    json_number(buffer, "abi", manifest->abi);
    json_number(buffer, "api", manifest->api);
    json_string(buffer, "header", manifest->header);
    json_string(buffer, "concurrency", concurrency(manifest));
    json_key(buffer, "requires");
    berth_buffer_text(buffer, "{");
    for (size_t i = 0; i < manifest->require_count; i++)
        json_string(buffer, manifest->requires[i].module, manifest->requires[i].range);
    berth_buffer_text(buffer, "}");
}

static void json_options(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    json_key(buffer, "options");
    berth_buffer_text(buffer, "{");
    for (size_t i = 0; i < manifest->option_count; i++) {
        const struct berth_manifest_option *option = &manifest->options[i];
        json_key(buffer, option->name);
        berth_buffer_text(buffer, "{");
        json_string(buffer, "type", option->type->text);
        json_key(buffer, "default");
        berth_buffer_text(buffer, option->default_json);
        json_string(buffer, "doc", option->doc);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "}");
}

static void json_types(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    json_key(buffer, "types");
    berth_buffer_text(buffer, "{");
    for (const struct berth_type *type = berth_types_declared(manifest->types); type;
         type = type->next) {
        json_key(buffer, type->text);
        berth_buffer_text(buffer, "{");
        if (type->kind == BERTH_KIND_STRUCT) {
            json_parameters(buffer, "struct", type->fields, type->field_count);
        } else {
            json_key(buffer, "handle");
            berth_buffer_text(buffer, "{");
            json_string(buffer, "module", type->module);
            json_string(buffer, "kind", type->name);
            if (type->release)
                json_string(buffer, "release", type->release);
            berth_buffer_text(buffer, "}");
        }
        json_string(buffer, "doc", type->doc);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "}");
}

static void json_functions(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    json_key(buffer, "functions");
    berth_buffer_text(buffer, "{");
    for (size_t i = 0; i < manifest->export_count; i++) {
        const struct berth_manifest_export *export = &manifest->exports[i];
        json_key(buffer, export->name);
        berth_buffer_text(buffer, "{");
        json_string(buffer, "doc", export->doc);
        json_signature(buffer, export->signature);
        json_string(buffer, "result", export->signature->result->text);
        if (export->async) {
            json_key(buffer, "async");
            berth_buffer_text(buffer, "true");
        }
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "}");
    json_key(buffer, "imports");
    berth_buffer_text(buffer, "[");
    for (size_t i = 0; i < manifest->import_count; i++) {
        const struct berth_manifest_import *import = &manifest->imports[i];
        json_next(buffer);
        berth_buffer_text(buffer, "{");
        json_string(buffer, "function", import->name);
        json_signature(buffer, import->signature);
        json_string(buffer, "result", import->signature->result->text);
        if (import->has_full)
            json_string(buffer, "full", berth_full_name(import->full));
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "]");
}

static void json_messages(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    json_key(buffer, "topics");
    berth_buffer_text(buffer, "{");
    for (size_t i = 0; i < manifest->topic_count; i++) {
        json_key(buffer, manifest->topics[i].topic);
        berth_buffer_text(buffer, "{");
        json_string(buffer, "name", manifest->topics[i].name);
        json_bool(buffer, "last", manifest->topics[i].last);
        json_string(buffer, "priority", berth_priority_name(manifest->topics[i].priority));
        json_signature(buffer, manifest->topics[i].signature);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "}");
    json_key(buffer, "subscribes");
    berth_buffer_text(buffer, "[");
    for (size_t i = 0; i < manifest->subscribe_count; i++) {
        const struct berth_manifest_subscribe *subscribe = &manifest->subscribes[i];
        json_next(buffer);
        berth_buffer_text(buffer, "{");
        json_string(buffer, "topic", subscribe->pattern);
        json_string(buffer, "handler", subscribe->handler);
        json_bool(buffer, "any", subscribe->any);
        json_string(buffer, "full", berth_full_name(subscribe->full));
        json_number(buffer, "tries", subscribe->tries);
        if (subscribe->group)
            json_string(buffer, "group", subscribe->group);
        json_signature(buffer, subscribe->signature);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "]");
}

static void json_life(struct berth_buffer *buffer, const struct berth_manifest *manifest)
{
    json_key(buffer, "hooks");
    berth_buffer_text(buffer, "[");
    for (int hook = 0; hook < BERTH_HOOK_COUNT; hook++) {
        if (!manifest->hooks[hook])
            continue;
        json_next(buffer);
        berth_buffer_format(buffer, "\"%s\"", berth_hook_name((enum berth_hook)hook));
    }
    berth_buffer_text(buffer, "]");
    json_key(buffer, "state");
    if (manifest->hooks[BERTH_HOOK_SAVE])
        berth_buffer_format(buffer, "{\"version\":%u}", manifest->state_version);
    else
        berth_buffer_text(buffer, "null");
    if (manifest->restores_handles) {
        json_key(buffer, "restores_handles");
        berth_buffer_text(buffer, "true");
    }
    if (manifest->restore_count) {
        json_key(buffer, "restores");
        berth_buffer_text(buffer, "[");
        put_restores(buffer, manifest);
        berth_buffer_text(buffer, "]");
    }
    json_key(buffer, "other");
    berth_buffer_text(buffer, "[");
    for (size_t i = 0; i < manifest->other_count; i++) {
        json_next(buffer);
        berth_buffer_text(buffer, manifest->others[i].text);
    }
    berth_buffer_text(buffer, "]");
}

int berth_manifest_json(const struct berth_manifest *manifest, struct berth_buffer *buffer,
                        struct berth_error *error)
{
    berth_buffer_text(buffer, "{");
    json_head(buffer, manifest);
    json_options(buffer, manifest);
    json_types(buffer, manifest);
    json_functions(buffer, manifest);
    json_messages(buffer, manifest);
    json_life(buffer, manifest);
    berth_buffer_text(buffer, "}");
    return berth_buffer_check(buffer, error);
}
