/* SPDX-License-Identifier: MIT */
/*
 * What a call through the socket of modules/control costs. The limit does the same without Berth: a
 * thread that reads a line from a UNIX socket, parses it with cJSON, calls with libffi, prints the
 * answer with cJSON and sends it. Everything is on one processor.
 */
#include "tests/bench/bench.h"

#include <berth/host.h>
#include <cJSON.h>
#include <ffi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 64

static const char request[] =
    "{\"jsonrpc\":\"2.0\",\"method\":\"bench_math.add\",\"params\":[40,2.5],\"id\":1}\n";
static const char answer[] = "{\"jsonrpc\":\"2.0\",\"result\":42.5,\"id\":1}\n";

static char directory[] = "/tmp/berth-bench-XXXXXX";
static char path[128];
static int plain[2], clients[CLIENTS];

/* ---- the limit ------------------------------------------------------------------------------ */

static double add(double a, double b)
{
    return a + b;
}

static double call_add(ffi_cif *cif, const cJSON *params)
{
    double a = cJSON_GetArrayItem(params, 0)->valuedouble;
    double b = cJSON_GetArrayItem(params, 1)->valuedouble, sum;
    void *arguments[] = { &a, &b };
    ffi_call(cif, FFI_FN(add), &sum, arguments);
    return sum;
}

static char *serve_line(ffi_cif *cif, const char *line, size_t size)
{
    cJSON *in = cJSON_ParseWithLength(line, size), *out = cJSON_CreateObject();
    if (!in || !cJSON_IsString(cJSON_GetObjectItemCaseSensitive(in, "method")))
        bench_die("not a request");
    double sum = call_add(cif, cJSON_GetObjectItemCaseSensitive(in, "params"));
    cJSON_AddStringToObject(out, "jsonrpc", "2.0");
    cJSON_AddNumberToObject(out, "result", sum);
    cJSON_AddItemToObject(out, "id", cJSON_DetachItemFromObjectCaseSensitive(in, "id"));
    char *text = cJSON_PrintUnformatted(out);
    cJSON_Delete(in);
    cJSON_Delete(out);
    return text;
}

static void *serve_plain(void *unused)
{
    ffi_type *types[] = { &ffi_type_double, &ffi_type_double };
    ffi_cif cif;
    char line[4096];
    ssize_t size;

    if (ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 2, &ffi_type_double, types) != FFI_OK)
        bench_die("ffi_prep_cif");
    while ((size = recv(plain[1], line, sizeof(line) - 1, 0)) > 0) {
        char *text = serve_line(&cif, line, (size_t)size);
        size_t length = strlen(text);
        text[length++] = '\n'; /* in the place of its NUL */
        if (send(plain[1], text, length, MSG_NOSIGNAL) != (ssize_t)length)
            bench_die("send: %m");
        free(text);
    }
    return unused;
}

/* ---- clients -------------------------------------------------------------------------------- */

static void ask(int fd)
{
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1)
        bench_die("send: %m");
}

static void hear(int fd)
{
    char line[256];
    ssize_t size = recv(fd, line, sizeof(line), 0);
    if (size != sizeof(answer) - 1 || memcmp(line, answer, sizeof(answer) - 1) != 0)
        bench_die("not the answer: %.*s", size > 0 ? (int)size : 0, line);
}

static double run_one(int fd, long n)
{
    double start = bench_now();
    for (long i = 0; i < n; i++) {
        ask(fd);
        hear(fd);
    }
    return bench_now() - start;
}

static double time_plain(void *user, long n)
{
    (void)user;
    return run_one(plain[0], n);
}

static double time_control(void *user, long n)
{
    (void)user;
    return run_one(clients[0], n);
}

/* All of the n requests by all clients in turn; each has one that is not answered yet. */
static double time_many(long n)
{
    double start = bench_now();
    for (long i = 0; i < n; i += CLIENTS) {
        for (int j = 0; j < CLIENTS; j++)
            ask(clients[j]);
        for (int j = 0; j < CLIENTS; j++)
            hear(clients[j]);
    }
    return bench_now() - start;
}

/* Thousands of requests a second, times n, as the harness divides by it. */
static double rate_one(void *user, long n)
{
    (void)user;
    return (double)n * (double)n * 1e6 / run_one(clients[0], n);
}

static double rate_many(void *user, long n)
{
    (void)user;
    return (double)n * (double)n * 1e6 / time_many(n);
}

static struct bench_row rows[] = {
    { .id = "control.control",
      .what = "a socket, cJSON and ffi_call against itself",
      .limit = time_plain,
      .run = time_plain },
    { .id = "control.call",
      .what = "a call through the socket, one client / the same",
      .limit = time_plain,
      .run = time_control,
      .goal = 1.5 },
    { .id = "control.many",
      .what = "throughput: 64 clients at once / one client alone",
      .unit = "thousands a second",
      .limit = rate_one,
      .run = rate_many,
      .goal = 0.8,
      .at_least = true,
      .n = 100L * CLIENTS },
};

/* ---- beginning ------------------------------------------------------------------------------ */

static void load(berth_host *host, const char *file, const char *options)
{
    struct berth_load_options how = { .size = sizeof(how), .options = options };
    struct berth_error error;
    if (berth_host_load(host, file, &how, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

static int connect_one(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        bench_die("%s: %m", path);
    return fd;
}

static berth_host *begin(void)
{
    struct berth_host_options options;
    struct berth_error error;
    berth_host *host;
    char text[256];

    berth_host_options_init(&options);
    options.threads = 1;
    if (berth_host_new(&options, &host, &error) != BERTH_OK)
        bench_die("%s", error.text);
    load(host, bench_module("math"), NULL);
    snprintf(path, sizeof(path), "%s/socket", directory);
    snprintf(text, sizeof(text), "{\"socket\":\"%s\"}", path);
    load(host, "modules/control/control.so", text);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_one();
    return host;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    bench_pin(0); /* the threads that are made from here on, too */
    if (!mkdtemp(directory) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain) < 0)
        bench_die("%m");
    berth_host *host = begin();
    if (pthread_create(&thread, NULL, serve_plain, NULL) != 0)
        bench_die("no thread");
    int status = bench_main(argc, argv, "control", rows, sizeof(rows) / sizeof(rows[0]));
    shutdown(plain[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    berth_host_free(host);
    rmdir(directory);
    return status;
}
