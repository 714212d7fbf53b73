"""JSON as the API speaks it: any of our values as what JSON can say."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import json
import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from appliance.api.foreign import escaped


class Told(dict[str, Any]):
    """An object of a long list that is told again and again: nobody changes it, and it is put into JSON once."""

    __slots__ = ("_text",)
    _text: str

    def text(self) -> str:
        """Itself as JSON."""
        try:
            return self._text
        except AttributeError:
            self._text = _text(plain(dict(self)))
            return self._text


def to_json(value: Any) -> bytes:
    """JSON with our conventions: dataclasses and models as objects, bytes as hex, no NaN, "?" for half a character."""
    if type(value) is list and value and all(type(item) is Told for item in value):
        return f"[{','.join([item.text() for item in value])}]".encode("utf-8", "replace")
    # A refusal quotes what came, such as bytes of a header that are no text.
    return _text(plain(value)).encode("utf-8", "replace")


#: What JSON may hold as it is and a terminal obeys or does not show: controls and marks of direction. Halves of pairs are no text: "?" stands for them.
_OBEYED = re.compile(
    "[\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0001-\U000e007f]"
)


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Nearly every text is printable, and asked that in no time.
    return text if text.isprintable() else _OBEYED.sub(lambda found: escaped(found[0]), text)


#: What JSON says as it is: nearly all that there is in a list of some thousand figures, so these are not asked twice.
_AS_IT_IS = frozenset({str, int, bool, type(None)})


def plain(value: Any) -> Any:
    """Reduce a value to what JSON can say; infinities and NaN become null."""
    kind = type(value)
    if kind is dict:
        said = value.copy()
        for key, item in value.items():
            if type(key) is not str:
                return {str(k): plain(v) for k, v in value.items()}
            if type(item) not in _AS_IT_IS and not (type(item) is float and isfinite(item)):
                said[key] = plain(item)
        return said
    if kind is list or kind is tuple:
        return [v if type(v) in _AS_IT_IS or (type(v) is float and isfinite(v)) else plain(v) for v in value]
    if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, enum.Enum):
        return value.name.lower() if isinstance(value, enum.IntEnum) else value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(
        value,
        (Path, ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network),
    ):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")
