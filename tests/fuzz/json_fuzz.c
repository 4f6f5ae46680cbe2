/* SPDX-License-Identifier: MIT */
/*
 * Arguments from JSON. The first byte chooses the parameter's type, the rest is the text. What is
 * taken must be a value that may be passed on, and must come back from what it is written as.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/value/json.h"
#include "runtime/value/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const texts[] = { "json",       "i64",           "u8",         "f64",
                                     "f32",        "string",        "bytes",      "all",
                                     "array(all)", "optional(all)", "bool",       "cursor",
                                     "array(u8)",  "array(string)", "array(json)" };

static const struct berth_signature *signatures[sizeof(texts) / sizeof(texts[0])];

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void prepare(void)
{
    static const struct berth_text_parameter fields[] = {
        { "i8", "a", "" },
        { "f64", "name", "" },
        { "string", "s", "" },
        { "optional(json)", "j", "" },
        { "array(bytes)", "list", "" },
        { "optional(u64)", "u", "" },
    };
    struct berth_types *types = berth_types_new();

    require(types && berth_types_add_handle(types, "cursor", "m", "cursor", NULL, "", NULL) == 0);
    require(berth_types_add_struct(types, "all", "", fields, 6, NULL) == BERTH_OK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct berth_text_parameter parameter = { texts[i], "a", "" };
        require(berth_signature_new(types, "void", &parameter, 1, &signatures[i], NULL) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berth_arena arena;
    struct berth_buffer first, second;
    struct berth_error error;
    const void **arguments, **again;

    if (!signatures[0])
        prepare();
    if (size == 0)
        return 0;
    const struct berth_signature *signature =
        signatures[data[0] % (sizeof(texts) / sizeof(texts[0]))];
    char *text = malloc(size); /* ends where the text ends */
    require(text != NULL);
    memcpy(text, data + 1, size - 1);
    berth_arena_init(&arena);
    berth_buffer_init(&first, 0);
    berth_buffer_init(&second, 0);
    berth_json_check(text, size - 1, &error);
    if (berth_json_read_arguments(signature, text, size - 1, &arena, &arguments, &error) == 0) {
        require(berth_value_check(signature->parameters[0].type, arguments[0], &error) == 0);
        require(berth_json_write_arguments(signature, arguments, &first, &error) == 0);
        require(berth_json_read_arguments(signature, first.data, first.size, &arena, &again,
                                          &error) == BERTH_OK);
        require(berth_json_write_arguments(signature, again, &second, &error) == BERTH_OK);
        require(strcmp(first.data, second.data) == 0);
    }
    berth_buffer_deinit(&first);
    berth_buffer_deinit(&second);
    berth_arena_deinit(&arena);
    free(text);
    return 0;
}
