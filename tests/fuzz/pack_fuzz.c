/* SPDX-License-Identifier: MIT */
/*
 * Packed arguments, as a worker might send them. The first byte chooses the type. What is taken
 * must be a value that may be passed on, and must pack into the same bytes again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/value/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const texts[] = { "all",   "array(all)",    "optional(all)", "string",
                                     "json",  "array(string)", "array(u16)",    "array(bool)",
                                     "bytes", "cursor",        "optional(json)" };

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
        { "optional(f64)", "b", "" },
        { "string", "c", "" },
        { "json", "d", "" },
        { "array(bytes)", "e", "" },
        { "bool", "f", "" },
        { "optional(string)", "g", "" },
        { "cursor", "h", "" },
    };
    struct berth_types *types = berth_types_new();

    require(types && berth_types_add_handle(types, "cursor", "m", "cursor", NULL, "", NULL) == 0);
    require(berth_types_add_struct(types, "all", "", fields, 8, NULL) == BERTH_OK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct berth_text_parameter parameter = { texts[i], "a", "" };
        require(berth_signature_new(types, "void", &parameter, 1, &signatures[i], NULL) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berth_arena arena;
    struct berth_buffer buffer;
    struct berth_error error;
    const void **arguments;

    if (!signatures[0])
        prepare();
    if (size == 0)
        return 0;
    const struct berth_signature *signature =
        signatures[data[0] % (sizeof(texts) / sizeof(texts[0]))];
    struct berth_reader reader = { data + 1, data + size };
    berth_arena_init(&arena);
    berth_buffer_init(&buffer, 0);
    if (berth_arguments_unpack(signature, &reader, &arena, &arguments, NULL, &error) == BERTH_OK) {
        require(berth_value_check(signature->parameters[0].type, arguments[0], &error) == 0);
        require(berth_arguments_pack(signature, arguments, &buffer, NULL, &error) == BERTH_OK);
        require(buffer.size == size - 1 && memcmp(buffer.data, data + 1, size - 1) == 0);
    }
    berth_buffer_deinit(&buffer);
    berth_arena_deinit(&arena);
    return 0;
}
