"""What updates contribute elsewhere: the card on the overview, the doctor's checks, and the sentences that pages and commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.api.contrib import Finding, HealthCheck, Panel
from appliance.api.model import Level
from appliance_updates.service import Updates

_KINDS = {
    "updated": "updated",
    "fell-back": "fell back",
    "went-back": "went back",
    "interrupted": "interrupted",
    "failed": "failed",
}
_EVIDENCE = 8


def version(release: Mapping[str, Any] | None) -> str:
    return str(release["version"]) if release else "nothing"


def sentence(status: Mapping[str, Any]) -> tuple[str, str, str]:
    """How it is: level ("ok", "degraded", "failing"), one sentence, and more of it."""
    if not status["image"]:
        return "ok", "Debian brings the updates here", str(status["why"])
    if "slots" not in status:
        return "degraded", "The slots cannot be looked at", str(status["why"])
    running = next((s for s in status["slots"] if s["running"]), None)
    mine = version(running["release"]) if running else "?"
    fallen = fall_back(status)
    if fallen is not None:
        return "failing", told(fallen), (fallen["why"] or ["nobody knows why"])[0] + "."
    pending = status["pending"]
    if pending and running and pending["slot"] == running["name"]:
        return (
            "degraded",
            f"{mine} runs and has still to prove itself",
            "If it does not in time, the release before comes back by itself.",
        )
    if pending and pending["stage"] == "written":
        return (
            "ok",
            f"{version(pending['new'])} is installed and waits for a restart",
            f"{mine} runs until then.",
        )
    if running and not running["good"]:
        return "degraded", f"{mine} runs and is not marked good", "The doctor says what is wrong."
    return "ok", f"{mine} runs and is marked good", ""


def fall_back(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The last fall-back, until somebody has read of it or a later update worked."""
    latest: Mapping[str, Any] | None = next(iter(status.get("history", ())), None)
    return latest if latest and latest["kind"] == "fell-back" and not latest["seen"] else None


def told(event: Mapping[str, Any]) -> str:
    """What came of an update, as a sentence without an end."""
    old, new = version(event["old"]), version(event["new"])
    return {
        "updated": f"Updated from {old} to {new}",
        "fell-back": f"The update to {new} failed, and {old} came back",
        "went-back": f"Went back from {old} to {new}",
        "interrupted": f"The installation of {new} was interrupted; {old} was not touched",
        "failed": f"The installation of {new} failed; {old} was not touched",
    }.get(event["kind"], f"{_KINDS.get(event['kind'], event['kind'])}: {old}, {new}")


def panels(updates: Updates) -> list[Panel]:
    """The card "Updates", on an image."""

    async def data() -> Mapping[str, Any]:
        status = await updates.status()
        level, text, more = sentence(status)
        facts: list[Sequence[str]] = [
            [
                f"Slot {s['name']}" + (", runs" if s["running"] else ""),
                f"{version(s['release'])}, {slot_word(s)}",
            ]
            for s in status.get("slots", ())
        ]
        return {"verdict": f"{text}. {more}".strip(), "level": level, "facts": facts}

    return [Panel("updates", "Updates", data, order=80, link="/updates")] if updates.image else []


def slot_word(slot: Mapping[str, Any]) -> str:
    """What the boot loader thinks of it."""
    if slot["release"] is None:
        return "empty"
    if slot["good"]:
        return "good"
    return f"on trial, {slot['tries_left']} starts left" if slot["starts"] else "bad"


def health_checks(updates: Updates) -> list[HealthCheck]:
    """Did the last update stay, and is the running system good?"""

    async def stayed() -> Finding | None:
        status = await updates.status()
        if not status["image"]:
            return None
        if "slots" not in status:
            return Finding(
                status["why"], Level.DEGRADED, remedy="see `systemctl status timeball-agent.socket`"
            )
        fallen = fall_back(status)
        if fallen is not None:
            why = fallen["why"] or ["nobody knows why"]
            return Finding(
                f"{told(fallen)}: {why[0]}", Level.DEGRADED, evidence=(*why[1:], *fallen["evidence"][-_EVIDENCE:]),
                remedy="read why on the page Updates; then take a newer release, or try again with `timeball update install FILE`",
                commands=("timeball update status",), id="fell-back",
            )  # fmt: skip
        level, text, more = sentence(status)
        if level != "ok":
            return Finding(
                f"{text}. {more}", Level.DEGRADED, info=status["pending"] is not None, id="unproved"
            )
        if status["guessed"]:
            return Finding(
                "what the boot loader knew of the two systems was lost and is guessed",
                Level.DEGRADED,
                id="lost",
            )
        return None

    return [
        HealthCheck(
            "last update", stayed, level=Level.DEGRADED, timeout_s=10.0,
            why="A system that came back by itself is an old one: what the update would have mended is still broken.",
            remedy="see `timeball update status`", well="the last update stayed, and the system that runs is marked good",
        )
    ]  # fmt: skip
