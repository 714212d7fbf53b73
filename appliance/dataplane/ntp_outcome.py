"""What becomes of a packet, as a number: the counters of a packet thread are indexed by it."""

from __future__ import annotations

from appliance.dataplane.interface import Action, Reason

#: `action << 8 | reason`: what `answer` returns, an index-sized form of (Reason, Action). A few packets have more to it:
#: what is counted of a reply (`AUTHENTICATED`, `INTERLEAVED`), that it is to be stamped (`STAMP`), or a fault of its MAC.
Outcome = int

#: What is no more than a reason and an action.
PLAIN = 0x3FF
#: The reply goes on with `Memory.mac`.
AUTHENTICATED = 1 << 10
#: The reply tells when the one before it left.
INTERLEAVED = 1 << 11
#: The kernel is to be asked when this reply leaves: the next one tells it.
STAMP = 1 << 12
#: Of a MAC that is not accepted: the outcome is `reason << 0 | action << 8 | fault << FAULT_SHIFT`.
FAULT_SHIFT = 13


#: Reasons that tell nothing about who sent the packet: it was a request, or we could not. What became of any other is drawn
#: for itself when somebody looks at packets (`sampling.Sampling.unusual`).
_ORDINARY_REASONS = (
    Reason.OK, Reason.UNSYNCHRONISED, Reason.POLICY, Reason.RATE, Reason.LATE, Reason.SEND_FAILED, Reason.BUG,
)  # fmt: skip
ORDINARY = frozenset(action << 8 | reason for action in Action for reason in _ORDINARY_REASONS)


def outcome_of(reason: Reason, action: Action = Action.IGNORE) -> Outcome:
    """The number that stands for the pair."""
    return action << 8 | reason


def split(outcome: Outcome) -> tuple[Reason, Action]:
    """The pair that an outcome stands for."""
    return Reason(outcome & 0xFF), Action(outcome >> 8 & 3)
