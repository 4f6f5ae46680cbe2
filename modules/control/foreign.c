/* SPDX-License-Identifier: MIT */
/* What the generation before still executes of a client's that is ours now. */
#include "control.h"

#include <stdlib.h>
#include <string.h>

struct foreign *foreign_find(struct foreign *list, uint64_t request)
{
    while (list && list->request != request)
        list = list->next;
    return list;
}

struct foreign *foreign_find_id(struct foreign *list, const char *id)
{
    while (list && strcmp(list->about.data, id) != 0)
        list = list->next;
    return list;
}

bool foreign_add(struct foreign **list, const struct record *record, const char *data, size_t size)
{
    struct foreign *made = foreign_find(*list, record->request);
    if (!made) {
        made = (struct foreign *)calloc(1, sizeof(*made));
        if (!made)
            return false;
        made->request = record->request;
        made->next = *list;
        *list = made;
    }
    text_put(&made->about, data, size);
    made->whole = record->last;
    return !made->about.failed;
}

bool foreign_remove(struct foreign **list, uint64_t request)
{
    while (*list && (*list)->request != request)
        list = &(*list)->next;
    struct foreign *found = *list;
    if (!found)
        return false;
    *list = found->next;
    foreign_free(found);
    return true;
}

void foreign_lose(berth_ctx *ctx, const struct foreign *foreign, struct text *ret_reply)
{
    struct worker worker = { .ctx = ctx, .lost = true };
    if (foreign->whole) {
        worker.line.data = foreign->about.data + strlen(foreign->about.data) + 1;
        worker.line.size = strlen(worker.line.data);
        request_run(&worker);
    }
    *ret_reply = worker.reply;
}

void foreign_free(struct foreign *foreign)
{
    text_free(&foreign->about);
    free(foreign);
}
