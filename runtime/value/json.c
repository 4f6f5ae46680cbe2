/* SPDX-License-Identifier: MIT */
/*
 * JSON into typed values.
 *
 * A text is read once, in step with the type; the tokens come from scan.c, which checks them, and
 * numbers from number.c, which is exact. No tree is built: cJSON's would take 80 bytes for each
 * `1,` of an array, hold every number as a double, and keep two equal keys. What is left for cJSON
 * is what it does right: to decode a string that has escapes.
 */
#include "runtime/value/json.h"

#include "runtime/base/base64.h"
#include "runtime/base/error.h"
#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/base/text.h"
#include "runtime/value/number.h"

#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define READ_ROOM   ((uint64_t)64 << 20)
#define READ_FACTOR 16
#define EXCERPT_MAX 40

struct reader {
    struct berth_scan scan;
    unsigned depth;
    struct berth_buffer keys; /* struct key: those of the objects that are open */
    struct berth_arena *arena;
    uint64_t ceiling; /* of the arena's total */
    struct berth_error *error;
};

/* Where a value is, for errors: argument a, [2], .b */
struct path {
    const struct path *parent;
    const char *separator, *name; /* name NULL: an element */
    size_t index;
};

static void reader_init(struct reader *reader, const char *text, size_t size, const char *what,
                        struct berth_arena *arena, struct berth_error *error)
{
    if (!text) { /* no JSON, but it may be no arguments */
        text = "";
        size = 0;
    }
    *reader = (struct reader){
        .scan = { .text = text, .end = text + size, .next = text, .what = what, .error = error },
        .arena = arena,
        .error = error,
    };
    berth_buffer_init(&reader->keys, 0);
    if (arena)
        reader->ceiling = berth_arena_mark(arena) + READ_ROOM + READ_FACTOR * (uint64_t)size;
}

static void reader_deinit(struct reader *reader)
{
    berth_buffer_deinit(&reader->keys);
}

static int enter(struct reader *reader)
{
    if (reader->depth == BERTH_JSON_DEPTH_MAX)
        return berth_scan_error(&reader->scan, reader->scan.next, "nested deeper than %d levels",
                                BERTH_JSON_DEPTH_MAX);
    reader->depth++;
    reader->scan.next++;
    return BERTH_OK;
}

/* ---- strings ---- */

/* What a string with escapes says; NULL without memory. The caller deletes the item. */
static cJSON *decode(const struct berth_token *token)
{
    return cJSON_ParseWithLengthOpts(token->text - 1, token->length + 2, NULL, 0);
}

char *berth_json_decode(const struct berth_token *token, struct berth_arena *arena)
{
    if (token->escaped) {
        cJSON *item = decode(token);
        char *text = item ? berth_arena_string(arena, item->valuestring) : NULL;
        cJSON_Delete(item);
        return text;
    }
    char *text = berth_arena_copy(arena, token->text, token->length + 1);
    if (text)
        text[token->length] = '\0'; /* in the place of the closing quote */
    return text;
}

/* ---- any value: grammar and duplicate keys ---- */

struct key {
    uint64_t hash;
    const char *text; /* of the token */
    size_t length;
};

static int add_key(struct reader *reader, const struct berth_token *token)
{
    struct key key = { .text = token->text, .length = token->length };

    if (token->nul)
        return berth_scan_error(&reader->scan, token->text - 1, "\\u0000 in a key");
    if (token->escaped) {
        cJSON *item = decode(token);
        if (!item)
            return berth_error_nomem(reader->error);
        key.hash = berth_map_hash(item->valuestring, strlen(item->valuestring));
        cJSON_Delete(item);
    } else {
        key.hash = berth_map_hash(token->text, token->length);
    }
    berth_buffer_append(&reader->keys, &key, sizeof(key));
    return reader->keys.failed ? berth_error_nomem(reader->error) : BERTH_OK;
}

/* Keyed hashes of 64 bits: keys that have the same one are the same. */
static int duplicate(const struct reader *reader, const struct key *key)
{
    return berth_scan_error(&reader->scan, key->text - 1, "the key \"%.*s\" is there twice",
                            (int)(key->length < EXCERPT_MAX ? key->length : EXCERPT_MAX),
                            key->text);
}

