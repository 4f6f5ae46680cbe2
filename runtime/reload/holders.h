/* SPDX-License-Identifier: MIT */
/*
 * Who in the process, besides hosts and threads, holds an address of an image: signal handlers,
 * destructors of pthread keys, the environment, and the static data of everything else that is
 * mapped. Nothing of an image's code runs.
 */
#ifndef RUNTIME_RELOAD_HOLDERS_H
#define RUNTIME_RELOAD_HOLDERS_H

#include "runtime/image/image.h"

/*
 * Whether somebody does, or it cannot be seen: text says who, or why, in words. caught: the signals
 * that have a handler, as in struct berth_status. Any thread.
 */
bool berth_holders_find(const struct berth_image *image, uint64_t caught, char *text, size_t size);

#endif
