/* SPDX-License-Identifier: MIT */
#include "tests/support/craft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <berth/call.h>

#include "tests/support/scratch.h"

#ifndef DT_RELR
#define DT_RELRSZ  35
#define DT_RELR    36
#define DT_RELRENT 37
#define SHT_RELR   19
#endif

#if defined __x86_64__
#define MACHINE      EM_X86_64
#define LIBC_VERSION "GLIBC_2.2.5"
#define PROPERTY     0xc0000002u /* features that all of the code has: none */
#define RETURN_INSN  "\xc3\xc3\xc3\xc3"
#else
#define MACHINE      EM_AARCH64
#define LIBC_VERSION "GLIBC_2.17"
#define PROPERTY     0xc0000000u
#define RETURN_INSN  "\xc0\x03\x5f\xd6"
#endif

#define PAGE    ((size_t)65536) /* more than any machine's */
#define ROOM    ((size_t)1 << 20)
#define SEGMENT 12
#define TEXT    64 /* bytes of code: `return` over and over */

enum { SYMBOL_NONE, SYMBOL_GETPID, SYMBOL_ENTRY, SYMBOL_CODE, SYMBOL_COUNT };

#define RELR_VERSION   "GLIBC_ABI_DT_RELR" /* the loader wants to see that it is known */
#define STRING_RUNPATH "/nowhere:/nor/here"

static const char strings[] = "\0getpid\0berth_entry\0crafted_code\0libc.so.6\0" LIBC_VERSION
                              "\0" RELR_VERSION "\0crafted.so\0CRAFTED_1\0" STRING_RUNPATH;

static uint32_t string(const char *text)
{
    for (size_t i = 0; i < sizeof(strings); i += strlen(strings + i) + 1)
        if (strcmp(strings + i, text) == 0)
            return (uint32_t)i;
    abort();
}

/* ---- Where things go: one after the other, as in a file ---- */

struct maker {
    struct craft *craft;
    size_t bias; /* of addresses against offsets, in this segment */
    unsigned options;
    size_t code_offset;
};

static void *place(struct maker *maker, size_t size, size_t align, size_t *ret_offset)
{
    struct craft *craft = maker->craft;
    size_t offset = (craft->size + align - 1) & ~(align - 1);

    if (offset + size > ROOM)
        abort();
    craft->size = offset + size;
    if (ret_offset)
        *ret_offset = offset;
    return craft->bytes + offset;
}

static uint32_t old_hash(const char *name)
{
    uint32_t hash = 0;
    for (; *name; name++) {
        hash = (hash << 4) + (unsigned char)*name;
        hash ^= hash >> 24 & 0xf0;
        hash &= 0x0fffffff;
    }
    return hash;
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* ---- Notes ---- */

static size_t put_note(struct maker *maker, const char *owner, uint32_t type, const void *text,
                       size_t size, size_t align)
{
    size_t name_size = strlen(owner) + 1, padded = (name_size + 3) & ~(size_t)3, offset;
    unsigned char *at = place(maker, sizeof(Elf64_Nhdr) + padded + size, align, &offset);
    Elf64_Nhdr head = { (uint32_t)name_size, (uint32_t)size, type };

    memcpy(at, &head, sizeof(head));
    memcpy(at + sizeof(head), owner, name_size);
    if (size)
        memcpy(at + sizeof(head) + padded, text, size);
    return offset;
}

/* The property note first, aligned to 8, then one of another owner, then the records. */
static void put_notes(struct maker *maker, const struct craft_record *records, size_t count,
                      size_t *offsets)
{
    const uint32_t property[4] = { PROPERTY, 4, 0, 0 };

    maker->craft->property = put_note(maker, "GNU", 5, property, sizeof(property), 8);
    maker->craft->notes = maker->craft->property;
    put_note(maker, "GNU", 3, "an id of 20 bytes...", 20, 4);
    for (size_t i = 0; i < count; i++)
        offsets[i] =
            put_note(maker, records[i].owner ? records[i].owner : "Berth",
                     records[i].type ? records[i].type : 1, records[i].text, records[i].size, 4);
}

/* ---- Tables ---- */

static void put_hashes(struct maker *maker)
{
    struct craft *craft = maker->craft;
    const uint32_t old[] = { 1, SYMBOL_COUNT, SYMBOL_ENTRY, 0, 0, SYMBOL_CODE, 0 };

    if (!(maker->options & CRAFT_HASH)) {
        const uint32_t head[] = { 1,
                                  SYMBOL_ENTRY,
                                  1,
                                  6,
                                  UINT32_MAX,
                                  UINT32_MAX,
                                  SYMBOL_ENTRY,
                                  gnu_hash("berth_entry") & ~1u,
                                  gnu_hash("crafted_code") | 1u };
        memcpy(place(maker, sizeof(head), 8, &craft->gnu_hash), head, sizeof(head));
    }
    if (maker->options & (CRAFT_HASH | CRAFT_SECTIONS))
        memcpy(place(maker, sizeof(old), 8, &craft->hash), old, sizeof(old));
}

static void put_symbols(struct maker *maker)
{
    struct craft *craft = maker->craft;
    Elf64_Sym *symbols = place(maker, SYMBOL_COUNT * sizeof(*symbols), 8, &craft->symbols);

    symbols[SYMBOL_GETPID] =
        (Elf64_Sym){ .st_name = string("getpid"), .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC) };
    symbols[SYMBOL_ENTRY] = (Elf64_Sym){ .st_name = string("berth_entry"),
                                         .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                                         .st_size = sizeof(struct berth_entry),
                                         .st_shndx = 2 };
    symbols[SYMBOL_CODE] = (Elf64_Sym){ .st_name = string("crafted_code"),
                                        .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                        .st_size = 4,
                                        .st_shndx = 1 };
    memcpy(place(maker, sizeof(strings), 1, &craft->strings), strings, sizeof(strings));
}

