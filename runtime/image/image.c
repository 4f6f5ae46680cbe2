/* SPDX-License-Identifier: MIT */
#include "runtime/image/image.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/base/path.h"
#include "runtime/base/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM ((size_t)1024) /* for what is kept of the ELF file; mostly enough */

/* The directory of a relative path is asked for now: it may change. */
static int set_path(struct berth_image *image, const char *file, struct berth_error *error)
{
    char path[PATH_MAX] = "";
    int code = file ? berth_path_absolute(file, path, error) : BERTH_OK;

    if (code == BERTH_OK && !(image->file = berth_arena_string(&image->arena, path)))
        code = berth_error_nomem(error);
    return code;
}

int berth_image_new(const char *file, struct berth_image **ret_image, struct berth_error *error)
{
    struct berth_image *image = berth_pool_alloc(sizeof(*image) + ROOM);

    if (!image)
        return berth_error_nomem(error);
    berth_arena_init(&image->arena);
    berth_arena_lend(&image->arena, image + 1, ROOM);
    int code = set_path(image, file, error);
    if (code)
        berth_image_free(image);
    else
        *ret_image = image;
    return code;
}

/* ---- Reading ---- */

static int read_bytes(int fd, unsigned char *bytes, size_t size, struct berth_error *error)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(fd, bytes + done, size - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return berth_error_errno(error, errno, "cannot be read");
        if (got == 0)
            return berth_error_set(error, BERTH_ABORTED,
                                   "became shorter while it was read: load it once it is written");
        done += (size_t)got;
    }
    return BERTH_OK;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* All of a regular file, in memory that the caller frees. */
static int read_open_file(int fd, unsigned char **ret_bytes, size_t *ret_size,
                          struct berth_error *error)
{
    struct stat before, after;

    if (fstat(fd, &before) < 0)
        return berth_error_errno(error, errno, "cannot be read");
    if (!S_ISREG(before.st_mode))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               S_ISDIR(before.st_mode) ? "a directory, not a shared object"
                                                       : "not a regular file");
    if (before.st_size > (off_t)BERTH_IMAGE_SIZE_MAX)
        return berth_error_set(error, BERTH_OUT_OF_RANGE, "%lld bytes; at most %zu are possible",
                               (long long)before.st_size, BERTH_IMAGE_SIZE_MAX);
    size_t size = (size_t)before.st_size;
    unsigned char *bytes = berth_malloc(size + 1);
    if (!bytes)
        return berth_error_nomem(error);
    int code = read_bytes(fd, bytes, size, error);
    if (!code && (fstat(fd, &after) < 0 || !is_same_file(&before, &after)))
        code = berth_error_set(error, BERTH_ABORTED,
                               "changed while it was read: load it once it is written");
    if (code) {
        berth_free(bytes);
        return code;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return BERTH_OK;
}

int berth_image_read_bytes(const char *file, unsigned char **ret_bytes, size_t *ret_size,
                           struct berth_error *error)
{
    /*
     * O_NONBLOCK: opening a FIFO must not wait for its writer. Links are followed, as users
     * expect.
     */
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return berth_error_errno(error, errno, "cannot be opened");
    int code = read_open_file(fd, ret_bytes, ret_size, error);
    close(fd);
    return code;
}

/* ---- Looking at it ---- */

static const char *keep_string(struct berth_arena *arena, const char *text, bool *ok)
{
    const char *copy = text ? berth_arena_string(arena, text) : NULL;
    *ok &= !text || copy;
    return copy;
}

/* What is needed once the bytes are gone. */
static int keep_elf(struct berth_image *image, const struct berth_elf *elf,
                    struct berth_error *error)
{
    struct berth_arena *arena = &image->arena;
    struct berth_elf *kept = berth_arena_copy(arena, elf, sizeof(*elf));
    bool ok = kept != NULL;

    if (!ok)
        return berth_error_nomem(error);
    kept->records = NULL;
    kept->record_count = 0;
    kept->soname = keep_string(arena, elf->soname, &ok);
    kept->runpath = keep_string(arena, elf->runpath, &ok);
    kept->rpath = keep_string(arena, elf->rpath, &ok);
    kept->segments =
        berth_arena_copy(arena, elf->segments, elf->segment_count * sizeof(*elf->segments));
    kept->risks = berth_arena_copy(arena, elf->risks, elf->risk_count * sizeof(*elf->risks));
    if (elf->slot_count)
        kept->slots = berth_arena_copy(arena, elf->slots, elf->slot_count * sizeof(*elf->slots));
    kept->needed = berth_arena_alloc(arena, elf->needed_count * sizeof(*elf->needed));
    for (size_t i = 0; kept->needed && i < elf->needed_count; i++)
        kept->needed[i] = keep_string(arena, elf->needed[i], &ok);
    if (!ok || !kept->segments || !kept->needed || !kept->risks ||
        (elf->slot_count && !kept->slots))
        return berth_error_nomem(error);
    image->elf = kept;
    return BERTH_OK;
}

