/* SPDX-License-Identifier: MIT */
/* Modules in the application's address space. */
#include "tests/carrier/conformance.h"

struct conformance conformance = {
    .name = "inline", .placement = "inline", .other = "process", .threads = 2, .flags = 0
};
