#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth run --config, and then SIGHUP: the host becomes what the file says now, all of it or nothing.
. "$(dirname "$0")/shell.sh"

exec </dev/null
export HOME=$work/home
unset BERTH_PATH BERTH_SOCKET
export XDG_RUNTIME_DIR=$work
cp "$modules"/{math,requirer,greet,counter,counter_v2,bad_start,cycle_a}.so .

# A module that tells when it comes and goes. build_teller NAME VERSION [MORE]
build_teller()
{
    build_module "$1" <<C
#include <berth/module.h>
BERTH_MODULE("teller", "$2", "Tells when it comes and goes.");
BERTH_OPTION(string, title, "none", "A text.");
${3-}
BERTH_START
{
    if (option_title(ctx)[0] == '!')
        berth_fail(ctx, BERTH_INVALID_ARGUMENT, "the title is %s", option_title(ctx));
    else
        berth_log(ctx, BERTH_LOG_WARNING, "begins, title=%s", option_title(ctx));
}
BERTH_STOP
{
    berth_log(ctx, BERTH_LOG_WARNING, "ends, title=%s", option_title(ctx));
}
C
}
build_teller teller 1.0.0
build_teller teller-1.1.0 1.1.0
build_teller teller2 2.0.0
build_module wants <<'C'
#include <berth/module.h>
BERTH_MODULE("wants", "1.0.0", "Wants a teller of version 2.");
BERTH_REQUIRES("teller", "^2");
C
build_module leans <<'C'
#include <berth/module.h>
BERTH_MODULE("leans", "1.0.0", "Requires what is below.");
BERTH_REQUIRES("teller", "*");
C

# configure: the configuration of standard input, in one step.
configure()
{
    cat >next.conf && mv next.conf a.conf
}

# hup: SIGHUP, and the lines of the log that it made, in the file said; the status of wait_for.
hup()
{
    local before answers
    before=$(wc -l <err)
    answers=$(grep -cE ' host \S+ is (not )?applied' err)
    kill -HUP "$host"
    wait_for ' host \S* is \(not \)\?applied' err $((answers + 1))
    local status=$?
    tail -n +$((before + 1)) err >said
    return $status
}

# applied NAME STARTED RELOADED STOPPED UNCHANGED: what the last SIGHUP came to.
applied()
{
    local wrong=0
    [ "$(tail -n 1 said | cut -d ' ' -f 2-)" = \
        "info host a.conf is applied: started $2, reloaded $3, stopped $4, unchanged $5" ] || wrong=1
    tap_result $wrong "$1" <said
}

# says NAME PATTERN: the last SIGHUP's lines have it. silent NAME PATTERN: they do not.
says()
{
    local wrong=0
    grep -qE "$2" said || wrong=1
    tap_result $wrong "$1" <said
}
silent()
{
    local wrong=0
    grep -qE "$2" said && wrong=1
    tap_result $wrong "$1" <said
}

# ---- Each kind of change ----

configure <<'CONF'
{"modules": {
    "math": {"file": "math.so"},
    "teller": {"file": "teller.so", "options": {"title": "one"}},
    "other": {"file": "teller.so"},
    "counter": {"file": "counter.so"}}}
CONF
begin --config a.conf ./requirer.so ./greet.so
hup
applied "the same file again changes nothing" 0 0 0 4
says "that it is read is told" ' info host SIGHUP: reading a.conf again$'
tap_run "in two lines" test "$(wc -l <said)" = 2

configure <<'CONF'
/* other words, other places, the same */
{"path": ["/nowhere"], "modules": {
    "counter": {"file": "./counter.so", "version": "^1", "optional": true}, // stateful
    "other": {"file": "teller.so", "options": {}},
    "teller": {"file": "teller.so", "options": { "title" : "one" }},
    "math": {"file": "math.so", "placement": "inline"}}}
CONF
hup
applied "nor does what says the same" 0 0 0 4
"$berth" reload math math.so >/dev/null
hup
applied "nor that a module was reloaded from that file, told without ./" 0 0 0 4

