/* SPDX-License-Identifier: MIT */
/*
 * A worker program that does what its module's name says, for tests of what hosts make of it. The
 * first word tells when (at once; when the image is to be opened; at the first call), the second
 * what.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/carrier/nursery.h"
#include "runtime/carrier/wire.h"

extern char **environ;

static int host; /* the socket */

static void write_all(const void *data, size_t size)
{
    for (const char *next = data; size;) {
        ssize_t written = send(host, next, size, MSG_NOSIGNAL);
        if (written < 0)
            _exit(1);
        next += written;
        size -= (size_t)written;
    }
}

static void read_all(void *data, size_t size)
{
    for (char *next = data; size;) {
        ssize_t got = recv(host, next, size, 0);
        if (got <= 0)
            _exit(0); /* the host has had enough */
        next += got;
        size -= (size_t)got;
    }
}

static void write_frame(struct berth_wire wire, const void *data, size_t size)
{
    unsigned char head[BERTH_WIRE_HEAD];

    wire.size = (uint32_t)size;
    berth_wire_write(&wire, head);
    write_all(head, sizeof(head));
    write_all(data, size);
}

/* Reads a frame over, and returns its head. */
static struct berth_wire read_frame(void)
{
    unsigned char head[BERTH_WIRE_HEAD], some[4096];
    struct berth_wire wire;

    read_all(head, sizeof(head));
    if (berth_wire_read(head, ~0U, UINT32_MAX, &wire))
        _exit(2);
    for (size_t left = wire.size; left;) {
        size_t part = left < sizeof(some) ? left : sizeof(some);
        read_all(some, part);
        left -= part;
    }
    return wire;
}

/* The same of a request: its id. */
static uint64_t read_request(void)
{
    struct berth_wire wire;

    do
        wire = read_frame();
    while (BERTH_WIRE_NOTES & BERTH_WIRE_BIT(wire.type));
    return wire.id;
}

static void stay(void)
{
    for (;;)
        pause();
}

static void list_descriptors(char *report, size_t size)
{
    DIR *dir = opendir("/proc/self/fd");
    int own = dirfd(dir);

    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != own) {
            char target[64] = "", path[64];
            snprintf(path, sizeof(path), "/proc/self/fd/%.16s", entry->d_name);
            if (readlink(path, target, sizeof(target) - 1) < 0)
                _exit(3);
            if (strncmp(target, "socket:", 7) == 0)
                target[6] = '\0';
            size_t end = strlen(report);
            snprintf(report + end, size - end, "fd %s %s\n", entry->d_name,
                     atoi(entry->d_name) == 2 ? "stderr" : target);
        }
    closedir(dir);
}

/* Tells over the socket what this process has got, and what of the application's is left. */
static void tell_state(void)
{
    char report[8192] = "", name[32] = "";
    sigset_t mask;
    int ignored = 0, blocked = 0;

    list_descriptors(report, sizeof(report));
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        blocked += sigismember(&mask, number) == 1;
        ignored += sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
    }
    prctl(PR_GET_NAME, name);
    size_t end = strlen(report);
    snprintf(report + end, sizeof(report) - end,
             "name %s\nblocked %d\nignored %d\nnew privileges %s\nsession %s\n", name, blocked,
             ignored, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? "no" : "yes",
             getsid(0) == getppid() ? "the zygote's" : "another");
    for (char **variable = environ; *variable; variable++) {
        end = strlen(report);
        snprintf(report + end, sizeof(report) - end, "environment %s\n", *variable);
    }
    write_all(report, strlen(report));
    _exit(0);
}

static void tell_wait(uint16_t kind, bool inside, const uint64_t *numbers, size_t count)
{
    write_frame((struct berth_wire){ .type = BERTH_WIRE_WAIT, .kind = kind, .inside = inside },
                numbers, count * sizeof(*numbers));
}

static void say(const char *text)
{
    write_frame((struct berth_wire){ .type = BERTH_WIRE_LOG, .kind = 2 }, text, strlen(text));
}

/* It says that under a second call it waits until somebody takes replies to the first one. */
static void seem_stuck(uint64_t id)
{
    tell_wait(BERTH_WIRE_ROOM, false, (const uint64_t[]){ 1, read_request(), id }, 3);
    say("waits");
    while (read_frame().type != BERTH_WIRE_REFUSE)
        ;
    say("refused");
    stay();
}

