/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <time.h>

#include "runtime/shell/remote.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/table.h"

/* "2026-11-26T20:50:08Z", or "" for what has not ended. */
static const char *time_of(struct berth_piece generation, struct berth_arena *arena)
{
    uint64_t ns = berth_piece_integer_of(generation, "ended_ns");
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm parts;
    char text[32];

    if (!ns || !gmtime_r(&seconds, &parts) ||
        !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts))
        return "";
    return berth_arena_string(arena, text) ?: "";
}

static void add(struct berth_table *table, struct berth_piece generation, struct berth_arena *arena)
{
    bool current = berth_piece_kind(berth_piece_get(generation, "current")) == 't';
    bool kept = berth_piece_kind(berth_piece_get(generation, "kept")) == 't';

    berth_table_add(table, berth_piece_text_of(generation, "generation", arena));
    berth_table_add(table, berth_piece_text_of(generation, "version", arena));
    berth_table_add(table, current ? "current" : kept ? "kept" : "gone");
    berth_table_add(table, time_of(generation, arena));
    berth_table_add(table, berth_piece_text_of(generation, "content", arena));
    berth_table_add(table, berth_piece_text_of(generation, "build_id", arena));
    berth_table_add(table, berth_piece_text_of(generation, "placement", arena));
    berth_table_add(table, berth_piece_text_of(generation, "file", arena));
}

static int print(struct berth_remote *remote, struct berth_piece list)
{
    static const char *const heads[] = { "GENERATION", "VERSION",   "IMAGE", "UNTIL", "CONTENT",
                                         "BUILD",      "PLACEMENT", "FILE",  NULL };
    struct berth_piece_walk walk = berth_piece_begin(list);
    struct berth_piece each;
    struct berth_table table;

    berth_table_init(&table, heads);
    while (berth_piece_next(&walk, NULL, &each))
        add(&table, each, &remote->client.arena);
    int status = berth_table_print(&table, remote->options.json);
    berth_table_deinit(&table);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = { BERTH_REMOTE_OPTIONS, { 0 } };
    struct berth_remote remote = { .options = { .command = &berth_command_history,
                                                .known = known } };
    struct berth_buffer params;
    struct berth_piece list = { 0 };
    int status;

    while (berth_remote_next(&remote, argc, argv) != -1)
        ;
    const char *name = berth_remote_name(&remote, argc, argv);
    if (berth_options_end(&remote.options, &status) || !berth_remote_open(&remote, &status))
        return status;
    berth_params_begin(&params);
    berth_params_text(&params, "module", name);
    berth_params_end(&params);
    status = berth_remote_ask_of(&remote, "host.history", name, &params, &list);
    if (status == BERTH_EXIT_OK)
        status = remote.options.json ? berth_remote_print(&remote, list) : print(&remote, list);
    berth_remote_close(&remote);
    return status;
}

const struct berth_command berth_command_history = {
    .name = "history",
    .synopsis = "NAME\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Lists the generations that a module of a running host has had.\n"
            "\n" BERTH_REMOTE_HELP "  --json         prints what host.history tells\n"
            "\n"
            "The oldest comes first. The columns are: generation, version, whether its image\n"
            "is the current one, kept or gone, until when it served, a number for the file's\n"
            "content, its build-id, placement and file. Where images are kept \"berth\n"
            "rollback\" can go back to them.\n"
            "\n"
            "Example:\n"
            "  berth history greet\n",
    .run = run,
};
