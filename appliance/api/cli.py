"""What a plugin's commands need: the running appliance's API over the admin socket, and output for people or programs.

Exit codes: 0 ok, 1 failed, 2 usage, 3 no appliance is running, 4 not allowed, 5 not found, 6 conflict, 78 bad configuration.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from appliance.api.foreign import inert, json_text, printable
from appliance.core.columns import left as leftmost
from appliance.core.columns import right as rightmost
from appliance.core.columns import width

__all__ = (
    "EXIT_BY_STATUS", "EXIT_UNREACHABLE", "Admin", "Failure", "admin", "call_options", "echo_error", "echo_file", "emit",
    "path_part", "printable", "state_dir", "table", "unreachable", "wants_json",
)  # fmt: skip

EXIT_UNREACHABLE = 3
#: Exit code by the HTTP status of a refusal; 1 for any other.
EXIT_BY_STATUS = {403: 4, 401: 4, 404: 5, 409: 6, 412: 6}


class Failure(click.ClickException):
    """A command that failed for a reason that a person can understand."""

    def __init__(self, message: str, exit_code: int = 1, remedy: str = "") -> None:
        super().__init__(message)
        vars(self)["exit_code"] = exit_code  # click declares it on the class; ours differ by instance
        self.remedy = remedy

    def show(self, file: Any = None) -> None:
        click.echo(f"Error: {printable(self.message)}", err=True)
        if self.remedy:
            click.echo(f"  {printable(self.remedy)}", err=True)


#: How long a command waits for an appliance that says it is still starting, and between two looks.
STARTING_S, LOOK_S = 20.0, 0.2


class Admin:
    """The API of the appliance that runs in `state_dir`."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return self.ask("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.ask("POST", path, body=body)

    def patch(self, path: str, body: Any) -> Any:
        return self.ask("PATCH", path, body=body)

    def delete(self, path: str) -> Any:
        return self.ask("DELETE", path)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout_s: float = 60.0,
    ) -> Any:
        """One request; the decoded JSON answer, or text when it is not JSON.

        An appliance that is still starting is asked again for a while.

        Raises:
            Failure: nobody is there, or the appliance refused; with the right exit code.
        """
        if query:
            path += "?" + urlencode({k: v for k, v in query.items() if v is not None})
        content = None if body is None else json.dumps(body).encode()
        end_s = time.monotonic() + STARTING_S
        while True:
            status, value = self._once(method, path, content, timeout_s)
            if not _is_starting(status, value) or time.monotonic() >= end_s:
                break
            time.sleep(LOOK_S)  # noqa: TID251 - a command of its own process: nobody else waits
        if status >= 400 and not (isinstance(value, dict) and "status" in value and "problems" in value):
            raise _refusal(status, value)
        return value

    def download(self, path: str, *, timeout_s: float = 300.0) -> tuple[str, bytes]:
        """A file of the API: the name that it suggests, and its content.

        Raises:
            Failure: nobody is there, or the appliance refused.
        """
        connection = _UnixConnection(self.socket_path, timeout_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self.socket_path, error) from None
        finally:
            connection.close()
        if response.status >= 400:
            raise _refusal(
                response.status, json.loads(content) if content.startswith(b"{") else content[:200]
            )
        return response.headers.get_filename("") or "", content

    def _once(self, method: str, path: str, content: bytes | None, timeout_s: float) -> tuple[int, Any]:
        """One try: the status, and the decoded answer.

        Raises:
            Failure: nobody is there.
        """
        connection = _UnixConnection(self.socket_path, timeout_s)
        try:
            connection.request(method, path, body=content, headers={"Content-Type": "application/json"})
            response = connection.getresponse()
            data = response.read()
        except (http.client.InvalidURL, ValueError):
            raise Failure(f"{path!r} cannot be the path of a request", 2) from None
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self.socket_path, error) from None
        finally:
            connection.close()
        value = (
            json.loads(data)
            if "json" in response.headers.get("Content-Type", "") and data
            else data.decode("utf-8", "replace")
        )
        return response.status, value


