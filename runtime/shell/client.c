/* SPDX-License-Identifier: MIT */
#include "runtime/shell/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/error.h"

enum { CHUNK = 65536, SECOND = 1000000000 };

void berth_client_init(struct berth_client *client, const char *path)
{
    *client = (struct berth_client){
        .path = path,
        .deadline = BERTH_CLIENT_FOREVER,
        .line_max = BERTH_CLIENT_LINE_MAX,
        .output = -1,
        .fd = -1,
    };
    berth_buffer_init(&client->in, 0);
    berth_arena_init(&client->arena);
}

void berth_client_deinit(struct berth_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    berth_buffer_deinit(&client->in);
    berth_arena_deinit(&client->arena);
    client->fd = -1;
}

int64_t berth_client_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* ---- waiting ---- */

static int no_answer(const struct berth_client *client, struct berth_error *error)
{
    return berth_error_set(error, BERTH_DEADLINE_EXCEEDED,
                           "the host at %s has not answered in time; what was asked for may still "
                           "happen",
                           client->path);
}

static int64_t time_left(const struct berth_client *client)
{
    if (client->deadline == BERTH_CLIENT_FOREVER)
        return BERTH_CLIENT_FOREVER;
    int64_t left = client->deadline - berth_client_now();
    return left > 0 ? left : 0;
}

/* As ppoll. A signal that comes after `stop` was looked at is one that interrupts. */
static int wait_once(const struct berth_client *client, struct pollfd polls[2])
{
    int64_t left = time_left(client);
    struct timespec time = { .tv_sec = left / SECOND, .tv_nsec = left % SECOND };
    sigset_t before;
    int got = -1;

    if (client->stop)
        pthread_sigmask(SIG_BLOCK, client->signals, &before);
    if (client->stop && *client->stop)
        errno = ECANCELED;
    else
        got = ppoll(polls, 2, left == BERTH_CLIENT_FOREVER ? NULL : &time,
                    client->stop ? &before : NULL);
    int number = errno;
    if (client->stop)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return got;
}

/* Until the socket is ready for one of these events. */
static int await(struct berth_client *client, short events, short *ret_ready,
                 struct berth_error *error)
{
    struct pollfd polls[] = { { .fd = client->fd, .events = events }, { .fd = client->output } };
    int got;

    do
        got = wait_once(client, polls);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == ECANCELED)
        return berth_error_set(error, BERTH_CANCELLED, "interrupted");
    if (got < 0)
        return berth_error_errno(error, errno, "cannot wait for the host at %s", client->path);
    if (got == 0)
        return no_answer(client, error);
    client->unread = polls[1].revents && !polls[0].revents;
    if (client->unread)
        return berth_error_set(error, BERTH_CANCELLED, "nobody reads the output any more");
    *ret_ready = polls[0].revents;
    return BERTH_OK;
}

/* ---- connecting ---- */

static int no_host(const struct berth_client *client, int number, struct berth_error *error)
{
    if (number == ENOENT || number == ECONNREFUSED || number == ENOTDIR)
        return berth_error_set(error, BERTH_UNAVAILABLE,
                               "no host listens at %s: start one with berth run, or name it with "
                               "--host",
                               client->path);
    if (number == EACCES || number == EPERM)
        return berth_error_set(error, BERTH_PERMISSION_DENIED,
                               "%s: only the user who runs the host, or root, may connect to it",
                               client->path);
    if (number == EAGAIN || number == EINPROGRESS || number == EINTR)
        return no_answer(client, error);
    if (number == EPROTOTYPE)
        return berth_error_set(error, BERTH_UNAVAILABLE,
                               "%s is not a host's socket: name one with --host or --socket",
                               client->path);
    return berth_error_errno(error, number, "cannot connect to %s", client->path);
}

int berth_client_connect(struct berth_client *client, struct berth_error *error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(client->path);

    if (length >= sizeof(address.sun_path))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: the path of a socket has at most %zu bytes", client->path,
                               sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, client->path, length);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return berth_error_errno(error, errno, "cannot make a socket");

    /* A host that accepts nobody keeps us waiting here, where there is nothing to poll for. */
    int64_t left = time_left(client);
    if (left != BERTH_CLIENT_FOREVER) {
        struct timeval time = { .tv_sec = left / SECOND, .tv_usec = left % SECOND / 1000 + 1 };
        if (time.tv_usec == SECOND / 1000)
            time.tv_usec--;
        setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
    }
    if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return no_host(client, errno, error);
    return BERTH_OK;
}

/* ---- lines ---- */

