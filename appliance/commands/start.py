"""Commands that start from a configuration: run it, check it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.api.cli import call_options, emit, printable, wants_json
from appliance.api.foreign import inert

if TYPE_CHECKING:
    from appliance.core.config import Config, Layer
    from appliance.host.loader import Plugins
    from appliance.host.starts import Starts
    from appliance.settings.sources import Sources

EX_CONFIG = 78


_set = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one key, such as plugins.dns.ttl=60.",
)
_plugin_dir = click.option(
    "--plugin-dir",
    "plugin_dirs",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="One more folder of drop-in plugins, or the project of one.",
)
_trace_hooks = click.option(
    "--trace-hooks",
    is_flag=True,
    help="For authors: print what plugins contribute and each of their states, and load edited ones of --plugin-dir again.",
)


@click.command()
@_set
@_plugin_dir
@click.option(
    "--user", metavar="NAME", help="Started as root, become this user; the same as --set appliance.user=NAME."
)
@_trace_hooks
@click.option("--safe-mode", is_flag=True, help="Only the plugins that came with the appliance.")
@click.option(
    "--allow-public-setup",
    is_flag=True,
    help="Let the box be claimed from any address, not only from private ones.",
)
@click.option("--log-format", type=click.Choice(["auto", "text", "journal", "json"]), default="auto")
def run(
    assignments: tuple[str, ...],
    plugin_dirs: tuple[Path, ...],
    user: str | None,
    safe_mode: bool,
    allow_public_setup: bool,
    trace_hooks: bool,
    log_format: str,
) -> None:
    """Run the appliance in the foreground until SIGTERM."""
    options = call_options()
    if user is not None:
        assignments = (*assignments, f"appliance.user={json.dumps(user)}")
    if allow_public_setup:
        assignments = (*assignments, "plugins.people.allow_public_setup=true")
    if not options.get("config"):
        raise click.UsageError("run needs --config FILE (or use `timeball demo`)")
    sys.exit(
        _serve(
            Path(options["config"]),
            options.get("state_dir"),
            assignments,
            plugin_dirs,
            safe_mode,
            log_format,
            trace_hooks=trace_hooks,
        )
    )


@click.group(invoke_without_command=True)
@_set
@_plugin_dir
@_trace_hooks
@click.pass_context
def demo(
    context: click.Context, assignments: tuple[str, ...], plugin_dirs: tuple[Path, ...], *, trace_hooks: bool
) -> None:
    """Run a complete pool on loopback with simulated members, one of them wrong."""
    if context.invoked_subcommand is not None:
        return
    config = Path(str(files("appliance.host") / "demo.toml"))
    web, ntp, dns = (
        asked_for(assignments, key, usual)
        for key, usual in (
            ("plugins.web.listen", "127.0.0.1:8080"),
            ("plugins.ntp.listen", "127.0.0.1:11123"),
            ("plugins.dns.listen", "127.0.0.1:11053"),
        )
    )
    click.echo(f"A pool to play with: http://{web}/   NTP {ntp}   DNS {dns}   (Ctrl-C ends it)", err=True)
    sys.exit(
        _serve(
            config,
            call_options().get("state_dir"),
            assignments,
            plugin_dirs,
            safe_mode=False,
            log_format="auto",
            shipped=True,
            trace_hooks=trace_hooks,
        )
    )


def asked_for(assignments: Sequence[str], key: str, usual: str) -> str:
    """The endpoint that the last of `assignments` (KEY=VALUE) gives to `key`, the first of several; `usual` without one."""
    found = usual
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name.strip() == key:
            match = re.search(r"(\[[0-9a-fA-F:]*\]|[\w.-]*):\d+", value)
            found = match[0] if match else usual
    return found


def _serve(config_file: Path, state: str | None, assignments: tuple[str, ...], plugin_dirs: tuple[Path, ...],
           safe_mode: bool, log_format: str, *, shipped: bool = False,
           trace_hooks: bool = False) -> int:  # fmt: skip
    from appliance.host.early import EarlySignals, collect_seldom

    early = EarlySignals()
    collect_seldom()
    from appliance.host.heap import keep_small
    from appliance.host.late import SELDOM, import_late
    from appliance.host.late_trust import import_aiohttp

    keep_small()
    import_late(*SELDOM)
    import_aiohttp()
    from appliance.core import logs
    from appliance.core.config import BadConfig
    from appliance.dataplane import choose
    from appliance.host import resuming, trace
    from appliance.host.app import Host
    from appliance.host.process import AGAIN, EX_TEMPFAIL, begin_anew, serve
    from appliance.host.starts import chosen_at_boot
    from appliance.settings.sources import Sources

    sources = Sources(config_file, state, assignments, shipped=shipped)
    if not _exchange(sources):
        return EX_TEMPFAIL
    starts = _begin(sources)
    if starts and (why := chosen_at_boot()):
        starts.safe = starts.safe or why
        safe_mode = True
    safe_mode = safe_mode or bool(starts and starts.book.safe)
    try:
        _give_up(sources, "the process was started several times before it was judged")
        try:
            config, plugins = load(sources, plugin_dirs, safe_mode=safe_mode, starts=starts)
        except BadConfig as bad:
            if not _give_up(sources, str(bad), at_once=True):
                raise
            config, plugins = load(sources, plugin_dirs, safe_mode=safe_mode, starts=starts)
        plane = choose(config.appliance.dataplane, confined=config.appliance.sandbox)
    except BadConfig as bad:
        if starts:
            starts.withdraw()
        print_problems(bad)
        return EX_CONFIG
    except ValueError as error:
        click.echo(f"{config_file}: appliance.dataplane: {error}", err=True)
        if _give_up(sources, str(error), at_once=True):
            begin_anew()
        return EX_CONFIG
    logs.configure(config.appliance.log_level, log_format)  # type: ignore[arg-type]
    try:
        refused = _change_user(config, config_file)
    except ValueError as error:
        click.echo(f"{config_file}: appliance.user: {error}", err=True)
        if _give_up(sources, str(error), at_once=True):
            begin_anew()
        return EX_CONFIG
    if refused is not None:
        return refused

    def reread() -> Config:
        return validated(sources.read(), plugins)

    host = Host(config, plugins, plane, version=version("timeball"), sources=sources)
    host.starts = starts
    if trace_hooks:
        host.beside += [partial(trace.tell, host, _say), partial(trace.watch, host, reread, _say)]
    factory = host.guard.factory if any(not plugin.builtin for plugin in plugins.found) else None
    code = resuming.run(serve(host, reread, lambda: early.hung_up), host.blame.escaped, factory)
    if code == AGAIN:
        begin_anew()
    return code


def _say(line: str) -> None:
    click.echo(printable(line), err=True)


def _exchange(sources: Sources) -> bool:
    """Take what a restore has put ready, before anything of the state folder is read; False when nothing may start."""
    from appliance.core.config import BadConfig
    from appliance.core.layers import named_state_dir
    from appliance.core.swapping import Exchange

    try:
        exchange = Exchange(named_state_dir(sources.read()))
    except BadConfig:
        return True  # told by whoever reads it next
    try:
        was, plan = exchange.plan(), exchange.begin()
    except OSError as error:
        click.echo(f"what was restored cannot be put in its place: {error}; the next start goes on", err=True)
        return False
    if plan is not None and plan != was:
        click.echo({"trial": f"runs with {plan.about}", "returned": f"is back to what was before {plan.about}"}.get(
            plan.phase, plan.about), err=True)  # fmt: skip
    return True


def _begin(sources: Sources) -> Starts | None:
    """Count this start before anybody's code is imported; None when the configuration names no state folder."""
    from appliance.core.config import BadConfig
    from appliance.core.layers import named_state_dir
    from appliance.host.starts import Starts
    from appliance.kit.installed import newest

    try:
        folder = named_state_dir(sources.read())
    except BadConfig:
        return None
    starts = Starts(folder)
    if why := starts.begin(newest(folder)):
        click.echo(inert(f"safe mode: only the appliance's own plugins run, because {why}"), err=True)
    return starts


