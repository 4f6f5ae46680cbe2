#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The seeds alone reach at least 90 % of the reader's lines. Prints how many of each file.
. "$(dirname "$0")/../support/tap.sh"
tap_once

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "the plain build does this"
[ "$(uname -m)" = x86_64 ] || tap_skip_all "the seeds are for x86-64"
compiler=$(command -v gcc) && command -v gcov >/dev/null || tap_skip_all "no gcc with gcov"
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT

read -ra libraries <<<"$("${PKG_CONFIG:-pkg-config}" --cflags --libs libffi libcjson)"
cd "$BERTH_TOP_SRCDIR" || exit
flags=(-std=gnu11 -D_GNU_SOURCE -g -O0 -I. -Iinclude -I"$BERTH_TOP_BUILDDIR/include")
places=(-DBERTH_TEST_SRCDIR="\"$BERTH_TOP_SRCDIR\"" -DBERTH_TEST_BUILDDIR="\"$BERTH_TOP_BUILDDIR\"")
reader=(elf elf_check elf_sections elf_view)

others=()
for source in runtime/base/*.c runtime/value/*.c runtime/image/*.c; do
    [[ " ${reader[*]} " == *" $(basename "$source" .c) "* ]] || others+=("$source")
done

build()
{
    local name
    for name in "${reader[@]}"; do
        "$compiler" "${flags[@]}" --coverage -c "runtime/image/$name.c" -o "$work/$name.o" || return
    done
    "$compiler" "${flags[@]}" "${places[@]}" --coverage tests/fuzz/elf_fuzz.c \
        tests/support/fuzz_main.c tests/support/scratch.c "${others[@]}" "$work"/*.o \
        "${libraries[@]}" -lm -o "$work/elf_fuzz" -dumpdir "$work/main-"
}

tap_run "the reader builds with counters" build
tap_run "it reads every seed" "$work/elf_fuzz" "$BERTH_TOP_SRCDIR/tests/corpus/elf"
for name in "${reader[@]}"; do
    line=$(cd "$work" && gcov -n "$name.o" 2>/dev/null |
        awk -v file="$name.c'" 'index($0, file) { found = 1 } found && /^Lines/ { print; exit }')
    echo "# $name.c: $line"
    percent=${line#*:} percent=${percent%%.*}
    [ "${percent:-0}" -ge 90 ]
    tap_result $? "the seeds reach 90 % of $name.c" <<<"$line"
done
tap_done
