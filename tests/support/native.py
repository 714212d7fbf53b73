"""The native plane for tests of both planes: built before the tests where cargo is, missing aloud elsewhere."""

from __future__ import annotations

import os
import shutil
from types import ModuleType

import pytest

from tests.support.programs import cannot_run


def need_native() -> ModuleType:
    """The native plane's module; without it, a failure in CI where it should have been built, else a skip that says why."""
    try:
        from appliance.dataplane import _native
    except ImportError:
        reason = "the native plane is not built; run: make native (needs cargo)"
        if shutil.which("cargo") or os.environ.get("APPLIANCE_NATIVE") == "1":
            cannot_run(reason)
        pytest.skip(reason)
    return _native
