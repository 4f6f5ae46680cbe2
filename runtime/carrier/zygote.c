/* SPDX-License-Identifier: MIT */
#include "runtime/carrier/zygote.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/memory.h"
#include "runtime/carrier/nursery.h"

#define STACK_SIZE ((size_t)32 << 10)
#define PATIENCE   INT64_C(1000000000) /* ns for a full socket to take one more packet */

enum worker_state { STARTING, REFUSED, RUNNING, ENDED };

struct berth_worker {
    struct berth_list link;
    struct berth_zygote *zygote;
    uint64_t serial;
    enum worker_state state;
    pid_t pid;
    int pidfd;
    int number; /* REFUSED: the errno value */
    struct berth_worker_end end;
    bool telling, told,
        freed; /* the owner is being told of its end, has been, has left meanwhile */
    pthread_t teller;
    char how[128];
};

struct berth_zygote {
    struct berth_loop *loop;
    char *program;
    struct berth_source source;

    pthread_mutex_t lock; /* what follows; not held while owners are told */
    pthread_cond_t changed;
    bool pumping; /* a thread reads the socket, or begins or buries the process */
    int socket;   /* -1: there is no process */
    int pidfd;
    pid_t pid;
    struct berth_list workers;
    uint64_t serials;
};

static void pump(struct berth_zygote *zygote, int64_t deadline);

/* ---- life ---- */

static void on_ready(struct berth_source *source, uint32_t events)
{
    struct berth_zygote *zygote = source->owner;

    (void)events;
    pthread_mutex_lock(&zygote->lock);
    if (!zygote->pumping && zygote->socket >= 0)
        pump(zygote, 0);
    pthread_mutex_unlock(&zygote->lock);
}

int berth_zygote_new(struct berth_loop *loop, const char *program, struct berth_zygote **ret_zygote,
                     struct berth_error *error)
{
    struct berth_zygote *zygote = berth_calloc(1, sizeof(*zygote));

    if (zygote)
        zygote->program = berth_strdup(program);
    if (!zygote || !zygote->program) {
        berth_free(zygote);
        return berth_error_nomem(error);
    }
    zygote->loop = loop;
    zygote->socket = zygote->pidfd = -1;
    pthread_mutex_init(&zygote->lock, NULL);
    pthread_cond_init(&zygote->changed, NULL);
    berth_list_init(&zygote->workers);
    *ret_zygote = zygote;
    return BERTH_OK;
}

static void describe(int status, char *how, size_t size)
{
    const char *name;

    if (WIFSIGNALED(status)) {
        name = sigdescr_np(WTERMSIG(status));
        snprintf(how, size, "was killed by signal %d (%s)", WTERMSIG(status),
                 name ? name : "unknown");
    } else {
        snprintf(how, size, "exited with status %d", WEXITSTATUS(status));
    }
}

/*
 * Ends the process, if it has not ended, and waits for that. It is a child of the application only
 * if that adopts orphans, as the first process of a container does; then it is reaped.
 */
static void put_to_rest(int pidfd)
{
    struct pollfd ended = { pidfd, POLLIN, 0 };
    siginfo_t info;

    pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    while (poll(&ended, 1, -1) < 0 && errno == EINTR)
        ;
    waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL);
    close(pidfd);
}

void berth_zygote_free(struct berth_zygote *zygote)
{
    if (!zygote)
        return;
    assert(berth_list_empty(&zygote->workers));
    berth_source_remove(&zygote->source);
    if (zygote->socket >= 0) {
        close(zygote->socket);
        put_to_rest(zygote->pidfd);
    }
    pthread_cond_destroy(&zygote->changed);
    pthread_mutex_destroy(&zygote->lock);
    berth_free(zygote->program);
    berth_free(zygote);
}

pid_t berth_zygote_pid(struct berth_zygote *zygote)
{
    pthread_mutex_lock(&zygote->lock);
    pid_t pid = zygote->socket >= 0 ? zygote->pid : 0;
    pthread_mutex_unlock(&zygote->lock);
    return pid;
}

/* ---- beginning the process ---- */

/*
 * The application must not get a child that it could see: one that execs has SIGCHLD as its exit
 * signal from then on, whatever it was cloned with. So the first clone, with exit signal 0, only
 * makes the second one, and ends; it is waited for with __WALL, which nobody else does. The second
 * becomes an orphan, and execs.
 *
 * CLONE_VM spares the copy of a large application's page tables; without it everything is the same,
 * only slower. ThreadSanitizer wraps clone with code that must not run twice in one memory.
 */
