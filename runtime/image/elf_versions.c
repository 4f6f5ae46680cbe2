/* SPDX-License-Identifier: MIT */
#include "runtime/image/elf_versions.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"

#include <string.h>

#define NUMBERS    0x8000 /* so many versions there can be */
#define HIDDEN     0x8000 /* of a symbol's number: found only by who names the version */
#define STEPS_MAX  NUMBERS
#define FIRST_REAL 2 /* 0: local, 1: without a version */

/* ---- The lists: offsets that lead from one line to the next until one is 0 ---- */

struct walk {
    const struct berth_elf_view *view;
    struct berth_elf_versions *versions; /* entries NULL: only counted */
    unsigned steps;
};

static bool note(struct walk *walk, unsigned number, struct berth_elf_version version)
{
    struct berth_elf_versions *versions = walk->versions;

    number %= NUMBERS;
    if (!version.name || ++walk->steps > STEPS_MAX)
        return false;
    if (number >= versions->count)
        versions->count = number + 1;
    if (versions->entries)
        versions->entries[number] = version;
    return true;
}

static bool walk_need(struct walk *walk, uint64_t address, const Elf64_Verneed *need)
{
    const char *file = berth_elf_string(walk->view, need->vn_file);
    Elf64_Vernaux line;

    address += need->vn_aux;
    for (unsigned i = 0; file && i < need->vn_cnt; i++, address += line.vna_next) {
        const void *at = berth_elf_at_address(walk->view, address, sizeof(line));
        if (!at)
            return false;
        memcpy(&line, at, sizeof(line));
        const struct berth_elf_version version = { berth_elf_string(walk->view, line.vna_name),
                                                   file, (line.vna_flags & VER_FLG_WEAK) != 0 };
        if (!note(walk, line.vna_other, version))
            return false;
        if (!line.vna_next)
            return true;
    }
    return file != NULL;
}

static bool walk_needs(struct walk *walk)
{
    uint64_t address = walk->view->value[BERTH_DT_VERNEED];
    Elf64_Verneed need;

    for (uint64_t i = walk->view->value[BERTH_DT_VERNEEDNUM]; i > 0; i--, address += need.vn_next) {
        const void *at = berth_elf_at_address(walk->view, address, sizeof(need));
        if (!at || ++walk->steps > STEPS_MAX)
            return false;
        memcpy(&need, at, sizeof(need));
        if (!walk_need(walk, address, &need))
            return false;
        if (!need.vn_next)
            return true;
    }
    return true;
}

static bool walk_definitions(struct walk *walk)
{
    uint64_t address = walk->view->value[BERTH_DT_VERDEF];
    Elf64_Verdef line;
    Elf64_Verdaux name;

    for (uint64_t i = walk->view->value[BERTH_DT_VERDEFNUM]; i > 0; i--, address += line.vd_next) {
        const void *at = berth_elf_at_address(walk->view, address, sizeof(line));
        if (!at)
            return false;
        memcpy(&line, at, sizeof(line));
        at = berth_elf_at_address(walk->view, address + line.vd_aux, sizeof(name));
        if (!at)
            return false;
        memcpy(&name, at, sizeof(name));
        const struct berth_elf_version version = { .name = berth_elf_string(walk->view,
                                                                            name.vda_name) };
        if (!note(walk, line.vd_ndx, version))
            return false;
        if (!line.vd_next)
            return true;
    }
    return true;
}

static bool walk_all(const struct berth_elf_view *view, struct berth_elf_versions *versions)
{
    struct walk walk = { .view = view, .versions = versions };

    return (!view->has[BERTH_DT_VERNEED] || walk_needs(&walk)) &&
           (!view->has[BERTH_DT_VERDEF] || walk_definitions(&walk));
}

int berth_elf_versions_read(const struct berth_elf_view *view, struct berth_arena *arena,
                            struct berth_elf_versions *ret_versions, struct berth_error *error)
{
    struct berth_elf_versions versions = { .count = 0 };

