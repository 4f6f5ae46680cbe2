/* SPDX-License-Identifier: MIT */
/* What is wrong with a text, all of it: each problem with its place, gathered while it is read. */
#ifndef RUNTIME_SHELL_PROBLEM_H
#define RUNTIME_SHELL_PROBLEM_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"

struct berth_problem {
    const char *at;      /* in the text, or NULL: it is about the file as a whole */
    size_t line, column; /* from 1, in characters; 0: none. Known once they are sorted */
    size_t number;       /* in the order in which they were found */
    bool warning;        /* one can live with it */
    const char *text;
};

struct berth_problems {
    const char *file;       /* its name, borrowed */
    const char *text, *end; /* borrowed */
    struct berth_arena arena;
    struct berth_buffer list; /* struct berth_problem */
    size_t count, errors;     /* warnings are in count alone */
    bool failed;              /* memory was missing for one */
};

void berth_problems_init(struct berth_problems *problems, const char *file, const char *text,
                         size_t size);
void berth_problems_deinit(struct berth_problems *problems);

/* at lies in the text, or is its end, or NULL. */
void berth_problems_add(struct berth_problems *problems, bool warning, const char *at,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* In the order of the text, with their places; count of them. Adding one makes it invalid. */
const struct berth_problem *berth_problems_sort(struct berth_problems *problems);

/* To standard error, a line each: "FILE:LINE:COLUMN: TEXT", "FILE:LINE:COLUMN: warning: TEXT". */
void berth_problems_print(struct berth_problems *problems);
/* The same to the log. */
void berth_problems_log(struct berth_problems *problems);
/* Adds [{"line":1,"column":2,"level":"error","text":"…"},…]. */
void berth_problems_json(struct berth_problems *problems, struct berth_buffer *buffer);
/* BERTH_OK, or one error that counts them; or that there was no memory. */
int berth_problems_error(const struct berth_problems *problems, struct berth_error *error);

#endif
