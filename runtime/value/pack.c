/* SPDX-License-Identifier: MIT */
/* The packed form of values. Its description is in value.h. */
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/value/json.h"
#include "runtime/value/value.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are packed as they lie");

/* ---- packing ---- */

/* Numbers, whose packed form is their bytes: an array of them is one copy. */
static bool is_number(const struct berth_type *type)
{
    return type->kind >= BERTH_KIND_I8 && type->kind <= BERTH_KIND_F64;
}

struct packer {
    struct berth_buffer *buffer;
    const struct berth_handle_walk *walk;
    struct berth_error *error;
};

static int pack(struct packer *packer, const struct berth_type *type, const void *value);

static int pack_count(struct packer *packer, const struct berth_type *type, size_t count)
{
    uint32_t packed = (uint32_t)count;

    if (packed != count)
        return berth_error_set(packer->error, BERTH_RESOURCE_EXHAUSTED,
                               "a %s of %zu is too long to be passed on; the most is %u",
                               type->text, count, UINT32_MAX);
    berth_buffer_append(packer->buffer, &packed, sizeof(packed));
    return BERTH_OK;
}

static int pack_bytes(struct packer *packer, const struct berth_type *type, const void *data,
                      size_t size)
{
    int code = pack_count(packer, type, size);
    if (code == BERTH_OK)
        berth_buffer_append(packer->buffer, data, size);
    return code;
}

static int pack_text(struct packer *packer, const struct berth_type *type, const void *value)
{
    const char *text = berth_load_pointer(value);

    if (!text)
        text = berth_text_default(type);
    return pack_bytes(packer, type, text, strlen(text));
}

static int pack_array(struct packer *packer, const struct berth_type *type, const void *value)
{
    const struct berth_type *element = type->element;
    struct berth_span span = berth_load_span(value);

    int code = pack_count(packer, type, span.count);
    if (code != BERTH_OK)
        return code;
    if (is_number(element)) {
        berth_buffer_append(packer->buffer, span.data, span.count * element->size);
        return BERTH_OK;
    }
    for (size_t i = 0; i < span.count && !packer->buffer->failed; i++) {
        code = pack(packer, element, (const char *)span.data + i * element->size);
        if (code != BERTH_OK)
            return code;
    }
    return BERTH_OK;
}

static int pack_handle(struct packer *packer, const struct berth_type *type, const void *value)
{
    uint64_t id;
    int code = BERTH_OK;

    memcpy(&id, value, sizeof(id));
    if (packer->walk)
        code = packer->walk->handle(packer->walk->user, type, &id, packer->error);
    if (code == BERTH_OK)
        berth_buffer_append(packer->buffer, &id, sizeof(id));
    return code;
}

static void pack_flag(struct packer *packer, bool flag)
{
    unsigned char byte = flag;
    berth_buffer_append(packer->buffer, &byte, 1);
}

static int pack(struct packer *packer, const struct berth_type *type, const void *value)
{
    switch (type->kind) {
    case BERTH_KIND_VOID:
        return BERTH_OK;
    case BERTH_KIND_BOOL:
        pack_flag(packer, *(const unsigned char *)value != 0);
        return BERTH_OK;
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        return pack_text(packer, type, value);
    case BERTH_KIND_BYTES: {
        struct berth_span span = berth_load_span(value);
        return pack_bytes(packer, type, span.data, span.count);
    }
    case BERTH_KIND_ARRAY:
        return pack_array(packer, type, value);
    case BERTH_KIND_OPTIONAL: {
        const void *present = berth_optional_get(type, value);
        pack_flag(packer, present != NULL);
        return present ? pack(packer, type->element, present) : BERTH_OK;
    }
    case BERTH_KIND_STRUCT:
        for (size_t i = 0; i < type->field_count; i++) {
            const struct berth_parameter *field = &type->fields[i];
            int code = pack(packer, field->type, (const char *)value + field->offset);
            if (code != BERTH_OK)
                return code;
        }
        return BERTH_OK;
    case BERTH_KIND_HANDLE:
        return pack_handle(packer, type, value);
    default:
        berth_buffer_append(packer->buffer, value, type->size);
        return BERTH_OK;
    }
}

