"""Once it has started, everything that was started works: no unit failed, and the start noted no problem."""

from __future__ import annotations

from images.testing.bench import VMS, Bench, case, check
from images.testing.cases.b_boot import START_S, ready
from images.testing.inside import Shell


@case(33, "no unit has failed", images=VMS)
def units(bench: Bench) -> str:
    machine = bench.machine("units", door=True).start()
    ready(machine)
    with Shell(machine).ready(START_S) as shell:
        said = all_well(shell)
    bench.done_with(machine)
    return said


def all_well(shell: Shell) -> str:
    """Wait for the end of the start; how long systemd says it took.

    Raises:
        Failed: with what the units that failed have said.
    """
    state = shell.run("systemctl is-system-running --wait", within_s=START_S).said.strip()
    failed = shell.must(
        "systemctl list-units --state=failed --plain --no-legend --full | cut -d' ' -f1"
    ).split()
    said = "".join(
        shell.run(f"journalctl -b --no-pager -o short-monotonic -u {unit} | tail -n 15").said
        for unit in failed
    )
    check(not failed, f"{state}; these failed: {' '.join(failed)}\n{said}")
    problems = shell.must("cat /run/timeball/*-problem 2>/dev/null || true")
    check(not problems, f"something went wrong at the start: {problems}")
    return shell.must("systemd-analyze time | head -n 1")
