/* SPDX-License-Identifier: MIT */
/* berth log: the lines of a running host as it logs them, and how detailed they are. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/line.h"
#include "runtime/shell/log.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/watch.h"

struct follow {
    struct berth_remote remote;
    int level;              /* --level: no more detailed ones; -1: all */
    const char *set;        /* --set */
    const char *const *own; /* of these modules alone; ends with NULL; none: of all */
    int status;             /* of printing */
};

/* ---- lines ---- */

static int level_of(const char *name)
{
    int level = BERTH_LOG_ERROR;
    while (berth_log_levels[level] && strcmp(berth_log_levels[level], name) != 0)
        level++;
    return berth_log_levels[level] ? level : -1;
}

static bool is_wanted(const struct follow *follow, const char *module, int level)
{
    const char *const *own = follow->own;

    while (*own && strcmp(*own, module) != 0)
        own++;
    return (*own || !*follow->own) && (follow->level < 0 || level <= follow->level);
}

static void print_line(struct follow *follow, const struct berth_log_line *line)
{
    bool json = follow->remote.options.json;
    struct berth_buffer text;

    berth_buffer_init(&text, 0);
    if (json)
        berth_line_json(line, &text);
    else
        berth_line_text(line, &text);
    follow->status = text.failed
                         ? berth_output_fail(json, BERTH_RESOURCE_EXHAUSTED, "out of memory")
                         : berth_output_write(json, text.data, text.size, false);
    berth_buffer_deinit(&text);
}

/* A line of our own among them: some are missing, of whichever module and level. */
static void print_dropped(struct follow *follow, uint64_t dropped, int64_t time_ns)
{
    char text[80];

    snprintf(text, sizeof(text), "%llu lines before this one came too fast for this reader",
             (unsigned long long)dropped);
    print_line(follow, &(struct berth_log_line){ .size = sizeof(struct berth_log_line),
                                                 .level = BERTH_LOG_WARNING,
                                                 .time_ns = time_ns,
                                                 .module = "",
                                                 .text = text,
                                                 .chain = "" });
}

static void print_fields(struct follow *follow, struct berth_piece fields, uint64_t dropped)
{
    struct berth_arena *arena = &follow->remote.client.arena;
    const char *module = berth_piece_text_of(fields, "module", arena);
    uint64_t generation = berth_piece_integer_of(fields, "generation");
    char label[256] = "";

    if (generation)
        snprintf(label, sizeof(label), "%s@%s#%llu", module,
                 berth_piece_text_of(fields, "version", arena), (unsigned long long)generation);
    const struct berth_log_line line = {
        .size = sizeof(line),
        .level = level_of(berth_piece_text_of(fields, "level", arena)),
        .time_ns = (int64_t)berth_piece_integer_of(fields, "time_ns"),
        .module = label,
        .text = berth_piece_text_of(fields, "text", arena),
        .chain = berth_piece_text_of(fields, "chain", arena),
    };
    if (dropped)
        print_dropped(follow, dropped, line.time_ns);
    if (follow->status == BERTH_EXIT_OK && is_wanted(follow, module, line.level))
        print_line(follow, &line);
}

/* Whether that, too, could be printed. */
static bool print(void *user, struct berth_piece message)
{
    struct follow *follow = user;
    struct berth_arena *arena = &follow->remote.client.arena;
    uint64_t mark = berth_arena_mark(arena);

    if (follow->status == BERTH_EXIT_OK)
        print_fields(follow, berth_piece_get(message, "fields"),
                     berth_piece_integer_of(message, "dropped"));
    berth_arena_rewind(arena, mark);
    return follow->status == BERTH_EXIT_OK;
}

static void print_early(void *user, struct berth_piece message)
{
    print(user, message);
}

static int print_all(struct follow *follow)
{
    static const char *const topic = "host.log";
    struct berth_client *client = &follow->remote.client;
    struct berth_error error = { 0 };

    berth_watch_begin(&follow->remote);
    client->message = print_early;
    client->user = follow;
    int code = berth_watch_subscribe(&follow->remote, &topic, 1, NULL, &error);
    client->deadline = BERTH_CLIENT_FOREVER; /* --timeout was for the answer */
    if (code == BERTH_OK && follow->status == BERTH_EXIT_OK)
        code = berth_watch_follow(&follow->remote, print, follow, &error);
    return berth_watch_end(&follow->remote, follow->status, code, &error);
}

