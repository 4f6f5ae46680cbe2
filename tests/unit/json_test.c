/* SPDX-License-Identifier: MIT */
#include "runtime/value/json.h"

#include "runtime/value/value.h"

#include <berth/call.h>
#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"
#include "tests/support/values.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct berth_types *types;
static struct berth_arena arena;
static struct berth_error error;

static void begin(void)
{
    static const struct berth_text_parameter point[] = { { "f64", "x", "" }, { "f64", "y", "" } };
    static const struct berth_text_parameter path[] = { { "string", "name", "" },
                                                        { "array(point)", "points", "" },
                                                        { "optional(i8)", "colour", "" } };
    berth_arena_deinit(&arena);
    berth_types_free(types);
    types = berth_test_types();
    REQUIRE(berth_types_add_struct(types, "point", "", point, 2, &error) == BERTH_OK);
    REQUIRE(berth_types_add_struct(types, "path", "", path, 3, &error) == BERTH_OK);
    error.text[0] = '\0';
}

static const struct berth_type *find(const char *text)
{
    const struct berth_type *type = NULL;
    REQUIRE(berth_types_find(types, text, &type, &error) == BERTH_OK);
    return type;
}

/* In memory that ends with the text: ASan sees what is read beyond. */
static const char *exact(const char *text, size_t size)
{
    char *copy = berth_test_alloc(size ? size : 1);
    memcpy(copy, text, size);
    return copy;
}

static int check_sized(const char *text, size_t size)
{
    error.text[0] = '\0';
    return berth_json_check(exact(text, size), size, &error);
}

static int check(const char *text)
{
    return check_sized(text, strlen(text));
}

static int read_as(const char *type, const char *text, void *value)
{
    size_t size = strlen(text);
    error.text[0] = '\0';
    return berth_json_read(find(type), exact(text, size), size, "argument a", &arena, value,
                           &error);
}

static const char *write_out(const char *type, const void *value)
{
    struct berth_buffer buffer;
    berth_buffer_init(&buffer, 0);
    CHECK_CODE(berth_json_write(find(type), value, &buffer, &error), BERTH_OK, &error);
    const char *text = berth_test_format("%s", buffer.data);
    berth_buffer_deinit(&buffer);
    return text;
}

/* ---- grammar ---- */

static void json_is_told_from_other_text(void)
{
    static const char *const good[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.5e-7",
        "1E+9",
        "\"\"",
        "[]",
        "{}",
        " [ ] ",
        "\t\r\n{ } ",
        "[1,2 , 3]",
        "{\"a\":{\"b\":[null,{}]},\"c\":\"d\"}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"",
        "\"\\ud83d\\ude00\"",
        "\"\\uD83D\\uDE00\"",
        "\"\xc3\xa4\xf0\x9f\x98\x80\x7f\"",
        "\"\\u0000\"",
        "[1e400,123456789012345678901234567890]",
        "{\"\":1}",
        "{\"a\":1,\"A\":2,\"\\u0061a\":3}",
    };
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "", "line 1, column 1: expected a value, not the end" },
        { " \n ", "line 2, column 2: expected a value, not the end" },
        { "nul", "expected a value, not n" },
        { "nulll", "column 5: expected the end of the text, not l" },
        { "True", "expected a value, not T" },
        { "NaN", "expected a value, not N" },
        { "Infinity", "expected a value" },
        { "-Infinity", "column 2: expected a digit, not I" },
        { "+1", "expected a value, not +" },
        { "01", "does not begin with 0" },
        { "-01", "does not begin with 0" },
        { "1.", "column 3: expected a digit, not the end" },
        { ".5", "expected a value" },
        { "1e", "expected a digit" },
        { "1e+", "expected a digit" },
        { "1.e5", "expected a digit, not e" },
        { "-", "expected a digit" },
        { "0x10", "expected the end of the text, not x" },
        { "1 2", "column 3: expected the end of the text, not 2" },
        { "[1,]", "column 4: expected a value, not ]" },
        { "[,1]", "column 2: expected a value, not ," },
        { "[1 2]", "column 4: expected , or ], not 2" },
        { "[1", "expected , or ], not the end" },
        { "[", "expected a value, not the end" },
        { "]", "expected a value, not ]" },
        { "[}", "expected a value, not }" },
        { "{", "expected a key in quotes, not the end" },
        { "{]", "expected a key in quotes, not ]" },
        { "{\"a\"}", "expected :, not }" },
        { "{\"a\" 1}", "expected :, not 1" },
        { "{\"a\":}", "expected a value, not }" },
        { "{\"a\":1,}", "expected a key in quotes, not }" },
        { "{\"a\":1 \"b\":2}", "expected , or }, not \"" },
        { "{a:1}", "expected a key in quotes, not a" },
        { "{1:1}", "expected a key in quotes, not 1" },
        { "{'a':1}", "expected a key in quotes, not '" },
        { "// no\n1", "expected a value, not /" },
        { "\"abc", "column 1: the string does not end" },
        { "\"abc\\", "the string does not end" },
        { "\"abc\\\"", "column 1: the string does not end" },
        { "\"\\x41\"", "unknown escape \\x" },
        { "\"\\u12\"", "four hexadecimal digits" },
        { "\"\\u12g4\"", "four hexadecimal digits" },
        { "\"\\u", "four hexadecimal digits" },
        { "\"\\ud83d\"", "half of a surrogate pair" },
        { "\"\\ud83d\\u0041\"", "half of a surrogate pair" },
        { "\"\\ud83dx\"", "half of a surrogate pair" },
        { "\"\\ud83d\\ud83d\"", "half of a surrogate pair" },
        { "\"\\ude00\"", "half of a surrogate pair" },
        { "\"\\ud83d\\u", "half of a surrogate pair" },
        { "\"a\nb\"", "column 3: a control character in a string; write it as \\u000a" },
        { "\"\t\"", "\\u0009" },
        { "\"ab\xff\"", "line 1, column 4: not UTF-8" },
        { "\"\xed\xa0\x80\"", "not UTF-8" },
        { "\"\xc3\"", "not UTF-8" },
        { "\xef\xbb\xbf"
          "1",
          "expected a value, not \xef\xbb\xbf" },
        { "\x01", "not the byte 0x01" },
        { "[\n  1,\n  \xc3\xa4]", "line 3, column 3: expected a value, not \xc3\xa4" },
        { "\"\xc3\xa4\xc3\xa4\" x", "line 1, column 6" }, /* columns are characters */
    };

    for (size_t i = 0; i < COUNT(good); i++)
        CHECK_CODE(check(good[i]), BERTH_OK, &error);
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_INT(check(bad[i].text), BERTH_INVALID_ARGUMENT);
        CHECK_CONTAINS(error.text, bad[i].words);
    }
    CHECK_INT(check_sized("1\0", 2), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "not the byte 0x00");
    CHECK_INT(check_sized("\"\0\"", 3), BERTH_INVALID_ARGUMENT);
    CHECK_INT(berth_json_check("[1", 2, NULL), BERTH_INVALID_ARGUMENT);
}

