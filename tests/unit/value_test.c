/* SPDX-License-Identifier: MIT */
/* Values of any type: checked, copied, packed and unpacked. */
#include "runtime/value/value.h"

#include "runtime/base/error.h"

#include <berth/call.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"
#include "tests/support/values.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct berth_types *types;
static struct berth_arena arena;
static struct berth_error error;

static void begin(void)
{
    berth_arena_deinit(&arena);
    berth_types_free(types);
    types = berth_test_types();
    error = (struct berth_error){ .code = 0 };
}

static const struct berth_type *find(const char *text)
{
    const struct berth_type *type = NULL;
    CHECK_CODE(berth_types_find(types, text, &type, &error), BERTH_OK, &error);
    REQUIRE(type);
    return type;
}

static void add(const char *name, const char *first, const char *second)
{
    const struct berth_text_parameter fields[] = { { first, "a", "" }, { second, "b", "" } };
    REQUIRE(berth_types_add_struct(types, name, "", fields, 2, &error) == BERTH_OK);
}

static const struct berth_signature *sign(const char *first, const char *second)
{
    const struct berth_text_parameter parameters[] = { { first, "first", "" },
                                                       { second, "second", "" } };
    const struct berth_signature *signature = NULL;
    REQUIRE(berth_signature_new(types, "void", parameters, 2, &signature, &error) == BERTH_OK);
    return signature;
}

/* A copy that ASan knows the bounds of. */
static struct berth_reader reader_of(const void *data, size_t size, void **ret_block)
{
    unsigned char *block = malloc(size ? size : 1);
    REQUIRE(block);
    if (size)
        memcpy(block, data, size);
    *ret_block = block;
    return (struct berth_reader){ block, block + size };
}

/* ---- check ---- */

static void good_values_pass(void)
{
    for (int round = 0; round < 300; round++) {
        if (round % 30 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        CHECK_CODE(berth_value_check(type, value, &error), BERTH_OK, &error);
        CHECK(berth_value_weight(type, value) >= type->size);
    }
}

static void bad_values_are_refused(void)
{
    static const berth_string no_string = NULL, bad_string = "ab\xff", bad_json = "[1,",
                              strings[] = { "fine", NULL };
    static const berth_bytes no_data = { NULL, 3 };
    static const berth_array(string) array = { strings, 2 };
    static const berth_array(f64) vast = { NULL, SIZE_MAX / 4 };
    static const berth_optional(bytes) optional = { true, { NULL, 1 } };
    static const struct {
        const char *type;
        const void *value;
        const char *words;
    } cases[] = {
        { "string", &no_string, "the string is NULL" },
        { "json", &no_string, "the json is NULL" },
        { "string", &bad_string, "not UTF-8 at byte 2" },
        { "optional(string)", &bad_string, "not UTF-8" },
        { "json", &bad_json, "line 1, column 4" },
        { "bytes", &no_data, "size of 3 and data that is NULL" },
        { "array(string)", &array, "the string is NULL" },
        { "array(f64)", &vast, "larger than memory" },
        { "optional(bytes)", &optional, "data that is NULL" },
    };

    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        error.text[0] = '\0';
        CHECK_INT(berth_value_check(find(cases[i].type), cases[i].value, &error),
                  BERTH_INVALID_ARGUMENT);
        CHECK_CONTAINS(error.text, cases[i].words);
    }
    static const berth_bytes nothing = { NULL, 0 };
    CHECK_CODE(berth_value_check(find("bytes"), &nothing, &error), BERTH_OK, &error);
    CHECK_CODE(berth_value_check(find("optional(string)"), &no_string, &error), BERTH_OK, &error);
}

/* ---- handles ---- */

struct log {
    uint64_t ids[16];
    size_t count;
    uint64_t refused;
};

