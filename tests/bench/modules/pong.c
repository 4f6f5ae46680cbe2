/* SPDX-License-Identifier: MIT */
/* Half of a round trip; ping.c is the other one. */
#include "tests/bench/message_limits.h"

#include <berth/module.h>

BERTH_MODULE("bench_pong", "1.0.0", "Sends back what comes.");
BERTH_TOPIC("bench.pong", pong, (bytes, data));

BERTH_SUBSCRIBE("bench.ping", on_ping, (bytes, data))
{
    message_touch(data.data, data.size);
    publish_pong(ctx, data);
}
