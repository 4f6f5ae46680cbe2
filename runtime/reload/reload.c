/* SPDX-License-Identifier: MIT */
/*
 * Reload, a transaction: stage → compare → start → hand over → switch → drain. Until the switch
 * everything can be undone, and the old generation serves; from the switch on nothing can fail.
 */
#include "runtime/base/memory.h"
#include "runtime/core/call.h"
#include "runtime/core/event.h"
#include "runtime/core/generation.h"
#include "runtime/core/handle.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/registry.h"
#include "runtime/core/topic.h"
#include "runtime/reload/lifecycle.h"

#include <stdio.h>
#include <string.h>

struct transaction {
    berth_ctx *admin;
    struct berth_host *host;
    struct berth_module *module;
    struct berth_generation *old, *next;
    struct berth_reload_report *report;
    struct berth_restart_policy restart; /* of the new one */
    int64_t deadline;
    bool was_running; /* the old generation's worker is alive */
    bool gated;       /* this chain holds the module's gate */
};

static void step(struct transaction *t, const char *name)
{
    snprintf(t->report->step, sizeof t->report->step, "%s", name);
}

/* ---- compare ---- */

static int compare_cell(struct transaction *t, struct berth_cell *cell, struct berth_error *error)
{
    const struct berth_manifest *manifest = t->next->image->manifest;
    const struct berth_manifest_export *export =
        berth_manifest_find_export(manifest, cell->function);
    const char *who = NULL;
    const struct berth_signature *wants = cell->item ? cell->item->signature : NULL;
    berth_list_each(&cell->edges, link) {
        struct berth_edge *edge = berth_container(link, struct berth_edge, of_cell);
        if (edge->mismatch || edge->importer == t->old || edge->importer == t->next)
            continue;
        if (!export || strcmp(export->signature->identity, edge->signature->identity) != 0) {
            who = edge->importer ? edge->importer->module->name : "the application";
            wants = edge->signature;
        }
    }
    if (!who && cell->functions && wants &&
        (!export || strcmp(export->signature->identity, wants->identity) != 0))
        who = "the application";
    if (!who)
        return BERTH_OK;
    char old_text[512], new_text[512];
    berth_signature_print(wants, cell->name, old_text, sizeof old_text);
    if (!export)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s calls %s, which version %s no longer has", who, old_text,
                               manifest->version);
    return berth_error_set(
        error, BERTH_FAILED_PRECONDITION, "%s calls %s, but in version %s it is %s", who, old_text,
        manifest->version,
        berth_signature_print(export->signature, cell->name, new_text, sizeof new_text));
}

/* Modules that require this one must accept the new version. */
static int compare_ranges(struct transaction *t, struct berth_error *error)
{
    const struct berth_manifest *next = t->next->image->manifest;
    berth_list_each(&t->host->order, link) {
        struct berth_module *other = berth_container(link, struct berth_module, link);
        const struct berth_manifest *manifest = other->current->image->manifest;
        for (size_t i = 0; i < manifest->require_count; i++)
            if (other != t->module && strcmp(manifest->requires[i].module, t->module->name) == 0 &&
                !berth_semver_range_holds(&manifest->requires[i].parsed, &next->semver))
                return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                       "%s requires %s %s, but the new version is %s", other->name,
                                       t->module->name, manifest->requires[i].range, next->version);
    }
    return BERTH_OK;
}

/* Before anything else of it is looked at: another module has other options, too. */
static int compare_name(struct transaction *t, const struct berth_image *image,
                        struct berth_error *error)
{
    const char *old = t->old->image->manifest->name, *next = image->manifest->name;
    if (strcmp(old, next) == 0)
        return BERTH_OK;
    step(t, "compare");
    return berth_error_set(error, BERTH_FAILED_PRECONDITION, "%s is module %s, not %s", image->file,
                           next, old);
}

/* Handles stand for objects of the old generation. */
static int check_handles(struct transaction *t, struct berth_error *error)
{
    char holders[256];
    pthread_mutex_lock(&t->host->lock);
    size_t alive = t->module->handles;
    pthread_mutex_unlock(&t->host->lock);
    if (!alive)
        return BERTH_OK;
    berth_handles_print(t->module, holders, sizeof holders);
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "%s has live handles, %zu in all (%s): close them first; if nobody can, "
                           "unload it",
                           t->module->name, alive, holders);
}

