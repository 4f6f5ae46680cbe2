/* SPDX-License-Identifier: MIT */
/*
 * The reader and the check, on crafted files with one thing wrong each, and on what real linkers
 * write. `elf_test --corpus DIRECTORY` writes the crafted files: the seeds of the fuzzer.
 */
#include "runtime/image/elf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "tests/support/craft.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- One thing wrong with a crafted file ---- */

#define WRONG(name) static void name(struct craft *c)

static uint32_t *word(struct craft *c, size_t offset)
{
    return (uint32_t *)(void *)(c->bytes + offset);
}

WRONG(nothing)
{
    (void)c;
}
WRONG(empty)
{
    c->size = 0;
}
WRONG(text)
{
    c->size = 0;
    c->size = (size_t)(stpcpy((char *)c->bytes, "#!/bin/sh\necho module\n") - (char *)c->bytes);
}
WRONG(three_bytes)
{
    c->size = 3;
}
WRONG(half_a_header)
{
    c->size = 40;
}
WRONG(no_program_headers)
{
    c->size = 100;
}
WRONG(truncated)
{
    c->size -= 40;
}
WRONG(truncated_sections)
{
    c->size -= 1;
}
WRONG(bits_32)
{
    c->bytes[EI_CLASS] = ELFCLASS32;
    craft_header(c)->e_machine = EM_386;
}
WRONG(bits_7)
{
    c->bytes[EI_CLASS] = 7;
}
WRONG(big_endian)
{
    c->bytes[EI_DATA] = ELFDATA2MSB;
}
WRONG(no_endian)
{
    c->bytes[EI_DATA] = 0;
}
WRONG(riscv)
{
    craft_header(c)->e_machine = EM_RISCV;
}
WRONG(unheard_of)
{
    craft_header(c)->e_machine = 54321;
}
WRONG(version_2)
{
    craft_header(c)->e_version = 2;
}
WRONG(executable)
{
    craft_header(c)->e_type = ET_EXEC;
}
WRONG(position_independent_executable)
{
    craft_dynamic(c, DT_FLAGS_1)->d_un.d_val |= DF_1_PIE;
}
WRONG(object)
{
    craft_header(c)->e_type = ET_REL;
}
WRONG(core)
{
    craft_header(c)->e_type = ET_CORE;
}
WRONG(type_99)
{
    craft_header(c)->e_type = 99;
}
WRONG(no_segments)
{
    craft_header(c)->e_phnum = 0;
}
WRONG(many_segments)
{
    craft_header(c)->e_phnum = 1000;
}
WRONG(odd_segments)
{
    craft_header(c)->e_phentsize = 32;
}
WRONG(far_segments)
{
    craft_header(c)->e_phoff = UINT64_MAX - 100;
}
WRONG(nothing_loaded)
{
    for (unsigned i = 0; i < 3; i++)
        craft_segment(c, PT_LOAD, 0)->p_type = PT_NULL;
}
WRONG(more_in_file_than_memory)
{
    craft_segment(c, PT_LOAD, 0)->p_memsz--;
}
WRONG(around_the_end_of_memory)
{
    craft_segment(c, PT_LOAD, 2)->p_vaddr = UINT64_MAX - 16;
}
WRONG(around_the_end_of_offsets)
{
    craft_segment(c, PT_NOTE, 0)->p_offset = UINT64_MAX - 2;
}
WRONG(sections_around_the_end)
{
    craft_header(c)->e_shoff = UINT64_MAX - 2;
}
WRONG(no_dynamic)
{
    craft_segment(c, PT_DYNAMIC, 0)->p_type = PT_NULL;
}
WRONG(dynamic_elsewhere)
{
    craft_segment(c, PT_DYNAMIC, 0)->p_vaddr = 0x7000000;
}
WRONG(dynamic_from_elsewhere)
{
    craft_segment(c, PT_DYNAMIC, 0)->p_offset -= 16;
}
WRONG(dynamic_without_end)
{
    craft_segment(c, PT_DYNAMIC, 0)->p_filesz = 48;
}
WRONG(dynamic_twice)
{
    craft_dynamic(c, DT_SYMENT)->d_tag = DT_SYMTAB;
}
WRONG(strings_elsewhere)
{
    craft_dynamic(c, DT_STRTAB)->d_un.d_val = 0x7000000;
}
WRONG(strings_by_no_name)
{
    craft_dynamic(c, DT_STRTAB)->d_tag = DT_DEBUG;
}
WRONG(strings_without_end)
{
    craft_dynamic(c, DT_STRSZ)->d_un.d_val -= 3;
}
WRONG(no_hash)
{
    craft_dynamic(c, DT_GNU_HASH)->d_tag = DT_DEBUG;
}
WRONG(hash_elsewhere)
{
    craft_dynamic(c, DT_GNU_HASH)->d_un.d_val = 0x7000000;
}
WRONG(hash_with_many_buckets)
{
    *word(c, c->gnu_hash) = UINT32_MAX;
}
WRONG(hash_of_zeros)
{
    craft_dynamic(c, DT_GNU_HASH)->d_un.d_val = c->links + 0x20000 - 8;
}
WRONG(hash_chain_without_end)
{
    *word(c, c->gnu_hash + 24) = 1000000;
}
WRONG(hash_of_nothing)
{
    *word(c, c->gnu_hash + 24) = 0;
}
WRONG(hash_before_its_first)
{
    *word(c, c->gnu_hash + 24) = 1;
}
WRONG(hash_filter_of_three)
{
    *word(c, c->gnu_hash + 8) = 3;
}
WRONG(hash_shift_of_77)
{
    *word(c, c->gnu_hash + 12) = 77;
}
WRONG(hash_bucket_out_of_range)
{
    /* A second bucket, where the chain was; the chain moves on, over what follows. */
    *word(c, c->gnu_hash) = 2;
    *word(c, c->gnu_hash + 28) = 1;
    *word(c, c->gnu_hash + 36) = 1;
}
WRONG(old_hash_elsewhere)
{
    craft_dynamic(c, DT_HASH)->d_un.d_val = 0x7000000;
}
WRONG(old_hash_circle)
{
    *word(c, c->hash + 12 + 4 * 3) = 3;
}
WRONG(old_hash_out_of_range)
{
    *word(c, c->hash + 8) = 1000;
}
WRONG(old_hash_with_many_buckets)
{
    *word(c, c->hash) = 1000000;
}
WRONG(symbols_elsewhere)
{
    craft_dynamic(c, DT_SYMTAB)->d_un.d_val = 0x7000000;
}
WRONG(symbol_without_a_name)
{
    craft_symbol(c, "crafted_code")->st_name = 1000000;
}
WRONG(symbol_elsewhere)
{
    craft_symbol(c, "berth_entry")->st_value = 0x7000000;
}
WRONG(function_in_data)
{
    craft_symbol(c, "crafted_code")->st_value = c->links + 0x20000;
}
WRONG(symbol_of_an_unknown_kind)
{
    craft_symbol(c, "crafted_code")->st_info = ELF64_ST_INFO(STB_GLOBAL, 9);
}
WRONG(symbol_with_an_unknown_binding)
{
    craft_symbol(c, "crafted_code")->st_info = ELF64_ST_INFO(7, STT_FUNC);
}
WRONG(local_symbol_from_outside)
{
    craft_symbol(c, "getpid")->st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC);
}
WRONG(symbol_in_a_missing_section)
{
    craft_symbol(c, "crafted_code")->st_shndx = 200;
}
WRONG(thread_local_symbol_out_of_range)
{
    craft_symbol(c, "crafted_code")->st_info = ELF64_ST_INFO(STB_GLOBAL, STT_TLS);
}
WRONG(name_out_of_range)
{
    craft_dynamic(c, DT_SONAME)->d_un.d_val = 1000000;
}
WRONG(runpath_out_of_range)
{
    craft_dynamic(c, DT_RUNPATH)->d_un.d_val = 1000000;
}
WRONG(rpath_out_of_range)
{
    craft_dynamic(c, DT_RUNPATH)->d_un.d_val = 1000000;
    craft_dynamic(c, DT_RUNPATH)->d_tag = DT_RPATH;
}
WRONG(library_without_a_name)
{
    craft_dynamic(c, DT_NEEDED)->d_un.d_val = 0;
}
WRONG(notes_elsewhere)
{
    craft_segment(c, PT_NOTE, 0)->p_vaddr = 0x7000000;
}
WRONG(notes_from_elsewhere)
{
    craft_segment(c, PT_NOTE, 0)->p_offset += 4;
}
WRONG(note_longer_than_its_segment)
{
    *word(c, c->notes + 4) = 0x10000;
}
WRONG(note_as_long_as_can_be)
{
    *word(c, c->notes + 4) = UINT32_MAX;
    *word(c, c->notes) = UINT32_MAX;
}
WRONG(note_cut_off)
{
    craft_segment(c, PT_NOTE, 0)->p_filesz = 32 + 8;
    craft_segment(c, PT_NOTE, 0)->p_memsz = 32 + 8;
}
WRONG(property_longer_than_its_segment)
{
    craft_segment(c, PT_GNU_PROPERTY, 0)->p_filesz = 24;
    craft_segment(c, PT_GNU_PROPERTY, 0)->p_memsz = 24;
}
WRONG(property_elsewhere)
{
    craft_segment(c, PT_GNU_PROPERTY, 0)->p_vaddr += 4;
}
WRONG(unwinding_elsewhere)
{
    craft_segment(c, PT_GNU_EH_FRAME, 0)->p_vaddr = 0x7000000;
}
WRONG(headers_elsewhere)
{
    craft_segment(c, PT_PHDR, 0)->p_vaddr += 8;
}
WRONG(unaligned_segment)
{
    craft_segment(c, PT_LOAD, 1)->p_vaddr += 8;
}
WRONG(alignment_of_three)
{
    craft_segment(c, PT_LOAD, 1)->p_align = 3;
}
WRONG(overlapping_segments)
{
    craft_segment(c, PT_LOAD, 1)->p_vaddr -= 0x10000;
}
WRONG(distant_segments)
{
    craft_segment(c, PT_LOAD, 2)->p_memsz = (uint64_t)1 << 40;
}
WRONG(unreadable_segment)
{
    craft_segment(c, PT_LOAD, 0)->p_flags = 0;
}
WRONG(code_that_can_be_written)
{
    craft_segment(c, PT_LOAD, 1)->p_flags |= PF_W;
}
WRONG(constant_zeros)
{
    craft_segment(c, PT_LOAD, 1)->p_memsz++;
}
WRONG(two_stacks)
{
    craft_segment(c, PT_GNU_EH_FRAME, 0)->p_type = PT_GNU_STACK;
}
WRONG(executable_stack)
{
    craft_segment(c, PT_GNU_STACK, 0)->p_flags |= PF_X;
}
WRONG(no_word_about_the_stack)
{
    craft_segment(c, PT_GNU_STACK, 0)->p_type = PT_NULL;
}
WRONG(unaligned_dynamic)
{
    craft_segment(c, PT_DYNAMIC, 0)->p_memsz += 16;
}
WRONG(thread_local_elsewhere)
{
    craft_segment(c, PT_TLS, 0)->p_vaddr = 0x7000000;
}
WRONG(thread_local_giant)
{
    craft_segment(c, PT_TLS, 0)->p_memsz = (uint64_t)1 << 40;
}
WRONG(code_read_only_after_relocation)
{
    craft_segment(c, PT_GNU_RELRO, 0)->p_vaddr = 0x10000;
}
WRONG(all_read_only_after_relocation)
{
    craft_segment(c, PT_GNU_RELRO, 0)->p_memsz = 0x100000;
}
WRONG(odd_relocations)
{
    craft_dynamic(c, DT_RELAENT)->d_un.d_val = 12;
}
WRONG(relocations_of_the_other_kind)
{
    craft_dynamic(c, DT_FLAGS)->d_tag = DT_REL;
}
WRONG(filter)
{
    craft_dynamic(c, DT_FLAGS)->d_tag = DT_FILTER;
}
WRONG(not_to_be_opened)
{
    craft_dynamic(c, DT_FLAGS_1)->d_un.d_val |= DF_1_NOOPEN;
}
WRONG(text_relocations)
{
    craft_dynamic(c, DT_FLAGS)->d_un.d_val |= DF_TEXTREL;
}
WRONG(half_a_table)
{
    craft_dynamic(c, DT_RELASZ)->d_tag = DT_DEBUG;
}
WRONG(versions_without_lists)
{
    craft_dynamic(c, DT_VERSYM)->d_tag = DT_DEBUG;
}
WRONG(versions_elsewhere)
{
    craft_dynamic(c, DT_VERSYM)->d_un.d_val = 0x7000000;
}
WRONG(version_out_of_range)
{
    c->bytes[c->versions + 2] = 9;
}
WRONG(version_of_an_unknown_library)
{
    Elf64_Verneed *need = (Elf64_Verneed *)(void *)(c->bytes + c->needs);
    need->vn_file = craft_symbol(c, "getpid")->st_name;
}
WRONG(versions_without_end)
{
    Elf64_Vernaux *name =
        (Elf64_Vernaux *)(void *)(c->bytes + c->needs + sizeof(Elf64_Verneed) + 16);
    name->vna_next = 16;
}
WRONG(needs_far_away)
{
    ((Elf64_Verneed *)(void *)(c->bytes + c->needs))->vn_aux = 0x1000000;
}
WRONG(needs_elsewhere)
{
    craft_dynamic(c, DT_VERNEED)->d_un.d_val = 0x7000000;
}
WRONG(no_needs)
{
    craft_dynamic(c, DT_VERNEEDNUM)->d_un.d_val = 0;
}
WRONG(needs_go_on)
{
    craft_dynamic(c, DT_VERNEEDNUM)->d_un.d_val = 5;
}
WRONG(definitions_elsewhere)
{
    craft_dynamic(c, DT_VERDEF)->d_un.d_val = 0x7000000;
}
WRONG(definition_far_away)
{
    ((Elf64_Verdef *)(void *)(c->bytes + c->definitions))->vd_aux = 0x1000000;
}
WRONG(definition_of_version_7)
{
    ((Elf64_Verdef *)(void *)(c->bytes + c->definitions))->vd_version = 7;
}
WRONG(relocations_elsewhere)
{
    craft_dynamic(c, DT_RELA)->d_un.d_val = 0x7000000;
}
WRONG(relocation_of_code)
{
    craft_relocation(c, CRAFT_RELATIVE, 0)->r_offset = 0x10000 + c->text;
}
WRONG(relocation_twice)
{
    craft_relocation(c, CRAFT_RELATIVE, 1)->r_offset =
        craft_relocation(c, CRAFT_RELATIVE, 0)->r_offset;
}
WRONG(relocation_of_the_dynamic_table)
{
    craft_relocation(c, CRAFT_RELATIVE, 0)->r_offset = c->dynamic + 0x20000 + 8;
}
WRONG(relocation_to_nowhere)
{
    craft_relocation(c, CRAFT_RELATIVE, 0)->r_addend = 0x7000000;
}
WRONG(relocation_unknown)
{
    craft_relocation(c, CRAFT_SLOT, 0)->r_info = ELF64_R_INFO((uint64_t)1, 250);
}
WRONG(relocation_by_a_missing_symbol)
{
    craft_relocation(c, CRAFT_SLOT, 0)->r_info = ELF64_R_INFO((uint64_t)1000, CRAFT_SLOT);
}
WRONG(relocation_by_no_symbol)
{
    craft_relocation(c, CRAFT_SLOT, 0)->r_info = ELF64_R_INFO(0, CRAFT_SLOT);
}
WRONG(relocation_that_calls_data)
{
    Elf64_Rela *relocation = craft_relocation(c, CRAFT_RELATIVE, 0);
    relocation->r_info = ELF64_R_INFO(0, CRAFT_IRELATIVE);
}
WRONG(relocation_that_calls_code)
{
    Elf64_Rela *relocation = craft_relocation(c, CRAFT_SLOT, 0);
    relocation->r_info = ELF64_R_INFO(0, CRAFT_IRELATIVE);
    relocation->r_addend = (int64_t)(0x10000 + c->text);
}
WRONG(relocation_of_static_thread_data)
{
    craft_relocation(c, CRAFT_TLS_MODULE, 0)->r_info = ELF64_R_INFO(0, CRAFT_TLS_STATIC);
}
WRONG(relocation_of_no_thread_data)
{
    craft_segment(c, PT_TLS, 0)->p_type = PT_NULL;
}
WRONG(relocation_of_other_thread_data)
{
    craft_relocation(c, CRAFT_TLS_MODULE, 0)->r_info = ELF64_R_INFO((uint64_t)3, CRAFT_TLS_MODULE);
}
WRONG(relocation_with_a_descriptor)
{
    /* Two words: the second is the next relocation's. */
    Elf64_Rela *relocation = craft_relocation(c, CRAFT_TLS_MODULE, 0);
    relocation->r_info = ELF64_R_INFO(0, CRAFT_TLS_DESCRIPTOR);
    relocation->r_offset -= 8;
}
WRONG(relocation_none)
{
    craft_relocation(c, CRAFT_SLOT, 0)->r_info = 0;
}
WRONG(relocations_not_relative)
{
    craft_dynamic(c, DT_FLAGS)->d_tag = DT_RELACOUNT;
    craft_dynamic(c, DT_RELACOUNT)->d_un.d_val = c->rela_count;
}
WRONG(compact_elsewhere)
{
    craft_dynamic(c, DT_RELR)->d_un.d_val = 0x7000000;
}
WRONG(compact_without_a_start)
{
    c->bytes[c->relr] |= 1;
}
WRONG(compact_of_all)
{
    memset(c->bytes + c->relr + 8, 0xff, 16);
}
WRONG(constructor_elsewhere)
{
    c->bytes[c->inits + 2] = 0x77;
}
WRONG(constructor_by_no_relocation)
{
    memset(c->bytes + c->relr, 0, 24);
    *word(c, c->relr) = (uint32_t)(c->slots + 8 + 0x20000);
    craft_dynamic(c, DT_RELRSZ)->d_un.d_val = 8;
}
WRONG(destructor_by_a_slot)
{
    craft_relocation(c, CRAFT_ADDRESS, 1)->r_info = ELF64_R_INFO((uint64_t)3, CRAFT_SLOT);
}
WRONG(destructor_of_libc)
{
    craft_relocation(c, CRAFT_ADDRESS, 1)->r_info = ELF64_R_INFO((uint64_t)1, CRAFT_ADDRESS);
}
WRONG(destructor_in_data)
{
    craft_relocation(c, CRAFT_ADDRESS, 1)->r_info = ELF64_R_INFO((uint64_t)2, CRAFT_ADDRESS);
}
WRONG(initialiser_in_data)
{
    craft_dynamic(c, DT_INIT)->d_un.d_val = 0x20000 + c->links;
}
WRONG(addresses_elsewhere)
{
    craft_dynamic(c, DT_PLTGOT)->d_un.d_val = 0x7000000;
}
WRONG(sections_odd)
{
    craft_header(c)->e_shentsize = 8;
}
WRONG(sections_without_names)
{
    craft_header(c)->e_shstrndx = 0;
}
WRONG(sections_with_bad_names)
{
    craft_section(c, ".strings")->sh_size--;
}
WRONG(section_elsewhere)
{
    craft_section(c, ".dynstr")->sh_addr = 0x7000000;
}
WRONG(section_from_elsewhere)
{
    craft_section(c, ".hash")->sh_offset += 8;
}
WRONG(section_symbols)
{
    craft_section(c, ".dynsym")->sh_size -= 24;
}
WRONG(section_strings)
{
    craft_section(c, ".dynstr")->sh_size--;
}
WRONG(section_versions)
{
    craft_section(c, ".versions")->sh_size--;
}
WRONG(section_needs)
{
    craft_section(c, ".needs")->sh_info = 7;
}
WRONG(section_definitions)
{
    craft_section(c, ".definitions")->sh_info = 7;
}
WRONG(section_hash)
{
    craft_section(c, ".gnu.hash")->sh_addr += 8;
    craft_section(c, ".gnu.hash")->sh_offset += 8;
}
WRONG(section_notes)
{
    craft_section(c, ".note")->sh_size += 16;
}
WRONG(section_relr)
{
    craft_section(c, ".relr")->sh_size -= 8;
}
WRONG(section_constructors)
{
    craft_section(c, ".init_array")->sh_size += 8;
}
WRONG(section_destructors)
{
    craft_section(c, ".fini_array")->sh_size += 8;
}
WRONG(section_dynamic)
{
    craft_section(c, ".dynamic")->sh_size -= 16;
}
WRONG(section_calls)
{
    craft_section(c, ".calls")->sh_size += 8;
}
WRONG(section_init)
{
    craft_section(c, ".init")->sh_addr += 4;
    craft_section(c, ".init")->sh_offset += 4;
    craft_section(c, ".init")->sh_size -= 4;
}
WRONG(section_thread_data)
{
    craft_section(c, ".tdata")->sh_size = 64;
}
WRONG(section_data_made_read_only)
{
    craft_segment(c, PT_GNU_RELRO, 0)->p_memsz += 64;
}
WRONG(section_code_in_data)
{
    craft_section(c, ".data")->sh_flags |= SHF_EXECINSTR;
}

