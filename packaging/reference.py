"""The manual's reference pages, made from the code: every configuration key, command and operation of the API.

Prints the names of pages that differ from the code; `--write` writes them (`make docs`). A test compares them.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import pkgutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import hook_pages
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "appliance" / "docs"
MADE = "Made from the code by `make docs`; do not edit.\n"


def pages() -> dict[str, str]:
    """Content by file name."""
    return {
        "keys.md": keys(),
        "commands.md": commands(),
        "operations-list.md": asyncio.run(operations()),
        "roles.md": roles(),
        "problems.md": problems(),
        **hook_pages.pages(MADE),
    }


# -- configuration ------------------------------------------------------------------------------------------------------


def keys() -> str:
    """Every key of every table."""
    from appliance.core.config import ApplianceConfig
    from appliance.host import loader

    parts = ["# Configuration keys", "", MADE]
    parts += ["[Configuration](configuration.md) tells where they are written and which file wins.", ""]
    models: dict[str, tuple[str, type[BaseModel] | None]] = {"appliance": ("The appliance", ApplianceConfig)}
    for loaded in loader.discover().good():
        if loaded.builtin and loaded.info is not None:
            models[f"plugins.{loaded.id}"] = (loaded.info.title, loaded.info.config)
    for table, (title, model) in models.items():
        parts += [f"## `[{table}]`", "", f"{title}.", ""]
        rows = list(_rows(model)) if model else []
        if rows:
            parts += ["| key | default | change | meaning |", "|---|---|---|---|", *rows, ""]
        else:
            parts += ["No keys besides `enabled`.", ""]
    parts += ["Every table under `plugins` also takes `enabled = true` or `false`."]
    return "\n".join(parts) + "\n"


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        extra: Mapping[str, Any] = (
            field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        )
        inner = _inner(field.annotation)
        many = _is_many(field.annotation)
        key = f"{prefix}{name}" + (("[]" if many else "") if inner else "")
        default = (
            "must be set" if field.is_required() else _written(field.get_default(call_default_factory=True))
        )
        unit = (
            f" {extra['x-unit']}" if extra.get("x-unit") and default not in ("must be set", "`none`") else ""
        )
        change = "live" if extra.get("x-live") else "restart"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{key}` | {'' if inner else default + unit} | {change} | {meaning} |"
        if inner:
            yield from _rows(inner, f"{key}.")


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


def _is_many(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) in (list, tuple)


def _written(value: Any) -> str:
    """A default as it would be written in TOML."""
    if value is None:
        return "`none`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple)):
        return "`[" + ", ".join(_written(item).strip("`") for item in value) + "]`"
    return f"`{value}`" if isinstance(value, (int, float)) else f'`"{value}"`'


# -- commands -----------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments and options."""
    from appliance.cli import build

    parts = ["# Commands", "", MADE]
    parts += [
        "[The command line](cli.md) tells how to use them. Every command also takes `--json`, `--state-dir DIR`",
        "",
    ]
    parts[-2] += ", `--config FILE` and `--help`."
    for path, command in _tree(build(), "timeball"):
        context = click.Context(command, info_name=path)
        about = " ".join((command.help or command.short_help or "").replace("\b", "").split())
        parts += [
            f"## `{path}`",
            "",
            about,
            "",
            "```text",
            " ".join(command.get_usage(context).split()[1:]),
            "```",
            "",
        ]
        rows = [
            f"| `{' '.join([*p.opts, *p.secondary_opts])}` | {' '.join((p.help or '').split()).replace('|', '/')} |"
            for p in command.params
            if isinstance(p, click.Option) and p.expose_value and not p.hidden
        ]
        if rows:
            parts += ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(parts).rstrip() + "\n"


