/* SPDX-License-Identifier: MIT */
#include "runtime/core/crash.h"

#include <berth/host.h>
#include <string.h>

#include "runtime/base/memory.h"
#include "runtime/core/registry.h"

/* Never freed, so that a handler may walk the list at any time. */
struct berth_crash_slot {
    struct berth_crash_slot *next, *next_free;
    const struct berth_generation *generation; /* atomic; NULL: free, or being written */
    uintptr_t low, high;                       /* atomic */
};
static struct berth_crash_slot *slots;                         /* atomic */
static struct berth_crash_slot *free_slots;                    /* of those in slots */
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER; /* of those who write */

static struct berth_crash_slot *take_slot(void)
{
    struct berth_crash_slot *slot = free_slots;
    if (slot) {
        free_slots = slot->next_free;
    } else if ((slot = berth_calloc(1, sizeof *slot))) {
        slot->next = slots;
        __atomic_store_n(&slots, slot, __ATOMIC_RELEASE);
    }
    return slot;
}

void berth_crash_publish(struct berth_generation *generation)
{
    const struct berth_image *image = generation->image;
    pthread_mutex_lock(&slots_lock);
    struct berth_crash_slot *slot = image->low < image->high ? take_slot() : NULL;
    if (slot) {
        /* who sees one of these sees that it is no longer the last one's, too */
        __atomic_store_n(&slot->low, image->low, __ATOMIC_RELEASE);
        __atomic_store_n(&slot->high, image->high, __ATOMIC_RELEASE);
        __atomic_store_n(&slot->generation, generation, __ATOMIC_RELEASE);
    }
    generation->crash_slot = slot;
    pthread_mutex_unlock(&slots_lock);
}

void berth_crash_withdraw(struct berth_generation *generation)
{
    struct berth_crash_slot *slot = generation->crash_slot;
    generation->crash_slot = NULL;
    if (!slot)
        return;
    pthread_mutex_lock(&slots_lock);
    __atomic_store_n(&slot->generation, NULL, __ATOMIC_RELAXED);
    slot->next_free = free_slots;
    free_slots = slot;
    pthread_mutex_unlock(&slots_lock);
}

/* ---- in a handler ---- */

/*
 * Whose image an address is in: the narrowest, as the program that the runtime is linked into may
 * be an image, too. A slot that was written meanwhile has changed its generation.
 */
static const struct berth_generation *find(uintptr_t address)
{
    const struct berth_generation *found = NULL;
    uintptr_t narrowest = UINTPTR_MAX;
    for (const struct berth_crash_slot *slot = __atomic_load_n(&slots, __ATOMIC_ACQUIRE); slot;
         slot = slot->next) {
        const struct berth_generation *generation =
            __atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE);
        uintptr_t low = __atomic_load_n(&slot->low, __ATOMIC_ACQUIRE);
        uintptr_t high = __atomic_load_n(&slot->high, __ATOMIC_ACQUIRE);
        if (!generation || address < low || address >= high || high - low >= narrowest ||
            __atomic_load_n(&slot->generation, __ATOMIC_RELAXED) != generation)
            continue;
        found = generation;
        narrowest = high - low;
    }
    return found;
}

static const struct berth_item *find_item(const struct berth_item *items, size_t count,
                                          uintptr_t address)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].code && (uintptr_t)items[i].code == address)
            return &items[i];
    return NULL;
}

static const char *function_at(const struct berth_generation *generation, uintptr_t address)
{
    const struct berth_item *item =
        find_item(generation->exports, generation->export_count, address);
    if (!item)
        item = find_item(generation->handlers, generation->handler_count, address);
    if (!item)
        item = find_item(generation->hooks, BERTH_HOOK_COUNT, address);
    return item ? berth_item_name(item) : "callback";
}

struct text {
    char *data;
    size_t size, used;
    bool full;
};

static void put(struct text *text, const char *words)
{
    size_t length = strlen(words);
    text->full = text->full || length > text->size - text->used;
    if (text->full)
        return;
    memcpy(text->data + text->used, words, length);
    text->used += length;
}

static void put_number(struct text *text, unsigned number)
{
    char digits[16];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    put(text, digits + at);
}

static void describe(void *user, const struct berth_threads *set, uintptr_t word)
{
    struct text *text = user;
    uintptr_t object = word & ~BERTH_FRAME_OBJECT;
    const struct berth_item *item = NULL;
    const struct berth_generation *generation = NULL;
    if (!(word & BERTH_FRAME_OBJECT))
        generation = find(word);
    else if (object != (uintptr_t)set) /* else a thread has entered the host here */
        item = (const struct berth_item *)object;
    if (item)
        generation = item->generation;
    if (!generation)
        return;
    size_t before = text->used;
    put(text, generation->module->name);
    put(text, "@");
    put(text, generation->image->manifest->version);
    put(text, "#");
    put_number(text, generation->number);
    put(text, " ");
    put(text, item ? berth_item_name(item) : function_at(generation, word));
    put(text, "\n");
    if (text->full) /* whole lines, the innermost ones */
        text->used = before;
}

size_t berth_crash_describe(void *buffer, size_t size)
{
    struct text text = { .data = buffer, .size = size };
    berth_frames_visit(describe, &text);
    return text.used;
}
