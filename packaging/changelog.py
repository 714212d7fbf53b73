"""What the next release brings: the fragments of packaging/changes, in one text.

Prints it; with `--release VERSION YYYY-MM-DD` writes it on top of CHANGELOG.md and removes the fragments. A fragment is
`TOPIC.KIND.md`, one or two lines for users, so that branches never collide in one file.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHANGES = ROOT / "packaging" / "changes"
KINDS = {
    "feature": "Added",
    "change": "Changed",
    "fix": "Fixed",
    "removal": "Removed",
    "doc": "Documentation",
}
MARK = "<!-- releases -->\n"


def collected(fragments: list[Path]) -> str:
    """Fragments as Markdown lists, one for each kind."""
    parts = []
    for kind, title in KINDS.items():
        texts = [path.read_text(encoding="utf-8") for path in fragments if path.name.endswith(f".{kind}.md")]
        if texts:
            items = [" ".join(text.split()).removeprefix("- ") for text in texts]
            parts.append(f"### {title}\n\n" + "\n".join(f"- {item}" for item in items) + "\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    fragments = sorted(CHANGES.glob("*.*.md"))
    text = collected(fragments)
    if arguments[:1] != ["--release"] or len(arguments) != 3:
        print(text or "nothing changed since the last release")
        return 0 if not arguments else 2
    path = ROOT / "CHANGELOG.md"
    before, mark, after = path.read_text(encoding="utf-8").partition(MARK)
    path.write_text(f"{before}{mark}\n## {arguments[1]} ({arguments[2]})\n\n{text}{after}", encoding="utf-8")
    for fragment in fragments:
        fragment.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
