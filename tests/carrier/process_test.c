/* SPDX-License-Identifier: MIT */
/* Modules in workers. */
#include "tests/carrier/conformance.h"

struct conformance conformance = {
    .name = "process", .placement = "process", .other = "inline", .threads = 2, .flags = 0
};
