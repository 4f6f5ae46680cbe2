/* SPDX-License-Identifier: MIT */
#include "runtime/shell/journal.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/shell/line.h"

#define SEND_BUFFER (1 << 20) /* lines that the journal has not read yet */

const char *berth_journal_path(void)
{
    const char *named = secure_getenv("BERTH_JOURNAL");

    return named && *named ? named : "/run/systemd/journal/socket";
}

static bool address_of(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(address->sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(address->sun_path, path);
    return true;
}

int berth_journal_open(const char *path)
{
    struct sockaddr_un address;
    int size = SEND_BUFFER;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    /* once, to see whether it is there; lines name it each time, as it may be made anew */
    if (!address_of(path, &address) ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        connect(fd, &(const struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(sa_family_t)) != 0) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    return fd;
}

void berth_journal_field(struct berth_buffer *buffer, const char *name, const void *value,
                         size_t size)
{
    berth_buffer_text(buffer, name);
    if (memchr(value, '\n', size)) { /* then its size goes before it: 64 bits, little-endian */
        unsigned char count[8];
        for (size_t i = 0; i < sizeof(count); i++)
            count[i] = (unsigned char)((uint64_t)size >> (8 * i));
        berth_buffer_text(buffer, "\n");
        berth_buffer_append(buffer, count, sizeof(count));
    } else {
        berth_buffer_text(buffer, "=");
    }
    berth_buffer_append(buffer, value, size);
    berth_buffer_text(buffer, "\n");
}

static void put(struct berth_buffer *buffer, const char *name, const char *text)
{
    if (*text)
        berth_journal_field(buffer, name, text, strlen(text));
}

void berth_journal_encode(const struct berth_log_line *line, const char *identifier,
                          struct berth_buffer *buffer)
{
    static const char *const priorities[] = { "3", "4", "6", "7" }; /* those of syslog */
    struct berth_line_origin origin;

    berth_line_origin_init(&origin, line);
    put(buffer, "MESSAGE", line->text);
    put(buffer, "PRIORITY", priorities[line->level & 3]);
    put(buffer, "SYSLOG_IDENTIFIER", identifier);
    put(buffer, "BERTH_MODULE", origin.module);
    put(buffer, "BERTH_VERSION", origin.version);
    put(buffer, "BERTH_GENERATION", origin.generation);
    put(buffer, "BERTH_CHAIN", line->chain);
}

bool berth_journal_send(int fd, const char *path, const void *data, size_t size)
{
    struct sockaddr_un address;
    ssize_t sent = -1;

    if (!address_of(path, &address))
        return false;
    do
        sent = sendto(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                      (const struct sockaddr *)&address, sizeof(address));
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}
