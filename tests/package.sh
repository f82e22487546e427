#!/bin/bash
# package.sh - the programs as they are installed: by `cmake --install`, under systemd's eyes, and as a Debian package.
#
#   usage: package.sh BUILD           (a build folder with everything built: nothing is compiled)
#
# Exit 77: all that could be tried went well, but a judge is not here (it says which).
set -euo pipefail
build=$1
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
missing=
fail() {
    echo "package.sh: $*" >&2
    exit 1
}
judge() { # judge TOOL PACKAGE: whether it is here
    command -v "$1" >/dev/null && return 0
    echo "package.sh: NOT TESTED: there is no $1 here (apt-get install $2)" >&2
    missing+=" $1"
    return 1
}
there() { # there ROOT FILE...
    local root=$1 file
    shift
    for file in "$@"; do [ -s "$root/$file" ] || fail "$file is not in $root"; done
}
works() { # works BIN: the three programs are there, know one another and find a network
    "$1/nasfarm" version >"$dir/version" || fail "nasfarm version fails in $1"
    [ "$(grep -c "^nasfarm[a-z-]* $version\$" "$dir/version")" = 3 ] || fail "not three programs of one version: $(cat "$dir/version")"
    rm -rf "$dir/run"
    "$1/nasfarm" search --trials 3 --epochs 1 --final-epochs 1 --train-images 200 --slots 1 --quiet --out "$dir/run" \
        >"$dir/search.log" 2>&1 || fail "a search from $1 fails: $(tail -n 5 "$dir/search.log")"
    grep -q '^3 trials recorded' "$dir/search.log" || fail "a search from $1 records no trials: $(cat "$dir/search.log")"
}
# ---- make install
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
units="nasfarm-broker.service nasfarm-worker.service nasfarm-search@.service"
shared="bash-completion/completions/nasfarm bash-completion/completions/nasfarm-broker bash-completion/completions/nasfarm-worker
    doc/nasfarm/README.md doc/nasfarm/docs/architecture.md doc/nasfarm/docs/examples/asha.yaml doc/nasfarm/docker/compose.yaml"
cmake --install "$build" --prefix "$dir/prefix" >"$dir/install.log" || fail "make install fails: $(cat "$dir/install.log")"
there "$dir/prefix" bin/nasfarm bin/nasfarm-broker bin/nasfarm-worker etc/default/nasfarm-worker lib/sysusers.d/nasfarm.conf
for unit in $units; do there "$dir/prefix/lib/systemd/system" "$unit"; done
for file in $shared man/man1/nasfarm.1 man/man1/nasfarm-broker.1 man/man1/nasfarm-worker.1; do there "$dir/prefix/share" "$file"; done
works "$dir/prefix/bin"
echo 'OPTIONS="--broker tcp://10.0.0.1:5555"' >"$dir/prefix/etc/default/nasfarm-worker"
cmake --install "$build" --prefix "$dir/prefix" >/dev/null
grep -q 10.0.0.1 "$dir/prefix/etc/default/nasfarm-worker" || fail "installing again overwrites settings"

# ---- systemd
if judge systemd-analyze systemd; then
    units_dir=$dir/prefix/lib/systemd/system
    ! grep -n '@[A-Z]*@' "$units_dir"/* || fail "a unit has a hole"
    mv "$units_dir/nasfarm-search@.service" "$units_dir/nasfarm-search@digits.service"
    for unit in nasfarm-broker nasfarm-worker nasfarm-search@digits; do
        systemd-analyze verify --man=no "$units_dir/$unit.service" >"$dir/verify.log" 2>&1 || fail "$unit: $(cat "$dir/verify.log")"
        grep "$unit" "$dir/verify.log" >&2 && fail "systemd has a remark about $unit"
        # From 0 (shut off from all) to 10; above 2.0 something was opened that they have no need of.
        systemd-analyze security --offline=true --threshold=20 --no-pager "$units_dir/$unit.service" >"$dir/security.log" ||
            fail "$unit: $(tail -n 1 "$dir/security.log")"
        echo "package.sh: $unit: $(sed -n 's/.*exposure level for [^:]*: //p' "$dir/security.log" | cut -d' ' -f1) of 10 exposed"
    done
fi

# ---- the package
if judge dpkg-deb dpkg && judge dpkg-shlibdeps dpkg-dev; then
    packing=() # a program with sanitizers in it is large, and nobody's
    grep -q '^NASFARM_SANITIZE:STRING=.' "$build/CMakeCache.txt" && packing=(-D CPACK_DEBIAN_COMPRESSION_TYPE=gzip)
    (umask 022 && cd "$build" && cpack -G DEB "${packing[@]}" -B "$dir/cpack") >"$dir/cpack.log" 2>&1 || fail "cpack fails: $(cat "$dir/cpack.log")"
    deb=$(echo "$dir"/cpack/nasfarm_"$version"_*.deb)
    dpkg-deb -x "$deb" "$dir/root" || fail "there is no package"
    there "$dir/root" usr/bin/nasfarm usr/bin/nasfarm-broker usr/bin/nasfarm-worker usr/share/doc/nasfarm/copyright usr/share/doc/nasfarm/changelog.gz \
        usr/share/man/man1/nasfarm.1.gz usr/share/man/man1/nasfarm-broker.1.gz usr/share/man/man1/nasfarm-worker.1.gz \
        etc/default/nasfarm-broker etc/default/nasfarm-worker etc/default/nasfarm-search usr/lib/sysusers.d/nasfarm.conf
    for unit in $units; do there "$dir/root/lib/systemd/system" "$unit"; done
    for file in $shared; do there "$dir/root/usr/share" "$file"; done
    [ "$(cd "$dir/root" && echo *)" = "etc lib usr" ] || fail "the package has folders at the top: $(ls "$dir/root")"
    grep -q '^ExecStart=/usr/bin/nasfarm-worker ' "$dir/root/lib/systemd/system/nasfarm-worker.service" || fail "the units start programs elsewhere"
    [ "$(cd "$dir/root" && find etc -type f | sed 's|^|/|' | sort)" = "$(dpkg-deb -I "$deb" conffiles | sort)" ] ||
        fail "the files in /etc are not those in conffiles"
    for library in libzmq5 liblmdb0 libopenblas0 libprotobuf-c1 libzstd1; do
        dpkg-deb -f "$deb" Depends | grep -q "\b$library\b" || fail "the package does not depend on $library"
    done
    works "$dir/root/usr/bin"
    if judge lintian lintian; then
        lintian --allow-root --fail-on none --pedantic "$deb" >"$dir/lintian.log" 2>&1 || fail "lintian fails: $(cat "$dir/lintian.log")"
        found=$(grep '^[EW]: ' "$dir/lintian.log" || true)
        [ -z "$found" ] || fail "lintian: $found"
        echo "package.sh: lintian has neither errors nor warnings"
    fi
fi
[ -z "$missing" ] || exit 77
echo "1 passed, 0 failed"
