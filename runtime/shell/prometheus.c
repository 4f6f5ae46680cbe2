/* SPDX-License-Identifier: MIT */
#include "runtime/shell/prometheus.h"

#include <inttypes.h>
#include <string.h>

#include "runtime/shell/output.h"
#include "runtime/shell/shell.h"

#define SECOND UINT64_C(1000000000)

/* One number of an entry, as a series whose labels say which entry that is. */
struct metric {
    const char *part;  /* of the statistics: "calls" */
    const char *value; /* the member, or one of a member, as mailbox.messages */
    const char *name, *type, *help;
    const char *labels[3]; /* members that tell entries apart */
    bool seconds;          /* the member is in ns */
};

static const struct metric metrics[] = {
    { "host",
      "uptime_ns",
      "berth_uptime_seconds",
      "gauge",
      "Since the host was made.",
      { 0 },
      true },
    { "host",
      "cpu_ns",
      "berth_cpu_seconds_total",
      "counter",
      "Of the host's process.",
      { 0 },
      true },
    { "host",
      "memory",
      "berth_memory_bytes",
      "gauge",
      "Resident, of the host's process.",
      { 0 },
      false },
    { "host",
      "blobs.count",
      "berth_blobs",
      "gauge",
      "Blobs that there are in the host's process.",
      { 0 },
      false },
    { "host", "blobs.bytes", "berth_blob_bytes", "gauge", "What these take.", { 0 }, false },
    { "modules",
      "blobs.count",
      "berth_module_blobs",
      "gauge",
      "Blobs that the module has made or kept, and not released.",
      { "name" },
      false },
    { "modules",
      "blobs.bytes",
      "berth_module_blob_bytes",
      "gauge",
      "What these take.",
      { "name" },
      false },
    { "modules",
      "mailbox.messages",
      "berth_mailbox_messages",
      "gauge",
      "Messages that wait.",
      { "name" },
      false },
    { "modules",
      "mailbox.bytes",
      "berth_mailbox_bytes",
      "gauge",
      "What these take.",
      { "name" },
      false },
    { "modules",
      "cpu_ns",
      "berth_worker_cpu_seconds_total",
      "counter",
      "Of the worker that the module runs in now.",
      { "name" },
      true },
    { "modules",
      "memory",
      "berth_worker_memory_bytes",
      "gauge",
      "Resident, of the worker that the module runs in.",
      { "name" },
      false },
    { "calls",
      "calls",
      "berth_calls_total",
      "counter",
      "Calls, by the module that makes them (none: the application).",
      { "from", "to" },
      false },
    { "calls",
      "estimated",
      "berth_calls_estimated_total",
      "counter",
      "How many of these are an estimate.",
      { "from", "to" },
      false },
    { "calls",
      "late",
      "berth_calls_late_total",
      "counter",
      "How many answers came when the call was over already.",
      { "from", "to" },
      false },
    { "calls",
      "dropped",
      "berth_calls_dropped_total",
      "counter",
      "How many of those that nobody waits for made room for newer ones.",
      { "from", "to" },
      false },
    { "messages",
      "messages",
      "berth_messages_total",
      "counter",
      "Messages, by publisher, topic and handler.",
      { "from", "topic", "to" },
      false },
    { "messages",
      "dropped",
      "berth_messages_dropped_total",
      "counter",
      "How many of these made room for newer ones.",
      { "from", "topic", "to" },
      false },
    { "messages",
      "rejected",
      "berth_messages_rejected_total",
      "counter",
      "How many of these were refused, and their senders told.",
      { "from", "topic", "to" },
      false },
    { "messages",
      "expired",
      "berth_messages_expired_total",
      "counter",
      "How many of these had not had their turn by their senders' deadline.",
      { "from", "topic", "to" },
      false },
    { "messages",
      "dead_lettered",
      "berth_messages_dead_lettered_total",
      "counter",
      "How many of these failed as often as they may.",
      { "from", "topic", "to" },
      false },
    { "messages",
      "left",
      "berth_messages_left_total",
      "counter",
      "How many of these had no receiver any more in their turn.",
      { "from", "topic", "to" },
      false },
};

static void print_seconds(struct berth_buffer *out, uint64_t ns)
{
    berth_buffer_format(out, " %" PRIu64 ".%09" PRIu64 "\n", ns / SECOND, ns % SECOND);
}