static int compare(struct transaction *t, struct berth_error *error)
{
    const struct berth_manifest *old = t->old->image->manifest, *next = t->next->image->manifest;
    step(t, "compare");
    if (t->was_running && old->hooks[BERTH_HOOK_SAVE] && !next->hooks[BERTH_HOOK_RESTORE])
        return berth_error_set(
            error, BERTH_FAILED_PRECONDITION,
            "%s has state, but version %s has no BERTH_RESTORE: unload it if the state may go",
            t->module->name, next->version);
    int code = check_handles(t, error);
    if (code != BERTH_OK)
        return code;
    pthread_mutex_lock(&t->host->lock);
    code = compare_ranges(t, error);
    berth_list_each(&t->module->cells, link) {
        if (code == BERTH_OK)
            code = compare_cell(t, berth_container(link, struct berth_cell, of_module), error);
    }
    pthread_mutex_unlock(&t->host->lock);
    if (code == BERTH_OK)
        code = berth_generation_check(t->next, error);
    return code == BERTH_OK ? berth_topics_check(t->next, t->old, error) : code;
}

/* ---- start ---- */

static int start(struct transaction *t, struct berth_error *error)
{
    step(t, "start");
    int code = berth_topics_prepare(t->next, error);
    if (code == BERTH_OK)
        code = berth_generation_open(t->next, error);
    if (code == BERTH_OK) {
        code = berth_hook_invoke(t->admin, t->next, BERTH_HOOK_START, NULL, NULL, error);
        t->next->owed_stop = code == BERTH_OK;
        if (code != BERTH_OK)
            berth_error_prefix(error, "START of the new version failed: ");
    }
    return code;
}

/* ---- hand over ---- */

/* New calls wait from here on. */
static void gate_all(struct transaction *t)
{
    struct berth_module *module = t->module;
    pthread_mutex_lock(&t->host->lock);
    module->waited = 0;
    module->longest_wait = 0;
    module->swapping = true;
    module->swap_chain = berth_block(t->admin)->chain;
    berth_module_shut(module);
    pthread_mutex_unlock(&t->host->lock);
    berth_mailbox_pause(module);
}

static int gate_take(struct transaction *t, struct berth_error *error)
{
    char target[BERTH_FRAME_NAME];
    struct berth_gate_entry entry = { .ctx = t->admin, .deadline = t->deadline, .target = target };
    snprintf(target, sizeof target, "%s (reload)", t->module->name);
    int code = berth_gate_lock(&t->module->gate, &entry, error);
    if (code == BERTH_ABORTED)
        berth_error_prefix(error, "%s: ", t->module->name);
    return code;
}

/* Nobody is inside the old generation: by the gate of a serial module, else by its frames. */
static int wait_inside(struct transaction *t, bool stateful, struct berth_error *error)
{
    const struct berth_manifest *old = t->old->image->manifest;
    bool is_inline = t->old->placement == &berth_carrier_inline;
    bool quiet = true;
    /*
     * Without state old and new may run side by side: callers are not kept waiting for a barrier.
     */
    if (is_inline && !old->parallel) {
        int code = gate_take(t, error);
        if (code == BERTH_ABORTED)
            return code;
        quiet = t->gated = code == BERTH_OK;
    } else if (stateful) {
        berth_frames_barrier();
        quiet = berth_generation_quiet(t->old, t->deadline);
    }
    if (quiet)
        return BERTH_OK;
    return berth_error_set(
        error, BERTH_DEADLINE_EXCEEDED,
        "%s: %zu calls were still inside at the deadline; it goes on", t->module->name,
        berth_frames_count(&t->host->threads, berth_generation_holds, t->old, &t->old->stopping));
}

static int hand_over(struct transaction *t, struct berth_error *error)
{
    const struct berth_manifest *old = t->old->image->manifest;
    bool stateful = t->was_running && old->hooks[BERTH_HOOK_SAVE];
    step(t, "handover");
    t->deadline = berth_stop_deadline(t->host); /* START may have taken its time */
    gate_all(t);
    int code = wait_inside(t, stateful, error);
    if (code == BERTH_OK)
        code = check_handles(t, error); /* the old generation has served until here */
    if (code != BERTH_OK || !stateful)
        return code;
    berth_bytes state = { NULL, 0 };
    uint32_t version = old->state_version;
    code = berth_hook_invoke(t->admin, t->old, BERTH_HOOK_SAVE, NULL, &state, error);
    if (code != BERTH_OK)
        return berth_error_prefix(error, "SAVE failed: ");
    t->report->state_bytes = state.size;
    t->report->state_version = version;
    const void *arguments[] = { &version, &state };
    code = berth_hook_invoke(t->admin, t->next, BERTH_HOOK_RESTORE, arguments, NULL, error);
    if (code != BERTH_OK)
        berth_error_prefix(error, "RESTORE of the new version failed: ");
    return code;
}

