"""Run in a mount namespace of its own: RAUC's service installs a bundle through our backend, hook and handler. Prints what came of it as JSON.

`unshare --mount --propagation private python rauc_alone.py FOLDER`. The slots are files behind loop devices, the boot partition is a tmpfs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.api.agent import AgentRefusal, Call, Ran
from appliance.boot import grub_block
from appliance.boot.keeping import BootPartition
from appliance.boot.scheme import BootState
from appliance_updates import rauc
from appliance_updates.facts import Bundle, Release
from images.builder import rauc as in_image
from images.builder import spec
from tests.support.tree import ROOT
from tests.support.wait import wait_until

SLOT_BYTES, SYSTEM_BYTES = 2 << 20, 700_416


def run(*words: Any) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def script(path: Path, body: str) -> Path:
    """A program for RAUC, with this Python and these sources."""
    paths = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'plugins')]!r}"
    path.write_text(f"#!{sys.executable}\n{paths}\n{body}\n")
    path.chmod(0o755)
    return path


class Bed:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.boot = folder / "boot"
        self.bus = f"unix:path={folder}/bus"
        self.partition = BootPartition(self.boot, mounted=False, lock=folder / "lock")
        self.progress: list[dict[str, Any]] = []
        (folder / "run/timeball").mkdir(parents=True)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/O=Timeball/CN=test", "-keyout", folder / "k.pem", "-out", folder / "c.pem")  # fmt: skip

    def prepare(self, devices: list[str]) -> None:
        self.boot.mkdir()
        run("mount", "-t", "tmpfs", "boot", self.boot)
        for name in ("a", "b", "grub"):
            (self.boot / name).mkdir()
        (self.boot / "b/old").write_text("of the release before")
        (self.boot / "grub/grubenv").write_bytes(grub_block.encode(BootState(), {}))
        (self.boot / "last_good.env").write_bytes(grub_block.pack({"LAST_GOOD": "A"}))
        line = self.folder / "cmdline"
        line.write_text(f"quiet timeball.slot=a root={devices[0]}\n")
        run("mount", "--bind", line, "/proc/cmdline")
        about = "from pathlib import Path\nfrom appliance.boot import backend, keeping\n"
        place = f"Path({str(self.boot)!r}), lock=Path({str(self.folder / 'lock')!r})"
        backend = script(
            self.folder / "backend",
            f"{about}backend.BootPartition = lambda: keeping.BootPartition({place})\nsys.exit(backend.main())",
        )
        handler = script(
            self.folder / "handler",
            f"import os\nfrom pathlib import Path\nfrom appliance_updates import allowed\nsys.exit(allowed.main(Path({str(self.folder)!r}), os.environ))",
        )
        image = spec.load("vm-amd64")
        text = in_image.config(image)
        for device, role in zip(devices, ("root-a", "root-b"), strict=True):
            text = text.replace(
                f"/dev/disk/by-partuuid/{image.layout.role(role).partuuid(image.layout)}", device
            )
        for before, after in (
            ("/usr/libexec/timeball/rauc-boot", backend), ("/usr/libexec/timeball/rauc-allowed", handler), ("=/boot/", f"={self.boot}/"),
            ("/etc/rauc/keyring.pem", self.folder / "c.pem"), ("/run/rauc/mnt", self.folder / "mnt"),
            # The kernel of a test's machine may have no dm-verity, and older RAUCs have one file for what they remember.
            ("bundle-formats=verity", "bundle-formats=plain"), ("data-directory=/data/updates/rauc", f"statusfile={self.folder}/status"),
        ):  # fmt: skip
            text = text.replace(before, str(after))
        (self.folder / "system.conf").write_text(text)
        (self.folder / "mnt").mkdir()

    def bundle(self) -> tuple[Path, Bundle]:
        content = self.folder / "content"
        (self.folder / "files").mkdir()
        (self.folder / "files/vmlinuz").write_text("the new kernel")
        content.mkdir()
        (content / "root.squashfs").write_bytes(os.urandom(SYSTEM_BYTES))
        run("tar", "-C", self.folder / "files", "-cf", content / "boot.tar", ".")
        hook = content / "hook"
        hook.write_bytes((ROOT / "images/boot/update-hook").read_bytes())
        hook.chmod(0o755)
        (content / "manifest.raucm").write_text(
            "[update]\ncompatible=timeball-vm-amd64\nversion=9.9\n[bundle]\nformat=plain\n[hooks]\nfilename=hook\n"
            "[image.rootfs]\nfilename=root.squashfs\n[image.boot]\nfilename=boot.tar\nhooks=install\n"
        )
        path = self.folder / "new.raucb"
        run("rauc", f"--cert={self.folder}/c.pem", f"--key={self.folder}/k.pem", "bundle", content, path)
        path.chmod(0o600)
        digests = {"rootfs": "root.squashfs", "boot": "boot.tar"}
        images = {k: (1, run("sha256sum", content / name).split()[0]) for k, name in digests.items()}
        return path, Bundle(Release("9.9"), "timeball-vm-amd64", "", "plain", images, "", None)

    @contextlib.contextmanager
    def service(self) -> Iterator[None]:
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.bus}
        log = (self.folder / "log").open("wb")
        bus = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={self.bus}"],
            stdout=log,
            stderr=log,
        )
        wait_until((self.folder / "bus").exists, "the bus")
        words = ["rauc", f"--conf={self.folder}/system.conf", f"--mount={self.folder}/mnt", "service"]
        service = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: rauc._property(self.call, "Operation") == "idle", "RAUC's service")
            yield
        finally:
            service.terminate()
            service.wait()
            bus.terminate()
            bus.wait()
            log.close()

    @property
    def call(self) -> Call:
        return Call(self.folder, self.program, lambda values: self.progress.append(dict(values)))

    def program(self, *command: str, timeout_s: float = 30.0, most_bytes: int = 65536) -> Ran:
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.bus}
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
        return Ran(done.returncode, done.stdout[:most_bytes].decode("utf-8", "replace"))

    def installed(self, file: Path, bundle: Bundle) -> dict[str, Any]:
        try:
            rauc.install(self.call, file, bundle)
            error = ""
        except AgentRefusal as refusal:
            error = refusal.message
        state, _ = self.partition.read()
        return {
            "error": error, "order": list(state.order), "tries_of_b": state.slots["B"].tries_left, "a_good": state.slots["A"].good,
            "boot": sorted(p.name for p in (self.boot / "b").iterdir()),
            "same": (self.folder / "slot1").read_bytes()[:SYSTEM_BYTES] == (self.folder / "content/root.squashfs").read_bytes(),
            "doing": [p["doing"] for p in self.progress],
        }  # fmt: skip


def main(folder: Path) -> None:
    bed = Bed(folder)
    devices = []
    try:
        for number in (0, 1):
            with (folder / f"slot{number}").open("wb") as file:
                file.truncate(SLOT_BYTES)
            devices.append(run("losetup", "--find", "--show", folder / f"slot{number}").strip())
        bed.prepare(devices)
        file, bundle = bed.bundle()
        other = Bundle(bundle.release, "", "", "", {**bundle.images, "boot": (1, "00" * 32)}, "", None)
        with bed.service():
            told = {"exchanged": bed.installed(file, other), "good": bed.installed(file, bundle)}
            # B has not proved itself, and is said to run: nothing may be written over A.
            (folder / "cmdline").write_text(f"quiet timeball.slot=b root={devices[1]}\n")
        with bed.service():
            told["stranded"] = bed.installed(file, bundle)
        sys.stdout.write(json.dumps(told))
    finally:
        for device in devices:
            subprocess.run(["losetup", "--detach", device], check=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
