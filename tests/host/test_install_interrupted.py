"""An installation that is killed, or has no room, or is of a wheel that is damaged: what was in force stays, and the next one works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli import build
from appliance.kit.installed import CannotInstall, Installed
from tests.support.programs import cannot_run, need_root
from tests.support.wheels import make_wheel

PLUGIN = """
from appliance import PluginInfo

plugin = PluginInfo(id="stone", title="Stone {version}", api=1)
"""


def stone(folder: Path, version: str, **files: str) -> Path:
    code = {"appliance_stone.py": PLUGIN.replace("{version}", version), **files}
    return make_wheel(folder, "stone", version, code, plugins={"stone": "appliance_stone"})


def command(state: Path, *words: str):
    return CliRunner().invoke(build(), ["plugin", *words, "--state-dir", str(state), "--json"])


def versions(state: Path) -> list[str]:
    return [root["version"] for root in json.loads(command(state, "installed").stdout)["installed"]]


def install(state: Path, wheel: Path):
    return command(state, "install", str(wheel), "--no-index")


#: Where the process dies: a function, and whether just before it or just after.
POINTS = {
    "before pip": ("appliance.kit.wheels", "bring", "before"),
    "when pip has written all": ("appliance.kit.wheels", "bring", "after"),
    "when it was checked": ("appliance.kit.trial", "examine_installed", "after"),
    "before the lock file is written": ("appliance.kit.installed", "_hashes", "before"),
    "before the link moves": ("appliance.kit.installed", "Installed._swap", "before"),
    "while the link moves": ("os", "replace", "before"),
    "after the link has moved": ("appliance.kit.installed", "Installed._swap", "after"),
}
DYING = """
import functools, importlib, os, signal, sys
module, name, when = sys.argv[1:4]
holder = importlib.import_module(module)
for part in name.split(".")[:-1]:
    holder = getattr(holder, part)