/* Back to the old generation, as if nothing had happened. */
static void undo(struct transaction *t)
{
    struct berth_module *module = t->module;
    pthread_mutex_lock(&t->host->lock);
    bool swapping = module->swapping;
    if (swapping && module->state == BERTH_MODULE_RUNNING)
        berth_module_open(module, t->old);
    module->swapping = false;
    pthread_cond_broadcast(&t->host->changed);
    pthread_mutex_unlock(&t->host->lock);
    if (t->gated)
        berth_gate_unlock(&module->gate, t->admin);
    if (swapping && module->state == BERTH_MODULE_RUNNING) {
        berth_generation_serve(t->old);
        berth_module_resume(module);
    }
    berth_generation_end(t->admin, t->next, berth_stop_deadline(t->host), NULL, 0);
}

/* ---- switch and drain ---- */

static void switch_over(struct transaction *t)
{
    struct berth_module *module = t->module;
    step(t, "switch");
    t->report->in_flight =
        berth_frames_count(&t->host->threads, berth_generation_holds, t->old, &t->old->stopping);
    berth_topics_switch(t->next, t->old);
    t->report->messages = berth_mailbox_count(module).messages;
    pthread_mutex_lock(&t->host->lock);
    berth_generation_set_stopping(t->old);
    __atomic_store_n(&module->current, t->next, __ATOMIC_RELEASE);
    module->state = BERTH_MODULE_RUNNING;
    module->why[0] = '\0';
    berth_restart_init(&module->restart, &t->restart);
    berth_module_open(module, t->next);
    module->swapping = false;
    berth_module_see_death(module);
    pthread_cond_broadcast(&t->host->changed);
    pthread_mutex_unlock(&t->host->lock);
    if (t->gated)
        berth_gate_unlock(&module->gate, t->admin);
    berth_generation_serve(t->next);
    berth_module_resume(module);
}

static void drain(struct transaction *t)
{
    struct berth_reload_report *report = t->report;
    step(t, "drain");
    berth_frames_barrier();
    if (berth_generation_quiet(t->old, t->deadline)) {
        berth_generation_end(t->admin, t->old, t->deadline, report->kept, sizeof report->kept);
    } else {
        snprintf(report->kept, sizeof report->kept,
                 "%zu calls are still inside; it goes when they have ended",
                 berth_frames_count(&t->host->threads, berth_generation_holds, t->old,
                                    &t->old->stopping));
        berth_generation_linger(t->old, report->kept);
    }
    report->unmapped = report->kept[0] == '\0';
    step(t, "done");
}

/* The new generation as it is wanted: what is not said is as in the old one. */
static int make_next(struct transaction *t, const struct berth_reload *reload,
                     struct berth_error *error)
{
    struct berth_generation_setup setup = { reload->image, t->module, t->old->placement,
                                            reload->options ? reload->options
                                                            : t->old->options_given };
    int code = compare_name(t, reload->image, error);
    if (code == BERTH_OK && reload->placement)
        code = berth_placement_find(reload->placement, &setup.placement, error);
    if (code == BERTH_OK)
        code = berth_restart_policy_read(
            reload->restart ? reload->restart : &t->module->restart.policy, &t->restart, error);
    if (code != BERTH_OK) {
        berth_image_free(reload->image);
        return code;
    }
    return berth_generation_new(t->host, &setup, &t->next, error);
}

int berth_module_reload(berth_ctx *admin, struct berth_module *module,
                        const struct berth_reload *reload, struct berth_reload_report *report,
                        struct berth_error *error)
{
    struct berth_host *host = module->host;
    struct transaction t = {
        .admin = admin, .host = host, .module = module, .old = module->current, .report = report
    };
    t.was_running = t.old->carrier != NULL && module->state == BERTH_MODULE_RUNNING;
    if (berth_generation_inside(admin, t.old)) {
        berth_image_free(reload->image);
        return berth_error_set(error, BERTH_ABORTED,
                               "%s cannot be reloaded from inside of a call of its own",
                               module->name);
    }
    int code = make_next(&t, reload, error);
    if (code != BERTH_OK)
        return code;
    berth_module_label(t.next, report->to, sizeof report->to);
    code = compare(&t, error);
    if (code == BERTH_OK)
        code = start(&t, error);
    if (code == BERTH_OK)
        code = hand_over(&t, error);
    if (code != BERTH_OK) {
        undo(&t);
        return code;
    }
    switch_over(&t);
    berth_host_log(host, NULL, BERTH_LOG_DEBUG, "%s is replaced by %s (%s)", report->from,
                   report->to, t.next->placement->name);
    berth_event_of(t.next, BERTH_EVENT_RELOADED, report->from);
    drain(&t);
    pthread_mutex_lock(&host->lock);
    report->waited = module->waited;
    report->longest_wait_ns = module->longest_wait;
    pthread_mutex_unlock(&host->lock);
    return BERTH_OK;
}
