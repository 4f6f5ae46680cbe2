/* SPDX-License-Identifier: MIT */
/* Loading and unloading. */
#include "runtime/base/memory.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/call/ring.h"
#include "runtime/core/blob.h"
#include "runtime/core/call.h"
#include "runtime/core/event.h"
#include "runtime/core/generation.h"
#include "runtime/core/kept.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/permit.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"
#include "runtime/core/topic.h"
#include "runtime/reload/history.h"
#include "runtime/reload/inside.h"
#include "runtime/reload/lifecycle.h"
#include "runtime/reload/quarantine.h"
#include "runtime/reload/verify.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * A module's own thread must not wait for who waits for its end: it looks whether that has been
 * asked for.
 */
static int admin_wait(struct berth_host *host, const struct berth_thread *thread, int64_t deadline)
{
    const bool *stopping = thread->stopping;
    if (!stopping && deadline == BERTH_FOREVER)
        return pthread_mutex_lock(&host->admin) == 0 ? BERTH_OK : BERTH_INTERNAL;
    while (pthread_mutex_trylock(&host->admin) != 0) {
        if (stopping && __atomic_load_n(stopping, __ATOMIC_ACQUIRE))
            return BERTH_CANCELLED;
        if (berth_now() >= deadline)
            return BERTH_DEADLINE_EXCEEDED;
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
    return BERTH_OK;
}

static uint32_t admin_holder(const struct berth_wait *wait, size_t i)
{
    const struct berth_host *host = wait->of;
    return i == 0 ? __atomic_load_n(&host->admin_chain, __ATOMIC_ACQUIRE) : 0;
}

static int admin_lock(struct berth_host *host, const berth_ctx *ctx, const char *what,
                      int64_t deadline, struct berth_error *error)
{
    struct berth_wait wait = { .ctx = ctx, .of = host, .holder = admin_holder, .target = what };
    if (pthread_mutex_trylock(&host->admin) == 0)
        return BERTH_OK;
    if (!berth_wait_begin(&wait))
        return berth_error_set(error, BERTH_ABORTED, "%s: %s", what, wait.ring);
    berth_schedule_blocks(host); /* who has it may wait for a turn that the pool is to give */
    int code = admin_wait(host, berth_thread_of(ctx), deadline);
    berth_schedule_goes_on(host);
    berth_wait_end(&wait);
    if (code == BERTH_OK)
        return code;
    return berth_error_set(error, code,
                           code == BERTH_CANCELLED
                               ? "%s: the module of this thread is being stopped"
                               : "%s: another load, unload or reload has not ended in time",
                           what);
}

/* At its end this may have been waited for: it is looked at before, and after. */
static bool ends(const struct berth_host *host, const char *what, struct berth_error *error)
{
    return __atomic_load_n(&host->ends, __ATOMIC_ACQUIRE) &&
           berth_error_set(error, BERTH_UNAVAILABLE, "%s: the host ends", what) != BERTH_OK;
}

berth_ctx *berth_admin_enter(struct berth_host *host, const char *what, struct berth_error *error)
{
    if (ends(host, what, error))
        return NULL;
    berth_ctx *ctx = berth_admin_enter_until(host, what, BERTH_FOREVER, error);
    if (!ctx || !ends(host, what, error))
        return ctx;
    berth_admin_leave(host, ctx);
    return NULL;
}

berth_ctx *berth_admin_enter_until(struct berth_host *host, const char *what, int64_t deadline,
                                   struct berth_error *error)
{
    berth_ctx *ctx = berth_thread_enter(&host->threads);
    if (!ctx) {
        berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                        "%s: no memory for it, or calls are nested too deeply", what);
        return NULL;
    }
    uint32_t chain = berth_block(ctx)->chain;
    if (__atomic_load_n(&host->admin_chain, __ATOMIC_RELAXED) == chain) {
        berth_error_set(error, BERTH_ABORTED,
                        "%s inside of another load, unload or reload: do it after that one", what);
        berth_thread_leave(ctx);
        return NULL;
    }
    if (admin_lock(host, ctx, what, deadline, error) != BERTH_OK) {
        berth_thread_leave(ctx);
        return NULL;
    }
    __atomic_store_n(&host->admin_chain, chain, __ATOMIC_RELEASE);
    berth_quarantine_look(ctx, host, berth_now());
    return ctx;
}

