"""`timeball run --trace-hooks`: contributions and states are printed, and an edited plugin is loaded again, alone."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from appliance.host import loader
from tests.host.test_new_plugin import written
from tests.support.programs import free_port
from tests.support.tree import ROOT
from tests.support.wait import wait_until

CONFIG = """
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:0"]
[plugins.dns]
enabled = false
[plugins.web]
enabled = false
"""


@pytest.fixture
def traced(tmp_path):
    """The appliance with the plugin in `plugin`; gives a function that says what it printed so far."""
    folder = written(tmp_path / "plugin", "--hooks", "panels,routes,run")
    config = tmp_path / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    line = [
        sys.executable,
        "-m",
        "appliance",
        "run",
        "--config",
        str(config),
        "--state-dir",
        str(tmp_path / "state"),
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIMEBALL_")}
    said = tmp_path / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [*line, "--plugin-dir", str(folder), "--trace-hooks"], env=environment, stderr=out
        )
    try:
        yield (
            folder / "appliance_hello" / "__init__.py",
            lambda: said.read_text(encoding="utf-8", errors="replace"),
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert process.returncode == 0


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_contributions_and_states_are_printed_and_an_edited_plugin_is_loaded_again(traced):
    source, said = traced
    wait_until(lambda: "hello        is running" in said(), "it to run", 60)
    assert "hello        panels: hello" in said()
    assert "hello        routes: POST beats" in said()
    edit(source, '"POST", "beats"', '"POST", "knocks"')
    wait_until(lambda: "routes: POST knocks" in said(), "the edited route", 60)
    wait_until(lambda: said().count("hello        is running") == 2, "it to run again", 60)
    edit(source, "@hookimpl\ndef routes", "this is no Python\n@hookimpl\ndef routes")
    wait_until(lambda: "is failed: cannot be imported: SyntaxError" in said(), "the mistake to be told", 60)
    edit(source, "this is no Python\n", "")
    wait_until(lambda: said().count("hello        is running") == 3, "it to run once more", 60)
    assert said().count("members      is running") == 1, "nobody else was touched"


def test_a_project_is_imported_as_it_will_be_once_installed(tmp_path):
    folder = written(tmp_path / "plugin", "--hooks", "run")
    found = loader.discover([folder], only=["hello"])
    try:
        (loaded,) = found.good()
        assert loaded.module.__name__ == "appliance_hello"
        edit(folder / "appliance_hello/config.py", "What one beat counts.", "Other words.")
        again = loader.load_again(found, loaded)
        assert again.error == ""
        assert again.info.config.model_fields["step"].description == "Other words."
        assert found.good() == [again]
    finally:
        sys.path.remove(str(folder.resolve()))
        for name in [name for name in sys.modules if name.startswith("appliance_hello")]:
            del sys.modules[name]


def test_what_lies_beside_a_plugin_in_its_folder_is_no_plugin(tmp_path):
    for name in ("test_hello.py", "conftest.py", "_own.py", ".hidden.py", "hello.py"):
        (tmp_path / name).write_text("", encoding="utf-8")
    found = [p.id for p in loader.discover([tmp_path]).found if not p.builtin]
    sys.modules.pop("appliance_dropin_hello", None)
    assert found == ["hello"]


def test_the_tutorial_leads_from_nothing_to_a_card_and_a_metric(tmp_path):
    """Its own commands, one after the other, in an empty folder; ports aside, which others may have."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIMEBALL_")}
    page = (ROOT / "appliance/docs/plugins/tutorial.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^\$ timeball (.+)$", page, re.MULTILINE)[:2]
    assert (first.split()[:2], second.split()[0]) == (["plugin", "new"], "demo")
    timeball, work = [sys.executable, "-m", "appliance"], tmp_path / "work"
    work.mkdir()
    subprocess.run([*timeball, *first.split()], cwd=work, env=environment, check=True, capture_output=True)
    web = free_port()
    ports = [
        f"plugins.web.listen=127.0.0.1:{web}",
        'plugins.ntp.listen=["127.0.0.1:0"]',
        'plugins.dns.listen=["127.0.0.1:0"]',
    ]
    sets = [word for port in ports for word in ("--set", port)]
    said = tmp_path / "said"
    with said.open("wb") as out:
        process = subprocess.Popen([*timeball, *second.split(), *sets], cwd=work, env=environment, stderr=out)
    try:
        wait_until(
            lambda: "timeball_worries_beats_total" in got(web, "/metrics"), "the metric that was written", 120
        )
        assert "0 beats" in got(web, "/")
        (code,) = (m[1] for m in re.finditer(r"```python\n(# worries\.py\n.*?)```", page, re.DOTALL))
        (work / "worries.py").write_text(code, encoding="utf-8")
        wait_until(
            lambda: "timeball_members_in_trouble" in got(web, "/metrics"), "the metric of the tutorial", 120
        )
        wait_until(lambda: "in trouble" in got(web, "/"), "the card", 120)
        looked = subprocess.run(
            [*timeball, "doctor", "--json"], cwd=work, env=environment, capture_output=True, check=False
        )
        checks = {check["id"]: check for check in json.loads(looked.stdout)["checks"]}
        assert checks.get("box.settings-in-force", {}).get("level") != "degraded", (
            "the form is the edited plugin's"
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
    assert sum(line.startswith("worries ") and "metrics:" in line for line in lines) == 2
    assert not [line for line in lines if line.startswith("monitor ") and "metrics:" in line], (
        "only the author's own"
    )


def got(port, path):
    """What the pages answer, "" while they do not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
            return reply.read().decode()
    except OSError:
        return ""
