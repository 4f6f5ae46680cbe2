/* SPDX-License-Identifier: MIT */
#include "runtime/shell/stats_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/shell/shell.h"
#include "runtime/shell/table.h"

#define SECOND UINT64_C(1000000000)
#define CELL   48

/* What one of the tables is made of. */
struct view {
    struct berth_stats_table *stats;
    struct berth_table table;
    uint64_t span; /* ns since it was printed before; 0: all so far */
    bool moved;    /* something in this row has */
};

void berth_stats_table_deinit(struct berth_stats_table *table)
{
    berth_map_deinit(&table->before);
    berth_arena_deinit(&table->arena);
}

static uint64_t failures(struct berth_piece entry)
{
    struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(entry, "errors"));
    struct berth_piece each;
    uint64_t sum = 0, value;

    while (berth_piece_next(&walk, NULL, &each))
        if (berth_piece_integer(each, &value))
            sum += value;
    return sum;
}

/* ---- cells ---- */

/* Without the locale, and with a tenth below ten. */
static void print_rate(char cell[CELL], uint64_t count, uint64_t span)
{
    uint64_t tenths = (uint64_t)((double)count * 10 * (double)SECOND / (double)span + 0.5);
    if (tenths < 100)
        snprintf(cell, CELL, "%" PRIu64 ".%" PRIu64, tenths / 10, tenths % 10);
    else
        snprintf(cell, CELL, "%" PRIu64, (tenths + 5) / 10);
}

/* What has come since it was asked for under this name before. */
static uint64_t since_before(struct view *view, const char *row, const char *column, uint64_t value)
{
    struct berth_map *before = &view->stats->before;
    char name[512];

    snprintf(name, sizeof(name), "%s %s", row, column);
    uintptr_t known = (uintptr_t)berth_map_get(before, name);
    berth_map_set(before, name, (void *)(uintptr_t)(value + 1));
    return known && value >= known - 1 ? value - (known - 1) : value;
}

/* mark: in front of it on a terminal. */
static void add_count(struct view *view, const char *row, const char *column, uint64_t value,
                      const char *mark)
{
    char cell[CELL], marked[CELL + 2];

    if (view->stats->rates) {
        value = since_before(view, row, column, value);
        view->moved |= value > 0;
    }
    if (view->span)
        print_rate(cell, value, view->span);
    else
        snprintf(cell, sizeof(cell), "%" PRIu64, value);
    snprintf(marked, sizeof(marked), "%s%s", view->table.terminal && value ? mark : "", cell);
    berth_table_add(&view->table, marked);
}

/* Three digits of its largest unit. */
static void print_unit(char cell[CELL], uint64_t value, uint64_t step, const char *const *units)
{
    uint64_t scale = 1;
    while (units[1] && value / scale >= step) {
        scale *= step;
        units++;
    }
    uint64_t whole = value / scale, rest = value % scale;
    if (scale == 1 || whole >= 100)
        snprintf(cell, CELL, "%" PRIu64 "%s", whole, *units);
    else if (whole >= 10)
        snprintf(cell, CELL, "%" PRIu64 ".%" PRIu64 "%s", whole, rest * 10 / scale, *units);
    else
        snprintf(cell, CELL, "%" PRIu64 ".%02" PRIu64 "%s", whole, rest * 100 / scale, *units);
}

static void add_unit(struct view *view, struct berth_piece value, uint64_t step,
                     const char *const *units)
{
    char cell[CELL] = "";
    uint64_t amount;

    if (berth_piece_integer(value, &amount)) {
        if (view->table.terminal)
            print_unit(cell, amount, step, units);
        else
            snprintf(cell, sizeof(cell), "%" PRIu64, amount);
    }
    berth_table_add(&view->table, cell);
}

static void add_time(struct view *view, struct berth_piece entry, const char *name)
{
    static const char *const units[] = { "ns", "us", "ms", "s", NULL };
    add_unit(view, berth_piece_get(entry, name), 1000, units);
}

static void add_bytes(struct view *view, struct berth_piece bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", NULL };
    add_unit(view, bytes, 1024, units);
}

