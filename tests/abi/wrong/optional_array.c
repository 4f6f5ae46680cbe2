/* SPDX-License-Identifier: MIT */
/* An optional array. */
/* gcc: unknown type name 'berth_ERROR_optionals_nest_only_through_a_struct' */
/* clang: unknown type name 'berth_ERROR_optionals_nest_only_through_a_struct' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(bool, any, "Whether there is one.", (optional(array(f64)), x))
{
    return x.present;
}
