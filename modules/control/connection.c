/* SPDX-License-Identifier: MIT */
/* Clients: their lines in, their answers out, and when it is enough. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE     4096               /* at least so much is asked for at a time */
#define TURN          16                 /* requests of one client, then others have their turn */
#define RETRY_NS      INT64_C(500000000) /* without a descriptor to accept with */
#define FULL_GRACE_NS INT64_C(1000000)   /* timers need not be exact */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct {
    pthread_mutex_t lock; /* of `open`, and of who takes a place */
    struct connection *places;
    size_t count, open;
    size_t next;     /* atomic: where a free place is looked for first, behind the newest one */
    uint32_t number; /* atomic: of the newest one */
    bool starved;    /* atomic: somebody waits who could not be accepted */
    /* by the place in the generation before: that here, and one. Under inherit.c's lock */
    uint32_t foreign[CONNECTIONS_MAX + THREADS_MAX];
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool connections_init(berth_ctx *ctx)
{
    /* one that has gone keeps its place while a request of it is executed */
    size_t count = limits.connections + limits.threads;
    table.places = (struct connection *)calloc(count, sizeof(*table.places));
    table.count = table.places ? count : 0;
    if (!table.places) {
        berth_fail(ctx, BERTH_RESOURCE_EXHAUSTED, "no memory for %zu connections",
                   limits.connections);
        return false;
    }
    for (size_t i = 0; i < table.count; i++) {
        pthread_mutex_init(&table.places[i].lock, NULL);
        table.places[i].fd = -1;
    }
    return true;
}

/* ---- sending -------------------------------------------------------------------------------- */

static size_t unsent(const struct connection *connection)
{
    return connection->out.size - connection->out_start;
}

static void want_output(struct connection *connection, bool wanted)
{
    if (connection->wants_output != wanted)
        pool_change(connection->fd, connection->tag, wanted);
    connection->wants_output = wanted;
}

/* Nothing more can be sent: the event that comes of it finds a thread which may end everything. */
static void break_off(struct connection *connection)
{
    connection->broken = true;
    connection->ended = true;
    shutdown(connection->fd, SHUT_RDWR);
    text_free(&connection->out);
    connection->out_start = 0;
}

/* The generation before sends no more replies than the client takes. */
static void mind_foreign(struct connection *connection)
{
    bool held = !connection->broken && unsent(connection) >= limits.unsent;
    if (!connection->foreign_requests || held == connection->foreign_held)
        return;
    if (inherit_tell(held ? RECORD_HOLD : RECORD_GO_ON, connection->foreign, 0))
        connection->foreign_held = held; /* else it is told when more has come */
    else if (!held)
        break_off(connection); /* the rest would never come */
}

/* How much of it went; 0, too, when it is broken. */
static size_t send_some(struct connection *connection, const char *data, size_t size)
{
    ssize_t sent;
    do
        sent = send(connection->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return (size_t)sent;
    if (errno != EAGAIN && errno != ENOBUFS)
        break_off(connection);
    return 0;
}

/* A client that takes nothing, although so much waits for it that it is not read any more. */
static void mind_unread(struct connection *connection, bool progress)
{
    bool full = unsent(connection) >= limits.unsent ||
                (connection->ended && !connection->requests && unsent(connection));
    if (!full || connection->broken) {
        connection->unread_since = 0;
    } else if (progress || !connection->unread_since) {
        connection->unread_since = now_ns();
        pool_wake_at(connection->unread_since + limits.unread_ns + FULL_GRACE_NS);
    }
}

static void flush(struct connection *connection)
{
    bool progress = false;
    while (unsent(connection)) {
        size_t sent =
            send_some(connection, connection->out.data + connection->out_start, unsent(connection));
        if (!sent)
            break;
        connection->out_start += sent;
        progress = true;
    }
    if (!unsent(connection)) {
        text_clear(&connection->out);
        connection->out_start = 0;
        if (!connection->broken)
            want_output(connection, false);
    }
    mind_unread(connection, progress);
    mind_foreign(connection);
}

/* Everything is sent or kept; without memory for that the client is lost. */
static void put(struct connection *connection, const struct text *text)
{
    size_t sent = 0;
    if (connection->fd < 0 || connection->broken)
        return;
    if (!text->failed && !unsent(connection))
        sent = send_some(connection, text->data, text->size);
    if (connection->broken || (sent == text->size && !text->failed))
        return;
    text_put(&connection->out, text->data + sent, text->size - sent);
    if (text->failed || connection->out.failed) {
        break_off(connection);
        return;
    }
    if (connection->out_start > connection->out.size / 2) {
        size_t left = unsent(connection);
        memmove(connection->out.data, connection->out.data + connection->out_start, left);
        connection->out.size = left;
        connection->out_start = 0;
    }
    want_output(connection, true);
    mind_unread(connection, false);
    mind_foreign(connection);
}

static bool is_owed_much(const struct connection *connection, uint64_t tag)
{
    return connection->fd >= 0 && connection->tag == tag && !connection->broken &&
           unsent(connection) >= limits.unsent;
}

/*
 * Until the client has taken some, its time is over, or this module stops. By this thread itself,
 * as all others may do the same; of a descriptor of its own, as the client may go meanwhile.
 */
static void wait_for_client(berth_ctx *ctx, struct connection *connection, int64_t until)
{
    struct pollfd ends[] = {
        { .fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 0), .events = POLLOUT },
        { .fd = berth_stopping_fd(ctx), .events = POLLIN },
    };
    int64_t left = until > now_ns() ? (until - now_ns()) / 1000000 + 1 : 0;
    if (ends[0].fd < 0 && left > LOOK_MS) /* no descriptor is left: it looks now and then */
        left = LOOK_MS;
    pthread_mutex_unlock(&connection->lock);
    poll(ends, sizeof(ends) / sizeof(*ends), left < INT_MAX ? (int)left : INT_MAX);
    if (ends[0].fd >= 0)
        close(ends[0].fd);
    pthread_mutex_lock(&connection->lock);
}

