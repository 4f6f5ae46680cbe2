/* SPDX-License-Identifier: MIT */
/* The application's calls: <berth/host.h>, "calls" and "messages". */
#include <berth/host.h>

#include "runtime/base/text.h"
#include "runtime/core/core.h"
#include "runtime/value/words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

berth_ctx *berth_host_enter(berth_host *host)
{
    return berth_thread_enter(&host->threads);
}

void berth_set_timeout(berth_ctx *ctx, int64_t ns)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    int64_t now = berth_now();
    int64_t outer = berth_thread_outer_deadline(ctx);
    int64_t deadline = ns >= INT64_MAX - now ? BERTH_FOREVER : now + (ns > 0 ? ns : 0);
    thread->deadline = deadline < outer ? deadline : outer;
}

/* ---- values by kind ---- */

struct range {
    int64_t low;
    uint64_t high;
};

static const struct range ranges[] = {
    [BERTH_KIND_I8] = { INT8_MIN, INT8_MAX },    [BERTH_KIND_I16] = { INT16_MIN, INT16_MAX },
    [BERTH_KIND_I32] = { INT32_MIN, INT32_MAX }, [BERTH_KIND_I64] = { INT64_MIN, INT64_MAX },
    [BERTH_KIND_U8] = { 0, UINT8_MAX },          [BERTH_KIND_U16] = { 0, UINT16_MAX },
    [BERTH_KIND_U32] = { 0, UINT32_MAX },        [BERTH_KIND_U64] = { 0, UINT64_MAX },
};

static int mismatch(const struct berth_type *type, const char *name, struct berth_error *error)
{
    return berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s must be %s", name,
                           type->text);
}

static int integer_from(const struct berth_type *type, const char *name,
                        const struct berth_value *value, void *ret_value, struct berth_error *error)
{
    const struct range *range = &ranges[type->kind];
    bool is_signed = value->kind == BERTH_VALUE_I64;
    if (!is_signed && value->kind != BERTH_VALUE_U64)
        return mismatch(type, name, error);
    bool fits =
        is_signed && value->as.i64 < 0 ? value->as.i64 >= range->low : value->as.u64 <= range->high;
    if (!fits)
        return berth_error_set(error, BERTH_OUT_OF_RANGE, "argument %s does not fit %s", name,
                               type->text);
    memcpy(ret_value, &value->as, type->size); /* little-endian: the low bytes come first */
    return BERTH_OK;
}

static int decimal_from(const struct berth_type *type, const char *name,
                        const struct berth_value *value, void *ret_value, struct berth_error *error)
{
    double number;
    if (value->kind == BERTH_VALUE_F64)
        number = value->as.f64;
    else if (value->kind == BERTH_VALUE_I64)
        number = (double)value->as.i64;
    else if (value->kind == BERTH_VALUE_U64)
        number = (double)value->as.u64;
    else
        return mismatch(type, name, error);
    if (type->kind == BERTH_KIND_F64) {
        memcpy(ret_value, &number, sizeof number);
        return BERTH_OK;
    }
    float narrow = (float)number;
    if (isinf(narrow) && !isinf(number))
        return berth_error_set(error, BERTH_OUT_OF_RANGE, "argument %s does not fit f32", name);
    memcpy(ret_value, &narrow, sizeof narrow);
    return BERTH_OK;
}

static int text_from(const struct berth_type *type, const char *name,
                     const struct berth_value *value, void *ret_value, struct berth_error *error)
{
    bool is_json = type->kind == BERTH_KIND_JSON;
    const char *text = value->as.string;
    if (value->kind != BERTH_VALUE_STRING && !(is_json && value->kind == BERTH_VALUE_JSON))
        return mismatch(type, name, error);
    if (!text)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s is NULL", name);
    int code = is_json ? berth_json_check(text, strlen(text), error) : BERTH_OK;
    if (code != BERTH_OK)
        return berth_error_prefix(error, "argument %s: ", name);
    if (!is_json && !berth_utf8_valid(text, strlen(text), NULL))
        code =
            berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s is not valid UTF-8", name);
    memcpy(ret_value, &text, sizeof text);
    return code;
}

