/* SPDX-License-Identifier: MIT */
#include "runtime/shell/call_remote.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/base64.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/shell/remote.h"

enum { NAMES_MAX = 64, MILLISECOND = 1000000 };

static const int64_t grace = 500 * (int64_t)MILLISECOND; /* for a host's own deadline_exceeded */

struct parameter {
    const char *name, *type;
    struct berth_buffer value; /* as JSON; nothing: not given */
};

struct call {
    struct berth_client *client;
    const char *function;
    const struct berth_words_call *words;
    struct parameter *parameters;
    size_t count;
    const char *result; /* its type */
    void (*more)(void *user, const struct berth_words_result *value);
    void *user;
    struct berth_error *error;
};

/* ---- the signature ---- */

/* The function in its module's manifest. */
static int find(struct call *call, const char *module, struct berth_piece *ret_function)
{
    struct berth_piece manifest, functions, each, key;
    const char *name = strchr(call->function, '.') + 1, *names[NAMES_MAX];
    struct berth_arena *arena = &call->client->arena;
    struct berth_buffer params;
    size_t count = 0;

    berth_params_begin(&params);
    berth_params_text(&params, "module", module);
    berth_params_end(&params);
    int code = berth_client_ask(call->client, "host.show", &params, &manifest, call->error);
    if (code == BERTH_NOT_FOUND)
        return berth_error_set(call->error, code,
                               "%s: the host has no module %s; \"berth list\" tells what it has",
                               call->function, module);
    if (code != BERTH_OK)
        return code;
    functions = berth_piece_get(manifest, "functions");
    *ret_function = berth_piece_get(functions, name);
    if (ret_function->size)
        return BERTH_OK;
    struct berth_piece_walk walk = berth_piece_begin(functions);
    while (count < NAMES_MAX && berth_piece_next(&walk, &key, &each))
        names[count++] = berth_piece_text(key, arena);
    const char *nearest = berth_text_nearest(name, names, count);
    if (nearest)
        return berth_error_set(call->error, BERTH_NOT_FOUND,
                               "module %s has no function %s; did you mean %s?", module, name,
                               nearest);
    return berth_error_set(call->error, BERTH_NOT_FOUND,
                           "module %s has no function %s; \"berth show %s\" tells what it has",
                           module, name, module);
}

static int read_signature(struct call *call, struct berth_piece function)
{
    struct berth_piece parameters = berth_piece_get(function, "parameters"), each;
    struct berth_piece_walk walk = berth_piece_begin(parameters);
    struct berth_arena *arena = &call->client->arena;
    size_t count = berth_piece_count(parameters);

    call->parameters = berth_arena_alloc(arena, count * sizeof(*call->parameters));
    if (!call->parameters)
        return berth_error_nomem(call->error);
    while (call->count < count && berth_piece_next(&walk, NULL, &each)) {
        struct parameter *parameter = &call->parameters[call->count++];
        parameter->name = berth_piece_text_of(each, "name", arena);
        parameter->type = berth_piece_text_of(each, "type", arena);
    }
    call->result = berth_piece_text_of(function, "result", arena);
    return BERTH_OK;
}

static int learn(struct call *call)
{
    struct berth_piece function;
    const char *dot = strchr(call->function, '.');
    const char *module = berth_arena_format(&call->client->arena, "%.*s",
                                            (int)(dot - call->function), call->function);

    if (!module)
        return berth_error_nomem(call->error);
    int code = find(call, module, &function);
    return code == BERTH_OK ? read_signature(call, function) : code;
}

/* ---- words ---- */

static bool is_type(const struct parameter *parameter, const char *type, const char *optional)
{
    return !strcmp(parameter->type, type) || !strcmp(parameter->type, optional);
}

/* The parameter that a word names, with the rest of the word; NULL: it names none. */
static struct parameter *find_named(const struct call *call, struct berth_word *word)
{
    const char *equals = memchr(word->data, '=', word->size);
    size_t length = equals ? (size_t)(equals - word->data) : 0;

    for (size_t i = 0; equals && i < call->count; i++) {
        struct parameter *parameter = &call->parameters[i];
        if (strlen(parameter->name) == length && !memcmp(parameter->name, word->data, length)) {
            word->data += length + 1;
            word->size -= length + 1;
            return parameter;
        }
    }
    return NULL;
}

static struct parameter *first_left(const struct call *call)
{
    for (size_t i = 0; i < call->count; i++)
        if (!call->parameters[i].value.size)
            return &call->parameters[i];
    return NULL;
}

