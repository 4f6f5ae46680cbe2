#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The C sources are as clang-format 14 writes them (`make format`); other versions write differently.
# It leaves comments alone, so the length of lines is checked here.
. "$(dirname "$0")/support/tap.sh"

formatter=${CLANG_FORMAT:-}
[ -n "$formatter" ] || formatter=$(command -v clang-format-14 || command -v clang-format) ||
    tap_skip_all "no clang-format"
"$formatter" --version | grep -q 'version 14\.' || tap_skip_all "clang-format is not version 14"

cd "$BERTH_TOP_SRCDIR" || exit
wrong=$(tap_sources '*.[ch]' '*.cc' | while read -r file; do
    "$formatter" --dry-run --Werror --style=file "$file" >/dev/null 2>&1 || echo "$file"
done)
tap_empty "every C file is formatted" "$wrong"

long=$(tap_sources '*.[ch]' '*.cc' | LC_ALL=C.UTF-8 xargs -r grep -HnE '^.{101,}' | cut -d: -f1,2)
tap_empty "no line is longer than 100 columns" "$long"
tap_done
