"""What people download: it is whole, it is what its papers say, and the same inputs make it again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree as ET

from images.builder.cache import default_cache
from images.builder.digest import sha256
from images.builder.formats.imager import problems
from images.builder.formats.ova import OVF
from images.builder.update_keys import DEVELOPMENT_CERTIFICATE, KEYRING
from images.testing import network
from images.testing.bench import ROOT, Bench, Failed, case, check

#: A download of the Raspberry Pi is at most so large; what is written on the card too.
PACKED_BYTES, CARD_BYTES = 250_000_000, 1_200_000_000


@case(30, "downloads are whole, and their papers true", shared=True)
def downloads(bench: Bench) -> str:
    """Sums fit; the OVA's manifest, description and disk fit each other; Imager's list is valid; the card's map has its sum."""
    lines = (line.split("  ", 1) for line in (bench.folder / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, name in lines}
    mine = {name: digest for name, digest in sums.items() if name.startswith(f"{bench.id}.")}
    check(mine, "no file of this image is in SHA256SUMS")
    for name, digest in mine.items():
        check(sha256(bench.folder / name) == digest, f"{name} has another sum")
    for needed in ("packages.txt", "cdx.json"):
        check(f"{bench.id}.{needed}" in mine, f"{needed} is missing beside the image")
    bill = json.loads(bench.file("cdx.json").read_text())
    told = [f"{len(mine)} files", f"{len(bill['components'])} components"]
    if f"{bench.id}.ova" in mine:
        told.append(_ova(bench.file("ova")))
    if f"{bench.id}.img.xz" in mine:
        told.append(_card(bench))
    return ", ".join(told)


def _ova(path: Path) -> str:
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        names = [member.name for member in members]
        check(
            names[0].endswith(".ovf") and names[1].endswith(".mf"),
            f"readers of streams want another order: {names}",
        )

        def read(name: str) -> bytes:
            file = tar.extractfile(name)
            return file.read() if file else b""

        manifest = dict(re.findall(r"SHA256\((.+)\)= ([0-9a-f]{64})", read(names[1]).decode()))
        check(set(manifest) == {names[0], names[2]}, "the manifest names other files")
        for name, digest in manifest.items():
            check(hashlib.sha256(read(name)).hexdigest() == digest, f"{name} in the OVA has another sum")
        described = ET.fromstring(read(names[0])).find(f".//{{{OVF}}}File")  # noqa: S314 - we made it
        check(
            described is not None and described.get(f"{{{OVF}}}size") == str(members[2].size),
            "the description tells another size of the disk",
        )
        check(read(names[2])[:4] == b"KDMV", "the disk in the OVA is no stream-optimised VMDK")
    return f"OVA of {path.stat().st_size / 1e6:.0f} MB"


def _card(bench: Bench) -> str:
    wrong = problems(json.loads(bench.file("rpi-imager-manifest").read_text()))
    check(not wrong, f"Imager's list: {'; '.join(wrong)}")
    document = bench.file("img.bmap").read_text()
    own = re.search(r"<BmapFileChecksum>\s*([0-9a-f]{64})", document)
    check(
        own and hashlib.sha256(document.replace(own[1], "0" * 64).encode()).hexdigest() == own[1],
        "the card's map has another sum",
    )
    mapped = re.search(r"<MappedBlocksCount>\s*([0-9]+)", document)
    if mapped is None:
        raise Failed("the card's map does not say how much is written")
    written, packed = int(mapped[1]) * 4096, bench.file("img.xz").stat().st_size
    check(packed <= PACKED_BYTES, f"the download has {packed / 1e6:.0f} MB")
    check(written <= CARD_BYTES, f"{written / 1e6:.0f} MB are written on the card")
    return f"{packed / 1e6:.0f} MB compressed, {written / 1e6:.0f} MB written on the card"


@case(1, "built twice, the second time from nothing: the same bytes", slow=True, shared=True)
def reproducible(bench: Bench) -> str:
    """Another folder, another cache: what Debian's archive has is fetched and unpacked anew. A new package there is another input.

    Whom the image trusts is one too: without a release's key the cache has one of its own, which both builds are given.
    """
    trusted = os.environ.get(KEYRING) or str(default_cache() / DEVELOPMENT_CERTIFICATE)
    digests, packages = [], []
    for name, more in (("first", ()), ("second", ("--cache", str(bench.work / "cache")))):
        folder = bench.work / f"build-{name}"
        command = [sys.executable, str(ROOT / "images/build.py"), bench.kind, "--fast", "--only", "raw"]
        environment = {**os.environ, KEYRING: trusted} if more else None
        subprocess.run(
            [*network.outside(), *command, "--output", str(folder), *more], check=True, env=environment
        )
        packages.append((folder / f"{bench.id}.packages.txt").read_text())
        digests.append(sha256(folder / f"{bench.id}.raw"))
    check(
        packages[0] == packages[1],
        "Debian's archive has other packages than the cache: build with --refresh first",
    )
    check(digests[0] == digests[1], f"the images differ: {' '.join(digests)}")
    return f"SHA-256 {digests[0][:16]}..."
