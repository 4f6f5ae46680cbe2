#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The man pages: each command has one, with the options that its help tells and no others; they are well-formed; and
# every example in them is run. berth-host(3) has every function of <berth/host.h> and no other.
. "$(dirname "$0")/../support/tap.sh"
. "$BERTH_TOP_SRCDIR/tests/support/examples.sh"

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "the plain build compares texts"

berth=$BERTH_TOP_BUILDDIR/berth
fixtures=$BERTH_TOP_BUILDDIR/tests/fixtures
[ -x "$berth" ] || tap_skip_all "no $berth"
work=$(mktemp -d)
trap 'examples_end; rm -rf "$work"' EXIT
cd "$work" || exit

pages=("$BERTH_TOP_SRCDIR"/doc/*.[1-8])
commands=$("$berth" help | sed -n 's/^  berth \([a-z][a-z]*\) .*/\1/p' | uniq)

# ---- Commands and their options ----

# section PAGE NAME: its lines.
section()
{
    sed -n "/^\.Sh $2\$/,/^\.Sh /p" "$1"
}

# options_of TEXT: the long options in mdoc.
options_of()
{
    grep -oE 'Fl -[a-z-]+' | sed 's/^Fl /-/' | grep -vx -- --help | sort -u
}

for command in $commands; do
    page=$BERTH_TOP_SRCDIR/doc/berth-$command.1
    tap_run "$command has a page" test -e "$page" || continue
    "$berth" help "$command" | grep -oE '(^|[[| ])--[a-z][a-z-]*' | grep -oE -- '--[a-z-]*' | sort -u >told
    tap_run "the synopsis of berth-$command(1) has the options of its help" diff told <(section "$page" SYNOPSIS | options_of)
    tap_run "berth-$command(1) describes the options of its help" diff told <(section "$page" OPTIONS | options_of)
    tap_run "berth-$command(1) has all sections" diff \
        <(printf '%s\n' NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS' EXAMPLES 'SEE ALSO') \
        <(sed -n 's/^\.Sh //p' "$page" | grep -xE 'NAME|SYNOPSIS|DESCRIPTION|OPTIONS|EXIT STATUS|EXAMPLES|SEE ALSO')
    tap_run "berth(1) names $command" grep -q "^\.It Cm $command\$" "$BERTH_TOP_SRCDIR/doc/berth.1"
    tap_run "berth(1) leads to berth-$command(1)" grep -q "^\.Xr berth-$command 1" "$BERTH_TOP_SRCDIR/doc/berth.1"
    tap_run "help $command leads to its page" grep -q "man berth-$command" <("$berth" help "$command")
done
for page in "$BERTH_TOP_SRCDIR"/doc/berth-*.1; do
    name=${page##*/berth-}
    tap_run "the command of ${page##*/} is there" grep -qx "${name%.1}" <<<"$commands"
done
tap_run "berth(1) names every code of an error" \
    test -z "$(sed -n 's/^    BERTH_\([A-Z_]*\) = [1-9][0-9]*,.*/\L\1/p' "$BERTH_TOP_SRCDIR/include/berth/error.h" |
        while read -r code; do grep -q "\b$code\b" "$BERTH_TOP_SRCDIR/doc/berth.1" || echo "$code"; done)"

# ---- Well-formed ----

# missing PAGE: the pages that it refers to, of Berth's own, and that are not there.
missing()
{
    sed -n 's/^\.Xr \(berth[^ ]*\) \([1-8]\).*/\1.\2/p' "$1" | sort -u | while read -r other; do
        [ -e "$BERTH_TOP_SRCDIR/doc/$other" ] || echo "$other"
    done
}

for page in "${pages[@]}"; do
    name=${page##*/}
    tap_run "$name is installed" grep -q "^dist_man_MANS += doc/$name\$" "$BERTH_TOP_SRCDIR/doc/Makefile.inc"
    tap_empty "$name refers to pages that are there" "$(missing "$page")"
    if command -v groff >/dev/null; then
        tap_empty "groff has nothing against $name" "$(groff -mdoc -ww -Tutf8 -z "$page" 2>&1)"
    else
        tap_skip "groff has nothing against $name" "no groff"
    fi
    if command -v mandoc >/dev/null; then
        tap_empty "nor has mandoc" "$(mandoc -Tlint -Wwarning "$page" 2>&1)"
    else
        tap_skip "nor has mandoc" "no mandoc"
    fi
done

# ---- The functions of <berth/host.h> ----

page=$BERTH_TOP_SRCDIR/doc/berth-host.3
# What the library exports, and the macros that stand for functions.
public=$({
    sed -n 's/^ *\(berth_[a-z_]*\);$/\1/p' "$BERTH_TOP_SRCDIR/runtime/libberth.map"
    sed -n 's/^#define \(berth_[a-z]*\)(.*/\1/p' "$BERTH_TOP_SRCDIR/include/berth/host.h"
    echo BERTH_BOUND
} | sort -u)
described=$(sed -n 's/^\.It Fn "*\(.*\)/\1/p' "$page" | grep -oE '\b(berth_[a-z_]+|BERTH_[A-Z]+)\b' |
    grep -vx berth_ctx | sort -u)
tap_empty "berth-host(3) has every public function" "$(comm -23 <(echo "$public") <(echo "$described"))"
tap_empty "and none that there is not" "$(comm -13 <(echo "$public") <(echo "$described"))"

known=$(grep -ohE '\b(berth|BERTH)_[A-Za-z_]+\b' "$BERTH_TOP_SRCDIR"/include/berth/*.h* | sort -u)
tap_empty "every name in it is in a header" "$(comm -13 <(echo "$known") \
    <(grep -ohE '\b(berth|BERTH)_[A-Za-z_]+\b' "$page" | sort -u))"

members=$(awk '/^struct berth_host_options/ { inside = 1 } /^};/ { inside = 0 } inside' \
    "$BERTH_TOP_SRCDIR/include/berth/host.h" | sed 's|/\*.*\*/||; /\/\*/,/\*\//d' | grep -oE '\(?\*?[a-z_]+\)?(\(.*\))?;' |
    sed 's/(void.*//' | grep -oE '[a-z_]+' | grep -vx size | sort -u)
tap_empty "and it has every member of the options" "$(comm -23 <(echo "$members") \
    <(sed -n 's/^\.It Fa //p' "$page" | tr -s ' ,' '\n' | sort -u))"

# ---- Examples ----

command -v script >/dev/null || { tap_skip "the examples" "no script(1), which makes a terminal"; tap_done; }
[ -e "$BERTH_TOP_BUILDDIR/modules/control/control.so" ] || { tap_skip "the examples" "no module control"; tap_done; }
examples_install || { tap_skip "the examples" "no pkg-config"; tap_done; }

# Each in a directory with some modules, and sockets, of its own.
for page in "${pages[@]}"; do
    name=${page##*/}
    mkdir "$work/$name" && cd "$work/$name" || exit
    export XDG_RUNTIME_DIR=$PWD
    cp "$fixtures"/{counter,counter_v2,greet,hammer,math,options,publisher}.so .
    examples_of_page "$page" >../commands
    examples_play "$name" <../commands
done
tap_done
