"""What many queries of one client would be told: the data plane's own draw, slot after slot, beside what chance expects."""

from __future__ import annotations

import asyncio
import math
import struct
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from appliance.api.errors import Invalid
from appliance.dataplane.dns_decide import decide
from appliance.wire.dns import CLASS_IN, type_number
from appliance_dns.explain import addresses, explain, full_name

if TYPE_CHECKING:
    from appliance_dns.answers import Answers

#: Draws between two moments at which others may run: about a millisecond's work.
_AT_ONCE = 50
#: A count this many standard deviations from its expectation comes by chance once in some ten thousand.
_ODD_SIGMA = 4.0


async def simulate(
    answers: Answers, name: str, rrtype: str, client: str | None, draws: int
) -> dict[str, Any]:
    """Draw `draws` answers, one for each coming time slot of the client, and count whom they hold.

    Returns:
        "draws", "verdict", and "addresses": for each candidate that may be answered its "expected" and "drawn" count.

    Raises:
        Invalid: the name does not rotate.
        NotFound: there is no such name.
    """
    told = explain(answers, name, rrtype, client)
    chances = {str(c["address"]): float(c["probability"]) for c in told["candidates"] if c["in"]}
    if not chances:
        raise Invalid(f"{told['name']} {told['type']} is not drawn by lot now: there is nothing to simulate")
    zone = answers.zone
    assert zone is not None
    question = full_name(name, zone) + struct.pack("!HH", type_number(rrtype), CLASS_IN)
    query = struct.pack("!HHHHHH", 0, 0, 1, 0, 0, 0) + question
    now_ns, slot_ns = answers.inputs.wall_ns(), zone.snapshot.slot_ns
    drawn: Counter[str] = Counter()
    for number in range(draws):
        reply, *_ = decide(
            query, told["client"], "tcp", now_ns + number * slot_ns, zone.snapshot, sequence=number
        )
        assert reply is not None
        drawn.update(addresses(reply, len(query))[0])
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
    return {
        "name": told["name"],
        "type": told["type"],
        "client": told["client"],
        "draws": draws,
        "verdict": _verdict(chances, drawn, draws),
        "addresses": [
            {"address": address, "expected": chance * draws, "drawn": drawn[address]}
            for address, chance in sorted(chances.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def _verdict(chances: Mapping[str, float], drawn: Mapping[str, int], draws: int) -> str:
    farthest = max(_sigma(drawn[address], chance, draws) for address, chance in chances.items())
    if farthest > _ODD_SIGMA:
        return (
            f"the draws do not fit: one count is {farthest:.1f} standard deviations from what its weight says"
        )
    if all(chance >= 1.0 for chance in chances.values()):
        return "everybody is in every answer: there is nothing to draw"
    return f"the draws fit the weights: no count is more than {farthest:.1f} standard deviations off"


def _sigma(count: int, chance: float, draws: int) -> float:
    """How far a count is from what a coin of this chance gives, in standard deviations."""
    deviation = math.sqrt(draws * chance * (1 - chance)) if 0 < chance < 1 else 0.0
    distance = abs(count - draws * chance)
    return distance / deviation if deviation else 0.0 if distance < 0.5 else math.inf