static void misbehave(const char *what, uint64_t id)
{
    const struct berth_wire reply = { .type = BERTH_WIRE_REPLY, .id = id };
    unsigned char head[BERTH_WIRE_HEAD];

    if (strcmp(what, "garbage") == 0) {
        write_all("this is not what was agreed upon, and long enough to be a head\n", 64);
    } else if (strcmp(what, "half") == 0) {
        berth_wire_write(&reply, head);
        write_all(head, sizeof(head) / 2);
    } else if (strcmp(what, "giant") == 0) {
        berth_wire_write(
            &(struct berth_wire){ .type = BERTH_WIRE_REPLY, .id = id, .size = 1U << 31 }, head);
        write_all(head, sizeof(head));
    } else if (strcmp(what, "twice") == 0) {
        write_frame(reply, "", 0);
        write_frame(reply, "", 0);
    } else if (strcmp(what, "result") == 0) {
        write_frame(reply, "\xff\xff\xff\xffmore", 8);
    } else if (strcmp(what, "more") == 0) {
        for (;;)
            write_frame((struct berth_wire){ .type = BERTH_WIRE_MORE, .id = id }, "", 0);
    } else if (strcmp(what, "import") == 0) {
        write_frame(
            (struct berth_wire){
                .type = BERTH_WIRE_CALL, .id = 1, .left = INT64_MAX, .index = 4000 },
            "", 0);
    } else if (strcmp(what, "wait") == 0) {
        write_frame((struct berth_wire){ .type = BERTH_WIRE_WAIT, .kind = 1 }, "too short", 9);
    } else if (strcmp(what, "waits") == 0) { /* and for no end of things */
        for (uint64_t numbers[100] = { 1 };; numbers[0]++)
            write_frame(
                (struct berth_wire){ .type = BERTH_WIRE_WAIT, .kind = (uint16_t)(numbers[0] % 3) },
                numbers, sizeof(numbers));
    } else if (strcmp(what, "inside") == 0) {
        for (uint64_t i = 1; i <= 2; i++)
            tell_wait(BERTH_WIRE_ANY, true, (const uint64_t[]){ i, 0, 7 }, 3);
    } else if (strcmp(what, "room") == 0) {
        tell_wait(BERTH_WIRE_ROOM, false, (const uint64_t[]){ 1, 0, id, id }, 4);
    } else if (strcmp(what, "rooms") == 0) { /* of requests that are, and that are not */
        for (uint64_t i = 1;; i++)
            tell_wait(BERTH_WIRE_ROOM, false, (const uint64_t[]){ i, i % 2 * id, i % 3 * id }, 3);
    } else if (strcmp(what, "stuck") == 0) {
        seem_stuck(id);
    } else if (strcmp(what, "close") == 0) {
        close(host);
    } else if (strcmp(what, "flood") == 0) {
        for (;;)
            write_frame((struct berth_wire){ .type = BERTH_WIRE_LOG, .kind = 3 }, "more", 4);
    } else if (strcmp(what, "listen") == 0) {
        for (;; read_request())
            say("asked");
    } else if (strcmp(what, "child") == 0) {
        if (fork() == 0) { /* it keeps the socket open when its parent has gone */
            prctl(PR_SET_NAME, "berth-orphan");
            prctl(PR_SET_PDEATHSIG, 0);
            sleep(3);
            _exit(0);
        }
        _exit(5);
    } else if (strcmp(what, "exit") == 0) {
        _exit(3);
    } else if (strcmp(what, "kill") == 0) {
        raise(SIGKILL);
    } else if (strcmp(what, "segv") == 0) {
        signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
        raise(SIGSEGV);
    } else if (strcmp(what, "abort") == 0) {
        abort();
    }
    stay();
}

int main(void)
{
    char name[32] = "";
    struct berth_newborn newborn;

    if (!berth_nursery_run(&newborn))
        return 0;
    host = newborn.socket;
    fcntl(host, F_SETFL, 0);
    prctl(PR_GET_NAME, name);
    char *what = strchr(name, '_');
    if (what)
        *what++ = '\0';
    if (strcmp(name, "state") == 0)
        tell_state();
    if (!what)
        stay();
    if (strcmp(name, "now") == 0)
        misbehave(what, 1);
    uint64_t id = read_request();
    if (strcmp(name, "open") == 0)
        misbehave(what, id);
    write_frame((struct berth_wire){ .type = BERTH_WIRE_REPLY, .id = id }, "", 0);
    id = read_request();
    misbehave(what, id);
    return 0;
}
