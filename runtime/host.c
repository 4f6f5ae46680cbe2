/* SPDX-License-Identifier: MIT */
/* The embedding application's door: <berth/host.h>. */
#include <berth/host.h>

#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/carrier/wire.h"
#include "runtime/core/blob.h"
#include "runtime/core/event.h"
#include "runtime/core/flow.h"
#include "runtime/core/generation.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/permit.h"
#include "runtime/core/registry.h"
#include "runtime/core/sample.h"
#include "runtime/core/schedule.h"
#include "runtime/core/services.h"
#include "runtime/core/timeout.h"
#include "runtime/core/topic.h"
#include "runtime/host.h"
#include "runtime/host_message.h"
#include "runtime/host_module.h"
#include "runtime/reload/history.h"
#include "runtime/reload/lifecycle.h"
#include "runtime/reload/order.h"
#include "runtime/reload/outside.h"
#include "runtime/reload/quarantine.h"
#include "runtime/reload/queue.h"
#include "runtime/reload/stacks.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_STOP_TIMEOUT      5000000000
#define DEFAULT_QUARANTINE_IMAGES 64
#define DEFAULT_QUARANTINE_BYTES  ((size_t)256 << 20)
#define READY_TIMEOUT             30000000000 /* longer, and a worker counts as one that hangs */
#define LARGEST_MESSAGE           ((size_t)UINT32_MAX - BERTH_WIRE_EXTRA) /* a frame has 32 bits */

const char *berth_version(void)
{
    return BERTH_VERSION;
}

/* ---- a host ---- */

void berth_host_options_init(struct berth_host_options *options)
{
    *options = (struct berth_host_options){ .size = sizeof *options,
                                            .name = "berth",
                                            .threads = -1,
                                            .log_level = BERTH_LOG_INFO,
                                            .max_message = BERTH_JSON_SIZE_MAX,
                                            .mailbox_messages = 1024,
                                            .mailbox_bytes = (size_t)1 << 20,
                                            .history = 8,
                                            .history_bytes = (size_t)64 << 20,
                                            .quarantine_images = DEFAULT_QUARANTINE_IMAGES,
                                            .quarantine_bytes = DEFAULT_QUARANTINE_BYTES,
                                            .stop_timeout_ns = DEFAULT_STOP_TIMEOUT };
}

static int host_init(struct berth_host *host, const struct berth_host_options *given,
                     struct berth_error *error)
{
    berth_host_options_init(&host->options);
    if (given) {
        if (given->size < offsetof(struct berth_host_options, log) || given->size > sizeof *given)
            return berth_error_set(
                error, BERTH_INVALID_ARGUMENT,
                "berth_host_options.size is %zu: call berth_host_options_init first", given->size);
        memcpy(&host->options, given, given->size);
    }
    if (host->options.threads < -1)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "threads is %d: -1 is one for each processor, 0 none",
                               host->options.threads);
    if (host->options.flags &
        ~(unsigned)(BERTH_HOST_CHECK_OWNERSHIP | BERTH_HOST_KEEP_IMAGES | BERTH_HOST_PROBE))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "flags are %#x: this library does not know all of them",
                               host->options.flags);
    if (berth_images_are_reported())
        host->options.flags |= BERTH_HOST_KEEP_IMAGES;
    if (host->options.stop_timeout_ns <= 0)
        host->options.stop_timeout_ns = DEFAULT_STOP_TIMEOUT;
    if (host->options.stop_timeout_ns > BERTH_TIMEOUT_MAX)
        host->options.stop_timeout_ns = BERTH_TIMEOUT_MAX;
    if (host->options.call_timeout_ns > BERTH_TIMEOUT_MAX)
        host->options.call_timeout_ns = 0; /* none */
    if (!host->options.quarantine_images)
        host->options.quarantine_images = DEFAULT_QUARANTINE_IMAGES;
    if (!host->options.quarantine_bytes)
        host->options.quarantine_bytes = DEFAULT_QUARANTINE_BYTES;
    if (host->options.max_message > LARGEST_MESSAGE)
        host->options.max_message = LARGEST_MESSAGE;
    host->ready_timeout = READY_TIMEOUT;
    host->name = berth_strdup(host->options.name ? host->options.name : "berth");
    host->worker = berth_strdup(host->options.worker ? host->options.worker : BERTH_WORKER_PATH);
    if (!host->name || !host->worker)
        return berth_error_nomem(error);
    host->options.name = host->name;
    host->options.worker = host->worker;
    int code = berth_policy_read(host->options.permissions, &host->policy, error);
    host->options.permissions = NULL; /* borrowed */
    if (code == BERTH_OK && host->options.scan_signal)
        code = berth_stacks_take_signal(host->options.scan_signal, error);
    if (code == BERTH_OK)
        code = berth_staging_init(&host->staging, host->options.staging, error);
    host->options.staging = NULL;
    if (code == BERTH_OK)
        code = berth_events_init(host, error);
    if (code == BERTH_OK)
        code = berth_loop_new(&host->loop, error);
    if (code == BERTH_OK)
        code = berth_zygote_new(host->loop, host->worker, &host->zygote, error);
    return code == BERTH_OK ? berth_schedule_start(host, error) : code;
}

