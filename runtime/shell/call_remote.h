/* SPDX-License-Identifier: MIT */
/* A call of a running host's function, with arguments as people type them. */
#ifndef RUNTIME_SHELL_CALL_REMOTE_H
#define RUNTIME_SHELL_CALL_REMOTE_H

#include <berth/host.h>

#include "runtime/shell/client.h"

/*
 * As berth_call_words, by the signature that the host tells. The client's deadline becomes the
 * call's, and the client itself waits a little longer, so that it is the host who says what became
 * of it.
 */
int berth_call_remote(struct berth_client *client, const char *function,
                      const struct berth_words_call *call,
                      void (*more)(void *user, const struct berth_words_result *value), void *user,
                      struct berth_words_result *ret_result, struct berth_error *error);

#endif
