/* SPDX-License-Identifier: MIT */
#include "runtime/value/number.h"

#include <berth/error.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int to_integer(const char *text, bool *ret_negative, uint64_t *ret_magnitude)
{
    char *exact = berth_test_alloc(strlen(text)); /* without a NUL: ASan sees what is read */
    memcpy(exact, text, strlen(text));
    return berth_number_to_integer(exact, strlen(text), ret_negative, ret_magnitude);
}

static double to_f64(const char *text)
{
    char *exact = berth_test_alloc(strlen(text));
    double number = 77;
    memcpy(exact, text, strlen(text));
    CHECK_INT(berth_number_to_f64(exact, strlen(text), &number), BERTH_OK);
    return number;
}

static float to_f32(const char *text)
{
    float number = 77;
    CHECK_INT(berth_number_to_f32(text, strlen(text), &number), BERTH_OK);
    return number;
}

static const char *print_f64(double number)
{
    char text[BERTH_NUMBER_MAX];
    size_t length = berth_number_print_f64(number, text);
    CHECK_INT(length, strlen(text));
    return berth_test_format("%s", text);
}

static const char *print_f32(float number)
{
    char text[BERTH_NUMBER_MAX];
    size_t length = berth_number_print_f32(number, text);
    CHECK_INT(length, strlen(text));
    return berth_test_format("%s", text);
}

static const char *repeat(char c, size_t count)
{
    char *text = berth_test_alloc(count + 1);
    memset(text, c, count);
    return text;
}

/* ---- integers ---- */