configure <<'CONF'
{"modules": {
    "math": {"file": "math.so"},
    "teller": {"file": "teller.so", "options": {"title": "two"}},
    "third": {"file": "teller.so", "options": {"title": "three"}},
    "counter": {"file": "counter_v2.so"}}}
CONF
hup
applied "all at once: one new, two changed, one gone" 1 2 1 1
says "the new one is started" ' warning teller@1\.0\.0#1 begins, title=three$| warning third@1\.0\.0#1 begins, title=three$'
says "other options: the next generation" ' warning teller@1\.0\.0#2 begins, title=two$'
says "the one before ends" ' warning teller@1\.0\.0#1 ends, title=one$'
says "what is not named any more is stopped" ' warning other@1\.0\.0#1 ends, title=none$'
says "each step is told: started" ' info host started third \(\./teller\.so, inline\)$'
says "reloaded" ' info host reloaded counter \(\./counter_v2\.so, inline\)$'
says "stopped" ' info host stopped other$'
silent "modules of the command line are left alone" 'requirer|greet'

configure <<'CONF'
{"path": ["."], "modules": {
    "math": {"file": "math.so", "placement": "process"},
    "teller": {"version": "^1.1", "options": {"title": "two"}},
    "third": {"file": "teller2.so", "placement": "process"},
    "counter": {"file": "counter_v2.so", "placement": "process"}}}
CONF
hup
applied "into workers, with other files and versions" 0 4 0 0
says "a version that is searched anew" ' warning teller@1\.1\.0#3 begins, title=two$'
says "a file and a placement" ' warning third@2\.0\.0#2 begins, title=none$'
says "the placement is told" ' info host reloaded counter \(\./counter_v2\.so, process\)$'

build_teller newer 2.1.0 && mv newer.so teller2.so
hup
applied "another file of the same name" 0 1 0 3
says "is loaded" ' warning third@2\.1\.0#3 begins'

# ---- Files that are wrong ----

configure <<'CONF'
{"threads": 7, "modules": {
    "math": {"file": "math.so", "placement": "proces"},
    "teller": {"file": "teller.so", "options": {"titel": "x"}},
    "none": {"file": "none.so"}}}
CONF
hup
tap_run "a bad file is told, every error with its place" diff <(cut -d ' ' -f 2- said) - <<'LOG'
info host SIGHUP: reading a.conf again
error host a.conf:1:2: threads cannot be changed while the host runs: set it back, or start the host anew
error host a.conf:2:46: modules.math.placement: "proces" is not one of "inline", "process"; did you mean "process"?
error host a.conf:3:49: modules.teller: teller 1.0.0 has no option "titel"; did you mean "title"?
error host a.conf:4:22: modules.none: ./none.so: cannot be opened: No such file or directory
error host invalid_argument: a.conf: 4 errors
error host a.conf is not applied: nothing has changed
LOG
echo '{"modules": {' | configure
hup
says "one that is cut" ' error host a\.conf:2:1: '
says "changes nothing" ' error host a\.conf is not applied: nothing has changed$'
rm a.conf
hup
says "one that is missing" ' error host not_found: a\.conf: No such file or directory$'
says "changes nothing, either" ' error host a\.conf is not applied: nothing has changed$'
configure <<'CONF'
{"limits": {"stop_timeout": "1s"}, "log": {"level": "error"}, "modules": {}}
CONF
hup
says "a limit is the host's for life" ' error host a\.conf:1:13: limits\.stop_timeout cannot be changed while'
says "so is the level of the log" ' error host a\.conf:1:44: log\.level cannot be changed while'
silent "and no module is touched" 'begins|ends'

# ---- Failures in the middle ----

configure <<'CONF'
{"path": ["."], "modules": {
    "math": {"file": "math.so", "placement": "process"},
    "teller": {"version": "^1.1", "options": {"title": "two"}},
    "third": {"file": "teller2.so", "placement": "process"},
    "counter": {"file": "counter_v2.so", "placement": "process"}}}
