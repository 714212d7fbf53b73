"""The data partition: it grows to the medium, and what is kept is still there after a cut."""

from __future__ import annotations

from images.testing.bench import Bench, case, check
from images.testing.cases.b_boot import ready
from images.testing.machine import Machine

#: A card that is larger than the image; the file is sparse.
CARD_MIB = 8192


def data_mib(machine: Machine) -> int:
    """Size of the file system that is mounted at /data."""
    return int(machine.shell("df -BM --output=size /data | tail -n 1").strip().rstrip("M"))


@case(14, "data grows to the medium, once")
def growth(bench: Bench) -> str:
    machine = bench.machine("growth", disk_mib=CARD_MIB, with_shell=True).start()
    ready(machine)
    grown = data_mib(machine)
    others = sum(p.size_mib for p in bench.spec.layout.partitions if p.role != "data")
    check(grown > (CARD_MIB - others) * 0.95, f"/data has {grown} MiB on a medium of {CARD_MIB} MiB")
    check(
        not machine.shell("cat /run/timeball/*-problem 2>/dev/null").strip(),
        "something went wrong at the start",
    )
    identity = machine.shell("cat /etc/machine-id").strip()
    check(len(identity) == 32, f"machine-id: {identity!r}")
    machine.shell("echo here >/data/box/mark; sync")
    machine.cut()

    machine.start()
    machine.wait_said("timeball (address|setup code)", 900)
    check(machine.shell("cat /data/box/mark").strip() == "here", "a file is gone")
    check(machine.shell("cat /etc/machine-id").strip() == identity, "the machine has another identity")
    check(data_mib(machine) == grown, "the size of /data changed at the second start")
    again = machine.shell("dmesg | grep -c 'grows to the end' || true").strip()
    check(again == "0", "the second start grew the partition again")
    bench.done_with(machine)
    return f"{grown} MiB on a medium of {CARD_MIB} MiB"
