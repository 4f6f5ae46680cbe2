/* SPDX-License-Identifier: MIT */
/*
 * Reload, a transaction: stage → compare → start → hand over → switch → drain, of one module or of
 * several together, all or none. Until the switch everything can be undone, and the old generations
 * serve; from the switch on nothing can fail.
 */
#include "runtime/base/memory.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/core/call.h"
#include "runtime/core/event.h"
#include "runtime/core/generation.h"
#include "runtime/core/handle.h"
#include "runtime/core/log.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/registry.h"
#include "runtime/core/started.h"
#include "runtime/core/topic.h"
#include "runtime/reload/compare.h"
#include "runtime/reload/inside.h"
#include "runtime/reload/quarantine.h"
#include "runtime/reload/state.h"

#include <stdio.h>
#include <string.h>

struct transaction {
    berth_ctx *admin;
    struct berth_host *host;
    struct berth_replacement *members; /* those that call others of them come first */
    size_t count;
    bool dry; /* nothing runs */
};

/* name: short enough. */
static void step_to(struct berth_replacement *one, const char *name)
{
    strcpy(one->report->step, name);
}

static bool is_inline(const struct berth_generation *generation)
{
    return generation->placement == &berth_carrier_inline;
}

/* ---- the new generation ---- */

/* As it is wanted: what is not said is as in the old one. The image is taken. */
static int make_next(struct berth_replacement *one, const struct berth_reload *reload,
                     struct berth_error *error)
{
    struct berth_host *host = one->module->host;
    struct berth_generation_setup setup = { reload->image, one->module, one->old->placement,
                                            reload->options ? reload->options
                                                            : one->old->options_given,
                                            reload->probe };
    int code = reload->placement ? berth_placement_find(reload->placement, &setup.placement, error)
                                 : BERTH_OK;
    if (code == BERTH_OK)
        code = berth_restart_policy_read(
            reload->restart ? reload->restart : &one->module->restart.policy, &one->restart, error);
    if (code == BERTH_OK) {
        step_to(one, "compare");
        code = berth_compare_name(one->old, reload->image, error);
    }
    if (code != BERTH_OK) {
        berth_image_free(reload->image);
        return code;
    }
    code = berth_generation_new(host, &setup, &one->next, error);
    if (code == BERTH_OK)
        code = berth_history_new(one->old, &one->past, error);
    if (code != BERTH_OK)
        return code;
    berth_module_label(one->next, one->report->to, sizeof one->report->to);
    pthread_mutex_lock(&host->lock);
    one->module->next = one->next;
    pthread_mutex_unlock(&host->lock);
    return BERTH_OK;
}

static int start(struct berth_replacement *one, struct berth_error *error)
{
    step_to(one, "start");
    int code = berth_generation_probe(one->next, error);
    if (code == BERTH_OK)
        code = berth_topics_prepare(one->next, error);
    if (code == BERTH_OK)
        code = berth_generation_open(one->next, error);
    if (code == BERTH_OK) {
        code = berth_hook_invoke(one->admin, one->next, BERTH_HOOK_START, NULL, NULL, error);
        one->next->owed_stop = code == BERTH_OK;
        if (code != BERTH_OK)
            berth_error_prefix(error, "START of the new version failed: ");
    }
    return code;
}

/* ---- hand over ---- */

/* New calls wait from here on. */
static void shut(struct berth_replacement *one)
{
    struct berth_module *module = one->module;
    pthread_mutex_lock(&module->host->lock);
    __atomic_store_n(&module->waited, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&module->longest_wait, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&module->swap_began, berth_now(), __ATOMIC_RELAXED);
    module->swapping = true;
    module->swap_chain = berth_block(one->admin)->chain;
    __atomic_store_n(&module->host->shut_chain, module->swap_chain, __ATOMIC_RELAXED);
    berth_module_shut(module);
    pthread_mutex_unlock(&module->host->lock);
    berth_mailbox_pause(module);
    one->shut = true;
}

