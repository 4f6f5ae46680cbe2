/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/shell/output.h"
#include "runtime/shell/prometheus.h"
#include "runtime/shell/quantity.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/stats_table.h"
#include "runtime/shell/watch.h"

enum { OPTION_WATCH = 'w', OPTION_PROMETHEUS = 'p', OPTION_COUNT = 'c' };

#define SECOND INT64_C(1000000000)

struct stats {
    struct berth_remote remote;
    struct berth_stats_table table;
    bool prometheus;
    const char *count; /* --count: "all" or "sampled" */
    int64_t interval;  /* --watch, ns; 0: once */
};

/* On a terminal each is a screen of its own, elsewhere a blank line comes after it. */
static int print_screen(struct stats *stats, struct berth_piece what)
{
    bool terminal = isatty(STDOUT_FILENO);
    int status = BERTH_EXIT_OK;

    if (terminal)
        status = berth_output_write(false, "\033[H\033[2J", strlen("\033[H\033[2J"), false);
    if (status == BERTH_EXIT_OK)
        status = berth_stats_table_print(&stats->table, what);
    if (status == BERTH_EXIT_OK && !terminal)
        status = berth_output_write(false, "", 0, true);
    return status;
}

static int print(struct stats *stats, struct berth_piece what)
{
    bool first = !stats->table.before_ns;
    const char *unknown = first ? berth_stats_table_unknown(&stats->table, what) : NULL;

    if (unknown)
        return berth_output_fail(stats->remote.options.json, BERTH_NOT_FOUND,
                                 "the host has no module %s, and nothing has been counted of one; "
                                 "\"berth list\" tells what it has",
                                 unknown);
    if (stats->prometheus)
        return berth_prometheus_print(what, &stats->remote.client.arena);
    if (stats->remote.options.json)
        return berth_remote_print(&stats->remote, what);
    return stats->interval && !first ? print_screen(stats, what)
                                     : berth_stats_table_print(&stats->table, what);
}

static int ask(struct stats *stats, struct berth_piece *ret_what, struct berth_error *error)
{
    struct berth_buffer params;

    berth_params_begin(&params);
    berth_params_end(&params);
    return berth_client_ask(&stats->remote.client, "host.stats", &params, ret_what, error);
}

static int once(struct stats *stats)
{
    struct berth_error error;
    struct berth_piece what;

    return ask(stats, &what, &error) == BERTH_OK ? print(stats, what)
                                                 : berth_remote_fail(&stats->remote, &error);
}

/* Until Ctrl-C, or nobody reads any more. */
static int watch(struct stats *stats)
{
    struct berth_client *client = &stats->remote.client;
    struct berth_error error = { 0 };
    struct berth_piece what;
    int status = BERTH_EXIT_OK, code = BERTH_OK;

    berth_watch_begin(&stats->remote);
    while (status == BERTH_EXIT_OK && code == BERTH_OK) {
        uint64_t mark = berth_arena_mark(&client->arena);
        client->deadline = stats->remote.timeout ? berth_client_now() + stats->remote.timeout
                                                 : BERTH_CLIENT_FOREVER;
        code = ask(stats, &what, &error);
        if (code != BERTH_OK)
            break;
        status = print(stats, what);
        berth_arena_rewind(&client->arena, mark);
        client->deadline = berth_client_now() + stats->interval;
        code = berth_client_wait(client, &what, &error); /* no message is to come */
        if (code == BERTH_DEADLINE_EXCEEDED)
            code = BERTH_OK;
    }
    return berth_watch_end(&stats->remote, status, code, &error);
}

static int set_counting(struct stats *stats)
{
    struct berth_piece nothing;
    struct berth_buffer params;

    berth_buffer_init(&params, 0);
    berth_buffer_format(&params, "{\"all\":%s}",
                        strcmp(stats->count, "all") == 0 ? "true" : "false");
    return berth_remote_ask(&stats->remote, "host.count_all", &params, &nothing);
}

