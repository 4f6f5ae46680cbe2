/* SPDX-License-Identifier: MIT */
/*
 * One shared object: staged as a sealed private copy, read, and mapped when it is to run.
 *
 * Staging copies the file into a sealed memfd named module@version#generation, so that what was
 * checked is what is mapped, whatever happens to the file. The memfd stays open as long as the
 * image lives; it is opened as /proc/<pid>/fd/N, which is then a path of nothing else that is
 * mapped (gdb and the loader both depend on that). A generation of the same bytes may be mapped
 * from the copy of an earlier one that is gone, whose number the name then has.
 *
 * An image belongs to one thread at a time; different images are independent.
 */
#ifndef RUNTIME_IMAGE_IMAGE_H
#define RUNTIME_IMAGE_IMAGE_H

#include "runtime/image/copy.h"
#include "runtime/image/elf.h"
#include "runtime/image/manifest.h"

#include <berth/call.h>

#define BERTH_IMAGE_SIZE_MAX ((size_t)1 << 30)

struct berth_image_link {
    struct berth_link *link;
    enum berth_item_kind kind;
    size_t index; /* as in struct berth_manifest_item */
};

struct berth_image {
    const char *file;        /* where it came from, absolute; "" for the application */
    const char *label;       /* module@version#generation; "" for the application */
    struct berth_copy *copy; /* what it is mapped from; NULL for the application */
    size_t size;
    uint64_t digest; /* of the file's bytes */
    struct berth_manifest *manifest;
    struct berth_elf *elf;         /* without records and symbols; NULL for the application */
    struct berth_staging *staging; /* where a copy with a name is mapped from; or NULL */
    /* while mapped */
    const char *path; /* of that copy; else NULL */
    void *handle;
    uintptr_t base;      /* what relocation added to the file's addresses */
    uintptr_t low, high; /* [low, high) */
    size_t link_count;
    struct berth_image_link *links; /* every line of the table, checked */
    struct berth_link *own_links;   /* of a built-in one; else NULL */
    struct berth_traces *traces;    /* what it has left elsewhere: traces.h; or NULL */
    /* private */
    bool stuck; /* closed, and still mapped */
    size_t dependency_count;
    void **dependencies; /* libraries that were opened for it */
    struct berth_arena arena;
};

/* Of the bytes that a file may well have; whether it has them is seen to. */
struct berth_known {
    const struct berth_image *image; /* staged of these bytes: what was read is taken over */
    struct berth_copy *spare; /* of them, too: taken, if nothing is mapped from it; or NULL */
};

/*
 * Copies, seals, reads and checks. No code of the file runs. generation is for the label. An error
 * when it is not a regular file, unreadable, larger than BERTH_IMAGE_SIZE_MAX, changed while it
 * was copied, not a shared object for this machine, damaged, or without a manifest or a table. May
 * block as long as reading the file does.
 */
int berth_image_stage(const char *file, unsigned generation, const struct berth_known *known,
                      struct berth_image **ret_image, struct berth_error *error);
/* The same, but only to look at it: there is no copy, and nothing to map. */
int berth_image_read(const char *file, struct berth_image **ret_image, struct berth_error *error);
/* From a copy that is kept. file: where that came from. */
int berth_image_stage_copy(struct berth_copy *copy, const char *file, unsigned generation,
                           const struct berth_known *known, struct berth_image **ret_image,
                           struct berth_error *error);
/* From a memfd that is sealed already: checks the seals. Takes the descriptor, also on failure. */
int berth_image_stage_fd(int fd, const char *file, unsigned generation,
                         struct berth_image **ret_image, struct berth_error *error);
/* The application's own table, in memory; it is never unmapped. */
int berth_image_application(const struct berth_entry *entry, struct berth_image **ret_image,
                            struct berth_error *error);
static inline bool berth_image_is_application(const struct berth_image *image)
{
    return !image->copy && !image->own_links;
}
/*
 * One that is part of the runtime: records, as they would lie in notes, with their code. No image
 * is mapped and nothing can be unmapped; several hosts may each have their own.
 */
struct berth_image_part {
    const char *record;
    size_t size;
    void (*code)(void); /* an export; else NULL */
};
int berth_image_builtin(const struct berth_image_part *parts, size_t count,
                        struct berth_image **ret_image, struct berth_error *error);

/* What mapping asks first: whether this library can call it. */
int berth_image_check_abi(const struct berth_image *image, struct berth_error *error);
/*
 * dlopen RTLD_NOW | RTLD_LOCAL, DT_NEEDED resolved by the original file's RUNPATH and $ORIGIN
 * first; runs the image's constructors. Then checks that berth_entry, every link, every record and
 * all code lie inside this image and belong to the manifest: an export without code is refused. A
 * missing symbol or library is named. May block as long as constructors do. When they have run and
 * something is wrong, the image stays mapped, for whoever has it to unmap.
 */
int berth_image_map(struct berth_image *image, struct berth_error *error);
/*
 * Runs destructors, and sees whether the mapping is really gone. If not: false, with the reason;
 * the image then counts as mapped, and this may be tried again. If this library has a sanitizer,
 * images stay mapped, so that its reports can name their functions.
 */
bool berth_image_unmap(struct berth_image *image, char *reason, size_t size);
/*
 * Whether this process runs under valgrind, or with a sanitizer, of the application perhaps: their
 * reports have no names for what has been unmapped.
 */
bool berth_images_are_reported(void);
/* Why it is never unmapped, or NULL. Static. */
const char *berth_image_keeps(const struct berth_image *image);
/* Where a symbol of the C library lies that only the library itself is to know, or NULL. */
const void *berth_loader_find(const char *symbol);
/* The unrelocated address of a record (as in struct berth_manifest_item), while mapped. */
uint64_t berth_image_address(const struct berth_image *image, const void *record);
bool berth_image_mapped(const struct berth_image *image);

/* Unmaps what is mapped and frees. An image that stays mapped nevertheless does no harm. */
void berth_image_free(struct berth_image *image);

/* For this floor: an image of nothing yet. NULL for the application. */
int berth_image_new(const char *file, struct berth_image **ret_image, struct berth_error *error);
/* For this floor: berth_entry must be there, and be loaded in whole. */
int berth_image_check_entry(const struct berth_elf *elf, struct berth_error *error);
/* For this floor: all of a regular file, within BERTH_IMAGE_SIZE_MAX, to be berth_free()d. */
int berth_image_read_bytes(const char *file, unsigned char **ret_bytes, size_t *ret_size,
                           struct berth_error *error);

#endif
