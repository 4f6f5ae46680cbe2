/* SPDX-License-Identifier: MIT */
/* The application's bound calls: BERTH_BOUND of <berth/host.h>. */
#include <berth/host.h>

#include <string.h>

#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/core/flow.h"
#include "runtime/core/registry.h"

/* The types that the application may name: those of its own module, if it has provided one. */
static struct berth_types *application_types(berth_host *host)
{
    berth_list_each(&host->order, link) {
        struct berth_module *module = berth_container(link, struct berth_module, link);
        if (berth_image_is_application(module->current->image) && !module->swapping)
            return module->current->image->manifest->types;
    }
    return NULL;
}

/* "returns=f64\0param=f64:a:\0…" → signature, made in types. */
static int signature_read(struct berth_types *types, const char *text, size_t size,
                          const struct berth_signature **ret_signature, struct berth_error *error)
{
    struct berth_text_parameter parameters[BERTH_PARAMETERS_MAX];
    char *copy = berth_malloc(size + 1), *result = NULL;
    size_t count = 0;
    if (!copy)
        return berth_error_nomem(error);
    memcpy(copy, text, size);
    copy[size] = '\0';
    for (char *at = copy; at < copy + size && *at; at += strlen(at) + 1) {
        if (strncmp(at, "returns=", 8) == 0) {
            result = at + 8;
        } else if (strncmp(at, "param=", 6) == 0 && count < BERTH_PARAMETERS_MAX) {
            char *name = strchr(at, ':');
            char *doc = name ? strchr(name + 1, ':') : NULL;
            if (!doc)
                continue;
            *name = *doc = '\0';
            parameters[count++] = (struct berth_text_parameter){ at + 6, name + 1, doc + 1 };
            at = doc + 1; /* the last piece: the loop goes on behind it */
        }
    }
    int code = result ? berth_signature_new(types, result, parameters, count, ret_signature, error)
                      : berth_error_set(error, BERTH_INVALID_ARGUMENT,
                                        "this is not a signature of BERTH_BOUND");
    berth_free(copy);
    return code;
}

static void edge_free(struct berth_edge *edge)
{
    berth_types_free(edge->types);
    berth_aligned_free(edge);
}

/* The edge of a bound object, or NULL. Its link may not be looked at before it is bound. */
static struct berth_edge *find_bound(berth_host *host, const struct berth_link *link)
{
    berth_list_each(&host->bound, of_owner) {
        struct berth_edge *edge = berth_container(of_owner, struct berth_edge, of_owner);
        if (edge->link == link)
            return edge;
    }
    return NULL;
}

/* host->lock held */
static int bind_edge(berth_host *host, struct berth_edge *edge, const char *name,
                     struct berth_error *error)
{
    char wants[512], has[512];
    const struct berth_edge *other = find_bound(host, edge->link);
    if (other)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "this object is bound to %s: berth_unbind it before %s",
                               other->cell->name, name);
    struct berth_cell *cell = berth_cell_find(host, name, error);
    if (!cell)
        return berth_map_get(&host->cells, name) || berth_function_name_valid(name)
                   ? BERTH_NOT_FOUND
                   : BERTH_INVALID_ARGUMENT;
    const struct berth_signature *signature = berth_cell_signature(cell);
    edge->fit = berth_signature_fit(edge->signature->identity, signature);
    if (edge->fit == BERTH_FIT_NOT)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s is bound, but the module has %s",
                               berth_signature_print(edge->signature, name, wants, sizeof wants),
                               berth_signature_print(signature, name, has, sizeof has));
    edge->flow = berth_flow_obtain(host, "", NULL, cell->name);
    if (!edge->flow)
        return berth_error_nomem(error);
    edge->cell = cell;
    berth_list_append(&cell->edges, &edge->of_cell);
    berth_list_append(&host->bound, &edge->of_owner);
    return BERTH_OK;
}

int berth_host_bind(berth_host *host, const char *name, const char *signature, size_t size,
                    struct berth_link *link, struct berth_error *error)
{
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    /* Not by calloc, which does not know the alignment of the link in an edge. */
    struct berth_edge *edge = berth_aligned_alloc(_Alignof(struct berth_edge), sizeof *edge);
    if (edge)
        memset(edge, 0, sizeof *edge);
    if (!edge || !(edge->types = berth_types_new())) {
        berth_aligned_free(edge);
        return berth_error_nomem(error);
    }
    edge->link = link;
    berth_list_init(&edge->of_cell);
    berth_list_init(&edge->of_owner);
    pthread_mutex_lock(&host->lock);
    struct berth_types *application = application_types(host);
    int code = signature_read(edge->types, signature, size, &edge->signature, error);
    if (code != BERTH_OK && application) { /* it has structs */
        code = signature_read(application, signature, size, &edge->signature, error);
        berth_types_free(edge->types);
        edge->types = NULL;
    }
    if (code == BERTH_OK)
        code = bind_edge(host, edge, name, error);
    if (code == BERTH_OK) {
        link->record = signature;
        link->edge = edge;
        berth_edge_set(edge);
    }
    pthread_mutex_unlock(&host->lock);
    if (code != BERTH_OK)
        edge_free(edge);
    return code;
}

void berth_host_unbind(berth_host *host, struct berth_link *link)
{
    struct berth_edge *edge = link->edge;
    if (!edge || berth_process_is_forked())
        return;
    pthread_mutex_lock(&host->lock);
    berth_edge_remove(edge);
    berth_list_remove(&edge->of_owner);
    pthread_mutex_unlock(&host->lock);
    edge_free(edge);
}
