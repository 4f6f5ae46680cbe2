/* SPDX-License-Identifier: MIT */
/*
 * Placement `inline`: the image is mapped into this process, and its functions run on the caller's
 * own thread. Calls through links do not come here: this is the way of those that are made by name,
 * of handlers and of hooks.
 */
#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/memory.h"
#include "runtime/base/pool.h"
#include "runtime/carrier/carrier.h"
#include "runtime/value/invoke.h"

struct inline_item {
    void (*code)(void); /* NULL: a hook that the module does not have */
    const struct berth_signature *signature;
    struct berth_invoke *invoke;
    bool async;
};

struct inline_carrier {
    struct berth_carrier carrier;
    const char *name;
    bool closed;
    size_t exports, handlers; /* how many, in front of the hooks */
    struct inline_item items[];
};

static struct inline_item *item_find(struct inline_carrier *self, enum berth_item_kind kind,
                                     size_t index)
{
    switch (kind) {
    case BERTH_ITEM_EXPORT:
        return index < self->exports ? &self->items[index] : NULL;
    case BERTH_ITEM_SUBSCRIBE:
        return index < self->handlers ? &self->items[self->exports + index] : NULL;
    case BERTH_ITEM_HOOK:
        return index < BERTH_HOOK_COUNT ? &self->items[self->exports + self->handlers + index]
                                        : NULL;
    default:
        return NULL;
    }
}

static void inline_close(struct berth_carrier *carrier)
{
    struct inline_carrier *self = berth_container(carrier, struct inline_carrier, carrier);

    __atomic_store_n(&self->closed, true, __ATOMIC_RELEASE);
}

static bool inline_stop(struct berth_carrier *carrier)
{
    (void)carrier; /* the image stays mapped until the host has proved that nobody can be inside */
    return true;
}

static void inline_fini(struct berth_carrier *carrier)
{
    if (!carrier)
        return;
    struct inline_carrier *self = berth_container(carrier, struct inline_carrier, carrier);
    for (size_t i = 0; i < self->exports + self->handlers + BERTH_HOOK_COUNT; i++)
        berth_invoke_free(self->items[i].invoke);
    berth_pool_free(self);
}

/* Several links may be one item: any of them will do. */
static int prepare_items(struct inline_carrier *self, struct berth_error *error)
{
    const struct berth_image *image = self->carrier.image;
    int code = BERTH_OK;

    for (size_t i = 0; i < image->link_count && code == BERTH_OK; i++) {
        const struct berth_image_link *line = &image->links[i];
        struct inline_item *item = item_find(self, line->kind, line->index);
        if (!item || item->invoke)
            continue;
        item->code = line->link->code;
        item->signature = berth_item_signature(image->manifest, line->kind, line->index);
        struct berth_signature called = *item->signature;
        item->async =
            line->kind == BERTH_ITEM_EXPORT && image->manifest->exports[line->index].async;
        if (item->async) /* its result comes by reply */
            called.result = berth_item_signature(image->manifest, BERTH_ITEM_HOOK, 0)->result;
        code = berth_invoke_new(&called, &item->invoke, error);
    }
    return code;
}

static int inline_open(const struct berth_carrier_setup *setup, int64_t deadline,
                       struct berth_carrier **ret_carrier, struct berth_error *error)
{
    struct berth_image *image = setup->image;
    size_t exports = image->manifest->export_count, handlers = image->manifest->subscribe_count;
    bool mapped_before = berth_image_mapped(image); /* the application's own is */
    struct inline_carrier *self = berth_pool_alloc(
        sizeof(*self) + (exports + handlers + BERTH_HOOK_COUNT) * sizeof(struct inline_item));

    (void)deadline; /* nothing can end a constructor that hangs in this process */
    if (!self)
        return berth_error_nomem(error);
    self->carrier = (struct berth_carrier){ &berth_carrier_inline, image };
    self->name = setup->name;
    self->exports = exports;
    self->handlers = handlers;
    int code = mapped_before ? BERTH_OK : berth_image_map(image, error);
    if (code == BERTH_OK)
        code = prepare_items(self, error);
    if (code == BERTH_OK)
        *ret_carrier = &self->carrier;
    else
        inline_fini(&self->carrier);
    return code;
}

/* What the callee gave back may lie in its image or its heap: copied while the pin still holds. */
static int keep_result(const struct inline_item *item, const struct berth_place *place,
                       void *result, struct berth_error *error)
{
    const struct berth_type *type = item->signature->result;

    if (!result || type->plain || item->async)
        return BERTH_OK;
    int code = berth_value_copy(type, result, result, place->arena, true, error);
    if (code != BERTH_OK)
        berth_value_zero(type, result);
    return code;
}

static int inline_invoke(struct berth_carrier *carrier, const struct berth_place *place,
                         enum berth_item_kind kind, size_t index, const void *const *arguments,
                         void *result, struct berth_error *error)
{
    struct inline_carrier *self = berth_container(carrier, struct inline_carrier, carrier);
    const struct inline_item *item = item_find(self, kind, index);
    berth_ctx *ctx = place->ctx;
    int code;

    if (!item || !item->code)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s: has no such item", self->name);
    if (__atomic_load_n(&self->closed, __ATOMIC_ACQUIRE)) {
        berth_error_set(error, BERTH_UNAVAILABLE, "%s: is being unloaded", self->name);
        return BERTH_INVOKED_LOST;
    }
    if (berth_too_deep(ctx))
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED, "%s: calls are nested too deeply",
                               self->name);

    uintptr_t pin = ctx[1].frame; /* the caller's: it still needs what this frame holds */
    if (!item->async)             /* nobody knows the name of that code */
        __atomic_store_n(&ctx[1].frame, (uintptr_t)item->code, __ATOMIC_RELEASE);
    berth_invoke_call(item->invoke, item->code, ctx + 1, arguments, item->async ? NULL : result);
    if (ctx[1].frame & BERTH_FRAME_FAILED) {
        if (result)
            berth_value_zero(item->signature->result, result);
        code = BERTH_INVOKED_FAILED; /* berth_fail has marked ctx, too */
    } else {
        code = keep_result(item, place, result, error);
    }
    __atomic_store_n(&ctx[1].frame, pin, __ATOMIC_RELEASE);
    return code;
}

/* A result with a pointer in it has to be kept. */
static const struct berth_invoke *inline_direct(struct berth_carrier *carrier,
                                                enum berth_item_kind kind, size_t index)
{
    struct inline_carrier *self = berth_container(carrier, struct inline_carrier, carrier);
    const struct inline_item *item = item_find(self, kind, index);

    return item && item->code && item->signature->result->plain ? item->invoke : NULL;
}

static int inline_pid(const struct berth_carrier *carrier)
{
    (void)carrier;
    return 0;
}

const struct berth_carrier_ops berth_carrier_inline = {
    .name = "inline",
    .open = inline_open,
    .invoke = inline_invoke,
    .close = inline_close,
    .stop = inline_stop,
    .fini = inline_fini,
    .pid = inline_pid,
    .direct = inline_direct,
};
