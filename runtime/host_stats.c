/* SPDX-License-Identifier: MIT */
/* What has been counted, as JSON: <berth/host.h>. */
#include <berth/host.h>

#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/base/usage.h"
#include "runtime/core/blob.h"
#include "runtime/core/flow.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/registry.h"

#include <string.h>
#include <unistd.h>

/* A loaded module, and the sum of the flows that lead to it. */
struct row {
    const char *name;
    int pid;
    size_t waiting, waiting_bytes;
    struct berth_blob_count blobs;
    uint64_t calls, failed, messages, late, fates[BERTH_FATES];
};

struct rows {
    struct row *rows;
    size_t count;
    struct berth_map by_name;
};

static bool rows_take(struct berth_host *host, struct rows *rows)
{
    size_t room = 0;
    bool ok = true;
    berth_map_init(&rows->by_name);
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->order, link)
        room++;
    rows->rows = berth_calloc(room + 1, sizeof *rows->rows);
    rows->count = 0;
    ok = rows->rows != NULL;
    for (struct berth_list *link = host->order.next; ok && link != &host->order;
         link = link->next) {
        struct berth_module *module = berth_container(link, struct berth_module, link);
        struct berth_carrier *carrier =
            __atomic_load_n(&module->current->carrier, __ATOMIC_ACQUIRE);
        struct row *row = &rows->rows[rows->count++];
        row->name = module->name; /* which lives as long as the host */
        row->pid = carrier ? carrier->ops->pid(carrier) : 0;
        const struct berth_mailbox_count waiting = berth_mailbox_count(module);
        row->waiting = waiting.messages;
        row->waiting_bytes = waiting.bytes;
        row->blobs = berth_blobs_held(module->current);
        ok = berth_map_set(&rows->by_name, module->name, row);
    }
    pthread_mutex_unlock(&host->lock);
    return ok;
}

static void rows_deinit(struct rows *rows)
{
    berth_map_deinit(&rows->by_name);
    berth_free(rows->rows);
}

static uint64_t errors_of(const struct berth_flow *flow)
{
    uint64_t count = 0;
    for (size_t i = 0; i < BERTH_CODES; i++)
        count += __atomic_load_n(&flow->errors[i], __ATOMIC_RELAXED);
    return count;
}

static void row_add(const struct rows *rows, const struct berth_flow_count *count)
{
    const struct berth_flow *flow = count->flow;
    size_t length = strcspn(flow->to, ".");
    struct row *row =
        berth_map_get_hashed(&rows->by_name, flow->to, length, berth_map_hash(flow->to, length));
    if (!row)
        return;
    row->failed += errors_of(flow);
    row->late += __atomic_load_n(&flow->late, __ATOMIC_RELAXED);
    for (size_t i = 0; i < BERTH_FATES; i++)
        row->fates[i] += __atomic_load_n(&flow->fates[i], __ATOMIC_RELAXED);
    if (flow->topic)
        row->messages += count->calls;
    else
        row->calls += count->calls;
}

/* ---- JSON ---- */

static void text(struct berth_buffer *buffer, const char *before, const char *value)
{
    berth_buffer_text(buffer, before);
    berth_json_write_string(value, strlen(value), buffer);
}

static void number(struct berth_buffer *buffer, const char *before, uint64_t value)
{
    berth_buffer_format(buffer, "%s%llu", before, (unsigned long long)value);
}

/* What became of those that were not delivered; fates may be being counted. */
static void print_fates(struct berth_buffer *buffer, const uint64_t fates[BERTH_FATES])
{
    static const char *const names[BERTH_FATES] = {
        ",\"rejected\":", ",\"dropped\":", ",\"expired\":", ",\"dead_lettered\":", ",\"left\":"
    };
    for (size_t i = 0; i < BERTH_FATES; i++)
        number(buffer, names[i], __atomic_load_n(&fates[i], __ATOMIC_RELAXED));
}

static void print_usage(struct berth_buffer *buffer, int pid)
{
    struct berth_usage usage;
    if (!berth_usage_read(pid, &usage))
        return;
    number(buffer, ",\"pid\":", (uint64_t)pid);
    number(buffer, ",\"cpu_ns\":", (uint64_t)usage.cpu_ns);
    number(buffer, ",\"memory\":", usage.memory);
}

static void print_blobs(struct berth_buffer *buffer, struct berth_blob_count blobs)
{
    number(buffer, ",\"blobs\":{\"count\":", blobs.count);
    number(buffer, ",\"bytes\":", blobs.bytes);
    berth_buffer_text(buffer, "}");
}

static void print_row(struct berth_buffer *buffer, const struct row *row)
{
    text(buffer, "{\"name\":", row->name);
    number(buffer, ",\"calls\":", row->calls);
    number(buffer, ",\"messages\":", row->messages);
    number(buffer, ",\"failed\":", row->failed);
    number(buffer, ",\"late\":", row->late);
    print_fates(buffer, row->fates);
    number(buffer, ",\"mailbox\":{\"messages\":", row->waiting);
    number(buffer, ",\"bytes\":", row->waiting_bytes);
    berth_buffer_text(buffer, "}");
    print_blobs(buffer, row->blobs);
    if (row->pid)
        print_usage(buffer, row->pid);
    berth_buffer_text(buffer, "}");
}

