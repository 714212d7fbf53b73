"""What the listener, the pages and the API share about how the box can be reached."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.dataplane.interface import Endpoint
from appliance_web.refusals import Book
from appliance_web.tls.keeper import Keeper


@dataclass(slots=True)
class Front:
    """Made once; the run fills in what is bound.

    Attributes:
        keeper: of the certificates.
        book: of the refusals.
        plain: where plain HTTP is served now.
        tls: where HTTPS is served now.
        unbound: why it is not served at an address that nobody asked for by name, or "".
    """

    keeper: Keeper
    book: Book = field(default_factory=Book)
    plain: tuple[Endpoint, ...] = ()
    tls: tuple[Endpoint, ...] = ()
    unbound: str = ""

    def hsts(self) -> bool:
        """Whether browsers can be told to insist on HTTPS: only where a certificate of the owner's own is served."""
        serving = self.keeper.serving
        return serving is not None and serving.source == "uploaded" and not serving.warnings
