"""The manual, offline: Markdown files of the package as pages. The Markdown library is loaded with the first page."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from markupsafe import Markup

from appliance.api.errors import NotFound

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}(/[a-z0-9][a-z0-9-]{0,60})?")
_PICTURE = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\.svg")
#: Pages in the order in which a newcomer reads them; others follow by title.
_FIRST = (
    "index", "flash", "install", "web", "members", "scoring", "dns", "clock", "config", "operations", "plugins", "metrics",
    "commands", "keys", "api", "operations-list",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the list."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class ManualPage:
    """A page to show; `html` is safe: the renderer lets no HTML of the source through."""

    title: str
    html: Markup


def contents() -> list[Entry]:
    """All pages."""
    return list(_contents())


def exists(name: str) -> bool:
    """Whether there is a page of that name."""
    return any(entry.name == name for entry in _contents())


#: Parts of every page have these names already.
_OF_THE_FRAME = frozenset({"clock", "main"})


def page(name: str) -> ManualPage:
    """One page by its name, such as "web" or "adr/0003-toml".

    Raises:
        NotFound: there is no such page.
    """
    if not _NAME.fullmatch(name) or name not in {entry.name for entry in _contents()}:
        raise NotFound(f"the manual has no page {name[:60]!r}")
    return _page(name)


def picture(name: str) -> bytes:
    """A drawing of the manual (SVG) by its file's name.

    Raises:
        NotFound: there is no such drawing.
    """
    if not _PICTURE.fullmatch(name):
        raise NotFound(f"the manual has no picture {name[:60]!r}")
    return _drawing(name)


@functools.lru_cache(maxsize=32)
def _drawing(name: str) -> bytes:
    file = _folder() / "img" / name
    if not file.is_file():
        raise NotFound(f"the manual has no picture {name!r}")
    return file.read_bytes()


def _folder() -> Traversable:
    return resources.files("appliance") / "docs"


def _file(name: str) -> Traversable:
    return functools.reduce(lambda folder, part: folder / part, f"{name}.md".split("/"), _folder())


@functools.cache
def _contents() -> tuple[Entry, ...]:
    root = _folder()
    if not root.is_dir():
        return ()
    found = [(child.name[:-3], child) for child in root.iterdir() if child.name.endswith(".md")]
    for folder in root.iterdir():
        if folder.is_dir():
            found += [(f"{folder.name}/{c.name[:-3]}", c) for c in folder.iterdir() if c.name.endswith(".md")]
    entries = [
        Entry(name, title_of(file.read_text(encoding="utf-8"), name))
        for name, file in found
        if _NAME.fullmatch(name)
    ]
    rank = {name: place for place, name in enumerate(_FIRST)}
    return tuple(sorted(entries, key=lambda e: ("/" in e.name, rank.get(e.name, len(rank)), e.title)))


@functools.lru_cache(maxsize=32)
def _page(name: str) -> ManualPage:
    source = _file(name).read_text(encoding="utf-8")
    return ManualPage(title_of(source, name), to_html(source, name))


def title_of(source: str, name: str) -> str:
    """The first heading, or the name."""
    found = re.search(r"^# +(.+)$", source, re.MULTILINE)
    return found[1].strip().replace("`", "") if found else name


def to_html(source: str, name: str = "") -> Markup:
    """Markdown as safe HTML: no HTML of the source, no script addresses, links between pages made ours."""
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        return Markup("<pre>{}</pre>").format(source)
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    folder = name.rpartition("/")[0]
    tokens = parser.parse(source)
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                child.attrs["href"] = _link(str(child.attrs.get("href", "")), folder)
            elif child.type == "image":
                child.attrs["src"] = re.sub(r"^(\.\./)*img/", "/help/img/", str(child.attrs.get("src", "")))
        if token.type == "heading_open":
            inline = tokens[tokens.index(token) + 1]
            name = re.sub(r"[^a-z0-9]+", "-", inline.content.lower()).strip("-")
            token.attrs["id"] = f"{name}-" if name in _OF_THE_FRAME else name
    html = parser.renderer.render(tokens, parser.options, {})
    html = html.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    return Markup(html)  # noqa: S704 - made by a renderer that escapes everything of the source


def _link(target: str, folder: str) -> str:
    """Turn "dns.md#ttl" into "/help/dns#ttl"; other addresses stay."""
    if "://" in target or target.startswith(("/", "#", "mailto:")):
        return target
    path, hash_mark, fragment = target.partition("#")
    if not path.endswith(".md"):
        return target
    parts = folder.split("/") if folder else []
    for part in path[:-3].split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return f"/help/{'/'.join(parts)}{hash_mark}{fragment}"
