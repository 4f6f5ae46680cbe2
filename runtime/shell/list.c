/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "runtime/shell/output.h"
#include "runtime/shell/remote.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/table.h"

static void add_module(struct berth_table *table, struct berth_piece module,
                       struct berth_arena *arena)
{
    static const char *const keys[] = { "name", "version", "generation", "placement", "state",
                                        "pid",  NULL,      "file",       "why" };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct berth_piece cell =
            keys[i] ? berth_piece_get(module, keys[i])
                    : berth_piece_get(berth_piece_get(module, "mailbox"), "messages");
        berth_table_add(table, berth_piece_text(cell, arena));
    }
}

/* An old image that is still mapped: name@version#generation. */
static void add_kept(struct berth_table *table, const char *label, struct berth_arena *arena)
{
    size_t name = strcspn(label, "@");
    size_t version = strcspn(label + name, "#");
    const char *rest = label + name + version;

    berth_table_add(table, berth_arena_format(arena, "%.*s", (int)name, label) ?: "");
    berth_table_add(
        table,
        version ? berth_arena_format(arena, "%.*s", (int)version - 1, label + name + 1) ?: "" : "");
    berth_table_add(table, *rest ? rest + 1 : "");
    berth_table_add(table, "");
    berth_table_add(table, "kept");
    for (int i = 0; i < 4; i++)
        berth_table_add(table, "");
}

static int print(struct berth_remote *remote, struct berth_piece list)
{
    static const char *const heads[] = { "NAME", "VERSION", "GENERATION", "PLACEMENT", "STATE",
                                         "PID",  "MAIL",    "FILE",       "WHY",       NULL };
    struct berth_arena *arena = &remote->client.arena;
    struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(list, "modules"));
    struct berth_piece each;
    struct berth_table table;

    berth_table_init(&table, heads);
    while (berth_piece_next(&walk, NULL, &each))
        add_module(&table, each, arena);
    walk = berth_piece_begin(berth_piece_get(list, "kept"));
    while (berth_piece_next(&walk, NULL, &each))
        add_kept(&table, berth_piece_text(each, arena), arena);
    int status = berth_table_print(&table, remote->options.json);
    berth_table_deinit(&table);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_REMOTE_OPTIONS, { 0 } };
    struct berth_remote remote = { .options = { .command = &berth_command_list, .known = known } };
    struct berth_buffer params;
    struct berth_piece list = { 0 };
    int status;

    while (berth_remote_next(&remote, argc, argv) != -1)
        ;
    if (optind < argc)
        berth_options_problem(&remote.options, "%s: it takes no words, only options", argv[optind]);
    if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
        return status;

    berth_params_begin(&params);
    berth_params_end(&params);
    status = berth_remote_ask(&remote, "host.list", &params, &list);
    if (status == BERTH_EXIT_OK)
        status = remote.options.json ? berth_remote_print(&remote, list) : print(&remote, list);
    berth_remote_close(&remote);
    return status;
}

const struct berth_command berth_command_list = {
    .name = "list",
    .synopsis = BERTH_REMOTE_SYNOPSIS,
    .help = "Lists the modules of a running host.\n"
            "\n" BERTH_REMOTE_HELP
            "  --json         prints what host.list tells, which is a little more\n"
            "\n"
            "The columns are: name, version, generation, placement, state, the worker's pid,\n"
            "messages that wait, file, and why it is not running. On a terminal they are\n"
            "aligned, below their heads, and an empty one is left out; elsewhere they are\n"
            "separated by tabs. Old code that could not be unmapped yet is a line of its own,\n"
            "in the state \"kept\".\n"
            "\n"
            "Examples:\n"
            "  berth list\n"
            "  berth list --host berth --json\n"
            "  berth list | cut -f 1,5\n",
    .run = run,
};
