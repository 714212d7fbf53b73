"""Loaded by schemathesis: a key against repeats is a new one for each request, as its document wants it."""

from __future__ import annotations

import secrets
from typing import Any

import schemathesis

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Without this every request but the first would be refused for its key alone; keys that make no sense stay."""
    key = (case.headers or {}).get(KEY, "")
    if isinstance(key, str) and 0 < len(key) <= 100 and key.isprintable():
        case.headers[KEY] = key + secrets.token_hex(8)
