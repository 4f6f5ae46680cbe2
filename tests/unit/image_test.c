/* SPDX-License-Identifier: MIT */
/* Staging, mapping and unmapping: of crafted modules, of compiled ones, and of this program. */
#include "runtime/image/image.h"

#include <berth/module.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "tests/support/craft.h"
#include "tests/support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- This program is a module, too ---- */

BERTH_MODULE("image_test", "0.1.0", "Tests images.");
BERTH_OPTION(i64, seed, 7, "Unused.");
BERTH_STRUCT(pair, (i64, a), (i64, b));
BERTH_IMPORT(void, log, write, (string, text));

BERTH_EXPORT(i64, sum, "Adds a pair.", (pair, of))
{
    return of.a + of.b;
}

/* ---- Helpers ---- */

static struct berth_image *stage(const char *file)
{
    struct berth_image *image = NULL;
    struct berth_error error;
    CHECK_CODE(berth_image_stage(file, 3, NULL, &image, &error), BERTH_OK, &error);
    REQUIRE(image != NULL);
    return image;
}

static struct berth_image *map(const char *file)
{
    struct berth_image *image = stage(file);
    struct berth_error error;
    CHECK_CODE(berth_image_map(image, &error), BERTH_OK, &error);
    REQUIRE(berth_image_mapped(image));
    return image;
}

static const char *crafted(const char *name, unsigned options)
{
    return craft_write(craft_new(NULL, 0, options), name);
}

/* Whether images stay mapped in this build, as they do under sanitizers. */
static bool images_stay(void)
{
    struct berth_image *image = map(crafted("probe.so", CRAFT_PLAIN));
    char reason[100] = "";
    bool stays = !berth_image_unmap(image, reason, sizeof(reason));

    if (stays)
        CHECK_CONTAINS(reason, "sanitizer");
    berth_image_free(image);
    return stays;
}

/* Compiles C source in this test's directory, with the headers of modules. False: no compiler. */
static bool compile(const char *source, const char *arguments, const char *name)
{
    const char *compiler = getenv("BERTH_TEST_CC") ? getenv("BERTH_TEST_CC") : "cc";
    const char *dir = berth_test_dir();

    berth_test_write(berth_test_format("%s/%s.c", dir, name), source, strlen(source));
    return berth_test_shell(
               NULL, berth_test_format("cd %s && %s -shared -fPIC -fvisibility=hidden -Wl,-z,now "
                                       "-I%s -I%s %s.c -o %s.so %s",
                                       dir, compiler, berth_test_source("include"),
                                       berth_test_built("include"), name, name, arguments)) == 0;
}

/* The code of an export of one number. */
static int64_t call(struct berth_image *image, const char *function)
{
    const struct berth_manifest_export *export =
        berth_manifest_find_export(image->manifest, function);

    REQUIRE(export != NULL);
    for (size_t i = 0; i < image->link_count; i++)
        if (image->links[i].kind == BERTH_ITEM_EXPORT &&
            &image->manifest->exports[image->links[i].index] == export)
            return ((int64_t(*)(berth_ctx *))image->links[i].link->code)(NULL);
    berth_require(false, BERTH_TEST_HERE, "the export has a link");
    return 0;
}

#define COUNTING                                            \
    "#include <berth/module.h>\n"                           \
    "BERTH_MODULE(\"counting\", \"1.0.0\", \"Counts.\");\n" \
    "static int64_t n = START;\n"                           \
    "BERTH_EXPORT(i64, count, \"\") { return n++; }\n"

/* ---- Staging ---- */

