/* SPDX-License-Identifier: MIT */
#include "runtime/reload/order.h"

#include "runtime/base/map.h"
#include "runtime/base/memory.h"

#include <stdio.h>
#include <string.h>

/* Load number `to` waits for one that this is in the list of. */
struct edge {
    size_t to;
    struct edge *next;
    bool requires; /* else it only imports from it */
};

/* A load that has not come yet. */
struct node {
    const struct berth_load *load;
    struct edge *waited_by;
    size_t requires, imports; /* of others that have not come */
    bool came;
};

struct graph {
    struct node *nodes;
    size_t count;
    struct edge *edges;
    size_t edge_count;
    struct berth_map names; /* to nodes */
};

const char *berth_load_name(const struct berth_load *load)
{
    return load->name ? load->name : load->image->manifest->name;
}

/* ---- making the graph ---- */

static void graph_deinit(struct graph *graph)
{
    berth_map_deinit(&graph->names);
    berth_free(graph->edges);
    berth_free(graph->nodes);
}

static bool graph_init(struct graph *graph, const struct berth_load *loads, size_t count)
{
    size_t edges = 0;
    bool ok = true;
    berth_map_init(&graph->names);
    graph->nodes = berth_calloc(count + 1, sizeof *graph->nodes);
    graph->count = count;
    graph->edge_count = 0;
    for (size_t i = 0; i < count; i++)
        edges += loads[i].image->manifest->require_count + loads[i].image->manifest->import_count;
    graph->edges = berth_calloc(edges + 1, sizeof *graph->edges);
    ok = graph->nodes && graph->edges;
    for (size_t i = 0; i < count && ok; i++) {
        graph->nodes[i].load = &loads[i];
        ok = berth_map_set(&graph->names, berth_load_name(&loads[i]), &graph->nodes[i]);
    }
    return ok;
}

/* A module that is not among them is there already, or missed later. */
static void wait_for(struct graph *graph, struct node *node, const char *module, bool requires)
{
    struct node *on = berth_map_get(&graph->names, module);
    if (!on || on == node)
        return;
    struct edge *edge = &graph->edges[graph->edge_count++];
    *edge = (struct edge){ (size_t)(node - graph->nodes), on->waited_by, requires };
    on->waited_by = edge;
    if (requires)
    node->requires ++;
    else node->imports++;
}

static void connect(struct graph *graph)
{
    for (size_t i = 0; i < graph->count; i++) {
        struct node *node = &graph->nodes[i];
        const struct berth_manifest *manifest = node->load->image->manifest;
        for (size_t k = 0; k < manifest->require_count; k++)
            wait_for(graph, node, manifest->requires[k].module, true);
        for (size_t k = 0; k < manifest->import_count; k++)
            wait_for(graph, node, manifest->imports[k].module, false);
    }
}

/* ---- walking it ---- */

static void come(struct graph *graph, struct node *node)
{
    node->came = true;
    for (const struct edge *edge = node->waited_by; edge; edge = edge->next) {
        struct node *other = &graph->nodes[edge->to];
        if (edge->requires)
        other->requires --;
        else other->imports--;
    }
}

/* The first that waits for nobody, else the first that only imports. NULL: all require another. */
static struct node *next_of(const struct graph *graph)
{
    struct node *found = NULL;
    for (size_t i = 0; i < graph->count; i++) {
        struct node *node = &graph->nodes[i];
        if (node->came || node->requires > 0)
            continue;
        if (node->imports == 0)
            return node;
        found = found ? found : node;
    }
    return found;
}

static struct node *required_by(const struct graph *graph, const struct node *node)
{
    const struct berth_manifest *manifest = node->load->image->manifest;
    for (size_t i = 0; i < manifest->require_count; i++) {
        struct node *on = berth_map_get(&graph->names, manifest->requires[i].module);
        if (on && on != node && !on->came)
            return on;
    }
    return NULL;
}

static int cycle(const struct graph *graph, struct berth_error *error)
{
    char ring[512];
    size_t used = 0;
    const struct node *first = graph->nodes;
    while (first->came)
        first++;
    for (size_t i = 0; i < graph->count; i++) /* after so many steps it is on the ring itself */
        first = required_by(graph, first);
    const struct node *at = first;
    do {
        int more =
            snprintf(ring + used, sizeof ring - used, "%s requires ", berth_load_name(at->load));
        used += more > 0 && (size_t)more < sizeof ring - used ? (size_t)more : 0;
        at = required_by(graph, at);
    } while (at != first);
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "these modules require each other: %s%s", ring,
                           berth_load_name(first->load));
}

int berth_load_order(const struct berth_load *loads, size_t count, size_t *order,
                     struct berth_error *error)
{
    struct graph graph;
    struct node *next = NULL;
    int code = graph_init(&graph, loads, count) ? BERTH_OK : berth_error_nomem(error);
    if (code == BERTH_OK)
        connect(&graph);
    for (size_t i = 0; i < count && code == BERTH_OK; i++) {
        next = next_of(&graph);
        if (next) {
            order[i] = (size_t)(next - graph.nodes);
            come(&graph, next);
        } else {
            code = cycle(&graph, error);
        }
    }
    graph_deinit(&graph);
    return code;
}
