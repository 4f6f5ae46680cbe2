/* SPDX-License-Identifier: MIT */
/* An array of arrays. */
/* gcc: unknown type name 'berth_ERROR_arrays_nest_only_through_a_struct' */
/* clang: unknown type name 'berth_ERROR_arrays_nest_only_through_a_struct' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(u64, rows, "How many.", (array(array(f64)), x))
{
    return x.count;
}