/*
 * A load or a subscription comes before messages that are published after it: else those who
 * publish without a pause, on some threads, keep it out for ever. Nobody reads twice.
 */
static void topic_lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

int berth_host_make(const struct berth_host_options *options, const struct berth_upstream *upstream,
                    berth_host **ret_host, struct berth_error *error)
{
    int code = berth_process_begin(error);
    if (code != BERTH_OK)
        return code;
    struct berth_host *host = berth_calloc(1, sizeof *host);
    if (!host) {
        berth_process_end();
        return berth_error_nomem(error);
    }
    host->upstream = upstream;
    host->since = berth_now();
    host->status_file = -1;
    if (berth_threads_init(&host->threads, &berth_services) != BERTH_OK) {
        berth_process_end();
        berth_free(host);
        return berth_error_set(
            error, BERTH_UNIMPLEMENTED,
            "membarrier(PRIVATE_EXPEDITED) is missing or denied: Berth needs Linux 4.14");
    }
    host->threads.describe = berth_registry_describe;
    host->threads.ends = berth_flow_thread_ends;
    host->threads.user = host;
    host->died = berth_module_died;
    host->sample_timer.fire = berth_sample_fire;
    host->sample_timer.owner = host;
    pthread_condattr_init(&host->cond_clock);
    pthread_condattr_setclock(&host->cond_clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&host->admin, NULL);
    topic_lock_init(&host->topic_lock);
    pthread_mutex_init(&host->lock, NULL);
    pthread_mutex_init(&host->run_lock, NULL);
    pthread_mutex_init(&host->calls_lock, NULL);
    pthread_mutex_init(&host->event_lock, NULL);
    pthread_mutex_init(&host->room_lock, NULL);
    pthread_mutex_init(&host->last_lock, NULL);
    berth_blobs_init(&host->blobs);
    pthread_cond_init(&host->changed, &host->cond_clock);
    pthread_cond_init(&host->idle, &host->cond_clock);
    pthread_cond_init(&host->spare_called, &host->cond_clock);
    struct berth_list *lists[] = { &host->order,        &host->subscriptions, &host->bound,
                                   &host->run_queue,    &host->jobs,          &host->generations,
                                   &host->sampled,      &host->history,       &host->queued_reloads,
                                   &host->idle_runners, &host->kept_out };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        berth_list_init(lists[i]);
    berth_map_init_borrowing(&host->modules);
    berth_map_init_borrowing(&host->cells);
    berth_map_init(&host->topics);
    berth_map_init(&host->flows);
    berth_map_init(&host->probed);
    berth_idmap_init(&host->handles);
    berth_idmap_init(&host->alarms);
    berth_idmap_init(&host->app_subscriptions);
    berth_idmap_init(&host->pendings);
    berth_idmap_init(&host->kept);
    code = host_init(host, options, error);
    if (code == BERTH_OK && !upstream)
        code = berth_host_module_load(host, error);
    if (code != BERTH_OK) {
        berth_host_free(host);
        return code;
    }
    *ret_host = host;
    return BERTH_OK;
}

int berth_host_new(const struct berth_host_options *options, berth_host **ret_host,
                   struct berth_error *error)
{
    return berth_host_make(options, NULL, ret_host, error);
}

