"""What the settings mean to the programs of the system: files for `/run`, made anew at each start. No I/O in here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance_box.settings import BoxSettings, Interface, Ssh, Wifi

#: Made by the early service; holds nothing that must outlive a power cut.
RUN: Final = "run/timeball-box"
NETWORKS: Final = "run/systemd/network"
#: Our files sort before those of the image, so that the first match is ours.
PREFIX: Final = "10-timeball-"
WIFI_CONF: Final = f"{RUN}/wifi.conf"
SSHD_CONF: Final = f"{RUN}/sshd_config"
SSH_KEYS: Final = f"{RUN}/authorized_keys"
LOCALTIME: Final = f"{RUN}/localtime"

_MADE = "# Made at each start from the settings of the box: changes here do not last.\n"
#: Wired interfaces are preferred to wireless ones for the way out.
_WIRED_METRIC, _WIFI_METRIC = 100, 600


@dataclass(frozen=True, slots=True)
class Rendered:
    """One file."""

    content: str
    mode: int = 0o644


def rendered(settings: BoxSettings) -> Mapping[str, Rendered]:
    """Files by path below the root. A file of ours that is not among them has to go."""
    found: dict[str, Rendered] = {}
    for interface in settings.interface:
        found[f"{NETWORKS}/{PREFIX}{_file_part(interface.name)}.network"] = Rendered(network(interface))
    if settings.wifi is not None:
        if not any(one.name.startswith("w") for one in settings.interface):
            found[f"{NETWORKS}/{PREFIX}wifi.network"] = Rendered(network(Interface(name="wl*")))
        found[WIFI_CONF] = Rendered(wpa_supplicant(settings.wifi), 0o600)
    if settings.ssh.enabled:
        found[SSHD_CONF] = Rendered(sshd(), 0o600)
        found[SSH_KEYS] = Rendered(authorized_keys(settings.ssh), 0o600)
    return found


def network(interface: Interface) -> str:
    """As in systemd.network(5)."""
    lines = [_MADE + "[Match]", f"Name={interface.name}", "Type=!loopback"]
    lines += ["", "[Link]", "RequiredForOnline=no"]
    if interface.method == "off":
        return "\n".join([*lines, "Unmanaged=no", "ActivationPolicy=always-down", ""])
    metric = _WIFI_METRIC if interface.name.startswith("w") else _WIRED_METRIC
    lines += ["", "[Network]", f"DHCP={'yes' if interface.method == 'dhcp' else 'no'}"]
    lines += ["LinkLocalAddressing=ipv6" if interface.method == "static" else "LinkLocalAddressing=yes"]
    lines += ["MulticastDNS=yes"]
    lines += [f"Address={address}" for address in interface.addresses]
    lines += [f"DNS={address}" for address in interface.dns]
    if interface.search:
        lines += [f"Domains={' '.join(interface.search)}"]
    for gateway in interface.gateways:
        lines += ["", "[Route]", f"Gateway={gateway}", f"Metric={metric}"]
    if interface.method == "dhcp":
        use_dns = "no" if interface.dns else "yes"
        lines += ["", "[DHCPv4]", f"UseDNS={use_dns}", f"RouteMetric={metric}", "ClientIdentifier=mac"]
        lines += ["", "[DHCPv6]", f"UseDNS={use_dns}"]
        lines += ["", "[IPv6AcceptRA]", f"UseDNS={use_dns}", f"RouteMetric={metric}"]
    return "\n".join([*lines, ""])


def wpa_supplicant(wifi: Wifi) -> str:
    """As in wpa_supplicant.conf(5): WPA2 and WPA3 with a password, enhanced open and open without."""
    lines = [_MADE.rstrip(), "ctrl_interface=DIR=/run/wpa_supplicant"]
    if wifi.country:
        lines.append(f"country={wifi.country.upper()}")
    lines += ["", "network={", f"\tssid={wifi.octets.hex()}"]
    if wifi.hidden:
        lines.append("\tscan_ssid=1")
    if not wifi.password:
        lines.append("\tkey_mgmt=NONE OWE")
    elif wifi.key_is_raw or '"' in wifi.password:
        # A quote inside quotes is read in two ways by that parser, by its place: the key itself has none (IEEE 802.11 annex J.4).
        key = wifi.password.lower() if wifi.key_is_raw else _raw_key(wifi)
        lines += ["\tkey_mgmt=WPA-PSK WPA-PSK-SHA256", f"\tpsk={key}"]
    else:
        lines += ["\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE", f'\tpsk="{wifi.password}"']
    lines += ["\tieee80211w=1", "}", ""]
    return "\n".join(lines)


def _raw_key(wifi: Wifi) -> str:
    return hashlib.pbkdf2_hmac("sha1", wifi.password.encode(), wifi.octets, 4096, 32).hex()


def sshd() -> str:
    """As in sshd_config(5): root with a key, nobody with a password."""
    return _MADE + "\n".join((
        "Port 22",
        "HostKey /data/box/ssh/ssh_host_ed25519_key",
        f"AuthorizedKeysFile /{SSH_KEYS}",
        "PermitRootLogin prohibit-password",
        "AllowUsers root",
        "PubkeyAuthentication yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM yes",
        "X11Forwarding no",
        "PrintMotd no",
        "AcceptEnv LANG LC_*",
        "Subsystem sftp internal-sftp",
        "",
    ))  # fmt: skip


def authorized_keys(ssh: Ssh) -> str:
    return "".join(f"{key}\n" for key in ssh.keys)


def _file_part(name: str) -> str:
    return name.replace("*", "any").replace("?", "one")