/* One argument. *ret_place points at room, of 32 bytes, or at the caller's own memory. */
static int value_from(const struct berth_type *type, const char *name,
                      const struct berth_value *value, void *room, const void **ret_place,
                      struct berth_error *error)
{
    *ret_place = room;
    if (value->kind == BERTH_VALUE_MEMORY) {
        if (!value->as.memory)
            return berth_error_set(error, BERTH_INVALID_ARGUMENT, "argument %s is NULL", name);
        *ret_place = value->as.memory;
        return berth_value_check(type, value->as.memory, error) == BERTH_OK
                   ? BERTH_OK
                   : berth_error_prefix(error, "argument %s: ", name);
    }
    switch (type->kind) {
    case BERTH_KIND_BOOL:
        if (value->kind != BERTH_VALUE_BOOL)
            return mismatch(type, name, error);
        memcpy(room, &value->as.boolean, sizeof(bool));
        return BERTH_OK;
    case BERTH_KIND_F32:
    case BERTH_KIND_F64:
        return decimal_from(type, name, value, room, error);
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        return text_from(type, name, value, room, error);
    case BERTH_KIND_BYTES:
        if (value->kind != BERTH_VALUE_BYTES || (!value->as.bytes.data && value->as.bytes.size))
            return mismatch(type, name, error);
        memcpy(room, &value->as.bytes, sizeof value->as.bytes);
        return BERTH_OK;
    case BERTH_KIND_HANDLE:
        if (value->kind != BERTH_VALUE_HANDLE)
            return mismatch(type, name, error);
        memcpy(room, &value->as.u64, sizeof value->as.u64);
        return BERTH_OK;
    case BERTH_KIND_OPTIONAL:
        memset(room, 0, type->size <= 32 ? type->size : 0);
        if (value->kind == BERTH_VALUE_VOID && type->size <= 32)
            return BERTH_OK;
        if (type->element->kind == BERTH_KIND_STRING || type->element->kind == BERTH_KIND_JSON)
            return text_from(type->element, name, value, room, error);
        if (type->size > 32 || type->element->kind == BERTH_KIND_STRUCT)
            return mismatch(type, name, error);
        *(bool *)room = true;
        return value_from(type->element, name, value,
                          (char *)room + (type->size - type->element->size), ret_place,
                          error) == BERTH_OK
                   ? (*ret_place = room, BERTH_OK)
               : error ? error->code
                       : BERTH_INVALID_ARGUMENT;
    case BERTH_KIND_VOID:
    case BERTH_KIND_ARRAY:
    case BERTH_KIND_STRUCT:
        return mismatch(type, name, error);
    default:
        return integer_from(type, name, value, room, error);
    }
}

