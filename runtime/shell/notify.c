/* SPDX-License-Identifier: MIT */
#include "runtime/shell/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct berth_notify_address {
    struct sockaddr_un socket;
    socklen_t size;
};

/* ---- what is asked for ---- */

/* A path, or a name in the abstract namespace, which begins with @. NULL: neither. */
static struct berth_notify_address *address_new(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    struct berth_notify_address *address;

    if (length < 2 || length >= sizeof(address->socket.sun_path) ||
        (text[0] != '/' && text[0] != '@'))
        return NULL;
    address = calloc(1, sizeof(*address));
    if (!address)
        return NULL;
    address->socket.sun_family = AF_UNIX;
    memcpy(address->socket.sun_path, text, length);
    if (text[0] == '@')
        address->socket.sun_path[0] = '\0';
    /* an abstract name is as long as it is said to be, a path ends with its NUL */
    address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '/'));
    return address;
}

static bool read_number(const char *text, int64_t *ret_number)
{
    char *end;

    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret_number = strtoll(text, &end, 10);
    return !*end && !errno;
}

/* Half of the time after which the manager thinks that this hangs; for this process only. */
static int64_t read_watchdog(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    int64_t usec, whose = getpid();

    if (!read_number(getenv("WATCHDOG_USEC"), &usec) || usec < 1 || usec > INT64_MAX / 1000 ||
        (pid && !read_number(pid, &whose)) || whose != getpid())
        return -1;
    return usec * 1000 / 2;
}

void berth_notify_init(struct berth_notify *notify)
{
    *notify = (struct berth_notify){ -1, address_new(getenv("NOTIFY_SOCKET")), -1 };
    if (notify->address) {
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        notify->watchdog = read_watchdog();
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void berth_notify_deinit(struct berth_notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    free(notify->address);
    *notify = (struct berth_notify){ -1, NULL, -1 };
}

/* ---- what is told ---- */

static void tell(const struct berth_notify *notify, const char *text)
{
    const struct berth_notify_address *address = notify->address;

    if (notify->fd < 0)
        return;
    while (sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
                  (const struct sockaddr *)&address->socket, address->size) < 0 &&
           errno == EINTR)
        ;
}

/* A line is one assignment: what could begin another one becomes a blank. */
__attribute__((format(printf, 3, 0))) static void tell_status(const struct berth_notify *notify,
                                                              const char *state, const char *status,
                                                              va_list words)
{
    char line[512], text[1024];

    vsnprintf(line, sizeof(line), status, words);
    for (char *at = line; *at; at++)
        if (*at == '\n')
            *at = ' ';
    snprintf(text, sizeof(text), "%sSTATUS=%s", state, line);
    tell(notify, text);
}

#define TELL_STATUS(state)                         \
    do {                                           \
        va_list words;                             \
        va_start(words, status);                   \
        tell_status(notify, state, status, words); \
        va_end(words);                             \
    } while (0)

void berth_notify_ready(const struct berth_notify *notify, const char *status, ...)
{
    TELL_STATUS("READY=1\n");
}

void berth_notify_reloading(const struct berth_notify *notify, const char *status, ...)
{
    struct timespec now;
    char state[80];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n",
             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    TELL_STATUS(state);
}

void berth_notify_status(const struct berth_notify *notify, const char *status, ...)
{
    TELL_STATUS("");
}

void berth_notify_stopping(const struct berth_notify *notify, const char *status, ...)
{
    TELL_STATUS("STOPPING=1\n");
}

void berth_notify_alive(const struct berth_notify *notify)
{
    tell(notify, "WATCHDOG=1");
}