static const struct {
    const char *name;
    void (*change)(struct craft *craft);
    unsigned options;
    int code;
    const char *words;
} wrongs[] = {
#define FINE(change, options)                               \
    {                                                       \
#change "_" #options, change, options, BERTH_OK, "" \
    }
#define LOST(change, options, words)                                  \
    {                                                                 \
#change "_" #options, change, options, BERTH_DATA_LOSS, words \
    }
#define BAD(change, options, words)                                          \
    {                                                                        \
#change "_" #options, change, options, BERTH_INVALID_ARGUMENT, words \
    }
#define NOT(change, options, words)                                             \
    {                                                                           \
#change "_" #options, change, options, BERTH_FAILED_PRECONDITION, words \
    }
    FINE(nothing, 0),
    FINE(nothing, 1),
    FINE(nothing, 4),
    FINE(nothing, 5),
    FINE(nothing, 8),
    FINE(nothing, 9),
    FINE(sections_without_names, 9),
    FINE(sections_with_bad_names, 1),
    FINE(relocation_that_calls_code, 0),
    FINE(relocation_none, 0),
    FINE(destructor_of_libc, 0),
    BAD(empty, 0, "an empty file"),
    BAD(text, 0, "not an ELF file"),
    BAD(three_bytes, 0, "not an ELF file"),
    LOST(half_a_header, 0, "truncated: 40 bytes"),
    LOST(no_program_headers, 0, "truncated: its program headers lie outside of its 100 bytes"),
    LOST(truncated, 0, "truncated: 40 bytes are missing"),
    LOST(truncated_sections, 1, "truncated: 1 bytes are missing"),
    BAD(bits_32, 0, "made for 32-bit i386, this is "),
    LOST(bits_7, 0, "class 7"),
    BAD(big_endian, 0, "made for a big-endian machine"),
    LOST(no_endian, 0, "unknown version"),
    BAD(riscv, 0, "made for riscv, this is "),
    BAD(unheard_of, 0, "made for machine 54321, this is "),
    LOST(version_2, 0, "unknown version"),
    BAD(executable, 0, "an executable, not a shared object"),
    BAD(position_independent_executable, 0, "an executable, not a shared object"),
    BAD(object, 0, "an object file, not a shared object"),
    BAD(core, 0, "a core dump, not a shared object"),
    LOST(type_99, 0, "type 99"),
    LOST(no_segments, 0, "0 program headers"),
    LOST(many_segments, 0, "1000 program headers"),
    LOST(odd_segments, 0, "of 32 bytes"),
    LOST(far_segments, 0, "truncated"),
    LOST(nothing_loaded, 0, "loads nothing"),
    LOST(more_in_file_than_memory, 0, "impossible addresses"),
    LOST(around_the_end_of_memory, 0, "impossible addresses"),
    LOST(around_the_end_of_offsets, 0, "impossible offset"),
    LOST(sections_around_the_end, 1, "impossible offset"),
    BAD(no_dynamic, 0, "a static object"),
    LOST(dynamic_elsewhere, 0, "dynamic table is not loaded"),
    LOST(dynamic_from_elsewhere, 0, "dynamic table is not loaded"),
    LOST(dynamic_without_end, 0, "no end"),
    LOST(dynamic_twice, 0, "tag 0x6 twice"),
    LOST(strings_elsewhere, 0, "strings is not whole"),
    LOST(strings_by_no_name, 0, "strings is not whole"),
    LOST(strings_without_end, 0, "strings is not whole"),
    LOST(no_hash, 0, "no hash table"),
    LOST(hash_elsewhere, 0, "hash table is not whole"),
    LOST(hash_with_many_buckets, 0, "hash table is not whole"),
    LOST(hash_of_zeros, 0, "leads astray"),
    LOST(hash_chain_without_end, 0, "hash table is not whole"),
    LOST(hash_of_nothing, 0, "would go astray"),
    LOST(hash_before_its_first, 0, "hash table is not whole"),
    LOST(hash_filter_of_three, 0, "leads astray"),
    LOST(hash_shift_of_77, 0, "leads astray"),
    LOST(hash_bucket_out_of_range, 0, "leads astray"),
    LOST(old_hash_elsewhere, 4, "hash table is not loaded"),
    LOST(old_hash_circle, 4, "leads astray"),
    LOST(old_hash_out_of_range, 4, "leads astray"),
    LOST(old_hash_with_many_buckets, 4, "leads astray"),
    LOST(symbols_elsewhere, 0, "symbols is not whole"),
    LOST(symbol_without_a_name, 0, "name out of range"),
    LOST(symbol_elsewhere, 0, "symbol berth_entry is not where it says"),
    LOST(function_in_data, 0, "symbol crafted_code is not"),
    LOST(symbol_of_an_unknown_kind, 0, "symbol crafted_code is not"),
    LOST(symbol_with_an_unknown_binding, 0, "symbol crafted_code is not"),
    LOST(local_symbol_from_outside, 0, "symbol getpid is not"),
    LOST(symbol_in_a_missing_section, 1, "symbol crafted_code is not"),
    LOST(thread_local_symbol_out_of_range, 0, "symbol crafted_code is not"),
    LOST(name_out_of_range, 0, "a name in its dynamic table"),
    LOST(runpath_out_of_range, 0, "a name in its dynamic table"),
    LOST(rpath_out_of_range, 0, "a name in its dynamic table"),
    LOST(library_without_a_name, 0, "a needed library has no name"),
    LOST(notes_elsewhere, 0, "of notes, is not loaded"),
    LOST(notes_from_elsewhere, 0, "of notes, is not loaded"),
    LOST(note_longer_than_its_segment, 0, "offset 0 of its segment is longer"),
    LOST(note_as_long_as_can_be, 0, "offset 0 of its segment is longer"),
    LOST(note_cut_off, 0, "offset 32 of its segment is cut off"),
    LOST(property_longer_than_its_segment, 0, "longer than that"),
    LOST(property_elsewhere, 0, "of type 0x6474e553, is not loaded"),
    LOST(unwinding_elsewhere, 0, "of type 0x6474e550, is not loaded"),
    LOST(headers_elsewhere, 0, "of type 0x6, is not loaded"),
    LOST(unaligned_segment, 0, "not aligned"),
    LOST(alignment_of_three, 0, "not aligned"),
    LOST(overlapping_segments, 0, "overlap"),
    LOST(distant_segments, 0, "too far apart"),
    LOST(unreadable_segment, 0, "cannot be read"),
    NOT(code_that_can_be_written, 0, "both writable and executable"),
    LOST(constant_zeros, 0, "longer than its content"),
    LOST(two_stacks, 0, "two segments of type 0x6474e551"),
    NOT(executable_stack, 0, "-z noexecstack"),
    NOT(no_word_about_the_stack, 0, "-z noexecstack"),
    LOST(unaligned_dynamic, 0, "of type 0x2, is not loaded"),
    LOST(thread_local_elsewhere, 0, "thread-local data are not loaded"),
    LOST(thread_local_giant, 0, "thread-local data are not loaded"),
    LOST(code_read_only_after_relocation, 0, "read-only after relocation is not loaded"),
    LOST(all_read_only_after_relocation, 0, "read-only after relocation is not loaded"),
    LOST(odd_relocations, 0, "entries of an unknown size"),
    LOST(relocations_of_the_other_kind, 0, "of a kind not used here"),
    { "filter", filter, 0, BERTH_UNIMPLEMENTED, "a filter of another library" },
    NOT(not_to_be_opened, 0, "-z nodlopen"),
    NOT(text_relocations, 0, "compile it with -fPIC"),
    LOST(half_a_table, 0, "tells of relocations only half"),
    LOST(versions_without_lists, 0, "tells of versions only half"),
    LOST(versions_elsewhere, 0, "symbol 0 has a version out of range"),
    LOST(version_out_of_range, 0, "symbol 1 has a version out of range"),
    LOST(version_of_an_unknown_library, 0, "lists of versions lead astray"),
    LOST(versions_without_end, 0, "lists of versions lead astray"),
    LOST(needs_far_away, 0, "lists of versions lead astray"),
    LOST(needs_elsewhere, 0, "lists of versions lead astray"),
    LOST(no_needs, 0, "lists of versions lead astray"),
    LOST(needs_go_on, 0, "lists of versions lead astray"),
    LOST(definitions_elsewhere, 0, "lists of versions lead astray"),
    LOST(definition_far_away, 0, "lists of versions lead astray"),
    LOST(definition_of_version_7, 0, "lists of versions lead astray"),
    LOST(relocations_elsewhere, 0, "a table of relocations is not whole"),
    LOST(relocation_of_code, 0, "relocation 0, of type "),
    LOST(relocation_twice, 0, "would go astray"),
    LOST(relocation_of_the_dynamic_table, 0, "would go astray"),
    LOST(relocation_to_nowhere, 0, "would go astray"),
    LOST(relocation_unknown, 0, "of type 250 "),
    LOST(relocation_by_a_missing_symbol, 0, "would go astray"),
    LOST(relocation_by_no_symbol, 0, "would go astray"),
    LOST(relocation_that_calls_data, 0, "would go astray"),
    LOST(relocation_of_static_thread_data, 0, "would go astray"),
    LOST(relocation_of_no_thread_data, 0, "would go astray"),
    LOST(relocation_of_other_thread_data, 0, "would go astray"),
    LOST(relocation_with_a_descriptor, 0, "would go astray"),
    LOST(relocations_not_relative, 0, "would go astray"),
    LOST(compact_elsewhere, 0, "compact table of relocations"),
    LOST(compact_without_a_start, 0, "compact table of relocations"),
    LOST(compact_of_all, 0, "compact table of relocations"),
    LOST(constructor_elsewhere, 0, "compact table of relocations"),
    LOST(constructor_by_no_relocation, 0, "a constructor or destructor is not in its code"),
    LOST(destructor_by_a_slot, 0, "would go astray"),
    LOST(destructor_in_data, 0, "would go astray"),
    LOST(initialiser_in_data, 0, "a constructor or destructor is not in its code"),
    LOST(addresses_elsewhere, 0, "table of addresses is not loaded"),
    LOST(sections_odd, 1, "section headers are not whole"),
    LOST(section_elsewhere, 1, "(.dynstr) is not what"),
    LOST(section_from_elsewhere, 1, "(.hash) is not what"),
    LOST(section_symbols, 1, "(.dynsym) is not what"),
    LOST(section_strings, 1, "(.dynstr) is not what"),
    LOST(section_versions, 1, "(.versions) is not what"),
    LOST(section_needs, 1, "(.needs) is not what"),
    LOST(section_definitions, 1, "(.definitions) is not what"),
    LOST(section_hash, 1, "(.gnu.hash) is not what"),
    LOST(section_notes, 1, "(.note) is not what"),
    LOST(section_relr, 1, "(.relr) is not what"),
    LOST(section_constructors, 1, "(.init_array) is not what"),
    LOST(section_destructors, 1, "(.fini_array) is not what"),
    LOST(section_dynamic, 1, "(.dynamic) is not what"),
    LOST(section_calls, 1, "(.calls) is not what"),
    LOST(section_init, 1, "(.init) is not what"),
    LOST(section_thread_data, 1, "(.tdata) is not what"),
    LOST(section_data_made_read_only, 1, "(.data) is not what"),
    LOST(section_code_in_data, 1, "(.data) is not what"),
};

