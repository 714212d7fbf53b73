"""A page of the manual for each hook, made from its docstring, its types, the template's example and who uses it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any


def pages(made: str) -> dict[str, str]:
    """Content by file name below the manual's folder; `made` says that nobody edits them."""
    from appliance.api import hookspecs
    from appliance.host import loader
    from appliance.kit import skeleton

    users: dict[str, list[str]] = {}
    for loaded in loader.discover().good():
        if loaded.builtin:
            for hook in loaded.hooks:
                users.setdefault(hook, []).append(f"`{loaded.id}`")
    found = {}
    for name in ("setup", *skeleton.HOOKS):
        spec = getattr(hookspecs, name)
        found[f"plugins/{file_name(name)}"] = _page(name, spec, users.get(name, []), made)
    found["plugins/context.md"] = _context(made)
    rows = [
        f"| [`{n}`]({file_name(n)}) | {_first(getattr(hookspecs, n).__doc__)} |"
        for n in ("setup", *skeleton.HOOKS)
    ]
    found["plugins/hooks.md"] = "\n".join(
        ["# The hooks", "", made, "[Write a plugin](../plugins.md) tells what holds for all of them, and [what a plugin is handed](context.md) what `ctx` can do.", "",
         "| hook | for |", "|---|---|", *rows, ""]
    )  # fmt: skip
    return found


def _context(made: str) -> str:
    """What a plugin is handed: the members of both contexts."""
    from appliance.api.context import RunContext, SetupContext

    parts = ["# What a plugin is handed", "", made]
    for kind in (SetupContext, RunContext):
        doc = inspect.getdoc(kind) or ""
        parts += [
            f"## `{kind.__name__}`",
            "",
            _flow(_without_attributes(doc)),
            "",
            "| member | is |",
            "|---|---|",
        ]
        parts += [f"| `{name}` | {meaning} |" for name, meaning in _attributes(doc).items()]
        for name, member in vars(kind).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                meaning = " ".join((inspect.getdoc(member) or "").split())
                parts.append(f"| `{_call(name, member)}` | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def _call(name: str, member: Any) -> str:
    signature = (
        str(inspect.signature(member)).replace("'", "").replace("(self, ", "(").replace("(self)", "()")
    )
    return f"{'await ' if inspect.iscoroutinefunction(member) else ''}{name}{signature}".replace("|", "\\|")


def file_name(hook: str) -> str:
    return f"hook-{hook.replace('_', '-')}.md"


def _page(name: str, spec: Any, users: list[str], made: str) -> str:
    from appliance.kit import skeleton

    example = skeleton.example(name)
    parts = [f"# `{name}`", "", made, _flow(inspect.getdoc(spec) or ""), ""]
    signature = str(inspect.signature(spec)).replace("'", "")
    parts += ["```text", f"{'async ' if name == 'run' else ''}def {name}{signature}", "```", ""]
    parts += ["## Arguments", "", "| argument | is |", "|---|---|"]
    for argument in inspect.signature(spec).parameters.values():
        kind = str(argument.annotation).strip("'")
        parts.append(f"| `{argument.name}` | `{kind}`: {_about(kind)} |")
    parts.append("")
    for number, kind in enumerate(_returned(spec)):
        parts += [
            f"## {'With' if number else 'Returns'} `{kind.__name__}`",
            "",
            _flow(_without_attributes(inspect.getdoc(kind) or "")),
            "",
        ]
        parts += ["| field | type | default | meaning |", "|---|---|---|---|", *_fields(kind), ""]
    parts += ["## Example", "", "As `timeball plugin new` writes it; its tests run with ours.", ""]
    for text in example.code:
        parts += ["```python", text, "```", ""]
    parts += ["And its test:", "", "```python", example.test, "```", ""]
    parts += [
        "## Who uses it",
        "",
        f"Shipped plugins: {', '.join(users)}." if users else "No shipped plugin.",
        "",
    ]
    return "\n".join(parts)


def _about(kind: str) -> str:
    from appliance.api import context

    if kind.endswith("Group"):
        return "the command line; add commands and groups to it"
    return _first(getattr(context, kind).__doc__).replace("|", "\\|")


def _returned(spec: Any) -> list[type]:
    from appliance.api import contrib

    words = re.findall(r"\w+", str(inspect.signature(spec).return_annotation))
    named = [
        getattr(contrib, word) for word in words if dataclasses.is_dataclass(getattr(contrib, word, None))
    ]
    # What the contribution itself is made of stands on the same page.
    inner = {"Retention": ["Rollup"], "AnswerSource": ["AnswerRecord", "Candidate"], "PacketPolicy": ["PolicyRule"],
             "LiveName": ["LiveQuestion"]}  # fmt: skip
    return named + [getattr(contrib, name) for kind in named for name in inner.get(kind.__name__, [])]


def _fields(kind: Any) -> Iterator[str]:
    meanings = _attributes(inspect.getdoc(kind) or "")
    for field in dataclasses.fields(kind):
        default = ""
        if field.default is not dataclasses.MISSING:
            default = (
                f"`{'' if callable(field.default) else repr(getattr(field.default, 'value', field.default))}`"
            )
        elif field.default_factory is not dataclasses.MISSING:
            default = f"`{field.default_factory()!r}`"
        kind_text = str(field.type).replace("|", "\\|")
        meaning = meanings.get(field.name, "").replace("|", "\\|")
        yield f"| `{field.name}` | `{kind_text}` | {default.replace('``', '')} | {meaning} |"


def _attributes(doc: str) -> dict[str, str]:
    """Meaning by field from a docstring's Attributes."""
    _, _, rest = doc.partition("Attributes:")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in rest.splitlines():
        if match := re.match(r"    (\w[\w, ]*): (.*)", line):
            names = [name.strip() for name in match[1].split(",")]
            found |= dict.fromkeys(names, match[2])
        elif line.strip() and names:
            for name in names:
                found[name] += " " + line.strip()
    return found


def _without_attributes(doc: str) -> str:
    return doc.partition("Attributes:")[0].strip()


def _flow(text: str) -> str:
    return "\n\n".join(" ".join(block.split()) for block in text.split("\n\n")).strip()


def _first(doc: str | None) -> str:
    return " ".join((doc or "").strip().partition("\n\n")[0].split())
