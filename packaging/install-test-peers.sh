#!/bin/bash
# Install the Debian packages of test-peers.txt: the real programs that tests and benchmarks talk to.
# None of their services is started: they must not take the ports (or the clock) of this machine.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v apt-get >/dev/null; then
    echo "install-test-peers: this needs a Debian system (apt-get). Elsewhere, install by hand what test-peers.txt lists." >&2
    exit 1
fi
mapfile -t wanted < <(sed -E '/: aside /d; s/[[:space:]]*#.*//; /^$/d' test-peers.txt)
# "PACKAGE PROGRAM PATH" of those that would push others out
aside() { sed -nE 's/^([a-z0-9.+-]+)[[:space:]]*# ([a-z0-9-]+): aside ([^,]+),.*/\1 \2 \3/p' test-peers.txt; }
# Whether all programs of a package are there already, from wherever: Debian's npm, say, refuses to stand beside another one.
there() {
    local programs program
    programs=$(sed -nE "s/^$1[[:space:]]+# ([a-z0-9., -]+): .*/\\1/p" test-peers.txt)
    [ -n "$programs" ] || return 1
    for program in ${programs//,/ }; do
        PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$program" >/dev/null || return 1
    done
}
missing=()
for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || there "$package" || missing+=("$package")
done
apart=()
while read -r _ program _; do
    [ -x "/usr/local/lib/timeball-peers/bin/$program" ] || apart+=("$program")
done < <(aside)
if [ ${#missing[@]} -eq 0 ] && [ ${#apart[@]} -eq 0 ]; then
    echo "test peers: all is installed"
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "install-test-peers: only root can install ${missing[*]} ${apart[*]}; run: sudo make peers" >&2
    exit 1
fi

# 101 forbids every start of a service while packages are configured (invoke-rc.d's policy layer).
policy=/usr/sbin/policy-rc.d
kept=
if [ -e "$policy" ]; then
    kept=$(mktemp)
    cp -p "$policy" "$kept"
fi
restore() {
    if [ -n "$kept" ]; then mv "$kept" "$policy"; else rm -f "$policy"; fi
}
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
log=$(mktemp)
echo "test peers: installing ${missing[*]} ${apart[*]}"
if ! { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    echo "install-test-peers: apt-get failed (all of it: $log)" >&2
    exit 1
fi
rm -f "$log"
aside | ./test-peers-aside.sh
echo "test peers: ready"
