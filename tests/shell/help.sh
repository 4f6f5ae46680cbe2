#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth help, and that what it says is so: every example in it is run. The man pages have manual.sh.
. "$(dirname "$0")/hosts.sh"

berth help
cp out list
commands=$(sed -n 's/^  berth \([a-z][a-z]*\) .*/\1/p' list | uniq)
tap_run "the list names every command" diff <(sort <<<"$commands") \
    <(sed -n 's/^const struct berth_command berth_command_\([a-z]*\) = {$/\1/p' "$BERTH_TOP_SRCDIR"/runtime/shell/*.c | sort)
tap_run "each way to use one begins where the others do" test "$(grep -c '^  berth ' list)" = "$(grep -c '^ *berth ' list)"
tap_run "the list fits into 80 columns" test -z "$(grep -E '^.{81,}' list)"
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

cp "$modules"/{math,greet,publisher,logger,counter}.so .
cp greet.so greet_other.so && echo >>greet_other.so # another image
echo World >name.txt
echo '{"modules": {"greet": {"file": "./greet.so"}}}' >berth.conf
mkdir bin && printf '#!/bin/sh\nexec "%s" "$@"\n' "$berth" >bin/berth && chmod +x bin/berth

# asks_a_host LINE: it needs one that runs, as all do but these.
asks_a_host()
{
    [[ ! $1 =~ berth\ (run|check|doctor|help|show\ [./-]) && $1 != *--with* ]]
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
        "$berth" publish news.text '["a", 1]' 2>/dev/null || "$berth" call greet.log 0 news
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
        [[ $line == berth\ log* ]] && loaded=()
        [[ $line == *reconfigure* ]] && loaded=(--config berth.conf)
        host_begin "${loaded[@]}"
        [[ $line == berth\ log* ]] && "$berth" load logger.so --as greet
        [[ $line == *rollback* ]] && "$berth" reload greet ./greet_other.so
        [[ $line == *snapshot* ]] && "$berth" load counter.so && "$berth" snapshot counter --save counter.state
    fi
    if [[ $line == *berth\ subscribe* || $line == *--follow* || $line == *--watch* ||
        ($line == berth\ log* && $line != *--set*) ]]; then
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
}

count=0
while IFS= read -r line; do
    tap_run "example: $line" run_example "$line"
    count=$((count + 1))
done < <(examples | sort -u)
tap_run "there are examples" test "$count" -ge 10

tap_done
