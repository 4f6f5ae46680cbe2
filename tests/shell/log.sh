#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Where the log of berth run goes, in which form, and how detailed it is.
. "$(dirname "$0")/shell.sh"

exec </dev/null
unset BERTH_SOCKET
export XDG_RUNTIME_DIR=$work
build_module noisy <<'C'
#include <berth/module.h>
BERTH_MODULE("noisy", "1.2.3", "Says what happens.");
BERTH_EXPORT(void, say, "Says something.")
{
    berth_log(ctx, BERTH_LOG_WARNING, "a \"line\" \033[31m with \302\233 \177 \303\274\nand more");
}
BERTH_START
{
    berth_log(ctx, BERTH_LOG_DEBUG, "a detail");
    berth_log(ctx, BERTH_LOG_ERROR, "an error");
}
C
build_module asks <<'C'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("asks", "1.0.0", "Has others say something when a file is there.");
BERTH_IMPORT(void, noisy, say);
BERTH_OPTION(string, file, "go", "Whose name ends a round.");
static void tick(berth_ctx *ctx, void *user)
{
    (void)user;
    if (unlink(option_file(ctx)) == 0) {
        noisy_say(ctx);
        berth_log(ctx, BERTH_LOG_INFO, "has asked");
    }
}
BERTH_START
{
    berth_timer(ctx, 0, 10000000, tick, 0);
}
C

# ask_once: a line more, wherever it goes.
ask_once()
{
    : >go
    for _ in $(seq 1200); do
        [ -e go ] || return
        sleep 0.05
    done
}

# ask LOG: one more line in LOG.
ask()
{
    local before
    before=$(cat "$1" 2>/dev/null | grep -c 'has asked') # which may not be there yet
    : >go
    for _ in $(seq 1200); do
        [ "$(grep -c 'has asked' "$1")" -gt "$before" ] && return
        sleep 0.05
    done
}

text='a "line" \\x1b\[31m with \\x9b \\x7f '$'\303\274'' and more$'

# ---- A file ----

start --log main.log ./noisy.so ./asks.so
wait_for 'host ready, with 2 modules' main.log
tap_run "a log in a file" grep -qE '^[0-9T:.-]+Z error noisy@1\.2\.3#1 an error$' main.log
ask main.log
tap_run "its lines have no control characters" grep -q " warning noisy@1.2.3#1 $text" main.log
mv main.log main.log.1
kill -USR1 "$host"
for _ in $(seq 1200); do
    [ -e main.log ] && break
    sleep 0.05
done
tap_run "SIGUSR1 has it opened anew, before there is a line" test -e main.log -a ! -s main.log
ask main.log
tap_run "the next line is there" grep -q 'and more$' main.log
mv main.log main.log.2
ask main.log
tap_run "a file that has gone is made anew by the next line" grep -q 'and more$' main.log
mkfifo other && mv main.log main.log.3 && mkdir main.log
kill -USR1 "$host"
wait_for 'main.log cannot be opened again: Is a directory' main.log.3
tap_run "one that cannot be opened leaves the old one" grep -q 'cannot be opened again' main.log.3
ask main.log.3
tap_run "for the next lines, too" grep -q 'has asked' main.log.3
end
tap_run "it ends as ever" test "$status" = 0 -a ! -s err
rmdir main.log && echo before >main.log
start --log main.log
wait_for 'host ready' main.log
end
tap_run "lines are added to what is there" test "$(sed -n 1p main.log)" = before
fails "a file that cannot be opened" 1 "*berth: not_found: the log no/file: No such file*" run --log no/file
fails "no file at all" 2 "berth: invalid_argument: run: --log: write stderr, journal or a file*" run --log ""
start --log /dev/full ./asks.so ./noisy.so
ask_once
end
tap_run "a full disk loses lines, and nothing else" test "$status" = 0
if command -v prlimit >/dev/null; then
    trap '' XFSZ
    start --log full.log ./noisy.so ./asks.so
    trap - XFSZ
    wait_for 'host ready' full.log
    room=$(($(wc -c <full.log) + 30)) # for a part of a line
    prlimit --pid "$host" --fsize="$room:"
    ask_once
    ask_once
    until [ "$(wc -c <full.log)" = "$room" ]; do sleep 0.05; done
    tap_run "a disk that is full cuts a line" test "$(tail -n 1 full.log | wc -c)" = 30
    prlimit --pid "$host" --fsize=unlimited:
    ask full.log
    kill -TERM "$host" && finish
    tap_run "what is written when there is room again begins on a line of its own" test -z "$(grep '^.*Z .*T[0-9:.]*Z ' full.log)"
    tap_run "and begins with what was lost" grep -qE '^[^ ]+Z warning host [34] lines before this one could not be written: File too large$' full.log
    tap_run "before all that comes then" test "$(grep -A 1 'before this one' full.log | tail -n 1 | grep -c 'and more$')" = 1
