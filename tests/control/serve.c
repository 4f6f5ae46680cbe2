/* SPDX-License-Identifier: MIT */
/* serve SOCKET MODULE...: a host with control at SOCKET, until its standard input ends. */
#include <berth/host.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void check(int code, const struct berth_error *error)
{
    if (code == BERTH_OK)
        return;
    fprintf(stderr, "serve: %s\n", error->text);
    exit(1);
}

int main(int argc, char **argv)
{
    struct berth_host_options options;
    struct berth_error error;
    berth_host *host;
    char text[256], byte;

    if (argc < 3)
        return 2;
    snprintf(text, sizeof(text), "{\"socket\":\"%s\"}", argv[1]);
    const struct berth_load_options load = { .size = sizeof(load), .options = text };
    berth_host_options_init(&options);
    options.threads = 2;
    check(berth_host_new(&options, &host, &error), &error);
    for (int i = 2; i < argc; i++)
        check(berth_host_load(host, argv[i], i == 2 ? &load : NULL, &error), &error);
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    berth_host_free(host);
    return 0;
}