/* getpid is libc's; what is our own has a version, too. */
static void put_versions(struct maker *maker)
{
    struct craft *craft = maker->craft;
    const uint16_t versions[SYMBOL_COUNT] = { 0, 2, 3, 3 };
    const struct {
        Elf64_Verneed need;
        Elf64_Vernaux names[2];
    } needs = { { VER_NEED_CURRENT, 2, string("libc.so.6"), sizeof(Elf64_Verneed), 0 },
                { { old_hash(LIBC_VERSION), 0, 2, string(LIBC_VERSION), sizeof(Elf64_Vernaux) },
                  { old_hash(RELR_VERSION), 0, 4, string(RELR_VERSION), 0 } } };
    const struct {
        struct {
            Elf64_Verdef head;
            Elf64_Verdaux name;
        } of[2];
    } definitions = {
        { { { VER_DEF_CURRENT, VER_FLG_BASE, 1, 1, old_hash("crafted.so"), sizeof(Elf64_Verdef),
              sizeof(Elf64_Verdef) + sizeof(Elf64_Verdaux) },
            { string("crafted.so"), 0 } },
          { { VER_DEF_CURRENT, 0, 3, 1, old_hash("CRAFTED_1"), sizeof(Elf64_Verdef), 0 },
            { string("CRAFTED_1"), 0 } } }
    };

    memcpy(place(maker, sizeof(versions), 2, &craft->versions), versions, sizeof(versions));
    memcpy(place(maker, sizeof(needs), 8, &craft->needs), &needs, sizeof(needs));
    memcpy(place(maker, sizeof(definitions), 8, &craft->definitions), &definitions,
           sizeof(definitions));
}

/* ---- Relocations: their number is known before what they are about ---- */

static void relocate(struct craft *craft, uint32_t type, uint32_t symbol, uint64_t offset,
                     uint64_t addend)
{
    Elf64_Rela relocation = { offset, ELF64_R_INFO((uint64_t)symbol, type), (int64_t)addend };
    memcpy(craft->bytes + craft->rela + craft->rela_count++ * sizeof(relocation), &relocation,
           sizeof(relocation));
}

/* ---- Links ---- */

static bool kind_has_code(const char *text)
{
    return !strncmp(text, "export=", 7) || !strncmp(text, "subscribe=", 10) ||
           !strncmp(text, "hook=", 5);
}

static bool kind_has_link(const char *text)
{
    return kind_has_code(text) || !strncmp(text, "unit=", 5) || !strncmp(text, "import=", 7) ||
           !strncmp(text, "topic=", 6);
}

