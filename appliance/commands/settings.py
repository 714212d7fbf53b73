"""`timeball config`: look at the configuration, explain it, change it, take changes back.

A running appliance makes the change itself; without one, the files named by --config are changed in the same way and
count from the next start.
"""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.api.cli import (
    EXIT_BY_STATUS,
    EXIT_UNREACHABLE,
    Failure,
    admin,
    call_options,
    emit,
    path_part,
    printable,
    table,
)
from appliance.commands.start import EX_CONFIG, load, print_problems

if TYPE_CHECKING:
    from appliance.core.config import Config
    from appliance.settings.editor import Editor, Plan
    from appliance.settings.history import History

_WAIT_S = 180.0


@click.group("config")
def config_group() -> None:
    """Look at the configuration and change it."""


@config_group.command("explain")
@click.argument("key")
def config_explain(key: str) -> None:
    """What a key means, its value, and which layer decided it."""
    if call_options().get("config"):
        offline = _Offline.open()
        with _failures():
            value = offline.explain(key)
    else:
        value = admin().get(f"/api/v1/config/{path_part(key)}")

    def show(found: Any) -> None:
        unit = f" {found['unit']}" if found["unit"] else ""
        click.echo(f"{found['key']} = {found['value']!r}{unit}   ({found['decided_by']})")
        click.echo(f"  {found['help']}")
        click.echo(
            f"  default {found['default']!r}{unit}; a change {'takes effect at once (SIGHUP)' if found['change'] == 'live' else found['change']}"
        )
        for layer in found["layers"]:
            place = f"{layer['layer']}:{layer['line']}" if layer["line"] else layer["layer"]
            click.echo(f"  {place}: {layer['value']!r}")

    emit(value, show)


@config_group.command("get")
@click.argument("key")
def config_get(key: str) -> None:
    """The value of one key, alone."""
    if call_options().get("config"):
        offline = _Offline.open()
        with _failures():
            value = offline.explain(key)["value"]
    else:
        value = admin().get(f"/api/v1/config/{path_part(key)}")["value"]
    emit(value, lambda found: click.echo(printable(_as_toml(found))))


@config_group.command("set")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE ...")
@click.option("--dry-run", is_flag=True, help="Show the difference and what it would do; write nothing.")
@click.option("--wait/--no-wait", default=True, help="Wait until the change has proved itself.")
def config_set(assignments: tuple[str, ...], dry_run: bool, wait: bool) -> None:
    """Set keys, such as dns.ttl=60; the file keeps its comments."""
    from appliance.settings.asked import value_of

    wanted = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"expected KEY=VALUE such as dns.ttl=60, got {text!r}")
        wanted[key.strip()] = value_of(value.strip())
    _change({"set": wanted, "dry_run": dry_run}, wait=wait)


@config_group.command("unset")
@click.argument("keys", nargs=-1, required=True, metavar="KEY ...")
@click.option("--dry-run", is_flag=True, help="Show the difference and what it would do; write nothing.")
@click.option("--wait/--no-wait", default=True, help="Wait until the change has proved itself.")
def config_unset(keys: tuple[str, ...], dry_run: bool, wait: bool) -> None:
    """Take keys back to their defaults."""
    _change({"unset": list(keys), "dry_run": dry_run}, wait=wait)


@config_group.command("history")
def config_history() -> None:
    """The last changes, the latest first."""

    def show(found: Any) -> None:
        rows = [
            (e["id"], time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(e["ts"])), e["actor"],
             e["state"] + (f" ({e['why']})" if e["why"] else ""), ", ".join(e["keys"]))
            for e in found
        ]  # fmt: skip
        if rows:
            table(("change", "UTC", "who", "state", "keys"), rows, right=("change",))
        else:
            click.echo("nothing was changed yet")

    emit(_ask("GET", "/changes", lambda offline: offline.entries()), show)


@config_group.command("diff")
@click.argument("number", type=int)
def config_diff(number: int) -> None:
    """What one change did to the files."""
    found = _ask("GET", f"/changes/{number}", lambda offline: offline.entry(number))
    emit(found, lambda e: click.echo(e["diff"]), several_lines=("diff",))


