"""The command line: the host's own commands; every plugin adds its own through the `commands` hook."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.api.cli import Failure, admin, emit, path_part, printable, state_dir, table, wants_json

if TYPE_CHECKING:
    from appliance.core.config import Config, Layer
    from appliance.host.loader import Plugins

EX_CONFIG = 78
COMMON = ("json", "state_dir", "config")


def main() -> None:
    """Entry point of `timeball`."""
    build()(prog_name="timeball")


def build() -> click.Group:
    """The whole command tree, with the commands of every plugin that can be loaded."""
    from appliance.host import collect, loader

    root = click.Group(
        "timeball", help=__doc_root__, context_settings={"help_option_names": ["-h", "--help"]}
    )
    root = click.version_option(version("timeball"), prog_name="timeball")(root)
    for command in (run, check, demo, doctor, config_group, plugin_group, api):
        root.add_command(command)
    plugins = loader.discover(_drop_in_folders())
    for loaded in plugins.good():
        if "commands" in loaded.hooks:
            try:
                collect.call(plugins, loaded, "commands", cli=root)
            except Exception as error:  # noqa: BLE001 - one plugin's broken command must not take the others away
                click.echo(
                    f"warning: the commands of the plugin {loaded.id} cannot be used: {error}", err=True
                )
    _add_common_options(root)
    return root


__doc_root__ = """A regional NTP pool in a box: serves time, watches the members, answers DNS with the healthy ones.

\b
  timeball run --config FILE          start the appliance
  timeball demo                       start one to play with, on loopback
  timeball member list                who is in the pool, and why
  timeball dns answer 0.pool.example  what clients get, and why
