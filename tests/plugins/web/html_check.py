"""Reads a page as a strict reader would: what is wrong with it, in words."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
REFERENCES = ("for", "aria-labelledby", "aria-describedby")


class Reader(HTMLParser):
    """Collects the complaints.

    Attributes:
        text: everything a person could read.
        links: all addresses.
        elements: how many there are.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.complaints: list[str] = []
        self.links: list[str] = []
        self.elements = 0
        self.text = ""
        self._open: list[str] = []
        self._ids: set[str] = set()
        self._wanted: set[str] = set()
        self._headings = 0

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_starttag(self, tag, attrs):
        self.elements += 1
        values = dict(attrs)
        if len(values) != len(attrs):
            self.complaints.append(f"<{tag}> says an attribute twice")
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.complaints.append(f"<{tag} {name}> is inline script or style")
            if (
                name in ("href", "src", "action")
                and value
                and value.lower().lstrip().startswith(("javascript:", "data:", "http", "//"))
                and not value.startswith("https://127.0.0.1:")  # this box again, over TLS
            ):
                self.complaints.append(f"<{tag}> leads away: {value}")
        if tag == "style" or (tag == "script" and not values.get("src")):
            self.complaints.append(f"inline <{tag}>")
        if (ident := values.get("id")) is not None:
            if ident in self._ids:
                self.complaints.append(f"the id {ident} stands twice")
            self._ids.add(ident)
        for name in REFERENCES:
            self._wanted.update((values.get(name) or "").split())
        if tag == "use" and values.get("href"):  # one in a template is filled in by a script
            self._wanted.add((values["href"] or "").lstrip("#"))
        if values.get("href") and tag == "a":
            self.links.append(values["href"])
        if tag == "img" and "alt" not in values:
            self.complaints.append("an image without words")
        self._headings += tag == "h1"
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.complaints.append(f"</{tag}> closes {self._open[-3:]}")
            if tag in self._open:
                while self._open.pop() != tag:
                    pass
            return
        self._open.pop()

    def handle_data(self, data):
        self.text += data

    def finish(self) -> None:
        self.close()
        if self._open:
            self.complaints.append(f"never closed: {self._open}")
        if missing := self._wanted - self._ids:
            self.complaints.append(f"ids that nobody has: {sorted(missing)}")
        if self._headings != 1:
            self.complaints.append(f"{self._headings} main headings")


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.finish()
    return reader