static void integers_are_exact_in_any_notation(void)
{
    const char *zeros = repeat('0', 5000);
    const struct {
        const char *text;
        int code;
        bool negative;
        uint64_t magnitude;
    } cases[] = {
        { "0", BERTH_OK, false, 0 },
        { "-0", BERTH_OK, false, 0 },
        { "-0.000e99", BERTH_OK, false, 0 },
        { "7", BERTH_OK, false, 7 },
        { "-7", BERTH_OK, true, 7 },
        { "1e3", BERTH_OK, false, 1000 },
        { "1E+3", BERTH_OK, false, 1000 },
        { "10.0", BERTH_OK, false, 10 },
        { "1.5e1", BERTH_OK, false, 15 },
        { "1500e-2", BERTH_OK, false, 15 },
        { "-0.00012e5", BERTH_OK, true, 12 },
        { "9007199254740993", BERTH_OK, false, 9007199254740993 },
        { "9223372036854775807", BERTH_OK, false, INT64_MAX },
        { "-9223372036854775808", BERTH_OK, true, (uint64_t)INT64_MAX + 1 },
        { "18446744073709551615", BERTH_OK, false, UINT64_MAX },
        { "1844674407370955161.5e1", BERTH_OK, false, UINT64_MAX },
        { "18446744073709551615.000", BERTH_OK, false, UINT64_MAX },
        { "18446744073709551616", BERTH_OUT_OF_RANGE, false, 0 },
        { "184467440737095516150", BERTH_OUT_OF_RANGE, false, 0 },
        { "1e19", BERTH_OK, false, 10000000000000000000U },
        { "1e20", BERTH_OUT_OF_RANGE, false, 0 },
        { "1e999999999999999999999999", BERTH_OUT_OF_RANGE, false, 0 },
        { "0e999999999999999999999999", BERTH_OK, false, 0 },
        { "1.5", BERTH_INVALID_ARGUMENT, false, 0 },
        { "1e-1", BERTH_INVALID_ARGUMENT, false, 0 },
        { "0.1", BERTH_INVALID_ARGUMENT, false, 0 },
        { "1e-999999999999999999999999", BERTH_INVALID_ARGUMENT, false, 0 },
        { "18446744073709551615.1", BERTH_INVALID_ARGUMENT, false, 0 },
        { berth_test_format("1%s", zeros), BERTH_OUT_OF_RANGE, false, 0 },
        { berth_test_format("12%se-5000", zeros), BERTH_OK, false, 12 },
        { berth_test_format("12%s1e-5001", zeros), BERTH_INVALID_ARGUMENT, false, 0 },
        { berth_test_format("0.%s12e5002", zeros), BERTH_OK, false, 12 },
        { berth_test_format("3.%s", zeros), BERTH_OK, false, 3 },
        { berth_test_format("3.%s1", zeros), BERTH_INVALID_ARGUMENT, false, 0 },
        { repeat('9', 5000), BERTH_OUT_OF_RANGE, false, 0 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        bool negative = true;
        uint64_t magnitude = 99;
        int code = to_integer(cases[i].text, &negative, &magnitude);
        if (code != cases[i].code)
            berth_note("%.60s", cases[i].text);
        CHECK_INT(code, cases[i].code);
        if (code == BERTH_OK) {
            CHECK_INT(negative, cases[i].negative);
            CHECK(magnitude == cases[i].magnitude);
        } else {
            CHECK_INT(magnitude, 99);
        }
    }
}

static void integers_print(void)
{
    char text[BERTH_NUMBER_MAX];
    berth_number_print_integer(false, 0, text);
    CHECK_STR(text, "0");
    CHECK_INT(berth_number_print_integer(true, (uint64_t)INT64_MAX + 1, text), 20);
    CHECK_STR(text, "-9223372036854775808");
    berth_number_print_integer(false, UINT64_MAX, text);
    CHECK_STR(text, "18446744073709551615");
    for (int i = 0; i < 1000; i++) {
        uint64_t number = berth_test_random() >> berth_test_random_below(64);
        berth_number_print_integer(false, number, text);
        CHECK_STR(text, berth_test_format("%llu", (unsigned long long)number));
    }
}

/* ---- decimals in ---- */

static void decimals_round_to_nearest(void)
{
    CHECK(to_f64("0.1") == 0.1);
    CHECK(to_f64("-1.5e3") == -1500);
    CHECK(signbit(to_f64("-0")) && to_f64("-0") == 0);
    CHECK(signbit(to_f64("-0.0e10")));
    CHECK(to_f64("9007199254740993") == 9007199254740992); /* halfway: to even */
    CHECK(to_f64("9007199254740995") == 9007199254740996);
    CHECK(to_f64("1.7976931348623157e308") == DBL_MAX);
    CHECK(to_f64("1.7976931348623158e308") == DBL_MAX);
    CHECK(to_f64("4.9e-324") == 4.9e-324);
    CHECK(to_f64("2.5e-324") > 0);
    CHECK(to_f64("2.4e-324") == 0);
    CHECK(to_f64("1e-999999999999") == 0);
    CHECK(to_f32("0.1") == 0.1F);
    CHECK(to_f32("16777217") == 16777216);
    CHECK(to_f32("3.4028235e38") == FLT_MAX);
    /* Rounding to double first would make this 1.0000001: 1 + 2^-24, and a little */
    CHECK(to_f32("1.0000000596046447753906250000000001") == 1.00000011920928955078125F);
    CHECK(to_f32("1.000000059604644775390625") == 1.0F);
}

/* What is decided by a digit that is thousands of places away. */
static void every_digit_counts(void)
{
    const char *zeros = repeat('0', 3000);

    CHECK(to_f64(berth_test_format("9007199254740993.%s1", zeros)) == 9007199254740994);
    CHECK(to_f64(berth_test_format("9007199254740993.%s0", zeros)) == 9007199254740992);
    CHECK(to_f64(berth_test_format("9007199254740993%s1e-3001", zeros)) == 9007199254740994);
    CHECK(to_f64(berth_test_format("0.%s1e3001", zeros)) == 1);
    CHECK(to_f64(berth_test_format("1%s", repeat('0', 308))) == 1e308);
    CHECK(to_f64(berth_test_format("%se-3000", repeat('1', 3001))) == 1.1111111111111112);
    CHECK(to_f32(berth_test_format("1.000000059604644775390625%s1", zeros)) ==
          1.00000011920928955078125F);
}

static void infinity_is_never_silent(void)
{
    static const char *const texts[] = { "1e309", "-1e309", "1.7976931348623159e308", "1e400",
                                         "1e99999999999999999999" };
    double number = 77;
    float single = 77;
    for (size_t i = 0; i < COUNT(texts); i++)
        CHECK_INT(berth_number_to_f64(texts[i], strlen(texts[i]), &number), BERTH_OUT_OF_RANGE);
    CHECK_INT(berth_number_to_f32("3.4028236e38", 12, &single), BERTH_OUT_OF_RANGE);
    CHECK_INT(berth_number_to_f32("1e39", 4, &single), BERTH_OUT_OF_RANGE);
    CHECK(number == 77 && single == 77);
}

/* Against the C library, on numbers as people and programs write them. */
static void random_texts_read_as_strtod_reads_them(void)
{
    for (int i = 0; i < 50000; i++) {
        uint64_t whole = berth_test_random() >> berth_test_random_below(64);
        const char *text = berth_test_format(
            "%s%llu.%0*llu%s%d", i % 2 ? "-" : "", (unsigned long long)whole,
            (int)berth_test_random_below(20) + 1,
            (unsigned long long)berth_test_random_below(10000000000U),
            berth_test_random_below(2) ? "e" : "E-", (int)berth_test_random_below(280));
        double expected = strtod(text, NULL), number;
        CHECK_INT(berth_number_to_f64(text, strlen(text), &number), BERTH_OK);
        CHECK(number == expected);
        float single, expected_single = strtof(text, NULL);
        if (berth_number_to_f32(text, strlen(text), &single) == BERTH_OK)
            CHECK(single == expected_single);
        else
            CHECK(isinf(expected_single));
    }
}

/* ---- decimals out ---- */

static void decimals_print_as_people_write_them(void)
{
    static const struct {
        double number;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { -0.0, "-0" },
        { 1, "1" },
        { -1500, "-1500" },
        { 0.1, "0.1" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 1.0 / 3, "0.3333333333333333" },
        { 123.456, "123.456" },
        { 1e-6, "0.000001" },
        { 1.5e-6, "0.0000015" },
        { 1e-7, "1e-7" },
        { -1.25e-9, "-1.25e-9" },
        { 9007199254740992, "9007199254740992" },
        { 9007199254740994, "9007199254740994" },
        { 1e20, "100000000000000000000" },
        { 123456789012345680000.0, "123456789012345680000" },
        { 1e21, "1e21" },
        { 1e22, "1e22" },
        { 1.5e300, "1.5e300" },
        { DBL_MAX, "1.7976931348623157e308" },
        { DBL_MIN, "2.2250738585072014e-308" },
        { 5e-324, "5e-324" },
        { 1.5e-323, "1.5e-323" },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_STR(print_f64(cases[i].number), cases[i].text);
    CHECK_STR(print_f32(0.1F), "0.1");
    CHECK_STR(print_f32(-16777216.0F), "-16777216");
    CHECK_STR(print_f32(FLT_MAX), "3.4028235e38");
    CHECK_STR(print_f32(1e-45F), "1e-45");
    CHECK_STR(print_f32(-0.0F), "-0");
    CHECK_STR(print_f32(3.1415927F), "3.1415927");
}

static int count_digits(const char *text)
{
    int digits = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9')
            continue;
        if (*text == '0' && digits == 0)
            continue;
        digits++;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return digits - zeros;
}

/* Reads back as the same number, and no rounding to fewer digits does. */
static void random_decimals_print_shortest(void)
{
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = berth_test_random();
        double number;
        char shorter[64];
        if (i % 10 == 0)
            bits &= UINT64_C(0x800fffffffffffff) >> berth_test_random_below(50); /* subnormal */
        if (i % 10 == 1)
            bits &= UINT64_C(0xfffc000000000000); /* powers of two, nearly */
        memcpy(&number, &bits, sizeof(number));
        if (!isfinite(number) || number == 0)
            continue;
        const char *text = print_f64(number);
        CHECK(to_f64(text) == number);
        int digits = count_digits(text);
        if (digits < 2 || fabs(number) < 0x1p53)
            continue;
        snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, number);
        CHECK(strtod(shorter, NULL) != number);
    }
    for (int i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)berth_test_random();
        float number;
        char shorter[64];
        memcpy(&number, &bits, sizeof(number));
        if (!isfinite(number) || number == 0)
            continue;
        const char *text = print_f32(number);
        CHECK(to_f32(text) == number);
        int digits = count_digits(text);
        if (digits < 2 || fabsf(number) < 0x1p24F)
            continue;
        snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, (double)number);
        CHECK(strtof(shorter, NULL) != number);
    }
}