static struct craft *make(size_t index)
{
    struct craft *craft = craft_new(NULL, 0, wrongs[index].options);
    wrongs[index].change(craft);
    return craft;
}

/* An exact copy: reading one byte too far is then an error that ASan and valgrind see. */
static int read_exactly(const void *bytes, size_t size, struct berth_error *error)
{
    struct berth_arena arena;
    struct berth_elf *elf = NULL;
    unsigned char *copy = malloc(size);

    if (size)
        memcpy(copy, bytes, size);
    berth_arena_init(&arena);
    int code = berth_elf_read(copy, size, &arena, &elf, error);
    if (!code)
        code = berth_elf_check(copy, size, elf, error);
    berth_arena_deinit(&arena);
    free(copy);
    return code;
}

static void each_wrong_is_named(void)
{
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        struct craft *craft = make(i);
        struct berth_error error = { .text = "" };
        int code = read_exactly(craft->bytes, craft->size, &error);
        if (code != wrongs[i].code || !strstr(error.text, wrongs[i].words))
            berth_note("%s: %s: %s", wrongs[i].name, berth_code_name(code), error.text);
        CHECK_CODE(code, wrongs[i].code, &error);
        CHECK_CONTAINS(error.text, wrongs[i].words);
    }
}

static void every_length_is_safe(void)
{
    struct craft *craft = craft_new(NULL, 0, CRAFT_SECTIONS);
    for (size_t size = 0; size < craft->size; size++) {
        struct berth_error error = { .code = 0 };
        if (read_exactly(craft->bytes, size, &error) == BERTH_OK)
            berth_note("%zu of %zu bytes are taken for the whole", size, craft->size);
        CHECK(error.code != BERTH_OK);
    }
}

