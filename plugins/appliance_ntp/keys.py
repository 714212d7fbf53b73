"""The keys file that the service follows: read when it changes, and kept as it was when it cannot be used."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from appliance.dataplane.ntp_keys import NtpKey
from appliance_ntp.keys_file import MAX_FILE_BYTES, KeysFile, parse_keys

_Seen = tuple[str, tuple[int, ...] | None]


def load_keys(path: Path) -> KeysFile:
    """Read the keys file at `path`, unless others may read it too. Never raises."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                return KeysFile(problems=(f"{path} is no file",))
            if mode & 0o007:
                return KeysFile(
                    problems=(
                        f"{path} can be read or changed by everybody on this machine, so its keys are no secret: chmod 640 {path}",
                    )
                )
            return parse_keys(file.read(MAX_FILE_BYTES + 1), str(path))
    except FileNotFoundError:
        return KeysFile(
            problems=(f"{path} does not exist: `timeball ntp key new` prints a first line for it",)
        )
    except PermissionError:
        return KeysFile(
            problems=(f"{path} may not be read by the appliance: give it to the appliance's user or group",)
        )
    except OSError as e:
        return KeysFile(problems=(f"{path} cannot be read: {e.strerror}",))


@dataclass(slots=True)
class Keys:
    """The keys in force, and what is wrong with the file they should come from.

    Attributes:
        path: where they come from; empty when there is no file.
        keys: in force.
        problems, warnings: about the file as it is now; with problems, what was read before stays in force.
    """

    path: str = ""
    keys: tuple[NtpKey, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    _seen: _Seen = field(default=("", None))

    def follow(self, path: str) -> bool:
        """Read the file at `path` if it changed; whether anything is different now. It may wait for the disk."""
        seen = _look(path)
        if seen == self._seen:
            return False
        if path != self.path:
            self.keys = ()
        self._seen, self.path = seen, path
        found = load_keys(Path(path)) if path else KeysFile()
        self.problems, self.warnings = found.problems, found.warnings
        if not found.problems:
            self.keys = found.keys
        return True

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.path:
            return "No keys: requests with a MAC get no reply"
        count = "One key" if len(self.keys) == 1 else f"{len(self.keys)} keys"
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            return f"{count} in force; the keys file is not used: {self.problems[0]}{more}"
        return f"{count} from {self.path}"


def _look(path: str) -> _Seen:
    """What tells whether the file is another one than before."""
    try:
        found = Path(path).stat() if path else None
    except OSError as e:
        return path, (e.errno or 0,)
    if found is None:
        return path, None
    return path, (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)
