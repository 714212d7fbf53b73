"""Writes a plugin to begin with, from the templates in `appliance/scaffold`: every hook with an example and its test."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Final

SCAFFOLD: Final = files("appliance") / "scaffold"

#: Every hook that can be asked for, in the order in which a plugin shows them. `setup` is always there.
HOOKS: Final = (
    "run", "panels", "metrics", "routes", "health_checks", "commands", "migrations", "retention",
    "probe_kinds", "score_rules", "answer_sources", "live_names", "packet_policies",
)  # fmt: skip
#: What somebody gets who does not choose.
USUAL: Final = ("run", "panels", "metrics", "routes", "health_checks")

_IMPORT = re.compile(r"from (\S+) import (.+)|import (\S+)")
_STANDARD = re.compile(r"(asyncio|collections|contextlib|dataclasses|pathlib|socket|typing)\b")


@dataclass(frozen=True, slots=True)
class Part:
    """One template: what a hook brings, by section.

    Attributes:
        about: one line for the question.
        needs: hooks that it cannot do without.
        sections: text by name: "imports", "hook", "module-imports", "module-code", "test-imports", "test".
        module: file name, docstring and exported names of a module of its own, or ("", "", ()).
    """

    about: str
    needs: tuple[str, ...]
    sections: dict[str, str]
    module: tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The plugin to write."""

    id: str
    hooks: tuple[str, ...]

    @property
    def package(self) -> str:
        return f"appliance_{self.id}"

    @property
    def title(self) -> str:
        return self.id.replace("_", " ").capitalize()

    def fill(self, text: str) -> str:
        """Text with this plugin's names, without the lines of hooks that it does not have."""
        kept = []
        for line in text.splitlines():
            if line.startswith("#?"):
                condition, _, line = line[2:].partition(" ")  # noqa: PLW2901 - the line without its condition
                if not set(condition.split("|")) & set(self.hooks):
                    continue
            kept.append(line)
        return Template("\n".join(kept)).substitute(
            id=self.id, package=self.package, title=self.title, label=self.id.replace("_", "-"),
            dist=f"timeball-{self.id.replace('_', '-')}", hooks=", ".join(("setup", *self.hooks)),
        )  # fmt: skip


def about(hook: str) -> str:
    """What a hook is for, in a few words."""
    return _part(f"hooks/{hook}.txt").about


def with_needs(hooks: Iterable[str]) -> tuple[str, ...]:
    """The hooks, and those that they cannot do without, in order."""
    chosen = set(hooks)
    for hook in tuple(chosen):
        chosen |= set(_part(f"hooks/{hook}.txt").needs)
    return tuple(hook for hook in HOOKS if hook in chosen)


@dataclass(frozen=True, slots=True)
class Example:
    """How a hook is used.

    Attributes:
        code: the hook, and the module of its own that it brings.
        test: of it.
    """

    code: tuple[str, ...]
    test: str


def example(hook: str) -> Example:
    """The example of one hook, as it stands in a plugin named `hello` that has all of them."""
    part = _part("base.txt" if hook == "setup" else f"hooks/{hook}.txt")
    hello = Wanted("hello", HOOKS)
    code = [hello.fill(part.sections["hook"])]
    if part.module[0]:
        code.append(f"# {part.module[0]}.py\n" + hello.fill(part.sections["module-code"]))
    return Example(tuple(code), hello.fill(part.sections["test"]))


def package(wanted: Wanted) -> dict[str, str]:
    """Every file of a package, by its path below the folder."""
    parts = _parts(wanted)
    own = f"{wanted.package}."
    config = _sections("config.txt")
    written = {
        "pyproject.toml": wanted.fill(_text("pyproject.txt")) + "\n",
        "README.md": wanted.fill(_text("readme.txt")) + "\n",
        f"{wanted.package}/py.typed": "",
        f"{wanted.package}/quality.toml": wanted.fill(_text("quality.txt")) + "\n",
        f"{wanted.package}/config.py": _module(
            f'"""What `[plugins.{wanted.id}]` may say."""', [config["imports"]], [wanted.fill(config["code"])]
        ),
    }
    imports = [f"from {own}config import Config"]
    for part in parts:
        name, docstring, exported = part.module
        imports.append(part.sections["imports"])
        if name:
            imports.append(f"from {own}{name} import {', '.join(exported)}")
            inner = [part.sections["module-imports"]]
            if "Config" in part.sections["module-code"]:
                inner.append(f"from {own}config import Config")
            written[f"{wanted.package}/{name}.py"] = _module(
                wanted.fill(docstring), inner, [wanted.fill(part.sections["module-code"])]
            )
    hooks = [wanted.fill(part.sections["hook"]) for part in parts]
    written[f"{wanted.package}/__init__.py"] = _module(
        _docstring(wanted), _used(imports, hooks), [_info(wanted), *hooks]
    )
    tests = [wanted.fill(part.sections["test"]) for part in parts]
    test_imports = [wanted.fill(part.sections["test-imports"]) for part in parts]
    test_imports += [f"import {wanted.package}", f"from {own}tally import Tally"]
    written[f"tests/test_{wanted.id}.py"] = _module(
        f'"""{wanted.title} does what it says."""', _used(test_imports, tests), tests
    )
    return written


