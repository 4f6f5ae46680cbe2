/* SPDX-License-Identifier: MIT */
/*
 * What the dynamic loader believes without looking, looked at. The order is that of glibc's
 * dlopen: segments, dynamic table, versions, relocations, functions that run at load and unload.
 * What cannot be known is whether code and data are what the compiler made: only a hash could tell
 * that.
 */
#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/image/elf.h"
#include "runtime/image/elf_sections.h"
#include "runtime/image/elf_view.h"

#include <string.h>
#include <unistd.h>

#define SPAN_MAX  ((uint64_t)1 << 32) /* from the first to the last byte loaded */
#define ALIGN_MAX ((uint64_t)1 << 30)
#define TLS_MAX   ((uint64_t)1 << 28)

struct check {
    const struct berth_elf_view *view;
    const struct berth_elf *elf;
    struct berth_error *error;
    uint64_t page;
    unsigned char *claimed; /* a bit for each aligned word of the file that a relocation fills */
    uint64_t inits, finis;  /* slots of the two arrays that a relocation gives a function */
    unsigned highest_version, versions; /* how many are spoken of */
};

#define VERSIONS_MAX 0x7fff /* so many numbers there are */

static bool power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

/* The segment that loads size bytes at an address, from the file or as zeros. */
static const Elf64_Phdr *load_of(const struct check *check, uint64_t address, uint64_t size)
{
    for (size_t i = 0; i < check->view->segment_count; i++) {
        const Elf64_Phdr *segment = &check->view->segments[i];
        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
            address - segment->p_vaddr <= segment->p_memsz &&
            size <= segment->p_memsz - (address - segment->p_vaddr))
            return segment;
    }
    return NULL;
}

static bool is_code(const struct check *check, uint64_t address)
{
    const Elf64_Phdr *segment = load_of(check, address, 1);
    return segment && (segment->p_flags & PF_X) && address - segment->p_vaddr < segment->p_filesz;
}

static uint64_t value(const struct check *check, enum berth_elf_tag tag)
{
    return check->view->value[tag];
}

static bool has(const struct check *check, enum berth_elf_tag tag)
{
    return check->view->has[tag];
}

/* Whether a segment is where its offset says, inside of one that is loaded. */
static bool is_loaded(const struct check *check, const Elf64_Phdr *segment)
{
    const void *at = berth_elf_at_address(check->view, segment->p_vaddr, segment->p_filesz);
    return at && at == berth_elf_at(check->view, segment->p_offset, segment->p_filesz);
}

/* ---- Segments ---- */

/* How far the segments before reach, in memory (whole pages) and in the file. */
struct reach {
    uint64_t address, offset;
};

static int check_load(const struct check *check, const Elf64_Phdr *segment, struct reach *reach)
{
    uint64_t low = segment->p_vaddr & ~(check->page - 1);

    if (!power_of_two(segment->p_align) || segment->p_align < check->page ||
        segment->p_align > ALIGN_MAX ||
        ((segment->p_vaddr - segment->p_offset) & (segment->p_align - 1)))
        return berth_elf_damaged(check->error, "a segment is not aligned to the machine's pages");
    if (low < reach->address || segment->p_memsz == 0 ||
        (segment->p_filesz && segment->p_offset < reach->offset))
        return berth_elf_damaged(check->error, "its segments overlap or are not in order");
    reach->address = (segment->p_vaddr + segment->p_memsz + check->page - 1) & ~(check->page - 1);
    reach->offset = segment->p_offset + segment->p_filesz;
    if (reach->address - check->elf->low > SPAN_MAX)
        return berth_elf_damaged(check->error, "its segments are too far apart");
    if (!(segment->p_flags & PF_R) || (segment->p_flags & ~(Elf64_Word)(PF_R | PF_W | PF_X)))
        return berth_elf_damaged(check->error, "a segment cannot be read");
    if ((segment->p_flags & PF_W) && (segment->p_flags & PF_X))
        return berth_error_set(check->error, BERTH_FAILED_PRECONDITION,
                               "a segment is both writable and executable: link without -N and "
                               "without sections that are both");
    if (!(segment->p_flags & PF_W) && segment->p_filesz != segment->p_memsz)
        return berth_elf_damaged(check->error, "a read-only segment is longer than its content");
    return BERTH_OK;
}

