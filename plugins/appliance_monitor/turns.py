"""Moments at which a server began to answer differently: a kiss code came or went, its leap indicator or stratum changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from appliance_monitor import keeping

#: More marks than this in one picture are a pattern to see in the points, not moments to name; the newest stay.
MOST = 200
#: A kiss code is four ASCII characters, padded with zeros (RFC 5905 section 7.4); our own errors are words in lower case.
_KISS = re.compile(r"[A-Z0-9]{2,4}")
_LEAP = {
    0: "no leap second",
    1: "a leap second is announced",
    2: "a missing second is announced",
    3: "its clock is not synchronised",
}

#: A row whose answer differs from the one before it; silence is no answer, so it is passed over when stratums are compared.
SQL = f"""
SELECT ts, error, stratum, leap FROM {keeping.PROBES}
WHERE member = ? AND ts >= ? AND ts < ? AND (error IS NOT NULL OR stratum IS NOT NULL) ORDER BY ts
"""  # noqa: S608 - our own name


def changed(rows: Iterable[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Of rows of `SQL` those that answer otherwise than the one before: a good server's month is one row, not thousands."""
    for _, alike in groupby(rows, key=itemgetter(1, 2, 3)):
        yield dict(zip(("ts", "error", "stratum", "leap"), next(alike), strict=True))


def turns(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Marks for `rows` (oldest first, each with ts, error, stratum, leap): ts, kind ("kiss", "leap", "stratum") and text."""
    found: list[dict[str, Any]] = []
    kiss = ""
    stratum = leap = None
    for row in rows:
        code = str(row.get("error") or "")
        code = code if _KISS.fullmatch(code) else ""
        if code and code != kiss:
            found.append({"ts": row["ts"], "kind": "kiss", "text": f"kiss code {code}"})
        if row.get("stratum") is not None:
            kiss = code
        if code or not row.get("stratum"):
            continue
        if stratum is not None and row["stratum"] != stratum:
            found.append(
                {"ts": row["ts"], "kind": "stratum", "text": f"stratum {stratum} became {row['stratum']}"}
            )
        if leap is not None and row.get("leap") is not None and row["leap"] != leap:
            found.append(
                {"ts": row["ts"], "kind": "leap", "text": _LEAP.get(row["leap"], f"leap {row['leap']}")}
            )
        stratum = row["stratum"]
        leap = leap if row.get("leap") is None else row["leap"]
    return found[-MOST:]
