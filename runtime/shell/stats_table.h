/* SPDX-License-Identifier: MIT */
/* What host.stats tells, as tables. */
#ifndef RUNTIME_SHELL_STATS_TABLE_H
#define RUNTIME_SHELL_STATS_TABLE_H

#include "runtime/base/map.h"
#include "runtime/shell/piece.h"

struct berth_stats_table {      /* zero before use */
    const char *const *modules; /* only what these take part in; borrowed */
    size_t module_count;        /* 0: everything */
    /* Per second since the time before, and without what stands still; nothing the first time. */
    bool rates;

    struct berth_map before; /* what was printed -> its number + 1 */
    uint64_t before_ns;      /* the host's uptime then; 0: never */
    struct berth_arena arena;
};
void berth_stats_table_deinit(struct berth_stats_table *table);

/* The first of the modules that nothing of it is about, or NULL. */
const char *berth_stats_table_unknown(struct berth_stats_table *table, struct berth_piece stats);
/* Returns an exit status. */
int berth_stats_table_print(struct berth_stats_table *table, struct berth_piece stats);

#endif
