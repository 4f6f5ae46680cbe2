/* SPDX-License-Identifier: MIT */
#include "runtime/reload/compare.h"
#include "runtime/core/registry.h"
#include "runtime/core/topic.h"
#include "runtime/reload/state.h"

#include <stdio.h>
#include <string.h>

int berth_compare_name(const struct berth_generation *old, const struct berth_image *image,
                       struct berth_error *error)
{
    const char *is = old->image->manifest->name, *next = image->manifest->name;
    if (strcmp(is, next) == 0)
        return BERTH_OK;
    return berth_error_set(error, BERTH_FAILED_PRECONDITION, "%s is module %s, not %s", image->file,
                           next, is);
}

/* ---- functions, as they are bound ---- */

/* Somebody who calls it as `wanted`. export NULL: the new version has no such function. */
static int refuse_caller(const struct berth_cell *cell, const char *caller,
                         const struct berth_signature *wanted,
                         const struct berth_manifest_export *export, const char *version,
                         struct berth_error *error)
{
    char text[600];
    if (!export)
        return berth_error_set(
            error, BERTH_FAILED_PRECONDITION, "%s calls %s, which version %s no longer has", caller,
            berth_signature_print(wanted, cell->name, text, sizeof text), version);
    return berth_error_set(
        error, BERTH_FAILED_PRECONDITION, "%s calls %s, %s", caller, cell->name,
        berth_signature_difference(wanted, export->signature, version, text, sizeof text));
}

static bool imports(const struct berth_manifest *manifest, const char *function,
                    const struct berth_signature *signature)
{
    for (size_t i = 0; i < manifest->import_count; i++)
        if (strcmp(manifest->imports[i].name, function) == 0)
            return strcmp(manifest->imports[i].signature->identity, signature->identity) == 0;
    return false;
}

/* One that is replaced as well is to blame for what it wants otherwise than before: wants. */
static bool edge_stays(const struct berth_edge *edge)
{
    const struct berth_generation *importer = edge->importer;
    if (edge->fit == BERTH_FIT_NOT)
        return false;
    if (!importer || !importer->module->next || importer != importer->module->current)
        return true;
    return imports(importer->module->next->image->manifest, edge->cell->name, edge->signature);
}

static int compare_edges(const struct berth_cell *cell, const struct berth_manifest_export *export,
                         const char *version, struct berth_error *error)
{
    berth_list_each(&cell->edges, link) {
        const struct berth_edge *edge = berth_container(link, struct berth_edge, of_cell);
        if (edge_stays(edge) &&
            (!export ||
             berth_signature_fit(edge->signature->identity, export->signature) == BERTH_FIT_NOT))
            return refuse_caller(cell,
                                 edge->importer ? edge->importer->module->name : "the application",
                                 edge->signature, export, version, error);
    }
    return BERTH_OK;
}

/* Handles of the application's; those of an earlier version that it adapts to count, too. */
static int compare_functions(const struct berth_cell *cell,
                             const struct berth_manifest_export *export, const char *version,
                             struct berth_error *error)
{
    const struct berth_signature *now = berth_cell_signature(cell);
    berth_list_each(&cell->functions, link) {
        const struct berth_function *function =
            berth_container(link, struct berth_function, of_cell);
        if (!now || berth_signature_fit(function->identity, now) == BERTH_FIT_NOT)
            continue;
        if (!export || berth_signature_fit(function->identity, export->signature) == BERTH_FIT_NOT)
            return refuse_caller(cell, "the application", now, export, version, error);
    }
    return BERTH_OK;
}

/* host->lock held */
static int compare_cells(const struct berth_replacement *one, struct berth_error *error)
{
    const struct berth_manifest *manifest = one->next->image->manifest;
    int code = BERTH_OK;
    berth_list_each(&one->module->cells, link) {
        const struct berth_cell *cell = berth_container(link, struct berth_cell, of_module);
        const struct berth_manifest_export *export =
            berth_manifest_find_export(manifest, cell->function);
        if (code == BERTH_OK)
            code = compare_edges(cell, export, manifest->version, error);
        if (code == BERTH_OK)
            code = compare_functions(cell, export, manifest->version, error);
    }
    return code;
}

/* ---- versions ---- */

static bool requires(const struct berth_manifest *manifest, const char *module, const char *range)
{
    for (size_t i = 0; i < manifest->require_count; i++)
        if (strcmp(manifest->requires[i].module, module) == 0 &&
            strcmp(manifest->requires[i].range, range) == 0)
            return true;
    return false;
}

/*
 * Modules that require this one must accept the new version; one that is replaced as well, and did
 * not say so before: wants. host->lock held.
 */