/* ---- Lists that are longer than anybody's ---- */

/* More bytes at the end of a file without sections, loaded as data; their offset in *ret_offset. */
static void *grow(struct craft *c, size_t more, size_t *ret_offset)
{
    unsigned char *bytes = berth_test_alloc(c->size + more);

    memcpy(bytes, c->bytes, c->size);
    memset(bytes + c->size, 0, more);
    c->bytes = bytes;
    *ret_offset = c->size;
    c->size += more;
    Elf64_Phdr *data = craft_segment(c, PT_LOAD, 2);
    data->p_filesz += more;
    data->p_memsz = data->p_filesz;
    return bytes + *ret_offset;
}

static uint64_t address_of(struct craft *c, size_t offset)
{
    const Elf64_Phdr *data = craft_segment(c, PT_LOAD, 2);
    return offset - data->p_offset + data->p_vaddr;
}

/* Each library is looked for among those that are needed. */
static void needed_libraries_are_bounded(void)
{
    for (size_t count = 1024; count <= 1025; count++) {
        struct craft *craft = craft_new(NULL, 0, 0);
        struct berth_error error = { .text = "" };
        Elf64_Dyn *libc = craft_dynamic(craft, DT_NEEDED);
        size_t old = craft->dynamic, offset, size = craft_segment(craft, PT_DYNAMIC, 0)->p_filesz;
        Elf64_Dyn needed = *libc,
                  *table = grow(craft, (count - 1) * sizeof(needed) + size, &offset);
        for (size_t i = 1; i < count; i++)
            table[i - 1] = needed;
        memcpy(table + count - 1, craft->bytes + old, size);
        Elf64_Phdr *dynamic = craft_segment(craft, PT_DYNAMIC, 0);
        dynamic->p_filesz = dynamic->p_memsz = (count - 1) * sizeof(needed) + size;
        dynamic->p_offset = offset;
        dynamic->p_vaddr = address_of(craft, offset);
        CHECK_CODE(read_exactly(craft->bytes, craft->size, &error),
                   count > 1024 ? BERTH_DATA_LOSS : BERTH_OK, &error);
        if (count > 1024)
            CHECK_CONTAINS(error.text, "more than 1024 libraries");
    }
}

