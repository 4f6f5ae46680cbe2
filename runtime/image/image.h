/* SPDX-License-Identifier: MIT */
/*
 * One shared object: staged as a sealed private copy, read, and mapped when it is to run.
 *
 * Staging copies the file into a sealed memfd named module@version#generation, so that what was
 * checked is what is mapped, whatever happens to the file. The memfd stays open as long as the
 * image lives; it is opened as /proc/<pid>/fd/N, which is then a path never used before (gdb and
 * the loader both depend on that).
 */
#ifndef RUNTIME_IMAGE_IMAGE_H
#define RUNTIME_IMAGE_IMAGE_H

#include "runtime/image/elf.h"
#include "runtime/image/manifest.h"
#include <berth/call.h>

struct berth_image_link {
    struct berth_link *link;
    enum berth_item_kind kind;
    size_t index; /* as in struct berth_manifest_item */
};

struct berth_image {
    char *file;  /* where it came from, absolute; "" for the application */
    char *label; /* module@version#generation */
    int fd;      /* the sealed memfd; -1 for the application */
    size_t size;
    unsigned char hash[16]; /* of the content: names it in logs and history, not a signature */
    struct berth_manifest *manifest;
    struct berth_elf *elf; /* NULL for the application */
    /* while mapped */
    void *handle;
    uintptr_t low, high; /* [low, high) */
    size_t link_count;
    struct berth_image_link *links; /* every line of the table, checked */
    struct berth_arena arena;
};

/*
 * Copies, seals, reads and checks. No code of the file runs. generation is for the label. max_size
 * bounds the file (0: 1 GiB). Not a regular file, unreadable, truncated while copied, no manifest
 * (with the hint that it must include <berth/module.h>): an error.
 */
int berth_image_stage(const char *file, unsigned generation, struct berth_image **ret_image,
                      struct berth_error *error);
/*
 * From a memfd that is sealed already (a worker gets it so): checks the seals; takes the
 * descriptor, also on failure.
 */
int berth_image_stage_fd(int fd, const char *file, unsigned generation,
                         struct berth_image **ret_image, struct berth_error *error);
/* The application's own table, in memory; it is never unmapped. */
int berth_image_application(const struct berth_entry *entry, struct berth_image **ret_image,
                            struct berth_error *error);

/*
 * dlopen RTLD_NOW | RTLD_LOCAL, DT_NEEDED resolved by the original file's RUNPATH and $ORIGIN
 * first; runs the image's constructors. Then finds berth_entry and checks that it, every link,
 * every record and all code lie inside this image and belong to the manifest: an export without
 * code is refused. A missing symbol or library is named. May block as long as constructors do.
 */
int berth_image_map(struct berth_image *image, struct berth_error *error);
/*
 * Runs destructors. Afterwards sees whether the mapping is really gone: false (and the reason, at
 * most size bytes) when not.
 */
bool berth_image_unmap(struct berth_image *image, char *reason, size_t size);
/*
 * The unrelocated address of a record (as in struct berth_manifest_item) from where it lies in
 * memory. While mapped.
 */
uint64_t berth_image_address(const struct berth_image *image, const void *record);
bool berth_image_mapped(const struct berth_image *image);

/* Unmaps what is mapped and frees. */
void berth_image_free(struct berth_image *image);

#endif