static const char *nested(char open, char close, size_t depth)
{
    char *text = berth_test_alloc(2 * depth + 1);
    memset(text, open, depth);
    memset(text + depth, close, depth);
    return text;
}

static void depth_is_bounded(void)
{
    CHECK_CODE(check(nested('[', ']', 128)), BERTH_OK, &error);
    CHECK_INT(check(nested('[', ']', 129)), BERTH_INVALID_ARGUMENT);
    CHECK_STR(error.text, "line 1, column 129: nested deeper than 128 levels");
    CHECK_INT(check(nested('[', ']', 10000)), BERTH_INVALID_ARGUMENT);
    char *objects = berth_test_alloc(10000 * 5 + 1);
    for (size_t i = 0; i < 10000; i++)
        memcpy(objects + 5 * i, "{\"a\":", 5);
    CHECK_INT(check(objects), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "nested deeper");

    const char *value;
    begin();
    CHECK_INT(read_as("json", nested('[', ']', 10000), &value), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "argument a: line 1, column 129: nested deeper");
    CHECK_INT(read_as("i8", nested('[', ']', 10000), &value), BERTH_INVALID_ARGUMENT);
    CHECK_CODE(read_as("json", nested('[', ']', 128), &value), BERTH_OK, &error);
    /* A text may be all of one value: its own depth counts from the outermost bracket. */
    struct berth_span list;
    CHECK_INT(read_as("array(json)", nested('[', ']', 129), &list), BERTH_INVALID_ARGUMENT);
    CHECK_CODE(read_as("array(json)", nested('[', ']', 128), &list), BERTH_OK, &error);
}

static void duplicate_keys_are_found(void)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "{\"a\":1,\"a\":1}", "line 1, column 8: the key \"a\" is there twice" },
        { "{\"a\":1,\n\"b\":{\"a\":2},\"a\":3}", "line 2, column 13" },
        { "{\"a\":1,\"\\u0061\":2}", "the key \"\\u0061\" is there twice" },
        { "{\"\xc3\xa4\":1,\"\\u00e4\":2}", "twice" },
        { "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", "twice" },
        { "{\"\":1,\"\":2}", "the key \"\" is there twice" },
        { "[{\"x\":[{\"a\":1,\"b\":2,\"b\":3}]}]", "the key \"b\"" },
        { "{\"\\u0000\":1}", "\\u0000 in a key" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_INT(check(cases[i].text), BERTH_INVALID_ARGUMENT);
        CHECK_CONTAINS(error.text, cases[i].words);
    }
    CHECK_CODE(check("[{\"a\":1},{\"a\":1},{\"b\":{\"a\":1},\"a\":{\"a\":2}}]"), BERTH_OK, &error);

    /* At every position of small and large objects. */
    for (size_t count = 2; count < 60; count++)
        for (size_t same = 0; same < count - 1; same++) {
            struct berth_buffer text;
            berth_buffer_init(&text, 0);
            for (size_t i = 0; i < count; i++)
                berth_buffer_format(&text, "%s\"key%zu\":%zu", i ? "," : "{", i, i);
            berth_buffer_text(&text, "}");
            CHECK_CODE(check(text.data), BERTH_OK, &error);
            text.data[--text.size] = '\0';
            berth_buffer_format(&text, ",\"key%zu\":0}", same);
            CHECK_INT(check(text.data), BERTH_INVALID_ARGUMENT);
            CHECK_CONTAINS(error.text, berth_test_format("\"key%zu\" is there twice", same));
            berth_buffer_deinit(&text);
        }
}

/* ---- typed values ---- */