def single_file(wanted: Wanted) -> dict[str, str]:
    """The whole plugin as one file for a drop-in folder."""
    parts = _parts(wanted)
    config = _sections("config.txt")
    imports, code = [config["imports"]], [wanted.fill(config["code"])]
    for part in parts:
        imports += [part.sections["imports"], part.sections.get("module-imports", "")]
        if part.module[0]:
            code.append(wanted.fill(part.sections["module-code"]))
    hooks = [wanted.fill(part.sections["hook"]) for part in parts]
    text = _module(_docstring(wanted), imports, [*code, _info(wanted), *hooks])
    return {f"{wanted.id}.py": text}


def _parts(wanted: Wanted) -> list[Part]:
    return [_part("base.txt"), *(_part(f"hooks/{hook}.txt") for hook in wanted.hooks)]


def _docstring(wanted: Wanted) -> str:
    return f'"""{wanted.title}: say here in one sentence what it does for whom."""'


def _info(wanted: Wanted) -> str:
    return f'plugin = PluginInfo(id="{wanted.id}", title="{wanted.title}", api=1, config=Config, provides=(Tally,))'


def _text(name: str) -> str:
    return (SCAFFOLD / name).read_text(encoding="utf-8").rstrip()


def _sections(name: str) -> dict[str, str]:
    pieces = re.split(r"^#> (.+)\n", _text(name) + "\n", flags=re.MULTILINE)
    return {pieces[at]: pieces[at + 1].rstrip() for at in range(1, len(pieces), 2)}


def _part(name: str) -> Part:
    sections = _sections(name)
    module: tuple[str, str, tuple[str, ...]] = ("", "", ())
    for title, text in sections.items():
        if title.startswith("module "):
            _, file, *exported = title.split()
            module = (file, text, tuple(exported))
    needs = tuple(sections.get("needs", "").split())
    return Part(sections["about"].strip(), needs, sections, module)


def _used(imports: Iterable[str], code: Sequence[str]) -> list[str]:
    """Only the imports whose names occur in the code."""
    words = set(re.findall(r"\w+", "\n".join(code)))
    words |= {"PluginInfo", "hookimpl", "Config", "Tally"} if "@hookimpl" in "".join(code) else set()
    kept = []
    for line in "\n".join(imports).splitlines():
        found = _IMPORT.fullmatch(line)
        assert found is not None, line
        if found[3]:
            kept += [line] if found[3].partition(".")[0] in words else []
        else:
            names = [name.strip() for name in found[2].split(",")]
            kept += [f"from {found[1]} import {name}" for name in names if name in words]
    return kept


def _module(docstring: str, imports: Iterable[str], code: Sequence[str]) -> str:
    """A module with its imports merged and sorted, as the linter wants them."""
    ahead = "\n".join(_sorted(imports))
    gap = "\n" if re.match(r"@|class |def |async ", code[0]) else ""
    return (
        f"{docstring}\n\nfrom __future__ import annotations\n\n{ahead}\n\n{gap}" + "\n\n\n".join(code) + "\n"
    )


def _sorted(imports: Iterable[str]) -> Iterator[str]:
    plain: dict[int, set[str]] = defaultdict(set)
    named: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in "\n".join(imports).splitlines():
        if found := _IMPORT.fullmatch(line):
            module = found[1] or found[3]
            group = 0 if _STANDARD.match(module) else 2 if module.startswith("appliance_") else 1
            if found[3]:
                plain[group].add(module)
            else:
                named[group][module] |= {name.strip() for name in found[2].split(",")}
    first = True
    for group in range(3):
        if not plain[group] and not named[group]:
            continue
        if not first:
            yield ""
        first = False
        yield from (f"import {module}" for module in sorted(plain[group]))
        for module in sorted(named[group]):
            names = sorted(named[group][module], key=_rank)
            line = f"from {module} import {', '.join(names)}"
            if len(line) <= 120:
                yield line
            else:
                yield f"from {module} import ("
                yield from (f"    {name}," for name in names)
                yield ")"


def _rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name
