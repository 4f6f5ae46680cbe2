/* SPDX-License-Identifier: MIT */
/*
 * A module made byte by byte, for this machine: small, valid, and loadable by the real loader.
 * Tests give it any records, and break whatever part of it they are about.
 */
#ifndef BERTH_TESTS_SUPPORT_CRAFT_H
#define BERTH_TESTS_SUPPORT_CRAFT_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

/* Types of relocations, by what all machines have. */
#if defined __x86_64__
#define CRAFT_RELATIVE       R_X86_64_RELATIVE
#define CRAFT_IRELATIVE      R_X86_64_IRELATIVE
#define CRAFT_ADDRESS        R_X86_64_64
#define CRAFT_SLOT           R_X86_64_GLOB_DAT
#define CRAFT_CALL           R_X86_64_JUMP_SLOT
#define CRAFT_TLS_MODULE     R_X86_64_DTPMOD64
#define CRAFT_TLS_STATIC     R_X86_64_TPOFF64
#define CRAFT_TLS_DESCRIPTOR R_X86_64_TLSDESC
#else
#define CRAFT_RELATIVE       R_AARCH64_RELATIVE
#define CRAFT_IRELATIVE      R_AARCH64_IRELATIVE
#define CRAFT_ADDRESS        R_AARCH64_ABS64
#define CRAFT_SLOT           R_AARCH64_GLOB_DAT
#define CRAFT_CALL           R_AARCH64_JUMP_SLOT
#define CRAFT_TLS_MODULE     R_AARCH64_TLS_DTPMOD
#define CRAFT_TLS_STATIC     R_AARCH64_TLS_TPREL
#define CRAFT_TLS_DESCRIPTOR R_AARCH64_TLSDESC
#endif

/* What a link's code is made to be. */
enum craft_link {
    CRAFT_LINK_DEFAULT, /* as the record's kind wants it */
    CRAFT_LINK_NONE,    /* the record has no link */
    CRAFT_LINK_TWICE,
    CRAFT_LINK_NO_CODE,
    CRAFT_LINK_CODE,    /* though its kind has none */
    CRAFT_LINK_DATA,    /* code that is data of the image */
    CRAFT_LINK_FOREIGN, /* code of another library */
    CRAFT_LINK_ASTRAY,  /* its record is no record */
};

struct craft_record {
    const char *text; /* with NULs inside */
    size_t size;
    enum craft_link link;
    uint32_t type;     /* of the note; 0: 1 */
    const char *owner; /* NULL: Berth */
};
/* CRAFT("export=f\0returns=void"): the NUL at the literal's end is part of the record. */
#define CRAFT(literal)                             \
    {                                              \
        .text = (literal), .size = sizeof(literal) \
    }
#define CRAFT_UNIT   CRAFT("unit=\0abi=1\0api=1\0header=0.1.0")
#define CRAFT_MODULE CRAFT("module=crafted\0version=1.0.0\0doc=Made by hand.")

enum craft_option {
    CRAFT_SECTIONS = 1, /* with section headers */
    CRAFT_NO_ENTRY = 2, /* berth_entry is not exported */
    CRAFT_HASH = 4,     /* only the old hash table */
    CRAFT_PLAIN = 8,    /* no versions, thread-local data, constructors, compact relocations */
};

struct craft {
    unsigned char *bytes;
    size_t size;
    /* offsets; 0 for what is not there */
    size_t notes, property, gnu_hash, hash, symbols, strings, versions, needs, definitions, rela,
        relr, calls, text, inits, finis, dynamic, slots, entry, links, sections;
    size_t rela_count;
};

/*
 * Lasts as long as the test. records may be NULL: then one of each kind, as a real module has them.
 */
struct craft *craft_new(const struct craft_record *records, size_t count, unsigned options);

/* Parts of it, to be changed in place. A wrong name aborts the program. */
Elf64_Ehdr *craft_header(struct craft *craft);
Elf64_Phdr *craft_segment(struct craft *craft, uint32_t type, unsigned index);
Elf64_Dyn *craft_dynamic(struct craft *craft, int64_t tag);
Elf64_Sym *craft_symbol(struct craft *craft, const char *name);
Elf64_Rela *craft_relocation(struct craft *craft, uint32_t type, unsigned index);
Elf64_Shdr *craft_section(struct craft *craft, const char *name);

/* In this test's directory. Returns the path. */
const char *craft_write(const struct craft *craft, const char *name);

#endif
