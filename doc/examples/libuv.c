/* SPDX-License-Identifier: MIT */
/*
 * A host in libuv's loop. The module beat ticks in it; at the third tick the application calls it,
 * and ends.
 *     cc -o libuv libuv.c $(pkg-config --cflags --libs berth libuv) && ./libuv ./beat.so
 */
#include <berth/host.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct app {
    berth_host *host;
    uv_poll_t ready;
    uv_signal_t interrupt;
    int ticks;
};

/* Without a handle that is active uv_run returns. */
static void end(struct app *app)
{
    uv_close((uv_handle_t *)&app->ready, NULL);
    uv_close((uv_handle_t *)&app->interrupt, NULL);
}

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
    end(app); /* the host is freed after uv_run: in here that is refused */
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

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct app *app = handle->data;

    (void)events;
    if (status == 0)
        berth_host_dispatch(app->host, 0); /* what is to do now, without waiting */
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    end(handle->data);
}

static int run(struct app *app, uv_loop_t *loop)
{
    int error = uv_poll_init(loop, &app->ready, berth_host_fd(app->host));

    if (!error)
        error = uv_signal_init(loop, &app->interrupt);
    app->ready.data = app->interrupt.data = app;
    if (!error)
        error = uv_poll_start(&app->ready, UV_READABLE, on_ready);
    if (!error)
        error = uv_signal_start(&app->interrupt, on_signal, SIGINT);
    if (!error)
        return uv_run(loop, UV_RUN_DEFAULT) ? EXIT_FAILURE : EXIT_SUCCESS;
    fprintf(stderr, "%s\n", uv_strerror(error));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct app app;
    int status = EXIT_FAILURE;

    if (argc != 2)
        return fprintf(stderr, "usage: libuv MODULE\n"), 2;
    app.host = NULL;
    app.ticks = 0;
    if (begin(&app, argv[1]) == 0)
        status = run(&app, uv_default_loop());
    berth_host_free(app.host); /* or NULL */
    uv_loop_close(uv_default_loop());
    return status;
}
