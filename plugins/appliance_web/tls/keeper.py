"""Keeps the box's certificates: made at first boot, renewed by themselves, replaced by one's own, and always one to serve.

While all is in order nothing reads a certificate: `known` says enough, and the library for it stays out of the process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from appliance_web.tls.files import Files
from appliance_web.tls.known import KNOWN, LEAF, UPLOADED, Facts, Known, Source, digests, spelled
from appliance_web.tls.names import Names

if TYPE_CHECKING:
    from appliance_web.tls.authority import Pair
    from appliance_web.tls.chain import Checked
    from appliance_web.tls.making import Making

log = logging.getLogger("timeball.web.tls")

#: Forward secrecy and authenticated encryption, and nothing else (RFC 9325 section 4.2); TLS 1.3 has only such.
_CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
_GIVEN_OUT = "authority-given-out"


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served now.

    Attributes:
        pem: key and chain.
        source: "local" is signed by the box's own authority, "uploaded" was brought along.
        facts: what people are told of the certificate.
        warnings: of an uploaded one.
    """

    pem: bytes
    source: Source
    context: ssl.SSLContext
    facts: Facts
    warnings: tuple[str, ...] = field(default=())

    @property
    def pair(self) -> Pair:
        """Read anew each time: few ask."""
        from appliance_web.tls.authority import Pair

        return Pair.read(self.pem)


