"""`timeball probe`, `timeball log` and `timeball sightings`."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import click

from appliance.api.cli import EXIT_UNREACHABLE, Failure, admin, emit, printable, table


def register(cli: click.Group) -> None:
    """Add the commands to `cli`."""

    @cli.command(
        "probe", help="Look at any NTP server once: HOST or HOST:PORT. Works without a running appliance too."
    )
    @click.argument("host")
    @click.option("--samples", type=click.IntRange(1, 8), default=None, help="Requests to send.")
    def probe(host: str, samples: int | None) -> None:
        target = _resolved(host)
        try:
            found = admin().post("/api/v1/probe", {"target": target, "samples": samples})
        except Failure as failure:
            if failure.exit_code != EXIT_UNREACHABLE:
                raise
            found = asyncio.run(_direct(target, samples or 3))
        emit(found, _print_probe)
        if not found["responded"] or found["error"]:
            raise SystemExit(1)

    @cli.command("log", help="The newest probes with the rule that fired.")
    @click.option("--member", default="", help="Only this one: id, address or name.")
    @click.option("--limit", type=click.IntRange(1, 10_000), default=20)
    def log(member: str, limit: int) -> None:
        rows = admin().get("/api/v1/log", {"member": member, "limit": limit})
        emit(rows, _print_log)

    @cli.command("sightings", help="What the probe kinds besides NTP found, the newest first.")
    @click.option("--member", default="", help="Only at this one: id, address or name.")
    @click.option("--kind", default="", help="Only of this kind.")
    @click.option("--limit", type=click.IntRange(1, 10_000), default=20)
    def sightings(member: str, kind: str, limit: int) -> None:
        asked = {"member": member, "kind": kind, "limit": limit}
        emit(admin().get("/api/v1/sightings", asked), _print_sightings)


def _resolved(host: str) -> str:
    """An address with port from what was typed; a name becomes its first address."""
    import socket

    from appliance_monitor.target import parse_target

    try:
        parse_target(host)
    except ValueError as error:
        name, _, port = host.partition(":")
        if not name or host.count(":") > 1 or name.replace(".", "").isdigit():
            raise Failure(printable(error), 2) from None
        try:
            address = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)[0][4][0]
        except OSError as unresolved:
            raise Failure(f"{printable(name)!r} cannot be resolved: {unresolved.strerror}") from None
        except ValueError:  # what cannot be a name never reaches the resolver
            raise Failure(f"{printable(name)!r} is neither an address nor a host name", 2) from None
        return f"[{address}]:{port or 123}"
    return host


async def _direct(target: str, samples: int) -> dict[str, Any]:
    """Probe from here, with our own system clock as it is."""
    import secrets

    from appliance.core.clock import SystemClock
    from appliance_monitor.probe import Sampler
    from appliance_monitor.samples import is_final, result_of
    from appliance_monitor.steps import in_order, rules
    from appliance_monitor.target import parse_target
    from appliance_monitor.view import told

    clock = SystemClock()
    sampler = Sampler(clock, secrets.randbits, lambda: None)
    where = parse_target(target)
    taken = [await sampler.sample(where, 3.0)]
    while len(taken) < samples and not is_final(taken[-1]):
        await clock.sleep(2.0)
        taken.append(await sampler.sample(where, 3.0))
    return told(result_of(taken, ts=clock.wall_ns() / 1e9, target=where), in_order(rules(), "ntppool"))


def _print_probe(found: dict[str, Any]) -> None:
    click.secho(printable(found["verdict"]), bold=True)
    if found["responded"]:
        click.echo(
            f"  reference {printable(found['refid'])}, root delay {found['root_delay_s']:.6f} s, dispersion {found['root_dispersion_s']:.6f} s"
        )
    click.echo(
        f"  a member would get {found['step']:+.3f} for it ({found['rule']}: {printable(found['why'])})"
    )
    for warning in found["warnings"]:
        click.echo(f"  note: {printable(warning)}")
    for number, sample in enumerate(found["samples"], 1):
        text = (
            sample["error"]
            or f"offset {sample['offset_s'] * 1e3:+.3f} ms, round trip {sample['rtt_s'] * 1e3:.3f} ms"
        )
        click.echo(f"  sample {number}: {printable(text)}")


def _print_sightings(rows: list[dict[str, Any]]) -> None:
    shown = [
        (
            dt.datetime.fromtimestamp(r["ts"], dt.UTC).strftime("%Y-%m-%d %H:%M:%S"), r["kind"], r["member"], r["place"],
            "" if r["rtt_s"] is None else f"{r['rtt_s'] * 1e3:.3f}", r["error"] or "ok", r["text"],
        )
        for r in rows
    ]  # fmt: skip
    table(("time (UTC)", "kind", "member", "place", "rtt ms", "result", "text"), shown, right=("rtt ms",))


def _print_log(rows: list[dict[str, Any]]) -> None:
    shown = [
        (
            dt.datetime.fromtimestamp(r["ts"], dt.UTC).strftime("%Y-%m-%d %H:%M:%S"), r["member"],
            "" if r["offset_s"] is None else f"{r['offset_s'] * 1e3:+.3f}",
            "" if r["rtt_s"] is None else f"{r['rtt_s'] * 1e3:.3f}",
            r["stratum"], f"{r['step']:+.2f}", f"{r['score']:.1f}", r["rule"], r["error"] or "",
        )
        for r in rows
    ]  # fmt: skip
    table(("time (UTC)", "member", "offset ms", "rtt ms", "st", "step", "score", "rule", "error"), shown,
          right=("offset ms", "rtt ms", "step", "score"))  # fmt: skip
