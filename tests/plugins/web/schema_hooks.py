"""Loaded by schemathesis: each request is one of its own, and none takes away what the next ones need."""

from __future__ import annotations

import os
import secrets
from typing import Any

import schemathesis

from appliance_web.repeats import LONGEST

KEY = "Idempotency-Key"


#: The user who asks: its id and name, with a comma between.
ASKER = frozenset(os.environ.get("TIMEBALL_FUZZ_ASKER", "").split(",")) - {""}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A key against repeats that makes sense becomes a new one: it alone would get a request refused.

    And an owner who made other owners does not take away its own role.
    """
    if (case.path_parameters or {}).get("id") in ASKER:
        case.path_parameters["id"] = "nobody"
    key = (case.headers or {}).get(KEY, "")
    if isinstance(key, str) and 0 < len(key) <= LONGEST and key.isprintable():
        fresh = secrets.token_hex(8)
        case.headers[KEY] = key[: LONGEST - len(fresh)] + fresh
