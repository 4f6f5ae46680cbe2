/* SPDX-License-Identifier: MIT */
/* What is wrong with a file, told to applications. */
#include <berth/host.h>

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/image/doctor.h"

#include <string.h>

static int take_texts(const struct berth_diagnosis *diagnosis, const char *file,
                      struct berth_doctor_report *report, struct berth_error *error)
{
    struct berth_buffer json, text;

    berth_buffer_init(&json, 0);
    berth_buffer_init(&text, 0);
    berth_diagnosis_json(diagnosis, file, &json);
    berth_diagnosis_print(diagnosis, file, &text);
    int code = berth_buffer_check(json.failed ? &json : &text, error);
    if (code == BERTH_OK) {
        report->json = berth_buffer_take(&json, NULL);
        report->text = berth_buffer_take(&text, NULL);
    }
    berth_buffer_deinit(&json);
    berth_buffer_deinit(&text);
    return code;
}

int berth_doctor(const char *file, const struct berth_doctor_options *options,
                 struct berth_doctor_report *report, struct berth_error *error)
{
    struct berth_doctor_report own = { .size = sizeof own };
    struct berth_diagnosis diagnosis;

    if (report->size < sizeof own || (options && options->size < sizeof *options))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "the size of berth_doctor_%s is %zu: set it to that of the struct",
                               report->size < sizeof own ? "report" : "options",
                               report->size < sizeof own ? report->size : options->size);
    berth_diagnosis_init(&diagnosis);
    int code = berth_diagnose(&diagnosis, file, options ? options->program : NULL, error);
    if (code == BERTH_OK)
        code = take_texts(&diagnosis, file, &own, error);
    if (code == BERTH_OK) {
        own.errors = diagnosis.findings.counts[BERTH_FINDING_ERROR];
        own.warnings = diagnosis.findings.counts[BERTH_FINDING_WARNING];
        own.notes = diagnosis.findings.counts[BERTH_FINDING_NOTE];
        memcpy(report, &own, sizeof own);
    }
    berth_diagnosis_deinit(&diagnosis);
    return code;
}
