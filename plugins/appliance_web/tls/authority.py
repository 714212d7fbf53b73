"""Makes certificates: an authority that can vouch for this box and for nothing else, and the leaf it signs."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance_web.tls.known import RELEASED_S, Facts, Life
from appliance_web.tls.names import Address, Interface, Names, Network

LEAF_S = 90 * 86400.0
AUTHORITY_S = 20 * 365 * 86400.0
#: Of a certificate that is made while nobody knows the time; what Apple's systems take at most is 825 days.
DOUBTFUL_S = 820 * 86400.0
#: Readers' clocks may be somewhat behind ours.
BACKDATED_S = 86400.0
#: A wrong clock may show any year; certificates end with 9999 (RFC 5280 section 4.1.2.5).
_LAST_S = 253_370_764_800.0  # 9999-01-01
#: What the box is called through a tunnel.
LOCAL_NAMES = ("localhost",)
LOCAL_ADDRESSES: tuple[Address, ...] = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key and those above it.

    Attributes:
        chain: the certificate, then who signed it, and so on.
    """

    key: PrivateKeyTypes
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    def pem(self) -> bytes:
        """Key and chain in one text, as `ssl.SSLContext.load_cert_chain` takes it: never half of the two on the disk."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + chain_pem(self.chain)

    @staticmethod
    def read(text: bytes) -> Pair:
        """What `pem` wrote.

        Raises:
            ValueError: it is damaged, or the key belongs to another certificate.
        """
        try:
            key = serialization.load_pem_private_key(text, None)
        except TypeError as error:
            raise ValueError(str(error)) from None
        chain = tuple(x509.load_pem_x509_certificates(text))
        if public_bytes(key.public_key()) != public_bytes(chain[0].public_key()):
            raise ValueError("the key belongs to another certificate")
        return Pair(key, chain)


def public_bytes(key: object) -> bytes:
    """A public key in its one encoding, to compare it."""
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def chain_pem(chain: Iterable[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 as browsers show it: "AB:CD:..."."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def make_authority(names: Names, now_s: float) -> Pair:
    """An authority for the box called `names`, and by its name constraints for nothing else (RFC 5280 section 4.2.1.10).

    It holds from the day of our release on, whatever the clock says now: once somebody trusts it, a clock that is put right
    must not make it one of the future.

    It may vouch for the box's names and what is below them, for its public addresses, and for the private networks it
    stands in: a new lease in the same network asks nobody to trust anew.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    called = names.dns[0] if names.dns else "timeball"
    subject = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Timeball"),
        x509.NameAttribute(NameOID.COMMON_NAME, f"Timeball authority of {called}"[:64]),
    ])  # fmt: skip
    permitted: list[x509.GeneralName] = [x509.DNSName(name) for name in (*names.dns, *LOCAL_NAMES)]
    permitted += [x509.IPAddress(network) for network in _networks(names.interfaces)]
    certificate = (
        _builder(subject, subject, key.public_key(), RELEASED_S, max(0.0, now_s - RELEASED_S) + AUTHORITY_S)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(key, (certificate,))


def make_leaf(authority: Pair, names: Names, now_s: float, *, sure: bool = True) -> Pair:
    """A certificate for the names and addresses that `authority` may vouch for.

    Args:
        authority: who signs.
        names: what the box is called.
        now_s: epoch seconds, as far as the box knows.
        sure: whether it does. While it does not, the certificate holds from our release on and for two years and more, so
            that it holds for readers, who do know the time.
    """
    begins_s, life_s = now_s, LEAF_S
    if not sure:
        begins_s = RELEASED_S
        life_s = max(DOUBTFUL_S, now_s - RELEASED_S + LEAF_S)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = leaf_names(authority.certificate, names)
    called = names.dns[0] if names.dns else "timeball"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called[:64])])
    ends_s = authority.certificate.not_valid_after_utc.timestamp()
    certificate = (
        _builder(subject, authority.certificate.subject, key.public_key(), begins_s, life_s, ends_s)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.certificate.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())  # type: ignore[arg-type]
    )
    return Pair(key, (certificate, *authority.chain))


