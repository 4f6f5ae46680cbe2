/* SPDX-License-Identifier: MIT */
/* A topic with a capital letter. */
/* show: topic "Clock.tick": not a topic: words of lower-case letters, digits, _ and - */
#include <berth/module.h>

BERTH_MODULE("wrong", "1.0.0", "Wrong.");
BERTH_TOPIC("Clock.tick", tick, (i64, unix_ns));
