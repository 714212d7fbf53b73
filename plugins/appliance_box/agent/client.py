"""Asks the agent: from the appliance's event loop, or from a command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from appliance.api.agent import AgentRefusal
from appliance_box.agent import MOST_LINE_BYTES

Progress = Callable[[Mapping[str, Any]], None]

#: An answer may hold a long excerpt of the journal.
_MOST_ANSWER_BYTES = 64 << 20
_NONE_REMEDY = "it comes with the package: systemctl enable --now timeball-agent.socket"


class Client:
    """`appliance.api.agent.Agent` over the socket at `path`; one connection for each action."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def do(
        self,
        action: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        progress: Progress | None = None,
        timeout_s: float = 60.0,
    ) -> Mapping[str, Any]:
        """See `appliance.api.agent.Agent`."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.path), limit=_MOST_ANSWER_BYTES)
        except OSError as error:
            raise _none(self.path, error) from None
        try:
            writer.write(_line(action, arguments))
            while True:
                async with asyncio.timeout(timeout_s):
                    line = await reader.readline()
                found = _understood(line)
                if "progress" not in found:
                    return _result(found)
                if progress is not None:
                    progress(found["progress"])
        except TimeoutError:
            raise AgentRefusal("silent", f"the agent did not answer within {timeout_s:.0f} s") from None
        except (OSError, ValueError) as error:
            raise AgentRefusal("broken", f"the agent's answer broke off: {error}") from None
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def ask(
    path: Path,
    action: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    progress: Progress | None = None,
    timeout_s: float = 60.0,
) -> Mapping[str, Any]:
    """The same for a command, which has nothing else to do meanwhile.

    Raises:
        AgentRefusal: as `Client.do`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(timeout_s)
        try:
            peer.connect(str(path))
        except OSError as error:
            raise _none(path, error) from None
        try:
            peer.sendall(_line(action, arguments))
            with peer.makefile("rb") as lines:
                while True:
                    found = _understood(lines.readline(_MOST_ANSWER_BYTES))
                    if "progress" not in found:
                        return _result(found)
                    if progress is not None:
                        progress(found["progress"])
        except TimeoutError:
            raise AgentRefusal("silent", f"the agent did not answer within {timeout_s:.0f} s") from None
        except OSError as error:
            raise AgentRefusal("broken", f"the agent's answer broke off: {error}") from None


def _line(action: str, arguments: Mapping[str, Any] | None) -> bytes:
    line = json.dumps({"action": action, "args": dict(arguments or {})}).encode() + b"\n"
    if len(line) > MOST_LINE_BYTES:
        raise AgentRefusal("too_long", "this is more than the agent takes at once")
    return line


def _understood(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise AgentRefusal(
            "broken", "the agent ended before it was done", "journalctl -u timeball-agent says why"
        )
    found = json.loads(line)
    if not isinstance(found, dict):
        raise AgentRefusal("broken", "the agent's answer makes no sense")
    return found


def _result(found: Mapping[str, Any]) -> Mapping[str, Any]:
    if "result" in found:
        result: Mapping[str, Any] = found["result"]
        return result
    error = found.get("error", {})
    raise AgentRefusal(
        str(error.get("code", "unknown")),
        str(error.get("message", "no reason given")),
        str(error.get("remedy", "")),
    )


def _none(path: Path, error: OSError) -> AgentRefusal:
    if isinstance(error, PermissionError):
        return AgentRefusal("not_allowed", f"you may not use {path}", "ask as root (sudo)")
    return AgentRefusal("no_agent", f"no agent listens at {path}", _NONE_REMEDY)