CONF
hup
applied "back to what it was: nothing has changed, indeed" 0 0 0 4
configure <<'CONF'
{"path": ["."], "modules": {
    "math": {"file": "math.so", "placement": "process"},
    "fresh": {"file": "teller.so", "options": {"title": "fresh"}},
    "counter": {"file": "counter_v2.so"},
    "teller": {"version": "^1.1", "options": {"title": "four"}},
    "third": {"file": "teller2.so", "placement": "process", "options": {"title": "!bad"}}}}
CONF
hup
says "a reload that fails" ' error host invalid_argument: third cannot be reloaded \(start\): .*the title is !bad$'
tap_run "what was done before is undone, the last one first" diff \
    <(grep -oE 'host (started|reloaded|stopped|undone|a\.conf).*' said) - <<'LOG'
host started fresh (./teller.so, inline)
host reloaded counter (./counter_v2.so, inline)
host reloaded teller (././teller-1.1.0.so, inline)
host undone: reloaded teller as it was
host undone: reloaded counter as it was
host undone: stopped fresh
host a.conf is not applied: what was done is undone
LOG
says "the new one is stopped" ' warning fresh@1\.0\.0#1 ends, title=fresh$'
says "the changed one has its options again" ' warning teller@1\.1\.0#5 begins, title=two$'
configure <<'CONF'
{"path": ["."], "modules": {
    "math": {"file": "math.so", "placement": "process"},
    "teller": {"version": "^1.1", "options": {"title": "two"}},
    "third": {"file": "teller2.so", "placement": "process"},
    "counter": {"file": "counter_v2.so", "placement": "process"}}}
CONF
hup
applied "and then it is what it was" 0 0 0 4

build_teller newer 2.2.0 && mv newer.so teller2.so
cp a.conf good.conf
configure <<'CONF'
{"path": ["."], "modules": {
    "third": {"file": "teller2.so", "placement": "process"},
    "fresh": {"file": "teller.so"},
    "teller": {"version": "^1.1", "options": {"title": "!bad"}},
    "math": {"file": "math.so", "placement": "process"},
    "counter": {"file": "counter_v2.so", "placement": "process"}}}
CONF
hup
says "a file that is not there any more in its old form is told" \
    ' warning host third runs from .*teller2\.so as it is now: the file before is not there any more$'
says "and that this is not undone" ' error host a\.conf is applied in part: 1 of 2 steps could not be undone$'
mv good.conf a.conf
hup
says "the next one sets it right" ' info host a\.conf is applied: started 0, reloaded 1, stopped 0, unchanged 3$'

echo '{"path": ["."], "modules": {"third": {"file": "teller2.so", "placement": "process"},
    "fresh": {"file": "teller.so"}}}' | configure
hup
says "one that others require does not go" ' error host failed_precondition: math cannot be stopped: math is required by requirer'
says "and all is undone" ' info host undone: started teller as it was$'
says "which is told" ' error host a\.conf is not applied: what was done is undone$'
silent "the command line's module goes on" '(requirer|greet)@'

configure <<'CONF'
{"path": ["."], "modules": {
    "math": {"file": "math.so"}, "teller": {"file": "teller2.so"}, "wants": {"file": "wants.so"},
    "counter": {"file": "greet.so"}}}
CONF
hup
says "a file of another module under the same name is refused" \
    ' error host failed_precondition: counter cannot be reloaded \(compare\): .*greet\.so is module greet, not counter$'
configure <<'CONF'
{"path": ["."], "modules": {
    "wants": {"file": "wants.so"}, "teller": {"file": "teller2.so"},
    "math": {"file": "math.so"}}}
CONF
hup
applied "a new one that requires the new version of another" 1 2 2 0
configure <<'CONF'
{"modules": {"math": {"file": "math.so"}}}
CONF
hup
applied "those that go, go in the order that they allow" 0 0 2 1
echo '{"modules": {"math": {"file": "math.so"}, "greet": {"file": "greet.so"}}}' | configure
hup
says "a name of the command line's is taken" ' error host already_exists: greet cannot be started: '
end
tap_run "it ends as ever" test "$status" = 0
tap_run "with the command line's modules in it" test "$(grep -c ' is applied: ' err)" -ge 8

# ---- Optional modules ----