static int add_string(struct call *call, struct parameter *parameter, struct berth_word word)
{
    size_t bad;

    if (!berth_utf8_valid(word.data, word.size, &bad))
        return berth_error_set(call->error, BERTH_INVALID_ARGUMENT,
                               "argument %s: a string is UTF-8, which breaks at byte %zu",
                               parameter->name, bad);
    const char *nul = memchr(word.data, '\0', word.size);
    if (nul)
        return berth_error_set(call->error, BERTH_INVALID_ARGUMENT,
                               "argument %s: a string has no NUL, but there is one at byte %zu",
                               parameter->name, (size_t)(nul - word.data));
    berth_piece_quote(word.data, word.size, &parameter->value);
    return BERTH_OK;
}

static int add_bytes(struct parameter *parameter, struct berth_word word)
{
    size_t length = berth_base64_length(word.size);

    berth_buffer_text(&parameter->value, "\"");
    if (berth_buffer_reserve(&parameter->value, length)) {
        berth_base64_encode(word.data, word.size, parameter->value.data + parameter->value.size);
        parameter->value.size += length;
    }
    berth_buffer_text(&parameter->value, "\"");
    return BERTH_OK;
}

/* The host checks it by its type; here it only may not be anything but one value. */
static int add_json(struct call *call, struct parameter *parameter, struct berth_word word)
{
    struct berth_piece piece;
    const char *what =
        berth_arena_format(&call->client->arena, "argument %s: its type, %s, is written in JSON",
                           parameter->name, parameter->type);

    int code = berth_piece_read(word.data, word.size, what, &piece, call->error);
    if (code == BERTH_OK)
        berth_piece_line(piece, &parameter->value);
    return code;
}

static int add_word(struct call *call, struct parameter *parameter, struct berth_word word)
{
    bool string = is_type(parameter, "string", "optional(string)");
    bool bytes = is_type(parameter, "bytes", "optional(bytes)");

    if (parameter->value.size)
        return berth_error_set(call->error, BERTH_INVALID_ARGUMENT, "argument %s is given twice",
                               parameter->name);
    if (!string && !bytes)
        return add_json(call, parameter, word);
    int code = call->words->expand(call->words->user, parameter->name, &word, call->error);
    if (code != BERTH_OK)
        return code;
    return string ? add_string(call, parameter, word) : add_bytes(parameter, word);
}

