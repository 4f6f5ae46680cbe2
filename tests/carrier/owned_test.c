/* SPDX-License-Identifier: MIT */
/* Inline, in the mode that frees every argument and result when its time is over. */
#include "tests/carrier/conformance.h"

struct conformance conformance = { .name = "owned",
                                   .placement = "inline",
                                   .other = "inline",
                                   .threads = 1,
                                   .flags = BERTH_HOST_CHECK_OWNERSHIP };
