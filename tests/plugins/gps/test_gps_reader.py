"""The reader with a simulated pin and a receiver on a pseudo terminal: alone, and with a real chronyd behind it (which sets no clock)."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.clock import SystemClock
from appliance_gps.reading.completing import Completing, Pulse, Told
from appliance_gps.reading.feed import SOCK_SAMPLE, Feed, Sample, bare_pulse, full
from appliance_gps.reading.reader import Orders, Reader
from appliance_gps.told import ReaderTold, problems
from tests.plugins.gps.chips import FakeChips
from tests.plugins.gps.sky import Sky
from tests.support.programs import free_port, need, need_root
from tests.support.tree import ROOT
from tests.support.wait import wait_until

S = 1_000_000_000


@pytest.fixture
def folder():
    """With a short name: the path of a Unix socket holds 107 characters."""
    made = Path(tempfile.mkdtemp(prefix="tbg"))
    yield made
    shutil.rmtree(made)


class Session:
    """A reader in a thread, and what it said last."""

    def __init__(self, orders: Orders, chips: FakeChips | None) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(30)
        self._file = self.ours.makefile("r")

        def run() -> None:
            with theirs:
                Reader(orders, theirs, devices=chips).run()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def next(self) -> ReaderTold:
        return ReaderTold.model_validate(json.loads(self._file.readline()))

    def until(self, condition) -> ReaderTold:
        """The first of the next sixty lines for which the condition holds."""
        for _ in range(60):
            told = self.next()
            if condition(told):
                return told
        raise AssertionError(f"never: {told}")

    def close(self) -> None:
        self._file.close()
        self.ours.close()
        self._thread.join()


@contextmanager
def session(folder: Path, chips: FakeChips | None = None, **orders):
    held = Session(Orders(gps_socket=f"{folder}/gps.sock", pps_socket=f"{folder}/pps.sock", **orders), chips)
    try:
        yield held
    finally:
        held.close()
        if chips is not None:
            chips.gone()


class Listening:
    """In chronyd's place: collects what it would get."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(60)

    def sample(self) -> tuple[float, float, int]:
        seconds, us, offset, pulse, _, _, magic = SOCK_SAMPLE.unpack(self.socket.recv(200))
        assert magic == 0x534F434B
        return seconds + us / 1e6, offset, pulse

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def listening(folder):
    held = {name: Listening(folder / f"{name}.sock") for name in ("gps", "pps")}
    yield held
    for one in held.values():
        one.close()


def test_pulses_alone_are_handed_on_as_fractions(folder, listening) -> None:
    """Their seconds come from the network then."""
    chips = FakeChips()
    with Sky(chips, ahead_s=0.002), session(folder, chips, line=18) as reader:
        told = reader.until(lambda t: t.pps.sent >= 2)
        at, offset, pulse = listening["pps"].sample()
    assert pulse == 1
    assert offset == pytest.approx(0.002, abs=1e-6)
    assert at % 1 == pytest.approx(0.002, abs=2e-6)
    assert told.pulse.leading == "rising"
    assert problems(told) == []


def test_a_receiver_gives_pulses_their_seconds(folder, listening) -> None:
    chips = FakeChips()
    with Sky(chips, ahead_s=-0.25) as sky, session(folder, chips, line=18, receiver=sky.device) as reader:
        told = reader.until(lambda t: t.pps.sent >= 1)
        _, offset, pulse = listening["pps"].sample()
        _, rough, _ = listening["gps"].sample()
    assert pulse == 0
    assert offset == pytest.approx(0.25, abs=1e-5)
    assert rough == pytest.approx(0.25, abs=0.4)  # a busy machine wakes the test's receiver late
    assert told.receiver.standing == "fix"


