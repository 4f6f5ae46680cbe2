#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The C sources are as clang-format 14 writes them (`make format`); other versions write differently.
# It leaves comments alone, so the length of lines is checked here.
. "$(dirname "$0")/support/tap.sh"
tap_once

formatter=${CLANG_FORMAT:-}
[ -n "$formatter" ] || formatter=$(command -v clang-format-14 || command -v clang-format) ||
    tap_skip_all "no clang-format"
"$formatter" --version | grep -q 'version 14\.' || tap_skip_all "clang-format is not version 14"

cd "$BERTH_TOP_SRCDIR" || exit
said=$(tap_sources '*.[ch]' '*.cc' | xargs -r "$formatter" --dry-run --style=file 2>&1) ||
    said+=$'\n'"$formatter: failed"
wrong=$(sed -n 's/^\([^: ]*\):[0-9]*:[0-9]*: warning: .*/\1/p; /: failed$/p' <<<"$said" | sort -u)
tap_empty "every C file is formatted" "$wrong"

long=$(tap_sources '*.[ch]' '*.cc' | LC_ALL=C.UTF-8 xargs -r grep -HnE '^.{101,}' | cut -d: -f1,2)
tap_empty "no line is longer than 100 columns" "$long"
tap_done
