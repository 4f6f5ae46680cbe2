/* SPDX-License-Identifier: MIT */
/*
 * A doubly linked list through a member of its elements. A removed or initialised link points at
 * itself.
 */
#ifndef RUNTIME_BASE_LIST_H
#define RUNTIME_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * may_alias: gcc 12 takes a head's `next`, reached through the struct that it is in, for unchanged
 * when an element is removed through the element, and then never leaves a loop that empties the
 * list (tests/unit/list_test.c). With it, all links are taken for the same memory.
 */
struct berth_list {
    struct berth_list *next, *previous;
} __attribute__((may_alias));

static inline void berth_list_init(struct berth_list *list)
{
    list->next = list->previous = list;
}
static inline bool berth_list_empty(const struct berth_list *list)
{
    return list->next == list;
}
static inline void berth_list_insert(struct berth_list *before, struct berth_list *link)
{
    link->next = before;
    link->previous = before->previous;
    before->previous->next = link;
    before->previous = link;
}
static inline void berth_list_append(struct berth_list *list, struct berth_list *link)
{
    berth_list_insert(list, link);
}
static inline void berth_list_remove(struct berth_list *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
    berth_list_init(link);
}
/* All of them, in their order; from is empty then. */
static inline void berth_list_move(struct berth_list *before, struct berth_list *from)
{
    if (berth_list_empty(from))
        return;
    from->next->previous = before->previous;
    from->previous->next = before;
    before->previous->next = from->next;
    before->previous = from->previous;
    berth_list_init(from);
}

#define berth_container(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define berth_list_each(list, link) \
    for (struct berth_list *link = (list)->next; link != (list); link = link->next)
/* link may be removed while walking */
#define berth_list_each_safe(list, link)                                                    \
    for (struct berth_list *link = (list)->next, *link##_next = link->next; link != (list); \
         link = link##_next, link##_next = link->next)

#endif