/* More, or SIZE_MAX: one less. It counts with those that it imports from. */
static void count_imports(struct berth_module *module, size_t more)
{
    struct berth_host *host = module->host;
    const struct berth_manifest *manifest = module->current->image->manifest;
    pthread_mutex_lock(&host->lock);
    for (size_t i = 0; i < manifest->import_count; i++) {
        struct berth_module *other = berth_module_find(host, manifest->imports[i].module);
        if (other && other != module)
            other->importers += more;
    }
    pthread_mutex_unlock(&host->lock);
}

static void count_all_imports(struct berth_host *host)
{
    berth_list_each(&host->order, link)
        count_imports(berth_container(link, struct berth_module, link), 1);
}

/*
 * The one that is needed least by those that are still there, the last loaded among equals: those
 * that need others stop before them, also when these were loaded anew. A ring has no right order.
 */
static struct berth_module *next_to_end(const struct berth_host *host)
{
    struct berth_module *best = NULL;
    int least = 3;
    for (const struct berth_list *at = host->order.previous; at != &host->order && least > 0;
         at = at->previous) {
        struct berth_module *module = berth_container(at, struct berth_module, link);
        int need = module->requirers ? 2 : module->importers ? 1 : 0;
        if (need < least) {
            least = need;
            best = module;
        }
    }
    return best;
}

/* false: something is still inside of a module, or this is. */
static bool unload_all(struct berth_host *host)
{
    struct berth_error error;
    bool all = true;
    int64_t deadline = berth_stop_deadline(host), timeout = host->options.stop_timeout_ns;
    int64_t grace = deadline - timeout / 2;
    berth_outside_finish(host, grace, deadline - timeout / 4);
    berth_ctx *admin = berth_admin_enter_until(host, "the end of the host", deadline, &error);
    if (!admin && error.code == BERTH_DEADLINE_EXCEEDED)
        berth_host_log(host, NULL, BERTH_LOG_ERROR, "%s", error.text);
    if (!admin)
        return error.code == BERTH_RESOURCE_EXHAUSTED && berth_list_empty(&host->order);
    host->end_grace = grace;
    host->end_deadline = deadline;
    count_all_imports(host);
    for (struct berth_module *module; (module = next_to_end(host));) {
        count_imports(module, SIZE_MAX);
        if (berth_module_unload(admin, module, true, &error) == BERTH_OK)
            continue;
        berth_host_log(host, NULL, BERTH_LOG_ERROR, "at the end: %s", error.text);
        berth_list_remove(&module->link); /* what is inside of it keeps it: it is left as it is */
        all = false;
    }
    berth_quarantine_finish(admin, host, berth_stop_deadline(host));
    all = all && !berth_quarantine_is_entered(host);
    berth_admin_leave(host, admin);
    return all;
}

static void unbind_all(struct berth_host *host)
{
    berth_list_each_safe(&host->bound, link)
        berth_host_unbind(host, berth_container(link, struct berth_edge, of_owner)->link);
}

/* The application's bound objects are left alone, but a call through one finds its way back. */
static void leave_bound(struct berth_host *host)
{
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->bound, link) {
        struct berth_edge *edge = berth_container(link, struct berth_edge, of_owner);
        berth_edge_shut(edge);
        berth_list_remove(&edge->of_cell);
    }
    pthread_mutex_unlock(&host->lock);
}

/* Hosts that somebody was still inside of at their end: reachable, as that may still use them. */
static struct berth_host *left_hosts;
static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;

/* Nothing of the application's is called any more, nothing new is begun, and all the rest stays. */
static void leave_behind(struct berth_host *host)
{
    uint32_t position = 0;
    struct berth_module *module;
    berth_host_log(host, NULL, BERTH_LOG_ERROR,
                   "at the end: something is still inside, which keeps this host in memory");
    __atomic_store_n(&host->options.log, NULL, __ATOMIC_RELAXED);
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->order, link)
        berth_module_shut(berth_container(link, struct berth_module, link));
    pthread_mutex_unlock(&host->lock);
    while ((module = berth_idmap_next(&host->app_subscriptions, &position, NULL)))
        berth_mailbox_pause(module);
    leave_bound(host);
    berth_generations_leave(host);
    berth_schedule_leave(host);
    pthread_mutex_lock(&left_lock);
    host->left = left_hosts;
    left_hosts = host;
    pthread_mutex_unlock(&left_lock);
}

