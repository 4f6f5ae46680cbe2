/* SPDX-License-Identifier: MIT */
/* Workers of a host that has no thread of its own. */
#include "tests/carrier/conformance.h"

struct conformance conformance = {
    .name = "polled", .placement = "process", .other = "process", .threads = 0, .flags = 0
};
