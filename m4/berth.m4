# SPDX-License-Identifier: MIT
# Berth's own checks; configure.ac names them in order and does nothing else.

# BERTH_COMPILE_FLAGS(VARIABLE, FLAGS): those of FLAGS that the C compiler accepts.
# -Werror: clang only warns about an option that it does not know.
AC_DEFUN([BERTH_COMPILE_FLAGS], [
	$1=
	for berth_flag in m4_normalize([$2]); do
		AC_MSG_CHECKING([whether $CC accepts $berth_flag])
		berth_saved_CFLAGS=$CFLAGS
		CFLAGS="$CFLAGS -Werror $berth_flag"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM],
			[AC_MSG_RESULT([yes]); $1="${$1:+$$1 }$berth_flag"],
			[AC_MSG_RESULT([no])])
		CFLAGS=$berth_saved_CFLAGS
	done
	AC_SUBST([$1])
])

# BERTH_WARNINGS(VARIABLE, FLAGS): the same, with -Werror at the end when that was asked for.
AC_DEFUN([BERTH_WARNINGS], [
	BERTH_COMPILE_FLAGS([$1], [$2])
	AS_IF([test "$enable_werror" = yes], [$1="$$1 -Werror"])
])

# BERTH_LINK_FLAGS(VARIABLE, FLAGS): those of FLAGS that the linker accepts.
AC_DEFUN([BERTH_LINK_FLAGS], [
	$1=
	for berth_flag in m4_normalize([$2]); do
		AC_MSG_CHECKING([whether the linker accepts $berth_flag])
		berth_saved_LDFLAGS=$LDFLAGS
		LDFLAGS="$LDFLAGS $berth_flag"
		AC_LINK_IFELSE([AC_LANG_PROGRAM],
			[AC_MSG_RESULT([yes]); $1="${$1:+$$1 }$berth_flag"],
			[AC_MSG_RESULT([no])])
		LDFLAGS=$berth_saved_LDFLAGS
	done
	AC_SUBST([$1])
])

# BERTH_CHECK_CXX: modules may be written in C++, so tests compile some; nothing else needs it.
AC_DEFUN([BERTH_CHECK_CXX], [
	AC_LANG_PUSH([C++])
	AC_MSG_CHECKING([whether $CXX works with -std=c++17])
	berth_saved_CXXFLAGS=$CXXFLAGS
	CXXFLAGS="$CXXFLAGS -std=c++17"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <exception>]], [[static_assert(__cplusplus >= 201703L);]])],
		[berth_have_cxx=yes berth_cxx_summary="$CXX"],
		[berth_have_cxx=no berth_cxx_summary="none: the C++ tests are skipped (Debian: g++)" CXX=])
	AC_MSG_RESULT([$berth_have_cxx])
	# Who cannot be told not to makes no symbols that are unique in the process.
	CXXFLAGS="$berth_saved_CXXFLAGS -fno-gnu-unique"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [berth_have_unique=$berth_have_cxx], [berth_have_unique=no])
	CXXFLAGS=$berth_saved_CXXFLAGS
	AC_LANG_POP([C++])
	AM_CONDITIONAL([HAVE_CXX], [test "$berth_have_cxx" = yes])
	AM_CONDITIONAL([HAVE_GNU_UNIQUE], [test "$berth_have_unique" = yes])
])

# BERTH_CHECK_HOST: the call path is written for these machines.
AC_DEFUN([BERTH_CHECK_HOST], [
	AS_CASE([$host_os], [linux*], [],
		[AC_MSG_ERROR([Berth runs on Linux only, not on $host_os])])
	AS_CASE([$host_cpu], [x86_64|aarch64], [],
		[AC_MSG_ERROR([Berth runs on x86_64 and aarch64 only, not on $host_cpu])])
	AC_CHECK_SIZEOF([void *])
	AS_IF([test "$ac_cv_sizeof_void_p" != 8],
		[AC_MSG_ERROR([Berth needs 64-bit pointers: build without -m32 or -mx32])])
])

# BERTH_NEED(WHAT, INCLUDES, BODY, SENTENCE): a compile-time need, refused with a sentence.
AC_DEFUN([BERTH_NEED], [
	AC_MSG_CHECKING([for $1])
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([$2], [$3])],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		 AC_MSG_ERROR([$4])])
])