#if defined __SANITIZE_THREAD__
#define SHARE_MEMORY 0
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define SHARE_MEMORY 0
#endif
#endif
#ifndef SHARE_MEMORY
#define SHARE_MEMORY CLONE_VM
#endif

struct birth {
    const char *program;
    char *const *arguments, *const *environment;
    int socket, application; /* the descriptors that the program gets */
    char *stack;             /* of the second process: its end */
    pid_t pid;
    int pidfd;
    int number; /* why there is no new program: an errno value */
};

/*
 * System calls only, in a process that shares the application's memory, and without the sanitizers'
 * wrappers, which would take its descriptors for the application's.
 */
#define UNWATCHED __attribute__((no_sanitize("address", "thread", "undefined")))

/* Arranges the descriptors of the second process. */
UNWATCHED static bool arrange_descriptors(const struct birth *birth)
{
    /* Above what is given out below, whatever numbers the application has closed. */
    long socket = syscall(SYS_fcntl, birth->socket, F_DUPFD, BERTH_NURSERY_APPLICATION + 1);
    long pidfd = syscall(SYS_fcntl, birth->application, F_DUPFD, BERTH_NURSERY_APPLICATION + 1);
    long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
    long flags = syscall(SYS_fcntl, STDERR_FILENO, F_GETFD);

    if (socket < 0 || pidfd < 0 || null < 0)
        return false;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        bool keep = fd == STDERR_FILENO && flags == 0; /* else it is closed, or something else */
        if (!keep && null != fd && syscall(SYS_dup3, null, fd, 0) < 0)
            return false;
    }
    return syscall(SYS_dup3, socket, BERTH_NURSERY_SOCKET, 0) >= 0 &&
           syscall(SYS_dup3, pidfd, BERTH_NURSERY_APPLICATION, 0) >= 0 &&
           syscall(SYS_close_range, BERTH_NURSERY_APPLICATION + 1, ~0U, 0) == 0;
}

UNWATCHED static int second_process(void *argument)
{
    struct birth *birth = argument;

    if (arrange_descriptors(birth)) {
        syscall(SYS_setsid); /* a terminal's Ctrl-C is for the application */
        syscall(SYS_execve, birth->program, birth->arguments, birth->environment);
    }
    birth->number = errno;
    return 127;
}

/* It shares the application's descriptors, so that the second one's pidfd is the application's. */
UNWATCHED static int first_process(void *argument)
{
    struct birth *birth = argument;

    birth->pid = clone(second_process, birth->stack, SHARE_MEMORY | CLONE_VFORK | CLONE_PIDFD,
                       birth, &birth->pidfd);
    if (birth->pid < 0)
        birth->number = errno;
    return 0;
}

