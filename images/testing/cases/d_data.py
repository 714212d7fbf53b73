"""The data partition: it grows to the medium, and what is kept is still there after a cut."""

from __future__ import annotations

from images.testing.bench import Bench, case, check
from images.testing.cases.b_boot import START_S, ready
from images.testing.inside import Shell

#: A card that is larger than the image; the file is sparse.
CARD_MIB = 8192


def data_mib(shell: Shell) -> int:
    """Size of the file system that is mounted at /data."""
    return int(shell.must("df -BM --output=size /data | tail -n 1").rstrip("M"))


@case(14, "data grows to the medium, once")
def growth(bench: Bench) -> str:
    machine = bench.machine("growth", door=True, disk_mib=CARD_MIB).start()
    with Shell(machine).ready(START_S) as shell:
        grown = data_mib(shell)
        others = sum(p.size_mib for p in bench.spec.layout.partitions if p.role != "data")
        check(grown > (CARD_MIB - others) * 0.95, f"/data has {grown} MiB on a medium of {CARD_MIB} MiB")
        problems = shell.must("cat /run/timeball/*-problem 2>/dev/null || true")
        check(not problems, f"something went wrong at the start: {problems}")
        identity = shell.must("cat /etc/machine-id")
        check(len(identity) == 32, f"machine-id: {identity!r}")
        shell.must("echo here >/data/box/mark && sync")
    machine.cut()

    machine.start()
    with Shell(machine).ready(START_S) as shell:
        check(shell.must("cat /data/box/mark") == "here", "a file is gone")
        check(shell.must("cat /etc/machine-id") == identity, "the machine has another identity")
        check(data_mib(shell) == grown, "the size of /data changed at the second start")
        again = shell.must("dmesg | grep -c 'grows to the end' || true")
        check(again == "0", "the second start grew the partition again")
    ready(machine)
    bench.done_with(machine)
    return f"{grown} MiB on a medium of {CARD_MIB} MiB"