void berth_admin_leave(struct berth_host *host, berth_ctx *ctx)
{
    __atomic_store_n(&host->admin_chain, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&host->admin);
    berth_thread_leave(ctx);
    berth_schedule_let_in(host);
}

/* ---- checks ---- */

static int check_requires(struct berth_generation *next, struct berth_error *error)
{
    const struct berth_manifest *manifest = next->image->manifest;
    for (size_t i = 0; i < manifest->require_count; i++) {
        const struct berth_manifest_require *require = &manifest->requires[i];
        struct berth_module *module = berth_module_find(next->host, require->module);
        if (!module || module->state == BERTH_MODULE_ABSENT)
            return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                   "%s requires %s %s, which is not loaded: load it first",
                                   next->module->name, require->module, require->range);
        const struct berth_manifest *other = berth_module_coming(module);
        if (!berth_semver_range_holds(&require->parsed, &other->semver))
            return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                   "%s requires %s %s, but %s %s is loaded", next->module->name,
                                   require->module, require->range, require->module,
                                   other->version);
    }
    return BERTH_OK;
}

static int check_imports(struct berth_generation *next, struct berth_error *error)
{
    const struct berth_manifest *manifest = next->image->manifest;
    char wants[512], has[512];
    for (size_t i = 0; i < manifest->import_count; i++) {
        const struct berth_manifest_import *import = &manifest->imports[i];
        struct berth_module *module = berth_module_find(next->host, import->module);
        if (!module || module->state == BERTH_MODULE_ABSENT)
            continue; /* bound when it comes */
        const struct berth_manifest *other =
            module == next->module ? manifest : berth_module_coming(module);
        const struct berth_manifest_export *export =
            berth_manifest_find_export(other, import->function);
        if (!export)
            return berth_error_set(
                error, BERTH_FAILED_PRECONDITION, "%s imports %s, but %s %s has no such function",
                next->module->name, import->name, import->module, other->version);
        if (berth_signature_fit(import->signature->identity, export->signature) == BERTH_FIT_NOT)
            return berth_error_set(
                error, BERTH_FAILED_PRECONDITION, "%s imports %s, but %s %s has %s",
                next->module->name,
                berth_signature_print(import->signature, import->name, wants, sizeof wants),
                import->module, other->version,
                berth_signature_print(export->signature, import->name, has, sizeof has));
    }
    return BERTH_OK;
}

int berth_generation_check(struct berth_generation *next, struct berth_error *error)
{
    if (next->host->upstream) /* a worker's: the other modules are upstream, where it was checked */
        return BERTH_OK;
    pthread_mutex_lock(&next->host->lock);
    int code = check_requires(next, error);
    if (code == BERTH_OK)
        code = check_imports(next, error);
    pthread_mutex_unlock(&next->host->lock);
    return code == BERTH_OK ? berth_permit_check(next, error) : code;
}

/* ---- the end of a generation ---- */

/*
 * No frame is in the generation (but for those of its own threads), or the deadline has passed, or
 * the wait, which may be NULL, is refused.
 */
static bool frames_end(struct berth_generation *generation, bool own_too,
                       const struct berth_wait *wait, int64_t deadline)
{
    struct berth_threads *threads = &generation->host->threads;
    const bool *except = own_too ? NULL : &generation->stopping;
    long pause = 20000;
    while (berth_frames_count(threads, berth_generation_holds, generation, except) > 0) {
        if (berth_now() >= deadline || (wait && berth_wait_refused(wait)))
            return false;
        nanosleep(&(struct timespec){ 0, pause }, NULL);
        pause = pause < 1000000 ? pause * 2 : pause;
    }
    return true;
}

