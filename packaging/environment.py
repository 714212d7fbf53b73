"""Everything between a fresh clone and a working `.venv`, with nothing but Python's standard library.

What is installed stands in constraints.txt (to run) and constraints-test.txt (to test besides): names, versions and
hashes. A stamp inside `.venv` remembers what was installed, so that the second start does nothing and needs no network.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = BIN / "python"
CACHE = ROOT / ".cache"
STAMP = VENV / "timeball-stamp.json"
LOG = CACHE / "install.log"
OLDEST = (3, 11)
#: What a `.venv` with everything takes, with room to unpack.
NEEDED_BYTES = 400 * 1024 * 1024

#: What pip and uv say, and what a person can do about it. The first match wins.
_DISK_FULL = "the disk is full: a complete .venv takes about 300 MB"
_NOT_OURS = 'this folder cannot be written; if an earlier run was made with sudo: sudo chown -R "$USER" .'
_WRONG_FILE = """a download is not the file that packaging/constraints*.txt names: it is damaged, or the package index
builds its own files. Nothing of it was installed"""
_NO_INDEX = """the package index cannot be reached. Check network and proxy, then run the same command again;
what is already installed stays"""
_REMEDIES = {
    r"No space left on device|Disk quota exceeded": _DISK_FULL,
    r"Permission denied|Operation not permitted|Read-only file system": _NOT_OURS,
    r"DO NOT MATCH THE HASHES|[Hh]ash mismatch": _WRONG_FILE,
    r"name resolution|NameResolution|Network is unreachable|timed out|ConnectTimeout|Connection refused": _NO_INDEX,
    r"NewConnectionError|Max retries|dns error|error sending request|No matching distribution|ProxyError": _NO_INDEX,
}


class SetupError(Exception):
    """The environment cannot be made; the message says what a person can do."""


def ensure(*, tests: bool) -> Path:
    """Make `.venv` hold the project (and the test tools) as the committed files say.

    Returns:
        The folder with `timeball`, `python` and the tools.

    Raises:
        SetupError: with what a person can do.
    """
    wanted = _wanted(tests=tests)
    if _missing(wanted):
        try:
            CACHE.mkdir(exist_ok=True)
            with _alone():
                _install(wanted)
        except PermissionError as error:
            raise SetupError(f"{error.filename or ROOT}: {_NOT_OURS}") from error
        except OSError as error:
            raise SetupError(str(error)) from error
    return BIN


def compile_modules() -> None:
    """Bytecode for every module of the tree, where it is missing or old.

    Where the environment says PYTHONDONTWRITEBYTECODE, each start would compile some five hundred modules anew: a third of its
    work. Compiling on demand writes all the same. A tree that cannot be written is left as it is.
    """
    folders = [str(ROOT / name) for name in ("appliance", "plugins")]
    subprocess.run([PYTHON, "-m", "compileall", "-q", *folders], capture_output=True, check=False)


def clean_environment() -> dict[str, str]:
    """The environment without what would send an installation elsewhere or let another tree's modules in."""
    elsewhere = (
        "PYTHONPATH",
        "PYTHONHOME",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
        "PIP_REQUIRE_VIRTUALENV",
        "VIRTUAL_ENV",
    )
    kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
    if not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111 - Path.home() fails for a user without a name
        kept |= {"UV_CACHE_DIR": str(CACHE / "uv"), "PIP_CACHE_DIR": str(CACHE / "pip")}
    return kept


def hand_back() -> None:
    """After `sudo make test` on somebody's own tree: what was made in it belongs to that person, not to root."""
    person, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not person.isdigit() or not group.isdigit() or ROOT.stat().st_uid != int(person):
        return
    bytecode = (path for name in ("appliance", "plugins") for path in (ROOT / name).rglob("__pycache__"))
    for top in (VENV, CACHE, *ROOT.glob("*.egg-info"), *bytecode):
        for folder, _, files in os.walk(top):
            for path in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118 - ten thousand files
                with contextlib.suppress(OSError):
                    os.lchown(path, int(person), int(group))


