/* SPDX-License-Identifier: MIT */
/*
 * An application that embeds a host. It offers a function and a topic of its own, loads the module
 * greet, calls it in two ways, and hears from it:
 *     cc -o embed embed.c $(pkg-config --cflags --libs berth) && ./embed ./greet.so
 * The same file builds as C++.
 */
#include <berth/host.h>
#include <berth/module.h> /* only because this application offers something, too */
#include <stdio.h>
#include <stdlib.h>

/* ---- What the application offers: it is a module as well ---- */

BERTH_MODULE("diary", "1.0.0", "Keeps notes.");
BERTH_TOPIC("diary.closing", closing, (string, reason));

static int notes;

BERTH_EXPORT(void, note, "Writes a note down.", (string, what))
{
    printf("note %d: %s\n", ++notes, what);
}

BERTH_EXPORT(void, close, "Ends the day.", (string, reason))
{
    publish_closing(ctx, reason);
}

/* ---- What it calls: a bound function, as direct as between two modules ---- */

BERTH_BOUND(string, hello, (string, name));

static void say_hello(berth_host *host, const char *name)
{
    struct berth_error error;
    hello_bound hello;

    if (berth_bind(host, "greet.hello", hello, &hello, &error)) {
        fprintf(stderr, "%s: %s\n", berth_code_name(error.code), error.text);
        return;
    }
    berth_ctx *ctx = berth_host_enter(host);
    if (ctx) {
        const char *text = hello_call(&hello, ctx, name);
        if (berth_failed(ctx))
            printf("%s: %s\n", berth_code_name(berth_error_code(ctx)), berth_error_text(ctx));
        else
            printf("%s\n", text); /* until berth_leave */
        berth_leave(ctx);
    }
    berth_unbind(host, &hello);
}

/* ---- The same by name, with a signature that is known only at run time ---- */

static void call_by_name(berth_host *host, const char *function, const char *word)
{
    struct berth_value argument, result;
    berth_ctx *ctx = berth_host_enter(host);

    if (!ctx)
        return;
    argument.kind = BERTH_VALUE_STRING;
    argument.as.string = word;
    if (berth_call(ctx, function, &argument, 1, &result))
        printf("%s: %s\n", berth_code_name(berth_error_code(ctx)), berth_error_text(ctx));
    else if (result.kind == BERTH_VALUE_STRING)
        printf("%s\n", result.as.string);
    berth_leave(ctx);
}

/* ---- What it hears ---- */

static void on_message(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    printf("%s says on %s: %s\n", message->sender, message->topic, message->fields);
    *(int *)user = 1;
}

/* ---- The life of a host ---- */

static int run(berth_host *host, const char *file)
{
    struct berth_error error;
    uint64_t subscription;
    int heard = 0;

    if (berth_host_provide(host, &berth_entry, &error) ||
        berth_host_load(host, file, NULL, &error) ||
        berth_host_subscribe(host, "greet.*", on_message, &heard, &subscription, &error)) {
        fprintf(stderr, "%s: %s\n", berth_code_name(error.code), error.text);
        return EXIT_FAILURE;
    }
    say_hello(host, "World");
    call_by_name(host, "greet.hello", "everybody");
    call_by_name(host, "greet.hello", ""); /* fails, and says why */
    call_by_name(host, "greet.goodbye", "World");
    call_by_name(host, "diary.close", "the end of the example");
    while (!heard) /* this host has no threads: what is to do is done here */
        berth_host_dispatch(host, 1000);
    berth_host_unsubscribe(host, subscription);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct berth_host_options options;
    struct berth_error error;
    berth_host *host;

    if (argc != 2) {
        fprintf(stderr, "usage: embed MODULE\n");
        return 2;
    }
    berth_host_options_init(&options);
    options.name = "embed";
    options.threads = 0;
    if (berth_host_new(&options, &host, &error)) {
        fprintf(stderr, "%s: %s\n", berth_code_name(error.code), error.text);
        return EXIT_FAILURE;
    }
    int status = run(host, argv[1]);
    berth_host_free(host);
    return status;
}
