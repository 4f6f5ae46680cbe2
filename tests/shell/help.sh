#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth help, and that what it and the manual page say is so: every example in them is run.
. "$(dirname "$0")/shell.sh"

exec </dev/null
page=$BERTH_TOP_SRCDIR/doc/berth.1

berth help
cp out list
tap_run "the list names every command" test "$(grep -cE '^  berth (show|call|run|check|help)' list)" = 5
berth --help
tap_run "--help is the same" cmp list out
berth -h
tap_run "-h is the same" cmp list out
berth --version
tap_run "--version" grep -qE '^berth [0-9]+\.[0-9]+\.[0-9]+$' out
for command in show call run check help; do
    berth help "$command"
    cp out one
    tap_run "help $command begins with its synopsis" grep -q "^berth $command" one
    berth "$command" --help
    tap_run "$command --help is the same" cmp one out
    tap_run "help $command fits into 80 columns" test -z "$(grep -E '^.{81,}' one)"
    tap_run "berth(1) describes $command" grep -q "^\.Ss berth $command" "$page"
done

fails "nothing at all" 2 "berth: invalid_argument: which command? (see: berth help)"
fails "a mistyped command" 2 'berth: invalid_argument: *did you mean "show"?*' shwo
fails "help for a mistyped command" 2 'berth: invalid_argument: *did you mean "call"?*' help cal
fails "what is no command at all" 2 "berth: invalid_argument: xyzzy: no such command (see: berth help)" xyzzy
fails "two commands" 2 "berth: invalid_argument: help: one command at a time*" help show call
"$berth" help >/dev/full 2>err
status=$? && : >out
check "a full disk is an error" 1 "" "berth: resource_exhausted: cannot write the output: *"

# ---- Examples ----

cp "$modules/math.so" "$modules/greet.so" .
echo World >name.txt
echo '{"modules": {"greet": {"file": "./greet.so"}}}' >berth.conf
mkdir bin && printf '#!/bin/sh\nexec "%s" "$@"\n' "$berth" >bin/berth && chmod +x bin/berth

# run_example LINE: a host is ended once it is ready, everything else ends by itself.
run_example()
{
    local line=$1
    if [[ $line != berth\ run* ]]; then
        PATH=$work/bin:$PATH timeout 300 bash -c "set -o pipefail; $line"
        return
    fi
    : >log # or the last host's would be found ready
    PATH=$work/bin:$PATH bash -c "exec $line" 2>log &
    local host=$!
    for _ in $(seq 1200); do
        grep -q ' ready' log && break
        sleep 0.05
    done
    cat log
    kill -TERM "$host" && wait "$host"
}

examples()
{
    for command in show call run check help; do
        "$berth" help "$command" | sed -n 's/^  \(.*\bberth [a-z].*\)/\1/p'
    done
    sed -n '/^\.Sh EXAMPLES/,/^\.Sh DIAGNOSTICS/s/^\.Dl //p' "$page" | sed 's/\\-/-/g; s/\\(dq/"/g; s/\\(aq/'\''/g'
}

count=0
while IFS= read -r line; do
    tap_run "example: $line" run_example "$line"
    count=$((count + 1))
done < <(examples | sort -u)
tap_run "there are examples" test "$count" -ge 10

# ---- The manual page ----

tap_run "berth(1) names every code of an error" \
    test -z "$(sed -n 's/^    BERTH_\([A-Z_]*\) = [1-9][0-9]*,.*/\L\1/p' "$BERTH_TOP_SRCDIR/include/berth/error.h" |
        while read -r code; do grep -q "\b$code\b" "$page" || echo "$code"; done)"
for option in with timeout json args path config schema version help; do
    tap_run "berth(1) describes --$option" grep -q "^\.\(It \)\?Fl -$option\|Fl -$option" "$page"
done
if command -v groff >/dev/null; then
    tap_empty "groff has nothing against berth.1" "$(groff -mdoc -ww -Tutf8 -z "$page" 2>&1)"
else
    tap_skip "groff has nothing against berth.1" "no groff"
fi
if command -v mandoc >/dev/null; then
    tap_empty "nor has mandoc" "$(mandoc -Tlint -Wwarning "$page" 2>&1 | grep -v 'skipping no-space macro')"
else
    tap_skip "nor has mandoc" "no mandoc"
fi

tap_done
