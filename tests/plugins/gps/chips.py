"""A GPIO chip as the kernel's character device shows it: the same requests, the same checks, the same bytes."""

from __future__ import annotations

import errno
import os

from appliance_gps.reading import gpio

_KNOWN_FLAGS = (1 << 12) - 1


class FakeChips:
    """Implements `gpio.Devices` with one chip of 54 lines.

    Attributes:
        knows_realtime: as kernels from 5.11 on.
        taken: lines that somebody else uses.
        flags: of the last request that was granted.
    """

    path = "/dev/gpiochip0"

    def __init__(self, *, label: str = "pinctrl-bcm2711", knows_realtime: bool = True) -> None:
        self.label = label
        self.knows_realtime = knows_realtime
        self.taken: set[int] = set()
        self.flags = 0
        self.requests = 0
        self._write: int | None = None
        self._offset = 0
        self._number = 0

    def chips(self) -> list[str]:
        return [self.path]

    def open(self, path: str) -> int:
        if path != self.path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def ioctl(self, fd: int, request: int, argument: bytearray) -> None:
        if request == gpio.GET_CHIPINFO:
            assert len(argument) == 68
            gpio.CHIPINFO.pack_into(argument, 0, b"gpiochip0", self.label.encode(), 54)
            return
        if request != gpio.GET_LINE:
            raise OSError(errno.ENOTTY, "not a GPIO request")
        self._grant(argument)

    def _grant(self, argument: bytearray) -> None:
        """As `linereq_create` does: every field is checked, padding has to be zero."""
        assert len(argument) == 592
        *offsets, consumer, flags, attributes, lines, buffered, _ = gpio.LINE_REQUEST.unpack(argument)
        assert lines == 1
        assert consumer.endswith(b"\0")
        assert not any(argument[256 + 32 + 8 + 4 : 256 + 32 + 272]), "attributes and padding"
        assert not any(argument[568:588]), "padding"
        assert 0 < buffered <= 64 * 16
        if (
            flags & ~_KNOWN_FLAGS
            or attributes
            or (flags & gpio.FLAG_EVENT_CLOCK_REALTIME and not self.knows_realtime)
        ):
            raise OSError(errno.EINVAL, "Invalid argument")
        if not flags & gpio.FLAG_INPUT or offsets[0] >= 54:
            raise OSError(errno.EINVAL, "Invalid argument")
        if offsets[0] in self.taken:
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.gone()
        read, self._write = os.pipe2(os.O_CLOEXEC)
        self._offset, self._number, self.flags = offsets[0], 0, flags
        self.requests += 1
        argument[588:592] = read.to_bytes(4, "little")

    # -- what happens on the line ----------------------------------------------------------------------------------

    def edge(self, edge: str, at_ns: int, *, lost: int = 0) -> None:
        """An edge, dated `at_ns`; `lost` others went before it unread. Nothing happens while nobody watches the line."""
        if self._write is None:
            return
        self._number += 1 + lost
        ident = 1 if edge == "rising" else 2
        os.write(self._write, gpio.LINE_EVENT.pack(at_ns, ident, self._offset, self._number, self._number))

    def gone(self) -> None:
        """The chip is unplugged."""
        if self._write is not None:
            os.close(self._write)
            self._write = None
