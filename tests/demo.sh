#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The demonstration, on a made-up log and in a hurry: all of it must come out right, whatever falls where.
. "$(dirname "$0")/support/tap.sh"

[ -x "$BERTH_TOP_BUILDDIR/berth-worker" ] || tap_skip_all "berth-worker is not built"
export BERTH_TOP_BUILDDIR
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT

log() # LINES
{
    awk -v lines="$1" 'BEGIN {
        split("install status configure upgrade trigproc remove purge", action, " ")
        for (i = 1; i <= lines; i++)
            printf "2024-01-%02d 10:%02d:%02d %s package%d:amd64 %d.%d-%d%s\n", i % 28 + 1, i / 60 % 60, i % 60,
                action[i * i % 7 + 1], i * 7919 % 1000, i % 9, i % 13, i % 3, i % 5 ? "" : " <none>"
    }'
}

log 3000 >"$work/small"
tap_run "3,000 lines in 3 seconds" bash "$BERTH_TOP_SRCDIR/demo/run" "$work/small" 3
# So fast that mailboxes fill up, and lines are published again.
log 40000 >"$work/large"
tap_run "40,000 lines in 2 seconds" bash "$BERTH_TOP_SRCDIR/demo/run" "$work/large" 2
log 99 >"$work/tiny"
tap_run "an input that is too short is refused" \
    bash -c '! bash "$1" "$2"' - "$BERTH_TOP_SRCDIR/demo/run" "$work/tiny"
tap_done
