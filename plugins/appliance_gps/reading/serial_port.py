"""A receiver on a serial line: opened raw, its speed found, its bytes cut into lines."""

from __future__ import annotations

import errno
import os
import stat
import termios
from collections.abc import Iterator

#: gpsd's lines are long, those of a receiver are not.
LONGEST_LINE = 16_384
#: The standard's, then what receivers are set to.
SPEEDS = (9600, 4800, 115200, 38400, 57600, 19200, 230400)
_CODES = {speed: getattr(termios, f"B{speed}") for speed in SPEEDS}


class NoReceiver(Exception):
    """The line cannot be used; the message says why and what would help.

    Attributes:
        forbidden: the kernel would not let this process, whatever its groups (EPERM).
    """

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        super().__init__(message)
        self.forbidden = forbidden


class SerialPort:
    """An open line, non-blocking.

    Attributes:
        path: of the device.
        speed: in bit/s.
    """

    def __init__(self, path: str, speed: int) -> None:
        """Open it.

        Raises:
            NoReceiver: it is not there, not ours to open, or no serial line.
        """
        self.path = path
        self._speeds = (speed,) if speed else SPEEDS
        self._turn = 0
        try:
            # Not as the controlling terminal, and without waiting for a modem that is not there.
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NoReceiver(_why(error, path), forbidden=error.errno == errno.EPERM) from None
        try:
            if not stat.S_ISCHR(os.fstat(self._fd).st_mode):
                raise NoReceiver(f"{path} is no device")
            self._set_speed()
        except (termios.error, OSError) as error:
            self.close()
            raise NoReceiver(f"{path} is no serial line ({error.args[-1]})") from None
        except NoReceiver:
            self.close()
            raise

    @property
    def speed(self) -> int:
        return self._speeds[self._turn % len(self._speeds)]

    def fileno(self) -> int:
        return self._fd

    def try_next_speed(self) -> None:
        """What came made no sense: listen at another speed."""
        self._turn += 1
        self._set_speed()

    def read(self) -> bytes:
        """What has come.

        Raises:
            OSError: the receiver was unplugged.
        """
        try:
            content = os.read(self._fd, 4096)
        except BlockingIOError:
            return b""
        if not content:
            raise OSError(errno.EIO, "the receiver was taken away")
        return content

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _set_speed(self) -> None:
        code = _CODES[self.speed]
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        # Raw: no echo, which some receivers take for commands, no translation, a byte at a time.
        special: list[bytes | int] = [b"\0"] * 32
        special[termios.VMIN], special[termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSANOW, [termios.IGNPAR, 0, control, 0, code, code, special])
        termios.tcflush(self._fd, termios.TCIFLUSH)


class Lines:
    """Cuts a stream into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, content: bytes) -> Iterator[bytes]:
        """The lines that are complete with `content`, without their ends."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        if len(self._rest) > LONGEST_LINE:  # noise has no lines
            self._rest = b""
        for line in lines:
            if line.strip():
                yield line.rstrip(b"\r")


def _why(error: OSError, path: str) -> str:
    known = {
        errno.ENOENT: f"there is no {path}: is the receiver plugged in?",
        errno.EACCES: f"we may not open {path}: the receiver's service has to be in the group dialout",
        errno.EPERM: f"we may not use {path}: the service's unit has to allow the device",
        errno.EBUSY: f"{path} is used by another program, such as gpsd",
    }
    return known.get(error.errno or 0, f"{path}: {error.strerror}")
