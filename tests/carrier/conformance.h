/* SPDX-License-Identifier: MIT */
/*
 * What a module may rely on wherever it runs: one suite, written once, that each carrier must pass.
 * A program of a few lines runs it in one way.
 */
#ifndef BERTH_TESTS_CARRIER_CONFORMANCE_H
#define BERTH_TESTS_CARRIER_CONFORMANCE_H

#include "tests/support/hosting.h"

#include <stdlib.h>
#include <string.h>

struct conformance {
    const char *name;
    const char *placement; /* of the modules under test */
    const char *other;     /* the placement that they have to do with */
    int threads;
    unsigned flags;
};
extern struct conformance conformance; /* the program's */

/* A host as the program wants it. */
berth_host *conformance_host(void);
bool conformance_process(void);

/* One table per part, ended by a NULL name. */
extern const struct berth_test conformance_calls[], conformance_errors[], conformance_services[],
    conformance_messages[], conformance_lifecycle[], conformance_crashes[],
    conformance_permissions[];

#endif
