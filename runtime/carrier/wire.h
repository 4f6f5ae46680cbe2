/* SPDX-License-Identifier: MIT */
/*
 * What goes over the socket between a host and a worker: frames, each a head of fixed size and then
 * its data. Little-endian, so that a frame means the same wherever the other end runs.
 *
 *   offset  0 u32 magic   "bth1": the 1 is the protocol's version
 *           4 u32 size    of the data
 *           8 u16 type    enum berth_wire_type
 *          10 u16 kind    INVOKE: enum berth_item_kind; CALL: enum berth_wire_call; LOG, LEVEL:
 *                         enum berth_log_level; WAIT: enum berth_wire_wait; TELL: enum
 *                         berth_ending; else 0
 *          12 u32 code    REPLY: enum berth_code; else 0. Or chain, a number for what a thread of
 *                         the sender's is in: CALL, PUBLISH, WAIT: that waits; STARTED: that is to
 *                         take MORE of it; TAKEN: that takes them now, 1: whoever has its module's
 *                         turn; 0: none
 *          16 u64 id      of a request, chosen by its sender; REPLY, MORE, TAKEN, CANCEL: of the
 *                         request; REFUSE: the number of a WAIT; in other notes 0
 *          24 u64 under   of a request: the receiver's own request that this one was made inside,
 *                         or 0; REFUSE: as of the WAIT; in other notes 0
 *          32 i64 left    of a request: nanoseconds to its deadline; INT64_MAX: none. TAKEN: bytes
 *                         of MORE's data that have been taken
 *          40 u32 index   INVOKE: the item; CALL: the import; PUBLISH: the topic; OPEN: the image's
 *                         generation; TAKEN: how many of MORE; else 0
 *          44 u16 echo    INVOKE, LOG: 1 for an echo (core/log.h); else 0
 *          46 u8 inside   CALL, PUBLISH, WAIT: 1 if it comes from inside of a serial module's gate,
 *                         or from the turn of a parallel one's timer, watch or function; else 0
 *          47 u8 single   INVOKE: 1 if nobody takes one of several results, MORE; TAKEN: 1 if that
 *                         is so from now on; else 0
 *
 *   data of OPEN     text name, text file, u64 max_message, u64 stop_timeout, u64 log level,
 *                    u64 messages, u64 bytes of MORE that may be under way for each request, at
 *                    both ends; text options (JSON)
 *           INVOKE   text topic of the message that is being handled, or ""; the packed arguments
 *           CALL, PUBLISH   the packed arguments
 *           REPLY    code 0: the packed result; else the error's words
 *           MORE     one of several results, before the reply     CANCEL   nothing
 *           TAKEN    nothing
 *           LOG      the words, and, if there is one, NUL and the chain of calls
 *           HANDLE_ENDED   u64 id       HANDLE_RESTORED   u64 old id, u64 new id
 *           WAIT     u64 number, u64 the receiver's request that it is under, or 0; what for: u64
 *                    ids of the sender's own requests, or of the one of the receiver's whose MORE
 *                    are to be TAKEN. Number 0: the request has not begun
 *           WAITED   u64 number, u64 that request      REFUSE   text why
 *           SERVE, STOP, LEVEL, TELL   nothing
 *   A text is a u32 length, its bytes, and a NUL that is not counted.
 */
#ifndef RUNTIME_CARRIER_WIRE_H
#define RUNTIME_CARRIER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/list.h"
#include "runtime/value/value.h"

#define BERTH_WIRE_HEAD 48
/* What a frame may hold besides the max_message bytes of a value: a topic, a name, a file. */
#define BERTH_WIRE_EXTRA 16384

enum berth_wire_type {
    BERTH_WIRE_REPLY = 1,
    /* requests, to a worker */
    BERTH_WIRE_OPEN,
    BERTH_WIRE_INVOKE,
    /* requests, from a worker */
    BERTH_WIRE_CALL,
    BERTH_WIRE_PUBLISH,
    /* notes about a request: to who has made it, and from that */
    BERTH_WIRE_MORE,
    BERTH_WIRE_TAKEN,
    BERTH_WIRE_CANCEL,
    /* notes, which have no reply: the first five to a worker, the others from one */
    BERTH_WIRE_SERVE,
    BERTH_WIRE_STOP,
    BERTH_WIRE_LEVEL,
    BERTH_WIRE_TELL,   /* what is inside is to stop */
    BERTH_WIRE_REFUSE, /* a wait that was told of can never end */
    BERTH_WIRE_LOG,
    BERTH_WIRE_HANDLE_ENDED,
    BERTH_WIRE_HANDLE_RESTORED,
    BERTH_WIRE_WAIT, /* for somebody whom only the host may see (carrier/waits.h) */
    BERTH_WIRE_WAITED,
    BERTH_WIRE_END
};
#define BERTH_WIRE_BIT(type) (1U << (type))
#define BERTH_WIRE_ABOUT                                                  \
    (BERTH_WIRE_BIT(BERTH_WIRE_MORE) | BERTH_WIRE_BIT(BERTH_WIRE_TAKEN) | \
     BERTH_WIRE_BIT(BERTH_WIRE_CANCEL))
