#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the documents say is so: their links lead somewhere, and the README's five minutes work as they
# are written.
. "$(dirname "$0")/support/tap.sh"

pages=$(tap_sources '*.md' 'doc/*.md' 'modules/*.md')
cd "$BERTH_TOP_SRCDIR" || exit
dead=$(for page in $pages; do
    grep -oE '\]\([^)#:]+(#[^)]*)?\)' "$page" | sed 's/^](//; s/[)#].*$//' | while read -r link; do
        [ -e "$(dirname "$page")/$link" ] || echo "$page: $link"
    done
done)
tap_empty "every link within the documents leads to a file" "$dead"

unlisted=$(for page in doc/decisions/*.md; do
    name=${page##*/}
    [ "$name" = README.md ] || grep -q "($name)" doc/decisions/README.md || echo "$name"
done)
tap_empty "every decision is listed" "$unlisted"

# shellcheck disable=SC2086 # one word for each page
foreign=$(grep -nE '/work/|/tmp/brief|\.\./shared' $pages NEWS)
tap_empty "no document names a place outside of the project" "$foreign"

# ---- The README's five minutes ----

[ -x "$BERTH_TOP_BUILDDIR/berth" ] || tap_skip_all "no program to run"
unset MAKEFLAGS MAKELEVEL MFLAGS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit
mkdir home bin
tap_run "make install DESTDIR=..." \
    "${BERTH_TEST_MAKE:-make}" -C "$BERTH_TOP_BUILDDIR" install DESTDIR="$work/x"
libdir=$(dirname "$(dirname "$(find x -name berth.pc)")")
export PKG_CONFIG_PATH=$work/$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/x
export BERTH_WORKER="${BERTH_WORKER:-$BERTH_TOP_BUILDDIR/berth-worker}"
export LD_LIBRARY_PATH=$work/$libdir
PATH=$(dirname "$work/$(find x -path '*/bin/berth')"):$PATH
command -v "${PKG_CONFIG:-pkg-config}" >/dev/null || tap_skip_all "no pkg-config"

# block LANGUAGE: the lines of the README's blocks in that language.
block()
{
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" "$BERTH_TOP_SRCDIR/README.md" | grep -v '^```'
}

block c >home/greet.c
cd home || exit
tap_run "its module is built by its line" bash -c "$(block sh | grep '^cc ')"
tap_run "and shown" bash -c "$(block sh | grep '^berth show')"

# Each line that begins with a prompt is run; what it prints is what follows.
played()
{
    local last=0
    block console | while IFS= read -r line; do
        case $line in
        '$ echo $?') printf '%s\n%s\n' "$line" "$last" ;;
        '$ '*)
            said=$(bash -c "${line#'$ '}" 2>&1)
            last=$?
            printf '%s\n%s\n' "$line" "$said"
            ;;
        esac
    done
}
tap_run "what it shows is what is printed" diff <(block console) <(played)

tap_done