static void integers_keep_their_ranges(void)
{
    static const struct {
        const char *type, *least, *most, *less, *more, *range;
    } cases[] = {
        { "i8", "-128", "127", "-129", "128", "i8 (-128 to 127)" },
        { "i16", "-32768", "32767", "-32769", "32768", "i16 (-32768 to 32767)" },
        { "i32", "-2147483648", "2147483647", "-2147483649", "2147483648",
          "i32 (-2147483648 to 2147483647)" },
        { "i64", "-9223372036854775808", "9223372036854775807", "-9223372036854775809",
          "9223372036854775808", "i64 (-9223372036854775808 to 9223372036854775807)" },
        { "u8", "0", "255", "-1", "256", "u8 (0 to 255)" },
        { "u16", "0", "65535", "-1", "65536", "u16 (0 to 65535)" },
        { "u32", "0", "4294967295", "-1", "4294967296", "u32 (0 to 4294967295)" },
        { "u64", "0", "18446744073709551615", "-1", "18446744073709551616",
          "u64 (0 to 18446744073709551615)" },
        { "cursor", "0", "18446744073709551615", "-1", "18446744073709551616", "a handle (0 to" },
    };

    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value[2] = { 0x5a5a5a5a5a5a5a5a, 0x5a5a5a5a5a5a5a5a };
        const char *type = cases[i].type;
        CHECK_CODE(read_as(type, cases[i].least, value), BERTH_OK, &error);
        CHECK_STR(write_out(type, value), cases[i].least);
        CHECK_CODE(read_as(type, cases[i].most, value), BERTH_OK, &error);
        CHECK_STR(write_out(type, value), cases[i].most);
        CHECK_INT(((unsigned char *)value)[find(type)->size], 0x5a); /* no byte more */
        CHECK_INT(read_as(type, cases[i].less, value), BERTH_OUT_OF_RANGE);
        CHECK_CONTAINS(error.text, berth_test_format("argument a: %s is out of range for %s",
                                                     cases[i].less, cases[i].range));
        CHECK_INT(read_as(type, cases[i].more, value), BERTH_OUT_OF_RANGE);
        CHECK_CONTAINS(error.text, cases[i].range);
        CHECK_INT(read_as(type, "1e400", value), BERTH_OUT_OF_RANGE);
        CHECK_STR(write_out(type, value), cases[i].most); /* untouched */
    }
    int64_t number;
    CHECK_CODE(read_as("i64", "1e3", &number), BERTH_OK, &error);
    CHECK_INT(number, 1000);
    CHECK_CODE(read_as("i64", "9007199254740993", &number), BERTH_OK, &error);
    CHECK_STR(write_out("i64", &number), "9007199254740993");
    CHECK_INT(read_as("i64", "1.5", &number), BERTH_INVALID_ARGUMENT);
    CHECK_STR(error.text, "argument a: 1.5 is not an integer");
    CHECK_INT(read_as("u8", "1e-1", &number), BERTH_INVALID_ARGUMENT);
}

static void decimals_are_read_and_written(void)
{
    double number;
    float single;

    begin();
    CHECK_CODE(read_as("f64", "0.1", &number), BERTH_OK, &error);
    CHECK_STR(write_out("f64", &number), "0.1");
    CHECK_CODE(read_as("f64", "1e22", &number), BERTH_OK, &error);
    CHECK_STR(write_out("f64", &number), "1e22");
    CHECK_CODE(read_as("f32", "0.1", &single), BERTH_OK, &error);
    CHECK_STR(write_out("f32", &single), "0.1");
    CHECK_CODE(read_as("f64", "\"NaN\"", &number), BERTH_OK, &error);
    CHECK(isnan(number));
    CHECK_STR(write_out("f64", &number), "\"NaN\"");
    CHECK_CODE(read_as("f64", "\"-Infinity\"", &number), BERTH_OK, &error);
    CHECK_STR(write_out("f64", &number), "\"-Infinity\"");
    CHECK_CODE(read_as("f32", "\"Infinity\"", &single), BERTH_OK, &error);
    CHECK_STR(write_out("f32", &single), "\"Infinity\"");
    CHECK_INT(read_as("f64", "1e400", &number), BERTH_OUT_OF_RANGE);
    CHECK_STR(error.text, "argument a: 1e400 is out of range for f64");
    CHECK_INT(read_as("f32", "1e39", &single), BERTH_OUT_OF_RANGE);
    CHECK_CONTAINS(error.text, "f32");
    CHECK_INT(read_as("f64", "\"nan\"", &number), BERTH_INVALID_ARGUMENT);
    CHECK_STR(error.text, "argument a: \"nan\" is not a number");
}

