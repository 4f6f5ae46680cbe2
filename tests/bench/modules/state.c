/* SPDX-License-Identifier: MIT */
/* Parallel; with 1 KiB of state, which a reload hands over, unless it is built without. */
#include <berth/module.h>
#include <string.h>

#ifndef STATE_NAME
#define STATE_NAME "state"
#endif
BERTH_MODULE(STATE_NAME, "1.0.0", "Counts, in the first of its numbers.");
BERTH_PARALLEL;

static uint64_t numbers[128];

BERTH_EXPORT(u64, add, "Adds to it.", (u64, n))
{
    return __atomic_add_fetch(&numbers[0], n, __ATOMIC_RELAXED);
}

#ifndef STATELESS
BERTH_SAVE(1)
{
    berth_bytes state = { numbers, sizeof(numbers) };
    return state;
}

BERTH_RESTORE
{
    (void)version;
    if (state.size == sizeof(numbers))
        memcpy(numbers, state.data, sizeof(numbers));
}
#endif
