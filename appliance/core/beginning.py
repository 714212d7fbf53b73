"""A pool that begins: its servers are judged for the first time, and that nobody is answered yet is no failure."""

from __future__ import annotations

from collections.abc import Iterable

#: Codes of members that a person has set aside: whether they are good is not the question.
SET_ASIDE = frozenset({"paused", "unverified", "leaving", "netspeed_zero", "watched"})
#: Codes of members that may be answered.
_INSIDE = frozenset({"ok", "kept"})


def beginning(codes: Iterable[str]) -> bool:
    """Whether nobody is in because most are new.

    A member is "new" until it has been inside once, as long as its last probe was good. Where more have failed than are new, it
    is a failure: a single newcomer does not excuse a pool that has fallen apart.

    Args:
        codes: `Verdict.code` of each member; "new" for one without a verdict.
    """
    counted = [code for code in codes if code not in SET_ASIDE]
    new = counted.count("new")
    return new > 0 and 2 * new >= len(counted) and _INSIDE.isdisjoint(counted)
