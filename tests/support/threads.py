"""What the kernel says about a process and its threads, from outside: /proc/PID/task/TID."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

CAP_NET_BIND_SERVICE = 1 << 10


class Rights(NamedTuple):
    """What a thread may do.

    Attributes:
        uid: real, effective, saved and file-system user.
        groups: supplementary ones.
        capabilities: inheritable, permitted, effective, bounding and ambient sets as bit masks.
        no_new_privileges: whether a program that it starts can have more than it.
        seccomp: 0 for no filter, 2 for one.
    """

    uid: tuple[int, ...]
    gid: tuple[int, ...]
    groups: tuple[int, ...]
    capabilities: dict[str, int]
    no_new_privileges: bool
    seccomp: int


def threads(pid: int | None = None) -> dict[str, list[Path]]:
    """Threads of a process (our own) by name."""
    found: dict[str, list[Path]] = {}
    for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
        try:
            found.setdefault((task / "comm").read_text().strip(), []).append(task)
        except FileNotFoundError:
            continue  # it ended meanwhile
    return found


def packet_threads(service: str, pid: int | None = None) -> list[Path]:
    """The native threads of `service` ("ntp", "dns")."""
    return [
        task for name, tasks in threads(pid).items() for task in tasks if name.rstrip("0123456789") == f"{service}-"
    ]  # fmt: skip


def rights(task: Path) -> Rights:
    """Read them from `task`/status; a task is /proc/PID or /proc/PID/task/TID."""
    fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
    numbers = {name: tuple(int(word) for word in fields[name].split()) for name in ("Uid", "Gid", "Groups")}
    capabilities = {name: int(fields[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    return Rights(
        numbers["Uid"], numbers["Gid"], numbers["Groups"], capabilities,
        fields["NoNewPrivs"].strip() == "1", int(fields["Seccomp"]),
    )  # fmt: skip


def processor_s(task: Path) -> float:
    """Processor time of a thread so far."""
    words = (task / "stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
