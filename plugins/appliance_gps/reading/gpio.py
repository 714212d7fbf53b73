"""One input line of a GPIO chip through the kernel's character device (uAPI version 2): edges with the kernel's own timestamps.

Layouts as in Linux' `include/uapi/linux/gpio.h` (since 5.10). The kernel dates an edge in its interrupt handler, so it does not
matter when we get to read it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Edge = Literal["rising", "falling"]

#: _IOR(0xB4, 0x01, struct gpiochip_info), _IOWR(0xB4, 0x07, struct gpio_v2_line_request)
GET_CHIPINFO = 0x8044_B401
GET_LINE = 0xC250_B407
CHIPINFO = struct.Struct("=32s32sI")
#: offsets[64], consumer, {flags, num_attrs, padding, 10 attributes}, num_lines, event_buffer_size, padding, fd
LINE_REQUEST = struct.Struct("=64I32sQI20x240xII20xi")
#: timestamp_ns, id, offset, seqno, line_seqno
LINE_EVENT = struct.Struct("=QIIII24x")

FLAG_INPUT = 1 << 2
FLAG_EDGE_RISING = 1 << 4
FLAG_EDGE_FALLING = 1 << 5
FLAG_BIAS_PULL_DOWN = 1 << 9
FLAG_EVENT_CLOCK_REALTIME = 1 << 11
_RISING_ID = 1
_CONSUMER = b"timeball pps"
#: Events that the kernel keeps for us; one second has two.
_BUFFERED = 64
#: What the header's pins belong to: Raspberry Pi 0 to 4, and 5.
_HEADER_LABELS = ("pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1")


class NoLine(Exception):
    """The line cannot be had; the message says why and what would help."""


class Devices(Protocol):
    """The kernel, as far as GPIO chips are concerned."""

    def chips(self) -> list[str]:
        """Paths of all chips."""
        ...

    def open(self, path: str) -> int:
        """A descriptor of one chip; raises OSError."""
        ...

    def ioctl(self, fd: int, request: int, argument: bytearray) -> None:
        """Ask it something; `argument` is changed in place; raises OSError."""
        ...


class Kernel:
    """The real one."""

    def chips(self) -> list[str]:
        return [str(path) for path in sorted(Path("/dev").glob("gpiochip*"))]

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def ioctl(self, fd: int, request: int, argument: bytearray) -> None:
        fcntl.ioctl(fd, request, argument)


@dataclass(frozen=True, slots=True)
class EdgeEvent:
    """An edge as the kernel saw it.

    Attributes:
        at_ns: of the system clock (`Line.realtime`), else of CLOCK_MONOTONIC.
        number: of the line's edges since it was requested; a gap tells of edges that were lost.
    """

    edge: Edge
    at_ns: int
    number: int


class Line:
    """A requested line. Non-blocking; close it to give the line back.

    Attributes:
        chip: path of the chip.
        realtime: whether the kernel dates with the system clock.
    """

    def __init__(self, chip: str, fd: int, *, realtime: bool) -> None:
        self.chip = chip
        self.realtime = realtime
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def events(self) -> list[EdgeEvent]:
        """What has come since the last call.

        Raises:
            OSError: the chip is gone.
        """
        try:
            raw = os.read(self._fd, _BUFFERED * LINE_EVENT.size)
        except BlockingIOError:
            return []
        if not raw:
            raise OSError(errno.ENODEV, "the GPIO chip was taken away")
        whole = len(raw) - len(raw) % LINE_EVENT.size
        return [
            EdgeEvent("rising" if ident == _RISING_ID else "falling", at_ns, number)
            for at_ns, ident, _, _, number in LINE_EVENT.iter_unpack(raw[:whole])
        ]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def find_chip(wanted: str, devices: Devices) -> str:
    """Path of the chip called `wanted`: a path, a label, or "auto" for that of a Raspberry Pi's header.

    Raises:
        NoLine: there is none.
    """
    if wanted.startswith("/"):
        return wanted
    labels = {}
    for chip in devices.chips():
        with contextlib.suppress(OSError):
            fd = devices.open(chip)
            try:
                about = bytearray(CHIPINFO.size)
                devices.ioctl(fd, GET_CHIPINFO, about)
            finally:
                os.close(fd)
            labels[chip] = CHIPINFO.unpack(about)[1].rstrip(b"\0").decode("ascii", "replace")
    for path, label in labels.items():
        if label == wanted or (wanted == "auto" and label.startswith(_HEADER_LABELS)):
            return path
    there = ", ".join(f"{path} ({label})" for path, label in labels.items())
    if there:
        raise NoLine(f"no GPIO chip is called {wanted!r}; there are: {there}")
    raise NoLine(
        "this machine has no GPIO chip that we may open: pulses can come in only where there are pins"
    )


def request_line(chip: str, offset: int, devices: Devices, *, pull_down: bool = False) -> Line:
    """Ask for line `offset` of `chip` as an input, both edges, dated by the system clock where the kernel can.

    Raises:
        NoLine: it cannot be had.
    """
    try:
        fd = devices.open(chip)
    except OSError as error:
        raise NoLine(_why(error, chip, offset)) from None
    try:
        # Kernels before 5.11 date with the monotonic clock only, and refuse flags that they do not know.
        for realtime in (True, False):
            flags = FLAG_INPUT | FLAG_EDGE_RISING | FLAG_EDGE_FALLING
            flags |= FLAG_BIAS_PULL_DOWN if pull_down else 0
            flags |= FLAG_EVENT_CLOCK_REALTIME if realtime else 0
            request = bytearray(LINE_REQUEST.pack(offset, *[0] * 63, _CONSUMER, flags, 0, 1, _BUFFERED, 0))
            try:
                devices.ioctl(fd, GET_LINE, request)
            except OSError as error:
                if realtime and error.errno == errno.EINVAL:
                    continue
                raise NoLine(_why(error, chip, offset)) from None
            line_fd: int = LINE_REQUEST.unpack(request)[-1]
            os.set_blocking(line_fd, False)
            return Line(chip, line_fd, realtime=realtime)
        raise AssertionError("unreachable: the second try either returns or raises")
    finally:
        os.close(fd)


def _why(error: OSError, chip: str, offset: int) -> str:
    known = {
        errno.ENOENT: f"there is no {chip}",
        errno.EACCES: f"we may not open {chip}: the receiver's service has to be in the group gpio",
        errno.EPERM: f"we may not use {chip}: the service's unit has to allow the device",
        errno.EBUSY: f"line {offset} of {chip} is used by somebody else, such as the kernel's pps-gpio: take that overlay out",
        errno.EINVAL: f"{chip} has no line {offset} that can be watched",
        errno.ENOTTY: f"{chip} is no GPIO chip",
        errno.ENXIO: f"line {offset} of {chip} cannot raise interrupts: choose another pin",
    }
    return known.get(error.errno or 0, f"line {offset} of {chip}: {error.strerror}")
