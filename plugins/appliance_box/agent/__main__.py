"""`python -m appliance_box.agent`: started by the service manager with the listening socket, or by hand with a path."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

from appliance.core import logs
from appliance_box.agent import SOCKET
from appliance_box.agent.box import pending
from appliance_box.agent.doing import Doing
from appliance_box.agent.known import known_actions
from appliance_box.agent.server import Server, allowed_users, handed_socket


def main() -> int:
    """Serve until idle; the exit status."""
    parser = argparse.ArgumentParser(prog="timeball-agent", description=__doc__)
    parser.add_argument("--socket", default=SOCKET, help="where to listen, when nobody hands a socket over")
    parser.add_argument("--root", type=Path, default=Path("/"), help="root of the file system, for tries")
    parser.add_argument("--idle-s", type=float, default=30.0, help="ends after so long without a connection")
    options = parser.parse_args()
    logs.configure("info")
    os.umask(0o077)
    handed = handed_socket()
    listener = handed or _listen(Path(options.socket))
    actions = known_actions()
    logging.getLogger("timeball.agent").info("knows %d actions", len(actions))
    waiting = pending(options.root)
    waiting.resume()
    with listener:
        doing = Doing(actions, options.root)
        Server(listener, doing, allowed_users(), options.idle_s, awake=waiting.waiting).serve()
    if handed is None:
        Path(options.socket).unlink(missing_ok=True)
    return 0


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(8)
    return listener


if __name__ == "__main__":
    sys.exit(main())
