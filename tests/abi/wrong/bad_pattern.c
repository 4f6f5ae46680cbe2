/* SPDX-License-Identifier: MIT */
/* A pattern that goes on after its end. */
/* show: TODO */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_SUBSCRIBE("clock.>.tick", on_tick, (i64, unix_ns))
{
    (void)unix_ns;
}
