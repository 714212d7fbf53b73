"""`timeball doctor`: what is wrong, how that shows, why it matters, and what to do."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click

from appliance.api.cli import EXIT_UNREACHABLE, Failure, admin, call_options, emit, path_part, printable

_COLOURS = {"failing": "red", "degraded": "yellow", "info": "blue", "ok": "green"}
_EXIT = {"ok": 0, "degraded": 7, "failing": 8}


@click.command()
@click.option("--all", "everything", is_flag=True, help="Show also what is well.")
@click.option(
    "--fix", "fix", metavar="ID", default=None, help="Mend one finding; says first what it will do."
)
@click.option("--undo", "undo", metavar="ID", default=None, help="Take back what was mended.")
@click.option("--yes", is_flag=True, help="Do not ask before mending.")
def doctor(everything: bool, fix: str | None, undo: str | None, yes: bool) -> None:
    """Look for what is wrong: evidence, why it matters, and the remedy. Changes nothing unless --fix is given.

    Without a running appliance, `--config FILE` has the box itself examined: ports, disk, clock, network, settings.
    """
    value, local = _examined()
    if fix or undo:
        _mend(value, local, fix or undo or "", undo=undo is not None, yes=yes)
        return
    emit(value, lambda found: _show(found, everything=everything))
    sys.exit(_EXIT[value["status"]])


def _examined() -> tuple[Any, _Local | None]:
    """Of the running appliance, else of the box as --config would have it."""
    try:
        return admin().get("/api/v1/doctor"), None
    except Failure as failure:
        if vars(failure)["exit_code"] != EXIT_UNREACHABLE or not call_options().get("config"):
            raise
    local = _Local()
    return local.examined(), local


def _show(value: Any, *, everything: bool) -> None:
    click.secho(printable(value["verdict"]), fg=_COLOURS[value["status"]], bold=True)
    for check in value["checks"]:
        if check["level"] == "ok" and not everything:
            continue
        click.echo()
        click.secho(f"{check['level']:9}", fg=_COLOURS[check["level"]], nl=False)
        click.echo(f"{printable(check['text'])}  [{check['id']}]")
        for line in check["evidence"]:
            click.echo(f"  seen     {printable(line)}")
        if check["level"] != "ok" and check["why"]:
            click.echo(f"  why      {check['why']}")
        if check["level"] != "ok" and check["remedy"]:
            click.echo(f"  remedy   {printable(check['remedy'])}")
        for command in check["commands"]:
            click.echo(f"           $ {printable(command)}")
        if check["fix"]:
            sudo = "sudo " if check["fix"]["root"] and os.geteuid() != 0 else ""
            click.echo(f"  mend     {sudo}timeball doctor --fix {check['id']}")
    if "plane" in value:
        click.echo()
        for line in _how_it_runs(value):
            click.echo(line)
        for advice in value["advice"]:
            click.echo(f"advice      {printable(advice['text'])}")
            click.echo(f"            -> {advice['remedy']}")


def _how_it_runs(value: Any) -> list[str]:
    plane, process = value["plane"], value["process"]
    sandbox = "on" if plane["sandbox"]["on"] else f"off: {plane['sandbox']['why']}"
    threads = f"{plane['workers']} thread{'s' if plane['workers'] != 1 else ''} for each address"
    may = ", ".join(process["capabilities"]) or "none"
    return [
        f"data plane  {plane['name']}, because {plane['why']}; {threads}; sandbox {sandbox}",
        f"runs as     {process['user']}; privileges: {may}",
    ]


def _mend(value: Any, local: _Local | None, key: str, *, undo: bool, yes: bool) -> None:
    check = next((c for c in value["checks"] if c["id"] == key), None)
    if not undo:
        if check is None:
            known = ", ".join(c["id"] for c in value["checks"] if c["fix"]) or "nothing"
            raise Failure(f"there is no finding {key}; what can be mended now: {known}", 5)
        if check["fix"] is None:
            raise Failure(f"{key} has to be mended by hand", 1, check["remedy"])
        click.echo(check["fix"]["says"], err=True)
        for command in check["commands"]:
            click.echo(f"  $ {command}", err=True)
    if not yes:
        click.confirm("Do it?" if not undo else f"Take back what was done about {key}?", abort=True, err=True)
    root = check is not None and check["fix"] is not None and check["fix"]["root"]
    if local is None and (root or (undo and key.startswith("box."))) and os.geteuid() == 0:
        local = _Local()  # root is here, and the appliance need not be
    if local is not None:
        done = local.undo(key) if undo else local.fix(key)
    else:
        done = admin().post(f"/api/v1/doctor/{path_part(key)}/{'undo' if undo else 'fix'}")["done"]
    emit({"id": key, "done": done}, lambda v: click.echo(printable(v["done"])))


def _config_of_the_running() -> str:
    """The first file that the running appliance reads."""
    layers = admin().get("/api/v1/config")["layers"]
    found = next((layer for layer in layers if str(layer).startswith("/")), None)
    if found is None:
        raise Failure("name the configuration with --config FILE", 2)
    return str(found)


class _Local:
    """The box examined by this command itself."""

    def __init__(self) -> None:
        from appliance.commands.start import EX_CONFIG, load, print_problems
        from appliance.core.config import BadConfig
        from appliance.doctor.surroundings import Surroundings, doors
        from appliance.settings.sources import Sources

        options = call_options()
        file = options.get("config") or _config_of_the_running()
        try:
            config, plugins = load(Sources(Path(file), options.get("state_dir")))
        except BadConfig as bad:
            print_problems(bad)
            sys.exit(EX_CONFIG)
        wanted = {
            p.id: (p.info.title, config.plugins.get(p.id), p.info.needs)
            for p in plugins.good()
            if p.info is not None and config.enabled.get(p.id, p.info.enabled)
        }
        self._around = Surroundings(config, tuple(doors(wanted, lambda _: False)), running=False)

    def examined(self) -> Any:
        from appliance.core.plain_json import plain
        from appliance.doctor import judge

        results = self._results()
        level, line = judge.verdict(results)
        return plain({
            "status": level, "verdict": f"No appliance is running; the box was examined. {line}",
            "checks": [r.as_dict() for r in results], "undoable": [],
            "problems": [{"source": r.id, "level": r.level, "text": r.text, "remedy": r.remedy}
                         for r in results if r.level in ("failing", "degraded")],
        })  # fmt: skip

    def fix(self, key: str) -> str:
        from appliance.api.errors import ApiError

        found = next((r for r in self._results() if r.id == key and r.fix is not None), None)
        if found is None or found.fix is None:
            raise Failure(f"{key} cannot be mended from here", 5)
        try:
            return asyncio.run(_awaited(found.fix.apply()))
        except (ApiError, OSError) as error:
            raise Failure(str(error)) from None

    def undo(self, key: str) -> str:
        """Repairs are known by name: nothing that a file says is ever run."""
        from appliance.api.errors import ApiError
        from appliance.doctor.fixes import undo_for

        fix = undo_for(key, self._around)
        if fix is None or fix.undo is None:
            raise Failure(f"there is nothing to take back about {key}", 5)
        try:
            return asyncio.run(_awaited(fix.undo()))
        except (ApiError, OSError) as error:
            raise Failure(str(error)) from None

    def _results(self) -> Any:
        from appliance.doctor import box, judge

        return asyncio.run(judge.examine(box.checks(self._around)))


async def _awaited(what: Any) -> str:
    return str(await what)
