/* SPDX-License-Identifier: MIT */
/*
 * JSON as the shell needs it: a text is checked once, then taken apart in place; and strings are
 * written. A piece points into its text and owns nothing.
 */
#ifndef RUNTIME_SHELL_PIECE_H
#define RUNTIME_SHELL_PIECE_H

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"
#include "runtime/value/scan.h"

#define BERTH_PIECE_DEPTH_MAX 160 /* what a host takes, with what is around it in a message */

/* One value, without the blanks around it. Size 0: there is none. */
struct berth_piece {
    const char *text;
    size_t size;
};

/* Whether it is one JSON text; else invalid_argument, with what (may be NULL) in front. */
int berth_piece_read(const char *text, size_t size, const char *what, struct berth_piece *ret_piece,
                     struct berth_error *error);

/* The rest takes pieces of a text that has been read. */

/* '{', '[', '"', '0' for a number, 't', 'f', 'n' for null; 0 when there is none. */
char berth_piece_kind(struct berth_piece piece);
/* An object's member, the first of that name; none when it is not there, or no object. */
struct berth_piece berth_piece_get(struct berth_piece object, const char *name);

/* Steps through an object or an array; anything else is empty. */
struct berth_piece_walk {
    struct berth_scan scan;
    bool object, first;
};
struct berth_piece_walk berth_piece_begin(struct berth_piece list);
/* *ret_key (may be NULL) is a string; none in an array. */
bool berth_piece_next(struct berth_piece_walk *walk, struct berth_piece *ret_key,
                      struct berth_piece *ret_value);
size_t berth_piece_count(struct berth_piece list);

/* Appends a string's characters, which may be NUL as well. False: it is none. */
bool berth_piece_characters(struct berth_piece string, struct berth_buffer *buffer);
/*
 * For people: a string's characters, and anything else as it is written. A NUL becomes '?'. "" when
 * there is none, or no memory.
 */
const char *berth_piece_text(struct berth_piece piece, struct berth_arena *arena);
const char *berth_piece_text_of(struct berth_piece object, const char *name,
                                struct berth_arena *arena);
/* A number without sign, fraction and exponent that fits; else false. */
bool berth_piece_integer(struct berth_piece piece, uint64_t *ret_number);
/* The member's; 0 when it is none. */
uint64_t berth_piece_integer_of(struct berth_piece object, const char *name);

/*
 * Appends it in one line. Control characters that JSON allows in its strings are escaped, so that
 * none drives a terminal.
 */
void berth_piece_line(struct berth_piece piece, struct berth_buffer *buffer);
/* Appends text, which is UTF-8, as a string in quotes. */
void berth_piece_quote(const char *text, size_t size, struct berth_buffer *buffer);

#endif
