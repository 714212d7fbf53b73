"""Everything that chronyd tells about its sources and itself, gathered for people: one list of plain values."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

from appliance.wire.errors import WireError
from appliance_clock.chrony import Command
from appliance_clock.chrony_link import ChronyLink
from appliance_clock.chrony_reports import (
    SourceData,
    pack_address,
    pack_index,
    parse_activity,
    parse_n_sources,
    parse_server_stats,
    parse_source_data,
    parse_source_name,
    parse_source_stats,
)

_MOST_SOURCES = 64  # a screenful; each costs three questions

#: Reference clocks of the configuration that we ship: on every box they wait for a receiver, on most there is none.
SHIPPED_CLOCKS = ("GPS", "PPS")


async def survey(link: ChronyLink) -> dict[str, Any]:
    """Ask chronyd for its sources, activity and server counters.

    What it does not tell (some of it only over the Unix socket) is left out and named in "withheld" with the reason.

    Raises:
        ChronyUnreachable: it stopped answering.
    """
    withheld: dict[str, str] = {}
    found: dict[str, Any] = {"sources": await _sources(link, withheld), "withheld": withheld}
    for key, command, parse in (
        ("activity", Command.ACTIVITY, lambda reply: asdict(parse_activity(reply))),
        ("server_stats", Command.SERVER_STATS, parse_server_stats),
    ):
        try:
            found[key] = parse(await link.ask(command))
        except WireError as error:
            withheld[key] = str(error)
    return found


async def _sources(link: ChronyLink, withheld: dict[str, str]) -> list[dict[str, Any]]:
    try:
        count = parse_n_sources(await link.ask(Command.N_SOURCES))
    except WireError as error:
        withheld["sources"] = str(error)
        return []
    views = []
    for index in range(min(count, _MOST_SOURCES)):
        try:
            source = parse_source_data(await link.ask(Command.SOURCE_DATA, pack_index(index)))
        except WireError:
            break  # a source went away between two questions
        views.append(await _view(link, index, source))
    return views


async def _view(link: ChronyLink, index: int, source: SourceData) -> dict[str, Any]:
    view = asdict(source)
    del view["raw_address"], view["family"]
    view["name"] = ""
    view["idle"] = source.mode == "reference clock" and source.address in SHIPPED_CLOCKS and not source.reach
    if source.mode != "reference clock":
        with contextlib.suppress(WireError):  # chronyd before 4.0 has no such question
            view["name"] = parse_source_name(await link.ask(Command.NTP_SOURCE_NAME, pack_address(source)))
    with contextlib.suppress(WireError):
        stats = parse_source_stats(await link.ask(Command.SOURCE_STATS, pack_index(index)))
        view["samples"] = stats.samples
        view["deviation_s"] = stats.deviation_s
        view["frequency_error_ppm"] = stats.skew_ppm
    return view