static void registry_free(struct berth_host *host)
{
    struct berth_map_entry *entry;
    /* quarantined ones: their images stay mapped, all the rest goes */
    berth_list_each_safe(&host->generations, link) {
        struct berth_generation *generation = berth_container(link, struct berth_generation, all);
        berth_generation_forget(generation);
    }
    berth_topics_free(host);
    berth_probes_forget(host);
    for (size_t i = 0; berth_map_next(&host->modules, &i, &entry);)
        berth_module_free(entry->value);
    berth_map_deinit(&host->modules);
    berth_map_deinit(&host->cells);
    berth_idmap_deinit(&host->handles);
    berth_idmap_deinit(&host->alarms);
    berth_idmap_deinit(&host->app_subscriptions);
    berth_idmap_deinit(&host->pendings);
    berth_idmap_deinit(&host->kept);
}

/* false: a callback of the application's has not returned. */
static bool unsubscribe_all(struct berth_host *host)
{
    uint32_t position = 0;
    uint64_t id;
    bool all = true;
    while (berth_idmap_next(&host->app_subscriptions, &position, &id))
        all = berth_subscriber_end(host, id, berth_stop_deadline(host)) && all;
    if (!all)
        berth_host_log(host, NULL, BERTH_LOG_ERROR,
                       "at the end: a subscription's callback has not returned");
    return all;
}

static uint64_t sent_of(struct berth_host *host)
{
    size_t count = 0;
    uint64_t sent = host->uncounted;
    struct berth_flow_count *counts = berth_flows_read(host, &count);
    for (size_t i = 0; counts && i < count; i++)
        if (counts[i].flow->topic)
            sent += counts[i].calls;
    berth_free(counts);
    return sent;
}

/* Nothing is sent any more, unless something is still inside. */
static void make_report(struct berth_host *host, struct berth_shutdown_report *report)
{
    struct berth_map_entry *entry;
    struct berth_shutdown_report own = {
        .size = sizeof own,
        .sent = sent_of(host),
        .delivered = host->delivered,
        .rejected = host->fates[BERTH_FATE_REJECTED],
        .dropped = host->fates[BERTH_FATE_DROPPED],
        .expired = host->fates[BERTH_FATE_EXPIRED],
        .dead_lettered = host->fates[BERTH_FATE_DEAD],
        .left = host->fates[BERTH_FATE_LEFT],
        .blobs = host->blobs.left.count,
        .blob_bytes = host->blobs.left.bytes,
    };
    if (!report)
        return;
    pthread_mutex_lock(&host->lock);
    for (size_t i = 0; berth_map_next(&host->modules, &i, &entry);)
        own.delivered +=
            __atomic_load_n(&((struct berth_module *)entry->value)->delivered, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&host->lock);
    size_t size = report->size && report->size < sizeof own ? report->size : sizeof own;
    memcpy(report, &own, size);
    report->size = size;
}

int berth_host_free(berth_host *host)
{
    return berth_host_end(host, NULL);
}

int berth_host_end(berth_host *host, struct berth_shutdown_report *report)
{
    if (!host || berth_process_is_forked())
        return BERTH_OK;
    if (berth_thread_is_inside(&host->threads))
        return BERTH_FAILED_PRECONDITION;
    if (!unload_all(host) || !unsubscribe_all(host)) {
        make_report(host, report);
        leave_behind(host);
        return BERTH_DEADLINE_EXCEEDED;
    }
    berth_host_module_free(host);
    unbind_all(host);
    berth_schedule_stop(host);
    berth_timer_remove(&host->look_timer);
    berth_timer_remove(&host->sample_timer);
    berth_queue_drop(host);
    berth_history_drop(host, NULL);
    berth_generations_finish(host);
    if (host->status_file >= 0)
        close(host->status_file);
    make_report(host, report);
    berth_zygote_free(host->zygote);
    registry_free(host);
    berth_loop_free(host->loop);
    berth_threads_deinit(&host->threads);
    berth_blobs_deinit(&host->blobs);
    berth_flows_free(host);
    berth_events_deinit(host);
    berth_staging_deinit(&host->staging);
    berth_policy_deinit(&host->policy);
    berth_grants_deinit(&host->needed);
    pthread_cond_destroy(&host->changed);
    pthread_cond_destroy(&host->idle);
    pthread_cond_destroy(&host->spare_called);
    pthread_condattr_destroy(&host->cond_clock);
    pthread_mutex_destroy(&host->admin);
    pthread_rwlock_destroy(&host->topic_lock);
    pthread_mutex_destroy(&host->lock);
    pthread_mutex_destroy(&host->run_lock);
    pthread_mutex_destroy(&host->room_lock);
    pthread_mutex_destroy(&host->last_lock);
    berth_free(host->worker);
    berth_free(host->name);
    berth_free(host);
    berth_process_end();
    return BERTH_OK;
}

