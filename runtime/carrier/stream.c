/* SPDX-License-Identifier: MIT */
#include "runtime/carrier/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/memory.h"

#define BATCH 16 /* frames in one write */

static int watch(const struct berth_stream *stream, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    return fd < 0 ? 0 : epoll_ctl(stream->epoll, EPOLL_CTL_ADD, fd, &event);
}

int berth_stream_init(struct berth_stream *stream, int socket, int life, unsigned accepts,
                      size_t max_size, struct berth_error *error)
{
    stream->spare = berth_calloc(1, sizeof(*stream->spare) + 1);
    if (!stream->spare)
        return berth_error_nomem(error);
    stream->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (stream->epoll < 0 || watch(stream, socket) != 0 || watch(stream, life) != 0) {
        int number = errno;
        if (stream->epoll >= 0)
            close(stream->epoll);
        berth_free(stream->spare);
        return berth_error_errno(error, number, "cannot watch a worker");
    }
    stream->socket = socket;
    stream->life = life;
    stream->poke = -1;
    stream->accepts = accepts;
    stream->max_size = max_size;
    berth_list_init(&stream->queue);
    return BERTH_OK;
}

uint32_t berth_stream_wait(struct berth_stream *stream, int timeout_ms)
{
    struct epoll_event events[3];
    int count = epoll_wait(stream->epoll, events, 3, timeout_ms);
    uint32_t ready = 0;
    eventfd_t pokes;

    for (int i = 0; i < count; i++)
        if (events[i].data.fd == stream->socket) {
            ready |= events[i].events & EPOLLOUT;
            ready |= events[i].events & ~(uint32_t)EPOLLOUT ? EPOLLIN : 0;
        } else if (events[i].data.fd != stream->life) {
            eventfd_read(events[i].data.fd, &pokes);
        } else {
            epoll_ctl(stream->epoll, EPOLL_CTL_DEL, stream->life, NULL);
            shutdown(stream->socket, SHUT_RDWR);
            ready |= EPOLLIN;
        }
    return ready;
}

static void drop_queue(struct berth_stream *stream)
{
    berth_list_each_safe(&stream->queue, link)
        berth_outgoing_free(berth_container(link, struct berth_outgoing, link));
    stream->queued = 0;
}

void berth_stream_deinit(struct berth_stream *stream)
{
    drop_queue(stream);
    if (stream->incoming)
        berth_received_free(stream->incoming);
    berth_free(stream->spare);
    berth_stream_unpoke(stream);
    close(stream->epoll);
    close(stream->socket);
}

/* ---- out ---- */

void berth_outgoing_free(struct berth_outgoing *outgoing)
{
    berth_list_remove(&outgoing->link);
    berth_free(outgoing->data);
    berth_free(outgoing);
}

static void watch_out(struct berth_stream *stream, bool watch)
{
    struct epoll_event event = { .events = watch ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                 .data.fd = stream->socket };

    if (stream->watches_out == watch)
        return;
    stream->watches_out = watch;
    epoll_ctl(stream->epoll, EPOLL_CTL_MOD, stream->socket, &event);
}

/* Without a descriptor to spare it takes room in the socket, which there nearly always is. */
void berth_stream_poke(struct berth_stream *stream)
{
    if (stream->poke < 0) {
        stream->poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (stream->poke >= 0 && watch(stream, stream->poke) != 0) {
            close(stream->poke);
            stream->poke = -1;
        }
    }
    if (stream->poke >= 0)
        eventfd_write(stream->poke, 1);
    else
        watch_out(stream, true);
}

void berth_stream_unpoke(struct berth_stream *stream)
{
    if (stream->poke < 0)
        return;
    /* closing is not enough while a process that was just forked has it, too */
    epoll_ctl(stream->epoll, EPOLL_CTL_DEL, stream->poke, NULL);
    close(stream->poke);
    stream->poke = -1;
}

