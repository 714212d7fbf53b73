"""Log lines for people on a terminal, for the journal, or as JSON; each says which plugin it comes from."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Literal

from appliance.api.foreign import replaced
from appliance.core.log_flood import Flood
from appliance.core.tasks import current_plugin

_SYSLOG = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31;1m"}

Style = Literal["auto", "text", "journal", "json"]


def configure(level: str, style: Style = "auto") -> None:
    """Send everything to standard error in the form that fits where it goes."""
    if style == "auto":
        style = "journal" if os.environ.get("JOURNAL_STREAM") else "text"
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Flood())
    handler.setFormatter({"text": Text(), "journal": Journal(), "json": Json()}[style])
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("timeball").setLevel(level.upper())
    # A stranger's request that is no HTTP at all is not an error of ours.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def _source(record: logging.LogRecord) -> str:
    if record.name.startswith("timeball."):
        return record.name.removeprefix("timeball.")
    return f"{current_plugin.get()}/{record.name}"


def _message(record: logging.LogRecord) -> str:
    """The message with its traceback; control characters made visible, since much of it comes from the network."""
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    return replaced(text, lambda c: ascii(c)[1:-1], keep="\n\t")


class Text(logging.Formatter):
    """For a terminal. Further lines are indented: none of them can look as if another source had said it."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%H:%M:%S", time.gmtime(record.created))
        line = f"{stamp} {record.levelname.lower():7} {_source(record):10} {_message(record)}".replace(
            "\n", "\n    "
        )
        colour = (
            _COLOURS.get(record.levelno, "") if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else ""
        )
        return f"{colour}{line}\x1b[0m" if colour else line


class Journal(logging.Formatter):
    """One priority prefix per line, as systemd reads it (sd-daemon(3)).

    Further lines are indented: none of them can look as if another source had said it.
    """

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_SYSLOG.get(record.levelno, 6)}>"
        return prefix + f"{_source(record)}: {_message(record)}".replace("\n", f"\n{prefix}    ")


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        return json.dumps(
            {
                "ts": stamp,
                "level": record.levelname.lower(),
                "source": _source(record),
                "message": _message(record),
            }
        )