/* Those that the host's own level is for, or the one module. host->lock held. */
static int tell_workers(berth_host *host, const struct berth_module *only,
                        struct berth_error *error)
{
    int code = BERTH_OK;
    berth_list_each(&host->order, link) {
        struct berth_module *module = berth_container(link, struct berth_module, link);
        if ((only && only != module) || berth_log_tell(module->current))
            continue;
        code = berth_error_set(error, BERTH_UNAVAILABLE,
                               "the worker of %s reads nothing and cannot be told the level of its "
                               "log: set it again later",
                               module->name);
    }
    return code;
}

int berth_host_set_log_level(berth_host *host, const char *name, int level,
                             struct berth_error *error)
{
    struct berth_module *module = NULL;
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    if (level < -1 || level > BERTH_LOG_DEBUG || (level < 0 && !*name))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "the level %d of the log of \"%.64s\" is none: it is one of enum "
                               "berth_log_level, or -1, as all others, for a module",
                               level, name);
    if (*name && !berth_identifier_valid(name))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "\"%.64s\" cannot be a module's name: write [a-z][a-z0-9_]*", name);
    pthread_mutex_lock(&host->lock);
    int code = BERTH_OK;
    if (*name && !(module = berth_module_obtain(host, name)))
        code = berth_error_nomem(error);
    if (code == BERTH_OK) {
        berth_log_set_level(host, module, level);
        code = tell_workers(host, module, error);
    }
    pthread_mutex_unlock(&host->lock);
    return code;
}

int berth_host_set_call_timeout(berth_host *host, const char *of, int64_t ns,
                                struct berth_error *error)
{
    return berth_process_is_forked() ? berth_process_refuse(error)
                                     : berth_timeout_set(host, of, ns, error);
}

int berth_host_check(berth_host *host, int timeout_ms, struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    int64_t patience = (int64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
    const char *missing = berth_schedule_check(host, berth_now() + patience);
    if (!missing)
        return BERTH_OK;
    return berth_error_set(error, BERTH_UNAVAILABLE, "the host %s did not answer within %d ms: %s",
                           host->name, timeout_ms, missing);
}

int berth_host_fd(const berth_host *host)
{
    return berth_loop_fd(host->loop);
}

int berth_host_dispatch(berth_host *host, int timeout_ms)
{
    if (berth_process_is_forked() || berth_thread_is_inside(&host->threads))
        return -1;
    berth_schedule_let_in(host);
    return berth_schedule_run(host, timeout_ms < 0 ? BERTH_FOREVER : (int64_t)timeout_ms * 1000000);
}

/* ---- modules ---- */

int berth_take_options(const void *given, size_t smallest, void *ret_options, size_t size,
                       const char *name, struct berth_error *error)
{
    size_t has = *(const size_t *)given;
    if (has < smallest || has > size)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s.size is %zu: set it to sizeof(struct %s)", name, has, name);
    memset(ret_options, 0, size);
    memcpy(ret_options, given, has);
    return BERTH_OK;
}

/* The ith of an array, whose stride is the size that the caller's header has. */
static int load_fields(const struct berth_load_options *options, size_t i, struct berth_load *load,
                       struct berth_error *error)
{
    struct berth_load_options own;
    if (!options)
        return BERTH_OK;
    const size_t *at = (const void *)((const char *)options + i * options->size);
    int code = berth_take_options(at, offsetof(struct berth_load_options, restart), &own,
                                  sizeof own, "berth_load_options", error);
    if (code == BERTH_OK && own.size != options->size)
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "berth_load_options.size is %zu in one of them and %zu in another",
                               options->size, own.size);
    if (code != BERTH_OK)
        return code;
    load->name = own.name;
    load->placement = own.placement;
    load->options = own.options;
    load->restart = own.restart;
    load->probe = (own.flags & BERTH_LOAD_PROBE) != 0;
    return BERTH_OK;
}

