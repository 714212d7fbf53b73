"""How clients are pointed at this pool: lines to copy, made of its real names and addresses. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.core import ordering
from appliance_web.views.standing import Sentence

#: Servers that a client is given: enough to outvote one that is wrong while another is away.
SERVERS = 4


@dataclass(frozen=True, slots=True)
class Pool:
    """What clients can be told.

    Attributes:
        zone: name of the pool, "" when there is no DNS.
        names: numbered names, those that clients without a "pool" directive take; the zone itself where there are none.
        ipv4, ipv6: addresses of servers now in the pool that serve on port 123, for DHCP.
    """

    zone: str
    names: Sequence[str] = ()
    ipv4: Sequence[str] = ()
    ipv6: Sequence[str] = ()

    @property
    def whole(self) -> str:
        """The name that stands for all."""
        return self.zone or self.names[0]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One kind of client.

    Attributes:
        key: anchor in the page.
        where: the file, or where to type it.
        lines: to copy.
        then: what to run afterwards, or "".
        note: what else to know, or "".
    """

    key: str
    title: str
    where: str
    lines: str
    then: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Recipes that belong together."""

    title: str
    recipes: Sequence[Recipe]


def pool(
    apex: Mapping[str, Any] | None,
    answers: Mapping[int, Mapping[str, Any]],
    numbered: Sequence[str],
    host: str,
) -> Pool:
    """What is known of the pool.

    Args:
        apex: `AnswerTable.explain` of the zone, or None without DNS.
        answers: by family, `AnswerTable.explain` of the zone's addresses.
        numbered: names below the zone that give its members.
        host: by which name or address the reader reached this box.
    """
    if apex is None:
        address = _address(host)
        four, six = ((host,), ()) if address == 4 else ((), (host,)) if address == 6 else ((), ())
        return Pool("", (host,), four, six)
    zone = str(apex.get("name", "")).rstrip(".")
    names = [n for n in numbered if n != zone][:SERVERS] or [zone]
    return Pool(zone, names, _addresses(answers.get(4)), _addresses(answers.get(6)))


def _addresses(told: Mapping[str, Any] | None) -> list[str]:
    """The likeliest servers of an answer that clients can ask: DNS and DHCP know no ports."""
    rows = [
        c for c in (told or {}).get("candidates") or () if c.get("in") and int(c.get("port") or 123) == 123
    ]
    rows.sort(key=lambda c: (-float(c.get("probability") or 0), ordering.address(str(c.get("address")))))
    return [str(c["address"]) for c in rows[:SERVERS]]


def _address(text: str) -> int:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def sentence(found: Pool) -> Sentence:
    """The page's verdict."""
    if not found.zone:
        return Sentence(
            "degraded", "Without DNS, clients can be pointed at this box alone.",
            "The plugin that answers the pool's names is not running; the lines below name this box itself.",
        )  # fmt: skip
    return Sentence(
        "ok", f"Point your clients at {found.zone}.",
        "Copy the lines for each kind of client: they are made of this pool's own names and addresses.",
    )  # fmt: skip


def recipes(found: Pool) -> list[Group]:
    """Everything, by kind of client."""
    return [
        Group("Linux and BSD", _unix(found)),
        Group("Windows and macOS", _desktop(found)),
        Group("Routers", _routers(found)),
        Group("All of a network at once: DHCP", _dhcp(found)),
    ]


def _unix(p: Pool) -> list[Recipe]:
    chrony = f"pool {p.zone} iburst maxsources {SERVERS}" if p.zone else f"server {p.whole} iburst"
    ntpd = f"pool {p.zone} iburst" if p.zone else f"server {p.whole} iburst"
    return [
        Recipe(
            "chrony", "chrony", "/etc/chrony/sources.d/timeball.sources", chrony,
            "chronyc reload sources && chronyc -N sources",
            "On Fedora and its kin the line goes into /etc/chrony.conf. Take the distribution's own pool lines out.",
        ),
        Recipe(
            "timesyncd", "systemd-timesyncd", "/etc/systemd/timesyncd.conf.d/timeball.conf",
            f"[Time]\nNTP={' '.join(p.names)}\nFallbackNTP={p.whole}",
            "systemctl restart systemd-timesyncd && timedatectl timesync-status",
            # An empty FallbackNTP leaves the servers that the distribution has compiled in.
            "It asks one server at a time and cannot tell when that one is wrong; chrony asks four and can.",
        ),
        Recipe(
            "ntpd", "ntpd, NTPsec", "/etc/ntpsec/ntp.conf or /etc/ntp.conf", ntpd, "systemctl restart ntpsec && ntpq -p",
            "It replaces the pool and server lines that are there.",
        ),
        Recipe("openntpd", "OpenNTPD", "/etc/ntpd.conf", f"servers {p.whole}", "rcctl restart ntpd && ntpctl -s all"),
    ]  # fmt: skip


