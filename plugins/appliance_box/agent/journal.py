"""An excerpt of the journal, for the bundle that somebody who helps gets to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from appliance.api.agent import Action, AgentRefusal, Arguments, Call, words

#: Ours by name, so that nothing else of the machine leaves it.
UNITS = (
    "timeball.service",
    "timeball-agent.service",
    "timeball-early.service",
    "timeball-good.service",
    "chrony.service",
    "rauc.service",
)


class Excerpt(Arguments):
    lines: int = Field(default=2000, ge=1, le=20_000, description="The newest")
    boot: int = Field(default=0, ge=-20, le=0, description="0 is this start of the box, -1 the one before")
    what: Literal["ours", "kernel"] = Field(default="ours", description="Our units, or the kernel")


def excerpt(call: Call, arguments: Excerpt) -> Mapping[str, Any]:
    what = (
        ["--dmesg"] if arguments.what == "kernel" else [word for unit in UNITS for word in ("--unit", unit)]
    )
    done = call.program(
        "journalctl", "--no-pager", "--quiet", "--output=short-iso", f"--boot={arguments.boot}",
        f"--lines={arguments.lines}", *what, timeout_s=60.0, most_bytes=8 << 20,
    )  # fmt: skip
    if done.status != 0:
        raise AgentRefusal("no_journal", f"the journal cannot be read: {words(done.said)}")
    return {"text": done.said}


ACTIONS = (
    Action(
        "journal.excerpt",
        "The newest lines of our own units, or of the kernel",
        excerpt,
        Excerpt,
        together=True,
    ),
)
