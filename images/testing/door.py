"""A door for root into a machine under test; the image has no such door.

Who starts the machine hands systemd a unit more (a system credential, systemd.system-credentials(7)): the hypervisor of a
virtual machine, which has the machine anyway; or whoever writes the kernel's arguments for a board.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

_PATH = "Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb"
#: A virtual machine has a second console for it.
_CONSOLE = f"""[Unit]
Description=Shell of a test
DefaultDependencies=no
After=dev-hvc0.device local-fs.target
[Service]
ExecStart=/bin/sh
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/hvc0
TTYReset=no
Restart=always
RestartSec=1
StartLimitIntervalSec=0
{_PATH}
"""
CONSOLE = {
    "systemd.extra-unit.test-shell.service": _CONSOLE,
    "systemd.unit-dropin.multi-user.target": "[Unit]\nWants=test-shell.service\n",
}
#: A board has one serial port and the network, which in a test nobody else is in. The port is SSH's, which no fresh box opens.
NETWORK = {
    "systemd.extra-unit.test-shell.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=22\nAccept=yes\n",
    "systemd.extra-unit.test-shell@.service": "[Service]\nExecStart=/bin/sh\nStandardInput=socket\nStandardOutput=socket\n"
    f"StandardError=socket\n{_PATH}\n",
    "systemd.unit-dropin.sockets.target": "[Unit]\nWants=test-shell.socket\n",
}


def by_smbios(credentials: Mapping[str, str]) -> list[str]:
    """QEMU's words that hand over credentials."""
    words = []
    for name, value in credentials.items():
        words += ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={_coded(value)}"]
    return words


def by_kernel(credentials: Mapping[str, str]) -> list[str]:
    """The kernel's arguments that hand over credentials."""
    return [f"systemd.set_credential_binary={name}:{_coded(value)}" for name, value in credentials.items()]


def console(folder: Path) -> list[str]:
    """QEMU's words for the second console of the machine with this folder."""
    return [
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=inside,path={folder}/inside.sock,server=on,wait=off"),
        *("-device", "virtconsole,chardev=inside"),
    ]  # fmt: skip


def _coded(value: str) -> str:
    """Coded, so that it may hold whatever separates words."""
    return base64.b64encode(value.encode()).decode()
