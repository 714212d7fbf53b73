"""It starts, by every firmware, and says on its serial console how to claim it."""

from __future__ import annotations

from images.testing import probes
from images.testing.bench import VMS, Bench, case, check
from images.testing.inside import Shell
from images.testing.machine import Machine

#: What the slowest of busy machines needs to emulate a start; a quiet one takes a tenth.
START_S = 900
CODE = r"timeball setup code: ([A-Z0-9]{4}-[A-Z0-9]{4})"


def ready(machine: Machine) -> str:
    """Wait until the box can be claimed: it says its code, and answers."""
    code = machine.wait_said(CODE, START_S)[1]
    machine.until(
        lambda: probes.web(machine.ports["https"], "/api/v1/setup", tls=True) is not None,
        START_S,
        "HTTPS answers",
        alive=True,
    )
    return code


@case(6, "boots by UEFI", images=VMS, shared=True)
def uefi(bench: Bench) -> str:
    machine = bench.shared("uefi")
    ready(machine)
    return f"claimable after {machine.since_start_s():.0f} s"


@case(5, "boots by BIOS", images=("vm-amd64",))
def bios(bench: Bench) -> str:
    machine = bench.machine("bios", firmware="bios", disk_bus="sata").start()
    ready(machine)
    took_s = machine.since_start_s()
    bench.done_with(machine)
    return f"claimable after {took_s:.0f} s (SATA)"


@case(28, "works with 512 MB", images=VMS)
def little_memory(bench: Bench) -> str:
    """The whole system, nobody asking: at most 250 MB are not available for something else."""
    machine = bench.machine("m512", door=True, memory_mib=512).start()
    ready(machine)
    with Shell(machine).ready(START_S) as shell:
        # Idle is when the helpers of the start have ended: the certificate's maker, the agent.
        machine.until(lambda: memory_mib(shell)[0] <= IDLE_MIB, 180, f"at most {IDLE_MIB} MB are in use")
        used, total = memory_mib(shell)
        killed = shell.must("journalctl -k --no-pager | grep -ci 'out of memory' || true")
    check(killed == "0", f"the kernel ran out of memory {killed} times")
    check(probes.ntp(machine.ports["ntp"]) is not None, "NTP is not answered")
    bench.done_with(machine)
    return f"{used} MB of {total} in use"


#: What the whole system may have in use while nobody asks.
IDLE_MIB = 250


def memory_mib(shell: Shell) -> tuple[int, int]:
    """What is not available for something else, and what the kernel has to give."""
    told = dict(line.split(":", 1) for line in shell.must("cat /proc/meminfo").splitlines() if ":" in line)
    total, available = (int(told[name].split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    return total - available, total