def leaf_names(authority: x509.Certificate, names: Names) -> list[x509.GeneralName]:
    """The names a leaf for `names` carries: a single one that its authority may not vouch for would spoil it."""
    dns = [name for name in (*names.dns, *LOCAL_NAMES) if permits(authority, name)]
    addresses = [address for address in (*names.addresses, *LOCAL_ADDRESSES) if permits(authority, address)]
    return [*map(x509.DNSName, dns), *map(x509.IPAddress, addresses)]


def uncovered(authority: x509.Certificate, names: Names) -> list[str]:
    """What the box is called and `authority` may not vouch for."""
    return [str(name) for name in (*names.dns, *names.addresses) if not permits(authority, name)]


def permits(authority: x509.Certificate, name: str | Address) -> bool:
    """Whether the name constraints of `authority` let it vouch for `name`."""
    permitted = (
        authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or ()
    )
    for subtree in permitted:
        if isinstance(subtree, x509.DNSName) and isinstance(name, str):
            if name == subtree.value or name.endswith("." + subtree.value):
                return True
        elif isinstance(subtree, x509.IPAddress) and not isinstance(name, str):
            network = subtree.value
            assert isinstance(network, (ipaddress.IPv4Network, ipaddress.IPv6Network))
            if name.version == network.version and name in network:
                return True
    return False


def names_in(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[Address, ...]]:
    """DNS names (lower case) and addresses a certificate is for."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    addresses = [a for a in alternatives.get_values_for_type(x509.IPAddress)
                 if isinstance(a, (ipaddress.IPv4Address, ipaddress.IPv6Address))]  # fmt: skip
    return tuple(name.lower() for name in alternatives.get_values_for_type(x509.DNSName)), tuple(addresses)


def covers(certificate: x509.Certificate, host: str) -> bool:
    """Whether a browser that calls us `host` finds its name in the certificate; a wildcard is one label (RFC 9525)."""
    dns, addresses = names_in(certificate)
    try:
        return ipaddress.ip_address(host) in addresses
    except ValueError:
        pass
    above = host.partition(".")[2]
    return host in dns or (bool(above) and f"*.{above}" in dns)


def life(certificate: x509.Certificate) -> Life:
    """From when to when it holds."""
    return Life(
        begins_s=certificate.not_valid_before_utc.timestamp(),
        ends_s=certificate.not_valid_after_utc.timestamp(),
    )


def facts(certificate: x509.Certificate) -> Facts:
    """What people are told of it."""
    dns, addresses = names_in(certificate)
    held = life(certificate)
    return Facts(
        begins_s=held.begins_s, ends_s=held.ends_s, fingerprint=fingerprint(certificate), names=[*dns, *map(str, addresses)],
        subject=certificate.subject.rfc4514_string(), issuer=certificate.issuer.rfc4514_string(),
    )  # fmt: skip


def is_valid(certificate: x509.Certificate, now_s: float) -> bool:
    """Whether the certificate holds at `now_s`, epoch seconds."""
    return life(certificate).holds(now_s)


# -- parts ------------------------------------------------------------------------------------------------------------


def _networks(interfaces: Sequence[Interface]) -> list[Network]:
    """What an authority may vouch for by number."""
    found: list[Network] = [ipaddress.ip_network(address) for address in LOCAL_ADDRESSES]
    for interface in interfaces:
        wide = interface.ip.is_private and interface.network.prefixlen >= (
            16 if interface.version == 4 else 48
        )
        found.append(interface.network if wide else ipaddress.ip_network(interface.ip))
    return list(dict.fromkeys(found))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now_s: float,
    life_s: float,
    ends_s: float = _LAST_S,
) -> x509.CertificateBuilder:
    begins_s = min(max(now_s, RELEASED_S), _LAST_S - 2 * BACKDATED_S) - BACKDATED_S
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(begins_s))
        .not_valid_after(_moment(min(begins_s + life_s, ends_s)))
    )


def _moment(epoch_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(epoch_s), tz=dt.UTC)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