static int take_gate(struct berth_replacement *one, struct berth_error *error)
{
    char target[BERTH_FRAME_NAME];
    struct berth_gate_entry entry = { .ctx = one->admin, .target = target };
    int code;
    snprintf(target, sizeof target, "%s (reload)", one->module->name);
    do { /* who is inside may wait for a restart */
        entry.deadline = berth_restarts_pause(one->deadline);
        code = berth_gate_lock(&one->module->gate, &entry, error);
        if (code == BERTH_DEADLINE_EXCEEDED)
            berth_restarts_run(one->admin, one->module->host);
    } while (code == BERTH_DEADLINE_EXCEEDED && entry.deadline < one->deadline);
    if (code == BERTH_ABORTED)
        berth_error_prefix(error, "%s: ", one->module->name);
    return code;
}

/* Nobody is inside the old generation: by the gate of a serial module, else by its frames. */
static int wait_inside(struct berth_replacement *one, bool all, struct berth_error *error)
{
    const struct berth_manifest *old = one->old->image->manifest;
    char where[BERTH_INSIDE_MAX], timeout[BERTH_TIME_MAX];
    bool quiet = true;
    /*
     * Without state old and new may run side by side: callers are not kept waiting for a barrier.
     */
    if (is_inline(one->old) && !old->parallel) {
        int code = take_gate(one, error);
        if (code == BERTH_ABORTED)
            return code;
        quiet = one->gated = code == BERTH_OK;
    } else if (all) {
        berth_frames_barrier();
        quiet = berth_generation_left(one->admin, one->old, one->deadline);
    }
    if (quiet && all)
        quiet = berth_generation_answered(one->admin, one->old, one->deadline);
    if (quiet)
        return BERTH_OK;
    size_t inside = berth_inside_count(one->old);
    if (berth_now() < one->deadline) /* it gives way */
        return berth_error_set(
            error, BERTH_ABORTED, "%s: %zu %s for its reload; it goes on", one->module->name,
            inside,
            berth_plural(inside, "call is inside that waits", "calls are inside that wait"));
    return berth_error_set(
        error, BERTH_DEADLINE_EXCEEDED,
        "%s: %zu %s still inside after the stop_timeout of %s s%s; it goes on%s", one->module->name,
        inside, berth_plural(inside, "call was", "calls were"),
        berth_time_print_exact(one->module->host->options.stop_timeout_ns, timeout),
        berth_inside_where(one->old, where),
        berth_inside_can_be_killed(one->old) ? ": an unload would end its worker" : "");
}

/* together: with others, none of which may be inside of it when these are replaced. */
static int hand_over(struct berth_replacement *one, bool together, struct berth_error *error)
{
    bool stateful = berth_state_has(one);
    step_to(one, "handover");
    one->deadline = berth_stop_deadline(one->module->host); /* START may have taken its time */
    shut(one);
    int code = wait_inside(one, stateful || together, error);
    if (code == BERTH_OK)
        code = berth_state_check_handles(one, error); /* it has served until here */
    if (code == BERTH_OK && stateful)
        code = berth_state_hand_over(one, error);
    return code == BERTH_OK ? berth_state_check_restored(one, error) : code;
}

/* Back to the old generation, as if nothing had happened. */
static void reopen(struct berth_replacement *one)
{
    struct berth_module *module = one->module;
    __atomic_store_n(&one->old->leaving, false, __ATOMIC_RELAXED);
    pthread_mutex_lock(&module->host->lock);
    if (one->shut && module->state == BERTH_MODULE_RUNNING)
        berth_module_open(module, one->old);
    module->swapping = false;
    module->swap_chain = 0;
    __atomic_store_n(&module->host->shut_chain, 0, __ATOMIC_RELAXED);
    berth_handles_switch(module, one->next, false);
    module->next = NULL;
    pthread_cond_broadcast(&module->host->changed);
    pthread_mutex_unlock(&module->host->lock);
    if (one->gated)
        berth_gate_unlock(&module->gate, one->admin);
    if (one->shut && module->state == BERTH_MODULE_RUNNING) {
        berth_generation_serve(one->old);
        berth_module_resume(module);
    }
}

