"""What people read of the package: manual pages, the manual, completions, changelog, whose work it is."""

from __future__ import annotations

from pathlib import Path

import archive
import entries
import manual_pages
import notices
import words_of_shells
from release import HERE, ROOT, Architecture, Release

from appliance.cli import build as commands

DOCS = "usr/share/doc/timeball"
#: For people who want it otherwise.
_EXAMPLES = ("kernel-clock.conf", "no-privilege.conf")


def put(stage: Path, site: str, architecture: Architecture, about: Release, *, native: bool) -> None:
    """Lay them out in the folder `stage`; the application lies at `site` in it already."""
    root = commands()
    number = about.version.partition("~")[0]
    for name, text in manual_pages.pages(root, number, about.epoch_s).items():
        archive.put_gz(stage, f"usr/share/man/man1/{name}", text)
    for place, text in words_of_shells.scripts(root).items():
        archive.put(stage, place, text)
    archive.put_gz(stage, f"{DOCS}/changelog", entries.text(about))
    archive.put(stage, f"{DOCS}/copyright", notices.copyright_file(stage, site, architecture, native=native))
    # The pages under /help read the manual where the application lies; here it is found by people.
    for path in sorted((stage / site / "appliance" / "docs").iterdir()):
        (stage / DOCS / path.name).symlink_to(
            f"../../..{site.removeprefix('usr')}/appliance/docs/{path.name}"
        )
    for name in _EXAMPLES:
        archive.put(stage, f"{DOCS}/examples/{name}", (HERE / "examples" / name).read_bytes())
    for name in ("filter.conf", "jail.conf"):
        archive.put(
            stage, f"{DOCS}/examples/fail2ban/{name}", (ROOT / "packaging" / "fail2ban" / name).read_bytes()
        )
    overrides = "usr/share/lintian/overrides/timeball"
    archive.put(stage, overrides, (HERE / "lintian-overrides").read_bytes())