static void mistakes_are_named(void)
{
    static const struct {
        const char *type, *text;
        int code;
        const char *words;
    } cases[] = {
        { "bool", "1", BERTH_INVALID_ARGUMENT, "argument a: 1 is not true or false" },
        { "bool", "null", BERTH_INVALID_ARGUMENT, "null is not true or false" },
        { "bool", "tru", BERTH_INVALID_ARGUMENT, "argument a: line 1, column 1: expected a value" },
        { "i32", "\"5\"", BERTH_INVALID_ARGUMENT, "argument a: \"5\" is not an integer" },
        { "i32", "[1]", BERTH_INVALID_ARGUMENT, "[1] is not an integer" },
        { "i32", "5 6", BERTH_INVALID_ARGUMENT, "argument a: line 1, column 3: expected the end" },
        { "i32", "[1", BERTH_INVALID_ARGUMENT, "argument a: line 1, column 3: expected , or ]" },
        { "i32", "", BERTH_INVALID_ARGUMENT, "argument a: line 1, column 1: expected a value" },
        { "f64", "true", BERTH_INVALID_ARGUMENT, "true is not a number" },
        { "string", "5", BERTH_INVALID_ARGUMENT, "5 is not a string" },
        { "string", "\"a\\u0000b\"", BERTH_INVALID_ARGUMENT, "a string cannot hold \\u0000" },
        { "bytes", "5", BERTH_INVALID_ARGUMENT, "5 is not a string of base64" },
        { "bytes", "\"QQ\"", BERTH_INVALID_ARGUMENT, "padded base64; character 3 is wrong" },
        { "bytes", "\"Q?==\"", BERTH_INVALID_ARGUMENT, "character 2 is wrong" },
        { "bytes", "\"QQ==\\u0000\"", BERTH_INVALID_ARGUMENT, "base64" },
        { "array(u8)", "{}", BERTH_INVALID_ARGUMENT, "{} is not an array" },
        { "array(u8)", "[1,2,300]", BERTH_OUT_OF_RANGE,
          "argument a[2]: 300 is out of range for u8" },
        { "array(u8)", "[1,null]", BERTH_INVALID_ARGUMENT,
          "argument a[1]: null is not an integer" },
        { "point", "[1,2]", BERTH_INVALID_ARGUMENT, "[1,2] is not an object" },
        { "point", "{\"x\":1}", BERTH_INVALID_ARGUMENT,
          "argument a: its field y (f64) is missing" },
        { "point", "{\"x\":1,\"y\":2,\"z\":3}", BERTH_INVALID_ARGUMENT, "unknown field \"z\"" },
        { "point", "{\"x\":1,\"y\":2,\"x\":3}", BERTH_INVALID_ARGUMENT,
          "argument a.x: it is there twice" },
        { "point", "{\"x\":1,\"y\":null}", BERTH_INVALID_ARGUMENT,
          "argument a.y: null is not a number" },
        { "path", "{\"nam\":\"\"}", BERTH_INVALID_ARGUMENT,
          "unknown field \"nam\"; did you mean name?" },
        { "path", "{\"name\":\"\",\"points\":[{\"x\":1,\"y\":2},{\"x\":[],\"y\":1}]}",
          BERTH_INVALID_ARGUMENT, "argument a.points[1].x: [] is not a number" },
        { "path", "{\"name\":\"\",\"points\":[],\"colour\":128}", BERTH_OUT_OF_RANGE,
          "argument a.colour: 128" },
        { "path", "{\"name\":\"\",\"points\":[],\"\\u0000\":128}", BERTH_INVALID_ARGUMENT,
          "unknown field" },
        { "json", "{\"a\":1,\"a\":2}", BERTH_INVALID_ARGUMENT,
          "argument a: line 1, column 8: the key" },
        { "json", "", BERTH_INVALID_ARGUMENT, "argument a: line 1" },
        { "string", "123456789012345678901234567890123456789012345", BERTH_INVALID_ARGUMENT,
          "1234567890123456789012345678901234567890\xe2\x80\xa6 is not a string" },
    };

    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        char value[256];
        memset(value, 0x5a, sizeof(value));
        CHECK_INT(read_as(cases[i].type, cases[i].text, value), cases[i].code);
        CHECK_CONTAINS(error.text, cases[i].words);
        for (size_t j = 0; j < sizeof(value); j++)
            CHECK_INT(value[j], 0x5a); /* untouched */
    }
}

static void values_have_their_forms(void)
{
    static const struct {
        const char *type, *in, *out; /* out NULL: the same */
    } cases[] = {
        { "bool", " true ", "true" },
        { "void", "null", NULL },
        { "string", "\"\"", NULL },
        { "string", "\"a\\u00e4\\ud83d\\ude00\\/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"",
          "\"a\xc3\xa4\xf0\x9f\x98\x80/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"" },
        { "bytes", "\"\"", NULL },
        { "bytes", "\"Zm9v\"", NULL },
        { "bytes", "\"\\/+++\"", "\"/+++\"" },
        { "bytes", "\"Zg\\u003d=\"", "\"Zg==\"" },
        { "json", " [1, {\"a\" : 1e400, \"b\":9007199254740993}] ",
          "[1, {\"a\" : 1e400, \"b\":9007199254740993}]" },
        { "json", "null", NULL },
        { "optional(i8)", "null", NULL },
        { "optional(i8)", "5", NULL },
        { "optional(string)", "null", NULL },
        { "optional(string)", "\"\"", NULL },
        { "optional(json)", "null", NULL },
        { "optional(json)", "[null]", NULL },
        { "optional(point)", "{\"y\":1,\"x\":-0.5}", "{\"x\":-0.5,\"y\":1}" },
        { "array(string)", "[ \"a\" , \"\" ]", "[\"a\",\"\"]" },
        { "array(json)", "[ 1 , [ 2 ] ]", "[1,[ 2 ]]" },
        { "array(point)", "[]", NULL },
        { "path", "{\"points\":[{\"x\":1,\"y\":2}],\"\\u006eame\":\"n\"}",
          "{\"name\":\"n\",\"points\":[{\"x\":1,\"y\":2}],\"colour\":null}" },
        { "path", "{\"name\":\"\",\"points\":[],\"colour\":null}", NULL },
        { "cursor", "12345678901234567890", NULL },
    };

    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        _Alignas(16) char value[256];
        CHECK_CODE(read_as(cases[i].type, cases[i].in, value), BERTH_OK, &error);
        CHECK_STR(write_out(cases[i].type, value), cases[i].out ? cases[i].out : cases[i].in);
    }
}

