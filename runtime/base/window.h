/* SPDX-License-Identifier: MIT */
/*
 * How much of something may be under way between who sends it and who takes it: so many messages,
 * of so many bytes. Whoever takes gives back what he has taken once that is half of it. One that is
 * larger than all of it still gets through, when at most half is under way: with that rule both
 * ends, each by itself, never wait for each other.
 */
#ifndef RUNTIME_BASE_WINDOW_H
#define RUNTIME_BASE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

struct berth_window {
    size_t messages, bytes;
};

static inline bool berth_window_has_room(const struct berth_window *under_way,
                                         const struct berth_window *limit, size_t size)
{
    return under_way->messages < limit->messages &&
           (under_way->bytes <= limit->bytes / 2 || under_way->bytes + size <= limit->bytes);
}

static inline bool berth_window_is_due(const struct berth_window *taken,
                                       const struct berth_window *limit)
{
    return taken->messages && (taken->messages >= limit->messages - limit->messages / 2 ||
                               taken->bytes >= limit->bytes - limit->bytes / 2);
}

static inline void berth_window_add(struct berth_window *window, size_t size)
{
    window->messages++;
    window->bytes += size;
}

/* false: it is more than there is, and nothing has changed. */
static inline bool berth_window_give_back(struct berth_window *under_way,
                                          const struct berth_window *taken)
{
    if (taken->messages > under_way->messages || taken->bytes > under_way->bytes)
        return false;
    under_way->messages -= taken->messages;
    under_way->bytes -= taken->bytes;
    return true;
}

#endif
