#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Wrong modules: the first message that their author gets, from the compiler or from `berth show`, says what is wrong.
# Each file in wrong/ says in comments what is to be expected:
#     /* gcc: WORDS */  /* clang: WORDS */    the compiler refuses it, and its first message holds these words
#     /* show: WORDS */                       it compiles, and `berth show` refuses it with a message that holds them
# NAME_more.c is a second file of the module NAME.c.
. "$(dirname "$0")/../support/tap.sh"
tap_once

here=$BERTH_TOP_SRCDIR/tests/abi/wrong
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT
flags=(-Wall -Wextra -fPIC -fvisibility=hidden -shared "-I$BERTH_TOP_SRCDIR/include" "-I$BERTH_TOP_BUILDDIR/include")

expected() # FILE WHO
{
    sed -n "s|^/\* $2: \(.*\) \*/\$|\1|p" "$1"
}

compile() # COMPILER FILE
{
    local more=${2%.c}_more.c files=("$2")
    [ ! -e "$more" ] || files+=("$more")
    "$1" -std=gnu17 "${flags[@]}" "${files[@]}" -o "$work/m.so" >"$work/said" 2>&1
}

refused() # COMPILER FILE
{
    local words first
    words=$(expected "$2" "$1")
    if compile "$1" "$2"; then
        echo "it compiled"
        return 1
    fi
    first=$(grep -m 1 -E 'error:|warning:|multiple definition' "$work/said")
    if [[ $first != *"$words"* ]]; then
        printf 'expected: %s\nfirst:    %s\n' "$words" "$first"
        return 1
    fi
}

shown() # COMPILER FILE
{
    local words first
    words=$(expected "$2" show)
    if ! compile "$1" "$2"; then
        echo "it did not compile:"
        cat "$work/said"
        return 1
    fi
    if "$BERTH_TOP_BUILDDIR/berth" show "$work/m.so" >/dev/null 2>"$work/said"; then
        echo "berth show found nothing wrong"
        return 1
    fi
    first=$(head -n 1 "$work/said")
    if [[ $first != *"$words"* ]]; then
        printf 'expected: %s\nfirst:    %s\n' "$words" "$first"
        return 1
    fi
}

for compiler in gcc clang; do
    if ! command -v $compiler >/dev/null; then
        tap_skip "$compiler" "no $compiler"
        continue
    fi
    for file in "$here"/*.c; do
        name=$(basename "$file" .c)
        [[ $name != *_more ]] || continue
        if [ -z "$(expected "$file" show)" ]; then
            tap_run "$compiler: $name" refused $compiler "$file"
        elif [ -x "$BERTH_TOP_BUILDDIR/berth" ]; then
            tap_run "$compiler, berth show: $name" shown $compiler "$file"
        else
            tap_skip "$compiler, berth show: $name" "berth is not built"
        fi
    done
done
tap_done