static int note_handle(void *user, const struct berth_type *type, uint64_t *id,
                       struct berth_error *ret_error)
{
    struct log *log = user;
    CHECK_INT(type->kind, BERTH_KIND_HANDLE);
    if (log->refused == *id && log->refused != 0)
        return berth_error_set(ret_error, BERTH_NOT_FOUND, "%s: no such handle", type->name);
    REQUIRE(log->count < COUNT(log->ids));
    log->ids[log->count++] = *id;
    if (*id != 0)
        *id += 1000;
    return BERTH_OK;
}

struct held {
    uint64_t a;
    struct berth_span b;
};

static void handles_are_walked(void)
{
    uint64_t list[] = { 2, 0, 3 };
    struct held held = { 1, { list, 3 } };
    struct log log = { .count = 0 };
    const struct berth_handle_walk walk = { note_handle, &log };

    begin();
    add("held", "cursor", "array(cursor)");
    CHECK_CODE(berth_value_walk(find("held"), &held, &walk, &error), BERTH_OK, &error);
    CHECK_INT(log.count, 4);
    CHECK_INT(held.a, 1001);
    CHECK_INT(list[0], 1002);
    CHECK_INT(list[1], 0);
    CHECK_INT(list[2], 1003);
    log.refused = 1002;
    log.count = 0;
    CHECK_INT(berth_value_walk(find("held"), &held, &walk, &error), BERTH_NOT_FOUND);
    CHECK_CONTAINS(error.text, "cursor: no such handle");
    CHECK_INT(log.count, 1);
}

static void packing_translates_handles_but_not_the_value(void)
{
    uint64_t list[] = { 2, 0, 3 };
    struct held held = { 1, { list, 3 } }, back;
    struct log packed = { .count = 0 }, unpacked = { .count = 0 };
    const struct berth_handle_walk to = { note_handle, &packed }, from = { note_handle, &unpacked };
    struct berth_buffer buffer;
    void *block;

    begin();
    add("held", "cursor", "array(cursor)");
    berth_buffer_init(&buffer, 0);
    CHECK_CODE(berth_value_pack(find("held"), &held, &buffer, &to, &error), BERTH_OK, &error);
    CHECK_INT(held.a, 1);
    CHECK_INT(list[2], 3);
    struct berth_reader reader = reader_of(buffer.data, buffer.size, &block);
    CHECK_CODE(berth_value_unpack(find("held"), &reader, &arena, &back, &from, &error), BERTH_OK,
               &error);
    CHECK_INT(unpacked.ids[0], 1001);
    CHECK_INT(back.a, 2001);
    CHECK_INT(((const uint64_t *)back.b.data)[2], 2003);

    packed.refused = 3; /* the last: what was packed before it is taken back */
    size_t before = buffer.size;
    CHECK_INT(berth_value_pack(find("held"), &held, &buffer, &to, &error), BERTH_NOT_FOUND);
    CHECK_INT(buffer.size, before);
    unpacked.refused = 1001;
    reader.next = block;
    back.a = 7;
    CHECK_INT(berth_value_unpack(find("held"), &reader, &arena, &back, &from, &error),
              BERTH_NOT_FOUND);
    CHECK_INT(back.a, 7);
    free(block);
    berth_buffer_deinit(&buffer);
}

/* ---- copies ---- */