#define BERTH_WIRE_NOTES                                                                    \
    (BERTH_WIRE_BIT(BERTH_WIRE_SERVE) | BERTH_WIRE_BIT(BERTH_WIRE_STOP) |                   \
     BERTH_WIRE_BIT(BERTH_WIRE_LEVEL) | BERTH_WIRE_BIT(BERTH_WIRE_TELL) |                   \
     BERTH_WIRE_BIT(BERTH_WIRE_REFUSE) | BERTH_WIRE_BIT(BERTH_WIRE_LOG) |                   \
     BERTH_WIRE_BIT(BERTH_WIRE_HANDLE_ENDED) | BERTH_WIRE_BIT(BERTH_WIRE_HANDLE_RESTORED) | \
     BERTH_WIRE_BIT(BERTH_WIRE_WAIT) | BERTH_WIRE_BIT(BERTH_WIRE_WAITED))

/* What a CALL waits for. */
enum berth_wire_call {
    BERTH_WIRE_ANSWER,  /* the result, in the thread that waits for it */
    BERTH_WIRE_STARTED, /* MORE, and the result, whenever they come */
    BERTH_WIRE_SENT,    /* nothing but that it is in the callee's mailbox */
};

/* What a WAIT waits for. */
enum berth_wire_wait {
    BERTH_WIRE_GATE, /* the module's turn: that nobody else is inside */
    BERTH_WIRE_ANY,  /* the answer to one of its requests */
    BERTH_WIRE_ALL,
    BERTH_WIRE_ROOM, /* for one of several results: that some of them are taken */
};

struct berth_wire {
    uint32_t size;
    uint16_t type, kind;
    uint32_t code, chain; /* the same bytes: what they are the type says */
    uint64_t id, under;
    int64_t left;
    uint32_t index;
    uint16_t echo;
    uint8_t inside, single;
};

/* A frame that has come in. */
struct berth_received {
    struct berth_list link;
    struct berth_wire wire;
    int64_t deadline; /* of a request: berth_now() based, or BERTH_FOREVER */
    bool cancelled;   /* a request that nobody has begun to serve; under its peer's lock */
    bool none;        /* and nobody takes several results of it any more, */
    uint32_t taker;   /* or this chain of its sender's does */
    /* a request that was made under one that had been started: what that is of (peer.h), or NULL */
    void *of;
    void (*release)(void *of);
    bool dropped;         /* there was no memory for its data, which is gone */
    bool lent;            /* nor for itself: it is the stream's, until the next one comes */
    unsigned char data[]; /* wire.size bytes, and a NUL */
};
/* Frees it, unless it is only lent. */
void berth_received_free(struct berth_received *received);
static inline struct berth_reader berth_received_reader(const struct berth_received *received)
{
    return (struct berth_reader){ received->data, received->data + received->wire.size };
}

void berth_wire_write(const struct berth_wire *wire, unsigned char *head);
/*
 * Reads a head that may hold anything. accepts: BERTH_WIRE_BIT of the types that may come, besides
 * REPLY. Returns NULL, or what is wrong with it, in words for "a malformed frame: …".
 */
const char *berth_wire_read(const unsigned char *head, unsigned accepts, size_t max_size,
                            struct berth_wire *ret_wire);

void berth_wire_put_text(struct berth_buffer *buffer, const char *text);
void berth_wire_put_u64(struct berth_buffer *buffer, uint64_t number);
/* The text, in the frame's own memory; NULL when there is none as described above. */
const char *berth_wire_get_text(struct berth_reader *reader);
/* False when too few bytes are left. */
bool berth_wire_get_u64(struct berth_reader *reader, uint64_t *ret_number);

#endif