static int compare_ranges(const struct berth_replacement *one, struct berth_error *error)
{
    const struct berth_manifest *next = one->next->image->manifest;
    const char *name = one->module->name;
    berth_list_each(&one->module->host->order, link) {
        const struct berth_module *other = berth_container(link, struct berth_module, link);
        const struct berth_manifest *manifest = berth_module_coming(other);
        for (size_t i = 0; i < manifest->require_count; i++)
            if (other != one->module && strcmp(manifest->requires[i].module, name) == 0 &&
                requires(other->current->image->manifest, name, manifest->requires[i].range) &&
                !berth_semver_range_holds(&manifest->requires[i].parsed, &next->semver))
                return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                       "%s requires %s %s, but the new version is %s", other->name,
                                       one->module->name, manifest->requires[i].range,
                                       next->version);
    }
    return BERTH_OK;
}

/* ---- topics of modules that are replaced together; those of all others: core/topic.h ---- */

/* What one publishes, against what the other one is going to publish and to subscribe to. */
static int compare_topic(const struct berth_module *one,
                         const struct berth_manifest_topic *declared,
                         const struct berth_module *other, struct berth_error *error)
{
    const struct berth_manifest *manifest = other->next->image->manifest;
    const struct berth_topic_side publisher = { one->name, declared->signature };
    struct berth_topic_side side = { other->name, NULL };
    for (size_t i = 0; i < manifest->topic_count; i++)
        if (strcmp(manifest->topics[i].topic, declared->topic) == 0 &&
            strcmp(manifest->topics[i].signature->identity, declared->signature->identity) != 0)
            side.signature = manifest->topics[i].signature;
    for (size_t i = 0; i < manifest->subscribe_count; i++)
        if (!manifest->subscribes[i].any &&
            berth_pattern_matches(manifest->subscribes[i].pattern, declared->topic) &&
            strcmp(manifest->subscribes[i].signature->identity, declared->signature->identity) != 0)
            side.signature = manifest->subscribes[i].signature;
    return side.signature ? berth_topic_disagree(declared->topic, &publisher, &side, error)
                          : BERTH_OK;
}

static bool publishes(const struct berth_manifest *manifest,
                      const struct berth_manifest_topic *declared)
{
    for (size_t i = 0; i < manifest->topic_count; i++)
        if (strcmp(manifest->topics[i].topic, declared->topic) == 0)
            return strcmp(manifest->topics[i].signature->identity, declared->signature->identity) ==
                   0;
    return false;
}

/* What one publishes otherwise than before. */
static int compare_published(const struct berth_replacement *one, const struct berth_module *other,
                             struct berth_error *error)
{
    const struct berth_manifest *next = one->next->image->manifest;
    int code = BERTH_OK;
    for (size_t i = 0; i < next->topic_count && code == BERTH_OK; i++)
        if (!publishes(one->old->image->manifest, &next->topics[i]))
            code = compare_topic(one->module, &next->topics[i], other, error);
    return code;
}

/* When what all of them publish has been compared, the difference is in what one wants. */
static int compare_subscribed(const struct berth_replacement *one, const struct berth_module *other,
                              struct berth_error *error)
{
    const struct berth_manifest *manifest = other->next->image->manifest;
    int code = BERTH_OK;
    for (size_t i = 0; i < manifest->topic_count && code == BERTH_OK; i++)
        code = compare_topic(other, &manifest->topics[i], one->module, error);
    return code;
}

/* host->lock held */
static int compare_topics(const struct berth_replacement *one,
                          int (*with)(const struct berth_replacement *one,
                                      const struct berth_module *other, struct berth_error *error),
                          struct berth_error *error)
{
    int code = BERTH_OK;
    berth_list_each(&one->module->host->order, link) {
        const struct berth_module *other = berth_container(link, struct berth_module, link);
        if (other != one->module && other->next && code == BERTH_OK)
            code = with(one, other, error);
    }
    return code;
}

/* ---- all of it ---- */

int berth_compare_offers(const struct berth_replacement *one, struct berth_error *error)
{
    struct berth_host *host = one->module->host;
    int code = berth_image_check_abi(one->next->image, error);
    if (code == BERTH_OK)
        code = berth_generation_examine(one->next, one->old, error);
    if (code == BERTH_OK)
        code = berth_state_compare(one, error);
    if (code == BERTH_OK)
        code = berth_state_check_handles(one, error);
    if (code != BERTH_OK)
        return code;
    pthread_mutex_lock(&host->lock);
    code = compare_ranges(one, error);
    if (code == BERTH_OK)
        code = compare_cells(one, error);
    if (code == BERTH_OK)
        code = compare_topics(one, compare_published, error);
    pthread_mutex_unlock(&host->lock);
    return code;
}

int berth_compare_wants(const struct berth_replacement *one, struct berth_error *error)
{
    struct berth_host *host = one->module->host;
    int code = berth_generation_check(one->next, error);
    if (code == BERTH_OK)
        code = berth_topics_check(one->next, one->old, error);
    if (code != BERTH_OK)
        return code;
    pthread_mutex_lock(&host->lock);
    code = compare_topics(one, compare_subscribed, error);
    pthread_mutex_unlock(&host->lock);
    return code;
}
