"""Actions on the settings of the box: read, apply, confirm, go back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from appliance.api.agent import Action, AgentRefusal, Arguments, Call, Runs, run_program
from appliance_box import applying, keeping, told
from appliance_box.agent.pending import LONGEST_S, Change, Pending
from appliance_box.settings import BoxSettings


class Which(Arguments):
    secrets: bool = Field(default=False, description="With the Wi-Fi password, for a backup")


class NewSettings(Arguments):
    """All settings, as they shall be. An absent Wi-Fi password of the same network means the kept one."""

    settings: dict[str, Any]
    confirm_s: int = Field(
        default=0,
        ge=0,
        le=LONGEST_S,
        description="Goes back after so long unless it is confirmed; 0: at once for good",
    )


class Confirmation(Arguments):
    id: str = Field(max_length=40)


_WAITING: dict[Path, Pending] = {}


def pending(root: Path, program: Runs = run_program) -> Pending:
    """The change that waits below `root`: one for each process."""

    def go_back() -> None:
        settings, _ = keeping.load(root)
        make_true(root, program, settings)

    return _WAITING.setdefault(root, Pending(root, go_back))


def make_true(root: Path, program: Runs, settings: BoxSettings) -> list[str]:
    """Write the settings where the system's programs read them, and have them read; what could not be done."""
    trouble = applying.place(root, settings)
    trouble += applying.name_box(root, settings)
    return trouble + applying.take_up(root, program)


def read(call: Call, arguments: Which) -> Mapping[str, Any]:
    settings, wrong = keeping.load(call.root)
    change = pending(call.root, call.program).current()
    waits = None
    if change is not None:
        waits = {"id": change.id, "left_s": round(change.left_s, 1), "settings": change.settings.as_dict()}
    return {
        "settings": settings.as_dict(secrets=arguments.secrets), "wrong": wrong, "pending": waits,
        "wireless": applying.wireless(call.program),
    }  # fmt: skip


def apply(call: Call, arguments: NewSettings) -> Mapping[str, Any]:
    kept, _ = keeping.load(call.root)
    settings = _checked(arguments.settings, kept)
    if settings.time_zone and not applying.known_zone(call.root, settings.time_zone):
        raise AgentRefusal("bad_settings", f"time_zone: this box knows no time zone {settings.time_zone}")
    waiting = pending(call.root, call.program)
    call.progress({"doing": "applying the settings"})
    if not arguments.confirm_s:
        waiting.end()
        _keep(call.root, settings)
        return {"trouble": make_true(call.root, call.program, settings), "pending": None}
    change = Change(settings, time.monotonic_ns() + arguments.confirm_s * 10**9, secrets.token_hex(8))
    waiting.begin(change)  # before anything is changed: what cuts us off is what has to go back
    trouble = make_true(call.root, call.program, settings)
    return {"trouble": trouble, "pending": {"id": change.id, "left_s": round(change.left_s, 1)}}


def confirm(call: Call, arguments: Confirmation) -> Mapping[str, Any]:
    waiting = pending(call.root, call.program)
    change = waiting.current()
    if change is None or not secrets.compare_digest(change.id.encode(), arguments.id.encode()):
        raise AgentRefusal(
            "nothing_waits", "this change does not wait any more: it went back, or was confirmed before"
        )
    _keep(call.root, change.settings)
    waiting.end()
    return {"confirmed": change.id}


def go_back(call: Call, arguments: Confirmation) -> Mapping[str, Any]:
    waiting = pending(call.root, call.program)
    change = waiting.current()
    if change is None or change.id != arguments.id:
        raise AgentRefusal("nothing_waits", "this change does not wait any more")
    settings, _ = keeping.load(call.root)
    trouble = make_true(call.root, call.program, settings)
    waiting.end()
    return {"gone_back": change.id, "trouble": trouble}


def dismiss(call: Call, arguments: Arguments) -> Mapping[str, Any]:
    told.forget(call.root)
    return {"dismissed": True}


def _checked(value: Mapping[str, Any], kept: BoxSettings) -> BoxSettings:
    """Raises AgentRefusal: with every problem."""
    wanted = dict(value)
    wifi = wanted.get("wifi")
    if isinstance(wifi, dict):
        wifi = {key: part for key, part in wifi.items() if key != "has_password"}
        same = kept.wifi is not None and (wifi.get("ssid"), wifi.get("ssid_hex", "")) == (
            kept.wifi.ssid,
            kept.wifi.ssid_hex,
        )
        if same and wifi.get("password") is None:
            wifi["password"] = kept.wifi.password if kept.wifi else ""
        wanted["wifi"] = {key: part for key, part in wifi.items() if part is not None}
    try:
        return BoxSettings.model_validate(wanted)
    except ValidationError as invalid:
        raise AgentRefusal("bad_settings", keeping.problems_of(invalid)) from None


def _keep(root: Path, settings: BoxSettings) -> None:
    try:
        keeping.save(root, settings)
    except OSError as error:
        raise AgentRefusal(
            "not_kept",
            f"the settings cannot be kept: {error.strerror}",
            "timeball doctor says what is wrong with the disk",
        ) from None


ACTIONS = (
    Action("box.read", "Settings of the box, and a change that waits", read, Which, together=True),
    Action(
        "box.apply",
        "Change the settings of the box",
        apply,
        NewSettings,
        image_only=True,
        quiet=("settings",),
    ),
    Action("box.confirm", "Keep a change that waits", confirm, Confirmation, image_only=True, together=True),
    Action("box.go_back", "Take a change that waits back", go_back, Confirmation, image_only=True),
    Action("box.dismiss", "Forget what was wrong with the settings that waited for the box", dismiss),
)
