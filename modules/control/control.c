/* SPDX-License-Identifier: MIT */
/* The host for other programs: JSON-RPC 2.0 over a UNIX socket. control.md has the protocol. */
#include "control.h"

#include <stdio.h>
#include <string.h>

BERTH_MODULE("control", "1.0.0", "Serves this host to other programs over a UNIX socket.");
BERTH_PARALLEL;

BERTH_OPTION(string, socket, "", "The path to listen at.");
BERTH_OPTION(string, listener, "",
             "A function that hands a listening socket over, as run.listener does of berth run. "
             "Without one of that, the module listens at its own path.");
BERTH_OPTION(string, mode, "0600", "Its permissions, in octal.");
BERTH_OPTION(string, group, "", "A group whose members may connect as well, by name or number.");
BERTH_OPTION(u32, threads, 16, "How many requests may be executed at once.");
BERTH_OPTION(u32, connections, 64, "How many clients there may be.");
BERTH_OPTION(u32, requests, 64, "How many requests of one client may be executed at once.");
BERTH_OPTION(u32, batch, 1000, "How many requests a batch may have.");
BERTH_OPTION(u32, patterns, 256, "How many patterns a client may have subscribed to.");
BERTH_OPTION(u64, line_bytes, 16777216, "How long a line may be.");
BERTH_OPTION(
    u64, unsent_bytes, 4194304,
    "What may wait to be sent to a client before it gets no more messages and is not read.");
BERTH_OPTION(u32, line_seconds, 60, "How long half a line may wait for the rest.");
BERTH_OPTION(u32, unread_seconds, 30,
             "How long a client for which so much waits may read nothing.");

struct limits limits;
char own_name[128];

#define SECOND INT64_C(1000000000)

static void take_options(berth_ctx *ctx)
{
    limits = (struct limits){
        .connections = option_connections(ctx),
        .requests = option_requests(ctx),
        .threads = option_threads(ctx),
        .batch = option_batch(ctx),
        .patterns = option_patterns(ctx),
        .line = option_line_bytes(ctx),
        .unsent = option_unsent_bytes(ctx),
        .line_ns = option_line_seconds(ctx) * SECOND,
        .unread_ns = option_unread_seconds(ctx) * SECOND,
    };
    if (!limits.connections || !limits.requests || !limits.threads || !limits.line ||
        !limits.unsent)
        berth_fail(ctx, BERTH_INVALID_ARGUMENT,
                   "the options connections, requests, threads, line_bytes and unsent_bytes must "
                   "be at least 1");
    else if (limits.connections > CONNECTIONS_MAX || limits.threads > THREADS_MAX)
        berth_fail(ctx, BERTH_INVALID_ARGUMENT,
                   "the option connections must be at most %d, threads at most %d", CONNECTIONS_MAX,
                   THREADS_MAX);
}

static void end(berth_ctx *ctx)
{
    bool inherited = inherit_end();
    connections_stop(ctx);
    pool_stop();
    listen_close(inherited);
}

BERTH_START
{
    snprintf(own_name, sizeof(own_name), "%s", berth_module_name(ctx));
    take_options(ctx);
    if (berth_failed(ctx) || !listen_prepare(ctx, option_socket(ctx), option_listener(ctx)) ||
        !listen_permit(ctx, option_mode(ctx), option_group(ctx)) || !connections_init(ctx))
        return;
    bool inherits;
    int parent = inherit_begin(ctx, &inherits), listener = inherits ? -1 : listen_open(ctx);
    if (!berth_failed(ctx))
        pool_start(ctx, listener, parent);
    if (berth_failed(ctx))
        end(ctx);
}

BERTH_STOP
{
    end(ctx);
}

BERTH_EXPORT(void, deliver, "Takes a message for a client; host.subscribe has it called.",
             (u64, subscription), (string, topic), (string, sender), (json, fields), (u64, dropped))
{
    const struct message message = { subscription, topic, sender, fields, dropped };
    inherit_event(ctx); /* earlier ones may come from there */
    subscriptions_deliver(&message);
}

BERTH_EXPORT(inheritance, heir, "Where the next generation gets the socket and its clients.",
             (string, socket, "its options"), (string, listener))
{
    return inherit_wait(ctx, socket, listener);
}
