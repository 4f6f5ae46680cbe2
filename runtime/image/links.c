/* SPDX-License-Identifier: MIT */
#include "runtime/image/links.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"

#include <string.h>
#include <unistd.h>

#define NAME_MAX_SIZE 192 /* of an item, in messages */

/* Whether size bytes lie in a segment, in one that can be written to (or run) if that is asked. */
static bool lies_in(const struct berth_place *place, uintptr_t address, size_t size, bool writable,
                    bool executable)
{
    uint64_t at = address - place->base;

    for (size_t i = 0; i < place->segment_count; i++) {
        const struct berth_elf_segment *segment = &place->segments[i];
        if (at >= segment->low && at <= segment->high && size <= segment->high - at)
            return (!writable || segment->writable) && (!executable || segment->executable);
    }
    return false;
}

/* The loader has made whole pages of this read-only. */
static bool is_read_only(const struct berth_place *place, uintptr_t address, size_t size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), at = address - place->base;
    return place->relro_low < place->relro_high && at < (place->relro_high & ~(page - 1)) &&
           at + size > (place->relro_low & ~(page - 1));
}

static int check_table(const struct berth_place *place, const struct berth_entry *entry,
                       size_t *ret_count, struct berth_error *error)
{
    uintptr_t low = (uintptr_t)entry->links, high = (uintptr_t)entry->links_end;

    if (entry->size < sizeof(*entry))
        return berth_error_set(error, BERTH_DATA_LOSS, "its berth_entry is too short (%u bytes)",
                               entry->size);
    if (entry->abi != BERTH_ABI)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "its table is of ABI revision %u, and this berth has revision %d: "
                               "compile it with this berth's <berth/module.h>",
                               entry->abi, BERTH_ABI);
    if (high < low || low % _Alignof(struct berth_link) ||
        (high - low) % sizeof(struct berth_link) || !lies_in(place, low, high - low, true, false) ||
        is_read_only(place, low, high - low))
        return berth_error_set(error, BERTH_DATA_LOSS, "its table of links lies outside of it");
    *ret_count = (high - low) / sizeof(struct berth_link);
    return BERTH_OK;
}

static bool has_code(enum berth_item_kind kind)
{
    return kind == BERTH_ITEM_EXPORT || kind == BERTH_ITEM_SUBSCRIBE || kind == BERTH_ITEM_HOOK;
}

/* One line: which item it is, and whether its code is what such an item has. */
static int check_link(const struct berth_image *image, const struct berth_place *place,
                      struct berth_link *link, const struct berth_manifest_item **ret_item,
                      struct berth_error *error)
{
    const struct berth_manifest_item *item =
        berth_manifest_find_item(image->manifest, (uintptr_t)link->record - place->base);
    char name[NAME_MAX_SIZE];
    const char *wrong = NULL;

    if (!item)
        return berth_error_set(error, BERTH_DATA_LOSS, "a link belongs to no record of its own");
    if (!has_code(item->kind)) {
        /* The application's own links may have been bound by another host. */
        if (link->code && image->copy)
            wrong = "its link has code already";
    } else if (!link->code) {
        wrong = "a record without code";
    } else if (!lies_in(place, (uintptr_t)link->code, 1, false, true)) {
        wrong = "its code lies outside of the image";
    }
    if (wrong) {
        berth_manifest_describe(image->manifest, item, name, sizeof(name));
        return berth_error_set(error, BERTH_DATA_LOSS, "%s: %s", name, wrong);
    }
    *ret_item = item;
    return BERTH_OK;
}

/* Each record has a line, and what has code has one only. */
static int check_whole(const struct berth_manifest *manifest, const unsigned char *lines,
                       struct berth_error *error)
{
    char name[NAME_MAX_SIZE];

    for (size_t i = 0; i < manifest->item_count; i++) {
        const struct berth_manifest_item *item = &manifest->items[i];
        if (lines[i] == 1 || (lines[i] > 1 && !has_code(item->kind)))
            continue;
        berth_manifest_describe(manifest, item, name, sizeof(name));
        return berth_error_set(error, BERTH_DATA_LOSS, "%s: %s", name,
                               lines[i] ? "two links for one record"
                                        : "a record without code: its link is missing");
    }
    return BERTH_OK;
}

int berth_image_read_links(struct berth_image *image, const struct berth_place *place,
                           const struct berth_entry *entry, struct berth_error *error)
{
    const struct berth_manifest *manifest = image->manifest;
    size_t count = 0;
    int code = check_table(place, entry, &count, error);

    if (code)
        return code;
    struct berth_image_link *links = berth_arena_alloc(&image->arena, count * sizeof(*links));
    unsigned char *lines =
        berth_calloc(manifest->item_count + 1, 1); /* how many each has; 2 for more */
    if (!links || !lines)
        code = berth_error_nomem(error);
    for (size_t i = 0; i < count && !code; i++) {
        const struct berth_manifest_item *item = NULL;
        code = check_link(image, place, &entry->links[i], &item, error);
        if (code)
            break;
        links[i] = (struct berth_image_link){ &entry->links[i], item->kind, item->index };
        lines[item - manifest->items] = lines[item - manifest->items] ? 2 : 1;
    }
    if (!code)
        code = check_whole(manifest, lines, error);
    berth_free(lines);
    if (!code) {
        image->links = links;
        image->link_count = count;
    }
    return code;
}
