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
    put_json(writer, "type", "\"array\"");
    open_object(writer, "items");
    put_json(writer, "type", "\"string\"");
    put_member(writer, "pattern", pattern);
    close_object(writer);
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

static void put_object(struct writer *writer, const struct berth_config_object *object)
{
    put_json(writer, "type", "\"object\"");
    put_keys(writer, object);
}

/* A pattern speaks of strings only, and keys of objects. */
static void put_choice(struct writer *writer, const struct berth_config_key *key)
{
    put_json(writer, "type", "[\"string\", \"object\"]");
    put_key(writer, "pattern");
    berth_buffer_text(writer->buffer, "\"^(?:");
    for (size_t i = 0; key->words[i]; i++)
        berth_buffer_format(writer->buffer, "%s%s", i ? "|" : "", key->words[i]);
    berth_buffer_text(writer->buffer, ")$\"");
    put_keys(writer, key->object);
}

static void put_kind(struct writer *writer, const struct berth_config_key *key)
{
    switch (key->kind) {
    case BERTH_CONFIG_TEXT:
    case BERTH_CONFIG_TARGET:
        put_json(writer, "type", "\"string\"");
        put_json(writer, "minLength", "1");
        break;
    case BERTH_CONFIG_FLAG:
        put_json(writer, "type", "\"boolean\"");
        break;
    case BERTH_CONFIG_WORD:
        put_words(writer, key);
        break;
    case BERTH_CONFIG_NUMBER:
    case BERTH_CONFIG_COUNT:
        put_json(writer, "type", "\"integer\"");
        put_bounds(writer, key);
        break;
    case BERTH_CONFIG_SIZE: /* bounds and pattern each speak of one of the types only */
        put_json(writer, "type", "[\"integer\", \"string\"]");
        put_bounds(writer, key);
        put_member(writer, "pattern", "^[0-9]+(?:[KMG]iB)?$");
        break;
    case BERTH_CONFIG_DURATION:
        put_json(writer, "type", "\"string\"");
        put_member(writer, "pattern", "^[0-9]+(?:ms|s|m|h)$");
        break;
    case BERTH_CONFIG_RANGE:
        put_json(writer, "type", "\"string\"");
        put_member(writer, "pattern", RANGE);
        break;
    case BERTH_CONFIG_DIRECTORIES:
        put_json(writer, "type", "\"array\"");
        put_json(writer, "items", "{\"type\": \"string\", \"minLength\": 1}");
        break;
    case BERTH_CONFIG_FUNCTIONS:
        put_texts(writer, FUNCTION);
        break;
    case BERTH_CONFIG_TOPICS:
        put_texts(writer, TOPIC);
        break;
    case BERTH_CONFIG_OPTIONS:
        put_json(writer, "type", "\"object\"");
        put_json(writer, "additionalProperties", "{\"$ref\": \"#/$defs/value\"}");
        break;
    case BERTH_CONFIG_ENTRIES:
    case BERTH_CONFIG_CALLERS:
        put_json(writer, "type", "\"object\"");
        open_object(writer, "propertyNames");
        put_member(writer, "pattern",
                   key->kind == BERTH_CONFIG_CALLERS ? "^(?:\\*|" NAME ")$" : "^" NAME "$");
        close_object(writer);
        open_object(writer, "additionalProperties");
        put_object(writer, key->object);
        close_object(writer);
        break;
    case BERTH_CONFIG_WORDS:
        put_json(writer, "type", "\"object\"");
        put_json(writer, "propertyNames", MODULE_NAME);
        open_object(writer, "additionalProperties");
        put_words(writer, key);
        close_object(writer);
        break;
    case BERTH_CONFIG_OBJECT:
        put_object(writer, key->object);
        break;
    case BERTH_CONFIG_CHOICE:
        put_choice(writer, key);
        break;
    }
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
    put_object(&writer, &berth_config_root);
    open_object(&writer, "$defs");
    put_value(&writer);
    close_object(&writer);
    close_object(&writer);
}