static int check_tls(const struct check *check, const Elf64_Phdr *segment)
{
    if (segment->p_filesz > segment->p_memsz || segment->p_memsz > TLS_MAX ||
        segment->p_align > check->page || (segment->p_align && !power_of_two(segment->p_align)) ||
        (segment->p_filesz && !is_loaded(check, segment)))
        return berth_elf_damaged(check->error, "its thread-local data are not loaded");
    return BERTH_OK;
}

/* The loader makes whole pages of it read-only; what the file has nothing of is never among it. */
static int check_relro(const struct check *check, const Elf64_Phdr *segment)
{
    const Elf64_Phdr *load = load_of(check, segment->p_vaddr, 1);

    if (load && (load->p_flags & PF_W) && segment->p_memsz < SPAN_MAX) {
        uint64_t end = segment->p_vaddr + segment->p_memsz;
        uint64_t pages = (load->p_vaddr + load->p_filesz + check->page - 1) & ~(check->page - 1);
        if (end <= pages)
            return BERTH_OK;
    }
    return berth_elf_damaged(check->error, "what is read-only after relocation is not loaded");
}

static int check_segment(const struct check *check, const Elf64_Phdr *segment)
{
    const struct berth_elf_view *view = check->view;
    size_t notes = 0;

    switch (segment->p_type) {
    case PT_DYNAMIC:
        if (segment->p_vaddr % 8 == 0 && segment->p_filesz == segment->p_memsz)
            return BERTH_OK;
        break;
    case PT_PHDR:
        if (berth_elf_at_address(view, segment->p_vaddr,
                                 view->segment_count * sizeof(Elf64_Phdr)) ==
            view->bytes + view->header.e_phoff)
            return BERTH_OK;
        break;
    case PT_TLS:
        return check_tls(check, segment);
    case PT_GNU_RELRO:
        return check_relro(check, segment);
    case PT_NOTE: /* walked by the reader */
    case PT_GNU_EH_FRAME:
        if (segment->p_filesz == segment->p_memsz && is_loaded(check, segment))
            return BERTH_OK;
        break;
    case PT_GNU_PROPERTY:
        if (segment->p_filesz == segment->p_memsz && is_loaded(check, segment))
            return berth_elf_read_notes(view->bytes + segment->p_offset, segment->p_filesz,
                                        segment->p_vaddr, NULL, &notes, check->error);
        break;
    default:
        return BERTH_OK;
    }
    return berth_elf_damaged(check->error, "segment %td, of type 0x%x, is not loaded",
                             segment - view->segments, segment->p_type);
}

static int check_segments(const struct check *check)
{
    static const uint32_t single[] = { PT_DYNAMIC, PT_PHDR, PT_TLS, PT_GNU_RELRO, PT_GNU_STACK };
    const struct berth_elf_view *view = check->view;
    struct reach reach = { 0 };
    int code = BERTH_OK;

    for (size_t i = 0; i < view->segment_count && !code; i++) {
        const Elf64_Phdr *segment = &view->segments[i];
        for (size_t j = 0; j < sizeof(single) / sizeof(single[0]); j++)
            if (segment->p_type == single[j] && berth_elf_find_segment(view, single[j]) != segment)
                return berth_elf_damaged(check->error, "two segments of type 0x%x", single[j]);
        code = segment->p_type == PT_LOAD ? check_load(check, segment, &reach)
                                          : check_segment(check, segment);
    }
    if (!code && check->elf->executable_stack)
        code = berth_error_set(check->error, BERTH_FAILED_PRECONDITION,
                               "it wants an executable stack: link it with -z noexecstack");
    return code;
}

/* ---- The dynamic table ---- */