def _give_up(sources: Sources, why: str, *, at_once: bool = False) -> bool:
    """Take back a change of the configuration under which nothing starts; whether there was one."""
    from appliance.core.config import BadConfig
    from appliance.core.layers import named_state_dir
    from appliance.settings import rescue

    try:
        entry = rescue.give_up(named_state_dir(sources.read()), why, at_once=at_once)
    except BadConfig:
        return False
    if entry is not None:
        click.echo(
            inert(f"change {entry.id} of the configuration ({', '.join(entry.keys)}) was taken back: {why}"),
            err=True,
        )
    return entry is not None


def _change_user(config: Config, config_file: Path) -> int | None:
    """Give up root where the configuration says so, before anything listens; an exit code when that cannot be done.

    Raises:
        ValueError: the configured user cannot be had.
    """
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
    from appliance.settings.sources import Sources

    options = call_options()
    if not options.get("config"):
        raise click.UsageError("check needs --config FILE")
    try:
        _, plugins = load(Sources(Path(options["config"]), options.get("state_dir"), assignments))
    except BadConfig as bad:
        print_problems(bad)
        sys.exit(EX_CONFIG)
    broken = [p for p in plugins.found if p.error]
    for loaded in broken:
        click.echo(inert(f"warning: the plugin {loaded.id} ({loaded.origin}) {loaded.error}"), err=True)
    emit({"ok": True, "problems": []}, lambda _: click.echo(f"{options['config']}: all good"))


def print_problems(bad: Any) -> None:
    if wants_json():
        click.echo(json.dumps({"ok": False, "problems": [p.as_dict() for p in bad.problems]}, indent=2))
        return
    for problem in bad.problems:
        click.echo(printable(problem), err=True)
    count = len(bad.problems)
    click.echo(f"{count} problem{'s' if count != 1 else ''}: nothing was started", err=True)


def load(
    sources: Sources,
    plugin_dirs: Sequence[Path] = (),
    *,
    safe_mode: bool = False,
    starts: Starts | None = None,
) -> tuple[Config, Plugins]:
    """Read and check a configuration with the plugins that it asks for.

    Raises:
        BadConfig: with every problem.
    """
    from appliance.core.config import merge
    from appliance.core.layers import named_state_dir
    from appliance.host import loader
    from appliance.kit import installed

    layers = sources.read()
    named = merge(layers).get("appliance", {})
    named = named if isinstance(named, dict) else {}
    folders = [named_state_dir(layers) / "plugins"]
    installed.on_path(named_state_dir(layers))
    extra = named.get("plugin_dirs", [])
    folders += [Path(str(folder)) for folder in extra] if isinstance(extra, list) else []
    folders += plugin_dirs
    if starts and not safe_mode:
        starts.loaded(loader.strangers(folders))  # before any of them is imported, and may end the process
    plugins = loader.discover(folders, safe_mode=safe_mode or named.get("safe_mode") is True)
    return validated(layers, plugins), plugins


def validated(layers: Sequence[Layer], plugins: Plugins) -> Config:
    """Layers checked against the models of loaded plugins. Raises BadConfig."""
    from appliance.core.config_check import validate

    models = {p.id: p.info.config for p in plugins.good() if p.info is not None}
    return validate(layers, models, unchecked=[p.id for p in plugins.found if p.error])
