/* SPDX-License-Identifier: MIT */
/*
 * What a reload hands over. The next generation's START asks the serving one, by a call of its
 * `heir`, for an address, connects to it, and says whether it wants the socket. When the old one
 * learns that it is to stop, it sends the listening socket, the lock and all clients that way, and
 * later the answers to requests that were being executed. So nobody notices, be the generations in
 * one process or in two. A new one that is given up before has got nothing.
 *
 * Records are small enough for one message each; data that is longer comes in several.
 */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

BERTH_IMPORT_AS(call_host, json, host, call, (string, function), (optional(json), arguments),
                (optional(i64), timeout_ms));

#define PIECE           32768
#define PATIENCE_MS     2000
#define DESCRIPTORS_MAX 2
#define RETRY_NS        INT64_C(500000000) /* without a name to listen at */

/* The heir's lock is taken over those of connections, on its side and on ours. */
static struct {
    pthread_mutex_t lock, hearing; /* the latter: what the heir asks for is done in order */
    int heir;                      /* to the next generation */
    int parent;                    /* from the generation before */
    bool unsettled;                /* messages wait for subscriptions from there */
    bool elsewhere;                /* the heir listens at another place */
    bool deaf;                     /* nobody listens: that is tried again */
    bool left, inherited;
    bool attended;                /* a thread of ours hears what the heir asks for */
    struct text message;          /* a part of one from the generation before */
    struct subscription *nobodys; /* from there, too: to be ended without the lock */
} here = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .hearing = PTHREAD_MUTEX_INITIALIZER,
           .heir = -1,
           .parent = -1 };

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- records -------------------------------------------------------------------------------- */

/* false: there is nobody. */
static bool send_record(const struct record *head, const void *data, size_t size, const int *fds,
                        size_t fd_count)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control = { .room = { 0 } };
    struct iovec pieces[] = { { (void *)head, sizeof(*head) }, { (void *)data, size } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
    if (fd_count) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
    }
    return here.heir >= 0 && sendmsg(here.heir, &message, MSG_NOSIGNAL) >= 0;
}

/* Threads of the heir's may all be busy: they get to it. Only who gives everything away hurries. */
static bool send_piece(const struct record *head, const void *data, size_t size, int fd)
{
    while (!send_record(head, data, size, &fd, fd >= 0))
        if (!here.left || here.heir < 0 || (errno != EAGAIN && errno != EINTR))
            return false;
    return true;
}

bool inherit_send(const struct record *head, const void *data, size_t size, int fd)
{
    struct record piece = *head;
    size_t sent = 0;
    do { /* at least one, that with the descriptor */
        size_t length = size - sent < PIECE ? size - sent : PIECE;
        piece.last = sent + length == size;
        if (!send_piece(&piece, (const char *)data + sent, length, fd))
            return false;
        fd = -1;
        sent += length;
    } while (sent < size);
    return true;
}

/* How many bytes, the head in front; 0: not now; -1: no more. */
static ssize_t receive_record(char *buffer, size_t size, int fds[DESCRIPTORS_MAX])
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct iovec piece = { buffer, size };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    ssize_t got;
    fds[0] = fds[1] = -1;
    do /* told once that nobody reads there what was last said; what has come is still to be read */
        got = recvmsg(here.parent, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && (errno == EINTR || errno == ECONNRESET));
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got < (ssize_t)sizeof(struct record))
        return -1;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (rights && rights->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
    return got;
}

/* ---- the old one ---------------------------------------------------------------------------- */

berth_inheritance inherit_wait(berth_ctx *ctx, const char *socket, const char *listener)
{
    berth_inheritance offered = { "", listen_is_at(socket, listener) };
    pthread_mutex_lock(&here.lock);
    if (here.left)
        berth_fail(ctx, BERTH_FAILED_PRECONDITION, "this generation has left already");
    else
        offered.address = heir_address(ctx);
    pthread_mutex_unlock(&here.lock);
    return offered;
}

