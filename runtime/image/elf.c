/* SPDX-License-Identifier: MIT */
#include "runtime/image/elf.h"

#include "runtime/base/error.h"
#include "runtime/image/elf_view.h"
#include "runtime/image/risk.h"

#include <string.h>

/* More records than any manifest has, and few enough not to be a burden. */
#define RECORDS_MAX 16384
#define NEEDED_MAX  1024

/* ---- Notes ---- */

static const char owner[] = "Berth";

/*
 * Headers and texts are aligned to 4 in all notes there are, those of .note.gnu.property (8)
 * included. Where sections of both alignments share a segment, zeros lie between them; no note
 * begins with a zero, as its name is never empty.
 */
static uint64_t align4(uint64_t size)
{
    return (size + 3) & ~(uint64_t)3;
}

int berth_elf_read_notes(const void *bytes, size_t size, uint64_t address,
                         struct berth_record *records, size_t *count, struct berth_error *error)
{
    const unsigned char *notes = bytes;
    Elf64_Nhdr head;

    for (uint64_t at = 0; at + sizeof(head.n_namesz) <= size;) {
        memcpy(&head.n_namesz, notes + at, sizeof(head.n_namesz));
        if (head.n_namesz == 0) {
            at += sizeof(head.n_namesz);
            continue;
        }
        if (size - at < sizeof(head))
            return berth_elf_damaged(error, "a note at offset %llu of its segment is cut off",
                                     (unsigned long long)at);
        memcpy(&head, notes + at, sizeof(head));
        uint64_t text = at + sizeof(head) + align4(head.n_namesz);
#ifdef BERTH_FUZZ_PLANT /* tests/fuzz/plant.sh: the fuzzer must find what this leaves out */
        if (text > size)
#else
        if (text > size || head.n_descsz > size - text)
#endif
            return berth_elf_damaged(error,
                                     "a note at offset %llu of its segment is longer than that",
                                     (unsigned long long)at);
        if (head.n_namesz == sizeof(owner) &&
            memcmp(notes + at + sizeof(head), owner, sizeof(owner)) == 0) {
            if (*count == RECORDS_MAX)
                return berth_elf_damaged(error, "more than %d records", RECORDS_MAX);
            if (records)
                records[*count] = (struct berth_record){ .address = address + at,
                                                         .type = head.n_type,
                                                         .text = (const char *)notes + text,
                                                         .size = head.n_descsz };
            ++*count;
        }
        at = text + align4(head.n_descsz);
    }
    return BERTH_OK;
}

/* All segments of notes, once to count and once to keep. */
static int walk_notes(const struct berth_elf_view *view, struct berth_record *records,
                      size_t *count, struct berth_error *error)
{
    *count = 0;
    for (size_t i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *segment = &view->segments[i];
        if (segment->p_type != PT_NOTE)
            continue;
        /* The loader maps them, and a link of the module points at each record. */
        const void *notes = berth_elf_at_address(view, segment->p_vaddr, segment->p_filesz);
        if (!notes || notes != berth_elf_at(view, segment->p_offset, segment->p_filesz))
            return berth_elf_damaged(error, "segment %zu, of notes, is not loaded", i);
        int code =
            berth_elf_read_notes(notes, segment->p_filesz, segment->p_vaddr, records, count, error);
        if (code)
            return code;
    }
    return BERTH_OK;
}

static int read_records(const struct berth_elf_view *view, struct berth_arena *arena,
                        struct berth_elf *elf, struct berth_error *error)
{
    int code = walk_notes(view, NULL, &elf->record_count, error);
    if (code || elf->record_count == 0)
        return code;
    elf->records = berth_arena_alloc(arena, elf->record_count * sizeof(*elf->records));
    if (!elf->records)
        return berth_error_nomem(error);
    return walk_notes(view, elf->records, &elf->record_count, error);
}