/* Fills in the last members of *birth; number is 0 when the program runs. */
static void give_birth(struct birth *birth)
{
    sigset_t all, before;
    siginfo_t info;
    /* Shared, so that what they write comes back without CLONE_VM, too. */
    char *memory =
        mmap(NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        birth->number = errno;
        return;
    }
    struct birth *shared = (struct birth *)(void *)memory;
    *shared = *birth;
    shared->stack = memory + STACK_SIZE;

    sigfillset(&all); /* a handler of the application's must not run in there */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t first = clone(first_process, memory + 2 * STACK_SIZE,
                        SHARE_MEMORY | CLONE_VFORK | CLONE_FILES, shared);
    if (first < 0)
        shared->number = errno;
    else
        while (waitid(P_PID, (id_t)first, &info, WEXITED | __WALL) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *birth = *shared;
    munmap(memory, 2 * STACK_SIZE);
}

static int begin_program(struct berth_zygote *zygote, int socket, struct berth_error *error)
{
    char *arguments[] = { (char *)"berth-worker", (char *)"--zygote", NULL };
    char *environment[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", (char *)"LANG=C", NULL };
    struct birth birth = {
        .program = zygote->program,
        .arguments = arguments,
        .environment = environment,
        .socket = socket,
        .application = pidfd_open(getpid(), 0),
        .pidfd = -1,
    };

    if (birth.application < 0)
        return berth_error_errno(error, errno, "cannot make workers on this kernel");
    give_birth(&birth);
    close(birth.application);
    if (birth.number) {
        if (birth.pidfd >= 0)
            close(birth.pidfd);
        return berth_error_errno(error, birth.number, "cannot run the worker program %s",
                                 zygote->program);
    }
    zygote->pid = birth.pid;
    zygote->pidfd = birth.pidfd;
    return BERTH_OK;
}

/* With the lock held; there is no process, and nobody else begins one. */
static int begin(struct berth_zygote *zygote, struct berth_error *error)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return berth_error_errno(error, errno, "cannot make a socket for workers");
    zygote->source = (struct berth_source){
        .fd = ends[0],
        .events = EPOLLIN | EPOLLONESHOT,
        .ready = on_ready,
        .owner = zygote,
    };
    int code = begin_program(zygote, ends[1], error);
    close(ends[1]);
    if (code == BERTH_OK) {
        code = berth_source_add(zygote->loop, &zygote->source, error);
        if (code != BERTH_OK)
            put_to_rest(zygote->pidfd);
    }
    if (code == BERTH_OK)
        zygote->socket = ends[0];
    else
        close(ends[0]);
    return code;
}

/* ---- what the process says (with the lock held, but not while an owner is told) ---- */

static void mark_ended(struct berth_worker *worker, const char *how)
{
    snprintf(worker->how, sizeof(worker->how), "%s", how);
    worker->state = ENDED;
}

static void tell_owner(struct berth_zygote *zygote, struct berth_worker *worker)
{
    worker->telling = true;
    worker->teller = pthread_self();
    pthread_mutex_unlock(&zygote->lock);
    worker->end.ended(worker->end.owner, worker->how);
    pthread_mutex_lock(&zygote->lock);
    worker->telling = false;
    worker->told = true;
    if (worker->freed)
        berth_free(worker);
    pthread_cond_broadcast(&zygote->changed);
}

/* The owners may do anything here but wait for the worker of which they are told. */
static void tell_owners(struct berth_zygote *zygote)
{
    struct berth_list *link = zygote->workers.next;

    while (link != &zygote->workers) {
        struct berth_worker *worker = berth_container(link, struct berth_worker, link);
        link = link->next;
        if (worker->state == ENDED && !worker->telling && !worker->told) {
            tell_owner(zygote, worker);
            link = zygote->workers.next; /* the list may be another one */
        }
    }
}

static struct berth_worker *find(struct berth_zygote *zygote, uint64_t serial)
{
    berth_list_each(&zygote->workers, link) {
        struct berth_worker *worker = berth_container(link, struct berth_worker, link);
        if (worker->serial == serial)
            return worker;
    }
    return NULL;
}

/*
 * Nothing more is to be had from the process: it has ended, or gone mad. number: an errno value for
 * who waits.
 */
static void bury(struct berth_zygote *zygote, int number)
{
    int socket = zygote->socket, pidfd = zygote->pidfd;
    char how[64];

    zygote->socket = zygote->pidfd = -1;
    pthread_mutex_unlock(&zygote->lock);
    berth_source_remove(&zygote->source);
    close(socket);
    put_to_rest(pidfd); /* its workers are killed with it */
    pthread_mutex_lock(&zygote->lock);

    snprintf(how, sizeof(how), "ended with process %d, which had made it", (int)zygote->pid);
    berth_list_each(&zygote->workers, link) {
        struct berth_worker *worker = berth_container(link, struct berth_worker, link);
        if (worker->state == STARTING) {
            worker->state = REFUSED;
            worker->number = number;
        } else if (worker->state == RUNNING) {
            mark_ended(worker, how);
        }
    }
}

/* descriptor: what came with it, taken; or -1. */
static void hear(struct berth_zygote *zygote, const struct berth_nursery_packet *packet,
                 int descriptor)
{
    struct berth_worker *worker = find(zygote, packet->serial);
    char how[sizeof(worker->how)];

    if (packet->type == BERTH_NURSERY_SPAWNED && worker && worker->state == STARTING) {
        /*
         * Without its pidfd, for which there was no room here, it could be neither watched nor
         * killed. It ends by itself when its socket closes: nothing of a module runs in it yet.
         */
        worker->number = packet->status == 0 && descriptor < 0 ? EMFILE : packet->status;
        worker->state = worker->number ? REFUSED : RUNNING;
        worker->pid = packet->pid;
        worker->pidfd = descriptor;
        return;
    }
    if (packet->type == BERTH_NURSERY_SPAWNED && descriptor >= 0)
        pidfd_send_signal(descriptor, SIGKILL, NULL, 0); /* whoever asked for it has given up */
    if (packet->type == BERTH_NURSERY_ENDED && worker && worker->state == RUNNING) {
        describe(packet->status, how, sizeof(how));
        mark_ended(worker, how);
    }
    if (descriptor >= 0)
        close(descriptor);
}

/* One packet, if there is one. *ret_descriptor is -1 without one. */
static ssize_t receive_packet(int socket, struct berth_nursery_packet *ret_packet,
                              int *ret_descriptor)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec piece = { ret_packet, sizeof(*ret_packet) };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *part = got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;

    *ret_descriptor = -1;
    if (part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
        part->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_descriptor, CMSG_DATA(part), sizeof(int));
    return got;
}