/* An object that ends, whose keys begin at start: are there equal ones? */
static int check_keys(const struct reader *reader, size_t start)
{
    size_t count = (reader->keys.size - start) / sizeof(struct key), slots = 16;

    if (count < 2)
        return BERTH_OK;
    const struct key *keys = (const struct key *)(const void *)(reader->keys.data + start);
    if (count <= 8) {
        for (size_t i = 1; i < count; i++)
            for (size_t j = 0; j < i; j++)
                if (keys[i].hash == keys[j].hash)
                    return duplicate(reader, &keys[i]);
        return BERTH_OK;
    }
    while (slots < 2 * count)
        slots *= 2;
    size_t *table = berth_calloc(slots, sizeof(*table)); /* number + 1 */
    if (!table)
        return berth_error_nomem(reader->error);
    int code = BERTH_OK;
    for (size_t i = 0; i < count && code == BERTH_OK; i++) {
        size_t slot = keys[i].hash & (slots - 1);
        for (; table[slot] != 0; slot = (slot + 1) & (slots - 1))
            if (keys[table[slot] - 1].hash == keys[i].hash) {
                code = duplicate(reader, &keys[i]);
                break;
            }
        table[slot] = i + 1;
    }
    berth_free(table);
    return code;
}

static int skip_value(struct reader *reader);

static int skip_array(struct reader *reader)
{
    bool first = true, more = true;
    int code = enter(reader);

    if (code != BERTH_OK)
        return code;
    while (code == BERTH_OK && more) {
        code = berth_scan_element(&reader->scan, &first, &more);
        if (code == BERTH_OK && more)
            code = skip_value(reader);
    }
    reader->depth--;
    return code;
}

static int skip_object(struct reader *reader)
{
    size_t start = reader->keys.size;
    bool first = true, more = true;
    struct berth_token key;
    int code = enter(reader);

    if (code != BERTH_OK)
        return code;
    while (code == BERTH_OK && more) {
        code = berth_scan_member(&reader->scan, &first, &more, &key);
        if (code == BERTH_OK && more)
            code = add_key(reader, &key);
        if (code == BERTH_OK && more)
            code = skip_value(reader);
    }
    if (code == BERTH_OK)
        code = check_keys(reader, start);
    reader->keys.size = start;
    reader->depth--;
    return code;
}

/* Passes over one value of any kind, checking all of it. */
static int skip_value(struct reader *reader)
{
    struct berth_token token;
    char c = berth_scan_peek(&reader->scan);

    if (c == '{')
        return skip_object(reader);
    if (c == '[')
        return skip_array(reader);
    if (c == '"')
        return berth_scan_string(&reader->scan, &token);
    if (c == '-' || (c >= '0' && c <= '9'))
        return berth_scan_number(&reader->scan, &token);
    return berth_scan_word(&reader->scan, &token);
}

int berth_json_check(const char *text, size_t size, struct berth_error *error)
{
    struct reader reader;

    reader_init(&reader, text, size, NULL, NULL, error);
    int code = skip_value(&reader);
    if (code == BERTH_OK)
        code = berth_scan_end(&reader.scan);
    reader_deinit(&reader);
    return code;
}

/* ---- errors about values ---- */

static void append_path(const struct path *path, char *text, size_t size)
{
    if (path->parent)
        append_path(path->parent, text, size);
    size_t length = strlen(text);
    if (path->name)
        snprintf(text + length, size - length, "%s%s", path->separator, path->name);
    else
        snprintf(text + length, size - length, "[%zu]", path->index);
}

/*
 * "argument a[2].b: message". There may be no path; and the message may be about a piece of the
 * text, which comes before it.
 */
__attribute__((format(printf, 5, 6), cold)) static int fail(const struct reader *reader,
                                                            const struct path *path, int code,
                                                            const struct berth_token *excerpt,
                                                            const char *format, ...)
{
    char place[300] = "", message[300];
    va_list arguments;

    if (path)
        append_path(path, place, sizeof(place));
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (!excerpt)
        return berth_error_set(reader->error, code, "%s%s%s", place, path ? ": " : "", message);
    size_t length = berth_utf8_cut(excerpt->text,
                                   excerpt->length < EXCERPT_MAX ? excerpt->length : EXCERPT_MAX);
    return berth_error_set(reader->error, code, "%s: %.*s%s %s", place, (int)length, excerpt->text,
                           length < excerpt->length ? "…" : "", message);
}

