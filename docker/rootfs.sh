#!/bin/sh
# rootfs.sh - a folder that is all of an image: programs, the shared libraries they need, and nothing else.
#
#   usage: rootfs.sh FOLDER PROGRAM...
#
# Every library that the loader would find goes to where it would look for it, a link as the file behind it; beside them go
# the licences of the packages they are from, and the versions of those packages (/usr/share/nasfarm/packages.txt), so that
# an image can be made again. No shell, no package manager, no user that may become root.
set -eu
umask 022

root=$1
shift
mkdir -p "$root/etc" "$root/usr/bin" "$root/usr/share/nasfarm" "$root/data"
install -d -m 1777 "$root/tmp"
cp "$@" "$root/usr/bin/"

# "name => /path (0x...)", or "/path (0x...)" of the loader itself
ldd "$@" | awk '$3 ~ /^\// {print $3} $1 ~ /^\/.*[^:]$/ {print $1}' | sort -u >/tmp/libraries
while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
    dpkg-query -S "$(readlink -f "$library")" "$library" 2>/dev/null || true
done </tmp/libraries | cut -d: -f1 | sort -u >/tmp/packages
while read -r package; do
    dpkg-query -W -f '${Package} ${Version}\n' "$package"
    licence=/usr/share/doc/$package/copyright
    if [ -f "$licence" ]; then install -D -m 644 "$licence" "$root$licence"; fi # some share another package's
done </tmp/packages >"$root/usr/share/nasfarm/packages.txt"

echo 'nasfarm:x:10001:10001:nasfarm:/store:/nonexistent' >"$root/etc/passwd"
echo 'nasfarm:x:10001:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