def test_without_a_fix_nothing_is_handed_on_and_it_is_said(folder, listening) -> None:
    chips = FakeChips()
    with Sky(chips) as sky, session(folder, chips, line=18, receiver=sky.device) as reader:
        sky.status = "V"
        told = reader.until(lambda t: t.receiver.standing == "no fix" and t.pulse.standing == "locked")
        assert (told.gps.sent, told.pps.sent) == (0, 0)
        assert "view of the sky" in problems(told)[0]
        sky.status = "A"
        reader.until(lambda t: t.pps.sent > 0)
        sky.status = "V"
        before = reader.until(lambda t: t.receiver.standing == "no fix").pps.sent
        reader.next()
        assert reader.next().pps.sent == before


def test_an_old_receivers_date_is_put_right_and_told(folder, listening) -> None:
    with Sky() as sky, session(folder, receiver=sky.device, floor_s=1_767_225_600) as reader:
        sky.weeks = 1024
        told = reader.until(lambda t: t.gps.sent >= 1)
        _, offset, _ = listening["gps"].sample()
    assert abs(offset) < 2
    assert told.receiver.rolled_over
    assert any("1,024 weeks" in text for text in problems(told))


def test_silence_of_the_pin_and_of_chronyd_are_told(folder) -> None:
    chips = FakeChips()
    with Sky(chips) as sky, session(folder, chips, line=18) as reader:
        told = reader.until(lambda t: t.pulse.standing == "locked" and t.pulse.good > 2)
        assert "has no socket" in told.pps.problem
        sky.pulses = False
        told = reader.until(lambda t: t.pulse.standing == "silent")
        assert problems(told)[0].startswith("no pulse for ")
        sky.pulses = True
        reader.until(lambda t: t.pulse.standing == "locked" and problems(t) == [])


def test_a_pin_that_is_taken_is_tried_again(folder, listening) -> None:
    chips = FakeChips()
    chips.taken = {18}
    with Sky(chips), session(folder, chips, line=18) as reader:
        assert "pps-gpio" in problems(reader.next())[0]
        chips.taken = set()
        reader.until(lambda t: t.pulse.chip == "/dev/gpiochip0")
        chips.gone()  # unplugged
        reader.until(lambda t: "cannot be read" in t.pulse.problem)
        reader.until(lambda t: t.pulse.chip == "/dev/gpiochip0")


def test_noise_is_let_alone_for_a_while(folder, listening) -> None:
    """A loose wire picks up the mains or worse: the box has better things to do than to read it."""
    chips = FakeChips()
    with session(folder, chips, line=18) as reader:
        reader.until(lambda t: t.pulse.chip != "")
        stop = threading.Event()

        def hum() -> None:
            while not stop.is_set() and chips._write is not None:
                try:
                    chips.edge("rising", SystemClock().wall_ns())
                except OSError:
                    return
                stop.wait(0.0005)

        thread = threading.Thread(target=hum)
        thread.start()
        try:
            told = reader.until(lambda t: "noise" in t.pulse.problem)
            assert told.pulse.chip == ""
        finally:
            stop.set()
            thread.join()


def test_an_unplugged_receiver_is_told(folder, listening) -> None:
    with session(folder, receiver="/dev/ttyACM77") as reader:
        assert "is the receiver plugged in" in problems(reader.next())[0]
    with session(folder, receiver="gpsd", gpsd_port=1) as reader:
        assert "gpsd does not answer" in problems(reader.next())[0]


def test_a_line_that_the_kernel_forbids_ends_the_session_so_that_a_new_process_may_try(
    folder, monkeypatch
) -> None:
    """A USB receiver is plugged in later: its kind of device was not known when the service started."""
    import errno
    import os

    from appliance_gps.reading import reader as module

    real = os.open

    def refusing(path, flags, *rest, **more):
        if path == "/dev/ttyACM77":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr("appliance_gps.reading.serial_port.os.open", refusing)
    monkeypatch.setattr(module, "_FORBIDDEN_S", 1.0)
    with session(folder, receiver="/dev/ttyACM77") as reading:
        assert "has to allow the device" in problems(reading.next())[0]
        for _ in range(20):
            if not reading._file.readline():
                break
        else:
            raise AssertionError("the session went on")


