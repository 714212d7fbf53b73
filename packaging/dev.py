#!/usr/bin/env python3
"""What `make` does: `python3 packaging/dev.py COMMAND`. Needs nothing but Python; makes `.venv` when a command wants it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Before the rest is imported: an old Python must be able to read up to here.
if sys.version_info < (3, 11):  # noqa: UP036 - it is there to be said in words
    for _name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        _found = shutil.which(_name)
        if _found:
            os.execv(_found, [_found, *sys.argv])  # noqa: S606 - ourselves again
    sys.exit(
        "Timeball needs Python 3.11 or newer; {} is {}.{}.\n"
        "Debian 12, Raspberry Pi OS of 2023 and everything newer have it: sudo apt install python3 python3-venv".format(
            sys.executable, *sys.version_info[:2]
        )
    )

import browser_files  # noqa: E402 - see above
import fuzz_native as native_fuzz  # noqa: E402 - see above
import native as native_plane  # noqa: E402 - see above
from environment import BIN, CACHE, SetupError, clean_environment, compile_modules, ensure, hand_back  # noqa: E402


def tool_environment() -> dict[str, str]:
    """Where the tools keep what they remember: out of the way of people."""
    return clean_environment() | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MYPY_CACHE_DIR": str(CACHE / "mypy"),
        "RUFF_CACHE_DIR": str(CACHE / "ruff"),
    }


def call(*command: str | Path, **environment: str) -> int:
    """Run a command in the tree's root and return its exit code (128 + n for one that died of signal n)."""
    code = subprocess.run(
        [str(word) for word in command], cwd=ROOT, env=tool_environment() | environment, check=False
    ).returncode
    return code if code >= 0 else 128 - code


def run(arguments: list[str]) -> int:
    """Start a small pool on this machine's loopback and show it in the browser."""
    ensure(tests=False)
    compile_modules()
    # Whoever sees it for the first time should not wait for a compiler.
    if native_plane.BUILT.exists():
        print(native_plane.build(), file=sys.stderr, flush=True)
    else:
        print(
            "packets are answered in Python; make native builds the faster plane", file=sys.stderr, flush=True
        )
    print(browser_files.fetch(), file=sys.stderr, flush=True)
    timeball = str(BIN / "timeball")
    # In place of this process: Ctrl-C and SIGTERM reach the appliance itself.
    os.execve(timeball, [timeball, "demo", *arguments], clean_environment())  # noqa: S606


def lint(arguments: list[str]) -> int:
    """Style, format and types."""
    ensure(tests=True)
    compile_modules()
    packages = ["appliance", *sorted(path.parent.name for path in ROOT.glob("plugins/*/__init__.py"))]
    checks = [
        [BIN / "ruff", "check", "--quiet", "."],
        [BIN / "ruff", "format", "--check", "--quiet", "."],
        [BIN / "mypy", "--no-error-summary", *(word for name in packages for word in ("-p", name))],
        [BIN / "mypy", "--no-error-summary", "-p", "images.builder", "-p", "images.testing"],
    ]
    failed = [str(check[0].name) for check in checks if call(*check, *arguments) != 0]  # type: ignore[union-attr]
    print(
        f"lint: {'FAILED: ' + ', '.join(failed) if failed else 'style, format and types are good'}",
        flush=True,
    )
    return 1 if failed else 0


def pytest(*arguments: str, **environment: str) -> int:
    """Run pytest as we want it; its cache lies beside the others."""
    return call(
        BIN / "python", "-m", "pytest", "-o", f"cache_dir={CACHE / 'pytest'}", *arguments, **environment
    )


def test(arguments: list[str]) -> int:
    """Lint, then every test that is not slow."""
    linted = lint([])
    print(native_plane.build(), flush=True)
    print(browser_files.fetch(), flush=True)
    if arguments:
        return pytest("-q", "-m", "not slow", *arguments) or linted
    # Most tests wait for real programs, so twice as many at a time as there are processors; those of one file stay together.
    workers = str(min(4, 2 * (os.cpu_count() or 1)))
    tested = pytest("-q", "-m", "not slow", "-n", workers, "--dist", "loadfile")
    if tested == 1:
        print(
            "\nwhat failed beside others is asked once more, alone; if it passes now, the test leans on time or neighbours",
            flush=True,
        )
        tested = pytest("-q", "-m", "not slow", "--last-failed", "--last-failed-no-failures", "none")
    return tested or linted


