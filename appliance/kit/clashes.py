"""Why two distributions cannot both be installed: the same plugin id, or files of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from appliance.api.foreign import quoted
from appliance.kit.installed import CannotInstall, Root, distributions


def refuse_files(folder: Path, name: str, others: Sequence[Root]) -> None:
    """Raise CannotInstall when the distribution `name` in `folder` has a file that another one brought: one of them is broken now."""
    there = distributions(folder)
    own = _files(there[name]) if name in there else frozenset()
    for other in others:
        for brought in (other.name, *other.brought):
            if brought == name or brought not in there:
                continue
            if both := own & _files(there[brought]):
                raise CannotInstall(
                    f"{name} brings {min(both)}, which belongs to {brought}",
                    f"`timeball plugin remove {quoted(other.name)}` first, or have its author give his package another name",
                )


def refuse_ids(ids: Iterable[str], ours: Iterable[str], others: Sequence[Root]) -> None:
    """Raise CannotInstall when one of `ids` is that of a plugin of ours, or of another installed one: only one of the two would run."""
    taken = dict.fromkeys(ours, "comes with the appliance")
    for other in others:
        taken |= dict.fromkeys(other.plugins, f"is installed already, from {other.name}")
    for plugin_id in ids:
        if plugin_id in taken:
            raise CannotInstall(
                f"a plugin with the id {plugin_id!r} {taken[plugin_id]}",
                "one of the two has to go, or to be called otherwise (PluginInfo.id and the entry point)",
            )


def _files(distribution: object) -> frozenset[str]:
    files = getattr(distribution, "files", None) or ()
    return frozenset(str(file) for file in files if str(file).endswith((".py", ".so", ".toml")))