static void random_values_come_back_the_same(void)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    for (int round = 0; round < 2000; round++) {
        _Alignas(16) char back[BERTH_TYPE_SIZE_MAX];
        if (round % 50 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        berth_buffer_reset(&buffer);
        REQUIRE(berth_json_write(type, value, &buffer, &error) == BERTH_OK);
        CHECK_CODE(berth_json_check(buffer.data, buffer.size, &error), BERTH_OK, &error);
        CHECK_CODE(berth_json_read(type, exact(buffer.data, buffer.size), buffer.size, "it", &arena,
                                   back, &error),
                   BERTH_OK, &error);
        CHECK(berth_test_same(type, value, back));
    }
    berth_buffer_deinit(&buffer);
}

/* A second opinion: what is JSON for us is JSON for cJSON, and what we write it reads. */
static void cjson_agrees(void)
{
    struct berth_buffer buffer;
    size_t accepted = 0, refused = 0;

    berth_buffer_init(&buffer, 0);
    for (int round = 0; round < 1000; round++) {
        if (round % 50 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        berth_buffer_reset(&buffer);
        REQUIRE(berth_json_write(type, value, &buffer, &error) == BERTH_OK);
        for (int i = 0; i < 20; i++) {
            cJSON *item = cJSON_ParseWithLengthOpts(buffer.data, buffer.size + 1, NULL, 1);
            int code = check_sized(buffer.data, buffer.size);
            CHECK(code != BERTH_OK || item); /* it takes more than we do, never less */
            accepted += code == BERTH_OK;
            refused += code != BERTH_OK;
            cJSON_Delete(item);
            static const char noise[] = "[]{}\",:\\u0eE-+.tfn 1\xc3";
            buffer.data[berth_test_random_below(buffer.size)] =
                noise[berth_test_random_below(sizeof(noise) - 1)];
        }
    }
    CHECK(accepted > 1000 && refused > 1000);
    berth_buffer_deinit(&buffer);
}

/* Every prefix of a text, and texts with wrong characters, into its own type. */
static void broken_texts_never_break_the_reader(void)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    for (int round = 0; round < 400; round++) {
        _Alignas(16) char back[BERTH_TYPE_SIZE_MAX];
        if (round % 20 == 0)
            begin();
        const struct berth_type *type = berth_test_random_type(types);
        const void *value = berth_test_random_value(type, &arena);
        berth_buffer_reset(&buffer);
        REQUIRE(berth_json_write(type, value, &buffer, &error) == BERTH_OK);
        for (int i = 0; i < 60; i++) {
            size_t size = buffer.size;
            if (i % 3 == 0)
                size = berth_test_random_below(size + 1);
            else if (i % 3 == 1)
                buffer.data[berth_test_random_below(size)] = (char)berth_test_random();
            else
                buffer.data[berth_test_random_below(size)] =
                    "[]{}\",:\\u0e-."[berth_test_random_below(14)];
            int code =
                berth_json_read(type, exact(buffer.data, size), size, "it", &arena, back, &error);
            if (code == BERTH_OK)
                CHECK_CODE(berth_value_check(type, back, &error), BERTH_OK, &error);
            else
                CHECK(code == BERTH_INVALID_ARGUMENT || code == BERTH_OUT_OF_RANGE);
        }
    }
    berth_buffer_deinit(&buffer);
}

/* ---- arguments ---- */

static const struct berth_signature *divide(void)
{
    static const struct berth_text_parameter parameters[] = { { "f64", "dividend", "" },
                                                              { "f64", "divisor", "" },
                                                              { "optional(i32)", "digits", "" },
                                                              { "optional(string)", "note", "" } };
    const struct berth_signature *signature = NULL;
    REQUIRE(berth_signature_new(types, "f64", parameters, 4, &signature, &error) == BERTH_OK);
    return signature;
}

static void arguments_come_by_position_or_name(void)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "[1,2]", "{\"dividend\":1,\"divisor\":2,\"digits\":null,\"note\":null}" },
        { " [ 1 , 2 , 3 , \"n\" ] ", "{\"dividend\":1,\"divisor\":2,\"digits\":3,\"note\":\"n\"}" },
        { "[1,2,null]", "{\"dividend\":1,\"divisor\":2,\"digits\":null,\"note\":null}" },
        { "{\"divisor\":2,\"dividend\":1}",
          "{\"dividend\":1,\"divisor\":2,\"digits\":null,\"note\":null}" },
        { "{\"divisor\":2,\"dividen\\u0064\":1,\"note\":\"\"}",
          "{\"dividend\":1,\"divisor\":2,\"digits\":null,\"note\":\"\"}" },
    };

    begin();
    const struct berth_signature *signature = divide();
    for (size_t i = 0; i < COUNT(cases); i++) {
        const void **arguments;
        struct berth_buffer buffer;
        size_t size = strlen(cases[i].in);
        REQUIRE(berth_json_read_arguments(signature, exact(cases[i].in, size), size, &arena,
                                          &arguments, &error) == BERTH_OK);
        berth_buffer_init(&buffer, 0);
        CHECK_CODE(berth_json_write_arguments(signature, arguments, &buffer, &error), BERTH_OK,
                   &error);
        CHECK_STR(buffer.data, cases[i].out);
        berth_buffer_deinit(&buffer);
    }
}