/* Takes back what was begun. */
static int pack_end(struct packer *packer, size_t start, int code)
{
    struct berth_buffer *buffer = packer->buffer;

    if (code == BERTH_OK)
        code = berth_buffer_check(buffer, packer->error);
    if (code != BERTH_OK && buffer->data) {
        buffer->size = start;
        buffer->data[start] = '\0';
    }
    return code;
}

int berth_value_pack(const struct berth_type *type, const void *value, struct berth_buffer *buffer,
                     const struct berth_handle_walk *walk, struct berth_error *error)
{
    struct packer packer = { buffer, walk, error };
    size_t start = buffer->size;
    return pack_end(&packer, start, pack(&packer, type, value));
}

/* ---- unpacking ---- */

#define UNPACK_ROOM   ((uint64_t)64 << 20)
#define UNPACK_FACTOR 16

struct unpacker {
    struct berth_reader *reader;
    struct berth_arena *arena;
    uint64_t ceiling; /* of the arena's total */
    const struct berth_handle_walk *walk;
    struct berth_error *error;
};

static int unpack(struct unpacker *unpacker, const struct berth_type *type, void *value);

static struct unpacker unpacker_make(struct berth_reader *reader, struct berth_arena *arena,
                                     const struct berth_handle_walk *walk,
                                     struct berth_error *error)
{
    uint64_t size = (uint64_t)(reader->end - reader->next);
    uint64_t ceiling = berth_arena_mark(arena) + UNPACK_ROOM + UNPACK_FACTOR * size;
    return (struct unpacker){ reader, arena, ceiling, walk, error };
}

static size_t left(const struct unpacker *unpacker)
{
    return (size_t)(unpacker->reader->end - unpacker->reader->next);
}

/* NULL, with the error said, when there are not so many: data_loss. */
static const unsigned char *read_bytes(struct unpacker *unpacker, size_t size)
{
    const unsigned char *bytes = unpacker->reader->next;

    if (size > left(unpacker)) {
        berth_error_set(unpacker->error, BERTH_DATA_LOSS, "packed value: %zu bytes are missing",
                        size - left(unpacker));
        return NULL;
    }
    unpacker->reader->next += size;
    return bytes;
}

static int read_into(struct unpacker *unpacker, void *value, size_t size)
{
    const unsigned char *bytes = read_bytes(unpacker, size);
    if (!bytes)
        return BERTH_DATA_LOSS;
    memcpy(value, bytes, size);
    return BERTH_OK;
}

static int read_flag(struct unpacker *unpacker, bool *ret_flag)
{
    unsigned char byte;
    int code = read_into(unpacker, &byte, 1);
    if (code != BERTH_OK)
        return code;
    if (byte > 1)
        return berth_error_set(unpacker->error, BERTH_DATA_LOSS,
                               "packed value: a boolean is %u, not 0 or 1", byte);
    *ret_flag = byte;
    return BERTH_OK;
}

/* Zeroed memory for a value, or a copy of bytes with a NUL after them. */
static int allocate(struct unpacker *unpacker, size_t size, void **ret_memory)
{
    uint64_t total = berth_arena_mark(unpacker->arena);

    if (total > unpacker->ceiling || size > unpacker->ceiling - total)
        return berth_error_set(unpacker->error, BERTH_RESOURCE_EXHAUSTED,
                               "packed value: few bytes would become very many in memory");
    *ret_memory = berth_arena_alloc(unpacker->arena, size);
    return *ret_memory ? BERTH_OK : berth_error_nomem(unpacker->error);
}

