# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""Takes everything from this process that judging packets does not need: privileges, files, processes, the network.

For Linux. Each measure that the kernel refuses is told by name; the others hold all the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Callable

#: Address space: the interpreter with scapy takes about half of it.
MEMORY_BYTES = 512 << 20
#: Processor time of one life; the parent begins a new one before that.
CPU_S = 3600
NOBODY = 65534

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2

# What an interpreter needs that only reads, thinks and answers; numbers from Linux' own tables.
_X86_64 = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "munmap": 11, "brk": 12, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "sched_yield": 24, "mremap": 25, "madvise": 28, "getpid": 39,
    "exit": 60, "getrusage": 98, "sigaltstack": 131, "gettid": 186, "futex": 202, "getdents64": 217, "clock_gettime": 228,
    "exit_group": 231, "newfstatat": 262, "getrandom": 318, "rseq": 334, "stat": 4, "lstat": 6,
}  # fmt: skip
_AARCH64 = {
    "read": 63, "write": 64, "close": 57, "fstat": 80, "ppoll": 73, "lseek": 62, "munmap": 215, "brk": 214,
    "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "pread64": 67, "sched_yield": 124, "mremap": 216,
    "madvise": 233, "getpid": 172, "exit": 93, "getrusage": 165, "sigaltstack": 132, "gettid": 178, "futex": 98,
    "getdents64": 61, "clock_gettime": 113, "exit_group": 94, "newfstatat": 79, "getrandom": 278, "rseq": 293,
}  # fmt: skip
#: AUDIT_ARCH, what is allowed, and the numbers of openat, mmap and mprotect.
_MACHINES = {
    "x86_64": (0xC000003E, _X86_64, 257, 9, 10),
    "aarch64": (0xC00000B7, _AARCH64, 56, 222, 226),
}

_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # EPERM
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _THIRD_ARGUMENT_AT = 0, 4, 32
_MAKES_OR_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROT_EXEC = 4


def confine() -> list[str]:
    """Do it, for good; what could not be done."""
    lacking = []
    libc = ctypes.CDLL(None, use_errno=True)

    def attempt(what: str, measure: Callable[[], object]) -> None:
        try:
            measure()
        except (OSError, ValueError) as error:
            lacking.append(f"{what}: {error}")

    def prctl(option: int, *arguments: int) -> None:
        if libc.prctl(option, *(ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4])):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    if os.geteuid() == 0:
        attempt("another user", _become_nobody)
    # After the change of user: that takes it back.
    attempt("end with the parent", lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
    attempt("no dumps", lambda: prctl(_PR_SET_DUMPABLE, 0))
    attempt("no new privileges", lambda: prctl(_PR_SET_NO_NEW_PRIVS, 1))
    with contextlib.suppress(OSError):
        os.nice(10)
    for name, most in (
        ("AS", MEMORY_BYTES), ("CPU", CPU_S), ("NOFILE", 16), ("NPROC", 0), ("CORE", 0), ("FSIZE", 0),
    ):  # fmt: skip
        kind = getattr(resource, f"RLIMIT_{name}")
        attempt(f"limit {name}", lambda kind=kind, most=most: resource.setrlimit(kind, (most, most)))  # type: ignore[misc]
    attempt("system calls", lambda: _filter_calls(libc))
    return lacking


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def program(machine: str) -> bytes:
    """The filter for a machine: what is not allowed fails with EPERM.

    Raises:
        OSError: we have no table for this machine.
    """
    if machine not in _MACHINES:
        raise OSError(f"no table of system calls for {machine}")
    arch, allowed, openat, mmap, mprotect = _MACHINES[machine]

    def op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, k)

    def unless(number: int, bits: int) -> list[bytes]:
        """Allow the call `number` unless its third argument has one of `bits`."""
        return [
            op(_EQUAL, number, 0, 4), op(_LOAD, _THIRD_ARGUMENT_AT), op(_ANY_BIT, bits, 0, 1), op(_RETURN, _REFUSE),
            op(_RETURN, _ALLOW),
        ]  # fmt: skip

    steps = [op(_LOAD, _ARCH_AT), op(_EQUAL, arch, 1, 0), op(_RETURN, _KILL), op(_LOAD, _NUMBER_AT)]
    for number in allowed.values():
        steps += [op(_EQUAL, number, 0, 1), op(_RETURN, _ALLOW)]
    steps += unless(openat, _MAKES_OR_WRITES) + unless(mmap, _PROT_EXEC) + unless(mprotect, _PROT_EXEC)
    return b"".join([*steps, op(_RETURN, _REFUSE)])


def _filter_calls(libc: ctypes.CDLL) -> None:
    code = program(platform.machine())
    steps = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("@HP", len(code) // 8, ctypes.addressof(steps))
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), head, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
