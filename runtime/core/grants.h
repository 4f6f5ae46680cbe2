/* SPDX-License-Identifier: MIT */
/* Who may do what: a set of rules, each a caller, a right, and what it is a right to. */
#ifndef RUNTIME_CORE_GRANTS_H
#define RUNTIME_CORE_GRANTS_H

#include "runtime/base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

enum berth_right { BERTH_RIGHT_CALL, BERTH_RIGHT_PUBLISH, BERTH_RIGHT_SUBSCRIBE, BERTH_RIGHTS };

/* The caller that operators are, and the one that every module is. */
#define BERTH_CALLER_OPERATOR "operator"
#define BERTH_CALLER_EVERY    "*"

struct berth_texts { /* sorted, no two alike */
    char **items;
    size_t count, room;
};

struct berth_grantee {
    char *name;
    bool operates; /* acts for operators */
    struct berth_texts rights[BERTH_RIGHTS];
};

/* Zeroed, it is empty. */
struct berth_grants {
    struct berth_grantee *items; /* sorted by name */
    size_t count, room;
};

void berth_grants_deinit(struct berth_grants *grants);
/* The caller's, or NULL. Valid until the next one is added. */
struct berth_grantee *berth_grants_find(const struct berth_grants *grants, const char *caller);
/* The same; added if it is new. NULL: no memory. */
struct berth_grantee *berth_grants_obtain(struct berth_grants *grants, const char *caller);
/* One rule; false: no memory. */
bool berth_grants_add(struct berth_grants *grants, const char *caller, enum berth_right right,
                      const char *what);
/*
 * Whether one of the rules allows it: the caller's own, or those of every module, unless it is the
 * operator. what is a valid function, topic or, to subscribe, pattern.
 */
bool berth_grants_allow(const struct berth_grants *grants, const char *caller,
                        enum berth_right right, const char *what);

/* "call", "publish", "subscribe". Static. */
const char *berth_right_name(enum berth_right right);
/* Whether it is one: of a function, of topics. */
bool berth_right_pattern_valid(enum berth_right right, const char *pattern);
/* Whether something can be asked for at all: a function, a topic, a pattern of topics. */
bool berth_right_what_valid(enum berth_right right, const char *what);

/* Appends {"CALLER": {"call": ["math.add"]}}, as a configuration takes it, always in one order. */
void berth_grants_print(const struct berth_grants *grants, struct berth_buffer *buffer);
/* Of one caller: "CALLER": {…}. */
void berth_grantee_print(const struct berth_grantee *grantee, struct berth_buffer *buffer);

#endif
