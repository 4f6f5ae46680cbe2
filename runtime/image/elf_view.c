/* SPDX-License-Identifier: MIT */
#include "runtime/image/elf_view.h"

#include "runtime/base/error.h"

#include <stdarg.h>
#include <string.h>

int berth_elf_damaged(struct berth_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    berth_error_set_va(error, BERTH_DATA_LOSS, format, arguments);
    va_end(arguments);
    return berth_error_prefix(error, "damaged: "), BERTH_DATA_LOSS;
}

const void *berth_elf_at(const struct berth_elf_view *view, uint64_t offset, uint64_t size)
{
    if (offset > view->size || size > view->size - offset)
        return NULL;
    return view->bytes + offset;
}

const void *berth_elf_at_address(const struct berth_elf_view *view, uint64_t address, uint64_t size)
{
    for (size_t i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *segment = &view->segments[i];
        uint64_t skip = address - segment->p_vaddr;
        if (segment->p_type == PT_LOAD && segment->p_filesz && address >= segment->p_vaddr &&
            skip <= segment->p_filesz && size <= segment->p_filesz - skip)
            return view->bytes + segment->p_offset + skip;
    }
    return NULL;
}

const Elf64_Phdr *berth_elf_find_segment(const struct berth_elf_view *view, uint32_t type)
{
    for (size_t i = 0; i < view->segment_count; i++)
        if (view->segments[i].p_type == type)
            return &view->segments[i];
    return NULL;
}

const char *berth_elf_string(const struct berth_elf_view *view, uint64_t index)
{
    return index < view->string_size ? view->strings + index : NULL;
}

Elf64_Dyn berth_elf_dynamic(const struct berth_elf_view *view, size_t index)
{
    Elf64_Dyn entry;
    memcpy(&entry, view->dynamic + index * sizeof(entry), sizeof(entry));
    return entry;
}

Elf64_Sym berth_elf_symbol(const struct berth_elf_view *view, uint64_t index)
{
    Elf64_Sym symbol;
    memcpy(&symbol, view->symbols + index * sizeof(symbol), sizeof(symbol));
    return symbol;
}

/* ---- The header ---- */

/* "x86-64", or "machine 243". */
static const char *machine_name(unsigned machine, char number[24])
{
    static const struct {
        unsigned machine;
        const char *name;
    } names[] = {
        { EM_386, "i386" },        { EM_X86_64, "x86-64" }, { EM_ARM, "arm" },
        { EM_AARCH64, "aarch64" }, { EM_RISCV, "riscv" },   { EM_PPC64, "ppc64" },
        { EM_S390, "s390" },       { EM_MIPS, "mips" },
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].machine == machine)
            return names[i].name;

    char *p = number + 23;
    *p = '\0';
    do
        *--p = (char)('0' + machine % 10);
    while (machine /= 10);
    return memcpy(p - 8, "machine ", 8);
}

static int check_machine(const Elf64_Ehdr *header, struct berth_error *error)
{
    char number[24], own[24];
    const char *bits = header->e_ident[EI_CLASS] == ELFCLASS64 ? "" : "32-bit ";

    if (header->e_ident[EI_CLASS] != ELFCLASS64 && header->e_ident[EI_CLASS] != ELFCLASS32)
        return berth_elf_damaged(error, "an ELF file of class %d", header->e_ident[EI_CLASS]);
    if (header->e_ident[EI_DATA] == ELFDATA2MSB)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "made for a big-endian %smachine, this is %s: build it for %s", bits,
                               machine_name(BERTH_ELF_MACHINE, own),
                               machine_name(BERTH_ELF_MACHINE, own));
    if (header->e_machine != BERTH_ELF_MACHINE || bits[0])
        return berth_error_set(
            error, BERTH_INVALID_ARGUMENT, "made for %s%s, this is %s: build it for %s", bits,
            machine_name(header->e_machine, number), machine_name(BERTH_ELF_MACHINE, own),
            machine_name(BERTH_ELF_MACHINE, own));
    return BERTH_OK;
}

