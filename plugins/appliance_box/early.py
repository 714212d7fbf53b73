"""`python -m appliance_box.early`: before the network is up, take what waits for the box, and tell the system what it is.

Runs once at each start, as root. It waits for no network and no time, and whatever it finds, the start goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from appliance.api.agent import AgentRefusal, Runs, run_program
from appliance.core import durable, logs
from appliance_box import applying, boot, keeping, told
from appliance_box.agent import SERVICE_USER
from appliance_box.image import SLOT_FILE, kernel_words
from appliance_box.preseed import Reading, media
from appliance_box.preseed.taking import TAKEN, without_secrets
from appliance_box.settings import BoxSettings

log = logging.getLogger("timeball.box")

#: Sums of the files that were taken already, the newest last.
DONE = f"{keeping.HOME}/preseed-done"
_MOST_DONE = 64
#: Where the plugin of people looks for the owner and the pool.
FOR_PEOPLE = "var/lib/timeball/people/preseed.toml"
SAFE_MODE = "run/timeball/safe-mode"
#: A stick may need a moment to be seen. Only where nobody has set the box up yet.
_STICK_S = 5


class Early:
    """One start.

    Args:
        root: of the file system.
        program: runs programs of the system.
        environment: of the process.
    """

    def __init__(
        self, root: Path = Path("/"), program: Runs = run_program, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.root = root
        self.program = program
        self.environment = environment
        self.report = told.Report()

    def run(self) -> told.Report:
        """All of it; never raises."""
        settings = self._step("settings", self._settings) or BoxSettings()
        for name, step in (
            ("network", lambda: applying.place(self.root, settings)),
            ("host name", lambda: applying.name_box(self.root, settings)),
            ("boot menu", self._from_boot_menu),
        ):
            for trouble in self._step(name, step) or ():
                self.report.say("the box", trouble)
        self._step("report", lambda: told.publish(self.root, self.report))
        return self.report

    def _step(self, name: str, step: Any) -> Any:
        try:
            return step()
        except Exception as bug:
            log.exception("%s: the start goes on without", name)
            self.report.say(name, f"a mistake of ours: {type(bug).__name__}: {bug}")
            return None

    # -- what waits for us --------------------------------------------------------------------------------------------

    def _settings(self) -> BoxSettings:
        """The settings of this box, after what waited for it was taken."""
        settings, wrong = keeping.load(self.root)
        if wrong:
            self.report.say("the box", wrong)
        done = self._done()
        if not done and self.root == Path("/"):
            self.program("udevadm", "settle", f"--timeout={_STICK_S}", timeout_s=_STICK_S + 5.0)
        with media.media(self.root, self.program, self.environment) as places:
            found = [
                (medium, name, content, reader)
                for medium in places
                for name, reader in medium.files.items()
                if (content := media.content_of(medium.folder / name)) is not None
            ]
            fresh = [one for one in found if isinstance(one[2], str) or _sum(one[2]) not in done]
            if not fresh:
                self.report = told.last(self.root, self.report)
                return settings
            return self._take(settings, fresh, done, places)

    def _take(
        self, settings: BoxSettings, fresh: list[Any], done: list[str], places: list[media.Medium]
    ) -> BoxSettings:
        taken: dict[str, Any] = {}
        people: dict[str, Any] = {}
        for medium, name, content, reader in fresh:
            where = f"{name} ({medium.called})"
            reading = Reading(problems=[content]) if isinstance(content, str) else reader(content)
            _keep_secrets(reading, settings)
            # What came first counts: the places are asked in their order.
            taken = reading.parts | taken
            people = reading.people | people
            self.report.read(where, reading)
        if (places[0].folder / media.SCRIPT).exists():
            self.report.note(
                media.SCRIPT, "this box runs no scripts: write the card with its own entry in Imager"
            )
        settings = self._with(settings, taken)
        keeping.save(self.root, settings)
        if people:
            self._hand_over(people)
        sums = [_sum(content) for _, _, content, _ in fresh if isinstance(content, bytes)]
        self._remember([*done, *sums])
        after = self._clean(fresh)
        self._remember([*done, *sums, *after])
        return settings

    def _with(self, settings: BoxSettings, taken: Mapping[str, Any]) -> BoxSettings:
        try:
            return BoxSettings.model_validate({**dict(settings), **taken})
        except ValidationError as invalid:
            self.report.say("the box", keeping.problems_of(invalid))
            return settings

    def _hand_over(self, people: Mapping[str, Any]) -> None:
        """Owner and pool, for the appliance to take when it starts."""
        file = self.root / FOR_PEOPLE
        durable.put(file, tomlkit.dumps(people).encode(), 0o600)
        with contextlib.suppress(KeyError, PermissionError):
            user = pwd.getpwnam(SERVICE_USER)
            for path in (file, file.parent):
                os.chown(path, user.pw_uid, user.pw_gid)

    def _clean(self, fresh: list[Any]) -> list[str]:
        """Take secrets out of files that are ours, and write problems beside them; sums of the files as they are now."""
        ours = [(medium, name, content) for medium, name, content, _ in fresh if medium.ours]
        if not ours:
            return []
        sums = []
        try:
            with boot.writable(self.root, self.program):
                for medium, name, content in ours:
                    if isinstance(content, bytes) and (clean := _clean(name, content)) != content:
                        durable.put(medium.folder / name, clean, 0o600)
                        self.report.note(
                            name, "its passwords were taken over, and are not in the file any more"
                        )
                        sums.append(_sum(clean))
                told.write_beside(ours[0][0].folder, self.report)
        except (AgentRefusal, OSError) as error:
            self.report.say("boot partition", f"what is secret in its files still stands there: {error}")
        return sums

    # -- what was done ------------------------------------------------------------------------------------------------

    def _done(self) -> list[str]:
        try:
            return (self.root / DONE).read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError):
            return []

    def _remember(self, sums: list[str]) -> None:
        kept = list(dict.fromkeys(sums))[-_MOST_DONE:]
        durable.put(self.root / DONE, ("\n".join(kept) + "\n").encode(), 0o600)

    def _from_boot_menu(self) -> None:
        """Which system was started and how, where the service can see it: it does not see the kernel's command line."""
        words = kernel_words(self.root)
        (self.root / SLOT_FILE).parent.mkdir(parents=True, exist_ok=True)
        for name, text in (
            (SLOT_FILE, words.get("timeball.slot", "")),
            (SAFE_MODE, "safe mode was chosen in the boot menu" if words.get("timeball.safe") == "1" else ""),
        ):
            if text:
                (self.root / name).write_text(f"{text}\n", encoding="utf-8")
                (self.root / name).chmod(0o644)