/* Half as close to its neighbour below as to the one above: the nearest short decimal misses it. */
static void powers_of_two_print_shortest(void)
{
    char text[32];

    CHECK_STR(print_f64(0x1p-1017), "7.120236347223045e-307");
    CHECK_STR(print_f64(0x1p-921), "5.641232424577593e-278");
    CHECK_STR(print_f64(0x1p-44), "5.684341886080802e-14");
    CHECK_STR(print_f64(-0x1p896), "-5.282945311356653e269");
    CHECK_STR(print_f32(0x1p-96F), "1.2621775e-29");
    CHECK_STR(print_f32(0x1p87F), "1.5474251e26");
    CHECK_STR(print_f32(0x1p90F), "1.2379401e27");
    for (int exponent = -1074; exponent < 1024; exponent++)
        CHECK(to_f64(print_f64(ldexp(1, exponent))) == ldexp(1, exponent));
    for (int exponent = -149; exponent < 128; exponent++)
        CHECK(to_f32(print_f32(ldexpf(1, exponent))) == ldexpf(1, exponent));
    for (int digit = 1; digit <= 9; digit++) { /* 9: what is stepped up, carries */
        snprintf(text, sizeof(text), "%de-323", digit);
        CHECK(to_f64(print_f64(to_f64(text))) == to_f64(text));
    }
}

