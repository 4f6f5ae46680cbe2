#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth doctor: for each thing that it finds a file that has it, and a twin that differs in that alone.
. "$(dirname "$0")/shell.sh"

exec </dev/null
flags="-shared -fPIC -fvisibility=hidden -Wl,-z,now -Wl,-z,relro -I$BERTH_TOP_SRCDIR/include -I$BERTH_TOP_BUILDDIR/include"

# compile NAME FLAG...: makes NAME.so of the C on standard input, behind the head of a module. Nothing of it will run,
# so it is never instrumented.
compile()
{
    local name=$1
    shift
    {
        echo '#include <berth/module.h>'
        echo 'BERTH_MODULE("patient", "1.0.0", "Looked at.");'
        cat
    } >"$name.c"
    # shellcheck disable=SC2086
    ${BERTH_TEST_CC:-cc} $flags -o "$name.so" "$name.c" "$@" 2>compile.err
}

# has LEVEL WHAT FILE [TEXT]: it has that finding, whose text has TEXT.
has()
{
    berth doctor --json "$3"
    grep -o '{"level":[^}]*}' out | grep -F "{\"level\":\"$1\",\"what\":\"$2\"," | grep -qF -- "${4:-}"
}

# found NAME LEVEL WHAT TEXT STATUS FILE TWIN
found()
{
    local wrong=0
    has "$2" "$3" "$6" "$4" || wrong=1
    [ "$status" = "$5" ] || wrong=1
    tap_result $wrong "$1" <<<"status $status: $(cat out err)"
    berth doctor --json "$7"
    wrong=0
    ! grep -qF "\"what\":\"$3\"" out || wrong=1
    [ "$status" = 0 ] || wrong=1
    tap_result $wrong "$1: its twin has not" <<<"status $status: $(cat out err)"
}

# patient NAME LEVEL WHAT TEXT STATUS [FLAG...]: as found, of the code on standard input; what stands in it between
# the lines BAD and END is not in the twin, what stands between TWIN and END only there.
patient()
{
    local name=$1 level=$2 what=$3 text=$4 status_wanted=$5
    shift 5
    cat >code
    if ! sed -e '/^TWIN$/,/^END$/d' -e '/^BAD$/d' -e '/^END$/d' code | compile bad "$@"; then
        tap_skip "$name" "it does not compile here: $(head -n 1 compile.err)"
        return
    fi
    sed -e '/^BAD$/,/^END$/d' -e '/^TWIN$/d' -e '/^END$/d' code | compile twin
    found "$name" "$level" "$what" "$text" "$status_wanted" bad.so twin.so
}

# linked NAME LEVEL WHAT TEXT STATUS FLAG...: as found, of a module that is linked with these flags, or without.
linked()
{
    local name=$1 level=$2 what=$3 text=$4 status_wanted=$5
    shift 5
    if ! echo | compile bad "$@"; then
        tap_skip "$name" "it does not link here: $(head -n 1 compile.err)"
        return
    fi
    echo | compile twin
    found "$name" "$level" "$what" "$text" "$status_wanted" bad.so twin.so
}

# ---- One that is well ----

echo | compile well
ok "of a module that is well nothing is said" "./well.so: module patient 1.0.0: nothing found"$'\n' doctor ./well.so
berth doctor --json ./well.so
tap_run "as JSON" grep -qE '^\[\{"file":"./well.so","module":"patient","version":"1.0.0","glibc":(null|\{"needs":"2\.[0-9]+","here":"2\.[0-9]+"\}),"findings":\[\]\}\]$' out
for module in "$BERTH_TOP_BUILDDIR"/modules/*/*.so; do
    [ -z "${BERTH_TEST_SANITIZER:-}" ] || continue
    berth doctor --strict "$module"
    tap_run "a module of ours is well: ${module##*/}" test "$status" = 0
done

# ---- What it needs ----

