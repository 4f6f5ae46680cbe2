/* SPDX-License-Identifier: MIT */
/*
 * Section headers say much of what program headers and the dynamic table say, a second time. The
 * loader reads only the latter; where the two disagree, the file is not what a linker wrote.
 */
#ifndef RUNTIME_IMAGE_ELF_SECTIONS_H
#define RUNTIME_IMAGE_ELF_SECTIONS_H

#include "runtime/image/elf_view.h"

/* A file without section headers agrees with itself. */
int berth_elf_check_sections(const struct berth_elf_view *view, struct berth_error *error);

#endif
