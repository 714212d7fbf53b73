"""All checks of the box itself, and the surroundings of an appliance that runs or of one that could."""

from __future__ import annotations

from appliance.api.contrib import HealthCheck
from appliance.doctor import configured, disk, network, ports, timekeeping
from appliance.doctor.surroundings import Surroundings

#: Who asks, in the ids of results: everything else is the id of a plugin.
BOX = "box"


def checks(around: Surroundings) -> list[tuple[str, HealthCheck]]:
    """Pairs of (who, check) for `judge.examine`."""
    parts = (ports, disk, timekeeping, network, configured)
    return [(BOX, check) for part in parts for check in part.checks(around)]
