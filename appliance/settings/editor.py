"""Plans a change to the files, shows it, and makes it: everything is checked as at a start, or nothing is written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from appliance.api.errors import ApiError, Conflict, Invalid, Refused
from appliance.core.config import MISSING, ApplianceConfig, BadConfig, Config, Layer, dotted, merge, read_text
from appliance.core.config_check import inner_model, validate
from appliance.core.toml_positions import Path as KeyPath
from appliance.settings import files
from appliance.settings.document import UNSET, CannotEdit, edit
from appliance.settings.keys import flat
from appliance.settings.masking import PLAIN, Pattern, diff, masked, secret_keys
from appliance.settings.placing import Change, place
from appliance.settings.sources import Snapshot, Sources

#: A longer file was made by a program, which is the one to change it.
MOST_BYTES = 4_000_000
_REMEMBERED = 8


class Stale(Conflict):
    """The files are not any more what the change was made for.

    Attributes:
        changed: keys that somebody else changed meanwhile; None when it is not known any more what was there.
        overlap: those of them that this change is about too.
        revision: of what is there now.
    """

    status = 412
    code = "changed_meanwhile"

    def __init__(self, changed: list[str] | None, overlap: list[str], revision: str) -> None:
        self.changed, self.overlap, self.revision = changed, overlap, revision
        if changed is None:
            what = "the configuration was changed meanwhile"
        else:
            what = "somebody changed " + (", ".join(changed) or "comments only") + " meanwhile"
        more = f"; {', '.join(overlap)} would be overwritten" if overlap else ""
        super().__init__(
            f"{what}{more}; nothing was written. Look at the change again against what is there now"
        )


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file before and after; None is no file."""

    path: Path
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A change that was checked and is not made yet.

    Attributes:
        files: what is written.
        config: what results, with all layers.
        diff: for people, without secrets.
        notes: what a person should know about it.
        revision: of what it was made from.
        keys: dotted keys that it sets or takes back.
    """

    files: tuple[FileChange, ...]
    config: Config
    diff: str
    notes: tuple[str, ...]
    revision: str
    keys: tuple[str, ...]


class Editor:
    """The configuration of one appliance as something that can be changed. All methods block: call them in a thread."""

    def __init__(
        self, sources: Sources, models: Mapping[str, type[BaseModel] | None], unchecked: Sequence[str] = ()
    ) -> None:
        self.sources = sources
        self.learn(models, unchecked)
        self._seen: OrderedDict[str, dict[str, Any]] = OrderedDict()  # merged values by revision
        self._lock = threading.Lock()

    def learn(self, models: Mapping[str, type[BaseModel] | None], unchecked: Sequence[str] = ()) -> None:
        """Check against these models from now on.

        Args:
            models: of each plugin, by id; None for one that has nothing to set.
            unchecked: plugins whose tables may say anything, because they cannot be loaded.
        """
        self.models = dict(models)
        self.secrets: frozenset[Pattern] = secret_keys(models)
        self._unchecked = tuple(unchecked)

    def snapshot(self) -> Snapshot:
        """What is there now; remembered, so that a later conflict can be explained.

        Raises:
            BadConfig: a file cannot be read.
        """
        taken = self.sources.snapshot()
        with self._lock:
            self._seen[taken.revision] = merge(taken.layers)
            self._seen.move_to_end(taken.revision)
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return taken

    def read(self) -> tuple[Config, str]:
        """What is there now, checked, and its revision.

        Raises:
            BadConfig: it cannot be used.
        """
        taken = self.snapshot()
        return validate(taken.layers, self.models, unchecked=self._unchecked), taken.revision

    def plan(self, changes: Sequence[Change], revision: str = "") -> Plan:
        """Work a change out and check its result as a start would.

        Args:
            changes: (path, value or UNSET).
            revision: of what the person looked at; "" for whatever is there.

        Raises:
            Stale: it is not that any more.
            Locked, Refused, NotFound: a key cannot be changed, and why.
            Invalid: with every problem by its key.
        """
        try:
            before = self.snapshot()
        except BadConfig as bad:
            raise broken(bad) from None
        if revision and revision != before.revision:
            raise self._stale(revision, before, [path for path, _ in changes])
        own = self.sources.overrides(before.layers)
        placed = place(
            before.layers, changes, own=own, main=self.sources.config_file, obstacle=self._obstacle, default=self.default
        )  # fmt: skip
        made = []
        for path, entries in placed.changes.items():
            if path == own and (why := files.obstacle(own)):
                raise Refused(f"nothing can be written: {own}: {why}")
            old = before.files.get(path)
            new = _edited(path, old, entries)
            if new != old:
                made.append(FileChange(path, old, new))
        return self._checked(before, made, placed.notes, tuple(dotted(path) for path, _ in changes))

    def restore(self, wanted: Sequence[FileChange]) -> Plan:
        """The way back from a change: byte for byte where the file is still what the change left, else key by key.

        Raises:
            Conflict: somebody changed the same keys since.
            Invalid: what was there before cannot be used any more.
        """
        try:
            before = self.snapshot()
        except BadConfig as bad:
            raise broken(bad) from None
        made = []
        notes = []
        keys: list[str] = []
        for change in wanted:
            now = before.files.get(change.path)
            then, since = _values(change.before), _values(change.after)
            differ = [p for p in {**then, **since} if then.get(p, UNSET) != since.get(p, UNSET)]
            keys += [dotted(path) for path in differ]
            if now == change.after:
                made.append(FileChange(change.path, now, change.before))
                continue
            today = _values(now)
            clash = [dotted(path) for path in differ if today.get(path, UNSET) != since.get(path, UNSET)]
            if clash:
                raise Conflict(f"{', '.join(clash)} was changed again since: it cannot simply be taken back")
            notes.append(f"{change.path} was changed since: only these keys go back, the rest stays")
            entries = [(path, then.get(path, UNSET)) for path in differ]
            made.append(FileChange(change.path, now, _edited(change.path, now, entries)))
        return self._checked(
            before, [c for c in made if c.before != c.after], tuple(notes), tuple(sorted(set(keys)))
        )

    def commit(self, plan: Plan) -> None:
        """Write the files of a plan; when the second of two cannot be written, the first goes back.

        Raises:
            Conflict: one of them was changed meanwhile.
            Refused: the disk does not let us.
        """
        done: list[FileChange] = []
        try:
            for change in plan.files:
                files.replace(change.path, change.before, change.after)
                done.append(change)
        except ApiError:
            for change in reversed(done):
                files.replace(change.path, change.after, change.before)
            raise

    def default(self, path: KeyPath) -> Any:
        """A key's default as it can be written, else MISSING."""
        model: type[BaseModel] | None = ApplianceConfig
        if path[0] == "plugins":
            model = self.models.get(str(path[1])) if len(path) > 1 else None
        value: Any = MISSING
        for part in path[2 if path[0] == "plugins" else 1 :]:
            field = model.model_fields.get(str(part)) if model is not None else None
            if field is None or field.is_required():
                return MISSING
            value = field.get_default(call_default_factory=True)
            model = inner_model(field.annotation)
        value = plain_value(value)
        return MISSING if value is None else value

    def mask(self, value: Any, path: KeyPath) -> Any:
        """`value` without secrets."""
        return masked(value, path, self.secrets)

    def diff(self, changes: Sequence[FileChange]) -> str:
        """Of several files, without secrets."""
        return "\n".join(diff(str(c.path), c.before, c.after, self.secrets) for c in changes)

    # -- parts ------------------------------------------------------------------------------------------------------

    def _obstacle(self, path: Path) -> str:
        if self.sources.shipped and path == self.sources.config_file:
            return "it came with the program"
        return files.obstacle(path)

    def _checked(
        self, before: Snapshot, made: Sequence[FileChange], notes: tuple[str, ...], keys: tuple[str, ...]
    ) -> Plan:
        layers = _after(before, made, self.sources.overrides(before.layers))
        try:
            config = validate(layers, self.models, unchecked=self._unchecked)
        except BadConfig as bad:
            raise wrong(bad) from None
        return Plan(tuple(made), config, self.diff(made), notes, before.revision, keys)

    def _stale(self, revision: str, now: Snapshot, paths: Sequence[KeyPath]) -> Stale:
        then = self._seen.get(revision)
        if then is None:
            return Stale(None, [], now.revision)
        old, new = flat(then), flat(merge(now.layers))
        differ = [path for path in {**old, **new} if old.get(path, UNSET) != new.get(path, UNSET)]
        overlap = [d for d in differ if any(p[: len(d)] == d or d[: len(p)] == p for p in paths)]
        return Stale([dotted(p) for p in differ], [dotted(p) for p in overlap], now.revision)