static int unpack_piece(struct unpacker *unpacker, bool is_text, struct berth_span *ret_span)
{
    uint32_t size;
    void *copy;

    int code = read_into(unpacker, &size, sizeof(size));
    if (code != BERTH_OK)
        return code;
    const unsigned char *bytes = read_bytes(unpacker, size);
    if (!bytes)
        return BERTH_DATA_LOSS;
    code = allocate(unpacker, (size_t)size + is_text, &copy);
    if (code != BERTH_OK)
        return code;
    memcpy(copy, bytes, size);
    *ret_span = (struct berth_span){ copy, size };
    return BERTH_OK;
}

static int check_text(struct unpacker *unpacker, const struct berth_type *type,
                      const struct berth_span *text)
{
    size_t bad;

    if (type->kind == BERTH_KIND_JSON) {
        if (berth_json_check(text->data, text->count, unpacker->error) == BERTH_OK)
            return BERTH_OK;
        berth_error_prefix(unpacker->error, "packed value: ");
        if (unpacker->error && unpacker->error->code == BERTH_INVALID_ARGUMENT)
            unpacker->error->code = BERTH_DATA_LOSS;
        return unpacker->error ? unpacker->error->code : BERTH_DATA_LOSS;
    }
    if (!berth_utf8_valid(text->data, text->count, &bad))
        return berth_error_set(unpacker->error, BERTH_DATA_LOSS,
                               "packed value: a string is not UTF-8 at byte %zu", bad);
    if (memchr(text->data, '\0', text->count))
        return berth_error_set(unpacker->error, BERTH_DATA_LOSS,
                               "packed value: a string holds a NUL");
    return BERTH_OK;
}

static int unpack_text(struct unpacker *unpacker, const struct berth_type *type, void *value)
{
    struct berth_span text;
    int code = unpack_piece(unpacker, true, &text);
    if (code == BERTH_OK)
        code = check_text(unpacker, type, &text);
    if (code == BERTH_OK)
        memcpy(value, &text.data, sizeof(text.data));
    return code;
}

/* The fewest bytes that a value packs into, at least 1: how many can still come is then known. */
static size_t packed_min(const struct berth_type *type)
{
    size_t sum = 0;

    switch (type->kind) {
    case BERTH_KIND_BOOL:
    case BERTH_KIND_OPTIONAL:
        return 1;
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
    case BERTH_KIND_BYTES:
    case BERTH_KIND_ARRAY:
        return sizeof(uint32_t);
    case BERTH_KIND_STRUCT:
        for (size_t i = 0; i < type->field_count; i++)
            sum += packed_min(type->fields[i].type);
        return sum;
    default:
        return type->size;
    }
}

static int unpack_array(struct unpacker *unpacker, const struct berth_type *type, void *value)
{
    const struct berth_type *element = type->element;
    uint32_t count;
    void *data = NULL;

    int code = read_into(unpacker, &count, sizeof(count));
    if (code != BERTH_OK)
        return code;
    if (count > 0 && count > left(unpacker) / packed_min(element))
        return berth_error_set(unpacker->error, BERTH_DATA_LOSS,
                               "packed value: %zu bytes cannot hold %u elements of %s",
                               left(unpacker), count, element->text);
    code = allocate(unpacker, (size_t)count * element->size, &data);
    if (code == BERTH_OK && is_number(element))
        code = read_into(unpacker, data, count * element->size);
    else
        for (size_t i = 0; i < count && code == BERTH_OK; i++)
            code = unpack(unpacker, element, (char *)data + i * element->size);
    if (code == BERTH_OK)
        memcpy(value, &(struct berth_span){ data, count }, sizeof(struct berth_span));
    return code;
}

static int unpack_handle(struct unpacker *unpacker, const struct berth_type *type, void *value)
{
    uint64_t id;
    int code = read_into(unpacker, &id, sizeof(id));
    if (code == BERTH_OK && unpacker->walk)
        code = unpacker->walk->handle(unpacker->walk->user, type, &id, unpacker->error);
    if (code == BERTH_OK)
        memcpy(value, &id, sizeof(id));
    return code;
}

