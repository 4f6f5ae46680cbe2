/* SPDX-License-Identifier: MIT */
#include "runtime/image/doctor.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/base/path.h"
#include "runtime/image/doctor_libraries.h"
#include "runtime/image/image.h"
#include "runtime/image/risk.h"
#include "runtime/value/json.h"

#include <gnu/libc-version.h>
#include <string.h>

void berth_diagnosis_init(struct berth_diagnosis *diagnosis)
{
    *diagnosis = (struct berth_diagnosis){ .glibc = 0 };
    berth_findings_init(&diagnosis->findings);
}

void berth_diagnosis_deinit(struct berth_diagnosis *diagnosis)
{
    berth_findings_deinit(&diagnosis->findings);
}

/* ---- how it is linked ---- */

static void diagnose_loading(struct berth_findings *findings, const struct berth_elf *elf)
{
    if (elf->executable_stack)
        berth_findings_add(findings, BERTH_FINDING_ERROR, "executable_stack",
                           "link it with -z noexecstack; assembler code needs a section "
                           ".note.GNU-stack",
                           "it wants the stacks of the whole process to be executable");
    if (elf->text_relocations)
        berth_findings_add(findings, BERTH_FINDING_ERROR, "text_relocations",
                           "compile all of it with -fPIC",
                           "its code must be changed to be loaded, and so be writable");
    if (!elf->relro)
        berth_findings_add(findings, BERTH_FINDING_WARNING, "no_relro",
                           "link it with -z relro -z now, as pkg-config berth-module says",
                           "its tables of addresses stay writable");
    else if (!elf->now)
        berth_findings_add(findings, BERTH_FINDING_NOTE, "lazy_binding",
                           "link it with -z now, as pkg-config berth-module says",
                           "its table of called functions stays writable");
}

static void diagnose_unloading(struct berth_findings *findings, const struct berth_elf *elf)
{
    if (elf->nodelete)
        berth_findings_add(findings, BERTH_FINDING_WARNING, "nodelete",
                           "link it without -z nodelete",
                           "it is never unmapped: each reload leaves its old image behind");
    if (elf->has_unique)
        berth_findings_add(findings, BERTH_FINDING_WARNING, "unique_symbols",
                           "compile it with -fno-gnu-unique",
                           "it has static data of C++ templates or inline functions, for which it "
                           "is never unmapped: each reload leaves its old image behind");
    if (elf->static_tls)
        berth_findings_add(findings, BERTH_FINDING_WARNING, "static_tls",
                           "compile it without -ftls-model=initial-exec; or have it run in a "
                           "process",
                           "its thread-local data (%llu bytes) take of a small supply that the "
                           "process has once: inline it cannot be replaced",
                           (unsigned long long)elf->tls_size);
}

static void diagnose_calls(struct berth_findings *findings, const struct berth_elf *elf)
{
    for (size_t i = 0; i < elf->risk_count; i++) {
        const struct berth_risk *risk = elf->risks[i];
        berth_findings_add(findings, risk->level, "risky_import", risk->cure, "it calls %s: %s",
                           risk->name, risk->why);
    }
}

/* The compiler's own start files have one of each. */
static void diagnose_arrays(struct berth_findings *findings, const struct berth_elf *elf)
{
    if (elf->constructors > 1)
        berth_findings_add(findings, BERTH_FINDING_NOTE, "constructors",
                           "what may fail, or takes time, belongs into BERTH_START",
                           "it has code that runs while it is loaded (%llu constructor%s), which "
                           "nothing can stop",
                           (unsigned long long)elf->constructors - 1,
                           elf->constructors == 2 ? "" : "s");
    if (elf->destructors > 1)
        berth_findings_add(findings, BERTH_FINDING_NOTE, "destructors",
                           "what may take time belongs into BERTH_STOP",
                           "it has code that runs while it is unmapped (%llu destructor%s)",
                           (unsigned long long)elf->destructors - 1,
                           elf->destructors == 2 ? "" : "s");
}

void berth_diagnose_elf(struct berth_findings *findings, const struct berth_elf *elf)
{
    diagnose_loading(findings, elf);
    diagnose_unloading(findings, elf);
    diagnose_calls(findings, elf);
    diagnose_arrays(findings, elf);
}

/* ---- what it is ---- */