/* The value here is of another kind than expected, unless it is no value at all. */
__attribute__((cold)) static int mismatch(struct reader *reader, const struct path *path,
                                          const char *expected)
{
    const char *start = reader->scan.next;
    int code = skip_value(reader);

    if (code != BERTH_OK)
        return code;
    struct berth_token value = { .text = start, .length = (size_t)(reader->scan.next - start) };
    return fail(reader, path, BERTH_INVALID_ARGUMENT, &value, "is not %s", expected);
}

__attribute__((cold)) static int too_much(const struct reader *reader, const struct path *path)
{
    return fail(reader, path, BERTH_RESOURCE_EXHAUSTED, NULL,
                "so short a text would become a very large value");
}

/* ---- typed values ---- */

static int read_value(struct reader *reader, const struct path *path, const struct berth_type *type,
                      void *value);

static bool at_number(struct reader *reader)
{
    char c = berth_scan_peek(&reader->scan);
    return c == '-' || (c >= '0' && c <= '9');
}

static bool is_signed(const struct berth_type *type)
{
    return type->kind >= BERTH_KIND_I8 && type->kind <= BERTH_KIND_I64;
}

static int out_of_range(const struct reader *reader, const struct path *path,
                        const struct berth_type *type, const struct berth_token *token)
{
    unsigned bits = (unsigned)type->size * 8;
    uint64_t most = UINT64_MAX >> (64 - bits + is_signed(type));

    if (is_signed(type))
        return fail(reader, path, BERTH_OUT_OF_RANGE, token,
                    "is out of range for %s (-%llu to %llu)", type->text,
                    (unsigned long long)most + 1, (unsigned long long)most);
    return fail(reader, path, BERTH_OUT_OF_RANGE, token, "is out of range for %s (0 to %llu)",
                type->kind == BERTH_KIND_HANDLE ? "a handle" : type->text,
                (unsigned long long)most);
}

static int read_integer(struct reader *reader, const struct path *path,
                        const struct berth_type *type, void *value)
{
    struct berth_token token;
    bool negative;
    uint64_t magnitude;

    if (!at_number(reader))
        return mismatch(reader, path, "an integer");
    int code = berth_scan_number(&reader->scan, &token);
    if (code != BERTH_OK)
        return code;
    code = berth_number_to_integer(token.text, token.length, &negative, &magnitude);
    if (code == BERTH_INVALID_ARGUMENT)
        return fail(reader, path, code, &token, "is not an integer");
    uint64_t most = UINT64_MAX >> (64 - type->size * 8 + is_signed(type));
    if (code != BERTH_OK || (negative && !is_signed(type)) || magnitude > most + negative)
        return out_of_range(reader, path, type, &token);
    uint64_t number = negative ? -magnitude : magnitude;
    memcpy(value, &number, type->size); /* little-endian: the low bytes come first */
    return BERTH_OK;
}

static bool token_is(const struct berth_token *token, const char *text)
{
    return token->length == strlen(text) && memcmp(token->text, text, token->length) == 0;
}

static int read_special(struct reader *reader, const struct path *path, double *ret_number)
{
    const char *start = reader->scan.next;
    struct berth_token token;
    int code = berth_scan_string(&reader->scan, &token);

    if (code != BERTH_OK)
        return code;
    struct berth_token quoted = { .text = start, .length = token.length + 2 };
    if (token_is(&token, "NaN"))
        *ret_number = NAN;
    else if (token_is(&token, "Infinity"))
        *ret_number = INFINITY;
    else if (token_is(&token, "-Infinity"))
        *ret_number = -INFINITY;
    else
        return fail(reader, path, BERTH_INVALID_ARGUMENT, &quoted, "is not a number");
    return BERTH_OK;
}

