/* SPDX-License-Identifier: MIT */
/* The application's calls, by values, handle, JSON or words: <berth/host.h>. */
#include <berth/host.h>

#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/base/text.h"
#include "runtime/core/call.h"
#include "runtime/core/flow.h"
#include "runtime/core/registry.h"
#include "runtime/host.h"
#include "runtime/host_value.h"
#include "runtime/value/words.h"

#include <stdio.h>
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
    const char **names = manifest ? berth_calloc(manifest->export_count + 1, sizeof *names) : NULL;
    for (size_t i = 0; names && i < manifest->export_count; i++)
        names[i] = manifest->exports[i].name;
    const char *nearest =
        names ? berth_text_nearest(function, names, manifest->export_count) : NULL;
    berth_free(names);
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
    if (!cell || __atomic_load_n(&cell->item, __ATOMIC_RELAXED))
        return cell != NULL;
    pthread_mutex_lock(&cell->module->host->lock);
    bool loaded = cell->module->state != BERTH_MODULE_ABSENT;
    pthread_mutex_unlock(&cell->module->host->lock);
    return loaded;
}

struct berth_cell *berth_call_find(berth_ctx *ctx, const char *name)
{
    struct berth_cell *cell = berth_cell_lookup(ctx, name);
    if (is_there(cell))
        return cell;
    not_found(ctx, name);
    return NULL;
}

static int call_values(berth_ctx *ctx, struct berth_cell *cell, const struct berth_value *arguments,
                       size_t count, struct berth_value *ret_result)
{
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_value_list list;
    union {
        uint64_t words[4];
        long double aligned;
    } scalar;
    struct berth_error error;
    struct berth_visit visit = { .cell = cell, .flow = berth_flow_of("", cell) };
    struct berth_item *item = berth_visit_begin(ctx, &visit);
    if (!item)
        return berth_fault_get(ctx, NULL);
    const struct berth_signature *signature = item->signature;
    void *result = &scalar;
    int code = berth_value_list_from(signature, arguments, count, &list, &error);
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
        code =
            berth_item_invoke(ctx, item, "", list.places, signature->result->size ? result : NULL);
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
            berth_value_to(signature->result->kind, result, ret_result);
    }
    return berth_visit_leave(ctx, &visit, code, NULL);
}

int berth_call(berth_ctx *ctx, const char *name, const struct berth_value *arguments, size_t count,
               struct berth_value *ret_result)
{
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_cell *cell = berth_cell_lookup(ctx, name);
    if (BERTH_I_UNLIKELY(!is_there(cell)))
        return not_found(ctx, name);
    return call_values(ctx, cell, arguments, count, ret_result);
}