class Keeper:
    """The certificates in a folder of their own. Its methods block for some milliseconds: call them in a thread.

    Attributes:
        known: names and addresses by which the box is called, as of the last refresh.
        serving: never None once `refresh` has returned. Swapped as a whole: connections keep what they began with.
        told: all there is to say, likewise; to read it needs no certificate.
    """

    def __init__(
        self,
        folder: Path,
        names: Callable[[], Names],
        now_s: Callable[[], float],
        sure: Callable[[], bool] = lambda: True,
    ) -> None:
        self._files = Files(folder)
        self._names = names
        self._now_s = now_s
        self._sure = sure
        self._lock = threading.Lock()
        self._made: Making | None = None
        self._found: Known | None = None
        self.serving: Serving | None = None
        self.told: Known | None = None
        self.known: frozenset[str] = frozenset()

    @property
    def folder(self) -> Path:
        return self._files.folder

    @property
    def authority(self) -> Pair:
        return self._making.authority

    def names(self) -> Names:
        return self._names()

    def now_s(self) -> float:
        return self._now_s()

    def sure(self) -> bool:
        """Whether the clock is known to be right."""
        return self._sure()

    def quiet(self) -> bool:
        """Whether `refresh` has nothing to make now."""
        with self._lock:
            return self._in_order(self._names()) is not None

    def refresh(self) -> None:
        """Look whether everything still holds, and make anew what does not. Cheap when nothing is to be done.

        A disk that cannot be written keeps nobody from being served: what was made is written as soon as it can be.
        """
        with self._lock:
            self._files.keep_the_rest()
            names = self._names()
            self.known = frozenset((*names.dns, *map(str, names.addresses)))
            found = self._in_order(names)
            if found is not None:
                self._serve_known(found)
                return
            self._making.refresh(names, self._now_s(), given_out=self._mark(), sure=self._sure())
            uploaded = (
                self._making.read(UPLOADED) if self._serves("uploaded") or self.serving is None else None
            )
            if uploaded is not None and self.serving is None:
                self._serve(uploaded, "uploaded")
            elif uploaded is None:
                self._serve_own()
            self._remember(names)

    def renew(self, *, authority: bool = False) -> None:
        """A new certificate now; with `authority` also a new authority, which has to be trusted anew."""
        with self._lock:
            names, now_s = self._names(), self._now_s()
            if authority:
                self._making.make_authority(names, now_s)
            self._making.make_leaf(names, now_s, sure=self._sure())
            if not self._serves("uploaded"):
                self._serve_own()
            self._remember(names)

    def upload(self, certificate: str, key: str) -> Checked:
        """Serve somebody's own certificate from now on.

        Raises:
            BadChain: it must not be used; nothing has changed.
            OSError: it cannot be written; nothing has changed.
        """
        from appliance_web.tls.chain import check

        with self._lock:
            names = self._names()
            checked = check(certificate, key, names, self._now_s())
            serving = self._made_ready(checked.pair, "uploaded", checked.warnings)
            self._files.write(UPLOADED, checked.pair.pem())
            self.serving = serving
            self._tell("an uploaded certificate is served from now on")
            self._remember(names)
            return checked

    def reset(self) -> bool:
        """Back to the box's own certificate; False when that is served already."""
        with self._lock:
            uploaded = (self.folder / UPLOADED).exists()
            (self.folder / UPLOADED).unlink(missing_ok=True)
            names = self._names()
            self._making.refresh(names, self._now_s(), given_out=self._mark(), sure=self._sure())
            self._serve_own()
            self._remember(names)
            return uploaded

    def give_out_authority(self) -> bytes:
        """The authority's certificate as PEM. From now on it is not replaced without need: somebody may trust it."""
        from appliance_web.tls.authority import chain_pem, fingerprint

        with self._lock, contextlib.suppress(OSError):
            mark = fingerprint(self.authority.certificate).encode()
            if self._mark() != mark:
                self._files.write(_GIVEN_OUT, mark)
        return chain_pem(self.authority.chain)

    @property
    def given_out(self) -> bool:
        """Whether somebody has fetched the authority that is in use."""
        return self.told is not None and self._mark() == self.told.authority.fingerprint.encode()

    # -- parts ------------------------------------------------------------------------------------------------------

    @property
    def _making(self) -> Making:
        if self._made is None:
            from appliance_web.tls.making import Making

            self._made = Making(self._files)
        return self._made

    def _mark(self) -> bytes | None:
        try:
            return (self.folder / _GIVEN_OUT).read_bytes()
        except OSError:
            return None

    def _in_order(self, names: Names) -> Known | None:
        """What is known, when that is all there is to know."""
        if self._found is None:
            self._found = Known.read(self.folder)
        found, now_s = self._found, self._now_s()
        good = found is not None and not self._files.unwritten and found.in_order(self.folder, names, now_s)
        return found if good else None

    def _remember(self, names: Names) -> None:
        """Write down what need not be looked at again. Without it the next look takes longer, and that is all."""
        from appliance_web.tls.authority import facts, life, uncovered

        serving, making = self.serving, self._making
        assert serving is not None
        top = making.authority.certificate
        self.told = Known(
            names=spelled(names), digests=digests(self.folder), source=serving.source, serving=serving.facts,
            leaf=life(making.leaf.certificate), authority=facts(top), warnings=list(serving.warnings), missing=uncovered(top, names),
        )  # fmt: skip
        if self._files.unwritten:
            return
        self._found = self.told
        with contextlib.suppress(OSError):
            self._files.write(KNOWN, self.told.model_dump_json().encode())

    def _serves(self, source: Source) -> bool:
        return self.serving is not None and self.serving.source == source

    def _serve_known(self, found: Known) -> None:
        self.told = found
        if self.serving is not None and self.serving.facts.fingerprint == found.serving.fingerprint:
            return
        pem = self._files.read(UPLOADED if found.source == "uploaded" else LEAF) or b""
        warnings = tuple(found.warnings)
        self.serving = Serving(pem, found.source, context_for(pem), found.serving, warnings)
        self._tell(f"HTTPS with {'an uploaded' if found.source == 'uploaded' else 'the own'} certificate")
        if found.missing:
            log.warning("the authority of this box may not vouch for %s", ", ".join(found.missing))

    def _serve_own(self) -> None:
        pair = self._making.leaf
        if self.serving is None or self.serving.pem != pair.pem():
            self._serve(pair, "local")

    def _serve(self, pair: Pair, source: Source) -> None:
        self.serving = self._made_ready(pair, source, ())
        self._tell(f"HTTPS with {'an uploaded' if source == 'uploaded' else 'the own'} certificate")

    def _made_ready(self, pair: Pair, source: Source, warnings: tuple[str, ...]) -> Serving:
        from appliance_web.tls.authority import facts

        pem = pair.pem()
        return Serving(pem, source, context_for(pem), facts(pair.certificate), warnings)

    def _tell(self, what: str) -> None:
        assert self.serving is not None
        facts = self.serving.facts
        until = datetime.fromtimestamp(facts.ends_s, UTC).strftime("%Y-%m-%d")
        log.info("%s, valid until %s; SHA-256 fingerprint %s", what, until, facts.fingerprint)


def context_for(pem: bytes) -> ssl.SSLContext:
    """TLS 1.2 and later with the key and chain in `pem`.

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
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context
