"""`timeball inspector`: what was noticed, what to do about it, rules, captures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from appliance.api.cli import Failure, admin, emit, path_part, printable
from appliance.api.errors import Invalid

_BASE = "/api/v1/inspector"


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""

    @cli.group("inspector", help="Sampled packets, judged by rules: alerts, what would stop them, captures.")
    def inspector() -> None: ...

    @inspector.command("status", help="Show how the inspector and its child process do.")
    def status() -> None:
        emit(admin().get(_BASE), _print_status)

    @inspector.command("alerts", help="List what was noticed, the latest first.")
    def alerts() -> None:
        emit(admin().get(f"{_BASE}/alerts"), _print_alerts)

    @inspector.command("show", help="Show the alert ID with its sample.")
    @click.argument("alert_id", metavar="ID")
    def show(alert_id: str) -> None:
        emit(admin().get(f"{_BASE}/alerts/{alert_id}"), _print_alert)

    @inspector.command("apply", help="Ignore NTP packets from the network that the alert ID speaks of.")
    @click.argument("alert_id", metavar="ID")
    @click.option(
        "--hours", default=24.0, show_default=True, type=click.FloatRange(1 / 60, 2160), help="For how long."
    )
    def apply(alert_id: str, hours: float) -> None:
        emit(admin().post(f"{_BASE}/alerts/{alert_id}/apply", {"for_s": hours * 3600}), _print_applied)

    @inspector.command("ignored", help="List the networks that are ignored because of alerts.")
    def ignored() -> None:
        emit(admin().get(f"{_BASE}/ignored"), _print_ignored)

    @inspector.command("undo", help="Ignore the network with the id ID no longer.")
    @click.argument("ignored_id", metavar="ID")
    def undo(ignored_id: str) -> None:
        emit(
            admin().delete(f"{_BASE}/ignored/{ignored_id}"),
            lambda e: click.echo(f"{e['prefix']} is answered again"),
        )

    @inspector.command("capture", help="Capture all packets from PREFIX.")
    @click.argument("prefix")
    @click.option(
        "--service",
        type=click.Choice(["ntp", "dns"]),
        default="ntp",
        show_default=True,
        help="Whose packets.",
    )
    @click.option(
        "--seconds", default=60.0, show_default=True, type=click.FloatRange(0.1, 3600), help="For how long."
    )
    @click.option(
        "--most", default=10_000, show_default=True, type=click.IntRange(1, 100_000), help="Packets at most."
    )
    def capture(prefix: str, service: str, seconds: float, most: int) -> None:
        wanted = {"prefix": prefix, "service": service, "for_s": seconds, "most": most}
        emit(admin().post(f"{_BASE}/captures", wanted), _print_capture)

    @inspector.command("captures", help="List the captures.")
    def captures() -> None:
        emit(admin().get(f"{_BASE}/captures"), _print_captures)

    @inspector.command("save", help="Write the capture ID to a file, for `inspector read` or Wireshark.")
    @click.argument("capture_id", metavar="ID")
    @click.argument("target", type=click.Path(path_type=Path), default=Path())
    def save(capture_id: str, target: Path) -> None:
        name, content = admin().download(f"{_BASE}/captures/{path_part(capture_id)}/pcap")
        file = target / Path(name).name if target.is_dir() else target
        try:
            with file.open("xb") as out:
                file.chmod(0o600)  # other people's packets
                out.write(content)
        except OSError as error:
            raise Failure(f"{file} cannot be written: {error.strerror}") from None
        emit(
            {"file": str(file), "bytes": len(content)},
            lambda done: click.echo(f"{done['file']} ({len(content):,} bytes)"),
        )

    @inspector.command("discard", help="Delete the capture ID.")
    @click.argument("capture_id", metavar="ID")
    def discard(capture_id: str) -> None:
        admin().delete(f"{_BASE}/captures/{path_part(capture_id)}")
        emit({"deleted": capture_id}, lambda done: click.echo(f"the capture {done['deleted']} is deleted"))

    @inspector.command("read", help="Judge the capture FILE (pcap or pcapng); no appliance needs to run.")
    @click.argument("file", type=click.Path(path_type=Path))
    @click.option("--rules", "own", type=click.Path(path_type=Path), help="Rules of your own beside ours.")
    @click.option("--full-addresses", is_flag=True, help="Show whole addresses, not their /24 or /48.")
    def read(file: Path, own: Path | None, *, full_addresses: bool) -> None:
        emit(_read(file, own, full_addresses=full_addresses), _print_read)

    @inspector.command("traces", help="List the ways to members that left the pool, the latest first.")
    def traces() -> None:
        emit(admin().get(f"{_BASE}/traces"), _print_ways)

    @inspector.command("trace", help="Trace the way to MEMBER now.")
    @click.argument("member")
    def trace(member: str) -> None:
        emit(admin().post(f"{_BASE}/traces", {"member": member}), _print_way)

    @inspector.group("rules", help="Rules of your own.")
    def rules() -> None: ...

    @rules.command("check", help="Say what is wrong with the rules in FILE.")
    @click.argument("file", type=click.Path(path_type=Path))
    def check(file: Path) -> None:
        from appliance_inspector.rules import read_rules

        try:
            found = read_rules(file)
        except Invalid as error:
            raise Failure(str(error), 78) from error
        emit(
            [rule.model_dump() for rule in found],
            lambda rows: click.echo(f"{file}: {len(rows)} rules, all good"),
        )


def _read(file: Path, own: Path | None, *, full_addresses: bool) -> dict[str, Any]:
    from appliance_inspector.alerts import shown
    from appliance_inspector.reading import read_capture
    from appliance_inspector.rules import all_rules

    try:
        rules = all_rules(own)
    except Invalid as error:
        raise Failure(str(error), 78) from error
    try:
        found = read_capture(file, rules)
    except Invalid as error:
        raise Failure(str(error)) from error
    if found.problem and not found.packets + found.others:
        raise Failure(f"{file}: {found.problem}")
    alerts = [shown(alert, full=full_addresses) for alert in found.alerts.all()]
    return {
        "packets": found.packets,
        "others": found.others,
        "problem": found.problem,
        "alerts": alerts,
    }


def _print_read(found: dict[str, Any]) -> None:
    click.echo(
        f"{found['packets']:,} packets to the time or the name service, {found['others']:,} others"
        + (f"; then it cannot be read: {printable(found['problem'])}" if found["problem"] else "")
    )
    _print_alerts(found["alerts"])


def _when(epoch_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch_s))


def _print_status(status: dict[str, Any]) -> None:
    click.echo(printable(status["verdict"]))
    samples = status["samples"]
    click.echo("samples: " + ", ".join(f"{count:,} {name}" for name, count in samples.items()))
    if status["running"]:
        memory = status["memory_bytes"] or 0
        click.echo(
            f"child {status['pid']}: {memory / 1e6:.0f} MB, {status['cpu_s'] or 0:.1f} s of processor time"
        )
    click.echo(f"{status['alerts']} alerts; the child was started {status['starts']} times")


def _print_alerts(alerts: list[dict[str, Any]]) -> None:
    if not alerts:
        click.echo("nothing was noticed")
    for alert in alerts:
        click.echo(
            f"{alert['id']}  {alert['severity']:<6}  {_when(alert['last'])}  {printable(alert['text'])}"
        )
        click.echo(f"            would stop it: {printable(alert['policy']['says'])}")


def _print_alert(alert: dict[str, Any]) -> None:
    _print_alerts([alert])
    click.echo(f"\n{printable(alert['why'])}\n\nsample: {alert['sample']}")
    for line in alert["dissected"].splitlines():
        click.echo(printable(line))


def _print_applied(entry: dict[str, Any]) -> None:
    click.echo(f"{entry['prefix']} is ignored until {_when(entry['until_s'])}")
    click.echo(f"take it back with: timeball inspector undo {entry['id']}")


def _print_ignored(entries: list[dict[str, Any]]) -> None:
    if not entries:
        click.echo("nothing is ignored because of an alert")
    for entry in entries:
        click.echo(f"{entry['id']}  {entry['prefix']}  until {_when(entry['until_s'])}  ({entry['rule']})")


def _print_capture(capture: dict[str, Any]) -> None:
    state = "running" if capture["running"] else "done"
    click.echo(
        f"{capture['id']}  {capture['service']} from {capture['prefix']}: {state}, {capture['packets']:,} packets, "
        f"{capture['bytes']:,} bytes; `timeball inspector save {capture['id']}` writes it to a file"
    )


def _print_captures(captures: list[dict[str, Any]]) -> None:
    if not captures:
        click.echo("there is no capture; `timeball inspector capture PREFIX` makes one")
    for capture in captures:
        _print_capture(capture)


def _print_ways(ways: list[dict[str, Any]]) -> None:
    if not ways:
        click.echo("no way was traced: no member left the pool by a fault")
    for way in ways:
        _print_way(way)


def _print_way(way: dict[str, Any]) -> None:
    click.echo(
        f"{_when(way['at'])}  {way['member']} at {way['address']} ({printable(way['because'])}): {way['verdict']}"
    )
    for hop in way["hops"]:
        took = "" if hop["rtt_ms"] is None else f"{hop['rtt_ms']:.1f} ms"
        click.echo(f"  {hop['ttl']:>2}  {hop['address'] or '*':<40}  {took:>10}  {hop['kind']}")