/* Those that are inside, then the one whose turn it is: it may be on its way in. */
static uint32_t inside_holder(const struct berth_wait *wait, size_t i)
{
    const struct berth_generation *generation = wait->of;
    struct berth_module *module = generation->module;
    uint32_t chain = berth_frames_chain(&generation->host->threads, berth_generation_holds,
                                        (void *)(uintptr_t)generation, &generation->stopping, &i);
    if (chain || i > 0)
        return chain;
    pthread_mutex_lock(&module->mail_lock);
    bool turns = generation->turns > 0;
    pthread_mutex_unlock(&module->mail_lock);
    return turns ? berth_mailbox_runner(module) : 0;
}

static void inside_refuse(struct berth_wait *wait)
{
    const struct berth_generation *generation = wait->of;
    berth_mailbox_wake(generation->module);
}

bool berth_generation_quiet(struct berth_generation *generation, int64_t deadline)
{
    struct berth_wait wait = { .ctx = berth_thread_anywhere(),
                               .of = generation,
                               .holder = inside_holder,
                               .target = generation->module->name,
                               .refuse = inside_refuse,
                               .yields = true };
    if (berth_mailbox_quiet(generation->module, generation, NULL, 0) &&
        frames_end(generation, false, NULL, 0))
        return true;
    if (!berth_wait_begin(&wait))
        return false;
    bool quiet = berth_mailbox_quiet(generation->module, generation, &wait, deadline) &&
                 frames_end(generation, false, &wait, deadline);
    berth_wait_end(&wait);
    return quiet;
}

int64_t berth_restarts_pause(int64_t deadline)
{
    const int64_t while_ns = 5000000;
    int64_t until = berth_now() + while_ns;
    return until < deadline ? until : deadline;
}

bool berth_generation_left(berth_ctx *admin, struct berth_generation *generation, int64_t deadline)
{
    int64_t until;
    do {
        until = berth_restarts_pause(deadline);
        if (berth_generation_quiet(generation, until))
            return true;
        if (berth_now() < until) /* it gives way */
            return false;
        berth_restarts_run(admin, generation->host);
    } while (until < deadline);
    return false;
}

bool berth_generation_answered(berth_ctx *admin, struct berth_generation *generation,
                               int64_t deadline)
{
    int64_t until;
    do {
        until = berth_restarts_pause(deadline);
        if (berth_kept_quiet(generation, until))
            return true;
        berth_restarts_run(admin, generation->host);
    } while (until < deadline);
    return false;
}

/* The same; what is inside is told to stop after a while, if that is how its generation ends. */
static void end_calls(berth_ctx *admin, struct berth_generation *generation, int64_t deadline)
{
    int64_t grace = generation->ending ? generation->ending_grace : deadline;
    if (grace < deadline && !berth_generation_answered(admin, generation, grace))
        berth_generation_tell(generation, generation->ending);
    berth_generation_answered(admin, generation, deadline);
    berth_generation_tell(generation, BERTH_ENDING_NOT);
}

/* The last call, when nothing else is inside; NULL, or what still is. */
static const char *run_stop(berth_ctx *admin, struct berth_generation *generation, int64_t deadline)
{
    struct berth_host *host = generation->host;
    struct berth_error error;
    if (!berth_generation_halt(generation, deadline))
        return "a thread of its own has not ended: it must ask berth_stopping";
    end_calls(admin, generation, deadline);
    bool owed = generation->owed_stop && generation->carrier;
    generation->owed_stop = false;
    if (owed && !host->upstream && /* a worker's comes from there */
        berth_hook_invoke(admin, generation, BERTH_HOOK_STOP, NULL, NULL, &error) != BERTH_OK)
        berth_host_log(host, generation, BERTH_LOG_ERROR, "STOP failed: %s", error.text);
    berth_kept_end(generation);
    berth_frames_barrier();
    return frames_end(generation, true, NULL, deadline)
               ? NULL
               : "a thread that it has made is still inside: its STOP must end that";
}

