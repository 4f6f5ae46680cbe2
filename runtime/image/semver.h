/* SPDX-License-Identifier: MIT */
/* Semantic versions (2.0.0) and ranges of them. */
#ifndef RUNTIME_IMAGE_SEMVER_H
#define RUNTIME_IMAGE_SEMVER_H

#include <stdbool.h>
#include <stdint.h>

#define BERTH_PRERELEASE_MAX 64
#define BERTH_RANGE_MAX      8

struct berth_semver {
    uint32_t major, minor, patch;
    char prerelease[BERTH_PRERELEASE_MAX]; /* "" when there is none; build metadata is ignored */
};

enum berth_semver_op {
    BERTH_SEMVER_EQ,
    BERTH_SEMVER_LT,
    BERTH_SEMVER_LE,
    BERTH_SEMVER_GT,
    BERTH_SEMVER_GE
};
/* Comparators that must all hold: ">=1.2.0 <2.0.0". */
struct berth_semver_range {
    unsigned count;
    struct {
        enum berth_semver_op op;
        struct berth_semver version;
    } parts[BERTH_RANGE_MAX];
};

bool berth_semver_parse(const char *text, struct berth_semver *ret_version);
int berth_semver_compare(const struct berth_semver *a, const struct berth_semver *b);

/*
 * "*", "1.2" (= 1.2.x), "^1.2", "~1.2.3", ">=1 <2", "=1.2.3". As npm and cargo understand them:
 * ^0.2.3 is >=0.2.3 <0.3.0; a prerelease satisfies only a range that names a prerelease of the
 * same major.minor.patch.
 */
bool berth_semver_range_parse(const char *text, struct berth_semver_range *ret_range);
bool berth_semver_range_holds(const struct berth_semver_range *range,
                              const struct berth_semver *version);

#endif