int berth_module_save(berth_ctx *admin, struct berth_module *module, struct berth_state *ret_state,
                      struct berth_error *error)
{
    struct berth_reload_report report = { 0 };
    struct berth_replacement one = { .admin = admin,
                                     .module = module,
                                     .old = module->current,
                                     .report = &report,
                                     .deadline = berth_stop_deadline(module->host) };
    if (!one.old->image->manifest->hooks[BERTH_HOOK_SAVE])
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s has no BERTH_SAVE that would give its state", module->name);
    if (!one.old->carrier || module->state != BERTH_MODULE_RUNNING)
        return berth_error_set(error, BERTH_UNAVAILABLE, "%s: %s", module->name, module->why);
    shut(&one);
    int code = wait_inside(&one, true, error);
    if (code == BERTH_OK)
        code = berth_state_save(&one, ret_state, error);
    reopen(&one);
    return code;
}

static void undo(const struct transaction *t)
{
    for (size_t i = 0; i < t->count; i++)
        reopen(&t->members[i]);
    for (size_t i = 0; i < t->count; i++) {
        struct berth_replacement *one = &t->members[i];
        berth_history_free(one->past);
        if (!one->next)
            continue;
        berth_generation_end(t->admin, one->next, berth_stop_deadline(t->host), NULL);
    }
}

/* ---- switch and drain ---- */

/* host->lock held, as for all that are replaced together: nobody sees one new, then another old. */
static void take_place(struct berth_replacement *one)
{
    struct berth_module *module = one->module;
    berth_generation_set_stopping(one->old);
    __atomic_store_n(&module->current, one->next, __ATOMIC_RELEASE);
    berth_requires_count(one->old, false);
    berth_requires_count(one->next, true);
    berth_handles_switch(module, one->next, true);
    module->next = NULL;
    module->state = BERTH_MODULE_RUNNING;
    module->why[0] = '\0';
    berth_restart_init(&module->restart, &one->restart);
    if (!one->gated) /* it may be left by chains that come back first */
        berth_elder_begin(one->old);
    berth_module_open(module, one->next);
    module->swapping = false;
    __atomic_store_n(&module->host->shut_chain, 0, __ATOMIC_RELAXED);
    berth_module_see_death(module, &one->death);
}

static void serve(struct berth_replacement *one)
{
    if (one->gated)
        berth_gate_unlock(&one->module->gate, one->admin);
    berth_generation_serve(one->next);
    berth_module_resume(one->module);
}

static void switch_over(const struct transaction *t)
{
    for (size_t i = 0; i < t->count; i++) {
        struct berth_replacement *one = &t->members[i];
        step_to(one, "switch");
        one->report->in_flight = berth_inside_count(one->old);
        berth_topics_switch(one->next, one->old);
        one->report->messages = berth_mailbox_waiting(one->module);
    }
    pthread_mutex_lock(&t->host->lock);
    for (size_t i = 0; i < t->count; i++)
        take_place(&t->members[i]);
    pthread_cond_broadcast(&t->host->changed);
    pthread_mutex_unlock(&t->host->lock);
    berth_started_wake(t->host); /* threads of the old ones wait for nothing any more */
    for (size_t i = 0; i < t->count; i++)
        serve(&t->members[i]);
}

/* What became of the calls that were inside at the switch: each is one of three. */
static void account(struct berth_replacement *one, size_t inside, uint64_t lost)
{
    struct berth_reload_report *report = one->report;
    lost -= one->lost;
    report->dropped = lost;
    report->drained = report->in_flight > lost + inside ? report->in_flight - lost - inside : 0;
}

