/* SPDX-License-Identifier: MIT */
#include "runtime/reload/quarantine.h"

#include "runtime/base/text.h"
#include "runtime/core/event.h"
#include "runtime/core/log.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"
#include "runtime/reload/lifecycle.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_FIRST_NS INT64_C(20000000)
#define LOOK_LAST_NS  INT64_C(30000000000)
#define MOMENT_NS     INT64_C(100000000)

/* ---- looking again ---- */

static void look_job(void *argument);

static void look_due(struct berth_timer *timer)
{
    struct berth_host *host = timer->owner;
    if (berth_schedule_own_job(host, look_job, host) != BERTH_OK)
        berth_timer_add(host->loop, timer, berth_now() + LOOK_LAST_NS, NULL);
}

/* The first that is younger than `serial` and may go some time, or NULL. */
static struct berth_generation *next_to_look(struct berth_host *host, uint64_t serial)
{
    struct berth_generation *found = NULL;
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->generations, link) {
        struct berth_generation *generation = berth_container(link, struct berth_generation, all);
        if (!found && generation->quarantined && generation->lasts != BERTH_DOUBT_FOR_GOOD &&
            generation->serial > serial)
            found = generation;
    }
    pthread_mutex_unlock(&host->lock);
    return found;
}

/* In a while, and less and less often; never, when nothing can change. */
static void look_later(struct berth_host *host)
{
    if (!next_to_look(host, 0))
        return;
    if (!host->look_timer.fire) /* else it may be running */
        host->look_timer = (struct berth_timer){ .fire = look_due, .owner = host };
    berth_timer_add(host->loop, &host->look_timer, berth_now() + host->look_delay, NULL);
    if (host->look_delay < LOOK_LAST_NS)
        host->look_delay *= 2;
}

static void look_job(void *argument)
{
    struct berth_host *host = argument;
    struct berth_error error;
    if (__atomic_load_n(&host->ending, __ATOMIC_ACQUIRE))
        return;
    berth_ctx *admin = berth_admin_enter_until(host, "the end of an old image", BERTH_FOREVER,
                                               &error); /* it looks */
    if (!admin)
        return; /* whoever enters next looks, too */
    look_later(host);
    berth_admin_leave(host, admin);
}

void berth_quarantine_look(berth_ctx *admin, struct berth_host *host, int64_t deadline)
{
    struct berth_generation *found;
    for (uint64_t last = 0; host->quarantined && (found = next_to_look(host, last));) {
        last = found->serial;
        if (berth_generation_quiet(found, deadline))
            berth_generation_end(admin, found, deadline, NULL);
    }
}

static bool has_momentary(struct berth_host *host)
{
    bool found = false;
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->generations, link) {
        const struct berth_generation *generation =
            berth_container(link, struct berth_generation, all);
        found |= generation->quarantined && generation->lasts == BERTH_DOUBT_MOMENT;
    }
    pthread_mutex_unlock(&host->lock);
    return found;
}

void berth_quarantine_finish(berth_ctx *admin, struct berth_host *host, int64_t deadline)
{
    int64_t end = berth_now() + MOMENT_NS;
    berth_quarantine_look(admin, host, deadline);
    while (has_momentary(host) && berth_now() < end) {
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        berth_quarantine_look(admin, host, berth_now());
    }
}

/* ---- in and out ---- */

void berth_quarantine_enter(struct berth_generation *generation, const struct berth_doubt *doubt)
{
    struct berth_host *host = generation->host;
    char label[128];
    pthread_mutex_lock(&host->lock);
    bool is_new = !generation->quarantined;
    generation->quarantined = true;
    generation->lasts = doubt->lasts;
    memcpy(generation->why, doubt->text, sizeof generation->why);
    pthread_mutex_unlock(&host->lock);
    if (!is_new)
        return;
    host->quarantined++;
    host->look_delay = LOOK_FIRST_NS;
    look_later(host);
    berth_module_label(generation, label, sizeof label);
    berth_host_log(host, NULL, BERTH_LOG_WARNING, "%s is quarantined: %s", label, doubt->text);
    berth_event_of(generation, BERTH_EVENT_QUARANTINED, doubt->text);
}

void berth_quarantine_left(struct berth_host *host, const char *label)
{
    host->quarantined--;
    berth_host_log(host, NULL, BERTH_LOG_INFO, "%s is quarantined no more: nothing reaches it",
                   label);
}

bool berth_quarantine_is_entered(struct berth_host *host)
{
    bool entered = false;
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->generations, link) {
        const struct berth_generation *generation =
            berth_container(link, struct berth_generation, all);
        entered |= generation->quarantined && !generation->closed;
    }
    pthread_mutex_unlock(&host->lock);
    return entered;
}

/* ---- the budget, and the list ---- */

/* Address space that its image takes: 0 for one that runs in a worker. */
static size_t bytes_of(const struct berth_generation *generation)
{
    const struct berth_image *image = generation->image;
    return berth_image_mapped(image) ? image->high - image->low : 0;
}

int berth_quarantine_check(struct berth_host *host, struct berth_error *error)
{
    const struct berth_host_options *options = &host->options;
    size_t images = 0, bytes = 0;
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->generations, link) {
        const struct berth_generation *generation =
            berth_container(link, struct berth_generation, all);
        if (!generation->quarantined || berth_image_keeps(generation->image) ||
            (options->flags & BERTH_HOST_KEEP_IMAGES)) /* that is as it is wanted */
            continue;
        images++;
        bytes += bytes_of(generation);
    }
    pthread_mutex_unlock(&host->lock);
    if (images < options->quarantine_images && bytes < options->quarantine_bytes)
        return BERTH_OK;
    return berth_error_set(
        error, BERTH_RESOURCE_EXHAUSTED,
        "%zu old %s of %zu bytes %s quarantined, and no more than %zu images or %zu bytes may "
        "be: `berth list --quarantined` says what keeps each of them; mend that, or raise "
        "quarantine_images and quarantine_bytes",
        images, berth_plural(images, "image", "images"), bytes, berth_plural(images, "is", "are"),
        options->quarantine_images, options->quarantine_bytes);
}

void berth_quarantine_print(const struct berth_host *host, struct berth_buffer *buffer)
{
    const char *comma = "";
    berth_buffer_text(buffer, "[");
    berth_list_each(&host->generations, link) {
        const struct berth_generation *generation =
            berth_container(link, struct berth_generation, all);
        if (!generation->quarantined)
            continue;
        const char *version = generation->image->manifest->version;
        berth_buffer_format(buffer, "%s{\"name\":\"%s\",\"version\":", comma,
                            generation->module->name); /* an identifier */
        berth_json_write_string(version, strlen(version), buffer);
        berth_buffer_format(buffer, ",\"generation\":%u,\"bytes\":%zu,\"why\":", generation->number,
                            bytes_of(generation));
        berth_json_write_string(generation->why, strlen(generation->why), buffer);
        berth_buffer_text(buffer, "}");
        comma = ",";
    }
    berth_buffer_text(buffer, "]");
}
