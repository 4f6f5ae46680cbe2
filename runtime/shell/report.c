/* SPDX-License-Identifier: MIT */
#include "runtime/shell/report.h"

#include "runtime/base/error.h"
#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

static const char *text_of(struct berth_remote *remote, struct berth_piece report, const char *key)
{
    return berth_piece_text(berth_piece_get(report, key), &remote->client.arena);
}

static uint64_t number_of(struct berth_piece report, const char *key)
{
    uint64_t number = 0;
    berth_piece_integer(berth_piece_get(report, key), &number);
    return number;
}

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

/* What happened, one thing a line; what did not happen is left out. */
static void describe(struct berth_remote *remote, struct berth_piece report,
                     struct berth_buffer *text)
{
    uint64_t waited = number_of(report, "waited"), inside = number_of(report, "in_flight");
    uint64_t messages = number_of(report, "messages"), state = number_of(report, "state_bytes");
    const char *kept = text_of(remote, report, "kept");

    berth_buffer_format(text, "%s -> %s in ", text_of(remote, report, "from"),
                        text_of(remote, report, "to"));
    append_time(text, number_of(report, "total_ns"));
    berth_buffer_text(text, "\n  ");
    append_count(text, inside, "call");
    berth_buffer_text(text, " inside at the switch, ");
    append_count(text, waited, "call");
    berth_buffer_text(text, " waited");
    if (waited) {
        berth_buffer_text(text, ", at most ");
        append_time(text, number_of(report, "longest_wait_ns"));
    }
    berth_buffer_text(text, "\n");
    if (state)
        berth_buffer_format(text, "  %llu bytes of state (version %llu) handed over\n",
                            (unsigned long long)state,
                            (unsigned long long)number_of(report, "state_version"));
    if (messages) {
        berth_buffer_text(text, "  ");
        append_count(text, messages, "message");
        berth_buffer_text(text,
                          messages == 1 ? " stays in its mailbox\n" : " stay in its mailbox\n");
    }
    if (*kept)
        berth_buffer_format(text, "  the old code stays mapped: %s\n", kept);
}

static int print(struct berth_remote *remote, struct berth_piece report)
{
    struct berth_buffer text;

    berth_buffer_init(&text, 0);
    describe(remote, report, &text);
    int status = text.failed ? berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory")
                             : berth_output_text(false, text.data);
    berth_buffer_deinit(&text);
    return status;
}

int berth_report_ask(struct berth_remote *remote, const char *method, const char *module,
                     struct berth_buffer *params)
{
    struct berth_piece report = { 0 };
    int status = berth_remote_ask_of(remote, method, module, params, &report);

    if (status != BERTH_EXIT_OK)
        return status;
    return remote->options.json ? berth_remote_print(remote, report) : print(remote, report);
}
