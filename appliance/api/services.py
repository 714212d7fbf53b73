"""Services that plugins provide to each other. None of them assumes that the writer is in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from appliance.api.actor import NOBODY, Actor
from appliance.api.model import ClockState, Health, Member, PluginStatus, ProbeResult, Target, Verdict
from appliance.api.packets import Samples
from appliance.core.cells import Cell

if TYPE_CHECKING:
    import sqlite_utils  # a tenth of a second that the command line does not need

T = TypeVar("T")


class TimeSource(Protocol):
    """Where our time comes from (plugin `clock`).

    Attributes:
        state: the latest snapshot; readers age it themselves.
    """

    state: Cell[ClockState]

    async def details(self) -> dict[str, Any]:
        """Everything a person may want to know about the source, as JSON-able values."""
        ...


class NtpStats(Protocol):
    """How the time service does (plugin `ntp`)."""

    def summary(self) -> dict[str, Any]:
        """Listeners, policy, packets by outcome and by version, and rates, as GET /api/v1/ntp shows them."""
        ...


class PacketTap(Protocol):
    """Lets plugins see packets of one service: `NtpTap` (plugin `ntp`), `DnsTap` (plugin `dns`; queries over UDP).

    The packet threads copy into rings of fixed size and wait for nobody. While nobody looks, nothing is copied.
    """

    def samples(
        self, *, every: int, unusual: int = 0, keep: int = 256, room: int = 8192
    ) -> AbstractContextManager[Samples]:
        """One packet in `every`, drawn so that nobody can foresee which; each says how many it stands for.

        Args:
            every: 1 is every packet.
            unusual: of packets that were no ordinary request (malformed, refused, of a strange version or mode, for a name that
                is not there) one in so many, drawn for themselves; 0: like all others. They are few while nobody attacks, and
                five of them are not found in one packet of ten.
            keep: bytes of each, 2048 at most. Who asks for more than others makes theirs longer too.
            room: packets that may wait for you; what comes when they are as many is lost and counted.

        Raises:
            ValueError: numbers that make no sense.
        """
        ...

    def capture(
        self, prefix: str, *, for_s: float, most: int, keep: int = 2048
    ) -> AbstractContextManager[Samples]:
        """Every packet from `prefix` for `for_s` seconds, `most` at most; one capture at a time. It ends by itself.

        Raises:
            ValueError: no prefix, or numbers that make no sense.
            Conflict: somebody captures already.
        """
        ...


class NtpTap(PacketTap, Protocol):
    """Packets of the time service (plugin `ntp`)."""


class DnsTap(PacketTap, Protocol):
    """Queries over UDP of the name service (plugin `dns`)."""


class Members(Protocol):
    """Who is in the pool (plugin `members`).

    Attributes:
        table: all members by id, replaced whole on each change.
    """

    table: Cell[Mapping[str, Member]]

    def find(self, key: str) -> Member:
        """By id, address, address:port, or unique name.

        Raises:
            NotFound: no such member, or more than one.
        """
        ...

    def owner_of(self, key: str) -> str:
        """The account that owns the member `key` (as for `find`); "" when nobody does, or there is no such member."""
        ...

    async def change(self, member_id: str, **fields: Any) -> Member:
        """Change fields of an added member.

        Raises:
            NotFound, Conflict (declared in the configuration), Invalid.
        """
        ...


class ScoreBoard(Protocol):
    """How the members do (plugin `monitor`).

    Attributes:
        verdicts: by member id; its age says whether the monitor lives.
    """

    verdicts: Cell[Mapping[str, Verdict]]

    def stale_after_s(self) -> float:
        """The age of `verdicts` past which the monitor must be taken for dead."""
        ...

    def recent(self, member_id: str, limit: int = 20) -> Sequence[Mapping[str, Any]]:
        """The last probes from memory, newest first: ts, offset_s, rtt_s, stratum, leap, step, score, error, rule."""
        ...


class Prober(Protocol):
    """Looks at any server once (plugin `monitor`); used by the ad hoc check and the live check of new members."""

    async def probe(
        self, target: Target, *, samples: int | None = None, on_sample: Callable[[Any], None] | None = None
    ) -> ProbeResult: ...


class AnswerTable(Protocol):
    """What DNS answers now (plugin `dns`)."""

    def explain(self, name: str, rrtype: str, client: str | None) -> dict[str, Any]:
        """The answer that `client` would get and every candidate with weight, probability and reason.

        Raises:
            NotFound: the name is not in our zone.
            Invalid: the type or address makes no sense.
        """
        ...


class Identity(Protocol):
    """Knows people and programs by what they show (plugin `people`)."""

    @property
    def claimed(self) -> bool:
        """Whether the box has an owner."""
        ...

    @property
    def setup_anywhere(self) -> bool:
        """Whether the setup answers addresses of the Internet too."""
        ...

    def name_of(self, account: str) -> str:
        """What the user of an account is called; "" when there is none (any more)."""
        ...

    def account_of(self, name: str) -> str:
        """The account of a user, by name in any case; "" when there is none."""
        ...

    async def identify(self, headers: Mapping[str, str], remote: str, line: str) -> Actor | None:
        """Who shows a session's cookie or a token; None when nothing is shown, or only a session that is over.

        Args:
            headers: names in lower case.
            remote: address it comes from.
            line: how safe the way here is (`appliance.api.http.Line`).

        Raises:
            ApiError: what is shown is wrong, or shown too often; says no more than that.
        """
        ...

    def still(self, actor: Actor) -> bool:
        """Whether somebody who was identified a moment ago is still known by the same, and may the same."""
        ...


class AuditWitness(Protocol):
    """Writes down what was turned away before it reached any operation (plugin `people`)."""

    def refused(
        self, reason: str, status: int, *, address: str, what: str, request: str = "", actor: Actor = NOBODY
    ) -> None:
        """One request that was refused at the door. Never waits, never raises; a flood of them is counted, not listed.

        Args:
            reason: the error's code.
            status: HTTP status of the answer.
            address: it came from.
            what: method and path, as far as they were understood. Hostile text possible, no secret.
            request: its id, as in the answer and the log.
            actor: who it was, where that was known already.
        """
        ...


class Frame(Protocol):
    """Puts a plugin's own pages into the frame of all pages (plugin `web`)."""

    def add_templates(self, plugin: str, folder: Path) -> None:
        """Make the Jinja templates in `folder` known as "<plugin>/<file name>"; they extend "base.html"."""
        ...

    async def page(
        self,
        request: Any,
        template: str,
        title: str,
        *,
        here: str = "",
        topic: str = "web",
        same: Sequence[tuple[str, str]] = (),
        status: int = 200,
        **values: Any,
    ) -> Any:
        """A whole page as `appliance.api.http.Reply`; everything in `values` is escaped.

        Args:
            request: of the reader.
            template: "<plugin>/<file name>".
            title: of the window.
            here: address of the navigation's entry that is the current one.
            topic: page of the manual that explains this one.
            same: (kind, line) pairs: how to get the same from the command line or the API.
            status: HTTP status.
            values: for the template.

        Raises:
            TypeError: one of `values` has a name that the frame around the page uses itself, such as "version" or "visitor".
        """
        ...

    async def ask(
        self, asker: Any, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        """Do one operation of the API as the reader: a page has no power of its own. Look at the reply's status."""
        ...


class HostView(Protocol):
    """The host as plugins may see it: read-only, for pages and metrics (provided by the host itself)."""

    @property
    def version(self) -> str:
        """The product's version."""
        ...

    @property
    def health(self) -> Cell[Health]:
        """The latest fold of everything."""
        ...

    def plugins(self) -> list[PluginStatus]:
        """Every plugin's state."""
        ...

    def contributions(self, plugin_id: str) -> dict[str, int]:
        """How many things a plugin contributes, by hook."""
        ...

    def contributed(self, kind: type[T]) -> list[tuple[str, T]]:
        """Every contribution of one type with the id of the plugin that made it."""
        ...

    @property
    def config_file(self) -> Path | None:
        """The file of --config, or None for an appliance that has none."""
        ...

    def secrets(self) -> frozenset[str]:
        """Every value of the configuration that is a secret: to cover it in texts that leave the box, and for nothing else."""
        ...

    def uptime_s(self) -> float:
        """How long this process runs, whatever the system clock did meanwhile."""
        ...

    def lag(self) -> dict[str, Any]:
        """Event-loop lag: last_s, worst_s, stalls, last_culprit."""
        ...

    def store(self) -> dict[str, Any]:
        """As `Store.stats`."""
        ...

    def dropped(self) -> dict[str, int]:
        """Events that slow subscribers lost, by `owner/Event`."""
        ...


class Store(Protocol):
    """The database: one writer thread, some readers, rows in batches."""

    async def write(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)` in the writer thread inside one transaction; rolled back when it raises.

        Once it has returned, no power cut takes it back. That waits for the medium: many rows that nobody waits for go
        through `append`.

        Raises:
            StoreError: the database cannot be written now (disk full, read-only, broken).
        """
        ...

    async def read(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `fn(db)` on a read-only connection."""
        ...

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Buffer one row; never waits, never raises. Rows that cannot be kept are counted."""
        ...

    async def flush(self) -> None:
        """Write what is buffered."""
        ...

    def stats(self) -> dict[str, Any]:
        """rows_lost, rows_buffered, last_error, size_bytes, ..."""
        ...


Handler = Callable[[Any], Awaitable[Any]]
