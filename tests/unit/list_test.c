/* SPDX-License-Identifier: MIT */
#include "tests/support/suite.h"

#include <stddef.h>

#include "runtime/base/list.h"

struct piece {
    struct berth_list link;
    size_t size;
};

struct queue {
    int other, members;
    struct berth_list pieces;
    size_t left;
};

static void order_is_kept(void)
{
    struct piece pieces[4] = { { .size = 0 } };
    struct berth_list list;
    size_t i = 0;

    berth_list_init(&list);
    CHECK(berth_list_empty(&list));
    for (size_t n = 0; n < 4; n++) {
        pieces[n].size = n;
        berth_list_append(&list, &pieces[n].link);
    }
    berth_list_each(&list, link)
        CHECK_INT(berth_container(link, struct piece, link)->size, i++);
    CHECK_INT(i, 4);
    berth_list_each_safe(&list, link)
        berth_list_remove(link);
    CHECK(berth_list_empty(&list));
    CHECK(berth_list_empty(&pieces[2].link));
}

/*
 * As a writer does with what it has queued; what gcc 12 makes an endless loop of without may_alias.
 */
static void take(struct queue *queue, size_t written, struct berth_list *taken)
{
    queue->left -= written;
    while (written) {
        struct piece *piece = berth_container(queue->pieces.next, struct piece, link);
        written -= piece->size;
        berth_list_remove(&piece->link);
        berth_list_append(taken, &piece->link);
    }
}

__attribute__((noinline)) static size_t all_of(struct queue *queue)
{
    size_t all = 0;

    berth_list_each(&queue->pieces, link)
        all += berth_container(link, struct piece, link)->size;
    return all;
}

__attribute__((noinline)) static void take_all(struct queue *queue, struct berth_list *taken)
{
    while (!berth_list_empty(&queue->pieces))
        take(queue, all_of(queue), taken);
}

static void a_list_can_be_emptied_from_its_front(void)
{
    struct piece pieces[3] = { { .size = 5 }, { .size = 6 }, { .size = 7 } };
    struct queue queue = { .left = 18 };
    struct berth_list taken;

    berth_list_init(&queue.pieces);
    berth_list_init(&taken);
    for (size_t i = 0; i < 3; i++)
        berth_list_append(&queue.pieces, &pieces[i].link);
    take_all(&queue, &taken);
    CHECK(berth_list_empty(&queue.pieces));
    CHECK_INT(queue.left, 0);
    CHECK(taken.next == &pieces[0].link && taken.previous == &pieces[2].link);
}

static const struct berth_test tests[] = {
    { "order_is_kept", order_is_kept },
    { "a_list_can_be_emptied_from_its_front", a_list_can_be_emptied_from_its_front },
};

int main(int argc, char **argv)
{
    return berth_suite_main("list", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