else
    tap_skip "a disk that is full" "no prlimit"
fi

# ---- JSON ----

cat >json.conf <<'CONF'
{
    "modules": {"noisy": {"file": "./noisy.so"}, "asks": {"file": "./asks.so"}},
    "log": {"target": "logs/host.log", "format": "json", "level": "warning", "levels": {"asks": "info", "host": "debug"}}
}
CONF
mkdir logs conf && mv json.conf noisy.so asks.so logs conf/
start --config conf/json.conf
wait_for '"ready, with 2 modules"' conf/logs/host.log
ask conf/logs/host.log
end
cp conf/logs/host.log json
tap_run "its line is an object" grep -qxE \
    '\{"time":"[0-9T:.-]+Z","level":"error","module":"noisy","version":"1.2.3","generation":1,"chain":\["noisy.START"\],"text":"an error"\}' json
tap_run "the calls of a line are a list" grep -q '"chain":\["asks.callback","noisy.say"\],"text":"a \\"line\\" ' json
tap_run "nothing in it is a control character" test -z "$(tr -d '\n' <json | tr -d '\040-\176\303\274')"
tap_run "the host's own lines have no version" grep -qxE '\{"time":"[^"]*","level":"info","module":"host","text":"ready, with 2 modules"\}' json
tap_run "a module's own level" grep -q '"module":"asks".*"has asked"' json
tap_run "the host's" grep -q '"level":"debug","module":"host","text":"noisy@1.2.3#1 is loaded' json
tap_run "the others keep that of all" test "$(grep -c '"a detail"' json)" = 0
if command -v python3 >/dev/null; then
    tap_run "each line is JSON" python3 -c 'import json, sys; [json.loads(line) for line in open("json")]'
else
    tap_skip "each line is JSON" "no python3"
fi
sed -i 's,"level": "warning".*},"level": "warning"},; s/"target": "[^"]*"/"target": "stderr"/' conf/json.conf
start --config conf/json.conf --log option.log
wait_for '"ready, with 2 modules"' option.log
end
tap_run "the option comes before the configuration, which keeps the format" test "$status" = 0 -a ! -s err

# ---- Levels of workers ----

cat >levels.conf <<'CONF'
{
    "modules": {"noisy": {"file": "conf/noisy.so", "placement": "process"}},
    "log": {"levels": {"noisy": "debug"}}
}
CONF
begin --config levels.conf
end
tap_run "a worker's module has its level from its START on" grep -q ' debug noisy@1.2.3#1 a detail$' err

# ---- The journal ----

export BERTH_JOURNAL=$work/journal
listen "$BERTH_JOURNAL" lines
start --log journal conf/noisy.so conf/asks.so
wait_for 'MESSAGE=ready' lines
ask lines
end
tap_run "a line is a datagram to the journal" grep -qxF \
    'MESSAGE=an error\nPRIORITY=3\nSYSLOG_IDENTIFIER=berth\nBERTH_MODULE=noisy\nBERTH_VERSION=1.2.3\nBERTH_GENERATION=1\nBERTH_CHAIN=noisy.START\n' lines
tap_run "the host's own as well" grep -qxF \
    'MESSAGE=ready, with 2 modules\nPRIORITY=6\nSYSLOG_IDENTIFIER=berth\nBERTH_MODULE=host\n' lines
tap_run "as it was written" grep -qF 'MESSAGE=a "line" \x1b[31m with \xc2\x9b \x7f \xc3\xbc and more\nPRIORITY=4' lines
tap_run "nothing goes to standard error" test ! -s err
: >lines
start --log journal conf/noisy.so conf/asks.so
wait_for 'MESSAGE=ready' lines
kill "$listener" && wait "$listener" 2>/dev/null
rm journal
ask err
ask err
tap_run "when it goes, lines go to standard error" test "$(grep -c 'and more$' err)" = 2
tap_run "with one warning" test "$(grep -c ' warning host the journal, .*journal, does not take this' err)" = 1
listen "$BERTH_JOURNAL" lines
ask lines
tap_run "until it is back" grep -q 'MESSAGE=has asked' lines
end
kill "$listener" && wait "$listener" 2>/dev/null
rm journal
begin --log journal
end
tap_run "without a journal it is standard error" grep -q ' info host ready' err
tap_run "and one warning" test "$(grep -c ' warning host there is no journal at .*No such file' err)" = 1

tap_done
