"""What plugins contribute to the pool's zone: records, weights, names that live. Import them from `appliance.api.contrib`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from appliance.api.model import Member, Verdict


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One static record in the pool's zone.

    Attributes:
        owner: relative to the zone; "@" is the zone itself.
        rrtype: such as "TXT".
        rdata: as in a zone file: texts in double quotes.
        ttl_s: seconds that resolvers may keep it.
    """

    owner: str
    rrtype: str
    rdata: str
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member as the answer table weighs it.

    Attributes:
        member: who.
        verdict: what the monitor says; None when it says nothing.
        weight: 0 means out.
        reason: why it is in or out, for people.
    """

    member: Member
    verdict: Verdict | None
    weight: int
    reason: str


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """Adds records to the zone, or reweighs candidates; pure, run when inputs change, never per query.

    Attributes:
        name: for `timeball dns answer` and the log.
        records: static records for the zone of that name, or None.
        reweigh: the candidates with other weights and reasons, none more and none fewer; or None.
        order: small numbers first.
    """

    name: str
    records: Callable[[str], Iterable[AnswerRecord]] | None = None
    reweigh: Callable[[Sequence[Candidate]], Sequence[Candidate]] | None = None
    order: int = 100


@dataclass(frozen=True, slots=True)
class LiveQuestion:
    """What is asked at or below a live name.

    Attributes:
        above: what stands before the name, in lower case; "" when the name itself is asked for.
        rrtype: such as "TXT".
        client: address of who asks: mostly a resolver.
        transport: "udp" or "tcp".
        subnet: of the resolver's client, "192.0.2.0/24", where it tells (RFC 7871); "" where it does not.
    """

    above: str
    rrtype: str
    client: str
    transport: str
    subnet: str = ""


@dataclass(frozen=True, slots=True)
class LiveName:
    """A name of the pool's zone, with all below it, that is answered anew for each query.

    Attributes:
        owner: one label, such as "_status".
        answer: records, of which those of the type asked for are sent (their owner is what was asked); None when there is no
            such name. It is called in a packet thread, up to a few hundred times a second: it reads what lies in memory,
            waits for nothing, and may be called twice at once. Queries that it is too slow for are refused.
        shown: whether the name is there at all; asked when the zone is built.
    """

    owner: str
    answer: Callable[[LiveQuestion], Iterable[AnswerRecord] | None]
    shown: Callable[[], bool] = lambda: True