static unsigned link_count(const struct craft_record *record)
{
    if (record->link == CRAFT_LINK_DEFAULT)
        return record->size >= 5 && kind_has_link(record->text);
    return record->link == CRAFT_LINK_NONE ? 0 : record->link == CRAFT_LINK_TWICE ? 2 : 1;
}

static void put_link(struct maker *maker, const struct craft_record *record, uint64_t note)
{
    struct craft *craft = maker->craft;
    size_t offset;
    struct berth_link *link = place(maker, sizeof(*link), 32, &offset);
    uint64_t address = offset + maker->bias;
    bool code = record->size >= 5 && kind_has_code(record->text);

    link->check = BERTH_CHECK_SLOW;
    relocate(craft, CRAFT_RELATIVE, 0, address,
             record->link == CRAFT_LINK_ASTRAY ? note + 4 : note);
    if (record->link == CRAFT_LINK_FOREIGN)
        relocate(craft, CRAFT_ADDRESS, SYMBOL_GETPID, address + 8, 0);
    else if (record->link == CRAFT_LINK_DATA)
        relocate(craft, CRAFT_RELATIVE, 0, address + 8, address);
    else if (record->link == CRAFT_LINK_CODE || (code && record->link != CRAFT_LINK_NO_CODE))
        relocate(craft, CRAFT_RELATIVE, 0, address + 8, craft->text + PAGE);
}

/* ---- Headers ---- */

static void put_dynamic(struct maker *maker)
{
    struct craft *craft = maker->craft;
    bool plain = maker->options & CRAFT_PLAIN;
    Elf64_Dyn table[40];
    size_t n = 0;

#define ENTRY(tag, value)    \
    table[n++] = (Elf64_Dyn) \
    {                        \
        (tag),               \
        {                    \
            (value)          \
        }                    \
    }
    ENTRY(DT_NEEDED, string("libc.so.6"));
    ENTRY(DT_SONAME, string("crafted.so"));
    ENTRY(DT_RUNPATH, string(STRING_RUNPATH));
    if (craft->gnu_hash)
        ENTRY(DT_GNU_HASH, craft->gnu_hash);
    if (craft->hash)
        ENTRY(DT_HASH, craft->hash);
    ENTRY(DT_STRTAB, craft->strings);
    ENTRY(DT_STRSZ, sizeof(strings));
    ENTRY(DT_SYMTAB, craft->symbols);
    ENTRY(DT_SYMENT, sizeof(Elf64_Sym));
    ENTRY(DT_RELA, craft->rela);
    ENTRY(DT_RELASZ, 0);
    ENTRY(DT_RELAENT, sizeof(Elf64_Rela));
    ENTRY(DT_FLAGS, DF_BIND_NOW);
    ENTRY(DT_FLAGS_1, DF_1_NOW);
    if (!plain) {
        ENTRY(DT_INIT, craft->text + PAGE);
        ENTRY(DT_FINI, craft->text + PAGE);
        ENTRY(DT_INIT_ARRAY, craft->inits + maker->bias);
        ENTRY(DT_INIT_ARRAYSZ, 8);
        ENTRY(DT_FINI_ARRAY, craft->finis + maker->bias);
        ENTRY(DT_FINI_ARRAYSZ, 8);
        ENTRY(DT_PLTGOT, craft->slots + maker->bias);
        ENTRY(DT_JMPREL, craft->calls);
        ENTRY(DT_PLTRELSZ, sizeof(Elf64_Rela));
        ENTRY(DT_PLTREL, DT_RELA);
        ENTRY(DT_RELR, craft->relr);
        ENTRY(DT_RELRSZ, 3 * sizeof(uint64_t));
        ENTRY(DT_RELRENT, 8);
        ENTRY(DT_VERSYM, craft->versions);
        ENTRY(DT_VERNEED, craft->needs);
        ENTRY(DT_VERNEEDNUM, 1);
        ENTRY(DT_VERDEF, craft->definitions);
        ENTRY(DT_VERDEFNUM, 2);
    }
    ENTRY(DT_NULL, 0);
#undef ENTRY
    /* Its place was taken when the tables were not all there yet. */
    memcpy(craft->bytes + craft->dynamic, table, n * sizeof(table[0]));
}

