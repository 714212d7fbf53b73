"""A time source for machines under test: chronyd on this machine's loopback, which serves its clock and never touches it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: Where machines find it: QEMU's name for this machine.
SEEN_AS = "10.0.2.2"


@contextlib.contextmanager
def time_source(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run it; port 123 has to be free, as it is in a network of one's own (`network.closed`)."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "source.conf"
    settings.write_text(
        "port 123\nbindaddress 127.0.0.1\nallow\nlocal stratum 3\ncmdport 0\nbindcmdaddress /\n"
        f"pidfile {folder}/source.pid\n"
    )
    with (folder / "source.log").open("ab") as log:
        process = subprocess.Popen(
            ["chronyd", "-x", "-d", "-f", str(settings)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
