/* SPDX-License-Identifier: MIT */
#include "runtime/core/event.h"

#include "runtime/base/error.h"
#include "runtime/core/registry.h"
#include "runtime/core/topic.h"

#include <string.h>
#include <time.h>

#define PREFIX "host.module."

static const char *const topics[BERTH_EVENT_KINDS] = {
    [BERTH_EVENT_LOADED] = PREFIX "loaded",     [BERTH_EVENT_UNLOADED] = PREFIX "unloaded",
    [BERTH_EVENT_RELOADED] = PREFIX "reloaded", [BERTH_EVENT_REFUSED] = PREFIX "refused",
    [BERTH_EVENT_DIED] = PREFIX "died",         [BERTH_EVENT_RESTARTED] = PREFIX "restarted",
    [BERTH_EVENT_FAILED] = PREFIX "failed",     [BERTH_EVENT_QUARANTINED] = PREFIX "quarantined",
};

const char *berth_event_topic(enum berth_event_kind kind)
{
    return topics[kind];
}

/* ---- the newest ones ---- */

static void member(struct berth_buffer *buffer, const char *name, const char *text)
{
    berth_buffer_text(buffer, ",\"");
    berth_buffer_text(buffer, name);
    berth_buffer_text(buffer, "\":");
    berth_json_write_string(text, strlen(text), buffer);
}

static void print(const struct berth_event *event, struct berth_buffer *buffer)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    berth_buffer_format(buffer, "{\"time_ns\":%lld",
                        (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    member(buffer, "event", topics[event->kind] + strlen(PREFIX));
    member(buffer, "module", event->module);
    member(buffer, "version", event->version);
    berth_buffer_format(buffer, ",\"generation\":%u", event->generation);
    member(buffer, "placement", event->placement);
    member(buffer, "detail", event->detail);
    berth_buffer_text(buffer, "}\n");
}

/* Whole lines go, the oldest first, until half of the room is free: seldom, and then many. */
static void drop_oldest(struct berth_buffer *events, size_t wanted)
{
    char *from = events->data;
    if (events->size + wanted <= BERTH_EVENTS_SIZE)
        return;
    while (events->size && events->size + wanted > BERTH_EVENTS_SIZE / 2) {
        const char *end = (const char *)memchr(from, '\n', events->size) + 1;
        events->size -= (size_t)(end - from);
        from += end - from;
    }
    memmove(events->data, from, events->size);
}

static void keep(struct berth_host *host, const struct berth_event *event)
{
    struct berth_buffer line;
    berth_buffer_init(&line, BERTH_EVENTS_SIZE / 2);
    print(event, &line);
    pthread_mutex_lock(&host->event_lock);
    if (!line.failed) {
        drop_oldest(&host->events, line.size);
        berth_buffer_append(&host->events, line.data, line.size);
    }
    pthread_mutex_unlock(&host->event_lock);
    berth_buffer_deinit(&line);
}

void berth_events_print(struct berth_host *host, struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, "[");
    pthread_mutex_lock(&host->event_lock);
    size_t begin = buffer->size;
    if (host->events.size) /* without the newline of the last one */
        berth_buffer_append(buffer, host->events.data, host->events.size - 1);
    pthread_mutex_unlock(&host->event_lock);
    for (size_t i = begin; i < buffer->size; i++)
        if (buffer->data[i] == '\n')
            buffer->data[i] = ',';
    berth_buffer_text(buffer, "]");
}

int berth_events_init(struct berth_host *host, struct berth_error *error)
{
    berth_buffer_init(&host->events, 0);
    return berth_buffer_reserve(&host->events, BERTH_EVENTS_SIZE) ? BERTH_OK
                                                                  : berth_error_nomem(error);
}

void berth_events_deinit(struct berth_host *host)
{
    berth_buffer_deinit(&host->events);
    pthread_mutex_destroy(&host->event_lock);
}

/* ---- publishing ---- */

void berth_event_publish(struct berth_host *host, const struct berth_event *event)
{
    if (host->upstream) /* it is told there */
        return;
    keep(host, event);
    uint32_t generation = event->generation;
    const void *arguments[] = { &event->module, &event->version, &generation, &event->placement,
                                &event->detail };
    berth_publish_own(host, topics[event->kind], arguments); /* it is kept above, too */
}

void berth_event_of(const struct berth_generation *generation, enum berth_event_kind kind,
                    const char *detail)
{
    berth_event_publish(generation->host,
                        &(struct berth_event){ .kind = kind,
                                               .module = generation->module->name,
                                               .version = generation->image->manifest->version,
                                               .placement = berth_generation_placement(generation),
                                               .generation = generation->number,
                                               .detail = detail ? detail : "" });
}