patient "a symbol that nobody has" error missing_symbol 'it needs the symbol nowhere, which no library of its has' 1 <<'C'
BAD
int nowhere(void);
BERTH_EXPORT(i64, one, "1") { return nowhere(); }
END
C
patient "a weak one may be missing" note constructors 1 0 <<'C'
__attribute__((weak)) int nowhere(void);
BERTH_EXPORT(i64, one, "1") { return nowhere ? nowhere() : 1; }
BAD
__attribute__((constructor)) static void begin(void) { (void)nowhere; __asm__ volatile(""); }
END
C
echo 'int beside(void) { return 1; }' | ${BERTH_TEST_CC:-cc} -shared -fPIC -o libbeside.so -Wl,-soname,libbeside.so -x c -
mkdir -p lib && cp libbeside.so lib/
# shellcheck disable=SC2016
{
    echo 'int beside(void); BERTH_EXPORT(i64, one, "1") { return beside(); }' | tee code | compile bad libbeside.so
    compile twin libbeside.so -Wl,-rpath,'$ORIGIN/lib' <code
}
found "a library that is not found" error missing_library 'it needs the library libbeside.so, which is not found' 1 bad.so twin.so
mkdir -p linked && ln -s ../twin.so linked/twin.so
berth doctor linked/twin.so
tap_run "a library beside what a link leads to" test "$status" = 0
cp libbeside.so kept.so
echo text >lib/libbeside.so
berth doctor --json twin.so
tap_run "a library that is none" grep -q '"what":"bad_library","text":"it needs the library libbeside.so, but .*libbeside.so: not an ELF file' out
mkfifo fifo && rm lib/libbeside.so && ln -s ../fifo lib/libbeside.so
berth doctor --json twin.so
tap_run "nothing but a regular file is opened" grep -q '"what":"missing_library"\|"what":"bad_library"' out
rm lib/libbeside.so && cp kept.so lib/libbeside.so

# Libraries whose versions have changed since.
versioned() # NAME VERSION FUNCTION
{
    echo "$2 { global: $3; local: *; };" >map
    echo "int $3(void) { return 1; }" |
        ${BERTH_TEST_CC:-cc} -shared -fPIC -o "$1" -Wl,-soname,libold.so -Wl,--version-script=map -x c -
}
mkdir -p now before
versioned before/libold.so OLD_2 steady
# shellcheck disable=SC2016
echo 'int steady(void); BERTH_EXPORT(i64, one, "1") { return steady(); }' | compile bad before/libold.so -Wl,-rpath,'$ORIGIN/now'
cp before/libold.so now/
cp bad.so twin.so
berth doctor twin.so
tap_run "a library of the right version" test "$status" = 0
versioned now/libold.so OLD_1 steady
has error missing_version bad.so 'it needs version OLD_2 of libold.so, which '
tap_result $? "a version that the library does not have" <out
versioned now/libold.so OLD_2 another
has error missing_symbol bad.so 'it needs the symbol steady, which libold.so should have in version OLD_2'
tap_result $? "a symbol that the library does not have" <out
# What a library lacks is missing, too.
rm now/libold.so
echo 'int lower(void); int steady(void) { return lower(); }' >code
${BERTH_TEST_CC:-cc} -shared -fPIC -o now/libold.so -Wl,-soname,libold.so -x c code
has error missing_symbol bad.so '/now/libold.so needs the symbol lower, which no library of its has'
tap_result $? "what a library of its lacks" <out

echo '#include <pthread.h>
BERTH_EXPORT(void, run, "Begins.") { pthread_t t; pthread_create(&t, 0, 0, 0); }' | compile twin
sed 's/GLIBC_2\.34/GLIBC_2.99/' twin.so >bad.so
if cmp -s twin.so bad.so; then
    tap_skip "a newer C library" "pthread_create is older here"
else
    found "a newer C library" error newer_glibc 'it needs glibc 2.99, and this system has 2.' 1 bad.so twin.so
    fails "a host says so, too" 1 "berth: failed_precondition: */bad.so: it needs version GLIBC_2.99 of *libc.so.6, *" \
        call --with ./bad.so patient.run
    berth doctor --json bad.so
    tap_run "which version it needs" grep -q '"glibc":{"needs":"2\.99","here":"2\.[0-9]*"}' out
fi

echo 'double cos(double); BERTH_EXPORT(f64, one, "1", (f64, x)) { return cos(x); }' | tee code | compile bad
compile twin -lm <code
if has error missing_symbol bad.so; then
    has error missing_symbol bad.so 'it needs the symbol cos, which is in libm.so.6: it was linked without -lm'
    tap_result $? "which library it was to be linked with" <out
else
    has warning borrowed_symbol bad.so 'it needs the symbol cos'
    tap_result $? "what only the program has" <out
fi
berth doctor --strict twin.so
tap_run "its twin is well" test "$status" = 0

# ---- How it is linked ----

linked "an executable stack" error executable_stack 'executable' 1 -Wl,-z,execstack
linked "no RELRO" warning no_relro 'stay writable' 0 -Wl,-z,norelro
linked "lazy binding" note lazy_binding 'called functions' 0 -Wl,-z,lazy
linked "nodelete" warning nodelete 'never unmapped' 0 -Wl,-z,nodelete
linked "one that refuses to be loaded" error refused 'nodlopen' 1 -Wl,-z,nodlopen
if [ "$(uname -m)" = x86_64 ]; then
    patient "text relocations" error text_relocations 'its code must be changed' 1 -Wl,-z,notext <<'C'
