/* SPDX-License-Identifier: MIT */
#include "runtime/carrier/wire.h"

#include <endian.h>
#include <string.h>

#include "runtime/base/memory.h"
#include <berth/error.h>

#define MAGIC 0x31687462U /* "bth1" */

static void put16(unsigned char *to, uint16_t number)
{
    number = htole16(number);
    memcpy(to, &number, sizeof(number));
}

static void put32(unsigned char *to, uint32_t number)
{
    number = htole32(number);
    memcpy(to, &number, sizeof(number));
}

static void put64(unsigned char *to, uint64_t number)
{
    number = htole64(number);
    memcpy(to, &number, sizeof(number));
}

static uint16_t get16(const unsigned char *from)
{
    uint16_t number;
    memcpy(&number, from, sizeof(number));
    return le16toh(number);
}

static uint32_t get32(const unsigned char *from)
{
    uint32_t number;
    memcpy(&number, from, sizeof(number));
    return le32toh(number);
}

static uint64_t get64(const unsigned char *from)
{
    uint64_t number;
    memcpy(&number, from, sizeof(number));
    return le64toh(number);
}

#define HAS_CHAIN                                                           \
    (BERTH_WIRE_BIT(BERTH_WIRE_CALL) | BERTH_WIRE_BIT(BERTH_WIRE_PUBLISH) | \
     BERTH_WIRE_BIT(BERTH_WIRE_WAIT) | BERTH_WIRE_BIT(BERTH_WIRE_TAKEN))

static bool has_chain(unsigned type)
{
    return type < BERTH_WIRE_END && HAS_CHAIN & BERTH_WIRE_BIT(type);
}

void berth_wire_write(const struct berth_wire *wire, unsigned char *head)
{
    put32(head, MAGIC);
    put32(head + 4, wire->size);
    put16(head + 8, wire->type);
    put16(head + 10, wire->kind);
    put32(head + 12, has_chain(wire->type) ? wire->chain : wire->code);
    put64(head + 16, wire->id);
    put64(head + 24, wire->under);
    put64(head + 32, (uint64_t)wire->left);
    put32(head + 40, wire->index);
    put16(head + 44, wire->echo);
    head[46] = wire->inside;
    head[47] = wire->single;
}

#define FROM_INSIDE                                                         \
    (BERTH_WIRE_BIT(BERTH_WIRE_CALL) | BERTH_WIRE_BIT(BERTH_WIRE_PUBLISH) | \
     BERTH_WIRE_BIT(BERTH_WIRE_WAIT))

/* What only some types have must be 0 in the others, so that it can get a meaning later. */
static const char *check_type(const struct berth_wire *wire)
{
    if (wire->echo && wire->type != BERTH_WIRE_INVOKE && wire->type != BERTH_WIRE_LOG)
        return "an echo of something else";
    if (wire->inside && !(FROM_INSIDE & BERTH_WIRE_BIT(wire->type)))
        return "something else from inside";
    if (wire->single && wire->type != BERTH_WIRE_INVOKE && wire->type != BERTH_WIRE_TAKEN)
        return "something else for one result";
    if (wire->type == BERTH_WIRE_REPLY) {
        if (wire->code > BERTH_UNAUTHENTICATED)
            return "an unknown code";
        if (wire->id == 0 || wire->under || wire->left || wire->kind || wire->index)
            return "a reply with a head of something else";
    } else if (BERTH_WIRE_ABOUT & BERTH_WIRE_BIT(wire->type)) {
        bool counts = (wire->left || wire->index) && wire->type != BERTH_WIRE_TAKEN;
        if (wire->id == 0 || wire->code || wire->under || counts || wire->left < 0 || wire->kind)
            return "a note about a request with a head of something else";
        if (wire->type != BERTH_WIRE_MORE && wire->size)
            return "a note about a request with data";
    } else if (BERTH_WIRE_NOTES & BERTH_WIRE_BIT(wire->type)) {
        bool about = (wire->id || wire->under) && wire->type != BERTH_WIRE_REFUSE;
        if (about || wire->code || wire->left || wire->index)
            return "a note with a head of something else";
    } else if (wire->code || wire->id == 0 || wire->left < 0) {
        return "a request with a head of something else";
    }
    return NULL;
}

const char *berth_wire_read(const unsigned char *head, unsigned accepts, size_t max_size,
                            struct berth_wire *ret_wire)
{
    struct berth_wire wire = {
        .size = get32(head + 4),
        .type = get16(head + 8),
        .kind = get16(head + 10),
        .code = get32(head + 12),
        .id = get64(head + 16),
        .under = get64(head + 24),
        .left = (int64_t)get64(head + 32),
        .index = get32(head + 40),
        .echo = get16(head + 44),
        .inside = head[46],
        .single = head[47],
    };

    if (has_chain(wire.type)) {
        wire.chain = wire.code;
        wire.code = 0;
    }
    accepts |= BERTH_WIRE_BIT(BERTH_WIRE_REPLY) | BERTH_WIRE_ABOUT;
    if (get32(head) != MAGIC || wire.echo > 1 || wire.inside > 1 || wire.single > 1)
        return "not of this protocol";
    if (wire.type >= BERTH_WIRE_END || !(accepts & BERTH_WIRE_BIT(wire.type)))
        return "an unknown type";
    if (wire.size > max_size)
        return "larger than allowed";
    const char *wrong = check_type(&wire);
    if (!wrong)
        *ret_wire = wire;
    return wrong;
}

void berth_received_free(struct berth_received *received)
{
    if (!received->lent)
        berth_free(received);
}

void berth_wire_put_text(struct berth_buffer *buffer, const char *text)
{
    unsigned char length[4];
    size_t size = strlen(text);

    put32(length,
          size <= UINT32_MAX ? (uint32_t)size : UINT32_MAX); /* refused by the limit, then */
    berth_buffer_append(buffer, length, sizeof(length));
    berth_buffer_append(buffer, text, size + 1);
}

void berth_wire_put_u64(struct berth_buffer *buffer, uint64_t number)
{
    unsigned char bytes[8];

    put64(bytes, number);
    berth_buffer_append(buffer, bytes, sizeof(bytes));
}

const char *berth_wire_get_text(struct berth_reader *reader)
{
    size_t left = (size_t)(reader->end - reader->next);
    if (left < 5)
        return NULL;
    size_t length = get32(reader->next);
    if (length > left - 5)
        return NULL;
    const char *text = (const char *)reader->next + 4;
    if (text[length] != '\0' || strlen(text) != length)
        return NULL;
    reader->next += length + 5;
    return text;
}

bool berth_wire_get_u64(struct berth_reader *reader, uint64_t *ret_number)
{
    if (reader->end - reader->next < 8)
        return false;
    *ret_number = get64(reader->next);
    reader->next += 8;
    return true;
}
