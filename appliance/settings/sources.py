"""Where a configuration comes from, so that it can be read again and written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.core.config import Layer, read_file
from appliance.core.layers import OVERRIDES, named_state_dir, read_layers


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read at one moment.

    Attributes:
        layers: weakest first.
        files: content by path; None for a file that is not there.
        revision: changes when any content does.
    """

    layers: tuple[Layer, ...]
    files: dict[Path, bytes | None]
    revision: str


class Sources:
    """The layers of one appliance.

    Attributes:
        config_file: the file named by --config; None when there is none (an appliance in a test's memory).
        overrides: the layer that the appliance may always write, STATE_DIR/overrides.toml.
        shipped: the file came with the program, so changes belong into `overrides`.
    """

    def __init__(
        self,
        config_file: Path | None,
        state: str | None = None,
        assignments: Sequence[str] = (),
        *,
        shipped: bool = False,
    ) -> None:
        self.config_file = config_file
        self.shipped = shipped
        self._state = state
        self._assignments = tuple(assignments)

    def read(self) -> list[Layer]:
        """All layers, weakest first.

        Raises:
            BadConfig: some cannot be read.
        """
        assert self.config_file is not None
        return read_layers(self.config_file, self._state, self._assignments)

    def overrides(self, layers: Sequence[Layer]) -> Path:
        """Where the appliance's own layer is, whether it exists or not."""
        return named_state_dir(layers) / OVERRIDES

    def files(self, layers: Sequence[Layer]) -> list[Path]:
        """The files of these layers, weakest first, and the appliance's own even when it is not there yet."""
        found = [layer.file for layer in layers if layer.file is not None]
        own = self.overrides(layers)
        return found if own in found else [*found, own]

    def snapshot(self) -> Snapshot:
        """Layers, contents and revision that belong together.

        Raises:
            BadConfig: they cannot be read.
            OSError: they change faster than they can be read.
        """
        for _ in range(5):
            layers = self.read()
            before = {path: content(path) for path in self.files(layers)}
            again = self.read()
            if [layer.text for layer in again] == [layer.text for layer in layers]:
                return Snapshot(tuple(again), before, revision(before))
        raise OSError("the configuration changes all the time; try again when it has settled")


class MemorySources(Sources):
    """Layers in memory, with the appliance's own file among them: for tests."""

    def __init__(self, base: Sequence[Layer], strongest: Sequence[Layer]) -> None:
        super().__init__(None)
        self._base = tuple(base)
        self._strongest = tuple(strongest)

    def read(self) -> list[Layer]:
        own = self.overrides([*self._base, *self._strongest])
        return [*self._base, *([read_file(own)] if own.is_file() else ()), *self._strongest]


def content(path: Path) -> bytes | None:
    """What is in the file; None when it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def revision(files: dict[Path, bytes | None]) -> str:
    """A short word for these contents."""
    digest = hashlib.sha256()
    for path, data in sorted(files.items()):
        digest.update(f"{path}\0{'-' if data is None else len(data)}\0".encode() + (data or b""))
    return digest.hexdigest()[:16]
