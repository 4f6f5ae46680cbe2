/* SPDX-License-Identifier: MIT */
/* Two modules in two files. */
/* gcc: multiple definition of `berth_entry' */
/* clang: multiple definition of `berth_entry' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