/* Entries that the loader uses together: all of a row are there, or none. */
static int check_pairs(const struct check *check)
{
    static const struct {
        const char *what;
        enum berth_elf_tag tags[3];
    } rows[] = {
        { "relocations", { BERTH_DT_RELA, BERTH_DT_RELASZ, BERTH_DT_RELAENT } },
        { "relative relocations", { BERTH_DT_RELR, BERTH_DT_RELRSZ, BERTH_DT_RELRENT } },
        { "relocations of calls", { BERTH_DT_JMPREL, BERTH_DT_PLTRELSZ, BERTH_DT_PLTREL } },
        { "constructors", { BERTH_DT_INIT_ARRAY, BERTH_DT_INIT_ARRAYSZ, BERTH_DT_INIT_ARRAYSZ } },
        { "destructors", { BERTH_DT_FINI_ARRAY, BERTH_DT_FINI_ARRAYSZ, BERTH_DT_FINI_ARRAYSZ } },
        { "needed versions", { BERTH_DT_VERNEED, BERTH_DT_VERNEEDNUM, BERTH_DT_VERNEEDNUM } },
        { "own versions", { BERTH_DT_VERDEF, BERTH_DT_VERDEFNUM, BERTH_DT_VERDEFNUM } },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const enum berth_elf_tag *tags = rows[i].tags;
        if (has(check, tags[0]) != has(check, tags[1]) ||
            has(check, tags[0]) != has(check, tags[2]))
            return berth_elf_damaged(check->error, "its dynamic table tells of %s only half",
                                     rows[i].what);
    }
    if (has(check, BERTH_DT_VERSYM) !=
        (has(check, BERTH_DT_VERNEED) || has(check, BERTH_DT_VERDEF)))
        return berth_elf_damaged(check->error, "its dynamic table tells of versions only half");
    return BERTH_OK;
}

static int check_dynamic(const struct check *check)
{
    if ((has(check, BERTH_DT_RELA) && value(check, BERTH_DT_RELAENT) != sizeof(Elf64_Rela)) ||
        (has(check, BERTH_DT_RELR) && value(check, BERTH_DT_RELRENT) != sizeof(uint64_t)) ||
        (has(check, BERTH_DT_JMPREL) && value(check, BERTH_DT_PLTREL) != DT_RELA) ||
        (has(check, BERTH_DT_SYMENT) && value(check, BERTH_DT_SYMENT) != sizeof(Elf64_Sym)))
        return berth_elf_damaged(check->error, "its tables have entries of an unknown size");
    if (has(check, BERTH_DT_REL) || has(check, BERTH_DT_RELSZ))
        return berth_elf_damaged(check->error, "it has relocations of a kind not used here");
    if (has(check, BERTH_DT_AUXILIARY) || has(check, BERTH_DT_FILTER))
        return berth_error_set(check->error, BERTH_UNIMPLEMENTED,
                               "it is a filter of another library: link it without -f and -F");
    if (value(check, BERTH_DT_FLAGS_1) & DF_1_NOOPEN)
        return berth_error_set(check->error, BERTH_FAILED_PRECONDITION,
                               "it refuses to be loaded: link it without -z nodlopen");
    if (check->elf->text_relocations)
        return berth_error_set(check->error, BERTH_FAILED_PRECONDITION,
                               "its code must be changed to be loaded: compile it with -fPIC");
    return check_pairs(check);
}

/* ---- Symbols and hash tables ---- */

static bool symbol_is_sound(const struct check *check, const Elf64_Sym *symbol)
{
    const struct berth_elf *elf = check->elf;
    unsigned type = ELF64_ST_TYPE(symbol->st_info), binding = ELF64_ST_BIND(symbol->st_info);
    unsigned sections = check->view->header.e_shnum;

    if (binding > STB_WEAK && binding != STB_GNU_UNIQUE)
        return false;
    if (symbol->st_shndx == SHN_UNDEF)
        return binding != STB_LOCAL && symbol->st_value == 0 &&
               ELF64_ST_VISIBILITY(symbol->st_other) == STV_DEFAULT;
    if (sections && symbol->st_shndx >= sections && symbol->st_shndx < SHN_LORESERVE)
        return false;
    switch (type) {
    case STT_FUNC:
    case STT_GNU_IFUNC:
        return symbol->st_shndx != SHN_ABS && is_code(check, symbol->st_value);
    case STT_TLS:
        return symbol->st_value <= elf->tls_size;
    case STT_NOTYPE:
    case STT_OBJECT:
    case STT_SECTION:
    case STT_COMMON:
        return symbol->st_shndx == SHN_ABS ||
               (symbol->st_value > elf->low && symbol->st_value <= elf->high);
    default:
        return false;
    }
}