/* ---- the locale ---- */

/*
 * A locale with another decimal point, made by hand: the file that localedef would compile, of
 * which only LC_NUMERIC is needed. Few machines have one installed.
 */
static void set_locale(const char *point, uint32_t wide_point)
{
    enum { FIELDS = 6, HEAD = 4 * (2 + FIELDS) };
    struct {
        uint32_t magic, count, offsets[FIELDS];
        char point[8], separator[4], grouping[4];
        uint32_t wide_point, wide_separator;
        char codeset[8];
    } file = { .magic = 0x20031115 ^ LC_NUMERIC,
               .count = FIELDS,
               .offsets = { HEAD, HEAD + 8, HEAD + 12, HEAD + 16, HEAD + 20, HEAD + 24 },
               .grouping = "\x7f",
               .wide_point = wide_point,
               .codeset = "UTF-8" };

    snprintf(file.point, sizeof(file.point), "%s", point);
    const char *directory = berth_test_format("%s/comma", berth_test_dir());
    REQUIRE(mkdir(directory, 0700) == 0);
    berth_test_write(berth_test_format("%s/LC_NUMERIC", directory), &file, sizeof(file));
    REQUIRE(setenv("LOCPATH", berth_test_dir(), 1) == 0);
    const char *name = setlocale(LC_NUMERIC, "comma");
    unsetenv("LOCPATH");
    if (!name)
        berth_skip("this C library takes no locale made by hand");
}

static void in_locale(const char *point, uint32_t wide_point)
{
    char text[32];

    set_locale(point, wide_point);
    snprintf(text, sizeof(text), "%.2f", 1.5);
    bool works = strstr(text, point) != NULL;
    const char *printed = print_f64(-1234.5678), *printed_single = print_f32(0.25F);
    const char *printed_large = print_f64(1.25e300);
    double number = to_f64("1234.5678e-2");
    float single = to_f32("0.1");
    setlocale(LC_NUMERIC, "C");

    if (!works)
        berth_skip("the locale has no effect");
    CHECK_STR(printed, "-1234.5678");
    CHECK_STR(printed_single, "0.25");
    CHECK_STR(printed_large, "1.25e300");
    CHECK(number == 12.345678);
    CHECK(single == 0.1F);
}

static void a_decimal_comma_changes_nothing(void)
{
    in_locale(",", ',');
}

static void a_decimal_point_of_two_bytes_changes_nothing(void)
{
    in_locale("\xd9\xab", 0x66b);
}

static const struct berth_test tests[] = {
    { "integers_are_exact_in_any_notation", integers_are_exact_in_any_notation },
    { "integers_print", integers_print },
    { "decimals_round_to_nearest", decimals_round_to_nearest },
    { "every_digit_counts", every_digit_counts },
    { "infinity_is_never_silent", infinity_is_never_silent },
    { "random_texts_read_as_strtod_reads_them", random_texts_read_as_strtod_reads_them },
    { "decimals_print_as_people_write_them", decimals_print_as_people_write_them },
    { "random_decimals_print_shortest", random_decimals_print_shortest },
    { "powers_of_two_print_shortest", powers_of_two_print_shortest },
    { "a_decimal_comma_changes_nothing", a_decimal_comma_changes_nothing },
    { "a_decimal_point_of_two_bytes_changes_nothing",
      a_decimal_point_of_two_bytes_changes_nothing },
};

int main(int argc, char **argv)
{
    return berth_suite_main("number", tests, COUNT(tests), argc, argv);
}
