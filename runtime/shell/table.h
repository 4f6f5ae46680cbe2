/* SPDX-License-Identifier: MIT */
/*
 * Rows for people and for programs: on a terminal aligned, below a line of heads, without columns
 * that are empty; anywhere else the cells of a row with a tab between them, all of them and no
 * heads, for cut and awk.
 */
#ifndef RUNTIME_SHELL_TABLE_H
#define RUNTIME_SHELL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#define BERTH_TABLE_COLUMNS_MAX 16

struct berth_table {
    const char *const *heads;
    size_t columns;
    bool terminal, headed, failed;
    size_t width[BERTH_TABLE_COLUMNS_MAX]; /* 0: a column that is left out on a terminal */
    char **cells;                          /* row by row, not printed yet */
    size_t count;
};

/* heads are borrowed, and end with NULL. */
void berth_table_init(struct berth_table *table, const char *const *heads);
void berth_table_deinit(struct berth_table *table);
/* The next cell of the row. Control characters in it become visible. */
void berth_table_add(struct berth_table *table, const char *cell);
/* Takes the row that was added last away again. Its widths stay. */
void berth_table_drop(struct berth_table *table);
/*
 * Prints the rows so far, and forgets them; the widths stay for more rows. Returns an exit status.
 */
int berth_table_print(struct berth_table *table, bool json);

#endif
