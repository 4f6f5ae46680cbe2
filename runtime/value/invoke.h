/* SPDX-License-Identifier: MIT */
/*
 * Calling code by a signature that is known only at run time: with the arguments in registers when
 * they fit (runtime/value/registers.h), by libffi otherwise, whose only user this is.
 */
#ifndef RUNTIME_VALUE_INVOKE_H
#define RUNTIME_VALUE_INVOKE_H

#include "runtime/value/type.h"

#include <berth/call.h>

/*
 * What such a call needs, prepared once for a signature, which it does not refer to afterwards.
 * Immutable, shared between threads.
 */
struct berth_invoke;
int berth_invoke_new(const struct berth_signature *signature, struct berth_invoke **ret_invoke,
                     struct berth_error *error);
void berth_invoke_free(struct berth_invoke *invoke);

/*
 * code(ctx, *arguments[0], *arguments[1], …), on this thread. result: room for the result's type,
 * exactly its size is written; NULL for void, or to drop it. Allocates nothing and cannot fail.
 */
void berth_invoke_call(const struct berth_invoke *invoke, void (*code)(void), berth_ctx *ctx,
                       const void *const *arguments, void *result);

#endif
