"""The forms of the box's pages: settings as text fields, and back. No I/O in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from appliance.api.errors import Invalid
from appliance.api.http import Request

_MOST_FIELDS = 200
_MOST_INTERFACES = 16


def read(request: Request) -> dict[str, str]:
    """The fields of a form, the last value of each; passwords and passphrases as they were typed.

    Raises:
        Invalid: it is no form.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.content and media_type != "application/x-www-form-urlencoded":
        raise Invalid("this address takes a form (application/x-www-form-urlencoded); programs use /api/v1")
    try:
        found = parse_qs(
            request.content.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise Invalid("the form cannot be read") from None
    return {k: v[-1] if "pass" in k else v[-1].strip() for k, v in found.items()}


def rows(
    settings: Mapping[str, Any], interfaces: Sequence[Mapping[str, Any]], wireless: Sequence[str]
) -> list[dict[str, Any]]:
    """One fieldset for each interface that is set or there: wired ones that nobody set take their address from the network."""
    found = {str(one["name"]): dict(one) for one in settings.get("interface", ())}
    patterns = [name for name in found if "*" in name or "?" in name]
    for link in interfaces:
        name = str(link["name"])
        if link["physical"] and name not in found and name not in wireless and not patterns:
            found[name] = {"name": name, "as_image": True}
    now = {str(link["name"]): list(link["addresses"]) for link in interfaces}
    empty = {"method": "dhcp", "addresses": [], "gateways": [], "dns": [], "search": [], "as_image": False}
    return [{**empty, **one, "now": now.get(name, [])} for name, one in found.items()]


def wifi_row(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The wireless network of the settings, or an empty one."""
    empty = {"ssid": "", "ssid_hex": "", "has_password": False, "hidden": False, "country": ""}
    return {**empty, **(settings.get("wifi") or {})}


def settings_of(form: Mapping[str, str], was: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a form asks for, as the operation takes them; what is wrong is found there."""
    wanted: dict[str, Any] = {
        "host_name": form.get("host_name", ""),
        "time_zone": form.get("time_zone", ""),
        "ssh": {
            "enabled": form.get("ssh_enabled") == "yes",
            "keys": [line.strip() for line in form.get("ssh_keys", "").splitlines() if line.strip()],
        },
        "interface": [],
    }
    if form.get("wifi_ssid"):
        wifi: dict[str, Any] = {
            "ssid": form["wifi_ssid"], "hidden": form.get("wifi_hidden") == "yes", "country": form.get("wifi_country", ""),
        }  # fmt: skip
        same = (was.get("wifi") or {}).get("ssid") == wifi["ssid"]
        typed = form.get("wifi_password", "")
        if form.get("wifi_open") == "yes":
            wifi["password"] = ""
        else:
            wifi["password"] = typed if typed or not same else None  # nothing typed: the one that is set
        wanted["wifi"] = wifi
    elif form.get("wifi_keep_hex") and (was.get("wifi") or {}).get("ssid_hex"):
        wanted["wifi"] = {**was["wifi"], "password": None}
    for number in range(_MOST_INTERFACES):
        name = form.get(f"i{number}_name", "")
        if not name:
            continue
        method = form.get(f"i{number}_method", "dhcp")
        if method == "image":
            continue
        one: dict[str, Any] = {"name": name, "method": method}
        several = {
            key: form.get(f"i{number}_{key}", "").replace(",", " ").split()
            for key in ("addresses", "gateways", "dns", "search")
        }
        if method == "static":
            one |= several
        elif method == "dhcp":
            one |= {key: several[key] for key in ("dns", "search")}
        wanted["interface"].append(one)
    return wanted


def field_of(path: str) -> str:
    """Id of the form's field for an error of the operation, such as "interface.0.addresses.1"; "" for none."""
    parts = path.split(".")
    if parts[0] == "interface" and len(parts) > 1 and parts[1].isdigit():
        return f"i{parts[1]}_{parts[2]}" if len(parts) > 2 else f"i{parts[1]}_name"
    if parts[0] in ("wifi", "ssh") and len(parts) > 1:
        return f"{parts[0]}_{parts[1]}"
    return parts[0] if parts[0] in ("host_name", "time_zone") else ""


def new_addresses(settings: Mapping[str, Any]) -> list[str]:
    """Where the box will be found, as far as the settings say: fixed addresses, then its name."""
    fixed = [
        address.partition("/")[0]
        for one in settings.get("interface", ())
        for address in one.get("addresses", ())
    ]
    hosts = [f"[{address}]" if ":" in address else address for address in fixed]
    name = settings.get("host_name")
    return [*hosts, *([f"{name}.local"] if name else [])]
