"""From root to a user of its own: what the appliance keeps is the one privilege to bind ports below 1024.

Everything here is done right after the start, before there is a second thread or an open door: capabilities and
"no new privileges" belong to threads, and only those that start later inherit them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: From Linux' uapi/linux/capability.h and uapi/linux/prctl.h.
_NET_BIND_SERVICE = 10
_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 8, 23, 24, 38
_PR_CAP_AMBIENT, _RAISE = 47, 2

_NAMES = {
    0: "chown", 1: "dac_override", 6: "setgid", 7: "setuid", 8: "setpcap", 10: "net_bind_service", 12: "net_admin",
    13: "net_raw", 21: "sys_admin", 25: "sys_time", 39: "bpf",
}  # fmt: skip


#: For whoever runs it as root.
ADVICE = 'set `user = "timeball"` under [appliance], and it keeps only the right to bind ports below 1024'

#: What tells a state folder from any other.
_OURS = {"timeball.db", "overrides.toml", "plugins", "starts.json"}


class User(NamedTuple):
    """Whom to become."""

    name: str
    uid: int
    gid: int


class Rights(NamedTuple):
    """What this process may do, as the kernel says it.

    Attributes:
        user: name, or the number of one without a name.
        capabilities: names (numbers without a name here) of the effective ones; ("all",) for root's.
    """

    user: str
    root: bool
    capabilities: tuple[str, ...]
    no_new_privileges: bool


def find_user(name: str) -> User:
    """Look `name` up.

    Raises:
        ValueError: there is none; says how to make one.
    """
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise ValueError(
            f"there is no user {name!r} on this machine; make one with: "
            f"sudo useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {name}"
        ) from None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def become(user: User, state_dir: Path) -> None:
    """Be `user` from here on, for good; `state_dir` is theirs.

    Raises:
        ValueError: we are neither root nor that user, or may not change; says what to do.
        OSError: the state folder cannot be given to them.
    """
    if os.geteuid() == user.uid and user.uid != 0:
        # Somebody else, systemd for instance, or we before we began anew, did all this before.
        with contextlib.suppress(OSError, AttributeError):
            _keep(_effective(_status()) & 1 << _NET_BIND_SERVICE)
        return
    if os.geteuid() != 0:
        raise ValueError(
            f"only root can become {user.name!r}, and this is {_name_of(os.geteuid())!r}: start it with sudo, or as that user, "
            "or leave the key out"
        )
    if user.uid == 0:
        return
    if threading.active_count() > 1:  # pragma: no cover - a mistake of ours
        raise RuntimeError("too late to change the user: there are other threads already")
    state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    give(state_dir, user)
    try:
        _switch(user)
    except OSError as error:
        raise ValueError(
            f"cannot become {user.name!r}: {error.strerror}; root without CAP_SETUID and CAP_SETGID (a container?) "
            "should start it as that user and leave the key out"
        ) from error


def _switch(user: User) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    keep = _effective(_status()) & 1 << _NET_BIND_SERVICE
    # Whoever holds this process shall not even be able to gain more than that by starting a program.
    number = 0
    while libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        if not keep >> number & 1:
            libc.prctl(
                _PR_CAPBSET_DROP, number, 0, 0, 0
            )  # without CAP_SETPCAP it stays: no_new_privs is the stronger lock
        number += 1
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setresuid(user.uid, user.uid, user.uid)
    # Ports are bound again when a plugin starts anew.
    _keep(keep)
    _check(libc.prctl(_PR_SET_KEEPCAPS, 0, 0, 0, 0))
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _keep(capabilities: int, *, through_exec: bool = False) -> None:
    """Have these and no others; the children that we start have none, unless what is started is ourselves."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(capabilities, capabilities, capabilities if through_exec else 0, 0, 0, 0)
    _check(libc.capset(ctypes.byref(head), ctypes.byref(sets)))
    # What is not inheritable stopped being ambient with that.
    if through_exec and capabilities:
        _check(libc.prctl(_PR_CAP_AMBIENT, _RAISE, _NET_BIND_SERVICE, 0, 0))


def keep_through_exec() -> None:
    """Before this process begins anew: the right to bind low ports shall still be there when it has."""
    keep = _effective(_status()) & 1 << _NET_BIND_SERVICE
    if os.geteuid() != 0 and keep:
        with contextlib.suppress(
            OSError, AttributeError
        ):  # then the ports are the worry of whoever started us
            _keep(keep, through_exec=True)


def _check(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def give(folder: Path, user: User) -> None:
    """Make `folder` and what root left in it `user`'s.

    The folder may have belonged to somebody who could put traps into it: links are not followed, other file systems not
    entered, and a file with a second name somewhere else stays whose it is.

    Raises:
        ValueError: it does not look like a state folder; a slip of the pen shall not give /etc away.
        OSError: something cannot be given away.
    """
    home = folder.stat()
    if home.st_uid not in (0, user.uid):
        raise ValueError(
            f"the state folder {folder} belongs to {_name_of(home.st_uid)!r}, not to root or {user.name!r}"
        )
    inside = {entry.name for entry in os.scandir(folder)}
    if inside and not inside & _OURS:
        raise ValueError(
            f"the state folder {folder} holds files that are not Timeball's (such as {min(inside)}); name an empty folder"
        )
    for _, folders, files, at in os.fwalk(folder, follow_symlinks=False):
        here = os.fstat(at)
        if here.st_dev != home.st_dev:
            folders.clear()
            continue
        if here.st_uid == 0:
            os.fchown(at, user.uid, user.gid)
        for name in files:
            _give_file(at, name, user)


def _give_file(at: int, name: str, user: User) -> None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except OSError:
        return  # a link, a socket of an earlier run, or gone
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == 0:
            os.fchown(descriptor, user.uid, user.gid)
    finally:
        os.close(descriptor)


def unreadable(*paths: Path) -> list[Path]:
    """Those of `paths` that this process cannot read."""
    return [path for path in paths if not os.access(path, os.R_OK)]


# -- what we are


def own_rights() -> Rights:
    """Read them from /proc."""
    status = _status()
    uid, capabilities = os.geteuid(), _effective(status)
    everything = uid == 0 and capabilities >> 21 & 1 == 1
    names = tuple(
        _NAMES.get(bit, str(bit)) for bit in range(capabilities.bit_length()) if capabilities >> bit & 1
    )
    return Rights(
        _name_of(uid), uid == 0, ("all",) if everything else names, status.get("NoNewPrivs", "").strip() == "1"
    )  # fmt: skip


def _effective(status: Mapping[str, str]) -> int:
    return int(status.get("CapEff", "0"), 16)


def _status() -> dict[str, str]:
    try:
        text = Path("/proc/thread-self/status").read_text(encoding="utf-8", errors="replace")
    except OSError:  # pragma: no cover - no /proc: then we know nothing
        return {}
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