/* Lists of versions may share their tails, so that a small file has very long ones. */
static void versions_are_bounded(void)
{
    enum { NEEDS = 1000, NAMES = 40 };
    struct craft *craft = craft_new(NULL, 0, 0);
    struct berth_error error = { .text = "" };
    Elf64_Verneed need;
    Elf64_Vernaux name;
    size_t offset, from = craft->needs;

    memcpy(&need, craft->bytes + from, sizeof(need));
    memcpy(&name, craft->bytes + from + need.vn_aux, sizeof(name));
    Elf64_Verneed *needs = grow(craft, NEEDS * sizeof(need) + NAMES * sizeof(name), &offset);
    Elf64_Vernaux *names = (Elf64_Vernaux *)(void *)(needs + NEEDS);
    for (size_t i = 0; i < NEEDS; i++) {
        needs[i] = need;
        needs[i].vn_cnt = NAMES;
        needs[i].vn_aux = (Elf64_Word)((NEEDS - i) * sizeof(need));
        needs[i].vn_next = i + 1 < NEEDS ? sizeof(need) : 0;
    }
    for (size_t i = 0; i < NAMES; i++) {
        names[i] = name;
        names[i].vna_next = i + 1 < NAMES ? sizeof(name) : 0;
    }
    craft_dynamic(craft, DT_VERNEED)->d_un.d_val = address_of(craft, offset);
    craft_dynamic(craft, DT_VERNEEDNUM)->d_un.d_val = 10;
    needs[9].vn_next = 0;
    CHECK_CODE(read_exactly(craft->bytes, craft->size, &error), BERTH_OK, &error);
    craft_dynamic(craft, DT_VERNEEDNUM)->d_un.d_val = NEEDS;
    needs[9].vn_next = sizeof(need);
    CHECK_CODE(read_exactly(craft->bytes, craft->size, &error), BERTH_DATA_LOSS, &error);
    CHECK_CONTAINS(error.text, "lists of versions lead astray");
}

