/* SPDX-License-Identifier: MIT */
/* Two hooks of one kind. */
/* gcc: redefinition of 'struct berth_defined_twice_hook_start' */
/* clang: redefinition of 'berth_defined_twice_hook_start' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_START
{
}

BERTH_START
{
}
