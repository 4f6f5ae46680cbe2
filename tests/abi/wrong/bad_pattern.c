/* SPDX-License-Identifier: MIT */
/* A pattern that goes on after its end. */
/* show: subscribe "clock.>.tick": not a pattern of topics: words joined by dots, * for any one */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");

BERTH_SUBSCRIBE("clock.>.tick", on_tick, (i64, unix_ns))
{
    (void)unix_ns;
}
