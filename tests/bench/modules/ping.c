/* SPDX-License-Identifier: MIT */
/* Half of a round trip; pong.c is the other one. */
#include "tests/bench/message_limits.h"

#include <berth/module.h>
#include <semaphore.h>

BERTH_MODULE("bench_ping", "1.0.0", "Sends, and sends again what comes back.");
BERTH_TOPIC("bench.ping", ping, (bytes, data));

static int64_t left;
static sem_t *done;

BERTH_EXPORT(void, start, "n round trips; then posts a semaphore of the program.", (u64, semaphore),
             (i64, n), (bytes, data))
{
    done = (sem_t *)semaphore;
    left = n;
    publish_ping(ctx, data);
}

BERTH_SUBSCRIBE("bench.pong", on_pong, (bytes, data))
{
    message_touch(data.data, data.size);
    if (--left > 0)
        publish_ping(ctx, data);
    else
        sem_post(done);
}
