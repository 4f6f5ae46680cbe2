/* SPDX-License-Identifier: MIT */
/*
 * What a file says of itself: reader, check, manifest and doctor. None of it may crash, whatever
 * the bytes are; the manifest of a good one is also printed, as every text in it is somebody's.
 */
#include <stdint.h>
#include <stdlib.h>

#include "runtime/image/doctor.h"
#include "runtime/image/elf_versions.h"
#include "runtime/image/loader_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct berth_manifest *manifest)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, (size_t)64 << 20);
    berth_manifest_print(manifest, &buffer, NULL);
    berth_manifest_json(manifest, &buffer, NULL);
    berth_buffer_deinit(&buffer);
}

/* As a module's file. */
static void diagnose(const uint8_t *data, size_t size)
{
    struct berth_diagnosis diagnosis;
    struct berth_buffer buffer;

    berth_diagnosis_init(&diagnosis);
    berth_buffer_init(&buffer, (size_t)64 << 20);
    berth_diagnose_bytes(&diagnosis, data, size, NULL);
    berth_diagnosis_print(&diagnosis, "x.so", &buffer);
    berth_diagnosis_json(&diagnosis, "x.so", &buffer);
    berth_buffer_deinit(&buffer);
    berth_diagnosis_deinit(&diagnosis);
}

/* As a library, which nobody has checked: each name that it has is looked for in it. */
static void look_up(const uint8_t *data, size_t size)
{
    static struct berth_elf_view view;
    struct berth_elf_versions versions;
    struct berth_arena arena;

    berth_arena_init(&arena);
    if (berth_elf_view_init(&view, data, size, NULL) == BERTH_OK &&
        berth_elf_versions_read(&view, &arena, &versions, NULL) == BERTH_OK)
        for (uint64_t i = 1; i < view.symbol_count && i < 100; i++) {
            const char *name = berth_elf_string(&view, berth_elf_symbol(&view, i).st_name);
            const struct berth_elf_version *version = berth_elf_version_of(&versions, i);
            if (!name)
                continue;
            berth_elf_exports(&view, &versions, name, NULL);
            if (version && berth_elf_has_version(&versions, version->name))
                berth_elf_exports(&view, &versions, name, version->name);
        }
    berth_arena_deinit(&arena);
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
            berth_manifest_unref(manifest);
        }
    }
    berth_arena_deinit(&arena);
    diagnose(data, size);
    look_up(data, size);
    berth_loader_cache_find(data, size, "libc.so.6");
    return 0;
}