static int not_a_host(const struct berth_client *client, const char *why, struct berth_error *error)
{
    return berth_error_set(error, BERTH_DATA_LOSS,
                           "%s does not answer as a host does (%s): is it a host's socket?",
                           client->path, why);
}

static int vanished(const struct berth_client *client, struct berth_error *error)
{
    return berth_error_set(error, BERTH_UNAVAILABLE,
                           "the host at %s has gone%s; its log says why, or the record of its "
                           "crash, and what was asked for may have happened",
                           client->path,
                           client->in.size > client->begin ? " in the middle of an answer" : "");
}

/* Takes what has come. Sets `over` at the end, also when the other side has broken off. */
static int take(struct berth_client *client, struct berth_error *error)
{
    struct berth_buffer *in = &client->in;

    if (client->begin) { /* the lines before are done with */
        in->size -= client->begin;
        client->seen -= client->begin;
        memmove(in->data, in->data + client->begin, in->size);
        client->begin = 0;
    }
    if (in->size > client->line_max)
        return not_a_host(client, "a line does not end", error);
    if (!berth_buffer_reserve(in, CHUNK))
        return berth_error_nomem(error);
    ssize_t got = recv(client->fd, in->data + in->size, CHUNK, MSG_DONTWAIT);
    if (got > 0)
        in->size += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        client->over = true;
    return BERTH_OK;
}

/* The next line, without its newline; valid until the next one. */
static int read_line(struct berth_client *client, struct berth_piece *ret_line,
                     struct berth_error *error)
{
    for (;;) {
        struct berth_buffer *in = &client->in;
        const char *from = in->size ? in->data + client->seen : NULL;
        const char *newline = from ? memchr(from, '\n', in->size - client->seen) : NULL;
        if (newline) {
            ret_line->text = in->data + client->begin;
            ret_line->size = (size_t)(newline - ret_line->text);
            client->begin = client->seen = (size_t)(newline + 1 - in->data);
            return BERTH_OK;
        }
        client->seen = in->size;
        if (client->over)
            return vanished(client, error);
        short ready;
        int code = await(client, POLLIN, &ready, error);
        if (code == BERTH_OK)
            code = take(client, error);
        if (code != BERTH_OK)
            return code;
    }
}

/* Writes, and takes meanwhile what comes. A host that has broken off may have said why before. */
static int write_all(struct berth_client *client, const char *data, size_t size,
                     struct berth_error *error)
{
    while (size && !client->over) {
        short ready;
        int code = await(client, POLLIN | POLLOUT, &ready, error);
        if (code == BERTH_OK && (ready & ~POLLOUT))
            code = take(client, error);
        if (code != BERTH_OK)
            return code;
        if (!(ready & POLLOUT))
            continue;
        ssize_t sent = send(client->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return BERTH_OK; /* reading tells */
        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
        }
    }
    return BERTH_OK;
}

/* ---- what lines mean ---- */

struct answer {
    struct berth_piece id, result, failure; /* an answer, or */
    struct berth_piece message;             /* a message's parameters; or nothing of them */
    struct berth_piece more;                /* and those of one of several results */
};

static int read_answer(struct berth_client *client, struct answer *ret_answer,
                       struct berth_error *error)
{
    struct berth_piece line = { 0 }, all = { 0 };
    struct berth_error why = { 0 };
    int code = read_line(client, &line, error);

    if (code != BERTH_OK)
        return code;
    if (berth_piece_read(line.text, line.size, NULL, &all, &why) != BERTH_OK)
        return not_a_host(client, why.text, error);
    struct berth_piece method = berth_piece_get(all, "method");
    *ret_answer = (struct answer){
        .id = berth_piece_get(all, "id"),
        .result = berth_piece_get(all, "result"),
        .failure = berth_piece_get(all, "error"),
    };
    if (method.size == 9 && !memcmp(method.text, "\"message\"", 9))
        ret_answer->message = berth_piece_get(all, "params");
    if (method.size == 6 && !memcmp(method.text, "\"more\"", 6))
        ret_answer->more = berth_piece_get(all, "params");
    if (method.size)
        return ret_answer->id.size ? not_a_host(client, "it asks", error) : BERTH_OK;
    if (!ret_answer->id.size || !ret_answer->result.size == !ret_answer->failure.size)
        return not_a_host(client, "neither an answer nor a message", error);
    return BERTH_OK;
}

/* The code that a failure has. */
static int failure_code(struct berth_client *client, struct berth_piece failure)
{
    struct berth_piece data = berth_piece_get(failure, "data");
    const char *name = berth_piece_text_of(data, "code", &client->arena);
    int code = berth_code_find(name);

    return code > BERTH_OK ? code : BERTH_UNKNOWN;
}