/* What a load would say has most of the cure in it already. otherwise: if it is not damage. */
static void tell_error(struct berth_findings *findings, const struct berth_error *error,
                       const char *otherwise, const char *cure)
{
    if (error->code == BERTH_RESOURCE_EXHAUSTED)
        findings->failed = true;
    else if (error->code == BERTH_DATA_LOSS)
        berth_findings_add(findings, BERTH_FINDING_ERROR, "damaged",
                           "build it again, if a new copy is no better", "%s", error->text);
    else
        berth_findings_add(findings, BERTH_FINDING_ERROR, otherwise, cure, "%s", error->text);
}

static void tell_no_module(struct berth_findings *findings, const struct berth_error *error)
{
    tell_error(findings, error, "not_a_module",
               "build it with the flags of pkg-config --cflags --libs berth-module");
}

static void tell_fault(void *user, const struct berth_error *fault)
{
    tell_error(user, fault, "bad_manifest", "change its source so, and build it again");
}

static void diagnose_manifest(struct berth_diagnosis *diagnosis, const struct berth_elf *elf)
{
    struct berth_findings *findings = &diagnosis->findings;
    struct berth_manifest *manifest;
    struct berth_error error;
    int code = berth_manifest_examine(elf->records, elf->record_count, tell_fault, findings,
                                      &manifest, &error);

    if (code != BERTH_OK && elf->record_count == 0)
        tell_no_module(findings, &error);
    findings->failed |= code == BERTH_RESOURCE_EXHAUSTED;
    if (code != BERTH_OK)
        return;
    if (manifest->abi != BERTH_ABI)
        berth_findings_add(findings, BERTH_FINDING_ERROR, "other_abi",
                           "compile it with this berth's <berth/module.h>",
                           "it was compiled for ABI revision %u, and this berth has revision %d",
                           manifest->abi, BERTH_ABI);
    if (berth_image_check_entry(elf, &error) != BERTH_OK)
        tell_no_module(findings, &error);
    diagnosis->module = berth_arena_string(&findings->arena, manifest->name);
    diagnosis->version = berth_arena_string(&findings->arena, manifest->version);
    findings->failed |= !diagnosis->module || !diagnosis->version;
    berth_manifest_unref(manifest);
}

/* What is refused for these has a finding of its own; the check shall see what else is wrong. */
static bool is_sound(struct berth_findings *findings, const void *bytes, size_t size,
                     const struct berth_elf *elf)
{
    struct berth_elf tolerant = *elf;
    struct berth_error error;

    tolerant.executable_stack = false;
    tolerant.text_relocations = false;
    if (berth_elf_check(bytes, size, &tolerant, &error) == BERTH_OK)
        return true;
    if (error.code == BERTH_DATA_LOSS && elf->text_relocations)
        return false; /* one into its code looks like damage */
    if (error.code == BERTH_FAILED_PRECONDITION || error.code == BERTH_UNIMPLEMENTED)
        berth_findings_add(findings, BERTH_FINDING_ERROR, "refused", "link it in another way", "%s",
                           error.text);
    else
        tell_no_module(findings, &error);
    return false;
}

/* Whether its tables can be believed, for what else is to be looked at. */
static bool diagnose_image(struct berth_diagnosis *diagnosis, const void *bytes, size_t size)
{
    struct berth_findings *findings = &diagnosis->findings;
    struct berth_arena arena;
    struct berth_error error;
    struct berth_elf *elf;
    bool sound = false;

    berth_arena_init(&arena);
    if (berth_elf_read(bytes, size, &arena, &elf, &error) != BERTH_OK) {
        tell_no_module(findings, &error);
    } else {
        sound = is_sound(findings, bytes, size, elf);
        diagnose_manifest(diagnosis, elf);
        berth_diagnose_elf(findings, elf);
    }
    berth_arena_deinit(&arena);
    return sound;
}

static int end(const struct berth_diagnosis *diagnosis, int code, struct berth_error *error)
{
    return code == BERTH_OK && diagnosis->findings.failed ? berth_error_nomem(error) : code;
}

int berth_diagnose_bytes(struct berth_diagnosis *diagnosis, const void *bytes, size_t size,
                         struct berth_error *error)
{
    diagnose_image(diagnosis, bytes, size);
    return end(diagnosis, BERTH_OK, error);
}

int berth_diagnose(struct berth_diagnosis *diagnosis, const char *file, const char *program,
                   struct berth_error *error)
{
    struct berth_error why;
    unsigned char *bytes;
    char path[PATH_MAX];
    size_t size;
    int code = BERTH_OK;

