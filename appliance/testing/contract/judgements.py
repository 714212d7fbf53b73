"""Checks of what a plugin decides with: probe kinds, score rules, answers of the zone, policies, asked with values that occur."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from appliance.api.contrib import (
    AnswerRecord,
    AnswerSource,
    Candidate,
    LiveName,
    LiveQuestion,
    PacketPolicy,
    PolicyRule,
    ProbeKind,
    ScoreRule,
)
from appliance.api.model import Member, ProbeResult, Sample, Step, Target

_HERE: Final = Target("192.0.2.1")
_MEMBERS: Final = (Member("a", "192.0.2.1"), Member("b", "2001:db8::1", netspeed=0))
_GOOD: Final = Sample(offset_s=0.001, rtt_s=0.02, stratum=2, leap=0)
#: What probes find: good time, silence, a kiss code, time without a round trip.
_PROBES: Final = tuple(
    ProbeResult(1.0, "a", "local", _HERE, s.offset_s, s.rtt_s, s.stratum, s.leap, s.error, heard, (s,))
    for s, heard in (
        (_GOOD, True), (Sample(error="timeout"), False), (Sample(stratum=0, leap=3, error="RATE"), True),
        (Sample(offset_s=-900.0, stratum=16, leap=3), True),
    )
)  # fmt: skip


async def kind_faults(kinds: Iterable[ProbeKind]) -> list[str]:
    """Kinds that raise, or never come back, when nobody is there."""
    faults = []
    for kind in kinds:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: whoever knocks is refused
            target = Target("127.0.0.1", taken.getsockname()[1])
            try:
                async with asyncio.timeout(kind.timeout_s + 5):
                    found = await kind.sample(target, kind.timeout_s)
            except TimeoutError:
                faults.append(f"{kind.name} is not done after its {kind.timeout_s:g} s and 5 more")
                continue
            except Exception as error:  # noqa: BLE001 - a stranger's function may raise anything
                faults.append(f"{kind.name} raises {type(error).__name__} where nobody answers: {error}")
                continue
        if not isinstance(found, Sample):
            faults.append(f"{kind.name}: a Sample is wanted, not {found!r}")
        elif found.error is None and found.rtt_s is None and found.value is None and not found.text:
            faults.append(f"{kind.name} says nothing at all where nobody answers")
    return faults


def rule_faults(rules: Iterable[ScoreRule]) -> Iterator[str]:
    """Rules that raise, or whose step is no number. Those of a profile may count on those before them."""
    for rule in rules:
        for probe in _PROBES if not rule.profile else _PROBES[:1]:
            yield from _asked(
                rule.name, rule.apply, probe, wanted=_is_step, what="a Step with a number, or None"
            )


def source_faults(sources: Iterable[AnswerSource]) -> Iterator[str]:
    """Sources whose records are none, or that make candidates up."""
    weighed = [Candidate(member, None, member.netspeed, "healthy") for member in _MEMBERS]
    for source in sources:
        if source.records is not None:
            yield from _asked(
                source.name, source.records, "pool.example.org", wanted=_are_records, what="AnswerRecords"
            )
        if source.reweigh is not None:
            yield from _asked(
                source.name, source.reweigh, weighed, wanted=_same_members, what="the same candidates"
            )


def live_faults(names: Iterable[LiveName]) -> Iterator[str]:
    """Live names that raise at a question."""
    for name in names:
        for above in ("", "deep.below"):
            question = LiveQuestion(above, "TXT", "192.0.2.1", "udp")
            yield from _asked(
                name.owner, name.answer, question, wanted=_are_records, what="AnswerRecords, or None"
            )


def policy_faults(policies: Iterable[PacketPolicy]) -> Iterator[str]:
    """Rules whose prefix is none."""
    for policy in policies:
        for rule in (*policy.rules, *(policy.current() if policy.current is not None else ())):
            if not isinstance(rule, PolicyRule) or rule.action not in ("allow", "ignore", "deny"):
                yield f"a PolicyRule is wanted, not {rule!r}"
                continue
            try:
                ipaddress.ip_network(rule.prefix, strict=False)
            except ValueError as error:
                yield f"{rule.prefix!r} is no prefix: {error}"


def _asked(
    name: str, function: Callable[..., Any], *arguments: Any, wanted: Callable[[Any], bool], what: str
) -> Iterator[str]:
    try:
        found = function(*arguments)
        found = list(found) if isinstance(found, Iterator) else found
        if not wanted(found):
            yield f"{name}: {what} is wanted, not {str(found)[:100]}"
    except Exception as error:  # noqa: BLE001 - a stranger's function may raise anything
        yield f"{name} raises {type(error).__name__}: {error}"


def _is_step(found: Any) -> bool:
    return found is None or (isinstance(found, Step) and math.isfinite(found.step))


def _are_records(found: Any) -> bool:
    return found is None or all(isinstance(record, AnswerRecord) for record in found)


def _same_members(found: Any) -> bool:
    return [c.member for c in found] == list(_MEMBERS) and all(isinstance(c, Candidate) for c in found)
