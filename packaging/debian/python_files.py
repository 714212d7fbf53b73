"""The Python half of the package: the application as its own wheel has it, and the locked libraries for the target machine.

Both are laid out as a virtual environment has them, though no program of the target is run for it: /usr/lib/timeball is one
because of its pyvenv.cfg (ADR 23).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from release import CACHE, PYTHON, ROOT, Architecture, tracked

#: Builds the project and is not needed to run it.
_NOT_SHIPPED = {"setuptools"}
#: Locked with the test tools because the wheel only names it as an extra; the package has it.
_BESIDES = ("scapy",)
#: Programs of the libraries (a Python of this machine stands in their first line), their manual pages, and what is never loaded
#: here: scapy's layers of cars and telephones, half of it.
_LEFT_OUT = ("bin", "share", "scapy/contrib", "scapy/tools/UTscapy*", "multidict/_testcapi*.so")
_VENDOR = Path("plugins/appliance_web/static/vendor")


def application(target: Path) -> None:
    """Put the application into the folder `target`, as a wheel of the committed files has it, and what `make web` fetched.

    Raises:
        SystemExit: the wheel cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="timeball-wheel-") as scratch:
        source = Path(scratch, "source")
        fetched = [
            path.relative_to(ROOT) for path in sorted((ROOT / _VENDOR).iterdir()) if path.name != "pinned"
        ]
        names = [*tracked("appliance", "plugins", "pyproject.toml", "README.md", "LICENSE"), *fetched]
        for name in names:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
        _pip(
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--wheel-dir",
            scratch,
            str(source),
        )
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)


def libraries(target: Path, architecture: Architecture) -> dict[str, str]:
    """Put the locked libraries for `architecture` into `target`; versions by name.

    Raises:
        SystemExit: one has no wheel for that machine, or is not the file that was locked.
    """
    lock = locked(architecture)
    with tempfile.TemporaryDirectory(prefix="timeball-lock-") as scratch:
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text("".join(lock.values()), encoding="utf-8")
        options = ["--implementation=cp", f"--python-version={PYTHON[0]}.{PYTHON[1]}"]
        options += [f"--abi={abi}" for abi in (f"cp{PYTHON[0]}{PYTHON[1]}", "abi3", "none")]
        options += [f"--platform={tag}" for tag in architecture.wheels]
        _pip(
            "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile",
            "--target", str(target), *options, "--requirement", str(wanted),
        )  # fmt: skip
    for name in _LEFT_OUT:
        for path in target.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {name: block.split("==")[1].split()[0].rstrip("\\;") for name, block in lock.items()}


def locked(architecture: Architecture) -> dict[str, str]:
    """Requirement blocks by name, of what runs on that machine: pip would judge the markers by the Python it runs in."""
    blocks = _blocks("constraints.txt")
    blocks |= {name: block for name, block in _blocks("constraints-test.txt").items() if name in _BESIDES}
    return {
        name: block
        for name, block in blocks.items()
        if name not in _NOT_SHIPPED and _runs(block, architecture)
    }


def _blocks(name: str) -> dict[str, str]:
    text = (ROOT / "packaging" / name).read_text(encoding="utf-8")
    found = re.findall(r"^(?:[^\s#-].*\n)(?:[ \t].*\n?)*", text, re.MULTILINE)
    return {re.match(r"[A-Za-z0-9._-]+", block)[0].lower(): block for block in found}  # type: ignore[index]


def _runs(block: str, architecture: Architecture) -> bool:
    marker = Requirement(block.partition("\\")[0]).marker
    version = f"{PYTHON[0]}.{PYTHON[1]}"
    target = {
        "implementation_name": "cpython", "os_name": "posix", "platform_machine": architecture.machine,
        "platform_python_implementation": "CPython", "platform_system": "Linux", "sys_platform": "linux",
        "python_version": version, "python_full_version": f"{version}.0", "implementation_version": f"{version}.0",
    }  # fmt: skip
    return marker is None or marker.evaluate(target)


def _pip(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    CACHE.mkdir(exist_ok=True)
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"pip {arguments[0]} failed:\n{done.stderr.strip()}")
