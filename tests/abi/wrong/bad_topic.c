/* SPDX-License-Identifier: MIT */
/* A topic with a capital letter. */
/* show: TODO */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_TOPIC("Clock.tick", tick, (i64, unix_ns));
