"""`timeball.toml`: our own format, which has everything.

host_name = "timeball-north"
time_zone = "Europe/Berlin"

[wifi]
ssid = "Harbour"
password = "..."
country = "DE"

[ssh]
enabled = true
keys = ["ssh-ed25519 AAAA... ada"]

[[interface]]
name = "eth0"
method = "static"
addresses = ["192.0.2.5/24"]
gateways = ["192.0.2.1"]
dns = ["192.0.2.1"]

[owner]
name = "ada"
password = "..."

[pool]
name = "pool.example.org"
roles = ["time", "monitor", "dns"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from appliance_box.preseed import PEOPLE, Reading
from appliance_box.settings import BoxSettings

_KNOWN = (*BoxSettings.model_fields, *PEOPLE)


def read(content: bytes) -> Reading:
    """What `timeball.toml` says."""
    reading = Reading()
    value = toml(content, reading)
    if value is not None:
        take(value, reading)
    return reading


def take(value: Mapping[str, Any], reading: Reading, above: str = "") -> None:
    """Keep the parts of a table in our own format."""
    for key, part in value.items():
        if key in PEOPLE:
            if isinstance(part, dict):
                reading.people[key] = part
            else:
                reading.problems.append(f"{above}{key}: this is a table: [{key}]")
        elif key in BoxSettings.model_fields:
            reading.take(key, part, f"{above}{key}")
        else:
            reading.unknown(str(key), _KNOWN, above)


def toml(content: bytes, reading: Reading) -> dict[str, Any] | None:
    """The document, or None and a problem. Never the line itself: it may be the one with the password."""
    try:
        return tomllib.loads(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        reading.problems.append("the file is no UTF-8 text")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        where = str(error).rpartition("(at ")[2].rstrip(")") if "(at " in str(error) else "somewhere"
        reading.problems.append(f"the file is no TOML: look at {where}")
    return None