static void wrong_arguments_are_named(void)
{
    static const struct {
        const char *text;
        int code;
        const char *words;
    } cases[] = {
        { NULL, BERTH_INVALID_ARGUMENT, "missing arguments: dividend (f64), divisor (f64)" },
        { "", BERTH_INVALID_ARGUMENT, "missing arguments: dividend" },
        { " \n", BERTH_INVALID_ARGUMENT, "missing arguments: dividend" },
        { "[1]", BERTH_INVALID_ARGUMENT, "missing argument: divisor (f64)" },
        { "{}", BERTH_INVALID_ARGUMENT, "missing arguments" },
        { "[1,2,3,\"\",5]", BERTH_INVALID_ARGUMENT, "too many arguments: at most 4" },
        { "[1,true]", BERTH_INVALID_ARGUMENT, "argument divisor: true is not a number" },
        { "{\"divisor\":\"x\"}", BERTH_INVALID_ARGUMENT,
          "argument divisor: \"x\" is not a number" },
        { "{\"divisr\":1}", BERTH_INVALID_ARGUMENT,
          "unknown argument \"divisr\"; did you mean divisor?" },
        { "{\"divisor\":1,\"divisor\":2}", BERTH_INVALID_ARGUMENT,
          "argument divisor: it is there twice" },
        { "{\"digits\":null,\"digits\":2}", BERTH_INVALID_ARGUMENT,
          "argument digits: it is there twice" },
        { "5", BERTH_INVALID_ARGUMENT, "arguments are given in an object or an array" },
        { "nul", BERTH_INVALID_ARGUMENT, "argument: line 1, column 1: expected a value" },
        { "[1,2] x", BERTH_INVALID_ARGUMENT, "expected the end of the text" },
        { "[1,2,1e10]", BERTH_OUT_OF_RANGE, "argument digits: 1e10 is out of range for i32" },
        { "[1", BERTH_INVALID_ARGUMENT, "argument: line 1, column 3: expected , or ]" },
    };

    begin();
    const struct berth_signature *signature = divide();
    for (size_t i = 0; i < COUNT(cases); i++) {
        const void **arguments = NULL;
        error.text[0] = '\0';
        CHECK_INT(berth_json_read_arguments(signature, cases[i].text,
                                            cases[i].text ? strlen(cases[i].text) : 0, &arena,
                                            &arguments, &error),
                  cases[i].code);
        CHECK_CONTAINS(error.text, cases[i].words);
        CHECK(arguments == NULL);
    }
    const struct berth_signature *none;
    const void **arguments = NULL;
    REQUIRE(berth_signature_new(types, "void", NULL, 0, &none, &error) == BERTH_OK);
    CHECK_CODE(berth_json_read_arguments(none, "", 0, &arena, &arguments, &error), BERTH_OK,
               &error);
    CHECK(arguments != NULL);
    CHECK_CODE(berth_json_read_arguments(none, "[]", 2, &arena, &arguments, &error), BERTH_OK,
               &error);
    CHECK_INT(berth_json_read_arguments(none, "[1]", 3, &arena, &arguments, &error),
              BERTH_INVALID_ARGUMENT);
}

static void named_ones_may_be_missing(void)
{
    const void **options = NULL;

    begin();
    const struct berth_signature *signature = divide();
    CHECK_CODE(
        berth_json_read_named(signature, "{\"divisor\":2}", 13, "option", &arena, &options, &error),
        BERTH_OK, &error);
    CHECK(!options[0] && !options[2] && *(const double *)options[1] == 2);
    CHECK_INT(
        berth_json_read_named(signature, "{\"divisr\":2}", 12, "option", &arena, &options, &error),
        BERTH_INVALID_ARGUMENT);
    CHECK_STR(error.text, "unknown option \"divisr\"; did you mean divisor?");
    CHECK_INT(berth_json_read_named(signature, "{\"divisor\":\"\"}", 14, "option", &arena, &options,
                                    &error),
              BERTH_INVALID_ARGUMENT);
    CHECK_STR(error.text, "option divisor: \"\" is not a number");
    CHECK_INT(berth_json_read_named(signature, "[1]", 3, "option", &arena, &options, &error),
              BERTH_INVALID_ARGUMENT);
    CHECK_STR(error.text, "options are given in an object");
    CHECK_INT(berth_json_read_named(signature, "", 0, "option", &arena, &options, &error),
              BERTH_INVALID_ARGUMENT);
}