configure <<'CONF'
{"modules": {
    "late": {"file": "late.so", "optional": true},
    "bad": {"file": "bad_start.so", "optional": true},
    "ring": {"file": "cycle_a.so", "optional": true},
    "teller": {"file": "teller.so", "optional": true, "options": {"title": "kept"}}}}
CONF
begin --config a.conf
hup
applied "what is optional and cannot be had is a warning" 0 0 0 1
says "with its place" ' warning host a\.conf:2:22: modules\.late: '
says "or with what failed" ' warning host bad is optional, and is left out: .*START failed'
says "a requirement, too" ' warning host ring is optional, and is left out: .*cycle_b'
cp teller.so late.so
sed -i 's/kept/!worse/' a.conf
hup
applied "it comes when it is there" 1 0 0 1
says "a changed one that fails stays as it was" ' warning host teller is optional, and stays as it was: .*the title is !worse'
rm late.so
sed -i 's/!worse/kept/' a.conf
hup
applied "and stays when its file is gone" 0 0 0 2
end

# ---- What others have done meanwhile ----

build_module hand <<'C'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("hand", "1.0.0", "Unloads and moves other modules whenever there is a file.");
BERTH_IMPORT(void, host, unload, (string, module), (optional(bool), force));
BERTH_IMPORT(json, host, reload, (string, module), (optional(string), file),
             (optional(json), options));
static void look(berth_ctx *ctx, void *user)
{
    (void)user;
    if (unlink("unload") == 0) {
        host_unload(ctx, "teller", (berth_optional(bool)){ 0 });
        berth_log(ctx, BERTH_LOG_WARNING, "unloaded: %s", berth_failed(ctx) ? berth_error_text(ctx) : "yes");
    }
    if (unlink("reload") == 0) {
        host_reload(ctx, "counter", "counter_v2.so", NULL);
        berth_log(ctx, BERTH_LOG_WARNING, "reloaded: %s", berth_failed(ctx) ? berth_error_text(ctx) : "yes");
    }
    berth_clear(ctx);
}
BERTH_START
{
    berth_timer(ctx, 20000000, 20000000, look, NULL);
}
C
configure <<'CONF'
{"modules": {"teller": {"file": "teller.so"}, "counter": {"file": "counter.so"}}}
CONF
begin --config a.conf ./hand.so
touch unload
tap_run "one is unloaded by hand" wait_for ' unloaded: yes$'
touch reload
tap_run "another is reloaded from another file" wait_for ' reloaded: yes$'
hup
applied "what runs is set right, not what was read last" 1 1 0 0
touch unload
wait_for ' unloaded: yes$' err 2
echo '{"modules": {"counter": {"file": "counter.so"}}}' | configure
hup
applied "what is gone already need not be stopped" 0 0 0 1
end

# ---- Secrets ----

printf 'first' >secret
configure <<'CONF'
{"modules": {"teller": {"file": "greet.so"},
    "secret": {"file": "teller.so", "options": {"title": {"$file": "secret"}}}}}
CONF
begin --config a.conf
hup
applied "a secret that is the same" 0 0 0 2
printf '!second' >secret
hup
says "one that has changed is given" 'the title is !second'
printf 'third' >secret
hup
applied "and a good one is taken" 0 1 0 1
end

# ---- Restarts ----

cp "$modules/crasher.so" .
echo '{"modules": {"crasher": {"file": "crasher.so", "placement": "process", "restart": "never"}}}' | configure
if [ -n "${BERTH_TEST_NO_CRASH-}" ]; then
    tap_skip "a worker is not restarted if it is never to be" "not here"
else
    build_module kills <<'C'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("kills", "1.0.0", "Has the crasher die whenever there is a file.");
