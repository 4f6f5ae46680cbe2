/* SPDX-License-Identifier: MIT */
#include "runtime/value/number.h"

#include <berth/error.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No digit beyond the 768th can change how a decimal rounds, but for whether anything follows. */
#define DIGITS_MAX   768
#define EXPONENT_MAX 100000

/* ±digits × 10^exponent, without a point: strtod() reads that alike in every locale. */
struct decimal {
    bool negative;
    bool more; /* digits follow that are not all zero */
    size_t count;
    int64_t exponent;
    char digits[DIGITS_MAX + sizeof("1e-100000")]; /* no zero at either end */
};

static int64_t parse_exponent(const char *text, const char *end)
{
    bool negative = text < end && *text == '-';
    int64_t exponent = 0;

    for (; text < end; text++)
        if (*text >= '0' && *text <= '9' && exponent < INT64_MAX / 100)
            exponent = exponent * 10 + (*text - '0');
    return negative ? -exponent : exponent;
}

static void parse(const char *text, size_t length, struct decimal *decimal)
{
    const char *end = text + length;
    bool fraction = false;

    decimal->negative = decimal->more = false;
    decimal->count = 0;
    decimal->exponent = 0;
    for (; text < end && *text != 'e' && *text != 'E'; text++) {
        if (*text == '-') {
            decimal->negative = true;
        } else if (*text == '.') {
            fraction = true;
        } else if (decimal->count < DIGITS_MAX) {
            if (decimal->count > 0 || *text != '0')
                decimal->digits[decimal->count++] = *text;
            decimal->exponent -= fraction;
        } else {
            decimal->more |= *text != '0';
            decimal->exponent += !fraction;
        }
    }
    if (text < end)
        decimal->exponent += parse_exponent(text + 1, end);
    while (decimal->count > 0 && decimal->digits[decimal->count - 1] == '0' && !decimal->more) {
        decimal->count--;
        decimal->exponent++;
    }
}

/* What nearly all integers are: a few digits. */
static bool short_integer(const char *text, size_t length, bool *ret_negative,
                          uint64_t *ret_magnitude)
{
    bool negative = length > 0 && *text == '-';
    uint64_t magnitude = 0;

    if (length > 18)
        return false;
    for (size_t i = negative; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        magnitude = magnitude * 10 + (uint64_t)(text[i] - '0');
    }
    *ret_negative = negative && magnitude > 0;
    *ret_magnitude = magnitude;
    return true;
}

int berth_number_to_integer(const char *text, size_t length, bool *ret_negative,
                            uint64_t *ret_magnitude)
{
    struct decimal decimal;
    uint64_t magnitude = 0;

    if (short_integer(text, length, ret_negative, ret_magnitude))
        return BERTH_OK;
    parse(text, length, &decimal);
    if (decimal.count > 0 && decimal.exponent < 0)
        return BERTH_INVALID_ARGUMENT;
    if (decimal.more)
        return BERTH_OUT_OF_RANGE;
    for (size_t i = 0; i < decimal.count; i++)
        if (__builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(decimal.digits[i] - '0'), &magnitude))
            return BERTH_OUT_OF_RANGE;
    for (int64_t i = 0; i < decimal.exponent && magnitude > 0; i++)
        if (__builtin_mul_overflow(magnitude, 10, &magnitude))
            return BERTH_OUT_OF_RANGE;
    *ret_negative = decimal.negative && magnitude > 0;
    *ret_magnitude = magnitude;
    return BERTH_OK;
}

/* Writes 1234e-2 into the digits, for strtod(). */
static const char *spell(struct decimal *decimal)
{
    if (decimal->count == 0)
        decimal->exponent = 0;
    if (decimal->count == 0 || decimal->more) {
        decimal->exponent -= decimal->more;
        decimal->digits[decimal->count] = decimal->more ? '1' : '0';
        decimal->count++;
    }
    int exponent = decimal->exponent > EXPONENT_MAX    ? EXPONENT_MAX
                   : decimal->exponent < -EXPONENT_MAX ? -EXPONENT_MAX
                                                       : (int)decimal->exponent;
    snprintf(decimal->digits + decimal->count, sizeof(decimal->digits) - decimal->count, "e%d",
             exponent);
    return decimal->digits;
}

int berth_number_to_f64(const char *text, size_t length, double *ret_number)
{
    struct decimal decimal;

    parse(text, length, &decimal);
    double number = strtod(spell(&decimal), NULL);
    if (isinf(number))
        return BERTH_OUT_OF_RANGE;
    *ret_number = decimal.negative ? -number : number;
    return BERTH_OK;
}

int berth_number_to_f32(const char *text, size_t length, float *ret_number)
{
    struct decimal decimal;

    parse(text, length, &decimal);
    float number = strtof(spell(&decimal), NULL);
    if (isinf(number))
        return BERTH_OUT_OF_RANGE;
    *ret_number = decimal.negative ? -number : number;
    return BERTH_OK;
}

/* ---- printing ---- */

