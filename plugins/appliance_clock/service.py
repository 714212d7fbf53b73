"""Follows the chosen source and keeps the clock state that everybody reads."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import asdict
from typing import Any

from appliance.api.context import RunContext, SetupContext
from appliance.api.errors import ApiError
from appliance.api.events import ClockStepped
from appliance.api.model import ClockState
from appliance.api.services import AnswerTable
from appliance.core.tasks import spawn
from appliance.wire.errors import WireError
from appliance_clock import chosen, own_source, track, view
from appliance_clock.chrony import Command, Tracking, parse_tracking
from appliance_clock.chrony_link import ChronyLink, ChronyUnreachable, Door
from appliance_clock.chrony_survey import survey
from appliance_clock.combine import Moment, TrackingRecord, kernel_state, local_state
from appliance_clock.config import ClockConfig, parse_address
from appliance_clock.kernel import KernelReading, read_kernel
from appliance_clock.leap import LeapWatch
from appliance_clock.precision import measure_precision
from appliance_clock.steps import SetAlarm, StepWatch

_SLEWING_POLL_S = 0.1
_SURVEY_EVERY_S = 60.0


class ClockService:
    """Implements `TimeSource`; outlives the restarts of the plugin, and so does its last state.

    Attributes:
        state: what the clock is worth.
        steps: how often the system clock was stepped since the start.
        last_step: moment in epoch seconds and size in seconds of the last one.
        warnings: sentences about what is odd but does not make the time wrong.
    """

    def __init__(self, ctx: SetupContext) -> None:
        self._ctx = ctx
        self._clock = ctx.clock
        self._precision = measure_precision(ctx.clock.wall_ns)
        unknown = ClockState.unsynchronised("the clock was not looked at yet", precision=self._precision)
        self.state = ctx.cell("state", unknown)
        self.steps = 0
        self.last_step: tuple[float, float] | None = None
        self.kernel: KernelReading | None = None
        self._kernel_was_synchronised = False
        self._kernel_leap = LeapWatch()
        self._record = TrackingRecord(self.config, self._precision)
        self._link: ChronyLink | None = None
        self._survey: dict[str, Any] = {}
        self._loops: list[str] = []
        self._not_taken: list[str] = []
        self._chosen_problem = ""
        self._wake = asyncio.Event()
        self._announced: tuple[str, bool] | None = None

    @property
    def config(self) -> ClockConfig:
        config: ClockConfig = self._ctx.config
        return config

    @property
    def warnings(self) -> list[str]:
        found = [*self._loops, *self._not_taken]
        if self._chosen_problem:
            found.append(self._chosen_problem)
        if self._record.is_unattended and self.state.get().source == "chrony":
            found.append(self.state.get().why)
        if (
            self.state.get().source == "chrony"
            and self._kernel_was_synchronised
            and self.kernel is not None
            and not self.kernel.synchronised
        ):
            found.append(
                "the kernel says that nobody disciplines the clock although chronyd claims to: "
                "is a second program setting the clock, or did chronyd lose its rights?"
            )
        return found

    async def details(self) -> dict[str, Any]:
        """The state in figures and words, and what the source tells about itself; see `view.details`."""
        if self.state.get().source == "chrony" and self._link is not None:
            try:
                self._survey = await survey(self._link)
            except ChronyUnreachable:
                self._survey = {}  # what it told earlier is nobody's state of affairs now
        return view.details(self)

    # -- the life of the plugin ---------------------------------------------------------------------------------------

    async def run(self, ctx: RunContext) -> None:
        """Poll the source until cancelled."""
        self._watch_steps(ctx)
        ctx.on_stop(self._hang_up)
        ctx.spawn("chosen sources", self._follow_choice(ctx))
        ctx.every(_SURVEY_EVERY_S, self._look_for_loops)
        ctx.every(track.EVERY_S, self._write_down)
        ready = False
        try:
            while True:
                await self._poll()
                ctx.status(self._sentence())
                if not ready:
                    ctx.ready()
                    ready = True
                    self._write_down()
                await self._pause(_SLEWING_POLL_S if self._record.slewing else self.config.poll_interval_s)
        finally:
            # Nobody asks any more: let the readers age the state as that of a clock that runs unattended.
            if self.state.get().source == "chrony":
                self._publish(self._record.unattended(self.now()))

    async def _follow_choice(self, ctx: RunContext) -> None:
        await self._choose(ctx)
        async for _ in ctx.config_changes.changes():
            await self._choose(ctx)

    async def _choose(self, ctx: RunContext) -> None:
        try:
            changed = await ctx.to_thread(chosen.write, self._ctx.state_dir, self.config)
        except OSError as error:
            self._chosen_problem = f"the chosen time sources cannot be written down ({error.strerror})"
            return
        self._chosen_problem = ""
        if changed:
            ctx.log.info(
                "time sources chosen: %s", ", ".join(self.config.time_sources) or "none beside the usual ones"
            )

    def _watch_steps(self, ctx: RunContext) -> None:
        self._step_watch = StepWatch(self._clock)
        try:
            alarm = SetAlarm()
        except OSError as error:
            ctx.log.debug("no alarm for a clock that is set (%s): comparing clocks at each poll", error)
            return
        loop = asyncio.get_running_loop()

        def rang() -> None:
            if alarm.was_set():
                self._check_for_step()

        loop.add_reader(alarm.fileno(), rang)

        def stop() -> None:
            loop.remove_reader(alarm.fileno())
            alarm.close()

        ctx.on_stop(stop)

    def _check_for_step(self) -> None:
        step_s = self._step_watch.step_s()
        if step_s is None:
            return
        now = self.now()
        self.steps += 1
        self.last_step = (now.wall_ns / 1e9, step_s)
        self._record.stepped(step_s, now)
        self._ctx.log.warning("the system clock was stepped by %+.3f s", step_s)
        if self.config.source != "local":
            self.state.set(
                ClockState.unsynchronised(
                    f"the system clock was stepped by {step_s:+.3f} s a moment ago; looking again",
                    source=self.state.get().source,
                    mono_ns=now.mono_ns,
                    precision=self._precision,
                )
            )
        self._ctx.store.append(track.STEPS, {"ts": self.last_step[0], "step_s": step_s})
        self._ctx.bus.publish(ClockStepped(step_s))
        self._wake.set()

    async def _pause(self, delay_s: float) -> None:
        """Wait for the next poll, or for a step, which makes it due at once."""
        nap = spawn(self._clock.sleep(delay_s), name="clock:until the next poll")
        alarm = spawn(self._wake.wait(), name="clock:until a step")
        try:
            await asyncio.wait((nap, alarm), return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            alarm.cancel()
        self._wake.clear()

    # -- one poll -----------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        self._check_for_step()
        config = self.config
        self._record.config = config
        self._read_kernel()
        if config.source == "local":
            self._publish(local_state(self.now(), self._precision, config))
        elif config.source == "kernel":
            self._publish(self._kernel_state())
        else:
            self._publish(await self._chrony_state())

    async def _chrony_state(self) -> ClockState | None:
        steps = self.steps
        try:
            reply = await self._chrony().ask(Command.TRACKING)
            tracking = parse_tracking(reply)
        except ChronyUnreachable as error:
            state = self._record.miss(self.now(), str(error))
        except WireError as error:
            state = self._record.miss(self.now(), f"chronyd's answer makes no sense: {error}")
        else:
            self._check_for_step()
            if steps != self.steps:
                return None  # stepped while chronyd answered: which clock did it speak of? Ask again, at once
            return self._record.take(tracking, self.now())
        if self.config.source == "auto" and self._record.given_up(self.now()):
            kernel = self._kernel_state()
            if kernel.stratum:
                return kernel
        return state

    def _kernel_state(self) -> ClockState:
        now = self.now()
        if self.kernel is None:
            return ClockState.unsynchronised(
                "the kernel may not be asked about the clock here",
                source="kernel",
                mono_ns=now.mono_ns,
                precision=self._precision,
            )
        return kernel_state(self.kernel, now, self._kernel_leap, self._precision, self.config)

    def _read_kernel(self) -> None:
        try:
            self.kernel = read_kernel()
        except OSError:
            self.kernel = None
        else:
            self._kernel_was_synchronised |= self.kernel.synchronised

    def _chrony(self) -> ChronyLink:
        address, port = parse_address(self.config.chrony_address)
        door = Door(address, port, self.config.chrony_socket)
        if self._link is None or self._link.door != door:
            self._hang_up()
            self._link = ChronyLink(door, sequence=lambda: secrets.randbits(32))
        return self._link

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def now(self) -> Moment:
        return Moment(self._clock.monotonic_ns(), self._clock.wall_ns())

    # -- telling ------------------------------------------------------------------------------------------------------

    def _publish(self, state: ClockState | None) -> None:
        """Set the cell, and log once when the clock becomes synchronised, or ceases to be, or has another source."""
        if state is not None:
            self.state.set(state)
        state = self.state.get()
        synchronised = state.synchronised(self._clock.monotonic_ns())
        if self._announced == (state.source, synchronised):
            return
        if synchronised:
            self._ctx.log.info("synchronised, stratum %d: %s", state.stratum, state.why)
        else:
            self._ctx.log.warning("not synchronised: %s", state.why)
        self._announced = (state.source, synchronised)

    def _sentence(self) -> str:
        return view.verdict(self.state.get(), self._clock.monotonic_ns())

    async def _look_for_loops(self) -> None:
        if self.state.get().source != "chrony" or self._link is None:
            self._loops, self._not_taken = [], []
            return
        try:
            self._survey = await survey(self._link)
        except ChronyUnreachable:
            return
        found = own_source.loops(
            [(source["address"], source["name"]) for source in self._survey["sources"]],
            is_ours=own_source.has_address,
            is_our_name=self._is_our_name,
        )
        for sentence in found:
            if sentence not in self._loops:
                self._ctx.log.warning("%s", sentence)
        self._loops = found
        heard = {text for source in self._survey["sources"] for text in (source["name"], source["address"])}
        self._not_taken = chosen.not_taken(self.config, heard)

    def _is_our_name(self, name: str) -> bool:
        answers = self._ctx.find(AnswerTable)  # type: ignore[type-abstract]
        if answers is None:
            return False
        try:
            answers.explain(f"{name.rstrip('.')}.", "A", None)  # the dot: not a name below our zone
        except ApiError:  # not in our zone, or no name that could be
            return False
        return True

    def _write_down(self) -> None:
        self._ctx.store.append(track.TRACK, track.reading(self))

    # -- for `view` ---------------------------------------------------------------------------------------------------

    @property
    def tracking(self) -> Tracking | None:
        """Chronyd's last report; None when it is not our source."""
        return self._record.tracking if self.state.get().source == "chrony" else None

    @property
    def chrony_view(self) -> dict[str, Any] | None:
        """What chronyd told, as JSON-able values; None when it is not our source."""
        tracking = self.tracking
        if tracking is None:
            return None
        values = asdict(tracking)
        values["refid"] = tracking.refid.hex()
        values["reference_ts"] = values.pop("reference_ns") / 1e9
        transport = self._link.transport if self._link else ""
        return {"transport": transport, "tracking": values, **self._survey}