/* Not because of another handle, or of something that a thread still has to destroy. */
static bool stays_for_good(const struct berth_generation *generation)
{
    const struct berth_image *image = generation->image;
    return berth_image_keeps(image) || image->elf->nodelete || image->elf->has_unique ||
           (generation->host->options.flags & BERTH_HOST_KEEP_IMAGES);
}

/* Nobody is inside any more, and STOP has run: what still is in its worker is lost with it. */
static bool stop_carrier(struct berth_generation *generation, struct berth_doubt *doubt)
{
    if (!generation->closed)
        berth_generation_close(generation);
    if (__atomic_load_n(&generation->inside, __ATOMIC_ACQUIRE) > 0) /* calls without a frame */
        berth_inside_kill(generation);
    if (berth_generation_uncarry(generation))
        return true;
    snprintf(doubt->text, sizeof doubt->text, "a call that it made is still running");
    return false;
}

/* The image goes, unless a doubt keeps it. */
static bool let_go(struct berth_generation *generation, struct berth_doubt *doubt)
{
    struct berth_host *host = generation->host;
    bool was_quarantined = generation->quarantined;
    char label[128];
    berth_module_label(generation, label, sizeof label);
    berth_blobs_leave(generation);
    if (!berth_unload_verify(generation, doubt))
        return false;
    if (!berth_generation_free(generation, doubt->text, sizeof doubt->text)) {
        doubt->lasts = stays_for_good(generation) ? BERTH_DOUBT_FOR_GOOD : BERTH_DOUBT_WHILE;
        return false;
    }
    if (was_quarantined)
        berth_quarantine_left(host, label);
    return true;
}

void berth_generation_end(berth_ctx *admin, struct berth_generation *generation, int64_t deadline,
                          struct berth_ended *ret_ended)
{
    struct berth_doubt doubt = { 0 };
    const char *inside = run_stop(admin, generation, deadline);
    if (!inside)
        berth_elder_end(generation);
    if (inside)
        snprintf(doubt.text, sizeof doubt.text, "%s", inside);
    bool stopped = !inside && stop_carrier(generation, &doubt);
    if (ret_ended)
        ret_ended->lost = __atomic_load_n(&generation->lost, __ATOMIC_RELAXED);
    if (!stopped || !let_go(generation, &doubt))
        berth_quarantine_enter(generation, &doubt);
    if (ret_ended)
        snprintf(ret_ended->why, ret_ended->size, "%s", doubt.text);
}

/* ---- load ---- */

int berth_placement_find(const char *text, const struct berth_carrier_ops **ret_placement,
                         struct berth_error *error)
{
    if (strcmp(text, "inline") == 0)
        *ret_placement = &berth_carrier_inline;
    else if (strcmp(text, "process") == 0)
        *ret_placement = &berth_carrier_process;
    else
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "\"%s\" is no placement: write inline or process", text);
    return BERTH_OK;
}

/* The module takes the generation: from here on it serves. */
static void install(struct berth_module *module, struct berth_generation *generation,
                    const struct berth_restart_policy *restart, struct berth_death *ret_death)
{
    struct berth_host *host = module->host;
    pthread_mutex_lock(&host->lock);
    __atomic_store_n(&module->current, generation, __ATOMIC_RELEASE);
    module->state = BERTH_MODULE_RUNNING;
    module->why[0] = '\0';
    berth_restart_init(&module->restart, restart);
    berth_module_open(module, generation);
    berth_list_append(&host->order, &module->link);
    berth_requires_count(generation, true);
    berth_module_see_death(module, ret_death);
    pthread_mutex_unlock(&host->lock);
    if (!host->upstream) /* a worker's module is told so from there */
        berth_generation_serve(generation);
    berth_module_resume(module);
}

