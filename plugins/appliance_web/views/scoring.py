"""What the monitor tells about its rules, as the charts need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance_web.charts import Thresholds
from appliance_web.views.standing import number


def thresholds(value: Any) -> Thresholds | None:
    """From the answer of /api/v1/scoring; None when it does not say where its lines are."""
    if not isinstance(value, Mapping):
        return None
    good, limit, enter = (number(value.get(key)) for key in ("good_s", "limit_s", "enter_score"))
    if good is None or limit is None or enter is None or not good > 0 or not limit > 0:
        return None
    top, bottom = number(value.get("top")), number(value.get("bottom"))
    return Thresholds(
        min(good, limit),
        max(good, limit),
        enter,
        20.0 if top is None else top,
        -100.0 if bottom is None else bottom,
    )


def rules(value: Any) -> list[str]:
    """Names of all rules of the profile, in the order in which they are asked."""
    found = value.get("rules") if isinstance(value, Mapping) else None
    return [str(rule["rule"]) for rule in found or () if isinstance(rule, Mapping) and "rule" in rule]
