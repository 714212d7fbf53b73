"""The receiver's own process: reads pins and serial lines, hands chronyd samples, tells whoever asked how it goes.

Run by its path (`python -I .../reading`), so that nothing of the appliance is imported: on a small board its memory counts, and this
process is the one with access to devices. It speaks on standard input, which is a socket, or on one that systemd listens on
(`timeball-gps.socket`): the first line is what to read, as JSON; each second it answers with a line. It ends with the connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import types
from pathlib import Path

# The package around us imports the whole appliance: an empty one takes its place.
_HERE = Path(__file__).resolve().parent
_around = types.ModuleType("appliance_gps")
_around.__path__ = [str(_HERE.parent)]
sys.modules["appliance_gps"] = _around

from appliance_gps.reading.reader import Orders, Reader  # noqa: E402 - the lines above make it possible

_FIRST_LISTENING_FD = 3
_LONGEST_ORDERS = 8192
_PATIENCE_S = 10.0


def main() -> int:
    """Serve one connection to its end, or, when systemd listens, one after the other until nobody comes for a while."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # sentences are dated when we read them
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        try:
            connection = socket.socket(fileno=os.dup(0))
        except OSError:
            print("this is started by Timeball or by timeball-gps.socket, not by hand", file=sys.stderr)  # noqa: T201 - to who does
            return 64
        with connection:
            serve(connection)
        return 0
    with socket.socket(fileno=_FIRST_LISTENING_FD) as listening:
        listening.settimeout(60.0)
        while True:
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                return 0  # systemd starts us again when somebody comes
            with connection:
                if not serve(connection):
                    return 0  # as a new process it may be allowed what this one was not


def serve(connection: socket.socket) -> bool:
    """Take orders, read until the other side hangs up; False when this process cannot do better."""
    connection.settimeout(_PATIENCE_S)
    try:
        text = b""
        while not text.endswith(b"\n"):
            more = connection.recv(4096)
            if not more or len(text) > _LONGEST_ORDERS:
                return True
            text += more
        orders = Orders.read(json.loads(text))
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps({"refused": str(error)}).encode() + b"\n")
        return True
    reader = Reader(orders, connection)
    reader.run()
    return not reader.forbidden


if __name__ == "__main__":
    sys.exit(main())
