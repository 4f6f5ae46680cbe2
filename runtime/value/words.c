/* SPDX-License-Identifier: MIT */
#include "runtime/value/words.h"

#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/value/json.h"

struct reading {
    const struct berth_signature *signature;
    int (*expand)(void *user, const char *parameter, struct berth_word *word,
                  struct berth_error *error);
    void *user;
    struct berth_arena *arena;
    const void **arguments; /* NULL: not given yet */
};

static const struct berth_type *bare(const struct berth_type *type)
{
    return type->kind == BERTH_KIND_OPTIONAL ? type->element : type;
}

static bool is_literal(const struct berth_type *type)
{
    return bare(type)->kind == BERTH_KIND_STRING || bare(type)->kind == BERTH_KIND_BYTES;
}

/* The parameter that a word names, with the rest of the word; NULL: it names none. */
static const struct berth_parameter *find_named(const struct berth_signature *signature,
                                                struct berth_word *word)
{
    const char *equals = memchr(word->data, '=', word->size);
    if (!equals)
        return NULL;

    size_t length = (size_t)(equals - word->data);
    for (size_t i = 0; i < signature->count; i++) {
        const struct berth_parameter *parameter = &signature->parameters[i];
        if (strlen(parameter->name) == length && !memcmp(parameter->name, word->data, length)) {
            word->data += length + 1;
            word->size -= length + 1;
            return parameter;
        }
    }
    return NULL;
}

static int read_string(const char *name, const struct berth_word *word, struct berth_arena *arena,
                       const char **ret_text, struct berth_error *error)
{
    size_t bad;

    if (!berth_utf8_valid(word->data, word->size, &bad))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "argument %s: a string is UTF-8, which breaks at byte %zu", name,
                               bad);
    const char *nul = memchr(word->data, '\0', word->size);
    if (nul)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "argument %s: a string has no NUL, but there is one at byte %zu",
                               name, (size_t)(nul - word->data));
    char *text = berth_arena_alloc(arena, word->size + 1);
    if (!text)
        return berth_error_nomem(error);
    memcpy(text, word->data, word->size);
    *ret_text = text;
    return BERTH_OK;
}

static int read_literal(struct reading *reading, const struct berth_parameter *parameter,
                        struct berth_word word, void *value, struct berth_error *error)
{
    bool optional = parameter->type->kind == BERTH_KIND_OPTIONAL;

    if (reading->expand) {
        int code = reading->expand(reading->user, parameter->name, &word, error);
        if (code != BERTH_OK)
            return code;
    }
    if (bare(parameter->type)->kind == BERTH_KIND_STRING) /* optional or not: a pointer */
        return read_string(parameter->name, &word, reading->arena, value, error);

    const berth_bytes bytes = { word.data, word.size };
    if (optional)
        *(berth_optional_bytes *)value = (berth_optional_bytes){ true, bytes };
    else
        *(berth_bytes *)value = bytes;
    return BERTH_OK;
}

/* Who types a word may not think of JSON: words that are none are told so. */
static int read_json(struct reading *reading, const struct berth_parameter *parameter,
                     struct berth_word word, void *value, struct berth_error *error)
{
    const char *what = berth_arena_format(reading->arena, "argument %s", parameter->name);
    struct berth_error syntax;

    if (!what)
        return berth_error_nomem(error);
    int code =
        berth_json_read(parameter->type, word.data, word.size, what, reading->arena, value, error);
    if (code == BERTH_INVALID_ARGUMENT &&
        berth_json_check(word.data, word.size, &syntax) == BERTH_INVALID_ARGUMENT)
        berth_error_set(error, code, "%s: its type, %s, is written in JSON: %s", what,
                        parameter->type->text, syntax.text);
    return code;
}

static int read_word(struct reading *reading, const struct berth_parameter *parameter,
                     struct berth_word word, struct berth_error *error)
{
    size_t index = (size_t)(parameter - reading->signature->parameters);
    void *value = berth_arena_alloc(reading->arena, parameter->type->size);
    int code;

    if (!value)
        return berth_error_nomem(error);
    if (reading->arguments[index])
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s is given twice",
                               parameter->name);
    code = is_literal(parameter->type) ? read_literal(reading, parameter, word, value, error)
                                       : read_json(reading, parameter, word, value, error);
    if (code == BERTH_OK)
        reading->arguments[index] = value;
    return code;
}

static const struct berth_parameter *first_left(const struct reading *reading)
{
    for (size_t i = 0; i < reading->signature->count; i++)
        if (!reading->arguments[i])
            return &reading->signature->parameters[i];
    return NULL;
}

/* Named words first, so that the others know what is left. */
static int read_words(struct reading *reading, const struct berth_word *words, size_t count,
                      bool named, struct berth_error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct berth_word word = words[i];
        const struct berth_parameter *parameter = find_named(reading->signature, &word);
        if ((parameter != NULL) != named)
            continue;
        if (!parameter)
            parameter = first_left(reading);
        if (!parameter)
            return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                                   "too many arguments: at most %zu are taken, %zu are given",
                                   reading->signature->count, count);
        int code = read_word(reading, parameter, word, error);
        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

int berth_words_read(const struct berth_signature *signature, const struct berth_word *words,
                     size_t count,
                     int (*expand)(void *user, const char *parameter, struct berth_word *word,
                                   struct berth_error *error),
                     void *user, struct berth_arena *arena, const void ***ret_arguments,
                     struct berth_error *error)
{
    struct reading reading = {
        .signature = signature,
        .expand = expand,
        .user = user,
        .arena = arena,
        .arguments = berth_arena_alloc(arena, signature->count * sizeof(void *)),
    };
    if (!reading.arguments)
        return berth_error_nomem(error);

    int code = read_words(&reading, words, count, true, error);
    if (code == BERTH_OK)
        code = read_words(&reading, words, count, false, error);
    if (code == BERTH_OK)
        code = berth_arguments_complete(signature, reading.arguments, arena, error);
    if (code == BERTH_OK)
        *ret_arguments = reading.arguments;
    return code;
}

enum berth_value_kind berth_words_kind(enum berth_kind kind)
{
    switch (kind) {
    case BERTH_KIND_VOID:
        return BERTH_VALUE_VOID;
    case BERTH_KIND_STRING:
        return BERTH_VALUE_STRING;
    case BERTH_KIND_BYTES:
        return BERTH_VALUE_BYTES;
    default:
        return BERTH_VALUE_JSON;
    }
}

int berth_words_write(const struct berth_type *type, const void *value, struct berth_buffer *buffer,
                      enum berth_value_kind *ret_kind, struct berth_error *error)
{
    enum berth_value_kind kind = berth_words_kind(type->kind);
    int code = BERTH_OK;

    if (kind == BERTH_VALUE_STRING) {
        berth_buffer_text(buffer, *(const char *const *)value);
    } else if (kind == BERTH_VALUE_BYTES) {
        const berth_bytes *bytes = value;
        berth_buffer_append(buffer, bytes->data, bytes->size);
    } else if (kind == BERTH_VALUE_JSON) {
        code = berth_json_write(type, value, buffer, error);
    }
    if (code == BERTH_OK)
        code = berth_buffer_check(buffer, error);
    if (code == BERTH_OK)
        *ret_kind = kind;
    return code;
}