"""


# -- run and check ------------------------------------------------------------------------------------------------------


@click.command()
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key, such as plugins.dns.ttl=60.",
)
@click.option(
    "--plugin-dir",
    "plugin_dirs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="One more folder of drop-in plugins.",
)
@click.option("--safe-mode", is_flag=True, help="Only the plugins that came with the appliance.")
@click.option("--log-format", type=click.Choice(["auto", "text", "journal", "json"]), default="auto")
def run(
    assignments: tuple[str, ...], plugin_dirs: tuple[Path, ...], safe_mode: bool, log_format: str
) -> None:
    """Run the appliance in the foreground until SIGTERM."""
    options = _meta()
    if not options.get("config"):
        raise click.UsageError("run needs --config FILE (or use `timeball demo`)")
    sys.exit(
        _serve(
            Path(options["config"]), options.get("state_dir"), assignments, plugin_dirs, safe_mode, log_format
        )
    )


@click.group(invoke_without_command=True)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE")
@click.pass_context
def demo(context: click.Context, assignments: tuple[str, ...]) -> None:
    """Run a complete pool on loopback with simulated members, one of them wrong."""
    if context.invoked_subcommand is not None:
        return
    config = Path(str(files("appliance.host") / "demo.toml"))
    click.echo(
        "A pool to play with: http://127.0.0.1:8080/   NTP 127.0.0.1:11123   DNS 127.0.0.1:11053   (Ctrl-C ends it)",
        err=True,
    )
    sys.exit(_serve(config, _meta().get("state_dir"), assignments, (), False, "auto"))  # noqa: FBT003


def _serve(config_file: Path, state: str | None, assignments: tuple[str, ...], plugin_dirs: tuple[Path, ...],
           safe_mode: bool, log_format: str) -> int:  # fmt: skip
    from appliance.core import logs
    from appliance.core.config import BadConfig
    from appliance.core.layers import read_layers
    from appliance.dataplane import choose
    from appliance.host.app import Host
    from appliance.host.process import serve

    try:
        config, plugins = _load(config_file, state, assignments, plugin_dirs, safe_mode=safe_mode)
        plane = choose(config.appliance.dataplane)
    except BadConfig as bad:
        _print_problems(bad)
        return EX_CONFIG
    except ValueError as error:
        click.echo(f"{config_file}: appliance.dataplane: {error}", err=True)
        return EX_CONFIG
    logs.configure(config.appliance.log_level, log_format)  # type: ignore[arg-type]

    def reread() -> Config:
        return _validate(read_layers(config_file, state, assignments), plugins)

    host = Host(config, plugins, plane, version=version("timeball"))
    return asyncio.run(serve(host, reread))


@click.command()
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE")
def check(assignments: tuple[str, ...]) -> None:
    """Check a configuration file: every problem at once, without starting anything."""
    from appliance.core.config import BadConfig

    options = _meta()
    if not options.get("config"):
        raise click.UsageError("check needs --config FILE")
    try:
        _, plugins = _load(Path(options["config"]), options.get("state_dir"), assignments, ())
    except BadConfig as bad:
        _print_problems(bad)
        sys.exit(EX_CONFIG)
    broken = [p for p in plugins.found if p.error]
    for loaded in broken:
        click.echo(f"warning: the plugin {loaded.id} ({loaded.origin}) {loaded.error}", err=True)
    emit({"ok": True, "problems": []}, lambda _: click.echo(f"{options['config']}: all good"))


def _print_problems(bad: Any) -> None:
    if wants_json():
        click.echo(json.dumps({"ok": False, "problems": [p.as_dict() for p in bad.problems]}, indent=2))
        return
    for problem in bad.problems:
        click.echo(printable(problem), err=True)
    count = len(bad.problems)
    click.echo(f"{count} problem{'s' if count != 1 else ''}: nothing was started", err=True)


def _load(config_file: Path, state: str | None, assignments: tuple[str, ...], plugin_dirs: tuple[Path, ...],
          *, safe_mode: bool = False) -> tuple[Config, Plugins]:  # fmt: skip
    from appliance.core.config import merge
    from appliance.core.layers import named_state_dir, read_layers
    from appliance.host import loader

    layers = read_layers(config_file, state, assignments)
    named = merge(layers).get("appliance", {})
    named = named if isinstance(named, dict) else {}
    folders = [named_state_dir(layers) / "plugins"]
    extra = named.get("plugin_dirs", [])
    folders += [Path(str(folder)) for folder in extra] if isinstance(extra, list) else []
    plugins = loader.discover([*folders, *plugin_dirs], safe_mode=safe_mode or named.get("safe_mode") is True)
    return _validate(layers, plugins), plugins


def _validate(layers: list[Layer], plugins: Plugins) -> Config:
    from appliance.core.config_check import validate

    models = {p.id: p.info.config for p in plugins.good() if p.info is not None}
    return validate(layers, models, unchecked=[p.id for p in plugins.found if p.error])


# -- asking the running appliance ---------------------------------------------------------------------------------------


@click.command()
def doctor() -> None:
    """Ask the running appliance what is wrong and what to do about it."""
    health = admin().get("/api/v1/health")

    def show(value: Any) -> None:
        colour = {"ok": "green", "degraded": "yellow", "failing": "red"}[value["status"]]
        click.secho({"ok": "All is well.", "degraded": "It works, but not everything is right.",
                     "failing": "Something is failing."}[value["status"]], fg=colour, bold=True)  # fmt: skip
        for problem in value["problems"]:
            click.echo(f"  {problem['level']:8} {problem['source']}: {printable(problem['text'])}")
            if problem["remedy"]:
                click.echo(f"           -> {problem['remedy']}")

    emit(health, show)
    sys.exit({"ok": 0, "degraded": 7, "failing": 8}[health["status"]])


@click.group("config")
def config_group() -> None:
    """Look at the configuration."""


@config_group.command("explain")
@click.argument("key")
def config_explain(key: str) -> None:
    """What a key means, its value, and which layer decided it."""
    from appliance.core.config import BadConfig
    from appliance.host.explain import explain

    options = _meta()
    if options.get("config"):
        try:
            loaded, plugins = _load(Path(options["config"]), options.get("state_dir"), (), ())
        except BadConfig as bad:
            _print_problems(bad)
            sys.exit(EX_CONFIG)
        from appliance.api.errors import NotFound
        from appliance.core.routes import plain

        try:
            value = plain(explain(loaded, {p.id: p.info.config for p in plugins.good() if p.info}, key))
        except NotFound as error:
            raise Failure(str(error), 5) from None
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


@click.group("plugin")
def plugin_group() -> None:
    """Look at plugins."""


@plugin_group.command("list")
def plugin_list() -> None:
    """Every plugin with its state and why."""

    def show(plugins: Any) -> None:
        rows = [(p["id"], p["state"], p["restarts"], p["origin"], p["why"] or p["text"]) for p in plugins]
        table(("plugin", "state", "restarts", "origin", "what"), rows, right=("restarts",))

    emit(admin().get("/api/v1/plugins"), show)


def _not_there_yet(name: str, does: str) -> None:
    """A command that the contract promises and this version does not have: it says so, whatever it is given."""

    @plugin_group.command(
        name, help=f"{does} Not there yet.", context_settings={"ignore_unknown_options": True}
    )
    @click.argument("words", nargs=-1, metavar="...")
    def later(words: tuple[str, ...]) -> None:
        raise Failure(
            f"`timeball plugin {name}` is not there yet in timeball {version('timeball')}; nothing was changed",
            remedy="the manual's page on plugins says how to write one and where to put it",
        )


_not_there_yet("new", "Write the skeleton of a plugin.")
_not_there_yet("test", "Check a plugin in an appliance of its own.")
_not_there_yet("install", "Install a plugin from a wheel.")
_not_there_yet("rollback", "Go back to the plugins before the last installation.")


@plugin_group.command("retry")
@click.argument("plugin_id")
def plugin_retry(plugin_id: str) -> None:
    """Try a failed or waiting plugin again now."""
    emit(
        admin().post(f"/api/v1/plugins/{path_part(plugin_id)}/retry"),
        lambda p: click.echo(f"{p['id']}: {p['state']}"),
    )


@click.command()
@click.argument("path")
@click.option("-X", "method", default="GET", help="HTTP method.")
@click.option("-d", "data", default=None, help="JSON body.")
def api(path: str, method: str, data: str | None) -> None:
    """Send one request to the running appliance's API, such as /api/v1/members."""
    try:
        body = None if data is None else json.loads(data)
    except ValueError as error:
        raise Failure(f"the body is not JSON: {error}", 2) from None
    value = admin().ask(method.upper(), path, body=body)
    click.echo(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))