static ssize_t write_some(struct berth_stream *stream)
{
    struct iovec pieces[BATCH];
    struct msghdr message = { .msg_iov = pieces };

    berth_list_each(&stream->queue, link) {
        struct berth_outgoing *outgoing = berth_container(link, struct berth_outgoing, link);
        pieces[message.msg_iovlen++] =
            (struct iovec){ outgoing->data + outgoing->sent, outgoing->size - outgoing->sent };
        if (message.msg_iovlen == BATCH)
            break;
    }
    return sendmsg(stream->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void advance(struct berth_stream *stream, size_t written, struct berth_list *sent)
{
    stream->queued -= written;
    while (written) {
        struct berth_outgoing *outgoing =
            berth_container(stream->queue.next, struct berth_outgoing, link);
        size_t left = outgoing->size - outgoing->sent;
        if (written < left) {
            outgoing->sent += written;
            return;
        }
        written -= left;
        outgoing->sent = outgoing->size;
        berth_list_remove(&outgoing->link);
        berth_list_append(sent, &outgoing->link);
    }
}

void berth_stream_flush(struct berth_stream *stream, struct berth_list *sent)
{
    while (!berth_list_empty(&stream->queue) && !stream->ended_out) {
        ssize_t written = write_some(stream);
        if (written >= 0) {
            advance(stream, (size_t)written, sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            watch_out(stream, true);
            return;
        } else if (errno != EINTR) {
            /* Nobody reads there any more. What it had sent before can still be read. */
            stream->ended_out = true;
            shutdown(stream->socket, SHUT_RDWR);
        }
    }
    watch_out(stream, false);
    if (stream->finishing && !stream->ended_out) {
        stream->ended_out = true;
        shutdown(stream->socket, SHUT_WR);
    }
}

void berth_stream_send(struct berth_stream *stream, struct berth_outgoing *outgoing,
                       struct berth_list *sent)
{
    berth_list_append(&stream->queue, &outgoing->link);
    stream->queued += outgoing->size;
    if (!stream->watches_out) /* else there is no room now, and whoever waits for it will go on */
        berth_stream_flush(stream, sent);
}

bool berth_stream_withdraw(struct berth_stream *stream, struct berth_outgoing *outgoing)
{
    if (outgoing->sent)
        return false;
    stream->queued -= outgoing->size;
    berth_outgoing_free(outgoing);
    return true;
}

/* ---- in ---- */

int berth_stream_fill(struct berth_stream *stream)
{
    struct berth_received *incoming = stream->incoming;
    unsigned char *to;
    size_t room;

    if (stream->begin == stream->end)
        stream->begin = stream->end = 0;
    bool direct = stream->end == 0 && incoming && !incoming->dropped &&
                  incoming->wire.size - stream->filled >= sizeof(stream->buffer);
    if (direct) {
        to = incoming->data + stream->filled;
        room = incoming->wire.size - stream->filled;
    } else {
        memmove(stream->buffer, stream->buffer + stream->begin, stream->end - stream->begin);
        stream->end -= stream->begin;
        stream->begin = 0;
        to = stream->buffer + stream->end;
        room = sizeof(stream->buffer) - stream->end;
    }

    ssize_t got = recv(stream->socket, to, room, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
    if (got == 0)
        return -1;
    if (direct)
        stream->filled += (size_t)got;
    else
        stream->end += (size_t)got;
    return 1;
}

/*
 * Memory for the frame that begins here; without it the frame is read over, and only its head kept.
 */
static struct berth_received *receive(struct berth_stream *stream, const struct berth_wire *wire)
{
    struct berth_received *incoming = berth_malloc(sizeof(*incoming) + wire->size + 1);
    bool dropped = !incoming && wire->size > 0;

    if (!incoming)
        incoming = berth_malloc(sizeof(*incoming) + 1);
    bool lent = !incoming;
    if (lent)
        incoming = stream->spare;
    *incoming = (struct berth_received){ .wire = *wire, .dropped = dropped, .lent = lent };
    berth_list_init(&incoming->link);
    return incoming;
}

static const char *begin_frame(struct berth_stream *stream)
{
    struct berth_wire wire;
    const char *wrong =
        berth_wire_read(stream->buffer + stream->begin, stream->accepts, stream->max_size, &wire);

    if (wrong)
        return wrong;
    stream->incoming = receive(stream, &wire);
    stream->begin += BERTH_WIRE_HEAD;
    stream->filled = 0;
    return NULL;
}

struct berth_received *berth_stream_next(struct berth_stream *stream, const char **ret_wrong)
{
    if (!stream->incoming) {
        if (stream->end - stream->begin < BERTH_WIRE_HEAD)
            return NULL;
        *ret_wrong = begin_frame(stream);
        if (*ret_wrong)
            return NULL;
    }

    struct berth_received *incoming = stream->incoming;
    size_t missing = incoming->wire.size - stream->filled;
    size_t there = stream->end - stream->begin;
    size_t taken = there < missing ? there : missing;
    if (!incoming->dropped && taken)
        memcpy(incoming->data + stream->filled, stream->buffer + stream->begin, taken);
    stream->begin += taken;
    stream->filled += taken;
    if (taken < missing)
        return NULL;

    if (incoming->dropped)
        incoming->wire.size = 0;
    incoming->data[incoming->wire.size] = '\0';
    stream->incoming = NULL;
    return incoming;
}
