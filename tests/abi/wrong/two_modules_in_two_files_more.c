/* SPDX-License-Identifier: MIT */
/* The other file. */
#include <berth/module.h>

BERTH_MODULE("other", "1.0.0", "Wrong as well.");