# BERTH_CHECK_LINUX: what the runtime uses of glibc and of the kernel's headers. That the running
# kernel knows it too is checked when a host starts.
AC_DEFUN([BERTH_CHECK_LINUX], [
	BERTH_NEED([glibc 2.36 or newer], [[#include <features.h>]], [[
#if !defined __GLIBC__ || !__GLIBC_PREREQ(2, 36)
#error too old
#endif]],
		[glibc 2.36 or newer is missing: the loader part relies on its dlopen and dlinfo (Debian 12 has it)])
	BERTH_NEED([sealed memfds],
		[[#include <fcntl.h>
		  #include <sys/mman.h>]],
		[[return memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING) + F_ADD_SEALS + F_SEAL_WRITE;]],
		[memfd_create with seals is missing: images are staged in sealed memfds])
	BERTH_NEED([membarrier],
		[[#include <linux/membarrier.h>
		  #include <sys/syscall.h>
		  #include <unistd.h>]],
		[[return (int)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);]],
		[<linux/membarrier.h> is missing: replacing a module rests on membarrier (Debian: linux-libc-dev)])
	BERTH_NEED([clone3 and pidfds],
		[[#include <linux/sched.h>
		  #include <sys/pidfd.h>
		  #include <sys/syscall.h>]],
		[[struct clone_args args = { .flags = CLONE_PIDFD };
		  return (int)args.flags + SYS_clone3 + pidfd_send_signal(-1, 0, 0, 0);]],
		[clone3 or <sys/pidfd.h> is missing: workers are started and watched through pidfds])
	BERTH_NEED([epoll, eventfd, timerfd],
		[[#include <sys/epoll.h>
		  #include <sys/eventfd.h>
		  #include <sys/timerfd.h>]],
		[[return epoll_create1(EPOLL_CLOEXEC) + eventfd(0, EFD_CLOEXEC) +
			 timerfd_create(1, TFD_CLOEXEC);]],
		[epoll, eventfd or timerfd is missing: the event loop is made of them])
	BERTH_NEED([close_range],
		[[#include <unistd.h>
		  #include <linux/close_range.h>]],
		[[return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);]],
		[close_range is missing: workers close what they must not inherit with it])
])

# BERTH_REQUIRE_LIBRARY(PREFIX, MODULE SPEC, DEBIAN PACKAGE)
AC_DEFUN([BERTH_REQUIRE_LIBRARY], [
	PKG_CHECK_MODULES([$1], [$2], [],
		[AC_MSG_ERROR([$2 is missing (Debian: apt-get install $3): $$1_PKG_ERRORS])])
])

# BERTH_FIND_LIBRARY(PREFIX, MODULE, DEBIAN-PACKAGE): for what a test needs. PREFIX_CFLAGS and _LIBS are
# empty without it, and berth_PREFIX_summary says so.
AC_DEFUN([BERTH_FIND_LIBRARY], [
	PKG_CHECK_MODULES([$1], [$2], [berth_$1_summary=yes],
		[berth_$1_summary="not found: its example is not built ($3)"])
])

# BERTH_ARG_TESTS: on when CUnit is there, off with a word when it is not.
AC_DEFUN([BERTH_ARG_TESTS], [
	AC_ARG_ENABLE([tests],
		[AS_HELP_STRING([--disable-tests], [do not build the tests (default: built when CUnit is there)])],
		[], [enable_tests=auto])
	AS_IF([test "$enable_tests" != no], [
		PKG_CHECK_MODULES([CUNIT], [cunit >= 2.1], [berth_have_cunit=yes], [berth_have_cunit=no])
		AS_CASE([$enable_tests-$berth_have_cunit],
			[yes-no], [AC_MSG_ERROR([--enable-tests needs CUnit (Debian: apt-get install libcunit1-dev)])],
			[auto-no], [AC_MSG_WARN([CUnit is missing, so there will be no tests (Debian: apt-get install libcunit1-dev)])])
		berth_tests_summary=$berth_have_cunit
		AS_IF([test "$berth_have_cunit" = no],
			[berth_tests_summary="no: they need CUnit (Debian: libcunit1-dev)"])
		enable_tests=$berth_have_cunit
	], [berth_tests_summary=no])
	AM_CONDITIONAL([ENABLE_TESTS], [test "$enable_tests" = yes])
])

# BERTH_ARG_DEBUG: assert() holds in debug builds only.
AC_DEFUN([BERTH_ARG_DEBUG], [
	AC_ARG_ENABLE([debug],
		[AS_HELP_STRING([--enable-debug], [keep internal asserts])],
		[], [enable_debug=no])
	AM_CONDITIONAL([ENABLE_DEBUG], [test "$enable_debug" = yes])
])

AC_DEFUN([BERTH_ARG_WERROR], [
	AC_ARG_ENABLE([werror],
		[AS_HELP_STRING([--enable-werror], [make every compiler warning an error])],
		[], [enable_werror=no])
])

# BERTH_ARG_SANITIZER: probed by linking, since a missing runtime shows only there. Fuzzers have
# sanitizers unless told otherwise: without them most of what they hit goes by unseen.
AC_DEFUN([BERTH_ARG_SANITIZER], [
	AC_ARG_WITH([sanitizer],
		[AS_HELP_STRING([--with-sanitizer=LIST],
			[build with -fsanitize=LIST, for example address,undefined or thread])],
		[], [with_sanitizer=$enable_fuzzer])
	AS_IF([test "$with_sanitizer" = yes], [with_sanitizer=address,undefined])
	SANITIZER_CFLAGS=
	AS_IF([test "$with_sanitizer" != no], [
		SANITIZER_CFLAGS="-fsanitize=$with_sanitizer -fno-sanitize-recover=all -fno-omit-frame-pointer"
		AC_MSG_CHECKING([whether $CC can build with -fsanitize=$with_sanitizer])
		berth_saved_CFLAGS=$CFLAGS
		CFLAGS="$CFLAGS $SANITIZER_CFLAGS"
		AC_LINK_IFELSE([AC_LANG_PROGRAM], [AC_MSG_RESULT([yes])],
			[AC_MSG_RESULT([no])
			 AC_MSG_ERROR([$CC cannot build with -fsanitize=$with_sanitizer])])
		CFLAGS=$berth_saved_CFLAGS
	])
	AC_SUBST([SANITIZER_CFLAGS])
	AM_CONDITIONAL([WITH_SANITIZER], [test "$with_sanitizer" != no])
])

# BERTH_ARG_FUZZER: libFuzzer comes with clang; the code under test needs its coverage too.
AC_DEFUN([BERTH_ARG_FUZZER], [
	AC_ARG_ENABLE([fuzzer],
		[AS_HELP_STRING([--enable-fuzzer], [build the libFuzzer targets in tests/fuzz (needs CC=clang)])],
		[], [enable_fuzzer=no])
	FUZZER_CFLAGS= FUZZER_LDFLAGS=
	AS_IF([test "$enable_fuzzer" = yes], [
		FUZZER_CFLAGS=-fsanitize=fuzzer-no-link
		FUZZER_LDFLAGS=-fsanitize=fuzzer
		AC_MSG_CHECKING([whether $CC has libFuzzer])
		berth_saved_CFLAGS=$CFLAGS
		CFLAGS="$CFLAGS -fsanitize=fuzzer"
		AC_LINK_IFELSE([AC_LANG_SOURCE([[
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { (void)data; (void)size; return 0; }]])],
			[AC_MSG_RESULT([yes])],
			[AC_MSG_RESULT([no])
			 AC_MSG_ERROR([--enable-fuzzer needs clang with libFuzzer: configure with CC=clang])])
		CFLAGS=$berth_saved_CFLAGS
	])
	AC_SUBST([FUZZER_CFLAGS])
	AC_SUBST([FUZZER_LDFLAGS])
	AM_CONDITIONAL([ENABLE_FUZZER], [test "$enable_fuzzer" = yes])
])

# BERTH_ARG_STACK_SCAN: without it threads that have never called a host are not proved to be away from
# an image, and keep it quarantined.
AC_DEFUN([BERTH_ARG_STACK_SCAN], [
	AC_ARG_ENABLE([stack-scan],
		[AS_HELP_STRING([--disable-stack-scan],
			[do not look at the stacks of foreign threads when a module is unloaded])],
		[], [enable_stack_scan=yes])
	AM_CONDITIONAL([STACK_SCAN], [test "$enable_stack_scan" != no])
])

# BERTH_ARG_SYSTEMD: where units are, below our own prefix, as nothing is installed elsewhere.
AC_DEFUN([BERTH_ARG_SYSTEMD], [
	AC_ARG_WITH([systemdsystemunitdir],
		[AS_HELP_STRING([--with-systemdsystemunitdir=DIR], [where berth.service is installed])],
		[],
		[with_systemdsystemunitdir=`$PKG_CONFIG --variable=systemdsystemunitdir systemd 2>/dev/null |
			$SED -n 's|^\(/usr\)*/lib/|${prefix}/lib/|p'`])
	AS_CASE([$with_systemdsystemunitdir], [yes|no|""],
		[with_systemdsystemunitdir='${datadir}/berth'])
	AC_SUBST([systemdsystemunitdir], [$with_systemdsystemunitdir])
])
