"""`rpi-preseed.toml`, which Raspberry Pi Imager writes since 2.0.11 (init_format "rpi-preseed"), and `custom.toml` from before.

Keys as in Imager's own writer and in the schema of Raspberry Pi's `rpi-preseed` of 2026: tables system, user, ssh, wlan, ethernet, locale, and
others that are about a desktop system. Ours has no accounts but root's for SSH, and its owner is a person of the pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance_box.preseed import Reading
from appliance_box.preseed.own import toml

#: Keys by table that we use, and those that we know and do not.
_USED: Mapping[str, tuple[str, ...]] = {
    "system": ("hostname",),
    "user": ("name", "password", "password_encrypted"),
    "ssh": ("enabled", "password_authentication", "authorized_keys"),
    "wlan": ("ssid", "ssid_hex", "password", "password_encrypted", "hidden", "country", "key_mgmt"),
    "ethernet": ("method", "address", "gateway", "dns", "interface"),
    "locale": ("timezone",),
}
_UNUSED: Mapping[str, tuple[str, ...]] = {
    "user": ("groups", "passwordless_sudo"),
    "ssh": ("ssh_import_id",),
    "locale": (
        "keymap",
        "keymap_model",
        "keymap_variant",
        "keymap_options",
        "locales",
        "lang",
        "lc_time",
        "lc_measurement",
    ),
    "time": ("ntp", "fallback_ntp"),
    "connect": ("enabled", "mode", "token"),
    "interfaces": ("i2c", "spi", "onewire", "serial", "usb_gadget"),
    "boot": ("config_txt", "cmdline_txt"),
    "mounts": ("fstab",),
    "ca_certificates": ("files",),
    "packages": ("update", "upgrade", "install", "remove"),
    "runcmd": (),
}
_TOP = ("config_version", "debug")


def read(content: bytes) -> Reading:
    """What the file says."""
    reading = Reading()
    document = toml(content, reading)
    if document is None:
        return reading
    version = str(document.get("config_version", ""))
    if version.partition(".")[0] != "1":
        reading.problems.append(
            f"config_version: this box reads version 1, the file says {version[:20] or 'nothing'}: nothing of it was used"
        )
        return reading
    tables = {key: _table(key, value, reading) for key, value in document.items() if key not in _TOP}
    _system(tables.get("system", {}), reading)
    _user(tables.get("user", {}), reading)
    _ssh(tables.get("ssh", {}), reading)
    _wlan(tables.get("wlan", {}), reading)
    _ethernet(tables.get("ethernet", {}), reading)
    if zone := tables.get("locale", {}).get("timezone"):
        reading.take("time_zone", zone, "locale.timezone")
    return reading


def _table(name: str, value: Any, reading: Reading) -> dict[str, Any]:
    """The keys of a table that we use; the others are told."""
    used, unused = _USED.get(name, ()), _UNUSED.get(name, ())
    if name not in _USED and name not in _UNUSED:
        reading.unknown(name, (*_USED, *_UNUSED))
        return {}
    if not isinstance(value, dict):
        reading.problems.append(f"{name}: this is a table: [{name}]")
        return {}
    if name == "runcmd":
        reading.notes.append("runcmd: commands of a preseed file are not run on this box")
        return {}
    for key in value:
        if key in unused:
            reading.notes.append(f"{name}.{key}: not used on this box")
        elif key not in used:
            reading.unknown(key, (*used, *unused), f"{name}.")
    return {key: part for key, part in value.items() if key in used}


def _system(table: Mapping[str, Any], reading: Reading) -> None:
    if "hostname" in table:
        reading.take("host_name", table["hostname"], "system.hostname")


def _user(table: Mapping[str, Any], reading: Reading) -> None:
    """Who set the card up becomes the owner, where the password is one that the pages can check."""
    name, password = table.get("name"), table.get("password")
    if not isinstance(name, str) or not isinstance(password, str) or not password:
        return
    if table.get("password_encrypted", False):
        reading.notes.append(
            "user.password: it came as a hash that only a login shell can check; open the box's pages and claim it with the "
            "setup code on its screen"
        )
        return
    reading.people["owner"] = {"name": name, "password": password}


def _ssh(table: Mapping[str, Any], reading: Reading) -> None:
    if not table:
        return
    keys, enabled = table.get("authorized_keys", []), table.get("enabled", True)
    if enabled is True and not keys:
        reading.problems.append(
            "ssh: nobody logs in to this box with a password; give a public key, or use the box's pages"
        )
        return
    reading.take("ssh", {"enabled": enabled, "keys": keys}, "ssh")
    if "ssh" in reading.parts and enabled is True:
        reading.notes.append("ssh: log in as root, with your key")


def _wlan(table: Mapping[str, Any], reading: Reading) -> None:
    if not table:
        return
    wifi = {key: table[key] for key in ("ssid", "ssid_hex", "password", "hidden", "country") if key in table}
    if table.get("password_encrypted") is True and len(str(wifi.get("password", ""))) != 64:
        reading.problems.append("wlan.password: an encrypted one has 64 hex digits")
        return
    if table.get("key_mgmt") in ("none", "owe") and wifi.get("password"):
        reading.problems.append("wlan.password: an open network has none")
        return
    reading.take("wifi", wifi, "wlan")


def _ethernet(table: Mapping[str, Any], reading: Reading) -> None:
    if not table:
        return
    method = table.get("method", "dhcp")
    interface: dict[str, Any] = {
        "name": table.get("interface", "e*"),
        "method": "off" if method == "disabled" else method,
    }
    if "address" in table:
        interface["addresses"] = _several(table["address"])
    if "gateway" in table:
        interface["gateways"] = _several(table["gateway"])
    if "dns" in table:
        interface["dns"] = _several(table["dns"])
    reading.take("interface", [interface], "ethernet")


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value
