/* SPDX-License-Identifier: MIT */
#include "tests/control/client.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 4096

static berth_host *current;
static struct client *clients[CLIENTS];

const char *control_path(void)
{
    return berth_test_format("%s/s", berth_test_dir());
}

int control_load(berth_host *host, const char *placement, const char *options,
                 struct berth_error *error)
{
    const char *text =
        berth_test_format("{\"socket\":\"%s\"%s%s}", control_path(), *options ? "," : "", options);
    const struct berth_load_options load = { .size = sizeof(load),
                                             .placement = placement,
                                             .options = text };
    return berth_host_load(host, berth_test_built("modules/control/control.so"), &load, error);
}

berth_host *control_begin(const char *placement, const char *options)
{
    return control_begin_in(NULL, placement, options);
}

berth_host *control_begin_in(const struct berth_host_options *how, const char *placement,
                             const char *options)
{
    static const char *const fixtures[] = { "math", "publisher", "sleeper", "sleeper_parallel" };
    struct berth_error error;
    if (!strcmp(placement, "process") && berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    control_end();
    current = berth_test_host(how);
    for (size_t i = 0; i < sizeof(fixtures) / sizeof(*fixtures); i++)
        LOAD(current, fixtures[i], NULL);
    int code = control_load(current, placement, options, &error);
    CHECK_CODE(code, BERTH_OK, &error);
    REQUIRE(code == BERTH_OK);
    return current;
}

void control_end(void)
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i])
            client_free(clients[i]);
    if (current)
        berth_host_free(current);
    current = NULL;
}

/* ---- clients -------------------------------------------------------------------------------- */

int client_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    while (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno == EINTR || errno == EAGAIN)
            continue;
        close(fd);
        fd = -1;
    }
    return fd;
}

struct client *client_new(void)
{
    struct client *client = calloc(1, sizeof(*client));
    REQUIRE(client);
    client->fd = client_connect(control_path());
    for (size_t i = 0; i < CLIENTS; i++)
        if (!clients[i]) {
            clients[i] = client;
            break;
        }
    REQUIRE(client->fd >= 0);
    return client;
}

void client_free(struct client *client)
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i] == client)
            clients[i] = NULL;
    if (client->fd >= 0)
        close(client->fd);
    free(client->data);
    free(client);
}

void client_send_bytes(struct client *client, const void *data, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t some = send(client->fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (some < 0 && errno == EINTR)
            continue;
        if (some < 0)
            return; /* what was to be sent is refused: the answer tells */
        sent += (size_t)some;
    }
}

void client_send(struct client *client, const char *text)
{
    client_send_bytes(client, text, strlen(text));
}

/* false: no more comes, or nothing in time. */
static bool receive(struct client *client, int64_t until)
{
    struct pollfd wait = { client->fd, POLLIN, 0 };
    int64_t left = (until - berth_test_now()) / 1000000;
    if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
        return false;
    char *data = realloc(client->data, client->size + 65536 + 1);
    REQUIRE(data);
    client->data = data;
    ssize_t got = recv(client->fd, data + client->size, 65536, 0);
    if (got > 0)
        client->size += (size_t)got;
    return got > 0;
}

const char *client_line(struct client *client)
{
    int64_t until = berth_test_now() + berth_test_patience();
    size_t scanned = client->begin;
    for (;;) {
        char *newline = client->size > scanned
                            ? memchr(client->data + scanned, '\n', client->size - scanned)
                            : NULL;
        if (newline) {
            const char *line =
                berth_test_format("%.*s", (int)(newline - client->data - (long)client->begin),
                                  client->data + client->begin);
            client->begin = (size_t)(newline - client->data) + 1;
            if (client->begin == client->size)
                client->begin = client->size = 0;
            return line;
        }
        scanned = client->size;
        if (!receive(client, until))
            return NULL;
    }
}

const char *client_ask(struct client *client, const char *line)
{
    client_send(client, line);
    client_send(client, "\n");
    return client_line(client);
}

const char *client_call(struct client *client, const char *method, const char *params)
{
    return client_ask(client, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"%s\","
                                                "\"params\":%s,\"id\":1}",
                                                method, params));
}

bool client_is_at_end(struct client *client)
{
    return client->begin == client->size &&
           !receive(client, berth_test_now() + berth_test_patience()) &&
           recv(client->fd, &(char){ 0 }, 1, MSG_DONTWAIT) <= 0 && errno != EAGAIN;
}

const char *result_line(const char *result, const char *id)
{
    return berth_test_format("{\"jsonrpc\":\"2.0\",\"result\":%s,\"id\":%s}", result, id);
}

size_t threads_named(const char *name)
{
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    REQUIRE(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], text[32] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file && fgets(text, sizeof(text), file) && !strncmp(text, name, strlen(name)))
            count++;
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return count;
}