size_t berth_number_print_integer(bool negative, uint64_t magnitude, char text[BERTH_NUMBER_MAX])
{
    char digits[BERTH_NUMBER_MAX];
    size_t count = 0, length = 0;

    do
        digits[count++] = (char)('0' + magnitude % 10);
    while (magnitude /= 10);
    if (negative)
        text[length++] = '-';
    while (count > 0)
        text[length++] = digits[--count];
    text[length] = '\0';
    return length;
}

/* The nearest decimal of so many digits. number is positive. */
static void round_to(double number, int precision, struct decimal *decimal)
{
    char text[BERTH_NUMBER_MAX];

    /* d.ddddde+dd, the point being whatever the locale has for it */
    snprintf(text, sizeof(text), "%.*e", precision - 1, number);
    decimal->negative = decimal->more = false;
    decimal->count = 0;
    const char *c = text;
    for (; *c != 'e'; c++)
        if (*c >= '0' && *c <= '9')
            decimal->digits[decimal->count++] = *c;
    decimal->exponent = strtol(c + 1, NULL, 10) - (precision - 1);
    while (decimal->count > 1 && decimal->digits[decimal->count - 1] == '0') {
        decimal->count--;
        decimal->exponent++;
    }
}

/* The next decimal of so many digits above. */
static void step_up(size_t precision, struct decimal *decimal)
{
    for (; decimal->count < precision; decimal->exponent--)
        decimal->digits[decimal->count++] = '0';
    for (; decimal->count > 1 && decimal->digits[decimal->count - 1] == '9'; decimal->exponent++)
        decimal->count--;
    if (decimal->digits[decimal->count - 1]++ == '9') {
        decimal->digits[0] = '1';
        decimal->exponent++;
    }
}

/*
 * Below a power of two numbers lie twice as close as above it, so a decimal above may be read as it
 * when the nearest one, below, is not.
 */
static bool is_power_of_two(double number)
{
    int exponent;
    return frexp(number, &exponent) == 0.5;
}

/* Writes a decimal as people do: without an exponent, unless that takes many zeros. */
static size_t lay_out(bool negative, const struct decimal *decimal, char text[BERTH_NUMBER_MAX])
{
    int count = (int)decimal->count;
    int point = count + (int)decimal->exponent; /* digits before the point */
    const char *sign = negative ? "-" : "", *digits = decimal->digits;
    int length;

    if (point > 21 || point < -5)
        length = snprintf(text, BERTH_NUMBER_MAX, "%s%c%s%.*se%d", sign, digits[0],
                          count > 1 ? "." : "", count - 1, digits + 1, point - 1);
    else if (point <= 0)
        length =
            snprintf(text, BERTH_NUMBER_MAX, "%s0.%.*s%.*s", sign, -point, "00000", count, digits);
    else if (point >= count)
        length = snprintf(text, BERTH_NUMBER_MAX, "%s%.*s%.*s", sign, count, digits, point - count,
                          "00000000000000000000");
    else
        length = snprintf(text, BERTH_NUMBER_MAX, "%s%.*s.%.*s", sign, point, digits, count - point,
                          digits + point);
    return (size_t)length;
}

static size_t print_zero(bool negative, char text[BERTH_NUMBER_MAX])
{
    strcpy(text, negative ? "-0" : "0");
    return strlen(text);
}

/*
 * Any decimal of up to DBL_DIG digits survives in a normal number, so if there is a short one, it
 * is the nearest of DBL_DIG; and DBL_DECIMAL_DIG digits always suffice. Numbers near zero have less
 * precision, and are tried from one digit on.
 */
size_t berth_number_print_f64(double number, char text[BERTH_NUMBER_MAX])
{
    bool negative = signbit(number);
    double positive = fabs(number);
    struct decimal decimal;

    if (positive == 0)
        return print_zero(negative, text);
    if (positive < 0x1p53 && positive == (double)(uint64_t)positive)
        return berth_number_print_integer(negative, (uint64_t)positive, text);
    bool power = is_power_of_two(positive);
    for (int precision = positive < DBL_MIN ? 1 : DBL_DIG;; precision++) {
        round_to(positive, precision, &decimal);
        if (precision == DBL_DECIMAL_DIG || strtod(spell(&decimal), NULL) == positive)
            break;
        if (power)
            step_up((size_t)precision, &decimal);
        if (power && strtod(spell(&decimal), NULL) == positive)
            break;
    }
    return lay_out(negative, &decimal, text);
}

size_t berth_number_print_f32(float number, char text[BERTH_NUMBER_MAX])
{
    bool negative = signbit(number);
    float positive = fabsf(number);
    struct decimal decimal;

    if (positive == 0)
        return print_zero(negative, text);
    if (positive < 0x1p24F && positive == (float)(uint32_t)positive)
        return berth_number_print_integer(negative, (uint32_t)positive, text);
    bool power = is_power_of_two((double)positive);
    for (int precision = positive < FLT_MIN ? 1 : FLT_DIG;; precision++) {
        round_to((double)positive, precision, &decimal);
        if (precision == FLT_DECIMAL_DIG || strtof(spell(&decimal), NULL) == positive)
            break;
        if (power)
            step_up((size_t)precision, &decimal);
        if (power && strtof(spell(&decimal), NULL) == positive)
            break;
    }
    return lay_out(negative, &decimal, text);
}
