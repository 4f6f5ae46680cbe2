/* SPDX-License-Identifier: MIT */
/* The order of loads and reloads. */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/shell/difference.h"
#include "runtime/shell/summary.h"

/* A step that has not got its place yet. */
struct candidate {
    struct berth_step step;
    struct berth_summary summary;
    bool known, placed;
};

/* What a module that wants it waits for: less and less, when nothing else goes. */
enum patience { IMPORTS, REQUIREMENTS, NOTHING };

static bool imports(const struct berth_summary *summary, const char *name)
{
    size_t length = strlen(name);

    berth_node_each(summary->imports, import)
    {
        const char *function = berth_node_text(berth_node_find(import, "function"));
        if (function && strncmp(function, name, length) == 0 && function[length] == '.')
            return true;
    }
    return false;
}

static bool waits(const struct candidate *candidates, size_t count, size_t of,
                  enum patience patience)
{
    const struct candidate *candidate = &candidates[of];

    for (size_t i = 0; i < count && candidate->known && patience < NOTHING; i++) {
        const char *name = candidates[i].step.next->name;
        if (i == of || candidates[i].placed)
            continue;
        if (berth_node_find(candidate->summary.requires, name) ||
            (patience == IMPORTS && imports(&candidate->summary, name)))
            return true;
    }
    return false;
}

/* The first one that waits for nothing, as far as that can be. */
static size_t choose(const struct candidate *candidates, size_t count)
{
    for (enum patience patience = IMPORTS; patience < NOTHING; patience++)
        for (size_t i = 0; i < count; i++)
            if (!candidates[i].placed && !waits(candidates, count, i, patience))
                return i;
    size_t first = 0; /* they require each other */
    while (candidates[first].placed)
        first++;
    return first;
}

int berth_difference_order(struct berth_difference *difference, struct berth_error *error)
{
    struct candidate *candidates = calloc(difference->count + 1, sizeof(*candidates));
    size_t count = 0;

    if (!candidates)
        return berth_error_nomem(error);
    for (; count < difference->count && difference->steps[count].next; count++) {
        candidates[count].step = difference->steps[count];
        candidates[count].known =
            berth_summary_init(&candidates[count].summary, difference->steps[count].next->file,
                               NULL) == BERTH_OK;
    }
    for (size_t i = 0; i < count; i++) {
        size_t next = choose(candidates, count);
        difference->steps[i] = candidates[next].step;
        candidates[next].placed = true;
    }
    for (size_t i = 0; i < count; i++)
        if (candidates[i].known)
            berth_summary_deinit(&candidates[i].summary);
    free(candidates);
    return BERTH_OK;
}
