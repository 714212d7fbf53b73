"""The crates of the native plane: their own tests, their format, and no complaint of the linter."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUST = ROOT / "appliance" / "dataplane" / "rust"
TARGET = ROOT / ".cache" / "rust"


def cargo(*words: str, crate: str) -> None:
    """Run cargo, or say why it cannot be run."""
    path = shutil.which("cargo")
    if path is None:
        pytest.skip("cargo is not installed: the crates cannot be tested here")
    if (
        words[0] != "test"
        and subprocess.run([path, words[0], "--version"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"this Rust has no `cargo {words[0]}`: rustup component add rustfmt clippy")
    done = subprocess.run(
        [path, *words], cwd=RUST / crate, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_the_tests_of_the_core_pass():
    cargo("test", "--quiet", "--target-dir", str(TARGET), crate="core")


@pytest.mark.parametrize("crate", ["core", "py", "core/fuzz"])
def test_the_format_is_what_cargo_fmt_makes(crate):
    cargo("fmt", "--check", crate=crate)


@pytest.mark.timeout(600)
def test_the_linter_has_nothing_to_say_about_the_core():
    cargo(
        "clippy",
        "--quiet",
        "--all-targets",
        "--target-dir",
        str(TARGET),
        "--",
        "-D",
        "warnings",
        crate="core",
    )


@pytest.mark.timeout(600)
def test_the_linter_has_nothing_to_say_about_the_binding():
    """In the profile that the plane is built with, so that its dependencies need not be built again."""
    cargo("clippy", "--quiet", "--release", "--target-dir", str(TARGET), "--", "-D", "warnings", crate="py")
