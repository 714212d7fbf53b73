#!/bin/bash
# Real programs that cannot be installed beside the others, put where only the tests find them:
# Debian lets one clock daemon in at a time, and builds busybox without its NTP client.
# Called by install-test-peers.sh with lines "PACKAGE PROGRAM PATH" on standard input; "build" as PATH compiles it.
set -euo pipefail
aside=/usr/local/lib/timeball-peers
mkdir -p "$aside/bin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt=(apt-get -qq -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300)

unpack() { # PACKAGE: its files, nothing configured, nothing started
    rm -rf "${aside:?}/$1"
    "${apt[@]}" download "$1"
    dpkg -x "$1"_*.deb "$aside/$1"
}

build_busybox() { # its NTP client alone, from Debian's own source of the release that runs here
    local release uri key sources lists=$work/lists parts=$work/parts
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    "${apt[@]}" install --yes --no-install-recommends gcc libc6-dev make bzip2 xz-utils dpkg-dev >/dev/null
    mkdir -p "$lists/partial" "$parts"
    # where this machine gets Debian from, asked for sources instead of packages
    uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk -v release="$release" '$2 == release { print $1; exit }')
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb-src [signed-by=$key] $uri $release main" >"$parts/sources.list"
    # only here: whatever is fetched after this needs the machine's own lists
    sources=("${apt[@]}" -o "Dir::Etc::sourcelist=$parts/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$lists")
    "${sources[@]}" update
    "${sources[@]}" source --download-only busybox
    dpkg-source --no-check -x busybox_*.dsc source >/dev/null
    cd source
    make -s allnoconfig >/dev/null
    sed -i -e 's/^# CONFIG_NTPD is not set/CONFIG_NTPD=y/' -e 's/^# CONFIG_BUSYBOX is not set/CONFIG_BUSYBOX=y/' \
        -e 's/^# CONFIG_LONG_OPTS is not set/CONFIG_LONG_OPTS=y/' -e 's/^# CONFIG_FEATURE_IPV6 is not set/CONFIG_FEATURE_IPV6=y/' \
        -e 's/^# CONFIG_SHOW_USAGE is not set/CONFIG_SHOW_USAGE=y/' .config
    (yes '' || true) | make -s oldconfig >/dev/null
    make -s -j2 busybox >/dev/null 2>&1
    mkdir -p "$aside/busybox"
    install -m 755 busybox "$aside/busybox/busybox"
    cd "$work"
}

while read -r package program path; do
    [ -x "$aside/bin/$program" ] && continue
    echo "test peers: $program, aside"
    if [ "$path" = build ]; then
        "build_$package"
        ln -sf "../$package/$package" "$aside/bin/$program"
    else
        unpack "$package"
        ln -sf "../$package/$path" "$aside/bin/$program"
    fi
done