/* A result of a type. memory is in the thread's arena. */
static void value_to(const struct berth_type *type, const void *memory,
                     struct berth_value *ret_value)
{
    *ret_value = (struct berth_value){ .kind = BERTH_VALUE_MEMORY, .as.memory = memory };
    switch (type->kind) {
    case BERTH_KIND_VOID:
        ret_value->kind = BERTH_VALUE_VOID;
        break;
    case BERTH_KIND_BOOL:
        ret_value->kind = BERTH_VALUE_BOOL;
        ret_value->as.boolean = *(const bool *)memory;
        break;
    case BERTH_KIND_I8:
        ret_value->as.i64 = *(const int8_t *)memory;
        ret_value->kind = BERTH_VALUE_I64;
        break;
    case BERTH_KIND_I16:
        ret_value->as.i64 = *(const int16_t *)memory;
        ret_value->kind = BERTH_VALUE_I64;
        break;
    case BERTH_KIND_I32:
        ret_value->as.i64 = *(const int32_t *)memory;
        ret_value->kind = BERTH_VALUE_I64;
        break;
    case BERTH_KIND_I64:
        ret_value->as.i64 = *(const int64_t *)memory;
        ret_value->kind = BERTH_VALUE_I64;
        break;
    case BERTH_KIND_U8:
        ret_value->as.u64 = *(const uint8_t *)memory;
        ret_value->kind = BERTH_VALUE_U64;
        break;
    case BERTH_KIND_U16:
        ret_value->as.u64 = *(const uint16_t *)memory;
        ret_value->kind = BERTH_VALUE_U64;
        break;
    case BERTH_KIND_U32:
        ret_value->as.u64 = *(const uint32_t *)memory;
        ret_value->kind = BERTH_VALUE_U64;
        break;
    case BERTH_KIND_U64:
        ret_value->as.u64 = *(const uint64_t *)memory;
        ret_value->kind = BERTH_VALUE_U64;
        break;
    case BERTH_KIND_F32:
        ret_value->as.f64 = *(const float *)memory;
        ret_value->kind = BERTH_VALUE_F64;
        break;
    case BERTH_KIND_F64:
        ret_value->as.f64 = *(const double *)memory;
        ret_value->kind = BERTH_VALUE_F64;
        break;
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        ret_value->as.string = *(const char *const *)memory;
        ret_value->kind = type->kind == BERTH_KIND_JSON ? BERTH_VALUE_JSON : BERTH_VALUE_STRING;
        break;
    case BERTH_KIND_BYTES:
        ret_value->as.bytes = *(const berth_bytes *)memory;
        ret_value->kind = BERTH_VALUE_BYTES;
        break;
    case BERTH_KIND_HANDLE:
        ret_value->as.u64 = *(const uint64_t *)memory;
        ret_value->kind = BERTH_VALUE_HANDLE;
        break;
    default:
        break;
    }
}

/* ---- calls ---- */

/* Marks ctx with *error: a call that did not even begin. */
static int refuse(berth_ctx *ctx, const char *name, const struct berth_error *error)
{
    berth_fault_raise_format(ctx, error->code, "%s: %s", name, error->text);
    return error->code;
}

/* The function of the module whose name is most like this one, or NULL. host->lock held. */
static const char *nearest_function(const struct berth_module *module, const char *function)
{
    const struct berth_manifest *manifest =
        module && module->current ? module->current->image->manifest : NULL;
    const char **names = manifest ? calloc(manifest->export_count + 1, sizeof *names) : NULL;
    for (size_t i = 0; names && i < manifest->export_count; i++)
        names[i] = manifest->exports[i].name;
    const char *nearest =
        names ? berth_text_nearest(function, names, manifest->export_count) : NULL;
    free(names);
    return nearest;
}

static int not_found(berth_ctx *ctx, const char *name)
{
    struct berth_host *host = berth_host_of(ctx);
    char module_name[BERTH_IDENTIFIER_MAX + 1];
    const char *dot = strchr(name, '.');
    if (!berth_function_name_valid(name)) {
        berth_fault_raise_format(ctx, BERTH_INVALID_ARGUMENT,
                                 "\"%.80s\" is not a function: write module.function", name);
        return BERTH_INVALID_ARGUMENT;
    }
    snprintf(module_name, sizeof module_name, "%.*s", (int)(dot - name), name);
    pthread_mutex_lock(&host->lock);
    struct berth_module *module = berth_module_find(host, module_name);
    bool loaded = module && module->state != BERTH_MODULE_ABSENT;
    char hint[BERTH_IDENTIFIER_MAX + 32] = "";
    const char *nearest = nearest_function(module, dot + 1);
    if (nearest)
        snprintf(hint, sizeof hint, "; did you mean %s?", nearest);
    pthread_mutex_unlock(&host->lock);
    if (loaded)
        berth_fault_raise_format(ctx, BERTH_NOT_FOUND, "module %s has no function %s%s",
                                 module_name, dot + 1, hint);
    else
        berth_fault_raise_format(ctx, BERTH_NOT_FOUND, "%s: module %s is not loaded", name,
                                 module_name);
    return BERTH_NOT_FOUND;
}

