/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/error.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/table.h"
#include "runtime/shell/watch.h"

#define TOPICS "host.module."

enum { SECOND = 1000000000, MILLISECOND = 1000000, EARLY_MAX = 4096 };

struct events {
    struct berth_remote remote;
    struct berth_table table;
    uint64_t since;                /* when we subscribed */
    struct berth_piece_walk known; /* events since then that are printed, oldest first */
    char *early[EARLY_MAX];        /* messages that came before these */
    size_t early_count;
    bool follow;
    int status;
};

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time); /* that of the host, too: it is on this machine */
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void add_time(struct events *events, uint64_t ns)
{
    time_t seconds = (time_t)(ns / SECOND);
    char when[32] = "", cell[48];
    struct tm utc;

    if (gmtime_r(&seconds, &utc))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(cell, sizeof(cell), "%s.%03uZ", when, (unsigned)(ns % SECOND / MILLISECOND));
    berth_table_add(&events->table, cell);
}

static const char *const keys[] = { "module", "version", "generation", "placement", "detail" };

static void add_row(struct events *events, uint64_t ns, const char *event,
                    struct berth_piece fields)
{
    add_time(events, ns);
    berth_table_add(&events->table, event);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *text = berth_piece_text_of(fields, keys[i], &events->remote.client.arena);
        bool none = !*text || (!strcmp(keys[i], "generation") && !strcmp(text, "0"));
        berth_table_add(&events->table, none && strcmp(keys[i], "detail") ? "-" : text);
    }
}

/* In the form that host.events has. */
static int print_json(uint64_t ns, const char *event, struct berth_piece fields)
{
    struct berth_piece_walk walk = berth_piece_begin(fields);
    struct berth_piece key, value;
    struct berth_buffer line;

    berth_params_begin(&line);
    berth_buffer_format(&line, "\"time_ns\":%llu", (unsigned long long)ns);
    berth_params_text(&line, "event", event);
    while (berth_piece_next(&walk, &key, &value)) {
        berth_buffer_text(&line, ",");
        berth_piece_line(key, &line);
        berth_buffer_text(&line, ":");
        berth_piece_line(value, &line);
    }
    berth_params_end(&line);
    int status = line.failed ? berth_output_fail(true, BERTH_RESOURCE_EXHAUSTED, "out of memory")
                             : berth_output_write(true, line.data, line.size, true);
    berth_buffer_deinit(&line);
    return status;
}

/* ---- what was ---- */

static void print_known(struct events *events, struct berth_piece list)
{
    struct berth_piece_walk walk = berth_piece_begin(list);
    struct berth_piece event;
    uint64_t ns = 0;

    while (events->status == BERTH_EXIT_OK && berth_piece_next(&walk, NULL, &event)) {
        berth_piece_integer(berth_piece_get(event, "time_ns"), &ns);
        if (events->remote.options.json)
            events->status = berth_remote_print(&events->remote, event);
        else
            add_row(events, ns, berth_piece_text_of(event, "event", &events->remote.client.arena),
                    event);
    }
    if (!events->remote.options.json && events->status == BERTH_EXIT_OK)
        events->status = berth_table_print(&events->table, false);
}

/* ---- what comes ---- */

static bool is_same(struct events *events, struct berth_piece known, const char *event,
                    struct berth_piece fields)
{
    struct berth_arena *arena = &events->remote.client.arena;

    if (strcmp(berth_piece_text_of(known, "event", arena), event) != 0)
        return false;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(berth_piece_text_of(known, keys[i], arena),
                   berth_piece_text_of(fields, keys[i], arena)) != 0)
            return false;
    return true;
}

/*
 * What happened between our subscription and our question for what was is told twice, in the same
 * order.
 */
static bool is_known(struct events *events, const char *event, struct berth_piece fields)
{
    struct berth_piece_walk walk = events->known;
    struct berth_piece known;
    uint64_t ns = 0;

    while (berth_piece_next(&walk, NULL, &known)) {
        berth_piece_integer(berth_piece_get(known, "time_ns"), &ns);
        if (ns >= events->since && is_same(events, known, event, fields)) {
            events->known = walk;
            return true;
        }
    }
    return false;
}