def _keep_secrets(reading: Reading, settings: BoxSettings) -> None:
    """Where the file says that a secret was taken over before, the one that was kept is meant."""
    wifi = reading.parts.get("wifi")
    if wifi is not None and wifi.password == TAKEN:
        if settings.wifi is not None and settings.wifi.octets == wifi.octets:
            reading.parts["wifi"] = wifi.model_copy(update={"password": settings.wifi.password})
        else:
            del reading.parts["wifi"]
            reading.problems.append(
                "the Wi-Fi password: it was taken over for another network; write it here again"
            )
    owner = reading.people.get("owner")
    if isinstance(owner, dict) and TAKEN in (owner.get("password"), owner.get("password_hash")):
        del reading.people["owner"]


def _clean(name: str, content: bytes) -> bytes:
    try:
        return without_secrets(name, content)
    except ValueError:
        return content  # it could not be read either, and says so


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    """The exit status is always 0: a start does not fail for what is in a file."""
    parser = argparse.ArgumentParser(prog="timeball-early", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help="root of the file system, for tries")
    parser.add_argument("--json", action="store_true", help="print what was found")
    options = parser.parse_args()
    logs.configure("info")
    report = Early(options.root).run()
    for line in report.lines():
        sys.stdout.write(f"{line}\n")
    if options.json:
        sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