static int check_symbols(const struct check *check)
{
    for (uint64_t i = 1; i < check->view->symbol_count; i++) {
        Elf64_Sym symbol = berth_elf_symbol(check->view, i);
        if (!symbol_is_sound(check, &symbol))
            return berth_elf_damaged(check->error, "the symbol %s is not where it says",
                                     berth_elf_string(check->view, symbol.st_name));
    }
    return BERTH_OK;
}

static uint32_t word_at(const unsigned char *words, uint64_t index)
{
    uint32_t word;
    memcpy(&word, words + index * sizeof(word), sizeof(word));
    return word;
}

/* The reader has followed the highest chain to its end; all others end before. */
static bool gnu_hash_is_sound(const struct check *check)
{
    uint64_t address = value(check, BERTH_DT_GNU_HASH);
    const unsigned char *head = berth_elf_at_address(check->view, address, 16);
    uint64_t buckets = word_at(head, 0), first = word_at(head, 1), filter = word_at(head, 2);
    const unsigned char *words =
        berth_elf_at_address(check->view, address + 16 + filter * 8, buckets * 4);

    if (address % 8 || !power_of_two(filter) || word_at(head, 3) > 31)
        return false;
    for (uint64_t i = 0; i < buckets; i++) {
        uint32_t bucket = word_at(words, i);
        if (bucket && (bucket < first || bucket >= check->view->symbol_count))
            return false;
    }
    return true;
}

/* Each symbol is in one chain, so that all of them together are not longer than the table. */
static bool hash_is_sound(const struct check *check)
{
    uint64_t address = value(check, BERTH_DT_HASH), steps = 0;
    const unsigned char *head = berth_elf_at_address(check->view, address, 8);

    if (!head || address % 4)
        return false;
    uint64_t buckets = word_at(head, 0), chains = word_at(head, 1);
    const unsigned char *words =
        berth_elf_at_address(check->view, address, (2 + buckets + chains) * 4);
    if (!words)
        return false;
    for (uint64_t i = 0; i < buckets; i++)
        for (uint32_t at = word_at(words, 2 + i); at; at = word_at(words, 2 + buckets + at))
            if (at >= chains || ++steps > chains)
                return false;
    return true;
}

static int check_hashes(const struct check *check)
{
    if ((has(check, BERTH_DT_GNU_HASH) && !gnu_hash_is_sound(check)) ||
        (has(check, BERTH_DT_HASH) && !hash_is_sound(check)))
        return berth_elf_damaged(check->error, "its hash table of symbols leads astray");
    return BERTH_OK;
}

/* ---- Versions: lists of offsets that the loader follows until one is 0 ---- */

/* Lists may share their tails: what is bounded is how many steps they take together. */
static bool note_version(struct check *check, unsigned version)
{
    version &= VERSIONS_MAX;
    if (version > check->highest_version)
        check->highest_version = version;
    return ++check->versions <= VERSIONS_MAX;
}

static bool is_needed(const struct check *check, const char *name)
{
    for (size_t i = 0; name && i < check->elf->needed_count; i++)
        if (strcmp(check->elf->needed[i], name) == 0)
            return true;
    return false;
}

/* The next offset is 0 at the end of a list, and only there. */
static bool is_link(uint32_t next, size_t size, bool last)
{
    return last ? next == 0 : next >= size && next % 4 == 0;
}

