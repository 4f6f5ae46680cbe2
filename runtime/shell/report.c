/* SPDX-License-Identifier: MIT */
#include "runtime/shell/report.h"

#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

/* Nanoseconds as milliseconds, in three digits after the point. */
static void append_time(struct berth_buffer *text, uint64_t ns)
{
    berth_buffer_format(text, "%llu.%03llu ms", (unsigned long long)(ns / 1000000),
                        (unsigned long long)(ns / 1000 % 1000));
}

static void append_count(struct berth_buffer *text, uint64_t count, const char *what)
{
    berth_buffer_format(text, "%llu %s%s", (unsigned long long)count, what, count == 1 ? "" : "s");
}

/* The files differ, whatever their versions say. */
static void append_builds(struct berth_remote *remote, struct berth_piece report,
                          struct berth_buffer *text)
{
    const char *from = berth_piece_text_of(report, "from_build", &remote->client.arena);
    const char *to = berth_piece_text_of(report, "to_build", &remote->client.arena);
    if (strcmp(from, to) != 0)
        berth_buffer_format(text, "  build %.12s -> %.12s\n", *from ? from : "none",
                            *to ? to : "none");
}

/* It has not been done. False: it has. */
static bool describe_undone(struct berth_remote *remote, struct berth_piece report,
                            struct berth_buffer *text)
{
    const char *step = berth_piece_text_of(report, "step", &remote->client.arena);
    const char *from = berth_piece_text_of(report, "from", &remote->client.arena);
    bool queued = !strcmp(step, "queued");
    if (!strcmp(step, "done"))
        return false;
    if (queued)
        berth_buffer_format(text,
                            "%s: queued, as it is asked for from inside of it; the log tells how "
                            "it goes\n",
                            from);
    else
        berth_buffer_format(text,
                            "%s -> %s is possible, as far as can be told without running it"
                            "\n",
                            from, berth_piece_text_of(report, "to", &remote->client.arena));
    if (!queued)
        append_builds(remote, report, text);
    return true;
}

/* What happened, one thing a line; what did not happen is left out. */
static void describe(struct berth_remote *remote, struct berth_piece report,
                     struct berth_buffer *text)
{
    if (describe_undone(remote, report, text))
        return;
    uint64_t waited = berth_piece_integer_of(report, "waited"),
             inside = berth_piece_integer_of(report, "in_flight");
    uint64_t messages = berth_piece_integer_of(report, "messages"),
             state = berth_piece_integer_of(report, "state_bytes");
    const char *quarantined = berth_piece_text_of(report, "quarantined", &remote->client.arena);

    berth_buffer_format(text, "%s -> %s in ",
                        berth_piece_text_of(report, "from", &remote->client.arena),
                        berth_piece_text_of(report, "to", &remote->client.arena));
    append_time(text, berth_piece_integer_of(report, "total_ns"));
    berth_buffer_text(text, "\n");
    append_builds(remote, report, text);
    berth_buffer_text(text, "  ");
    append_count(text, inside, "call");
    berth_buffer_text(text, " inside at the switch, ");
    if (inside)
        berth_buffer_format(text, "%llu of them ended there, ",
                            (unsigned long long)berth_piece_integer_of(report, "drained"));
    append_count(text, waited, "call");
    berth_buffer_text(text, " waited");
    if (waited) {
        berth_buffer_text(text, ", at most ");
        append_time(text, berth_piece_integer_of(report, "longest_wait_ns"));
    }
    berth_buffer_format(text, ", %llu dropped\n",
                        (unsigned long long)berth_piece_integer_of(report, "dropped"));
    if (state) {
        berth_buffer_text(text, "  ");
        append_count(text, state, "byte");
        berth_buffer_format(text, " of state (version %llu) handed over\n",
                            (unsigned long long)berth_piece_integer_of(report, "state_version"));
    }
    if (messages) {
        berth_buffer_text(text, "  ");
        append_count(text, messages, "message");
        berth_buffer_text(text,
                          messages == 1 ? " stays in its mailbox\n" : " stay in its mailbox\n");
    }
    if (*quarantined)
        berth_buffer_format(text, "  the old code is quarantined: %s\n", quarantined);
}

/* One, or an array of them. */
static int print(struct berth_remote *remote, struct berth_piece reports)
{
    struct berth_piece_walk walk = berth_piece_begin(reports);
    struct berth_piece each;
    struct berth_buffer text;

    berth_buffer_init(&text, 0);
    if (berth_piece_kind(reports) == '[')
        while (berth_piece_next(&walk, NULL, &each))
            describe(remote, each, &text);
    else
        describe(remote, reports, &text);
    int status = text.failed ? berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory")
                             : berth_output_text(false, text.data);
    berth_buffer_deinit(&text);
    return status;
}

/* The one report, or the first of several: all or none were refused. */
static struct berth_piece first_of(struct berth_piece reports)
{
    struct berth_piece_walk walk = berth_piece_begin(reports);
    struct berth_piece first = { 0 };

    if (berth_piece_kind(reports) != '[')
        return reports;
    berth_piece_next(&walk, NULL, &first);
    return first;
}

/* As the failure that it is for who wants no report of it. */
static int refuse(struct berth_remote *remote, struct berth_piece report,
                  struct berth_piece failure)
{
    struct berth_arena *arena = &remote->client.arena;
    int code = berth_code_find(berth_piece_text_of(failure, "code", arena));
    struct berth_error error;

    berth_error_set(&error, code > BERTH_OK ? code : BERTH_UNKNOWN, "%s",
                    berth_piece_text_of(failure, "text", arena));
    return berth_output_refusal(remote->options.json, &error,
                                berth_piece_text_of(report, "step", arena),
                                berth_piece_text_of(report, "why", arena));
}

int berth_report_ask(struct berth_remote *remote, const char *method, const char *module,
                     struct berth_buffer *params)
{
    struct berth_piece report = { 0 };
    berth_params_piece(params, "refusal", (struct berth_piece){ "true", 4 });
    berth_params_end(params);
    int status = module ? berth_remote_ask_of(remote, method, module, params, &report)
                        : berth_remote_ask(remote, method, params, &report);

    if (status != BERTH_EXIT_OK)
        return status;
    struct berth_piece first = first_of(report), failure = berth_piece_get(first, "error");
    if (failure.size)
        return refuse(remote, first, failure);
    return remote->options.json ? berth_remote_print(remote, report) : print(remote, report);
}