/* The linker's own, among notes that have been walked before. */
static void read_build_id(const struct berth_elf_view *view, struct berth_elf *elf)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *segment = &view->segments[i];
        const unsigned char *notes =
            segment->p_type == PT_NOTE
                ? berth_elf_at_address(view, segment->p_vaddr, segment->p_filesz)
                : NULL;
        Elf64_Nhdr head;
        for (uint64_t at = 0; notes && segment->p_filesz - at >= sizeof(head);) {
            memcpy(&head, notes + at, sizeof(head));
            uint64_t text = at + sizeof(head) + align4(head.n_namesz),
                     next = text + align4(head.n_descsz);
            if (head.n_namesz == 0) {
                at += sizeof(head.n_namesz);
                continue;
            }
            if (text + head.n_descsz > segment->p_filesz)
                break;
            if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == sizeof(ELF_NOTE_GNU) &&
                memcmp(notes + at + sizeof(head), ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0)
                for (size_t k = 0; k < head.n_descsz && 2 * k + 2 < sizeof(elf->build_id); k++) {
                    elf->build_id[2 * k] = digits[notes[text + k] >> 4];
                    elf->build_id[2 * k + 1] = digits[notes[text + k] & 15];
                }
            if (next > segment->p_filesz)
                break;
            at = next;
        }
    }
}

/* ---- Segments ---- */

static int read_segments(const struct berth_elf_view *view, struct berth_arena *arena,
                         struct berth_elf *elf, struct berth_error *error)
{
    elf->segments = berth_arena_alloc(arena, view->segment_count * sizeof(*elf->segments));
    if (!elf->segments)
        return berth_error_nomem(error);
    elf->low = UINT64_MAX;
    elf->executable_stack = true; /* what the loader assumes when nothing is said */
    for (size_t i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *segment = &view->segments[i];
        uint64_t end = segment->p_vaddr + segment->p_memsz;
        switch (segment->p_type) {
        case PT_LOAD:
            elf->segments[elf->segment_count++] = (struct berth_elf_segment){
                .low = segment->p_vaddr,
                .high = end,
                .writable = (segment->p_flags & PF_W) != 0,
                .executable = (segment->p_flags & PF_X) != 0,
            };
            elf->low = segment->p_vaddr < elf->low ? segment->p_vaddr : elf->low;
            elf->high = end > elf->high ? end : elf->high;
            break;
        case PT_TLS:
            elf->tls_size = segment->p_memsz;
            break;
        case PT_GNU_RELRO:
            elf->relro = true;
            elf->relro_low = segment->p_vaddr;
            elf->relro_high = end;
            break;
        case PT_GNU_STACK:
            elf->executable_stack = (segment->p_flags & PF_X) != 0;
            break;
        default:
            break;
        }
    }
    return BERTH_OK;
}

/* ---- The dynamic table ---- */

static int read_needed(const struct berth_elf_view *view, struct berth_arena *arena,
                       struct berth_elf *elf, struct berth_error *error)
{
    size_t count = 0;

    for (size_t i = 0; i < view->dynamic_count; i++)
        count += berth_elf_dynamic(view, i).d_tag == DT_NEEDED;
    if (count > NEEDED_MAX)
        return berth_elf_damaged(error, "it needs more than %d libraries", NEEDED_MAX);
    elf->needed = berth_arena_alloc(arena, count * sizeof(*elf->needed));
    if (!elf->needed)
        return berth_error_nomem(error);
    for (size_t i = 0; i < view->dynamic_count; i++) {
        Elf64_Dyn entry = berth_elf_dynamic(view, i);
        if (entry.d_tag != DT_NEEDED)
            continue;
        const char *name = berth_elf_string(view, entry.d_un.d_val);
        if (!name || !*name)
            return berth_elf_damaged(error, "a needed library has no name");
        elf->needed[elf->needed_count++] = name;
    }
    return BERTH_OK;
}

static int read_string(const struct berth_elf_view *view, enum berth_elf_tag tag,
                       const char **ret_string, struct berth_error *error)
{
    if (!view->has[tag])
        return BERTH_OK;
    *ret_string = berth_elf_string(view, view->value[tag]);
    if (!*ret_string)
        return berth_elf_damaged(error, "a name in its dynamic table is out of range");
    return BERTH_OK;
}

