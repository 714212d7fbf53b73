"""`timeball backup`: on the files themselves, so that it works whether the appliance runs or not."""

from __future__ import annotations

import contextlib
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from appliance.api.agent import AgentRefusal
from appliance.api.cli import Failure, admin, call_options, emit, printable, state_dir, wants_json
from appliance.core.clock import SystemClock
from appliance.core.swapping import Exchange
from appliance_box.agent import SOCKET
from appliance_box.agent.client import ask
from appliance_box.backup import BadArchive, Progress, gathering, lasting, making, quiet, restoring
from appliance_box.backup.sealing import check_passphrase
from appliance_box.backup_operations import shown
from appliance_box.image import read_image

CONFIG = Path("/etc/timeball/config.toml")
_CONFLICT = 6


@click.group()
def backup() -> None:
    """Make, check and restore backups: one file with everything that makes this box this box."""


def _passphrase_options(command: Any) -> Any:
    return click.option(
        "--passphrase-file",
        type=click.File("r"),
        help="Read the passphrase from the first line of a file; - is standard input.",
    )(command)


@backup.command("create")
@click.argument("target", type=click.Path(path_type=Path), default=Path())
@click.option("--seal", is_flag=True, help="Ask for a passphrase and seal the file with it: it holds keys.")
@click.option("--without-box", is_flag=True, help="Leave host name, network and SSH out.")
@_passphrase_options
def create(target: Path, seal: bool, without_box: bool, passphrase_file: Any) -> None:
    """Write a backup to TARGET, a file or a folder."""
    passphrase = _typed(passphrase_file, ask_twice=seal)
    if passphrase:
        try:
            check_passphrase(passphrase)
        except ValueError as error:
            raise Failure(str(error)) from None
    now_s = SystemClock().wall_ns() / 1e9
    image = read_image()
    file = (
        target / making.name_for(socket.gethostname(), now_s, sealed=bool(passphrase))
        if target.is_dir()
        else target
    )
    if file.exists():
        raise Failure(f"{file} is there already", _CONFLICT, "name another file")
    source = making.Source(
        state_dir(),
        version("timeball"),
        _config_file(),
        None if without_box else _box_settings(),
        image.id if image else "",
        now_s,
    )
    with _told(), _progress() as progress:
        manifest = making.make(source, file, passphrase=passphrase, progress=progress)
    lasting.note(state_dir(), lasting.Last(now_s, sealed=bool(passphrase)))
    size = file.stat().st_size
    value = {
        "file": str(file),
        "bytes": size,
        "sealed": bool(passphrase),
        **{k: v for k, v in shown(manifest).items() if k != "bytes"},
    }

    def show(_: Any) -> None:
        click.echo(f"{file}: {gathering.mib(size)}, {len(manifest.files)} files")
        if not passphrase:
            click.echo("It holds keys and is not sealed (--seal): keep it where nobody else reads it.")

    emit(value, show)


@backup.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@_passphrase_options
def show(file: Path, passphrase_file: Any) -> None:
    """What a backup says of itself."""
    with _told():
        manifest = _with_passphrase(
            file, passphrase_file, lambda phrase: restoring.summary(file, passphrase=phrase)
        )
    emit(shown(manifest), _show)


@backup.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@_passphrase_options
def verify(file: Path, passphrase_file: Any) -> None:
    """Read a backup to its end: is it whole, and could it be restored here?"""
    with _told(), _progress() as progress:
        manifest = _with_passphrase(
            file, passphrase_file,
            lambda phrase: restoring.verify(file, version("timeball"), passphrase=phrase, progress=progress),
        )  # fmt: skip

    def tell(value: Any) -> None:
        _show(value)
        click.secho("It is whole, and can be restored here.", fg="green")

    emit({**shown(manifest), "whole": True}, tell)


