#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The headers for modules compile without a warning in every dialect, with both compilers, and what comes out is the
# same module: one exported symbol, all records, all links.
. "$(dirname "$0")/../support/tap.sh"
tap_once

here=$BERTH_TOP_SRCDIR/tests/abi
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT
includes=("-I$BERTH_TOP_SRCDIR/include" "-I$BERTH_TOP_BUILDDIR/include")
warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
module=(-O2 -fPIC -fvisibility=hidden -shared -Wl,-z,now)
example=("$here/example.c" "$here/example_more.c")

# compile COMPILER -std=... FLAG...: builds $work/m.so of the two files of the example.
compile()
{
    local language=()
    [[ $2 == *++* ]] && language=(-x c++)
    "$1" "${language[@]}" "${@:2}" "${warnings[@]}" "${module[@]}" "${includes[@]}" "${example[@]}" -o "$work/m.so"
}

# What the module is, in a few lines: its exported symbols (but for those of gold and of gcc's AddressSanitizer), how
# many records and links it has, and its manifest.
describe()
{
    readelf --dyn-syms -W "$1" | awk '$5 != "LOCAL" && $6 == "DEFAULT" && $7 != "UND" { print "exports", $8 }' |
        grep -vE ' (_edata|_end|__bss_start|__odr_asan\..*)$'
    readelf -n -W "$1" 2>&1 | awk '/^ *Berth/ { notes++ } /arning/ { print } END { print notes, "records" }'
    readelf -S -W "$1" | awk '$2 == "berth_links" || $3 == "berth_links" {
        sub(/.*PROGBITS/, ""); print "links take", $3 }'
    if [ -x "$BERTH_TOP_BUILDDIR/berth" ]; then
        { "$BERTH_TOP_BUILDDIR/berth" show "$1" --json || echo "berth show failed"; } | sed 's/[,[{]/&\n/g'
    fi
}

# The first one made is what all others must be.
same_module()
{
    compile "$@" || return
    describe "$work/m.so" >"$work/now"
    [ -e "$work/first" ] || cp "$work/now" "$work/first"
    diff "$work/first" "$work/now"
}

usable() # COMPILER FLAG...: whether it makes shared objects with these flags here
{
    command -v "$1" >/dev/null && echo 'int x;' >"$work/usable.c" &&
        "$@" -fPIC -shared "$work/usable.c" -o "$work/usable.so" 2>/dev/null
}

try() # COMPILER FLAG...
{
    if ! command -v "$1" >/dev/null; then
        tap_skip "$*" "no $1"
    elif ! usable "$1" "${@:3}"; then
        tap_skip "$*" "does not work here"
    else
        tap_run "$*" same_module "$@"
    fi
}

command -v gcc >/dev/null || command -v clang >/dev/null || tap_skip_all "neither gcc nor clang"

for compiler in gcc clang g++ clang++; do
    case $compiler in
    *++) dialects=(-std=c++17) ;;
    *) dialects=(-std=c11 -std=gnu17) ;;
    esac
    for dialect in "${dialects[@]}"; do
        try $compiler "$dialect"
        try $compiler "$dialect" -flto
        try $compiler "$dialect" -ffunction-sections -fdata-sections -Wl,--gc-sections
        try $compiler "$dialect" -O0 -g
        # Without the pragma that hides warnings in system headers. C only: C++ has its own taste in casts.
        [[ $compiler == *++ ]] || try $compiler "$dialect" -DBERTH_NO_SYSTEM_HEADER
    done
    try $compiler "${dialects[-1]}" -fsanitize=address
    try $compiler "${dialects[-1]}" -ffunction-sections -Wl,--gc-sections -fuse-ld=lld
    try $compiler "${dialects[-1]}" -ffunction-sections -Wl,--gc-sections -fuse-ld=gold
done

application() # COMPILER FLAG...
{
    local language=()
    [[ $2 == *++* ]] && language=(-x c++)
    "$1" "${language[@]}" "${@:2}" "${warnings[@]}" -O2 "${includes[@]}" -c "$here/application.c" -o "$work/app.o"
}
for compiler in gcc clang g++ clang++; do
    case $compiler in
    *++) dialects=(-std=c++17) ;;
    *) dialects=(-std=c11 -std=gnu17) ;;
    esac
    for dialect in "${dialects[@]}"; do
        name="$compiler $dialect, module.h and host.h in one file"
        if command -v $compiler >/dev/null; then
            tap_run "$name" application $compiler "$dialect"
            [[ $compiler == *++ ]] ||
                tap_run "$name, warnings shown" application $compiler "$dialect" -DBERTH_NO_SYSTEM_HEADER
        else
            tap_skip "$name" "no $compiler"
        fi
    done
done

# Bit 0 of a link's check tells code from a gate: -Os, which packs functions, must not put one at an odd address.
packed()
{
    {
        printf '%s\n' '#include <berth/module.h>' 'BERTH_MODULE("m", "1.0.0", "M.");'
        for i in $(seq 40); do
            echo "BERTH_EXPORT(i32, f$i, \"F.\", (i32, x), (i32, y)) { return x * $i + (y << $((i % 7))); }"
        done
    } >"$work/packed.c"
    "$1" "${module[@]}" -Os "${includes[@]}" "$work/packed.c" -o "$work/packed.so" &&
        [ "$(nm "$work/packed.so" | grep -c ' t berth_export_f')" = 40 ] &&
        ! nm "$work/packed.so" | grep ' t berth_export_f' | cut -d' ' -f 1 | grep '[13579bdf]$'
}
for compiler in gcc clang; do
    command -v $compiler >/dev/null && tap_run "$compiler -Os: exports are at even addresses" packed $compiler
done

# What compiles everywhere says something only if a warning would have been seen.
planted()
{
    printf '%s\n' '#include <berth/module.h>' 'BERTH_MODULE("m", "1.0.0", "M.");' \
        'BERTH_EXPORT(i8, f, "F.", (i32, x)) { int ctx_ = x; return ctx_; }' >"$work/planted.c"
    ! "$1" -std=gnu17 "${warnings[@]}" "${module[@]}" "${includes[@]}" "$work/planted.c" -o "$work/p.so" 2>/dev/null
}
for compiler in gcc clang; do
    command -v $compiler >/dev/null && tap_run "$compiler still warns of the author's own conversions" planted $compiler
done

tap_done