/* The time that it has used, or the part of one processor that it does use. */
static void add_cpu(struct view *view, const char *row, struct berth_piece entry)
{
    struct berth_piece cpu = berth_piece_get(entry, "cpu_ns");
    char cell[CELL];

    if (!view->span || !cpu.size) {
        if (view->stats->rates && cpu.size)
            since_before(view, row, "cpu", berth_piece_integer_of(entry, "cpu_ns"));
        add_time(view, entry, "cpu_ns");
        return;
    }
    uint64_t used = since_before(view, row, "cpu", berth_piece_integer_of(entry, "cpu_ns"));
    snprintf(cell, sizeof(cell), "%" PRIu64 "%%", used * 100 / view->span);
    berth_table_add(&view->table, cell);
}

static const char *text(struct view *view, struct berth_piece entry, const char *name)
{
    return berth_piece_text_of(entry, name, &view->stats->arena);
}

/* How many and how large; a person sees them where there are any. */
static void add_blobs(struct view *view, struct berth_piece blobs)
{
    bool none = view->table.terminal && !berth_piece_integer_of(blobs, "count");

    berth_table_add(&view->table, none ? "" : text(view, blobs, "count"));
    add_bytes(view, none ? (struct berth_piece){ 0 } : berth_piece_get(blobs, "bytes"));
}

static void add_party(struct view *view, const char *name)
{
    berth_table_add(&view->table, *name || !view->table.terminal ? name : "(application)");
}

/* What a line is about, where there are no heads to tell. */
static void add_kind(struct view *view, const char *kind)
{
    berth_table_add(&view->table, view->table.terminal ? "" : kind);
}

/* ---- rows ---- */

/* What became of those that were not delivered, and of answers that nobody waited for any more. */
static void add_fates(struct view *view, const char *row, struct berth_piece entry,
                      const char *const *names)
{
    for (; *names; names++)
        add_count(view, row, *names, berth_piece_integer_of(entry, *names), "");
}

static void add_module(struct view *view, struct berth_piece entry)
{
    static const char *const fates[] = { "dropped",       "rejected", "expired",
                                         "dead_lettered", "late",     NULL };
    const char *name = text(view, entry, "name");

    add_kind(view, "module");
    berth_table_add(&view->table, name);
    add_count(view, name, "calls", berth_piece_integer_of(entry, "calls"), "");
    add_count(view, name, "messages", berth_piece_integer_of(entry, "messages"), "");
    add_count(view, name, "failed", berth_piece_integer_of(entry, "failed"), "");
    add_fates(view, name, entry, fates);
    berth_table_add(&view->table, text(view, berth_piece_get(entry, "mailbox"), "messages"));
    berth_table_add(&view->table, text(view, entry, "pid"));
    add_cpu(view, name, entry);
    add_bytes(view, berth_piece_get(entry, "memory"));
    add_blobs(view, berth_piece_get(entry, "blobs"));
}

static void add_times(struct view *view, struct berth_piece entry)
{
    static const char *const names[] = { "p50_ns", "p90_ns", "p99_ns", "max_ns" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        add_time(view, entry, names[i]);
}

static void add_call(struct view *view, struct berth_piece entry)
{
    static const char *const fates[] = { "late", "dropped", NULL };
    const char *from = text(view, entry, "from"), *to = text(view, entry, "to");
    char row[400];

    snprintf(row, sizeof(row), "%s>%s", from, to);
    add_kind(view, "call");
    add_party(view, from);
    berth_table_add(&view->table, to);
    add_count(view, row, "calls", berth_piece_integer_of(entry, "calls"),
              berth_piece_integer_of(entry, "estimated") ? "~" : "");
    add_count(view, row, "failed", failures(entry), "");
    add_fates(view, row, entry, fates);
    add_times(view, entry);
}

static void add_message(struct view *view, struct berth_piece entry)
{
    static const char *const fates[] = { "dropped", "rejected", "expired", "dead_lettered", NULL };
    const char *from = text(view, entry, "from"), *to = text(view, entry, "to");
    const char *topic = text(view, entry, "topic");
    char row[480];

    snprintf(row, sizeof(row), "%s>%s>%s", from, topic, to);
    add_kind(view, "message");
    add_party(view, from);
    berth_table_add(&view->table, topic);
    add_party(view, to);
    add_count(view, row, "messages", berth_piece_integer_of(entry, "messages"), "");
    add_count(view, row, "failed", failures(entry), "");
    add_fates(view, row, entry, fates);
    add_times(view, entry);
}

/* ---- tables ---- */

/* Up to the dot: the module of a function. */
static bool is_among(const struct berth_stats_table *stats, const char *name)
{
    size_t length = strcspn(name, ".");
    for (size_t i = 0; i < stats->module_count; i++)
        if (strncmp(stats->modules[i], name, length) == 0 && !stats->modules[i][length])
            return true;
    return stats->module_count == 0;
}

static bool is_wanted(struct berth_stats_table *stats, struct berth_piece entry)
{
    static const char *const names[] = { "name", "from", "to" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct berth_piece name = berth_piece_get(entry, names[i]);
        if (name.size && is_among(stats, berth_piece_text(name, &stats->arena)))
            return true;
    }
    return false;
}

static bool has_wanted(struct berth_stats_table *table, struct berth_piece stats)
{
    static const char *const parts[] = { "modules", "calls", "messages" };
    struct berth_piece entry;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(stats, parts[i]));
        while (berth_piece_next(&walk, NULL, &entry))
            if (is_wanted(table, entry))
                return true;
    }
    return false;
}