static void print_errors(struct berth_buffer *buffer, const struct berth_flow *flow)
{
    const char *comma = "";
    berth_buffer_text(buffer, ",\"errors\":{");
    for (int i = 1; i < BERTH_CODES; i++) {
        uint64_t errors = __atomic_load_n(&flow->errors[i], __ATOMIC_RELAXED);
        if (!errors)
            continue;
        berth_buffer_format(buffer, "%s\"%s\":%llu", comma, berth_code_name(i),
                            (unsigned long long)errors);
        comma = ",";
    }
    berth_buffer_text(buffer, "}");
}

static void print_times(struct berth_buffer *buffer, const struct berth_flow *flow)
{
    const struct berth_histogram *times = __atomic_load_n(&flow->times, __ATOMIC_ACQUIRE);
    if (!times)
        return;
    number(buffer, ",\"p50_ns\":", (uint64_t)berth_histogram_quantile(times, 500));
    number(buffer, ",\"p90_ns\":", (uint64_t)berth_histogram_quantile(times, 900));
    number(buffer, ",\"p99_ns\":", (uint64_t)berth_histogram_quantile(times, 990));
    number(buffer, ",\"max_ns\":", (uint64_t)berth_histogram_quantile(times, 1000));
    number(buffer, ",\"timed\":", berth_histogram_count(times));
}

/* Of calls: one that was sent may be dropped. */
static void print_call_fates(struct berth_buffer *buffer, const struct berth_flow_count *count)
{
    const struct berth_flow *flow = count->flow;
    number(buffer, ",\"estimated\":", count->estimated);
    number(buffer, ",\"late\":", __atomic_load_n(&flow->late, __ATOMIC_RELAXED));
    number(buffer,
           ",\"dropped\":", __atomic_load_n(&flow->fates[BERTH_FATE_DROPPED], __ATOMIC_RELAXED));
}

static void print_flow(struct berth_buffer *buffer, const struct berth_flow_count *count)
{
    const struct berth_flow *flow = count->flow;
    text(buffer, "{\"from\":", flow->from);
    if (flow->topic)
        text(buffer, ",\"topic\":", flow->topic);
    text(buffer, ",\"to\":", flow->to);
    number(buffer, flow->topic ? ",\"messages\":" : ",\"calls\":", count->calls);
    if (flow->topic)
        print_fates(buffer, flow->fates);
    else
        print_call_fates(buffer, count);
    print_errors(buffer, flow);
    print_times(buffer, flow);
    berth_buffer_text(buffer, "}");
}

/* Those that are in use: an import that has never been called tells nobody anything. */
static void print_flows(struct berth_buffer *buffer, const struct berth_flow_count *counts,
                        size_t count, bool messages)
{
    const char *comma = "";
    for (size_t i = 0; i < count; i++) {
        if ((counts[i].flow->topic != NULL) != messages || counts[i].calls == 0)
            continue;
        berth_buffer_text(buffer, comma);
        print_flow(buffer, &counts[i]);
        comma = ",";
    }
}

int berth_host_stats(berth_host *host, char **ret_json, struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    struct berth_buffer buffer;
    struct rows rows;
    size_t count = 0;
    bool ok = rows_take(host, &rows);
    struct berth_flow_count *counts = ok ? berth_flows_read(host, &count) : NULL;
    berth_buffer_init(&buffer, 0);
    for (size_t i = 0; i < count && counts; i++)
        row_add(&rows, &counts[i]);
    berth_buffer_text(&buffer, "{\"host\":{\"counting\":");
    berth_buffer_text(&buffer, __atomic_load_n(&host->count_all, __ATOMIC_RELAXED) ? "\"all\""
                                                                                   : "\"sampled\"");
    number(&buffer, ",\"uptime_ns\":", (uint64_t)(berth_now() - host->since));
    print_usage(&buffer, getpid());
    print_blobs(&buffer, berth_blobs_live(&host->blobs));
    berth_buffer_text(&buffer, "},\"modules\":[");
    for (size_t i = 0; ok && i < rows.count; i++) {
        berth_buffer_text(&buffer, i ? "," : "");
        print_row(&buffer, &rows.rows[i]);
    }
    berth_buffer_text(&buffer, "],\"calls\":[");
    print_flows(&buffer, counts, count, false);
    berth_buffer_text(&buffer, "],\"messages\":[");
    print_flows(&buffer, counts, count, true);
    berth_buffer_text(&buffer, "]}");
    rows_deinit(&rows);
    berth_free(counts);
    char *json = counts ? berth_buffer_take(&buffer, NULL) : NULL;
    berth_buffer_deinit(&buffer);
    if (!json)
        return berth_error_nomem(error);
    *ret_json = json;
    return BERTH_OK;
}

void berth_host_count_all(berth_host *host, bool all)
{
    if (!berth_process_is_forked())
        berth_flows_count_all(host, all);
}
