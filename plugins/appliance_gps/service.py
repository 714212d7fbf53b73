"""Keeps the reader of pins and serial lines going, and what it told last."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.api.context import RunContext, SetupContext
from appliance.core.clock import Clock
from appliance.core.tasks import spawn
from appliance_gps.config import GpsConfig
from appliance_gps.told import ReaderTold, problems, verdict

READER = Path(__file__).with_name("reading")
_SYSTEM_EPOCH = Path("/usr/lib/clock-epoch")
#: No software of ours existed before: a receiver that says so has run over.
_RELEASED_S = 1_767_225_600
_LONGEST_LINE = 16_384
_SILENT_S = 15.0
_AGAIN_S = 5.0


class ReaderGone(Exception):
    """The reader ended, hung, or said what it may not say; `str` tells which."""


class Receiver:
    """What is known of receiver and pulse; outlives the restarts of the plugin.

    Attributes:
        told: the reader's last line; None when nothing is to be read, or nothing was heard yet.
        trouble: why there is no reader.
        child: whether it is a child of ours (else a service of the system).
    """

    def __init__(self, ctx: SetupContext) -> None:
        self._ctx = ctx
        self._clock: Clock = ctx.clock
        self.told: ReaderTold | None = None
        self.trouble = ""
        self.child = False
        self._told_mono_ns = 0
        self._announced = ""

    @property
    def config(self) -> GpsConfig:
        config: GpsConfig = self._ctx.config
        return config

    @property
    def wanted(self) -> bool:
        return self.config.wanted

    def problems(self) -> list[str]:
        """What is wrong now, in sentences."""
        if not self.wanted:
            return []
        if self.told is None:
            return [self.trouble or "the receiver was not read yet"]
        silent_s = (self._clock.monotonic_ns() - self._told_mono_ns) / 1e9
        if silent_s > _SILENT_S:
            return [self.trouble or f"the receiver's service has said nothing for {silent_s:.0f} s"]
        return problems(self.told)

    def verdict(self) -> str:
        """One sentence for people."""
        if not self.wanted:
            return "No GPS receiver and no pulse is configured."
        if self.told is None or self.trouble:
            return f"{(self.problems() or ['waiting'])[0].rstrip('.').capitalize()}."
        return verdict(self.told)

    # -- the life of the plugin ---------------------------------------------------------------------------------------

    async def run(self, ctx: RunContext) -> None:
        """Read until cancelled, with the configuration as it is at each moment."""
        wake = asyncio.Event()
        ctx.on_stop(ctx.config_changes.watch(lambda _: wake.set()))
        ctx.ready()
        while True:
            wake.clear()
            if not self.wanted:
                self.told, self.trouble = None, ""
                ctx.status(self.verdict())
                await wake.wait()
                continue
            session = spawn(self._session(ctx), name="gps:session")
            changed = spawn(wake.wait(), name="gps:until the configuration changes")
            try:
                await asyncio.wait((session, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                session.cancel()
                outcome = (await asyncio.gather(session, return_exceptions=True))[0]
            if isinstance(outcome, (ReaderGone, OSError)):
                self.trouble = str(outcome)
                self._announce(ctx)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN_S):
                        await wake.wait()
            elif isinstance(outcome, Exception):
                raise outcome

    async def _session(self, ctx: RunContext) -> None:
        async with _connected(self.config.reader) as (reader, writer, child):
            self.child = child
            writer.write(json.dumps(self._orders()).encode() + b"\n")
            await writer.drain()
            while True:
                self._take(await _line(reader))
                self._announce(ctx)

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            if isinstance(said, dict) and "refused" in said:
                raise ReaderGone(f"the receiver's service refused: {said['refused']}")
            self.told = ReaderTold.model_validate(said)
        except (ValueError, ValidationError) as error:
            raise ReaderGone(f"the receiver's service said what it may not say: {error}") from None
        self.trouble = ""
        self._told_mono_ns = self._clock.monotonic_ns()

    def _announce(self, ctx: RunContext) -> None:
        """The status each time; a line in the log when something else is wrong than before."""
        ctx.status(self.verdict())
        kinds = "; ".join(text.split(" for ")[0] for text in self.problems())
        if kinds != self._announced:
            if kinds:
                ctx.log.warning("%s", "; ".join(self.problems()))
            else:
                ctx.log.info("%s", self.verdict())
            self._announced = kinds

    def _orders(self) -> dict[str, Any]:
        """As `reading.reader.Orders` has them."""
        config = self.config
        return {
            "chip": config.pps_chip, "line": config.pps_pin, "edge": config.edge, "pull_down": config.pull_down,
            "pulse_delay_s": config.pulse_delay_s, "receiver": config.receiver, "speed": config.speed,
            "receiver_delay_s": config.receiver_delay_s, "gpsd_port": config.gpsd_port, "floor_s": floor_s(_SYSTEM_EPOCH),
            "gps_socket": config.gps_socket, "pps_socket": config.pps_socket,
        }  # fmt: skip


def floor_s(epoch: Path) -> int:
    """A time that is past for certain: when this system was made, or when software like this first was."""
    try:
        return max(_RELEASED_S, int(epoch.stat().st_mtime))
    except OSError:
        return _RELEASED_S


@contextlib.asynccontextmanager
async def _connected(path: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, bool]]:
    """A reader that listens to us: the system's service, or a child; gone when the block is left.

    Raises:
        ReaderGone: neither can be had.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_LINE)
    except FileNotFoundError:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = _spawned(theirs)
            except OSError as error:
                ours.close()
                raise ReaderGone(f"the receiver's process cannot be started ({error.strerror})") from None
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LONGEST_LINE)
    except OSError as error:
        raise ReaderGone(f"the receiver's service does not listen on {path} ({error.strerror})") from None
    try:
        yield reader, writer, process is not None
    finally:
        writer.close()
        if process is not None:
            process.kill()
            process.wait()  # a moment: nothing holds up this signal, and nobody may cancel us in between


def _spawned(theirs: socket.socket) -> subprocess.Popen[bytes]:
    # Its own interpreter, isolated: no environment, no descriptor but the socket.
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own folder
        [sys.executable, "-I", str(READER)], stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"LANG": "C.UTF-8"}, cwd="/", close_fds=True, start_new_session=True,
    )  # fmt: skip


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_SILENT_S):
            line = await reader.readline()
    except TimeoutError:
        raise ReaderGone(f"the receiver's service has said nothing for {_SILENT_S:.0f} s") from None
    except (OSError, ValueError):
        raise ReaderGone("the receiver's service went away") from None
    if not line:
        raise ReaderGone("the receiver's service went away")
    return line