static int read_decimal(struct reader *reader, const struct path *path,
                        const struct berth_type *type, void *value)
{
    struct berth_token token;
    double number = 0;
    float single = 0;
    int code;

    if (at_number(reader)) {
        code = berth_scan_number(&reader->scan, &token);
        if (code != BERTH_OK)
            return code;
        code = type->kind == BERTH_KIND_F32
                   ? berth_number_to_f32(token.text, token.length, &single)
                   : berth_number_to_f64(token.text, token.length, &number);
        if (code != BERTH_OK)
            return fail(reader, path, code, &token, "is out of range for %s", type->text);
    } else if (berth_scan_peek(&reader->scan) == '"') {
        code = read_special(reader, path, &number);
        if (code != BERTH_OK)
            return code;
        single = (float)number;
    } else {
        return mismatch(reader, path, "a number");
    }
    if (type->kind == BERTH_KIND_F32)
        memcpy(value, &single, sizeof(single));
    else
        memcpy(value, &number, sizeof(number));
    return BERTH_OK;
}

static int read_bool(struct reader *reader, const struct path *path, void *value)
{
    struct berth_token token;
    char c = berth_scan_peek(&reader->scan);

    if (c != 't' && c != 'f')
        return mismatch(reader, path, "true or false");
    int code = berth_scan_word(&reader->scan, &token);
    if (code == BERTH_OK)
        *(bool *)value = c == 't';
    return code;
}

static int read_null(struct reader *reader, const struct path *path)
{
    struct berth_token token;

    if (berth_scan_peek(&reader->scan) != 'n')
        return mismatch(reader, path, "null");
    return berth_scan_word(&reader->scan, &token);
}

static int read_string(struct reader *reader, const struct path *path, void *value)
{
    struct berth_token token;

    if (berth_scan_peek(&reader->scan) != '"')
        return mismatch(reader, path, "a string");
    int code = berth_scan_string(&reader->scan, &token);
    if (code != BERTH_OK)
        return code;
    if (token.nul)
        return fail(reader, path, BERTH_INVALID_ARGUMENT, NULL, "a string cannot hold \\u0000");
    char *text = berth_json_decode(&token, reader->arena);
    if (!text)
        return berth_error_nomem(reader->error);
    memcpy(value, &text, sizeof(text));
    return BERTH_OK;
}

static int decode_bytes(struct reader *reader, const struct path *path, const char *text,
                        size_t length, void *value)
{
    struct berth_span bytes;
    size_t bad;
    void *data = berth_arena_alloc(reader->arena, length / 4 * 3);

    if (!data)
        return berth_error_nomem(reader->error);
    if (!berth_base64_decode(text, length, data, &bytes.count, &bad))
        return fail(reader, path, BERTH_INVALID_ARGUMENT, NULL,
                    "bytes are written in padded base64; character %zu is wrong", bad + 1);
    bytes.data = data;
    memcpy(value, &bytes, sizeof(bytes));
    return BERTH_OK;
}

static int read_bytes(struct reader *reader, const struct path *path, void *value)
{
    struct berth_token token;

    if (berth_scan_peek(&reader->scan) != '"')
        return mismatch(reader, path, "a string of base64");
    int code = berth_scan_string(&reader->scan, &token);
    if (code != BERTH_OK)
        return code;
    if (!token.escaped || token.nul)
        return decode_bytes(reader, path, token.text, token.length, value);
    cJSON *item = decode(&token); /* many write / as \/ */
    if (!item)
        return berth_error_nomem(reader->error);
    code = decode_bytes(reader, path, item->valuestring, strlen(item->valuestring), value);
    cJSON_Delete(item);
    return code;
}

static int read_json(struct reader *reader, void *value)
{
    berth_scan_peek(&reader->scan);
    const char *start = reader->scan.next;
    int code = skip_value(reader);
    if (code != BERTH_OK)
        return code;
    size_t length = (size_t)(reader->scan.next - start);
    char *text = berth_arena_alloc(reader->arena, length + 1);
    if (!text)
        return berth_error_nomem(reader->error);
    memcpy(text, start, length);
    memcpy(value, &text, sizeof(text));
    return BERTH_OK;
}

