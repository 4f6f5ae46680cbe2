#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The floors hold: a file of the runtime includes only its own floor and lower ones, each third-party
# header enters through one file, and a module sees nothing of the runtime but its public header. Nor
# does one print numbers in the way of whoever embeds it.
. "$(dirname "$0")/support/tap.sh"
tap_once

# floor_of FILE: the number of the floor that a file below runtime/ is on.
floor_of()
{
    case $1 in
    runtime/base/*) echo 0 ;;
    runtime/loop/* | runtime/value/*) echo 1 ;;
    runtime/call/* | runtime/image/*) echo 2 ;;
    runtime/carrier/*) echo 3 ;;
    runtime/core/*) echo 4 ;;
    runtime/reload/* | runtime/supervise/*) echo 5 ;;
    runtime/host.[ch] | runtime/host_*.[ch] | runtime/serve.[ch] | runtime/worker.[ch]) echo 6 ;;
    runtime/shell/*) echo 7 ;;
    *) echo none ;;
    esac
}

# The one file that may include a third-party header.
declare -A door=(
    [ffi.h]=runtime/value/invoke.c
    [cJSON.h]=runtime/value/json.c
    [cjson/cJSON.h]=runtime/value/json.c
    [dlfcn.h]=runtime/image/map.c
    [seccomp.h]=runtime/carrier/sandbox.c
    [histedit.h]=runtime/shell/prompt.c
)

# includes QUOTE: one line "FILE:HEADER" for every #include of the runtime with that quote, " or <.
includes()
{
    tap_sources 'runtime/*.[ch]' | while read -r file; do
        sed -n "s/^[[:space:]]*#[[:space:]]*include[[:space:]]*$1\([^>\"]*\)[>\"].*/\1/p" \
            "$BERTH_TOP_SRCDIR/$file" | sed "s|^|$file:|"
    done
}

quoted=$(includes '"')
all=$quoted$'\n'$(includes '<')

homeless=$(tap_sources 'runtime/*.[ch]' | while read -r file; do
    [ "$(floor_of "$file")" = none ] && echo "$file is on no floor"
done)
tap_empty "every file of the runtime is on a floor" "$homeless"

upwards=$(while IFS=: read -r file header; do
    [[ $header == runtime/* ]] || continue
    from=$(floor_of "$file") to=$(floor_of "$header")
    [ "$from" = none ] && continue
    if [ "$to" = none ]; then
        echo "$file includes $header, which is on no floor"
    elif [ "$to" -gt "$from" ]; then
        echo "$file (floor $from) includes $header (floor $to)"
    fi
done <<<"$all")
tap_empty "no file includes a higher floor" "$upwards"

unrooted=$(while IFS=: read -r file header; do
    [ -z "$header" ] || [ -e "$BERTH_TOP_SRCDIR/$header" ] || [ "$header" = config.h ] ||
        echo "$file includes \"$header\": write its path from the top"
done <<<"$quoted")
tap_empty "includes are written from the top of the tree" "$unrooted"

strays=$(while IFS=: read -r file header; do
    [ -n "$header" ] || continue
    owner=${door[$header]:-}
    [ -z "$owner" ] || [ "$owner" = "$file" ] || echo "$file includes <$header>, which belongs to $owner"
done <<<"$all")
tap_empty "each third-party header enters through one file" "$strays"

# printf writes a decimal point as the application's locale has it.
floating=$(tap_sources 'runtime/*.[ch]' 'modules/*.[ch]' | grep -v '^runtime/value/number\.c$' |
    sed "s|^|$BERTH_TOP_SRCDIR/|" | xargs grep -HnE '"[^"]*%[-+ #0]*[0-9]*(\.([0-9]+|\*))?[aefgAEFG]\>')
tap_empty "numbers are printed without the locale" "$floating"

# What the shell has of lower floors: helpers that keep no state.
crowd=$(while IFS=: read -r file header; do
    [[ $file == runtime/shell/* && $header == runtime/* ]] || continue
    case $header in
    runtime/shell/* | runtime/base/*) ;;
    runtime/value/json.h | runtime/value/number.h | runtime/value/scan.h | runtime/value/type.h) ;;
    runtime/image/semver.h) ;;
    *) echo "$file includes $header: go through <berth/host.h>" ;;
    esac
done <<<"$all")
tap_empty "the shell goes through <berth/host.h>" "$crowd"

nosy=$(tap_sources 'modules/*.[ch]' 'include/*.h' 'tests/fixtures/*.[ch]' | while read -r file; do
    grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"](runtime/|ffi\.h|cjson/)' \
        "$BERTH_TOP_SRCDIR/$file" | sed "s|^|$file:|"
done)
tap_empty "modules and public headers include nothing of the runtime" "$nosy"

tap_done
