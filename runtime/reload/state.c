/* SPDX-License-Identifier: MIT */
#include "runtime/reload/state.h"
#include "runtime/core/call.h"
#include "runtime/core/handle.h"

#include <stdio.h>

/* ---- before anything has run ---- */

static bool is_saved(const struct berth_replacement *one)
{
    return !one->state && one->was_running && one->old->image->manifest->hooks[BERTH_HOOK_SAVE];
}

bool berth_state_has(const struct berth_replacement *one)
{
    return one->state || is_saved(one);
}

/* What it says that it reads, in words: "1, 2 and 3". */
static void print_versions(const struct berth_manifest *manifest, char *buffer, size_t size)
{
    size_t used = 0, count = manifest->restore_count;
    buffer[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        const char *between = i == 0 ? "" : i + 1 < count ? ", " : " and ";
        int more =
            snprintf(buffer + used, size - used, "%s%u", between, (unsigned)manifest->restores[i]);
        used += more > 0 ? (size_t)more : 0;
    }
}

static bool reads(const struct berth_manifest *manifest, uint32_t version)
{
    if (manifest->restore_count == 0) /* it does not say, so RESTORE itself will */
        return true;
    for (size_t i = 0; i < manifest->restore_count; i++)
        if (manifest->restores[i] == version)
            return true;
    return manifest->hooks[BERTH_HOOK_SAVE] && manifest->state_version == version;
}

int berth_state_compare(const struct berth_replacement *one, struct berth_error *error)
{
    const struct berth_manifest *next = one->next->image->manifest;
    char versions[200];
    if (!berth_state_has(one))
        return BERTH_OK;
    uint32_t version = one->state ? one->state->version : one->old->image->manifest->state_version;
    if (!next->hooks[BERTH_HOOK_RESTORE])
        return berth_error_set(
            error, BERTH_FAILED_PRECONDITION,
            "%s has state, but version %s has no BERTH_RESTORE: unload it if the state may go",
            one->module->name, next->version);
    if (reads(next, version))
        return BERTH_OK;
    print_versions(next, versions, sizeof versions);
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "the state of %s has version %u, but version %s of the module reads "
                           "only %s (BERTH_RESTORES): unload it if the state may go",
                           one->module->name, version, next->version, versions);
}

int berth_state_check_handles(const struct berth_replacement *one, struct berth_error *error)
{
    struct berth_module *module = one->module;
    char holders[256];
    pthread_mutex_lock(&module->host->lock);
    size_t alive = module->handles;
    pthread_mutex_unlock(&module->host->lock);
    if (!alive || (one->next->image->manifest->restores_handles && is_saved(one)))
        return BERTH_OK;
    berth_handles_print(module, holders, sizeof holders);
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "%s has live handles, %zu in all (%s): close them first; if nobody can, "
                           "unload it",
                           module->name, alive, holders);
}

int berth_state_check_restored(const struct berth_replacement *one, struct berth_error *error)
{
    struct berth_module *module = one->module;
    char holders[256];
    pthread_mutex_lock(&module->host->lock);
    size_t missing = module->handles ? berth_handles_missing(module, one->next) : 0;
    pthread_mutex_unlock(&module->host->lock);
    if (!missing)
        return BERTH_OK;
    berth_handles_print(module, holders, sizeof holders);
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "RESTORE of the new version has not brought back %zu of the handles of "
                           "%s (%s)",
                           missing, module->name, holders);
}

/* ---- handing over ---- */

int berth_state_save(const struct berth_replacement *one, struct berth_state *state,
                     struct berth_error *error)
{
    struct berth_generation *old = one->old;
    *state = (struct berth_state){ .version = old->image->manifest->state_version };
    int code = berth_hook_invoke(one->admin, old, BERTH_HOOK_SAVE, NULL, &state->bytes, error);
    return code == BERTH_OK ? code : berth_error_prefix(error, "SAVE failed: ");
}

int berth_state_hand_over(struct berth_replacement *one, struct berth_error *error)
{
    struct berth_state state;
    if (one->state)
        state = *one->state;
    int code = one->state ? BERTH_OK : berth_state_save(one, &state, error);
    if (code != BERTH_OK)
        return code;
    one->report->state_bytes = state.bytes.size;
    one->report->state_version = state.version;
    const void *arguments[] = { &state.version, &state.bytes };
    code = berth_hook_invoke(one->admin, one->next, BERTH_HOOK_RESTORE, arguments, NULL, error);
    return code == BERTH_OK ? code
                            : berth_error_prefix(error, "RESTORE of the new version failed: ");
}
