"""Commands for people who write plugins: they need no running appliance."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.api.cli import Failure, call_options, emit, printable

if TYPE_CHECKING:
    from appliance.kit.quality import Quality


def register(group: click.Group) -> None:
    """Add the commands to `timeball plugin`."""
    for command in (plugin_new, plugin_test):
        group.add_command(command)


@click.command("new")
@click.argument("name")
@click.option("--hooks", metavar="A,B", help="What it shall bring; all for everything. Asked when left out.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Where to; ./timeball-NAME otherwise.")
@click.option("--single-file", is_flag=True, help="One NAME.py for a drop-in folder, not a package.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def plugin_new(name: str, hooks: str | None, folder: Path | None, *, single_file: bool, yes: bool) -> None:
    """Write the skeleton of a plugin: each hook with an example that works and its test. Works offline."""
    from appliance.kit import naming, skeleton

    if why := naming.refusal(name, _taken()):
        raise Failure(why, 2)
    wanted = skeleton.Wanted(name, skeleton.with_needs(_hooks(hooks, ask=not yes and _on_a_terminal())))
    if single_file:
        files, folder = skeleton.single_file(wanted), folder or Path()
        taken = [folder / file for file in files if (folder / file).exists()]
    else:
        files, folder = skeleton.package(wanted), folder or Path(f"timeball-{name.replace('_', '-')}")
        taken = [folder] if folder.is_file() or (folder.is_dir() and any(folder.iterdir())) else []
    if taken:
        raise Failure(f"{taken[0]} is there already; nothing was written", 6, "name another place with --dir")
    try:
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{folder} cannot be written: {error.strerror}") from None
    written = {"id": name, "folder": str(folder), "files": sorted(files), "hooks": ["setup", *wanted.hooks]}
    emit(written, _tell)


@click.command("test")
@click.argument("path", type=click.Path(path_type=Path))
def plugin_test(path: Path) -> None:
    """Check the plugin at PATH: its own tests, and what is asked of any plugin, in a process of its own.

    PATH is a folder with a pyproject.toml, a package, or one .py file. Keys that have no default are taken from the
    plugin's table in --config FILE.
    """
    from appliance.kit import trial

    try:
        place = trial.find(path)
    except trial.CannotTry as why:
        raise Failure(str(why), 2) from None
    tests = trial.own_tests(place)
    tried = trial.examine(path, tables(), tests)
    found: list[dict[str, Any]] = [{"check": "own-tests", **tests, "remedy": ""}, *tried.checks]
    if tried.quality is not None:
        found.append(_told_quality(tried.quality))
    emit(found, tell_found)
    sys.exit(1 if failed_checks(found) else 0)


def _told_quality(found: Quality) -> dict[str, Any]:
    """The checklist as one more check: it fails where something is called done that was seen not to be."""
    false = [f"{rule} is called done, and {why}" for rule, why in found.refuted]
    missing = found.missing()
    ahead = "; ".join(f"{rule} ({why})" for rule, why in missing.items())
    level = f"level {found.level}" if found.level else "no level yet"
    return {
        "check": "quality", "state": "failed" if false or found.faults else "passed",
        "why": "; ".join([*found.faults, *false]) or level + (f"; for the next: {ahead}" if ahead else ""),
        "remedy": "do it, or say \"todo\" in quality.toml" if false else "",
        "level": found.level, "missing": missing, "seen": list(found.seen),
    }  # fmt: skip


def tables() -> dict[str, Any]:
    """The tables of plugins in --config FILE; the trial takes that of its plugin."""
    named = call_options().get("config")
    if not named:
        return {}
    try:
        tables = tomllib.loads(Path(named).read_text(encoding="utf-8")).get("plugins", {})
    except (OSError, ValueError) as error:
        raise Failure(f"{named} cannot be read: {error}", 78) from None
    return tables if isinstance(tables, dict) else {}


def failed_checks(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the checks that failed."""
    return [str(entry["check"]) for entry in found if entry["state"] == "failed"]


def tell_found(found: Any) -> None:
    """A line for each check, with why and what to do."""
    from appliance.testing.contract.outcome import NOTHING

    colours = {"passed": "green", "failed": "red", "exempt": "yellow", "skipped": "bright_black"}
    idle = [entry["check"] for entry in found if entry["why"] == NOTHING]
    for entry in found:
        if entry["why"] == NOTHING:
            continue
        click.secho(f"{entry['state']:8}", fg=colours[entry["state"]], nl=False)
        click.echo(f" {entry['check']:22} {printable(entry['why'])}".rstrip())
        if entry["remedy"]:
            click.echo(f"         -> {printable(entry['remedy'])}")
    if idle:
        click.secho(f"skipped  {', '.join(idle)}: {NOTHING}", fg=colours["skipped"])
    failed = len(failed_checks(found))
    click.echo(f"{failed} of {len(found)} checks failed" if failed else "It keeps the contract.")


def _tell(written: Any) -> None:
    folder = Path(written["folder"])
    for file in written["files"]:
        click.echo(f"  {folder / file}")
    tested = folder / written["files"][0] if len(written["files"]) == 1 else folder
    click.echo(f"Written. Now:  timeball plugin test {tested}")


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()


def _hooks(text: str | None, *, ask: bool) -> tuple[str, ...]:
    from appliance.kit import skeleton

    if text is None and ask:
        for hook in skeleton.HOOKS:
            click.echo(f"  {hook:16} {skeleton.about(hook)}")
        text = click.prompt("What shall it bring", default=",".join(skeleton.USUAL))
    if text is None:
        return skeleton.USUAL
    if text.strip() == "all":
        return skeleton.HOOKS
    named = tuple(word for word in text.replace(" ", ",").split(",") if word and word != "setup")
    if unknown := [hook for hook in named if hook not in skeleton.HOOKS]:
        raise Failure(f"there is no hook {unknown[0]!r}; there are: {', '.join(skeleton.HOOKS)}", 2)
    return named


def _taken() -> set[str]:
    """Names that plugins and commands of the appliance have."""
    from appliance.host import loader

    root = click.get_current_context().find_root().command
    commands = set(root.commands) if isinstance(root, click.Group) else set()
    return commands | {p.id for p in loader.discover().good() if p.builtin} | {"appliance", "host", "test"}
