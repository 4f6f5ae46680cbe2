/* SPDX-License-Identifier: MIT */
/*
 * The lexical side of JSON: tokens, cut from a text that nobody has checked. Every function checks
 * all of what it passes over (RFC 8259, UTF-8, pairs of surrogates), and fails with
 * invalid_argument, naming line and column. Nothing is allocated, and no number is converted.
 */
#ifndef RUNTIME_VALUE_SCAN_H
#define RUNTIME_VALUE_SCAN_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

struct berth_scan {
    const char *text, *end;
    const char *next;
    const char *what;          /* goes in front of errors, or NULL */
    struct berth_error *error; /* may be NULL */
    /*
     * What people write: blanks may hold comments of C++, and errors tell the cure for a comma too
     * many. JSON has none of that, so it is off unless it is asked for.
     */
    bool comments;
    const char **ret_at; /* may be NULL: gets an error's place, which its text then leaves out */
};

struct berth_token {
    const char *text; /* a string's is what is between its quotes */
    size_t length;
    bool escaped; /* a string: there is a backslash in it */
    bool nul;     /* a string: there is a \u0000 in it */
};

/* invalid_argument: "what: line 2, column 7: message". at lies in the text, or is its end. */
int berth_scan_error(const struct berth_scan *scan, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/*
 * Skips blanks, and tells what comes then: its character, or 0 at the end. A comment that is wrong
 * is not skipped, and nothing else begins as it does: who goes on there gets the error.
 */
char berth_scan_peek(struct berth_scan *scan);
/* These begin where peek has found the first character of one. */
int berth_scan_string(struct berth_scan *scan, struct berth_token *ret_token);
int berth_scan_number(struct berth_scan *scan, struct berth_token *ret_token);
/* true, false or null; anything else is "expected a value". */
int berth_scan_word(struct berth_scan *scan, struct berth_token *ret_token);
/* Blanks, then the end. */
int berth_scan_end(struct berth_scan *scan);

/*
 * Steps through a list. After the opening bracket, *first is true; then for each: the comma, a
 * member's key and colon. *ret_more is false once the closing bracket has been passed.
 */
int berth_scan_element(struct berth_scan *scan, bool *first, bool *ret_more);
int berth_scan_member(struct berth_scan *scan, bool *first, bool *ret_more,
                      struct berth_token *ret_key);

#endif
