"""Commands that put other people's plugins on this box, and take them away again."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from appliance.api.cli import Failure, emit, printable, state_dir, table
from appliance.commands.authors import failed_checks, tables, tell_found
from appliance.commands.restarting import take_effect

if TYPE_CHECKING:
    from appliance.kit.installed import Installed

_now = click.option(
    "--restart", is_flag=True, help="Start the appliance again at once, and wait until it is back."
)


def register(group: click.Group) -> None:
    """Add the commands to `timeball plugin`."""
    for command in (plugin_install, plugin_rollback, plugin_remove, plugin_installed, plugin_safe_mode):
        group.add_command(command)


def _digest(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    said = (value or "").strip().lower()
    if said and not re.fullmatch(r"[0-9a-f]{64}", said):
        raise click.BadParameter(
            f"{said!r} is no SHA-256: that is 64 digits of 0-9 and a-f (`sha256sum FILE` prints it)"
        )
    return said


@click.command("install")
@click.argument("source", metavar="SOURCE")
@click.option("--no-index", is_flag=True, help="Fetch nothing: everything it needs lies in --find-links.")
@click.option("--find-links", multiple=True, metavar="DIR", help="A folder with wheels of what it needs.")
@click.option("--anyway", is_flag=True, help="Install it even when it fails the checks.")
@click.option(
    "--sha256",
    metavar="HEX",
    callback=_digest,
    help="What its author says the file's SHA-256 is; any other file is refused.",
)
@_now
def plugin_install(
    source: str, find_links: tuple[str, ...], *, no_index: bool, anyway: bool, sha256: str, restart: bool
) -> None:
    """Install a plugin. It is checked first, and can be taken back.

    SOURCE is a wheel, a folder with a pyproject.toml, a source distribution (.tar.gz), an address such as git+https://HOST/REPOSITORY, or the
    name of a package.

    A plugin runs with all of the appliance's privileges: install only what you trust. --sha256 sees to it that it is the very file that its
    author, or you, have looked at; without it the sum is printed, to compare and to name the next time.
    """
    from appliance.kit import trial, wheels
    from appliance.kit.clashes import refuse_ids
    from appliance.kit.installed import Installed

    installed = Installed(state_dir())
    with _told(), installed.draft() as folder:
        root, roots = wheels.bring(
            installed, folder, source, no_index=no_index, find_links=find_links, sha256=sha256
        )
        tried = [trial.examine_installed(folder, module, tables()) for module in root.plugins.values()]
        others = [r for r in roots if r is not root]
        refuse_ids([*root.plugins, *(one.id for one in tried if one.id)], _ours(), others)
        found = [entry for one in tried for entry in one.checks]
        if failed_checks(found) and not anyway:
            tell_found(found)
            raise Failure(f"{root.name} {root.version} was not installed: it fails the checks above", 1,
                          "--anyway installs it nevertheless")  # fmt: skip
        state = installed.keep(folder, roots, f"installed {root.name} {root.version}")
    _leave_safe_mode()
    value = {"name": root.name, "version": root.version, "plugins": sorted(root.plugins), "checks": found,
             "brought": dict(root.brought), "folder": str(state.folder), "sha256": root.sha256, "asked_for": bool(sha256)}  # fmt: skip
    emit(value, _tell_installed)
    take_effect(now=restart, plugins=root.plugins)


def _tell_installed(value: Any) -> None:
    brought = ", ".join(f"{n} {v}" for n, v in value["brought"].items())
    click.echo(f"{value['name']} {value['version']} is installed" + (f", with {brought}" if brought else ""))
    if value["sha256"] and not value["asked_for"]:
        click.echo(
            f"SHA-256 of its file: {value['sha256']} (compare it with what its author says; --sha256 does)"
        )
    click.echo("It runs with all of the appliance's privileges. `timeball plugin rollback` takes it back.")


@click.command("rollback")
@_now
def plugin_rollback(*, restart: bool) -> None:
    """Go back to the plugins before the last installation or removal."""
    from appliance.kit.installed import Installed

    installed = Installed(state_dir())
    with _told():
        before = installed.roll_back()
    _leave_safe_mode()
    emit({"folder": before}, lambda v: click.echo(f"Back to {_told_state(installed, v['folder'])}."))
    take_effect(now=restart)


def _told_state(installed: Installed, folder: str) -> str:
    """What a state holds, in words."""
    from appliance.kit.installed import CannotInstall

    if not folder:
        return "no installed plugins"
    try:
        roots = installed.read(installed.home / folder).roots
    except CannotInstall:
        return folder
    return ", ".join(f"{r.name} {r.version}" for r in roots) or "no installed plugins"


def _ours() -> list[str]:
    """Ids of the plugins that came with the appliance."""
    from appliance.host import loader

    return [loaded.id for loaded in loader.discover(safe_mode=True).found if loaded.builtin]


@click.command("remove")
@click.argument("name")
@_now
def plugin_remove(name: str, *, restart: bool) -> None:
    """Take an installed plugin away, with what only it needed; `rollback` brings it back."""
    from appliance.kit import wheels
    from appliance.kit.installed import Installed

    installed = Installed(state_dir())
    with _told(), installed.draft() as folder:
        roots = wheels.without(installed, folder, name)
        installed.keep(folder, roots, f"removed {name}")
    _leave_safe_mode()
    emit({"removed": name}, lambda _: click.echo(f"{printable(name)} is removed."))
    take_effect(now=restart)


@click.command("installed")
def plugin_installed() -> None:
    """What was installed on this box: versions, where from, whether the files are still the same, and what was done."""
    from appliance.kit.installed import Installed, overview

    installed = Installed(state_dir())
    with _told():
        emit(overview(installed), _tell_overview)


def _tell_overview(value: Any) -> None:
    rows = [(r["name"], r["version"], ", ".join(r["plugins"]), r["source"]) for r in value["installed"]]
    table(("distribution", "version", "plugins", "from"), rows)
    for name in value["changed"]:
        click.secho(f"changed since it was installed: {printable(name)}", fg="red")
    for line in value["history"][:10]:
        when = dt.datetime.fromtimestamp(line["ts"], dt.UTC).isoformat(sep=" ", timespec="seconds")
        click.echo(f"{when}  {printable(line['what'])}")


@click.command("safe-mode")
@click.argument("switch", type=click.Choice(["on", "off"]))
@_now
def plugin_safe_mode(switch: str, *, restart: bool) -> None:
    """With the next start, leave other people's plugins out (on), or try them again (off)."""
    from appliance.host.starts import Starts

    starts = Starts(state_dir())
    if switch == "on":
        starts.enter("somebody asked for it")
    else:
        starts.leave()
    emit({"safe_mode": switch == "on"}, lambda _: click.echo(f"Safe mode is {switch}."))
    take_effect(now=restart)


def _leave_safe_mode() -> None:
    from appliance.host.starts import Starts

    if Starts(state_dir()).leave():
        click.echo("Safe mode ends with the next start.", err=True)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    from appliance.kit.installed import CannotInstall

    try:
        yield
    except CannotInstall as why:
        raise Failure(str(why), 1, why.remedy) from None
    except PermissionError as error:
        raise Failure(
            f"you may not change {error.filename}", 4, "ask as the appliance's user or as root (sudo)"
        ) from None
    except OSError as error:
        raise Failure(f"{error.filename or 'the state folder'}: {error.strerror}") from None