int berth_host_load(berth_host *host, const char *file, const struct berth_load_options *options,
                    struct berth_error *error)
{
    return berth_host_load_all(host, &file, options, 1, error);
}

static int load_one(berth_ctx *admin, struct berth_load *from, struct berth_error *error)
{
    char file[512];
    struct berth_load load = *from;
    snprintf(file, sizeof file, "%s", load.image->file);
    from->image = NULL;
    int code = berth_module_load(admin, &load, error);
    if (code != BERTH_OK && error && strncmp(error->text, file, strlen(file)) != 0)
        berth_error_prefix(error, "%s: ", file); /* mapping has named it already */
    return code;
}

/* Images that are taken are NULL afterwards. */
static int load_ordered(berth_ctx *admin, struct berth_load *loads, const size_t *order,
                        size_t count, struct berth_error *error)
{
    int code = BERTH_OK;
    for (size_t i = 0; i < count && code == BERTH_OK; i++)
        code = load_one(admin, &loads[order[i]], error);
    return code;
}

static int load_staged(berth_host *host, struct berth_load *loads, const size_t *order,
                       size_t count, struct berth_error *error)
{
    berth_ctx *admin = berth_admin_enter(host, "a load", error);
    if (!admin)
        return error && error->code ? error->code : BERTH_RESOURCE_EXHAUSTED;
    struct berth_list *last = host->order.previous;
    int code = load_ordered(admin, loads, order, count, error);
    while (code != BERTH_OK && host->order.previous != last) { /* all or none */
        struct berth_module *module =
            berth_container(host->order.previous, struct berth_module, link);
        struct berth_error why;
        if (berth_module_unload(admin, module, true, &why) != BERTH_OK) {
            berth_host_log(host, NULL, BERTH_LOG_ERROR, "after a load that failed: %s", why.text);
            break;
        }
    }
    berth_admin_leave(host, admin);
    return code;
}

void berth_host_refused(berth_host *host, const char *module, const struct berth_error *error)
{
    berth_event_publish(host, &(struct berth_event){ .kind = BERTH_EVENT_REFUSED,
                                                     .module = module,
                                                     .version = "",
                                                     .placement = "",
                                                     .detail = error->text });
}

int berth_host_load_as(berth_host *host, const char *file, const struct berth_load_options *options,
                       char ret_name[BERTH_IDENTIFIER_MAX + 1], struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    struct berth_error why = { 0 };
    struct berth_load load = { 0 };
    const size_t order = 0;
    int code = load_fields(options, 0, &load, &why);
    if (code == BERTH_OK)
        code = berth_image_stage(file, 1, NULL, &load.image, &why);
    if (code == BERTH_OK) {
        snprintf(ret_name, BERTH_IDENTIFIER_MAX + 1, "%s", berth_load_name(&load));
        code = load_staged(host, &load, &order, 1, &why);
    }
    berth_image_free(load.image);
    if (code == BERTH_OK)
        return BERTH_OK;
    berth_host_refused(host, load.name ? load.name : "", &why);
    if (error)
        *error = why;
    return code;
}

int berth_host_load_all(berth_host *host, const char *const *files,
                        const struct berth_load_options *options, size_t count,
                        struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    struct berth_error why = { 0 };
    struct berth_load *loads = berth_calloc(count + 1, sizeof *loads);
    size_t *order = berth_calloc(count + 1, sizeof *order);
    int code = loads && order ? BERTH_OK : berth_error_nomem(&why);
    for (size_t i = 0; i < count && code == BERTH_OK; i++) {
        code = load_fields(options, i, &loads[i], &why);
        if (code == BERTH_OK)
            code = berth_image_stage(files[i], 1, NULL, &loads[i].image, &why);
    }
    if (code == BERTH_OK)
        code = berth_load_order(loads, count, order, &why);
    if (code == BERTH_OK)
        code = load_staged(host, loads, order, count, &why);
    for (size_t i = 0; loads && i < count; i++)
        berth_image_free(loads[i].image);
    berth_free(loads);
    berth_free(order);
    if (code != BERTH_OK)
        berth_host_refused(host, "", &why);
    if (code != BERTH_OK && error)
        *error = why;
    return code;
}

