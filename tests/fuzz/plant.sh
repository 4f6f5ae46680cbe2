#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The fuzzers find what they should: with one bounds check left out of a reader (BERTH_FUZZ_PLANT),
# each must run into the overflow within as many executions as `make fuzz` gives it; with the check,
# not.
. "$(dirname "$0")/../support/tap.sh"
tap_once

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "the plain build does this"
compiler=$(command -v clang) || tap_skip_all "no clang"
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT

flags=(-std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address
    -I. -Iinclude -I"$BERTH_TOP_BUILDDIR/include" -DBERTH_MODULE_DIR='"/nowhere"')
read -ra headers <<<"$("${PKG_CONFIG:-pkg-config}" --cflags libffi libcjson)"
read -ra libraries <<<"$("${PKG_CONFIG:-pkg-config}" --libs libffi libcjson)"
cd "$BERTH_TOP_SRCDIR" || exit
read -ra library <<<"-L$BERTH_TOP_BUILDDIR/.libs -lberth -Wl,-rpath,$BERTH_TOP_BUILDDIR/.libs"

# What each fuzzer is built from, besides itself; runtime/ is left out.
lower=$(cd runtime && echo base/*.c value/*.c)
declare -A sources=(
    [elf]="$lower $(cd runtime && echo image/*.c)"
    [config]="$lower image/semver.c \
        $(cd runtime/shell && printf 'shell/%s.c ' config{,_check,_options,_permissions,_schema,_table} \
            document file journal line log log_file output problem quantity search summary)"
)
declare -A linked=([elf]='' [config]="${library[*]}")

# object SOURCE PLACE FLAG...: below $work/PLACE.
object()
{
    mkdir -p "$work/$2/$(dirname "$1")" &&
        "$compiler" "${flags[@]}" "${headers[@]}" "${@:3}" -c "$1" -o "$work/$2/${1%.c}.o"
}

# All that the two fuzzers have in common is compiled once, on all processors.
build_objects()
{
    local source job jobs=()
    # shellcheck disable=SC2068 # names without blanks
    for source in $(printf '%s\n' ${sources[@]} | sort -u); do
        if [ "${#jobs[@]}" -ge "$(nproc)" ]; then
            wait "${jobs[0]}" || return
            jobs=("${jobs[@]:1}")
        fi
        object "runtime/$source" whole &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do
        wait "$job" || return
    done
}

# build TARGET NAME [PLANTED]: a fuzzer of a reader; PLANTED is the source that lacks its check.
build()
{
    local source objects=()
    for source in ${sources[$1]}; do
        if [ "$source" = "${3:-}" ]; then
            object "runtime/$source" "$2" -DBERTH_FUZZ_PLANT || return
            objects+=("$work/$2/runtime/${source%.c}.o")
        else
            objects+=("$work/whole/runtime/${source%.c}.o")
        fi
    done
    # shellcheck disable=SC2086 # names without blanks
    "$compiler" "${flags[@]}" "${headers[@]}" tests/fuzz/"$1"_fuzz.c "${objects[@]}" ${linked[$1]} \
        "${libraries[@]}" -lm -o "$work/$2.fuzz"
}

# fuzz TARGET NAME RUNS: runs it on its own copy of the seeds.
fuzz()
{
    mkdir -p "$work/$2.found" &&
        "$work/$2.fuzz" -seed=1 -runs="$3" -timeout=100 -artifact_prefix="$work/$2.found/" \
            "$work/$2.found" "$BERTH_TOP_SRCDIR/tests/corpus/$1" >"$work/$2.log" 2>&1
}

echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n == 1; }' \
    >"$work/probe.c"
"$compiler" "${flags[@]}" "$work/probe.c" -o "$work/probe" 2>/dev/null ||
    tap_skip_all "clang has no libFuzzer"

declare -A planted=([elf]=image/elf.c [config]=value/scan.c)
tap_run "what the fuzzers are built from" build_objects
for target in elf config; do
    tap_run "$target: the fuzzer builds with the planted overflow" \
        build $target $target-planted "${planted[$target]}"
    fuzz $target $target-planted 50000
    found=1
    # Where memory lies decides what the overflow runs into, and so what it is called.
    grep -q '^SUMMARY: AddressSanitizer: ' "$work/$target-planted.log" && found=0
    tap_result $found "$target: it finds the planted overflow" \
        <<<"$(tail -n 20 "$work/$target-planted.log")"

    tap_run "$target: the fuzzer builds" build $target $target-whole
    tap_run "$target: the check is what stops it" \
        "$work/$target-whole.fuzz" "$work/$target-planted.found"/crash-*
    fuzz $target $target-whole 5000
    tap_result $? "$target: it finds nothing else" <<<"$(tail -n 20 "$work/$target-whole.log")"
done
tap_done
