"""Stylesheets, scripts and mark: read once, named by their content so that a browser may keep them for ever.

What comes from others lies in `static/vendor`, which may be missing: see packaging/browser_files.py.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.api.errors import NotFound
from appliance.core.routes import Reply, Request
from appliance_web.leaner import lean

FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, as it is and compressed."""

    content: bytes
    packed: bytes
    media_type: str


class Assets:
    """All files of a folder under names such as "timeball.1a2b3c4d.css"."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._by_path: dict[str, Asset] = {}
        self._hashed: dict[str, str] = {}
        for path in sorted((*folder.iterdir(), *folder.glob("vendor/*"))):
            if path.suffix not in _TYPES:
                continue
            content = path.read_bytes()
            if path.suffix == ".js" and path.parent == folder:
                content = lean(content.decode()).encode()
            digest = hashlib.blake2b(content, digest_size=4).hexdigest()
            hashed = f"{path.stem}.{digest}{path.suffix}"
            self._by_path[hashed] = Asset(content, gzip.compress(content, 9, mtime=0), _TYPES[path.suffix])
            self._hashed[path.name] = hashed

    def url(self, name: str) -> str:
        """Where a page finds the file called `name`."""
        return f"/static/{self._hashed[name]}"

    def text(self, name: str) -> str:
        """What is in the file called `name`."""
        return self._by_path[self._hashed[name]].content.decode()

    def packed_size(self, name: str) -> int:
        """Bytes of the file called `name`, compressed."""
        return len(self._by_path[self._hashed[name]].packed)

    def has(self, *names: str) -> bool:
        """Whether all these files are there."""
        return all(name in self._hashed for name in names)

    async def serve(self, request: Request) -> Reply:
        """Answer /static/{file}."""
        asset = self._by_path.get(request.params["file"])
        if asset is None:
            raise NotFound("there is no such file")
        headers: Mapping[str, str] = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "Vary": "Accept-Encoding",
        }
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Reply(
                asset.packed, headers={**headers, "Content-Encoding": "gzip"}, content_type=asset.media_type
            )
        return Reply(asset.content, headers=headers, content_type=asset.media_type)