BAD
__asm__(".text\n.quad strlen\n");
END
C
    echo '__asm__(".text\n.quad .\n");' | compile bad -Wl,-z,notext
    berth doctor bad.so
    tap_run "one to itself is no damage" test "$(grep -c '^  error: ' out)" = 1
fi
patient "thread-local data of the static kind" warning static_tls 'inline it cannot be replaced' 0 <<'C'
BAD
__attribute__((tls_model("initial-exec")))
END
static _Thread_local int64_t mine;
BERTH_EXPORT(i64, next, "Counts.") { return mine++; }
C
patient "unique symbols" warning unique_symbols '-fno-gnu-unique' 0 <<'C'
BAD
__asm__(".data\n.globl shared_by_all\n.type shared_by_all, %gnu_unique_object\n.size shared_by_all, 8\nshared_by_all: .quad 7\n.text\n");
END
C
patient "constructors" note constructors 'while it is loaded (1 constructor)' 0 <<'C'
BAD
static volatile int begun;
__attribute__((constructor)) static void begin(void) { begun = 1; }
END
C
patient "destructors" note destructors 'while it is unmapped (1 destructor)' 0 <<'C'
BAD
static volatile int ended;
__attribute__((destructor)) static void end(void) { ended = 1; }
END
C

# ---- Its names ----

patient "a name of the C library" error clashing_export 'it exports strtok, a name of ' 1 <<'C'
BAD
#define SHOWN __attribute__((visibility("default")))
END
TWIN
#define SHOWN
END
SHOWN char *strtok(char *text, const char *of) { return *of ? text : 0; }
C
patient "a name of libberth's" error clashing_export 'it exports berth_host_new, a name of ' 1 <<'C'
BAD
__attribute__((visibility("default"))) int berth_host_new(void) { return 1; }
END
C
patient "a name of that kind" error clashing_export 'it exports berth_of_mine, a name of libberth' 1 <<'C'
BAD
__attribute__((visibility("default"))) int berth_of_mine(void) { return 1; }
END
C
patient "other names" warning other_exports 'it exports 2 names besides berth_entry (' 0 <<'C'
BAD
#define SHOWN __attribute__((visibility("default")))
END
TWIN
#define SHOWN
END
SHOWN int helper(void) { return 1; }
SHOWN int helper_two(void) { return 1; }
C
echo '__attribute__((visibility("default"))) int helper(void) { return 1; }' | compile bad
echo 'int helper(void) { return 2; } int main(void) { return helper(); }' |
    ${BERTH_TEST_CC:-cc} -rdynamic -pie -fPIE -o program -x c -
berth doctor --program ./program --json bad.so
tap_run "a name of an application" grep -qF '"what":"clashing_export","text":"it exports helper, a name of ./program' out
fails "--program takes a program" 1 "berth: invalid_argument: ./none: cannot be opened: *" doctor --program ./none bad.so

# ---- What it calls ----

# calls NAME LEVEL STATUS DECLARATION CALL
calls()
{
    patient "it calls $1" "$2" risky_import "it calls $1: " "$3" <<C
$4
BAD
BERTH_EXPORT(void, run, "Does it.") { $5; }
END
TWIN
BERTH_EXPORT(void, run, "Does it not.") { }
END
C
}
calls on_exit error 1 '#include <stdlib.h>' 'on_exit(0, 0)'
calls exit warning 0 '#include <stdlib.h>' 'exit(1)'
calls _exit warning 0 '#include <unistd.h>' '_exit(1)'
calls abort warning 0 '#include <stdlib.h>' 'abort()'
calls fork warning 0 '#include <unistd.h>' '(void)!fork()'
calls execv warning 0 '#include <unistd.h>' '(void)!execv("/", 0)'
calls signal warning 0 '#include <signal.h>' 'signal(SIGINT, SIG_IGN)'
calls sigaction warning 0 '#include <signal.h>' 'sigaction(SIGINT, 0, 0)'
calls dlopen warning 0 '#include <dlfcn.h>' 'dlopen("x", RTLD_NOW)'
calls setlocale warning 0 '#include <locale.h>' 'setlocale(LC_ALL, "")'
calls chdir warning 0 '#include <unistd.h>' '(void)!chdir("/")'
calls umask warning 0 '#include <sys/stat.h>' 'umask(0)'
calls setenv warning 0 '#include <stdlib.h>' 'setenv("A", "b", 1)'
calls pthread_key_create warning 0 '#include <pthread.h>' 'pthread_key_t k; pthread_key_create(&k, 0)'
calls setuid warning 0 '#include <unistd.h>' '(void)!setuid(1)'
calls alarm warning 0 '#include <unistd.h>' 'alarm(1)'
calls wait warning 0 '#include <sys/wait.h>' 'wait(0)'
calls timer_create note 0 '#include <time.h>' 'timer_t t; timer_create(CLOCK_MONOTONIC, 0, &t)'
calls pthread_create note 0 '#include <pthread.h>' 'pthread_t t; pthread_create(&t, 0, 0, 0)'
echo '#include <stdlib.h>
BERTH_EXPORT(void, run, "Ends all.") { exit(1); }' | compile bad
berth doctor --strict bad.so
tap_run "--strict: a warning makes the status 1" test "$status" = 1

