/* SPDX-License-Identifier: MIT */
/*
 * A host in an application's own epoll loop, beside what else that waits for: here SIGINT and
 * SIGTERM. The module beat ticks in it; at the third tick the application calls it, and ends.
 *     cc -o epoll epoll.c $(pkg-config --cflags --libs berth) && ./epoll ./beat.so
 */
#include <berth/host.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct app {
    berth_host *host;
    int ticks, over;
};

static void on_tick(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    struct app *app = user;
    char *beats;

    printf("%s: %s\n", message->topic, message->fields);
    if (++app->ticks < 3)
        return;
    if (berth_call_json(ctx, "beat.beats", NULL, &beats) == BERTH_OK) {
        printf("%s beats\n", beats);
        berth_free(beats);
    } else {
        fprintf(stderr, "%s\n", berth_error_text(ctx));
    }
    app->over = 1; /* the host is freed outside of it: in here that is refused */
}

static int begin(struct app *app, const char *file)
{
    struct berth_host_options options;
    struct berth_error error;
    uint64_t subscription; /* ends with the host */

    berth_host_options_init(&options);
    options.threads = 0; /* the loop is all the threads that there are */
    if (berth_host_new(&options, &app->host, &error) == BERTH_OK &&
        berth_host_subscribe(app->host, "beat.tick", on_tick, app, &subscription, &error) ==
            BERTH_OK &&
        berth_host_load(app->host, file, NULL, &error) == BERTH_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", berth_code_name(error.code), error.text);
    return -1;
}

static int watch(int epoll, int fd)
{
    struct epoll_event event;

    memset(&event, 0, sizeof(event));
    event.events = EPOLLIN; /* by level: what one dispatch leaves over keeps it readable */
    event.data.fd = fd;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int run(struct app *app, int epoll, int signals)
{
    struct epoll_event ready[8];
    int count = 0;

    if (watch(epoll, signals) || watch(epoll, berth_host_fd(app->host)))
        return perror("epoll_ctl"), EXIT_FAILURE;
    while (!app->over && (count = epoll_wait(epoll, ready, 8, -1)) >= 0) {
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd == signals)
                app->over = 1;
            else
                berth_host_dispatch(app->host, 0); /* what is to do now, without waiting */
        }
    }
    return count < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct app app = { NULL, 0, 0 };
    sigset_t wanted;
    int status = EXIT_FAILURE;

    if (argc != 2)
        return fprintf(stderr, "usage: epoll MODULE\n"), 2;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    int signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (signals >= 0 && epoll >= 0 && begin(&app, argv[1]) == 0)
        status = run(&app, epoll, signals);
    berth_host_free(app.host); /* or NULL */
    close(epoll);
    close(signals);
    return status;
}
