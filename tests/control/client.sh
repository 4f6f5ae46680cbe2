#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A client in another language, that was written from the manual; and the manual's own examples.
. "$(dirname "$0")/../support/tap.sh"

command -v python3 >/dev/null || tap_skip_all "no python3"
here=$BERTH_TOP_SRCDIR/tests/control
modules=$BERTH_TOP_BUILDDIR/tests/fixtures
work=$(mktemp -d)
trap 'exec 3>&-; wait; rm -rf "$work"' EXIT
mkfifo "$work/in" "$work/out"

"$BERTH_TOP_BUILDDIR/tests/control/serve" "$work/socket" \
    "$BERTH_TOP_BUILDDIR/modules/control/control.so" "$modules/math.so" "$modules/publisher.so" \
    "$modules/sleeper.so" "$modules/later.so" <"$work/in" >"$work/out" 3>&- &
exec 3>"$work/in"
read -r said <"$work/out"
tap_run "the host is ready" [ "$said" = ready ]

# reported COMMAND...: each line that it prints is a test: "ok WHAT", or "wrong: …: WHAT".
reported()
{
    local lines line
    lines=$(timeout 200 "$@" 3>&- 2>&1) || lines+=$'\n'"wrong: it ended with an error: $*"
    while IFS= read -r line; do
        case $line in
        'ok '*) tap_result 0 "${line#ok }" </dev/null ;;
        *) tap_result 1 "${line##*: }" <<<"$line" ;;
        esac
    done <<<"$lines"
}

reported python3 "$here/client.py" "$work/socket" "$BERTH_TOP_SRCDIR/doc/berth-rpc.7"
reported python3 "$here/client.py" "$work/socket"
tap_run "the page has examples" [ "$(grep -c '^--> ' "$BERTH_TOP_SRCDIR/doc/berth-rpc.7")" -gt 10 ]

tap_done
