"""Judges a certificate that somebody brings along, before it is used. Everything wrong is told at once, by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.api.foreign import printable
from appliance_web.tls.authority import Pair, covers, names_in, public_bytes
from appliance_web.tls.names import Names
from appliance_web.tls.refused import MOST_BYTES, BadChain

MOST_CERTIFICATES = 10
#: Smaller RSA keys are refused by browsers (CA/Browser Forum Baseline Requirements section 6.1.5).
LEAST_RSA_BITS = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_BROKEN_HASHES = ("md5", "sha1")


@dataclass(frozen=True, slots=True)
class Checked:
    """It can be used.

    Attributes:
        warnings: what will make some browsers complain.
    """

    pair: Pair
    warnings: tuple[str, ...] = field(default=())


def check(certificate: str, key: str, names: Names, now_s: float) -> Checked:
    """Judge a chain (the certificate first) and its key, both PEM.

    Args:
        certificate: PEM text; what stands around the blocks does not matter.
        key: PEM text.
        names: what the box is called; a certificate for other names is used, with a warning.
        now_s: epoch seconds.

    Raises:
        BadChain: it must not be used.
    """
    errors: dict[str, str] = {}
    chain: tuple[x509.Certificate, ...] = ()
    private = None
    try:
        chain = _read_chain(certificate)
        why = _wrong_certificate(chain, now_s)
        if why:
            errors["certificate"] = why
    except ValueError as error:
        errors["certificate"] = str(error)
    try:
        private = _read_key(key)
    except ValueError as error:
        errors["key"] = str(error)
    if (
        chain
        and private is not None
        and public_bytes(private.public_key()) != public_bytes(chain[0].public_key())
    ):
        errors["key"] = f"it belongs to another certificate, not to the first one ({_called(chain[0])})"
    if errors or private is None:
        raise BadChain(errors)
    return Checked(Pair(private, chain), tuple(_warnings(chain, names)))


def _read_chain(text: str) -> tuple[x509.Certificate, ...]:
    if len(text) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES} characters: no chain is")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError(
            "no certificate in it: PEM text is expected, which begins with -----BEGIN CERTIFICATE-----"
        )
    try:
        chain = tuple(x509.load_pem_x509_certificates(text.encode()))
        for one in chain:
            _ = (
                one.extensions,
                one.signature_hash_algorithm,
                one.public_key(),
            )  # what is parsed late fails here
    except Exception as error:  # noqa: BLE001 - hostile DER finds every kind of exception; all mean "damaged"
        raise ValueError(f"a certificate is damaged: {str(error)[:200]}") from None
    if len(chain) > MOST_CERTIFICATES:
        raise ValueError(f"{len(chain)} certificates: more than any chain has ({MOST_CERTIFICATES})")
    return chain


def _read_key(text: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if len(text) > MOST_BYTES:
        raise ValueError("longer than any key")
    if "PRIVATE KEY-----" not in text:
        raise ValueError("no key in it: PEM text is expected, which begins with -----BEGIN PRIVATE KEY-----")
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
    except TypeError:
        raise ValueError(
            "it is locked with a passphrase, which nobody could type at a restart: openssl pkey -in KEY -out PLAIN"
        ) from None
    except Exception as error:  # noqa: BLE001 - as above
        raise ValueError(f"it is damaged: {str(error)[:200]}") from None
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < LEAST_RSA_BITS:
            raise ValueError(f"an RSA key of {key.key_size} bits is too weak: at least {LEAST_RSA_BITS}")
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            raise ValueError(f"browsers do not take the curve {key.curve.name}: P-256 or P-384")
        return key
    raise ValueError("browsers do not take keys of this kind: RSA or ECDSA")


def _wrong_certificate(chain: Sequence[x509.Certificate], now_s: float) -> str | None:
    leaf = chain[0]
    for one in chain:
        begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
        if now_s >= ends.timestamp():
            return f"{_called(one)} expired on {ends:%Y-%m-%d %H:%M} UTC"
        if now_s < begins.timestamp():
            return f"{_called(one)} is not valid before {begins:%Y-%m-%d %H:%M} UTC (is the clock of this box right?)"
        weak = one.signature_hash_algorithm
        if weak is not None and weak.name in _BROKEN_HASHES and one.issuer != one.subject:
            return f"{_called(one)} is signed with {weak.name.upper()}, which browsers refuse"
    if _is_authority(leaf):
        return f"the first one, {_called(leaf)}, is an authority and no server's certificate: the server's comes first"
    if not _for_servers(leaf):
        return f"{_called(leaf)} is not meant for servers (extended key usage)"
    dns, addresses = names_in(leaf)
    if not dns and not addresses:
        return f"{_called(leaf)} carries no subject alternative names; browsers look at nothing else"
    for below, above in pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            return (
                f"{_called(below)} is not signed by the next one, {_called(above)}: the order is server, then who "
                f"signed it, then who signed that"
            )
        if not _is_authority(above):
            return f"{_called(above)} is no authority and cannot have signed {_called(below)}"
    return None


def _warnings(chain: Sequence[x509.Certificate], names: Names) -> list[str]:
    leaf, found = chain[0], []
    known = [*names.dns, *map(str, names.addresses)]
    if known and not any(covers(leaf, name) for name in known):
        dns, addresses = names_in(leaf)
        mine = ", ".join([*dns, *map(str, addresses)][:5])
        found.append(f"it is for {mine}, and this box is not known by any of these: add the name to hosts")
    if len(chain) == 1 and leaf.issuer != leaf.subject:
        found.append(
            "it comes without the certificate of who signed it; browsers that do not know that one refuse it"
        )
    return found


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _for_servers(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def _called(certificate: x509.Certificate) -> str:
    """A certificate's subject as people know it, safe to print."""
    text = certificate.subject.rfc4514_string() or "one without a subject"
    return printable(text, keep="")[:120]
