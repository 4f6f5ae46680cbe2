/* SPDX-License-Identifier: MIT */
/* The same without a state. */
#define STATELESS
#define STATE_NAME "stateless"
#include "state.c"
