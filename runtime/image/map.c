/* SPDX-License-Identifier: MIT */
/* The dynamic loader; nothing else of the runtime speaks to it. */
#include "runtime/image/image.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/base/pool.h"
#include "runtime/image/library.h"
#include "runtime/image/links.h"
#include "runtime/image/origin.h"
#include "runtime/image/staging.h"
#include "runtime/image/traces.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define KEEP_MAPPED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer) || __has_feature(leak_sanitizer)
#define KEEP_MAPPED 1
#endif
#endif
#ifndef KEEP_MAPPED
#define KEEP_MAPPED 0
#endif

/* ---- The path ---- */

/*
 * How many images of this process were closed while they stayed mapped. The loader goes by names:
 * the number of such an image's descriptor may come again, its path must not. So the path takes a
 * detour that spells this count in binary, "./" for 1 and "/" for 0.
 */
static unsigned stuck_count;

#define PATH_SIZE 512

static void make_path(const struct berth_image *image, const char *process, char path[PATH_SIZE])
{
    char detour[2 * 8 * sizeof(stuck_count) + 1], *p = detour;

    for (unsigned n = __atomic_load_n(&stuck_count, __ATOMIC_SEQ_CST); n; n >>= 1)
        p = stpcpy(p, n & 1 ? "./" : "/");
    *p = '\0';
    snprintf(path, PATH_SIZE, "/proc/%s/fd/%s%d", process, detour, image->copy->fd);
}

static bool is_same(const char *path, int fd)
{
    struct stat by_path, by_fd;
    return stat(path, &by_path) == 0 && fstat(fd, &by_fd) == 0 && by_path.st_dev == by_fd.st_dev &&
           by_path.st_ino == by_fd.st_ino;
}

/*
 * By the process's number, as debuggers resolve "self" in a process of their own. Where /proc is
 * that of another pid namespace the number is somebody else's, and self has to do. Looking costs as
 * much as mapping a segment: a number that was right stays so.
 */
static int find_path(const struct berth_image *image, char path[PATH_SIZE],
                     struct berth_error *error)
{
    static int right; /* atomic */
    char process[16];
    int number = getpid();

    if (image->path) {
        snprintf(path, PATH_SIZE, "%s", image->path);
        return BERTH_OK;
    }
    snprintf(process, sizeof(process), "%d", number);
    make_path(image, process, path);
    if (__atomic_load_n(&right, __ATOMIC_RELAXED) == number)
        return BERTH_OK;
    if (is_same(path, image->copy->fd)) {
        __atomic_store_n(&right, number, __ATOMIC_RELAXED);
        return BERTH_OK;
    }
    make_path(image, "self", path);
    if (is_same(path, image->copy->fd))
        return BERTH_OK;
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "its copy is not to be found as %s: is /proc mounted?", path);
}

/* ---- Libraries beside the module ---- */

/* Where links lead to counts as well: that is where a package keeps what belongs together. */
static bool find_library(const struct berth_image *image, const char *library, char *path,
                         size_t size)
{
    const struct berth_elf *elf = image->elf;
    const char *paths = elf->runpath ? elf->runpath : elf->rpath;

    if (berth_origin_search(paths, image->file, library, path, size))
        return true;
    char real[PATH_MAX];
    return realpath(image->file, real) && berth_origin_search(paths, real, library, path, size);
}

static int open_dependency(struct berth_image *image, const char *library,
                           struct berth_error *error)
{
    char path[4096];
    /* The loader takes one that is there already, by its name. */
    void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);

    if (!handle && find_library(image, library, path, sizeof(path))) {
        handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
        if (!handle) {
            const char *why = dlerror();
            return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                   "it needs %s, which cannot be loaded: %s", library,
                                   why ? why : "no reason given");
        }
    }
    if (handle)
        image->dependencies[image->dependency_count++] = handle;
    return BERTH_OK;
}