/* How many come is known at the end only: they are gathered beside the arena. */
static int gather(struct reader *reader, const struct path *path, const struct berth_type *element,
                  struct berth_buffer *elements, size_t *ret_count)
{
    struct path here = { .parent = path };
    bool first = true, more;

    for (;; here.index++) {
        int code = berth_scan_element(&reader->scan, &first, &more);
        if (code != BERTH_OK)
            return code;
        if (!more)
            break;
        uint64_t total = berth_arena_mark(reader->arena) + elements->size + element->size;
        if (total > reader->ceiling)
            return too_much(reader, path);
        if (!berth_buffer_reserve(elements, element->size))
            return berth_error_nomem(reader->error);
        void *value = memset(elements->data + elements->size, 0, element->size);
        code = read_value(reader, &here, element, value);
        if (code != BERTH_OK)
            return code;
        elements->size += element->size;
    }
    *ret_count = here.index;
    return BERTH_OK;
}

static int read_array(struct reader *reader, const struct path *path, const struct berth_type *type,
                      void *value)
{
    struct berth_buffer elements;
    struct berth_span span = { .count = 0 };

    if (berth_scan_peek(&reader->scan) != '[')
        return mismatch(reader, path, "an array");
    int code = enter(reader);
    if (code != BERTH_OK)
        return code;
    berth_buffer_init(&elements, 0);
    code = gather(reader, path, type->element, &elements, &span.count);
    if (code == BERTH_OK) {
        span.data = berth_arena_copy(reader->arena, elements.data, elements.size);
        code = span.data ? BERTH_OK : berth_error_nomem(reader->error);
    }
    berth_buffer_deinit(&elements);
    reader->depth--;
    if (code == BERTH_OK)
        memcpy(value, &span, sizeof(span));
    return code;
}

/* ---- members: of a struct, of named arguments ---- */