/* By name there is nothing to wait for when its module is not loaded; a handle or an import may. */
static bool is_there(const struct berth_cell *cell)
{
    return cell && (__atomic_load_n(&cell->item, __ATOMIC_RELAXED) ||
                    cell->module->state != BERTH_MODULE_ABSENT);
}

static int call_values(berth_ctx *ctx, struct berth_cell *cell, const struct berth_value *arguments,
                       size_t count, struct berth_value *ret_result)
{
    union {
        uint64_t words[4];
        long double aligned;
    } rooms[BERTH_PARAMETERS_MAX], scalar;
    const void *places[BERTH_PARAMETERS_MAX];
    struct berth_error error;
    bool gated;
    struct berth_item *item = berth_cell_begin(ctx, cell, &gated);
    if (!item)
        return berth_fault_get(ctx, NULL);
    const struct berth_signature *signature = item->signature;
    void *result = &scalar;
    int code = BERTH_OK;
    if (count != signature->count)
        code = berth_error_set(&error, BERTH_INVALID_ARGUMENT, "takes %zu arguments, not %zu",
                               signature->count, count);
    for (size_t i = 0; i < signature->count && code == BERTH_OK; i++)
        code = value_from(signature->parameters[i].type, signature->parameters[i].name,
                          &arguments[i], &rooms[i], &places[i], &error);
    /* a value that is given by its address must outlive this function */
    if (code == BERTH_OK && !signature->result->plain &&
        !(result = berth_arena_alloc(&berth_thread_of(ctx)->arena, signature->result->size)))
        code = berth_error_nomem(&error);
    if (code == BERTH_OK && signature->result->plain && signature->result->size > sizeof scalar &&
        !(result = berth_arena_alloc(&berth_thread_of(ctx)->arena, signature->result->size)))
        code = berth_error_nomem(&error);
    if (code != BERTH_OK)
        refuse(ctx, cell->name, &error);
    else
        code = berth_item_invoke(ctx, item, "", places, signature->result->size ? result : NULL);
    if (code == BERTH_OK && ret_result) {
        if (result == &scalar && signature->result->size &&
            (signature->result->kind == BERTH_KIND_STRUCT ||
             signature->result->kind == BERTH_KIND_OPTIONAL)) {
            result =
                berth_arena_copy(&berth_thread_of(ctx)->arena, &scalar, signature->result->size);
            if (!result) {
                code = berth_error_nomem(&error);
                refuse(ctx, cell->name, &error);
            }
        }
        if (code == BERTH_OK)
            value_to(signature->result, result, ret_result);
    }
    return berth_cell_leave(ctx, cell, item, gated, code, NULL);
}

int berth_call(berth_ctx *ctx, const char *name, const struct berth_value *arguments, size_t count,
               struct berth_value *ret_result)
{
    struct berth_cell *cell = berth_cell_lookup(ctx, name);
    if (BERTH_I_UNLIKELY(!is_there(cell)))
        return not_found(ctx, name);
    return call_values(ctx, cell, arguments, count, ret_result);
}

struct berth_function {
    struct berth_cell *cell;
    uint64_t serial; /* atomic: of the generation whose signature was last seen to be this one */
    char identity[];
};

/* A cell with something behind it. host->lock held. */
static struct berth_cell *find_cell(berth_host *host, const char *name, struct berth_error *error)
{
    struct berth_cell *cell = NULL;
    if (!berth_function_name_valid(name))
        berth_error_set(error, BERTH_INVALID_ARGUMENT,
                        "\"%.80s\" is not a function: write module.function", name);
    else if (!(cell = berth_map_get(&host->cells, name)) || !berth_cell_signature(cell)) {
        berth_error_set(error, BERTH_NOT_FOUND, "%s: no loaded module has this function", name);
        cell = NULL;
    }
    return cell;
}