#define DYNAMIC_SIZE (40 * sizeof(Elf64_Dyn))

static void put_segments(struct maker *maker, size_t read_end, size_t text_end)
{
    struct craft *craft = maker->craft;
    Elf64_Phdr segments[SEGMENT] = { 0 };
    size_t n = 0, notes_size = craft->gnu_hash ? craft->gnu_hash : craft->hash, bias = maker->bias;

#define SEGMENT_AT(kind, at, add, length, rights, alignment) \
    segments[n++] = (Elf64_Phdr){ .p_type = (kind),          \
                                  .p_flags = (rights),       \
                                  .p_offset = (at),          \
                                  .p_vaddr = (at) + (add),   \
                                  .p_paddr = (at) + (add),   \
                                  .p_filesz = (length),      \
                                  .p_memsz = (length),       \
                                  .p_align = (alignment) }
    SEGMENT_AT(PT_PHDR, sizeof(Elf64_Ehdr), 0, sizeof(segments), PF_R, 8);
    SEGMENT_AT(PT_LOAD, 0, 0, read_end, PF_R, PAGE);
    SEGMENT_AT(PT_LOAD, craft->text, PAGE, text_end - craft->text, PF_R | PF_X, PAGE);
    SEGMENT_AT(PT_LOAD, craft->inits, bias, craft->size - craft->inits, PF_R | PF_W, PAGE);
    segments[n - 1].p_memsz += 64; /* zeros */
    SEGMENT_AT(PT_DYNAMIC, craft->dynamic, bias, DYNAMIC_SIZE, PF_R | PF_W, 8);
    SEGMENT_AT(PT_NOTE, craft->notes, 0, notes_size - craft->notes, PF_R, 4);
    SEGMENT_AT(PT_GNU_PROPERTY, craft->property, 0, 32, PF_R, 8);
    SEGMENT_AT(PT_GNU_STACK, 0, 0, 0, PF_R | PF_W, 16);
    SEGMENT_AT(PT_GNU_RELRO, craft->inits, bias, craft->slots - craft->inits, PF_R, 1);
    SEGMENT_AT(PT_GNU_EH_FRAME, craft->strings, 0, 4, PF_R, 4);
    if (!(maker->options & CRAFT_PLAIN))
        SEGMENT_AT(PT_TLS, craft->slots, bias, 8, PF_R, 8);
#undef SEGMENT_AT
    memcpy(craft->bytes + sizeof(Elf64_Ehdr), segments, sizeof(segments));
    Elf64_Ehdr header = {
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_DYN,
        .e_machine = MACHINE,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)n,
        .e_shentsize = sizeof(Elf64_Shdr),
    };
    segments[0].p_filesz = segments[0].p_memsz = n * sizeof(Elf64_Phdr);
    memcpy(craft->bytes + sizeof(Elf64_Ehdr), segments, sizeof(segments[0]));
    memcpy(craft->bytes, &header, sizeof(header));
}

static const char section_names[] =
    "\0.init\0.data\0.note\0.gnu.hash\0.hash\0.dynsym\0.dynstr\0.versions\0.needs\0.definitions\0"
    ".rela\0.relr\0.calls\0.init_array\0.fini_array\0.dynamic\0.tdata\0.tbss\0.bss\0.fini\0"
    ".strings";

