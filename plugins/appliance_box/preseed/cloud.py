"""cloud-init's `user-data` and `network-config`, as far as they are about what this box has.

user-data: hostname, fqdn, timezone, ssh_authorized_keys, users (their keys, and a password in the clear for the owner), and `timeball:` with
our own tables. network-config: version 2 (netplan's words), ethernets and wifis. Nothing is run, installed or written besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from appliance_box.preseed import Reading, own

_USER_DATA: Final = (
    "hostname",
    "fqdn",
    "timezone",
    "ssh_authorized_keys",
    "users",
    "user",
    "ssh_pwauth",
    "timeball",
)
_WIFI_KEYS: Final = ("access-points", "regulatory-domain")
_LINK_KEYS: Final = (
    "match", "dhcp4", "dhcp6", "addresses", "gateway4", "gateway6", "routes", "nameservers", "optional", "set-name",
    "accept-ra", "link-local", "renderer",
)  # fmt: skip


def read_user_data(content: bytes) -> Reading:
    """What `user-data` says."""
    reading = Reading()
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"#cloud-config"):
        if content.strip():
            reading.problems.append("the first line has to be #cloud-config: scripts are not run on this box")
        return reading
    document = _mapping(content, reading)
    if document is None:
        return reading
    name = document.get("hostname") or str(document.get("fqdn") or "").partition(".")[0]
    if name:
        reading.take("host_name", name, "hostname")
    if document.get("timezone"):
        reading.take("time_zone", document["timezone"], "timezone")
    _keys(document, reading)
    ours = document.get("timeball")
    if isinstance(ours, dict):
        own.take(ours, reading, "timeball.")
    elif ours is not None:
        reading.problems.append("timeball: this holds tables, as in timeball.toml")
    reading.notes += [f"{key}: not used on this box" for key in document if key not in _USER_DATA]
    return reading


def _keys(document: Mapping[str, Any], reading: Reading) -> None:
    """Keys of everybody who may log in; the first who has a password in the clear owns the pages."""
    keys = _several(document.get("ssh_authorized_keys"))
    users = document.get("users") or []
    users = [*users, document["user"]] if isinstance(users, list) and "user" in document else users
    for user in users if isinstance(users, list) else []:
        if not isinstance(user, dict):
            continue
        keys += _several(user.get("ssh_authorized_keys") or user.get("ssh-authorized-keys"))
        password = user.get("plain_text_passwd")
        if isinstance(password, str) and isinstance(user.get("name"), str) and "owner" not in reading.people:
            reading.people["owner"] = {"name": user["name"], "password": password}
        elif user.get("passwd") or user.get("hashed_passwd"):
            reading.notes.append(
                "users.passwd: a hash that only a login shell can check; claim the box with the setup code on its screen"
            )
    if keys:
        reading.take("ssh", {"enabled": True, "keys": list(dict.fromkeys(keys))}, "ssh_authorized_keys")
        reading.notes.append("ssh: log in as root, with your key")
    elif document.get("ssh_pwauth") is True:
        reading.problems.append(
            "ssh_pwauth: nobody logs in to this box with a password; give ssh_authorized_keys"
        )


def read_network_config(content: bytes) -> Reading:
    """What `network-config` says."""
    reading = Reading()
    document = _mapping(content, reading)
    if not document:
        return reading
    network = document.get("network", document)
    if not isinstance(network, dict) or network.get("version") != 2:
        reading.problems.append("version: this box reads version 2, with ethernets and wifis")
        return reading
    interfaces: list[Any] = []
    for kind in ("ethernets", "wifis"):
        links = network.get(kind) or {}
        if not isinstance(links, dict):
            reading.problems.append(f"{kind}: expected interfaces by name")
            continue
        for name, link in links.items():
            if isinstance(link, dict):
                interfaces.append(_interface(str(name), link, kind, reading))
                if kind == "wifis":
                    _wifi(str(name), link, reading)
    reading.notes += [
        f"{key}: not used on this box"
        for key in network
        if key not in ("version", "ethernets", "wifis", "renderer")
    ]
    if interfaces:
        reading.take("interface", interfaces, "network")
    return reading


def _interface(name: str, link: Mapping[str, Any], kind: str, reading: Reading) -> dict[str, Any]:
    where = f"{kind}.{name}"
    for key in link:
        if key not in _LINK_KEYS and not (kind == "wifis" and key in _WIFI_KEYS):
            reading.notes.append(f"{where}.{key}: not used on this box")
    match = link.get("match")
    if isinstance(match, dict):
        name = str(match.get("name", name))
        if "macaddress" in match and "name" not in match:
            name = "e*" if kind == "ethernets" else "wl*"
            reading.notes.append(
                f"{where}.match.macaddress: not used on this box; taken for every interface {name}"
            )
    addresses = [a for a in _several(link.get("addresses")) if isinstance(a, str)]
    dynamic = bool(link.get("dhcp4") or link.get("dhcp6"))
    if addresses and dynamic:
        reading.notes.append(f"{where}: the addresses are used, DHCP is not")
    servers = _table(link.get("nameservers"))
    found: dict[str, Any] = {
        "name": name, "method": "static" if addresses else "dhcp",
        "dns": _several(servers.get("addresses")), "search": _several(servers.get("search")),
    }  # fmt: skip
    if addresses:
        found |= {"addresses": addresses, "gateways": _gateways(link)}
    return found


def _gateways(link: Mapping[str, Any]) -> list[Any]:
    found = [link[key] for key in ("gateway4", "gateway6") if link.get(key)]
    routes = [route for route in _several(link.get("routes")) if isinstance(route, dict)]
    ways_out = ("default", "0.0.0.0/0", "::/0")
    return [*found, *(r["via"] for r in routes if r.get("to") in ways_out and r.get("via"))]


def _wifi(name: str, link: Mapping[str, Any], reading: Reading) -> None:
    points = link.get("access-points")
    if not isinstance(points, dict) or not points:
        reading.problems.append(f"wifis.{name}.access-points: the network's name is missing")
        return
    if len(points) > 1:
        reading.notes.append(f"wifis.{name}.access-points: only the first is used")
    ssid, point = next(iter(points.items()))
    point = _table(point)
    auth = _table(point.get("auth"))
    wifi: dict[str, Any] = {"ssid": str(ssid), "hidden": bool(point.get("hidden", False))}
    if password := point.get("password") or auth.get("password"):
        wifi["password"] = str(password)
    if country := link.get("regulatory-domain"):
        wifi["country"] = str(country)
    reading.take("wifi", wifi, f"wifis.{name}")


class _Plain(yaml.SafeLoader):  # type: ignore[misc]
    """Plain values only. An alias may stand for a whole document a thousand times over: none of ours has one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(
                None, None, "aliases are not read", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)


def _mapping(content: bytes, reading: Reading) -> dict[str, Any] | None:
    """The document, or None and a problem; never the line itself."""
    try:
        value = yaml.load(content, Loader=_Plain)  # noqa: S506 - a SafeLoader that takes less
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 0
        reading.problems.append(f"the file is no YAML that this box reads: look at line {line}")
        return None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        reading.problems.append("the file is no YAML that this box reads")
        return None
    if value is None:
        return {}
    if not isinstance(value, dict):
        reading.problems.append("expected keys and values at the top")
        return None
    return {str(key): part for key, part in value.items()}


def _table(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
