"""What the operations answer, as JSON Schemas: the document shows them, and the tests hold the answers to them."""

from __future__ import annotations

from dataclasses import fields

from appliance.api.actor import ROLES
from appliance.api.shapes import COUNT, FLAG, INTEGER, NUMBER, TEXT, TEXTS, list_of, maybe, obj, one_of, said
from appliance_people.audit import Finding, Row

_ROLE = one_of(*ROLES)

SIGNED_IN = obj({"name": TEXT, "role": _ROLE, "session": TEXT, "notice": TEXT})
WHO = obj({
    "name": TEXT, "kind": one_of("local", "session", "token", "nobody"), "role": _ROLE, "scopes": TEXTS,
    "confirmed": FLAG, "session": maybe(TEXT),
})  # fmt: skip
CONFIRMED = obj({"confirmed": FLAG, "for_s": NUMBER})
CHANGED = obj({"changed": FLAG})
ENDED = obj({"ended": COUNT})
SESSIONS = list_of(obj({
    "id": TEXT, "user": TEXT, "created": NUMBER, "seen": NUMBER, "address": TEXT, "agent": TEXT, "this": FLAG,
}))  # fmt: skip

_TOKEN = {
    "id": TEXT, "user": TEXT, "label": TEXT, "scopes": TEXTS, "created": NUMBER, "expires": maybe(NUMBER), "expired": FLAG,
    "addresses": TEXTS, "used": maybe(NUMBER), "used_from": TEXT, "made_by": said(TEXT, "another user who made it, or empty"),
}  # fmt: skip
TOKENS = list_of(obj(_TOKEN))
NEW_TOKEN = obj({**_TOKEN, "token": TEXT})

USER = obj({
    "id": TEXT, "name": TEXT, "role": _ROLE, "created": NUMBER, "password_changed": NUMBER, "signed_in": maybe(NUMBER),
    "sessions": COUNT, "tokens": COUNT,
}, {"password": said(TEXT, "when one was made; told once")})  # fmt: skip
USERS = list_of(USER)
UNLOCKED = obj({"unlocked": TEXTS})
ABOUT_ROLES = obj({
    "roles": list_of(obj({"role": _ROLE, "grants": TEXTS, "about": TEXT})), "scopes": TEXTS,
})  # fmt: skip

_NOT_TEXT = {"seq": COUNT, "ts": NUMBER, "status": COUNT}
AUDIT = obj({
    "rows": list_of(obj({field.name: _NOT_TEXT.get(field.name, TEXT) for field in fields(Row)})),
    "next_before": maybe(INTEGER),
    "verified": maybe(obj({"at": NUMBER, "whole": FLAG, "rows": COUNT})),
})  # fmt: skip
VERIFIED = obj({
    "whole": FLAG, "rows": COUNT,
    "findings": list_of(obj({field.name: COUNT if field.name == "seq" else TEXT for field in fields(Finding)})),
})  # fmt: skip
SETUP = obj({"claimed": FLAG})
SETUP_CODE = obj({"code": TEXT, "good_for_s": COUNT})
