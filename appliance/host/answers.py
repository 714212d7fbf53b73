"""What the host's own operations answer."""

from __future__ import annotations

from typing import Final

from appliance.api.model import PluginState
from appliance.api.shapes import (
    ANY,
    COUNT,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TEXTS,
    Schema,
    list_of,
    map_of,
    maybe,
    obj,
    one_of,
    said,
)

_LEVEL: Final = one_of("ok", "degraded", "failing")
_EPOCH: Final = said(NUMBER, "epoch seconds")
_PROBLEM: Final = obj({"source": TEXT, "level": _LEVEL, "text": TEXT, "remedy": TEXT})

HEALTH: Final = obj(
    {"status": _LEVEL, "problems": list_of(_PROBLEM), "as_of": _EPOCH},
    {"version": said(TEXT, "for those who may look at the box")},
)

# -- how it runs ------------------------------------------------------------------------------------------------------

_HOW_IT_RUNS: Final = {
    "plane": obj({
        "name": TEXT, "why": TEXT, "workers": COUNT, "faster": TEXT, "sandbox": obj({"on": FLAG, "why": TEXT}),
    }),
    "process": obj({"user": TEXT, "root": FLAG, "capabilities": TEXTS, "no_new_privileges": FLAG}),
    "advice": list_of(obj({"text": TEXT, "remedy": TEXT})),
}  # fmt: skip
_STORE: Final = obj({
    "path": TEXT, "state": said(TEXT, "ok, or the fault's code"), "rows_buffered": COUNT, "rows_lost": COUNT,
    "rows_lost_by_table": map_of(COUNT), "rows_refused": COUNT, "rows_refused_by_table": map_of(COUNT), "writes_waiting": COUNT,
    "last_error": TEXT, "size_bytes": COUNT, "free_bytes": COUNT, "rows_deleted": COUNT, "moved_aside": TEXT,
})  # fmt: skip
STATUS: Final = obj({
    "version": TEXT, "started_at": _EPOCH, "state_dir": TEXT,
    "health": obj({"level": _LEVEL, "problems": list_of(_PROBLEM), "as_of": _EPOCH, "extra": map_of(ANY)}),
    "store": _STORE, "loop_lag": obj({"last_s": NUMBER, "worst_s": NUMBER, "stalls": COUNT, "last_culprit": TEXT}),
    "bus_dropped": said(map_of(COUNT), "events that slow subscribers lost, by plugin and event"),
    "safe_mode": maybe(obj({"why": TEXT, "ends": said(FLAG, "with the next start")})), **_HOW_IT_RUNS,
})  # fmt: skip

# -- plugins ----------------------------------------------------------------------------------------------------------

_PLUGIN: Final = {
    "id": TEXT, "title": TEXT, "state": one_of(*PluginState), "why": TEXT, "text": TEXT, "since": _EPOCH, "strikes": COUNT,
    "restarts": COUNT, "version": TEXT, "origin": TEXT, "hooks": TEXTS,
}  # fmt: skip
PLUGIN: Final = obj(_PLUGIN)
_QUALITY: Final = obj({
    "level": said(TEXT, "the highest that it has reached, as far as that was seen here; empty below the lowest"), "todo": TEXTS,
    "missing": said(map_of(TEXT), "what the next level asks, by rule"), "exempt": map_of(TEXT), "faults": TEXTS,
    "seen": said(TEXTS, "rules that were looked at and hold"),
    "refuted": said(map_of(TEXT), "what was seen instead, by rule that its checklist calls done"),
})  # fmt: skip
PLUGINS: Final = list_of(obj({
    **_PLUGIN, "contributions": map_of(COUNT), "faults": TEXTS,
    "quality": maybe(_QUALITY), "deprecated": TEXTS,
}))  # fmt: skip
#: Lines of the history are as they were written, by this version or an earlier one.
INSTALLED: Final = obj({
    "folder": TEXT, "changed": list_of(ANY), "history": list_of(map_of(ANY)), "damaged": TEXT, "safe_mode": TEXT,
    "waits_for_restart": said(TEXT, "why what is installed is not what runs, or empty"),
    "installed": list_of(obj({
        "name": TEXT, "version": TEXT, "source": TEXT, "plugins": TEXTS, "at": maybe({}), "sha256": TEXT, "quality": map_of(TEXT),
    })),
})  # fmt: skip
WENT_BACK: Final = obj({"folder": TEXT, "takes_effect": TEXT})
RESTARTING: Final = obj({
    "restarting": FLAG, "started_at": said(NUMBER, "of the process that ends: GET /api/v1/status tells another one afterwards"),
})  # fmt: skip
LEFT: Final = obj({"safe_mode": FLAG, "takes_effect": TEXT})
OPENAPI: Final[Schema] = {"type": "object", "required": ["openapi", "info", "paths", "components"]}