name = name.split(".")[-1]
right = getattr(holder, name)
@functools.wraps(right)
def dies(*args, **kwargs):
    if name == "replace" and not str(args[1]).endswith("current"):
        return right(*args, **kwargs)
    value = None if when == "before" else right(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
    return value
setattr(holder, name, dies)
sys.argv[1:] = sys.argv[4:]
from appliance.cli import main
main()
"""


@pytest.mark.parametrize(
    "point",
    [p if p == "before the link moves" else pytest.param(p, marks=pytest.mark.slow) for p in POINTS],
)
def test_killed_at_any_point_the_old_or_the_new_is_in_force_and_nothing_is_left(tmp_path, point):
    state = tmp_path / "s"
    first, second, third = (stone(tmp_path / v, v) for v in ("1.0", "2.0", "3.0"))
    assert install(state, first).exit_code == 0
    words = [*POINTS[point], "plugin", "install", str(second), "--no-index", "--state-dir", str(state)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIMEBALL_")}
    died = subprocess.run(
        [sys.executable, "-c", DYING, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert died.returncode == -9, died.stderr
    assert versions(state) == (["2.0"] if point == "after the link has moved" else ["1.0"])
    assert install(state, third).exit_code == 0
    assert versions(state) == ["3.0"]
    home = state / "plugins.d"
    drafts = [
        f.name
        for f in home.iterdir()
        if f.is_dir() and not f.is_symlink() and not (f / "lock.json").is_file()
    ]
    assert drafts == [], "what the killed one left"
    assert not (home / ".current").is_symlink()
    assert command(state, "rollback").exit_code == 0
    assert versions(state) == (["2.0"] if point == "after the link has moved" else ["1.0"])


def test_two_at_a_time_are_refused_and_the_first_goes_on(tmp_path):
    installed = Installed(tmp_path)
    with installed.draft() as folder:
        (folder / "x.py").write_text("x = 1\n", encoding="utf-8")
        refused = []

        def second() -> None:
            try:
                with installed.draft():
                    pass
            except CannotInstall as why:
                refused.append(str(why))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert "is under way" in refused[0]
        installed.keep(folder, (), "installed x")
    assert installed.in_force() == folder.name


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    need_root()
    where = tmp_path / "small"
    where.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", where], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        cannot_run(f"a small file system cannot be made here: {done.stderr.strip()}")
    yield where
    subprocess.run(["umount", where], check=True)


def test_without_room_nothing_changes_and_it_is_said(tmp_path, small_disk):
    small, large = (
        stone(tmp_path / "a", "1.0"),
        stone(tmp_path / "b", "2.0", **{"appliance_stone_data.py": noise()}),
    )
    assert install(small_disk, small).exit_code == 0
    done = install(small_disk, large)
    assert done.exit_code == 1
    assert "No space left on device" in done.output
    assert versions(small_disk) == ["1.0"]
    assert install(small_disk, stone(tmp_path / "c", "3.0")).exit_code == 0
    assert versions(small_disk) == ["3.0"]
    assert command(small_disk, "rollback").exit_code == 0
    assert versions(small_disk) == ["1.0"]


def noise() -> str:
    return f"DATA = {os.urandom(1_500_000).hex()!r}\n"


def renamed(wheel: Path, tag: str) -> Path:
    """The same for another machine."""
    other = wheel.with_name(wheel.name.replace("py3-none-any", tag))
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            text = old.read(name).replace(b"Tag: py3-none-any", f"Tag: {tag}".encode())
            new.writestr(name, text)
    return other


def cut(wheel: Path) -> Path:
    wheel.write_bytes(wheel.read_bytes()[:-100])
    return wheel


def flipped(wheel: Path) -> Path:
    """One byte of its code is another one: the archive's own check sum does not fit."""
    data = bytearray(wheel.read_bytes())
    at = data.index(b"PluginInfo(id=")
    data[at] ^= 1
    wheel.write_bytes(bytes(data))
    return wheel


def empty(folder: Path) -> Path:
    folder.mkdir()
    made = folder / "stone-2.0-py3-none-any.whl"
    made.touch()
    return made


BAD = {
    "for another machine": (lambda d: renamed(stone(d, "2.0"), "cp39-cp39-win_amd64"), "not a supported wheel"),
    "cut off": (lambda d: cut(stone(d, "2.0")), "pip refused"),
    "a byte turned around": (lambda d: flipped(stone(d, "2.0")), "pip refused"),
    "empty": (empty, "pip refused"),
    "what it needs is nowhere": (
        lambda d: make_wheel(d, "stone", "2.0", {"appliance_stone.py": PLUGIN}, requires=("nowhere-to-be-found",), plugins={"stone": "appliance_stone"}),
        "nowhere-to-be-found",
    ),
    "it leads nowhere": (
        lambda d: make_wheel(d, "stone", "2.0", {"appliance_stone.py": PLUGIN}, plugins={"stone": "appliance_pebble"}),
        "appliance_pebble",
    ),
    "a name that moves the cursor": (
        lambda d: make_wheel(d, "stone", "2.0", {"appliance_stone.py": PLUGIN}, plugins={"\x1b[2Jstone": "appliance_stone"}),
        "is no name of a plugin",
    ),
    "it ends the process when it is imported": (
        lambda d: make_wheel(d, "stone", "2.0", {"appliance_stone.py": "import os\nos._exit(0)\n"}, plugins={"stone": "appliance_stone"}),
        "was not installed",
    ),
    "a path that leads out": (
        lambda d: make_wheel(d, "stone", "2.0", {"appliance_stone.py": PLUGIN, "../../evil.py": "x = 1\n"}, plugins={"stone": "appliance_stone"}),
        "pip refused",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_wheel_is_refused_and_what_was_there_stays(tmp_path, case):
    make, says = BAD[case]
    state = tmp_path / "s"
    assert install(state, stone(tmp_path / "good", "1.0")).exit_code == 0
    before = sorted(p.name for p in (state / "plugins.d").iterdir())
    done = install(state, make(tmp_path / "bad"))
    assert done.exit_code == 1, done.output
    assert says in done.output
    assert "\x1b" not in done.output
    assert "Traceback" not in done.output
    assert versions(state) == ["1.0"]
    assert sorted(p.name for p in (state / "plugins.d").iterdir()) == before
    assert not list(tmp_path.rglob("evil.py"))