def native(arguments: list[str]) -> int:
    """Build the native data plane (needs cargo); `make run` and `make test` do it by themselves where they can."""
    print(native_plane.build(insist=True))
    return 0


def web(arguments: list[str]) -> int:
    """Fetch what the pages take from others (needs npm); `make run` and `make test` do it by themselves where they can."""
    print(browser_files.fetch(insist=True))
    return 0


def test_slow(arguments: list[str]) -> int:
    """The slow tests (minutes)."""
    ensure(tests=True)
    compile_modules()
    return pytest("-q", "-m", "slow", *arguments)


def fuzz(arguments: list[str]) -> int:
    """Damaged and generated input at length (TIMEBALL_FUZZ_EXAMPLES, _PACKETS); `inspector`: its child (TIMEBALL_FUZZ_SECONDS)."""
    ensure(tests=True)
    if arguments == ["inspector"]:
        return call(BIN / "python", ROOT / "packaging/fuzz_inspector.py")
    print(native_plane.build(), file=sys.stderr, flush=True)
    which = "fuzz or mutated or damaged or hostile or wire or codec"
    return pytest("-q", "-k", which, "-o", "timeout=0", *arguments, HYPOTHESIS_PROFILE="fuzz")


def fuzz_native(arguments: list[str]) -> int:
    """Coverage-guided fuzzing of the native plane (cargo-fuzz); TIMEBALL_FUZZ_SECONDS for each target."""
    return native_fuzz.main(arguments)


def bench(arguments: list[str]) -> int:
    """Measure, side by side with other servers where they are installed."""
    ensure(tests=True)
    compile_modules()
    print(native_plane.build(), file=sys.stderr, flush=True)
    return call(BIN / "python", ROOT / "packaging/bench/all.py", *arguments)


def screenshots(arguments: list[str]) -> int:
    """Pictures of every page, light and dark, phone and desk, into build/screenshots (needs chromium)."""
    ensure(tests=True)
    print(browser_files.fetch(), file=sys.stderr, flush=True)
    return call(BIN / "python", ROOT / "packaging/screenshots.py", *arguments)


def lock(arguments: list[str]) -> int:
    """Resolve the dependencies anew and write packaging/constraints*.txt and licences.md."""
    ensure(tests=True)
    code = call(BIN / "python", ROOT / "packaging/lock.py", *arguments)
    if code == 0:
        ensure(tests=True)
        code = call(BIN / "python", ROOT / "packaging/licences.py", "--write")
    return code


def peers(arguments: list[str]) -> int:
    """Install the real programs that tests and benchmarks talk to (root, Debian)."""
    return call("bash", ROOT / "packaging/install-test-peers.sh", *arguments)


def docs(arguments: list[str]) -> int:
    """Write the manual's reference pages (keys, commands, operations) from the code."""
    ensure(tests=True)
    return call(BIN / "python", ROOT / "packaging/reference.py", "--write", *arguments)


def deb(arguments: list[str]) -> int:
    """Make the Debian packages, amd64 and arm64 (or those named), into build/deb."""
    ensure(tests=True)
    print(browser_files.fetch(insist=True), file=sys.stderr, flush=True)
    return call(BIN / "python", ROOT / "packaging/debian/build.py", *arguments)


def deb_test(arguments: list[str]) -> int:
    """Install, run, upgrade and purge the package in a Debian 13 of its own (root, mmdebstrap)."""
    return call(sys.executable, ROOT / "packaging/debian/chroot_test.py", *arguments)


def deb_figures(arguments: list[str]) -> int:
    """Sizes of the packages in build/deb, and how exposed each unit is."""
    return call(sys.executable, ROOT / "packaging/debian/figures.py", *arguments)


def image_tools() -> int:
    """See that the machine has what building and starting images needs; root installs what is missing."""
    return call("bash", ROOT / "packaging/install-image-tools.sh")


