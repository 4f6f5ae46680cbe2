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

. "$BERTH_TOP_SRCDIR/tests/support/examples.sh"
if [ ! -x "$BERTH_TOP_BUILDDIR/berth" ] || ! command -v script >/dev/null; then
    tap_skip "the README's five minutes" "no program to run, or no script(1), which makes a terminal"
    tap_done
fi
work=$(mktemp -d)
trap 'examples_end; rm -rf "$work"' EXIT
examples_install || { tap_skip "the README's five minutes" "no pkg-config"; tap_done; }
mkdir "$work/try" && cd "$work/try" || exit
export XDG_RUNTIME_DIR=$work
examples_of_markdown "$BERTH_TOP_SRCDIR/README.md" >../commands
examples_play README <../commands

tap_done