# -- what the second is ---------------------------------------------------------------------------------------------------


def steady(
    completing: Completing,
    seconds: int,
    *,
    late_ns: int = 120_000_000,
    first: int = 1_800_000_000,
    ahead_ns: int = 7_000_000,
):
    samples = []
    for n in range(seconds):
        raw = 50 * S + n * S
        system = (first + n) * S + ahead_ns
        samples += [completing.pulse(Pulse(raw, system))]
        completing.told(Told(first + n, raw + late_ns, system + late_ns))
    return samples


def test_seconds_are_believed_after_they_counted_on_and_pulses_carry_them() -> None:
    samples = steady(Completing(receiver=True, pulse_delay_s=50e-9), 12)
    assert samples[:3] == [None, None, None]
    assert samples[-1] == full(1_800_000_011 * S + 7_000_000 - 50, 1_800_000_011 * S)
    assert samples[-1].offset_s == pytest.approx(-0.00699995)


def test_a_receiver_that_tells_a_wrong_second_for_a_moment_is_not_followed() -> None:
    completing = Completing(receiver=True)
    steady(completing, 12)
    completing.told(Told(1_800_000_050, 62 * S, 62 * S))
    assert completing.pulse(Pulse(63 * S, 1_800_000_013 * S)) is None


def test_a_receiver_that_falls_silent_takes_its_seconds_with_it() -> None:
    completing = Completing(receiver=True)
    steady(completing, 12)
    assert completing.pulse(Pulse(64 * S, 1_800_000_014 * S)) is not None
    assert completing.pulse(Pulse(90 * S, 1_800_000_040 * S)) is None


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 2 * S), st.integers(1_799_999_990, 1_800_000_050)),
        max_size=60,
    )
)
def test_no_sequence_makes_a_second_that_was_not_told(steps) -> None:
    """Whatever comes: a complete sample is a whole second, near one that was told."""
    completing, raw = Completing(receiver=True), 100 * S
    told = set()
    for is_pulse, passed, epoch_s in steps:
        raw += passed
        if is_pulse:
            sample = completing.pulse(Pulse(raw, raw))
            if sample is not None:
                true_ns = sample.system_ns + round(sample.offset_s * 1e9)
                assert any(abs(true_ns / 1e9 - one) <= 8 for one in told)
        else:
            told.add(epoch_s)
            completing.told(Told(epoch_s, raw, raw))


def test_orders_of_a_process_with_fewer_rights_are_looked_at() -> None:
    good = {"line": 18, "receiver": "/dev/ttyACM0"}
    assert Orders.read(good).line == 18
    for bad in (
        {"receiver": "/dev/sda"}, {"receiver": "/dev/ttyACM0/../mem"}, {"chip": "/etc/shadow"}, {"gps_socket": "/run/../etc/x.sock"},
        {"gps_socket": "/var/lib/x.sock"}, {"line": 99999}, {"line": "18; reboot"}, {"edge": "both"}, {"speed": -1}, {"more": 1}, [], None,
        {"gpsd_port": 0}, {"pulse_delay_s": 5}, {"receiver": None}, {"chip": 7},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"expected|no receiver"):
            Orders.read(bad)


def test_a_feed_outlives_chronyd(folder) -> None:
    feed = Feed(f"{folder}/gps.sock")
    try:
        assert not feed.send(bare_pulse(5))
        listening = Listening(folder / "gps.sock")
        assert feed.send(Sample(1_700_000_000_000_000_000, 0.5))
        assert listening.sample() == (1_700_000_000.0, 0.5, 0)
        listening.close()
        assert not feed.send(bare_pulse(5))
        assert "does chronyd run" in feed.problem
        (folder / "gps.sock").unlink()
        listening = Listening(folder / "gps.sock")
        assert feed.send(bare_pulse(5))
        listening.close()
    finally:
        feed.close()