static int read_dynamic(const struct berth_elf_view *view, struct berth_arena *arena,
                        struct berth_elf *elf, struct berth_error *error)
{
    uint64_t flags = view->value[BERTH_DT_FLAGS], flags_1 = view->value[BERTH_DT_FLAGS_1];

    if (flags_1 & DF_1_PIE)
        return berth_error_set(
            error, BERTH_INVALID_ARGUMENT,
            "an executable, not a shared object: build it with cc -shared -fPIC");
    elf->static_tls = (flags & DF_STATIC_TLS) != 0;
    elf->nodelete = (flags_1 & DF_1_NODELETE) != 0;
    elf->text_relocations = (flags & DF_TEXTREL) || view->has[BERTH_DT_TEXTREL];
    elf->now = (flags & DF_BIND_NOW) || (flags_1 & DF_1_NOW) || view->has[BERTH_DT_BIND_NOW];
    elf->has_constructors = view->value[BERTH_DT_INIT_ARRAYSZ] > sizeof(uint64_t);
    elf->symbolic = (flags & DF_SYMBOLIC) || view->has[BERTH_DT_SYMBOLIC];
    elf->constructors = view->value[BERTH_DT_INIT_ARRAYSZ] / sizeof(Elf64_Addr);
    elf->destructors = view->value[BERTH_DT_FINI_ARRAYSZ] / sizeof(Elf64_Addr);

    int code = read_string(view, BERTH_DT_SONAME, &elf->soname, error);
    if (!code)
        code = read_string(view, BERTH_DT_RUNPATH, &elf->runpath, error);
    if (!code)
        code = read_string(view, BERTH_DT_RPATH, &elf->rpath, error);
    if (!code)
        code = read_needed(view, arena, elf, error);
    return code;
}

/* ---- Symbols, and the slots of those that are watched ---- */

static const char *const calls[BERTH_CALL_COUNT] = {
    [BERTH_CALL_PTHREAD_KEY_CREATE] = "pthread_key_create",
    [BERTH_CALL_PTHREAD_CREATE] = "pthread_create",
    [BERTH_CALL_THRD_CREATE] = "thrd_create",
    [BERTH_CALL_THREAD_ATEXIT] = "__cxa_thread_atexit",
    [BERTH_CALL_THREAD_ATEXIT_IMPL] = "__cxa_thread_atexit_impl",
    [BERTH_CALL_TIMER_CREATE] = "timer_create",
    [BERTH_CALL_TIMER_DELETE] = "timer_delete",
};

/* BERTH_CALL_COUNT: it is none of them. */
static enum berth_elf_call call_of(const Elf64_Sym *symbol, const char *name)
{
    unsigned call = 0;

    if (symbol->st_shndx != SHN_UNDEF)
        return BERTH_CALL_COUNT;
    while (call < BERTH_CALL_COUNT && strcmp(name, calls[call]) != 0)
        call++;
    return call;
}

/* Each once, whatever the file says. */
static void note_risk(struct berth_elf *elf, const char *name)
{
    const struct berth_risk *risk = berth_risk_find(name);

    for (size_t i = 0; i < elf->risk_count; i++)
        if (elf->risks[i] == risk)
            return;
    if (risk && elf->risk_count < BERTH_RISKS_MAX)
        elf->risks[elf->risk_count++] = risk;
}

static int scan_symbols(const struct berth_elf_view *view, struct berth_arena *arena,
                        struct berth_elf *elf, struct berth_error *error)
{
    elf->risks = berth_arena_alloc(arena, BERTH_RISKS_MAX * sizeof(*elf->risks));
    if (!elf->risks)
        return berth_error_nomem(error);
    for (uint64_t i = 1; i < view->symbol_count; i++) {
        Elf64_Sym symbol = berth_elf_symbol(view, i);
        const char *name = berth_elf_string(view, symbol.st_name);
        if (!name)
            return berth_elf_damaged(error, "symbol %llu has a name out of range",
                                     (unsigned long long)i);
        if (symbol.st_shndx == SHN_UNDEF)
            note_risk(elf, name);
        enum berth_elf_call call = call_of(&symbol, name);
        elf->calls |= call < BERTH_CALL_COUNT ? 1u << call : 0;
        elf->has_unique |= ELF64_ST_BIND(symbol.st_info) == STB_GNU_UNIQUE;
        /* A hidden one is there for the linker only. */
        if (symbol.st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT &&
            ELF64_ST_VISIBILITY(symbol.st_other) != STV_HIDDEN && strcmp(name, "berth_entry") == 0)
            elf->entry = symbol.st_value;
    }
    return BERTH_OK;
}

