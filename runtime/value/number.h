/* SPDX-License-Identifier: MIT */
/*
 * Numbers in text, exactly, and independent of the locale. What is read has the form of a JSON
 * number (-12.5e+3) and any length: the caller has checked it. Nothing is allocated.
 */
#ifndef RUNTIME_VALUE_NUMBER_H
#define RUNTIME_VALUE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest text that is printed, with its NUL. */
#define BERTH_NUMBER_MAX 40

/*
 * BERTH_OK; BERTH_INVALID_ARGUMENT when it is no integer (1e3 and 10.0 are); BERTH_OUT_OF_RANGE
 * when its magnitude needs more than 64 bits. -0 is not negative.
 */
int berth_number_to_integer(const char *text, size_t length, bool *ret_negative,
                            uint64_t *ret_magnitude);
/* The nearest number; BERTH_OUT_OF_RANGE when that is infinite. */
int berth_number_to_f64(const char *text, size_t length, double *ret_number);
int berth_number_to_f32(const char *text, size_t length, float *ret_number);

/* Print with a NUL, and return the length without it. */
size_t berth_number_print_integer(bool negative, uint64_t magnitude, char text[BERTH_NUMBER_MAX]);
/* The fewest digits that read back as the same number, which is finite. */
size_t berth_number_print_f64(double number, char text[BERTH_NUMBER_MAX]);
size_t berth_number_print_f32(float number, char text[BERTH_NUMBER_MAX]);

#endif
