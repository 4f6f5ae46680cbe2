/* SPDX-License-Identifier: MIT */
#include "runtime/shell/table.h"

#include <berth/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

void berth_table_init(struct berth_table *table, const char *const *heads)
{
    *table = (struct berth_table){ .heads = heads, .terminal = isatty(STDOUT_FILENO) };
    while (heads[table->columns] && table->columns < BERTH_TABLE_COLUMNS_MAX)
        table->columns++;
}

static void forget(struct berth_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    table->count = 0;
}

void berth_table_deinit(struct berth_table *table)
{
    forget(table);
    free(table->cells);
    table->cells = NULL;
}

/* In a table a tab separates, and a newline ends. */
static char *visible(const char *text)
{
    char *cell = NULL;
    size_t size;
    FILE *stream = open_memstream(&cell, &size);

    if (!stream)
        return NULL;
    for (size_t run; *text; text += run) {
        run = strcspn(text, "\t");
        berth_output_visible(stream, text, run, false);
        if (!run) {
            putc(' ', stream);
            run = 1;
        }
    }
    if (fclose(stream) == 0)
        return cell;
    free(cell);
    return NULL;
}

/* Characters, as far as a table cares. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void berth_table_add(struct berth_table *table, const char *cell)
{
    size_t column = table->count % table->columns, room = table->count + 1;
    char **more = realloc(table->cells, room * sizeof(*more));
    char *copy = more ? visible(cell) : NULL;

    if (more)
        table->cells = more;
    if (!copy) {
        table->failed = true;
        return;
    }
    table->cells[table->count++] = copy;
    size_t width = width_of(copy), head = width_of(table->heads[column]);
    if (width && width < head)
        width = head;
    if (width > table->width[column])
        table->width[column] = width;
}

void berth_table_drop(struct berth_table *table)
{
    for (size_t i = 0; i < table->columns && table->count > 0; i++)
        free(table->cells[--table->count]);
}

static void print_aligned(const struct berth_table *table, const char *const *cells)
{
    size_t blanks = 0; /* owed by the cells before, so that none is at a line's end */

    for (size_t i = 0; i < table->columns; i++) {
        size_t width = width_of(cells[i]);
        if (!table->width[i])
            continue;
        if (width)
            printf("%*s%s", (int)blanks, "", cells[i]);
        blanks = (width ? 0 : blanks) + table->width[i] - width + 2;
    }
    putchar('\n');
}

static void print_tabbed(const struct berth_table *table, const char *const *cells)
{
    for (size_t i = 0; i < table->columns; i++)
        printf("%s%s", i ? "\t" : "", cells[i]);
    putchar('\n');
}

int berth_table_print(struct berth_table *table, bool json)
{
    if (table->failed)
        return berth_output_fail(json, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    if (table->terminal && !table->headed && table->count)
        print_aligned(table, table->heads);
    table->headed |= table->count > 0;
    for (size_t i = 0; i + table->columns <= table->count; i += table->columns) {
        const char *const *row = (const char *const *)table->cells + i;
        if (table->terminal)
            print_aligned(table, row);
        else
            print_tabbed(table, row);
    }
    forget(table);
    return berth_output_write(json, "", 0, false);
}
