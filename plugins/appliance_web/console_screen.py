"""The box's own screen: what stands on it, line by line. Pure: no terminal, no clock."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.api.foreign import replaced
from appliance.core import columns

WIDTH, HEIGHT = 80, 24
#: Addresses that fit.
_MOST_URLS = 4
_LABEL = 10
_LEVELS = {"ok": "32", "degraded": "33", "failing": "31"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `sgr` is how a terminal with colours draws it ("" plain), see ECMA-48 8.3.117."""

    text: str = ""
    sgr: str = ""


@dataclass(frozen=True, slots=True)
class Console:
    """What is to be shown; every text may be hostile.

    Attributes:
        urls: where a browser finds the box, the best first.
        fingerprint: of the certificate, "AB:CD:…", or "".
        code, code_good_for_s: of the setup, or "".
        state: (label, sentence, level) of the four lines.
        keys: (key, what it does).
        trouble: instead of all that when the appliance does not answer.
    """

    name: str
    at: str
    urls: Sequence[str] = ()
    fingerprint: str = ""
    code: str = ""
    code_good_for_s: int = 0
    state: Sequence[tuple[str, str, str]] = ()
    keys: Sequence[tuple[str, str]] = ()
    trouble: str = ""
    message: str = field(default="")


def console(
    told: Mapping[str, Any],
    *,
    at: str,
    code: Mapping[str, Any] | None,
    keys: Sequence[tuple[str, str]],
    message: str = "",
) -> Console:
    """From GET /api/v1/console and, while nobody owns the box, GET /api/v1/setup/code."""
    return Console(
        name=str(told.get("name") or "this pool"),
        at=at,
        urls=[str(u) for u in told.get("urls") or ()],
        fingerprint=str(told.get("fingerprint") or ""),
        code=str((code or {}).get("code") or ""),
        code_good_for_s=int((code or {}).get("good_for_s") or 0),
        state=[(str(s["label"]), str(s["text"]), str(s["level"])) for s in told.get("state") or ()],
        keys=keys,
        message=message,
    )


def lines(shown: Console, width: int = WIDTH, height: int = HEIGHT) -> list[Line]:
    """The screen, never wider than `width` nor longer than `height`."""
    found = [Line(_between(f" Timeball  {shown.name}", f"{shown.at} UTC ", width), "1;7"), Line()]
    if shown.trouble:
        found += [Line(f" {text}", "31") for text in _folded(shown.trouble, width)]
    else:
        found += _reach(shown, width)
        found += _setup(shown, width)
        found += _state(shown, width)
    room = height - 1
    if len(found) > room:
        found = found[:room]
    found += [Line()] * (room - len(found))
    keys = "   ".join(f"{key} {what}" for key, what in shown.keys)
    foot = f" {shown.message or keys}"
    found.append(
        Line(
            foot if shown.message else _between(foot, "refreshed every 5 s ", width),
            "" if shown.message else "2",
        )
    )
    return [Line(_clipped(line.text, width), line.sgr) for line in found]


def _reach(shown: Console, width: int) -> list[Line]:
    if not shown.urls:
        return [Line(" The pages are not served: see `timeball plugin list`.", "31"), Line()]
    found = [Line(" Open in a browser")]
    found += [Line(f"   {url}", "1") for url in shown.urls[:_MOST_URLS]]
    more = len(shown.urls) - _MOST_URLS
    found += [Line(f"   and {more} more: `timeball tls show`")] if more > 0 else []
    if shown.fingerprint:
        about = " Fingerprint of its certificate (SHA-256), to compare before you trust it"
        found += [Line(about if len(about) <= width else about.partition(",")[0])]
        found += [Line(f"   {row}") for row in _rows(shown.fingerprint, width - 3)]
    return [*found, Line()]


def _rows(fingerprint: str, room: int) -> list[str]:
    """A fingerprint whole, in rows of alike length that break behind a colon: half of one is worth nothing."""
    pairs = fingerprint.split(":")
    most = max(1, room // (len(pairs[0]) + 1)) if len(fingerprint) > room else len(pairs)
    number = -(-len(pairs) // most)
    each = -(-len(pairs) // number)
    rows = [":".join(pairs[i : i + each]) for i in range(0, len(pairs), each)]
    return [f"{row}:" for row in rows[:-1]] + rows[-1:]


def _setup(shown: Console, width: int) -> list[Line]:
    if not shown.code:
        return []
    minutes, seconds = divmod(max(0, shown.code_good_for_s), 60)
    return [
        *(Line(f" {row}") for row in _folded("Nobody owns this box yet. Type this code into its pages:", width)),
        Line(f"   {'   '.join(shown.code.split('-')) if ' ' in shown.code else shown.code}   good for {minutes} min {seconds:02} s", "1;33"),
        Line(),
    ]  # fmt: skip


def _state(shown: Console, width: int) -> list[Line]:
    found = []
    for label, text, level in shown.state:
        mark = {"degraded": "!", "failing": "x"}.get(level, " ")
        room = width - _LABEL - 3
        found.append(Line(f" {mark} {label:<{_LABEL}}{_clipped(text, room)}", _LEVELS.get(level, "")))
    return found


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(_plain(text), width - 2)


def _between(left: str, right: str, width: int) -> str:
    """Left and right at the ends of a line; the right one gives way."""
    left = _plain(left)
    if columns.width(left) + len(right) < width:
        return left + columns.right(right, width - columns.width(left))
    return columns.left(left, width)


def _clipped(text: str, width: int) -> str:
    return columns.clipped(_plain(text), width)


def _plain(text: str) -> str:
    """Without control bytes: a terminal obeys those."""
    return replaced(text, lambda _: "?")


def painted(found: Sequence[Line], *, colour: bool) -> str:
    """For a terminal: from the top left, each line to its end, nothing below (ECMA-48 ED, EL, CUP)."""
    rows = [f"\x1b[{line.sgr}m{line.text}\x1b[0m" if colour and line.sgr else line.text for line in found]
    return "\x1b[H" + "\r\n".join(f"{row}\x1b[K" for row in rows) + "\x1b[J"
