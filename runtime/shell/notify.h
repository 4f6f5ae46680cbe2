/* SPDX-License-Identifier: MIT */
/*
 * What a service manager is told, by the protocol of sd_notify(3): a datagram to the socket that
 * $NOTIFY_SOCKET names. Without one nothing happens; a manager that does not listen is no error.
 */
#ifndef RUNTIME_SHELL_NOTIFY_H
#define RUNTIME_SHELL_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct berth_notify {
    int fd; /* -1: nobody wants to hear */
    struct berth_notify_address *address;
    int64_t watchdog; /* ns from one sign of life to the next; -1: none is asked for */
};
#define BERTH_NOTIFY_NOBODY      \
    {                            \
        .fd = -1, .watchdog = -1 \
    }

/*
 * Takes what is asked for from the environment, and removes it there: it is not meant for workers,
 * nor for programs that modules start.
 */
void berth_notify_init(struct berth_notify *notify);
void berth_notify_deinit(struct berth_notify *notify);

/* The status is one line for people, shown by the manager. */
void berth_notify_ready(const struct berth_notify *notify, const char *status, ...)
    __attribute__((format(printf, 2, 3)));
/* A new configuration is being read; berth_notify_ready follows. */
void berth_notify_reloading(const struct berth_notify *notify, const char *status, ...)
    __attribute__((format(printf, 2, 3)));
void berth_notify_status(const struct berth_notify *notify, const char *status, ...)
    __attribute__((format(printf, 2, 3)));
void berth_notify_stopping(const struct berth_notify *notify, const char *status, ...)
    __attribute__((format(printf, 2, 3)));
void berth_notify_alive(const struct berth_notify *notify);

#endif