bool connection_is_held(struct connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    bool held = connection->held;
    pthread_mutex_unlock(&connection->lock);
    return held;
}

/* By way of the next generation, which looks after the client. */
static bool send_handed(berth_ctx *ctx, struct connection *connection, uint64_t id,
                        const struct text *line)
{
    bool there = inherit_attend(ctx, 0);
    while (there && connection_is_held(connection))
        there = inherit_attend(ctx, LOOK_MS);
    return there && inherit_more(id, line);
}

bool connection_send(berth_ctx *ctx, struct connection *connection, const struct text *line)
{
    pthread_mutex_lock(&connection->lock);
    uint64_t tag = connection->tag, handed = connection->handed;
    if (handed) {
        pthread_mutex_unlock(&connection->lock);
        return send_handed(ctx, connection, handed, line);
    }
    put(connection, line);
    while (is_owed_much(connection, tag) && !berth_stopping(ctx)) {
        int64_t until = connection->unread_since + limits.unread_ns;
        wait_for_client(ctx, connection, until);
        if (!is_owed_much(connection, tag))
            break;
        flush(connection);
        if (is_owed_much(connection, tag) &&
            connection->unread_since + limits.unread_ns <= now_ns())
            break_off(connection);
    }
    bool gone = connection->broken || (connection->tag != tag && !connection->handed);
    pthread_mutex_unlock(&connection->lock);
    return !gone;
}

static void refuse(struct connection *connection, int code, const char *words)
{
    struct text line = { 0 };
    request_refuse(&line, code, words);
    put(connection, &line);
    text_free(&line);
    connection->ended = true;
    connection->line_since = 0; /* it is told once, though it may have to wait for an answer */
}

/* ---- the end -------------------------------------------------------------------------------- */

/* Its subscriptions are now the caller's, to be ended without the lock. */
static struct subscription *close_it(struct connection *connection)
{
    struct subscription *subscriptions = connection->subscriptions;
    connection->subscriptions = NULL;
    if (connection->foreign_requests)
        inherit_tell(RECORD_GONE, connection->foreign, 0);
    pool_remove(connection->fd);
    close(connection->fd);
    connection->fd = -1;
    connection->tag = 0;
    text_free(&connection->in);
    text_free(&connection->out);
    text_free(&connection->foreign_reply);
    connection->in_start = connection->in_scanned = connection->out_start = 0;
    connection->line_since = connection->unread_since = 0;
    pthread_mutex_lock(&table.lock);
    table.open--;
    pthread_mutex_unlock(&table.lock);
    return subscriptions;
}

static bool is_over(const struct connection *connection)
{
    return connection->fd >= 0 &&
           (connection->broken ||
            (connection->ended && !connection->requests && !unsent(connection)));
}