struct berth_module *berth_host_find_loaded(berth_host *host, const char *name,
                                            struct berth_error *error)
{
    pthread_mutex_lock(&host->lock);
    struct berth_module *module = berth_module_find(host, name);
    if (module && module->state == BERTH_MODULE_ABSENT)
        module = NULL;
    pthread_mutex_unlock(&host->lock);
    if (!module)
        berth_error_set(error, BERTH_NOT_FOUND, "no module %s is loaded", name);
    return module;
}

int berth_host_check_is_file(const struct berth_module *module, bool application_may,
                             struct berth_error *error)
{
    const struct berth_image *image = module->current->image;
    if (image->own_links)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s is part of the runtime and stays as it is", module->name);
    if (berth_image_is_application(image) && !application_may)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s is the application: it cannot be reloaded", module->name);
    return BERTH_OK;
}

static int unload(berth_host *host, const char *name, bool force, char label[128],
                  struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    berth_ctx *admin = berth_admin_enter(host, "an unload", error);
    if (!admin)
        return error->code;
    struct berth_module *module = berth_host_find_loaded(host, name, error);
    int code = module ? berth_host_check_is_file(module, true, error) : error->code;
    if (code == BERTH_OK) {
        berth_module_label(module->current, label, 128);
        code = berth_module_unload(admin, module, force, error);
    }
    berth_admin_leave(host, admin);
    return code;
}

int berth_host_unload_as(berth_host *host, const char *name, bool force, struct berth_error *error)
{
    int64_t began = berth_now();
    char label[128], took[BERTH_TIME_MAX];
    int code = unload(host, name, force, label, error);
    if (code == BERTH_OK)
        berth_host_log(host, NULL, BERTH_LOG_INFO, "%s has been unloaded (%s ms)", label,
                       berth_time_print(berth_now() - began, BERTH_MILLISECOND, took));
    else
        berth_host_log(host, NULL, BERTH_LOG_WARNING, "an unload of %.64s was refused: %s", name,
                       error->text);
    return code;
}

int berth_host_unload(berth_host *host, const char *name, struct berth_error *error)
{
    struct berth_error why = { 0 };
    char label[128];
    int code = unload(host, name, false, label, &why);
    if (code != BERTH_OK && error)
        *error = why;
    return code;
}

static int check_single_host(const struct berth_image *image, struct berth_error *error)
{
    for (size_t i = 0; i < image->link_count; i++) {
        if (image->links[i].link->edge)
            return berth_error_set(
                error, BERTH_FAILED_PRECONDITION,
                "module %s is in a host already, and an entry belongs to one at a time",
                image->manifest->name);
    }
    return BERTH_OK;
}

int berth_host_provide(berth_host *host, const struct berth_entry *entry, struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    struct berth_image *image;
    struct berth_error why = { 0 };
    int code = berth_image_application(entry, &image, error);
    if (code != BERTH_OK)
        return code;
    code = check_single_host(image, error);
    if (code != BERTH_OK) {
        berth_image_free(image);
        return code;
    }
    berth_ctx *admin = berth_admin_enter(host, "a load", &why);
    if (admin) {
        struct berth_load load = { .image = image, .placement = "inline" };
        code = berth_module_load(admin, &load, &why);
        berth_admin_leave(host, admin);
    } else {
        code = why.code;
        berth_image_free(image);
    }
    if (code != BERTH_OK && error)
        *error = why;
    return code;
}

/* ---- permissions ---- */

int berth_host_permit(berth_host *host, const char *policy_json, struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    struct berth_error why = { 0 };
    struct berth_policy policy;
    int code = berth_policy_read(policy_json, &policy, &why);
    berth_ctx *admin =
        code == BERTH_OK ? berth_admin_enter(host, "a change of permissions", &why) : NULL;
    if (admin) {
        berth_permit_change(host, &policy);
        berth_admin_leave(host, admin);
        return BERTH_OK;
    }
    if (code == BERTH_OK)
        berth_policy_deinit(&policy);
    if (error)
        *error = why;
    return why.code;
}

int berth_host_permissions(berth_host *host, char **ret_json, struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    struct berth_buffer buffer;
    berth_buffer_init(&buffer, 0);
    berth_permissions_print(host, &buffer);
    int code = berth_buffer_check(&buffer, error);
    char *text = code == BERTH_OK ? berth_buffer_take(&buffer, NULL) : NULL;
    berth_buffer_deinit(&buffer);
    if (code == BERTH_OK)
        *ret_json = text;
    return code;
}