/* A copy has no place of its own: what the file means by $ORIGIN must be opened before. */
static int open_dependencies(struct berth_image *image, struct berth_error *error)
{
    const struct berth_elf *elf = image->elf;
    const char *paths = elf->runpath ? elf->runpath : elf->rpath;
    int code = BERTH_OK;

    if (!paths || !strstr(paths, "ORIGIN"))
        return BERTH_OK;
    image->dependencies = berth_calloc(elf->needed_count + 1, sizeof(*image->dependencies));
    if (!image->dependencies)
        return berth_error_nomem(error);
    for (size_t i = 0; i < elf->needed_count && !code; i++)
        if (!strchr(elf->needed[i], '/'))
            code = open_dependency(image, elf->needed[i], error);
    return code;
}

static void close_dependencies(struct berth_image *image)
{
    while (image->dependency_count)
        dlclose(image->dependencies[--image->dependency_count]);
    berth_free(image->dependencies);
    image->dependencies = NULL;
}

/* ---- Where the loader looks ---- */

/* Those of the C library itself, which has no path of its own. */
int berth_loader_directories(struct berth_arena *arena, const char ***ret_directories,
                             size_t *ret_count, struct berth_error *error)
{
    Dl_serinfo head, *info = NULL;
    const char **directories = NULL;
    void *libc = NULL; /* not by dlopen, which keeps memory for a library that is not its own */
    Dl_info found;
    size_t count = 0;
    bool known =
        dladdr1((const void *)(uintptr_t)gnu_get_libc_version, &found, &libc, RTLD_DL_LINKMAP) &&
        dlinfo(libc, RTLD_DI_SERINFOSIZE, &head) == 0 &&
        (info = berth_malloc(head.dls_size)) != NULL;

    if (known) {
        *info = head;
        known = dlinfo(libc, RTLD_DI_SERINFO, info) == 0;
    }
    if (known)
        directories = berth_arena_alloc(arena, info->dls_cnt * sizeof(*directories));
    for (size_t i = 0; directories && i < info->dls_cnt; i++) {
        directories[count] = berth_arena_string(arena, info->dls_serpath[i].dls_name);
        count += directories[count] != NULL;
    }
    berth_free(info);
    if (!directories)
        return berth_error_set(error, BERTH_UNKNOWN, "the loader does not say where it looks");
    *ret_directories = directories;
    *ret_count = count;
    return BERTH_OK;
}

/* ---- The loader's errors ---- */

/*
 * What follows a phrase in a message, up to a blank, comma or bracket: the name that it is about.
 */
static bool name_after(const char *message, const char *phrase, char *name, size_t size)
{
    const char *at = strstr(message, phrase);

    if (!at)
        return false;
    at += strlen(phrase);
    snprintf(name, size, "%.*s", (int)strcspn(at, " ,;:()"), at);
    return name[0] != '\0';
}

/* The number that a file begins with, or, of lines: how many it has. 0: it cannot be read. */
static unsigned long number_of(const char *file, bool of_lines)
{
    char text[4096];
    unsigned long number = 0;
    ssize_t got;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    while ((got = read(fd, text, sizeof(text) - 1)) > 0) {
        text[got] = '\0';
        if (!of_lines)
            number = strtoul(text, NULL, 10);
        for (ssize_t i = 0; of_lines && i < got; i++)
            number += text[i] == '\n';
    }
    close(fd);
    return number;
}

/* The kernel bounds how many a process has, and each image takes some five of them. */
static bool mappings_are_out(unsigned long *ret_count, unsigned long *ret_limit)
{
    unsigned long count = number_of("/proc/self/maps", true);
    unsigned long limit = number_of("/proc/sys/vm/max_map_count", false);

    *ret_count = count;
    *ret_limit = limit;
    return limit && count + 16 > limit;
}

#define VERSION ": version `"

