#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The fuzzer finds what it should: with one bounds check left out of the reader (BERTH_FUZZ_PLANT), it
# must run into the overflow within as many executions as `make fuzz` gives it; with the check, not.
. "$(dirname "$0")/../support/tap.sh"

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "the plain build does this"
compiler=$(command -v clang) || tap_skip_all "no clang"
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT

flags=(-std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address)
read -ra libraries <<<"$("${PKG_CONFIG:-pkg-config}" --cflags --libs libffi libcjson)"
cd "$BERTH_TOP_SRCDIR" || exit
sources=(tests/fuzz/elf_fuzz.c runtime/base/*.c runtime/value/*.c runtime/image/*.c)

# build NAME FLAG...: a fuzzer of the reader.
build()
{
    local name=$1
    shift
    "$compiler" "${flags[@]}" "$@" -I. -Iinclude -I"$BERTH_TOP_BUILDDIR/include" "${sources[@]}" \
        "${libraries[@]}" -lm -o "$work/$name"
}

# fuzz NAME RUNS: runs it on its own copy of the seeds.
fuzz()
{
    mkdir -p "$work/$1.found" &&
        "$work/$1" -seed=1 -runs="$2" -timeout=100 -artifact_prefix="$work/$1.found/" \
            "$work/$1.found" "$BERTH_TOP_SRCDIR/tests/corpus/elf" >"$work/$1.log" 2>&1
}

echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n == 1; }' \
    >"$work/probe.c"
"$compiler" "${flags[@]}" "$work/probe.c" -o "$work/probe" 2>/dev/null ||
    tap_skip_all "clang has no libFuzzer"

tap_run "the fuzzer builds with the planted overflow" build planted -DBERTH_FUZZ_PLANT
fuzz planted 50000
planted=1
# Where memory lies decides what the overflow runs into, and so what it is called.
grep -q '^SUMMARY: AddressSanitizer: ' "$work/planted.log" && planted=0
tap_result $planted "it finds the planted overflow" <<<"$(tail -n 20 "$work/planted.log")"

tap_run "the fuzzer builds" build whole
tap_run "the check is what stops it" "$work/whole" "$work"/planted.found/crash-*
fuzz whole 5000
tap_result $? "it finds nothing else" <<<"$(tail -n 20 "$work/whole.log")"
tap_done