/* Importers that were there first, and expect something else: a text for each, with its NUL. */
static void find_mismatches(struct berth_generation *generation, struct berth_buffer *texts)
{
    struct berth_host *host = generation->host;
    pthread_mutex_lock(&host->lock);
    berth_list_each(&generation->module->cells, of_module) {
        struct berth_cell *cell = berth_container(of_module, struct berth_cell, of_module);
        berth_list_each(&cell->edges, link) {
            struct berth_edge *edge = berth_container(link, struct berth_edge, of_cell);
            if (cell->item && edge->fit != BERTH_FIT_NOT)
                continue;
            berth_buffer_format(texts, "%s imports %s, which %s %s does not have%s",
                                edge->importer ? edge->importer->module->name : "the application",
                                cell->name, generation->module->name,
                                generation->image->manifest->version,
                                cell->item ? " with that signature" : "");
            berth_buffer_append(texts, "", 1);
        }
    }
    pthread_mutex_unlock(&host->lock);
}

static void warn_mismatches(struct berth_generation *generation)
{
    struct berth_buffer texts;
    berth_buffer_init(&texts, 0);
    find_mismatches(generation, &texts);
    for (size_t at = 0; at < texts.size && !texts.failed; at += strlen(texts.data + at) + 1)
        berth_host_log(generation->host, NULL, BERTH_LOG_WARNING, "%s", texts.data + at);
    berth_buffer_deinit(&texts);
}

static int begin(berth_ctx *admin, struct berth_generation *generation, struct berth_error *error)
{
    bool topics = generation->host->upstream == NULL;
    int code = berth_generation_examine(generation, NULL, error);
    if (code == BERTH_OK)
        code = berth_generation_check(generation, error);
    if (code == BERTH_OK && topics)
        code = berth_topics_check(generation, NULL, error);
    if (code == BERTH_OK && topics)
        code = berth_topics_prepare(generation, error);
    berth_mailbox_open(generation->module);
    if (code == BERTH_OK)
        code = berth_generation_probe(generation, error);
    if (code == BERTH_OK)
        code = berth_generation_open(generation, error);
    if (code == BERTH_OK && topics) { /* a worker's START comes from upstream */
        code = berth_hook_invoke(admin, generation, BERTH_HOOK_START, NULL, NULL, error);
        generation->owed_stop = code == BERTH_OK;
        if (code != BERTH_OK)
            berth_error_prefix(error, "%s: START failed: ", generation->module->name);
    }
    return code;
}

int berth_module_load(berth_ctx *admin, const struct berth_load *load, struct berth_error *error)
{
    struct berth_host *host = berth_host_of(admin);
    struct berth_image *image = load->image;
    const char *name = load->name ? load->name : image->manifest->name;
    struct berth_generation_setup setup = { image, NULL, NULL, load->options, load->probe };
    struct berth_restart_policy restart;
    int code =
        berth_placement_find(load->placement ? load->placement : "inline", &setup.placement, error);
    if (code == BERTH_OK)
        code = berth_restart_policy_read(load->restart, &restart, error);
    if (code == BERTH_OK && !berth_identifier_valid(name))
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "\"%s\" cannot be a module's name: write [a-z][a-z0-9_]*", name);
    if (code == BERTH_OK && strcmp(name, BERTH_CALLER_OPERATOR) == 0)
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "\"%s\" cannot be a module's name: it stands for operators in "
                               "permissions; load it under another name",
                               name);
    if (code == BERTH_OK) {
        pthread_mutex_lock(&host->lock);
        setup.module = berth_module_obtain(host, name);
        bool absent = setup.module && setup.module->state == BERTH_MODULE_ABSENT;
        pthread_mutex_unlock(&host->lock);
        if (!setup.module)
            code = berth_error_nomem(error);
        else if (!absent)
            code = berth_error_set(
                error, BERTH_ALREADY_EXISTS,
                "a module %s is loaded already: reload it, or load this one under another name",
                name);
    }
    if (code != BERTH_OK) {
        berth_image_free(image);
        return code;
    }
    struct berth_generation *generation;
    code = berth_generation_new(host, &setup, &generation, error);
    if (code == BERTH_OK) {
        code = begin(admin, generation, error);
        if (code != BERTH_OK) {
            berth_generation_end(admin, generation, berth_stop_deadline(host), NULL);
            berth_mailbox_close(setup.module); /* what has come meanwhile waits for nothing */
        }
    }
    if (code != BERTH_OK)
        return code;
    if (!host->upstream)
        berth_topics_switch(generation, NULL);
    struct berth_death death;
    install(setup.module, generation, &restart, &death);
    warn_mismatches(generation);
    /* upstream says so itself, and knows its name for it; and what is built in is always there */
    if (host->upstream || generation->image->own_links)
        return BERTH_OK;
    char label[128];
    berth_module_label(generation, label, sizeof label);
    berth_host_log(host, NULL, BERTH_LOG_DEBUG, "%s is loaded (%s)", label,
                   generation->placement->name);
    berth_event_of(generation, BERTH_EVENT_LOADED, "");
    berth_module_tell_death(generation, &death);
    return BERTH_OK;
}

