/* SPDX-License-Identifier: MIT */
/*
 * What the shell writes. Nothing that comes from a module or a file reaches a terminal as a control
 * character, but for results that are written as they are. Each function returns the exit status
 * that belongs to it.
 */
#ifndef RUNTIME_SHELL_OUTPUT_H
#define RUNTIME_SHELL_OUTPUT_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* First of all: a standard stream that is closed will fail, and is not taken for the next file. */
void berth_output_init(void);

/* To standard output: these very bytes, and a newline after them if asked for. */
int berth_output_write(bool json, const void *data, size_t size, bool newline);
/* To standard output: JSON of what a file says, whose strings hold no control characters then. */
int berth_output_json(const char *json);
/* To standard output: text for people, which ends with a newline. */
int berth_output_text(bool json, const char *text);

/* To standard error: the failure, as one line or as JSON. */
int berth_output_error(bool json, const struct berth_error *error);
/* The same of a transaction that was refused: in JSON with the step, and the reason alone. */
int berth_output_refusal(bool json, const struct berth_error *error, const char *step,
                         const char *why);
/* The same with words; the status is BERTH_EXIT_FAILED. */
int berth_output_fail(bool json, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a command that makes no sense; it tells where to read on. command may be NULL. */
int berth_output_usage(bool json, const char *command, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * How the next byte is shown, or the next control character, which may be two: \x1b; newlines stay
 * if they may. Returns how many bytes that was for.
 */
#define BERTH_OUTPUT_CHARACTER 8
size_t berth_output_character(const char *text, size_t size, bool newlines,
                              char shown[BERTH_OUTPUT_CHARACTER]);
/* The bytes with control characters as \x1b; newlines stay if they may. */
void berth_output_visible(FILE *stream, const char *text, size_t size, bool newlines);

#endif