# -- options that every command takes -----------------------------------------------------------------------------------


def _add_common_options(root: click.Group) -> None:
    """--json, --state-dir and --config are taken by every command, before or after its name."""

    def walk(command: click.Command) -> None:
        taken = {name for parameter in command.params for name in parameter.opts}
        command.params += [option for option in _common() if option.opts[0] not in taken]
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                walk(inner)

    walk(root)


def _common() -> list[click.Option]:
    def remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            context.find_root().meta.setdefault("timeball", {})[str(parameter.name)] = value

    common: dict[str, Any] = {"expose_value": False, "callback": remember, "is_eager": True}
    return [
        click.Option(["--json"], is_flag=True, help="Print JSON.", **common),
        click.Option(["--state-dir"], metavar="DIR", help="The appliance's state folder.", **common),
        click.Option(["--config"], metavar="FILE", help="The appliance's configuration file.", **common),
    ]


def _meta() -> dict[str, Any]:
    return click.get_current_context().find_root().meta.setdefault("timeball", {})  # type: ignore[no-any-return]


def _drop_in_folders() -> list[Path]:
    """Where commands of drop-in plugins may come from: decided before the line is parsed, so from the environment."""
    folder = os.environ.get("TIMEBALL_STATE_DIR")
    return [Path(folder) / "plugins"] if folder else []


__all__ = ["build", "main", "state_dir"]