@config_group.command("undo")
@click.argument("number", type=int, required=False)
@click.option("--dry-run", is_flag=True, help="Show the difference; write nothing.")
@click.option("--wait/--no-wait", default=True, help="Wait until it has proved itself.")
def config_undo(number: int | None, dry_run: bool, wait: bool) -> None:
    """Take back the last change, or the one with this number."""
    if number is None:
        entries = _ask("GET", "/changes", lambda offline: offline.entries())
        number = _latest_in_force(entries)
        if number is None:
            raise Failure("there is no change to take back", 5)
    chosen: int = number
    body = {"dry_run": dry_run}
    answer = _ask(
        "POST", f"/changes/{chosen}/undo", lambda offline: offline.undo(chosen, dry_run=dry_run), body=body
    )
    _tell(answer, dry_run=dry_run, wait=wait)


def _latest_in_force(entries: Sequence[Mapping[str, Any]]) -> int | None:
    """Id of the newest change that was neither taken back by itself nor by a later one; entries come newest first."""
    undone: set[int] = set()
    for entry in entries:
        if entry["state"] == "reverted" or entry["id"] in undone:
            continue
        if not entry["undoes"]:
            return int(entry["id"])
        undone.add(entry["undoes"])
    return None


@config_group.command("keep")
@click.argument("number", type=int)
def config_keep(number: int) -> None:
    """Confirm a change that is taken back otherwise."""
    answer = admin().post(f"/api/v1/config/changes/{number}/keep")
    emit(answer, lambda e: click.echo(f"change {e['id']}: {e['state']}"))


# -- with or without an appliance -----------------------------------------------------------------------------------------


def _change(body: dict[str, Any], *, wait: bool) -> None:
    answer = _ask("PATCH", "", lambda offline: offline.change(body), body=body)
    _tell(answer, dry_run=body["dry_run"], wait=wait)


def _ask(method: str, path: str, offline: Callable[[_Offline], Any], *, body: Any = None) -> Any:
    """Of the running appliance, else of the files, when --config names them."""
    try:
        return admin().ask(method, f"/api/v1/config{path}", body=body)
    except Failure as failure:
        if vars(failure)["exit_code"] != EXIT_UNREACHABLE or not call_options().get("config"):
            raise
    opened = _Offline.open()
    with _failures():
        return offline(opened)


def _tell(answer: Any, *, dry_run: bool, wait: bool) -> None:
    made = answer.get("change")
    if made and wait and made["state"] not in ("kept", "reverted", "written"):
        if made["state"] == "waiting":
            click.echo(_confirmation(answer, made), err=True)
        made = answer["change"] = _settled(made)

    def show(found: Any) -> None:
        made = found.get("change")
        if found["diff"]:
            click.echo(found["diff"])
        for note in found["notes"]:
            click.echo(f"note: {note}")
        for effect in found["effects"]:
            click.echo(f"{effect['key']}: {_HOW[effect['how']].format(plugin=effect['plugin'])}")
        if not found["diff"]:
            click.echo("nothing to change")
        elif dry_run:
            click.echo("nothing was written (--dry-run)")
        elif made["state"] == "reverted":
            click.echo(f"change {made['id']} was taken back: {made['why']}")
        elif made["state"] == "written":
            click.echo("written; no appliance is running, so it counts from the next start")
        else:
            click.echo(
                f"change {made['id']}: {made['state']}; `timeball config undo {made['id']}` takes it back"
            )

    emit(answer, show, several_lines=("diff",))
    if made and made["state"] == "reverted":
        sys.exit(1)


_HOW = {
    "live": "takes effect at once",
    "plugin": "the plugin {plugin} starts again; the others go on",
    "process": "the appliance starts again",
    "start": "counts from the next start",
}


def _confirmation(answer: Any, made: Any) -> str:
    return (
        f"This could cut you off. It is taken back in {answer['confirm_s']:.0f} s unless you confirm it:\n"
        f"  timeball config keep {made['id']}"
    )


def _settled(made: Any) -> Any:
    """Wait until the change was judged; the appliance may be starting anew meanwhile."""
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        try:
            made = admin().get(f"/api/v1/config/changes/{made['id']}")
        except Failure as failure:
            if vars(failure)["exit_code"] != EXIT_UNREACHABLE:
                raise
        if made["state"] in ("kept", "reverted"):
            break
        time.sleep(0.2)  # noqa: TID251 - between two looks at the condition
    return made


