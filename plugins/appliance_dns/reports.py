"""What the operations of this plugin answer."""

from __future__ import annotations

from typing import Final, get_args

from appliance.api.shapes import COUNT, FLAG, INTEGER, NUMBER, TEXT, TEXTS, list_of, maybe, obj, one_of, said
from appliance_dns.delegation import State

ANSWER: Final = obj({
    "name": TEXT, "type": TEXT, "zone": said(TEXT, "path of the zone whose members the name gives, or empty"), "client": TEXT,
    "rcode": TEXT, "serial": INTEGER, "ttl": maybe(INTEGER), "answer": TEXTS,
    "stale": said(FLAG, "the monitor is silent: answers are kept as they are"), "note": TEXT,
    "candidates": list_of(obj({
        "id": TEXT, "address": TEXT, "port": COUNT, "name": TEXT, "operator": TEXT, "netspeed": COUNT, "weight": COUNT,
        "probability": said(NUMBER, "to be in an answer, 0 to 1"), "in": FLAG, "in_answer": FLAG, "reason": TEXT, "code": TEXT,
        "score": maybe(NUMBER),
    })),
})  # fmt: skip
OVERVIEW: Final = obj({
    "zone": TEXT, "serial": COUNT, "ttl": COUNT, "minimum": COUNT, "max_records": COUNT, "on_empty": TEXT, "stale": FLAG,
    "listen": TEXTS, "members_usable": COUNT, "members": COUNT, "name_servers": TEXTS,
    "names": list_of(obj({"name": TEXT, "zone": TEXT, "a": COUNT, "aaaa": COUNT})), "problems": TEXTS,
    "empty": said(
        list_of(obj({"zone": TEXT, "family": COUNT, "addresses": said(COUNT, "that stand in"), "said": TEXT})),
        "zones and families that have members of whom none is usable, and what is answered instead",
    ),
    "counters": list_of(obj({"proto": TEXT, "type": TEXT, "outcome": TEXT, "queries": COUNT})),
    "limited": said(list_of(obj({"network": TEXT, "limited": COUNT, "active": FLAG})), "networks over the rate limit"),
    "shares": said(list_of(obj({"address": TEXT, "answers": NUMBER, "fair": NUMBER})), "given, and what the weights say"),
})  # fmt: skip
SIMULATION: Final = obj({
    "name": TEXT, "type": TEXT, "client": TEXT, "draws": COUNT, "verdict": TEXT,
    "addresses": list_of(obj({"address": TEXT, "expected": NUMBER, "drawn": COUNT})),
})  # fmt: skip
DELEGATION: Final = obj({
    "zone": TEXT, "private": FLAG, "parent": said(TEXTS, "lines for the parent zone"),
    "forwarding": list_of(obj({"program": TEXT, "lines": TEXT})),
    "look": maybe(obj({
        "state": one_of(*get_args(State)), "said": TEXT, "resolver": TEXT, "seen": TEXTS, "serial": maybe(COUNT),
        "ts": said(NUMBER, "epoch seconds"),
    })),
})  # fmt: skip