BERTH_IMPORT(void, crasher, exit, (i32, status));
static void look(berth_ctx *ctx, void *user)
{
    (void)user;
    if (unlink("die") == 0) {
        crasher_exit(ctx, 3);
        berth_log(ctx, BERTH_LOG_WARNING, "dead: %s", berth_error_text(ctx));
        berth_clear(ctx);
    }
}
BERTH_START
{
    berth_timer(ctx, 20000000, 20000000, look, NULL);
}
C
    begin --config a.conf ./kills.so
    touch die
    tap_run "a worker dies" wait_for ' warning kills@1\.0\.0#1 dead: '
    touch die
    tap_run "and is not restarted if it is never to be" wait_for 'dead: .*is never to be restarted'
    sed -i 's/"never"/{"limit": 1, "window": "8760h"}/' a.conf
    hup
    applied "another policy is applied by a reload" 0 1 0 0
    touch die
    tap_run "and then it comes back" wait_for ' info crasher@.* its worker has been restarted$'
    touch die
    wait_for ' dead: ' err 4
    touch die
    tap_run "as often as it says" wait_for 'dead: .*, too often: reload it'
    end
    tap_run "it ends as ever, without it" test "$status" = 0
fi

# ---- berth reconfigure: the same, with an answer ----

# asks NAME STATUS OUT ERR: what `berth reconfigure` answers; patterns, as of shell.sh.
asks()
{
    local wrong=0
    timeout -k 5 300 "$berth" reconfigure >answer 2>said
    [ $? = "$2" ] || wrong=1
    # shellcheck disable=SC2053 # patterns
    [[ $(cat answer) == $3 && $(cat said) == $4 ]] || wrong=1
    tap_result $wrong "$1" < <(cat answer said)
}

echo '{"modules": {"math": {"file": "math.so"}, "counter": {"file": "counter.so"}}}' | configure
begin --config a.conf
asks "nothing has changed" 0 "a.conf is applied: started 0, reloaded 0, stopped 0, unchanged 2" ""
configure <<'CONF'
{"modules": {"math": {"file": "math.so", "placement": "process"}, "teller": {"file": "teller.so"},
    "gone": {"file": "nofile.so", "optional": true}}}
CONF
asks "what was done" 0 $'started teller (./teller.so, inline)\nreloaded math (./math.so, process)\nstopped counter\na.conf is applied: started 1, reloaded 1, stopped 1, unchanged 0' \
    "a.conf:2:*: warning: modules.gone: ./nofile.so: *"
tap_run "the log has it, too" grep -q ' info host a.conf is applied: started 1, reloaded 1, stopped 1, unchanged 0$' err
tap_run "before the answer" test "$("$berth" list | grep -v quarantined | cut -f 1 | tr '\n' ' ')" = "host run control math teller "
configure <<'CONF'
{"threads": 7,
 "modules": {"math": {"file": "math.so", "placement": "proces"}, "teller": {"file": "nofile.so"}}}
CONF
asks "all that is wrong" 1 "" $'a.conf:1:2: threads cannot be changed*\na.conf:2:*: modules.math.placement: *\na.conf:2:*: modules.teller: ./nofile.so: *\nberth: invalid_argument: a.conf: 3 errors'
"$berth" reconfigure --json >answer 2>said
tap_run "as JSON as well" test $? = 1 -a ! -s said -a \
    "$(grep -c '^{"file":"a.conf","applied":false,"steps":\[\],"problems":\[{"line":1,"column":2,"level":"error","text":.*"error":{"code":"invalid_argument","text":"a.conf: 3 errors"}}$' answer)" = 1
configure <<'CONF'
{"modules": {"math": {"file": "math.so"}, "teller": {"file": "teller.so", "options": {"title": "!bad"}}}}
CONF
asks "a step that fails" 1 "" $'reloaded math (./math.so, inline)\nundone: reloaded math as it was\nberth: invalid_argument: teller cannot be reloaded (start): *the title is !bad'
ok "after which all is as it was" $'3\n' call math.add 1 2
rm a.conf
asks "no file" 1 "" "berth: not_found: a.conf: No such file or directory"

# A module that asks for it while it is loaded by that: refused, and not stuck.
build_eager
echo '{"modules": {"eager": {"file": "eager.so"}}}' | configure
asks "a module that asks while it is applied" 0 $'started eager (./eager.so, inline)\n*' ""
tap_run "is told that it is" grep -q ' warning eager@1.0.0#1 refused: .*a.conf is just being applied' err
end
tap_run "it ends as ever, asked" test "$status" = 0
begin ./math.so
asks "without --config" 1 "" "berth: failed_precondition: *started without --config*"
fails "reconfigure takes no words" 2 "berth: invalid_argument: reconfigure: a.conf: it takes no words*" reconfigure a.conf
: >err # what fails has written there
end