/* The message has the path of the copy in it, which means nothing to anybody. */
static int explain(const char *message, const char *path, struct berth_error *error)
{
    char name[256];
    unsigned long count, limit;

    if (mappings_are_out(&count, &limit))
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "the process has %lu memory mappings, and the kernel lets it have "
                               "%lu (vm.max_map_count): raise that, with `sysctl -w "
                               "vm.max_map_count=%lu`, or unload modules",
                               count, limit, 4 * limit);
    if (!message)
        return berth_error_set(error, BERTH_UNKNOWN, "the loader refuses it, and does not say why");
    if (name_after(message, "undefined symbol: ", name, sizeof(name)))
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "it needs the symbol %s, which no library of its has: link it with "
                               "the library that defines it",
                               name);
    if (strstr(message, "cannot open shared object file") &&
        strncmp(message, path, strlen(path)) != 0)
        return berth_error_set(error, BERTH_NOT_FOUND,
                               "it needs the library %.*s, which is not found: install it, or, if "
                               "it lies beside the module, link with -Wl,-rpath,'$ORIGIN' and give "
                               "it that soname",
                               (int)strcspn(message, ":"), message);
    const char *version = strstr(message, VERSION);
    if (version && strstr(version, path))
        return berth_error_set(
            error, BERTH_FAILED_PRECONDITION,
            "it needs version %.*s of %.*s, which does not have it: build it on a "
            "system as old as this one, or older",
            (int)strcspn(version + strlen(VERSION), "'"), version + strlen(VERSION),
            (int)(version - message), message);
    if (strstr(message, "static TLS block"))
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "no room for its thread-local data, which are of the static kind: "
                               "compile it without -ftls-model=initial-exec, or place it in a "
                               "process");
    const char *rest = message;
    if (strncmp(rest, path, strlen(path)) == 0)
        rest += strlen(path) + strspn(rest + strlen(path), ": ");
    return berth_error_set(error, BERTH_FAILED_PRECONDITION, "the loader refuses it: %s", rest);
}

/* ---- Mapping ---- */

static int read_links(struct berth_image *image, struct berth_error *error)
{
    const struct berth_elf *elf = image->elf;
    struct berth_place place = { .base = image->base,
                                 .segments = elf->segments,
                                 .segment_count = elf->segment_count,
                                 .relro_low = elf->relro_low,
                                 .relro_high = elf->relro_high };
    struct berth_entry entry;

    /* Not by dlsym: it would look into the libraries that the image needs as well. */
    memcpy(&entry, (const void *)(image->base + elf->entry), sizeof(entry));
    return berth_image_read_links(image, &place, &entry, error);
}

/* Of another name each time, as of another number. */
static int name_copy(struct berth_image *image, struct berth_error *error)
{
    char path[PATH_SIZE];

    if (!image->staging || !image->staging->directory)
        return BERTH_OK;
    int code = berth_staging_copy(image->staging, image->label, image->copy->fd, image->size, path,
                                  sizeof(path), error);
    if (code)
        return code;
    image->path = berth_arena_string(&image->arena, path);
    return image->path ? BERTH_OK : berth_error_nomem(error);
}

static int open_image(struct berth_image *image, struct berth_error *error)
{
    char path[PATH_SIZE];
    struct link_map *map;
    int code = find_path(image, path, error);

    if (code)
        return code;
    image->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!image->handle)
        return explain(dlerror(), path, error);
    image->copy->mapped = true;
    if (dlinfo(image->handle, RTLD_DI_LINKMAP, &map) < 0 || strcmp(map->l_name, path) != 0)
        return berth_error_set(error, BERTH_INTERNAL, "the loader has taken another image for it");
    image->base = map->l_addr;
    image->low = image->base + image->elf->low;
    image->high = image->base + image->elf->high;
    return BERTH_OK;
}

int berth_image_check_abi(const struct berth_image *image, struct berth_error *error)
{
    if (image->manifest->abi == BERTH_ABI)
        return BERTH_OK;
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "%s: it was compiled for ABI revision %u, and this berth has revision "
                           "%d: compile it with this berth's <berth/module.h>",
                           image->file, image->manifest->abi, BERTH_ABI);
}