static bool need_is_sound(struct check *check, uint64_t address, const Elf64_Verneed *need)
{
    address += need->vn_aux;
    for (unsigned i = 0; i < need->vn_cnt; i++) {
        Elf64_Vernaux aux;
        const void *at = berth_elf_at_address(check->view, address, sizeof(aux));
        if (!at)
            return false;
        memcpy(&aux, at, sizeof(aux));
        if (!berth_elf_string(check->view, aux.vna_name) ||
            !is_link(aux.vna_next, sizeof(aux), i + 1u == need->vn_cnt) ||
            !note_version(check, aux.vna_other))
            return false;
        address += aux.vna_next;
    }
    return need->vn_version == VER_NEED_CURRENT && need->vn_cnt &&
           is_needed(check, berth_elf_string(check->view, need->vn_file));
}

static bool needs_are_sound(struct check *check)
{
    uint64_t address = value(check, BERTH_DT_VERNEED), count = value(check, BERTH_DT_VERNEEDNUM);

    for (uint64_t i = 0; i < count; i++) {
        Elf64_Verneed need;
        const void *at = berth_elf_at_address(check->view, address, sizeof(need));
        if (!at)
            return false;
        memcpy(&need, at, sizeof(need));
        if (!need_is_sound(check, address, &need) ||
            !is_link(need.vn_next, sizeof(need), i + 1 == count))
            return false;
        address += need.vn_next;
    }
    return count != 0;
}

static bool definitions_are_sound(struct check *check)
{
    uint64_t address = value(check, BERTH_DT_VERDEF), count = value(check, BERTH_DT_VERDEFNUM);

    for (uint64_t i = 0; i < count; i++) {
        Elf64_Verdef definition;
        Elf64_Verdaux aux;
        const void *at = berth_elf_at_address(check->view, address, sizeof(definition));
        if (!at)
            return false;
        memcpy(&definition, at, sizeof(definition));
        const void *name =
            berth_elf_at_address(check->view, address + definition.vd_aux, sizeof(aux));
        if (!name)
            return false;
        memcpy(&aux, name, sizeof(aux));
        if (definition.vd_version != VER_DEF_CURRENT || !definition.vd_cnt ||
            !berth_elf_string(check->view, aux.vda_name) ||
            !is_link(definition.vd_next, sizeof(definition), i + 1 == count) ||
            !note_version(check, definition.vd_ndx))
            return false;
        address += definition.vd_next;
    }
    return count != 0;
}

static int check_versions(struct check *check)
{
    const struct berth_elf_view *view = check->view;

    if (!has(check, BERTH_DT_VERSYM))
        return BERTH_OK;
    if ((has(check, BERTH_DT_VERNEED) && !needs_are_sound(check)) ||
        (has(check, BERTH_DT_VERDEF) && !definitions_are_sound(check)))
        return berth_elf_damaged(check->error, "its lists of versions lead astray");
    const unsigned char *versions =
        berth_elf_at_address(view, value(check, BERTH_DT_VERSYM), view->symbol_count * 2);
    for (uint64_t i = 0; i < view->symbol_count; i++) {
        uint16_t version = 0;
        if (versions)
            memcpy(&version, versions + i * 2, sizeof(version));
        if (!versions || (version & VERSIONS_MAX) > check->highest_version)
            return berth_elf_damaged(check->error, "symbol %llu has a version out of range",
                                     (unsigned long long)i);
    }
    return BERTH_OK;
}

/* ---- Relocations ---- */

enum relocation {
    RELOCATION_NONE,
    RELOCATION_RELATIVE,  /* base + addend */
    RELOCATION_IRELATIVE, /* calls base + addend */
    RELOCATION_ADDRESS,   /* a symbol + addend */
    RELOCATION_SLOT,      /* a symbol, in the table of addresses */
    RELOCATION_TLS,       /* module, or offset in it */
    RELOCATION_TLS_STATIC,
    RELOCATION_TLS_DESCRIPTOR,
    RELOCATION_UNKNOWN,
};

