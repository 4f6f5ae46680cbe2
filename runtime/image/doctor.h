/* SPDX-License-Identifier: MIT */
/*
 * All that can be said of a module's file before it is loaded: whether the loader and the host will
 * take it, what it needs, and what of it may harm others or cannot be undone. No code of it runs.
 */
#ifndef RUNTIME_IMAGE_DOCTOR_H
#define RUNTIME_IMAGE_DOCTOR_H

#include "runtime/image/elf.h"
#include "runtime/image/finding.h"

struct berth_diagnosis {
    struct berth_findings findings;
    const char *module, *version; /* NULL: it has no manifest that can be read */
    unsigned glibc;               /* the version that it needs: 2036 for 2.36; 0: none */
};

void berth_diagnosis_init(struct berth_diagnosis *diagnosis);
void berth_diagnosis_deinit(struct berth_diagnosis *diagnosis);

/*
 * Reads a file and looks at it, and at the libraries that it needs. program: whose exported names
 * come first where it runs; NULL: this one. What is wrong with the file is a finding; an error only
 * that this cannot be done.
 */
int berth_diagnose(struct berth_diagnosis *diagnosis, const char *file, const char *program,
                   struct berth_error *error);
/* The bytes alone: no other file is looked at. */
int berth_diagnose_bytes(struct berth_diagnosis *diagnosis, const void *bytes, size_t size,
                         struct berth_error *error);

/* For people, and as one JSON object, described in berth-doctor(1). */
void berth_diagnosis_print(const struct berth_diagnosis *diagnosis, const char *file,
                           struct berth_buffer *buffer);
void berth_diagnosis_json(const struct berth_diagnosis *diagnosis, const char *file,
                          struct berth_buffer *buffer);

/* What can be told of a file that has been read and checked, for who loads it. */
void berth_diagnose_elf(struct berth_findings *findings, const struct berth_elf *elf);

#endif