/* Lets go of the lock. */
static void leave(struct worker *worker, struct connection *connection)
{
    struct subscription *subscriptions = NULL;
    bool closed = is_over(connection), busy = connection->requests > 0;
    if (closed)
        subscriptions = close_it(connection);
    pthread_mutex_unlock(&connection->lock);
    if (closed && busy) /* nobody waits for them any more */
        started_cancel(worker->ctx, connection, NULL);
    subscriptions_end(worker->ctx, subscriptions);
    if (closed && __atomic_load_n(&table.starved, __ATOMIC_RELAXED))
        pool_wake_at(now_ns()); /* now there is a descriptor */
}

/* ---- reading -------------------------------------------------------------------------------- */

static void drop_read(struct connection *connection)
{
    struct text *in = &connection->in;
    size_t left = in->size - connection->in_start;
    if (left == 0) {
        text_clear(in);
    } else if (connection->in_start) {
        memmove(in->data, in->data + connection->in_start, left);
        in->size = left;
    }
    connection->in_scanned -= connection->in_start;
    connection->in_start = 0;
}

/* Reads once; afterwards `readable` says whether it makes sense again. */
static void read_some(struct connection *connection)
{
    struct text *in = &connection->in;
    drop_read(connection);
    if (!text_reserve(in, in->size > READ_SIZE ? in->size : READ_SIZE)) {
        refuse(connection, BERTH_RESOURCE_EXHAUSTED, "no memory for this line");
        return;
    }
    size_t room = in->capacity - in->size;
    ssize_t got;
    do
        got = recv(connection->fd, in->data + in->size, room, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        in->size += (size_t)got;
    else if (got == 0 || errno != EAGAIN)
        connection->ended = true;
    if (got <= 0 || ((size_t)got < room && !connection->hung_up))
        connection->readable = false;
}

static bool is_blank(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != ' ' && data[i] != '\t' && data[i] != '\r')
            return false;
    return true;
}

/* Up to the newline that has been found, as a text of its own. */
static bool take_line(struct connection *connection, const char *newline, struct text *line)
{
    const char *from = connection->in.data + connection->in_start;
    size_t size = (size_t)(newline - from);
    connection->in_start += size + 1;
    connection->in_scanned = connection->in_start;
    connection->line_since = 0;
    if (is_blank(from, size))
        return false;
    text_clear(line);
    text_put(line, from, size);
    text_put(line, "", 1);
    line->size = size;
    return true;
}

static const char *find_line(struct connection *connection)
{
    struct text *in = &connection->in;
    if (connection->in_scanned == in->size)
        return NULL;
    const char *newline = (const char *)memchr(in->data + connection->in_scanned, '\n',
                                               in->size - connection->in_scanned);
    connection->in_scanned = newline ? (size_t)(newline - in->data) : in->size;
    return newline;
}

/* false: there is no whole line now. */
static bool next_line(struct connection *connection, struct text *line)
{
    while (!connection->broken) {
        const char *newline = find_line(connection);
        if (connection->in_scanned - connection->in_start > limits.line) {
            refuse(connection, BERTH_RESOURCE_EXHAUSTED,
                   "the line is too long: see the option \"line_bytes\"");
            connection->in_start = connection->in_scanned = connection->in.size;
            return false;
        }
        if (newline && take_line(connection, newline, line))
            return true;
        if (!newline && (!connection->readable || connection->ended))
            return false;
        if (!newline)
            read_some(connection);
    }
    return false;
}

/* A client that is owed too much is not read until it has taken some of it. */
static bool may_begin(const struct connection *connection)
{
    return connection->fd >= 0 && !connection->broken && connection->requests < limits.requests &&
           unsent(connection) < limits.unsent;
}

static void mind_half_line(struct connection *connection)
{
    if (connection->fd < 0 || connection->ended || connection->in.size == connection->in_start ||
        connection->in_scanned != connection->in.size) {
        connection->line_since = 0;
    } else if (!connection->line_since) {
        connection->line_since = now_ns();
        pool_wake_at(connection->line_since + limits.line_ns + FULL_GRACE_NS);
    }
}

static void ring(struct connection *connection)
{
    if (!connection->queued)
        pool_ring(connection);
    connection->queued = true;
}

static void attach(struct connection *connection, struct subscription *subscription)
{
    subscription->next = connection->subscriptions;
    connection->subscriptions = subscription;
    subscription_begin(subscription, connection);
}

/* Of a client that the next generation has: it is known here as long as a request goes on. */
static void keep_given(struct connection *connection, struct subscription *subscription)
{
    subscription_forget(subscription);
    subscription->next = connection->given;
    connection->given = subscription;
}