static int fail(struct berth_client *client, struct berth_piece failure, struct berth_error *error)
{
    struct berth_piece message = berth_piece_get(failure, "message");

    if (berth_piece_kind(message) != '"')
        return not_a_host(client, "a failure without words", error);
    return berth_error_set(error, failure_code(client, failure), "%s",
                           berth_piece_text(message, &client->arena));
}

/* It has no question: the host has had enough of this connection. */
static int refused(struct berth_client *client, struct berth_piece failure,
                   struct berth_error *error)
{
    int code = fail(client, failure, error);
    berth_error_prefix(error, "the host at %s refuses: ", client->path);
    return code;
}

/* An answer is kept, for as long as the client. */
static int keep(struct berth_client *client, struct berth_piece result,
                struct berth_piece *ret_result, struct berth_error *error)
{
    const char *text = berth_arena_copy(&client->arena, result.text, result.size);
    if (!text)
        return berth_error_nomem(error);
    *ret_result = (struct berth_piece){ text, result.size };
    return BERTH_OK;
}

static int await_answer(struct berth_client *client, struct berth_piece *ret_result,
                        struct berth_error *error)
{
    struct answer answer;
    uint64_t id;

    for (;;) {
        int code = read_answer(client, &answer, error);
        if (code != BERTH_OK)
            return code;
        if (answer.message.size && client->message)
            client->message(client->user, answer.message);
        if (answer.more.size && client->more)
            client->more(client->user, berth_piece_get(answer.more, "value"));
        if (!answer.id.size)
            continue;
        if (berth_piece_kind(answer.id) == 'n' && answer.failure.size)
            return refused(client, answer.failure, error);
        if (!berth_piece_integer(answer.id, &id) || id != client->last_id)
            return not_a_host(client, "an answer to what was not asked", error);
        return answer.failure.size ? fail(client, answer.failure, error)
                                   : keep(client, answer.result, ret_result, error);
    }
}

int berth_client_ask(struct berth_client *client, const char *method, struct berth_buffer *params,
                     struct berth_piece *ret_result, struct berth_error *error)
{
    struct berth_buffer line;

    berth_buffer_init(&line, 0);
    berth_buffer_format(&line, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":",
                        (unsigned long long)++client->last_id);
    berth_piece_quote(method, strlen(method), &line);
    berth_buffer_text(&line, ",\"params\":");
    berth_buffer_append(&line, params->data, params->size);
    berth_buffer_text(&line, "}\n");
    int code = line.failed || params->failed ? berth_error_nomem(error)
                                             : write_all(client, line.data, line.size, error);
    berth_buffer_deinit(&line);
    berth_buffer_deinit(params);
    return code == BERTH_OK ? await_answer(client, ret_result, error) : code;
}

int berth_client_cancel(struct berth_client *client, struct berth_piece *ret_result,
                        struct berth_error *error)
{
    uint64_t asked = client->last_id, id = asked;
    struct berth_buffer line;
    struct answer answer;
    int64_t latest = berth_client_now() + INT64_C(2) * SECOND;

    client->stop = NULL;
    client->output = -1;
    client->deadline = latest < client->deadline ? latest : client->deadline;
    berth_buffer_init(&line, 0);
    berth_buffer_format(&line,
                        "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":%llu}}\n",
                        (unsigned long long)asked);
    int code =
        line.failed ? berth_error_nomem(error) : write_all(client, line.data, line.size, error);
    berth_buffer_deinit(&line);
    while (code == BERTH_OK) { /* the cancellation itself is a notification, and has no answer */
        code = read_answer(client, &answer, error);
        if (code == BERTH_OK && answer.id.size && berth_piece_integer(answer.id, &id) &&
            id == asked)
            break;
    }
    if (code != BERTH_OK)
        return code;
    return answer.failure.size ? fail(client, answer.failure, error)
                               : keep(client, answer.result, ret_result, error);
}

int berth_client_wait(struct berth_client *client, struct berth_piece *ret_params,
                      struct berth_error *error)
{
    struct answer answer;
    int code;

    do {
        code = read_answer(client, &answer, error);
        if (code == BERTH_OK && answer.failure.size)
            return refused(client, answer.failure, error);
        if (code == BERTH_OK && answer.id.size)
            return not_a_host(client, "an answer to what was not asked", error);
    } while (code == BERTH_OK && !answer.message.size);
    if (code == BERTH_OK)
        *ret_params = answer.message;
    return code;
}
