/* SPDX-License-Identifier: MIT */
/*
 * Functions of the C library that a module had better not call, as they act on the whole process,
 * or outlive the module.
 */
#ifndef RUNTIME_IMAGE_RISK_H
#define RUNTIME_IMAGE_RISK_H

#include "runtime/image/finding.h"

#define BERTH_RISKS_MAX 64 /* of them; more are not told */

struct berth_risk {
    const char *name;
    enum berth_finding_level level; /* error: no module is loaded inline that imports it */
    const char *why, *cure;
};

/* NULL: nothing is known against it. */
const struct berth_risk *berth_risk_find(const char *name);

#endif
