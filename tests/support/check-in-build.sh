#!/bin/sh
# SPDX-License-Identifier: MIT
# check-in-build.sh SOURCE CC BUILD [CONFIGURE OPTION...]: configures BUILD unless it is, and runs `make check` there.
set -eu
source=$1 compiler=$2 build=$3
shift 3
mkdir -p "$build"
cd "$build"
[ -e Makefile ] || "$source/configure" -q CC="$compiler" "$@"
exec "${MAKE:-make}" check
