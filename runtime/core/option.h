/* SPDX-License-Identifier: MIT */
/* A module's options. */
#ifndef RUNTIME_CORE_OPTION_H
#define RUNTIME_CORE_OPTION_H

#include "runtime/core/core.h"

/* Reads what the operator gave (NULL: nothing) over the defaults, into the generation. */
int berth_options_read(struct berth_generation *generation, const char *json,
                       struct berth_error *error);

#endif