static void a_copy_is_sealed_and_named(void)
{
    const char *file = crafted("a.so", 0);
    struct berth_image *image = stage(file);
    char link[200] = "";

    CHECK_STR(image->file, file);
    CHECK_STR(image->label, "crafted@1.0.0#3");
    CHECK_STR(image->manifest->name, "crafted");
    CHECK_STR(image->elf->needed[0], "libc.so.6");
    CHECK(readlink(berth_test_format("/proc/self/fd/%d", image->copy->fd), link, sizeof(link) - 1) >
          0);
    CHECK_CONTAINS(link, "memfd:crafted@1.0.0#3");
    int seals = fcntl(image->copy->fd, F_GET_SEALS);
    CHECK_INT(seals & 15, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    CHECK(fcntl(image->copy->fd, F_GETFD) & FD_CLOEXEC);
    CHECK_INT(pwrite(image->copy->fd, "x", 1, 0), -1);
    CHECK_INT(ftruncate(image->copy->fd, 0), -1);
    CHECK(!berth_image_mapped(image));
    berth_image_free(image);
}

static void a_relative_path_becomes_absolute(void)
{
    char *before = getcwd(NULL, 0);
    crafted("relative.so", CRAFT_PLAIN);
    CHECK_INT(chdir(berth_test_dir()), 0);
    struct berth_image *image = stage("relative.so");
    CHECK_INT(chdir(before), 0);
    CHECK_STR(image->file, berth_test_format("%s/relative.so", berth_test_dir()));
    berth_image_free(image);
    free(before);
}

static void check_refused(const char *file, int expected, const char *words)
{
    struct berth_image *image = NULL;
    struct berth_error error = { .text = "" };
    size_t descriptors = berth_test_descriptors();

    CHECK_CODE(berth_image_stage(file, 1, NULL, &image, &error), expected, &error);
    CHECK_CONTAINS(error.text, file);
    CHECK_CONTAINS(error.text, words);
    CHECK(image == NULL);
    CHECK_INT(berth_test_descriptors(), descriptors);
}

static const char *file_of(const char *name, const char *text)
{
    const char *path = berth_test_format("%s/%s", berth_test_dir(), name);
    berth_test_write(path, text, strlen(text));
    return path;
}

static void bad_files_are_refused(void)
{
    static const struct craft_record foreign[] = { { .text = "x", .size = 1, .owner = "Other" } };
    const char *dir = berth_test_dir();
    const char *fifo = berth_test_format("%s/fifo", dir);
    struct craft *craft;

    check_refused(berth_test_format("%s/absent.so", dir), BERTH_NOT_FOUND, "cannot be opened");
    check_refused(dir, BERTH_INVALID_ARGUMENT, "a directory, not a shared object");
    REQUIRE(mkfifo(fifo, 0600) == 0);
    check_refused(fifo, BERTH_INVALID_ARGUMENT, "not a regular file");
    check_refused("/dev/null", BERTH_INVALID_ARGUMENT, "not a regular file");
    check_refused(file_of("empty", ""), BERTH_INVALID_ARGUMENT, "an empty file");
    check_refused(file_of("text", "#!/bin/sh\n"), BERTH_INVALID_ARGUMENT, "not an ELF file");
    check_refused("/proc/self/exe", BERTH_INVALID_ARGUMENT, "an executable, not a shared object");
    craft = craft_new(foreign, 1, CRAFT_PLAIN);
    check_refused(craft_write(craft, "foreign.so"), BERTH_NOT_FOUND, "it has no manifest");
    craft = craft_new(NULL, 0, CRAFT_NO_ENTRY);
    check_refused(craft_write(craft, "entry.so"), BERTH_INVALID_ARGUMENT,
                  "it exports no berth_entry");
    craft = craft_new(NULL, 0, 0);
    craft_symbol(craft, "berth_entry")->st_value += 4;
    check_refused(craft_write(craft, "odd.so"), BERTH_DATA_LOSS, "berth_entry is not loaded");
    craft = craft_new(NULL, 0, 0);
    craft->size /= 2;
    check_refused(craft_write(craft, "half.so"), BERTH_DATA_LOSS, "truncated");
    craft = craft_new(NULL, 0, 0);
    craft_header(craft)->e_machine = EM_RISCV;
    check_refused(craft_write(craft, "riscv.so"), BERTH_INVALID_ARGUMENT, "made for riscv");
    craft = craft_new(NULL, 0, 0);
    craft_relocation(craft, CRAFT_SLOT, 0)->r_offset = 8;
    check_refused(craft_write(craft, "astray.so"), BERTH_DATA_LOSS, "would go astray");

    const char *giant = file_of("giant", "");
    REQUIRE(truncate(giant, ((off_t)1 << 30) + 1) == 0);
    check_refused(giant, BERTH_OUT_OF_RANGE, "1073741825 bytes; at most 1073741824");
}

/* Each kind of lie that a real compiler lets through. */
static void bad_manifests_are_refused(void)
{
    static const struct {
        struct craft_record records[3];
        int code;
        const char *words;
    } cases[] = {
        { { CRAFT_UNIT, CRAFT_MODULE, CRAFT("export=f\0returns=flaot") },
          BERTH_INVALID_ARGUMENT,
          "export \"f\": result: unknown type \"flaot\"" },
        { { CRAFT_UNIT, CRAFT_MODULE, CRAFT("param=f64:x:\0export=f\0returns=void") },
          BERTH_OK,
          "" }, /* of an unknown kind, `param`: kept, and ignored */
        { { CRAFT_UNIT, CRAFT_MODULE, { .text = "export=f", .size = 8 } },
          BERTH_DATA_LOSS,
          "does not end in NUL" },
        { { CRAFT_UNIT, CRAFT_MODULE, CRAFT("export=F\0returns=void") },
          BERTH_INVALID_ARGUMENT,
          "\"F\" is not a name" },
        { { CRAFT_UNIT, CRAFT_MODULE, { .text = "x=1", .size = 4, .type = 2 } },
          BERTH_UNIMPLEMENTED,
          "newer berth" },
        { { CRAFT_UNIT, CRAFT("module=m\0version=one\0doc=") },
          BERTH_INVALID_ARGUMENT,
          "\"one\" is not a semantic version" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t count = cases[i].records[2].text ? 3 : 2;
        const char *file = craft_write(craft_new(cases[i].records, count, 0), "lying.so");
        if (cases[i].code)
            check_refused(file, cases[i].code, cases[i].words);
        else
            berth_image_free(stage(file));
    }
}

static void what_aborts_at_load_can_be_looked_at(void)
{
    const char *source = berth_test_read(berth_test_source("tests/fixtures/aborts.c"), NULL);
    if (!compile(source, "", "aborts"))
        berth_skip("no compiler");
    struct berth_image *image = stage(berth_test_format("%s/aborts.so", berth_test_dir()));
    CHECK_STR(image->manifest->exports[0].name, "nothing");
    berth_image_free(image);
}

static void a_sealed_descriptor_is_taken(void)
{
    struct berth_image *image = stage(crafted("a.so", 0)), *again = NULL;
    struct berth_error error;
    size_t descriptors = berth_test_descriptors();

    int fd = fcntl(image->copy->fd, F_DUPFD_CLOEXEC, 0);
    CHECK_CODE(berth_image_stage_fd(fd, "/a.so", 9, &again, &error), BERTH_OK, &error);
    REQUIRE(again != NULL);
    CHECK_STR(again->label, "crafted@1.0.0#9");
    CHECK_STR(again->file, "/a.so");
    CHECK_INT(again->size, image->size);
    CHECK_CODE(berth_image_map(again, &error), BERTH_OK, &error);
    berth_image_free(again);
    CHECK_INT(berth_test_descriptors(), descriptors);
    berth_image_free(image);
}

static void an_unsealed_descriptor_is_refused(void)
{
    struct craft *craft = craft_new(NULL, 0, 0);
    size_t descriptors = berth_test_descriptors();
    struct berth_image *image = NULL;
    struct berth_error error;

    for (unsigned seals = 0; seals < 8; seals++) {
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        REQUIRE(write(fd, craft->bytes, craft->size) == (ssize_t)craft->size);
        REQUIRE(fcntl(fd, F_ADD_SEALS, seals << 1) == 0); /* SHRINK, GROW, WRITE */
        int code = berth_image_stage_fd(fd, "x.so", 1, &image, &error);
        CHECK_CODE(code, seals == 7 ? BERTH_OK : BERTH_INVALID_ARGUMENT, &error);
        if (code)
            CHECK_STR(error.text, "x.so: its copy is not sealed");
    }
    berth_image_free(image);
    CHECK_INT(berth_test_descriptors(), descriptors);
    int file = open(crafted("a.so", 0), O_RDONLY | O_CLOEXEC);
    CHECK_CODE(berth_image_stage_fd(file, "x.so", 1, &image, &error), BERTH_INVALID_ARGUMENT,
               &error);
    CHECK_INT(berth_test_descriptors(), descriptors);
}

/* ---- Mapping ---- */

static void links_are_found(void)
{
    struct berth_image *image = map(crafted("a.so", 0));
    const struct berth_manifest *m = image->manifest;
    unsigned seen[BERTH_ITEM_NONE] = { 0 };

    CHECK_INT(image->link_count, m->item_count);
    for (size_t i = 0; i < image->link_count; i++) {
        const struct berth_image_link *line = &image->links[i];
        uintptr_t at = (uintptr_t)line->link, record = (uintptr_t)line->link->record;
        CHECK(at >= image->low && at + sizeof(*line->link) <= image->high);
        CHECK(record >= image->low && record < image->high);
        uint64_t address = berth_image_address(image, line->link->record);
        const struct berth_manifest_item *item = berth_manifest_find_item(m, address);
        REQUIRE(item != NULL);
        CHECK(item->kind == line->kind && item->index == line->index);
        seen[line->kind]++;
    }
    CHECK_INT(seen[BERTH_ITEM_EXPORT], m->export_count);
    CHECK_INT(seen[BERTH_ITEM_IMPORT], m->import_count);
    CHECK_INT(seen[BERTH_ITEM_SUBSCRIBE], m->subscribe_count);
    CHECK_INT(seen[BERTH_ITEM_HOOK], 4);

    struct berth_error error;
    CHECK_CODE(berth_image_map(image, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, "mapped already");
    berth_image_free(image);
}

static void check_map_refused(struct craft *craft, int expected, const char *words)
{
    struct berth_image *image = stage(craft_write(craft, "refused.so"));
    struct berth_error error = { .text = "" };

    CHECK_CODE(berth_image_map(image, &error), expected, &error);
    CHECK_CONTAINS(error.text, "/refused.so: ");
    CHECK_CONTAINS(error.text, words);
    CHECK(!strstr(error.text, "/proc/"));
    CHECK_INT(image->link_count, 0);
    berth_image_free(image);
}

static void lying_links_are_refused(void)
{
    static const struct {
        struct craft_record record;
        enum craft_link link;
        const char *words;
    } cases[] = {
        { CRAFT("export=f\0returns=void"), CRAFT_LINK_NONE, "export f: a record without code" },
        { CRAFT("import=a.b\0returns=void"), CRAFT_LINK_NONE, "import a.b: a record without" },
        { CRAFT("topic=a.b\0name=n"), CRAFT_LINK_NONE, "topic a.b: a record without code" },
        { CRAFT("subscribe=a\0handler=h"), CRAFT_LINK_NONE, "handler h: a record without code" },
        { CRAFT("hook=stop"), CRAFT_LINK_NONE, "hook stop: a record without code" },
        { CRAFT("export=f\0returns=void"), CRAFT_LINK_NO_CODE, "export f: a record without code" },
        { CRAFT("export=f\0returns=void"), CRAFT_LINK_TWICE, "export f: two links" },
        { CRAFT("export=f\0returns=void"), CRAFT_LINK_DATA, "code lies outside of the image" },
        { CRAFT("hook=start"), CRAFT_LINK_FOREIGN, "hook start: its code lies outside" },
        { CRAFT("export=f\0returns=void"), CRAFT_LINK_ASTRAY, "belongs to no record" },
        { CRAFT("import=a.b\0returns=void"), CRAFT_LINK_CODE, "import a.b: its link has code" },
        { CRAFT("topic=a.b\0name=n"), CRAFT_LINK_CODE, "topic a.b: its link has code already" },
        { CRAFT("concurrency=serial"), CRAFT_LINK_CODE, "belongs to no record" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct craft_record records[] = { CRAFT_UNIT, CRAFT_MODULE, cases[i].record };
        records[2].link = cases[i].link;
        check_map_refused(craft_new(records, 3, 0), BERTH_DATA_LOSS, cases[i].words);
    }
}

static void lying_tables_are_refused(void)
{
    struct craft *craft = craft_new(NULL, 0, 0);
    *(uint32_t *)(void *)(craft->bytes + craft->entry) = 16;
    check_map_refused(craft, BERTH_DATA_LOSS, "berth_entry is too short (16 bytes)");

    craft = craft_new(NULL, 0, 0);
    *(uint32_t *)(void *)(craft->bytes + craft->entry + 4) = 7;
    check_map_refused(craft, BERTH_FAILED_PRECONDITION, "of ABI revision 7");

    static const int64_t shifts[][2] = { { 8, 8 }, { 0, -16 }, { 64, -1 }, { 0, 1 << 14 } };
    for (size_t i = 0; i < COUNT(shifts); i++) {
        craft = craft_new(NULL, 0, 0);
        craft_relocation(craft, CRAFT_RELATIVE, 0)->r_addend += shifts[i][0];
        craft_segment(craft, PT_LOAD, 2)->p_memsz += 1 << 13;
        craft_relocation(craft, CRAFT_RELATIVE, 1)->r_addend =
            shifts[i][1] == -1 ? craft_relocation(craft, CRAFT_RELATIVE, 0)->r_addend - 64
                               : craft_relocation(craft, CRAFT_RELATIVE, 1)->r_addend +
                                     (shifts[i][1] > 100 ? 1 << 13 : shifts[i][1]);
        if (shifts[i][1] > 100) /* the zeros after the data are lines without a record */
            check_map_refused(craft, BERTH_DATA_LOSS, "belongs to no record");
        else
            check_map_refused(craft, BERTH_DATA_LOSS, "table of links lies outside");
    }
    /* Read-only once relocated, up to the end of its last page: nothing could be bound. */
    craft = craft_new(NULL, 0, 0);
    const Elf64_Phdr *data = craft_segment(craft, PT_LOAD, 2);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = (data->p_vaddr + data->p_filesz + page - 1) & ~(page - 1);
    craft_segment(craft, PT_GNU_RELRO, 0)->p_memsz = end - data->p_vaddr;
    check_map_refused(craft, BERTH_DATA_LOSS, "table of links lies outside");
}

static void another_abi_is_refused(void)
{
    static const struct craft_record records[] = { CRAFT("unit=\0abi=2\0api=9\0header=3.0.0"),
                                                   CRAFT_MODULE };
    check_map_refused(craft_new(records, 2, 0), BERTH_FAILED_PRECONDITION,
                      "ABI revision 2, and this berth has revision 1");
}

static void what_the_loader_misses_is_named(void)
{
    struct craft *craft = craft_new(NULL, 0, CRAFT_PLAIN);
    /* Other names that the file has anyway. */
    craft_symbol(craft, "getpid")->st_name = (uint32_t)craft_dynamic(craft, DT_SONAME)->d_un.d_val;
    check_map_refused(craft, BERTH_FAILED_PRECONDITION,
                      "it needs the symbol crafted.so, which no library of its has");

    craft = craft_new(NULL, 0, CRAFT_PLAIN);
    craft_dynamic(craft, DT_NEEDED)->d_un.d_val = craft_symbol(craft, "berth_entry")->st_name;
    check_map_refused(craft, BERTH_NOT_FOUND,
                      "it needs the library berth_entry, which is not found");

    craft = craft_new(NULL, 0, 0);
    craft_segment(craft, PT_TLS, 0)->p_memsz = 1 << 20;
    craft_dynamic(craft, DT_FLAGS)->d_un.d_val |= DF_STATIC_TLS;
    craft_relocation(craft, CRAFT_TLS_MODULE, 0)->r_info = ELF64_R_INFO(0, CRAFT_TLS_STATIC);
    check_map_refused(craft, BERTH_RESOURCE_EXHAUSTED, "no room for its thread-local data");
}

static void overwriting_the_file_changes_nothing(void)
{
    if (!compile(COUNTING, "-DSTART=10", "counting"))
        berth_skip("no compiler");
    const char *file = berth_test_format("%s/counting.so", berth_test_dir());
    struct berth_image *first = map(file);

    CHECK_INT(call(first, "count"), 10);
    berth_test_write(file, "short", 5); /* in place, as cp does */
    CHECK_INT(call(first, "count"), 11);
    CHECK(compile(COUNTING, "-DSTART=20", "counting"));
    struct berth_image *second = map(file), *third = map(file);
    CHECK_INT(call(second, "count"), 20);
    CHECK_INT(call(third, "count"), 20); /* data of its own */
    CHECK_INT(call(second, "count"), 21);
    CHECK_INT(call(first, "count"), 12);
    berth_image_free(first);
    CHECK_INT(call(second, "count"), 22);
    berth_image_free(third);
    berth_image_free(second);
}

static bool is_owned(uintptr_t address)
{
    struct dl_find_object found;
    return _dl_find_object((void *)address, &found) == 0;
}

static void unmapping_is_seen(void)
{
    struct berth_image *image = map(crafted("a.so", 0));
    uintptr_t low = image->low;
    char reason[100] = "";
    struct berth_error error;

    CHECK(is_owned(low));
    if (!berth_image_unmap(image, reason, sizeof(reason))) {
        CHECK(berth_image_mapped(image));
        berth_image_free(image);
        berth_skip("%s", reason);
    }
    CHECK(!is_owned(low));
    CHECK(!berth_image_mapped(image));
    CHECK_INT(image->link_count, 0);
    CHECK(berth_image_unmap(image, reason, sizeof(reason))); /* nothing is left to do */
    CHECK_CODE(berth_image_map(image, &error), BERTH_OK, &error);
    berth_image_free(image);
    CHECK(!is_owned(low));
}

/*
 * One that the loader keeps: the next image may get the number of its descriptor, and must not be
 * taken for it.
 */
static void an_image_that_stays_is_not_mistaken(void)
{
    char reason[200] = "";
    bool stay = images_stay();

    for (int round = 0; round < 6; round++) {
        static const struct craft_record other[] = { CRAFT_UNIT,
                                                     CRAFT("module=other\0version=2.0.0"),
                                                     CRAFT("export=x\0returns=void") };
        struct craft *craft = craft_new(NULL, 0, 0);
        craft_dynamic(craft, DT_FLAGS_1)->d_un.d_val |= DF_1_NODELETE;
        struct berth_image *stays = map(craft_write(craft, "stays.so"));
        int number = stays->copy->fd;
        uintptr_t low = stays->low;

        CHECK(!berth_image_unmap(stays, reason, sizeof(reason)));
        CHECK_CONTAINS(reason, stay ? "sanitizer" : "-z nodelete");
        CHECK(berth_image_mapped(stays));
        CHECK(!berth_image_unmap(stays, reason, sizeof(reason)));
        berth_image_free(stays);
        CHECK(is_owned(low));

        struct berth_image *next = map(craft_write(craft_new(other, 3, 0), "next.so"));
        CHECK_INT(next->copy->fd, number);
        CHECK_STR(next->manifest->name, "other");
        CHECK(next->low != low);
        berth_image_free(next);
    }
}

/* Of known bytes: no copy is made where there is one that nothing is mapped from. */
static void a_spare_copy_is_mapped_again(void)
{
    const char *file = crafted("a.so", 0);
    struct berth_image *first = map(file), *next = NULL, *other = NULL;
    struct berth_known known = { first, first->copy };
    struct berth_copy *copy = berth_copy_ref(first->copy);
    struct berth_error error;
    char reason[200];

    CHECK_CODE(berth_image_stage(file, 2, &known, &next, &error), BERTH_OK, &error);
    CHECK(next->copy != copy); /* the loader would take it for the first */
    CHECK(next->copy->content == copy->content);
    CHECK_CODE(berth_image_map(next, &error), BERTH_OK, &error);
    if (!berth_image_unmap(first, reason, sizeof(reason)))
        CHECK(images_stay());
    berth_image_free(first);

    known = (struct berth_known){ next, copy };
    for (int round = 0; round < 2; round++) {
        struct berth_image *again = NULL;
        CHECK_CODE(berth_image_stage(file, 3, &known, &again, &error), BERTH_OK, &error);
        CHECK(again->copy == copy || images_stay());
        CHECK_CODE(berth_image_map(again, &error), BERTH_OK, &error);
        CHECK(again->low != next->low);
        berth_image_free(again);
    }
    CHECK_CODE(berth_image_stage(crafted("b.so", 1), 4, &known, &other, &error), BERTH_OK, &error);
    CHECK(other->copy != copy);
    CHECK(other->copy->content != copy->content);
    berth_image_free(other);
    berth_image_free(next);
    berth_copy_unref(copy);
}

static void many_at_once_are_apart(void)
{
    const char *file = crafted("a.so", 0);
    struct berth_image *images[40];

    for (size_t i = 0; i < COUNT(images); i++) {
        images[i] = map(file);
        for (size_t j = 0; j < i; j++)
            CHECK(images[i]->low >= images[j]->high || images[i]->high <= images[j]->low);
    }
    for (size_t i = 0; i < COUNT(images); i++)
        berth_image_free(images[i]);
}

/* ---- Libraries beside a module ---- */

#define USER                                          \
    "#include <berth/module.h>\n"                     \
    "BERTH_MODULE(\"user\", \"1.0.0\", \"Uses.\");\n" \
    "long helper(void);\n"                            \
    "BERTH_EXPORT(i64, ask, \"\") { return helper(); }\n"
#define HELPER "__attribute__((visibility(\"default\"))) long helper(void) { return ANSWER; }\n"

static void a_library_beside_the_module_is_found(void)
{
    static const char *const paths[] = { "$ORIGIN", "/nowhere:${ORIGIN}/.",
                                         "$ORIGIN/../$LIB:$ORIGIN" };
    for (size_t i = 0; i < COUNT(paths); i++) {
        const char *name = berth_test_format("helper%zu", i);
        if (!compile(HELPER, berth_test_format("-DANSWER=%zu -Wl,-soname,%s.so", 40 + i, name),
                     name))
            berth_skip("no compiler");
        CHECK(compile(USER,
                      berth_test_format("-L. -l:%s.so -Wl,-rpath,'%s'%s", name, paths[i],
                                        i == 1 ? " -Wl,--disable-new-dtags" : ""),
                      "user"));
        struct berth_image *image = map(berth_test_format("%s/user.so", berth_test_dir()));
        CHECK_INT(call(image, "ask"), 40 + (int64_t)i);
        berth_image_free(image);
    }
    /* Through a link to where both lie. */
    const char *link = berth_test_format("%s/else/user.so", berth_test_dir());
    REQUIRE(mkdir(berth_test_format("%s/else", berth_test_dir()), 0700) == 0);
    REQUIRE(symlink("../user.so", link) == 0);
    struct berth_image *image = map(link);
    CHECK_INT(call(image, "ask"), 42);
    berth_image_free(image);
}

static void a_library_that_is_not_there_is_named(void)
{
    if (berth_test_valgrind())
        berth_skip("the loader itself reads past the end of $ORIGIN");
    if (!compile(HELPER, "-DANSWER=1 -Wl,-soname,vanishing.so", "vanishing"))
        berth_skip("no compiler");
    CHECK(compile(USER, "-L. -l:vanishing.so -Wl,-rpath,'$ORIGIN'", "user"));
    CHECK_INT(unlink(berth_test_format("%s/vanishing.so", berth_test_dir())), 0);
    struct berth_image *image = stage(berth_test_format("%s/user.so", berth_test_dir()));
    struct berth_error error;
    CHECK_CODE(berth_image_map(image, &error), BERTH_NOT_FOUND, &error);
    CHECK_CONTAINS(error.text, "it needs the library vanishing.so, which is not found");

    berth_test_write(berth_test_format("%s/vanishing.so", berth_test_dir()), "text", 4);
    CHECK_CODE(berth_image_map(image, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK_CONTAINS(error.text, "it needs vanishing.so, which cannot be loaded: ");
    berth_image_free(image);
}

/* ---- The application ---- */

static void the_application_is_read_in_memory(void)
{
    struct berth_image *image = NULL;
    struct berth_error error;
    char reason[100];

    CHECK_CODE(berth_image_application(&berth_entry, &image, &error), BERTH_OK, &error);
    REQUIRE(image != NULL);
    CHECK_STR(image->manifest->name, "image_test");
    CHECK_STR(image->file, "");
    CHECK(!image->copy);
    CHECK(image->elf == NULL);
    CHECK_INT(image->manifest->option_count, 1);
    CHECK_INT(image->manifest->import_count, 1);
    CHECK_INT(image->link_count, 3); /* unit, import, export */
    CHECK((uintptr_t)&berth_entry >= image->low && (uintptr_t)&berth_entry < image->high);
    CHECK_INT(berth_image_address(image, &berth_record_option_seed),
              image->manifest->options[0].address);
    for (size_t i = 0; i < image->link_count; i++)
        if (image->links[i].kind == BERTH_ITEM_EXPORT)
            CHECK(image->links[i].link->code == (void (*)(void))berth_export_sum);
    CHECK(berth_image_mapped(image));
    CHECK(!berth_image_unmap(image, reason, sizeof(reason)));
    CHECK_INT(image->link_count, 3);
    berth_image_free(image);
}

static void a_table_of_nobody_is_refused(void)
{
    struct berth_entry *entry = berth_test_alloc(sizeof(*entry));
    struct berth_image *image;
    struct berth_error error;

    *entry = berth_entry;
    CHECK_CODE(berth_image_application(entry, &image, &error), BERTH_INVALID_ARGUMENT, &error);
    CHECK_CONTAINS(error.text, "the application: berth_entry lies in no object");
}

/* ---- Running out ---- */

static void running_out_of_descriptors_is_an_error(void)
{
    const char *file = crafted("a.so", 0);
    struct berth_image *image = NULL;
    struct berth_error error;
    int last = -1, fd;

    while ((fd = dup(0)) >= 0)
        last = fd;
    CHECK_CODE(berth_image_stage(file, 1, NULL, &image, &error), BERTH_RESOURCE_EXHAUSTED, &error);
    close(last--); /* the file, then the copy */
    CHECK_CODE(berth_image_stage(file, 1, NULL, &image, &error), BERTH_OK, &error);
    CHECK_CODE(berth_image_map(image, &error), BERTH_FAILED_PRECONDITION, &error);
    for (; last > 10; last--)
        close(last);
    CHECK_CODE(berth_image_map(image, &error), BERTH_OK, &error);
    berth_image_free(image);
}

/* ---- Mutations: what passes the check must not end the process that loads it ---- */

static uint64_t state;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* One to eight bytes of [low, high): a bit, any value, an extreme, or a word that programs love. */
static void mutate(unsigned char *bytes, size_t low, size_t high)
{
    static const uint32_t loved[] = { 0, 1, 8, 24, 4096, 0x7fffffff, 0x80000000, 0xffffffff };

    for (uint64_t n = 1 + next() % 8; n; n--) {
        size_t at = low + next() % (high - low);
        switch (next() % 4) {
        case 0:
            bytes[at] ^= (unsigned char)(1u << next() % 8);
            break;
        case 1:
            bytes[at] = (unsigned char)next();
            break;
        case 2:
            bytes[at] = next() % 2 ? 0xff : 0;
            break;
        default:
            memcpy(bytes + (at & ~(size_t)3), &loved[next() % COUNT(loved)], 4);
        }
    }
}

struct tally {
    unsigned refused, loaded, errors, killed;
};

/* In a child, so that it may be killed. It only loads and unloads. */
static void load_in_child(struct berth_image *image, struct tally *tally)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        char path[64];
        int null = open("/dev/null", O_WRONLY);
        alarm((unsigned)(berth_test_patience() / 1000000000));
        dup2(null, STDERR_FILENO);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", image->copy->fd);
        void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (handle)
            dlclose(handle);
        _exit(handle ? 0 : 1);
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
        ++*(WEXITSTATUS(status) ? &tally->errors : &tally->loaded);
    else
        tally->killed++;
}

static struct tally mutate_many(const char *file, size_t low, size_t high, unsigned count)
{
    struct tally tally = { 0 };
    size_t size;
    char *whole = berth_test_read(file, &size);
    unsigned char *bytes = berth_test_alloc(size);
    const char *path = berth_test_format("%s/mutant.so", berth_test_dir());

    state = 88172645463325252u; /* the same ones in every run */
    for (unsigned i = 0; i < count; i++) {
        struct berth_image *image;
        struct berth_error error;
        memcpy(bytes, whole, size);
        mutate(bytes, low, high);
        berth_test_write(path, bytes, size);
        if (berth_image_stage(path, 1, NULL, &image, &error)) {
            tally.refused++;
            continue;
        }
        load_in_child(image, &tally);
        berth_image_free(image);
    }
    berth_note("bytes %zu to %zu of %s: of %u mutants %u refused, %u loaded, %u an error of the "
               "loader, %u killed",
               low, high, strrchr(file, '/') + 1, count, tally.refused, tally.loaded, tally.errors,
               tally.killed);
    return tally;
}

static void mutants_do_not_kill(void)
{
    unsigned count = berth_test_instrumented() ? 300 : 3000;
    struct craft *craft = craft_new(NULL, 0, 0);
    struct tally tally;

    if (berth_test_valgrind())
        berth_skip("too slow under valgrind");
    /* Headers, hash tables, symbols, versions; then the dynamic table and the arrays. */
    tally = mutate_many(craft_write(craft, "crafted.so"), 0, craft->rela, count);
    CHECK_INT(tally.killed, 0);
    CHECK(tally.loaded > 0 && tally.refused > count / 4);
    tally = mutate_many(craft_write(craft, "crafted.so"), craft->inits, craft->slots, count);
    CHECK_INT(tally.killed, 0);
}

static void compiled_mutants_do_not_kill(void)
{
    unsigned count = berth_test_instrumented() ? 300 : 3000;

    if (berth_test_valgrind())
        berth_skip("too slow under valgrind");
    if (!compile(COUNTING, "-DSTART=1 -O2", "counting"))
        berth_skip("no compiler");
    const char *file = berth_test_format("%s/counting.so", berth_test_dir());
    struct tally tally = mutate_many(file, 0, 1024, count);
    CHECK_INT(tally.killed, 0);
    CHECK(tally.loaded > 0 && tally.refused > count / 2);
}

static const struct berth_test tests[] = {
    { "a_copy_is_sealed_and_named", a_copy_is_sealed_and_named },
    { "a_relative_path_becomes_absolute", a_relative_path_becomes_absolute },
    { "bad_files_are_refused", bad_files_are_refused },
    { "bad_manifests_are_refused", bad_manifests_are_refused },
    { "what_aborts_at_load_can_be_looked_at", what_aborts_at_load_can_be_looked_at },
    { "a_sealed_descriptor_is_taken", a_sealed_descriptor_is_taken },
    { "an_unsealed_descriptor_is_refused", an_unsealed_descriptor_is_refused },
    { "links_are_found", links_are_found },
    { "lying_links_are_refused", lying_links_are_refused },
    { "lying_tables_are_refused", lying_tables_are_refused },
    { "another_abi_is_refused", another_abi_is_refused },
    { "what_the_loader_misses_is_named", what_the_loader_misses_is_named },
    { "overwriting_the_file_changes_nothing", overwriting_the_file_changes_nothing },
    { "unmapping_is_seen", unmapping_is_seen },
    { "an_image_that_stays_is_not_mistaken", an_image_that_stays_is_not_mistaken },
    { "a_spare_copy_is_mapped_again", a_spare_copy_is_mapped_again },
    { "many_at_once_are_apart", many_at_once_are_apart },
    { "a_library_beside_the_module_is_found", a_library_beside_the_module_is_found },
    { "a_library_that_is_not_there_is_named", a_library_that_is_not_there_is_named },
    { "the_application_is_read_in_memory", the_application_is_read_in_memory },
    { "a_table_of_nobody_is_refused", a_table_of_nobody_is_refused },
    { "running_out_of_descriptors_is_an_error", running_out_of_descriptors_is_an_error },
    { "mutants_do_not_kill", mutants_do_not_kill },
    { "compiled_mutants_do_not_kill", compiled_mutants_do_not_kill },
};

int main(int argc, char **argv)
{
    return berth_suite_main("image", tests, COUNT(tests), argc, argv);
}
