/* SPDX-License-Identifier: MIT */
/*
 * A host in GLib's main loop. The module beat ticks in it; at the third tick the application calls
 * it, and ends.
 *     cc -o glib glib.c $(pkg-config --cflags --libs berth glib-2.0) && ./glib ./beat.so
 */
#include <berth/host.h>
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>

struct app {
    berth_host *host;
    GMainLoop *loop;
    int ticks;
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
    g_main_loop_quit(app->loop); /* the host is freed after it: in here that is refused */
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

static gboolean on_ready(gint fd, GIOCondition condition, gpointer user)
{
    struct app *app = user;

    (void)fd;
    (void)condition;
    berth_host_dispatch(app->host, 0); /* what is to do now, without waiting */
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer user)
{
    struct app *app = user;

    g_main_loop_quit(app->loop);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    struct app app = { NULL, NULL, 0 };
    int status = EXIT_FAILURE;

    if (argc != 2)
        return fprintf(stderr, "usage: glib MODULE\n"), 2;
    app.loop = g_main_loop_new(NULL, FALSE);
    if (begin(&app, argv[1]) == 0) {
        guint ready = g_unix_fd_add(berth_host_fd(app.host), G_IO_IN, on_ready, &app);
        guint interrupt = g_unix_signal_add(SIGINT, on_signal, &app);
        g_main_loop_run(app.loop);
        g_source_remove(interrupt);
        g_source_remove(ready); /* before the host, whose descriptor it is */
        status = EXIT_SUCCESS;
    }
    berth_host_free(app.host); /* or NULL */
    g_main_loop_unref(app.loop);
    return status;
}
