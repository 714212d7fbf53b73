"""A machine that runs an image: QEMU with a disk on top of the image, which itself is never written to.

Without KVM, two processors' worth of emulation: times are five to ten times those of real machines, so that every wait has a
condition and a generous end. Nothing but this QEMU is ever ended, by its process id. Forwarded ports of this machine's loopback
lead in. What the box can reach is what this process can reach, its loopback as 10.0.2.2: see `network.closed`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from images.testing import door

#: Firmware for UEFI, by architecture: code, variables.
UEFI = {
    "amd64": (
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ),
    "arm64": (("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),),
}
QEMU = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
#: Without what takes long to emulate: "fast" string instructions, byte by byte; the cipher that seals return addresses.
PROCESSOR = {"amd64": "max,erms=off,fsrm=off", "arm64": "max,pauth-impdef=on"}
#: What a box answers, by a name of ours: protocol and port inside.
PORTS = {
    "ntp": ("udp", 123),
    "dns": ("udp", 53),
    "dns-tcp": ("tcp", 53),
    "http": ("tcp", 80),
    "https": ("tcp", 443),
    "ssh": ("tcp", 22),
}


class Waited(Exception):
    """A condition did not come true in time; the message has the end of the console."""


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What is plugged together.

    Attributes:
        architecture: "amd64" or "arm64".
        firmware: "uefi" or "bios".
        memory_mib: main memory.
        disk_mib: size of the medium, or 0: as large as the image.
        network: whether there is a network card.
        rtc: QEMU's -rtc base, such as "2001-01-01T00:00:00", or "" for the true time.
        watchdog: whether there is a watchdog (i6300esb).
        credentials: systemd credentials.
        door: whether there is a way in for `inside.Shell`.
        disks: more disks, as files (raw).
        sticks: USB sticks, as files; the machine cannot write to them.
        disk_bus: "virtio", "sata" or "nvme".
        more: further words for QEMU.
    """

    architecture: str = "amd64"
    firmware: str = "uefi"
    memory_mib: int = 1024
    disk_mib: int = 0
    network: bool = True
    rtc: str = ""
    watchdog: bool = False
    credentials: Mapping[str, str] = dataclasses.field(default_factory=dict)
    door: bool = False
    disks: Sequence[Path] = ()
    sticks: Sequence[Path] = ()
    disk_bus: str = "virtio"
    more: Sequence[str] = ()


