#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The end of a running host under a call that could go on for ever: first it may, then it is told to
# stop, and why.
. "$(dirname "$0")/hosts.sh"

cp "$modules"/{later,sleeper,listener}.so .

# begin STOP_TIMEOUT PLACEMENT: a host with a call inside; its process is $call.
begin()
{
    echo "{ \"limits\": { \"stop_timeout\": \"$1\" } }" >berth.conf
    host_begin --config berth.conf ./later.so ./sleeper.so "./listener.so=$2"
    "$berth" call listener.loop "$work/held" >told 2>told.err &
    call=$!
    until_so test -e held
    kill -INT "$host"
}

# end TEXT STATUS OUT ERR: how the call has ended, and then the host.
end()
{
    wait $call
    status=$?
    cp told out
    cp told.err err
    check "$1" "$2" "$3" "$4"
    until_so is_gone "$host"
    wait "$host"
    tap_run "and the host ends in good order" test $? = 0
    tap_empty "with nothing left inside" "$(grep -vE ' info | is quarantined: images stay mapped' "$log")"
    rm -f held
}

is_refused()
{
    ! "$berth" call later.holds a >/dev/null
}

begin 1h inline
until_so is_refused
fails "a host that ends takes no new calls" 1 "berth: unavailable: later.holds: the host ends" call later.holds a
fails "nor other changes" 1 "berth: unavailable: *the host ends*" load ./later.so --as later2
tap_run "but says what it has" sh -c "'$berth' list | grep -q listener"
rm held
end "what is inside may finish" 0 $'false\n' ""

for placement in inline process; do
    begin 6s $placement
    end "what does not end by itself is told to, $placement" 1 "" \
        "berth: cancelled: listener.loop: the host ends"
done
tap_done