static void read_interval(struct stats *stats, const char *text)
{
    stats->interval = text ? berth_duration_parse(text) : SECOND;
    if (stats->interval <= 0)
        berth_options_problem(&stats->remote.options,
                              "--watch=%s: write a time above 0, as 500ms, 2s or 1m", text);
}

static void read_count(struct stats *stats, const char *text)
{
    stats->count = text;
    if (strcmp(text, "all") != 0 && strcmp(text, "sampled") != 0)
        berth_options_problem(&stats->remote.options, "--count %s: write all or sampled", text);
}

static void read_options(struct stats *stats, int argc, char **argv)
{
    struct berth_options *options = &stats->remote.options;
    int option;

    while ((option = berth_remote_next(&stats->remote, argc, argv)) != -1) {
        if (option == OPTION_WATCH)
            read_interval(stats, optarg);
        else if (option == OPTION_COUNT)
            read_count(stats, optarg);
        else
            stats->prometheus = true;
    }
    stats->table.modules = (const char *const *)argv + optind;
    stats->table.module_count = (size_t)(argc - optind);
    stats->table.rates = stats->interval > 0;
    if (stats->interval && optind < argc && berth_duration_parse(argv[optind]) > 0)
        berth_options_problem(options, "%s is no module's name: write --watch=%s", argv[optind],
                              argv[optind]);
    if (stats->prometheus && (options->json || stats->interval))
        berth_options_problem(options, "--prometheus goes with neither --json nor --watch");
    else if (stats->count && (stats->prometheus || stats->interval || optind < argc))
        berth_options_problem(options, "--count changes how the host counts, and prints nothing");
    else if (optind < argc && (options->json || stats->prometheus))
        berth_options_problem(options, "%s: with --json and --prometheus all modules are printed",
                              argv[optind]);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "watch", optional_argument, NULL, OPTION_WATCH },
        { "prometheus", no_argument, NULL, OPTION_PROMETHEUS },
        { "count", required_argument, NULL, OPTION_COUNT },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct stats stats = {
        .remote = { .options = { .command = &berth_command_stats, .known = known } },
    };
    int status;

    read_options(&stats, argc, argv);
    if (berth_options_end(&stats.remote.options, &status) ||
        !berth_remote_open(&stats.remote, &status))
        return status;
    if (stats.count)
        status = set_counting(&stats);
    else
        status = stats.interval ? watch(&stats) : once(&stats);
    berth_stats_table_deinit(&stats.table);
    berth_remote_close(&stats.remote);
    return status;
}

const struct berth_command berth_command_stats = {
    .name = "stats",
    .synopsis = "[MODULE...] [--watch[=T] | --prometheus]\n"
                "           " BERTH_REMOTE_SYNOPSIS "\n"
                "berth stats --count all | sampled",
    .help = "Tells who calls and publishes to whom in a running host, and how that goes.\n"
            "\n"
            "  --watch[=T]    again each second, or T, until Ctrl-C; counts are per second\n"
            "  --prometheus   prints all of it as Prometheus reads it\n"
            "  --count HOW    all: counts each call from now on, which makes bound calls that\n"
            "                 are made very often slower; sampled: no longer\n" BERTH_REMOTE_HELP
            "  --json         prints what host.stats tells\n"
            "\n"
            "There are three tables: modules (calls and messages that they got, how many of\n"
            "these failed or were dropped, messages that wait, and a worker's pid, time and\n"
            "memory); calls, by who made them; and messages. A number with ~ is an estimate:\n"
            "bound calls that are made very often are sampled. P50, P90 and P99 are times\n"
            "that half of them, 90 and 99 of a hundred did not exceed. With MODULE, only\n"
            "what it takes part in.\n"
            "\n"
            "Elsewhere than on a terminal each line begins with module, call or message; the\n"
            "columns are separated by tabs, times are in nanoseconds, memory is in bytes.\n"
            "\n"
            "Examples:\n"
            "  berth stats\n"
            "  berth stats --watch=2s greet\n"
            "  berth stats | grep ^call | cut -f 2-4\n",
    .run = run,
};
