"""What the monitor tells about its rules, as the charts need it."""

from __future__ import annotations

from typing import Any

from appliance_web.charts import Thresholds


def thresholds(value: Any) -> Thresholds | None:
    """From the answer of /api/v1/scoring; None when it says nothing that we understand."""
    return None