static void random_arguments_come_back_the_same(void)
{
    struct berth_buffer buffer;

    /* some seeds make very large values, and a sanitizer is slow with them */
    size_t budget = (size_t)8 << 20;

    berth_buffer_init(&buffer, 0);
    for (int round = 0; round < 300 && buffer.size <= budget; round++) {
        const void **back;
        budget -= buffer.size;
        if (round % 50 == 0)
            begin();
        const struct berth_signature *signature = berth_test_random_signature(types);
        const void **arguments = berth_test_random_arguments(signature, &arena);
        berth_buffer_reset(&buffer);
        REQUIRE(berth_json_write_arguments(signature, arguments, &buffer, &error) == BERTH_OK);
        CHECK_CODE(
            berth_json_read_arguments(signature, buffer.data, buffer.size, &arena, &back, &error),
            BERTH_OK, &error);
        for (size_t i = 0; i < signature->count; i++)
            CHECK(berth_test_same(signature->parameters[i].type, arguments[i], back[i]));
    }
    berth_buffer_deinit(&buffer);
}

/* ---- writing ---- */

static void anything_can_be_written_as_a_string(void)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    berth_json_write_string("a\xff\xc3\"\0\xe2\x82", 7, &buffer);
    CHECK_STR(buffer.data, "\"a\xef\xbf\xbd\xef\xbf\xbd\\\"\\u0000\xef\xbf\xbd\xef\xbf\xbd\"");
    for (int round = 0; round < 2000; round++) {
        char noise[64];
        size_t size = berth_test_random_below(sizeof(noise));
        for (size_t i = 0; i < size; i++)
            noise[i] = (char)berth_test_random();
        berth_buffer_reset(&buffer);
        berth_json_write_string(noise, size, &buffer);
        CHECK_CODE(berth_json_check(buffer.data, buffer.size, &error), BERTH_OK, &error);
    }
    berth_buffer_deinit(&buffer);
}