static void drain(struct berth_replacement *one)
{
    struct berth_reload_report *report = one->report;
    step_to(one, "drain");
    berth_frames_barrier();
    bool quiet = berth_generation_left(one->admin, one->old, one->deadline);
    if (!quiet && berth_now() >= one->deadline) /* else it gives way: what is inside waits for it */
        quiet = berth_inside_kill(one->old);
    if (quiet) {
        struct berth_ended ended = { report->quarantined, sizeof report->quarantined, 0 };
        berth_elder_end(one->old);
        berth_generation_end(one->admin, one->old, one->deadline, &ended);
        account(one, 0, ended.lost);
    } else {
        size_t inside = berth_inside_count(one->old);
        account(one, inside, __atomic_load_n(&one->old->lost, __ATOMIC_RELAXED));
        struct berth_doubt doubt = { .lasts = BERTH_DOUBT_WHILE };
        snprintf(doubt.text, sizeof doubt.text, "%zu %s still inside; it goes when nothing is",
                 inside, berth_plural(inside, "call is", "calls are"));
        berth_quarantine_enter(one->old, &doubt);
        snprintf(report->quarantined, sizeof report->quarantined, "%s", doubt.text);
    }
    report->unmapped = report->quarantined[0] == '\0';
    step_to(one, "done");
}

/* ---- the whole ---- */

/* Both as they are going to be. */
static bool calls(const struct berth_replacement *one, const struct berth_replacement *other)
{
    const struct berth_manifest *manifest = one->next->image->manifest;
    for (size_t i = 0; i < manifest->import_count; i++)
        if (strcmp(manifest->imports[i].module, other->module->name) == 0)
            return true;
    return false;
}

/*
 * Who calls others of them is emptied first, or what is inside of it would wait for these. Those
 * that call each other have no right order: then a call that is inside may have the transaction
 * wait until the deadline, and be refused.
 */
static void sort(const struct transaction *t)
{
    for (size_t i = 0; i < t->count; i++) {
        size_t first = i;
        for (size_t k = i; k < t->count; k++) {
            bool called = false;
            for (size_t other = i; other < t->count; other++)
                called |= other != k && calls(&t->members[other], &t->members[k]);
            if (!called) {
                first = k;
                break;
            }
        }
        struct berth_replacement one = t->members[i];
        t->members[i] = t->members[first];
        t->members[first] = one;
    }
}

/* In the words of which module, where there are several. */
static int blame(const struct transaction *t, const struct berth_replacement *one, int code,
                 struct berth_error *error)
{
    if (code != BERTH_OK && t->count > 1)
        berth_error_prefix(error, "%s (refused in step %s): ", one->module->name,
                           one->report->step);
    return code;
}

static int each(const struct transaction *t,
                int (*run)(struct berth_replacement *one, struct berth_error *error),
                struct berth_error *error)
{
    int code = BERTH_OK;
    for (size_t i = 0; i < t->count && code == BERTH_OK; i++)
        code = blame(t, &t->members[i], run(&t->members[i], error), error);
    return code;
}

static int compare_offers(struct berth_replacement *one, struct berth_error *error)
{
    return berth_compare_offers(one, error);
}

static int compare_wants(struct berth_replacement *one, struct berth_error *error)
{
    return berth_compare_wants(one, error);
}

static int hand_over_alone(struct berth_replacement *one, struct berth_error *error)
{
    return hand_over(one, false, error);
}

static int hand_over_together(struct berth_replacement *one, struct berth_error *error)
{
    return hand_over(one, true, error);
}

/*
 * Its worker may have ended since START and RESTORE: the old one still serves, with its state. Who
 * ends after this has served already, as far as anybody can tell.
 */
static int check_lives(struct berth_replacement *one, struct berth_error *error)
{
    struct berth_host *host = one->module->host;
    int code = BERTH_OK;
    pthread_mutex_lock(&host->lock);
    if (one->next->dead)
        code = berth_error_set(error, BERTH_UNAVAILABLE,
                               "the new version's worker %s before it could serve", one->next->why);
    pthread_mutex_unlock(&host->lock);
    return code;
}

