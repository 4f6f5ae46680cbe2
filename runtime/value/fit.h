/* SPDX-License-Identifier: MIT */
/*
 * Whether a caller that knows one signature may call a function that has another: also when that
 * has got further parameters at its end which are all optional. They are absent then.
 */
#ifndef RUNTIME_VALUE_FIT_H
#define RUNTIME_VALUE_FIT_H

#include "runtime/value/type.h"

enum berth_fit {
    BERTH_FIT_NOT,
    BERTH_FIT_SAME,
    BERTH_FIT_ADAPTED, /* what the caller does not know is absent */
};

/* identity: of the signature that the caller knows. */
enum berth_fit berth_signature_fit(const char *identity, const struct berth_signature *signature);
/* Whether all parameters from number `given` on are optional: a caller may leave them out. */
bool berth_signature_omits(const struct berth_signature *signature, size_t given);
/* What stands for an argument that is left out: the value of any optional that is absent. */
const void *berth_argument_absent(void);
/*
 * The first `given` of arguments, and absent ones for the rest of the signature: in room, or
 * arguments itself when nothing is missing.
 */
const void *const *berth_arguments_extend(const struct berth_signature *signature,
                                          const void *const *arguments, size_t given,
                                          const void *room[BERTH_PARAMETERS_MAX]);
/*
 * Why one does not fit, in words that go on from "calls math.divide, ": the first parameter, or the
 * result, that differs. version: the module's that has `signature`. Cut to size (> 0).
 */
const char *berth_signature_difference(const struct berth_signature *wanted,
                                       const struct berth_signature *signature, const char *version,
                                       char *buffer, size_t size);

#endif