static void free_given(struct connection *connection)
{
    subscriptions_free(connection->given);
    connection->given = NULL;
}

/* The client is not here any more: its answer goes by way of the next generation, or nowhere. */
static void finish_elsewhere(struct worker *worker, struct connection *connection)
{
    struct subscription *fresh = worker->fresh;
    uint64_t handed = connection->handed;
    pthread_mutex_unlock(&connection->lock);
    bool given = handed && inherit_reply(handed, worker);
    if (!given)
        subscriptions_end(worker->ctx, fresh);
    pthread_mutex_lock(&connection->lock);
    if (given)
        keep_given(connection, fresh);
    if (--connection->requests == 0) /* until now the place is nobody else's */
        free_given(connection);
}

static void finish(struct worker *worker, struct connection *connection)
{
    struct worker **place = &connection->workers;
    while (*place != worker)
        place = &(*place)->next_of_same;
    *place = worker->next_of_same;
    if (connection->fd < 0) {
        finish_elsewhere(worker, connection);
    } else {
        connection->requests--;
        if (worker->reply.size || worker->reply.failed)
            put(connection, &worker->reply);
        if (worker->fresh)
            attach(connection, worker->fresh);
    }
    worker->fresh = NULL;
}

/* Lets go of the lock while it executes the request of worker->line. */
static void execute(struct worker *worker, struct connection *connection)
{
    connection->requests++;
    worker->request = ++connection->begun;
    worker->next_of_same = connection->workers;
    connection->workers = worker;
    /* others go on reading meanwhile */
    if (may_begin(connection) && (connection->readable || find_line(connection)))
        ring(connection);
    pthread_mutex_unlock(&connection->lock);
    pool_ensure(worker->ctx);
    worker->connection = connection;
    request_run(worker);
    pthread_mutex_lock(&connection->lock);
    finish(worker, connection);
}

/* Reads and executes what there is. Comes with the lock, and lets go of it. */
static void serve(struct worker *worker, struct connection *connection)
{
    int turn = 0;
    while (may_begin(connection) && next_line(connection, &worker->line)) {
        execute(worker, connection);
        if (++turn == TURN) {
            ring(connection);
            break;
        }
    }
    if (may_begin(connection) || connection->ended)
        mind_half_line(connection);
    if (connection->ended && connection->fd >= 0)
        mind_unread(connection, false);
    leave(worker, connection);
}

/* ---- events --------------------------------------------------------------------------------- */

void connections_event(struct worker *worker, uint64_t tag, uint32_t events)
{
    struct connection *connection = &table.places[(uint32_t)tag];
    pthread_mutex_lock(&connection->lock);
    if (connection->tag != tag) { /* it has gone, and this comes late */
        pthread_mutex_unlock(&connection->lock);
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT)
        connection->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        connection->hung_up = true;
    if (events & EPOLLOUT)
        flush(connection);
    serve(worker, connection);
    if (events & EPOLLHUP) { /* it does not even wait for answers */
        started_cancel(worker->ctx, connection, NULL);
        connection_cancel_foreign(connection, NULL);
    }
}

void connections_resume(struct worker *worker, struct connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    connection->queued = false;
    serve(worker, connection);
}

/* Asks to be called again in time when that is not yet. */
static bool is_late(int64_t since, int64_t allowed, int64_t now)
{
    if (since && now - since < allowed)
        pool_wake_at(since + allowed + FULL_GRACE_NS);
    return since && now - since >= allowed;
}

void connections_check(struct worker *worker)
{
    int64_t now = now_ns();
    for (size_t i = 0; i < table.count; i++) {
        struct connection *connection = &table.places[i];
        pthread_mutex_lock(&connection->lock);
        if (connection->fd >= 0 && is_late(connection->line_since, limits.line_ns, now))
            refuse(connection, BERTH_DEADLINE_EXCEEDED, "half a line, and no more of it in time");
        if (connection->fd >= 0 && is_late(connection->unread_since, limits.unread_ns, now))
            break_off(connection);
        leave(worker, connection);
    }
}

/* ---- new ones ------------------------------------------------------------------------------- */

