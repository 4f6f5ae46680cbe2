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
foreign=$(grep -nE '(^|[^[:alnum:]_.])/(home|mnt|root|srv|tmp)/' $pages NEWS)
tap_empty "no document names a place on somebody's machine" "$foreign"

# ---- The README's five minutes ----

if [ ! -x "$BERTH_TOP_BUILDDIR/berth" ] || ! command -v "${PKG_CONFIG:-pkg-config}" >/dev/null; then
    tap_skip "the README's five minutes" "no program to run, or no pkg-config"
    tap_done
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit
mkdir -p bin include/berth home

# What an installation would have, in this place.
ln -s "$BERTH_TOP_SRCDIR"/include/berth/*.h "$BERTH_TOP_BUILDDIR"/include/berth/*.h include/berth/ 2>/dev/null
sed "s|^includedir=.*|includedir=$work/include|" "$BERTH_TOP_BUILDDIR/berth-module.pc" >berth-module.pc
printf '#!/bin/sh\nexec "%s" "$@"\n' "$BERTH_TOP_BUILDDIR/berth" >bin/berth && chmod +x bin/berth
export PATH=$work/bin:$PATH PKG_CONFIG_PATH=$work
export BERTH_WORKER="${BERTH_WORKER:-$BERTH_TOP_BUILDDIR/berth-worker}"

# block LANGUAGE: the lines of the README's blocks in that language.
block()
{
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" "$BERTH_TOP_SRCDIR/README.md" | grep -v '^```'
}

block c >home/greet.c
block json >home/berth.conf
cd home || exit
tap_run "its module is built by its line" bash -c "$(block sh | grep '^cc ')"
tap_run "and shown" bash -c "$(block sh | grep '^berth show')"

# The host that it has in another terminal.
export XDG_RUNTIME_DIR=$work
unset BERTH_SOCKET
berth run greet.so 2>../log &
host=$!
trap 'kill $host; wait $host; rm -rf "$work"' EXIT
for _ in $(seq 600); do
    grep -q ' info host ready' ../log && break
    sleep 0.05
done

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