static bool is_slot(uint64_t type)
{
#if defined __x86_64__
    return type == R_X86_64_64 || type == R_X86_64_GLOB_DAT || type == R_X86_64_JUMP_SLOT;
#else
    return type == R_AARCH64_ABS64 || type == R_AARCH64_GLOB_DAT || type == R_AARCH64_JUMP_SLOT;
#endif
}

/* Counts those of one table of relocations, and keeps them if there is room: elf->slots. */
static int walk_slots(const struct berth_elf_view *view, enum berth_elf_tag table,
                      enum berth_elf_tag size_tag, struct berth_elf *elf, struct berth_error *error)
{
    uint64_t size = view->value[size_tag];
    const unsigned char *bytes = berth_elf_at_address(view, view->value[table], size);
    Elf64_Rela relocation;

    if (view->has[table] && !bytes)
        return berth_elf_damaged(error, "a table of relocations is not loaded");
    for (uint64_t at = 0; view->has[table] && size - at >= sizeof(relocation);
         at += sizeof(relocation)) {
        memcpy(&relocation, bytes + at, sizeof(relocation));
        uint64_t index = ELF64_R_SYM(relocation.r_info);
        if (index == 0 || index >= view->symbol_count || !is_slot(ELF64_R_TYPE(relocation.r_info)))
            continue;
        Elf64_Sym symbol = berth_elf_symbol(view, index);
        enum berth_elf_call call = call_of(&symbol, berth_elf_string(view, symbol.st_name));
        if (call == BERTH_CALL_COUNT || call == BERTH_CALL_PTHREAD_KEY_CREATE ||
            relocation.r_addend)
            continue;
        if (elf->slots)
            elf->slots[elf->slot_count] = (struct berth_elf_slot){ relocation.r_offset, call };
        elf->slot_count++;
    }
    return BERTH_OK;
}

static int walk_both_tables(const struct berth_elf_view *view, struct berth_elf *elf,
                            struct berth_error *error)
{
    elf->slot_count = 0;
    int code = walk_slots(view, BERTH_DT_RELA, BERTH_DT_RELASZ, elf, error);
    return code ? code : walk_slots(view, BERTH_DT_JMPREL, BERTH_DT_PLTRELSZ, elf, error);
}

static int read_slots(const struct berth_elf_view *view, struct berth_arena *arena,
                      struct berth_elf *elf, struct berth_error *error)
{
    bool watched = elf->calls & ~(1u << BERTH_CALL_PTHREAD_KEY_CREATE);
    int code = watched ? walk_both_tables(view, elf, error) : BERTH_OK;

    if (code || !elf->slot_count)
        return code;
    elf->slots = berth_arena_alloc(arena, elf->slot_count * sizeof(*elf->slots));
    return elf->slots ? walk_both_tables(view, elf, error) : berth_error_nomem(error);
}

int berth_elf_read(const void *bytes, size_t size, struct berth_arena *arena,
                   struct berth_elf **ret_elf, struct berth_error *error)
{
    struct berth_elf_view view;
    int code = berth_elf_view_init(&view, bytes, size, error);

    if (code)
        return code;
    struct berth_elf *elf = berth_arena_alloc(arena, sizeof(*elf));
    if (!elf)
        return berth_error_nomem(error);
    elf->machine = view.header.e_machine;
    code = read_segments(&view, arena, elf, error);
    if (!code)
        code = read_dynamic(&view, arena, elf, error);
    if (!code)
        code = scan_symbols(&view, arena, elf, error);
    if (!code)
        code = read_slots(&view, arena, elf, error);
    if (!code)
        code = read_records(&view, arena, elf, error);
    if (!code) {
        read_build_id(&view, elf);
        *ret_elf = elf;
    }
    return code;
}