    if (!view->has[BERTH_DT_VERSYM]) {
        *ret_versions = versions;
        return BERTH_OK;
    }
    versions.of_symbols = berth_elf_at_address(view, view->value[BERTH_DT_VERSYM],
                                               view->symbol_count * sizeof(Elf64_Half));
    if (!versions.of_symbols || !walk_all(view, &versions))
        return berth_elf_damaged(error, "its lists of versions lead astray");
    versions.entries = berth_arena_alloc(arena, versions.count * sizeof(*versions.entries));
    if (!versions.entries)
        return berth_error_nomem(error);
    walk_all(view, &versions);
    *ret_versions = versions;
    return BERTH_OK;
}

/* ---- Symbols ---- */

static unsigned number_of(const struct berth_elf_versions *versions, uint64_t index)
{
    Elf64_Half number = 0;

    if (versions->of_symbols)
        memcpy(&number, versions->of_symbols + index * sizeof(number), sizeof(number));
    return number;
}

const struct berth_elf_version *berth_elf_version_of(const struct berth_elf_versions *versions,
                                                     uint64_t index)
{
    unsigned number = number_of(versions, index) % NUMBERS;
    bool known = number >= FIRST_REAL && number < versions->count && versions->entries[number].name;

    return known ? &versions->entries[number] : NULL;
}

bool berth_elf_is_export(const Elf64_Sym *symbol)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info), binding = ELF64_ST_BIND(symbol->st_info);
    unsigned visibility = ELF64_ST_VISIBILITY(symbol->st_other);

    return symbol->st_shndx != SHN_UNDEF && binding != STB_LOCAL && type != STT_SECTION &&
           type != STT_FILE && (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

static bool suits(const struct berth_elf_view *view, const struct berth_elf_versions *versions,
                  uint64_t index, const char *name, const char *version)
{
    Elf64_Sym symbol = berth_elf_symbol(view, index);
    const char *own = berth_elf_string(view, symbol.st_name);

    if (!own || !berth_text_equal(own, name) || !berth_elf_is_export(&symbol))
        return false;
    const struct berth_elf_version *has = berth_elf_version_of(versions, index);
    if (!version)
        return !(number_of(versions, index) & HIDDEN);
    return !has || has->file || berth_text_equal(has->name, version);
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;

    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        hash = hash * 33 + *p;
    return hash;
}

static uint32_t word_at(const struct berth_elf_view *view, uint64_t address)
{
    uint32_t word = 0;
    const void *at = berth_elf_at_address(view, address, sizeof(word));

    if (at)
        memcpy(&word, at, sizeof(word));
    return word;
}

/* By the hash table of GNU, whose chains end with an odd hash. */
static bool find_hashed(const struct berth_elf_view *view,
                        const struct berth_elf_versions *versions, const char *name,
                        const char *version)
{
    uint64_t table = view->value[BERTH_DT_GNU_HASH];
    uint32_t buckets = word_at(view, table), first = word_at(view, table + 4), hash = hash_of(name);
    uint64_t heads = table + 16 + (uint64_t)word_at(view, table + 8) * 8;

    if (!buckets)
        return false;
    uint64_t index = word_at(view, heads + (uint64_t)(hash % buckets) * 4);
    for (; index >= first && index && index < view->symbol_count; index++) {
        uint32_t own = word_at(view, heads + ((uint64_t)buckets + (index - first)) * 4);
        if ((own | 1) == (hash | 1) && suits(view, versions, index, name, version))
            return true;
        if (own & 1)
            break;
    }
    return false;
}

bool berth_elf_exports(const struct berth_elf_view *view, const struct berth_elf_versions *versions,
                       const char *name, const char *version)
{
    if (view->has[BERTH_DT_GNU_HASH])
        return find_hashed(view, versions, name, version);
    for (uint64_t i = 1; i < view->symbol_count; i++)
        if (suits(view, versions, i, name, version))
            return true;
    return false;
}

bool berth_elf_has_version(const struct berth_elf_versions *versions, const char *name)
{
    bool any = false;

    for (size_t i = FIRST_REAL; i < versions->count; i++) {
        const struct berth_elf_version *own = &versions->entries[i];
        if (!own->name || own->file)
            continue;
        if (berth_text_equal(own->name, name))
            return true;
        any = true;
    }
    return !any;
}