def _is_starting(status: int, value: Any) -> bool:
    return status == 503 and isinstance(value, dict) and value.get("code") == "starting"


def unreachable(path: Path, error: Exception) -> Failure:
    """Nobody answers on the admin socket: say what to do."""
    if isinstance(error, PermissionError):
        return Failure(f"you may not use {path}", 4, "ask as the appliance's user or as root (sudo)")
    return Failure(
        f"no appliance answers at {path}", EXIT_UNREACHABLE,
        "start it with `timeball run`, or name its folder with --state-dir DIR (or --config FILE)",
    )  # fmt: skip


def _refusal(status: int, value: Any) -> Failure:
    if not isinstance(value, dict):
        return Failure(f"the appliance answered {status}: {str(value)[:200]}")
    value = inert(value)
    text = str(value.get("detail") or value.get("title") or status)
    for entry in value.get("errors", ()):
        text += f"\n  {entry['field']}: {entry['message']}"
    return Failure(text, EXIT_BY_STATUS.get(status, 1))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


# -- options that every command takes, wherever they stand -------------------------------------------------------------


def admin() -> Admin:
    """The appliance that the options of this call name."""
    return Admin(state_dir() / "admin.sock")


def state_dir() -> Path:
    """The state folder: --state-dir, else the one in --config, else TIMEBALL_STATE_DIR, else the nearest that lives."""
    options = call_options()
    if options.get("state_dir"):
        return Path(options["state_dir"])
    if options.get("config"):
        from appliance.core.config import BadConfig
        from appliance.core.layers import state_dir_of

        try:
            return state_dir_of(Path(options["config"]))
        except BadConfig as bad:
            raise Failure(printable(bad), 78) from None
    if os.environ.get("TIMEBALL_STATE_DIR"):
        return Path(os.environ["TIMEBALL_STATE_DIR"])
    here = Path(".cache/demo")  # where `make run` keeps its state
    system = Path("/var/lib/timeball")
    return here if (here / "admin.sock").exists() and not (system / "admin.sock").exists() else system


def wants_json() -> bool:
    """Whether --json was given anywhere on the line."""
    return bool(call_options().get("json"))


def emit(value: Any, human: Callable[[Any], None], several_lines: Collection[str] = ()) -> None:
    """Print `value` as JSON when --json was given, else let `human` print it for people.

    Args:
        value: what the appliance answered, as decoded JSON.
        human: prints it, or parts of it. What it is given holds nothing that a terminal obeys, unless it is one text, which
            is for `printable` or `echo_file`.
        several_lines: keys of texts whose lines are ours, and are printed as they are.
    """
    if wants_json():
        click.echo(json_text(value))
    else:
        human(value if isinstance(value, str) else inert(value, several_lines))


def echo_file(text: str) -> None:
    """Print what the appliance gave as a file: to a program as it is, on a terminal without what a terminal obeys."""
    click.echo(printable(text) if sys.stdout.isatty() else text)


def path_part(text: str) -> str:
    """Quote one part of a URL path."""
    return quote(text, safe="")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """Print an aligned table; columns named in `right` are aligned to the right."""
    # A line break in a cell would let a stranger's text pass for a row of ours.
    cells = [[printable("" if cell is None else cell, keep="") for cell in row] for row in rows]
    widths = [max([width(column), *(width(row[i]) for row in cells)]) for i, column in enumerate(columns)]

    def line(row: Sequence[str]) -> str:
        parts = [
            rightmost(c, w) if column in right else leftmost(c, w)
            for c, w, column in zip(row, widths, columns, strict=True)
        ]
        return "  ".join(parts).rstrip()

    click.secho(line(columns), bold=True)
    for row in cells:
        click.echo(line(row))


def call_options(context: click.Context | None = None) -> dict[str, Any]:
    """What this call was given of --json, --state-dir and --config, wherever on the line it stood."""
    context = context or click.get_current_context(silent=True)
    return {} if context is None else context.find_root().meta.setdefault("timeball", {})


def echo_error(text: str) -> None:
    """Print to standard error."""
    print(printable(text), file=sys.stderr)  # noqa: T201