static void writing_stops_at_the_limit(void)
{
    static const double numbers[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    static const berth_array(f64) array = { numbers, 9 };
    struct berth_buffer buffer;

    begin();
    berth_buffer_init(&buffer, 10);
    CHECK_INT(berth_json_write(find("array(f64)"), &array, &buffer, &error),
              BERTH_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(error.text, "10 bytes");
    berth_buffer_deinit(&buffer);
}

/* ---- much of it ---- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* what others take does not count */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The most memory that was resident since the last time, in bytes. */
static size_t peak_memory(void)
{
    const char *line = strstr(berth_test_read("/proc/self/status", NULL), "VmHWM:");
    FILE *file = fopen("/proc/self/clear_refs", "w");

    if (file) {
        fputs("5", file); /* the peak is what there is now */
        fclose(file);
    }
    return line ? strtoul(line + 6, NULL, 10) * 1024 : 0;
}

/* A text of `size` bytes: head, then the piece again and again, then the tail. */
static char *much(size_t size, const char *head, const char *piece, const char *tail,
                  size_t *ret_size)
{
    char *text = malloc(size + 64), *end = text;
    REQUIRE(text);
    end = stpcpy(end, head);
    while ((size_t)(end - text) + strlen(piece) < size)
        end = mempcpy(end, piece, strlen(piece));
    end = stpcpy(end, tail);
    *ret_size = (size_t)(end - text);
    return text;
}

/* Time and memory in proportion: a wrong order of growth takes minutes or gigabytes. */
static void large_texts_are_read_in_proportion(void)
{
    static const struct {
        size_t mib;
        const char *type, *head, *piece, *tail;
    } cases[] = {
        { 100, "string", "\"", "abcdefghijklmnop", "\"" },
        { 100, "string", "\"", "\\u00e4\\n", "\"" },
        { 100, "bytes", "\"", "QUJD", "\"" },
        { 100, "array(u8)", "[1", ",1", "]" },
        { 20, "array(f64)", "[0.1", ",0.25", "]" },
        { 20, "array(string)", "[\"\"", ",\"x\"", "]" },
        { 20, "json", "[1", ",1", "]" },
        { 20, "json", "[{}", ",{\"a\":[1]}", "]" },
        { 20, "f64", "0.", "1", "" },
        { 20, "i64", "1", "0", "e-99999999999" },
    };

    double patience = (double)berth_test_patience() / 1e9;

    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        _Alignas(16) char value[64];
        size_t size = cases[i].mib << (berth_test_instrumented() ? 14 : 20);
        size_t length;
        char *text = much(size, cases[i].head, cases[i].piece, cases[i].tail, &length);
        size_t before = (peak_memory(), peak_memory());
        double start = seconds();
        int code =
            berth_json_read(find(cases[i].type), text, length, "argument a", &arena, value, &error);
        double taken = seconds() - start;
        CHECK_CODE(code, strcmp(cases[i].type, "i64") == 0 ? BERTH_INVALID_ARGUMENT : BERTH_OK,
                   &error);
        size_t grown = peak_memory() - before;
        free(text);
        berth_arena_reset(&arena);
        CHECK(taken < patience);
        if (!berth_test_instrumented()) {
            CHECK(grown <
                  12 * size); /* four bytes for "x" become 24, and half more while they grow */
            berth_note("%s of %s: %.2f s, %zu MiB more", cases[i].type, cases[i].piece, taken,
                       grown >> 20);
        }
    }
}

static void many_keys_are_compared_in_proportion(void)
{
    size_t count = berth_test_instrumented() ? 20000 : 2000000;
    double patience = (double)berth_test_patience() / 1e9;
    struct berth_buffer text;

    berth_buffer_init(&text, 0);
    for (size_t i = 0; i < count; i++)
        berth_buffer_format(&text, "%s\"k%zu\":%zu", i ? "," : "{", i, i % 10);
    berth_buffer_text(&text, "}");
    REQUIRE(!text.failed);
    double start = seconds();
    CHECK_CODE(berth_json_check(text.data, text.size, &error), BERTH_OK, &error);
    berth_note("%zu keys: %.2f s", count, seconds() - start);
    CHECK(seconds() - start < patience);
    text.data[--text.size] = '\0';
    berth_buffer_text(&text, ",\"k77\":1}");
    CHECK_INT(berth_json_check(text.data, text.size, &error), BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "\"k77\" is there twice");
    berth_buffer_deinit(&text);
}

/* Three bytes of text for a struct of 4 KiB. */
static void short_texts_do_not_become_very_large(void)
{
    struct berth_text_parameter fields[16];
    struct berth_span list;
    size_t size;

    begin();
    for (size_t i = 0; i < 16; i++)
        fields[i] =
            (struct berth_text_parameter){ "optional(i64)", berth_test_format("f%zu", i), "" };
    REQUIRE(berth_types_add_struct(types, "large", "", fields, 16, &error) == BERTH_OK);
    for (size_t i = 0; i < 15; i++)
        fields[i].type = "optional(large)";
    REQUIRE(berth_types_add_struct(types, "bomb", "", fields, 15, &error) == BERTH_OK);
    char *text = much(1 << 20, "[{}", ",{}", "]", &size);
    CHECK_INT(berth_json_read(find("array(bomb)"), text, size, "argument a", &arena, &list, &error),
              BERTH_RESOURCE_EXHAUSTED);
    CHECK_CONTAINS(error.text, "argument a: so short a text");
    CHECK_CODE(
        berth_json_read(find("array(bomb)"), "[{},{}]", 7, "argument a", &arena, &list, &error),
        BERTH_OK, &error);
    free(text);
}

/* ---- memory that runs out ---- */

static void without_memory_it_says_so(void)
{
    static const char text[] =
        "{\"p\":{\"name\":\"\\u00e4\",\"points\":[{\"x\":1,\"y\":2}],"
        "\"\\u0063olour\":1},\"b\":\"QUJ\\u0044\",\"j\":{\"a\":1,\"\\u0062\":2,\"c\":3,"
        "\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9}}";
    static const struct berth_text_parameter parameters[] = {
        { "path", "p", "" }, { "bytes", "b", "" }, { "json", "j", "" }, { "optional(i8)", "o", "" }
    };
    const struct berth_signature *signature;
    const void **arguments;

    if (!berth_fault_works())
        berth_skip("no allocation can be made to fail here");
    begin();
    REQUIRE(berth_signature_new(types, "void", parameters, 4, &signature, &error) == BERTH_OK);
    for (unsigned long k = 1;; k++) {
        struct berth_arena mine;
        struct berth_buffer out;
        long live = berth_fault_live();
        berth_arena_init(&mine);
        berth_buffer_init(&out, 0);
        berth_fault_arm(k, false);
        int code =
            berth_json_read_arguments(signature, text, sizeof(text) - 1, &mine, &arguments, &error);
        if (code == BERTH_OK)
            code = berth_json_write_arguments(signature, arguments, &out, &error);
        bool hit = berth_fault_disarm();
        CHECK_CODE(code, hit ? BERTH_RESOURCE_EXHAUSTED : BERTH_OK, &error);
        berth_buffer_deinit(&out);
        berth_arena_deinit(&mine);
        CHECK_INT(berth_fault_live(), live);
        if (!hit) {
            CHECK(k > 8);
            break;
        }
    }
}

static const struct berth_test tests[] = {
    { "json_is_told_from_other_text", json_is_told_from_other_text },
    { "depth_is_bounded", depth_is_bounded },
    { "duplicate_keys_are_found", duplicate_keys_are_found },
    { "integers_keep_their_ranges", integers_keep_their_ranges },
    { "decimals_are_read_and_written", decimals_are_read_and_written },
    { "mistakes_are_named", mistakes_are_named },
    { "values_have_their_forms", values_have_their_forms },
    { "random_values_come_back_the_same", random_values_come_back_the_same },
    { "cjson_agrees", cjson_agrees },
    { "broken_texts_never_break_the_reader", broken_texts_never_break_the_reader },
    { "arguments_come_by_position_or_name", arguments_come_by_position_or_name },
    { "wrong_arguments_are_named", wrong_arguments_are_named },
    { "named_ones_may_be_missing", named_ones_may_be_missing },
    { "random_arguments_come_back_the_same", random_arguments_come_back_the_same },
    { "anything_can_be_written_as_a_string", anything_can_be_written_as_a_string },
    { "writing_stops_at_the_limit", writing_stops_at_the_limit },
    { "large_texts_are_read_in_proportion", large_texts_are_read_in_proportion },
    { "many_keys_are_compared_in_proportion", many_keys_are_compared_in_proportion },
    { "short_texts_do_not_become_very_large", short_texts_do_not_become_very_large },
    { "without_memory_it_says_so", without_memory_it_says_so },
};

int main(int argc, char **argv)
{
    int status = berth_suite_main("json", tests, COUNT(tests), argc, argv);
    berth_arena_deinit(&arena);
    berth_types_free(types);
    return status;
}