class Machine:
    """One machine. Its disk stays in `folder` from start to start: `cut()` and `start()` are a power cut.

    Args:
        image: a disk image (raw or qcow2).
        folder: for its disk, its firmware's variables and its console's log.
        hardware: what is plugged together.
    """

    def __init__(self, image: Path, folder: Path, hardware: Hardware | None = None) -> None:
        self.hardware = hardware or Hardware()
        self.folder = folder
        self.image = image.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.disk = folder / "disk.qcow2"
        self.log = folder / "console.log"
        self.ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._began_s = 0.0
        self._mark = 0
        self._make_disk()

    def _make_disk(self) -> None:
        """Its disk, unless there is one from before."""
        if not self.disk.exists():
            _overlay(self.image, self.disk, self.hardware.disk_mib)

    # -- power --------------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Switch it on."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        self._mark = self.log.stat().st_size if self.log.exists() else 0
        self.ports = _free_ports() if self.hardware.network else {}
        words = self._command()
        sockets = [
            Path(found) for word in words for found in re.findall(r"(?:path=|unix:)([^,]+\.sock)", word)
        ]
        for each in sockets:
            each.unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("ab") as errors:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        self._began_s = time.monotonic()
        self.until(lambda: all(each.exists() for each in sockets), 60, "QEMU runs", alive=True, every_s=0.05)
        return self

    def cut(self) -> None:
        """The power fails: QEMU is killed, and with it what the guest had not written yet."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def shut_down(self, within_s: float = 180) -> None:
        """Press the power button and wait until it is off."""
        self.qmp("system_powerdown")
        self.until(lambda: not self.runs, within_s, "the machine is off")
        self.cut()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def since_start_s(self) -> float:
        return time.monotonic() - self._began_s

    def __enter__(self) -> Self:
        return self.start() if not self.runs else self

    def __exit__(self, *_: object) -> None:
        self.cut()

    # -- its console --------------------------------------------------------------------------------------------------------

    def said(self, *, ever: bool = False) -> str:
        """What came out of the serial port since the last start (or ever), without a terminal's commands."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(0 if ever else self._mark)
            text = file.read().decode(errors="replace")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r", "", text)

    def wait_said(self, pattern: str, within_s: float = 300) -> re.Match[str]:
        """Wait until the console says something (a regular expression, the last match)."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found[:] = list(re.finditer(pattern, self.said()))
            return bool(found)

        self.until(look, within_s, f"the console says {pattern!r}", alive=True)
        return found[-1]

    def type(self, text: str) -> None:
        """Send keys to the serial console."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.folder / "serial.sock"))
            line.sendall(text.encode())

    def until(
        self,
        true: Callable[[], bool],
        within_s: float,
        what: str,
        *,
        alive: bool = False,
        every_s: float = 0.5,
    ) -> None:
        """Wait for a condition.

        Raises:
            Waited: it did not come true in time, or (`alive`) the machine went off before.
        """
        end_s = time.monotonic() + within_s
        while not true():
            off = alive and not self.runs
            if off or time.monotonic() > end_s:
                why = "the machine went off" if off else f"waited {within_s:.0f} s"
                tail = "\n    ".join(self.said().splitlines()[-25:])
                raise Waited(f"{why}, but not: {what}\n  end of the console:\n    {tail}\n  {self._errors()}")
            _nap(every_s)

    # -- its monitor --------------------------------------------------------------------------------------------------------

    def qmp(self, command: str, **arguments: Any) -> Any:
        """One command of QEMU's machine protocol."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.folder / "qmp.sock"))
            file = line.makefile("rw")
            file.readline()
            for each in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                file.write(json.dumps(each) + "\n")
                file.flush()
                while "event" in (reply := json.loads(file.readline())):
                    pass
            if "error" in reply:
                raise RuntimeError(f"{command}: {reply['error']}")
            return reply["return"]

    def written_bytes(self) -> int:
        """What the guest has written to its disk since the start."""
        return sum(int(each["stats"]["wr_bytes"]) for each in self.qmp("query-blockstats"))

    def line_inside(self) -> socket.socket:
        """A new connection to the shell inside."""
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(5)
        line.connect(str(self.folder / "inside.sock"))
        return line

    # -- inside -------------------------------------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        hard = self.hardware
        words = [QEMU[hard.architecture], "-nodefaults", "-no-user-config", "-display", "none"]
        words += ["-accel", "tcg,thread=multi", "-smp", "2", "-m", str(hard.memory_mib)]
        words += ["-cpu", PROCESSOR[hard.architecture]]
        words += ["-machine", "q35" if hard.architecture == "amd64" else "virt,gic-version=3"]
        if hard.architecture == "amd64":
            words += ["-vga", "std"]
        words += self._firmware()
        words += [
            *("-chardev", (f"socket,id=line,path={self.folder}/serial.sock,server=on,wait=off"
              f",logfile={self.log},logappend=on")),
            *("-serial", "chardev:line"),
            *("-qmp", f"unix:{self.folder}/qmp.sock,server=on,wait=off"),
            *("-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random"),
        ]  # fmt: skip
        if hard.rtc:
            words += ["-rtc", f"base={hard.rtc}"]
        words += _drive("system", self.disk, "qcow2", hard.disk_bus, boot=True)
        for number, disk in enumerate(hard.disks):
            words += _drive(f"more{number}", disk, "raw", "virtio", boot=False)
        if hard.sticks:
            words += ["-device", "qemu-xhci"]
        words += self._sticks()
        if hard.network:
            words += [*self._network(), "-device", "virtio-net-pci,netdev=net,romfile="]
        if hard.watchdog:
            words += ["-device", "i6300esb", "-action", "watchdog=reset"]
        words += door.by_smbios(hard.credentials)
        if hard.door:
            words += door.by_smbios(door.CONSOLE) + door.console(self.folder)
        return [*words, *hard.more]

    def _sticks(self) -> list[str]:
        words = []
        for number, stick in enumerate(self.hardware.sticks):
            words += ["-drive", f"file={stick},format=raw,if=none,id=stick{number},readonly=on"]
            words += ["-device", f"usb-storage,drive=stick{number},removable=on"]
        return words

    def _network(self) -> list[str]:
        forwards = "".join(
            f",hostfwd={protocol}:127.0.0.1:{self.ports[name]}-:{port}"
            for name, (protocol, port) in PORTS.items()
        )
        return ["-netdev", f"user,id=net{forwards}"]

    def _firmware(self) -> list[str]:
        if self.hardware.firmware == "bios":
            return []
        for code, variables in UEFI[self.hardware.architecture]:
            if Path(code).exists():
                own = self.folder / "uefi-variables.fd"
                if not own.exists():
                    shutil.copyfile(variables, own)
                return [
                    *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
                    *("-drive", f"if=pflash,format=raw,unit=1,file={own}"),
                ]
        raise FileNotFoundError(
            "no UEFI firmware for QEMU; sudo packaging/install-image-tools.sh installs it (ovmf, qemu-efi-aarch64)"
        )

    def _errors(self) -> str:
        log = self.folder / "qemu.log"
        return f"QEMU: {log.read_text(errors='replace').strip()[-600:]}" if log.exists() else ""


def _drive(name: str, path: Path, form: str, bus: str, *, boot: bool) -> list[str]:
    order = ",bootindex=1" if boot else ""
    device = {
        "virtio": f"virtio-blk-pci,drive={name}{order}",
        "sata": f"ide-hd,drive={name}{order}",
        "nvme": f"nvme,drive={name},serial={name}{order}",
    }[bus]
    # Writes go to this machine's page cache: a killed QEMU loses what the guest had not flushed, as a card would.
    return ["-drive", f"file={path},format={form},if=none,id={name},cache=writeback", "-device", device]


def _overlay(image: Path, disk: Path, size_mib: int) -> None:
    form = "qcow2" if image.suffix == ".qcow2" else "raw"
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", form, str(disk)]
    subprocess.run(words + ([f"{size_mib}M"] if size_mib else []), check=True)


def _free_ports() -> dict[str, int]:
    """Ports of the loopback that nobody has at this moment."""
    with contextlib.ExitStack() as stack:
        ports = {}
        for name, (protocol, _) in PORTS.items():
            kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
            probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
            probe.bind(("127.0.0.1", 0))
            ports[name] = probe.getsockname()[1]
        return ports


def _nap(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251 - between two looks at a condition, in `until` alone


@contextlib.contextmanager
def running(image: Path, folder: Path, hardware: Hardware | None = None) -> Iterator[Machine]:
    """A machine that is switched on, and off whatever happens."""
    machine = Machine(image, folder, hardware)
    try:
        yield machine.start()
    finally:
        machine.cut()
