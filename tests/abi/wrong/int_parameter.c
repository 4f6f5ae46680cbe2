/* SPDX-License-Identifier: MIT */
/* A type of C. */
/* gcc: 'berth_int' is unavailable: not a Berth type: write i32 or i64 */
/* clang: 'berth_int' is unavailable: not a Berth type: write i32 or i64 */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_EXPORT(i32, half, "Halves.", (int, x))
{
    return x / 2;
}
