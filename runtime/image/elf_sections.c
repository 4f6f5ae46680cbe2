/* SPDX-License-Identifier: MIT */
#include "runtime/image/elf_sections.h"

#include <string.h>

struct sections {
    const struct berth_elf_view *view;
    const unsigned char *table;
    size_t count;
    const char *names; /* ends in NUL */
    uint64_t names_size;
};

static Elf64_Shdr section_at(const struct sections *sections, size_t index)
{
    Elf64_Shdr section;
    memcpy(&section, sections->table + index * sizeof(section), sizeof(section));
    return section;
}

static const char *name_of(const struct sections *sections, const Elf64_Shdr *section)
{
    return section->sh_name < sections->names_size ? sections->names + section->sh_name : NULL;
}

/* Most names differ in the character behind the dot. */
static bool is_name(const char *own, const char *name)
{
    return own[0] == name[0] && own[1] == name[1] && strcmp(own, name) == 0;
}

/* Whether the section lies in a segment that is loaded as the section wants to be. */
static bool is_in_segment(const struct berth_elf_view *view, const Elf64_Shdr *section)
{
    for (size_t i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *segment = &view->segments[i];
        uint64_t skip = section->sh_addr - segment->p_vaddr;
        uint64_t room = section->sh_type == SHT_NOBITS ? segment->p_memsz : segment->p_filesz;
        if (segment->p_type != PT_LOAD || section->sh_addr < segment->p_vaddr || skip > room ||
            section->sh_size > room - skip)
            continue;
        if (section->sh_type != SHT_NOBITS && section->sh_offset != segment->p_offset + skip)
            return false;
        return (!(section->sh_flags & SHF_WRITE) || (segment->p_flags & PF_W)) &&
               (!(section->sh_flags & SHF_EXECINSTR) || (segment->p_flags & PF_X));
    }
    return false;
}

/* Whether the whole section lies in a segment of a type. */
static bool is_covered(const struct berth_elf_view *view, const Elf64_Shdr *section, uint32_t type)
{
    for (size_t i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *segment = &view->segments[i];
        uint64_t skip = section->sh_addr - segment->p_vaddr;
        if (segment->p_type == type && section->sh_addr >= segment->p_vaddr &&
            skip <= segment->p_memsz && section->sh_size <= segment->p_memsz - skip)
            return true;
    }
    return false;
}

/* ---- Against the dynamic table ---- */

static bool is_table(const struct berth_elf_view *view, const Elf64_Shdr *section,
                     enum berth_elf_tag address, uint64_t size)
{
    return view->has[address] && view->value[address] == section->sh_addr &&
           section->sh_size == size;
}

static bool is_within(const struct berth_elf_view *view, const Elf64_Shdr *section,
                      enum berth_elf_tag address, enum berth_elf_tag size)
{
    uint64_t skip = section->sh_addr - view->value[address];
    return view->has[address] && section->sh_addr >= view->value[address] &&
           skip <= view->value[size] && section->sh_size <= view->value[size] - skip;
}

