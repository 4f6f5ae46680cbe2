#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth help, and that what it and the manual page say is so: every example in them is run.
. "$(dirname "$0")/hosts.sh"

commands="show call run list load unload reload publish subscribe events check help"
page=$BERTH_TOP_SRCDIR/doc/berth.1

berth help
cp out list
tap_run "the list names every command" test "$(sed -n 's/^  berth \([a-z][a-z]*\) .*/\1/p' list | tr '\n' ' ')" = "$commands "
berth --help
tap_run "--help is the same" cmp list out
berth -h
tap_run "-h is the same" cmp list out
berth --version
tap_run "--version" grep -qE '^berth [0-9]+\.[0-9]+\.[0-9]+$' out
for command in $commands; do
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
fails "an option before the command" 2 "berth: invalid_argument: --json: no such option here: those of a command follow it (see: berth help)" --json list
fails "what is no command at all" 2 "berth: invalid_argument: xyzzy: no such command (see: berth help)" xyzzy
fails "two commands" 2 "berth: invalid_argument: help: one command at a time*" help show call
"$berth" help >/dev/full 2>err
status=$? && : >out
check "a full disk is an error" 1 "" "berth: resource_exhausted: cannot write the output: *"

# ---- Examples ----

cp "$modules"/{math,greet,publisher}.so .
echo World >name.txt
echo '{"modules": {"greet": {"file": "./greet.so"}}}' >berth.conf
mkdir bin && printf '#!/bin/sh\nexec "%s" "$@"\n' "$berth" >bin/berth && chmod +x bin/berth

# asks_a_host LINE: it needs one that runs.
asks_a_host()
{
    [[ $1 =~ berth\ (list|load|unload|reload|publish|subscribe|events) ]] ||
        [[ $1 =~ berth\ show\ [a-z] ]] || [[ $1 == *berth\ call* && $1 != *--with* ]]
}

# run_until_seen LINE: with news until it ends by itself or, having printed something, by Ctrl-C.
run_until_seen()
{
    : >seen
    PATH=$work/bin:$PATH env --default-signal=INT bash -c "exec $1" >seen &
    local process=$!
    for _ in $(seq 600); do
        is_gone "$process" 2>/dev/null && break
        if [ -s seen ] && [[ $1 != *--count* ]]; then
            kill -INT "$process"
            break
        fi
        "$berth" publish news.text '["a", 1]'
        sleep 0.05
    done
    wait "$process"
}

# run_example LINE: hosts are ended once they are ready, what watches once it has seen something.
run_example()
{
    local line=$1 status=0
    if [[ $line == berth\ run* ]]; then
        eval "host_begin ${line#berth run}"
        cat "$log"
        host_end
        return "$status"
    fi
    if asks_a_host "$line"; then
        local loaded=(./greet.so ./math.so ./publisher.so)
        [[ $line == *berth\ load* ]] && loaded=()
        host_begin "${loaded[@]}"
    fi
    if [[ $line == *berth\ subscribe* || $line == *--follow* ]]; then
        run_until_seen "$line"
    else
        PATH=$work/bin:$PATH timeout 60 bash -c "set -o pipefail; $line"
    fi
    local result=$?
    asks_a_host "$line" && host_end
    return "$result"
}

examples()
{
    for command in $commands; do
        "$berth" help "$command" | sed -n '/^Example/,$s/^  \(.*\bberth [a-z].*\)/\1/p'
    done
    sed -n '/^\.Sh EXAMPLES/,/^\.Sh DIAGNOSTICS/s/^\.Dl //p' "$page" | sed 's/\\-/-/g; s/\\(dq/"/g; s/\\(aq/'\''/g; s/\\e/\\/g'
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
for option in with timeout json args path config schema version help name host socket no-control as placement option options force count follow; do
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
