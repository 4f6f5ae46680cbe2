/* SPDX-License-Identifier: MIT */
/* Errors, text, times, buffers, base64 and histograms. */
#include "runtime/base/base64.h"
#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/base/histogram.h"
#include "runtime/base/path.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fault.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ELLIPSIS     "\xe2\x80\xa6"

/* ---- errors ---- */

static void errors_are_filled(void)
{
    struct berth_error error = { .code = 99, .reserved = 7 };

    CHECK_INT(berth_error_set(&error, BERTH_NOT_FOUND, "%s: no such function", "a.b"),
              BERTH_NOT_FOUND);
    CHECK_INT(error.code, BERTH_NOT_FOUND);
    CHECK_INT(error.reserved, 0);
    CHECK_STR(error.text, "a.b: no such function");
    CHECK_INT(berth_error_nomem(&error), BERTH_RESOURCE_EXHAUSTED);
    CHECK_STR(error.text, "out of memory");
}

static void errors_without_a_record_keep_their_code(void)
{
    CHECK_INT(berth_error_set(NULL, BERTH_ABORTED, "%d", 1), BERTH_ABORTED);
    CHECK_INT(berth_error_nomem(NULL), BERTH_RESOURCE_EXHAUSTED);
    CHECK_INT(berth_error_errno(NULL, ENOENT, "x"), BERTH_NOT_FOUND);
    CHECK_INT(berth_error_prefix(NULL, "x"), BERTH_UNKNOWN);
}