    if (berth_image_read_bytes(file, &bytes, &size, &why) != BERTH_OK) {
        if (why.code == BERTH_RESOURCE_EXHAUSTED)
            return berth_error_nomem(error);
        berth_findings_add(&diagnosis->findings, BERTH_FINDING_ERROR, "unreadable",
                           "name a file that is there and may be read", "%s", why.text);
        return end(diagnosis, BERTH_OK, error);
    }
    if (diagnose_image(diagnosis, bytes, size) && berth_path_absolute(file, path, NULL) == BERTH_OK)
        code = berth_diagnose_libraries(&diagnosis->findings, path, bytes, size, program,
                                        &diagnosis->glibc, error);
    berth_free(bytes);
    return end(diagnosis, code, error);
}

/* ---- what is said ---- */

static const struct berth_finding *first_of(const struct berth_diagnosis *diagnosis,
                                            enum berth_finding_level level,
                                            const struct berth_finding *after)
{
    const struct berth_finding *finding = after ? after->next : diagnosis->findings.first;

    while (finding && finding->level != level)
        finding = finding->next;
    return finding;
}

/* The gravest first. */
static const struct berth_finding *next_finding(const struct berth_diagnosis *diagnosis,
                                                const struct berth_finding *finding)
{
    int level = finding ? (int)finding->level : BERTH_FINDING_ERROR;
    const struct berth_finding *next =
        first_of(diagnosis, (enum berth_finding_level)level, finding);

    while (!next && ++level < BERTH_FINDING_LEVELS)
        next = first_of(diagnosis, (enum berth_finding_level)level, NULL);
    return next;
}

static void put_count(const struct berth_diagnosis *diagnosis, enum berth_finding_level level,
                      const char **separator, struct berth_buffer *buffer)
{
    size_t count = diagnosis->findings.counts[level];

    if (!count)
        return;
    berth_buffer_format(buffer, "%s%zu %s%s", *separator, count, berth_finding_level_name(level),
                        count == 1 ? "" : "s");
    *separator = ", ";
}

void berth_diagnosis_print(const struct berth_diagnosis *diagnosis, const char *file,
                           struct berth_buffer *buffer)
{
    const char *separator = "";

    berth_buffer_format(buffer, "%s: ", file);
    if (diagnosis->module)
        berth_buffer_format(buffer, "module %s %s: ", diagnosis->module, diagnosis->version);
    for (int level = 0; level < BERTH_FINDING_LEVELS; level++)
        put_count(diagnosis, (enum berth_finding_level)level, &separator, buffer);
    berth_buffer_format(buffer, "%s\n", diagnosis->findings.first ? "" : "nothing found");
    for (const struct berth_finding *finding = NULL; (finding = next_finding(diagnosis, finding));)
        berth_buffer_format(buffer, "  %s: %s\n      %s\n",
                            berth_finding_level_name(finding->level), finding->text, finding->cure);
}

static void put_member(struct berth_buffer *buffer, const char *key, const char *text)
{
    berth_buffer_format(buffer, "\"%s\":", key);
    if (text)
        berth_json_write_string(text, strlen(text), buffer);
    else
        berth_buffer_text(buffer, "null");
}

static void put_glibc(unsigned needed, struct berth_buffer *buffer)
{
    if (needed)
        berth_buffer_format(buffer, ",\"glibc\":{\"needs\":\"%u.%u\",\"here\":\"%s\"}",
                            needed / 1000, needed % 1000, gnu_get_libc_version());
    else
        berth_buffer_text(buffer, ",\"glibc\":null");
}

void berth_diagnosis_json(const struct berth_diagnosis *diagnosis, const char *file,
                          struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, "{");
    put_member(buffer, "file", file);
    berth_buffer_text(buffer, ",");
    put_member(buffer, "module", diagnosis->module);
    berth_buffer_text(buffer, ",");
    put_member(buffer, "version", diagnosis->version);
    put_glibc(diagnosis->glibc, buffer);
    berth_buffer_text(buffer, ",\"findings\":[");
    for (const struct berth_finding *finding = NULL, *first = next_finding(diagnosis, NULL);
         (finding = next_finding(diagnosis, finding));) {
        berth_buffer_text(buffer, finding == first ? "{" : ",{");
        put_member(buffer, "level", berth_finding_level_name(finding->level));
        berth_buffer_text(buffer, ",");
        put_member(buffer, "what", finding->what);
        berth_buffer_text(buffer, ",");
        put_member(buffer, "text", finding->text);
        berth_buffer_text(buffer, ",");
        put_member(buffer, "cure", finding->cure);
        berth_buffer_text(buffer, "}");
    }
    berth_buffer_text(buffer, "]}");
}
