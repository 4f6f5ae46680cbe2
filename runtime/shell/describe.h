/* SPDX-License-Identifier: MIT */
/* What a running module says of itself, in words. */
#ifndef RUNTIME_SHELL_DESCRIBE_H
#define RUNTIME_SHELL_DESCRIBE_H

#include "runtime/shell/piece.h"

/*
 * Appends a manifest, which a host has told as JSON, in the very words that berth_manifest_read has
 * for a file. What is missing in it is left out.
 */
void berth_describe(struct berth_piece manifest, struct berth_arena *arena,
                    struct berth_buffer *buffer);

#endif