static void long_errors_are_cut_between_characters(void)
{
    struct berth_error error;
    const size_t room = sizeof(error.text) - 1;
    char text[4000];

    for (size_t length = room - 8; length < room + 8; length++) {
        for (size_t shift = 0; shift < 4; shift++) { /* four-byte characters, at every offset */
            memset(text, 'x', sizeof(text));
            for (size_t i = shift; i + 4 <= length; i += 4)
                memcpy(text + i, "\xf0\x9f\x98\x80", 4);
            text[length] = '\0';
            berth_error_set(&error, BERTH_INTERNAL, "%s", text);
            CHECK(berth_utf8_valid(error.text, strlen(error.text), NULL));
            if (length <= room) {
                CHECK_STR(error.text, text);
            } else {
                CHECK(strlen(error.text) > room - strlen(ELLIPSIS) - 4);
                CHECK_STR(error.text + strlen(error.text) - strlen(ELLIPSIS), ELLIPSIS);
            }
        }
    }
    memset(text, 'y', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    berth_error_set(&error, BERTH_INTERNAL, "%s", text);
    CHECK_INT(strlen(error.text), room);
    CHECK_STR(error.text + room - strlen(ELLIPSIS), ELLIPSIS);
}

static void errors_quote_nothing_that_bites(void)
{
    struct berth_error error;

    berth_error_set(&error, BERTH_INTERNAL, "a\x1b[31m\xff\xc3(\xe2\x82 b\tc\nd\x7f\n\n");
    CHECK_STR(error.text, "a?[31m?"
                          "?(?"
                          "? b\tc\nd?");
}

static void errors_may_be_made_of_themselves(void)
{
    struct berth_error error;

    berth_error_set(&error, BERTH_ABORTED, "inner");
    berth_error_set(&error, BERTH_UNAVAILABLE, "outer: %s, %s", error.text, error.text);
    CHECK_STR(error.text, "outer: inner, inner");
    CHECK_INT(berth_error_prefix(&error, "%s: ", error.text), BERTH_UNAVAILABLE);
    CHECK_STR(error.text, "outer: inner, inner: outer: inner, inner");
    CHECK_INT(error.code, BERTH_UNAVAILABLE);
}

static void a_prefix_of_any_length_fits(void)
{
    struct berth_error error;
    char text[3000];

    memset(text, 'p', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    berth_error_set(&error, BERTH_INTERNAL, "end");
    berth_error_prefix(&error, "%s", text);
    CHECK_INT(strlen(error.text), sizeof(error.text) - 1);
    CHECK_INT(error.code, BERTH_INTERNAL);
}

static void errno_values_have_codes_and_words(void)
{
    static const struct {
        int number, code;
        const char *words;
    } cases[] = {
        { ENOENT, BERTH_NOT_FOUND, "x.so: No such file or directory" },
        { EACCES, BERTH_PERMISSION_DENIED, "x.so: Permission denied" },
        { ENOMEM, BERTH_RESOURCE_EXHAUSTED, "x.so: Cannot allocate memory" },
        { EMFILE, BERTH_RESOURCE_EXHAUSTED, "x.so: Too many open files" },
        { EEXIST, BERTH_ALREADY_EXISTS, "x.so: File exists" },
        { EISDIR, BERTH_INVALID_ARGUMENT, "x.so: Is a directory" },
        { EPIPE, BERTH_UNAVAILABLE, "x.so: Broken pipe" },
        { ETIMEDOUT, BERTH_DEADLINE_EXCEEDED, "x.so: Connection timed out" },
        { ENOSYS, BERTH_UNIMPLEMENTED, "x.so: Function not implemented" },
        { 99999, BERTH_UNKNOWN, "x.so: errno 99999" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct berth_error error;
        CHECK_INT(berth_error_errno(&error, cases[i].number, "%s", "x.so"), cases[i].code);
        CHECK_STR(error.text, cases[i].words);
    }
}

static void codes_have_names(void)
{
    for (int code = BERTH_OK; code <= BERTH_UNAUTHENTICATED; code++)
        CHECK_INT(berth_code_find(berth_code_name(code)), code);
    CHECK_STR(berth_code_name(3), "invalid_argument");
    CHECK_STR(berth_code_name(-1), "unknown");
    CHECK_STR(berth_code_name(17), "unknown");
    CHECK_INT(berth_code_find("invalid"), -1);
    CHECK_INT(berth_code_find(""), -1);
}

/* ---- text ---- */

/* The slow, obvious way. */
static bool utf8_decodes(const unsigned char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t length = text[i] < 0x80             ? 1
                        : (text[i] & 0xe0) == 0xc0 ? 2
                        : (text[i] & 0xf0) == 0xe0 ? 3
                        : (text[i] & 0xf8) == 0xf0 ? 4
                                                   : 0;
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        if (length == 0 || i + length > size)
            return false;
        uint32_t character = length == 1 ? text[i] : text[i] & (0x7fU >> length);
        for (size_t j = 1; j < length; j++) {
            if ((text[i + j] & 0xc0) != 0x80)
                return false;
            character = character << 6 | (text[i + j] & 0x3f);
        }
        if (character < least[length] || character > 0x10ffff ||
            (character >= 0xd800 && character <= 0xdfff))
            return false;
        i += length;
    }
    return true;
}

static void utf8_is_told_from_other_bytes(void)
{
    unsigned char text[16];
    size_t valid = 0;

    /* All heads with all second bytes, then edges in the third and fourth, after ASCII or not. */
    static const unsigned char edges[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f,
                                           0x90, 0x9f, 0xa0, 0xbf, 0xc0 };
    for (unsigned head = 0; head < 0x10000; head++)
        for (size_t edge = 0; edge < COUNT(edges) * COUNT(edges); edge++) {
            memset(text, 'a', sizeof(text));
            text[9] = (unsigned char)(head >> 8);
            text[10] = (unsigned char)head;
            text[11] = edges[edge % COUNT(edges)];
            text[12] = edges[edge / COUNT(edges)];
            size_t start = edge % 10, size = 13 - start;
            bool expected = utf8_decodes(text + start, size);
            valid += expected;
            if (berth_utf8_valid(text + start, size, NULL) != expected) {
                CHECK(false && "the same as decoding");
                berth_note("%02x %02x %02x %02x", text[9], text[10], text[11], text[12]);
                return;
            }
        }
    CHECK(valid > 1000);
    size_t bad = 0;
    CHECK(!berth_utf8_valid("abcdefghij\xc3\xa4\xff", 13, &bad));
    CHECK_INT(bad, 12);
    CHECK(!berth_utf8_valid("abc\xe2\x82", 5, &bad));
    CHECK_INT(bad, 3);
    CHECK(berth_utf8_valid("a\0b", 3, NULL));
    CHECK(berth_utf8_valid("", 0, NULL));
    CHECK(berth_utf8_valid(NULL, 0, NULL));
}

static void cutting_keeps_characters_whole(void)
{
    const char *text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z"; /* 1, 2, 3, 4 and 1 bytes */
    static const size_t expected[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11 };

    for (size_t size = 0; size < COUNT(expected); size++) {
        char *copy = berth_test_alloc(size ? size : 1); /* of exactly that size, for ASan */
        memcpy(copy, text, size);
        CHECK_INT(berth_utf8_cut(copy, size), expected[size]);
    }
}

static void the_nearest_name_is_found(void)
{
    static const char *const names[] = { "divide", "multiply", "add", "subtract", "hello" };
    static const struct {
        const char *text, *expected;
    } cases[] = {
        { "devide", "divide" },
        { "dvide", "divide" },
        { "divdie", "divide" },
        { "divides", "divide" },
        { "Divide", "divide" },
        { "multplyi", "multiply" },
        { "substract", "subtract" },
        { "helo", "hello" },
        { "ad", "add" },
        { "a", NULL },
        { "", NULL },
        { "division", NULL },
        { "goodbye", NULL },
        { "xdd", "add" },
        { "xyd", NULL },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_STR(berth_text_nearest(cases[i].text, names, COUNT(names)), cases[i].expected);
    CHECK_STR(berth_text_nearest("x", NULL, 0), NULL);
    char longest[400];
    memset(longest, 'd', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    CHECK_STR(berth_text_nearest(longest, names, COUNT(names)), NULL);
}

/* ---- buffers ---- */

static void buffers_grow_and_end_in_nul(void)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    CHECK(buffer.data == NULL);
    berth_buffer_append(&buffer, NULL, 0);
    for (int i = 0; i < 1000; i++) {
        berth_buffer_format(&buffer, "%03d", i);
        CHECK_INT(buffer.size, (i + 1) * 3);
        CHECK_INT(strlen(buffer.data), buffer.size);
    }
    CHECK(memcmp(buffer.data + 300, "100101102", 9) == 0);
    berth_buffer_reset(&buffer);
    CHECK_STR(buffer.data, "");
    berth_buffer_text(&buffer, "abc");
    size_t size;
    char *taken = berth_buffer_take(&buffer, &size);
    CHECK_STR(taken, "abc");
    CHECK_INT(size, 3);
    CHECK(buffer.data == NULL && buffer.size == 0);
    free(taken);
    taken = berth_buffer_take(&buffer, NULL); /* an empty one is not a failure */
    CHECK_STR(taken, "");
    free(taken);
    berth_buffer_deinit(&buffer);
}

static void a_buffer_holds_its_limit_and_no_more(void)
{
    struct berth_buffer buffer;
    struct berth_error error;
    size_t size = 7;

    berth_buffer_init(&buffer, 100);
    for (int i = 0; i < 10; i++)
        berth_buffer_text(&buffer, "0123456789");
    CHECK_INT(buffer.size, 100);
    CHECK_CODE(berth_buffer_check(&buffer, &error), BERTH_OK, &error);
    berth_buffer_text(&buffer, "x");
    CHECK(buffer.failed && buffer.full);
    CHECK_INT(buffer.size, 100);
    berth_buffer_append(&buffer, "", 0);
    CHECK_CODE(berth_buffer_check(&buffer, &error), BERTH_RESOURCE_EXHAUSTED, NULL);
    CHECK_CONTAINS(error.text, "100 bytes");
    CHECK(berth_buffer_take(&buffer, &size) == NULL);
    CHECK_INT(size, 7);
    CHECK(!buffer.failed); /* empty again */
    CHECK(!berth_buffer_reserve(&buffer, SIZE_MAX));
    berth_buffer_deinit(&buffer);
}

static void a_buffer_remembers_that_memory_was_short(void)
{
    struct berth_buffer buffer;
    struct berth_error error;

    if (!berth_fault_works())
        berth_skip("no allocation can be made to fail here");
    for (unsigned long k = 1; k <= 4; k++) {
        long live = berth_fault_live();
        berth_buffer_init(&buffer, 0);
        berth_fault_arm(k, false);
        for (int i = 0; i < 100; i++)
            berth_buffer_format(&buffer, "%s", "0123456789");
        REQUIRE(berth_fault_disarm());
        CHECK(buffer.failed && !buffer.full);
        CHECK_CODE(berth_buffer_check(&buffer, &error), BERTH_RESOURCE_EXHAUSTED, NULL);
        CHECK_CONTAINS(error.text, "memory");
        CHECK(berth_buffer_take(&buffer, NULL) == NULL);
        CHECK_INT(berth_fault_live(), live);
    }
}

/* ---- base64 ---- */

static void base64_is_as_in_the_rfc(void)
{
    static const char *const vectors[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xff\xef\xbe", "/+++" },
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char text[16] = "", data[16] = "";
        size_t size, bad, length = strlen(vectors[i][1]);
        berth_base64_encode(vectors[i][0], strlen(vectors[i][0]), text);
        CHECK_STR(text, vectors[i][1]);
        CHECK_INT(berth_base64_length(strlen(vectors[i][0])), length);
        REQUIRE(berth_base64_decode(text, length, data, &size, &bad));
        CHECK_INT(size, strlen(vectors[i][0]));
        CHECK_STR(data, vectors[i][0]);
    }
}

static void base64_goes_both_ways(void)
{
    for (size_t size = 0; size < 300; size++) {
        unsigned char *data = berth_test_alloc(size + 1), *back = berth_test_alloc(size + 1);
        size_t length = berth_base64_length(size), back_size = 0, bad;
        char *text = berth_test_alloc(length + 1);
        for (size_t i = 0; i < size; i++)
            data[i] = (unsigned char)berth_test_random();
        berth_base64_encode(data, size, text);
        CHECK_INT(strlen(text), length);
        CHECK(berth_base64_decode(text, length, back, &back_size, &bad));
        CHECK(back_size == size && memcmp(data, back, size) == 0);
    }
}

static void bad_base64_is_refused(void)
{
    static const struct {
        const char *text;
        size_t bad;
    } cases[] = {
        { "A", 1 },          { "AA", 2 },      { "AAA", 3 },  { "=", 1 },        { "====", 0 },
        { "A===", 1 },       { "AA=A", 2 },    { "AB==", 1 }, { "AAB=", 2 },     { "Zm9v\n", 5 },
        { "Zm 9", 2 },       { "Zm9-", 3 },    { "Zm9_", 3 }, { "Zm==Zm==", 2 }, { "Zm9v====", 4 },
        { "AA\xc3\xa4", 2 }, { "Zm9vYg=", 7 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t length = strlen(cases[i].text), size = 77, bad = 99;
        char *text = berth_test_alloc(length), *data = berth_test_alloc(length / 4 * 3 + !length);
        memcpy(text, cases[i].text, length);
        CHECK(!berth_base64_decode(text, length, data, &size, &bad));
        CHECK_INT(size, 77);
        CHECK_INT(bad, cases[i].bad);
    }
}

/* ---- times ---- */

static void times_are_printed(void)
{
    static const struct {
        int64_t ns;
        const char *ms, *s, *exact;
    } table[] = {
        { 0, "0.0", "0.0", "0" },
        { -5, "0.0", "0.0", "0" },
        { 1, "0.0", "0.0", "0.000000001" },
        { 49999, "0.0", "0.0", "0.000049999" },
        { 50000, "0.1", "0.0", "0.00005" },
        { 50000000, "50.0", "0.1", "0.05" },
        { 100000000, "100.0", "0.1", "0.1" },
        { 949999999, "950.0", "0.9", "0.949999999" },
        { 950000000, "950.0", "1.0", "0.95" },
        { 5000000000, "5000.0", "5.0", "5" },
        { 600000000000, "600000.0", "600.0", "600" },
        { INT64_MAX, "9223372036854.8", "9223372036.9", "9223372036.854775807" },
    };
    char text[BERTH_TIME_MAX];
    for (size_t i = 0; i < COUNT(table); i++) {
        CHECK_STR(berth_time_print(table[i].ns, BERTH_MILLISECOND, text), table[i].ms);
        CHECK_STR(berth_time_print(table[i].ns, BERTH_SECOND, text), table[i].s);
        CHECK_STR(berth_time_print_exact(table[i].ns, text), table[i].exact);
    }
}

/* ---- histograms ---- */

static void percentiles_are_right_to_an_eighth(void)
{
    struct berth_histogram histogram = { 0 };

    CHECK_INT(berth_histogram_quantile(&histogram, 500), 0);
    for (int64_t ns = 16; ns < INT64_C(1800000000000); ns += 1 + ns / 7) {
        struct berth_histogram one = { 0 };
        berth_histogram_add(&one, ns);
        int64_t told = berth_histogram_quantile(&one, 1000);
        CHECK(told >= ns - ns / 8 && told <= ns + ns / 8);
    }
    for (int64_t ns = 1000; ns <= 1000000; ns += 1000)
        berth_histogram_add(&histogram, ns);
    CHECK_INT(berth_histogram_count(&histogram), 1000);
    int64_t half = berth_histogram_quantile(&histogram, 500);
    CHECK(half >= 437500 && half <= 562500);
}

static void no_time_is_too_short_or_too_long(void)
{
    struct berth_histogram histogram = { 0 };

    berth_histogram_add(&histogram, -1);
    berth_histogram_add(&histogram, 0);
    berth_histogram_add(&histogram, INT64_MAX);
    CHECK_INT(berth_histogram_count(&histogram), 3);
    CHECK(berth_histogram_quantile(&histogram, 500) < 16);
    CHECK(berth_histogram_quantile(&histogram, 1000) > INT64_C(1000000000000));
}

/* Each message of a topic is timed: after a day that is more than 32 bits. */
static void a_histogram_counts_for_years(void)
{
    struct berth_histogram histogram = { 0 };
    size_t bucket = 0;

    berth_histogram_add(&histogram, 1000);
    while (!histogram.buckets[bucket])
        bucket++;
    histogram.buckets[bucket] = UINT32_MAX;
    berth_histogram_add(&histogram, 1000);
    CHECK_INT(berth_histogram_count(&histogram), (int64_t)UINT32_MAX + 1);
    CHECK(berth_histogram_quantile(&histogram, 500) > 0);
}

/* ---- names of files ---- */

static void a_file_has_one_name(void)
{
    static const struct {
        const char *given, *name;
    } rows[] = {
        { "a.so", "/a.so" },
        { "./a.so", "/a.so" },
        { "d//./a.so", "/d/a.so" },
        { "d/../a.so", "/a.so" },
        { "d/../d/../a.so", "/a.so" },
        { "none/../a.so", "/none/../a.so" },
        { "link/a.so", "/link/a.so" },
        { "link/../a.so", "/link/../a.so" },
        { "link/../../a.so", "/link/../../a.so" },
    };
    char here[PATH_MAX], path[PATH_MAX], home[PATH_MAX];
    struct berth_error error;

    REQUIRE(getcwd(home, sizeof(home)) && chdir(berth_test_dir()) == 0);
    REQUIRE(getcwd(here, sizeof(here)) && mkdir("d", 0700) == 0 && symlink("d", "link") == 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK_CODE(berth_path_absolute(rows[i].given, path, &error), BERTH_OK, &error);
        CHECK_STR(path, berth_test_format("%s%s", here, rows[i].name));
    }
    CHECK_INT(berth_path_absolute("//x/./y/", path, NULL), BERTH_OK);
    CHECK_STR(path, "/x/y");
    CHECK_INT(berth_path_absolute("/../..", path, NULL), BERTH_OK);
    CHECK_STR(path, "/");
    CHECK_INT(chdir(home), 0);
}

static void a_name_may_be_too_long(void)
{
    char file[PATH_MAX + 8], path[PATH_MAX] = "untouched";

    memset(file, 'a', sizeof(file));
    file[0] = '/';
    file[PATH_MAX] = '\0';
    CHECK_INT(berth_path_absolute(file, path, NULL), BERTH_OUT_OF_RANGE);
    CHECK_STR(path, "untouched");
    file[PATH_MAX - 1] = '\0';
    CHECK_INT(berth_path_absolute(file, path, NULL), BERTH_OK);
    CHECK_STR(path, file);
}

static const struct berth_test tests[] = {
    { "errors_are_filled", errors_are_filled },
    { "errors_without_a_record_keep_their_code", errors_without_a_record_keep_their_code },
    { "long_errors_are_cut_between_characters", long_errors_are_cut_between_characters },
    { "errors_quote_nothing_that_bites", errors_quote_nothing_that_bites },
    { "errors_may_be_made_of_themselves", errors_may_be_made_of_themselves },
    { "a_prefix_of_any_length_fits", a_prefix_of_any_length_fits },
    { "errno_values_have_codes_and_words", errno_values_have_codes_and_words },
    { "codes_have_names", codes_have_names },
    { "utf8_is_told_from_other_bytes", utf8_is_told_from_other_bytes },
    { "cutting_keeps_characters_whole", cutting_keeps_characters_whole },
    { "the_nearest_name_is_found", the_nearest_name_is_found },
    { "buffers_grow_and_end_in_nul", buffers_grow_and_end_in_nul },
    { "a_buffer_holds_its_limit_and_no_more", a_buffer_holds_its_limit_and_no_more },
    { "a_buffer_remembers_that_memory_was_short", a_buffer_remembers_that_memory_was_short },
    { "base64_is_as_in_the_rfc", base64_is_as_in_the_rfc },
    { "base64_goes_both_ways", base64_goes_both_ways },
    { "bad_base64_is_refused", bad_base64_is_refused },
    { "percentiles_are_right_to_an_eighth", percentiles_are_right_to_an_eighth },
    { "no_time_is_too_short_or_too_long", no_time_is_too_short_or_too_long },
    { "times_are_printed", times_are_printed },
    { "a_histogram_counts_for_years", a_histogram_counts_for_years },
    { "a_file_has_one_name", a_file_has_one_name },
    { "a_name_may_be_too_long", a_name_may_be_too_long },
};

int main(int argc, char **argv)
{
    return berth_suite_main("base", tests, COUNT(tests), argc, argv);
}
