"""The NTP Pool's own shapes of `/scores/<ip>/json` and `/scores/<ip>/log`, so that existing checks work with this pool."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance.api.foreign import defused, replaced

HEADER = "ts_epoch,ts,offset,step,score,monitor_id,monitor_name,rtt,leap,error"
#: Without `since` the pool shows this much.
LOOKBACK_S = 4 * 86_400
DEFAULT_LIMIT, MOST = 100, 10_000
#: Ids of monitors are numbers there. The overall score has none; this box is the first monitor.
MONITOR_ID = 1


def as_json(
    address: str, rows: Sequence[Mapping[str, Any]], monitor: str, *, overall: bool
) -> dict[str, Any]:
    """The document of `/scores/<ip>/json`; rtt in milliseconds, as there."""
    latest = max(rows, key=lambda row: float(row["ts"]), default=None)
    monitors = []
    if latest is not None:
        rtts = [row["rtt_s"] for row in rows if row["rtt_s"] is not None]
        entry: dict[str, Any] = {
            "id": MONITOR_ID, "name": monitor, "type": "score" if overall else "monitor", "ts": _iso(latest["ts"]),
            "score": round(latest["score"], 1), "status": "active",
        }  # fmt: skip
        if rtts:
            entry["avg_rtt"] = round(sum(rtts) / len(rtts) * 1e3, 3)
        monitors.append(entry)
    return {"history": [_history(row) for row in rows], "monitors": monitors, "server": {"ip": address}}


def _history(row: Mapping[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "ts": int(row["ts"]), "step": row["step"], "score": row["score"], "monitor_id": MONITOR_ID,
    }  # fmt: skip
    if row["offset_s"] is not None:
        entry["offset"] = row["offset_s"]
    if row["rtt_s"] is not None:
        entry["rtt"] = round(row["rtt_s"] * 1e3, 3)
    return entry


def as_log(rows: Iterable[Mapping[str, Any]]) -> str:
    """The text of `/scores/<ip>/log`."""
    lines = [HEADER]
    for row in rows:
        stamp = dt.datetime.fromtimestamp(row["ts"], dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        rtt = "" if row["rtt_s"] is None else decimal(row["rtt_s"] * 1e3)
        cells = (
            str(int(row["ts"])), stamp, decimal(row["offset_s"]), decimal(row["step"]), decimal(row["score"]),
            str(MONITOR_ID), _text(row["monitor"]), rtt, str(row["leap"] or ""), _text(row["error"]),
        )  # fmt: skip
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def decimal(value: float | None) -> str:
    """Up to nine decimals, trailing zeros cut."""
    if value is None:
        return ""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def _text(value: str | None) -> str:
    """Text from the network: control characters made visible, quoted where a comma would split it."""
    # A kiss code is four bytes of a stranger's choice: none of them begins a formula in somebody's spreadsheet.
    shown = defused(replaced(value or "", lambda c: f"<0x{ord(c):02X}>"))
    return '"' + shown.replace('"', '""') + '"' if "," in shown or '"' in shown else shown


def _iso(ts: float) -> str:
    return dt.datetime.fromtimestamp(ts, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