static enum relocation relocation_of(uint32_t type)
{
    switch (type) {
#if defined __x86_64__
    case R_X86_64_NONE:
        return RELOCATION_NONE;
    case R_X86_64_RELATIVE:
        return RELOCATION_RELATIVE;
    case R_X86_64_IRELATIVE:
        return RELOCATION_IRELATIVE;
    case R_X86_64_64:
        return RELOCATION_ADDRESS;
    case R_X86_64_GLOB_DAT:
    case R_X86_64_JUMP_SLOT:
        return RELOCATION_SLOT;
    case R_X86_64_DTPMOD64:
    case R_X86_64_DTPOFF64:
        return RELOCATION_TLS;
    case R_X86_64_TPOFF64:
        return RELOCATION_TLS_STATIC;
    case R_X86_64_TLSDESC:
        return RELOCATION_TLS_DESCRIPTOR;
#else
    case R_AARCH64_NONE:
        return RELOCATION_NONE;
    case R_AARCH64_RELATIVE:
        return RELOCATION_RELATIVE;
    case R_AARCH64_IRELATIVE:
        return RELOCATION_IRELATIVE;
    case R_AARCH64_ABS64:
        return RELOCATION_ADDRESS;
    case R_AARCH64_GLOB_DAT:
    case R_AARCH64_JUMP_SLOT:
        return RELOCATION_SLOT;
    case R_AARCH64_TLS_DTPMOD:
    case R_AARCH64_TLS_DTPREL:
        return RELOCATION_TLS;
    case R_AARCH64_TLS_TPREL:
        return RELOCATION_TLS_STATIC;
    case R_AARCH64_TLSDESC:
        return RELOCATION_TLS_DESCRIPTOR;
#endif
    default:
        return RELOCATION_UNKNOWN;
    }
}

/*
 * Whether an address is a slot of the array of constructors or destructors, and which count it is.
 */
static uint64_t *slot_of(struct check *check, uint64_t address)
{
    uint64_t init = address - value(check, BERTH_DT_INIT_ARRAY);
    uint64_t fini = address - value(check, BERTH_DT_FINI_ARRAY);

    if (init < value(check, BERTH_DT_INIT_ARRAYSZ))
        return &check->inits;
    if (fini < value(check, BERTH_DT_FINI_ARRAYSZ))
        return &check->finis;
    return NULL;
}

/* A relocation writes size bytes at an address: data of the file, its own, and not the loader's. */
static bool claim(struct check *check, uint64_t address, uint64_t size)
{
    const struct berth_elf_view *view = check->view;
    const unsigned char *at = berth_elf_at_address(view, address, size);
    const Elf64_Phdr *dynamic = berth_elf_find_segment(view, PT_DYNAMIC);

    if (!at || !(load_of(check, address, size)->p_flags & PF_W))
        return false;
    if (address + size > dynamic->p_vaddr && address < dynamic->p_vaddr + dynamic->p_memsz)
        return false;
    uint64_t first = (uint64_t)(at - view->bytes) / 8;
    for (uint64_t word = first; address % 8 == 0 && word < first + size / 8; word++) {
        if (check->claimed[word / 8] & (1u << word % 8))
            return false;
        check->claimed[word / 8] |= (unsigned char)(1u << word % 8);
    }
    return true;
}

/* A function of an array, where a relocation writes base + value. */
static bool fill_slot(struct check *check, uint64_t address, uint64_t code)
{
    uint64_t *slots = slot_of(check, address);

    if (!slots)
        return true;
    ++*slots;
    return address % 8 == 0 && is_code(check, code);
}

static bool symbol_suits(const struct check *check, enum relocation kind, const Elf64_Sym *symbol)
{
    bool defined = symbol->st_shndx != SHN_UNDEF;
    bool tls = ELF64_ST_TYPE(symbol->st_info) == STT_TLS;

    if (kind == RELOCATION_ADDRESS || kind == RELOCATION_SLOT)
        return !tls;
    return !defined || (tls && check->elf->tls_size);
}

