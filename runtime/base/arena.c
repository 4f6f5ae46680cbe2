/* SPDX-License-Identifier: MIT */
#include "runtime/base/arena.h"

#include "runtime/base/memory.h"

#include <stdio.h>
#include <string.h>

#if defined __SANITIZE_ADDRESS__
#define POISONING 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif
#ifdef POISONING
#include <sanitizer/asan_interface.h>
/* Not inlined: gcc would warn of new memory that has no value yet. */
__attribute__((noinline)) static void poison(void *address, size_t size)
{
    __asan_poison_memory_region(address, size);
}
#define unpoison(address, size) __asan_unpoison_memory_region((address), (size))
#else
#define poison(address, size)   ((void)(address), (void)(size))
#define unpoison(address, size) ((void)(address), (void)(size))
#endif

#define ALIGNMENT  ((size_t)16)
#define BLOCK_MIN  ((size_t)2048)
#define BLOCK_KEEP ((size_t)64 << 10) /* what a reset may keep */
#define BLOCK_MAX  ((size_t)16 << 20) /* but for one allocation that needs more */
#define SIZE_LIMIT ((size_t)1 << 40)

struct berth_arena_block {
    struct berth_arena_block *older;
    size_t size;    /* with this head */
    uint64_t start; /* the arena's total when the block was new */
    bool lent;
};
#define HEAD ((sizeof(struct berth_arena_block) + ALIGNMENT - 1) & ~(ALIGNMENT - 1))

static char *block_data(const struct berth_arena_block *block)
{
    return (char *)block + HEAD;
}

static void block_release(struct berth_arena_block *block)
{
    unpoison(block, block->size);
    if (!block->lent)
        berth_free(block);
}

/* Makes the newest block, with `used` bytes of it handed out, the place to allocate from. */
static void use_newest(struct berth_arena *arena, size_t used)
{
    struct berth_arena_block *block = arena->blocks;

    arena->next = block ? block_data(block) + used : NULL;
    arena->end = block ? (char *)block + block->size : NULL;
    if (block)
        poison(arena->next, (size_t)(arena->end - arena->next));
}

static void push(struct berth_arena *arena, struct berth_arena_block *block, size_t size, bool lent)
{
    *block = (struct berth_arena_block){
        .older = arena->blocks, .size = size, .start = arena->total, .lent = lent
    };
    arena->blocks = block;
    use_newest(arena, 0);
}

void berth_arena_init(struct berth_arena *arena)
{
    *arena = (struct berth_arena){ .blocks = NULL };
}

void berth_arena_deinit(struct berth_arena *arena)
{
    while (arena->blocks) {
        struct berth_arena_block *block = arena->blocks;
        arena->blocks = block->older;
        block_release(block);
    }
    berth_arena_init(arena);
}

void berth_arena_lend(struct berth_arena *arena, void *memory, size_t size)
{
    size_t skip = -(uintptr_t)memory & (ALIGNMENT - 1);

    if (!arena->blocks && size >= skip + HEAD + ALIGNMENT)
        push(arena, (void *)((char *)memory + skip), size - skip, true);
}

/* Sizes double, so that even very many allocations lie in few blocks. */
static bool grow(struct berth_arena *arena, size_t needed)
{
    size_t size = arena->blocks ? 2 * arena->blocks->size : BLOCK_MIN;

    if (size < BLOCK_MIN)
        size = BLOCK_MIN;
    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    if (size < HEAD + needed)
        size = HEAD + needed;
    struct berth_arena_block *block = berth_malloc(size);
    if (!block)
        return false;
    push(arena, block, size, false);
    return true;
}

/* As berth_arena_alloc, but not zeroed. */
static void *take(struct berth_arena *arena, size_t size)
{
    if (size > SIZE_LIMIT)
        return NULL;
    size_t rounded = size ? (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : ALIGNMENT;
    if ((size_t)(arena->end - arena->next) < rounded && !grow(arena, rounded))
        return NULL;
    void *memory = arena->next;
    arena->next += rounded;
    arena->total += rounded;
    unpoison(memory, size);
    return memory;
}

void *berth_arena_alloc(struct berth_arena *arena, size_t size)
{
    void *memory = take(arena, size);
    return memory ? memset(memory, 0, size) : NULL;
}

void *berth_arena_copy(struct berth_arena *arena, const void *data, size_t size)
{
    void *memory = take(arena, size);
    if (memory && size)
        memcpy(memory, data, size);
    return memory;
}

char *berth_arena_string(struct berth_arena *arena, const char *text)
{
    return berth_arena_copy(arena, text, strlen(text) + 1);
}

char *berth_arena_format_va(struct berth_arena *arena, const char *format, va_list arguments)
{
    char most[256];
    va_list again;

    va_copy(again, arguments);
    char *text = NULL;
    int length = vsnprintf(most, sizeof(most), format, arguments);
    if (length >= 0 && (size_t)length < sizeof(most)) {
        text = berth_arena_copy(arena, most, (size_t)length + 1);
    } else if (length >= 0) {
        text = take(arena, (size_t)length + 1);
        if (text)
            vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    return text;
}

char *berth_arena_format(struct berth_arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = berth_arena_format_va(arena, format, arguments);
    va_end(arguments);
    return text;
}

void berth_arena_join(struct berth_arena *arena, struct berth_arena *other)
{
    struct berth_arena_block *oldest = NULL;
    if (!other->blocks)
        return;
    size_t used = (size_t)(other->next - block_data(other->blocks));
    for (struct berth_arena_block *block = other->blocks; block; block = block->older) {
        block->start += arena->total;
        oldest = block;
    }
    oldest->older = arena->blocks;
    arena->blocks = other->blocks;
    arena->total += other->total;
    use_newest(arena, used);
    berth_arena_init(other);
}

bool berth_arena_holds(const struct berth_arena *arena, const void *address)
{
    uintptr_t wanted = (uintptr_t)address;
    uint64_t end = arena->total;

    for (const struct berth_arena_block *block = arena->blocks; block; block = block->older) {
        uintptr_t data = (uintptr_t)block_data(block);
        if (wanted >= data && wanted - data < end - block->start)
            return true;
        end = block->start;
    }
    return false;
}

void berth_arena_rewind(struct berth_arena *arena, uint64_t mark)
{
    if (mark >= arena->total)
        return;
    mark = (mark + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1); /* a wrong one does no harm */
    /* A block that begins at the mark stays: a loop that rewinds allocates it once. */
    while (arena->blocks && arena->blocks->start > mark) {
        struct berth_arena_block *block = arena->blocks;
        arena->blocks = block->older;
        block_release(block);
    }
    arena->total = mark;
    use_newest(arena, arena->blocks ? (size_t)(mark - arena->blocks->start) : 0);
}

void berth_arena_reset(struct berth_arena *arena)
{
    struct berth_arena_block *kept = NULL;

    while (arena->blocks) {
        struct berth_arena_block *block = arena->blocks;
        arena->blocks = block->older;
        if (!block->lent && (kept || block->size > BLOCK_KEEP)) {
            block_release(block);
            continue;
        }
        if (kept) /* the lent one is the oldest, and the one to keep */
            block_release(kept);
        kept = block;
    }
    arena->total = 0;
    if (kept) {
        kept->older = NULL;
        kept->start = 0;
        arena->blocks = kept;
    }
    use_newest(arena, 0);
}
