/* SPDX-License-Identifier: MIT */
/*
 * The state of a module: what SAVE of one generation gives and RESTORE of another takes. Both run
 * under admin, while nothing is inside of the module.
 */
#ifndef RUNTIME_RELOAD_STATE_H
#define RUNTIME_RELOAD_STATE_H

#include "runtime/reload/transaction.h"

/* There is a state to be handed over, and the new version can read it; before anything has run. */
int berth_state_compare(const struct berth_replacement *one, struct berth_error *error);
/* Nobody holds a handle of the module's, unless the new version brings them back. */
int berth_state_check_handles(const struct berth_replacement *one, struct berth_error *error);
/* Whether SAVE is to run, or a state was given. */
bool berth_state_has(const struct berth_replacement *one);
/* SAVE of the old one. The bytes are in the memory of admin. */
int berth_state_save(const struct berth_replacement *one, struct berth_state *state,
                     struct berth_error *error);
/* After it: nobody is left with a handle that the new version has not brought back. */
int berth_state_check_restored(const struct berth_replacement *one, struct berth_error *error);
int berth_state_hand_over(struct berth_replacement *one, struct berth_error *error);

#endif
