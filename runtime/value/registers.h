/* SPDX-License-Identifier: MIT */
/*
 * Calls whose arguments all travel in registers, made without libffi, which takes several times as
 * long. On x86-64 (System V) and aarch64 (AAPCS64) integers and pointers fill the general registers
 * in order, decimals the vector registers in order, and neither depends on the other: one C
 * function type that has all of both calls every such function. What does not fit, and every call
 * on other machines or when built with -DBERTH_NO_REGISTERS, is libffi's.
 */
#ifndef RUNTIME_VALUE_REGISTERS_H
#define RUNTIME_VALUE_REGISTERS_H

#include "runtime/value/type.h"

#include <berth/call.h>

/* How a signature's values travel. Immutable once made. */
struct berth_registers {
    uint8_t count, result_size;
    bool vectors, vector_result; /* some argument, the result travels in a vector register */
    uint8_t loads[BERTH_PARAMETERS_MAX], places[BERTH_PARAMETERS_MAX];
};

/* false: not all of it fits into registers. */
bool berth_registers_plan(struct berth_registers *plan, const struct berth_signature *signature);
/* As berth_invoke_call. */
void berth_registers_call(const struct berth_registers *plan, void (*code)(void), berth_ctx *ctx,
                          const void *const *arguments, void *result);

#endif