static bool agrees_by_type(const struct berth_elf_view *view, const Elf64_Shdr *section)
{
    const Elf64_Phdr *dynamic;

    switch (section->sh_type) {
    case SHT_DYNAMIC:
        dynamic = berth_elf_find_segment(view, PT_DYNAMIC);
        return section->sh_addr == dynamic->p_vaddr && section->sh_size == dynamic->p_filesz;
    case SHT_DYNSYM:
        return is_table(view, section, BERTH_DT_SYMTAB, view->symbol_count * sizeof(Elf64_Sym));
    case SHT_STRTAB:
        return is_table(view, section, BERTH_DT_STRTAB, view->string_size);
    case SHT_HASH:
        return view->value[BERTH_DT_HASH] == section->sh_addr;
    case SHT_GNU_HASH:
        return view->value[BERTH_DT_GNU_HASH] == section->sh_addr;
    case SHT_GNU_versym:
        return is_table(view, section, BERTH_DT_VERSYM, view->symbol_count * sizeof(Elf64_Half));
    case SHT_GNU_verneed:
        return view->value[BERTH_DT_VERNEED] == section->sh_addr &&
               view->value[BERTH_DT_VERNEEDNUM] == section->sh_info;
    case SHT_GNU_verdef:
        return view->value[BERTH_DT_VERDEF] == section->sh_addr &&
               view->value[BERTH_DT_VERDEFNUM] == section->sh_info;
    case SHT_INIT_ARRAY:
        return is_within(view, section, BERTH_DT_INIT_ARRAY, BERTH_DT_INIT_ARRAYSZ);
    case SHT_FINI_ARRAY:
        return is_within(view, section, BERTH_DT_FINI_ARRAY, BERTH_DT_FINI_ARRAYSZ);
    case SHT_RELA:
        return is_within(view, section, BERTH_DT_RELA, BERTH_DT_RELASZ) ||
               is_within(view, section, BERTH_DT_JMPREL, BERTH_DT_PLTRELSZ);
    case SHT_RELR:
        return is_table(view, section, BERTH_DT_RELR, view->value[BERTH_DT_RELRSZ]);
    case SHT_NOTE:
        return is_covered(view, section, PT_NOTE);
    default:
        return true;
    }
}

/* Data that stay writable must not be in a page that the loader makes read-only. */
static bool stays_writable(const struct berth_elf_view *view, const Elf64_Shdr *section)
{
    const Elf64_Phdr *relro = berth_elf_find_segment(view, PT_GNU_RELRO);
    return !relro || section->sh_addr >= relro->p_vaddr + relro->p_memsz ||
           section->sh_addr + section->sh_size <= relro->p_vaddr;
}

static bool agrees_by_name(const struct sections *sections, const Elf64_Shdr *section)
{
    const struct berth_elf_view *view = sections->view;
    const char *name = name_of(sections, section);

    if (!name)
        return true;
    if (is_name(name, ".init"))
        return view->value[BERTH_DT_INIT] == section->sh_addr;
    if (is_name(name, ".fini"))
        return view->value[BERTH_DT_FINI] == section->sh_addr;
    if (is_name(name, ".data") || is_name(name, ".bss") || is_name(name, "berth_links"))
        return stays_writable(view, section);
    return true;
}

static bool agrees(const struct sections *sections, const Elf64_Shdr *section)
{
    if (section->sh_flags & SHF_TLS) {
        if (!is_covered(sections->view, section, PT_TLS))
            return false;
        if (section->sh_type == SHT_NOBITS) /* has no place of its own */
            return true;
    }
    return is_in_segment(sections->view, section) && agrees_by_type(sections->view, section) &&
           agrees_by_name(sections, section);
}

/* Without names, no section has one. */
static void find_names(struct sections *sections)
{
    if (sections->view->header.e_shstrndx >= sections->count)
        return;
    Elf64_Shdr section = section_at(sections, sections->view->header.e_shstrndx);
    const char *names = berth_elf_at(sections->view, section.sh_offset, section.sh_size);
    if (!names || !section.sh_size || names[section.sh_size - 1])
        return;
    sections->names = names;
    sections->names_size = section.sh_size;
}

int berth_elf_check_sections(const struct berth_elf_view *view, struct berth_error *error)
{
    const Elf64_Ehdr *header = &view->header;
    struct sections sections = { .view = view, .count = header->e_shnum };

    if (sections.count == 0)
        return BERTH_OK;
    sections.table = berth_elf_at(view, header->e_shoff, sections.count * sizeof(Elf64_Shdr));
    if (header->e_shentsize != sizeof(Elf64_Shdr) || !sections.table)
        return berth_elf_damaged(error, "its section headers are not whole");
    find_names(&sections);
    for (size_t i = 1; i < sections.count; i++) {
        Elf64_Shdr section = section_at(&sections, i);
        if (!(section.sh_flags & SHF_ALLOC) || section.sh_size == 0 || agrees(&sections, &section))
            continue;
        const char *name = name_of(&sections, &section);
        return berth_elf_damaged(
            error, "section %zu (%s) is not what the program headers and the dynamic table say", i,
            name ? name : "without a name");
    }
    return BERTH_OK;
}