/* Named words first, so that the others know what is left. */
static int read_words(struct call *call, bool named)
{
    for (size_t i = 0; i < call->words->count; i++) {
        struct berth_word word = call->words->words[i];
        struct parameter *parameter = find_named(call, &word);
        if ((parameter != NULL) != named)
            continue;
        if (!parameter)
            parameter = first_left(call);
        if (!parameter)
            return berth_error_set(call->error, BERTH_INVALID_ARGUMENT,
                                   "too many arguments: at most %zu are taken, %zu are given",
                                   call->count, call->words->count);
        int code = add_word(call, parameter, word);
        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

static int add_words(struct call *call, struct berth_buffer *arguments)
{
    int code = read_words(call, true);

    if (code == BERTH_OK)
        code = read_words(call, false);
    for (size_t i = 0; i < call->count; i++) {
        struct berth_buffer *value = &call->parameters[i].value;
        if (code == BERTH_OK && value->failed)
            code = berth_error_nomem(call->error);
        if (code == BERTH_OK && value->size)
            berth_params_piece(arguments, call->parameters[i].name,
                               (struct berth_piece){ value->data, value->size });
        berth_buffer_deinit(value);
    }
    return code;
}

static int add_arguments(struct call *call, struct berth_buffer *params)
{
    struct berth_piece piece = { "{}", 2 };
    struct berth_buffer arguments;
    const char *json = call->words->json;
    int code = BERTH_OK;

    berth_params_begin(&arguments);
    if (json) {
        code = berth_piece_read(json, strlen(json), "arguments", &piece, call->error);
    } else {
        code = add_words(call, &arguments);
        berth_params_end(&arguments);
        piece = (struct berth_piece){ arguments.data, arguments.size };
    }
    berth_params_piece(params, "args", piece);
    params->failed |= arguments.failed;
    berth_buffer_deinit(&arguments);
    if (code != BERTH_OK)
        berth_error_prefix(call->error, "%s: ", call->function);
    return code;
}

/* ---- results ---- */

/* What is no string although its type says so is shown as it came. */
static void write_result(const struct call *call, struct berth_piece result,
                         struct berth_buffer *text, enum berth_value_kind *ret_kind)
{
    bool literal = !call->words->as_json && berth_piece_kind(result) == '"';
    size_t size = 0, bad;

    *ret_kind = BERTH_VALUE_JSON;
    if (!call->words->as_json && !strcmp(call->result, "void")) {
        *ret_kind = BERTH_VALUE_VOID;
    } else if (literal && !strcmp(call->result, "string")) {
        *ret_kind = BERTH_VALUE_STRING;
        berth_piece_characters(result, text);
    } else if (literal && !strcmp(call->result, "bytes") &&
               berth_buffer_reserve(text, result.size) &&
               berth_base64_decode(result.text + 1, result.size - 2, text->data, &size, &bad)) {
        *ret_kind = BERTH_VALUE_BYTES;
        text->size = size;
    } else {
        berth_piece_line(result, text);
    }
}

/* The time that is left for the call, as the host is to be told; 0: without an end. */
static uint64_t give_time(struct berth_client *client)
{
    if (client->deadline >= BERTH_CLIENT_FOREVER - grace)
        return 0;
    int64_t left = client->deadline - berth_client_now();
    client->deadline += grace;
    return left > 0 ? (uint64_t)(left + MILLISECOND - 1) / MILLISECOND : 1;
}

static int take_result(struct call *call, struct berth_piece result,
                       struct berth_words_result *ret_result)
{
    struct berth_buffer text;
    int code = BERTH_OK;

    berth_buffer_init(&text, 0);
    berth_buffer_reserve(&text, 1);
    write_result(call, result, &text, &ret_result->kind);
    ret_result->data = berth_buffer_take(&text, &ret_result->size);
    if (!ret_result->data)
        code = berth_error_nomem(call->error);
    berth_buffer_deinit(&text);
    return code;
}

/* One of several; one for which there is no memory is lost. */
static void on_more(void *user, struct berth_piece value)
{
    struct call *call = user;
    struct berth_words_result result;

    if (!value.size || take_result(call, value, &result) != BERTH_OK)
        return;
    call->more(call->user, &result);
    free(result.data);
}

/* A signal of this number; 0: somebody else, whose words may not say what. */
static void say_what_was_cancelled(const struct call *call, int number)
{
    struct berth_error *error = call->error;
    size_t length = strlen(call->function);

    if (number)
        berth_error_set(error, BERTH_CANCELLED, "%s: SIG%s came before its answer", call->function,
                        sigabbrev_np(number));
    else if (strncmp(error->text, call->function, length) != 0)
        berth_error_prefix(error, "%s: ", call->function);
}

static int make(struct call *call, struct berth_buffer *params,
                struct berth_words_result *ret_result)
{
    struct berth_client *client = call->client;
    struct berth_piece result;
    uint64_t time = give_time(client);

    if (time)
        berth_buffer_format(params, ",\"timeout_ms\":%llu", (unsigned long long)time);
    berth_buffer_text(params, ",\"more\":true");
    berth_params_end(params);
    client->more = on_more;
    client->user = call;
    int code = berth_client_ask(client, "call", params, &result, call->error);
    int number = client->stop ? *client->stop : 0;
    if (code == BERTH_CANCELLED && number)
        code = berth_client_cancel(client, &result, call->error);
    if (code == BERTH_CANCELLED)
        say_what_was_cancelled(call, number);
    client->more = NULL;
    return code == BERTH_OK ? take_result(call, result, ret_result) : code;
}

int berth_call_remote(struct berth_client *client, const char *function,
                      const struct berth_words_call *words,
                      void (*more)(void *user, const struct berth_words_result *value), void *user,
                      struct berth_words_result *ret_result, struct berth_error *error)
{
    struct call call = { .client = client,
                         .function = function,
                         .words = words,
                         .more = more,
                         .user = user,
                         .error = error };
    struct berth_buffer params;

    if (!berth_utf8_valid(function, strlen(function), NULL))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s: no function has such a name",
                               function);
    int code = learn(&call);
    if (code != BERTH_OK)
        return code;
    berth_params_begin(&params);
    berth_params_text(&params, "function", function);
    code = add_arguments(&call, &params);
    if (code == BERTH_OK)
        return make(&call, &params, ret_result);
    berth_buffer_deinit(&params);
    return code;
}
