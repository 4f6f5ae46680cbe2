/* SPDX-License-Identifier: MIT */
/*
 * What the modules of a host may do, as a value: read from JSON, asked, printed. It knows no host;
 * what a host makes of it is in permit.h.
 */
#ifndef RUNTIME_CORE_POLICY_H
#define RUNTIME_CORE_POLICY_H

#include "runtime/core/grants.h"
#include <berth/error.h>

enum berth_policy_mode {
    BERTH_POLICY_OPEN,     /* everything */
    BERTH_POLICY_DECLARED, /* what a module's manifest declares, and what that leads to */
    BERTH_POLICY_LISTED,   /* of that, what is granted */
};

/* Zeroed, it is open and grants nothing. */
struct berth_policy {
    enum berth_policy_mode mode;
    bool record; /* the host notes what the grants of a listed one would have to be */
    struct berth_grants grants;
};

/*
 * {"mode":"listed","record":false,"grants":{"CALLER":{"as":"operator","call":[…],"publish":[…],
 * "subscribe":[…]}}}, all of it optional; NULL is {}, which is declared. Fails with
 * invalid_argument and the place, or without memory; then there is nothing to deinit.
 */
int berth_policy_read(const char *json, struct berth_policy *ret_policy, struct berth_error *error);
void berth_policy_deinit(struct berth_policy *policy);

/* "open", "declared", "listed". Static. */
const char *berth_policy_mode_name(enum berth_policy_mode mode);
/*
 * Whether the caller, a module or the operator, may do that. A module may always call its own
 * functions. what is valid (berth_right_what_valid).
 */
bool berth_policy_allows(const struct berth_policy *policy, const char *caller,
                         enum berth_right right, const char *what);
/* In whose name a module asks the host to do something: its own, or the operator. */
const char *berth_policy_actor(const struct berth_policy *policy, const char *module);

#endif