# ---- What it is ----

sed 's/abi=[0-9]*/abi=9/' well.so >abi.so
if ! cmp -s well.so abi.so; then
    found "another ABI" error other_abi 'it was compiled for ABI revision 9, and this berth has revision ' 1 abi.so well.so
fi
echo 'static const int nothing;' | ${BERTH_TEST_CC:-cc} -shared -fPIC -Wl,-z,now -o plain.so -x c -
found "a library that is no module" error not_a_module 'berth/module.h' 1 plain.so well.so
sed 's/version=1\.0\.0/version=1.0.x/' well.so >manifest.so
found "a manifest that is wrong" error bad_manifest '1.0.x' 1 manifest.so well.so
compile several <<'C'
BERTH_REQUIRES("other", "new");
BERTH_TOPIC("Told", told, (u64, n));
BERTH_EXPORT(void, Run, "Runs.") { }
C
berth doctor several.so
tap_run "all that is wrong with a manifest" test "$(grep -c '^  error: \(requires "other"\|topic "Told"\|export "Run"\): ' out)" = 3
head -c 5000 well.so >short.so
found "a file that is cut" error damaged 'truncated' 1 short.so well.so
echo text >text
found "a text" error not_a_module 'not an ELF file' 1 text well.so
found "a file that is not there" error unreadable 'No such file' 1 ./none well.so
found "a directory" error unreadable 'a directory' 1 . well.so

# ---- How it is said ----

berth doctor ./plain.so ./well.so ./none
check "several files, one bad: status 1" 1 "$(
    cat <<'TEXT'
./plain.so: 1 error
TEXT
    sed -n 2,3p out
    cat <<'TEXT'
./well.so: module patient 1.0.0: nothing found
./none: 1 error
  error: cannot be opened: No such file or directory
      name a file that is there and may be read
TEXT
)"$'\n' ""
echo '#include <unistd.h>
#include <pthread.h>
#include <stdlib.h>
BERTH_EXPORT(void, run, "Much.") { pthread_create(0, 0, 0, 0); on_exit(0, 0); (void)!fork(); }' | compile bad
berth doctor bad.so
tap_run "the gravest comes first" test "$(sed -n 's/^  \([a-z]*\):.*/\1/p' out | tr '\n' ' ')" = "error warning note "
tap_run "each with its cure" test "$(grep -c '^      ' out)" = 3
tap_run "and their number" grep -qx 'bad.so: module patient 1.0.0: 1 error, 1 warning, 1 note' out
if command -v python3 >/dev/null; then
    berth doctor --json bad.so ./none plain.so
    tap_run "--json is valid JSON, an entry for each file" \
        python3 -c 'import json; a = json.load(open("out")); assert [x["file"] for x in a] == ["bad.so", "./none", "plain.so"]'
fi
# ---- What a host makes of it ----

echo '#include <stdlib.h>
static void nothing(int status, void *user) { (void)status; (void)user; }
BERTH_EXPORT(i64, one, "1") { return 1 + on_exit(nothing, 0); }' | compile bad
fails "a host refuses inline what would crash it at its end" 1 \
    'berth: failed_precondition: */bad.so: it calls on_exit: *: use atexit*' call --with ./bad.so patient.one
ok "in a process it may" $'1\n' call --with ./bad.so=process patient.one
echo 'static _Thread_local int64_t mine __attribute__((tls_model("initial-exec")));
BERTH_EXPORT(i64, next, "Counts.") { return ++mine; }' | compile bad
XDG_RUNTIME_DIR=$work begin ./bad.so
tap_run "what cannot be replaced is told when it is loaded" \
    grep -q ' warning host patient@1\.0\.0#1: its thread-local data (8 bytes) .*: compile it without' err
if [ -e "$BERTH_TOP_BUILDDIR/modules/control/control.so" ]; then
    cp err log
    XDG_RUNTIME_DIR=$work fails "its reload is refused" 1 \
        'berth: failed_precondition: *its thread-local data *: compile it without*' reload patient
fi
end

fails "no file at all" 2 "berth: *FILE is missing*" doctor
fails "no file at all, as JSON" 2 '{"error":*FILE is missing*' doctor --json

tap_done