int berth_function_find(berth_host *host, const char *name, berth_function **ret_function,
                        struct berth_error *error)
{
    berth_function *function = NULL;
    int code = BERTH_OK;
    pthread_mutex_lock(&host->lock);
    struct berth_error why = { 0 };
    struct berth_cell *cell = find_cell(host, name, &why);
    if (!cell) {
        code = why.code;
    } else {
        const char *identity = berth_cell_signature(cell)->identity;
        function = malloc(sizeof *function + strlen(identity) + 1);
        if (function) {
            function->cell = cell;
            function->serial = cell->item ? cell->item->serial : 0;
            strcpy(function->identity, identity);
            cell->functions++;
        } else {
            code = berth_error_nomem(&why);
        }
    }
    pthread_mutex_unlock(&host->lock);
    if (code != BERTH_OK && error)
        *error = why;
    else if (code == BERTH_OK)
        *ret_function = function;
    return code;
}

void berth_function_free(berth_function *function)
{
    if (!function)
        return;
    struct berth_host *host = function->cell->module->host;
    pthread_mutex_lock(&host->lock);
    function->cell->functions--;
    pthread_mutex_unlock(&host->lock);
    free(function);
}

int berth_function_call(berth_function *function, berth_ctx *ctx,
                        const struct berth_value *arguments, size_t count,
                        struct berth_value *ret_result)
{
    return call_values(ctx, function->cell, arguments, count, ret_result);
}

/* Whether the item has the signature that the function was found with. */
static bool same_signature(berth_function *function, const struct berth_item *item)
{
    if (BERTH_I_UNLIKELY(__atomic_load_n(&function->serial, __ATOMIC_RELAXED) != item->serial)) {
        if (strcmp(function->identity, item->signature->identity) != 0)
            return false;
        __atomic_store_n(&function->serial, item->serial, __ATOMIC_RELAXED);
    }
    return true;
}

int berth_function_invoke(berth_function *function, berth_ctx *ctx, const void *const *arguments,
                          void *result)
{
    struct berth_cell *cell = function->cell;
    bool gated;
    struct berth_item *item = berth_cell_begin(ctx, cell, &gated);
    if (!item)
        return berth_fault_get(ctx, NULL);
    int code;
    if (same_signature(function, item)) {
        code = berth_item_invoke(ctx, item, "", arguments, result);
    } else {
        code = BERTH_FAILED_PRECONDITION;
        berth_fault_raise_format(ctx, code,
                                 "%s has another signature than when it was found: find it again",
                                 cell->name);
    }
    return berth_cell_leave(ctx, cell, item, gated, code, result);
}

/* ---- calls by text ---- */

/*
 * Reads arguments, invokes, and hands result and its type to `finish` while the item is still
 * pinned.
 */
struct text_call {
    int (*read)(void *user, const struct berth_signature *signature, struct berth_arena *arena,
                const void ***ret_arguments, struct berth_error *error);
    int (*write)(void *user, const struct berth_type *type, const void *result,
                 struct berth_error *error);
    void *user;
};

static int call_text(berth_ctx *ctx, const char *name, const struct text_call *call)
{
    struct berth_cell *cell = berth_cell_lookup(ctx, name);
    struct berth_arena *arena = &berth_thread_of(ctx)->arena;
    struct berth_error error = { 0 };
    const void **arguments = NULL;
    void *result = NULL;
    bool gated;
    if (!is_there(cell))
        return not_found(ctx, name);
    struct berth_item *item = berth_cell_begin(ctx, cell, &gated);
    if (!item)
        return berth_fault_get(ctx, NULL);
    const struct berth_type *type = item->signature->result;
    int code = call->read(call->user, item->signature, arena, &arguments, &error);
    if (code == BERTH_OK && type->size && !(result = berth_arena_alloc(arena, type->size)))
        code = berth_error_nomem(&error);
    if (code != BERTH_OK) {
        refuse(ctx, name, &error);
    } else {
        code = berth_item_invoke(ctx, item, "", arguments, result);
        if (code == BERTH_OK && (code = call->write(call->user, type, result, &error)) != BERTH_OK)
            refuse(ctx, name, &error);
    }
    return berth_cell_leave(ctx, cell, item, gated, code, NULL);
}