static struct connection *place_take(int fd)
{
    struct connection *found = NULL;
    size_t first = __atomic_load_n(&table.next, __ATOMIC_RELAXED);
    for (size_t tried = 0; tried < table.count && !found; tried++) {
        size_t i = (first + tried) % table.count;
        struct connection *place = &table.places[i];
        pthread_mutex_lock(&place->lock);
        if (place->fd < 0 && place->requests == 0 && !place->queued) {
            found = place;
            place->fd = fd;
            place->tag = (uint64_t)__atomic_add_fetch(&table.number, 1, __ATOMIC_RELAXED) << 32 | i;
            place->readable = place->hung_up = place->ended = place->broken = false;
            place->wants_output = place->watched = false;
            place->foreign_held = place->held = false;
            place->foreign = place->handed = 0;
            __atomic_store_n(&table.next, i + 1, __ATOMIC_RELAXED);
        }
        pthread_mutex_unlock(&place->lock);
    }
    return found;
}

/* Not worth a place: one line, if it takes it, and goodbye. */
static void turn_away(int fd, int code, const char *words)
{
    struct text line = { 0 };
    request_refuse(&line, code, words);
    if (!line.failed)
        send(fd, line.data, line.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    text_free(&line);
    close(fd);
}

/* A place for it; NULL: there are too many. */
static struct connection *admit(int fd)
{
    struct connection *connection = NULL;
    pthread_mutex_lock(&table.lock);
    bool room = table.open < limits.connections;
    table.open += room;
    pthread_mutex_unlock(&table.lock);
    if (room && !(connection = place_take(fd))) {
        pthread_mutex_lock(&table.lock);
        table.open--;
        pthread_mutex_unlock(&table.lock);
    }
    return connection;
}

/* Has its events come. With its lock. */
static void watch(struct connection *connection)
{
    connection->wants_output = false;
    connection->watched = pool_add(connection->fd, connection->tag);
    if (connection->watched && unsent(connection))
        want_output(connection, true);
    if (!connection->watched) {
        refuse(connection, BERTH_RESOURCE_EXHAUSTED, "the host cannot wait for one more client");
        connection->broken = true;
        ring(connection); /* who is in that queue closes it */
    }
}

static void welcome(int fd)
{
    struct connection *connection = admit(fd);
    if (!connection) {
        turn_away(fd, BERTH_RESOURCE_EXHAUSTED,
                  "too many connections: see the option \"connections\"");
        return;
    }
    pthread_mutex_lock(&connection->lock);
    watch(connection);
    pthread_mutex_unlock(&connection->lock);
}

void connections_accept(int listener)
{
    if (listener < 0)
        return;
    __atomic_store_n(&table.starved, false, __ATOMIC_RELAXED);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 && listen_peer_allowed(fd))
            welcome(fd);
        else if (fd >= 0)
            turn_away(fd, BERTH_PERMISSION_DENIED, "you are another user than this host");
        else if (errno == EAGAIN)
            return;
        else if (errno != ECONNABORTED && errno != EINTR) { /* no descriptors, or no memory */
            __atomic_store_n(&table.starved, true, __ATOMIC_RELAXED);
            pool_wake_at(now_ns() + RETRY_NS);
            return;
        }
    }
}

/* ---- subscriptions -------------------------------------------------------------------------- */

bool connection_subscribe(struct connection *connection, struct subscription *subscription)
{
    pthread_mutex_lock(&connection->lock);
    bool there = connection->fd >= 0;
    uint64_t handed = connection->handed;
    if (there)
        attach(connection, subscription);
    pthread_mutex_unlock(&connection->lock);
    if (there || !handed || !inherit_subscribe(handed, subscription))
        return there;
    pthread_mutex_lock(&connection->lock);
    keep_given(connection, subscription);
    pthread_mutex_unlock(&connection->lock);
    return true;
}

static size_t count_patterns(const struct subscription *list)
{
    size_t count = 0;
    for (; list; list = list->next)
        count += list->count;
    return count;
}

size_t connection_patterns(struct connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    size_t count = count_patterns(connection->subscriptions) + count_patterns(connection->given);
    pthread_mutex_unlock(&connection->lock);
    return count;
}

