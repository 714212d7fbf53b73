"""Live checks: started by a form, seen line by line as they come, with a script or by loading the page again."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.api.errors import ApiError, NotFound
from appliance.api.http import Request
from appliance.api.model import ProbeResult, Sample, Target
from appliance.api.services import Prober
from appliance_web.charts import Thresholds
from appliance_web.views.check import Line, findings, sample_line, verdict
from appliance_web.views.standing import Sentence

SAMPLES = 5
#: A check is a handful of packets to somebody else's server: not many at once, and not many by one person.
MOST_AT_ONCE = 8
MOST_BY_ONE = 2
MOST_TARGETS = 16
#: Finished checks that are kept for their readers.
KEPT = 128
PATIENCE_S = 60.0


#: Addresses that somebody who runs no pool may have looked at within so many seconds: the box is nobody's port scanner.
MOST_IN_A_WHILE = 60
WHILE_S = 600.0


class Busy(ApiError):
    status = 429
    code = "too_many_checks"


@dataclass(slots=True)
class Part:
    """The check of one address; grows while it runs."""

    target: Target
    lines: list[Line] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    said: Sentence | None = None
    result: ProbeResult | None = None


@dataclass(slots=True)
class Check:
    """One check of one or more addresses.

    Attributes:
        changed: set whenever something was added; who waits takes a new one first.
    """

    id: str
    who: str
    limits: Thresholds | None
    parts: list[Part]
    done: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wake everybody who reads along."""
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def size(self) -> int:
        """How much there is to see; grows with every line."""
        return sum(len(p.lines) for p in self.parts)


class Checks:
    """All checks, running and lately finished."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Check] = OrderedDict()
        self._waiting: asyncio.Queue[tuple[Check, Prober]] = asyncio.Queue()
        self._charged: dict[str, list[tuple[float, int]]] = {}

    def charge(self, account: str, number: int, now_s: float) -> None:
        """Count addresses that an account wants looked at.

        Raises:
            Busy: they are too many for this while.
        """
        self._charged = {
            who: recent
            for who, all_of_them in self._charged.items()
            if (recent := [one for one in all_of_them if now_s - one[0] < WHILE_S])
        }
        spent = self._charged.setdefault(account, [])
        if sum(n for _, n in spent) + number > MOST_IN_A_WHILE:
            raise Busy(
                f"{MOST_IN_A_WHILE} addresses in {WHILE_S / 60:.0f} minutes are the most; wait a little"
            )
        spent.append((now_s, number))

    def start(self, who: str, prober: Prober, targets: Sequence[Target], limits: Thresholds | None) -> Check:
        """Begin to ask.

        Raises:
            Busy: too many are under way.
        """
        running = [c for c in self._kept.values() if not c.done]
        if len(running) >= MOST_AT_ONCE or sum(c.who == who for c in running) >= MOST_BY_ONE:
            raise Busy("other checks are still under way; try again in a few seconds")
        check = Check(secrets.token_urlsafe(12), who, limits, [Part(t) for t in targets[:MOST_TARGETS]])
        self._kept[check.id] = check
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        self._waiting.put_nowait((check, prober))
        return check

    def get(self, key: str, reader: Request) -> Check | None:
        """The check `key`; who may see no more than his own sees no more than what he asked for himself."""
        check = self._kept.get(key)
        return None if check and reader.only and check.who != reader.actor.name else check

    def find(self, key: str, reader: Request) -> Check:
        """As `get`.

        Raises:
            NotFound: it was so long ago that nobody remembers.
        """
        check = self.get(key, reader)
        if check is None:
            raise NotFound("that check is over; start a new one")
        return check

    async def run(self) -> None:
        """Do the checks until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                check, prober = await self._waiting.get()
                group.create_task(self._do(check, prober), name=f"check {check.id}")

    async def _do(self, check: Check, prober: Prober) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(self._ask(check, part, prober) for part in check.parts))
        except TimeoutError:
            pass
        except Exception as error:  # noqa: BLE001 - a prober of somebody else; the reader is told
            for part in check.parts:
                part.lines.append(Line("failing", f"The check itself failed: {error}"))
        finally:
            for part in check.parts:
                if part.said is None:
                    part.said = Sentence("failing", "It did not end in time.")
            check.done = True
            check.tell()

    async def _ask(self, check: Check, part: Part, prober: Prober) -> None:
        def on_sample(sample: Sample) -> None:
            part.samples.append(sample)
            part.lines.append(sample_line(len(part.samples), sample, check.limits))
            check.tell()

        part.result = await prober.probe(part.target, samples=SAMPLES, on_sample=on_sample)
        part.samples = list(part.result.samples)
        part.lines += findings(part.result)
        part.said = verdict(part.result, check.limits)
        check.tell()