int berth_function_find(berth_host *host, const char *name, berth_function **ret_function,
                        struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    berth_function *function = NULL;
    int code = BERTH_OK;
    pthread_mutex_lock(&host->lock);
    struct berth_error why = { 0 };
    struct berth_cell *cell = berth_cell_find(host, name, &why);
    if (!cell) {
        code = why.code;
    } else {
        const struct berth_signature *signature = berth_cell_signature(cell);
        function = berth_malloc(sizeof *function + strlen(signature->identity) + 1);
        if (function) {
            berth_list_init(&function->of_cell);
            function->cell = cell;
            function->serial = cell->item ? cell->item->serial : 0;
            function->count = signature->count;
            strcpy(function->identity, signature->identity);
            berth_list_append(&cell->functions, &function->of_cell);
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
    if (!function || berth_process_is_forked())
        return;
    struct berth_host *host = function->cell->module->host;
    pthread_mutex_lock(&host->lock);
    berth_list_remove(&function->of_cell);
    pthread_mutex_unlock(&host->lock);
    berth_free(function);
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
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_cell *cell = function->cell;
    struct berth_visit visit = { .cell = cell, .flow = berth_flow_of("", cell) };
    struct berth_item *item = berth_visit_begin(ctx, &visit);
    if (!item)
        return berth_fault_get(ctx, NULL);
    const void *room[BERTH_PARAMETERS_MAX];
    int code;
    if (same_signature(function, item)) {
        code = berth_item_invoke(ctx, item, "", arguments, result);
    } else if (berth_signature_fit(function->identity, item->signature) == BERTH_FIT_ADAPTED) {
        arguments = berth_arguments_extend(item->signature, arguments, function->count, room);
        code = berth_item_invoke(ctx, item, "", arguments, result);
    } else {
        code = BERTH_FAILED_PRECONDITION;
        berth_fault_raise_format(ctx, code,
                                 "%s has another signature than when it was found: find it again",
                                 cell->name);
    }
    return berth_visit_leave(ctx, &visit, code, result);
}

/* ---- calls by text ---- */

/*
 * Reads arguments, invokes, and hands result and its type to `finish` while the item is still
 * pinned.
 */
struct text_call {
    const char *caller; /* a module, or "": the application */
    int (*read)(void *user, const struct berth_signature *signature, struct berth_arena *arena,
                const void ***ret_arguments, struct berth_error *error);
    int (*write)(void *user, const struct berth_type *type, const void *result,
                 struct berth_error *error);
    void *user;
};

static int call_text(berth_ctx *ctx, const char *name, const struct text_call *call)
{
    if (berth_process_is_forked())
        return berth_call_refuse_forked(ctx);
    struct berth_cell *cell = berth_call_find(ctx, name);
    struct berth_arena *arena = &berth_thread_of(ctx)->arena;
    struct berth_error error = { 0 };
    const void **arguments = NULL;
    void *result = NULL;
    if (!cell)
        return berth_fault_get(ctx, NULL);
    struct berth_visit visit = { .cell = cell, .flow = berth_flow_of(call->caller, cell) };
    struct berth_item *item = berth_visit_begin(ctx, &visit);
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
        bool returned = code == BERTH_OK;
        if (returned && result)
            code = berth_result_check(type, result, &error);
        if (code == BERTH_OK)
            code = call->write(call->user, type, result, &error);
        if (returned && code != BERTH_OK)
            refuse(ctx, name, &error);
    }
    return berth_visit_leave(ctx, &visit, code, NULL);
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
    return berth_value_read_json(signature, call->arguments, call->limit, arena, ret_arguments,
                                 error);
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
    return berth_call_json_as(ctx, "", name, arguments, ret_result);
}

int berth_call_json_as(berth_ctx *ctx, const char *caller, const char *name, const char *arguments,
                       char **ret_result)
{
    size_t limit = berth_host_of(ctx)->options.max_message;
    struct json_call call = { .arguments = arguments, .limit = limit };
    const struct text_call text = { caller, json_read, json_write, &call };
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
        berth_free(result);
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
    return berth_value_read_words(signature, call->given, call->limit, arena, ret_arguments, error);
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

int berth_words_check(berth_ctx *ctx, const struct berth_words_call *words)
{
    if (words->size == sizeof *words)
        return BERTH_OK;
    berth_fault_raise_format(ctx, BERTH_INVALID_ARGUMENT,
                             "berth_words_call.size is %zu: set it to sizeof(struct "
                             "berth_words_call)",
                             words->size);
    return BERTH_INVALID_ARGUMENT;
}

int berth_call_words(berth_ctx *ctx, const char *name, const struct berth_words_call *words,
                     struct berth_words_result *ret_result)
{
    struct words_call call = { .given = words, .limit = berth_host_of(ctx)->options.max_message };
    const struct text_call text = { "", words_read, words_write, &call };
    int code = berth_words_check(ctx, words);
    if (code != BERTH_OK)
        return code;
    berth_buffer_init(&call.result, 0);
    berth_buffer_text(&call.result, "");
    code = call_text(ctx, name, &text);
    *ret_result = (struct berth_words_result){ .kind = call.kind };
    if (code == BERTH_OK &&
        !(ret_result->data = berth_buffer_take(&call.result, &ret_result->size))) {
        code = BERTH_RESOURCE_EXHAUSTED;
        berth_fault_raise_format(ctx, code, "%s: no memory for the result", name);
    }
    berth_buffer_deinit(&call.result);
    return code;
}
