#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The fuzzers find what they should: with one bounds check left out of a reader (BERTH_FUZZ_PLANT),
# each must run into the overflow within as many executions as `make fuzz` gives it; with the check,
# not.
. "$(dirname "$0")/../support/tap.sh"

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "the plain build does this"
compiler=$(command -v clang) || tap_skip_all "no clang"
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT

flags=(-std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address)
read -ra libraries <<<"$("${PKG_CONFIG:-pkg-config}" --cflags --libs libffi libcjson)"
cd "$BERTH_TOP_SRCDIR" || exit
read -ra library <<<"-L$BERTH_TOP_BUILDDIR/.libs -lberth -Wl,-rpath,$BERTH_TOP_BUILDDIR/.libs"

# What each fuzzer is built from, besides itself.
declare -A sources=(
    [elf]="$(echo runtime/{base,value,image}/*.c)"
    [config]="$(echo runtime/base/*.c runtime/value/*.c runtime/image/semver.c \
        runtime/shell/config{,_check,_options,_permissions,_schema,_table}.c \
        runtime/shell/{document,file,journal,line,log,log_file,output,problem,quantity,search,summary}.c) ${library[*]}"
)

# build TARGET NAME FLAG...: a fuzzer of a reader.
build()
{
    local target=$1 name=$2
    shift 2
    # shellcheck disable=SC2086 # names without blanks
    "$compiler" "${flags[@]}" "$@" -I. -Iinclude -I"$BERTH_TOP_BUILDDIR/include" \
        -DBERTH_MODULE_DIR='"/nowhere"' tests/fuzz/"$target"_fuzz.c ${sources[$target]} \
        "${libraries[@]}" -lm -o "$work/$name"
}

# fuzz TARGET NAME RUNS: runs it on its own copy of the seeds.
fuzz()
{
    mkdir -p "$work/$2.found" &&
        "$work/$2" -seed=1 -runs="$3" -timeout=100 -artifact_prefix="$work/$2.found/" \
            "$work/$2.found" "$BERTH_TOP_SRCDIR/tests/corpus/$1" >"$work/$2.log" 2>&1
}

echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n == 1; }' \
    >"$work/probe.c"
"$compiler" "${flags[@]}" "$work/probe.c" -o "$work/probe" 2>/dev/null ||
    tap_skip_all "clang has no libFuzzer"

for target in elf config; do
    tap_run "$target: the fuzzer builds with the planted overflow" \
        build $target $target-planted -DBERTH_FUZZ_PLANT
    fuzz $target $target-planted 50000
    planted=1
    # Where memory lies decides what the overflow runs into, and so what it is called.
    grep -q '^SUMMARY: AddressSanitizer: ' "$work/$target-planted.log" && planted=0
    tap_result $planted "$target: it finds the planted overflow" \
        <<<"$(tail -n 20 "$work/$target-planted.log")"

    tap_run "$target: the fuzzer builds" build $target $target-whole
    tap_run "$target: the check is what stops it" \
        "$work/$target-whole" "$work/$target-planted.found"/crash-*
    fuzz $target $target-whole 5000
    tap_result $? "$target: it finds nothing else" <<<"$(tail -n 20 "$work/$target-whole.log")"
done
tap_done
