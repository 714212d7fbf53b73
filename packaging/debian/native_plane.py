"""The native data plane for a package's machine: one shared object, the same from every folder it is built in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from release import CACHE, ROOT, Architecture, tracked

RUST = ROOT / "appliance" / "dataplane" / "rust"
#: Where it lies among the application's files.
PLACE = Path("appliance/dataplane/_native.abi3.so")
PATIENCE_S = 1800


class CannotBuild(Exception):
    """There is no compiler or no library for that machine; the message says what to install."""


def build(architecture: Architecture) -> bytes:
    """The stripped shared object.

    Raises:
        CannotBuild: with what a person can do.
        SystemExit: it is built from a lock file and does not compile.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise CannotBuild("cargo is not installed")
    if shutil.which(architecture.linker) is None:
        package = architecture.linker.replace("x86_64", "x86-64")
        raise CannotBuild(
            f"{architecture.linker} is not there: sudo apt install {package.replace('-gcc', '')} gcc-{package}"
        )
    _need_target(architecture)
    folder = CACHE / f"rust-{architecture.name}"
    source = folder / "source"
    _lay_out(source / "rust")
    home = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    flags = [
        f"--remap-path-prefix={source}=/timeball",
        f"--remap-path-prefix={home}=/cargo",
        "-Cstrip=symbols",
        # Only what this file defines may decide its build identity: no folders of this machine.
        "-Clink-arg=-Wl,--build-id=sha1",
    ]
    linker = f"CARGO_TARGET_{architecture.rust.upper().replace('-', '_')}_LINKER"
    environment = os.environ | {
        linker: architecture.linker,
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
        "PYO3_CROSS": "1",
        "PYO3_CROSS_PYTHON_VERSION": "3.11",
    }
    command = [
        cargo,
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--target",
        architecture.rust,
        "--target-dir",
        str(folder),
    ]
    done = subprocess.run(
        command,
        cwd=source / "rust/py",
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    if done.returncode != 0:
        raise SystemExit(
            f"the native data plane does not build for {architecture.name}:\n{done.stderr[-4000:]}"
        )
    return (folder / architecture.rust / "release" / "lib_native.so").read_bytes()


def _lay_out(source: Path) -> None:
    """Both crates as one workspace: cargo names what lies in it by its place there, and all else by the builder's folders."""
    shutil.rmtree(source.parent, ignore_errors=True)
    for name in tracked(RUST.relative_to(ROOT).as_posix()):
        inside = name.relative_to(RUST.relative_to(ROOT))
        if inside.parts[0] in ("core", "py") and "fuzz" not in inside.parts:
            (source / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / inside)
    shutil.copy2(RUST.parent / "_native.pyi", source.parent)  # told to Python by the module itself
    manifests = [source / "core/Cargo.toml", source / "py/Cargo.toml"]
    profile = ""
    for path in manifests:
        text, mark, profiles = path.read_text(encoding="utf-8").partition("[profile.")
        path.write_text(re.sub(r"^\[workspace\]\n", "", text, flags=re.MULTILINE), encoding="utf-8")
        profile = mark + profiles  # of the last, which is what is built
    head = '[workspace]\nmembers = ["core", "py"]\nresolver = "3"\n\n'
    (source / "Cargo.toml").write_text(head + profile, encoding="utf-8")
    (source / "py/Cargo.lock").replace(source / "Cargo.lock")
    (source / "core/Cargo.lock").unlink()


def strip(folder: Path, architecture: Architecture) -> None:
    """Take out of every library below `folder` what only a debugger reads: a third of their size.

    Raises:
        CannotBuild: there is no program for it.
        SystemExit: it fails.
    """
    program = architecture.linker.replace("-gcc", "-strip")
    if shutil.which(program) is None:
        raise CannotBuild(f"{program} is not there, which comes with {architecture.linker}")
    for path in sorted(folder.rglob("*.so")):
        done = subprocess.run(
            [program, "--strip-unneeded", path], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise SystemExit(f"{program} failed: {done.stderr.strip()}")


def _need_target(architecture: Architecture) -> None:
    """Rust's own library for the target must be there."""
    asked = subprocess.run(
        ["rustc", "--print", "target-libdir", "--target", architecture.rust],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if asked.returncode != 0 or not any(Path(asked.stdout.strip()).glob("libcore-*")):
        raise CannotBuild(f"Rust's library for it is not there: rustup target add {architecture.rust}")
