/* SPDX-License-Identifier: MIT */
/* Sends as fast as it is let; sink.c receives. */
#include <berth/module.h>
#include <sched.h>
#include <string.h>

BERTH_MODULE("bench_source", "1.0.0", "Sends as fast as it is let.");
BERTH_PARALLEL;
BERTH_TOPIC("bench.flow", flow, (bytes, data));

static void send(berth_ctx *ctx, int64_t n, berth_bytes data)
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

BERTH_EXPORT(void, send, "n messages, one after the other.", (i64, n), (bytes, data))
{
    send(ctx, n, data);
}

BERTH_EXPORT(void, send_blob, "The same, with what lies in a blob.", (i64, n), (u64, size))
{
    void *data = berth_blob_new(ctx, size);
    if (!data)
        return;
    memset(data, 1, size);
    send(ctx, n, (berth_bytes){ data, size });
    berth_blob_release(ctx, data);
}
