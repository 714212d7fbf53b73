"""RAUC, which verifies bundles and writes slots: asked by its command and over D-Bus."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

from appliance.api.agent import AgentRefusal, Call, words
from appliance_updates.facts import Bundle, NotABundle, bundle_of
from appliance_updates.rules import from_rauc

CONFIG = "/etc/rauc/system.conf"
#: What the handler before an installation compares with: only what was checked may be written.
ALLOWED = "run/timeball/update-allowed.json"
_BUS = ("de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer")
_POLL_S = 1.0
_PROGRESS = re.compile(r'"data":\[(\d+),"((?:[^"\\]|\\.)*)"')


def look(call: Call, file: Path) -> Bundle:
    """What is in a bundle that a key which this image trusts has signed.

    Raises:
        AgentRefusal: it is none, or nobody whom we trust signed it.
    """
    done = call.program(
        "rauc",
        f"--conf={CONFIG}",
        "info",
        "--output-format=json-2",
        str(file),
        timeout_s=120,
        most_bytes=1 << 20,
    )
    if done.status == 127:
        raise AgentRefusal("no_rauc", "RAUC is not installed here: this is no image that can be updated so")
    if done.status != 0:
        why = from_rauc(done.said)
        raise AgentRefusal(why.code, why.text, why.remedy)
    try:
        return bundle_of(done.said)
    except NotABundle as why:
        raise AgentRefusal("unreadable", f"RAUC describes it in a way that makes no sense: {why}") from None


def install(call: Call, file: Path, bundle: Bundle) -> None:
    """Have it written to the other slot; tells how far it is.

    Raises:
        AgentRefusal: RAUC gave up; the slot that runs was not touched.
    """
    allowed = call.path(ALLOWED)
    allowed.write_text(
        json.dumps({name: digest for name, (_, digest) in bundle.images.items()}), encoding="ascii"
    )
    try:
        began = call.program(
            "busctl", "--system", "call", *_BUS, "InstallBundle", "sa{sv}", str(file), "0", timeout_s=60
        )
        if began.status != 0:
            raise AgentRefusal(
                "rauc_refused", f"RAUC did not begin: {words(began.said)}", "journalctl -u rauc says more"
            )
        pause, last = threading.Event(), (-1, "")
        while (operation := _property(call, "Operation")) != "idle":
            if operation is None:
                raise AgentRefusal(
                    "rauc_gone", "RAUC ended before it was done", "journalctl -u rauc says more"
                )
            told = _progress(call)
            if told is not None and told != last:
                last = told
                call.progress({"done": told[0] / 100, "doing": told[1]})
            pause.wait(_POLL_S)
        wrong = _property(call, "LastError")
        if wrong:
            raise AgentRefusal(
                "rauc_failed", f"RAUC gave up: {words(str(wrong))}", "journalctl -u rauc says more"
            )
    finally:
        allowed.unlink(missing_ok=True)


def _property(call: Call, name: str) -> Any:
    """None when nobody answers."""
    done = call.program("busctl", "--system", "--json=short", "get-property", *_BUS, name)
    if done.status != 0:
        return None
    try:
        return json.loads(done.said)["data"]
    except (ValueError, KeyError, TypeError):
        return None


def _progress(call: Call) -> tuple[int, str] | None:
    """Percent, and what it does."""
    done = call.program("busctl", "--system", "--json=short", "get-property", *_BUS, "Progress")
    found = _PROGRESS.search(done.said) if done.status == 0 else None
    return (int(found[1]), found[2]) if found else None
