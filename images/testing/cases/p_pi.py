"""The card of the Raspberry Pi, on an emulated 3B: it answers, starts through U-Boot, and comes back from a system that is broken."""

from __future__ import annotations

import subprocess
from functools import partial

from appliance.boot import uboot_env
from appliance.boot.grub_block import Unreadable
from appliance.boot.scheme import TRIES, BootState, Slot, activate, begin_install, mark_good, power_up
from images.testing import probes
from images.testing.bench import Bench, case, check
from images.testing.board import Board
from images.testing.cases.b_boot import CODE, memory_mib
from images.testing.cases.b_units import all_well
from images.testing.cases.c_answers import claim_by_code, says_unclaimed
from images.testing.cases.t_time import wrong_clock
from images.testing.cases.u_updates import NEW, bundles, install, sh, well
from images.testing.inside import Shell

PI = ("pi-arm64",)
#: The emulated board's U-Boot reads its card at 1 MiB/s, and four processors share this machine's.
POWER_UP_S = 900


def kept(pi: Board) -> BootState:
    """What the boot loader knows, on the card."""
    return uboot_env.decode(uboot_env.unpack(pi.read("uboot.env")))


def started(pi: Board) -> str:
    """The slot whose appliance came up: U-Boot names it, and then the appliance says who owns it."""
    return pi.wait_said(r"(?s)starting slot ([AB])(?!.*starting slot).*timeball owner: ", POWER_UP_S).group(1)


def _answers_dns(pi: Board, name: str) -> bool:
    return probes.dns(pi.ports[name], "pool.home.arpa", 6, tcp=name == "dns-tcp") is not None


@case(8, "a Pi answers on USB's network, and its code claims it", images=PI, slow=True)
def answers(bench: Bench) -> str:
    pi = bench.board("direct").start()
    pi.until(lambda: probes.ntp(pi.ports["ntp"]) is not None, POWER_UP_S, "NTP is answered", alive=True)
    ntp_s = pi.since_start_s()
    pi.until(
        lambda: probes.web(pi.ports["https"], "/health", tls=True) is not None,
        POWER_UP_S,
        "HTTPS",
        alive=True,
    )
    web_s = pi.since_start_s()
    for name in ("dns", "dns-tcp"):
        pi.until(partial(_answers_dns, pi, name), 120, f"{name} is answered", alive=True)
    reply = probes.ntp(pi.ports["ntp"])
    # No clock chip, no time source: it must not claim to know the time.
    check(reply is not None and reply.leap == 3, f"an unsynchronised box says so, not {reply}")
    pi.wait_said(CODE, POWER_UP_S)
    says_unclaimed(pi)
    claim_by_code(pi)
    bench.done_with(pi)
    return f"NTP after {ntp_s:.0f} s, HTTPS after {web_s:.0f} s"


@case(28, "a Pi with a Zero 2 W's memory, and no unit has failed", images=PI, slow=True)
def little_memory(bench: Bench) -> str:
    """512 MB, of which the firmware keeps 64 for graphics. The whole system, nobody asking: at most 250 MB are in use."""
    pi = bench.board("m512", door=True, memory_mib=512).start()
    pi.wait_said(CODE, POWER_UP_S)
    with Shell(pi).ready(POWER_UP_S) as shell:
        took = all_well(shell)
        used_mib, total_mib = memory_mib(shell)
    check(used_mib <= 250, f"{used_mib} MB of {total_mib} are in use")
    bench.done_with(pi)
    return f"{used_mib} MB of {total_mib} in use. {took}"


@case(9, "U-Boot starts the system of the slot", images=PI, slow=True)
def chain(bench: Bench) -> str:
    pi = bench.board("uboot", by_uboot=True).start()
    pi.wait_said("Timeball: starting slot A", POWER_UP_S)
    check(started(pi) == "A", "slot A runs")
    took_s = pi.since_start_s()
    pi.cut()
    check(kept(pi) == BootState(), f"a slot that is good is not counted, but: {kept(pi)}")
    bench.done_with(pi)
    return f"user space after {took_s:.0f} s"


@case(15, "no clock chip: from the day when it was made to the right time", images=PI, slow=True)
def no_clock_chip(bench: Bench) -> str:
    return wrong_clock(bench, "chipless", "", floor=True)


@case(19, "an update: put into B by A, started by U-Boot, good", images=PI, slow=True)
def updated(bench: Bench) -> str:
    """From a stick to the slot by the system that runs; the boot loader counts the start; the new system proves itself."""
    made = bundles(bench)
    pi = bench.board("updated", door=True, sticks=(made.stick(made.make("real", NEW, real=True)),))
    pi.start()
    well(pi)
    began_s = pi.since_start_s()
    said = install(pi, "real")
    check(f"{NEW} is in slot B" in said, said)
    installed_s = pi.since_start_s() - began_s
    sh(pi, "sync")
    pi.cut()
    state = activate(begin_install(BootState(), "B"), "B")
    check(kept(pi) == state, f"after the installation: {kept(pi)}, not {state}")

    pi.by_uboot = True
    pi.start()
    check(started(pi) == "B", "the new one")
    good = mark_good(power_up(state)[1], "B")
    pi.until(lambda: proven(pi, good), POWER_UP_S, f"the boot loader knows {good}", alive=True, every_s=3)
    took_s = pi.since_start_s()
    bench.done_with(pi)
    return f"installed in {installed_s:.0f} s, good {took_s:.0f} s after power-on"


def proven(pi: Board, wanted: BootState) -> bool:
    """Whether the card says so, while the board writes to it."""
    try:
        return kept(pi) == wanted
    except (Unreadable, subprocess.CalledProcessError):
        return False


@case(20, "a new system that panics: three tries, then back", images=PI, slow=True)
def falls_back(bench: Bench) -> str:
    pi = bench.board("panics", by_uboot=True)
    state = activate(begin_install(BootState(), "B"), "B")
    pi.fill_slot_b(None)
    pi.write("uboot.env", uboot_env.encode(state, {}))
    pi.start()
    for start in range(1, TRIES + 1):
        chosen, state = power_up(state)
        check(chosen == "B", "the new one first")
        pi.wait_said(rf"(?s)(starting slot B.*){{{start}}}", POWER_UP_S)
    check(started(pi) == "A", "back to A")
    took_s = pi.since_start_s()
    pi.cut()
    check(kept(pi) == state, f"expected {state}, not {kept(pi)}")
    bench.done_with(pi)
    return f"{TRIES} starts of B, and A runs again after {took_s:.0f} s"


@case(21, "both systems used up: the one that was good last", images=PI, slow=True)
def last_resort(bench: Bench) -> str:
    pi = bench.board("used-up", by_uboot=True)
    pi.write("uboot.env", uboot_env.encode(BootState(("B", "A"), {"A": Slot(), "B": Slot()}, "A"), {}))
    pi.start()
    check(started(pi) == "A", "the last good one")
    bench.done_with(pi)
    return ""


@case(21, "the boot loader's file is torn: the one that was good last", images=PI, slow=True)
def torn(bench: Bench) -> str:
    pi = bench.board("torn", by_uboot=True)
    whole = pi.read("uboot.env")
    pi.write("uboot.env", whole[:512] + bytes(len(whole) - 512).replace(b"\0", b"\xff"))
    pi.start()
    check(started(pi) == "A", "the last good one")
    pi.cut()
    check(kept(pi) == BootState(), f"the file is whole again, not {kept(pi)}")
    bench.done_with(pi)
    return ""
