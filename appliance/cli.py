"""The command line: the host's own commands; every plugin adds its own through the `commands` hook."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from appliance.api.cli import call_options
from appliance.api.foreign import inert
from appliance.commands.start import check, demo, run
from appliance.kit import installed


def main() -> None:
    """Entry point of `timeball`."""
    tree_for(sys.argv[1:])(prog_name="timeball")


def tree_for(words: Sequence[str]) -> click.Group:
    """The command tree that a line of these `words` needs.

    What serves lives for months: what other commands are made of would lie in its memory all that time.
    """
    serving = build(serving=True)
    return serving if _serves(serving, list(words)) else build()


def _serves(tree: click.Group, words: list[str]) -> bool:
    """Whether they start an appliance: `run`, and `demo` without one of its sub-commands, which plugins add."""
    if words[:1] == ["run"]:
        return True
    if words[:1] != ["demo"]:
        return False
    demo_itself = tree.commands["demo"]
    try:
        asked, rest, _ = demo_itself.make_parser(click.Context(demo_itself)).parse_args(words[1:])
    except click.UsageError:
        return False
    return not rest and "help" not in asked


def build(*, serving: bool = False) -> click.Group:
    """The command tree.

    Args:
        serving: with nothing but what starts an appliance. Without it all the others are read, too, and the commands of every
            plugin that can be loaded.
    """
    root = click.Group("timeball", help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
    root = click.version_option(version("timeball"), prog_name="timeball")(root)
    for command in (run, check, demo):
        root.add_command(command)
    if not serving:
        _add_others(root)
        _add_commands_of_plugins(root)
    _add_common_options(root)
    return root


def _add_others(root: click.Group) -> None:
    from appliance.commands import authors, installing
    from appliance.commands.ask import api, plugin_group
    from appliance.commands.doctor import doctor
    from appliance.commands.restarting import restart
    from appliance.commands.settings import config_group

    for command in (doctor, config_group, plugin_group, restart, api):
        root.add_command(command)
    authors.register(plugin_group)
    installing.register(plugin_group)


def _add_commands_of_plugins(root: click.Group) -> None:
    from appliance.host import collect, loader

    plugins = loader.discover(_drop_in_folders())
    for loaded in plugins.good():
        if "commands" in loaded.hooks:
            try:
                collect.call(plugins, loaded, "commands", cli=root)
            except Exception as error:  # noqa: BLE001 - one plugin's broken command must not take the others away
                click.echo(
                    inert(f"warning: the commands of the plugin {loaded.id} cannot be used: {error}"),
                    err=True,
                )


_HELP = """A regional NTP pool in a box: serves time, watches the members, answers DNS with the healthy ones.

\b
  timeball run --config FILE          start the appliance
  timeball demo                       start one to play with, on loopback
  timeball member list                who is in the pool, and why
  timeball dns answer 0.pool.example  what clients get, and why
"""


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
            call_options(context)[str(parameter.name)] = value

    common: dict[str, Any] = {"expose_value": False, "callback": remember, "is_eager": True}
    return [
        click.Option(["--json"], is_flag=True, help="Print JSON.", **common),
        click.Option(["--state-dir"], metavar="DIR", help="The appliance's state folder.", **common),
        click.Option(["--config"], metavar="FILE", help="The appliance's configuration file.", **common),
    ]


def _drop_in_folders() -> list[Path]:
    """Where commands of drop-in plugins may come from: decided before the line is parsed, so from the environment."""
    folder = os.environ.get("TIMEBALL_STATE_DIR")
    if folder:
        installed.on_path(Path(folder))
    return [Path(folder) / "plugins"] if folder else []
