/* SPDX-License-Identifier: MIT */
/* Two modules in one file. */
/* gcc: redefinition of 'struct berth_defined_twice_module' */
/* clang: redefinition of 'berth_defined_twice_module' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_MODULE("other", "1.0.0", "Wrong as well.");
