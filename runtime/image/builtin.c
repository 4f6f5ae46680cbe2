/* SPDX-License-Identifier: MIT */
/* An image that is part of the runtime: its records and code lie in tables, not in a file. */
#include "runtime/image/image.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"

/* Records are told apart by their addresses, in memory as in a file. */
static int read_manifest(struct berth_image *image, const struct berth_image_part *parts,
                         size_t count, struct berth_error *error)
{
    struct berth_record *records = berth_calloc(count, sizeof(*records));

    if (!records)
        return berth_error_nomem(error);
    for (size_t i = 0; i < count; i++)
        records[i] = (struct berth_record){ .address = (uintptr_t)parts[i].record,
                                            .type = 1,
                                            .text = parts[i].record,
                                            .size = parts[i].size };
    int code = berth_manifest_new(records, count, &image->manifest, error);
    berth_free(records);
    return code;
}

/* Each image has links of its own, as several hosts bind the same table. */
static int make_links(struct berth_image *image, const struct berth_image_part *parts, size_t count,
                      struct berth_error *error)
{
    image->own_links =
        berth_aligned_alloc(_Alignof(struct berth_link), count * sizeof(*image->own_links));
    image->links = berth_arena_alloc(&image->arena, count * sizeof(*image->links));
    if (!image->own_links || !image->links)
        return berth_error_nomem(error);
    for (size_t i = 0; i < count; i++) {
        const struct berth_manifest_item *item =
            berth_manifest_find_item(image->manifest, (uintptr_t)parts[i].record);
        if (!item || item->kind == BERTH_ITEM_NONE)
            continue;
        struct berth_link *link = &image->own_links[image->link_count];
        *link = (struct berth_link){ .record = parts[i].record,
                                     .code = parts[i].code,
                                     .check = BERTH_CHECK_SLOW };
        image->links[image->link_count++] =
            (struct berth_image_link){ link, item->kind, item->index };
    }
    return BERTH_OK;
}

/* Where its functions lie: whoever runs between is inside of it. */
static void set_bounds(struct berth_image *image, const struct berth_image_part *parts,
                       size_t count)
{
    image->low = UINTPTR_MAX;
    for (size_t i = 0; i < count; i++) {
        uintptr_t code = (uintptr_t)parts[i].code;
        if (code && code < image->low)
            image->low = code;
        if (code && code >= image->high)
            image->high = code + 1;
    }
}

int berth_image_builtin(const struct berth_image_part *parts, size_t count,
                        struct berth_image **ret_image, struct berth_error *error)
{
    struct berth_image *image;
    int code = berth_image_new(NULL, &image, error);

    if (code)
        return code;
    code = read_manifest(image, parts, count, error);
    if (!code)
        code = make_links(image, parts, count, error);
    if (code) {
        berth_image_free(image);
        return code;
    }
    set_bounds(image, parts, count);
    *ret_image = image;
    return BERTH_OK;
}
