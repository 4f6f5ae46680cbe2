/* SPDX-License-Identifier: MIT */
#include <berth/host.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/shell/call_remote.h"
#include "runtime/shell/contents.h"
#include "runtime/shell/local.h"
#include "runtime/shell/output.h"
#include "runtime/shell/remote.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/watch.h"

struct call {
    struct berth_remote remote; /* and the options */
    struct berth_local local;   /* instead of it, with modules of --with */
    const char *function;
    const char *json;         /* --args */
    struct berth_word *words; /* or words */
    size_t count;
};

static void read_options(struct call *call, int argc, char **argv)
{
    struct berth_error error = { 0 };
    int option;

    while ((option = berth_remote_next(&call->remote, argc, argv)) != -1)
        switch (option) {
        case 'w':
            if (berth_local_add(&call->local, optarg, &error) != BERTH_OK)
                berth_options_problem(&call->remote.options, "--with: %s", error.text);
            break;
        case 'p':
            if (berth_search_add(&call->local.search, optarg, "--path", &error) != BERTH_OK)
                berth_options_problem(&call->remote.options, "%s", error.text);
            break;
        case 'a':
            call->json = optarg;
            break;
        }
    if (call->local.count && (call->remote.place.name || call->remote.place.socket))
        berth_options_problem(&call->remote.options,
                              "a call is made at a running host or with modules of --with, not "
                              "both");
}

static void read_words(struct call *call, int argc, char **argv)
{
    if (optind == argc) {
        berth_options_problem(&call->remote.options, "FUNCTION is missing, as MODULE.FUNCTION");
        return;
    }
    call->function = argv[optind++];
    const char *dot = strchr(call->function, '.');
    if (!dot || dot == call->function || !dot[1])
        berth_options_problem(&call->remote.options, "%s: a function is written MODULE.FUNCTION",
                              call->function);
    if (call->json && optind < argc)
        berth_options_problem(&call->remote.options,
                              "arguments are either words or --args, not both");
    for (; optind < argc; optind++)
        call->words[call->count++] = (struct berth_word){ argv[optind], strlen(argv[optind]) };
}

/* Of what is printed as it is: whether it leaves the line that it is in open. */
static bool is_open(const struct berth_words_result *result)
{
    return !result->size || result->data[result->size - 1] != '\n';
}

static int print_result(const struct call *call, const struct berth_words_result *result)
{
    bool newline = result->kind == BERTH_VALUE_JSON;

    if (result->kind == BERTH_VALUE_VOID)
        return BERTH_EXIT_OK;
    if (!newline && isatty(STDOUT_FILENO)) /* raw, but the prompt begins on a line of its own */
        newline = is_open(result);
    return berth_output_write(call->remote.options.json, result->data, result->size, newline);
}

/* An option that was meant as one, but stands among the arguments; or NULL. */
static const char *find_option(const struct call *call)
{
    for (size_t i = 0; i < call->count; i++)
        for (const struct option *known = call->remote.options.known; known->name; known++)
            if (!strncmp(call->words[i].data, "--", 2) &&
                !strcmp(call->words[i].data + 2, known->name))
                return call->words[i].data;
    return NULL;
}

static int print_failure(struct call *call, int code, const char *text)
{
    const char *option = find_option(call);

    if (code == BERTH_INVALID_ARGUMENT && option)
        return berth_output_fail(call->remote.options.json, code,
                                 "%s (%s is an argument: options stand before FUNCTION)", text,
                                 option);
    return berth_output_fail(call->remote.options.json, code, "%s", text);
}

/* One of several results: on a line of its own. */
static void print_more(void *user, const struct berth_words_result *value)
{
    const struct call *call = user;

    if (value->kind != BERTH_VALUE_VOID)
        berth_output_write(call->remote.options.json, value->data, value->size, is_open(value));
}

/* Prints the results as they come; the last one is *ret_result. */
static int take_all(struct call *call, berth_ctx *ctx, berth_pending pending,
                    struct berth_words_result *ret_result)
{
    struct berth_words_result value = { 0 };
    int code;

    while ((code = berth_call_next_words(ctx, pending, &value)) == BERTH_OK && value.data) {
        print_more(call, &value);
        free(value.data);
    }
    if (code == BERTH_OK)
        return berth_call_take_words(ctx, pending, ret_result);
    berth_call_drop(ctx, pending);
    return code;
}