int berth_image_check_entry(const struct berth_elf *elf, struct berth_error *error)
{
    if (!elf->entry)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "it exports no berth_entry: BERTH_MODULE makes it; does a version "
                               "script or a visibility hide it?");
    for (size_t i = 0; i < elf->segment_count; i++)
        if (elf->entry >= elf->segments[i].low && elf->entry % 8 == 0 &&
            elf->entry + sizeof(struct berth_entry) <= elf->segments[i].high)
            return BERTH_OK;
    return berth_error_set(error, BERTH_DATA_LOSS, "damaged: its berth_entry is not loaded");
}

static int examine(struct berth_image *image, const void *bytes, size_t size,
                   struct berth_error *error)
{
    struct berth_arena arena;
    struct berth_elf *elf;

    berth_arena_init(&arena);
    int code = berth_elf_read(bytes, size, &arena, &elf, error);
    if (!code &&
        elf->record_count) /* rather "no manifest" of any library than what else it lacks */
        code = berth_elf_check(bytes, size, elf, error);
    if (!code)
        code = berth_manifest_new(elf->records, elf->record_count, &image->manifest, error);
    if (!code)
        code = berth_image_check_entry(elf, error);
    if (!code)
        code = keep_elf(image, elf, error);
    berth_arena_deinit(&arena);
    if (!code) {
        image->size = size;
        image->digest = berth_digest(bytes, size);
    }
    return code;
}

static int make_label(struct berth_image *image, unsigned generation, struct berth_error *error)
{
    image->label = berth_arena_format(&image->arena, "%s@%s#%u", image->manifest->name,
                                      image->manifest->version, generation);
    return image->label ? BERTH_OK : berth_error_nomem(error);
}

/* ---- Staging ---- */

/* What is known of these bytes, as they are those of another image. */
static int take_over(struct berth_image *image, const struct berth_image *like,
                     struct berth_error *error)
{
    int code = keep_elf(image, like->elf, error);

    if (code)
        return code;
    image->manifest = berth_manifest_ref(like->manifest);
    image->size = like->size;
    image->digest = like->digest;
    return BERTH_OK;
}

struct source {
    const char *file;
    struct berth_copy *copy; /* what is read instead of it; or NULL */
    bool only_read;          /* nothing is to be mapped */
};

/* The copy to map it from: one that is there already, when nothing is mapped from that. */
static int set_copy(struct berth_image *image, const struct source *source,
                    const unsigned char *bytes, const struct berth_known *like,
                    struct berth_error *error)
{
    struct berth_copy *same = like ? like->image->copy : source->copy;
    struct berth_copy *spare = like ? like->spare : source->copy;

    if (!spare || spare->mapped || spare->content != same->content)
        return berth_copy_new(image->label, bytes, image->size, same, &image->copy, error);
    image->copy = berth_copy_ref(spare);
    return BERTH_OK;
}

static int read_image(const struct source *source, unsigned generation,
                      const struct berth_known *known, struct berth_image **ret_image,
                      struct berth_error *error)
{
    struct berth_image *image;
    unsigned char *bytes = NULL;
    size_t size;

    if (!*source->file) /* else it would be the working directory */
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "the file's name is empty");
    int code = berth_image_new(source->file, &image, error);
    if (code)
        return code;
    code = source->copy ? read_open_file(source->copy->fd, &bytes, &size, error)
                        : berth_image_read_bytes(image->file, &bytes, &size, error);
    if (!code && known && !berth_copy_holds(known->image->copy, bytes, size))
        known = NULL;
    if (!code)
        code = known ? take_over(image, known->image, error) : examine(image, bytes, size, error);
    if (!code)
        code = make_label(image, generation, error);
    if (!code && !source->only_read)
        code = set_copy(image, source, bytes, known, error);
    berth_free(bytes);
    if (code) {
        berth_image_free(image);
        berth_error_prefix(error, "%s: ", source->file);
        return code;
    }
    *ret_image = image;
    return BERTH_OK;
}

int berth_image_stage(const char *file, unsigned generation, const struct berth_known *known,
                      struct berth_image **ret_image, struct berth_error *error)
{
    return read_image(&(struct source){ .file = file }, generation, known, ret_image, error);
}

int berth_image_stage_copy(struct berth_copy *copy, const char *file, unsigned generation,
                           const struct berth_known *known, struct berth_image **ret_image,
                           struct berth_error *error)
{
    return read_image(&(struct source){ .file = file, .copy = copy }, generation, known, ret_image,
                      error);
}

int berth_image_read(const char *file, struct berth_image **ret_image, struct berth_error *error)
{
    return read_image(&(struct source){ .file = file, .only_read = true }, 1, NULL, ret_image,
                      error);
}

int berth_image_stage_fd(int fd, const char *file, unsigned generation,
                         struct berth_image **ret_image, struct berth_error *error)
{
    struct berth_image *image;
    unsigned char *bytes = NULL;
    size_t size;
    int code = berth_image_new(file, &image, error);

    if (code) {
        close(fd);
        return code;
    }
    code = berth_copy_adopt(fd, &image->copy, error);
    if (!code)
        code = read_open_file(fd, &bytes, &size, error);
    if (!code)
        code = examine(image, bytes, size, error);
    if (!code)
        code = make_label(image, generation, error);
    berth_free(bytes);
    if (code) {
        berth_image_free(image);
        berth_error_prefix(error, "%s: ", file);
        return code;
    }
    *ret_image = image;
    return BERTH_OK;
}