# -- doctor -----------------------------------------------------------------------------------------------------------

_CHECK: Final = obj({
    "id": TEXT, "level": one_of("failing", "degraded", "info", "ok"), "text": TEXT, "why": TEXT, "evidence": TEXTS,
    "remedy": TEXT, "commands": TEXTS, "fix": maybe(obj({"says": TEXT, "undo": FLAG, "root": FLAG})),
})  # fmt: skip
DOCTOR: Final = obj({
    "status": _LEVEL, "verdict": TEXT, "checks": list_of(_CHECK), "undoable": TEXTS, "problems": list_of(_PROBLEM),
    **_HOW_IT_RUNS,
})  # fmt: skip
DONE: Final = obj({"done": said(TEXT, "what was done, in words")})
REPORT: Final = obj({
    "version": TEXT, "checks": list_of(_CHECK), "plugins": list_of(PLUGIN), "config": map_of(map_of(ANY)), "store": _STORE,
    **_HOW_IT_RUNS,
})  # fmt: skip

# -- configuration ----------------------------------------------------------------------------------------------------

_HOW: Final = said(
    one_of("live", "plugin", "process", ""),
    '"live" takes effect at once, "plugin" restarts that plugin, "process" restarts everything',
)
CONFIG: Final = obj({
    "appliance": map_of(ANY), "plugins": map_of(map_of(ANY)), "layers": TEXTS, "revision": TEXT,
    "not_in_force": said(TEXTS, "keys that the files say otherwise"),
})  # fmt: skip
TABLES: Final = obj({
    "tables": list_of(obj({"table": TEXT, "id": TEXT, "title": TEXT, "keys": COUNT, "changed": TEXTS, "locked": TEXTS})),
    "revision": TEXT, "broken": said(TEXT, "what is wrong with the files, or empty"),
})  # fmt: skip
TABLE: Final = obj({
    "table": TEXT, "schema": said(map_of(ANY), "JSON Schema"), "values": map_of(ANY), "written": map_of(ANY),
    "keys": map_of(obj({
        "default": ANY, "set": FLAG, "changed": FLAG, "decided_by": TEXT, "line": maybe(INTEGER), "locked": TEXT, "secret": FLAG,
        "change": _HOW, "locks_out": FLAG,
    })),
    "enabled": maybe(FLAG), "enabled_locked": TEXT, "title": TEXT, "revision": TEXT, "on": maybe(FLAG), "broken": TEXT,
})  # fmt: skip
KEY: Final = obj({
    "key": TEXT, "value": ANY, "help": TEXT, "unit": TEXT, "default": ANY, "change": TEXT,
    "layers": list_of(obj({"layer": TEXT, "value": ANY, "line": maybe(INTEGER)})), "decided_by": TEXT,
})  # fmt: skip
_CHANGE: Final = {
    "id": COUNT, "ts": _EPOCH, "actor": TEXT, "keys": TEXTS, "state": one_of("waiting", "watching", "kept", "reverted"),
    "why": TEXT, "undoes": maybe(COUNT), "files": TEXTS, "effects": list_of(obj({"key": TEXT, "how": _HOW})),
    "left_s": said(maybe(NUMBER), "seconds to confirm it in"),
}  # fmt: skip
CHANGE: Final = obj(_CHANGE)
CHANGES: Final = list_of(CHANGE)
CHANGE_WITH_DIFF: Final = obj({**_CHANGE, "diff": TEXT})
PLANNED: Final = obj({
    "diff": TEXT, "files": TEXTS, "notes": TEXTS,
    "effects": list_of(obj({"key": TEXT, "how": _HOW, "plugin": TEXT, "locks_out": FLAG})), "how": maybe(_HOW), "locks_out": FLAG,
    "confirm_s": NUMBER, "revision": TEXT,
    "needs_password": said(TEXTS, "what of it needs the password of the last minutes"), "change": said(maybe(CHANGE), "null when nothing was written"),
})  # fmt: skip