/* In a host for this one call. */
static int call_local(struct call *call, const struct berth_words_call *words)
{
    struct berth_words_result result = { 0 };
    berth_pending pending;
    berth_ctx *ctx = berth_host_enter(call->local.host);

    if (!ctx)
        return print_failure(call, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    berth_set_timeout(ctx, call->remote.timeout > 0 ? call->remote.timeout : INT64_MAX);
    int code = berth_call_start_words(ctx, call->function, words, NULL, &pending);
    if (code == BERTH_OK)
        code = take_all(call, ctx, pending, &result);
    int status = code == BERTH_OK ? print_result(call, &result)
                                  : print_failure(call, code, berth_error_text(ctx));
    berth_clear(ctx);
    free(result.data);
    berth_leave(ctx);
    return status;
}

/* At a running one. Ctrl-C cancels the call. */
static int call_remote(struct call *call, const struct berth_words_call *words)
{
    struct berth_words_result result = { 0 };
    struct berth_error error = { 0 };

    berth_watch_begin(&call->remote);
    int code = berth_call_remote(&call->remote.client, call->function, words, print_more, call,
                                 &result, &error);
    int status =
        code == BERTH_OK ? print_result(call, &result) : print_failure(call, code, error.text);
    free(result.data);
    return code == BERTH_CANCELLED ? berth_watch_die(status) : status;
}

static int open_local(struct call *call, struct berth_host_options options)
{
    struct berth_error error = { 0 };

    options.threads = 1;
    if (berth_search_add_standard(&call->local.search, &error) != BERTH_OK ||
        berth_local_find(&call->local, &error) != BERTH_OK)
        return berth_output_error(call->remote.options.json, &error);
    int status = berth_local_open(&call->local, options, &error);
    if (status != BERTH_EXIT_OK)
        berth_output_error(call->remote.options.json, &error);
    return status;
}

static int make_call(struct call *call)
{
    struct berth_host_options options;
    berth_host_options_init(&options);
    struct berth_contents contents = { .limit = options.max_message };
    const struct berth_words_call words = {
        .size = sizeof(words),
        .words = call->words,
        .count = call->count,
        .json = call->json,
        .expand = berth_contents_expand,
        .user = &contents,
        .as_json = call->remote.options.json,
    };
    int status;

    if (call->local.count) {
        status = open_local(call, options);
        if (status == BERTH_EXIT_OK)
            status = call_local(call, &words);
    } else if (berth_remote_open(&call->remote, &status)) {
        status = call_remote(call, &words);
        berth_remote_close(&call->remote);
    }
    berth_contents_deinit(&contents);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "args", required_argument, NULL, 'a' },
        { "path", required_argument, NULL, 'p' },
        { "with", required_argument, NULL, 'w' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct call call = {
        .remote.options = { .command = &berth_command_call,
                            .known = known,
                            .words_end_options = true },
        .words = calloc((size_t)argc, sizeof(*call.words)),
    };
    int status;

    berth_local_init(&call.local);
    if (!call.words) {
        status = berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory");
    } else {
        read_options(&call, argc, argv);
        read_words(&call, argc, argv);
        if (!berth_options_end(&call.remote.options, &status))
            status = make_call(&call);
    }
    berth_local_deinit(&call.local);
    free(call.words);
    return status;
}

const struct berth_command berth_command_call = {
    .name = "call",
    .synopsis = "[--host NAME | --socket PATH]\n"
                "           [--with FILE|NAME[=inline|process]]... [--path DIR]...\n"
                "           [--timeout T] [--json] [--args JSON] FUNCTION [ARG...]",
    .help = "Calls MODULE.FUNCTION of a running host, and prints its result.\n"
            "\n" BERTH_REMOTE_HELP "  --json         prints the result, or the error, as JSON\n"
            "  --args JSON    the arguments as a JSON array or object\n"
            "  --with FILE[=inline|process]\n"
            "                 makes a host for this one call, and loads a module into it;\n"
            "                 may be repeated, in any order\n"
            "  --with NAME[=inline|process]\n"
            "                 the same, of what is found by that name\n"
            "  --path DIR     searches names of --with here first; may be repeated\n"
            "\n"
            "Options stand before FUNCTION; every word after it is an argument, so -5 is a\n"
            "number. The parameter's type decides how a word is read: a string or bytes is\n"
            "the word itself, anything else is JSON. NAME=VALUE is a named argument if the\n"
            "function has a parameter of that name. For a string or bytes @FILE is what is\n"
            "in the file, - is standard input, and @@x is @x.\n"
            "\n"
            "Of a function that sends several replies each is printed when it comes, on a\n"
            "line of its own, and then its result. Ctrl-C cancels a call of a running host;\n"
            "a second one does not wait until the host has said so.\n"
            "\n"
            "A string or bytes is printed as it is, any other result as JSON. With --json\n"
            "all are JSON, bytes in base64.\n"
            "\n"
            "Examples:\n"
            "  berth call math.divide 6 4\n"
            "  berth call --timeout 5s greet.hello World\n"
            "  berth call --with ./math.so math.divide 6 4\n"
            "  berth call --with ./math.so math.divide b=4 a=6\n"
            "  berth call --with ./math.so --args '{\"a\": 6, \"b\": 4}' math.divide\n"
            "  berth call --with ./math.so math.sum '[1, 2.5, -3]'\n"
            "  berth call --with ./greet.so=process --timeout 5s greet.hello World\n"
            "  date | berth call --with ./greet.so greet.hello -\n",
    .run = run,
};
