/* SPDX-License-Identifier: MIT */
/*
 * Hosts with modules/control in them, and clients of their socket. What a client waits for comes,
 * or the check fails after patience.
 */
#ifndef BERTH_TESTS_CONTROL_CLIENT_H
#define BERTH_TESTS_CONTROL_CLIENT_H

#include "tests/support/hosting.h"

/*
 * A host with math, publisher, sleeper and sleeper_parallel, and control at control_path() with
 * more options (members of an object, or ""). The host of the test before is freed.
 */
berth_host *control_begin(const char *placement, const char *options);
/* The same in a host with these options. */
berth_host *control_begin_in(const struct berth_host_options *how, const char *placement,
                             const char *options);
/* Another host, or the same: loads only control. */
int control_load(berth_host *host, const char *placement, const char *options,
                 struct berth_error *error);
/* Frees it: with what it has left behind when it has gone. */
void control_end(void);
const char *control_path(void);

struct client {
    int fd;
    size_t size, begin; /* what has been received, and where the next line begins in it */
    char *data;
};

/* Ends the test when nobody listens. Closed by the test, or by the next control_begin. */
struct client *client_new(void);
/* A descriptor, or -1. */
int client_connect(const char *path);
void client_free(struct client *client);
void client_send(struct client *client, const char *text);
void client_send_bytes(struct client *client, const void *data, size_t size);
/* The next line without its newline; NULL at the end, or when none comes. */
const char *client_line(struct client *client);
/* Sends a line and returns the next one. */
const char *client_ask(struct client *client, const char *line);
/* Sends {"method":…,"params":…} with an id, and returns the next line. */
const char *client_call(struct client *client, const char *method, const char *params);
/* The other end has closed it, and everything before has been read. */
bool client_is_at_end(struct client *client);

/* How many threads this process has whose name begins so. */
size_t threads_named(const char *name);

#define CHECK_CLIENT(client, line, answer) CHECK_STR(client_ask(client, line), answer)
/* {"jsonrpc":"2.0","result":RESULT,"id":ID} */
const char *result_line(const char *result, const char *id);

#endif