int berth_image_map(struct berth_image *image, struct berth_error *error)
{
    char reason[1];

    if (berth_image_mapped(image))
        return berth_error_set(error, BERTH_FAILED_PRECONDITION, "%s: mapped already", image->file);
    int code = berth_image_check_abi(image, error); /* before any code of it runs */
    if (code)
        return code;
    code = open_dependencies(image, error);
    if (!code)
        code = name_copy(image, error);
    if (!code)
        code = open_image(image, error);
    if (!code)
        code = berth_traces_begin(image, error);
    if (!code)
        code = read_links(image, error);
    if (code && !image->handle) /* else constructors have run: what they left is to be looked at */
        berth_image_unmap(image, reason, sizeof(reason));
    if (code)
        berth_error_prefix(error, "%s: ", image->file);
    return code;
}

static const char *why_stuck(const struct berth_elf *elf)
{
    if (elf->nodelete)
        return "it is linked with -z nodelete";
    if (elf->has_unique)
        return "it has static data of C++ templates or inline functions (compile it with "
               "-fno-gnu-unique)";
    return "a destructor of thread-local data, or another handle, still holds it";
}

/*
 * dlclose says nothing of use: asks the loader whether anything is where it was and, as that may be
 * something new, whether it still knows the name.
 */
static bool is_gone(const struct berth_image *image)
{
    char path[PATH_SIZE];
    struct dl_find_object found;
    struct berth_error error;

    if (image->low && _dl_find_object((void *)image->low, &found) != 0)
        return true;
    if (find_path(image, path, &error))
        return false;
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    if (handle)
        dlclose(handle);
    return !handle;
}

/* Valgrind loads this into each process that it runs. */
static int is_valgrinds(struct dl_phdr_info *object, size_t size, void *user)
{
    (void)size, (void)user;
    return strstr(object->dlpi_name, "/vgpreload_") != NULL;
}

bool berth_images_are_reported(void)
{
    static const char *const runtimes[] = { "__asan_init", "__tsan_init", "__msan_init",
                                            "__lsan_init" };
    bool any = dl_iterate_phdr(is_valgrinds, NULL) != 0;

    for (size_t i = 0; i < sizeof(runtimes) / sizeof(*runtimes) && !any; i++)
        any = dlsym(RTLD_DEFAULT, runtimes[i]) != NULL;
    dlerror(); /* frees what it would say of them */
    return any;
}

const char *berth_image_keeps(const struct berth_image *image)
{
    if (!image->copy && image->links)
        return "it is the application's own";
    return KEEP_MAPPED && image->handle ? "images stay mapped under a sanitizer" : NULL;
}

bool berth_image_unmap(struct berth_image *image, char *reason, size_t size)
{
    const char *why = berth_image_keeps(image);

    if (!why && (image->handle || image->stuck)) {
        if (image->handle)
            dlclose(image->handle);
        image->handle = NULL;
        image->stuck = !is_gone(image);
        if (image->stuck)
            why = why_stuck(image->elf);
    }
    if (why) {
        snprintf(reason, size, "%s", why);
        return false;
    }
    if (image->copy)
        image->copy->mapped = false;
    image->links = NULL; /* lies in the arena */
    image->link_count = 0;
    berth_traces_end(image);
    close_dependencies(image);
    return true;
}

const void *berth_loader_find(const char *symbol)
{
    return dlsym(RTLD_DEFAULT, symbol);
}

uint64_t berth_image_address(const struct berth_image *image, const void *record)
{
    return (uintptr_t)record - image->base;
}

bool berth_image_mapped(const struct berth_image *image)
{
    return image->handle || image->stuck || image->links;
}