static int make_all(const struct transaction *t, struct berth_reload *reloads,
                    struct berth_error *error)
{
    int code = BERTH_OK;
    for (size_t i = 0; i < t->count; i++) {
        struct berth_image *image = reloads[i].image;
        reloads[i].image = NULL;
        if (code != BERTH_OK) {
            berth_image_free(image);
            continue;
        }
        struct berth_reload reload = reloads[i];
        reload.image = image;
        code = blame(t, &t->members[i], make_next(&t->members[i], &reload, error), error);
    }
    return code;
}

static void begin(const struct transaction *t, const struct berth_reload *reloads)
{
    pthread_mutex_lock(&t->host->lock); /* a worker may end just now */
    for (size_t i = 0; i < t->count; i++) {
        struct berth_module *module = reloads[i].module;
        struct berth_generation *old = module->current;
        t->members[i] = (struct berth_replacement){
            .admin = t->admin,
            .module = module,
            .old = old,
            .report = reloads[i].report,
            .state = reloads[i].state,
            .lost = __atomic_load_n(&old->lost, __ATOMIC_RELAXED),
            .was_running = old->carrier != NULL && module->state == BERTH_MODULE_RUNNING,
        };
    }
    pthread_mutex_unlock(&t->host->lock);
}

static int prepare(const struct transaction *t, struct berth_reload *reloads,
                   struct berth_error *error)
{
    begin(t, reloads);
    int code = make_all(t, reloads, error);
    if (code == BERTH_OK)
        code = berth_quarantine_check(t->host, error);
    if (code == BERTH_OK)
        sort(t);
    if (code == BERTH_OK)
        code = each(t, compare_offers, error);
    if (code == BERTH_OK)
        code = each(t, compare_wants, error);
    if (code == BERTH_OK && !t->dry)
        code = each(t, start, error);
    if (code == BERTH_OK && !t->dry)
        code = each(t, t->count > 1 ? hand_over_together : hand_over_alone, error);
    if (code == BERTH_OK && !t->dry)
        code = each(t, check_lives, error);
    return code;
}

/* Nothing of it can fail. */
static void complete(const struct transaction *t)
{
    switch_over(t);
    for (size_t i = 0; i < t->count; i++) {
        const struct berth_replacement *one = &t->members[i];
        berth_event_of(one->next, BERTH_EVENT_RELOADED, one->report->from);
        berth_module_tell_death(one->next, &one->death);
    }
    for (size_t i = 0; i < t->count; i++) {
        berth_history_add(t->members[i].past);
        drain(&t->members[i]);
    }
    pthread_mutex_lock(&t->host->lock);
    for (size_t i = 0; i < t->count; i++) {
        const struct berth_replacement *one = &t->members[i];
        one->report->waited = __atomic_load_n(&one->module->waited, __ATOMIC_RELAXED);
        one->report->longest_wait_ns =
            __atomic_load_n(&one->module->longest_wait, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&t->host->lock);
}

int berth_modules_reload(berth_ctx *admin, struct berth_reload *reloads, size_t count, bool dry,
                         struct berth_error *error)
{
    struct berth_replacement only;
    struct transaction t = {
        .admin = admin,
        .host = reloads[0].module->host,
        .members = count == 1 ? &only : berth_calloc(count, sizeof *t.members),
        .count = count,
        .dry = dry,
    };
    if (!t.members) {
        for (size_t i = 0; i < count; i++)
            berth_image_free(reloads[i].image);
        return berth_error_nomem(error);
    }
    int code = prepare(&t, reloads, error);
    if (code != BERTH_OK || dry)
        undo(&t);
    else
        complete(&t);
    if (t.members != &only)
        berth_free(t.members);
    return code;
}
