/* SPDX-License-Identifier: MIT */
/*
 * Mapping an image that was never seen before somewhere else first: in a worker that is then thrown
 * away. A constructor that crashes or hangs ends that one, and not the application.
 */
#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/core/generation.h"
#include "runtime/reload/lifecycle.h"

#include <stdio.h>

#define PATIENCE 10000000000 /* ns: longer, and a constructor counts as one that hangs */
#define KNOWN    1024        /* images that are remembered */

/* Nothing that the module asks for: it is not loaded. */

static int refuse_call(void *user, const struct berth_origin *from, size_t import,
                       const struct berth_carrier_running *running, struct berth_reader *arguments,
                       struct berth_buffer *result, struct berth_error *error)
{
    (void)user, (void)from, (void)import, (void)running, (void)arguments, (void)result;
    return berth_error_set(error, BERTH_UNAVAILABLE, "the module is only being probed");
}

static int refuse_publish(void *user, const struct berth_origin *from, size_t topic,
                          struct berth_reader *fields, struct berth_error *error)
{
    (void)user, (void)from, (void)topic, (void)fields;
    return berth_error_set(error, BERTH_UNAVAILABLE, "the module is only being probed");
}

static void drop_log(void *user, int level, const char *chain, const char *text, bool echo)
{
    (void)user, (void)level, (void)chain, (void)text, (void)echo;
}

static void drop_handle(void *user, uint64_t id)
{
    (void)user, (void)id;
}

static void drop_restored(void *user, uint64_t old, uint64_t id)
{
    (void)user, (void)old, (void)id;
}

static int refuse_job(void *user, void (*run)(void *argument), void *argument)
{
    (void)user, (void)run, (void)argument;
    return BERTH_UNAVAILABLE;
}

static void drop_death(void *user, const char *how)
{
    (void)user, (void)how;
}

static const struct berth_upcalls upcalls = { .call = refuse_call,
                                              .publish = refuse_publish,
                                              .log = drop_log,
                                              .handle_ended = drop_handle,
                                              .handle_restored = drop_restored,
                                              .submit = refuse_job,
                                              .died = drop_death };

static int map_elsewhere(const struct berth_generation *next, struct berth_error *error)
{
    struct berth_host *host = next->host;
    const struct berth_carrier_setup setup = { .image = next->image,
                                               .name = next->module->name,
                                               .options_json = next->options_json,
                                               .upcalls = &upcalls,
                                               .loop = host->loop,
                                               .zygote = host->zygote,
                                               .stop_timeout = host->options.stop_timeout_ns,
                                               .max_message = host->options.max_message };
    int64_t patience = host->ready_timeout < PATIENCE ? host->ready_timeout : PATIENCE;
    struct berth_carrier *carrier;
    int code = berth_carrier_process.open(&setup, berth_now() + patience, &carrier, error);

    if (code != BERTH_OK)
        return berth_error_prefix(error, "probed in a worker: "), code;
    carrier->ops->close(carrier);
    carrier->ops->stop(carrier);
    carrier->ops->fini(carrier);
    return BERTH_OK;
}

/* What a better day would not change; one who is late may have had no processor. */
static bool is_verdict(int code)
{
    return code == BERTH_OK || code == BERTH_UNAVAILABLE;
}

void berth_probes_forget(struct berth_host *host)
{
    struct berth_map_entry *entry;

    for (size_t i = 0; berth_map_next(&host->probed, &i, &entry);)
        berth_free(entry->value);
    berth_map_deinit(&host->probed);
    berth_map_init(&host->probed);
}

/* Without memory it is probed again. */
static void remember(struct berth_host *host, const char *key, const struct berth_error *verdict)
{
    struct berth_error *kept = berth_malloc(sizeof *kept);

    if (!kept)
        return;
    *kept = *verdict;
    if (host->probed.count == KNOWN)
        berth_probes_forget(host);
    if (!berth_map_set(&host->probed, key, kept))
        berth_free(kept);
}

int berth_generation_probe(const struct berth_generation *next, struct berth_error *error)
{
    struct berth_host *host = next->host;
    struct berth_error verdict = { 0 };
    char key[32];

    if (!next->probe || !next->image->elf || next->placement != &berth_carrier_inline)
        return BERTH_OK;
    snprintf(key, sizeof key, "%016llx", (unsigned long long)next->image->digest);
    const struct berth_error *known = berth_map_get(&host->probed, key);
    if (known) {
        verdict = *known;
    } else {
        verdict.code = map_elsewhere(next, &verdict);
        if (is_verdict(verdict.code))
            remember(host, key, &verdict);
    }
    if (verdict.code != BERTH_OK && error)
        *error = verdict;
    return verdict.code;
}
