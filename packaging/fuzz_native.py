"""Coverage-guided fuzzing of the native plane's decisions: `make fuzz-native`. Needs cargo; installs cargo-fuzz by itself.

TIMEBALL_FUZZ_SECONDS says how long each target runs. What is found stays in .cache/fuzz and is taken up by the next run;
`make fuzz-native ARGS=--keep` puts a minimised selection of it into the repository's corpus, which every test run replays.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "appliance" / "dataplane" / "rust" / "core"
FUZZ = CORE / "fuzz"
CACHE = ROOT / ".cache" / "fuzz"
TARGETS = ("ntp", "dns")
#: Longer inputs only repeat packets.
MAX_LEN = 1536
KEPT_LEN = 512


def main(arguments: list[str]) -> int:
    """Run every target (or those named); 0 when none found anything."""
    if shutil.which("cargo") is None:
        sys.exit("fuzzing the native plane needs cargo: https://rustup.rs, or the Debian package cargo")
    keep = "--keep" in arguments
    chosen = [target for target in TARGETS if target in arguments] or list(TARGETS)
    seconds = int(os.environ.get("TIMEBALL_FUZZ_SECONDS", "60"))
    environment = os.environ | {"PATH": f"{_cargo_fuzz()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    failed = [target for target in chosen if not _run(target, seconds, environment)]
    if keep and not failed:
        for target in chosen:
            _keep(target, environment)
    return 1 if failed else 0


def _cargo_fuzz() -> Path:
    """The folder that holds cargo-fuzz, installed there if it is nowhere."""
    found = shutil.which("cargo-fuzz")
    if found:
        return Path(found).parent
    tools = ROOT / ".cache" / "cargo-tools"
    if not (tools / "bin" / "cargo-fuzz").exists():
        print("installing cargo-fuzz (once; a few minutes) ...", file=sys.stderr, flush=True)
        subprocess.run(["cargo", "install", "cargo-fuzz", "--locked", "--root", tools], check=True)
    return tools / "bin"


def _fuzz(
    target: str, folders: list[Path], options: list[str], environment: dict[str, str], **more: object
) -> subprocess.CompletedProcess[str]:
    # No sanitizer: the code under test forbids unsafe code, and without one a stable compiler will do.
    command = ["cargo", "fuzz", "run", "--sanitizer", "none", "--fuzz-dir", str(FUZZ), "--target-dir", str(CACHE / "target"),
               target, *map(str, folders), "--", *options]  # fmt: skip
    return subprocess.run(command, cwd=CORE, env=environment, text=True, check=False, **more)  # type: ignore[call-overload,no-any-return]


def _run(target: str, seconds: int, environment: dict[str, str]) -> bool:
    found, crashes = CACHE / "corpus" / target, CACHE / "crashes" / target
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}", f"-max_len={MAX_LEN}", f"-dict={FUZZ / f'{target}.dict'}", "-timeout=20",
        f"-artifact_prefix={crashes}{os.sep}", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    print(f"{target}: {seconds} s ...", file=sys.stderr, flush=True)
    done = _fuzz(target, [found, FUZZ / "corpus" / target], options, environment, stderr=subprocess.PIPE)
    executions = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    if done.returncode != 0 or executions is None:
        print(done.stderr[-4000:], file=sys.stderr)
        print(f"{target}: FAILED; the input is in {crashes}")
        return False
    print(f"{target}: {int(executions[1]):,} executions in {seconds} s, nothing found", flush=True)
    return True


def _keep(target: str, environment: dict[str, str]) -> None:
    """Replace the repository's corpus by the fewest inputs that reach all that was ever reached."""
    kept, fresh = FUZZ / "corpus" / target, CACHE / "kept" / target
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    folders = [fresh, kept, CACHE / "corpus" / target]
    done = _fuzz(
        target, folders, ["-set_cover_merge=1", f"-max_len={KEPT_LEN}"], environment, capture_output=True
    )
    if done.returncode != 0:
        sys.exit(done.stderr[-2000:])
    shutil.rmtree(kept)
    shutil.copytree(fresh, kept)
    sizes = [path.stat().st_size for path in kept.iterdir()]
    print(f"{target}: {len(sizes)} inputs of {sum(sizes):,} bytes are kept")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