class _Offline:
    """The files of an appliance that does not run."""

    def __init__(self, editor: Editor, config: Config, history: History | None) -> None:
        self._editor = editor
        self._config = config
        self._history = history

    @classmethod
    def open(cls) -> _Offline:
        """The files that --config names. Ends the command with 78 when they are wrong."""
        from appliance.core.config import BadConfig
        from appliance.settings.editor import Editor
        from appliance.settings.history import History
        from appliance.settings.sources import Sources

        options = call_options()
        sources = Sources(Path(options["config"]), options.get("state_dir"))
        try:
            config, plugins = load(sources)
        except BadConfig as bad:
            print_problems(bad)
            sys.exit(EX_CONFIG)
        models = {p.id: p.info.config for p in plugins.good() if p.info is not None}
        editor = Editor(sources, models, [p.id for p in plugins.found if p.error])
        state = Path(config.appliance.state_dir)
        return cls(editor, config, History(state / "config-history") if state.is_dir() else None)

    def explain(self, key: str) -> Any:
        from appliance.core.plain_json import plain
        from appliance.host.explain import explain
        from appliance.settings.editor import plain_value
        from appliance.settings.keys import parse_key

        found = explain(self._config, self._editor.models, key)
        path = parse_key(found["key"])
        for name in ("value", "default"):
            found[name] = self._editor.mask(plain_value(found[name]), path)
        found["layers"] = [
            entry | {"value": self._editor.mask(entry["value"], path)} for entry in found["layers"]
        ]
        return plain(found)

    def change(self, body: dict[str, Any]) -> Any:
        from appliance.settings import asked

        entries = asked.changes(
            body.get("set", {}), body.get("unset", []), self._config, self._editor.secrets
        )
        return self._make(self._editor.plan(entries), dry_run=body["dry_run"])

    def undo(self, number: int, *, dry_run: bool) -> Any:
        from appliance.api.errors import NotFound

        if self._history is None:
            raise NotFound(f"there is no change {number}")
        entry = self._history.get(number)
        return self._make(self._editor.restore(entry.files), dry_run=dry_run, undoes=number)

    def entries(self) -> list[Any]:
        return [self._told(e) for e in self._history.entries()] if self._history is not None else []

    def entry(self, number: int) -> Any:
        from appliance.api.errors import NotFound

        if self._history is None:
            raise NotFound(f"there is no change {number}")
        entry = self._history.get(number)
        return self._told(entry) | {"diff": self._editor.diff(entry.files)}

    def _make(self, plan: Plan, *, dry_run: bool, undoes: int = 0) -> Any:
        from appliance.core.clock import SystemClock
        from appliance.settings.history import Entry

        answer = {
            "diff": plan.diff, "files": [str(c.path) for c in plan.files], "notes": list(plan.notes),
            "effects": [{"key": key, "how": "start", "plugin": ""} for key in plan.keys],
            "how": "start", "revision": plan.revision, "change": None,
        }  # fmt: skip
        if dry_run or not plan.files:
            return answer
        self._editor.commit(plan)
        number = 0
        if self._history is not None:
            entry = Entry(
                0,
                SystemClock().wall_ns() / 1e9,
                f"local:{getpass.getuser()}",
                plan.keys,
                plan.files,
                undoes=undoes,
            )
            number = self._history.add(entry).id
        return answer | {"change": {"id": number, "state": "written", "why": ""}}

    @staticmethod
    def _told(entry: Any) -> Any:
        return {
            "id": entry.id, "ts": entry.ts, "actor": entry.actor, "keys": list(entry.keys), "state": entry.state,
            "why": entry.why, "undoes": entry.undoes or None, "files": [str(c.path) for c in entry.files],
        }  # fmt: skip


class _failures:  # noqa: N801 - reads as a statement
    """Turns what the editor refuses into the command's failure, as the running appliance's refusals are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from appliance.api.errors import ApiError

        if isinstance(error, ApiError):
            lines = "".join(f"\n  {key}: {message}" for key, message in error.errors.items())
            raise Failure(str(error) + lines, EXIT_BY_STATUS.get(error.status, 1)) from None


def _as_toml(value: Any) -> str:
    from appliance.settings.document import written

    if isinstance(value, str):
        return value
    return "" if value is None else written(value)
