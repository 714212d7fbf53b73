"""Reads what it was told to, hands chronyd samples, and says once a second how it goes. Outlives unplugged devices and a chronyd that restarts."""

from __future__ import annotations

import contextlib
import json
import re
import selectors
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from appliance_gps.reading.clocks import Now, clocks
from appliance_gps.reading.completing import Completing, Pulse
from appliance_gps.reading.feed import Feed, Sample
from appliance_gps.reading.gpio import Devices, Kernel, Line, NoLine, find_chip, request_line
from appliance_gps.reading.pulses import Polarity, PulseTrain
from appliance_gps.reading.receiving import Receiving

_SECOND_NS = 1_000_000_000
_TELL_EVERY_S = 1.0
_AGAIN_S = 2.0
#: More edges than this in one second are noise on the line, and to read them is a waste: leave it alone for a while.
_NOISE = 400
_NOISE_PAUSE_S = 10.0
#: Which kinds of devices a service may open is settled when it starts. One whose driver came later, with the plug, needs another
#: start: the session ends, and the process with it.
_FORBIDDEN_S = 30.0
#: Edges that waited for us longer than this are not worth dating.
_OLDEST_NS = 10 * _SECOND_NS

_CHIP = re.compile(r"auto|/dev/gpiochip[0-9]{1,3}|[A-Za-z0-9][A-Za-z0-9._:-]{0,31}")
_RECEIVER = re.compile(
    r"|gpsd|/dev/(tty(ACM|USB|AMA|S|THS|O|mxc)[0-9]{1,3}|serial[0-9]|gps[0-9]{0,3}|pts/[0-9]{1,5})"
)
_SOCKET = re.compile(r"/(run|tmp)/[A-Za-z0-9._/-]{1,90}\.sock")


@dataclass(frozen=True, slots=True)
class Orders:
    """What to read, and where to hand it.

    Attributes:
        chip: path or label of a GPIO chip, or "auto".
        line: number of the pulse's line; -1 for none.
        edge: see `PulseTrain`.
        pull_down: ask the pin to be held low when nothing drives it.
        pulse_delay_s, receiver_delay_s: how late a pulse and a sentence are.
        receiver: path of a serial line, "gpsd", or "" for none.
        speed: of it in bit/s; 0 finds it.
        gpsd_port: on loopback.
        floor_s: epoch seconds that are past for certain.
        gps_socket, pps_socket: chronyd's.
    """

    chip: str = "auto"
    line: int = -1
    edge: Polarity = "auto"
    pull_down: bool = False
    pulse_delay_s: float = 0.0
    receiver: str = ""
    speed: int = 0
    receiver_delay_s: float = 0.0
    gpsd_port: int = 2947
    floor_s: int = 0
    gps_socket: str = "/run/chrony.timeball-gps.sock"
    pps_socket: str = "/run/chrony.timeball-pps.sock"

    @staticmethod
    def read(said: Any) -> Orders:
        """From JSON, which may come from a process with fewer rights than ours.

        Raises:
            ValueError: it asks for something else than a receiver.
        """
        if not isinstance(said, Mapping) or not said.keys() <= {f.name for f in fields(Orders)}:
            raise ValueError("expected the keys of Orders")
        try:
            orders = Orders(**said)
            good = (
                _CHIP.fullmatch(orders.chip) and _RECEIVER.fullmatch(orders.receiver)
                and all(_SOCKET.fullmatch(path) and ".." not in path for path in (orders.gps_socket, orders.pps_socket))
                and -1 <= int(orders.line) < 1024 and orders.edge in ("auto", "rising", "falling")
                and 0 <= int(orders.speed) <= 1_000_000 and 0 < int(orders.gpsd_port) < 65536
                and abs(float(orders.pulse_delay_s)) < 1 and abs(float(orders.receiver_delay_s)) < 2
            )  # fmt: skip
        except (TypeError, ValueError):
            good = None
        if not good:
            raise ValueError("a value that no receiver has")
        return orders


