/* SPDX-License-Identifier: MIT */
/* What is found out about a file before it is loaded, one sentence each. */
#ifndef RUNTIME_IMAGE_FINDING_H
#define RUNTIME_IMAGE_FINDING_H

#include <stdbool.h>

#include "runtime/base/arena.h"
#include "runtime/base/buffer.h"

enum berth_finding_level {
    BERTH_FINDING_ERROR,   /* it cannot be loaded, or a call of it would go astray */
    BERTH_FINDING_WARNING, /* it may harm others, or not be replaced */
    BERTH_FINDING_NOTE,    /* good to know */
    BERTH_FINDING_LEVELS
};

struct berth_finding {
    struct berth_finding *next;
    enum berth_finding_level level;
    const char *what; /* its kind, a word: missing_symbol */
    const char *text; /* UTF-8 without control characters, as cure */
    const char *cure;
};

/* In the order in which they were found. */
struct berth_findings {
    struct berth_finding *first, **last;
    size_t counts[BERTH_FINDING_LEVELS];
    bool failed; /* memory was not there for one of them */
    struct berth_arena arena;
};

void berth_findings_init(struct berth_findings *findings);
void berth_findings_deinit(struct berth_findings *findings);

/* what and cure are static; the sentence is cut to the length of an error's. */
void berth_findings_add(struct berth_findings *findings, enum berth_finding_level level,
                        const char *what, const char *cure, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* "error", "warning", "note". */
const char *berth_finding_level_name(enum berth_finding_level level);

#endif
