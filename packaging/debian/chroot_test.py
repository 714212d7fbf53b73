#!/usr/bin/env python3
"""The package in a Debian 13 of its own: installed, run on its own sockets, upgraded, removed, purged: `make deb-test` (root).

Needs mmdebstrap and this machine's own package archive for the first run (two minutes); the tree is kept as a tar in the
cache of images. systemd does not run there: what it would open is opened by `opened.py` from the units as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.append(str(ROOT))

from images.builder import host  # noqa: E402 - after the line above

SUITE = "trixie"
#: Where what the test needs lies in it.
PLACE = "/opt/test"
#: What a small Debian has besides what the package asks for, and what judges it.
PACKAGES = (
    "systemd",
    "python3",
    "chrony",
    "ca-certificates",
    "lintian",
    "man-db",
    "init-system-helpers",
    "libstdc++6",
)
#: Changed by any installation of any package.
_DEBIANS_OWN = re.compile(
    r"^/(var/(lib/(dpkg|apt|systemd)|cache|log)|run|tmp|opt|proc|dev|etc/(passwd|group|shadow|gshadow|sub[ug]id|\.pwd)|usr/share/man|etc/ld\.so)"
)


class Tree:
    """A Debian in a folder, in a network of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        script = 'mount -t proc proc "$0/proc" && ip link set lo up && exec chroot "$0" "$@"'
        isolated = ["unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child"]
        done = subprocess.run(
            [*isolated, "sh", "-c", script, str(self.root), *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise SystemExit(
                f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        return done

    def files(self) -> dict[str, str]:
        """Everything that is there, with the digest of what it holds."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            for name in (*folders, *names):
                path = Path(folder, name)
                place = f"/{path.relative_to(self.root)}"
                if not _DEBIANS_OWN.match(place):
                    plain = path.is_file() and not path.is_symlink()
                    found[place] = hashlib.sha256(path.read_bytes()).hexdigest() if plain else ""
        return found


def tree(folder: Path) -> Tree:
    """A fresh one, from the cache where there is one."""
    host.check({"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "ip": "iproute2"})
    cache = Path(os.environ.get("TIMEBALL_IMAGE_CACHE", Path.home() / ".cache/timeball/images"))
    name = hashlib.sha256(repr((SUITE, PACKAGES)).encode()).hexdigest()[:16]
    tar = cache / f"deb-test-{name}.tar"
    if not tar.exists():
        cache.mkdir(parents=True, exist_ok=True)
        mirrors = host.mirrors()
        fresh = tar.with_suffix(f".{os.getpid()}.tar")
        options = [f"--aptopt={option}" for option in mirrors.options]
        command = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            *options,
            SUITE,
            str(fresh),
        ]
        subprocess.run([*command, *mirrors.lines((SUITE,), ("main",))], check=True)
        fresh.rename(tar)
    subprocess.run(
        ["tar", "--extract", "--file", tar, "--directory", folder, "--exclude=./dev/*"], check=True
    )
    subprocess.run(["mknod", "-m", "666", folder / "dev/null", "c", "1", "3"], check=True)
    return Tree(folder)


def older(deb: Path, folder: Path) -> Path:
    """The same package with an older version, another module, and another default in its configuration."""
    stage = folder / "older"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, stage], check=True)
    control = stage / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", "Version: 0.0.1", control.read_text(), flags=re.MULTILINE))
    (site,) = stage.glob("usr/lib/timeball/lib/python3*/site-packages")
    (site / "appliance" / "gone_since.py").write_text("WAS = 1\n")
    (stage / "etc/timeball/config.toml").write_text(
        "# the old one\n" + (stage / "etc/timeball/config.toml").read_text()
    )
    made = folder / "older.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", stage, made], check=True, capture_output=True
    )
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "deb", type=Path, nargs="?", help="the package; else what `make deb` made for this machine"
    )
    deb = parser.parse_args().deb
    if deb is None:
        machine = subprocess.run(
            ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
        ).stdout.strip()
        found = sorted((ROOT / "build/deb").glob(f"timeball_*_{machine}.deb"))
        if not found:
            raise SystemExit(f"there is no package for {machine} in build/deb: make deb ARGS={machine}")
        deb = found[-1]
    with tempfile.TemporaryDirectory(prefix="timeball-chroot-") as scratch:
        root = Path(scratch, "root")
        root.mkdir()
        _try(deb, older(deb, Path(scratch)), tree(root))
    print("deb-test: all is well", flush=True)
    return 0


def _try(deb: Path, before: Path, inside: Tree) -> None:
    (inside.root / PLACE.strip("/")).mkdir()
    for path in (deb, before, HERE / "opened.py"):
        shutil.copy(path, inside.root / PLACE.strip("/"))
    new, old = f"{PLACE}/{deb.name}", f"{PLACE}/{before.name}"
    _say("lintian: no error and no warning that is not explained")
    inside("lintian", "--profile", "debian", "--fail-on", "error,warning", "--allow-root", new)
    clean = inside.files()
    _say("an older version is installed, and its units with it")
    inside("dpkg", "--install", old)
    assert "0.0.1" in inside("dpkg-query", "--show", "timeball").stdout
    assert (
        inside("systemctl", "is-enabled", "timeball.service", "timeball-agent.socket").stdout.split()
        == ["enabled"] * 2
    )
    enabled = inside("systemctl", "list-unit-files", "--state=enabled", "timeball*").stdout
    assert not re.search("console|early|good|clock-save|ssh", enabled), "takes over the machine"
    state = inside("stat", "-c", "%U %a", "/var/lib/timeball").stdout.split()
    assert state == ["timeball", "750"], state
    _say("every program runs, and the shipped configuration is right")
    assert "timeball, version" in inside("/usr/bin/timeball", "--version").stdout
    inside("/usr/bin/timeball", "check", "--config", "/etc/timeball/config.toml")
    assert "NAME" in inside("man", "timeball").stdout
    assert (
        "member"
        in inside(
            "env",
            "_TIMEBALL_COMPLETE=bash_complete",
            "COMP_WORDS=timeball m",
            "COMP_CWORD=1",
            "/usr/bin/timeball",
        ).stdout
    )
    _say("its service answers, as its user and without a privilege, on the sockets that its units name")
    print(inside("python3", f"{PLACE}/opened.py").stdout, end="", flush=True)
    _say("an upgrade keeps the state, and nothing of the old version stays")
    (inside.root / "etc/timeball/config.toml").write_text(
        "# mine\n" + (inside.root / "etc/timeball/config.toml").read_text()
    )
    inside("dpkg", "--force-confold", "--install", new)
    assert (inside.root / "etc/timeball/config.toml").read_text().startswith("# mine\n")
    assert (inside.root / "var/lib/timeball/timeball.db").exists()
    site = next(inside.root.glob("usr/lib/timeball/lib/python3*/site-packages"))
    assert not list(site.rglob("gone_since*"))
    stale = [p for p in site.rglob("*.pyc") if not (p.parent.parent / f"{p.name.split('.')[0]}.py").exists()]
    assert not stale, stale[:5]
    inside("dpkg", "--verify", "timeball")
    print(inside("python3", f"{PLACE}/opened.py").stdout, end="", flush=True)
    _say("removed, it leaves configuration and state; purged, nothing")
    inside("dpkg", "--remove", "timeball")
    assert not (inside.root / "usr/lib/timeball").exists()
    assert (inside.root / "etc/timeball/config.toml").exists()
    assert (inside.root / "var/lib/timeball/timeball.db").exists()
    inside("dpkg", "--purge", "timeball")
    after = inside.files()
    left = sorted(after.keys() - clean.keys())
    changed = sorted(name for name in clean.keys() & after.keys() if clean[name] != after[name])
    gone = sorted(clean.keys() - after.keys())
    assert (left, changed, gone) == ([], [], []), (left[:10], changed[:10], gone[:10])


def _say(what: str) -> None:
    print(f"deb-test: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