static int check_type(const Elf64_Ehdr *header, struct berth_error *error)
{
    const char *what;

    switch (header->e_type) {
    case ET_DYN:
        return BERTH_OK;
    case ET_EXEC:
        what = "an executable";
        break;
    case ET_REL:
        what = "an object file";
        break;
    case ET_CORE:
        what = "a core dump";
        break;
    default:
        return berth_elf_damaged(error, "an ELF file of type %d", header->e_type);
    }
    return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                           "%s, not a shared object: build it with cc -shared -fPIC", what);
}

static int read_header(struct berth_elf_view *view, struct berth_error *error)
{
    Elf64_Ehdr *header = &view->header;

    if (view->size == 0)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "an empty file, not a shared object");
    if (view->size < SELFMAG || memcmp(view->bytes, ELFMAG, SELFMAG) != 0)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "not an ELF file: a module is a shared object (cc -shared -fPIC)");
    if (view->size < sizeof(*header))
        return berth_error_set(error, BERTH_DATA_LOSS,
                               "truncated: %zu bytes are less than an ELF header", view->size);
    memcpy(header, view->bytes, sizeof(*header));

    int code = check_machine(header, error);
    if (!code && (header->e_ident[EI_DATA] != ELFDATA2LSB ||
                  header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT))
        code = berth_elf_damaged(error, "its ELF header is of an unknown version");
    return code ? code : check_type(header, error);
}

/* ---- Segments ---- */

static int check_segment(const Elf64_Phdr *segment, size_t index, struct berth_error *error)
{
    uint64_t end;

    if (segment->p_type != PT_LOAD)
        return BERTH_OK;
    if (segment->p_filesz > segment->p_memsz ||
        __builtin_add_overflow(segment->p_vaddr, segment->p_memsz, &end) || end > INT64_MAX)
        return berth_elf_damaged(error, "segment %zu has impossible addresses", index);
    return BERTH_OK;
}

/* Whether all that the headers speak of is there: the commonest damage is a file cut short. */
static int check_length(const struct berth_elf_view *view, struct berth_error *error)
{
    const Elf64_Ehdr *header = &view->header;
    uint64_t needed = 0, end;
    size_t table = header->e_shoff ? (size_t)header->e_shnum * header->e_shentsize : 0;

    for (size_t i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *segment = &view->segments[i];
        if (__builtin_add_overflow(segment->p_offset, segment->p_filesz, &end))
            return berth_elf_damaged(error, "segment %zu has an impossible offset", i);
        if (segment->p_filesz && end > needed)
            needed = end;
    }
    if (__builtin_add_overflow(header->e_shoff, table, &end))
        return berth_elf_damaged(error, "its section headers have an impossible offset");
    if (table && end > needed)
        needed = end;
    if (needed <= view->size)
        return BERTH_OK;
    return berth_error_set(error, BERTH_DATA_LOSS,
                           "truncated: %llu bytes are missing (it has %zu, its headers speak of "
                           "%llu): copy it again",
                           (unsigned long long)(needed - view->size), view->size,
                           (unsigned long long)needed);
}

static int read_segments(struct berth_elf_view *view, struct berth_error *error)
{
    const Elf64_Ehdr *header = &view->header;
    size_t size = header->e_phnum * sizeof(Elf64_Phdr);

    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
        header->e_phnum > BERTH_ELF_SEGMENTS_MAX)
        return berth_elf_damaged(error, "%d program headers of %d bytes", header->e_phnum,
                                 header->e_phentsize);
    const void *table = berth_elf_at(view, header->e_phoff, size);
    if (!table)
        return berth_error_set(error, BERTH_DATA_LOSS,
                               "truncated: its program headers lie outside of its %zu bytes",
                               view->size);
    memcpy(view->segments, table, size);
    view->segment_count = header->e_phnum;
    for (size_t i = 0; i < view->segment_count; i++) {
        int code = check_segment(&view->segments[i], i, error);
        if (code)
            return code;
    }
    if (!berth_elf_find_segment(view, PT_LOAD))
        return berth_elf_damaged(error, "it loads nothing");
    return check_length(view, error);
}

/* ---- The dynamic table ---- */

