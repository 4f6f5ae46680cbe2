/* SPDX-License-Identifier: MIT */
/* The part of the doctor that looks at other files: libraries, and the program. */
#ifndef RUNTIME_IMAGE_DOCTOR_LIBRARIES_H
#define RUNTIME_IMAGE_DOCTOR_LIBRARIES_H

#include "runtime/image/finding.h"

/* A file that can be read (its bytes, borrowed). As in doctor.h; *ret_glibc: what it needs. */
int berth_diagnose_libraries(struct berth_findings *findings, const char *file, const void *bytes,
                             size_t size, const char *program, unsigned *ret_glibc,
                             struct berth_error *error);

/* A version of the C library, "2.36", as a number, 2036; 0: it is none. */
unsigned berth_glibc_number(const char *text);

#endif