/* ---- What it says of a good one ---- */

static struct berth_elf *read_crafted(struct berth_arena *arena, struct craft *craft)
{
    struct berth_elf *elf = NULL;
    struct berth_error error;

    berth_arena_init(arena);
    CHECK_CODE(berth_elf_read(craft->bytes, craft->size, arena, &elf, &error), BERTH_OK, &error);
    REQUIRE(elf != NULL);
    return elf;
}

static void a_file_is_described(void)
{
    struct craft *craft = craft_new(NULL, 0, 0);
    craft_dynamic(craft, DT_FLAGS)->d_un.d_val |= DF_STATIC_TLS | DF_SYMBOLIC;
    craft_dynamic(craft, DT_FLAGS_1)->d_un.d_val |= DF_1_NODELETE;
    struct berth_arena arena;
    struct berth_elf *elf = read_crafted(&arena, craft);

    CHECK_STR(elf->soname, "crafted.so");
    CHECK_STR(elf->runpath, "/nowhere:/nor/here");
    CHECK(elf->rpath == NULL);
    CHECK_INT(elf->needed_count, 1);
    CHECK_STR(elf->needed[0], "libc.so.6");
    CHECK_INT(elf->low, 0);
    CHECK(elf->high > 0x20000 && elf->high < 0x30000);
    CHECK_INT(elf->segment_count, 3);
    CHECK(elf->segments[1].executable && !elf->segments[1].writable);
    CHECK(elf->segments[2].writable && !elf->segments[2].executable);
    CHECK_INT(elf->segments[2].high, elf->high);
    CHECK(elf->relro && elf->now && elf->static_tls && elf->symbolic && elf->nodelete);
    CHECK(!elf->text_relocations && !elf->executable_stack && !elf->has_unique);
    CHECK_INT(elf->tls_size, 8);
    CHECK_INT(elf->entry, craft->entry + 0x20000);
    berth_arena_deinit(&arena);
}

