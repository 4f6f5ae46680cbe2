/* SPDX-License-Identifier: MIT */
/* Names of files. */
#ifndef RUNTIME_BASE_PATH_H
#define RUNTIME_BASE_PATH_H

#include <berth/error.h>
#include <limits.h>

/*
 * From the root on, without "." and "//", so that one file is told by one name. Links stay: they
 * may lead elsewhere when the name is used again, and $ORIGIN is where the name is. ".." takes away
 * what is a directory, and stays behind a link. out_of_range: too long; else that the working
 * directory has no name.
 */
int berth_path_absolute(const char *file, char ret_path[PATH_MAX], struct berth_error *error);

#endif
