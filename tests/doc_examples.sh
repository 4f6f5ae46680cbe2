#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The examples of doc/module-author.md and doc/host-module.md: each block of C or C++ is a file, named in its first
# line, and compiles without a warning; each command prints what stands below it.
. "$(dirname "$0")/support/tap.sh"
. "$BERTH_TOP_SRCDIR/tests/support/examples.sh"
tap_once

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "the plain build compares texts"

work=$(mktemp -d) || exit
trap 'examples_end; rm -rf "$work"' EXIT
documents=("$BERTH_TOP_SRCDIR"/doc/{module-author,host-module}.md)

examples_install || tap_skip_all "no pkg-config"
cd "$work" || exit
examples_of_markdown "${documents[@]}" >commands || tap_skip_all "cannot read ${documents[*]}"

warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
read -ra flags < <(pkg-config --cflags --libs berth-module)

build() # COMPILER DIALECT FILE
{
    "$1" "$2" -D_GNU_SOURCE "${warnings[@]}" -O2 -o "${3%.*}.so" "$3" "${flags[@]}"
}

# The first compiler of each kind comes last, so that its modules are the ones that are called.
for file in "$work"/*.c "$work"/*.cc; do
    case $file in
    *.cc) compilers=(clang++ g++) dialects=(-std=c++17) ;;
    *) compilers=(clang gcc) dialects=(-std=c11 -std=gnu17) ;;
    esac
    for compiler in "${compilers[@]}"; do
        for dialect in "${dialects[@]}"; do
            name="$(basename "$file"), $compiler $dialect"
            if command -v "$compiler" >/dev/null; then
                tap_run "$name" build "$compiler" "$dialect" "$file"
            else
                tap_skip "$name" "no $compiler"
            fi
        done
    done
done

if [ ! -x "$BERTH_TOP_BUILDDIR/berth" ] || [ ! -x "$BERTH_TOP_BUILDDIR/berth-worker" ]; then
    tap_skip "the commands" "berth is not built"
    tap_done
fi
export XDG_RUNTIME_DIR=$work
examples_play example <commands
tap_done
