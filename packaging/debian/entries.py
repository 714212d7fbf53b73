"""Debian's changelog of the package: the version that is built, with what packaging/changes holds."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from email.utils import format_datetime

from release import ROOT, Release

MAINTAINER = "Timeball developers <timeball@localhost>"


def text(about: Release) -> str:
    """One entry, with an item for each fragment."""
    fragments = sorted((ROOT / "packaging" / "changes").glob("*.*.md"))
    items = [" ".join(path.read_text(encoding="utf-8").split()).removeprefix("- ") for path in fragments]
    body = "\n".join(
        textwrap.fill(
            item,
            78,
            initial_indent="  * ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items or ["See CHANGELOG.md in the source."]
    )
    date = format_datetime(datetime.fromtimestamp(about.epoch_s, UTC))
    return f"timeball ({about.version}) unstable; urgency=medium\n\n{body}\n\n -- {MAINTAINER}  {date}\n"