# ---- One SIGHUP after the other ----

for i in $(seq 40); do
    echo "{\"modules\": {\"teller\": {\"file\": \"teller.so\", \"options\": {\"title\": \"t$i\"}},
        \"m$((i % 3))\": {\"file\": \"math.so\"}, \"leans\": {\"file\": \"leans.so\"}}}" >"c$i.conf"
done
cp c1.conf a.conf
begin --config a.conf
for i in $(seq 40); do
    mv "c$i.conf" a.conf
    kill -HUP "$host"
done
tap_run "however fast they come, the last file is what is applied" wait_for ' begins, title=t40$'
hup
applied "and nothing is left to be done" 0 0 0 3
tap_run "none of them has failed" test "$(grep -cE ' error |not applied' err)" = 0
end
tap_run "it ends as ever, the fast one" test "$status" = 0

# ---- Without a configuration, at the end, and at a terminal ----

build_module slow <<'C'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("slow", "1.0.0", "Takes its time.");
BERTH_STOP
{
    for (int i = 0; i < 6000 && access("go", F_OK) != 0; i++)
        usleep(10000);
    berth_log(ctx, BERTH_LOG_WARNING, "has stopped");
}
C
begin ./slow.so
kill -HUP "$host"
tap_run "without --config there is nothing to be read" \
    wait_for ' info host SIGHUP: there is no --config to be read again$'
kill -TERM "$host"
wait_for 'SIGTERM: stopping'
kill -HUP "$host"
touch go
finish
tap_run "one that comes while it stops ends nothing" grep -q ' warning slow@1.0.0#1 has stopped$' err
tap_run "and the exit status is that of SIGTERM" test "$status" = 0

cat >hangup.py <<'PYTHON'
"""hangup.py LOG MORE HOW COMMAND...: runs it at a terminal of its own, hangs that up once it is ready,
waits until its log has MORE, if that is not empty, to end it then, and prints its exit status."""
import os, pty, signal, sys, time
log, more, how, command = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
def wait_for(text):
    for _ in range(3000):
        if text in open(log).read():
            return
        time.sleep(0.02)
pid, terminal = pty.fork()
if pid == 0:
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), 2)
    # What was ignored before stays so: the tests may run under nohup themselves.
    signal.signal(signal.SIGHUP, signal.SIG_IGN if how == "nohup" else signal.SIG_DFL)
    os.execv(command[0], command)
wait_for(" info host ready")
os.close(terminal)
if more:
    wait_for(more)
    os.kill(pid, signal.SIGTERM)
ended = 0
for _ in range(3000):
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        break
    time.sleep(0.02)
else:
    os.kill(pid, signal.SIGKILL)
print(os.waitstatus_to_exitcode(status) if ended else "does not end")
PYTHON
if command -v python3 >/dev/null; then
    : >err
    python3 hangup.py err "" plain "$berth" run ./slow.so >out
    tap_run "the end of its terminal is as SIGTERM" test "$(cat out)" = 0
    tap_run "its modules are stopped" grep -q ' warning slow@1.0.0#1 has stopped$' err
    tap_run "which is told" grep -q ' info host SIGHUP: stopping$' err
    : >err
    python3 hangup.py err "no --config to be read again" nohup "$berth" run ./slow.so >out
    tap_run "unless SIGHUP was ignored, as by nohup" grep -q ' info host SIGTERM: stopping$' err
    echo '{"modules": {"slow": {"file": "slow.so"}}}' | configure
    : >err
    python3 hangup.py err " host a.conf is applied" plain "$berth" run --config a.conf >out
    tap_run "with --config the file is read again" grep -q ' info host SIGTERM: stopping$' err
    tap_run "whoever says so" test "$(cat out)" = 0
else
    tap_skip "the end of its terminal is as SIGTERM" "no python3"
fi

tap_done