/* Every piece of a copy is in that arena, and the original may go. */
static void copies_stand_alone(void)
{
    for (int round = 0; round < 500; round++) {
        struct berth_arena first, second;
        if (round % 50 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        char copy[BERTH_TYPE_SIZE_MAX], in_place[BERTH_TYPE_SIZE_MAX];
        berth_arena_init(&first);
        berth_arena_init(&second);
        const void *value = berth_test_random_value(type, &first);
        memcpy(in_place, value, type->size);
        CHECK_CODE(berth_value_copy(type, copy, value, &second, false, &error), BERTH_OK, &error);
        CHECK(berth_test_same(type, value, copy));
        CHECK_CODE(berth_value_copy(type, in_place, in_place, &second, true, &error), BERTH_OK,
                   &error);
        CHECK(berth_test_same(type, value, in_place));
        CHECK_INT(berth_value_weight(type, value), berth_value_weight(type, copy));
        berth_arena_deinit(&first); /* poisoned or freed: a shared piece would be seen by ASan */
        CHECK_CODE(berth_value_check(type, copy, &error), BERTH_OK, &error);
        CHECK(berth_test_same(type, copy, in_place));
        berth_arena_deinit(&second);
    }
}

static void what_lies_in_the_arena_already_is_kept(void)
{
    begin();
    add("pair", "string", "array(string)");
    struct {
        const char *a;
        struct berth_span b;
    } value, copy;
    const char *list[2] = { "literal", berth_arena_string(&arena, "ours") };

    value.a = berth_arena_string(&arena, "here");
    value.b = (struct berth_span){ berth_arena_copy(&arena, list, sizeof(list)), 2 };
    CHECK_CODE(berth_value_copy(find("pair"), &copy, &value, &arena, true, &error), BERTH_OK,
               &error);
    CHECK(copy.a == value.a);
    CHECK(copy.b.data == value.b.data); /* but what it points at is looked at: */
    const char *const *elements = copy.b.data;
    CHECK(elements[0] != list[0] && berth_arena_holds(&arena, elements[0]));
    CHECK_STR(elements[0], "literal");
    CHECK(elements[1] == list[1]);

    CHECK_CODE(berth_value_copy(find("pair"), &copy, &value, &arena, false, &error), BERTH_OK,
               &error);
    CHECK(copy.a != value.a && copy.b.data != value.b.data);
}

static void null_becomes_empty(void)
{
    const char *nothing = NULL, *copy;

    begin();
    CHECK_CODE(berth_value_copy(find("string"), &copy, &nothing, &arena, true, &error), BERTH_OK,
               &error);
    CHECK_STR(copy, "");
    CHECK_CODE(berth_value_copy(find("json"), &copy, &nothing, &arena, true, &error), BERTH_OK,
               &error);
    CHECK_STR(copy, "null");
    CHECK_CODE(berth_value_copy(find("optional(string)"), &copy, &nothing, &arena, true, &error),
               BERTH_OK, &error);
    CHECK(copy == NULL);
}

static void malloc_copies_are_freed_whole(void)
{
    for (int round = 0; round < 300; round++) {
        char copy[BERTH_TYPE_SIZE_MAX];
        if (round % 50 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        long live = berth_fault_live();
        CHECK_CODE(berth_value_copy_malloc(type, copy, value, &error), BERTH_OK, &error);
        CHECK(berth_test_same(type, value, copy));
        berth_value_free(type, copy);
        CHECK_INT(berth_fault_live(), live);
    }
}

static void copies_without_memory_leave_nothing(void)
{
    if (!berth_fault_works())
        berth_skip("no allocation can be made to fail here");
    for (int round = 0; round < 100; round++) {
        char copy[BERTH_TYPE_SIZE_MAX];
        if (round % 20 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        for (unsigned long k = 1;; k++) {
            long live = berth_fault_live();
            berth_fault_arm(k, k % 2);
            int code = berth_value_copy_malloc(type, copy, value, &error);
            if (!berth_fault_disarm()) {
                berth_value_free(type, copy);
                break;
            }
            CHECK_INT(code, BERTH_RESOURCE_EXHAUSTED);
            CHECK_INT(berth_fault_live(), live);
        }
        struct berth_arena other;
        berth_arena_init(&other);
        berth_fault_arm(1, true);
        int code = berth_value_copy(type, copy, value, &other, false, &error);
        CHECK_INT(code, berth_fault_disarm() ? BERTH_RESOURCE_EXHAUSTED : BERTH_OK);
        berth_arena_deinit(&other);
    }
}

static void zero_is_what_a_failed_call_gives(void)
{
    begin();
    add("pair", "string", "json");
    add("nest", "pair", "optional(pair)");
    struct {
        const char *a, *b;
        bool present;
        const char *c, *d;
    } nest;
    double number = 5;

    memset(&nest, 0xee, sizeof(nest));
    REQUIRE(find("nest")->size == sizeof(nest));
    berth_value_zero(find("nest"), &nest);
    CHECK_STR(nest.a, "");
    CHECK_STR(nest.b, "null");
    CHECK(!nest.present && !nest.c);
    berth_value_zero(find("f64"), &number);
    CHECK(number == 0);
    berth_value_zero(find("void"), NULL);
}

static void weight_counts_everything(void)
{
    static const char *const list[] = { "ab", "" };
    static const berth_array(string) strings = { list, 2 };
    static const berth_bytes bytes = { "xyz", 3 };
    static const double numbers[] = { 1, 2, 3 };
    static const berth_array(f64) array = { numbers, 3 };

    begin();
    CHECK_INT(berth_value_weight(find("array(string)"), &strings), 16 + 2 * 8 + 3 + 1);
    CHECK_INT(berth_value_weight(find("bytes"), &bytes), 16 + 3);
    CHECK_INT(berth_value_weight(find("array(f64)"), &array), 16 + 24);
    CHECK_INT(berth_value_weight(find("f64"), numbers), 8);
    CHECK_INT(berth_value_weight(find("void"), NULL), 0);
}

/* ---- packing ---- */

static void packed_values_come_back_the_same(void)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    for (int round = 0; round < 2000; round++) {
        char back[BERTH_TYPE_SIZE_MAX];
        void *block;
        if (round % 50 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        berth_buffer_reset(&buffer);
        REQUIRE(berth_value_pack(type, value, &buffer, NULL, &error) == BERTH_OK);
        struct berth_reader reader = reader_of(buffer.data, buffer.size, &block);
        CHECK_CODE(berth_value_unpack(type, &reader, &arena, back, NULL, &error), BERTH_OK, &error);
        CHECK(reader.next == reader.end);
        free(block); /* nothing points into it */
        CHECK(berth_test_same(type, value, back));
    }
    berth_buffer_deinit(&buffer);
}

static void packed_arguments_come_back_the_same(void)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    for (int round = 0; round < 300; round++) {
        const void **back, **copies;
        void *block;
        if (round % 50 == 0)
            begin();
        const struct berth_signature *signature = berth_test_random_signature(types);
        const void **arguments = berth_test_random_arguments(signature, &arena);
        berth_buffer_reset(&buffer);
        berth_buffer_text(&buffer, "head"); /* it appends */
        REQUIRE(berth_arguments_pack(signature, arguments, &buffer, NULL, &error) == BERTH_OK);
        struct berth_reader reader = reader_of(buffer.data + 4, buffer.size - 4, &block);
        CHECK_CODE(berth_arguments_unpack(signature, &reader, &arena, &back, NULL, &error),
                   BERTH_OK, &error);
        CHECK_CODE(berth_arguments_copy(signature, arguments, &arena, &copies, &error), BERTH_OK,
                   &error);
        free(block);
        for (size_t i = 0; i < signature->count; i++) {
            CHECK(berth_test_same(signature->parameters[i].type, arguments[i], back[i]));
            CHECK(berth_test_same(signature->parameters[i].type, arguments[i], copies[i]));
        }
    }
    berth_buffer_deinit(&buffer);
}

static void the_packed_form_is_as_documented(void)
{
    static const int16_t numbers[] = { 1, -1 };
    static const struct {
        bool a;
        uint16_t b;
        struct berth_span c;
        const char *d;
        bool present;
        int32_t value;
        bool absent;
        int64_t nothing;
    } value = { true, 0x1234, { numbers, 2 }, "hi", true, -2, false, 77 };
    static const struct berth_text_parameter fields[] = {
        { "bool", "a", "" },   { "u16", "b", "" },           { "array(i16)", "c", "" },
        { "string", "d", "" }, { "optional(i32)", "e", "" }, { "optional(i64)", "f", "" },
    };
    static const unsigned char expected[] = "\x01"
                                            "\x34\x12"
                                            "\x02\0\0\0"
                                            "\x01\0\xff\xff"
                                            "\x02\0\0\0"
                                            "hi"
                                            "\x01"
                                            "\xfe\xff\xff\xff"
                                            "\0";
    struct berth_buffer buffer;

    begin();
    REQUIRE(berth_types_add_struct(types, "t", "", fields, 6, &error) == BERTH_OK);
    REQUIRE(find("t")->size == sizeof(value));
    berth_buffer_init(&buffer, 0);
    CHECK_CODE(berth_value_pack(find("t"), &value, &buffer, NULL, &error), BERTH_OK, &error);
    CHECK_INT(buffer.size, sizeof(expected) - 1);
    CHECK(memcmp(buffer.data, expected, buffer.size) == 0);
    berth_buffer_deinit(&buffer);
}

static void packing_stops_at_the_limit(void)
{
    static const char *const text = "0123456789";
    struct berth_buffer buffer;

    begin();
    berth_buffer_init(&buffer, 20);
    CHECK_CODE(berth_value_pack(find("string"), &text, &buffer, NULL, &error), BERTH_OK, &error);
    CHECK_INT(berth_value_pack(find("string"), &text, &buffer, NULL, &error),
              BERTH_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(error.text, "20 bytes");
    CHECK_INT(buffer.size, 14);
    berth_buffer_deinit(&buffer);

    static const berth_bytes giant = { "x", (size_t)UINT32_MAX + 1 };
    berth_buffer_init(&buffer, 0);
    CHECK_INT(berth_value_pack(find("bytes"), &giant, &buffer, NULL, &error),
              BERTH_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(error.text, "4294967296");
    CHECK_INT(buffer.size, 0);
    berth_buffer_deinit(&buffer);
}

/* ---- hostile bytes ---- */

static int unpack_bytes(const struct berth_type *type, const void *data, size_t size)
{
    char *value = malloc(type->size + 1);
    void *block;
    REQUIRE(value);
    struct berth_reader reader = reader_of(data, size, &block);
    error.text[0] = '\0';
    int code = berth_value_unpack(type, &reader, &arena, value, NULL, &error);
    CHECK(reader.next <= reader.end);
    if (code == BERTH_OK) /* whatever it is, it is a value */
        CHECK_CODE(berth_value_check(type, value, &error), BERTH_OK, &error);
    free(block);
    free(value);
    return code;
}

static void lies_are_refused(void)
{
    static const struct {
        const char *type, *data;
        size_t size;
        const char *words;
    } cases[] = {
        { "bool", "\x02", 1, "a boolean is 2" },
        { "bool", "", 0, "1 bytes are missing" },
        { "i64", "1234567", 7, "1 bytes are missing" },
        { "optional(i8)", "\xff\x01", 2, "a boolean is 255" },
        { "optional(i8)", "\x01", 1, "missing" },
        { "string", "\x03\0\0", 3, "missing" },
        { "string", "\x03\0\0\0ab", 6, "1 bytes are missing" },
        { "string",
          "\xff\xff\xff\xff"
          "a",
          5, "4294967294 bytes are missing" },
        { "string", "\x02\0\0\0\xc3(", 6, "not UTF-8 at byte 0" },
        { "string", "\x03\0\0\0a\0b", 7, "holds a NUL" },
        { "json", "\x03\0\0\0[1,", 7, "packed value: line 1, column 4" },
        { "json", "\0\0\0\0", 4, "packed value: line 1" },
        { "bytes", "\x05\0\0\0abcd", 8, "1 bytes are missing" },
        { "array(i16)",
          "\x03\0\0\0"
          "12345",
          9, "5 bytes cannot hold 3 elements of i16" },
        { "array(bool)", "\xff\xff\xff\xff\x01", 5, "cannot hold 4294967295" },
        { "array(bool)", "\x02\0\0\0\x01\x03", 6, "a boolean is 3" },
        { "array(string)", "\x02\0\0\0\0\0\0\0\0\0\0", 11, "7 bytes cannot hold 2" },
        { "array(cursor)",
          "\x02\0\0\0"
          "0123456789",
          14, "cannot hold 2" },
    };

    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_INT(unpack_bytes(find(cases[i].type), cases[i].data, cases[i].size), BERTH_DATA_LOSS);
        CHECK_CONTAINS(error.text, cases[i].words);
    }
}

static void arguments_are_named_and_nothing_is_left_over(void)
{
    const void **arguments = NULL;
    void *block;

    begin();
    const struct berth_signature *signature = sign("i8", "string");
    struct berth_reader reader = reader_of("\x01\x01\0\0\0ab", 7, &block);
    CHECK_INT(berth_arguments_unpack(signature, &reader, &arena, &arguments, NULL, &error),
              BERTH_DATA_LOSS);
    CHECK_CONTAINS(error.text, "1 bytes are left over");
    reader = (struct berth_reader){ block, (unsigned char *)block + 3 };
    CHECK_INT(berth_arguments_unpack(signature, &reader, &arena, &arguments, NULL, &error),
              BERTH_DATA_LOSS);
    CHECK_CONTAINS(error.text, "argument second: packed value");
    CHECK(arguments == NULL);
    free(block);

    static const int8_t number = 1;
    static const char *const bad = "\xff";
    const void *const given[] = { &number, &bad };
    CHECK_INT(berth_arguments_copy(signature, given, &arena, &arguments, &error),
              BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "argument second: the string is not UTF-8");
    CHECK(arguments == NULL);
}

/* Cut off at every byte, and with any byte changed. Most of it under ASan. */
static void broken_bytes_never_break_the_reader(void)
{
    struct berth_buffer buffer;
    size_t refused = 0, accepted = 0;

    berth_buffer_init(&buffer, 0);
    for (int round = 0; round < 400; round++) {
        if (round % 20 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        berth_buffer_reset(&buffer);
        REQUIRE(berth_value_pack(type, value, &buffer, NULL, &error) == BERTH_OK);
        size_t step = 1 + buffer.size / 100;
        for (size_t size = 0; size < buffer.size; size += step)
            CHECK_INT(unpack_bytes(type, buffer.data, size), BERTH_DATA_LOSS);
        for (int i = 0; i < 40 && buffer.size > 0; i++) {
            size_t at = berth_test_random_below(buffer.size);
            char saved = buffer.data[at];
            buffer.data[at] = (char)(i % 4 == 0 ? 0xff : berth_test_random());
            int code = unpack_bytes(type, buffer.data, buffer.size);
            CHECK(code == BERTH_OK || code == BERTH_DATA_LOSS || code == BERTH_RESOURCE_EXHAUSTED);
            refused += code != BERTH_OK;
            accepted += code == BERTH_OK;
            if (i % 2)
                buffer.data[at] = saved; /* else the damage adds up */
        }
    }
    CHECK(refused > 1000 && accepted > 1000);
    berth_buffer_deinit(&buffer);
}

/* A struct of 4 KiB that packs into one byte: 4,096 times as much in memory. */
static void few_bytes_do_not_become_very_many(void)
{
    static const size_t count = 1 << 20;
    struct berth_text_parameter fields[16];
    struct berth_buffer buffer;

    begin();
    for (size_t i = 0; i < 16; i++)
        fields[i] = (struct berth_text_parameter){ "u64", berth_test_format("f%zu", i), "" };
    REQUIRE(berth_types_add_struct(types, "large", "", fields, 16, &error) == BERTH_OK);
    for (size_t i = 0; i < 16; i++)
        fields[i].type = "large";
    REQUIRE(berth_types_add_struct(types, "larger", "", fields, 15, &error) == BERTH_OK);
    fields[0].type = "optional(larger)";
    REQUIRE(berth_types_add_struct(types, "bomb", "", fields, 1, &error) == BERTH_OK);

    berth_buffer_init(&buffer, 0);
    uint32_t packed = (uint32_t)count;
    berth_buffer_append(&buffer, &packed, 4);
    REQUIRE(berth_buffer_reserve(&buffer, count));
    memset(buffer.data + buffer.size, 0, count);
    buffer.size += count;
    CHECK_INT(unpack_bytes(find("array(bomb)"), buffer.data, buffer.size),
              BERTH_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(error.text, "very many");
    packed = 1000; /* but some is fine */
    memcpy(buffer.data, &packed, 4);
    CHECK_CODE(unpack_bytes(find("array(bomb)"), buffer.data, 1004), BERTH_OK, &error);
    berth_buffer_deinit(&buffer);
}

static void unpacking_without_memory_says_so(void)
{
    struct berth_buffer buffer;
    void *block;

    if (!berth_fault_works())
        berth_skip("no allocation can be made to fail here");
    berth_buffer_init(&buffer, 0);
    for (int round = 0; round < 100; round++) {
        char back[BERTH_TYPE_SIZE_MAX];
        if (round % 20 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        berth_buffer_reset(&buffer);
        REQUIRE(berth_value_pack(type, value, &buffer, NULL, &error) == BERTH_OK);
        struct berth_reader reader = reader_of(buffer.data, buffer.size, &block);
        for (unsigned long k = 1;; k++) {
            struct berth_arena other;
            long live = berth_fault_live();
            berth_arena_init(&other);
            reader.next = block;
            berth_fault_arm(k, false);
            int code = berth_value_unpack(type, &reader, &other, back, NULL, &error);
            bool hit = berth_fault_disarm();
            CHECK_INT(code, hit ? BERTH_RESOURCE_EXHAUSTED : BERTH_OK);
            berth_arena_deinit(&other);
            CHECK_INT(berth_fault_live(), live);
            if (!hit)
                break;
        }
        free(block);
    }
    berth_buffer_deinit(&buffer);
}

static const struct berth_test tests[] = {
    { "good_values_pass", good_values_pass },
    { "bad_values_are_refused", bad_values_are_refused },
    { "handles_are_walked", handles_are_walked },
    { "packing_translates_handles_but_not_the_value",
      packing_translates_handles_but_not_the_value },
    { "copies_stand_alone", copies_stand_alone },
    { "what_lies_in_the_arena_already_is_kept", what_lies_in_the_arena_already_is_kept },
    { "null_becomes_empty", null_becomes_empty },
    { "malloc_copies_are_freed_whole", malloc_copies_are_freed_whole },
    { "copies_without_memory_leave_nothing", copies_without_memory_leave_nothing },
    { "zero_is_what_a_failed_call_gives", zero_is_what_a_failed_call_gives },
    { "weight_counts_everything", weight_counts_everything },
    { "packed_values_come_back_the_same", packed_values_come_back_the_same },
    { "packed_arguments_come_back_the_same", packed_arguments_come_back_the_same },
    { "the_packed_form_is_as_documented", the_packed_form_is_as_documented },
    { "packing_stops_at_the_limit", packing_stops_at_the_limit },
    { "lies_are_refused", lies_are_refused },
    { "arguments_are_named_and_nothing_is_left_over",
      arguments_are_named_and_nothing_is_left_over },
    { "broken_bytes_never_break_the_reader", broken_bytes_never_break_the_reader },
    { "few_bytes_do_not_become_very_many", few_bytes_do_not_become_very_many },
    { "unpacking_without_memory_says_so", unpacking_without_memory_says_so },
};

int main(int argc, char **argv)
{
    int status = berth_suite_main("value", tests, COUNT(tests), argc, argv);
    berth_arena_deinit(&arena);
    berth_types_free(types);
    return status;
}