static enum berth_elf_tag tag_of(int64_t tag)
{
    static const int64_t tags[BERTH_DT_COUNT] = {
        [BERTH_DT_STRTAB] = DT_STRTAB,
        [BERTH_DT_STRSZ] = DT_STRSZ,
        [BERTH_DT_SYMTAB] = DT_SYMTAB,
        [BERTH_DT_SYMENT] = DT_SYMENT,
        [BERTH_DT_HASH] = DT_HASH,
        [BERTH_DT_GNU_HASH] = DT_GNU_HASH,
        [BERTH_DT_SONAME] = DT_SONAME,
        [BERTH_DT_RPATH] = DT_RPATH,
        [BERTH_DT_RUNPATH] = DT_RUNPATH,
        [BERTH_DT_FLAGS] = DT_FLAGS,
        [BERTH_DT_FLAGS_1] = DT_FLAGS_1,
        [BERTH_DT_SYMBOLIC] = DT_SYMBOLIC,
        [BERTH_DT_TEXTREL] = DT_TEXTREL,
        [BERTH_DT_BIND_NOW] = DT_BIND_NOW,
        [BERTH_DT_RELA] = DT_RELA,
        [BERTH_DT_RELASZ] = DT_RELASZ,
        [BERTH_DT_RELAENT] = DT_RELAENT,
        [BERTH_DT_RELACOUNT] = DT_RELACOUNT,
        [BERTH_DT_REL] = DT_REL,
        [BERTH_DT_RELSZ] = DT_RELSZ,
        [BERTH_DT_RELR] = DT_RELR,
        [BERTH_DT_RELRSZ] = DT_RELRSZ,
        [BERTH_DT_RELRENT] = DT_RELRENT,
        [BERTH_DT_JMPREL] = DT_JMPREL,
        [BERTH_DT_PLTRELSZ] = DT_PLTRELSZ,
        [BERTH_DT_PLTREL] = DT_PLTREL,
        [BERTH_DT_PLTGOT] = DT_PLTGOT,
        [BERTH_DT_INIT] = DT_INIT,
        [BERTH_DT_FINI] = DT_FINI,
        [BERTH_DT_INIT_ARRAY] = DT_INIT_ARRAY,
        [BERTH_DT_INIT_ARRAYSZ] = DT_INIT_ARRAYSZ,
        [BERTH_DT_FINI_ARRAY] = DT_FINI_ARRAY,
        [BERTH_DT_FINI_ARRAYSZ] = DT_FINI_ARRAYSZ,
        [BERTH_DT_PREINIT_ARRAY] = DT_PREINIT_ARRAY,
        [BERTH_DT_VERSYM] = DT_VERSYM,
        [BERTH_DT_VERNEED] = DT_VERNEED,
        [BERTH_DT_VERNEEDNUM] = DT_VERNEEDNUM,
        [BERTH_DT_VERDEF] = DT_VERDEF,
        [BERTH_DT_VERDEFNUM] = DT_VERDEFNUM,
        [BERTH_DT_AUXILIARY] = DT_AUXILIARY,
        [BERTH_DT_FILTER] = DT_FILTER,
    };
    size_t i = 0;

    while (i < BERTH_DT_COUNT && tags[i] != tag)
        i++;
    return (enum berth_elf_tag)i;
}

static int read_dynamic(struct berth_elf_view *view, struct berth_error *error)
{
    const Elf64_Phdr *segment = berth_elf_find_segment(view, PT_DYNAMIC);

    if (!segment)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "a static object, not a shared one: build it with cc -shared -fPIC");
    view->dynamic = berth_elf_at_address(view, segment->p_vaddr, segment->p_filesz);
    if (!view->dynamic || view->dynamic != berth_elf_at(view, segment->p_offset, segment->p_filesz))
        return berth_elf_damaged(error, "its dynamic table is not loaded");

    size_t count = segment->p_filesz / sizeof(Elf64_Dyn);
    for (size_t i = 0; i < count; i++) {
        Elf64_Dyn entry = berth_elf_dynamic(view, i);
        if (entry.d_tag == DT_NULL)
            return BERTH_OK;
        view->dynamic_count = i + 1;
        enum berth_elf_tag tag = tag_of(entry.d_tag);
        if (tag == BERTH_DT_COUNT)
            continue;
        if (view->has[tag])
            return berth_elf_damaged(error, "its dynamic table has tag 0x%llx twice",
                                     (unsigned long long)entry.d_tag);
        view->has[tag] = true;
        view->value[tag] = entry.d_un.d_val;
    }
    return berth_elf_damaged(error, "its dynamic table has no end");
}

