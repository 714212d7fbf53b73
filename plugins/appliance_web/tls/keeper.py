"""Keeps the box's certificates: made at first boot, renewed by themselves, replaced by one's own, and always one to serve."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography import x509

from appliance_web.tls import authority as made
from appliance_web.tls.authority import Pair
from appliance_web.tls.chain import Checked, check
from appliance_web.tls.names import Names

log = logging.getLogger("timeball.web.tls")

Source = Literal["local", "uploaded"]
#: Forward secrecy and authenticated encryption, and nothing else (RFC 9325 section 4.2); TLS 1.3 has only such.
_CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
_AUTHORITY, _LEAF, _UPLOADED, _GIVEN_OUT = "authority.pem", "leaf.pem", "uploaded.pem", "authority-given-out"


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served now.

    Attributes:
        source: "local" is signed by the box's own authority, "uploaded" was brought along.
        warnings: of an uploaded one.
    """

    pair: Pair
    source: Source
    context: ssl.SSLContext
    warnings: tuple[str, ...] = field(default=())


class Keeper:
    """The certificates in a folder of their own. Its methods block for some milliseconds: call them in a thread.

    Attributes:
        known: names and addresses by which the box is called, as of the last refresh.
        serving: never None once `refresh` has returned. Swapped as a whole: connections keep what they began with.
    """

    def __init__(self, folder: Path, names: Callable[[], Names], now_s: Callable[[], float]) -> None:
        self._folder = folder
        self._names = names
        self._now_s = now_s
        self._lock = threading.Lock()
        self._unwritten: dict[str, bytes] = {}
        self._authority: Pair | None = None
        self._leaf: Pair | None = None
        self._reported: tuple[str, ...] = ()
        self.serving: Serving | None = None
        self.known: frozenset[str] = frozenset()

    @property
    def authority(self) -> Pair:
        assert self._authority is not None
        return self._authority

    def names(self) -> Names:
        return self._names()

    def refresh(self) -> None:
        """Look whether everything still holds, and make anew what does not. Cheap when nothing is to be done.

        A disk that cannot be written keeps nobody from being served: what was made is written as soon as it can be.
        """
        with self._lock:
            for name, content in list(self._unwritten.items()):
                self._keep(name, content)
            names = self._names()
            self.known = frozenset((*names.dns, *map(str, names.addresses)))
            self._refresh_authority(names)
            leaf = self._refresh_leaf(names)
            if self.serving is not None and self.serving.source == "uploaded":
                return
            uploaded = self._read(_UPLOADED) if self.serving is None else None
            if uploaded is not None:
                self._serve(uploaded, "uploaded")
            elif self.serving is None or self.serving.pair.certificate != leaf.certificate:
                self._serve(leaf, "local")

    def renew(self, *, authority: bool = False) -> None:
        """A new certificate now; with `authority` also a new authority, which has to be trusted anew."""
        with self._lock:
            names = self._names()
            if authority:
                self._authority = self._make_authority(names)
            leaf = self._make_leaf(names)
            if self.serving is None or self.serving.source == "local":
                self._serve(leaf, "local")

    def upload(self, certificate: str, key: str) -> Checked:
        """Serve somebody's own certificate from now on.

        Raises:
            BadChain: it must not be used; nothing has changed.
            OSError: it cannot be written; nothing has changed.
        """
        with self._lock:
            checked = check(certificate, key, self._names(), self._now_s())
            context = context_for(checked.pair)
            self._write(_UPLOADED, checked.pair.pem())
            self.serving = Serving(checked.pair, "uploaded", context, checked.warnings)
            self._tell("an uploaded certificate is served from now on")
            return checked

    def reset(self) -> bool:
        """Back to the box's own certificate; False when that is served already."""
        with self._lock:
            uploaded = (self._folder / _UPLOADED).exists()
            (self._folder / _UPLOADED).unlink(missing_ok=True)
            leaf = self._refresh_leaf(self._names())
            if self.serving is None or self.serving.source == "uploaded":
                self._serve(leaf, "local")
            return uploaded

    def give_out_authority(self) -> bytes:
        """The authority's certificate as PEM. From now on it is not replaced without need: somebody may trust it."""
        with self._lock, contextlib.suppress(OSError):
            mark = made.fingerprint(self.authority.certificate).encode()
            path = self._folder / _GIVEN_OUT
            if not path.exists() or path.read_bytes() != mark:
                self._write(_GIVEN_OUT, mark)
        return made.chain_pem(self.authority.chain)

    @property
    def given_out(self) -> bool:
        """Whether somebody has fetched the authority that is in use."""
        try:
            mark = (self._folder / _GIVEN_OUT).read_bytes()
        except OSError:
            return False
        return mark == made.fingerprint(self.authority.certificate).encode()

    # -- parts ------------------------------------------------------------------------------------------------------

    def _refresh_authority(self, names: Names) -> None:
        if self._authority is None:
            self._authority = self._read(_AUTHORITY)
        if self._authority is None or not made.is_valid(self._authority.certificate, self._wise_now_s()):
            self._authority = self._make_authority(names)
            return
        missing = tuple(made.uncovered(self._authority.certificate, names))
        if missing and (not self.given_out or self._moved(names)):
            self._authority = self._make_authority(names)
        elif missing and missing != self._reported:
            log.warning(
                "the authority of this box may not vouch for %s; it is trusted by somebody and therefore stays: "
                "`timeball tls renew --authority` makes one that may", ", ".join(missing),
            )  # fmt: skip
        self._reported = missing

    def _moved(self, names: Names) -> bool:
        """Whether nothing that the box is called by is left of what the authority was made for."""
        certificate = self.authority.certificate
        return not any(made.permits(certificate, name) for name in (*names.dns, *names.addresses))

    def _refresh_leaf(self, names: Names) -> Pair:
        leaf = self._leaf if self._leaf is not None else self._read(_LEAF)
        now_s = self._now_s()
        authority = self.authority.certificate
        if (
            leaf is not None
            and leaf.chain[1:] == (authority,)
            and made.is_valid(leaf.certificate, max(now_s, made.RELEASED_S))
            and not made.two_thirds_over(leaf.certificate, now_s)
            and _same_names(leaf, authority, names)
        ):
            self._leaf = leaf
            return leaf
        return self._make_leaf(names)

    def _make_authority(self, names: Names) -> Pair:
        pair = made.make_authority(names, self._now_s())
        self._keep(_AUTHORITY, pair.pem())
        log.info("made an authority for this box; SHA-256 fingerprint %s", made.fingerprint(pair.certificate))
        return pair

    def _make_leaf(self, names: Names) -> Pair:
        pair = made.make_leaf(self.authority, names, self._now_s())
        self._leaf = pair
        self._keep(_LEAF, pair.pem())
        return pair

    def _wise_now_s(self) -> float:
        """Now, or the earliest now that can be when the clock is evidently wrong."""
        return max(self._now_s(), made.RELEASED_S)

    def _serve(self, pair: Pair, source: Source) -> None:
        self.serving = Serving(pair, source, context_for(pair))
        self._tell(f"HTTPS with {'an uploaded' if source == 'uploaded' else 'the own'} certificate")

    def _tell(self, what: str) -> None:
        assert self.serving is not None
        certificate = self.serving.pair.certificate
        log.info(
            "%s, valid until %s; SHA-256 fingerprint %s", what,
            certificate.not_valid_after_utc.strftime("%Y-%m-%d"), made.fingerprint(certificate),
        )  # fmt: skip

    def _read(self, name: str) -> Pair | None:
        try:
            return Pair.read((self._folder / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s cannot be used (%s)", self._folder / name, error)
            return None

    def _keep(self, name: str, content: bytes) -> None:
        """Write it now, or later when the disk does not take it."""
        try:
            self._write(name, content)
        except OSError as error:
            if name not in self._unwritten:
                log.warning(
                    "%s cannot be written (%s); it is tried again", self._folder / name, error.strerror
                )
            self._unwritten[name] = content
        else:
            self._unwritten.pop(name, None)

    def _write(self, name: str, content: bytes) -> None:
        """All of it or nothing, for our eyes only."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = self._folder / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor that was made with its mode
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self._folder / name)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise


def _same_names(leaf: Pair, authority: x509.Certificate, names: Names) -> bool:
    dns, addresses = made.names_in(leaf.certificate)
    wanted = made.leaf_names(authority, names)
    return {*dns, *addresses} == {name.value for name in wanted}


def context_for(pair: Pair) -> ssl.SSLContext:
    """TLS 1.2 and later with `pair`.

    Raises:
        OSError: the key cannot be handed over.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    # The library reads files only; this one is memory and has no name.
    with open(os.memfd_create("timeball-key"), "wb") as file:  # noqa: PTH123
        file.write(pair.pem())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context
