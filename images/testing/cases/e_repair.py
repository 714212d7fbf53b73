"""The data partition damaged or destroyed: the box starts, and says what it did."""

from __future__ import annotations

from images.testing.bench import Bench, case, check
from images.testing.cases.b_boot import START_S, ready
from images.testing.inside import Shell
from images.testing.machine import Machine

#: Groups of blocks with a copy of the first block, and the size of one.
COPIES = (1, 3, 5, 7, 9, 25, 27)
GROUP_MIB = 128
DATA = "$(findfs LABEL=timeball-data)"


def used(bench: Bench, name: str) -> tuple[Machine, str]:
    """A machine that was started once and has a file of its own; its identity."""
    machine = bench.machine(name, door=True, disk_mib=8192).start()
    with Shell(machine).ready(START_S) as shell:
        shell.must("echo mine >/data/box/mark && sync")
        return machine, shell.must("cat /etc/machine-id")


@case(26, "a damaged file system is repaired", slow=True)
def damaged(bench: Bench) -> str:
    """Its first block is gone: the copy is found, nothing is lost, and it is told."""
    machine, identity = used(bench, "damaged")
    with Shell(machine) as shell:
        shell.must(f"dd if=/dev/zero of={DATA} bs=1024 seek=1 count=1 conv=fsync 2>&1")
    machine.cut()
    machine.start()
    with Shell(machine).ready(START_S) as shell:
        check(
            "was damaged and has been repaired" in shell.must("cat /run/timeball/data-repaired"),
            "it says nothing",
        )
        check(shell.must("findmnt -no FSTYPE /data") == "ext4", "/data is not the partition")
        check(not shell.run("dmesg | grep 'EXT4-fs error'").said, "it is still damaged")
        check(shell.must("cat /data/box/mark") == "mine", "a file is gone")
        check(shell.must("cat /etc/machine-id") == identity, "the machine has another identity")
    ready(machine)
    bench.done_with(machine)
    return ""


@case(26, "a destroyed data partition does not stop it", slow=True)
def destroyed(bench: Bench) -> str:
    """It starts with memory in its place, says so, and leaves what is on the medium to whoever can read it."""
    machine, _ = used(bench, "destroyed")
    with Shell(machine) as shell:
        device = shell.must(f"echo {DATA}")
        shell.must(
            "fsfreeze --freeze /data"
        )  # what the kernel still means to write would repair or change it
        shell.must(f"dd if=/dev/urandom of={device} bs=1M count=300 conv=fsync 2>&1", within_s=600)
        for group in COPIES[1:]:
            shell.must(
                f"dd if=/dev/urandom of={device} bs=1M seek={group * GROUP_MIB} count=1 conv=fsync 2>&1"
            )
        before = shell.must(f"dd if={device} bs=1M count=16 2>/dev/null | sha256sum")
    machine.cut()
    machine.start()
    code = ready(machine)
    with Shell(machine).ready(START_S) as shell:
        check(
            "cannot be mounted or repaired" in shell.must("cat /run/timeball/data-problem"), "it says nothing"
        )
        check(shell.must("findmnt -no FSTYPE /data") == "tmpfs", "/data is no tmpfs")
        after = shell.must(f"dd if={device} bs=1M count=16 2>/dev/null | sha256sum")
        check(after == before, "it wrote to a partition that it could not read")
    bench.done_with(machine)
    return f"claimable with {code}"
