"""What it would take to have better time: read from the clock's figures, most urgent first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: With so many sources a majority can outvote one that lies, even while another one is away (RFC 8633 section 3.2).
ENOUGH_SOURCES = 4
#: A root distance below this is as good as a network without a receiver nearby gets.
_GOOD_DISTANCE_S = 0.005
#: From this part of the whole on, one cause is worth naming.
_MOSTLY = 0.6


_ASKED = {"address", "mode", "name", "reach", "state"}


def advice(clock: Mapping[str, Any]) -> list[str]:
    """Sentences on what would make the time better or safer; none when there is nothing to gain.

    Args:
        clock: as `view.details` tells it.
    """
    source, chrony = clock["source"], clock["chrony"] or {}
    found: list[str] = []
    if source == "local":
        return [
            (
                "Nobody vouches for this clock: it is served as it is. Run chronyd with at least four sources, or with a GPS "
                'receiver, and set [plugins.clock] source = "auto".'
            )
        ]
    if source == "kernel":
        found.append(
            "The kernel tells neither the true stratum nor the distance to the reference. With chronyd in place of "
            "the program that sets the clock now, both would be known, and claimed correctly."
        )
    listed = [s for s in chrony.get("sources", ()) if isinstance(s, Mapping) and not s.get("idle")]
    # Of a source about which chronyd keeps silent there is nothing to advise.
    sources = [s for s in listed if s.keys() >= _ASKED]
    told = source == "chrony" and "sources" not in (chrony.get("withheld") or {}) and "sources" in chrony
    if told and (sources or not listed):
        found += _of_sources(sources)
    # A pool whose name is not known yet is there once for each server that is wanted from it.
    found = list(dict.fromkeys(found))
    if clock["synchronised"]:
        found += _of_distance(clock, sources)
    kernel = clock["kernel"]
    if kernel is not None and clock["synchronised"] and not kernel["tai_offset_s"]:
        found.append(
            "The kernel does not know TAI − UTC. `leapsectz right/UTC` (or `leapseclist`) in chrony.conf tells it, and lets "
            "chronyd check what its sources say of leap seconds."
        )
    return found


def _of_sources(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    if not sources:
        return ["chronyd has no sources: add servers or a reference clock to chrony.conf."]
    found = []
    receivers = [s for s in sources if s["mode"] == "reference clock"]
    usable = [s for s in sources if s["state"] in ("selected", "not selected", "selectable")]
    if len(usable) < ENOUGH_SOURCES and not receivers:
        danger = {
            0: "no source is usable",
            1: "there is one usable source, and when it is wrong, nobody notices",
            2: "there are two usable sources, and when they disagree, nobody knows which is right",
        }.get(
            len(usable), "with three usable sources one may be wrong, but none may be away at the same time"
        )
        found.append(f"Add sources: {danger}. Four or more are safe.")
    if receivers and len(usable) < 2:
        found.append("Add network sources beside the reference clock: they tell when it is wrong, or silent.")
    for s in sources:
        called = s["name"] or s["address"] or "a source without an address"
        if s["state"] == "falseticker":
            found.append(
                f"{called} disagrees with the others: its time is wrong. Take it out, or tell its operator."
            )
        elif s["reach"] == 0:
            found.append(f"{called} does not answer: replace it, or let UDP port 123 through to it.")
        elif s["reach"].bit_count() < 6 and s["reach"] >= 0b1111:
            found.append(
                f"{called} missed {8 - s['reach'].bit_count()} of its last 8 polls: the way to it loses packets."
            )
    return found


def _of_distance(clock: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]) -> list[str]:
    distance_s, delay_s = clock["root_distance_s"], clock["root_delay_s"]
    if distance_s <= _GOOD_DISTANCE_S:
        return []
    if delay_s / 2 >= _MOSTLY * distance_s:
        return [
            (
                "Most of the root distance is the way to the reference and back: a source that is nearer in the network, or a "
                "receiver of one's own, would shorten it."
            )
        ]
    if sources and clock["root_dispersion_s"] >= _MOSTLY * distance_s:
        return [
            (
                "Most of the root distance is dispersion: sources that jitter less, or that are asked more often (`maxpoll 6` on "
                "servers of one's own), would lessen it."
            )
        ]
    return []
