"""Runs programs: output into the stage's log, an error with the last lines of it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from images.builder.errors import BuildError
from images.builder.progress import Progress

#: Lines of a failed program's output that stand in the error.
TAIL = 25


def run(
    command: Sequence[str | Path],
    progress: Progress,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    hint: str = "",
) -> None:
    """Run a program to its end.

    Raises:
        BuildError: it failed; with the end of what it printed, where the rest is, and the hint.
    """
    words = [str(word) for word in command]
    with progress.log.open("ab") as log:
        log.write(("+ " + " ".join(words) + "\n").encode())
        log.flush()
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    progress.waiting()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code:
        tail = "\n".join(progress.log.read_text(errors="replace").splitlines()[-TAIL:])
        raise BuildError(
            f"{words[0]} failed ({code}). The end of its output:\n\n{tail}\n\nAll of it: {progress.log}"
            + (f"\n{hint}" if hint else "")
        )


def output(command: Sequence[str | Path], *, folder: Path | None = None) -> str:
    """What a program prints.

    Raises:
        BuildError: it failed.
    """
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise BuildError(f"{command[0]} failed ({done.returncode}): {done.stderr.strip()[-500:]}")
    return done.stdout