# -- with chronyd -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def chronyd(folder):
    """Debian's chronyd with the shipped reference clocks, asked more often; it never touches the clock (`-x`)."""
    need_root()
    shutil.chown(folder, "_chrony", "_chrony")
    lines = [
        line.replace("/run/chrony.timeball-", f"{folder}/").replace("poll 4", "poll 0")
        for line in (ROOT / "packaging" / "chrony" / "timeball.conf").read_text().splitlines()
    ]
    config = folder / "chrony.conf"
    config.write_text(
        "\n".join([*lines, "cmdport 0", f"bindcmdaddress {folder}/c.sock", f"pidfile {folder}/pid", ""])
    )
    folder.chmod(0o750)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [need("chronyd"), "-x", "-d", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: tracking(folder), "chronyd to answer")
        yield folder
    finally:
        process.kill()
        process.wait()


def tracking(folder: Path) -> list[str] | None:
    """The fields of `chronyc -c tracking`."""
    done = subprocess.run(
        [need("chronyc"), "-h", f"{folder}/c.sock", "-c", "tracking"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    row = done.stdout.strip().split(",")
    return row if done.returncode == 0 and len(row) > 12 else None


def follows(folder: Path, name: str) -> list[str] | None:
    row = tracking(folder)
    return row if row and row[1] == name and row[-1] == "Normal" else None


def test_a_box_without_any_network_is_synchronised_by_receiver_and_pulse(chronyd) -> None:
    """The real chronyd has nothing but our two sockets: it finds the true time, a fifth of a second from the system clock."""
    chips = FakeChips()
    with Sky(chips, ahead_s=0.2) as sky, session(chronyd, chips, line=18, receiver=sky.device):
        row = wait_until(lambda: follows(chronyd, "PPS"), "chronyd to follow the pulse", timeout_s=90)
        assert row[2] == "1"
        # "System time": what chronyd still has to correct, which it may not.
        corrected = wait_until(lambda: close_to(chronyd, 0.2), "chronyd to find the true time", timeout_s=60)
    assert corrected
    assert float(row[10]) < 0.001  # root delay: that of the pulse, not that of the serial line


def close_to(folder: Path, ahead_s: float) -> bool:
    row = tracking(folder)
    return row is not None and abs(abs(float(row[4])) - ahead_s) < 0.001


def test_a_receiver_without_a_pulse_is_enough_and_claims_no_more_than_it_knows(chronyd) -> None:
    with Sky() as sky, session(chronyd, receiver=sky.device):
        row = wait_until(lambda: follows(chronyd, "GPS"), "chronyd to follow the receiver", timeout_s=90)
    assert row[2] == "1"
    assert float(row[10]) / 2 + float(row[11]) >= 0.4


# -- with gpsd --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpsd(folder):
    """Start gpsd on a receiver's line; ended with the test."""
    started = []

    def start(device: str) -> int:
        port = free_port()
        log = (folder / "gpsd.log").open("wb")
        started.append(
            (
                subprocess.Popen(
                    [need("gpsd"), "-N", "-n", "-S", str(port), device],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                ),
                log,
            )
        )
        return port

    yield start
    for process, log in started:
        process.kill()
        process.wait()
        log.close()


def test_a_receiver_that_gpsd_reads_gives_seconds_and_completes_pulses(folder, listening, gpsd) -> None:
    chips = FakeChips()
    with (
        Sky(chips, ahead_s=0.1) as sky,
        session(folder, chips, line=18, receiver="gpsd", gpsd_port=gpsd(sky.device)) as reader,
    ):
        told = reader.until(lambda t: t.pps.sent >= 1)
        _, offset, pulse = listening["pps"].sample()
        _, rough, _ = listening["gps"].sample()
    assert told.receiver.standing == "fix"
    assert pulse == 0
    assert offset == pytest.approx(-0.1, abs=1e-5)
    assert rough == pytest.approx(-0.1, abs=0.4)