/* ---- unload ---- */

/* Looked for only where there is one: modules may be very many. host->lock held. */
static int check_required(const struct berth_module *module, struct berth_error *error)
{
    if (!module->requirers)
        return BERTH_OK;
    berth_list_each(&module->host->order, link) {
        struct berth_module *other = berth_container(link, struct berth_module, link);
        const struct berth_manifest *manifest = other->current->image->manifest;
        for (size_t i = 0; i < manifest->require_count && other != module; i++)
            if (strcmp(manifest->requires[i].module, module->name) == 0)
                return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                       "%s is required by %s: unload that one first, or force it",
                                       module->name, other->name);
    }
    return BERTH_OK;
}

/* What is bound with structs of the application's module needs that. host->lock held. */
static int check_bound(const struct berth_module *module, struct berth_error *error)
{
    berth_list_each(&module->host->bound, link) {
        const struct berth_edge *edge = berth_container(link, struct berth_edge, of_owner);
        if (berth_image_is_application(module->current->image) && !edge->types)
            return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                   "%s declares structs of %s, which is bound: unbind that first",
                                   module->name, edge->cell->name);
    }
    return BERTH_OK;
}

static void reopen(struct berth_module *module)
{
    struct berth_host *host = module->host;
    pthread_mutex_lock(&host->lock);
    if (module->state == BERTH_MODULE_RUNNING)
        berth_module_open(module, module->current);
    module->swapping = false;
    module->swap_chain = 0;
    __atomic_store_n(&host->shut_chain, 0, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
    berth_module_resume(module);
}

/* Nothing is inside any more; what does not end by itself is told to. */
static bool empty(berth_ctx *admin, struct berth_generation *generation, int64_t deadline)
{
    int64_t grace = generation->ending_grace;
    if (berth_generation_left(admin, generation, grace))
        return true;
    if (berth_now() < grace) /* it waits for this */
        return false;
    berth_generation_tell(generation, generation->ending);
    bool quiet = berth_generation_left(admin, generation, deadline);
    berth_generation_tell(generation, BERTH_ENDING_NOT);
    return quiet;
}

/* At the host's end what is inside of any of them is waited for from its beginning on. */
static int64_t began_at(const struct berth_host *host, int64_t unload)
{
    int64_t end = host->end_deadline - host->options.stop_timeout_ns;
    return host->end_deadline && end < unload ? end : unload;
}

/* From here on nobody comes in any more, unless others need it. */
static int shut_for_good(berth_ctx *admin, struct berth_module *module, bool force,
                         struct berth_error *error)
{
    struct berth_host *host = module->host;
    pthread_mutex_lock(&host->lock);
    int code = force ? BERTH_OK : check_required(module, error);
    if (code == BERTH_OK && !force)
        code = check_bound(module, error);
    if (code == BERTH_OK) {
        module->swapping = true;
        module->swap_chain = berth_block(admin)->chain;
        __atomic_store_n(&host->shut_chain, module->swap_chain, __ATOMIC_RELAXED);
        berth_module_shut(module);
    }
    pthread_mutex_unlock(&host->lock);
    return code;
}

/*
 * What is inside has not left: the module serves as before. A host that ends does so without it,
 * and stays in memory: then whatever asks at last is still to stop.
 */
static int give_up(struct berth_module *module, int64_t began, int64_t deadline,
                   struct berth_error *error)
{
    struct berth_host *host = module->host;
    struct berth_generation *generation = module->current;
    char took[BERTH_TIME_MAX];
    if (host->end_deadline)
        berth_generation_tell(generation, BERTH_ENDING_HOST);
    else
        __atomic_store_n(&generation->ending, BERTH_ENDING_NOT, __ATOMIC_RELAXED);
    size_t inside = berth_frames_count(&host->threads, berth_generation_holds, generation,
                                       &generation->stopping);
    reopen(module);
    if (berth_now() < deadline) /* it gives way */
        return berth_error_set(
            error, BERTH_ABORTED, "%s: %zu %s for its end; it goes on", module->name, inside,
            berth_plural(inside, "call is inside that waits", "calls are inside that wait"));
    return berth_error_set(
        error, BERTH_DEADLINE_EXCEEDED, "%s: %zu %s still inside after %s s%s", module->name,
        inside, berth_plural(inside, "call was", "calls were"),
        berth_time_print(berth_now() - began_at(host, began), BERTH_SECOND, took),
        host->end_deadline ? "" : "; it goes on");
}

/* Nobody finds it any more. */
static void leave_registry(struct berth_module *module)
{
    struct berth_host *host = module->host;
    struct berth_generation *generation = module->current;
    if (!host->upstream)
        berth_topics_retire(generation);
    pthread_mutex_lock(&host->lock);
    berth_module_unbind(module);
    berth_list_remove(&module->link);
    berth_requires_count(generation, false);
    __atomic_store_n(&module->current, NULL, __ATOMIC_RELEASE);
    module->state = BERTH_MODULE_ABSENT;
    module->swapping = false;
    __atomic_store_n(&host->shut_chain, 0, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
    berth_timer_remove(&module->restart_timer); /* from here on no death sets it again */
}

static void tell_unloaded(struct berth_generation *generation, size_t messages)
{
    struct berth_host *host = generation->host;
    if (messages)
        berth_host_log(host, NULL, BERTH_LOG_WARNING, "%s: %zu %s not handled any more",
                       generation->module->name, messages,
                       berth_plural(messages, "message was", "messages were"));
    if (!host->upstream && !generation->image->own_links) {
        char label[128];
        berth_module_label(generation, label, sizeof label);
        berth_host_log(host, NULL, BERTH_LOG_DEBUG, "%s is unloaded", label);
    }
    berth_event_of(generation, BERTH_EVENT_UNLOADED, "");
}

int berth_module_unload(berth_ctx *admin, struct berth_module *module, bool force,
                        struct berth_error *error)
{
    struct berth_host *host = module->host;
    struct berth_generation *generation = module->current;
    int64_t began = berth_now(), deadline = berth_stop_deadline(host);
    if (berth_generation_inside(admin, generation))
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s cannot be unloaded from inside of a call of its own",
                               module->name);
    int code = shut_for_good(admin, module, force, error);
    if (code != BERTH_OK)
        return code;
    berth_mailbox_pause(module);
    berth_frames_barrier();
    __atomic_store_n(&generation->ending,
                     host->end_deadline ? BERTH_ENDING_HOST : BERTH_ENDING_MODULE,
                     __ATOMIC_RELAXED);
    generation->ending_grace = berth_stop_grace(host);
    bool quiet = empty(admin, generation, deadline);
    /* a worker is not waited for any longer; at the host's end nor who waits for this */
    bool kills = !quiet && berth_inside_can_be_killed(generation) &&
                 (berth_now() >= deadline || host->end_deadline);
    if (!quiet && !kills)
        return give_up(module, began, deadline, error);
    leave_registry(module);
    tell_unloaded(generation, berth_mailbox_close(module));
    berth_history_drop(host, module);
    if (kills)
        berth_inside_kill(generation);
    berth_generation_end(admin, generation, deadline, NULL);
    return BERTH_OK;
}