struct json_call {
    const char *arguments;
    size_t limit;
    struct berth_buffer result;
};

static int json_read(void *user, const struct berth_signature *signature, struct berth_arena *arena,
                     const void ***ret_arguments, struct berth_error *error)
{
    const struct json_call *call = user;
    size_t size = call->arguments ? strlen(call->arguments) : 0;
    if (size > call->limit)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "the arguments have %zu bytes; max_message is %zu", size,
                               call->limit);
    return berth_json_read_arguments(signature, call->arguments, size, arena, ret_arguments, error);
}

static int json_write(void *user, const struct berth_type *type, const void *result,
                      struct berth_error *error)
{
    struct json_call *call = user;
    if (type->kind != BERTH_KIND_VOID)
        return berth_json_write(type, result, &call->result, error);
    berth_buffer_text(&call->result, "null");
    return BERTH_OK;
}

int berth_call_json(berth_ctx *ctx, const char *name, const char *arguments, char **ret_result)
{
    size_t limit = berth_host_of(ctx)->options.max_message;
    struct json_call call = { .arguments = arguments, .limit = limit };
    const struct text_call text = { json_read, json_write, &call };
    berth_buffer_init(&call.result, limit);
    int code = call_text(ctx, name, &text);
    char *result = code == BERTH_OK ? berth_buffer_take(&call.result, NULL) : NULL;
    berth_buffer_deinit(&call.result);
    if (code == BERTH_OK && !result) {
        code = BERTH_RESOURCE_EXHAUSTED;
        berth_fault_raise_format(ctx, code, "%s: no memory for the result", name);
    }
    if (code == BERTH_OK && ret_result)
        *ret_result = result;
    else
        free(result);
    return code;
}

struct words_call {
    const struct berth_words_call *given;
    size_t limit;
    struct berth_buffer result;
    enum berth_value_kind kind;
};

static int words_read(void *user, const struct berth_signature *signature,
                      struct berth_arena *arena, const void ***ret_arguments,
                      struct berth_error *error)
{
    const struct words_call *call = user;
    struct json_call json = { .arguments = call->given->json, .limit = call->limit };
    if (call->given->json)
        return json_read(&json, signature, arena, ret_arguments, error);
    return berth_words_read(signature, call->given->words, call->given->count, call->given->expand,
                            call->given->user, arena, ret_arguments, error);
}

static int words_write(void *user, const struct berth_type *type, const void *result,
                       struct berth_error *error)
{
    struct words_call *call = user;
    if (!call->given->as_json)
        return berth_words_write(type, result, &call->result, &call->kind, error);
    call->kind = BERTH_VALUE_JSON;
    if (type->kind != BERTH_KIND_VOID)
        return berth_json_write(type, result, &call->result, error);
    berth_buffer_text(&call->result, "null");
    return BERTH_OK;
}

int berth_call_words(berth_ctx *ctx, const char *name, const struct berth_words_call *words,
                     struct berth_words_result *ret_result)
{
    struct words_call call = { .given = words, .limit = berth_host_of(ctx)->options.max_message };
    const struct text_call text = { words_read, words_write, &call };
    berth_buffer_init(&call.result, 0);
    berth_buffer_text(&call.result, "");
    int code = call_text(ctx, name, &text);
    *ret_result = (struct berth_words_result){ .kind = call.kind };
    if (code == BERTH_OK &&
        !(ret_result->data = berth_buffer_take(&call.result, &ret_result->size))) {
        code = BERTH_RESOURCE_EXHAUSTED;
        berth_fault_raise_format(ctx, code, "%s: no memory for the result", name);
    }
    berth_buffer_deinit(&call.result);
    return code;
}

/* ---- bound calls ---- */