def _wanted(*, tests: bool) -> dict[str, str]:
    """What should be installed, as digests of the files that say so, in the order of installation."""
    # An editable installation knows the folders it was made from, and scripts the path of their interpreter.
    folders = sorted(path.parent.name for path in ROOT.glob("plugins/*/__init__.py"))
    project = (ROOT / "pyproject.toml").read_bytes() + repr((str(ROOT), folders)).encode()
    parts = {"constraints.txt": (ROOT / "packaging/constraints.txt").read_bytes()}
    if tests:
        parts["constraints-test.txt"] = (ROOT / "packaging/constraints-test.txt").read_bytes()
    parts["project"] = project
    return {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}


def _missing(wanted: dict[str, str]) -> list[str]:
    """The parts that are not installed as wanted."""
    stamp: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    # The link to an interpreter dangles once the system's Python was replaced by the next one.
    if not PYTHON.exists() or not (BIN / "timeball").exists():
        stamp = {}
    return [name for name, digest in wanted.items() if stamp.get(name) != digest]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two commands started at once install one after the other."""
    with (CACHE / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(wanted: dict[str, str]) -> None:
    missing = _missing(wanted)
    if not missing:
        return  # somebody else did it while we waited
    began = time.monotonic()
    print(f"Setting up {VENV.name} (once; a minute or so) ...", file=sys.stderr, flush=True)
    if shutil.disk_usage(ROOT).free < NEEDED_BYTES and "constraints.txt" in missing:
        raise SetupError(f"{ROOT}: {_DISK_FULL}")
    LOG.write_text("", encoding="utf-8")
    uv = shutil.which("uv")
    if not _usable(uv):
        _create(uv)
        missing = list(wanted)
    stamp: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    for name in missing:
        if name == "project":
            _add(uv, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        else:
            _add(uv, "--no-deps", "--require-hashes", "--requirement", str(ROOT / "packaging" / name))
        # Written after each part: a failure half-way keeps what is done.
        stamp[name] = wanted[name]
        STAMP.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    print(f"Ready after {time.monotonic() - began:.0f} s.", file=sys.stderr, flush=True)


def _usable(uv: str | None) -> bool:
    """Whether there is a `.venv` that something can be installed into."""
    if not PYTHON.exists():
        return False
    script = "import sys; print(sys.version_info >= (3, 11)); import importlib.util as u; print(bool(u.find_spec('pip')))"
    asked = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True, check=False)
    answers = asked.stdout.split()
    return asked.returncode == 0 and answers[:1] == ["True"] and (answers[1:] == ["True"] or uv is not None)


def _create(uv: str | None) -> None:
    if VENV.exists():
        shutil.rmtree(VENV)
    # With pip in it if possible, so that plugins can be installed later on a machine without uv.
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        made = _run([sys.executable, "-m", "venv", str(VENV)])
    elif uv:
        made = _run([uv, "venv", "--python", sys.executable, str(VENV)])
    else:
        made = False
    if not made:
        shutil.rmtree(VENV, ignore_errors=True)
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            "Python's venv module is not complete on this machine. On Debian and Raspberry Pi OS:\n"
            f"    sudo apt install python3-venv\n(or python{version}-venv for {sys.executable}; details: {LOG})"
        )


def _add(uv: str | None, *arguments: str) -> None:
    # uv is quicker; pip knows the machine's own settings (mirrors, certificates), so it has the last word.
    if uv and _run([uv, "pip", "install", "--quiet", "--python", str(PYTHON), *arguments]):
        return
    if _run([str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]):
        return
    text = LOG.read_text(encoding="utf-8", errors="replace")
    remedy = next((words for pattern, words in _REMEDIES.items() if re.search(pattern, text)), "")
    tail = "\n".join(f"    {line}" for line in text.strip().splitlines()[-12:])
    raise SetupError(f"{remedy or 'packages cannot be installed'}\n{tail}\n(all of it: {LOG})")


def _run(command: list[str]) -> bool:
    """Run `command` with its output in the log; whether it went well."""
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        done = subprocess.run(
            command,
            env=clean_environment(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    return done.returncode == 0
