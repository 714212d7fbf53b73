"""`timeball box` and `timeball support-bundle`: the box's own settings, by way of the agent, so that they work when the appliance does not."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from appliance.api.agent import AgentRefusal
from appliance.api.cli import Failure, admin, emit, printable
from appliance_box import facts, told
from appliance_box.agent import SOCKET
from appliance_box.agent.client import ask

_EXIT = {"no_agent": 3, "not_allowed": 4, "nothing_waits": 5, "not_an_image": 1}


def agent(action: str, **arguments: Any) -> Mapping[str, Any]:
    """One action of the agent.

    Raises:
        Failure: it was not done, with the agent's reason.
    """
    path = Path(click.get_current_context().find_root().meta.get("timeball.agent", SOCKET))
    try:
        return ask(path, action, arguments)
    except AgentRefusal as refusal:
        raise Failure(refusal.message, _EXIT.get(refusal.code, 1), refusal.remedy) from None


@click.group()
@click.option("--agent", "agent_socket", default=SOCKET, hidden=True)
def box(agent_socket: str) -> None:
    """The box itself: host name, network, SSH, restart, reset. On images of ours."""
    click.get_current_context().find_root().meta["timeball.agent"] = agent_socket


@box.command("show")
def box_show() -> None:
    """What this box is, its settings, and what waits to be confirmed."""
    about = facts.read()
    report = told.public(Path("/"))
    value: dict[str, Any] = {
        **about,
        "settings": None,
        "pending": None,
        "preseed": report.as_dict() if report else None,
    }
    if about["image"]:
        value |= agent("box.read")
    emit(value, _show)


def _show(value: Any) -> None:
    image = value["image"]
    click.echo(
        f"{printable(value['host_name'])}: {printable(value['model'] or 'a machine that does not tell its name')}"
    )
    click.echo(f"{image['id']} {image['version']}" if image else value["not_offered"])
    for link in value["interfaces"]:
        click.echo(f"{printable(link['name'])}: {', '.join(link['addresses']) or 'no address'}")
    settings = value["settings"]
    if settings:
        click.echo(f"time zone: {settings['time_zone'] or 'UTC'}")
        click.echo(f"SSH: {'on, as root, with a key' if settings['ssh']['enabled'] else 'off'}")
        click.echo(f"Wi-Fi: {printable((settings['wifi'] or {}).get('ssid', '')) or 'not set'}")
        for one in settings["interface"]:
            more = " ".join([*one["addresses"], *(f"via {gateway}" for gateway in one["gateways"])])
            click.echo(f"set for {printable(one['name'])}: {one['method']} {more}".rstrip())
    if value["pending"]:
        click.secho(
            f"a change waits: timeball box confirm {value['pending']['id']} within {value['pending']['left_s']:.0f} s",
            fg="yellow",
        )
    for problem in (value["preseed"] or {}).get("problems", ()):
        click.secho(
            f"not used at the start: {printable(problem['where'])}: {printable(problem['text'])}", fg="yellow"
        )


# -- settings -----------------------------------------------------------------------------------------------------------


def _settings() -> dict[str, Any]:
    settings = dict(agent("box.read")["settings"])
    if settings.get("wifi"):
        settings["wifi"] = {**settings["wifi"], "password": None}
    return settings


def _apply(settings: Mapping[str, Any], confirm_s: int) -> None:
    done = agent("box.apply", settings=dict(settings), confirm_s=confirm_s)

    def show(value: Any) -> None:
        for trouble in value["trouble"]:
            click.secho(printable(trouble), fg="yellow", err=True)
        waits = value["pending"]
        click.echo(
            f"Tried: timeball box confirm {waits['id']} keeps it, within {confirm_s} s." if waits else "Done."
        )

    emit(done, show)


_CONFIRM = click.option(
    "--confirm-within", "confirm_s", type=click.IntRange(0, 600), default=0, show_default=True, metavar="S",
    help="Go back after so many seconds unless it is confirmed; 0 keeps it at once.",
)  # fmt: skip


@box.command("set")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...")
@_CONFIRM
def box_set(assignments: tuple[str, ...], confirm_s: int) -> None:
    """Set host_name or time_zone."""
    settings = _settings()
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or key not in ("host_name", "time_zone"):
            raise click.UsageError(
                "expected host_name=NAME or time_zone=AREA/CITY; see also timeball box network, wifi and ssh"
            )
        settings[key] = value
    _apply(settings, confirm_s)


@box.command("network")
@click.argument("interface")
@click.option("--dhcp", "method", flag_value="dhcp", default=True, help="The network gives the address.")
@click.option("--off", "method", flag_value="off", help="Do not use the interface.")
@click.option("--image", "method", flag_value="image", help="Forget what was set for it.")
@click.option("--static", "addresses", multiple=True, metavar="ADDRESS/PREFIX", help="A fixed address.")
@click.option("--gateway", "gateways", multiple=True)
@click.option("--dns", multiple=True)
@click.option("--search", multiple=True)
@_CONFIRM
def box_network(
    interface: str, method: str, addresses: tuple[str, ...], gateways: tuple[str, ...], dns: tuple[str, ...], search: tuple[str, ...],
    confirm_s: int,
) -> None:  # fmt: skip
    """Set how one interface, or all that match a pattern, gets its address."""
    settings = _settings()
    others = [one for one in settings["interface"] if one["name"] != interface]
    if method != "image" or addresses:
        others.append({
            "name": interface, "method": "static" if addresses else method, "addresses": addresses, "gateways": gateways, "dns": dns,
            "search": search,
        })  # fmt: skip
    _apply({**settings, "interface": others}, confirm_s)


@box.command("wifi")
@click.argument("ssid", required=False)
@click.option("--off", is_flag=True, help="Join none.")
@click.option("--open", "is_open", is_flag=True, help="The network has no password.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--hidden", is_flag=True, help="The network does not tell its name.")
@click.option("--country", default="", help="Two letters, as in DE.")
@_CONFIRM
def box_wifi(
    ssid: str | None,
    off: bool,
    is_open: bool,
    password_stdin: bool,
    hidden: bool,
    country: str,
    confirm_s: int,
) -> None:
    """Join a wireless network. The password is asked for, or comes from standard input."""
    if bool(ssid) == off:
        raise click.UsageError("give the network's name, or --off")
    settings = _settings()
    if off:
        _apply({**settings, "wifi": None}, confirm_s)
        return
    password = ""
    if not is_open:
        password = (
            sys.stdin.readline().rstrip("\r\n")
            if password_stdin
            else click.prompt("Password of the network", hide_input=True)
        )
    _apply(
        {**settings, "wifi": {"ssid": ssid, "password": password, "hidden": hidden, "country": country}},
        confirm_s,
    )


@box.command("ssh")
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.option(
    "--key-file",
    "key_files",
    multiple=True,
    type=click.File("r"),
    help="Public keys, one a line; - is standard input.",
)
@_CONFIRM
def box_ssh(switch: str, key_files: tuple[Any, ...], confirm_s: int) -> None:
    """Let people log in, as root, with a key; or nobody."""
    settings = _settings()
    keys = [line.strip() for file in key_files for line in file if line.strip() and not line.startswith("#")]
    _apply(
        {**settings, "ssh": {"enabled": switch == "on", "keys": keys or settings["ssh"]["keys"]}}, confirm_s
    )


@box.command("confirm")
@click.argument("change")
def box_confirm(change: str) -> None:
    """Keep a change that waits."""
    emit(agent("box.confirm", id=change), lambda _: click.echo("Kept."))


@box.command("go-back")
@click.argument("change")
def box_go_back(change: str) -> None:
    """Take a change that waits back."""
    emit(agent("box.go_back", id=change), lambda _: click.echo("As it was."))


@box.command("dismiss")
def box_dismiss() -> None:
    """Forget what was wrong with the settings of the first start."""
    emit(agent("box.dismiss"), lambda _: click.echo("Forgotten."))


# -- power --------------------------------------------------------------------------------------------------------------


@box.command("restart")
@click.option("--yes", is_flag=True, help="Do not ask.")
def box_restart(yes: bool) -> None:
    """Restart the box."""
    if not yes:
        click.confirm("Restart the box?", abort=True)
    emit(agent("power.restart"), lambda _: click.echo("It restarts."))


@box.command("power-off")
@click.option("--yes", is_flag=True, help="Do not ask.")
def box_power_off(yes: bool) -> None:
    """Switch the box off."""
    if not yes:
        click.confirm("Switch the box off?", abort=True)
    emit(agent("power.off"), lambda _: click.echo("It switches itself off."))


@box.command("factory-reset")
@click.option("--confirm", default="", help='"erase everything": do not ask.')
def box_reset(confirm: str) -> None:
    """Erase everything that was set up or collected, and start as new. The system stays as it is."""
    if not confirm:
        click.echo("Owner, members, history, certificates and settings will be gone.")
        confirm = click.prompt("To do it, type: erase everything")
    emit(agent("box.reset", confirm=confirm), lambda _: click.echo("It restarts, and starts as new."))


@box.command("put-on-card", hidden=True)
@click.argument("name")
@click.argument("file", type=click.File("rb"))
def box_put(name: str, file: Any) -> None:
    """Put a file for people on the boot partition."""
    content = base64.b64encode(file.read()).decode()
    emit(
        agent("card.write", name=name, content=content),
        lambda value: click.echo(f"{value['written']} is on the card."),
    )


# -- support ------------------------------------------------------------------------------------------------------------


@click.command("support-bundle")
@click.argument("target", type=click.Path(path_type=Path), default=Path())
def support_bundle(target: Path) -> None:
    """Write a file for somebody who helps: findings, journal, versions and settings, without secrets. Nothing is sent anywhere."""
    name, content = admin().download("/api/v1/support-bundle")
    file = target / name if target.is_dir() else target
    try:
        with file.open("xb") as out:
            file.chmod(0o600)
            out.write(content)
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}") from None
    emit(
        {"file": str(file), "bytes": len(content)}, lambda _: click.echo(f"{file} ({len(content) >> 10} KiB)")
    )
