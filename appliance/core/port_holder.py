"""Who holds a UDP or TCP port on this machine, as far as /proc tells: for the sentence that says why we cannot have it."""

from __future__ import annotations

from pathlib import Path

_LISTENING_TCP = "0A"


def port_holder(port: int, *, tcp: bool = False, proc: Path = Path("/proc")) -> str:
    """The program that holds `port`, such as "chronyd (process 812)"; "" when it cannot be known.

    Other users' processes can be seen by root only.
    """
    inodes = _inodes(port, "tcp" if tcp else "udp", proc)
    if not inodes:
        return ""
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            held = any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir())
            if held:
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{name} (process {process.name})"
        except OSError:
            continue  # it ended meanwhile, or it is not ours to look into
    return ""


def _inodes(port: int, protocol: str, proc: Path) -> set[str]:
    """Inodes of the sockets bound to `port`, from /proc/net/udp and its kin."""
    found = set()
    for table in (protocol, f"{protocol}6"):
        try:
            lines = (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if int(local.rpartition(":")[2], 16) == port and (protocol == "udp" or state == _LISTENING_TCP):
                found.add(inode)
    return found
