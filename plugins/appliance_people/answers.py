"""What the operations answer, as JSON Schemas: the document shows them, and the tests hold the answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from appliance.api.actor import ROLES
from appliance_people.audit import Finding, Row

Schema = Mapping[str, Any]

_TEXT, _NUMBER, _COUNT, _YES_NO = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}  # fmt: skip
_MAYBE_NUMBER = {"type": ["number", "null"]}
_TEXTS = {"type": "array", "items": _TEXT}
_ROLE = {"enum": list(ROLES)}


def _object(required: Mapping[str, Any], maybe: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An object with exactly these members."""
    properties = {**required, **(maybe or {})}
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


SIGNED_IN = _object({"name": _TEXT, "role": _ROLE, "session": _TEXT, "notice": _TEXT})
WHO = _object({
    "name": _TEXT, "kind": {"enum": ["local", "session", "token", "nobody"]}, "role": _ROLE, "scopes": _TEXTS,
    "confirmed": _YES_NO, "session": {"type": ["string", "null"]},
})  # fmt: skip
CONFIRMED = _object({"confirmed": _YES_NO, "for_s": _NUMBER})
CHANGED = _object({"changed": _YES_NO})
ENDED = _object({"ended": _COUNT})
SESSIONS = _list(_object({
    "id": _TEXT, "user": _TEXT, "created": _NUMBER, "seen": _NUMBER, "address": _TEXT, "agent": _TEXT, "this": _YES_NO,
}))  # fmt: skip

_TOKEN = {
    "id": _TEXT, "user": _TEXT, "label": _TEXT, "scopes": _TEXTS, "created": _NUMBER, "expires": _MAYBE_NUMBER, "expired": _YES_NO,
    "addresses": _TEXTS, "used": _MAYBE_NUMBER, "used_from": _TEXT,
}  # fmt: skip
TOKENS = _list(_object(_TOKEN))
NEW_TOKEN = _object({**_TOKEN, "token": _TEXT})

USER = _object({
    "id": _TEXT, "name": _TEXT, "role": _ROLE, "created": _NUMBER, "password_changed": _NUMBER, "signed_in": _MAYBE_NUMBER,
    "sessions": _COUNT, "tokens": _COUNT,
}, {"password": {"type": "string", "description": "when one was made; told once"}})  # fmt: skip
USERS = _list(USER)
UNLOCKED = _object({"unlocked": _TEXTS})
ABOUT_ROLES = _object({
    "roles": _list(_object({"role": _ROLE, "grants": _TEXTS, "about": _TEXT})), "scopes": _TEXTS,
})  # fmt: skip

_NOT_TEXT = {"seq": _COUNT, "ts": _NUMBER, "status": _COUNT}
AUDIT = _object({
    "rows": _list(_object({field.name: _NOT_TEXT.get(field.name, _TEXT) for field in fields(Row)})),
    "next_before": {"type": ["integer", "null"]},
})  # fmt: skip
VERIFIED = _object({
    "whole": _YES_NO, "rows": _COUNT,
    "findings": _list(_object({field.name: _COUNT if field.name == "seq" else _TEXT for field in fields(Finding)})),
})  # fmt: skip
SETUP = _object({"claimed": _YES_NO})
SETUP_CODE = _object({"code": _TEXT, "good_for_s": _COUNT})
