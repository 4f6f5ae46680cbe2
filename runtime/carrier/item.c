/* SPDX-License-Identifier: MIT */
#include "runtime/carrier/carrier.h"

/* Hooks are the same in every module, so no manifest holds their signatures. */
static const struct berth_type type_void = {
    .kind = BERTH_KIND_VOID,
    .plain = true,
    .align = 1,
    .text = "void",
    .identity = "void",
    .name = "void",
    .doc = "",
    .module = "",
};
static const struct berth_type type_u32 = {
    .kind = BERTH_KIND_U32,
    .plain = true,
    .size = sizeof(berth_u32),
    .align = _Alignof(berth_u32),
    .text = "u32",
    .identity = "u32",
    .name = "u32",
    .doc = "",
    .module = "",
};
static const struct berth_type type_bytes = {
    .kind = BERTH_KIND_BYTES,
    .size = sizeof(berth_bytes),
    .align = _Alignof(berth_bytes),
    .text = "bytes",
    .identity = "bytes",
    .name = "bytes",
    .doc = "",
    .module = "",
};

static struct berth_parameter restore_parameters[] = {
    { .name = "version", .doc = "", .type = &type_u32 },
    { .name = "state", .doc = "", .type = &type_bytes },
};

static const struct berth_signature hook_signatures[BERTH_HOOK_COUNT] = {
    [BERTH_HOOK_START] = { .identity = "()void", .result = &type_void, .plain = true },
    [BERTH_HOOK_STOP] = { .identity = "()void", .result = &type_void, .plain = true },
    [BERTH_HOOK_SAVE] = { .identity = "()bytes", .result = &type_bytes },
    [BERTH_HOOK_RESTORE] = { .identity = "(u32,bytes)void",
                             .result = &type_void,
                             .count = 2,
                             .parameters = restore_parameters },
};

const struct berth_signature *berth_item_signature(const struct berth_manifest *manifest,
                                                   enum berth_item_kind kind, size_t index)
{
    switch (kind) {
    case BERTH_ITEM_EXPORT:
        return index < manifest->export_count ? manifest->exports[index].signature : NULL;
    case BERTH_ITEM_SUBSCRIBE:
        return index < manifest->subscribe_count ? manifest->subscribes[index].signature : NULL;
    case BERTH_ITEM_HOOK:
        return index < BERTH_HOOK_COUNT ? &hook_signatures[index] : NULL;
    default:
        return NULL;
    }
}
