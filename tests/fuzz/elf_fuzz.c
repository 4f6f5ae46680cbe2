/* SPDX-License-Identifier: MIT */
/*
 * What a file says of itself: reader, check and manifest. None of it may crash, whatever the bytes
 * are; the manifest of a good one is also printed, as every text in it is somebody's words.
 */
#include <stdint.h>
#include <stdlib.h>

#include "runtime/image/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct berth_manifest *manifest)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, (size_t)64 << 20);
    berth_manifest_print(manifest, &buffer, NULL);
    berth_manifest_json(manifest, &buffer, NULL);
    berth_buffer_deinit(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berth_arena arena;
    struct berth_error error;
    struct berth_manifest *manifest;
    struct berth_elf *elf;

    berth_arena_init(&arena);
    if (berth_elf_read(data, size, &arena, &elf, &error) == BERTH_OK) {
        berth_elf_check(data, size, elf, &error);
        if (berth_manifest_new(elf->records, elf->record_count, &manifest, &error) == BERTH_OK) {
            print(manifest);
            berth_manifest_free(manifest);
        }
    }
    berth_arena_deinit(&arena);
    return 0;
}
