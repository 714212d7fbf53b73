#!/bin/bash
# Install what `make image-vm`, `make image-pi` and `make image-test` need on a Debian machine. Everything else is fetched
# into a tree of tools by the builder itself (images/builder/tools.py).
set -euo pipefail

# mmdebstrap makes trees; the archive's keys judge what it fetches; QEMU runs images, and arm64 programs while one is made; the
# cross compiler links the native plane of the arm64 package (make deb).
wanted=(mmdebstrap debian-archive-keyring util-linux mount git
    qemu-system-x86 qemu-system-arm qemu-utils ovmf qemu-efi-aarch64 ipxe-qemu seabios
    qemu-user-static binfmt-support mtools dosfstools squashfs-tools
    gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross iproute2)

if ! command -v apt-get >/dev/null; then
    echo "install-image-tools: this needs a Debian system (apt-get). Elsewhere, install by hand: ${wanted[*]}" >&2
    exit 1
fi
missing=()
for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "install-image-tools: only root can install ${missing[*]}; run: sudo packaging/install-image-tools.sh" >&2
        exit 1
    fi
    echo "image tools: installing ${missing[*]}"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    if ! { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 30 "$log" >&2
        echo "install-image-tools: apt-get failed (all of it: $log)" >&2
        exit 1
    fi
    rm -f "$log"
fi
# Programs for arm64 are run by the kernel through QEMU; only needed for images of that architecture.
if [ "$(id -u)" -eq 0 ] && [ "$(uname -m)" = x86_64 ]; then
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || true
    update-binfmts --enable qemu-aarch64 >/dev/null 2>&1 || true
    [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || echo "image tools: arm64 programs cannot be run on this machine; images for x86-64 can be built" >&2
fi
echo "image tools: ready"