static void print_head(struct berth_buffer *out, const char *name, const char *type,
                       const char *help)
{
    berth_buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static void print_label(struct berth_buffer *out, const char *separator, const char *name,
                        const char *value)
{
    berth_buffer_format(out, "%s%s=\"", separator, name);
    for (; *value; value++) {
        char escaped[3] = { '\\', *value == '\n' ? 'n' : *value, '\0' };
        bool plain = *value != '\\' && *value != '"' && *value != '\n';
        berth_buffer_text(out, plain ? escaped + 1 : escaped);
    }
    berth_buffer_text(out, "\"");
}

/* "{from=…,to=…", without its end. */
static void print_labels(struct berth_buffer *out, const char *const labels[3],
                         struct berth_piece entry, struct berth_arena *arena)
{
    for (size_t i = 0; i < 3 && labels[i]; i++)
        print_label(out, i ? "," : "{", strcmp(labels[i], "name") ? labels[i] : "module",
                    berth_piece_text_of(entry, labels[i], arena));
}

static struct berth_piece value_of(const struct metric *metric, struct berth_piece entry)
{
    static const char *const inner[] = { "mailbox", "blobs" };
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        size_t length = strlen(inner[i]);
        if (strncmp(metric->value, inner[i], length) == 0 && metric->value[length] == '.')
            return berth_piece_get(berth_piece_get(entry, inner[i]), metric->value + length + 1);
    }
    return berth_piece_get(entry, metric->value);
}

static void print_value(struct berth_buffer *out, const struct metric *metric,
                        struct berth_piece entry, struct berth_arena *arena)
{
    uint64_t value;
    if (!berth_piece_integer(value_of(metric, entry), &value))
        return;
    berth_buffer_text(out, metric->name);
    print_labels(out, metric->labels, entry, arena);
    berth_buffer_text(out, metric->labels[0] ? "}" : "");
    if (metric->seconds)
        print_seconds(out, value);
    else
        berth_buffer_format(out, " %" PRIu64 "\n", value);
}

static void print_metric(struct berth_buffer *out, const struct metric *metric,
                         struct berth_piece stats, struct berth_arena *arena)
{
    struct berth_piece part = berth_piece_get(stats, metric->part), entry;
    struct berth_piece_walk walk = berth_piece_begin(part);

    print_head(out, metric->name, metric->type, metric->help);
    if (berth_piece_kind(part) == '{')
        print_value(out, metric, part, arena);
    else
        while (berth_piece_next(&walk, NULL, &entry))
            print_value(out, metric, entry, arena);
}

/* ---- what has more than one number for an entry ---- */

struct family {
    const char *part;
    const char *labels[3];
    const char *errors, *times; /* the names of the metrics */
};
static const struct family families[] = {
    { "calls", { "from", "to" }, "berth_call_errors_total", "berth_call_seconds" },
    { "messages",
      { "from", "topic", "to" },
      "berth_message_errors_total",
      "berth_handler_seconds" },
};

static void print_errors(struct berth_buffer *out, const struct family *family,
                         struct berth_piece entry, struct berth_arena *arena)
{
    struct berth_piece_walk walk = berth_piece_begin(berth_piece_get(entry, "errors"));
    struct berth_piece code, count;

    while (berth_piece_next(&walk, &code, &count)) {
        berth_buffer_text(out, family->errors);
        print_labels(out, family->labels, entry, arena);
        print_label(out, ",", "code", berth_piece_text(code, arena));
        berth_buffer_format(out, "} %s\n", berth_piece_text(count, arena));
    }
}

static void print_times(struct berth_buffer *out, const struct family *family,
                        struct berth_piece entry, struct berth_arena *arena)
{
    static const char *const quantiles[][2] = {
        { "p50_ns", "0.5" }, { "p90_ns", "0.9" }, { "p99_ns", "0.99" }, { "max_ns", "1" }
    };
    uint64_t ns, count;

    if (!berth_piece_integer(berth_piece_get(entry, "timed"), &count))
        return;
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        if (!berth_piece_integer(berth_piece_get(entry, quantiles[i][0]), &ns))
            continue;
        berth_buffer_text(out, family->times);
        print_labels(out, family->labels, entry, arena);
        print_label(out, ",", "quantile", quantiles[i][1]);
        berth_buffer_text(out, "}");
        print_seconds(out, ns);
    }
    berth_buffer_format(out, "%s_count", family->times);
    print_labels(out, family->labels, entry, arena);
    berth_buffer_format(out, "} %" PRIu64 "\n", count);
}

static void print_family(struct berth_buffer *out, const struct family *family,
                         struct berth_piece stats, struct berth_arena *arena)
{
    struct berth_piece part = berth_piece_get(stats, family->part), entry;
    struct berth_piece_walk walk = berth_piece_begin(part);

    print_head(out, family->errors, "counter", "Those that failed, by code.");
    while (berth_piece_next(&walk, NULL, &entry))
        print_errors(out, family, entry, arena);
    print_head(out, family->times, "summary", "How long they took, of those that were timed.");
    walk = berth_piece_begin(part);
    while (berth_piece_next(&walk, NULL, &entry))
        print_times(out, family, entry, arena);
}

int berth_prometheus_print(struct berth_piece stats, struct berth_arena *arena)
{
    struct berth_buffer out;

    berth_buffer_init(&out, 0);
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
        print_metric(&out, &metrics[i], stats, arena);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        print_family(&out, &families[i], stats, arena);
    int status = out.failed ? berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory")
                            : berth_output_write(false, out.data, out.size, false);
    berth_buffer_deinit(&out);
    return status;
}
