"""Decides which certificates have to be made, and makes them. Only this side of the keeper reads certificates."""

from __future__ import annotations

import logging

from cryptography import x509

from appliance_web.tls import authority as made
from appliance_web.tls.authority import Pair
from appliance_web.tls.files import Files
from appliance_web.tls.known import AUTHORITY, LEAF, RELEASED_S
from appliance_web.tls.names import Names

log = logging.getLogger("timeball.web.tls")


class Making:
    """The authority and the leaf of a box, as they are in its folder.

    Attributes:
        missing: names that the authority may not vouch for, though somebody trusts it.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._authority: Pair | None = None
        self._leaf: Pair | None = None
        self.missing: tuple[str, ...] = ()

    @property
    def authority(self) -> Pair:
        if self._authority is None:
            self._authority = self.read(AUTHORITY)
        assert self._authority is not None
        return self._authority

    @property
    def leaf(self) -> Pair:
        if self._leaf is None:
            self._leaf = self.read(LEAF)
        assert self._leaf is not None
        return self._leaf

    def refresh(self, names: Names, now_s: float, *, given_out: bytes | None, sure: bool = True) -> None:
        """Make anew what does not hold any more; `given_out` is the mark of an authority that somebody fetched."""
        if self._authority is None:
            self._authority = self.read(AUTHORITY)
        self._refresh_authority(names, now_s, given_out)
        if not self._leaf_holds(names, now_s):
            self.make_leaf(names, now_s, sure=sure)

    def make_authority(self, names: Names, now_s: float) -> None:
        """A new authority now, which has to be trusted anew."""
        self._authority = pair = made.make_authority(names, now_s)
        self._files.keep(AUTHORITY, pair.pem())
        log.info("made an authority for this box; SHA-256 fingerprint %s", made.fingerprint(pair.certificate))

    def make_leaf(self, names: Names, now_s: float, *, sure: bool = True) -> None:
        """A new certificate now; `sure`: see `authority.make_leaf`."""
        self._leaf = made.make_leaf(self.authority, names, now_s, sure=sure)
        self._files.keep(LEAF, self._leaf.pem())

    def read(self, name: str) -> Pair | None:
        """The pair in a file; None when there is none that can be used."""
        content = self._files.read(name)
        try:
            return None if content is None else Pair.read(content)
        except ValueError as error:
            log.warning("%s cannot be used (%s)", self._files.folder / name, error)
            return None

    def _refresh_authority(self, names: Names, now_s: float, given_out: bytes | None) -> None:
        if self._authority is None or not made.is_valid(self._authority.certificate, max(now_s, RELEASED_S)):
            self.make_authority(names, now_s)
        certificate = self.authority.certificate
        missing = tuple(made.uncovered(certificate, names))
        if missing and (given_out != made.fingerprint(certificate).encode() or _moved(certificate, names)):
            self.make_authority(names, now_s)
            missing = ()
        elif missing and missing != self.missing:
            log.warning(
                "the authority of this box may not vouch for %s; it is trusted by somebody and therefore stays: "
                "`timeball tls renew --authority` makes one that may", ", ".join(missing),
            )  # fmt: skip
        self.missing = missing

    def _leaf_holds(self, names: Names, now_s: float) -> bool:
        if self._leaf is None:
            self._leaf = self.read(LEAF)
        if self._leaf is None:
            return False
        life, top = made.life(self._leaf.certificate), self.authority.certificate
        dns, addresses = made.names_in(self._leaf.certificate)
        return (
            self._leaf.chain[1:] == (top,)
            and life.holds(max(now_s, RELEASED_S))
            and not life.is_due(max(now_s, RELEASED_S))
            and {*dns, *addresses} == {name.value for name in made.leaf_names(top, names)}
        )


def _moved(authority: x509.Certificate, names: Names) -> bool:
    """Whether nothing that the box is called by is left of what the authority was made for."""
    return not any(made.permits(authority, name) for name in (*names.dns, *names.addresses))