/* pid: of the generation that serves now. It may have been given up before it said anything. */
static bool find_heir(pid_t pid)
{
    const struct timeval patience = { PATIENCE_MS / 1000, 0 };
    struct record claim;
    here.heir = heir_take(pid);
    if (here.heir < 0)
        return false;
    if (recv(here.heir, &claim, sizeof(claim), MSG_DONTWAIT) != sizeof(claim) ||
        claim.type != RECORD_CLAIM) {
        close_one(&here.heir);
        return false;
    }
    here.elsewhere = !claim.listens;
    setsockopt(here.heir, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return true;
}

bool inherit_reply(uint64_t id, const struct worker *worker)
{
    const struct record head = { .type = RECORD_REPLY, .id = id, .request = worker->request };
    const struct text *reply = &worker->reply;
    pthread_mutex_lock(&here.lock);
    bool given = worker->fresh && inherit_subscription(id, worker->request, worker->fresh);
    inherit_send(&head, reply->data, reply->failed ? 0 : reply->size, -1);
    pthread_mutex_unlock(&here.lock);
    return given;
}

bool inherit_more(uint64_t id, const struct text *line)
{
    const struct record head = { .type = RECORD_MORE, .id = id };
    pthread_mutex_lock(&here.lock);
    bool sent = !line->failed && inherit_send(&head, line->data, line->size, -1);
    pthread_mutex_unlock(&here.lock);
    return sent;
}

void inherit_message(const struct message *message)
{
    const struct record head = { .type = RECORD_MESSAGE,
                                 .id = message->host_id,
                                 .dropped = message->dropped };
    struct text parts = { 0 };
    text_put(&parts, message->topic, strlen(message->topic) + 1);
    text_put(&parts, message->sender, strlen(message->sender) + 1);
    text_put(&parts, message->fields, strlen(message->fields) + 1);
    pthread_mutex_lock(&here.lock);
    if (here.inherited && !parts.failed)
        inherit_send(&head, parts.data, parts.size, -1);
    pthread_mutex_unlock(&here.lock);
    text_free(&parts);
}

bool inherit_subscription(uint64_t id, uint64_t request, const struct subscription *subscription)
{
    const struct record head = { .type = RECORD_SUBSCRIPTION,
                                 .id = id,
                                 .request = request,
                                 .number = subscription->number,
                                 .dropped = subscription->dropped };
    struct text patterns = { 0 };
    for (size_t i = 0; i < subscription->count; i++) {
        const struct pattern *pattern = &subscription->patterns[i];
        text_put(&patterns, (const char *)&pattern->host_id, sizeof(pattern->host_id));
        text_put(&patterns, pattern->text, strlen(pattern->text) + 1);
    }
    bool sent = !patterns.failed && patterns.size <= PIECE &&
                inherit_send(&head, patterns.data, patterns.size, -1);
    text_free(&patterns);
    return sent;
}

bool inherit_subscribe(uint64_t id, const struct subscription *subscription)
{
    pthread_mutex_lock(&here.lock);
    bool given = inherit_subscription(id, 0, subscription);
    pthread_mutex_unlock(&here.lock);
    return given;
}

void inherit_unsubscribe(uint64_t id, uint64_t number)
{
    const struct record head = { .type = RECORD_UNSUBSCRIBE, .id = id, .number = number };
    pthread_mutex_lock(&here.lock);
    inherit_send(&head, NULL, 0, -1);
    pthread_mutex_unlock(&here.lock);
}

bool inherit_end(void)
{
    const struct record head = { .type = RECORD_END };
    bool inherited = here.inherited;
    if (inherited)
        send_record(&head, NULL, 0, NULL, 0);
    heir_close();
    close_one(&here.heir);
    close_one(&here.parent);
    text_free(&here.message);
    return inherited;
}

/* ---- what the next one says ----------------------------------------------------------------- */

bool inherit_attend(berth_ctx *ctx, int timeout_ms)
{
    struct record record;
    struct pollfd heir = { .fd = here.heir, .events = POLLIN };
    poll(&heir, 1, timeout_ms);
    ssize_t got;
    pthread_mutex_lock(&here.hearing);
    while ((got = recv(here.heir, &record, sizeof(record), MSG_DONTWAIT)) == sizeof(record))
        connections_hear(ctx, &record);
    bool more = got < 0 && (errno == EAGAIN || errno == EINTR);
    pthread_mutex_unlock(&here.hearing);
    return more;
}

void inherit_stay(berth_ctx *ctx)
{
    pthread_mutex_lock(&here.lock);
    bool stays = !here.attended;
    here.attended = true;
    pthread_mutex_unlock(&here.lock);
    while (stays && connections_requests() && inherit_attend(ctx, LOOK_MS))
        ;
}

/* ---- the new one ---------------------------------------------------------------------------- */

/* What a generation before answers; "": there is none. */
static const char *ask_for_address(berth_ctx *ctx, bool *ret_listens)
{
    const berth_optional_i64 patience = { true, PATIENCE_MS };
    struct text arguments = { 0 };
    text_puts(&arguments, "[");
    text_put_string(&arguments, listen_path());
    text_puts(&arguments, ",");
    text_put_string(&arguments, listen_function());
    text_put(&arguments, "]", sizeof("]"));
    const char *json = arguments.failed ? "null"
                                        : call_host(ctx, berth_printf(ctx, "%s.heir", own_name),
                                                    arguments.data, patience);
    text_free(&arguments);
    berth_parsed offered = { 0 };
    if (!berth_failed(ctx))
        offered = json_parse(ctx, json);
    const char *address = json_member(&offered, "address");
    const char *listens = json_member(&offered, "listens");
    const char *name = address ? json_string(ctx, address) : NULL;
    berth_clear(ctx); /* there is none before */
    *ret_listens = listens && !strcmp(listens, "true");
    return name ? name : "";
}

int inherit_begin(berth_ctx *ctx, bool *ret_listens)
{
    const struct timeval limit = { PATIENCE_MS / 1000, 0 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    bool listens = false;
    const char *name = ask_for_address(ctx, &listens);
    size_t length = strlen(name);
    *ret_listens = false;
    if (!length || length > sizeof(address.sun_path) - 1)
        return -1;
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const struct record claim = { .type = RECORD_CLAIM, .listens = listens };
    /* the name is anybody's to connect to, and the queue of those who do may be full */
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (fd < 0 ||
        connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) ||
        send(fd, &claim, sizeof(claim), MSG_NOSIGNAL) < 0)
        close_one(&fd);
    here.parent = fd;
    here.unsettled = fd >= 0;
    *ret_listens = fd >= 0 && listens;
    if (here.unsettled)
        subscriptions_unsettle();
    return fd;
}

static void settle(void)
{
    if (here.unsettled)
        subscriptions_settle();
    here.unsettled = false;
}

/* To be ended when the lock is not held: that may wait for who waits for it. */
static void put_aside(struct subscription *nobodys)
{
    while (nobodys) {
        struct subscription *next = nobodys->next;
        nobodys->next = here.nobodys;
        here.nobodys = nobodys;
        nobodys = next;
    }
}

/* Lets go of the lock. */
static void leave(berth_ctx *ctx)
{
    struct subscription *nobodys = here.nobodys;
    here.nobodys = NULL;
    pthread_mutex_unlock(&here.lock);
    subscriptions_end(ctx, nobodys);
}

bool inherit_tell(enum record_type type, uint64_t id, uint64_t request)
{
    /* it is open: it is closed after the connection has been told that nobody is there */
    const struct record record = { .type = type, .id = id, .request = request };
    return send(here.parent, &record, sizeof(record), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
           errno != EAGAIN;
}

/*
 * Without the socket the old one has died: then it is made anew. Whoever has the name or its lock
 * yet, as the old one that takes its time to end, may let go of it.
 */
static void listen_anew(berth_ctx *ctx)
{
    bool again = here.deaf;
    here.deaf = false;
    if (listen_is_open() || here.left || berth_stopping(ctx))
        return;
    int listener = listen_open(ctx);
    if (listener >= 0) {
        pool_listen(listener);
        if (again)
            berth_log(ctx, BERTH_LOG_INFO, "listens again");
        return;
    }
    if (!again)
        berth_log(ctx, BERTH_LOG_ERROR, "nobody listens; it is tried again and again: %s",
                  berth_error_text(ctx));
    berth_clear(ctx);
    here.deaf = true;
    pool_wake_at(now_ns() + RETRY_NS);
}

void inherit_check(berth_ctx *ctx)
{
    pthread_mutex_lock(&here.lock);
    if (here.deaf)
        listen_anew(ctx);
    pthread_mutex_unlock(&here.lock);
}

/* Nothing more comes. */
static void orphaned(berth_ctx *ctx)
{
    put_aside(connections_orphaned(ctx));
    pool_remove(here.parent);
    close_one(&here.parent);
    settle();
    listen_anew(ctx);
}

/* Without a descriptor it is not for us. */
static void take_listener(berth_ctx *ctx, const char *data, size_t size, int fds[DESCRIPTORS_MAX])
{
    struct listen_identity identity = { 0 };
    if (fds[0] < 0)
        return;
    memcpy(&identity, data, size < sizeof(identity) ? size : sizeof(identity));
    listen_take(ctx, fds, &identity);
    pool_listen(fds[0]);
    fds[0] = fds[1] = -1;
}

/* Without memory for it one is lost. */
static void take_message(const struct record *head, const char *data, size_t size)
{
    text_put(&here.message, data, size);
    if (!head->last)
        return;
    if (!here.message.failed) {
        const char *topic = here.message.data, *sender = topic + strlen(topic) + 1;
        const struct message message = { head->id, topic, sender, sender + strlen(sender) + 1,
                                         head->dropped };
        subscriptions_deliver_inherited(&message);
    }
    text_free(&here.message);
}

static void take(berth_ctx *ctx, const struct record *head, const char *data, size_t size,
                 int fds[DESCRIPTORS_MAX])
{
    if (head->type == RECORD_BEGIN) {
        subscription_numbers(head->number);
    } else if (head->type == RECORD_LISTENER) {
        take_listener(ctx, data, size, fds);
        settle();
    } else if (head->type == RECORD_MESSAGE) {
        take_message(head, data, size);
    } else {
        put_aside(connections_inherit(head, data, size, fds[0]));
        fds[0] = -1;
    }
    close_one(&fds[0]);
    close_one(&fds[1]);
}

/* With the lock. */
static void take_all(berth_ctx *ctx)
{
    char buffer[sizeof(struct record) + PIECE + 1];
    struct record head;
    int fds[DESCRIPTORS_MAX];
    while (here.parent >= 0) {
        ssize_t got = receive_record(buffer, sizeof(buffer) - 1, fds);
        if (got == 0)
            return;
        memcpy(&head, buffer, sizeof(head));
        if (got < 0 || head.type == RECORD_END)
            orphaned(ctx);
        else
            take(ctx, &head, buffer + sizeof(head), (size_t)got - sizeof(head), fds);
    }
}

void inherit_event(berth_ctx *ctx)
{
    pthread_mutex_lock(&here.lock);
    take_all(ctx);
    leave(ctx);
}

/* ---- from one to the next ------------------------------------------------------------------- */

/* Clients first: the next one should not give their places to others. */
static bool give_all(void)
{
    /* those that are executed may still take numbers */
    const size_t more = connections_requests() * limits.batch;
    const struct record begin = { .type = RECORD_BEGIN, .number = subscription_numbers(0) + more };
    const struct record last = { .type = RECORD_LISTENER };
    struct listen_identity identity;
    int fds[DESCRIPTORS_MAX];
    listen_give(fds, &identity);
    if (fds[0] < 0 || !send_record(&begin, NULL, 0, NULL, 0))
        return false;
    pool_listen(-1);
    connections_hand_over();
    if (here.elsewhere) {
        listen_retire();
        return send_record(&last, NULL, 0, NULL, 0);
    }
    return send_record(&last, &identity, sizeof(identity), fds, fds[1] < 0 ? 1 : DESCRIPTORS_MAX);
}

static bool has_left(void)
{
    pthread_mutex_lock(&here.lock);
    bool left = here.left;
    pthread_mutex_unlock(&here.lock);
    return left;
}

bool inherit_leave(berth_ctx *ctx)
{
    pid_t pid = has_left() ? 0 : heir_pid(ctx); /* not under the lock: it calls the host */
    pthread_mutex_lock(&here.lock);
    if (!here.left) {
        /* the heir hears nothing of one before us: which keeps what it cannot send any more */
        shutdown(here.parent, SHUT_RD);
        take_all(ctx); /* it may not have come to that yet */
        here.inherited = find_heir(pid) && give_all();
        if (!here.inherited)
            listen_retire();
        pool_listen(-1);
        here.left = true;
    } else if (here.inherited) {
        connections_hand_over(); /* what this thread has accepted meanwhile */
    }
    bool inherited = here.inherited;
    leave(ctx);
    if (!inherited) /* STOP comes when the last call has ended: idle ones need not wait */
        connections_end(ctx, false);
    return inherited;
}
