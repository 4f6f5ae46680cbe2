/* SPDX-License-Identifier: MIT */
#include "runtime/carrier/nursery.h"

#include "runtime/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
    uint64_t serial;
    pid_t pid;
};

struct nursery {
    pid_t pid;
    int signals; /* a descriptor */
    struct child *children;
    size_t count, capacity;
};

/* With a descriptor, or -1. */
static void tell(const struct berth_nursery_packet *packet, int descriptor)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec piece = { (void *)packet, sizeof(*packet) };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS,
                                         .cmsg_len = CMSG_LEN(sizeof(int)) };
        memcpy(CMSG_DATA(&control.head), &descriptor, sizeof(int));
    }
    /* Fails only when the host has gone, which is seen soon. */
    while (sendmsg(BERTH_NURSERY_SOCKET, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

/* ---- a new worker ---- */

static void must(bool done)
{
    if (!done)
        _exit(125);
}

/* Moves a descriptor out of the way of the numbers that a worker's descriptors get. */
static int move_up(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, BERTH_NURSERY_APPLICATION + 1);
}

/*
 * What a worker gives up before it sees its image: whatever restricts it more belongs here as well.
 * Signals, their mask and the environment are as in a process that has just been started; the
 * working directory, the limits, and with them core dumps, are the application's.
 */
static void settle(const struct nursery *nursery, const char *name, struct berth_newborn *newborn)
{
    sigset_t none;

    must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == nursery->pid);
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    prctl(PR_SET_NAME, name);

    int socket = move_up(newborn->socket), image = move_up(newborn->image);
    newborn->socket = BERTH_NURSERY_SOCKET;
    newborn->image = BERTH_NURSERY_SOCKET + 1;
    must(dup3(socket, newborn->socket, O_CLOEXEC) >= 0);
    must(dup3(image, newborn->image, O_CLOEXEC) >= 0);
    must(close_range((unsigned)newborn->image + 1, ~0U, 0) == 0);

    sigemptyset(&none);
    must(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

/* ---- what the host asks for ---- */

static bool reserve_child(struct nursery *nursery)
{
    size_t capacity = nursery->capacity ? 2 * nursery->capacity : 16;

    if (nursery->count < nursery->capacity)
        return true;
    struct child *children = berth_reallocarray(nursery->children, capacity, sizeof(*children));
    if (!children)
        return false;
    nursery->children = children;
    nursery->capacity = capacity;
    return true;
}

/* Returns true in the new worker. */
static bool spawn(struct nursery *nursery, const struct berth_nursery_packet *asked,
                  const struct berth_newborn *passed, struct berth_newborn *ret_newborn)
{
    struct berth_nursery_packet answer = { .version = BERTH_NURSERY_VERSION,
                                           .type = BERTH_NURSERY_SPAWNED,
                                           .serial = asked->serial };
    pid_t pid = -1;

    if (asked->version != BERTH_NURSERY_VERSION || asked->type != BERTH_NURSERY_SPAWN ||
        passed->socket < 0 || passed->image < 0)
        errno = EPROTO;
    else if (reserve_child(nursery))
        pid = fork();
    if (pid == 0) {
        *ret_newborn = *passed;
        settle(nursery, asked->name, ret_newborn);
        berth_free(nursery->children);
        return true;
    }
    int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1; /* not reaped yet, so surely this one's */
    answer.status = pidfd < 0 ? errno : 0;
    if (pid > 0) {
        answer.pid = pid;
        nursery->children[nursery->count++] = (struct child){ asked->serial, pid };
    }
    tell(&answer, pidfd);
    if (pidfd >= 0)
        close(pidfd);
    return false;
}

static void take_descriptors(struct msghdr *message, struct berth_newborn *ret_passed)
{
    int *places[] = { &ret_passed->socket, &ret_passed->image };

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < 2 && part->cmsg_len >= CMSG_LEN((i + 1) * sizeof(int)); i++)
            memcpy(places[i], CMSG_DATA(part) + i * sizeof(int), sizeof(int));
    }
}

/* < 0: the host has gone; > 0: this is the new worker. */
static int hear_host(struct nursery *nursery, struct berth_newborn *ret_newborn)
{
    struct berth_nursery_packet packet = { 0 };
    struct berth_newborn passed = { -1, -1 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec piece = { &packet, sizeof(packet) };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    bool born = false;

    ssize_t got = recvmsg(BERTH_NURSERY_SOCKET, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR)
        return 0;
    if (got <= 0)
        return -1;
    take_descriptors(&message, &passed);
    packet.name[sizeof(packet.name) - 1] = '\0';
    born = spawn(nursery, &packet, &passed, ret_newborn);
    if (!born && passed.socket >= 0)
        close(passed.socket);
    if (!born && passed.image >= 0)
        close(passed.image);
    return born;
}

static void reap(struct nursery *nursery)
{
    struct signalfd_siginfo unused;
    int status;

    if (read(nursery->signals, &unused, sizeof(unused)) < 0 && errno != EAGAIN)
        return;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < nursery->count; i++)
            if (nursery->children[i].pid == pid) {
                struct berth_nursery_packet news = { .version = BERTH_NURSERY_VERSION,
                                                     .type = BERTH_NURSERY_ENDED,
                                                     .serial = nursery->children[i].serial,
                                                     .pid = pid,
                                                     .status = status };
                nursery->children[i] = nursery->children[--nursery->count];
                tell(&news, -1);
                break;
            }
}

/* ---- running ---- */

/*
 * Whatever the application ignores would be ignored here as well; an ignored SIGCHLD eats the ends.
 */
static void reset_ignored_signals(void)
{
    struct sigaction action;

    for (int number = 1; number < NSIG; number++)
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
            action = (struct sigaction){ .sa_handler = SIG_DFL };
            sigaction(number, &action, NULL);
        }
}

/*
 * All signals are blocked, as when the process began: what a terminal sends to the application's
 * group before this process has left it must not end it.
 */
static bool begin(struct nursery *nursery)
{
    sigset_t all, child;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    reset_ignored_signals();
    prctl(PR_SET_NAME, "berth-zygote");
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    *nursery = (struct nursery){ .pid = getpid() };
    nursery->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return nursery->signals >= 0;
}

int berth_nursery_run(struct berth_newborn *ret_newborn)
{
    struct nursery nursery;
    int heard = begin(&nursery) ? 0 : -1;

    while (heard == 0) {
        /* A child of the application that has not exec'ed may hold the host's socket open. */
        struct pollfd ready[] = { { BERTH_NURSERY_SOCKET, POLLIN, 0 },
                                  { nursery.signals, POLLIN, 0 },
                                  { BERTH_NURSERY_APPLICATION, POLLIN, 0 } };
        if (poll(ready, 3, -1) < 0)
            continue;
        if (ready[1].revents)
            reap(&nursery);
        if (ready[2].revents)
            break;
        if (ready[0].revents)
            heard = hear_host(&nursery, ret_newborn);
    }
    if (heard > 0)
        return 1;
    berth_free(nursery.children);
    return 0;
}
