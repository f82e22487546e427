#!/bin/sh
# setup.sh - sees to it that the Debian packages of the named lists are installed.
#
#   usage: setup.sh LIST...        (LIST: build, run, lint, optional: docker/packages-LIST.txt)
#
# `optional` is what the programs look for when they run and do without when it is not there: graphviz's library, for
# pictures as SVG instead of DOT.
#
# It looks first, says what is missing, and installs only that; nothing missing: no word, no root.
# Exit: 0 all there, 2 something is missing and cannot be installed here (it says what, and how to get it).
set -eu

here=$(dirname "$0")
[ $# -gt 0 ] || { echo "usage: setup.sh build|run|lint|optional..." >&2; exit 2; }

wanted=
for list in "$@"; do
    [ -f "$here/packages-$list.txt" ] || { echo "setup: no list 'packages-$list.txt' in $here" >&2; exit 2; }
    wanted="$wanted $(tr '\n' ' ' <"$here/packages-$list.txt")"
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    # Not Debian: what the build needs may be there under other names, so only the tools are looked for.
    missing=
    for tool in cc cmake ninja pkg-config protoc-c; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    if command -v pkg-config >/dev/null 2>&1; then
        for library in libzmq libprotobuf-c libmicrohttpd lmdb openblas libsodium jansson libcyaml zlib libzstd check; do
            pkg-config --exists "$library" || missing="$missing $library"
        done
    fi
    [ -z "$missing" ] && exit 0
    echo "setup: missing:$missing" >&2
    echo "setup: this is not a Debian system; install these (development files included) with your package manager." >&2
    echo "setup: on Debian 12 they are:$wanted" >&2
    exit 2
fi

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        as_root=sudo
    else
        echo "setup: missing packages:$missing" >&2
        echo "setup: installing them needs root; run:  apt-get install$missing" >&2
        exit 2
    fi
fi

echo "setup: installing missing packages:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086  # a list of words is meant
if ! { $as_root apt-get update && $as_root apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "setup: apt-get could not install:$missing" >&2
    exit 2
fi
