/* SPDX-License-Identifier: MIT */
#include "runtime/image/doctor_libraries.h"

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/image/library.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define TOLD_MAX 32 /* of one kind: whoever lacks more lacks a library */

struct look {
    struct berth_findings *findings;
    const char *program;           /* or NULL */
    struct berth_libraries own;    /* the file, and what it needs */
    struct berth_libraries global; /* the program, and what that needs: only when it is asked for */
    struct berth_libraries guesses; /* where a symbol might be, likewise */
    bool has_global, has_guesses;
    size_t missing;
};

/* ---- libraries ---- */

static void tell_library(struct look *look, const struct berth_library *loader, const char *name,
                         const struct berth_error *error)
{
    bool direct = loader == look->own.first;

    if (error->code == BERTH_NOT_FOUND)
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "missing_library",
                           "install it; or, if it lies beside the module, link with "
                           "-Wl,-rpath,'$ORIGIN' and give it that soname",
                           "it needs the library %s, which is not found%s%s", name,
                           direct ? "" : "; who needs it is ", direct ? "" : loader->path);
    else
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "bad_library",
                           "install one for this machine", "it needs the library %s, but %s", name,
                           error->text);
}

/* Breadth-first: the list grows while it is walked. */
static void add_all(struct look *look, struct berth_libraries *libraries, bool tell)
{
    struct berth_library *found;
    struct berth_error error;
    const char *name;

    for (const struct berth_library *each = libraries->first; each; each = each->next)
        for (size_t i = 0; (name = berth_library_next_need(each, &i));)
            if (berth_libraries_need(libraries, each, name, &found, &error) != BERTH_OK && tell)
                tell_library(look, each, name, &error);
}

/* Whose names come before a module's own. NULL: it cannot be read. */
static const struct berth_libraries *global(struct look *look)
{
    char path[PATH_MAX];

    if (look->has_global)
        return look->global.first ? &look->global : NULL;
    look->has_global = true;
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[length > 0 ? length : 0] = '\0';
    if (berth_libraries_init(&look->global, NULL) != BERTH_OK ||
        berth_libraries_begin(&look->global, look->program ? look->program : path, NULL, 0, NULL) !=
            BERTH_OK)
        return NULL;
    add_all(look, &look->global, false);
    return &look->global;
}

/* ---- versions ---- */

unsigned berth_glibc_number(const char *text)
{
    unsigned parts[2] = { 0, 0 };

    for (int i = 0; i < 2; i++, text++) {
        while (*text >= '0' && *text <= '9' && parts[i] < 1000)
            parts[i] = parts[i] * 10 + (unsigned)(*text++ - '0');
        if (*text != '.')
            break;
    }
    return parts[0] * 1000 + parts[1];
}

#define GLIBC "GLIBC_"

static unsigned glibc_of(const struct berth_elf_version *version)
{
    size_t length = strlen(GLIBC);
    return version->name && version->file && strncmp(version->name, GLIBC, length) == 0
               ? berth_glibc_number(version->name + length)
               : 0;
}

static unsigned needed_glibc(const struct berth_library *library)
{
    unsigned needed = 0;

    for (size_t i = 0; i < library->versions.count; i++) {
        unsigned number = glibc_of(&library->versions.entries[i]);
        needed = number > needed ? number : needed;
    }
    return needed;
}

/* A glibc that is too old is one finding, told elsewhere. */
static void check_versions(struct look *look, const struct berth_library *library, unsigned here)
{
    for (size_t i = 0; i < library->versions.count; i++) {
        const struct berth_elf_version *version = &library->versions.entries[i];
        const struct berth_library *other =
            version->name && version->file ? berth_libraries_find(&look->own, version->file) : NULL;
        if (!other || version->weak || glibc_of(version) > here ||
            berth_elf_has_version(&other->versions, version->name))
            continue;
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "missing_version",
                           "install the library that it was linked with, or link it again here",
                           "%s needs version %s of %s, which %s does not have",
                           library == look->own.first ? "it" : library->path, version->name,
                           version->file, other->path);
    }
}