static bool symbolic_is_sound(struct check *check, enum relocation kind,
                              const Elf64_Rela *relocation)
{
    uint64_t index = ELF64_R_SYM(relocation->r_info);

    if (index == 0) /* this module's own block of thread-local data */
        return (kind == RELOCATION_TLS || kind == RELOCATION_TLS_STATIC ||
                kind == RELOCATION_TLS_DESCRIPTOR) &&
               check->elf->tls_size && (uint64_t)relocation->r_addend <= check->elf->tls_size;

    Elf64_Sym symbol = berth_elf_symbol(check->view, index);
    if (!symbol_suits(check, kind, &symbol))
        return false;
    if (kind == RELOCATION_SLOT && (relocation->r_addend || relocation->r_offset % 8))
        return false;
    if (!slot_of(check, relocation->r_offset))
        return true;
    if (kind != RELOCATION_ADDRESS)
        return false;
    if (symbol.st_shndx != SHN_UNDEF)
        return fill_slot(check, relocation->r_offset,
                         symbol.st_value + (uint64_t)relocation->r_addend);
    ++*slot_of(check, relocation->r_offset); /* another library's function */
    return relocation->r_offset % 8 == 0 && relocation->r_addend == 0;
}

static bool relocation_is_sound(struct check *check, const Elf64_Rela *relocation)
{
    enum relocation kind = relocation_of((uint32_t)ELF64_R_TYPE(relocation->r_info));
    uint64_t addend = (uint64_t)relocation->r_addend;
    bool anonymous = ELF64_R_SYM(relocation->r_info) == 0;

    if (kind == RELOCATION_NONE)
        return true;
    if (ELF64_R_SYM(relocation->r_info) >= check->view->symbol_count && !anonymous)
        return false;
    if (!claim(check, relocation->r_offset, kind == RELOCATION_TLS_DESCRIPTOR ? 16 : 8))
        return false;
    switch (kind) {
    case RELOCATION_RELATIVE:
        return anonymous && addend >= check->elf->low && addend <= check->elf->high &&
               fill_slot(check, relocation->r_offset, addend);
    case RELOCATION_IRELATIVE:
        return anonymous && is_code(check, addend) && !slot_of(check, relocation->r_offset);
    case RELOCATION_TLS_STATIC:
        return check->elf->static_tls && symbolic_is_sound(check, kind, relocation);
    case RELOCATION_UNKNOWN:
        return false;
    default:
        return symbolic_is_sound(check, kind, relocation);
    }
}

/* The first `relative` of them are such, which the loader takes for granted. */
static int check_relocation_table(struct check *check, enum berth_elf_tag table,
                                  enum berth_elf_tag size_tag, uint64_t relative)
{
    uint64_t size = value(check, size_tag), count = size / sizeof(Elf64_Rela);
    const unsigned char *bytes = berth_elf_at_address(check->view, value(check, table), size);

    if (!bytes || size % sizeof(Elf64_Rela) || relative > count)
        return berth_elf_damaged(check->error, "a table of relocations is not whole");
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Rela relocation;
        memcpy(&relocation, bytes + i * sizeof(relocation), sizeof(relocation));
        uint32_t type = (uint32_t)ELF64_R_TYPE(relocation.r_info);
        if ((i < relative && relocation_of(type) != RELOCATION_RELATIVE) ||
            !relocation_is_sound(check, &relocation))
            return berth_elf_damaged(
                check->error, "relocation %llu, of type %u at 0x%llx, would go astray",
                (unsigned long long)i, type, (unsigned long long)relocation.r_offset);
    }
    return BERTH_OK;
}

/* One word of the compact table: a word to relocate, whose addend is what the file has there. */
static bool relative_is_sound(struct check *check, uint64_t address)
{
    uint64_t addend;
    const void *at = berth_elf_at_address(check->view, address, sizeof(addend));

    if (!at || !claim(check, address, sizeof(addend)))
        return false;
    memcpy(&addend, at, sizeof(addend));
    return addend >= check->elf->low && addend <= check->elf->high &&
           fill_slot(check, address, addend);
}

