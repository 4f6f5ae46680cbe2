/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "runtime/shell/output.h"
#include "runtime/shell/quantity.h"
#include "runtime/shell/remote.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/table.h"

/* A row: what each key of an entry has; NULL: nothing. */
static void add_row(struct berth_table *table, struct berth_piece entry, const char *const *keys,
                    size_t count, struct berth_arena *arena)
{
    for (size_t i = 0; i < count; i++)
        berth_table_add(table,
                        keys[i] ? berth_piece_text(berth_piece_get(entry, keys[i]), arena) : "");
}

#define LONG 1000 /* ms */

/* Why it is not running; or what it has been at for long, and whoever waits may wait for. */
static const char *why_of(struct berth_piece module, struct berth_arena *arena)
{
    struct berth_piece turn = berth_piece_get(module, "turn");
    uint64_t ms = berth_piece_integer_of(turn, "ns") / 1000000;
    char time[BERTH_QUANTITY_MAX];

    if (ms < LONG)
        return berth_piece_text_of(module, "why", arena);
    berth_duration_print((int64_t)(ms / 1000) * 1000000000, time);
    const char *text = berth_arena_format(arena, "%s has had a message for %s",
                                          berth_piece_text_of(turn, "handler", arena), time);
    return text ? text : "";
}

static void add_module(struct berth_table *table, struct berth_piece module,
                       struct berth_arena *arena)
{
    static const char *const front[] = { "name",      "version", "generation",
                                         "placement", "state",   "pid" };
    static const char *const back[] = { "file" };
    struct berth_piece mailbox = berth_piece_get(module, "mailbox");

    add_row(table, module, front, 6, arena);
    berth_table_add(table, berth_piece_text(berth_piece_get(mailbox, "messages"), arena));
    add_row(table, module, back, 1, arena);
    berth_table_add(table, why_of(module, arena));
}

/* An old image that is still mapped, among the modules. */
static void add_quarantined(struct berth_table *table, struct berth_piece image,
                            struct berth_arena *arena)
{
    static const char *const front[] = { "name", "version", "generation", NULL };
    static const char *const back[] = { NULL, NULL, NULL, "why" };

    add_row(table, image, front, 4, arena);
    berth_table_add(table, "quarantined");
    add_row(table, image, back, 4, arena);
}

static void add_image(struct berth_table *table, struct berth_piece image,
                      struct berth_arena *arena)
{
    static const char *const keys[] = { "name", "version", "generation", "bytes", "why" };

    add_row(table, image, keys, 5, arena);
}

typedef void add_fn(struct berth_table *table, struct berth_piece entry, struct berth_arena *arena);

static void add_all(struct berth_table *table, struct berth_piece entries, add_fn *add,
                    struct berth_arena *arena)
{
    struct berth_piece_walk walk = berth_piece_begin(entries);
    struct berth_piece each;

    while (berth_piece_next(&walk, NULL, &each))
        add(table, each, arena);
}

static int print(struct berth_remote *remote, struct berth_piece list, bool only_quarantined)
{
    static const char *const heads[] = { "NAME", "VERSION", "GENERATION", "PLACEMENT", "STATE",
                                         "PID",  "MAIL",    "FILE",       "WHY",       NULL };
    static const char *const few[] = { "NAME", "VERSION", "GENERATION", "BYTES", "WHY", NULL };
    struct berth_arena *arena = &remote->client.arena;
    struct berth_piece quarantined = berth_piece_get(list, "quarantined");
    struct berth_table table;

    if (remote->options.json)
        return berth_remote_print(remote, only_quarantined ? quarantined : list);
    berth_table_init(&table, only_quarantined ? few : heads);
    if (!only_quarantined)
        add_all(&table, berth_piece_get(list, "modules"), add_module, arena);
    add_all(&table, quarantined, only_quarantined ? add_image : add_quarantined, arena);
    int status = berth_table_print(&table, false);
    berth_table_deinit(&table);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { { "quarantined", no_argument, NULL, 'q' },
                                           BERTH_REMOTE_OPTIONS,
                                           { 0 } };
    struct berth_remote remote = { .options = { .command = &berth_command_list, .known = known } };
    struct berth_buffer params;
    struct berth_piece list = { 0 };
    bool only_quarantined = false;
    int option, status;

    while ((option = berth_remote_next(&remote, argc, argv)) != -1)
        only_quarantined |= option == 'q';
    if (optind < argc)
        berth_options_problem(&remote.options, "%s: it takes no words, only options", argv[optind]);
    if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
        return status;

    berth_params_begin(&params);
    berth_params_end(&params);
    status = berth_remote_ask(&remote, "host.list", &params, &list);
    if (status == BERTH_EXIT_OK)
        status = print(&remote, list, only_quarantined);
    berth_remote_close(&remote);
    return status;
}

const struct berth_command berth_command_list = {
    .name = "list",
    .synopsis = "[--quarantined]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Lists the modules of a running host.\n"
            "\n"
            "  --quarantined  lists only old code that is still mapped, with the bytes of its\n"
            "                 address space and what keeps it\n" BERTH_REMOTE_HELP
            "  --json         prints what host.list tells, which is a little more\n"
            "\n"
            "The columns are: name, version, generation, placement, state, the worker's pid,\n"
            "messages that wait, file, and why it is not running, or for how long its worker\n"
            "has had a message. On a terminal they are aligned, below their heads, and an\n"
            "empty one is left out; elsewhere they are separated by tabs. Old code that is\n"
            "not proved safe to unmap is a line of its own, in the state \"quarantined\".\n"
            "\n"
            "Examples:\n"
            "  berth list\n"
            "  berth list --quarantined\n"
            "  berth list --host berth --json\n"
            "  berth list | cut -f 1,5\n",
    .run = run,
};