/* The types that the application may name: those of its own module, if it has provided one. */
static struct berth_types *application_types(berth_host *host)
{
    berth_list_each(&host->order, link) {
        struct berth_module *module = berth_container(link, struct berth_module, link);
        if (module->current->image->fd < 0)
            return module->current->image->manifest->types;
    }
    return NULL;
}

/* "returns=f64\0param=f64:a:\0…" → signature, made in types. */
static int signature_read(struct berth_types *types, const char *text, size_t size,
                          const struct berth_signature **ret_signature, struct berth_error *error)
{
    struct berth_text_parameter parameters[BERTH_PARAMETERS_MAX];
    char *copy = malloc(size + 1), *result = NULL;
    size_t count = 0;
    if (!copy)
        return berth_error_nomem(error);
    memcpy(copy, text, size);
    copy[size] = '\0';
    for (char *at = copy; at < copy + size && *at; at += strlen(at) + 1) {
        if (strncmp(at, "returns=", 8) == 0) {
            result = at + 8;
        } else if (strncmp(at, "param=", 6) == 0 && count < BERTH_PARAMETERS_MAX) {
            char *name = strchr(at, ':');
            char *doc = name ? strchr(name + 1, ':') : NULL;
            if (!doc)
                continue;
            *name = *doc = '\0';
            parameters[count++] = (struct berth_text_parameter){ at + 6, name + 1, doc + 1 };
            at = doc + 1; /* the last piece: the loop goes on behind it */
        }
    }
    int code = result ? berth_signature_new(types, result, parameters, count, ret_signature, error)
                      : berth_error_set(error, BERTH_INVALID_ARGUMENT,
                                        "this is not a signature of BERTH_BOUND");
    free(copy);
    return code;
}

static void edge_free(struct berth_edge *edge)
{
    berth_types_free(edge->types);
    free(edge);
}

/* host->lock held */
static int bind_edge(berth_host *host, struct berth_edge *edge, const char *name,
                     struct berth_error *error)
{
    char wants[512], has[512];
    struct berth_cell *cell = find_cell(host, name, error);
    if (!cell)
        return berth_map_get(&host->cells, name) || berth_function_name_valid(name)
                   ? BERTH_NOT_FOUND
                   : BERTH_INVALID_ARGUMENT;
    const struct berth_signature *signature = berth_cell_signature(cell);
    if (strcmp(signature->identity, edge->signature->identity) != 0)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s is bound, but the module has %s",
                               berth_signature_print(edge->signature, name, wants, sizeof wants),
                               berth_signature_print(signature, name, has, sizeof has));
    edge->cell = cell;
    berth_list_append(&cell->edges, &edge->of_cell);
    berth_list_append(&host->bound, &edge->of_owner);
    return BERTH_OK;
}

int berth_host_bind(berth_host *host, const char *name, const char *signature, size_t size,
                    struct berth_link *link, struct berth_error *error)
{
    struct berth_edge *edge = calloc(1, sizeof *edge);
    if (!edge || !(edge->types = berth_types_new())) {
        free(edge);
        return berth_error_nomem(error);
    }
    edge->link = link;
    berth_list_init(&edge->of_cell);
    berth_list_init(&edge->of_owner);
    pthread_mutex_lock(&host->lock);
    struct berth_types *application = application_types(host);
    int code = signature_read(application ? application : edge->types, signature, size,
                              &edge->signature, error);
    if (code == BERTH_OK)
        code = bind_edge(host, edge, name, error);
    if (code == BERTH_OK) {
        link->record = signature;
        link->edge = edge;
        berth_edge_set(edge);
    }
    pthread_mutex_unlock(&host->lock);
    if (code != BERTH_OK)
        edge_free(edge);
    return code;
}

void berth_host_unbind(berth_host *host, struct berth_link *link)
{
    struct berth_edge *edge = link->edge;
    if (!edge)
        return;
    pthread_mutex_lock(&host->lock);
    berth_edge_shut(edge);
    link->edge = NULL;
    berth_edge_remove(edge);
    berth_list_remove(&edge->of_owner);
    pthread_mutex_unlock(&host->lock);
    edge_free(edge);
}