static int unknown_member(const struct reader *reader, const struct path *path, const char *what,
                          const struct berth_parameter *members, size_t count, const char *text,
                          size_t length)
{
    char name[2 * BERTH_IDENTIFIER_MAX];
    const char *names[2 * BERTH_FIELDS_MAX];
    size_t known = 0;

    snprintf(name, sizeof(name), "%.*s", length < sizeof(name) ? (int)length : 0, text);
    for (size_t i = 0; i < count && known < sizeof(names) / sizeof(names[0]); i++)
        names[known++] = members[i].name;
    const char *nearest = berth_text_nearest(name, names, known);
    return fail(reader, path, BERTH_INVALID_ARGUMENT, NULL, "unknown %s \"%.*s\"%s%s%s", what,
                (int)(length < EXCERPT_MAX ? length : EXCERPT_MAX), text,
                nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static int find_member(const struct reader *reader, const struct path *path, const char *what,
                       const struct berth_parameter *members, size_t count,
                       const struct berth_token *key, const struct berth_parameter **ret_member)
{
    const char *text = key->text;
    size_t length = key->length;
    cJSON *item = NULL;

    if (key->escaped && !key->nul) {
        item = decode(key);
        if (!item)
            return berth_error_nomem(reader->error);
        text = item->valuestring;
        length = strlen(text);
    }
    const struct berth_parameter *found = NULL;
    for (size_t i = 0; i < count && !found; i++)
        if (strlen(members[i].name) == length && memcmp(members[i].name, text, length) == 0)
            found = &members[i];
    int code = BERTH_OK;
    if (found)
        *ret_member = found;
    else
        code = unknown_member(reader, path, what, members, count, text, length);
    cJSON_Delete(item);
    return code;
}

static int read_member(struct reader *reader, const struct path *path,
                       const struct berth_type *type, const struct berth_token *key, bool *seen,
                       void *value)
{
    const struct berth_parameter *field;
    int code = find_member(reader, path, "field", type->fields, type->field_count, key, &field);

    if (code != BERTH_OK)
        return code;
    struct path here = { .parent = path, .separator = ".", .name = field->name };
    if (seen[field - type->fields])
        return fail(reader, &here, BERTH_INVALID_ARGUMENT, NULL, "it is there twice");
    seen[field - type->fields] = true;
    return read_value(reader, &here, field->type, (char *)value + field->offset);
}

static int read_members(struct reader *reader, const struct path *path,
                        const struct berth_type *type, void *value)
{
    bool seen[BERTH_FIELDS_MAX] = { false };
    bool first = true, more = true;
    struct berth_token key;
    int code = BERTH_OK;

    while (code == BERTH_OK && more) {
        code = berth_scan_member(&reader->scan, &first, &more, &key);
        if (code == BERTH_OK && more)
            code = read_member(reader, path, type, &key, seen, value);
    }
    for (size_t i = 0; i < type->field_count && code == BERTH_OK; i++)
        if (!seen[i] && type->fields[i].type->kind != BERTH_KIND_OPTIONAL)
            code = fail(reader, path, BERTH_INVALID_ARGUMENT, NULL, "its field %s (%s) is missing",
                        type->fields[i].name, type->fields[i].type->text);
    return code;
}

static int read_struct(struct reader *reader, const struct path *path,
                       const struct berth_type *type, void *value)
{
    if (berth_scan_peek(&reader->scan) != '{')
        return mismatch(reader, path, "an object");
    int code = enter(reader);
    if (code != BERTH_OK)
        return code;
    code = read_members(reader, path, type, value);
    reader->depth--;
    return code;
}

static int read_optional(struct reader *reader, const struct path *path,
                         const struct berth_type *type, void *value)
{
    if (berth_scan_peek(&reader->scan) == 'n')
        return read_null(reader, path);
    return read_value(reader, path, type->element, berth_optional_set(type, value));
}

/* *value is zeroed before. */
static int read_value(struct reader *reader, const struct path *path, const struct berth_type *type,
                      void *value)
{
    switch (type->kind) {
    case BERTH_KIND_VOID:
        return read_null(reader, path);
    case BERTH_KIND_BOOL:
        return read_bool(reader, path, value);
    case BERTH_KIND_F32:
    case BERTH_KIND_F64:
        return read_decimal(reader, path, type, value);
    case BERTH_KIND_STRING:
        return read_string(reader, path, value);
    case BERTH_KIND_JSON:
        return read_json(reader, value);
    case BERTH_KIND_BYTES:
        return read_bytes(reader, path, value);
    case BERTH_KIND_ARRAY:
        return read_array(reader, path, type, value);
    case BERTH_KIND_OPTIONAL:
        return read_optional(reader, path, type, value);
    case BERTH_KIND_STRUCT:
        return read_struct(reader, path, type, value);
    default:
        return read_integer(reader, path, type, value);
    }
}

/* ---- whole texts ---- */

static int read_new(struct reader *reader, const struct path *path, const struct berth_type *type,
                    const void **ret_value)
{
    void *value = berth_arena_alloc(reader->arena, type->size);
    int code = value ? read_value(reader, path, type, value) : berth_error_nomem(reader->error);
    if (code == BERTH_OK)
        *ret_value = value;
    return code;
}

int berth_json_read(const struct berth_type *type, const char *text, size_t size, const char *what,
                    struct berth_arena *arena, void *ret_value, struct berth_error *error)
{
    struct reader reader;
    struct path path = { .separator = "", .name = what };
    const void *value;

    reader_init(&reader, text, size, what, arena, error);
    int code = read_new(&reader, &path, type, &value);
    if (code == BERTH_OK)
        code = berth_scan_end(&reader.scan);
    reader_deinit(&reader);
    if (code == BERTH_OK)
        memcpy(ret_value, value, type->size);
    return code;
}

static int read_argument(struct reader *reader, const struct path *path,
                         const struct berth_parameter *parameter, const void **ret_argument)
{
    struct path here = { .parent = path, .separator = " ", .name = parameter->name };

    if (*ret_argument)
        return fail(reader, &here, BERTH_INVALID_ARGUMENT, NULL, "it is there twice");
    return read_new(reader, &here, parameter->type, ret_argument);
}

static int read_positional(struct reader *reader, const struct path *path,
                           const struct berth_signature *signature, const void **arguments)
{
    bool first = true, more = true;
    int code = BERTH_OK;

    for (size_t i = 0; code == BERTH_OK && more; i++) {
        code = berth_scan_element(&reader->scan, &first, &more);
        if (code != BERTH_OK || !more)
            break;
        if (i == signature->count)
            return berth_error_set(reader->error, BERTH_INVALID_ARGUMENT,
                                   "too many arguments: at most %zu are taken", signature->count);
        code = read_argument(reader, path, &signature->parameters[i], &arguments[i]);
    }
    return code;
}

static int read_named(struct reader *reader, const struct path *path,
                      const struct berth_signature *signature, const void **arguments)
{
    const struct berth_parameter *parameters = signature->parameters, *found;
    bool first = true, more = true;
    struct berth_token key;
    int code = BERTH_OK;

    while (code == BERTH_OK && more) {
        code = berth_scan_member(&reader->scan, &first, &more, &key);
        if (code != BERTH_OK || !more)
            break;
        code = find_member(reader, NULL, path->name, parameters, signature->count, &key, &found);
        if (code == BERTH_OK)
            code = read_argument(reader, path, found, &arguments[found - parameters]);
    }
    return code;
}

/* Arguments in an object, or, unless only_named, in an array or in nothing. */
static int read_list(const struct berth_signature *signature, const char *text, size_t size,
                     const char *what, bool only_named, struct berth_arena *arena,
                     const void ***ret_arguments, struct berth_error *error)
{
    struct reader reader;
    struct path path = { .separator = "", .name = what };
    const void **arguments = berth_arena_alloc(arena, signature->count * sizeof(*arguments));

    if (!arguments)
        return berth_error_nomem(error);
    reader_init(&reader, text, size, what, arena, error);
    char c = berth_scan_peek(&reader.scan);
    int code = BERTH_OK;
    if (c == '{' || (c == '[' && !only_named)) {
        code = enter(&reader);
        if (code == BERTH_OK)
            code = (c == '{' ? read_named : read_positional)(&reader, &path, signature, arguments);
        if (code == BERTH_OK)
            code = berth_scan_end(&reader.scan);
    } else if (only_named || reader.scan.next != reader.scan.end) {
        code = skip_value(&reader);
        if (code == BERTH_OK)
            code = berth_error_set(error, BERTH_INVALID_ARGUMENT, "%ss are given in an object%s",
                                   what, only_named ? "" : " or an array");
    }
    reader_deinit(&reader);
    if (code == BERTH_OK)
        *ret_arguments = arguments;
    return code;
}

int berth_json_read_named(const struct berth_signature *signature, const char *text, size_t size,
                          const char *what, struct berth_arena *arena, const void ***ret_arguments,
                          struct berth_error *error)
{
    return read_list(signature, text, size, what, true, arena, ret_arguments, error);
}

int berth_json_read_arguments(const struct berth_signature *signature, const char *text,
                              size_t size, struct berth_arena *arena, const void ***ret_arguments,
                              struct berth_error *error)
{
    const void **arguments;
    int code = read_list(signature, text, size, "argument", false, arena, &arguments, error);
    if (code == BERTH_OK)
        code = berth_arguments_complete(signature, arguments, arena, error);
    if (code == BERTH_OK)
        *ret_arguments = arguments;
    return code;
}

int berth_arguments_complete(const struct berth_signature *signature, const void **arguments,
                             struct berth_arena *arena, struct berth_error *error)
{
    char missing[512] = "";
    size_t count = 0;

    for (size_t i = 0; i < signature->count; i++) {
        const struct berth_parameter *parameter = &signature->parameters[i];
        if (arguments[i])
            continue;
        if (parameter->type->kind == BERTH_KIND_OPTIONAL) {
            arguments[i] = berth_arena_alloc(arena, parameter->type->size);
            if (!arguments[i])
                return berth_error_nomem(error);
            continue;
        }
        size_t length = strlen(missing);
        snprintf(missing + length, sizeof(missing) - length, "%s%s (%s)", count > 0 ? ", " : "",
                 parameter->name, parameter->type->text);
        count++;
    }
    if (count > 0)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "missing argument%s: %s",
                               count > 1 ? "s" : "", missing);
    return BERTH_OK;
}
