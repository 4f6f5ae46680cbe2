/* SPDX-License-Identifier: MIT */
/*
 * What an ELF file defines, and which versions of symbols it needs and has, as the loader would
 * look for it. The file need not have passed berth_elf_check: all of it is bounded here.
 */
#ifndef RUNTIME_IMAGE_ELF_VERSIONS_H
#define RUNTIME_IMAGE_ELF_VERSIONS_H

#include "runtime/base/arena.h"
#include "runtime/image/elf_view.h"

/* One line of the lists of versions. Texts point into the file. */
struct berth_elf_version {
    const char *name; /* NULL: no line has this number */
    const char *file; /* the library that should have it; NULL: the file itself has it */
    bool weak;        /* the loader does without it */
};

struct berth_elf_versions {
    struct berth_elf_version *entries; /* by number; 0 and 1 are none */
    size_t count;
    const unsigned char *of_symbols; /* a number for each, Elf64_Half; NULL: there are none */
};

/* data_loss when the lists lead astray. */
int berth_elf_versions_read(const struct berth_elf_view *view, struct berth_arena *arena,
                            struct berth_elf_versions *ret_versions, struct berth_error *error);

/* That of symbol number index; NULL: it has none. */
const struct berth_elf_version *berth_elf_version_of(const struct berth_elf_versions *versions,
                                                     uint64_t index);

/* Whether others can find the symbol here. */
bool berth_elf_is_export(const Elf64_Sym *symbol);
/* Whether the file exports a name, in a version or (NULL) in any. */
bool berth_elf_exports(const struct berth_elf_view *view, const struct berth_elf_versions *versions,
                       const char *name, const char *version);
/* Whether it has a version. One that has none at all satisfies everybody, as the loader has it. */
bool berth_elf_has_version(const struct berth_elf_versions *versions, const char *name);

#endif
