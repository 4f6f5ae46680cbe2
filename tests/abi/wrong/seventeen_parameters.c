/* SPDX-License-Identifier: MIT */
/* One parameter too many. */
/* gcc: unknown type name 'berth_ERROR_at_most_16_parameters' */
/* clang: unknown type name 'berth_ERROR_at_most_16_parameters' */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(f64, first, "The first of many.", (f64, a), (f64, b), (f64, c), (f64, d), (f64, e),
             (f64, f), (f64, g), (f64, h), (f64, i), (f64, j), (f64, k), (f64, l), (f64, m),
             (f64, n), (f64, o), (f64, p), (f64, q))
{
    return a;
}
