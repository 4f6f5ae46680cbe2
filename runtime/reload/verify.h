/* SPDX-License-Identifier: MIT */
/*
 * The unload verifier: whether anything can still reach the code or data of an image that is to be
 * unmapped. What it looks at, and what it cannot see: doc/decisions/unloading.md.
 */
#ifndef RUNTIME_RELOAD_VERIFY_H
#define RUNTIME_RELOAD_VERIFY_H

#include "runtime/reload/quarantine.h"

/*
 * For a generation that no frame is in, whose STOP has run, and that is closed. False: something
 * does, or it cannot be told; doubt says what. True, too, for one that is not mapped here, and for
 * one that stays mapped whatever is found. Under admin; takes the host's lock.
 */
bool berth_unload_verify(struct berth_generation *generation, struct berth_doubt *ret_doubt);

#endif
