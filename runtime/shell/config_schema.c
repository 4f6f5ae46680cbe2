/* SPDX-License-Identifier: MIT */
/*
 * The table of keys as a JSON Schema, for editors and for other people's tools. It says as much as
 * a schema can: not that a time or size that is written as a string is in its range.
 */
#include <string.h>

#include "runtime/shell/config.h"
#include "runtime/value/json.h"

#define NUMBER     "(?:0|[1-9][0-9]*)"
#define WILD       "[*xX]"
#define IDENTIFIER "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
#define SUFFIX \
    "(?:-" IDENTIFIER "(?:\\." IDENTIFIER ")*)?(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?"
#define PARTIAL                                                                         \
    "(?:" NUMBER "(?:\\." WILD "){0,2}|" NUMBER "\\." NUMBER "(?:\\." WILD ")?|" NUMBER \
    "\\." NUMBER "\\." NUMBER SUFFIX ")"
#define ANY        WILD "(?:\\." WILD "){0,2}"
#define COMPARATOR "(?:(?:[~^=]|[<>]=?)? *" PARTIAL "|(?:[~^=]|[<>]=)? *" ANY ")"
#define NAME       "[a-z][a-z0-9_]{0,63}"
#define FUNCTION   "^(?:\\*|" NAME "\\.(?:\\*|" NAME "))$"
#define TOKEN      "(?:[a-z0-9_-]+|\\*)"
#define TOPIC      "^(?:" TOKEN "\\.)*(?:" TOKEN "|>)$"
#define RANGE      "^ *" COMPARATOR "(?: +" COMPARATOR ")* *$"

#define MODULE_NAME "{\"pattern\": \"^" NAME "$\"}"
#define CALLEE_NAME "{\"pattern\": \"^" NAME "(?:\\\\." NAME ")?$\"}"
#define DURATION    "^[0-9]+(?:ms|s|m|h)$"

struct writer {
    struct berth_buffer *buffer;
    unsigned depth;
    bool first; /* nothing stands in the object yet */
};

static void write_schema(struct writer *writer, const struct berth_config_key *key);

/* ---- JSON on lines ---- */

static void begin_line(struct writer *writer)
{
    berth_buffer_text(writer->buffer, writer->first ? "\n" : ",\n");
    for (unsigned i = 0; i < writer->depth; i++)
        berth_buffer_text(writer->buffer, "  ");
    writer->first = false;
}

static void put_text(struct writer *writer, const char *text)
{
    berth_json_write_string(text, strlen(text), writer->buffer);
}

static void put_key(struct writer *writer, const char *key)
{
    begin_line(writer);
    put_text(writer, key);
    berth_buffer_text(writer->buffer, ": ");
}

static void put_member(struct writer *writer, const char *key, const char *text)
{
    put_key(writer, key);
    put_text(writer, text);
}

/* JSON that is short enough to be written out here. */
static void put_json(struct writer *writer, const char *key, const char *json)
{
    put_key(writer, key);
    berth_buffer_text(writer->buffer, json);
}

static void open_object(struct writer *writer, const char *key)
{
    if (key)
        put_key(writer, key);
    berth_buffer_text(writer->buffer, "{");
    writer->first = true;
    writer->depth++;
}

static void close_object(struct writer *writer)
{
    writer->depth--;
    writer->first = true; /* no comma */
    begin_line(writer);
    berth_buffer_text(writer->buffer, "}");
}

/* ---- kinds ---- */

static void put_bounds(struct writer *writer, const struct berth_config_key *key)
{
    put_key(writer, "minimum");
    berth_buffer_format(writer->buffer, "%lld", (long long)key->min);
    put_key(writer, "maximum");
    berth_buffer_format(writer->buffer, "%lld", (long long)key->max);
}

static void put_words(struct writer *writer, const struct berth_config_key *key)
{
    put_key(writer, "enum");
    berth_buffer_text(writer->buffer, "[");
    for (size_t i = 0; key->words[i]; i++) {
        berth_buffer_text(writer->buffer, i ? ", " : "");
        put_text(writer, key->words[i]);
    }
    berth_buffer_text(writer->buffer, "]");
}

/* An array of texts that match. */
static void put_texts(struct writer *writer, const char *pattern)
{
    open_object(writer, "items");
    put_json(writer, "type", "\"string\"");
    put_member(writer, "pattern", pattern);
    close_object(writer);
}

static void put_functions(struct writer *writer, const struct berth_config_key *key)
{
    (void)key;
    put_texts(writer, FUNCTION);
}

static void put_topics(struct writer *writer, const struct berth_config_key *key)
{
    (void)key;
    put_texts(writer, TOPIC);
}

/* The type is the caller's. */
static void put_keys(struct writer *writer, const struct berth_config_object *object)
{
    put_json(writer, "additionalProperties", "false");
    open_object(writer, "properties");
    for (size_t i = 0; i < object->count; i++)
        write_schema(writer, &object->keys[i]);
    close_object(writer);
}

static void put_object(struct writer *writer, const struct berth_config_key *key)
{
    put_keys(writer, key->object);
}

/* An object whose keys are names. */
static void put_entries(struct writer *writer, const struct berth_config_key *key)
{
    open_object(writer, "propertyNames");
    put_member(writer, "pattern",
               key->kind == BERTH_CONFIG_CALLERS ? "^(?:\\*|" NAME ")$" : "^" NAME "$");
    close_object(writer);
    open_object(writer, "additionalProperties");
    put_json(writer, "type", "\"object\"");
    put_keys(writer, key->object);
    close_object(writer);
}