/* Waits for one packet and hears it. With the lock held, and nobody else pumping. */
static void pump(struct berth_zygote *zygote, int64_t deadline)
{
    struct berth_nursery_packet packet;
    struct pollfd ready = { zygote->socket, POLLIN, 0 };
    ssize_t got = -1;
    int descriptor = -1;

    zygote->pumping = true;
    pthread_mutex_unlock(&zygote->lock);
    if (poll(&ready, 1, berth_milliseconds_until(deadline)) > 0)
        got = receive_packet(ready.fd, &packet, &descriptor);
    bool nothing = ready.revents == 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
    pthread_mutex_lock(&zygote->lock);

    bool stranger =
        got >= (ssize_t)sizeof(packet.version) && packet.version != BERTH_NURSERY_VERSION;
    if (got == sizeof(packet) && !stranger)
        hear(zygote, &packet, descriptor);
    else if (!nothing)
        bury(zygote, stranger ? EPROTO : EPIPE);
    zygote->pumping = false;
    pthread_cond_broadcast(&zygote->changed);
    if (zygote->socket >= 0)
        berth_source_modify(&zygote->source, EPOLLIN | EPOLLONESHOT);
    tell_owners(zygote);
}

/*
 * One step of waiting for something to change. With the lock held. heard: what the process has to
 * say of it has been heard, and another thread is about to act on it.
 */
static void wait_turn(struct berth_zygote *zygote, bool heard, int64_t deadline)
{
    struct timespec until = { deadline / 1000000000, deadline % 1000000000 };

    if (!heard && !zygote->pumping && zygote->socket >= 0)
        pump(zygote, deadline);
    else if (deadline == BERTH_FOREVER)
        pthread_cond_wait(&zygote->changed, &zygote->lock);
    else
        pthread_cond_clockwait(&zygote->changed, &zygote->lock, CLOCK_MONOTONIC, &until);
}

/* ---- what the process is told ---- */

static ssize_t try_send(int socket, const struct berth_nursery_packet *packet,
                        const int *descriptors)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = { 0 };
    struct iovec piece = { (void *)packet, sizeof(*packet) };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

    if (descriptors) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS,
                                         .cmsg_len = CMSG_LEN(2 * sizeof(int)) };
        memcpy(CMSG_DATA(&control.head), descriptors, 2 * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* With the lock held. False: errno tells. A process that has ended is not buried here. */
static bool send_packet(struct berth_zygote *zygote, const struct berth_nursery_packet *packet,
                        const int *descriptors)
{
    int64_t deadline = berth_now() + PATIENCE;

    while (try_send(zygote->socket, packet, descriptors) < 0) {
        struct pollfd ready = { zygote->socket, POLLOUT, 0 };
        if (errno != EAGAIN && errno != EINTR)
            return false;
        if (berth_now() >= deadline) {
            errno = ETIMEDOUT;
            return false;
        }
        poll(&ready, 1, berth_milliseconds_until(deadline)); /* only when it is stopped */
    }
    return true;
}

/* There is a process that takes packets, afterwards. With the lock held. */
static int obtain(struct berth_zygote *zygote, int64_t deadline, struct berth_error *error)
{
    while (zygote->pumping && zygote->socket < 0) /* being buried */
        wait_turn(zygote, false, deadline);
    return zygote->socket >= 0 ? BERTH_OK : begin(zygote, error);
}

static int refusal(const struct berth_zygote *zygote, const struct berth_worker *worker,
                   struct berth_error *error)
{
    if (worker->state == STARTING)
        return berth_error_set(error, BERTH_DEADLINE_EXCEEDED,
                               "process %d, which makes workers, did not answer in time",
                               (int)zygote->pid);
    if (worker->number == EPIPE)
        return berth_error_set(error, BERTH_UNAVAILABLE,
                               "the worker program %s ended: is it a berth-worker?",
                               zygote->program);
    if (worker->number == EPROTO)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "the worker program %s is of another release", zygote->program);
    return berth_error_errno(error, worker->number, "cannot make a worker");
}

