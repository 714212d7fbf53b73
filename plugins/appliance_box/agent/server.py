"""The socket: who may ask, lines in, lines out. A thread for each connection, few of them, and an end when nobody comes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pwd
import socket
import struct
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from appliance_box.agent import MOST_LINE_BYTES, SERVICE_USER
from appliance_box.agent.doing import Doing

log = logging.getLogger("timeball.agent")

#: A peer that says nothing for so long is sent away; so many may talk at once.
SILENT_S = 60.0
MOST_PEERS = 8
#: The first descriptor that a service manager hands over: sd_listen_fds(3).
_FIRST_HANDED = 3
_CREDENTIALS = struct.Struct("3i")


def allowed_users() -> frozenset[int]:
    """User ids that may ask: root, and the service's user where there is one."""
    with contextlib.suppress(KeyError):
        return frozenset({0, pwd.getpwnam(SERVICE_USER).pw_uid})
    return frozenset({0})


def handed_socket() -> socket.socket | None:
    """The listening socket that the service manager opened for us; None when we were started by hand."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=_FIRST_HANDED)


class Server:
    """Serves a listening socket until nobody has asked for a while.

    Args:
        listener: a listening UNIX stream socket.
        doing: does what is asked.
        users: user ids that may ask.
        idle_s: ends after so long without a connection; None: never.
        awake: whether something is still to be done that nobody has to ask for.
    """

    def __init__(
        self,
        listener: socket.socket,
        doing: Doing,
        users: Collection[int],
        idle_s: float | None = 30.0,
        awake: Callable[[], bool] = lambda: False,
    ) -> None:
        self._listener = listener
        self._doing = doing
        self._users = users
        self._idle_s = idle_s
        self._awake = awake
        self._room = threading.Semaphore(MOST_PEERS)
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Until it is idle, or the listener is closed."""
        self._listener.settimeout(self._idle_s)
        while True:
            try:
                peer, _ = self._listener.accept()
            except TimeoutError:
                with self._lock:
                    if self._threads or self._awake():
                        continue
                return
            except OSError:
                break
            if not self._room.acquire(blocking=False):
                peer.close()
                continue
            thread = threading.Thread(target=self._converse, args=(peer,), name="agent-peer", daemon=True)
            with self._lock:
                self._threads.add(thread)
            thread.start()
        with self._lock:
            left = list(self._threads)
        for thread in left:
            thread.join(SILENT_S)

    def _converse(self, peer: socket.socket) -> None:
        try:
            with peer:
                self._answer_all(peer)
        except (OSError, ValueError) as gone:
            log.debug("a peer went away: %s", gone)
        finally:
            self._room.release()
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _answer_all(self, peer: socket.socket) -> None:
        pid, uid, _ = _CREDENTIALS.unpack(
            peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        who = f"{_name_of(uid)} (pid {pid})"
        peer.settimeout(SILENT_S)
        with peer.makefile("rb") as lines:
            while line := lines.readline(MOST_LINE_BYTES + 1):
                if (
                    uid not in self._users
                ):  # told after it has asked: a peer that still writes would not hear it
                    log.warning("%s may not ask the agent", who)
                    _send(peer, _error("not_allowed", "only root and the appliance itself may ask", "sudo"))
                    return
                if len(line) > MOST_LINE_BYTES or not line.endswith(b"\n"):
                    _send(peer, _error("bad_request", "this line is too long or has no end"))
                    return

                def progress(values: Mapping[str, Any]) -> None:
                    # Who does not listen any more does not stop what was begun.
                    with contextlib.suppress(OSError):
                        _send(peer, {"progress": dict(values)})

                _send(peer, self._doing.answer(line, who, progress))


def _error(code: str, message: str, remedy: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "remedy": remedy}}


def _send(peer: socket.socket, value: Mapping[str, Any]) -> None:
    peer.sendall(json.dumps(value, default=str).encode() + b"\n")


def _name_of(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"uid {uid}"