/* Entries are an address, or (odd) a map of which of the 63 words after the last one are meant. */
static int check_relative_table(struct check *check)
{
    uint64_t size = value(check, BERTH_DT_RELRSZ), next = 0, entry;
    const unsigned char *bytes =
        berth_elf_at_address(check->view, value(check, BERTH_DT_RELR), size);
    bool sound = bytes && size % sizeof(entry) == 0;

    for (uint64_t i = 0; sound && i < size / sizeof(entry); i++) {
        memcpy(&entry, bytes + i * sizeof(entry), sizeof(entry));
        if (!(entry & 1)) {
            sound = relative_is_sound(check, entry);
            next = entry + 8;
            continue;
        }
        sound = next != 0;
        for (unsigned bit = 0; sound && (entry >>= 1); bit++)
            if (entry & 1)
                sound = relative_is_sound(check, next + bit * 8);
        next += 63 * 8;
    }
    return sound ? BERTH_OK
                 : berth_elf_damaged(check->error, "its compact table of relocations leads astray");
}

static int check_relocations(struct check *check)
{
    int code = BERTH_OK;

    check->claimed = berth_calloc(check->view->size / 64 + 1, 1);
    if (!check->claimed)
        return berth_error_nomem(check->error);
    if (has(check, BERTH_DT_RELA))
        code = check_relocation_table(check, BERTH_DT_RELA, BERTH_DT_RELASZ,
                                      value(check, BERTH_DT_RELACOUNT));
    if (!code && has(check, BERTH_DT_JMPREL))
        code = check_relocation_table(check, BERTH_DT_JMPREL, BERTH_DT_PLTRELSZ, 0);
    if (!code && has(check, BERTH_DT_RELR))
        code = check_relative_table(check);
    berth_free(check->claimed);
    return code;
}

/* ---- What runs at load and unload ---- */

static bool array_is_sound(const struct check *check, enum berth_elf_tag table,
                           enum berth_elf_tag size_tag, uint64_t filled)
{
    uint64_t address = value(check, table), size = value(check, size_tag);

    return !has(check, table) || (address % 8 == 0 && size % 8 == 0 && size / 8 == filled &&
                                  berth_elf_at_address(check->view, address, size));
}

static int check_functions(const struct check *check)
{
    if ((has(check, BERTH_DT_INIT) && !is_code(check, value(check, BERTH_DT_INIT))) ||
        (has(check, BERTH_DT_FINI) && !is_code(check, value(check, BERTH_DT_FINI))) ||
        !array_is_sound(check, BERTH_DT_INIT_ARRAY, BERTH_DT_INIT_ARRAYSZ, check->inits) ||
        !array_is_sound(check, BERTH_DT_FINI_ARRAY, BERTH_DT_FINI_ARRAYSZ, check->finis) ||
        has(check, BERTH_DT_PREINIT_ARRAY))
        return berth_elf_damaged(check->error, "a constructor or destructor is not in its code");
    if (has(check, BERTH_DT_PLTGOT) && !load_of(check, value(check, BERTH_DT_PLTGOT), 8))
        return berth_elf_damaged(check->error, "its table of addresses is not loaded");
    return BERTH_OK;
}

int berth_elf_check(const void *bytes, size_t size, const struct berth_elf *elf,
                    struct berth_error *error)
{
    struct berth_elf_view view;
    struct check check = {
        .view = &view, .elf = elf, .error = error, .page = (uint64_t)sysconf(_SC_PAGESIZE)
    };
    int code = berth_elf_view_init(&view, bytes, size, error);

    if (!code)
        code = check_segments(&check);
    if (!code)
        code = check_dynamic(&check);
    if (!code)
        code = check_symbols(&check);
    if (!code)
        code = check_hashes(&check);
    if (!code)
        code = check_versions(&check);
    if (!code)
        code = check_relocations(&check);
    if (!code)
        code = check_functions(&check);
    if (!code)
        code = berth_elf_check_sections(&view, error);
    return code;
}