/* Has the process make the worker. With the lock held. */
static int order_worker(struct berth_zygote *zygote, struct berth_worker *worker, const char *name,
                        const int *descriptors, int64_t deadline, struct berth_error *error)
{
    struct berth_nursery_packet order = { .version = BERTH_NURSERY_VERSION,
                                          .type = BERTH_NURSERY_SPAWN };
    int code = obtain(zygote, deadline, error);

    if (code != BERTH_OK)
        return code;
    snprintf(order.name, sizeof(order.name), "%s", name);
    order.serial = worker->serial = ++zygote->serials;
    worker->state = STARTING;
    if (!send_packet(zygote, &order, descriptors) && errno != EPIPE && errno != ECONNRESET) {
        worker->state = REFUSED;
        worker->number = errno;
    }
    while (worker->state == STARTING && berth_now() < deadline)
        wait_turn(zygote, false, deadline); /* in which a dead process is buried */
    return worker->state == RUNNING || worker->state == ENDED ? BERTH_OK
                                                              : refusal(zygote, worker, error);
}

int berth_zygote_spawn(struct berth_zygote *zygote, const char *name, int socket, int image,
                       int64_t deadline, const struct berth_worker_end *end,
                       struct berth_worker **ret_worker, struct berth_error *error)
{
    const int descriptors[2] = { socket, image };
    struct berth_worker *worker = berth_calloc(1, sizeof(*worker));
    struct berth_error reason;

    if (!worker)
        return berth_error_nomem(error);
    worker->zygote = zygote;
    worker->end = *end;
    worker->pidfd = -1;
    pthread_mutex_lock(&zygote->lock);
    berth_list_append(&zygote->workers, &worker->link);
    int code = order_worker(zygote, worker, name, descriptors, deadline, &reason);
    if (code == BERTH_UNAVAILABLE) /* perhaps it had been dead for a while, unnoticed */
        code = order_worker(zygote, worker, name, descriptors, deadline, &reason);
    if (code != BERTH_OK && error)
        *error = reason;
    if (code != BERTH_OK)
        berth_list_remove(&worker->link);
    pthread_mutex_unlock(&zygote->lock);
    if (code == BERTH_OK)
        *ret_worker = worker;
    else
        berth_free(worker);
    return code;
}

/* ---- workers ---- */

pid_t berth_worker_pid(const struct berth_worker *worker)
{
    return worker->pid;
}

int berth_worker_pidfd(const struct berth_worker *worker)
{
    return worker->pidfd;
}

void berth_worker_kill(struct berth_worker *worker)
{
    pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0);
}

bool berth_worker_wait(struct berth_worker *worker, int64_t deadline)
{
    struct berth_zygote *zygote = worker->zygote;

    pthread_mutex_lock(&zygote->lock);
    while (!worker->told && berth_now() < deadline)
        wait_turn(zygote, worker->state == ENDED, deadline);
    bool told = worker->told;
    pthread_mutex_unlock(&zygote->lock);
    return told;
}

void berth_worker_free(struct berth_worker *worker)
{
    if (!worker)
        return;
    struct berth_zygote *zygote = worker->zygote;
    berth_worker_kill(worker);
    close(worker->pidfd);
    pthread_mutex_lock(&zygote->lock);
    while (worker->telling && !pthread_equal(worker->teller, pthread_self()))
        pthread_cond_wait(&zygote->changed, &zygote->lock);
    berth_list_remove(&worker->link);
    if (worker->telling)
        worker->freed = true; /* by the one that tells: this thread, further up */
    else
        berth_free(worker);
    pthread_mutex_unlock(&zygote->lock);
}
