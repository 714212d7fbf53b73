"""The clock plugin as the rest of the appliance sees it, mostly on a clock that the test turns."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace

import pytest

from appliance.api.events import ClockStepped
from appliance.api.services import AnswerTable, TimeSource
from appliance.core.clock import SystemClock
from appliance.dataplane import choose
from appliance.dataplane.interface import Endpoint, NtpPolicy
from appliance.testing import FakeClock, running
from appliance_clock import service as clock_service
from appliance_clock import shown
from appliance_clock.chrony import Command, Reply, Tracking
from appliance_clock.chrony_link import ChronyUnreachable
from appliance_clock.kernel import KernelReading
from tests.support.native import need_native
from tests.support.wait import wait_until

S = 1_000_000_000
LOST_KERNEL = KernelReading(False, 5, 3, 0.0, 0.0, 16.0, 16.0, 0)
GOOD_KERNEL = KernelReading(True, 0, 0, 0.0, 0.0, 0.02, 0.001, 0)
GOOD = Tracking(
    refid=bytes((192, 0, 2, 1)), source="192.0.2.1", stratum=2, leap=0, reference_ns=1_799_999_990 * S,
    correction_s=0.0, last_offset_s=0.0, rms_offset_s=0.0, frequency_ppm=0.0, residual_ppm=0.0, skew_ppm=0.1,
    root_delay_s=0.001, root_dispersion_s=0.001, update_interval_s=16.0,
)  # fmt: skip


class World:
    """What the plugin finds outside: a chronyd (or None) and a kernel."""

    def __init__(self) -> None:
        self.tracking: Tracking | None = GOOD
        self.kernel: KernelReading = LOST_KERNEL
        self.sources: list[dict] = []
        self.asked = 0
        self.closed = 0


@pytest.fixture
def world(monkeypatch):
    found = World()

    class FakeLink:
        transport = "udp"

        def __init__(self, door, *, sequence):
            self.door = door

        async def ask(self, command, data=b""):
            found.asked += 1
            if found.tracking is None:
                raise ChronyUnreachable("chronyd does not answer (test)")
            return Reply(command, 5, 0, b"")

        def close(self):
            found.closed += 1

    async def survey(link):
        await link.ask(Command.N_SOURCES)
        return {"sources": found.sources, "withheld": {}}

    monkeypatch.setattr(clock_service, "ChronyLink", FakeLink)
    monkeypatch.setattr(clock_service, "parse_tracking", lambda reply: found.tracking)
    monkeypatch.setattr(clock_service, "read_kernel", lambda: found.kernel)
    monkeypatch.setattr(clock_service, "survey", survey)
    return found


@asynccontextmanager
async def appliance(tmp_path, provide=None, **config):
    clock = FakeClock()
    async with running(
        ["clock"], {"plugins": {"clock": config}}, state_dir=tmp_path, clock=clock, provide=provide
    ) as app:
        await clock.advance(0.01)
        await app.until_running("clock")
        yield app, clock, app.host.services.get(TimeSource)


async def test_local_serves_the_system_clock_as_it_is(tmp_path):
    config = {"plugins": {"clock": {"source": "local", "local_stratum": 7}}}
    async with running(["clock"], config, state_dir=tmp_path) as app:
        await app.until_running("clock")
        clock = await app.get("/api/v1/clock")
        assert clock["synchronised"]
        assert (clock["source"], clock["stratum"], clock["leap"], clock["refid"]) == (
            "local",
            7,
            0,
            "7f7f0101",
        )
        assert clock["root_delay_s"] == 0
        assert 0 < clock["root_dispersion_s"] < 0.001
        assert clock["verdict"].startswith("Synchronised, stratum 7")


async def test_without_any_source_it_says_what_to_do_and_never_claims_time(tmp_path):
    nowhere = {"source": "chrony", "chrony_address": "127.0.0.1:1", "chrony_socket": ""}
    async with running(["clock"], {"plugins": {"clock": nowhere}}, state_dir=tmp_path) as app:
        await app.until_running("clock")
        clock = await app.get("/api/v1/clock")
        assert not clock["synchronised"]
        assert (clock["leap"], clock["stratum"]) == (3, 0)
        assert "start chronyd" in clock["verdict"]


@pytest.mark.parametrize(
    ("source", "chrony", "kernel", "serves"),
    [
        ("auto", GOOD, GOOD_KERNEL, ("chrony", 2)),
        ("auto", None, GOOD_KERNEL, ("kernel", 8)),
        ("auto", None, LOST_KERNEL, ("chrony", 0)),  # never "local" by itself
        (
            "auto",
            replace(GOOD, stratum=0, leap=3),
            GOOD_KERNEL,
            ("chrony", 0),
        ),  # chronyd knows better than the kernel
        ("chrony", None, GOOD_KERNEL, ("chrony", 0)),
        ("kernel", GOOD, GOOD_KERNEL, ("kernel", 8)),
        ("kernel", GOOD, LOST_KERNEL, ("kernel", 0)),
        ("local", GOOD, GOOD_KERNEL, ("local", 10)),
    ],
)
async def test_who_is_believed(tmp_path, world, source, chrony, kernel, serves):
    world.tracking, world.kernel = chrony, kernel
    async with appliance(tmp_path, source=source) as (_, clock, time_source):
        state = time_source.state.get()
        assert (state.source, state.stratum) == serves
        assert state.synchronised(clock.monotonic_ns()) is (serves[1] > 0)


@pytest.mark.parametrize("plane", ["python", "native"])
async def test_a_step_is_in_the_very_next_reply_of_each_plane(tmp_path, world, plane):
    """From the step detector down to the bytes: what was set is in every reply to what is asked afterwards."""
    if plane == "native":
        need_native()
    here = SystemClock()
    async with appliance(tmp_path) as (_, clock, time_source):

        def served(state):
            # the plane lives in this machine's time, the plugin in the test's
            now_ns = here.monotonic_ns()
            wall_ns = None if state.as_of_wall_ns is None else here.wall_ns()
            return replace(
                state, as_of_mono_ns=now_ns, as_of_wall_ns=wall_ns, expires_mono_ns=now_ns + 3600 * S
            )

        server = choose(plane).serve_ntp(
            [Endpoint("127.0.0.1", 0)], served(time_source.state.get()), NtpPolicy()
        )
        told = []

        def follow(state):
            server.set_clock(served(state))
            told.append((state.leap, {ask_leap(tuple(server.endpoints[0])) for _ in range(20)}))

        with closing(server):
            assert ask_leap(tuple(server.endpoints[0])) == 0
            undo = time_source.state.watch(follow)
            clock.wall_offset_ns -= 30 * S
            world.tracking = replace(GOOD, reference_ns=GOOD.reference_ns - 30 * S)
            await clock.advance(1.1)
            undo()
        assert told[:2] == [(3, {3}), (0, {0})]


def ask_leap(endpoint):
    """Each time as another client, so that every worker is asked; asked again when a busy machine was too late."""

    def asked():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect(endpoint)
            sock.send(bytes([0x23]) + bytes(47))
            with suppress(TimeoutError):
                return sock.recv(100)
        return None

    return wait_until(asked, "a reply")[0] >> 6


async def test_a_step_makes_it_unsynchronised_until_the_source_was_asked_again(tmp_path, world):
    async with appliance(tmp_path) as (app, clock, time_source):
        seen, states = [], []
        undo = time_source.state.watch(states.append)
        with app.host.bus.subscribe(ClockStepped) as steps:
            assert time_source.state.get().synchronised(clock.monotonic_ns())
            clock.wall_offset_ns += 30 * S
            world.tracking = replace(GOOD, reference_ns=GOOD.reference_ns + 30 * S)
            await clock.advance(1.1)
            seen.append(await anext(steps))
        undo()
        assert seen[0].step_s == pytest.approx(30)
        assert [state.leap == 3 for state in states][:2] == [True, False]
        assert "stepped by +30.000 s" in states[0].why
        details = await app.get("/api/v1/clock")
        assert details["steps"]["count"] == 1
        assert details["synchronised"]


async def test_while_the_clock_is_slewed_chronyd_is_asked_ten_times_a_second(tmp_path, world):
    async with appliance(tmp_path) as (_, clock, _source):
        world.asked = 0
        await clock.advance(5)
        assert world.asked in (5, 6)
        world.tracking = replace(GOOD, correction_s=0.002)
        await clock.advance(1.1)
        world.asked = 0
        await clock.advance(2)
        assert 19 <= world.asked <= 21


async def test_silence_is_logged_once_and_ends_in_unsynchronised_after_ten_minutes(tmp_path, world, caplog):
    caplog.set_level("INFO", logger="timeball.clock")
    async with appliance(tmp_path, source="chrony") as (_, clock, time_source):
        world.tracking = None
        await clock.advance(595)
        (warning,) = time_source.warnings
        assert "does not answer" in warning
        assert "unattended since" in warning
        assert time_source.state.get().synchronised(clock.monotonic_ns())
        await clock.advance(30)
        assert time_source.warnings == []
        assert not time_source.state.get().synchronised(clock.monotonic_ns())
        await clock.advance(100)
        world.tracking = GOOD
        await clock.advance(2)
        assert time_source.state.get().synchronised(clock.monotonic_ns())
    told = [r.getMessage() for r in caplog.records if "ynchronised" in r.getMessage()]
    assert [line.startswith("not") for line in told] == [False, True, False]


async def test_when_the_plugin_ends_its_last_state_ages_and_expires_by_itself(tmp_path, world):
    async with appliance(tmp_path) as (_, clock, time_source):
        pass
    state = time_source.state.get()
    assert world.closed == 1
    now_ns = clock.monotonic_ns()
    assert state.synchronised(now_ns)
    assert state.dispersion_rate == pytest.approx(15.1e-6)
    assert not state.synchronised(now_ns + 601 * S)


async def test_health_says_what_is_wrong_and_what_to_do(tmp_path, world):
    world.tracking = replace(GOOD, leap=3, stratum=0)
    async with appliance(tmp_path) as (_, _, time_source):
        synchronised, undisputed = shown.health_checks(time_source)
        assert "no source that it trusts" in await synchronised.ping()
        assert "chronyc sources" in synchronised.remedy
        assert await undisputed.ping() is None


async def test_a_kernel_that_was_synchronised_and_is_not_any_more_is_a_warning(tmp_path, world):
    world.kernel = GOOD_KERNEL
    async with appliance(tmp_path) as (app, clock, time_source):
        world.kernel = LOST_KERNEL
        await clock.advance(1.5)
        _, undisputed = shown.health_checks(time_source)
        assert "second program" in await undisputed.ping()
        assert (await app.get("/api/v1/clock"))["synchronised"], "a warning: chronyd is still believed"


async def test_our_own_pool_as_chronyds_source_is_a_warning(tmp_path, world):
    class Answers:
        def explain(self, name, rrtype, client):
            from appliance.api.errors import NotFound

            if name != "pool.example.org.":
                raise NotFound("not in our zone")
            return {}

    world.sources = [
        {"address": "192.0.2.9", "name": "pool.example.org"},
        {"address": "192.0.2.8", "name": "a.example"},
    ]
    async with appliance(tmp_path, provide={AnswerTable: Answers()}) as (app, clock, _):
        await clock.advance(61)
        (warning,) = (await app.get("/api/v1/clock"))["warnings"]
        assert "pool.example.org" in warning


async def test_the_card_and_the_metrics_show_the_state_as_of_now(tmp_path, world):
    async with appliance(tmp_path) as (_, clock, time_source):
        card = await shown.panel(time_source).data()
        assert card["level"] == "ok"
        assert ["Stratum", "2"] in card["facts"]
        figures = {metric.name: metric.read() for metric in shown.metrics(time_source)}
        assert (figures["clock_synchronised"], figures["clock_stratum"]) == (1, 2)
        assert figures["clock_root_distance_seconds"] == pytest.approx(0.0015, abs=1e-4)
        world.tracking = None
        await clock.advance(700)
        figures = {metric.name: metric.read() for metric in shown.metrics(time_source)}
        assert (figures["clock_synchronised"], figures["clock_stratum"]) == (0, 16)
        assert (await shown.panel(time_source).data())["level"] == "failing"


async def test_limits_change_without_a_restart(tmp_path, world):
    from appliance_clock.config import ClockConfig

    async with appliance(tmp_path) as (app, clock, time_source):
        app.host.supervised["clock"].ctx.config_changes.set(ClockConfig(max_distance_s=0.001))
        await clock.advance(1.5)
        assert "limit of 0.001 s" in time_source.state.get().why


async def test_the_command_prints_a_sentence_and_chronyds_sources(tmp_path, world, monkeypatch):
    import click
    from click.testing import CliRunner

    from appliance_clock import cli

    world.sources = [
        {
            "address": "192.0.2.1", "name": "ntp.example\x1b[31m", "state": "selected", "mode": "server", "stratum": 1,
            "poll": 6, "reach": 255, "since_sample_s": 12, "offset_s": -0.0001, "measured_s": 0.0, "error_s": 0.002,
        }
    ]  # fmt: skip
    async with appliance(tmp_path) as (app, _, _service):
        details = await app.get("/api/v1/clock")
    monkeypatch.setattr(cli, "admin", type("Admin", (), {"get": lambda self, path: details}))
    group = click.Group()
    cli.register(group)
    printed = CliRunner().invoke(group, ["clock"])
    assert printed.exit_code == 0, printed.output
    first, *rest = printed.output.splitlines()
    assert first.startswith("Synchronised, stratum 2, right to 1.5")
    row = next(line for line in rest if "192.0.2.1)" in line)
    assert "selected" in row
    assert "11111111" in row
    assert "-100 µs" in row
    assert "\x1b" not in printed.output, "what the network says cannot steer the terminal"
