/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "runtime/base/error.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/watch.h"

struct subscribe {
    struct berth_remote remote;
    const char *group; /* of readers, or NULL */
    uint64_t count;    /* messages, UINT64_MAX: no end */
    uint64_t left;     /* of these */
    int status;        /* of printing */
};

static void add_member(struct berth_buffer *line, const char *name, struct berth_piece piece)
{
    if (piece.size)
        berth_params_piece(line, name, piece);
}

static bool wants_more(const struct subscribe *subscribe)
{
    return subscribe->left && subscribe->status == BERTH_EXIT_OK;
}

/* One line, written at once. What is the protocol's own, the subscription's number, is left out. */
static bool print(void *user, struct berth_piece message)
{
    static const char *const members[] = { "topic", "sender", "fields", "dropped" };
    struct subscribe *subscribe = user;
    struct berth_buffer line;

    if (!wants_more(subscribe))
        return false;
    berth_params_begin(&line);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        add_member(&line, members[i], berth_piece_get(message, members[i]));
    berth_params_end(&line);
    if (line.failed)
        subscribe->status = berth_output_fail(true, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    else
        subscribe->status =
            berth_output_write(subscribe->remote.options.json, line.data, line.size, true);
    berth_buffer_deinit(&line);
    if (subscribe->left != UINT64_MAX)
        subscribe->left--;
    return wants_more(subscribe);
}

/* One that comes before the answer. */
static void print_early(void *user, struct berth_piece message)
{
    print(user, message);
}

/* The host has answered: it is the messages that were awaited in vain. */
static void tell_missing(const struct subscribe *subscribe, struct berth_error *error)
{
    if (error->code == BERTH_DEADLINE_EXCEEDED)
        berth_error_set(error, BERTH_DEADLINE_EXCEEDED,
                        "%llu of %llu messages came within the time of --timeout",
                        (unsigned long long)(subscribe->count - subscribe->left),
                        (unsigned long long)subscribe->count);
}

static int follow(struct subscribe *subscribe, const char *const *topics, size_t count)
{
    struct berth_client *client = &subscribe->remote.client;
    struct berth_error error = { 0 };

    berth_watch_begin(&subscribe->remote);
    client->message = print_early;
    client->user = subscribe;
    int code = berth_watch_subscribe(&subscribe->remote, topics, count, subscribe->group, &error);
    if (subscribe->left == UINT64_MAX)
        client->deadline = BERTH_CLIENT_FOREVER; /* --timeout was for the answer */
    if (code == BERTH_OK && wants_more(subscribe)) {
        code = berth_watch_follow(&subscribe->remote, print, subscribe, &error);
        tell_missing(subscribe, &error);
    }
    return berth_watch_end(&subscribe->remote, subscribe->status, code, &error);
}

static void read_count(struct subscribe *subscribe, const char *text)
{
    char *end;

    errno = 0;
    unsigned long long count = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || !count)
        berth_options_problem(&subscribe->remote.options, "--count %s: write a number from 1 on",
                              text);
    else
        subscribe->count = subscribe->left = count;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "count", required_argument, NULL, 'c' },
        { "group", required_argument, NULL, 'g' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct subscribe subscribe = {
        .remote = { .options = { .command = &berth_command_subscribe, .known = known } },
        .count = UINT64_MAX,
        .left = UINT64_MAX,
    };
    struct berth_remote *remote = &subscribe.remote;
    int status, option;

    while ((option = berth_remote_next(remote, argc, argv)) != -1)
        if (option == 'c')
            read_count(&subscribe, optarg);
        else
            subscribe.group = optarg;
    if (optind == argc)
        berth_options_problem(&remote->options, "TOPIC is missing");
    for (int i = optind; i < argc; i++)
        berth_remote_check_text(remote, "TOPIC", argv[i]);
    if (subscribe.group)
        berth_remote_check_text(remote, "--group", subscribe.group);
    if (subscribe.group && argc - optind > 1)
        berth_options_problem(&remote->options, "--group is for one TOPIC; > and * mean many");
    if (berth_options_end(&remote->options, &status) || !berth_remote_open(remote, &status))
        return status;
    status = follow(&subscribe, (const char *const *)argv + optind, (size_t)(argc - optind));
    berth_remote_close(remote);
    return status;
}

const struct berth_command berth_command_subscribe = {
    .name = "subscribe",
    .synopsis = "TOPIC... [--count N] [--group NAME]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Prints the messages to topics of a running host, one line of JSON each.\n"
            "\n"
            "In TOPIC, * stands for one word between dots and > for all that follow. Topics\n"
            "of the host itself are only meant by what begins with host, as host.module.>\n"
            "\n"
            "  --count N      ends after N messages; else Ctrl-C or SIGTERM ends it\n"
            "  --group NAME   of all subscriptions of this group, modules' too, one gets each\n"
            "                 message: so several readers share the work\n" BERTH_REMOTE_HELP
            "  --json         changes nothing but how an error is printed\n"
            "\n"
            "Each line has topic, sender and fields; and dropped, if that many messages were\n"
            "lost before this one because this reader was too slow. It is written at once.\n"
            "With --count the time of --timeout is for all messages to come, else it is for\n"
            "the host's answer that they will.\n"
            "\n"
            "Examples:\n"
            "  berth subscribe 'news.>'\n"
            "  berth subscribe news.text news.bell --count 1 --timeout 1m\n"
            "  berth subscribe --group readers 'news.>'\n",
    .run = run,
};
