/* SPDX-License-Identifier: MIT */
/* Sends as fast as it is let; sink.c receives. */
#include <berth/module.h>
#include <sched.h>

BERTH_MODULE("bench_source", "1.0.0", "Sends as fast as it is let.");
BERTH_PARALLEL;
BERTH_TOPIC("bench.flow", flow, (bytes, data));

BERTH_EXPORT(void, send, "n messages, one after the other.", (i64, n), (bytes, data))
{
    while (n > 0) {
        publish_flow(ctx, data);
        if (berth_failed(ctx)) {
            berth_clear(ctx);
            sched_yield();
        } else {
            n--;
        }
    }
}
