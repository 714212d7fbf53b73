"""The walk of somebody who never saw Timeball: installed from its wheel, in an empty folder, only what the tutorial says."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.browser import browser
from tests.support.netns import Namespace, network
from tests.support.programs import cannot_run, need
from tests.support.tree import ROOT
from tests.support.wait import wait_until
from tests.support.wheels import build_our_wheel

TUTORIAL = (ROOT / "appliance/docs/plugins/tutorial.md").read_text(encoding="utf-8")
#: What is promised for the whole way to a card and a metric of one's own.
FIVE_MINUTES_S = 300
#: Only a net below conditions.
PATIENCE_S = 240
#: Where the card is, and what it says.
CARD = """(() => {
  const title = [...document.querySelectorAll("main *")].find((e) => e.children.length === 0 && e.textContent.trim() === "Worries");
  const card = title && title.closest("section, article, .card, li, a") || title && title.parentElement;
  return card ? card.innerText : "";
})()"""


def commands() -> list[list[str]]:
    """What the page tells to type after `$ timeball`."""
    return [line.split() for line in re.findall(r"^\$ timeball (.+)$", TUTORIAL, re.MULTILINE)]


def code(name: str) -> str:
    """The file that the page shows."""
    (found,) = (m[1] for m in re.finditer(rf"```python\n(# {re.escape(name)}\n.*?)```", TUTORIAL, re.DOTALL))
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A virtual environment of its own that has nothing but the wheel and what it depends on; its folder of programs."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = build_our_wheel(folder)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for what in (["--require-hashes", "-r", ROOT / "packaging/constraints.txt"], ["--no-deps", wheel]):
        done = subprocess.run([*pip, *what], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            cannot_run(f"pip cannot install what the wheel needs: {done.stderr.strip()[-300:]}")
    return folder / "venv/bin"


def clean(programs: Path) -> dict[str, str]:
    """The environment of somebody who has no checkout."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("TIMEBALL_", "PYTHON", "VIRTUAL_ENV", "PYTEST"))
    }
    return {**kept, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def got(path: str) -> str:
    """What the pages answer, "" while they do not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:8080{path}", timeout=30) as reply:
            return reply.read().decode()
    except OSError:
        return ""


async def until_card(chromium_path: str, picture: Path, says: Callable[[str], bool]) -> str:
    """Open the overview as a person does, wait for the card, take a picture; what the card says."""
    async with browser(chromium_path) as chromium, chromium.tab() as tab:
        await tab.look()
        await tab.open("http://127.0.0.1:8080/")
        async with asyncio.timeout(PATIENCE_S):
            while not says(text := str(await tab.evaluate(CARD))):  # noqa: ASYNC110 - it lives in the browser, and nobody loads it again
                await asyncio.sleep(0.5)
        await tab.settled()
        await tab.picture(picture)
        assert tab.complaints == []
    return text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_an_empty_folder_to_ones_own_card_and_metric_in_five_minutes(installed, tmp_path, capsys):
    chromium, pictures = need("chromium"), Path(os.environ.get("TIMEBALL_PICTURES", tmp_path))
    work, said = tmp_path / "work", tmp_path / "said"
    work.mkdir()
    pictures.mkdir(parents=True, exist_ok=True)
    new, demo, *_ = commands()
    assert (new[:2], demo[0]) == (["plugin", "new"], "demo")
    steps: list[tuple[str, float]] = []

    def step(name: str) -> None:
        steps.append((name, time.monotonic()))

    with (
        network() as net,
        (space := net.namespace()).entered(),
    ):  # the ports that the page names are free there
        step("begin")
        run(space, installed, work, new)
        step("plugin new")
        with said.open("wb") as out:
            process = space.start("timeball", *demo, cwd=work, env=clean(installed), stderr=out)
        wait_until(
            lambda: "timeball_worries_beats_total" in got("/metrics"), "the metric as written", PATIENCE_S
        )
        asyncio.run(until_card(chromium, pictures / "newcomer-1.png", lambda text: "0 beats" in text))
        step("the card that was written is seen")
        (work / "worries.py").write_text(code("worries.py"), encoding="utf-8")
        card = asyncio.run(
            until_card(chromium, pictures / "newcomer-2.png", lambda text: "1 in trouble" in text)
        )
        step("one's own card is seen")
        wait_until(
            lambda: "timeball_members_in_trouble 1.0" in got("/metrics"),
            "the metric of one's own",
            PATIENCE_S,
        )
        step("one's own metric is there")
        process.terminate()
        assert process.wait(60) == 0
    with capsys.disabled():
        lines = [f"  {b - a:6.1f} s  {name}" for (_, a), (name, b) in itertools.pairwise(steps)]
        sys.stdout.write("\n".join(["", *lines, f"  {steps[-1][1] - steps[0][1]:6.1f} s  together", ""]))
    assert "Below" in card
    assert steps[-1][1] - steps[0][1] < FIVE_MINUTES_S
    logged = said.read_text(encoding="utf-8", errors="replace").splitlines()
    assert not [line for line in logged if " error " in line or "Traceback" in line]


def run(space: Namespace, programs: Path, work: Path, words: list[str]) -> str:
    """One command of the tutorial; what it printed."""
    done = subprocess.run(
        space.command(["timeball", *words]),
        cwd=work,
        env=clean(programs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"timeball {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


CHOICES = (
    ["plugin", "new", "hello", "--yes"],
    ["plugin", "new", "hello", "--yes", "--hooks", "all"],
    ["plugin", "new", "hello", "--yes", "--hooks", "setup"],
    ["plugin", "new", "hello", "--yes", "--single-file", "--hooks", "all"],
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("words", CHOICES, ids=lambda words: " ".join(words[4:]) or "as asked")
def test_whatever_is_chosen_keeps_the_contract_where_only_the_wheel_is_installed(installed, tmp_path, words):
    """No checkout, no pytest: what cannot be tried is said, and the rest passes."""
    with network() as net:
        space = net.namespace()
        run(space, installed, tmp_path, words)
        (made,) = tmp_path.iterdir()
        said = run(space, installed, tmp_path, ["plugin", "test", made.name])
    assert "It keeps the contract." in said
    assert "pytest is not installed here" in said or "it has no tests" in said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_file_in_the_drop_in_folder_is_loaded_at_the_next_start(installed, tmp_path):
    """The last step of the tutorial: copy the file to STATE_DIR/plugins/."""
    work, state = tmp_path / "work", tmp_path / "state"
    work.mkdir()
    (state / "plugins").mkdir(parents=True)
    (state / "plugins/worries.py").write_text(code("worries.py"), encoding="utf-8")
    with network() as net, (space := net.namespace()).entered():
        demo = ["demo", "--state-dir", str(state)]
        process = space.start("timeball", *demo, cwd=work, env=clean(installed), stderr=subprocess.DEVNULL)
        wait_until(lambda: "timeball_members_in_trouble 1.0" in got("/metrics"), "the metric", PATIENCE_S)
        listed = run(space, installed, work, ["plugin", "list", "--state-dir", str(state)])
        assert re.search(r"^worries\b", listed, re.MULTILINE)
        process.terminate()
        assert process.wait(60) == 0