def _tree(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        if command.invoke_without_command:
            yield path, command
        for name in sorted(command.commands):
            yield from _tree(command.commands[name], f"{path} {name}")
    else:
        yield path, command


# -- the API ------------------------------------------------------------------------------------------------------------


def roles() -> str:
    """What each role may do."""
    from appliance.api.actor import ABOUT_ROLES, KEPT_AREAS, ROLES

    parts = [
        "# Roles and scopes",
        "",
        MADE,
        "[People and security](security.md) tells how they are used.",
        "",
    ]
    parts += ["| role | what | grants |", "|---|---|---|"]
    for role, grants in ROLES.items():
        parts.append(
            f"| {role} | {ABOUT_ROLES[role]} | {', '.join(f'`{grant}`' for grant in sorted(grants))} |"
        )
    parts += [
        "",
        "A scope is `area:verb`; [every operation](operations-list.md) names the one it needs. In a grant `*` stands for",
        "",
    ]
    parts[-1] = "every verb, or in front for every area but these, which have to be granted by name: "
    parts[-1] += ", ".join(f"`{area}`" for area in sorted(KEPT_AREAS)) + "."
    parts += [
        "",
        "A plugin that says `read`, `operate` or `admin` in place of a scope means that verb in an area of its own name:",
    ]
    parts += ["viewers may the first, operators the second, administrators all."]
    return "\n".join(parts) + "\n"


async def operations() -> str:
    """Every operation of a running appliance with all built-in plugins."""
    from appliance.testing import running

    config = {
        "plugins": {
            "clock": {"source": "local"},
            "ntp": {"listen": ["127.0.0.1:0"]},
            "dns": {"zone": "pool.example.org", "listen": ["127.0.0.1:0"]},
            "web": {"listen": "127.0.0.1:0"},
            "demo": {"enabled": True, "port": 0},
        }
    }
    parts = ["# Operations of the API", "", MADE, "[The API](api.md) tells how to ask.", ""]
    parts += [
        "**Password** stands where a person must have given [the password](security.md#the-password-once-more) within the last five minutes, or for which part of it.",
        "",
    ]
    parts += ["| operation | scope | what |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        async with running(config=config, state_dir=Path(folder)) as app:
            await app.until_running("web")
            mounted = [m for m in app.host.routes.routes() if not m.route.page]
    for entry in sorted(mounted, key=lambda m: (m.path, m.route.method)):
        confirm = entry.route.confirm
        again = "" if not confirm else " **Password**" if confirm is True else f" **Password** for {confirm}"
        parts.append(f"| `{entry.id}` | `{entry.scope}` | {entry.route.summary}{again and '.'}{again} |")
    return "\n".join(parts) + "\n"


# -- what can go wrong ---------------------------------------------------------------------------------------------------


def problems() -> str:
    """Every code that an operation of ours refuses with."""
    from appliance.api.errors import ApiError

    for name in (
        "appliance",
        *sorted(p.name for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").is_file()),
    ):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.endswith("__main__") and _raises(found):
                importlib.import_module(found.name)
    by_code: dict[str, list[type[ApiError]]] = {}
    for kind in sorted(_heirs(ApiError), key=lambda kind: (kind.__module__, kind.__name__)):
        by_code.setdefault(kind.code, []).append(kind)
    parts = ["# What can go wrong", "", MADE]
    parts += ["Each refusal of [the API](api.md) carries one of these codes; its `type` leads here.", ""]
    for code, kinds in sorted(by_code.items()):
        said = [
            " ".join((kind.__doc__ or "").split("\n\n")[0].split())
            for kind in kinds
            if "__doc__" in vars(kind)
        ]
        status = ", ".join(str(number) for number in sorted({kind.status for kind in kinds}))
        parts += [f"## {code}", "", f"HTTP {status}. " + " ".join(dict.fromkeys(filter(None, said))), ""]
    return "\n".join(line.rstrip() for line in parts).rstrip() + "\n"


def _raises(module: pkgutil.ModuleInfo) -> bool:
    """Whether a module may define an error: others need not be imported."""
    spec = importlib.util.find_spec(module.name)
    origin = Path(spec.origin) if spec and spec.origin else None
    return origin is not None and origin.suffix == ".py" and "code = " in origin.read_text(encoding="utf-8")


def _heirs(kind: type[Any]) -> set[type[Any]]:
    inner = kind.__subclasses__()
    return {kind}.union(*(_heirs(one) for one in inner))


def main() -> int:
    write = "--write" in sys.argv[1:]
    differ = 0
    for name, text in pages().items():
        path = DOCS / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differ += 1
            print(f"{path.relative_to(ROOT)} {'written' if write else 'differs from the code'}")
            if write:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    return 0 if write or not differ else 1


if __name__ == "__main__":
    sys.exit(main())
