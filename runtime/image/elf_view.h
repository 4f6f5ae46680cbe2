/* SPDX-License-Identifier: MIT */
/*
 * The bytes of an ELF file, looked at through bounds. elf.c and elf_check.c read a file through
 * nothing else: an offset, address, index or count of the file becomes a pointer here, or an error.
 */
#ifndef RUNTIME_IMAGE_ELF_VIEW_H
#define RUNTIME_IMAGE_ELF_VIEW_H

#include <berth/error.h>
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BERTH_ELF_SEGMENTS_MAX 64

#ifndef DT_RELR /* <elf.h> of glibc before 2.36 */
#define DT_RELRSZ  35
#define DT_RELR    36
#define DT_RELRENT 37
#define SHT_RELR   19
#endif

#if defined __x86_64__
#define BERTH_ELF_MACHINE EM_X86_64
#elif defined __aarch64__
#define BERTH_ELF_MACHINE EM_AARCH64
#else
#error "Berth runs on x86-64 and aarch64"
#endif

/* The entries of the dynamic table that mean something to the loader. At most one of each. */
enum berth_elf_tag {
    BERTH_DT_STRTAB,
    BERTH_DT_STRSZ,
    BERTH_DT_SYMTAB,
    BERTH_DT_SYMENT,
    BERTH_DT_HASH,
    BERTH_DT_GNU_HASH,
    BERTH_DT_SONAME,
    BERTH_DT_RPATH,
    BERTH_DT_RUNPATH,
    BERTH_DT_FLAGS,
    BERTH_DT_FLAGS_1,
    BERTH_DT_SYMBOLIC,
    BERTH_DT_TEXTREL,
    BERTH_DT_BIND_NOW,
    BERTH_DT_RELA,
    BERTH_DT_RELASZ,
    BERTH_DT_RELAENT,
    BERTH_DT_RELACOUNT,
    BERTH_DT_REL,
    BERTH_DT_RELSZ,
    BERTH_DT_RELR,
    BERTH_DT_RELRSZ,
    BERTH_DT_RELRENT,
    BERTH_DT_JMPREL,
    BERTH_DT_PLTRELSZ,
    BERTH_DT_PLTREL,
    BERTH_DT_PLTGOT,
    BERTH_DT_INIT,
    BERTH_DT_FINI,
    BERTH_DT_INIT_ARRAY,
    BERTH_DT_INIT_ARRAYSZ,
    BERTH_DT_FINI_ARRAY,
    BERTH_DT_FINI_ARRAYSZ,
    BERTH_DT_PREINIT_ARRAY,
    BERTH_DT_VERSYM,
    BERTH_DT_VERNEED,
    BERTH_DT_VERNEEDNUM,
    BERTH_DT_VERDEF,
    BERTH_DT_VERDEFNUM,
    BERTH_DT_AUXILIARY,
    BERTH_DT_FILTER,
    BERTH_DT_COUNT,
};

struct berth_elf_view {
    const unsigned char *bytes;
    size_t size;
    Elf64_Ehdr header;
    size_t segment_count;
    Elf64_Phdr segments[BERTH_ELF_SEGMENTS_MAX];

    const unsigned char *dynamic; /* Elf64_Dyn, possibly unaligned */
    size_t dynamic_count;         /* without its DT_NULL */
    bool has[BERTH_DT_COUNT];
    uint64_t value[BERTH_DT_COUNT]; /* 0 for what is not there */

    const char *strings; /* ends in NUL, so that each index into it is a string */
    size_t string_size;
    const unsigned char *symbols; /* Elf64_Sym, possibly unaligned */
    uint64_t symbol_count;        /* what the hash tables know of */
};

/* Everything above is checked against size; what the loader would make of it, is not. */
int berth_elf_view_init(struct berth_elf_view *view, const void *bytes, size_t size,
                        struct berth_error *error);

/* size bytes at an offset of the file; NULL when they are not all there. */
const void *berth_elf_at(const struct berth_elf_view *view, uint64_t offset, uint64_t size);
/* size bytes that one segment loads from the file to an address; NULL when it does not. */
const void *berth_elf_at_address(const struct berth_elf_view *view, uint64_t address,
                                 uint64_t size);
/* The first segment of a type, or NULL. */
const Elf64_Phdr *berth_elf_find_segment(const struct berth_elf_view *view, uint32_t type);
/* NULL for an index that is out of range. */
const char *berth_elf_string(const struct berth_elf_view *view, uint64_t index);

/* index < dynamic_count, index < symbol_count */
Elf64_Dyn berth_elf_dynamic(const struct berth_elf_view *view, size_t index);
Elf64_Sym berth_elf_symbol(const struct berth_elf_view *view, uint64_t index);

/* data_loss: "damaged: …". */
int berth_elf_damaged(struct berth_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

#endif