@backup.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--with-box",
    is_flag=True,
    help="Host name, network and SSH too: only where this box takes the place of that one.",
)
@click.option("--without-config", is_flag=True, help="Leave the configuration file as it is.")
@click.option("--without-plugins", is_flag=True, help="Leave installed plugins out.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_passphrase_options
def restore(
    file: Path, with_box: bool, without_config: bool, without_plugins: bool, yes: bool, passphrase_file: Any
) -> None:
    """Put a backup in the place of what is here. The old state is kept, and comes back by itself if the new one does not run."""
    here = state_dir()
    with _told(), _progress() as progress:
        prepared = _with_passphrase(
            file, passphrase_file,
            lambda phrase: restoring.prepare(
                file, here, version("timeball"), passphrase=phrase, progress=progress, with_plugins=not without_plugins
            ),
        )  # fmt: skip
    if not yes:
        _show(shown(prepared.manifest))
        for note in prepared.notes:
            click.secho(printable(note), fg="yellow")
        if not click.confirm(f"Put it in the place of what is in {here}?"):
            Exchange(here).clear()
            raise click.Abort
    notes = list(prepared.notes)
    config = None if without_config else _config_file(or_default=True)
    with _told():
        if config is not None and prepared.config:
            restoring.write_config(config, prepared.config)
        restoring.arrange(here, prepared.manifest)
    if with_box and prepared.box is not None:
        notes += _apply_box(prepared.box)
    emit({"takes_effect": _restart(), "notes": notes, **shown(prepared.manifest)}, _tell_restored)


@backup.command("return")
@click.option("--yes", is_flag=True, help="Do not ask.")
def go_back(yes: bool) -> None:
    """Go back to what was here before the last restore."""
    exchange = Exchange(state_dir())
    if not exchange.before.is_dir():
        raise Failure("there is nothing to go back to", 5)
    if not yes:
        click.confirm("Go back to what was here before the last restore?", abort=True)
    with _told():
        exchange.arrange_return()
    emit({"takes_effect": _restart(), "notes": []}, _tell_restored)


def _tell_restored(value: Any) -> None:
    for note in value["notes"]:
        click.secho(printable(note), fg="yellow")
    click.echo(
        "The appliance starts anew with it."
        if value["takes_effect"] == "now"
        else "The next start of the appliance takes it."
    )


def _show(value: Any) -> None:
    made = datetime.fromtimestamp(value["created"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    click.echo(
        f"of      {printable(value['host'] or 'a box without a name')} ({printable(value['image'] or value['machine'])})"
    )
    click.echo(
        f"made    {made}, by version {printable(value['version'])}; here is {version('timeball')} on {platform.machine()}"
    )
    click.echo(f"holds   {value['files']} files, {gathering.mib(value['bytes'])}")
    for plugin in value["plugins"]:
        click.echo(f"plugin  {printable(plugin['name'])} {printable(plugin['version'])}")


# -- parts --------------------------------------------------------------------------------------------------------------


def _with_passphrase(file: Path, passphrase_file: Any, do: Callable[[str], Any]) -> Any:
    """Do it; a file that is sealed makes us ask."""
    phrase = _typed(passphrase_file)
    if not phrase and sys.stdin.isatty():
        try:
            restoring.summary(file)
        except BadArchive as bad:
            if bad.code != "passphrase":
                raise
            phrase = click.prompt("Passphrase", hide_input=True, err=True)
    return do(phrase)


def _typed(passphrase_file: Any, *, ask_twice: bool = False) -> str:
    if passphrase_file is not None:
        phrase: str = passphrase_file.readline().rstrip("\r\n")
        return phrase
    if ask_twice:
        asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    return ""


def _config_file(*, or_default: bool = False) -> Path | None:
    named = call_options().get("config")
    if named:
        return Path(named)
    if call_options().get("state_dir"):
        return None  # whose configuration that is, nobody said
    return CONFIG if CONFIG.exists() or (or_default and CONFIG.parent.is_dir()) else None


def _box_settings() -> Mapping[str, Any] | None:
    if read_image() is None:
        return None
    with contextlib.suppress(AgentRefusal):
        found: Mapping[str, Any] = ask(Path(SOCKET), "box.read", {"secrets": True})["settings"]
        return found
    return None


def _apply_box(settings: Mapping[str, Any]) -> list[str]:
    try:
        done = ask(Path(SOCKET), "box.apply", {"settings": settings, "confirm_s": 0})
    except AgentRefusal as refusal:
        return [f"host name and network stay as they are: {refusal.message}"]
    return list(done["trouble"])


def _restart() -> str:
    """Have a running appliance start anew; "now", or "with the next start" where none runs."""
    try:
        admin().post("/api/v1/restart")
    except Failure:
        return "with the next start"
    return "now"


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BadArchive as bad:
        raise Failure(str(bad), remedy=bad.remedy) from None
    except PermissionError as error:
        raise Failure(f"{error.filename}: {error.strerror}", 4, "ask as root (sudo)") from None
    except OSError as error:
        raise Failure(f"{error.filename or 'the disk'}: {error.strerror or error}") from None


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A line that is written over, on a terminal; nothing elsewhere."""
    if wants_json() or not sys.stderr.isatty():
        yield quiet
        return
    last = 0.0

    def tell(done: int, total: int, doing: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.2 or done >= total:
            last = now
            click.echo(
                f"\r\x1b[K{doing}: {100 * done // max(1, total)} % of {gathering.mib(total)}",
                err=True,
                nl=False,
            )

    try:
        yield tell
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)
