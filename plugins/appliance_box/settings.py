"""Settings of the box itself: what `/data/box/box.toml` and the tables of a preseed file hold."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import struct
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

#: RFC 1123 section 2.1: letters, digits and hyphens, not at the ends; one label, which is what a network calls a box.
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
#: IFNAMSIZ less the closing zero; with the wildcards of systemd.network(5).
_INTERFACE = re.compile(r"[A-Za-z0-9_.*?-]{1,15}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}")
_HEX64 = re.compile(r"[0-9a-fA-F]{64}")
KEY_KINDS: Final = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-rsa",
)  # fmt: skip


class Table(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


def host_name(text: str) -> str:
    """Empty leaves it to the image. Raises ValueError: no name that a network can call a box by."""
    if text and not _HOST.fullmatch(text):
        raise ValueError(
            f"{text[:80]!r} is no host name: letters, digits and hyphens, 63 at most, no hyphen at the ends"
        )
    return text.lower()


def time_zone(text: str) -> str:
    """Empty is UTC. Raises ValueError: it cannot be the name of a time zone."""
    if text and not _ZONE.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no time zone: as in Europe/Berlin or UTC")
    return text


def public_key(text: str) -> str:
    """A line for authorized_keys, without options.

    Raises:
        ValueError: it is none.
    """
    kind, _, rest = text.strip().partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
        (length,) = struct.unpack_from(">I", blob)
        named = blob[4 : 4 + length].decode("ascii")
    except (binascii.Error, struct.error, UnicodeDecodeError, ValueError):
        named = ""
    if kind not in KEY_KINDS or named != kind:
        if "PRIVATE KEY" in text:
            raise ValueError("this is the private key: give the other file, whose name ends in .pub")
        raise ValueError("this is no SSH public key: one line, as in the file whose name ends in .pub")
    comment = "".join(c for c in comment if c.isprintable()).strip()[:100]
    return f"{kind} {encoded} {comment}".strip()


def _interface_name(text: str) -> str:
    if not _INTERFACE.fullmatch(text) or text in (".", ".."):
        raise ValueError(f"{text[:40]!r} is no name of an interface: as in eth0, or e* for several")
    return text


def _interface_address(text: str) -> str:
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no address with its prefix: as in 192.0.2.5/24") from None
    if "/" not in text:
        raise ValueError(f"{text} lacks the length of its prefix: as in {text}/24")
    if found.is_unspecified or found.is_multicast or found.is_loopback:
        raise ValueError(f"{text} cannot be the address of a box")
    return str(found)


def _address(text: str) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no address") from None
    if found.is_unspecified or found.is_multicast:
        raise ValueError(f"{text} is nobody's address")
    return str(found)


def _domain(text: str) -> str:
    labels = text.rstrip(".").split(".")
    if len(text) > 253 or not all(_HOST.fullmatch(label) for label in labels):
        raise ValueError(f"{text[:80]!r} is no domain")
    return text.rstrip(".").lower()


HostName = Annotated[str, AfterValidator(host_name)]
TimeZone = Annotated[str, AfterValidator(time_zone)]
PublicKey = Annotated[str, Field(max_length=16_384), AfterValidator(public_key)]
InterfaceName = Annotated[str, AfterValidator(_interface_name)]
InterfaceAddress = Annotated[str, AfterValidator(_interface_address)]
Address = Annotated[str, AfterValidator(_address)]
Domain = Annotated[str, AfterValidator(_domain)]


class Interface(Table):
    """One interface, or all that match a pattern."""

    name: InterfaceName = Field(description="Name or pattern, as in eth0 or e*")
    method: Literal["dhcp", "static", "off"] = Field(
        default="dhcp", description="dhcp: as the network says; static: the addresses below; off: not used"
    )
    addresses: tuple[InterfaceAddress, ...] = Field(default=(), max_length=16, description="With prefix")
    gateways: tuple[Address, ...] = Field(default=(), max_length=2, description="One for each family")
    dns: tuple[Address, ...] = Field(default=(), max_length=8, description="Name servers")
    search: tuple[Domain, ...] = Field(default=(), max_length=8, description="Domains for short names")

    @model_validator(mode="after")
    def _fits(self) -> Interface:
        if self.method == "static" and not self.addresses:
            raise ValueError('method = "static" needs addresses, as in ["192.0.2.5/24"]')
        if self.method != "static" and (self.addresses or self.gateways):
            raise ValueError('addresses and gateways need method = "static"')
        if self.method == "off" and (self.dns or self.search):
            raise ValueError("an interface that is off needs no name servers")
        families = [ipaddress.ip_address(gateway).version for gateway in self.gateways]
        if len(set(families)) != len(families):
            raise ValueError("one gateway for each family is all that is needed")
        for gateway in self.gateways:
            self._reach(gateway)
        return self

    def _reach(self, gateway: str) -> None:
        address = ipaddress.ip_address(gateway)
        networks = [ipaddress.ip_interface(one).network for one in self.addresses]
        if not address.is_link_local and not any(address in network for network in networks):
            raise ValueError(
                f"the gateway {gateway} is in none of the networks {', '.join(map(str, networks))}"
            )


class Wifi(Table):
    """The wireless network that the box joins. An empty password joins an open one."""

    ssid: str = Field(default="", max_length=64, description="Its name")
    ssid_hex: str = Field(default="", max_length=64, description="Its name in hex, where it is no text")
    password: str = Field(
        default="", repr=False, description="8 to 63 characters, or the key as 64 hex digits"
    )
    hidden: bool = Field(default=False, description="It does not tell its name")
    country: str = Field(default="", description="Where the box stands, as in DE: which channels are allowed")

    @model_validator(mode="after")
    def _fits(self) -> Wifi:
        if bool(self.ssid) == bool(self.ssid_hex):
            raise ValueError("give the ssid, or the ssid_hex, and not both")
        try:
            octets = self.octets
        except ValueError:
            raise ValueError("ssid_hex is no hex: two digits for each octet") from None
        if not 1 <= len(octets) <= 32:
            raise ValueError("a network's name has 1 to 32 octets")
        if self.password and not _HEX64.fullmatch(self.password):
            if not 8 <= len(self.password) <= 63:
                raise ValueError("a Wi-Fi password has 8 to 63 characters")
            if not all(" " <= c <= "~" for c in self.password):
                raise ValueError(
                    "a Wi-Fi password has ASCII characters only; give the key as 64 hex digits instead"
                )
        if self.country and not re.fullmatch(r"[A-Za-z]{2}", self.country):
            raise ValueError("country is two letters, as in DE")
        return self

    @property
    def octets(self) -> bytes:
        """The name as it is on the air. Raises ValueError."""
        return self.ssid.encode() if self.ssid else bytes.fromhex(self.ssid_hex)

    @property
    def key_is_raw(self) -> bool:
        return _HEX64.fullmatch(self.password) is not None


class Ssh(Table):
    """Logging in to the box, as root, with a key and never with a password."""

    enabled: bool = Field(default=False, description="Whether the box answers SSH at all")
    keys: tuple[PublicKey, ...] = Field(
        default=(), max_length=32, description="Public keys of who may log in"
    )

    @model_validator(mode="after")
    def _fits(self) -> Ssh:
        if self.enabled and not self.keys:
            raise ValueError("SSH without a key lets nobody in: give keys, or enabled = false")
        return self


class BoxSettings(Table):
    """All of them; what is empty stays as the image has it."""

    host_name: HostName = Field(default="", description="Name of the box in its network")
    time_zone: TimeZone = Field(default="", description="For the log; pages show UTC")
    ssh: Ssh = Ssh()
    wifi: Wifi | None = None
    interface: tuple[Interface, ...] = Field(default=(), max_length=16)

    @model_validator(mode="after")
    def _fits(self) -> BoxSettings:
        names = [one.name for one in self.interface]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"there are two tables for the interface {', '.join(sorted(twice))}")
        return self

    def as_dict(self, *, secrets: bool = False) -> dict[str, Any]:
        """JSON-able; the Wi-Fi password only with `secrets`, else whether there is one."""
        found = self.model_dump(mode="json")
        if self.wifi is not None and not secrets:
            found["wifi"]["password"] = ""
            found["wifi"]["has_password"] = bool(self.wifi.password)
        return found


DEFAULT: Final = BoxSettings()