def _desktop(p: Pool) -> list[Recipe]:
    peers = " ".join(f"{name},0x8" for name in p.names)
    return [
        Recipe(
            "windows", "Windows", "a terminal, as administrator",
            f'w32tm /config /manualpeerlist:"{peers}" /syncfromflags:manual /update\nnet stop w32time && net start w32time',
            "w32tm /query /peers",
            "In a domain, members follow their domain controllers: do this on the one that holds the PDC emulator role.",
        ),
        Recipe(
            "gpo", "Windows, by group policy",
            "Computer Configuration › Administrative Templates › System › Windows Time Service › Time Providers › "
            "Configure Windows NTP Client",
            f"NtpServer: {' '.join(f'{name},0x9' for name in p.names)}\nType: NTP\nSpecialPollInterval: 1024",
            "gpupdate /force && w32tm /query /configuration",
            "Enable Windows NTP Client beside it.",
        ),
        Recipe(
            "macos", "macOS", "a terminal",
            f"sudo systemsetup -setnetworktimeserver {p.whole}\nsudo systemsetup -setusingnetworktime on",
            f"sntp {p.whole}",
        ),
    ]  # fmt: skip


def _routers(p: Pool) -> list[Recipe]:
    openwrt = "\n".join(f"uci add_list system.ntp.server='{name}'" for name in p.names)
    mikrotik = "\n".join(f"/system ntp client servers add address={name}" for name in p.names)
    return [
        Recipe(
            "openwrt", "OpenWrt", "a shell on the router",
            f"uci -q delete system.ntp.server\n{openwrt}\nuci commit system\n/etc/init.d/sysntpd restart",
            "", "Its resolver must know the zone; see Zones & DNS.",
        ),
        Recipe("mikrotik", "MikroTik RouterOS 7", "a terminal on the router", f"/system ntp client set enabled=yes\n{mikrotik}", "/system ntp client print"),
        Recipe(
            "opnsense", "OPNsense, pfSense", "Services › Network Time (pfSense: Services › NTP)", "\n".join(p.names), "",
            "One line for each entry in the list of time servers. A single name may be marked as a pool: then it is "
            f"{p.whole}.",
        ),
    ]  # fmt: skip


def _dhcp(p: Pool) -> list[Recipe]:
    four, six = list(p.ipv4), list(p.ipv6)
    found = []
    if four or six:
        lines = [f"dhcp-option=option:ntp-server,{','.join(four)}"] if four else []
        lines += [f"dhcp-option=option6:ntp-server,{','.join(f'[{a}]' for a in six)}"] if six else []
        found.append(
            Recipe("dnsmasq", "dnsmasq, Pi-hole, OpenWrt", "/etc/dnsmasq.d/timeball.conf", "\n".join(lines), "systemctl restart dnsmasq")
        )  # fmt: skip
    if four:
        found += [
            Recipe(
                "kea", "Kea", "kea-dhcp4.conf, in a subnet or at the top of Dhcp4",
                f'"option-data": [\n  {{ "name": "ntp-servers", "data": "{", ".join(four)}" }}\n]', "systemctl reload kea-dhcp4-server",
            ),
            Recipe("dhcpd", "ISC DHCP", "/etc/dhcp/dhcpd.conf", f"option ntp-servers {', '.join(four)};", "systemctl restart isc-dhcp-server"),
        ]  # fmt: skip
    if six:
        found += [
            Recipe(
                "kea6", "Kea, IPv6", "kea-dhcp6.conf, in a subnet or at the top of Dhcp6",
                f'"option-data": [\n  {{ "name": "sntp-servers", "data": "{", ".join(six)}" }}\n]', "systemctl reload kea-dhcp6-server",
            ),
            Recipe("dhcpd6", "ISC DHCP, IPv6", "/etc/dhcp/dhcpd6.conf", f"option dhcp6.sntp-servers {', '.join(six)};"),
        ]  # fmt: skip
    return found