def plain_value(value: Any) -> Any:
    """A model's value as a document can hold it: models as tables, tuples as lists, paths as text."""
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, BaseModel):
        return {name: plain_value(inner) for name, inner in dict(value).items() if inner is not None}
    if isinstance(value, Mapping):
        return {str(key): plain_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_value(entry) for entry in value]
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def wrong(bad: BadConfig) -> Invalid:
    """Every problem of a configuration by its key."""
    errors: dict[str, str] = {}
    for problem in bad.problems:
        text = problem.message + (f' (did you mean "{problem.nearest}"?)' if problem.nearest else "")
        errors[problem.key] = f"{errors[problem.key]}; {text}" if problem.key in errors else text
    return Invalid("the configuration would not be right, so nothing was changed", errors=errors)


def broken(bad: BadConfig) -> Conflict:
    """The files as they are cannot be read: nothing can be changed before a person has corrected them."""
    told = "; ".join(str(problem).partition("\n")[0] for problem in bad.problems)
    return Conflict(f"the configuration on the disk is broken, correct it first: {told}")


def _edited(path: Path, old: bytes | None, entries: Sequence[Change]) -> bytes:
    if old is not None and len(old) > MOST_BYTES:
        raise Refused(f"{path} is longer than {MOST_BYTES // 1_000_000} MB; change it with what made it")
    try:
        return edit((old or _HEAD).decode(), entries).encode()
    except CannotEdit as error:
        raise Refused(f"{path} cannot be changed: {error}") from None


_HEAD = b"# Written by the appliance: what was set in its pages or with `timeball config set` and could not go elsewhere.\n"


def _values(data: bytes | None) -> dict[KeyPath, Any]:
    return flat(read_text((data or b"").decode("utf-8-sig"), "").values)


def _after(before: Snapshot, made: Sequence[FileChange], own: Path) -> list[Layer]:
    """The layers as they will be."""
    new = {change.path: change.after for change in made}
    layers = [layer for layer in before.layers if layer.file is None or new.get(layer.file, b"") is not None]
    layers = [_layer(layer.file, new[layer.file]) if layer.file in new else layer for layer in layers]
    if new.get(own) is not None and own not in {layer.file for layer in layers}:
        first_stronger = next((i for i, layer in enumerate(layers) if layer.stronger), len(layers))
        layers.insert(first_stronger, _layer(own, new[own]))
    return layers


def _layer(path: Path | None, data: bytes | None) -> Layer:
    return replace(read_text((data or b"").decode("utf-8-sig"), str(path)), file=path)
