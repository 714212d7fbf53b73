"""Checks to results, results to one verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.api.contrib import Finding, Fix, HealthCheck
from appliance.api.model import Level

#: The worst first; "info" is worth knowing and nothing to do about.
RANK = {"failing": 0, "degraded": 1, "info": 2, "ok": 3}


@dataclass(frozen=True, slots=True)
class Result:
    """What one check came to.

    Attributes:
        id: "<who>.<check>", words with hyphens: what `--fix` takes.
        level: "failing", "degraded", "info" or "ok".
        text: what is wrong, or what is well.
        why: what it means for the people that the box serves.
        evidence: what it was seen by.
        commands: the remedy, to be typed.
        fix: what the doctor can do about it by itself.
    """

    id: str
    level: str
    text: str
    why: str = ""
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    commands: tuple[str, ...] = ()
    fix: Fix | None = None

    def as_dict(self) -> dict[str, object]:
        fix = (
            None
            if self.fix is None
            else {"says": self.fix.says, "undo": self.fix.undo is not None, "root": self.fix.root}
        )
        return {
            "id": self.id, "level": self.level, "text": self.text, "why": self.why, "evidence": list(self.evidence),
            "remedy": self.remedy, "commands": list(self.commands), "fix": fix,
        }  # fmt: skip


async def examine(checks: Iterable[tuple[str, HealthCheck]]) -> list[Result]:
    """Ask every check at once, each within its own time; pairs are (who, check). The worst come first."""
    pairs = tuple(checks)
    found = await asyncio.gather(*(_one(who, check) for who, check in pairs))
    return ordered(result for results in found for result in results)


def ordered(results: Iterable[Result]) -> list[Result]:
    return sorted(results, key=lambda r: (RANK[r.level], r.id))


def verdict(results: Sequence[Result]) -> tuple[Level, str]:
    """One level and one line."""
    bad = [r for r in results if r.level == "failing"]
    odd = [r for r in results if r.level == "degraded"]
    if bad:
        more = f"; {len(odd)} more need a look" if odd else ""
        return Level.FAILING, f"{_things(len(bad))} failing{more}. First: {bad[0].text}"
    if odd:
        return (
            Level.DEGRADED,
            f"It works, but {_things(len(odd), 'need', 'needs')} a look. First: {odd[0].text}",
        )
    return Level.OK, f"All is well: {len(results)} checks."


def _things(count: int, many: str = "are", one: str = "is") -> str:
    return f"1 thing {one}" if count == 1 else f"{count} things {many}"


async def _one(who: str, check: HealthCheck) -> list[Result]:
    key = f"{who}.{check.name.replace(' ', '-')}"
    try:
        async with asyncio.timeout(check.timeout_s):
            answer = await check.ping()
    except TimeoutError:
        answer = f"did not answer within {check.timeout_s:.0f} s"
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, not an accident
        answer = f"the check itself failed: {type(error).__name__}: {error}"
    if answer is None:
        return [Result(key, "ok", check.well or check.name, check.why)]
    if isinstance(answer, str):
        return [Result(key, check.level.value, answer, check.why, remedy=check.remedy)]
    findings = (answer,) if isinstance(answer, Finding) else tuple(answer)
    if not findings:
        return [Result(key, "ok", check.well or check.name, check.why)]
    return [_result(key, check, finding, number, len(findings)) for number, finding in enumerate(findings)]


def _result(key: str, check: HealthCheck, finding: Finding, number: int, count: int) -> Result:
    level = "info" if finding.info else (finding.level or check.level).value
    place = finding.id or (str(number + 1) if count > 1 else "")
    return Result(
        f"{key}.{place}" if place else key, level, finding.text, finding.why or check.why, finding.evidence,
        finding.remedy or check.remedy, finding.commands, finding.fix,
    )  # fmt: skip