const char *berth_stats_table_unknown(struct berth_stats_table *table, struct berth_piece stats)
{
    const char *const *modules = table->modules, *unknown = NULL;
    size_t count = table->module_count;
    uint64_t mark = berth_arena_mark(&table->arena);

    table->module_count = 1;
    for (size_t i = 0; i < count && !unknown; i++) {
        table->modules = &modules[i];
        if (!has_wanted(table, stats))
            unknown = modules[i];
    }
    table->modules = modules;
    table->module_count = count;
    berth_arena_rewind(&table->arena, mark);
    return unknown;
}

struct part {
    const char *name;
    const char *const *heads;
    void (*add)(struct view *view, struct berth_piece entry);
};

static int print_part(struct berth_stats_table *stats, const struct part *part,
                      struct berth_piece entries, uint64_t span, bool *blank)
{
    struct view view = { .stats = stats, .span = span };
    struct berth_piece_walk walk = berth_piece_begin(entries);
    struct berth_piece entry;

    berth_table_init(&view.table, part->heads);
    while (berth_piece_next(&walk, NULL, &entry)) {
        if (!is_wanted(stats, entry))
            continue;
        view.moved = !span || strcmp(part->name, "modules") == 0;
        part->add(&view, entry);
        if (!view.moved)
            berth_table_drop(&view.table);
    }
    bool first = stats->rates && !span; /* there is nothing to be told yet */
    if (!first && *blank && view.table.terminal && view.table.count)
        putchar('\n');
    *blank |= view.table.count > 0;
    int status = first ? BERTH_EXIT_OK : berth_table_print(&view.table, false);
    berth_table_deinit(&view.table);
    return status;
}

int berth_stats_table_print(struct berth_stats_table *table, struct berth_piece stats)
{
    static const char *const modules[] = { "",        "MODULE",   "CALLS",   "MESSAGES", "FAILED",
                                           "DROPPED", "REJECTED", "EXPIRED", "DEAD",     "LATE",
                                           "WAITING", "PID",      "CPU",     "MEMORY",   "BLOBS",
                                           "BYTES",   NULL };
    static const char *const calls[] = { "",        "FROM", "TO",  "CALLS", "FAILED", "LATE",
                                         "DROPPED", "P50",  "P90", "P99",   "MAX",    NULL };
    static const char *const messages[] = { "",       "FROM",    "TOPIC",    "TO",      "MESSAGES",
                                            "FAILED", "DROPPED", "REJECTED", "EXPIRED", "DEAD",
                                            "P50",    "P90",     "P99",      "MAX",     NULL };
    static const struct part parts[] = { { "modules", modules, add_module },
                                         { "calls", calls, add_call },
                                         { "messages", messages, add_message } };
    uint64_t mark = berth_arena_mark(&table->arena);
    uint64_t now = berth_piece_integer_of(berth_piece_get(stats, "host"), "uptime_ns");
    uint64_t span =
        table->rates && table->before_ns && now > table->before_ns ? now - table->before_ns : 0;
    bool blank = false;
    int status = BERTH_EXIT_OK;

    table->before_ns = now;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && status == BERTH_EXIT_OK; i++)
        status = print_part(table, &parts[i], berth_piece_get(stats, parts[i].name), span, &blank);
    berth_arena_rewind(&table->arena, mark);
    return status;
}
