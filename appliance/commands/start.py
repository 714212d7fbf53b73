"""Commands that read a configuration: run it, check it, explain it."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.api.cli import Failure, admin, call_options, emit, path_part, printable, wants_json

if TYPE_CHECKING:
    from appliance.core.config import Config, Layer
    from appliance.host.loader import Plugins

EX_CONFIG = 78


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
@click.option(
    "--user", metavar="NAME", help="Started as root, become this user; the same as --set appliance.user=NAME."
)
@click.option("--safe-mode", is_flag=True, help="Only the plugins that came with the appliance.")
@click.option("--log-format", type=click.Choice(["auto", "text", "journal", "json"]), default="auto")
def run(
    assignments: tuple[str, ...],
    plugin_dirs: tuple[Path, ...],
    user: str | None,
    safe_mode: bool,
    log_format: str,
) -> None:
    """Run the appliance in the foreground until SIGTERM."""
    options = call_options()
    if user is not None:
        assignments = (*assignments, f"appliance.user={json.dumps(user)}")
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
    sys.exit(_serve(config, call_options().get("state_dir"), assignments, (), False, "auto"))  # noqa: FBT003


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
        plane = choose(config.appliance.dataplane, confined=config.appliance.sandbox)
    except BadConfig as bad:
        _print_problems(bad)
        return EX_CONFIG
    except ValueError as error:
        click.echo(f"{config_file}: appliance.dataplane: {error}", err=True)
        return EX_CONFIG
    logs.configure(config.appliance.log_level, log_format)  # type: ignore[arg-type]
    refused = _change_user(config, config_file)
    if refused is not None:
        return refused

    def reread() -> Config:
        return _validate(read_layers(config_file, state, assignments), plugins)

    host = Host(config, plugins, plane, version=version("timeball"))
    return asyncio.run(serve(host, reread))


def _change_user(config: Config, config_file: Path) -> int | None:
    """Give up root where the configuration says so, before anything listens; an exit code when that cannot be done."""
    import logging

    from appliance.host import privileges

    log = logging.getLogger("timeball.host")
    name = config.appliance.user
    if not name:
        if privileges.own_rights().root:
            log.warning("runs as root: %s", privileges.ADVICE)
        return None
    try:
        privileges.become(privileges.find_user(name), Path(config.appliance.state_dir).absolute())
    except ValueError as error:
        click.echo(f"{config_file}: appliance.user: {error}", err=True)
        return EX_CONFIG
    except OSError as error:
        click.echo(f"the state folder cannot be given to {name}: {error}", err=True)
        return 1
    if hidden := privileges.unreadable(Path(json.__file__), Path(privileges.__file__)):
        click.echo(
            f"{name} cannot read the program itself ({hidden[0]}): install it where that user can", err=True
        )
        return 1
    if hidden := privileges.unreadable(config_file):
        log.warning("%s cannot read %s: SIGHUP will not find a new configuration", name, hidden[0])
    log.info("runs as %s", name)
    return None


@click.command()
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE")
def check(assignments: tuple[str, ...]) -> None:
    """Check a configuration file: every problem at once, without starting anything."""
    from appliance.core.config import BadConfig

    options = call_options()
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


@click.group("config")
def config_group() -> None:
    """Look at the configuration."""


@config_group.command("explain")
@click.argument("key")
def config_explain(key: str) -> None:
    """What a key means, its value, and which layer decided it."""
    from appliance.core.config import BadConfig
    from appliance.host.explain import explain

    options = call_options()
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
