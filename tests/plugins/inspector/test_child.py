"""The child: confined, bounded, disposable. It may die of what it reads; nobody else does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance_inspector.judging.frames import Packet, pack, unpack
from appliance_inspector.rules import SHIPPED, read_rules
from appliance_inspector.verdicts import Verdict, printable
from appliance_inspector.warden import CHILD, ChildGone, Warden
from tests.support.attacks import ATTACKER, ATTACKS, START_NS, dns_packet, dns_query, ntp_packet

LOG = logging.getLogger("test")
RULES = read_rules(SHIPPED)


@contextlib.asynccontextmanager
async def child(**options):
    warden = Warden(LOG, **{"patience_s": 60.0, **options})
    try:
        await warden.start(RULES)
        yield warden
    finally:
        await warden.close()


def limits_of(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def descriptors(pid: int | str = "self") -> dict[str, str]:
    """What each open descriptor leads to."""
    found = {}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that we list with
            found[fd.name] = str(fd.readlink())
    return found


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def test_it_is_another_user_without_privileges_behind_a_filter():
    async with child() as warden:
        assert warden.hello.lacking == []
        found = status(warden.pid)
        assert (found["NoNewPrivs"], found["Seccomp"], found["CapEff"]) == ("1", "2", "0" * 16)
        if os.geteuid() == 0:
            assert set(found["Uid"].split()) == {"65534"}
        limits = limits_of(warden.pid)
        assert "Max core file size        0" in limits
        assert "Max processes             0" in limits


async def test_it_has_no_descriptor_but_its_socket():
    async with child() as warden:
        if os.geteuid() == 0:
            assert {to.partition(":")[0] for to in descriptors(warden.pid).values()} <= {
                "socket",
                "/dev/null",
            }


CONFINED = """
import sys; sys.path.insert(0, {folder!r})
import ctypes, mmap, os, socket, subprocess
import confine
assert confine.confine() == [], "lacking"
def refused(what, call):
    try:
        call()
    except OSError:
        return
    os.write(1, what.encode() + b" was allowed\\n")
