"""`timeball console`: the box's own screen on tty1, or in any terminal."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from appliance.api.cli import Failure, admin, emit, path_part, printable
from appliance.core.clock import SystemClock
from appliance_web.console_screen import HEIGHT, WIDTH, Console, console, lines, painted

REFRESH_S = 5.0


@click.command("console")
@click.option("--once", is_flag=True, help="Print the screen once, and end.")
@click.option(
    "--keys", is_flag=True, help="Let whoever sits here restart the machine and set a user's password anew."
)
def show_console(*, once: bool, keys: bool) -> None:
    """The screen of the box itself: where to find it, its fingerprint, the setup code, its state.

    For tty1: `timeball console --keys`. Whoever can type there could also take the card out, so that it is trusted as much.
    """
    from appliance.api.cli import wants_json

    if once or wants_json():
        emit(admin().get("/api/v1/console"), lambda _: _print(_gather((), "")))
        return
    if not sys.stdout.isatty():
        raise Failure("a console needs a terminal", 2, "print the screen with `timeball console --once`")
    offered = _offered() if keys else ()
    with _whole_screen():
        _run(offered)


def _print(shown: Console) -> None:
    for line in lines(shown, *_size()):
        click.echo(line.text.rstrip())


def _offered() -> tuple[tuple[str, str], ...]:
    """Keys that do here what they say."""
    found = [("p", "reset a password")]
    if os.geteuid() == 0 and Path("/run/systemd/system").exists() and shutil.which("systemctl"):
        found.insert(0, ("r", "restart the machine"))
    return tuple(found)


def _run(offered: tuple[tuple[str, str], ...]) -> None:
    message = ""
    while True:
        _paint(_gather((*offered, ("q", "quit")), message))
        message = ""
        key = _key(REFRESH_S)
        if key in ("q", "\x03", "\x04"):
            return
        if key == "r" and any(k == "r" for k, _ in offered):
            message = _restart()
        elif key == "p" and any(k == "p" for k, _ in offered):
            message = _reset_password()


def _gather(keys: tuple[tuple[str, str], ...], message: str) -> Console:
    at = datetime.fromtimestamp(SystemClock().wall_ns() / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    try:
        told = admin().get("/api/v1/console")
        code = None if told.get("claimed") else _code()
    except Failure as failure:
        return Console("", at, trouble=f"{failure.message}.", keys=keys, message=message)
    return console(told, at=at, code=code, keys=keys, message=message)


def _code() -> Any:
    with contextlib.suppress(Failure):  # claimed this very moment, or nobody keeps people
        return admin().get("/api/v1/setup/code")
    return None


def _paint(shown: Console) -> None:
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    sys.stdout.write(painted(lines(shown, *_size()), colour=colour))
    sys.stdout.flush()


def _size() -> tuple[int, int]:
    size = shutil.get_terminal_size((WIDTH, HEIGHT))
    return max(40, size.columns), max(12, size.lines)


# -- keys -----------------------------------------------------------------------------------------------------------------


def _restart() -> str:
    _ask("Restart the machine? Press y to do it, any other key to leave it: ")
    if _key(30.0) != "y":
        return "Nothing was done."
    done = subprocess.run(["systemctl", "reboot"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S607 - as found on the box
    return (
        "Restarting."
        if done.returncode == 0
        else f"It cannot be restarted: {printable(done.stderr.strip())[:60]}"
    )


def _reset_password() -> str:
    _ask("Name of the user whose password is lost, then Enter: ")
    name = _typed(60.0)
    if not name:
        return "Nothing was done."
    try:
        made = admin().post(f"/api/v1/users/{path_part(name)}/reset", {})
    except Failure as failure:
        return printable(failure.message).splitlines()[0][:76]
    _ask(f"New password of {printable(name)[:20]}, shown once: {printable(made['password'])}   (any key)")
    _key(300.0)
    return "The password was set, and all sessions of that user ended."


def _ask(text: str) -> None:
    """Write over the last line."""
    columns, rows = _size()
    sys.stdout.write(f"\x1b[{rows};1H\x1b[K {text[: columns - 2]}")
    sys.stdout.flush()


def _typed(patience_s: float) -> str:
    """What is typed until Enter, shown as it is typed; "" when nothing comes, or on Escape."""
    text = ""
    while (key := _key(patience_s)) not in ("", "\x1b", "\x03"):
        if key in ("\r", "\n"):
            return text.strip()
        if key in ("\x7f", "\b"):
            sys.stdout.write("\b \b" if text else "")
            text = text[:-1]
        elif key.isprintable() and len(text) < 64:
            text += key
            sys.stdout.write(key)
        sys.stdout.flush()
    return ""


def _key(patience_s: float) -> str:
    """The next key, or "" when none comes in time. A closed terminal is Control-D."""
    ready, _, _ = select.select([sys.stdin], [], [], patience_s)
    if not ready:
        return ""
    data = os.read(sys.stdin.fileno(), 1)
    return data.decode("latin-1") if data else "\x04"


@contextlib.contextmanager
def _whole_screen() -> Iterator[None]:
    """The other screen, without cursor and echo, as long as it lasts."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