static void put_named_words(struct writer *writer, const struct berth_config_key *key)
{
    put_json(writer, "propertyNames", MODULE_NAME);
    open_object(writer, "additionalProperties");
    put_words(writer, key);
    close_object(writer);
}

static void put_times(struct writer *writer, const struct berth_config_key *key)
{
    (void)key;
    put_json(writer, "propertyNames", CALLEE_NAME);
    open_object(writer, "additionalProperties");
    put_json(writer, "type", "\"string\"");
    put_member(writer, "pattern", DURATION);
    close_object(writer);
}

/* A pattern speaks of strings only, and keys of objects. */
static void put_choice(struct writer *writer, const struct berth_config_key *key)
{
    put_key(writer, "pattern");
    berth_buffer_text(writer->buffer, "\"^(?:");
    for (size_t i = 0; key->words[i]; i++)
        berth_buffer_format(writer->buffer, "%s%s", i ? "|" : "", key->words[i]);
    berth_buffer_text(writer->buffer, ")$\"");
    put_keys(writer, key->object);
}

/* Bounds and a pattern each speak of one type only, where there are two. */
static const struct form {
    const char *type; /* JSON, and so is the value of `more`; each NULL: there is none */
    bool bounded;
    const char *pattern;
    const char *more[2];
    void (*put)(struct writer *writer, const struct berth_config_key *key);
} forms[] = {
    [BERTH_CONFIG_TEXT] = { "\"string\"", .more = { "minLength", "1" } },
    [BERTH_CONFIG_TARGET] = { "\"string\"", .more = { "minLength", "1" } },
    [BERTH_CONFIG_FLAG] = { .type = "\"boolean\"" },
    [BERTH_CONFIG_WORD] = { .put = put_words },
    [BERTH_CONFIG_NUMBER] = { "\"integer\"", .bounded = true },
    [BERTH_CONFIG_COUNT] = { "\"integer\"", .bounded = true },
    [BERTH_CONFIG_SIZE] = { "[\"integer\", \"string\"]", .bounded = true,
                            .pattern = "^[0-9]+(?:[KMG]iB)?$" },
    [BERTH_CONFIG_DURATION] = { "\"string\"", .pattern = DURATION },
    [BERTH_CONFIG_RANGE] = { "\"string\"", .pattern = RANGE },
    [BERTH_CONFIG_DIRECTORIES] = { "\"array\"",
                                   .more = { "items",
                                             "{\"type\": \"string\", \"minLength\": 1}" } },
    [BERTH_CONFIG_FUNCTIONS] = { "\"array\"", .put = put_functions },
    [BERTH_CONFIG_TOPICS] = { "\"array\"", .put = put_topics },
    [BERTH_CONFIG_OPTIONS] = { "\"object\"", .more = { "additionalProperties",
                                                       "{\"$ref\": \"#/$defs/value\"}" } },
    [BERTH_CONFIG_ENTRIES] = { "\"object\"", .put = put_entries },
    [BERTH_CONFIG_CALLERS] = { "\"object\"", .put = put_entries },
    [BERTH_CONFIG_WORDS] = { "\"object\"", .put = put_named_words },
    [BERTH_CONFIG_TIMES] = { "\"object\"", .put = put_times },
    [BERTH_CONFIG_OBJECT] = { "\"object\"", .put = put_object },
    [BERTH_CONFIG_CHOICE] = { "[\"string\", \"object\"]", .put = put_choice },
};

static void put_kind(struct writer *writer, const struct berth_config_key *key)
{
    const struct form *form = &forms[key->kind];

    if (form->type)
        put_json(writer, "type", form->type);
    if (form->bounded)
        put_bounds(writer, key);
    if (form->pattern)
        put_member(writer, "pattern", form->pattern);
    if (form->more[0])
        put_json(writer, form->more[0], form->more[1]);
    if (form->put)
        form->put(writer, key);
}

static void write_schema(struct writer *writer, const struct berth_config_key *key)
{
    open_object(writer, key->name);
    put_member(writer, "description", key->doc);
    put_kind(writer, key);
    close_object(writer);
}

/* Any value; an object with the one key $file or $env is a reference, which takes a name. */
static void put_value(struct writer *writer)
{
    open_object(writer, "value");
    put_member(writer, "description", "{\"$file\": FILE} and {\"$env\": NAME} stand for a string.");
    put_json(writer, "if",
             "{\"type\": \"object\", \"minProperties\": 1, \"maxProperties\": 1, "
             "\"propertyNames\": {\"enum\": [\"$file\", \"$env\"]}}");
    put_json(writer, "then",
             "{\"additionalProperties\": {\"type\": \"string\", \"minLength\": 1}}");
    put_json(writer, "else",
             "{\"additionalProperties\": {\"$ref\": \"#/$defs/value\"}, "
             "\"items\": {\"$ref\": \"#/$defs/value\"}}");
    close_object(writer);
}

void berth_config_schema(struct berth_buffer *buffer)
{
    struct writer writer = { .buffer = buffer };

    open_object(&writer, NULL);
    put_member(&writer, "$schema", "https://json-schema.org/draft/2020-12/schema");
    put_member(&writer, "title", "Configuration of berth, berth.conf(5)");
    put_json(&writer, "type", "\"object\"");
    put_keys(&writer, &berth_config_root);
    open_object(&writer, "$defs");
    put_value(&writer);
    close_object(&writer);
    close_object(&writer);
}
