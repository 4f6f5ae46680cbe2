/* SPDX-License-Identifier: MIT */
/* What source.c sends. */
#include "tests/bench/message_limits.h"

#include <berth/module.h>
#include <semaphore.h>

BERTH_MODULE("bench_sink", "1.0.0", "Receives.");

static int64_t left;
static sem_t *done;

BERTH_EXPORT(void, expect, "Posts a semaphore of the program after n messages.", (u64, semaphore),
             (i64, n))
{
    done = (sem_t *)semaphore;
    left = n;
}

BERTH_SUBSCRIBE("bench.flow", on_flow, (bytes, data))
{
    /* of what is larger than a page only the first line: how it comes is measured */
    message_touch(data.data, data.size > 4096 ? 64 : data.size);
    if (--left == 0)
        sem_post(done);
}
