#!/bin/bash
# package_installed.sh - the Debian package on a system of its own, a container with systemd as its first process: installed by
# apt, used, removed and purged, and nothing is left; then a farm of its units, as docs/install.md says: restarted, drained, killed,
# without power for a moment; and removed while it runs.
#
#   usage: package_installed.sh BUILD      (a build folder with everything built: nothing is compiled)
#
# exit 77: there is no engine, or its containers reach no Debian archive or cannot run a systemd (it says so).
set -euo pipefail
build=$1
# shellcheck disable=SC2034  # kit.sh says it
test=package_installed.sh
# shellcheck source=tests/kit.sh
. "$(dirname "$0")/kit.sh"
export LC_ALL=C
image="nasfarm-test-systemd"
container=
give_back() { [ -z "$container" ] || docker rm -f "$container" >/dev/null; }
[ -n "$(timeout 20 docker info --format '{{.ServerVersion}}' 2>/dev/null)" ] || not_tested "no Docker engine answers"
for tool in cpack dpkg-shlibdeps; do command -v $tool >/dev/null || not_tested "there is no $tool here"; done

# ---- a system: Debian with systemd and a reader of man pages. An image's dpkg leaves pages out, and
# starts nothing; a system's does both.
docker build -t "$image" - >"$dir/build.log" 2>&1 <<'END' || not_tested "there is no image with systemd: $(tail -n 1 "$dir/build.log")"
FROM debian:bookworm-slim
RUN rm -f /usr/sbin/policy-rc.d && sed -i '/^path-exclude/d' /etc/dpkg/dpkg.cfg.d/* && \
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    systemd systemd-sysv dbus man-db bash-completion procps
CMD ["/lib/systemd/systemd"]
END
# Not --privileged: what systemd needs to give its units rooms of their own, and no devices of this machine.
rights=(--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined --tmpfs /run --tmpfs /run/lock --tmpfs /tmp
    --stop-signal SIGRTMIN+3 -e container=docker)
if [ "$(docker info -f '{{.CgroupVersion}}')" = 1 ]; then rights+=(-v /sys/fs/cgroup:/sys/fs/cgroup:ro); else rights+=(--cgroupns private); fi
container=$(docker run -d "${rights[@]}" "$image")
inside() { docker exec -i "$container" "$@"; }
up() { [[ $(inside systemctl is-system-running) =~ running|degraded ]]; }
until_true 60 up || not_tested "systemd does not run in a container here: $(docker logs "$container" 2>&1 | tail -n 1)"

# ---- the package
(umask 022 && cd "$build" && cpack -G DEB -D CPACK_DEBIAN_COMPRESSION_TYPE=gzip -B "$dir/cpack") >"$dir/cpack.log" 2>&1 || fail "cpack fails"
docker cp -q "$dir"/cpack/nasfarm_*.deb "$container:/srv/nasfarm.deb" 2>/dev/null ||
    docker cp "$dir"/cpack/nasfarm_*.deb "$container:/srv/nasfarm.deb" >/dev/null

explain() {
    inside journalctl --no-pager -n 25 -u 'nasfarm*' >&2 || true
    fail "$@"
}
# apt WORD...: of Debian's own messages only what goes wrong is of interest.
apt() { inside env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends "$@" >"$dir/apt.log" 2>&1; }
install() { apt install /srv/nasfarm.deb || fail "apt does not install it"; }
# What a system consists of: files, users and groups; not what programs write as they run, nor what apt keeps for others.
system() {
    {
        inside find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /run -o -path /root -o -path /var/tmp -o -path /var/cache \
            -o -path /var/log -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd \) -prune -o -print
        inside cut -d : -f 1 /etc/passwd /etc/group
    } | sort
}

# ---- installed, used, and gone
inside apt-get update >"$dir/apt.log" 2>&1 || not_tested "the container reaches no Debian archive: $(tail -n 1 "$dir/apt.log")"
system >"$dir/before"
install
[ "$(inside nasfarm version | grep -c '^nasfarm')" = 3 ] || fail "nasfarm version does not know three programs"
inside runuser -u nobody -- env HOME=/tmp nasfarm search --trials 3 --epochs 1 --final-epochs 1 --train-images 200 --slots 1 --quiet \
    --out /tmp/run >"$dir/search.log" 2>&1 || fail "a search fails"
grep -q '^3 trials recorded' "$dir/search.log" || fail "a search records no trials"
for page in nasfarm nasfarm-broker nasfarm-worker; do
    inside sh -c "man -P cat $page 2>&1" | grep SYNOPSIS >/dev/null || fail "there is no page of $page"
    inside sh -c "lexgrog /usr/share/man/man1/$page.1.gz && whatis $page" >"$dir/page.log" || fail "nobody finds the page of $page"
    # shellcheck disable=SC2016 # for the other shell
    inside bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader "$1"; complete -p "$1"' sh $page |
        grep _nasfarm >/dev/null || fail "$page is not completed"
done
apt purge --autoremove nasfarm || fail "apt does not purge it"
system >"$dir/after"
diff "$dir/before" "$dir/after" >"$dir/left.log" || fail "purged, it leaves something, or takes too much along"
echo "installed by apt, used, purged: $(wc -l <"$dir/before") files, users and groups before, and the same after"

# ---- a farm of units, as docs/install.md has it
nasfarm() { inside nasfarm "$@"; }
# shellcheck disable=SC2209 # for whole(): the function
nasfarm=nasfarm
run=/var/lib/nasfarm/digits
trials=150000
search="nasfarm-search@digits"
units=(nasfarm-broker nasfarm-worker "$search")
install
for unit in "${units[@]}"; do [ "$(inside systemctl is-active "$unit")" = inactive ] || explain "$unit runs before anyone asked for it"; done
inside sh -c "mkdir -p /etc/nasfarm && printf 'broker: tcp://127.0.0.1:5555\ndata: digits\ntrials: $trials\nepochs: 1\ntrain-images: 200
train-known-again: yes\nno-final: yes\nstrategy: random\n' >/etc/nasfarm/digits.yaml"
inside systemctl enable --now nasfarm-broker nasfarm-worker 2>"$dir/systemctl.log" || explain "broker and worker do not start"
inside systemctl enable --now $search 2>"$dir/systemctl.log" || explain "the search does not start"
grows() { # grows WHAT: ten trials more are recorded
    local n
    n=$(recorded $run || true) # nothing, before the search has a store
    until_true 60 trials_done $run $((${n:-0} + 10)) || explain "nothing is recorded after $1"
}
grows "the start"
inside systemctl status --no-pager "${units[@]}" >"$dir/status.log" || explain "systemctl status is not content"
exposed() { inside systemd-analyze security --no-pager "$1.service" | sed -n 's/.*exposure level for [^:]*: //p' | cut -d' ' -f1; }
for unit in "${units[@]}"; do
    inside systemd-analyze verify "/lib/systemd/system/${unit/digits/}.service" >"$dir/verify.log" 2>&1 || explain "systemd-analyze verify: $unit"
    ! grep nasfarm "$dir/verify.log" >&2 || fail "systemd has a remark about $unit"
    echo "$unit runs as $(inside ps -o user= -p "$(inside systemctl show -P MainPID "$unit")"), $(exposed "$unit") of 10 exposed"
done
for unit in nasfarm-broker nasfarm-worker "$search"; do
    inside systemctl restart $unit || explain "$unit does not start again"
    grows "a restart of $unit"
done
for unit in "${units[@]}"; do # as in an accident
    inside systemctl kill --signal=KILL --kill-who=main "$unit"
    grows "a kill of $unit"
    [ "$(inside systemctl show -P NRestarts "$unit")" = 1 ] || explain "$unit was not started again"
done
began=$SECONDS
inside systemctl stop nasfarm-worker
[ "$(inside systemctl show -P Result nasfarm-worker) $(inside systemctl show -P ExecMainStatus nasfarm-worker)" = "success 0" ] ||
    explain "a stopped worker does not end well"
inside journalctl -u nasfarm-worker --no-pager | grep draining >/dev/null || explain "a stopped worker does not drain"
echo "broker, worker and search were restarted and killed, the search went on; a stopped worker drained with 0 in $((SECONDS - began)) s"
inside systemctl start nasfarm-worker
grows "the worker is back"

# ---- the power is cut
n=$(recorded $run)
docker kill "$container" >/dev/null
docker start "$container" >/dev/null
until_true 60 up || fail "the system does not come back"
grows "the power cut"
[ "$(recorded $run)" -ge "$n" ] || explain "trials are lost"
inside systemctl stop $search
[ "$(inside systemctl show -P Result $search)" = success ] || explain "a stopped search does not end well"
nasfarm verify $run >"$dir/verify.log" || explain "the store is not whole"
nasfarm replay $run >"$dir/replay.log" || explain "the journal does not give the search again"
n=$(recorded $run)
[ "$(nasfarm list $run --all --json | awk '/^  "trial":/ && !($2 in seen) {seen[$2]; n++} END {print n}')" -ge "$n" ] || explain "trials are lost"
echo "the power was cut, all came back by itself: $n trials are recorded, the store is whole, and its journal gives it again"

# ---- removed while it runs, with a search that is somebody's
inside systemctl start $search
apt remove nasfarm || explain "apt does not remove what runs"
! inside pgrep -a nasfarm || fail "what runs outlives its programs"
inside test -s /etc/default/nasfarm-worker || fail "settings are gone after remove"
apt purge --autoremove nasfarm || fail "apt does not purge it"
grep -q '/var/lib/nasfarm' "$dir/apt.log" || fail "nobody says that searches stay"
inside test -s $run/data.mdb || fail "somebody's search is gone"
inside rm -r /etc/nasfarm /var/lib/nasfarm
system >"$dir/after"
left=$(comm -13 "$dir/before" "$dir/after" | xargs)
[ "$left" = "nasfarm nasfarm" ] || fail "purged, it leaves more than the user and the group of searches: $left"
echo "removed while it ran, and purged: the search stays, and its owner"
echo "1 passed, 0 failed"
