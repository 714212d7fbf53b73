"""What a check found, and what each check is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: Why a check is skipped.
NOTHING: Final = "there is nothing of the kind"
#: What is asked, in order, with what to do about a failure.
CHECKS: Final = {
    "info": "give the module a PluginInfo named `plugin`: a lower-case id, a title, an API level this appliance has",
    "hooks": "annotate every argument and the result as `appliance.api.hookspecs` does, without defaults",
    "config": "give every field a default that its own model accepts, and a sentence: setting(default, help=...)",
    "starts": "make `run` call ctx.ready() once it does its work; raise NotReady while the world is not ready",
    "routes": "a scope for every route; `public` only for what changes nothing",
    "metrics": "a name of lower-case words, counters ending in _total, one number for each set of labels",
    "panels": "return what Panel.kind asks for: a verdict, a level and facts, or columns and rows",
    "health-checks": "return None or a sentence, within the check's own time limit",
    "probe-kinds": "return Sample(error=...) where nobody answers, within the time limit that `sample` is given",
    "score-rules": "return a Step with a number, or None, for whatever a probe found",
    "answer-sources": "return AnswerRecords for the zone; from reweigh the same candidates with other weights",
    "live-names": "return AnswerRecords, or None, for any question at or below the name",
    "packet-policies": "give every PolicyRule a prefix such as 192.0.2.0/24 and one of its actions",
    "survives-cancellation": "let CancelledError pass, and close in `finally`, `async with` or ctx.on_stop",
    "leaves-nothing": "close what `run` opened: with `async with`, ctx.on_stop, ctx.spawn instead of create_task",
    "restarts": "nothing that `run` needs may be used up by the run before",
    "does-not-block": "await, or hand blocking work to ctx.to_thread: every other plugin waits meanwhile",
    "leaves-others-alone": "call what others offer, and hand your own functions in: what is put in their place changes everybody",
    "stops": "end within the time limit when cancelled",
    "leaves-nothing-behind": "close what was opened while importing and in `setup`, or open it in `run`",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one check.

    Attributes:
        check: one of `CHECKS`.
        state: "passed", "failed", "exempt" (with the author's reason), "skipped" (it does not apply).
        why: in words.
    """

    check: str
    state: Literal["passed", "failed", "exempt", "skipped"]
    why: str = ""

    @property
    def remedy(self) -> str:
        """What to do when it failed, or ""."""
        return CHECKS[self.check] if self.state == "failed" else ""