/* Whether that, too, could be printed. */
static bool print_new(void *user, struct berth_piece message)
{
    struct events *events = user;
    struct berth_arena *arena = &events->remote.client.arena;
    uint64_t mark = berth_arena_mark(arena);
    const char *topic = berth_piece_text_of(message, "topic", arena);
    struct berth_piece fields = berth_piece_get(message, "fields");
    const char *event = strncmp(topic, TOPICS, strlen(TOPICS)) ? topic : topic + strlen(TOPICS);

    if (events->status == BERTH_EXIT_OK && !is_known(events, event, fields)) {
        if (events->remote.options.json) {
            events->status = print_json(now(), event, fields);
        } else {
            add_row(events, now(), event, fields);
            events->status = berth_table_print(&events->table, false);
        }
    }
    berth_arena_rewind(arena, mark);
    return events->status == BERTH_EXIT_OK;
}

/* Comes before the answer that it may be part of: for later. */
static void keep_early(void *user, struct berth_piece message)
{
    struct events *events = user;
    if (events->early_count < EARLY_MAX)
        events->early[events->early_count++] = strndup(message.text, message.size);
}

static void print_early(struct events *events, bool wanted)
{
    for (size_t i = 0; i < events->early_count; i++) {
        if (events->early[i] && wanted)
            print_new(events, (struct berth_piece){ events->early[i], strlen(events->early[i]) });
        free(events->early[i]);
    }
    events->early_count = 0;
}

/* ---- both ---- */

static int ask(struct events *events, struct berth_error *error)
{
    static const char *const topic = TOPICS ">";
    struct berth_remote *remote = &events->remote;
    struct berth_buffer params;
    struct berth_piece list;
    int code = BERTH_OK;

    if (events->follow) {
        berth_watch_begin(remote);
        remote->client.message = keep_early;
        remote->client.user = events;
        events->since = now();
        code = berth_watch_subscribe(remote, &topic, 1, NULL, error);
    }
    berth_params_begin(&params);
    berth_params_end(&params);
    if (code == BERTH_OK)
        code = berth_client_ask(&remote->client, "host.events", &params, &list, error);
    else
        berth_buffer_deinit(&params);
    if (code == BERTH_OK) {
        print_known(events, list);
        events->known = berth_piece_begin(list);
    }
    print_early(events, code == BERTH_OK);
    return code;
}

static int print(struct events *events)
{
    static const char *const heads[] = { "TIME",       "EVENT",     "MODULE", "VERSION",
                                         "GENERATION", "PLACEMENT", "DETAIL", NULL };
    struct berth_error error = { 0 };

    berth_table_init(&events->table, heads);
    int code = ask(events, &error);
    events->remote.client.deadline = BERTH_CLIENT_FOREVER; /* --timeout was for the answers */
    if (events->follow && code == BERTH_OK && events->status == BERTH_EXIT_OK)
        code = berth_watch_follow(&events->remote, print_new, events, &error);
    berth_table_deinit(&events->table);
    return berth_watch_end(&events->remote, events->status, code, &error);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "follow", no_argument, NULL, 'f' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct events events = {
        .remote = { .options = { .command = &berth_command_events, .known = known } },
    };
    struct berth_remote *remote = &events.remote;
    int status;

    while (berth_remote_next(remote, argc, argv) != -1) /* --follow is the only one */
        events.follow = true;
    if (optind < argc)
        berth_options_problem(&remote->options, "%s: it takes no words, only options",
                              argv[optind]);
    if (berth_options_end(&remote->options, &status) || !berth_remote_open(remote, &status))
        return status;
    status = print(&events);
    berth_remote_close(remote);
    return status;
}

const struct berth_command berth_command_events = {
    .name = "events",
    .synopsis = "[--follow]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help =
        "Lists what has happened to the modules of a running host, oldest first.\n"
        "\n"
        "  --follow       goes on with what happens, until Ctrl-C or SIGTERM\n" BERTH_REMOTE_HELP
        "  --json         prints each event as one line of JSON\n"
        "\n"
        "The columns are: time (UTC), event, module, version, generation, placement and\n"
        "detail, aligned on a terminal and separated by tabs elsewhere. The host keeps\n"
        "the newest events, 64 KiB of them. Events are: loaded, unloaded, reloaded,\n"
        "refused (a load or reload), died (a worker), restarted, failed, and quarantined\n"
        "(old code that is not proved safe to unmap).\n"
        "\n"
        "Examples:\n"
        "  berth events\n"
        "  berth events --follow --json\n",
    .run = run,
};