static unsigned check_glibc(struct look *look)
{
    unsigned needed = needed_glibc(look->own.first),
             here = berth_glibc_number(gnu_get_libc_version());

    if (needed > here)
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "newer_glibc",
                           "build it on a system as old as this one, or older",
                           "it needs glibc %u.%u, and this system has %u.%u", needed / 1000,
                           needed % 1000, here / 1000, here % 1000);
    for (const struct berth_library *each = look->own.first; each; each = each->next)
        check_versions(look, each, here);
    return needed;
}

/* ---- what it needs of others ---- */

/* Where what is missing is mostly found: the library, and what links with it. */
static const struct guess {
    const char *soname, *option;
} guesses[] = {
    { "libm.so.6", "-lm" },         { "libstdc++.so.6", "-lstdc++" },
    { "libgcc_s.so.1", "-lgcc_s" }, { "libresolv.so.2", "-lresolv" },
    { "libcrypt.so.1", "-lcrypt" }, { "libz.so.1", "-lz" },
    { "libffi.so.8", "-lffi" },     { "libcjson.so.1", "-lcjson" },
    { "libssl.so.3", "-lssl" },     { "libcrypto.so.3", "-lcrypto" },
    { "libcurl.so.4", "-lcurl" },   { "libsqlite3.so.0", "-lsqlite3" },
    { "libuuid.so.1", "-luuid" },   { "libseccomp.so.2", "-lseccomp" },
};

static const struct guess *guess_at(struct look *look, const char *name)
{
    struct berth_library *found;

    if (!look->has_guesses) {
        look->has_guesses = true;
        if (berth_libraries_init(&look->guesses, NULL) != BERTH_OK ||
            berth_libraries_begin(&look->guesses, look->own.first->path,
                                  look->own.first->view.bytes, look->own.first->view.size,
                                  NULL) != BERTH_OK)
            return NULL;
        for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++)
            berth_libraries_need(&look->guesses, look->guesses.first, guesses[i].soname, &found,
                                 NULL);
    }
    const struct berth_library *has = berth_libraries_lookup(&look->guesses, name, NULL);
    for (size_t i = 0; has && i < sizeof(guesses) / sizeof(guesses[0]); i++)
        if (berth_text_equal(guesses[i].soname, has->name))
            return &guesses[i];
    return NULL;
}

static void tell_missing(struct look *look, const struct berth_library *library, const char *name,
                         const struct berth_elf_version *version)
{
    bool direct = library == look->own.first;
    const char *of = direct ? "it" : library->path;
    const struct guess *guess = NULL;

    if (++look->missing > TOLD_MAX)
        return;
    if (version)
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "missing_symbol",
                           "install the library that it was linked with, or link it again here",
                           "%s needs the symbol %s, which %s should have in version %s", of, name,
                           version->file, version->name);
    else if (direct && (guess = guess_at(look, name)))
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "missing_symbol",
                           "link it with the library that defines it",
                           "it needs the symbol %s, which is in %s: it was linked without %s", name,
                           guess->soname, guess->option);
    else
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "missing_symbol",
                           "link it with the library that defines it, or with the missing file",
                           "%s needs the symbol %s, which no library of its has", of, name);
}

/* Instrumented code finds its runtime in the program. */
static bool is_instrumentation(const char *name)
{
    static const char *const begins[] = { "__asan", "__odr_asan", "__ubsan",     "__tsan",
                                          "__lsan", "__sancov",   "__sanitizer", "__llvm" };
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

static void check_import(struct look *look, const struct berth_library *library, const char *name,
                         const struct berth_elf_version *version)
{
    if (berth_libraries_lookup(&look->own, name, version ? version->name : NULL))
        return;
    /* a whole library, or a whole version, that is missing is told once */
    if (version && version->file) {
        const struct berth_library *of = berth_libraries_find(&look->own, version->file);
        if (!of || !berth_elf_has_version(&of->versions, version->name))
            return;
    }
    const struct berth_libraries *program = global(look);
    const struct berth_library *has =
        program ? berth_libraries_lookup(program, name, version ? version->name : NULL) : NULL;
    if (!has)
        tell_missing(look, library, name, version && version->file ? version : NULL);
    else if (library == look->own.first && !is_instrumentation(name))
        berth_findings_add(look->findings, BERTH_FINDING_WARNING, "borrowed_symbol",
                           "link it with the library that defines it",
                           "it needs the symbol %s, which no library of its has, but the program "
                           "here does (%s): another one may not",
                           name, has->path);
}

static void check_imports(struct look *look, const struct berth_library *library)
{
    for (uint64_t i = 1; i < library->view.symbol_count; i++) {
        Elf64_Sym symbol = berth_elf_symbol(&library->view, i);
        const char *name = berth_elf_string(&library->view, symbol.st_name);
        if (name && *name && symbol.st_shndx == SHN_UNDEF &&
            ELF64_ST_BIND(symbol.st_info) == STB_GLOBAL)
            check_import(look, library, name, berth_elf_version_of(&library->versions, i));
    }
}

static void check_all_imports(struct look *look)
{
    for (const struct berth_library *each = look->own.first; each; each = each->next)
        check_imports(look, each);
    if (look->missing > TOLD_MAX)
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "missing_symbol",
                           "link it with the libraries that define them",
                           "and %zu more symbols are missing", look->missing - TOLD_MAX);
}

