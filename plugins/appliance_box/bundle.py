"""The support bundle: what somebody who helps needs to see, with every secret taken out, and never larger than a mail takes.

Texts of the journal may hold anything, so what is known to be secret is looked for in all of them: every value that is marked as one
in the configuration, what lies in the folder of secrets, the Wi-Fi password; and what looks like one by its form.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

#: All parts together, before they are packed; what is too much is cut at its beginning, where it is oldest.
MOST_BYTES: Final = 12 << 20
MOST_PART_BYTES: Final = 4 << 20
COVER: Final = "(secret)"
#: Shorter ones would cover half of the language.
_SHORTEST: Final = 6
_FORMS: Final = (
    re.compile(r"\$(?:argon2id|argon2i|y|7|6|5|2[aby])\$[^\s\"',;]{8,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\btimeball_[A-Za-z0-9_-]{16,}"),
    re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/=._-]{8,}"),
    re.compile(r"(?i)(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"),
    re.compile(r"(?i)(?<![\w-])((?:[\w-]*(?:password|passphrase|passwd|secret|token|api_?key|psk))[\"']?\s*[=:]\s*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;}\]]+)"),
    re.compile(r"(?i)(?<=setup code )[A-Z0-9]{4}-[A-Z0-9-]{4,}"),
)  # fmt: skip


class Cover:
    """Takes secrets out of texts.

    Args:
        known: secrets in the clear.
    """

    def __init__(self, known: Iterable[str]) -> None:
        # The longest first: one may be a part of another.
        words = sorted({word for word in known if len(word) >= _SHORTEST}, key=len, reverse=True)
        forms = {form for word in words for form in (word, json.dumps(word)[1:-1])}
        self._known = (
            re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True)))) if forms else None
        )

    def text(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(COVER, text)
        for form in _FORMS:
            text = form.sub(lambda found: f"{found[1]}{COVER}" if found.re.groups else COVER, text)
        return text


def secrets_in(folder: Path) -> set[str]:
    """What lies in the folder of secrets: whole files, and lines of them."""
    found: set[str] = set()
    for file in sorted(folder.glob("**/*")):
        try:
            if file.is_file() and file.stat().st_size <= 65536:
                content = file.read_text(encoding="utf-8").strip()
                found |= {content, *content.splitlines()}
        except (OSError, UnicodeDecodeError):
            continue  # what is no text does not stand in a text either
    return found


def pack(parts: Mapping[str, Any], cover: Cover, now_s: float) -> bytes:
    """A tar in gzip of the parts, covered and cut to size.

    Args:
        parts: texts, or JSON-able values, by file name; the important ones first.
        cover: takes secrets out.
        now_s: epoch seconds, for the files' times.
    """
    import tarfile

    out, left = io.BytesIO(), MOST_BYTES
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=6) as tar:
        for name, value in parts.items():
            text = (
                value
                if isinstance(value, str)
                else json.dumps(value, indent=2, ensure_ascii=False, default=str)
            )
            content = cover.text(text).encode()
            most = min(MOST_PART_BYTES, left)
            if len(content) > most:
                mark = f"[the first {len(content) - most} bytes are left out]\n".encode()
                content = mark + content[len(content) - most :]
            header = tarfile.TarInfo(f"timeball-support/{name}")
            header.size, header.mtime, header.mode = len(content), int(now_s), 0o600
            tar.addfile(header, io.BytesIO(content))
            left = max(0, left - len(content))
    return out.getvalue()
