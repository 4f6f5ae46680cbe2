/* SPDX-License-Identifier: MIT */
/*
 * A module's options: what the operator gave, else the defaults; checked before any code of the
 * module runs.
 */
#include "runtime/core/option.h"

#include <string.h>

/*
 * The options as the parameters of a signature, all of them optional: so that the reader of named
 * arguments checks names, types and duplicates here, too.
 */
static int option_signature(struct berth_generation *generation, struct berth_signature *signature,
                            struct berth_parameter *parameters)
{
    const struct berth_manifest *manifest = generation->image->manifest;
    *signature = (struct berth_signature){ .identity = "",
                                           .count = manifest->option_count,
                                           .parameters = parameters };
    for (size_t i = 0; i < manifest->option_count; i++)
        parameters[i] =
            (struct berth_parameter){ manifest->options[i].name, manifest->options[i].doc,
                                      manifest->options[i].type, 0 };
    return BERTH_OK;
}

int berth_options_read(struct berth_generation *generation, const char *json,
                       struct berth_error *error)
{
    const struct berth_manifest *manifest = generation->image->manifest;
    struct berth_arena *arena = &generation->arena;
    struct berth_buffer text;
    struct berth_signature signature;
    size_t count = manifest->option_count;
    const void **given = NULL;
    struct berth_parameter *parameters = berth_arena_alloc(arena, (count + 1) * sizeof *parameters);
    generation->options = berth_arena_alloc(arena, (count + 1) * sizeof *generation->options);
    const void **values = berth_arena_alloc(arena, (count + 1) * sizeof *values);
    if (!parameters || !generation->options || !values)
        return berth_error_nomem(error);
    option_signature(generation, &signature, parameters);
    if (json && *json) {
        int code =
            berth_json_read_named(&signature, json, strlen(json), "option", arena, &given, error);
        if (code != BERTH_OK)
            return berth_error_prefix(error, "module %s: ", generation->module->name);
    }
    for (size_t i = 0; i < count; i++) {
        const struct berth_manifest_option *option = &manifest->options[i];
        struct berth_option_value *value = &generation->options[i];
        *value = (struct berth_option_value){ option->type, option->address, NULL };
        if (given && given[i]) {
            value->value = (void *)(uintptr_t)given[i];
        } else {
            value->value = berth_arena_alloc(arena, option->type->size);
            int code = value->value ? berth_json_read(option->type, option->default_json,
                                                      strlen(option->default_json), option->name,
                                                      arena, value->value, error)
                                    : berth_error_nomem(error);
            if (code != BERTH_OK)
                return berth_error_prefix(error, "module %s, option %s: ", generation->module->name,
                                          option->name);
        }
        values[i] = value->value;
    }
    berth_buffer_init(&text, 0);
    int code = berth_json_write_arguments(&signature, values, &text, error);
    if (code == BERTH_OK) {
        generation->options_json = berth_arena_string(arena, text.data ? text.data : "{}");
        code = generation->options_json ? BERTH_OK : berth_error_nomem(error);
    }
    berth_buffer_deinit(&text);
    return code;
}
