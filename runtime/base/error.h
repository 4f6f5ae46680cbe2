/* SPDX-License-Identifier: MIT */
/*
 * Filling error records. The record itself is public: <berth/error.h>.
 *
 * Every function takes a NULL record and then only returns the code. The arguments may point into
 * the record. What is not UTF-8 in them, and control characters, appear as '?'; so no message can
 * break its reader. A format holds no floating-point conversion: those follow the locale.
 */
#ifndef RUNTIME_BASE_ERROR_H
#define RUNTIME_BASE_ERROR_H

#include <berth/error.h>
#include <stdarg.h>

/* Fills *error and returns code, so that a function can end with `return berth_error_set(…)`. */
int berth_error_set(struct berth_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
int berth_error_set_va(struct berth_error *error, int code, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0), cold));

/* resource_exhausted: out of memory. */
int berth_error_nomem(struct berth_error *error) __attribute__((cold));

/* The code that fits an errno value, with "format: description", in English in every locale. */
int berth_error_errno(struct berth_error *error, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/*
 * Puts words in front of an error's text, as they are: berth_error_prefix(error, "%s: ", path).
 * Keeps its code, and returns it. Without a record there is no code to return: unknown.
 */
int berth_error_prefix(struct berth_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* "invalid_argument" for 3; "unknown" for a number that is none. Static. */
const char *berth_code_name(int code);
/* What somebody else gives for one: unknown for a number that is no failure's. */
static inline int berth_code_of_failure(int code)
{
    return code >= BERTH_CANCELLED && code <= BERTH_UNAUTHENTICATED ? code : BERTH_UNKNOWN;
}
/* The code of a name, or -1. */
int berth_code_find(const char *name);

#endif
