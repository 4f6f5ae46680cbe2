/* SPDX-License-Identifier: MIT */
/* JSON out of typed values. */
#include "runtime/base/base64.h"
#include "runtime/base/text.h"
#include "runtime/value/json.h"
#include "runtime/value/number.h"

#include <math.h>
#include <string.h>

static void write_value(const struct berth_type *type, const void *value,
                        struct berth_buffer *buffer);

/* ---- strings ---- */

static void write_escape(unsigned char c, struct berth_buffer *buffer)
{
    static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";
    const char *found = strchr(short_from, c);

    if (c && found)
        berth_buffer_append(buffer, (char[]){ '\\', short_to[found - short_from] }, 2);
    else
        berth_buffer_format(buffer, "\\u%04x", c);
}

/* Well-formed UTF-8. */
static void write_escaped(const char *text, size_t size, struct berth_buffer *buffer)
{
    const char *end = text + size, *run = text;

    for (; text < end; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        berth_buffer_append(buffer, run, (size_t)(text - run));
        write_escape(c, buffer);
        run = text + 1;
    }
    berth_buffer_append(buffer, run, (size_t)(end - run));
}

void berth_json_write_string(const char *text, size_t size, struct berth_buffer *buffer)
{
    size_t bad;

    berth_buffer_text(buffer, "\"");
    while (!berth_utf8_valid(text, size, &bad)) {
        write_escaped(text, bad, buffer);
        berth_buffer_text(buffer, "\xef\xbf\xbd");
        text += bad + 1;
        size -= bad + 1;
    }
    write_escaped(text, size, buffer);
    berth_buffer_text(buffer, "\"");
}

static void write_bytes(const struct berth_span *bytes, struct berth_buffer *buffer)
{
    size_t length = berth_base64_length(bytes->count);

    berth_buffer_text(buffer, "\"");
    if (berth_buffer_reserve(buffer, length)) {
        berth_base64_encode(bytes->data, bytes->count, buffer->data + buffer->size);
        buffer->size += length;
    }
    berth_buffer_text(buffer, "\"");
}

/* ---- numbers ---- */

static void write_integer(bool negative, uint64_t magnitude, struct berth_buffer *buffer)
{
    char text[BERTH_NUMBER_MAX];
    berth_buffer_append(buffer, text, berth_number_print_integer(negative, magnitude, text));
}

static void write_signed(int64_t number, struct berth_buffer *buffer)
{
    write_integer(number < 0, number < 0 ? -(uint64_t)number : (uint64_t)number, buffer);
}

static void write_decimal(const struct berth_type *type, const void *value,
                          struct berth_buffer *buffer)
{
    bool single = type->kind == BERTH_KIND_F32;
    double number = single ? (double)*(const float *)value : *(const double *)value;
    char text[BERTH_NUMBER_MAX];

    if (isnan(number))
        berth_buffer_text(buffer, "\"NaN\"");
    else if (isinf(number))
        berth_buffer_text(buffer, number < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else
        berth_buffer_append(buffer, text,
                            single ? berth_number_print_f32((float)number, text)
                                   : berth_number_print_f64(number, text));
}

static void write_number(const struct berth_type *type, const void *value,
                         struct berth_buffer *buffer)
{
    switch (type->kind) {
    case BERTH_KIND_I8:
        write_signed(*(const int8_t *)value, buffer);
        break;
    case BERTH_KIND_I16:
        write_signed(*(const int16_t *)value, buffer);
        break;
    case BERTH_KIND_I32:
        write_signed(*(const int32_t *)value, buffer);
        break;
    case BERTH_KIND_I64:
        write_signed(*(const int64_t *)value, buffer);
        break;
    case BERTH_KIND_U8:
        write_integer(false, *(const uint8_t *)value, buffer);
        break;
    case BERTH_KIND_U16:
        write_integer(false, *(const uint16_t *)value, buffer);
        break;
    case BERTH_KIND_U32:
        write_integer(false, *(const uint32_t *)value, buffer);
        break;
    case BERTH_KIND_U64:
    case BERTH_KIND_HANDLE:
        write_integer(false, *(const uint64_t *)value, buffer);
        break;
    default:
        write_decimal(type, value, buffer);
    }
}

/* ---- everything else ---- */

static void write_array(const struct berth_type *element, const struct berth_span *span,
                        struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, "[");
    for (size_t i = 0; i < span->count && !buffer->failed; i++) {
        if (i > 0)
            berth_buffer_text(buffer, ",");
        write_value(element, (const char *)span->data + i * element->size, buffer);
    }
    berth_buffer_text(buffer, "]");
}

/* Names are identifiers: there is nothing in them to escape. */
static void write_member(size_t i, const struct berth_parameter *member, const void *value,
                         struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, i == 0 ? "{\"" : ",\"");
    berth_buffer_text(buffer, member->name);
    berth_buffer_text(buffer, "\":");
    write_value(member->type, value, buffer);
}

static void write_text(const struct berth_type *type, const void *value,
                       struct berth_buffer *buffer)
{
    const char *text = berth_load_pointer(value);

    if (!text)
        text = berth_text_default(type);
    if (type->kind == BERTH_KIND_JSON)
        berth_buffer_text(buffer, text);
    else
        berth_json_write_string(text, strlen(text), buffer);
}

static void write_value(const struct berth_type *type, const void *value,
                        struct berth_buffer *buffer)
{
    const void *present;
    struct berth_span span;

    switch (type->kind) {
    case BERTH_KIND_VOID:
        berth_buffer_text(buffer, "null");
        break;
    case BERTH_KIND_BOOL:
        berth_buffer_text(buffer, *(const unsigned char *)value ? "true" : "false");
        break;
    case BERTH_KIND_STRING:
    case BERTH_KIND_JSON:
        write_text(type, value, buffer);
        break;
    case BERTH_KIND_BYTES:
        span = berth_load_span(value);
        write_bytes(&span, buffer);
        break;
    case BERTH_KIND_ARRAY:
        span = berth_load_span(value);
        write_array(type->element, &span, buffer);
        break;
    case BERTH_KIND_OPTIONAL:
        present = berth_optional_get(type, value);
        if (present)
            write_value(type->element, present, buffer);
        else
            berth_buffer_text(buffer, "null");
        break;
    case BERTH_KIND_STRUCT:
        for (size_t i = 0; i < type->field_count; i++)
            write_member(i, &type->fields[i], (const char *)value + type->fields[i].offset, buffer);
        berth_buffer_text(buffer, "}");
        break;
    default:
        write_number(type, value, buffer);
    }
}

int berth_json_write(const struct berth_type *type, const void *value, struct berth_buffer *buffer,
                     struct berth_error *error)
{
    write_value(type, value, buffer);
    return berth_buffer_check(buffer, error);
}

int berth_json_write_arguments(const struct berth_signature *signature,
                               const void *const *arguments, struct berth_buffer *buffer,
                               struct berth_error *error)
{
    for (size_t i = 0; i < signature->count; i++)
        write_member(i, &signature->parameters[i], arguments[i], buffer);
    berth_buffer_text(buffer, signature->count > 0 ? "}" : "{}");
    return berth_buffer_check(buffer, error);
}
