/* SPDX-License-Identifier: MIT */
/* What the doctor has to say of an image that is to run in this process. */
#include "runtime/base/error.h"
#include "runtime/core/generation.h"
#include "runtime/core/log.h"
#include "runtime/core/registry.h"
#include "runtime/image/doctor.h"
#include "runtime/image/risk.h"
#include "runtime/reload/lifecycle.h"

#include <string.h>

static bool is_inline(const struct berth_generation *generation)
{
    return generation->placement == &berth_carrier_inline;
}

/* Those of calls are for who asks: most of them are never made. */
static void tell_findings(const struct berth_generation *next)
{
    struct berth_findings findings;
    char label[128];

    berth_findings_init(&findings);
    berth_diagnose_elf(&findings, next->image->elf);
    berth_module_label(next, label, sizeof label);
    for (const struct berth_finding *finding = findings.first; finding; finding = finding->next)
        if (finding->level == BERTH_FINDING_WARNING)
            berth_host_log(next->host, NULL,
                           strcmp(finding->what, "risky_import") == 0 ? BERTH_LOG_DEBUG
                                                                      : BERTH_LOG_WARNING,
                           "%s: %s: %s", label, finding->text, finding->cure);
    berth_findings_deinit(&findings);
}

int berth_generation_examine(const struct berth_generation *next,
                             const struct berth_generation *old, struct berth_error *error)
{
    const struct berth_elf *elf = next->image->elf;

    if (!elf || !is_inline(next) || next->host->upstream) /* a worker has only this one to lose */
        return BERTH_OK;
    for (size_t i = 0; i < elf->risk_count; i++)
        if (elf->risks[i]->level == BERTH_FINDING_ERROR)
            return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                   "it calls %s: %s: %s; or have it run in a process",
                                   elf->risks[i]->name, elf->risks[i]->why, elf->risks[i]->cure);
    if (elf->static_tls && old && is_inline(old))
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "its thread-local data take of a small supply that the process has "
                               "once, so inline it cannot be replaced: compile it without "
                               "-ftls-model=initial-exec, move it into a process, or unload it "
                               "and load it again");
    if (!old &&
        (elf->risk_count || elf->static_tls || elf->nodelete || elf->has_unique || !elf->relro))
        tell_findings(next);
    return BERTH_OK;
}