refused("a socket", lambda: socket.socket())
refused("a file to write", lambda: os.open("/tmp/x", os.O_WRONLY | os.O_CREAT))
refused("a process", lambda: os.fork())
refused("a program", lambda: os.execv("/bin/true", ["true"]))
refused("a signal", lambda: os.kill(os.getppid(), 0))
refused("memory to execute", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_EXEC | mmap.PROT_READ))
refused("a link", lambda: os.symlink("/", "/tmp/y"))
refused("root again", lambda: os.setuid(0))
open("/proc/version").read()
os.write(1, b"done\\n")
"""


def test_no_network_no_program_no_process_no_writing():
    # The module as the child has it, without the package around it.
    text = CONFINED.format(folder=str(CHILD))
    done = subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, timeout=60, check=False)
    assert done.stdout == b"done\n", done.stderr.decode()


def test_it_imports_nothing_of_the_appliance():
    code = (
        "import runpy, sys, os; sys.argv = ['x', '--without-scapy']\n"
        "try: runpy.run_path(sys.orig_argv[-1], run_name='look')\n"
        "finally: print(sorted(m for m in sys.modules if m == 'appliance' or m.startswith(('appliance.', 'pydantic'))))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(CHILD)], capture_output=True, timeout=60, check=False
    )
    assert done.stdout == b"[]\n", done.stderr


@pytest.mark.parametrize("scapy", [True, False])
async def test_it_tells_of_an_attack_with_a_sample_in_words(scapy):
    async with child(scapy=scapy) as warden:
        assert bool(warden.hello.scapy) == scapy
        verdict = await warden.judge(list(ATTACKS["ntp-monlist"](random.Random(1))))
        alert = next(alert for alert in verdict.alerts if alert.rule == "ntp-monlist")
        assert str(alert.who) == "198.51.100.0/24"
        assert bytes.fromhex(alert.sample) == b"\x17\x00\x03\x2a" + bytes(4)
        assert ("REQ_MON_GETLIST_1" in alert.shown) == scapy
        assert 0 < verdict.memory_bytes < 512 << 20


async def test_forged_sources_make_no_more_alerts_than_can_be_described():
    async with child() as warden:
        monlist = b"\x17\x00\x03\x2a" + bytes(4)
        forged = [ntp_packet(monlist, bytes([10, n >> 8, n & 255, 1]), START_NS) for n in range(500)]
        verdict = await warden.judge(forged)
        assert (len(verdict.alerts), verdict.more) == (64, 500 - 64)
        assert all(alert.shown for alert in verdict.alerts)


async def test_killed_it_is_reported_as_such():
    async with child() as warden:
        os.kill(warden.pid, signal.SIGKILL)
        with pytest.raises(ChildGone, match="signal 9"):
            await warden.judge([ntp_packet(b"x", ATTACKER, START_NS)])


async def test_one_that_hangs_is_given_up():
    async with child() as warden:
        os.kill(warden.pid, signal.SIGSTOP)
        warden._patience_s = 0.2
        with pytest.raises(ChildGone, match="did not answer within"):
            await warden.judge([ntp_packet(b"x", ATTACKER, START_NS)])


async def test_one_that_is_closed_is_gone():
    async with child() as warden:
        pid = warden.pid
    assert not alive(pid)


def hostile(dice: random.Random) -> list[Packet]:
    """Malformed, nested, huge, random, and attacks with bytes turned around."""
    pointer = dns_query("a")[:12] + b"\xc0\x0c\x00\x01\x00\x01"
    many = b"\0\1\1\0" + b"\xff\xff" * 4 + b"\xc0\x0c" * 900
    packets = [
        dns_packet(pointer, ATTACKER, START_NS),
        dns_packet(many, ATTACKER, START_NS),
        dns_packet(dns_query("a." * 100), ATTACKER, START_NS),
        ntp_packet(b"\x23" + bytes(47) + b"\x02\x04\x00\x00" * 400, ATTACKER, START_NS),
        ntp_packet(b"\x1f\xff\xff\xff" * 500, ATTACKER, START_NS),
        ntp_packet(b"", ATTACKER, START_NS),
    ]
    for _ in range(400):
        content = bytearray(
            dice.choice((many, pointer, b"\x16\x02" + bytes(60), b"\x17\0\3\x2a" + bytes(60)))
        )
        for _ in range(dice.randrange(6)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        make = dice.choice((dns_packet, ntp_packet))
        packets.append(make(bytes(content) + dice.randbytes(dice.randrange(40)), dice.randbytes(4), START_NS))
    packets += [
        dice.choice((dns_packet, ntp_packet))(dice.randbytes(dice.randrange(2000)), ATTACKER, START_NS)
        for _ in range(200)
    ]
    return packets


async def test_hostile_packets_kill_the_child_at_most():
    packets = hostile(random.Random(3))
    # one rule that tells of everything, so that each packet is dissected and described
    text = '[[rule]]\nid = "all"\ntitle = "all"\nby = "everybody"\n[rule.when]\nsize = { at_least = 0 }\n'
    from appliance_inspector.rules import parse_rules

    warden = Warden(LOG, patience_s=60)
    try:
        await warden.start(parse_rules(text, "x"))
        judged = 0
        for number, packet in enumerate(packets):
            spaced = packet._replace(rx_ns=START_NS + number * 61 * 10**9)
            verdict = await warden.judge([spaced])
            judged += len(verdict.alerts)
        assert judged == len(packets)
    finally:
        await warden.close()


def test_packets_survive_their_frame():
    packets = [
        Packet(1, b"abc", 3000, ATTACKER, 1, ATTACKER, 53, START_NS, "NXDOMAIN", 1 << 20),
        Packet(0, b"", 0, bytes(range(16)), 65535, bytes(16), 123, 0, "ok", 1),
    ]
    assert unpack(pack(packets)) == packets
    with pytest.raises(ValueError, match="middle"):
        unpack(pack(packets[:1])[:-1])


FAKE = """
import os, struct, sys
def say(body):
    os.write(1, struct.pack("!IB", len(body), 0) + body)
say(b'{"scapy": "", "lacking": [], "pid": 1}')
os.read(0, 1 << 20)
say(b'{"rules": 1}')
os.read(0, 1 << 20)
ANSWER
os.read(0, 1)
"""


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("say(b'[' * 100000)", "may not say"),
        ("say(b'{}')", "may not say"),
        ("os.write(1, bytes([255] * 5))", "wanted to say 4,294,967,295 bytes"),
        (
            'say(b\'{"packets": 5, "alerts": [], "more": 0, "cpu_s": 0, "memory_bytes": 0}\')',
            "judged 5 packets of 1",
        ),
        ("sys.exit(3)", "exit code 3"),
    ],
)
async def test_a_child_that_was_taken_over_is_not_believed(answer, says, tmp_path, monkeypatch):
    fake = tmp_path / "fake.py"
    fake.write_text(FAKE.replace("ANSWER", answer))
    monkeypatch.setattr("appliance_inspector.warden.CHILD", fake)
    warden = Warden(LOG, patience_s=20)
    try:
        await warden.start(RULES)
        with pytest.raises(ChildGone, match=says):
            await warden.judge([ntp_packet(b"x", ATTACKER, START_NS)])
    finally:
        await warden.close()


def test_what_it_says_is_bounded_and_harmless():
    assert printable("a\x1b[2Jb\u202ec\n") == "a\ufffd[2Jb\ufffdc\n"
    with pytest.raises(ValueError, match="alerts"):
        Verdict.model_validate({"packets": 1, "alerts": [{}] * 65, "more": 0, "cpu_s": 0, "memory_bytes": 0})


async def test_starting_and_ending_leaves_nothing_behind():
    before = {to for to in descriptors().values() if to.startswith("socket")}
    async with child():
        pass
    await asyncio.sleep(0)
    assert {to for to in descriptors().values() if to.startswith("socket")} <= before