/* *value is zeroed before. */
static int unpack(struct unpacker *unpacker, const struct berth_type *type, void *value)
{
    bool flag;
    int code;

    switch (type->kind) {
    case BERTH_KIND_BOOL:
        code = read_flag(unpacker, &flag);
        if (code == BERTH_OK)
            *(bool *)value = flag;
        return code;
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        return unpack_text(unpacker, type, value);
    case BERTH_KIND_BYTES: {
        struct berth_span span;
        code = unpack_piece(unpacker, false, &span);
        if (code == BERTH_OK)
            memcpy(value, &span, sizeof(span));
        return code;
    }
    case BERTH_KIND_ARRAY:
        return unpack_array(unpacker, type, value);
    case BERTH_KIND_OPTIONAL:
        code = read_flag(unpacker, &flag);
        if (code == BERTH_OK && flag)
            code = unpack(unpacker, type->element, berth_optional_set(type, value));
        return code;
    case BERTH_KIND_STRUCT:
        for (size_t i = 0; i < type->field_count; i++) {
            const struct berth_parameter *field = &type->fields[i];
            code = unpack(unpacker, field->type, (char *)value + field->offset);
            if (code != BERTH_OK)
                return code;
        }
        return BERTH_OK;
    case BERTH_KIND_HANDLE:
        return unpack_handle(unpacker, type, value);
    default:
        return read_into(unpacker, value, type->size);
    }
}

static int unpack_new(struct unpacker *unpacker, const struct berth_type *type, void **ret_value)
{
    void *value;
    int code = allocate(unpacker, type->size, &value);
    if (code == BERTH_OK)
        code = unpack(unpacker, type, value);
    if (code == BERTH_OK)
        *ret_value = value;
    return code;
}

int berth_value_unpack(const struct berth_type *type, struct berth_reader *reader,
                       struct berth_arena *arena, void *ret_value,
                       const struct berth_handle_walk *walk, struct berth_error *error)
{
    struct unpacker unpacker = unpacker_make(reader, arena, walk, error);
    uint64_t mark = berth_arena_mark(arena);
    void *value;
    int code = unpack_new(&unpacker, type, &value);
    if (code == BERTH_OK)
        memcpy(ret_value, value, type->size);
    if (code != BERTH_OK || type->plain) /* numbers cost no memory, however many come */
        berth_arena_rewind(arena, mark);
    return code;
}

/* ---- arguments ---- */

int berth_arguments_pack(const struct berth_signature *signature, const void *const *arguments,
                         struct berth_buffer *buffer, const struct berth_handle_walk *walk,
                         struct berth_error *error)
{
    struct packer packer = { buffer, walk, error };
    size_t start = buffer->size;
    int code = BERTH_OK;

    for (size_t i = 0; i < signature->count && code == BERTH_OK; i++)
        code = berth_argument_error(
            signature, i, pack(&packer, signature->parameters[i].type, arguments[i]), error);
    return pack_end(&packer, start, code);
}

int berth_arguments_unpack(const struct berth_signature *signature, struct berth_reader *reader,
                           struct berth_arena *arena, const void ***ret_arguments,
                           const struct berth_handle_walk *walk, struct berth_error *error)
{
    struct unpacker unpacker = unpacker_make(reader, arena, walk, error);
    void **arguments = berth_arena_alloc(arena, signature->count * sizeof(*arguments));

    if (!arguments)
        return berth_error_nomem(error);
    for (size_t i = 0; i < signature->count; i++) {
        int code = unpack_new(&unpacker, signature->parameters[i].type, &arguments[i]);
        if (code != BERTH_OK)
            return berth_argument_error(signature, i, code, error);
    }
    if (left(&unpacker) > 0)
        return berth_error_set(error, BERTH_DATA_LOSS, "packed arguments: %zu bytes are left over",
                               left(&unpacker));
    *ret_arguments = (const void **)arguments;
    return BERTH_OK;
}