def image_vm(arguments: list[str]) -> int:
    """The images for virtual machines, amd64 and arm64 (or the one that is named first), into build/images (root)."""
    named = arguments[:1] if arguments[:1] in (["amd64"], ["arm64"]) else []
    wanted = named or ["amd64", "arm64"]
    images = (f"vm-{architecture}" for architecture in wanted)
    build = ROOT / "images/build.py"
    return image_tools() or deb(wanted) or call(sys.executable, build, *images, *arguments[len(named) :])


def image_pi(arguments: list[str]) -> int:
    """The card for the Raspberry Pi, into build/images (root); half an hour the first time, then minutes."""
    build = ROOT / "images/build.py"
    return image_tools() or deb(["arm64"]) or call(sys.executable, build, "pi-arm64", *arguments)


def image_test(arguments: list[str]) -> int:
    """Start the images in QEMU and ask them from outside (root): the one that is named first, or all that are built; then cases."""
    ensure(tests=True)
    images, cases = _images(arguments)
    code = image_tools()
    for image in images if code == 0 else ():
        print(f"\n{image}", flush=True)
        code = call(BIN / "python", ROOT / "images/test.py", image, *cases) or code
    return code


def image_test_all(arguments: list[str]) -> int:
    """All cases, the slow ones too."""
    return image_test([*arguments, "--all"])


def image_lint(arguments: list[str]) -> int:
    """Look at the images as they lie there, without starting them."""
    images, more = _images(arguments)
    return max(image_test([image, *more, "lint", "downloads"]) for image in images)


def image_figures(arguments: list[str]) -> int:
    """Measure the image: sizes, start, memory (root)."""
    ensure(tests=True)
    images, more = _images(arguments)
    return max(call(BIN / "python", ROOT / "images/figures.py", image, *more) for image in images)


def image_update(arguments: list[str]) -> int:
    """The bundle that updates an image, from what its build left (root); TIMEBALL_UPDATE_KEY and _CERT sign."""
    images, more = _images(arguments)
    return max(call(sys.executable, ROOT / "images/update.py", image, *more) for image in images)


def _images(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The images that are meant, and what else was said: the one that is named first, or all in build/images."""
    names = sorted(path.stem for path in (ROOT / "images").glob("*-*.toml"))
    if arguments and arguments[0] in names:
        return arguments[:1], arguments[1:]
    built = [name for name in names if any((ROOT / "build/images").glob(f"timeball-{name}.*"))]
    return built or ["vm-amd64"], arguments


def changelog(arguments: list[str]) -> int:
    """Print what packaging/changes holds; with --release VERSION, move it into CHANGELOG.md."""
    return call(sys.executable, ROOT / "packaging/changelog.py", *arguments)


def clean(arguments: list[str]) -> int:
    """Remove .venv, caches and what builds leave."""
    for name in (
        ".venv",
        ".cache",
        "build",
        "dist",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
    ):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for path in (*ROOT.glob("*.egg-info"), *ROOT.glob("[a-z]*/**/__pycache__")):
        shutil.rmtree(path, ignore_errors=True)
    return 0


COMMANDS = {
    "run": run,
    "test": test,
    "test-slow": test_slow,
    "lint": lint,
    "native": native,
    "web": web,
    "fuzz": fuzz,
    "fuzz-native": fuzz_native,
    "bench": bench,
    "peers": peers,
    "screenshots": screenshots,
    "lock": lock,
    "docs": docs,
    "deb": deb,
    "deb-test": deb_test,
    "deb-figures": deb_figures,
    "image-vm": image_vm,
    "image-update": image_update,
    "image-pi": image_pi,
    "image-test": image_test,
    "image-test-all": image_test_all,
    "image-lint": image_lint,
    "image-figures": image_figures,
    "changelog": changelog,
    "clean": clean,
}


def main() -> int:
    listing = "\n".join(f"  {name:<14} {command.__doc__}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"commands:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, help="handed on to the tool behind the command"
    )
    chosen = parser.parse_args()
    try:
        return COMMANDS[chosen.command](chosen.arguments)
    except SetupError as error:
        print(f"timeball: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        hand_back()


if __name__ == "__main__":
    sys.exit(main())