class Reader:
    """One session."""

    def __init__(
        self,
        orders: Orders,
        connection: socket.socket,
        *,
        now: Callable[[], Now] = clocks,
        devices: Devices | None = None,
    ) -> None:
        self._orders = orders
        self._connection = connection
        self._now = now
        self._devices = devices or Kernel()
        self._selector = selectors.DefaultSelector()
        self._train = PulseTrain(orders.edge)
        self._gps, self._pps = Feed(orders.gps_socket), Feed(orders.pps_socket)
        self._completing = Completing(
            receiver=bool(orders.receiver), pulse_delay_s=orders.pulse_delay_s, sentence_delay_s=orders.receiver_delay_s
        )  # fmt: skip
        self._receiving = Receiving(
            orders.receiver, speed=orders.speed, gpsd_port=orders.gpsd_port, floor_s=orders.floor_s,
            watch=self._watch, forget=self._forget, told=self._completing.told, lost=self._completing.lost,
            gps=self._gps.send, pps=self._pulse_from_gpsd, now=now,
        )  # fmt: skip
        self._line: Line | None = None
        self._line_problem = ""
        self._try_line_at_ns = 0
        self._edges = self._lost_edges = 0
        self._going = True
        self._began_ns = 0
        self._edge_number: int | None = None

    @property
    def forbidden(self) -> bool:
        """Whether another process than this one might be allowed what this one is not."""
        return self._receiving.forbidden

    def run(self) -> None:
        """Until the other side hangs up."""
        self._connection.setblocking(False)  # noqa: FBT003 - that is its name
        self._selector.register(self._connection, selectors.EVENT_READ, self._hear)
        tell_at_ns = self._began_ns = self._now().mono_ns
        try:
            while self._going:
                now = self._now()
                if now.mono_ns >= tell_at_ns:
                    self._tick(now)
                    tell_at_ns = now.mono_ns + int(_TELL_EVERY_S * 1e9)
                for key, _ in self._selector.select(max(0.0, (tell_at_ns - self._now().mono_ns) / 1e9)):
                    key.data()
        finally:
            self._close_line()
            self._receiving.close()
            self._gps.close()
            self._pps.close()
            self._selector.close()

    # -- the line -----------------------------------------------------------------------------------------------------

    def _open_line(self, now: Now) -> None:
        if self._orders.line < 0 or self._line is not None or now.mono_ns < self._try_line_at_ns:
            return
        try:
            chip = find_chip(self._orders.chip, self._devices)
            self._line = request_line(
                chip, self._orders.line, self._devices, pull_down=self._orders.pull_down
            )
        except NoLine as problem:
            self._line_problem = str(problem)
            self._try_line_at_ns = now.mono_ns + int(_AGAIN_S * 1e9)
        else:
            self._line_problem = ""
            self._edge_number = None
            self._watch(self._line, self._read_line)

    def _read_line(self) -> None:
        assert self._line is not None
        try:
            events = self._line.events()
        except OSError as error:
            self._close_line()
            self._line_problem = f"the pin cannot be read any more ({error.strerror})"
            self._try_line_at_ns = self._now().mono_ns + int(_AGAIN_S * 1e9)
            return
        now = self._now()
        for event in events:
            self._edges += 1
            if self._edge_number is not None and event.number > self._edge_number + 1:
                self._lost_edges += event.number - self._edge_number - 1
            self._edge_number = event.number
            # How long ago it was is the same on all clocks, as far as a moment's slewing matters.
            ago_ns = (now.system_ns if self._line.realtime else now.mono_ns) - event.at_ns
            if not 0 <= ago_ns <= _OLDEST_NS:
                continue  # the clock was set in between
            system_ns = event.at_ns if self._line.realtime else now.system_ns - ago_ns
            if self._train.edge(event.edge, now.raw_ns - ago_ns):
                sample = self._completing.pulse(Pulse(now.raw_ns - ago_ns, system_ns))
                if sample is not None:
                    self._pps.send(sample)

    def _pulse_from_gpsd(self, sample: Sample) -> bool:
        # A pin of our own is better than somebody else's word.
        return False if self._orders.line >= 0 else self._pps.send(sample)

    def _close_line(self) -> None:
        if self._line is not None:
            self._forget(self._line)
            self._line.close()
            self._line = None

    # -- the other side -------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        try:
            if not self._connection.recv(4096):
                self._going = False
        except BlockingIOError:
            pass
        except OSError:
            self._going = False

    def _tick(self, now: Now) -> None:
        self._open_line(now)
        self._receiving.tick(now)
        self._train.watch(now.raw_ns)
        if self._edges > _NOISE:
            self._close_line()
            self._line_problem = f"{self._edges} edges came in a second: that is noise; looking again in {_NOISE_PAUSE_S:.0f} s"
            self._try_line_at_ns = now.mono_ns + int(_NOISE_PAUSE_S * 1e9)
        self._edges = 0
        if self._receiving.forbidden and now.mono_ns - self._began_ns > int(_FORBIDDEN_S * 1e9):
            self._going = False
        text = json.dumps(self._told(now)).encode() + b"\n"
        try:
            self._connection.send(text)
        except BlockingIOError:
            pass  # it does not listen at the moment: the next line says all again
        except OSError:
            self._going = False

    def _told(self, now: Now) -> dict[str, Any]:
        pulse = None
        if self._orders.line >= 0:
            pulse = asdict(self._train.state(now.raw_ns)) | {
                "problem": self._line_problem, "chip": self._line.chip if self._line else "", "line": self._orders.line,
                "lost_edges": self._lost_edges,
            }  # fmt: skip
        return {
            "pulse": pulse,
            "receiver": self._receiving.state(now) if self._orders.receiver else None,
            "late_s": self._completing.sentence_late_s,
            "gps": {"sent": self._gps.sent, "problem": self._gps.problem},
            "pps": {"sent": self._pps.sent, "problem": self._pps.problem},
        }

    # -- what is watched ------------------------------------------------------------------------------------------------

    def _watch(self, what: Any, call: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, call)

    def _forget(self, what: Any) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(what)