static void a_symbol_that_is_unique_in_the_process_is_seen(void)
{
    struct craft *craft = craft_new(NULL, 0, 0);
    craft_symbol(craft, "crafted_code")->st_info = ELF64_ST_INFO(STB_GNU_UNIQUE, STT_FUNC);
    struct berth_arena arena;

    CHECK(read_crafted(&arena, craft)->has_unique);
    berth_arena_deinit(&arena);
}

static void an_entry_that_is_hidden_is_none(void)
{
    struct berth_arena arena;
    CHECK_INT(read_crafted(&arena, craft_new(NULL, 0, CRAFT_NO_ENTRY))->entry, 0);
    berth_arena_deinit(&arena);
}

/* ---- Notes ---- */

static void records_are_found_among_other_notes(void)
{
    static const struct craft_record records[] = {
        CRAFT("a=1"),
        { .text = "not ours", .size = 8, .owner = "Other" },
        { .text = "ours, but by another name", .size = 20, .owner = "Bertha" },
        CRAFT("b=22"),
        { .text = "", .size = 0 },
        { .text = "c=3", .size = 4, .type = 9 },
    };
    struct craft *craft = craft_new(records, COUNT(records), CRAFT_PLAIN);
    struct berth_arena arena;
    struct berth_elf *elf = read_crafted(&arena, craft);

    REQUIRE(elf->record_count == 4);
    CHECK_STR(elf->records[0].text, "a=1");
    CHECK_INT(elf->records[0].size, 4);
    CHECK_INT(elf->records[0].type, 1);
    CHECK_INT(elf->records[0].address,
              (const unsigned char *)elf->records[0].text - craft->bytes - 20);
    CHECK_STR(elf->records[1].text, "b=22");
    CHECK_INT(elf->records[2].size, 0);
    CHECK_INT(elf->records[3].type, 9);

    /* The same bytes in a segment of alignment 8, and in two of them. */
    craft_segment(craft, PT_NOTE, 0)->p_align = 8;
    craft_segment(craft, PT_GNU_EH_FRAME, 0)->p_type = PT_NOTE;
    *craft_segment(craft, PT_NOTE, 1) = *craft_segment(craft, PT_NOTE, 0);
    berth_arena_deinit(&arena);
    CHECK_INT(read_crafted(&arena, craft)->record_count, 8);
    berth_arena_deinit(&arena);
}

