"""Moves packets. `choose` picks the best implementation that works here and says why."""

from __future__ import annotations

from appliance.dataplane.interface import DataPlane


def choose(wanted: str) -> DataPlane:
    """Return the data plane for `wanted` ("auto", "python", "native", "xdp").

    Raises:
        ValueError: the wanted one is not available here; the message says why.
    """
    from appliance.dataplane.reference import PythonPlane

    if wanted in ("auto", "python"):
        why = "asked for" if wanted == "python" else "the native plane is not built into this version"
        return PythonPlane(why=why)
    raise ValueError(f'data plane "{wanted}" is not built into this version; use "auto" or "python"')