void berth_image_free(struct berth_image *image)
{
    char reason[1];

    if (!image)
        return;
    if (image->copy && berth_image_mapped(image) &&
        !berth_image_unmap(image, reason, sizeof(reason)))
        __atomic_add_fetch(&stuck_count, 1, __ATOMIC_SEQ_CST); /* before its number is free */
    berth_copy_unref(image->copy);
    berth_aligned_free(image->own_links);
    berth_free(image->dependencies); /* those of an image that is stuck stay open */
    berth_manifest_unref(image->manifest);
    berth_arena_deinit(&image->arena);
    berth_pool_free(image);
}

/* ---- The application ---- */

struct object {
    uintptr_t wanted; /* an address in it */
    bool found;
    uintptr_t base;
    const Elf64_Phdr *headers;
    size_t header_count, segment_count;
    struct berth_elf_segment segments[64];
    uint64_t relro_low, relro_high;
};

static int look_at_object(struct dl_phdr_info *info, size_t size, void *user)
{
    struct object *object = user;

    (void)size;
    object->segment_count = 0;
    object->relro_low = object->relro_high = 0;
    object->base = info->dlpi_addr;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &info->dlpi_phdr[i];
        uint64_t end = header->p_vaddr + header->p_memsz, at = object->wanted - info->dlpi_addr;
        if (header->p_type == PT_GNU_RELRO) {
            object->relro_low = header->p_vaddr;
            object->relro_high = end;
        }
        if (header->p_type != PT_LOAD || object->segment_count == 64)
            continue;
        object->segments[object->segment_count++] =
            (struct berth_elf_segment){ header->p_vaddr, end, (header->p_flags & PF_W) != 0,
                                        (header->p_flags & PF_X) != 0 };
        object->found |= at >= header->p_vaddr && at < end;
    }
    object->headers = info->dlpi_phdr;
    object->header_count = info->dlpi_phnum;
    return object->found;
}

/* All notes of the object, once to count and once to keep. */
static int read_notes(const struct object *object, struct berth_record *records, size_t *count,
                      struct berth_error *error)
{
    int code = BERTH_OK;

    *count = 0;
    for (size_t i = 0; i < object->header_count && !code; i++) {
        const Elf64_Phdr *header = &object->headers[i];
        if (header->p_type == PT_NOTE)
            code = berth_elf_read_notes((const void *)(object->base + header->p_vaddr),
                                        header->p_memsz, header->p_vaddr, records, count, error);
    }
    return code;
}

static int read_manifest(struct berth_image *image, const struct object *object,
                         struct berth_error *error)
{
    size_t count;
    int code = read_notes(object, NULL, &count, error);
    struct berth_record *records = code ? NULL : berth_calloc(count + 1, sizeof(*records));

    if (!code && !records)
        code = berth_error_nomem(error);
    if (!code)
        code = read_notes(object, records, &count, error);
    if (!code)
        code = berth_manifest_new(records, count, &image->manifest, error);
    berth_free(records);
    return code;
}

int berth_image_application(const struct berth_entry *entry, struct berth_image **ret_image,
                            struct berth_error *error)
{
    struct object object = { .wanted = (uintptr_t)entry };
    struct berth_image *image;
    int code = berth_image_new(NULL, &image, error);

    if (code)
        return code;
    if (!dl_iterate_phdr(look_at_object, &object))
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "berth_entry lies in no object of this process");
    if (!code)
        code = read_manifest(image, &object, error);
    if (!code) {
        image->base = object.base;
        image->low = object.base + object.segments[0].low;
        image->high = object.base + object.segments[object.segment_count - 1].high;
        struct berth_place place = { .base = object.base,
                                     .segments = object.segments,
                                     .segment_count = object.segment_count,
                                     .relro_low = object.relro_low,
                                     .relro_high = object.relro_high };
        code = berth_image_read_links(image, &place, entry, error);
    }
    if (code) {
        berth_image_free(image);
        berth_error_prefix(error, "the application: ");
        return code;
    }
    *ret_image = image;
    return BERTH_OK;
}