/* ---- what it offers to others ---- */

#define HIDE "compile it with -fvisibility=hidden, and export berth_entry alone"

/* The program's names come first: then even the module itself calls another function. */
static bool clashes(struct look *look, const char *name)
{
    const struct berth_libraries *program = global(look);
    const struct berth_library *has = program ? berth_libraries_lookup(program, name, NULL) : NULL;
    const char *of = has ? has->path : NULL;

    if (!of && strncmp(name, "berth_", 6) == 0)
        of = "libberth";
    if (of)
        berth_findings_add(look->findings, BERTH_FINDING_ERROR, "clashing_export", HIDE,
                           "it exports %s, a name of %s: who calls it, the module itself included, "
                           "gets that one",
                           name, of);
    return of != NULL;
}

/* Weak ones are those of C++ that everybody has, and has alike. */
static void check_exports(struct look *look)
{
    const struct berth_library *library = look->own.first;
    size_t others = 0, told = 0;
    const char *names[3] = { "", "", "" };

    for (uint64_t i = 1; i < library->view.symbol_count; i++) {
        Elf64_Sym symbol = berth_elf_symbol(&library->view, i);
        const char *name = berth_elf_string(&library->view, symbol.st_name);
        if (!name || !*name || ELF64_ST_BIND(symbol.st_info) != STB_GLOBAL ||
            !berth_elf_is_export(&symbol) || berth_text_equal(name, "berth_entry") ||
            is_instrumentation(name) || symbol.st_shndx == SHN_ABS)
            continue;
        if (told < TOLD_MAX && clashes(look, name))
            told++;
        else if (others++ < 3)
            names[others - 1] = name;
    }
    if (others)
        berth_findings_add(look->findings, BERTH_FINDING_WARNING, "other_exports", HIDE,
                           "it exports %zu name%s besides berth_entry (%s%s%s%s%s%s): a program's "
                           "own of that name would be called instead",
                           others, others == 1 ? "" : "s", names[0], others > 1 ? ", " : "",
                           names[1], others > 2 ? ", " : "", names[2], others > 3 ? ", …" : "");
}

int berth_diagnose_libraries(struct berth_findings *findings, const char *file, const void *bytes,
                             size_t size, const char *program, unsigned *ret_glibc,
                             struct berth_error *error)
{
    struct look look = { .findings = findings, .program = program };
    int code = berth_libraries_init(&look.own, error);

    if (code == BERTH_OK)
        code = berth_libraries_begin(&look.own, file, bytes, size, error);
    if (code == BERTH_OK && program && access(program, R_OK))
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s: cannot be opened: %s", program,
                               strerror(errno));
    if (code == BERTH_OK && program && !global(&look))
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: not a program that can be looked at: it must be position "
                               "independent, for this machine",
                               program);
    if (code == BERTH_OK) {
        add_all(&look, &look.own, true);
        *ret_glibc = check_glibc(&look);
        check_all_imports(&look);
        check_exports(&look);
    }
    berth_libraries_deinit(&look.own);
    if (look.has_global)
        berth_libraries_deinit(&look.global);
    if (look.has_guesses)
        berth_libraries_deinit(&look.guesses);
    return code;
}