static void records_have_a_limit(void)
{
    static const struct craft_record tiny = { .text = "", .size = 0 };
    size_t count = 16385;
    struct craft_record *records = berth_test_alloc(count * sizeof(*records));
    struct berth_arena arena;
    struct berth_elf *elf;
    struct berth_error error;

    for (size_t i = 0; i < count; i++)
        records[i] = tiny;
    berth_arena_init(&arena);
    struct craft *craft = craft_new(records, count - 1, CRAFT_PLAIN);
    CHECK_CODE(berth_elf_read(craft->bytes, craft->size, &arena, &elf, &error), BERTH_OK, &error);
    CHECK_INT(elf->record_count, count - 1);
    craft = craft_new(records, count, CRAFT_PLAIN);
    CHECK_CODE(berth_elf_read(craft->bytes, craft->size, &arena, &elf, &error), BERTH_DATA_LOSS,
               &error);
    CHECK_CONTAINS(error.text, "more than 16384 records");
    berth_arena_deinit(&arena);
}

/* ---- What real compilers and linkers write ---- */

static bool builds(const char *compiler, const char *flags, const char *source, const char *name)
{
    return berth_test_shell(NULL,
                            berth_test_format("%s -shared -fPIC -fvisibility=hidden -I%s -I%s %s "
                                              "%s -o %s/%s",
                                              compiler, berth_test_source("include"),
                                              berth_test_built("include"), flags, source,
                                              berth_test_dir(), name)) == 0;
}

static void check_built(const char *name, size_t records)
{
    size_t size;
    char *bytes = berth_test_read(berth_test_format("%s/%s", berth_test_dir(), name), &size);
    struct berth_arena arena;
    struct berth_elf *elf = NULL;
    struct berth_error error;

    berth_arena_init(&arena);
    int code = berth_elf_read(bytes, size, &arena, &elf, &error);
    CHECK_CODE(code, BERTH_OK, &error);
    if (!code) {
        CHECK_CODE(berth_elf_check(bytes, size, elf, &error), BERTH_OK, &error);
        CHECK_INT(elf->record_count, records);
        CHECK(elf->entry != 0);
    }
    berth_arena_deinit(&arena);
}

static void what_linkers_write_is_sound(void)
{
    static const char *const compilers[] = { "gcc", "clang" };
    static const char *const linkers[] = { "bfd", "gold", "lld" };
    static const char *const flags[] = {
        "-O0",
        "-O2 -Wl,-z,now",
        "-O2 -Wl,--gc-sections -ffunction-sections -s",
        "-O2 -flto",
        "-Wl,--hash-style=sysv",
        "-Wl,--hash-style=both -Wl,-z,noseparate-code",
        "-Wl,-z,norelro -g",
        "-fcf-protection=full -Wl,-z,pack-relative-relocs",
    };
    const char *source = berth_test_source("tests/fixtures/greet.c");
    unsigned built = 0;

    for (size_t c = 0; c < COUNT(compilers); c++)
        for (size_t l = 0; l < COUNT(linkers); l++)
            for (size_t f = 0; f < COUNT(flags); f++) {
                const char *with = berth_test_format("%s -fuse-ld=%s", flags[f], linkers[l]);
                if (!strcmp(with, "-O2 -flto -fuse-ld=lld") && !strcmp(compilers[c], "gcc"))
                    continue; /* lld finds nothing in gcc's files, and says nothing */
                if (!builds(compilers[c], with, source, "built.so"))
                    continue; /* not there, or it does not know the flags */
                check_built("built.so", 4);
                built++;
            }
    berth_note("%u of %zu combinations", built, COUNT(compilers) * COUNT(linkers) * COUNT(flags));
    if (!built)
        berth_skip("no compiler");
}

static void stripped_files_are_sound(void)
{
    static const char *const tools[] = { "strip", "strip --strip-all",
                                         "llvm-objcopy --strip-sections", "llvm-strip",
                                         "objcopy --strip-debug" };
    unsigned run = 0;

    if (!builds("cc", "-g", berth_test_source("tests/fixtures/greet.c"), "whole.so"))
        berth_skip("no compiler");
    for (size_t i = 0; i < COUNT(tools); i++) {
        if (berth_test_shell(NULL, berth_test_format("cd %s && cp whole.so less.so && %s less.so",
                                                     berth_test_dir(), tools[i])) != 0)
            continue;
        check_built("less.so", 4);
        run++;
    }
    berth_note("%u of %zu tools", run, COUNT(tools));
}

static const struct berth_test tests[] = {
    { "each_wrong_is_named", each_wrong_is_named },
    { "every_length_is_safe", every_length_is_safe },
    { "needed_libraries_are_bounded", needed_libraries_are_bounded },
    { "versions_are_bounded", versions_are_bounded },
    { "a_file_is_described", a_file_is_described },
    { "a_symbol_that_is_unique_in_the_process_is_seen",
      a_symbol_that_is_unique_in_the_process_is_seen },
    { "an_entry_that_is_hidden_is_none", an_entry_that_is_hidden_is_none },
    { "records_are_found_among_other_notes", records_are_found_among_other_notes },
    { "records_have_a_limit", records_have_a_limit },
    { "what_linkers_write_is_sound", what_linkers_write_is_sound },
    { "stripped_files_are_sound", stripped_files_are_sound },
};

static int write_corpus(const char *directory)
{
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        struct craft *craft = make(i);
        berth_test_write(berth_test_format("%s/%s", directory, wrongs[i].name), craft->bytes,
                         craft->size);
        berth_scratch_clear();
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--corpus") == 0)
        return write_corpus(argv[2]);
    return berth_suite_main("elf", tests, COUNT(tests), argc, argv);
}
