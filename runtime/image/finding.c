/* SPDX-License-Identifier: MIT */
#include "runtime/image/finding.h"

#include "runtime/base/error.h"

void berth_findings_init(struct berth_findings *findings)
{
    *findings = (struct berth_findings){ .first = NULL };
    findings->last = &findings->first;
    berth_arena_init(&findings->arena);
}

void berth_findings_deinit(struct berth_findings *findings)
{
    berth_arena_deinit(&findings->arena);
}

void berth_findings_add(struct berth_findings *findings, enum berth_finding_level level,
                        const char *what, const char *cure, const char *format, ...)
{
    struct berth_finding *finding = berth_arena_alloc(&findings->arena, sizeof(*finding));
    struct berth_error line; /* makes one of any words */
    va_list arguments;

    va_start(arguments, format);
    berth_error_set_va(&line, BERTH_OK, format, arguments);
    va_end(arguments);
    const char *text = berth_arena_string(&findings->arena, line.text);
    if (!finding || !text) {
        findings->failed = true;
        return;
    }
    *finding = (struct berth_finding){ NULL, level, what, text, cure };
    *findings->last = finding;
    findings->last = &finding->next;
    findings->counts[level]++;
}

const char *berth_finding_level_name(enum berth_finding_level level)
{
    static const char *const names[BERTH_FINDING_LEVELS] = { "error", "warning", "note" };
    return names[level];
}
