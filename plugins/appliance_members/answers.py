"""What the operations on members answer."""

from __future__ import annotations

from typing import Final

from appliance.api.shapes import (
    COUNT,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TEXTS,
    Schema,
    list_of,
    maybe,
    obj,
    one_of,
    said,
)
from appliance_members.fields import MAX_NETSPEED

_PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
_FAMILY: Final = {"enum": [4, 6]}
_NETSPEED: Final = {"type": "integer", "minimum": 0, "maximum": MAX_NETSPEED}
_EPOCH: Final = said(NUMBER, "epoch seconds")

_ROW: Final = {
    "id": TEXT, "address": TEXT, "port": _PORT, "family": _FAMILY, "name": TEXT, "netspeed": _NETSPEED, "zones": TEXTS,
    "tags": TEXTS, "operator": TEXT, "note": TEXT, "owner": said(TEXT, "name of the user who may look after it, or empty"),
    "score": maybe(NUMBER), "in_pool": FLAG, "reason": TEXT, "code": said(TEXT, "stable word for the reason"),
    "state": one_of("active", "unverified", "paused"), "declared": FLAG, "verified_by": TEXT, "paused_until": maybe(_EPOCH),
    "leaving": FLAG, "remove_at": maybe(_EPOCH), "added_at": _EPOCH, "last_ts": maybe(_EPOCH), "last_rule": TEXT,
    "weight_factor": maybe(NUMBER), "warnings": TEXTS,
}  # fmt: skip
MEMBER: Final = obj(_ROW)
MEMBERS: Final = list_of(MEMBER)

#: A probe in memory has `why`, one of the database has not; a monitor may add more.
_PROBE: Final[Schema] = {
    "type": "object",
    "required": ["ts", "offset_s", "rtt_s", "stratum", "leap", "step", "score", "error", "rule"],
    "properties": {
        "ts": _EPOCH, "monitor": TEXT, "offset_s": maybe(NUMBER), "rtt_s": maybe(NUMBER), "stratum": maybe(INTEGER),
        "leap": maybe(INTEGER), "step": maybe(NUMBER), "score": maybe(NUMBER), "error": maybe(TEXT), "rule": TEXT, "why": TEXT,
    },
}  # fmt: skip
SHOWN: Final = obj({
    **_ROW, "leaves_at": maybe(_EPOCH), "evidence": said(TEXT, "what the live check found when it was added"),
    "probes": list_of(_PROBE),
})  # fmt: skip

_PLACE: Final = {"address": TEXT, "port": _PORT}
_CHECK: Final = obj({
    **_PLACE, "accepted": FLAG, "why": TEXT, "warnings": TEXTS, "offset_s": maybe(NUMBER), "rtt_s": maybe(NUMBER),
    "stratum": maybe(INTEGER), "leap": maybe(INTEGER), "error": maybe(TEXT), "forced": FLAG,
})  # fmt: skip
ADDED: Final = obj({
    "created": MEMBERS, "checks": list_of(_CHECK), "refused": list_of(obj({**_PLACE, "why": TEXT})),
    "present": said(TEXTS, "addresses that were members before"),
})  # fmt: skip
_UNDERSTOOD: Final = obj({
    **_PLACE, "name": TEXT, "member": maybe(TEXT), "netspeed": maybe(_NETSPEED), "zones": maybe(TEXTS), "tags": maybe(TEXTS),
    "operator": maybe(TEXT), "note": maybe(TEXT), "paused": FLAG,
})  # fmt: skip
IMPORTED: Final[Schema] = {"oneOf": [ADDED, obj({"rows": said(list_of(_UNDERSTOOD), "with `preview`")})]}
EXPORTED: Final = list_of(obj({
    **_PLACE, "name": TEXT, "netspeed": _NETSPEED, "zones": TEXTS, "tags": TEXTS, "operator": TEXT, "note": TEXT, "paused": FLAG,
}))  # fmt: skip
VERIFIED: Final[Schema] = {
    "oneOf": [
        obj({"verified": {"const": True}, "member": MEMBER}),
        obj(
            {"verified": {"const": False}, "member": TEXT, "method": one_of("http", "txt"), "token": TEXT, "expires_at": _EPOCH,
             "instructions": TEXT},
            {"path": said(TEXT, "method http"), "owner": said(TEXT, "method txt: of the TXT record")},
        ),
    ]
}  # fmt: skip

_BY_FAMILY: Final = obj({"4": COUNT, "6": COUNT})
ZONES: Final = list_of(obj({
    "zone": TEXT, "parent": maybe(TEXT), "depth": COUNT, "registered": _BY_FAMILY, "active": _BY_FAMILY, "netspeed": COUNT,
}))  # fmt: skip
NAMES: Final = list_of(
    obj({"name": TEXT, "addresses": TEXTS, "error": TEXT, "looked_at": maybe(_EPOCH), "members": TEXTS})
)
LOOKED_UP: Final = obj({
    "host": TEXT, "addresses": list_of(obj({**_PLACE, "family": _FAMILY, "name": TEXT, "member": maybe(TEXT), "trusted": FLAG})),
})  # fmt: skip
