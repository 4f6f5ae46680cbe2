/* SPDX-License-Identifier: MIT */
#include "runtime/shell/difference.h"

#include <stdlib.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"

static bool same_restart(const struct berth_restart_policy *a, const struct berth_restart_policy *b)
{
    return a->limit == b->limit && a->window_ns == b->window_ns && a->first_ns == b->first_ns &&
           a->last_ns == b->last_ns;
}

/* Whether a module that runs as one of them is what the other one says. */
static bool same(const struct berth_roster_entry *a, const struct berth_roster_entry *b)
{
    return berth_text_equal(a->file, b->file) && berth_stamp_equal(&a->stamp, &b->stamp) &&
           berth_text_equal(a->placement, b->placement) &&
           berth_text_equal(a->options, b->options) && same_restart(&a->restart, &b->restart);
}

static void add(struct berth_difference *difference, enum berth_step_kind kind,
                struct berth_roster_entry *old, struct berth_roster_entry *next)
{
    difference->steps[difference->count++] = (struct berth_step){
        .kind = kind,
        .old = old ? berth_roster_entry_ref(old) : NULL,
        .next = next ? berth_roster_entry_ref(next) : NULL,
    };
}

int berth_difference_init(struct berth_difference *difference, const struct berth_roster *from,
                          const struct berth_roster *to, struct berth_error *error)
{
    difference->count = 0;
    difference->steps = calloc(from->count + to->count + 1, sizeof(*difference->steps));
    if (!difference->steps)
        return berth_error_nomem(error);
    for (size_t i = 0; i < to->count; i++)
        if (to->entries[i]->file && !berth_roster_find(from, to->entries[i]->name))
            add(difference, BERTH_STEP_LOAD, NULL, to->entries[i]);
    for (size_t i = 0; i < to->count; i++) {
        struct berth_roster_entry *next = to->entries[i];
        struct berth_roster_entry *old = berth_roster_find(from, next->name);
        if (old && next->file && !same(old, next))
            add(difference, BERTH_STEP_RELOAD, old, next);
    }
    for (size_t i = from->count; i-- > 0;)
        if (!berth_roster_find(to, from->entries[i]->name))
            add(difference, BERTH_STEP_UNLOAD, from->entries[i], NULL);
    return BERTH_OK;
}

void berth_difference_deinit(struct berth_difference *difference)
{
    for (size_t i = 0; i < difference->count; i++) {
        berth_roster_entry_unref(difference->steps[i].old);
        berth_roster_entry_unref(difference->steps[i].next);
    }
    free(difference->steps);
    *difference = (struct berth_difference){ .count = 0 };
}
