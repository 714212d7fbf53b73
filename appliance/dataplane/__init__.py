"""Moves packets. `choose` picks the best implementation that works here and says why."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.dataplane.interface import DataPlane

#: "0" keeps the native plane out, "1" insists on it; for tests of both.
SWITCH = "APPLIANCE_NATIVE"
#: What the built plane must agree with.
BOUNDARY = Path(__file__).with_name("_native.pyi")

#: What makes the Python plane's users faster.
_BUILD = "the native plane answers many times as many packets: build it with `make native` (needs cargo)"


def choose(wanted: str, *, confined: bool = True) -> DataPlane:
    """Return the data plane for `wanted` ("auto", "python", "native", "xdp").

    Args:
        wanted: as configured.
        confined: whether packet threads give their privileges away, where the plane can do that.

    Raises:
        ValueError: the wanted one is not available here; the message says why and what to do.
    """
    from appliance.dataplane.reference import PythonPlane

    switch = os.environ.get(SWITCH, "auto")
    if wanted == "auto" and switch in ("0", "1"):
        wanted = "python" if switch == "0" else "native"
    if wanted == "python":
        ready = _why_not_native() is None
        switch_over = 'the native plane is built: `dataplane = "auto"` under [appliance] uses it'
        return PythonPlane(why="asked for", faster=switch_over if ready else _BUILD)
    if wanted == "xdp":
        raise ValueError('data plane "xdp" is not built into this version; use "auto", "native" or "python"')
    missing = _why_not_native()
    if missing is None:
        from appliance.dataplane.native import NativePlane

        return NativePlane(
            why="asked for" if wanted == "native" else "it is built and is the fastest one here",
            confined=confined,
        )
    if wanted == "native":
        raise ValueError(
            f'data plane "native" cannot be used: {missing}; use "auto" or "python", or build it with `make native`'
        )
    return PythonPlane(why=f"the native plane cannot be used: {missing}", faster=_BUILD)


def _why_not_native() -> str | None:
    """What keeps the native plane from being used, or None."""
    try:
        from appliance.dataplane import _native
    except ImportError as error:
        return "it is not built" if "_native" in str(error) else str(error)
    if BOUNDARY.exists() and getattr(_native, "__boundary__", "") != BOUNDARY.read_text():
        return "it was built from other sources than these"
    return None