static int read_strings(struct berth_elf_view *view, struct berth_error *error)
{
    uint64_t size = view->value[BERTH_DT_STRSZ];

    view->strings = berth_elf_at_address(view, view->value[BERTH_DT_STRTAB], size);
    if (!view->has[BERTH_DT_STRTAB] || !view->strings || size == 0 || view->strings[size - 1])
        return berth_elf_damaged(error, "its table of strings is not whole");
    view->string_size = size;
    return BERTH_OK;
}

/* ---- Symbols: only the hash tables tell how many there are ---- */

static bool read_word(const struct berth_elf_view *view, uint64_t address, uint32_t *ret_word)
{
    const void *at = berth_elf_at_address(view, address, sizeof(*ret_word));
    if (at)
        memcpy(ret_word, at, sizeof(*ret_word));
    return at != NULL;
}

/* The highest index of any chain: from the highest bucket on, to the mark at its chain's end. */
static bool count_gnu_hash(const struct berth_elf_view *view, uint64_t *ret_count)
{
    uint64_t address = view->value[BERTH_DT_GNU_HASH];
    uint32_t head[4]; /* buckets, first hashed symbol, words of the filter, its shift */
    const void *at = berth_elf_at_address(view, address, sizeof(head));

    if (!at)
        return false;
    memcpy(head, at, sizeof(head));
    uint64_t buckets_at = address + sizeof(head) + (uint64_t)head[2] * 8;
    const unsigned char *buckets = berth_elf_at_address(view, buckets_at, (uint64_t)head[0] * 4);
    if (!buckets)
        return false;
    uint32_t last = 0, word;
    for (uint32_t i = 0; i < head[0]; i++) {
        memcpy(&word, buckets + (size_t)i * 4, sizeof(word));
        if (word > last)
            last = word;
    }
    if (last < head[1]) { /* nothing is hashed */
        *ret_count = head[1];
        return last == 0;
    }
    do
        if (!read_word(view, buckets_at + ((uint64_t)head[0] + (last - head[1])) * 4, &word))
            return false;
    while (last++ < UINT32_MAX && !(word & 1));
    *ret_count = last;
    return true;
}

static int read_symbols(struct berth_elf_view *view, struct berth_error *error)
{
    uint64_t by_gnu = 0, by_chains = 0;
    uint32_t chains = 0;

    if (view->has[BERTH_DT_GNU_HASH] && !count_gnu_hash(view, &by_gnu))
        return berth_elf_damaged(error, "its hash table is not whole");
    if (view->has[BERTH_DT_HASH]) {
        if (!read_word(view, view->value[BERTH_DT_HASH] + 4, &chains))
            return berth_elf_damaged(error, "its hash table is not loaded");
        by_chains = chains;
    }
    if (!view->has[BERTH_DT_GNU_HASH] && !view->has[BERTH_DT_HASH])
        return berth_elf_damaged(error, "it has no hash table of symbols");

    view->symbol_count = by_gnu > by_chains ? by_gnu : by_chains;
    if (view->symbol_count <= 1) /* bfd's empty table does not count what is imported */
        return berth_error_set(error, BERTH_NOT_FOUND,
                               "it exports nothing: a module includes <berth/module.h> and says "
                               "BERTH_MODULE(\"name\", \"1.0.0\", \"words\")");
    view->symbols = berth_elf_at_address(view, view->value[BERTH_DT_SYMTAB],
                                         view->symbol_count * sizeof(Elf64_Sym));
    if (!view->symbols || !view->has[BERTH_DT_SYMTAB])
        return berth_elf_damaged(error, "its table of symbols is not whole");
    return BERTH_OK;
}

int berth_elf_view_init(struct berth_elf_view *view, const void *bytes, size_t size,
                        struct berth_error *error)
{
    memset(view, 0, offsetof(struct berth_elf_view, segments));
    memset(&view->dynamic, 0, sizeof(*view) - offsetof(struct berth_elf_view, dynamic));
    view->bytes = bytes;
    view->size = size;

    int code = read_header(view, error);
    if (!code)
        code = read_segments(view, error);
    if (!code)
        code = read_dynamic(view, error);
    if (!code)
        code = read_strings(view, error);
    if (!code)
        code = read_symbols(view, error);
    return code;
}
