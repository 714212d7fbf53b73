"""A GPS receiver for a machine under test: says the time of this machine on the machine's second serial port, once a second."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

#: What the machine calls the line: its first serial port is the console.
SEEN_AS = "/dev/ttyS1"


def plugged(folder: Path) -> tuple[str, ...]:
    """QEMU's words for the line of a machine whose folder this is."""
    return (
        "-chardev",
        f"socket,id=gps,path={folder}/gps.sock,server=on,wait=off",
        "-device",
        "isa-serial,chardev=gps",
    )


def sentence(epoch_s: int) -> bytes:
    """What a receiver with a fix says of that second (NMEA 0183, RMC)."""
    t = time.gmtime(epoch_s)
    body = (
        f"GNRMC,{t.tm_hour:02}{t.tm_min:02}{t.tm_sec:02}.00,A,4807.038,N,01131.000,E,0.0,0.0,"
        f"{t.tm_mday:02}{t.tm_mon:02}{t.tm_year % 100:02},,,A"
    )
    checksum = 0
    for byte in body.encode():
        checksum ^= byte
    return f"${body}*{checksum:02X}\r\n".encode()


@contextlib.contextmanager
def speaking(folder: Path, late_s: float = 0.2) -> Iterator[None]:
    """A receiver that begins to speak `late_s` after each second."""
    off = threading.Event()

    def speak() -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(folder / "gps.sock"))
            while not off.is_set():
                now_s = time.clock_gettime(time.CLOCK_REALTIME)
                second = int(now_s - late_s) + 1
                if off.wait(second + late_s - now_s):
                    return
                with contextlib.suppress(BlockingIOError):
                    line.sendall(sentence(second))

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        off.set()
        thread.join()
