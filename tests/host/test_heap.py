"""Many threads share two heaps, and what was large goes back at once."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from appliance.host.heap import give_back, keep_small
if sys.argv[2] == "small":
    keep_small()
library = ctypes.CDLL(None)
library.malloc.restype = library.fopen.restype = ctypes.c_void_p
hold = threading.Barrier(13)
def work():
    library.malloc(5000)
    hold.wait()
    hold.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
hold.wait()
stream = ctypes.c_void_p(library.fopen(sys.argv[1].encode(), b"w"))
library.malloc_info(0, stream)
library.fclose(stream)
hold.wait()
give_back()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps its heap as it likes")
def test_threads_share_two_heaps(tmp_path):
    found = {}
    for how in ("small", "as it is"):
        file = tmp_path / how
        subprocess.run([sys.executable, "-c", PROGRAM, file, how], check=True)
        found[how] = file.read_text().count("<heap nr=")
    assert found["small"] <= 2 < found["as it is"]


def test_without_such_a_library_nothing_happens(monkeypatch):
    class Nothing:
        """A library that has none of it."""

    from appliance.host import heap

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Nothing())
    heap.keep_small()
    heap.give_back()