static void put_sections(struct maker *maker)
{
    struct craft *craft = maker->craft;
    size_t bias = maker->bias, end = craft->size, names, n = 0;
    bool plain = maker->options & CRAFT_PLAIN;
    Elf64_Shdr table[24] = { 0 };

    memcpy(place(maker, sizeof(section_names), 1, &names), section_names, sizeof(section_names));
#define SECTION(label, kind, rights, at, add, length, information) \
    do {                                                           \
        size_t name_at = 0;                                        \
        while (strcmp(section_names + name_at, (label)) != 0)      \
            name_at += strlen(section_names + name_at) + 1;        \
        table[n++] = (Elf64_Shdr){ .sh_name = (uint32_t)name_at,   \
                                   .sh_type = (kind),              \
                                   .sh_flags = (rights),           \
                                   .sh_addr = (at) + (add),        \
                                   .sh_offset = (at),              \
                                   .sh_size = (length),            \
                                   .sh_info = (information) };     \
    } while (0)
    SECTION("", SHT_NULL, 0, (size_t)0, 0, 0, 0);
    SECTION(".init", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, craft->text, PAGE, TEXT, 0);
    SECTION(".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, craft->slots, bias, end - craft->slots,
            0);
    SECTION(".note", SHT_NOTE, SHF_ALLOC, craft->notes, 0,
            (craft->gnu_hash ? craft->gnu_hash : craft->hash) - craft->notes, 0);
    if (craft->gnu_hash)
        SECTION(".gnu.hash", SHT_GNU_HASH, SHF_ALLOC, craft->gnu_hash, 0, 36, 0);
    SECTION(".hash", SHT_HASH, SHF_ALLOC, craft->hash, 0, 28, 0);
    SECTION(".dynsym", SHT_DYNSYM, SHF_ALLOC, craft->symbols, 0, SYMBOL_COUNT * sizeof(Elf64_Sym),
            0);
    SECTION(".dynstr", SHT_STRTAB, SHF_ALLOC, craft->strings, 0, sizeof(strings), 0);
    SECTION(".rela", SHT_RELA, SHF_ALLOC, craft->rela, 0, craft->rela_count * sizeof(Elf64_Rela),
            0);
    SECTION(".dynamic", SHT_DYNAMIC, SHF_ALLOC | SHF_WRITE, craft->dynamic, bias, DYNAMIC_SIZE, 0);
    SECTION(".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, end, bias, 64, 0);
    if (!plain) {
        SECTION(".versions", SHT_GNU_versym, SHF_ALLOC, craft->versions, 0, SYMBOL_COUNT * 2, 0);
        SECTION(".needs", SHT_GNU_verneed, SHF_ALLOC, craft->needs, 0, 48, 1);
        SECTION(".definitions", SHT_GNU_verdef, SHF_ALLOC, craft->definitions, 0, 56, 2);
        SECTION(".relr", SHT_RELR, SHF_ALLOC, craft->relr, 0, 24, 0);
        SECTION(".calls", SHT_RELA, SHF_ALLOC, craft->calls, 0, sizeof(Elf64_Rela), 0);
        SECTION(".init_array", SHT_INIT_ARRAY, SHF_ALLOC | SHF_WRITE, craft->inits, bias, 8, 0);
        SECTION(".fini_array", SHT_FINI_ARRAY, SHF_ALLOC | SHF_WRITE, craft->finis, bias, 8, 0);
        SECTION(".tdata", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE | SHF_TLS, craft->slots, bias, 8, 0);
        SECTION(".tbss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE | SHF_TLS, craft->slots, bias, 8, 0);
        SECTION(".fini", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, craft->text, PAGE, TEXT, 0);
    } else {
        table[1].sh_name = 0; /* it has no DT_INIT */
    }
    SECTION(".strings", SHT_STRTAB, 0, names, 0, sizeof(section_names), 0);
#undef SECTION
    memcpy(place(maker, n * sizeof(table[0]), 8, &craft->sections), table, n * sizeof(table[0]));
    craft_header(craft)->e_shoff = craft->sections;
    craft_header(craft)->e_shnum = (Elf64_Half)n;
    craft_header(craft)->e_shstrndx = (Elf64_Half)(n - 1);
}

/* ---- The whole ---- */

static const struct craft_record ordinary[] = {
    CRAFT_UNIT,
    CRAFT_MODULE,
    CRAFT("requires=log\0range=^1.2"),
    CRAFT("concurrency=parallel"),
    CRAFT("option=limit\0type=i64\0default=1000\0doc=A limit."),
    CRAFT("option=list\0type=array(point)\0default=([{\"x\":1,\"y\":2.5}])\0doc=Points."),
    CRAFT("struct=point\0field=f64:x:across\0field=f64:y:"),
    CRAFT("handle=cursor\0release=close\0doc=A place."),
    CRAFT("handle=store_row\0of=store.row"),
    CRAFT("export=close\0returns=void\0doc=Ends one.\0param=cursor:cursor:"),
    CRAFT("export=add\0returns=point\0doc=Adds.\0param=point:a:one\0param=optional(point):b:"),
    CRAFT("import=log.write\0returns=void\0param=string:text:"),
    CRAFT("topic=crafted.made\0name=made\0param=i64:count:"),
    CRAFT("subscribe=clock.>\0handler=on_tick\0param=i64:ns:"),
    CRAFT("subscribe=a.*.b\0handler=on_any\0any=1\0param=string:topic:\0param=json:fields:"),
    CRAFT("hook=start"),
    CRAFT("hook=stop"),
    CRAFT("hook=save\0version=3"),
    CRAFT("hook=restore\0param=u32:version:\0param=bytes:state:"),
    CRAFT("colour=blue\0shade=dark"),
};

/* Words of data: the thread-local one, and what relocations fill in. */
enum { SLOT_TLS, SLOT_RELR, SLOT_DATA, SLOT_CALL, SLOT_ADDRESS, SLOT_MODULE, SLOT_COUNT };

#define COMPACT_SIZE (3 * sizeof(uint64_t))

/* The constructor's slot, and one further on, which the maps of 63 words each tell. */
static void put_compact(struct maker *maker, uint64_t slots)
{
    struct craft *craft = maker->craft;
    uint64_t compact[3] = { craft->inits + maker->bias, 1, 1 };
    uint64_t further = (slots + 8 * SLOT_RELR - compact[0]) / 8 - 1;
    uint64_t code = craft->text + PAGE;

    compact[1 + further / 63] |= (uint64_t)1 << (further % 63 + 1);
    memcpy(craft->bytes + craft->relr, compact, sizeof(compact));
    memcpy(craft->bytes + craft->inits, &code, sizeof(code));
    memcpy(craft->bytes + craft->slots + 8 * SLOT_RELR, &slots, sizeof(slots));
}

static void put_data(struct maker *maker)
{
    struct craft *craft = maker->craft;
    uint64_t slots = craft->slots + maker->bias;

    relocate(craft, CRAFT_SLOT, SYMBOL_GETPID, slots + 8 * SLOT_DATA, 0);
    if (maker->options & CRAFT_PLAIN)
        return;
    relocate(craft, CRAFT_ADDRESS, SYMBOL_CODE, slots + 8 * SLOT_ADDRESS, 0);
    relocate(craft, CRAFT_TLS_MODULE, 0, slots + 8 * SLOT_MODULE, 0);
    relocate(craft, CRAFT_ADDRESS, SYMBOL_CODE, craft->finis + maker->bias, 0);
    Elf64_Rela call = { slots + 8 * SLOT_CALL,
                        (int64_t)ELF64_R_INFO((uint64_t)SYMBOL_GETPID, CRAFT_CALL), 0 };
    memcpy(craft->bytes + craft->calls, &call, sizeof(call));
    put_compact(maker, slots);
}

struct craft *craft_new(const struct craft_record *records, size_t count, unsigned options)
{
    struct craft *craft = berth_test_alloc(sizeof(*craft));
    struct maker maker = { .craft = craft, .options = options };

    if (!records) {
        records = ordinary;
        count = sizeof(ordinary) / sizeof(ordinary[0]);
    }
    size_t *notes = berth_test_alloc((count + 1) * sizeof(*notes)), links = 0;
    craft->bytes = berth_test_alloc(ROOM + 64);
    craft->bytes += -(uintptr_t)craft->bytes & 63; /* structs are written in place */
    craft->size = sizeof(Elf64_Ehdr) + SEGMENT * sizeof(Elf64_Phdr);
    for (size_t i = 0; i < count; i++)
        links += link_count(&records[i]);

    put_notes(&maker, records, count, notes);
    put_hashes(&maker);
    put_symbols(&maker);
    if (!(options & CRAFT_PLAIN))
        put_versions(&maker);
    place(&maker, (2 * links + 8) * sizeof(Elf64_Rela), 8, &craft->rela);
    if (!(options & CRAFT_PLAIN)) {
        place(&maker, sizeof(Elf64_Rela), 8, &craft->calls);
        place(&maker, COMPACT_SIZE, 8, &craft->relr);
    }
    size_t read_end = craft->size;
    char *text = place(&maker, TEXT, 16, &craft->text);
    for (size_t i = 0; i < TEXT; i += 4)
        memcpy(text + i, RETURN_INSN, 4);
    size_t text_end = craft->size;

    maker.bias = 2 * PAGE;
    place(&maker, 8, 32, &craft->inits);
    place(&maker, 8, 8, &craft->finis);
    place(&maker, DYNAMIC_SIZE, 8, &craft->dynamic);
    place(&maker, SLOT_COUNT * 8, 8, &craft->slots);
    struct berth_entry *entry = place(&maker, sizeof(*entry), 8, &craft->entry);
    craft->links = (craft->size + 31) & ~(size_t)31;
    *entry = (struct berth_entry){ sizeof(*entry), BERTH_ABI, NULL, NULL };
    uint64_t at = craft->entry + maker.bias;
    relocate(craft, CRAFT_RELATIVE, 0, at + 8, craft->links + maker.bias);
    relocate(craft, CRAFT_RELATIVE, 0, at + 16, craft->links + maker.bias + links * 32);
    for (size_t i = 0; i < count; i++)
        for (unsigned j = 0; j < link_count(&records[i]); j++)
            put_link(&maker, &records[i], notes[i]);
    place(&maker, 0, 32, NULL);
    put_data(&maker);

    Elf64_Sym *symbols = (Elf64_Sym *)(void *)(craft->bytes + craft->symbols);
    symbols[SYMBOL_ENTRY].st_value = at;
    symbols[SYMBOL_CODE].st_value = craft->text + PAGE;
    put_segments(&maker, read_end, text_end);
    put_dynamic(&maker);
    craft_dynamic(craft, DT_RELASZ)->d_un.d_val = craft->rela_count * sizeof(Elf64_Rela);
    if (options & CRAFT_NO_ENTRY)
        symbols[SYMBOL_ENTRY].st_other = STV_HIDDEN;
    if (options & CRAFT_SECTIONS)
        put_sections(&maker);
    return craft;
}

/* ---- Its parts ---- */

Elf64_Ehdr *craft_header(struct craft *craft)
{
    return (Elf64_Ehdr *)(void *)craft->bytes;
}

Elf64_Phdr *craft_segment(struct craft *craft, uint32_t type, unsigned index)
{
    Elf64_Phdr *segment = (Elf64_Phdr *)(void *)(craft->bytes + sizeof(Elf64_Ehdr));
    for (unsigned i = 0; i < craft_header(craft)->e_phnum; i++)
        if (segment[i].p_type == type && index-- == 0)
            return &segment[i];
    abort();
}

Elf64_Dyn *craft_dynamic(struct craft *craft, int64_t tag)
{
    Elf64_Dyn *entry = (Elf64_Dyn *)(void *)(craft->bytes + craft->dynamic);
    for (; entry->d_tag != tag; entry++)
        if (entry->d_tag == DT_NULL)
            abort();
    return entry;
}

Elf64_Sym *craft_symbol(struct craft *craft, const char *name)
{
    Elf64_Sym *symbols = (Elf64_Sym *)(void *)(craft->bytes + craft->symbols);
    for (unsigned i = 0; i < SYMBOL_COUNT; i++)
        if (strcmp((char *)craft->bytes + craft->strings + symbols[i].st_name, name) == 0)
            return &symbols[i];
    abort();
}

Elf64_Rela *craft_relocation(struct craft *craft, uint32_t type, unsigned index)
{
    Elf64_Rela *table = (Elf64_Rela *)(void *)(craft->bytes + craft->rela);
    for (size_t i = 0; i < craft->rela_count; i++)
        if (ELF64_R_TYPE(table[i].r_info) == type && index-- == 0)
            return &table[i];
    abort();
}

Elf64_Shdr *craft_section(struct craft *craft, const char *name)
{
    Elf64_Shdr *table = (Elf64_Shdr *)(void *)(craft->bytes + craft->sections);
    const Elf64_Shdr *names = &table[craft_header(craft)->e_shstrndx];
    for (unsigned i = 1; i < craft_header(craft)->e_shnum; i++)
        if (strcmp((char *)craft->bytes + names->sh_offset + table[i].sh_name, name) == 0)
            return &table[i];
    abort();
}

const char *craft_write(const struct craft *craft, const char *name)
{
    const char *path = berth_test_format("%s/%s", berth_test_dir(), name);
    berth_test_write(path, craft->bytes, craft->size);
    return path;
}
