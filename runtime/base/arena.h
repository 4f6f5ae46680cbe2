/* SPDX-License-Identifier: MIT */
/*
 * Memory that is given back all at once. An arena belongs to one thread at a time. The first block
 * may be lent by the caller, so that small calls allocate nothing.
 *
 * Under AddressSanitizer what is not handed out is poisoned, as memory from malloc would be.
 */
#ifndef RUNTIME_BASE_ARENA_H
#define RUNTIME_BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct berth_arena_block;
struct berth_arena {
    struct berth_arena_block *blocks; /* newest first */
    char *next, *end;                 /* free space in the newest */
    uint64_t total;                   /* bytes handed out and held: a mark is a value of it */
};

void berth_arena_init(struct berth_arena *arena);
/* Frees everything. The arena is as after init. */
void berth_arena_deinit(struct berth_arena *arena);
/*
 * Gives an arena that has no block yet its first one, which stays the caller's and must outlive it.
 */
void berth_arena_lend(struct berth_arena *arena, void *memory, size_t size);

/* Zeroed, aligned to 16. NULL without memory. A size of 0 gives a valid pointer of its own. */
void *berth_arena_alloc(struct berth_arena *arena, size_t size);
/* data may be NULL when size is 0. */
void *berth_arena_copy(struct berth_arena *arena, const void *data, size_t size);
char *berth_arena_string(struct berth_arena *arena, const char *text);
char *berth_arena_format(struct berth_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *berth_arena_format_va(struct berth_arena *arena, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/*
 * What `other` has handed out is this one's from now on, where it is; other is as after init, and
 * must not have been lent anything.
 */
void berth_arena_join(struct berth_arena *arena, struct berth_arena *other);

/* Whether an address lies in memory that this arena has handed out and still holds. */
bool berth_arena_holds(const struct berth_arena *arena, const void *address);
static inline uint64_t berth_arena_mark(const struct berth_arena *arena)
{
    return arena->total;
}
/* Gives back what was handed out since the mark. One that is newer than the arena does nothing. */
void berth_arena_rewind(struct berth_arena *arena, uint64_t mark);
/* Gives back everything, keeping one block of modest size for the next time. Marks end. */
void berth_arena_reset(struct berth_arena *arena);

#endif