static struct subscription **find_subscription(struct subscription **at, uint64_t number)
{
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

/* NULL: it is not in the list. */
static struct subscription *take_subscription(struct subscription **list, uint64_t number)
{
    struct subscription **at = find_subscription(list, number), *found = *at;
    if (found) {
        *at = found->next;
        found->next = NULL;
    }
    return found;
}

bool connection_unsubscribe(berth_ctx *ctx, struct connection *connection, uint64_t number)
{
    pthread_mutex_lock(&connection->lock);
    uint64_t handed = connection->handed;
    struct subscription *found = take_subscription(&connection->subscriptions, number);
    struct subscription *given = take_subscription(&connection->given, number);
    pthread_mutex_unlock(&connection->lock);
    bool there = found || given;
    subscriptions_end(ctx, found);
    if (given)
        inherit_unsubscribe(handed, number);
    subscriptions_free(given);
    return there;
}

static void print_message(struct text *text, const struct subscription *subscription,
                          const struct message *message)
{
    text_puts(text, "{\"jsonrpc\":\"2.0\",\"method\":\"message\",\"params\":{\"subscription\":");
    text_put_number(text, subscription->number);
    text_puts(text, ",\"topic\":");
    text_put_string(text, message->topic);
    text_puts(text, ",\"sender\":");
    text_put_string(text, message->sender);
    text_puts(text, ",\"fields\":");
    text_put_json(text, message->fields);
    if (subscription->dropped) {
        text_puts(text, ",\"dropped\":");
        text_put_number(text, subscription->dropped);
    }
    text_puts(text, "}}\n");
}

bool connection_notify(struct connection *connection, uint64_t number,
                       const struct message *message)
{
    pthread_mutex_lock(&connection->lock);
    struct subscription *subscription = *find_subscription(&connection->subscriptions, number);
    bool there = subscription && connection->fd >= 0;
    if (there) {
        subscription->dropped += message->dropped;
        struct text text = { 0 };
        bool repeats = subscription_repeats(subscription, message->host_id, message->topic);
        bool room = unsent(connection) < limits.unsent;
        if (room && !repeats)
            print_message(&text, subscription, message);
        if (!repeats && (!room || text.failed)) {
            subscription->dropped++;
        } else if (!repeats) {
            subscription->dropped = 0;
            put(connection, &text);
        }
        text_free(&text);
    }
    pthread_mutex_unlock(&connection->lock);
    return there;
}

/* ---- from one generation to the next -------------------------------------------------------- */

size_t connections_requests(void)
{
    size_t count = 0;
    for (size_t i = 0; i < table.count; i++) {
        pthread_mutex_lock(&table.places[i].lock);
        count += table.places[i].requests;
        pthread_mutex_unlock(&table.places[i].lock);
    }
    return count;
}

/* What is being executed: lest the client waits for ever when it will not be answered. */
static bool hand_over_request(const struct connection *connection, const struct worker *worker)
{
    const struct record head = { .type = RECORD_REQUEST,
                                 .id = connection->tag,
                                 .request = worker->request };
    struct text about = { 0 };
    started_put_id(&about, worker);
    text_put(&about, "", 1);
    text_put(&about, worker->line.data, worker->line.size + 1);
    bool sent = !about.failed && inherit_send(&head, about.data, about.size, -1);
    text_free(&about);
    return sent;
}

/* Everything of one. false: nobody takes it. With its lock. */
static bool hand_over(const struct connection *connection)
{
    struct record head = { .type = RECORD_CONNECTION,
                           .id = connection->tag,
                           .ended = connection->ended,
                           .hung_up = connection->hung_up };
    bool sent = inherit_send(&head, NULL, 0, connection->fd);
    for (const struct worker *each = connection->workers; sent && each; each = each->next_of_same)
        sent = hand_over_request(connection, each);
    head.type = RECORD_INPUT;
    sent = sent && inherit_send(&head, connection->in.data + connection->in_start,
                                connection->in.size - connection->in_start, -1);
    head.type = RECORD_OUTPUT;
    sent = sent && inherit_send(&head, connection->out.data + connection->out_start,
                                unsent(connection), -1);
    for (const struct subscription *each = connection->subscriptions; sent && each;
         each = each->next)
        sent = inherit_subscription(connection->tag, 0, each);
    head.type = RECORD_READY;
    return sent && inherit_send(&head, NULL, 0, -1);
}

/* It is the next generation's now; what goes on here may still ask for its subscriptions. */
static void give_up(struct connection *connection)
{
    connection->handed = connection->tag;
    struct subscription *subscriptions = close_it(connection);
    while (subscriptions) {
        struct subscription *next = subscriptions->next;
        keep_given(connection, subscriptions);
        subscriptions = next;
    }
    if (!connection->requests)
        free_given(connection);
}

static size_t count_open(void)
{
    pthread_mutex_lock(&table.lock);
    size_t count = table.open;
    pthread_mutex_unlock(&table.lock);
    return count;
}

void connections_hand_over(void)
{
    if (!count_open()) /* each thread that goes on asks again and again */
        return;
    for (size_t i = 0; i < table.count; i++) {
        struct connection *connection = &table.places[i];
        pthread_mutex_lock(&connection->lock);
        if (connection->fd >= 0 && !connection->broken && hand_over(connection))
            give_up(connection);
        pthread_mutex_unlock(&connection->lock);
    }
}

/* Where the place is noted of a connection with this tag there; NULL: there is no such tag. */
static uint32_t *foreign_place(uint64_t id)
{
    uint32_t place = (uint32_t)id;
    return place < COUNT(table.foreign) ? &table.foreign[place] : NULL;
}

/* With its lock, or NULL. */
static struct connection *find_foreign(uint64_t id)
{
    const uint32_t *place = foreign_place(id);
    if (!place || !*place)
        return NULL;
    struct connection *connection = &table.places[*place - 1];
    pthread_mutex_lock(&connection->lock);
    if (connection->foreign == id && (connection->fd >= 0 || connection->foreign_requests))
        return connection;
    pthread_mutex_unlock(&connection->lock);
    return NULL;
}

static void inherit_connection(const struct record *record, int fd)
{
    uint32_t *place = foreign_place(record->id);
    struct connection *connection = place ? admit(fd) : NULL;
    if (!connection) {
        close(fd);
        return;
    }
    *place = (uint32_t)(connection - table.places) + 1;
    pthread_mutex_lock(&connection->lock);
    connection->foreign = record->id;
    connection->ended = record->ended;
    connection->hung_up = record->hung_up;
    connection->readable = true; /* it may have sent something while nobody looked */
    pthread_mutex_unlock(&connection->lock);
}

/* Without memory for it the client is lost: nobody could tell it what becomes of that. */
static void inherit_request(struct connection *connection, const struct record *record,
                            const char *data, size_t size)
{
    bool known = foreign_find(connection->foreign_requests, record->request) != NULL;
    if (connection->broken)
        return;
    connection->requests += !known;
    if (!foreign_add(&connection->foreign_requests, record, data, size)) {
        foreign_remove(&connection->foreign_requests, record->request);
        connection->requests--;
        connection->broken = true;
    }
}

/*
 * Those of a connection come with it, those of a batch when it has made them. One that is all of a
 * request waits for its answer, which goes first to the client. Returns it when there is no client
 * any more.
 */
static struct subscription *inherit_subscribed(struct connection *connection,
                                               const struct record *record, const char *data,
                                               size_t size)
{
    struct subscription *made = subscription_inherit(record->number, record->dropped, data, size);
    if (!made || !connection || connection->fd < 0)
        return made;
    if (record->request)
        connection->foreign_fresh = made;
    else
        attach(connection, made);
    return NULL;
}

/* What began with the answer: it does so now, or is returned when there is no client any more. */
static struct subscription *take_fresh(struct connection *connection)
{
    struct subscription *fresh = connection->foreign_fresh;
    connection->foreign_fresh = NULL;
    if (!fresh || connection->fd < 0)
        return fresh;
    attach(connection, fresh);
    return NULL;
}

/* The whole of an answer, or of one of several replies, is sent. */
static void inherit_line(struct connection *connection, const struct record *record,
                         const char *data, size_t size)
{
    if (connection->fd >= 0)
        text_put(&connection->foreign_reply, data, size);
    if (!record->last)
        return;
    if (connection->foreign_reply.size || connection->foreign_reply.failed)
        put(connection, &connection->foreign_reply);
    text_free(&connection->foreign_reply);
}

/* Returns a subscription that is nobody's. */
static struct subscription *inherit_replied(struct connection *connection,
                                            const struct record *record, const char *data,
                                            size_t size)
{
    inherit_line(connection, record, data, size);
    if (!record->last)
        return NULL;
    if (foreign_remove(&connection->foreign_requests, record->request))
        connection->requests--;
    ring(connection);
    return take_fresh(connection);
}

struct subscription *connections_inherit(const struct record *record, const char *data, size_t size,
                                         int fd)
{
    struct subscription *nobodys = NULL;
    if (record->type == RECORD_CONNECTION) {
        inherit_connection(record, fd);
        return NULL;
    }
    struct connection *connection = find_foreign(record->id);
    if (record->type == RECORD_SUBSCRIPTION) {
        nobodys = inherit_subscribed(connection, record, data, size);
    } else if (!connection) {
        return NULL;
    } else if (record->type == RECORD_UNSUBSCRIBE) {
        nobodys = take_subscription(&connection->subscriptions, record->number);
    } else if (record->type == RECORD_REQUEST) {
        inherit_request(connection, record, data, size);
    } else if (record->type == RECORD_MORE) {
        inherit_line(connection, record, data, size);
    } else if (record->type == RECORD_INPUT) {
        text_put(&connection->in, data, size);
    } else if (record->type == RECORD_OUTPUT) {
        text_put(&connection->out, data, size);
    } else if (record->type == RECORD_REPLY) {
        nobodys = inherit_replied(connection, record, data, size);
    } else if (record->type == RECORD_READY && connection->fd >= 0) {
        watch(connection);
        mind_unread(connection, false);
        mind_foreign(connection);
        ring(connection);
    }
    if (connection)
        pthread_mutex_unlock(&connection->lock);
    return nobodys;
}

/* The answers to what was executed there. Its place stays: the requests count until then. */
static void lose(berth_ctx *ctx, struct connection *connection, struct foreign *list)
{
    while (list) {
        struct foreign *next = list->next;
        struct text reply;
        foreign_lose(ctx, list, &reply);
        pthread_mutex_lock(&connection->lock);
        connection->requests--;
        if (reply.size || reply.failed)
            put(connection, &reply);
        if (connection->fd >= 0)
            ring(connection);
        pthread_mutex_unlock(&connection->lock);
        text_free(&reply);
        foreign_free(list);
        list = next;
    }
}

struct subscription *connections_orphaned(berth_ctx *ctx)
{
    struct subscription *nobodys = NULL;
    for (size_t i = 0; i < table.count; i++) {
        struct connection *connection = &table.places[i];
        pthread_mutex_lock(&connection->lock);
        struct foreign *requests = connection->foreign_requests;
        bool partly = connection->foreign && connection->fd >= 0 && !connection->watched;
        connection->foreign_requests = NULL;
        connection->foreign = 0;
        text_free(&connection->foreign_reply);
        if (partly) { /* the rest will not come */
            connection->broken = true;
            ring(connection);
        }
        struct subscription *fresh = take_fresh(connection);
        pthread_mutex_unlock(&connection->lock);
        if (fresh) {
            fresh->next = nobodys;
            nobodys = fresh;
        }
        lose(ctx, connection, requests);
    }
    return nobodys;
}

bool connection_cancel_foreign(struct connection *connection, const char *id)
{
    pthread_mutex_lock(&connection->lock);
    const struct foreign *found = connection->foreign_requests;
    if (id)
        found = foreign_find_id(connection->foreign_requests, id);
    bool told = found &&
                inherit_tell(id ? RECORD_CANCEL : RECORD_GONE, connection->foreign, found->request);
    pthread_mutex_unlock(&connection->lock);
    return told;
}

void connections_hear(berth_ctx *ctx, const struct record *record)
{
    struct connection *connection = &table.places[(uint32_t)record->id % table.count];
    pthread_mutex_lock(&connection->lock);
    bool ours = connection->handed == record->id;
    if (ours && record->type != RECORD_CANCEL)
        connection->held = record->type == RECORD_HOLD;
    pthread_mutex_unlock(&connection->lock);
    if (ours && record->type == RECORD_GONE)
        started_cancel(ctx, connection, NULL);
    else if (ours && record->type == RECORD_CANCEL)
        started_cancel_request(ctx, connection, record->request);
}

/* ---- the end of all ------------------------------------------------------------------------- */

void connections_end(berth_ctx *ctx, bool busy_ones)
{
    static char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"goodbye\",\"params\":{}}\n";
    const struct text goodbye = { .data = line, .size = sizeof(line) - 1 };
    for (size_t i = 0; i < table.count; i++) {
        struct connection *connection = &table.places[i];
        struct subscription *subscriptions = NULL;
        pthread_mutex_lock(&connection->lock);
        if (connection->fd >= 0 && (busy_ones || !connection->requests)) {
            put(connection, &goodbye);
            subscriptions = close_it(connection);
        }
        pthread_mutex_unlock(&connection->lock);
        subscriptions_end(ctx, subscriptions);
    }
}

void connections_stop(berth_ctx *ctx)
{
    connections_end(ctx, true);
    for (size_t i = 0; i < table.count; i++) {
        free_given(&table.places[i]);
        pthread_mutex_destroy(&table.places[i].lock);
    }
    free(table.places);
    table.places = NULL;
    table.count = 0;
}