/* ---- levels ---- */

static int set_level(struct follow *follow)
{
    struct berth_remote *remote = &follow->remote;
    struct berth_buffer params;
    struct berth_piece level = { 0 };

    const char *module = *follow->own ? *follow->own : "";

    berth_params_begin(&params);
    berth_params_text(&params, "module", module);
    berth_params_text(&params, "level", strcmp(follow->set, "default") ? follow->set : "");
    berth_params_end(&params);
    int status = berth_remote_ask_of(remote, "host.log_level", module, &params, &level);
    if (status == BERTH_EXIT_OK && remote->options.json)
        status = berth_remote_print(remote, level);
    return status;
}

/* ---- the command line ---- */

static void read_level(struct follow *follow, const char *text)
{
    follow->level = level_of(text);
    if (follow->level < 0)
        berth_options_problem(&follow->remote.options,
                              "--level %s: write error, warning, info or debug", text);
}

static void read_words(struct follow *follow, int argc, char **argv)
{
    struct berth_options *options = &follow->remote.options;

    follow->own = (const char *const *)argv + optind;
    for (int i = optind; i < argc; i++)
        berth_remote_check_text(&follow->remote, "MODULE", argv[i]);
    if (follow->set && follow->level >= 0)
        berth_options_problem(options, "--set changes what is logged, --level what is shown of "
                                       "it: one of them");
    if (follow->set && argc - optind > 1)
        berth_options_problem(options, "--set: one module at a time");
    if (follow->set && level_of(follow->set) < 0 && strcmp(follow->set, "default") != 0)
        berth_options_problem(options, "--set %s: write error, warning, info, debug or default",
                              follow->set);
    else if (follow->set && optind == argc && !strcmp(follow->set, "default"))
        berth_options_problem(options, "--set default is for a MODULE: name it");
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "level", required_argument, NULL, 'l' },
        { "set", required_argument, NULL, 's' },
        BERTH_REMOTE_OPTIONS,
        { 0 },
    };
    struct follow follow = {
        .remote = { .options = { .command = &berth_command_log, .known = known } },
        .level = -1,
    };
    int option, status;

    while ((option = berth_remote_next(&follow.remote, argc, argv)) != -1) {
        if (option == 'l')
            read_level(&follow, optarg);
        else
            follow.set = optarg;
    }
    read_words(&follow, argc, argv);
    if (berth_options_end(&follow.remote.options, &status) ||
        !berth_remote_open(&follow.remote, &status))
        return status;
    status = follow.set ? set_level(&follow) : print_all(&follow);
    berth_remote_close(&follow.remote);
    return status;
}

const struct berth_command berth_command_log = {
    .name = "log",
    .synopsis = "[MODULE...] [--level LEVEL]\n"
                "           " BERTH_REMOTE_SYNOPSIS "\n"
                "berth log --set LEVEL [MODULE]\n"
                "           " BERTH_REMOTE_SYNOPSIS,
    .help = "Prints what a running host and its modules log, as they log it.\n"
            "\n"
            "  MODULE         only lines of these; \"host\" is the host itself\n"
            "  --level LEVEL  only lines up to that: error, warning, info or debug\n"
            "  --set LEVEL    prints nothing: from now on lines up to LEVEL are logged of\n"
            "                 MODULE, or of every module that has no level of its own;\n"
            "                 \"default\" takes MODULE's own level away\n" BERTH_REMOTE_HELP
            "  --json         prints each line as JSON\n"
            "\n"
            "Ctrl-C or SIGTERM ends it. Lines are as berth run writes them, but without those\n"
            "of berth run itself. What a module logs at all is decided by its level in the\n"
            "host. Lines that come too fast for this reader are dropped, and counted.\n"
            "\n"
            "Examples:\n"
            "  berth log\n"
            "  berth log greet --level warning\n"
            "  berth log --set debug greet\n",
    .run = run,
};
